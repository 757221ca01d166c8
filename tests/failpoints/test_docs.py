"""The page for people lists the failpoints there are, and its examples are rules."""

import re
from pathlib import Path

from raftlog.failpoints import ALL, parse

PAGE = Path(__file__).resolve().parents[2] / "docs" / "failpoints.md"


def table() -> str:
    """What belongs under the last heading."""
    rows = [f"| `{p.name}` | {p.where} | {'' if p.waits else '*stall*'} | {p.error} |" for p in ALL.values()]
    return "\n".join(["| Name | Where | Delay | `error` |", "| --- | --- | --- | --- |", *rows]) + "\n"


def test_the_table_is_the_list() -> None:
    found = PAGE.read_text().partition("## All of them\n\n")[2]
    assert found == table(), f"write this below the last heading of {PAGE.name}:\n\n{table()}"


def test_the_examples_are_rules() -> None:
    block = re.search(r"## Rules\n\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    examples = [re.split(r" {3,}", line)[0] for line in block[1].splitlines()]
    assert sum(len(parse(example)) for example in examples) == 7
    armed = re.search(r"RAFTLOG_FAILPOINTS='([^']*)'", PAGE.read_text())
    assert armed is not None
    assert parse(armed[1])
