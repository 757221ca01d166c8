"""The exit code: each condition of success fails alone when its fact is missing, and people see all figures."""

import io
import json

import msgspec
import pytest
from rich.console import Console

from raftlog.mainjob.display import shown, summary_table
from raftlog.mainjob.summary import Doubt, FailOver, Kill, Latency, ReadBack, Summary, as_json


def readback(node: str, compared: int = 6_000) -> ReadBack:
    """A node on which everything was found."""
    return ReadBack(node=node, compared=compared, missing=0, different=0, seconds=1.0)


GOOD = Summary(
    keys=6_000,
    sources={"stdlib": 6_000},
    corpus_bytes=100,
    callers=256,
    acknowledged=5_999,
    doubts=(Doubt(key="stdlib/x.py", reason="the leader was killed", happened=True),),
    lost=0,
    seconds=4.0,
    throughput=1_500.0,
    throughput_without_failover=3_000.0,
    latency=Latency(p50=9_000, p99=40_000, max=2_000_000),
    kill=Kill(node="n1", pid=77, acknowledged=3_000, term=2),
    failover=FailOver(leader="n3", term=3, silence=1_900_000, rejoined=900_000),
    readbacks=(readback("n1"), readback("n2"), readback("n3")),
    digests_agree=True,
)


def failing(summary: Summary) -> list[str]:
    """The conditions that do not hold."""
    return [check.what for check in summary.checks if not check.holds]


def test_a_good_run_passes() -> None:
    assert failing(GOOD) == []
    assert GOOD.ok


@pytest.mark.parametrize(
    "change, condition",
    [
        ({"kill": Kill(node="n1", pid=7, acknowledged=1_799, term=2)}, "leader killed between 30% and 70%"),
        ({"kill": Kill(node="n1", pid=7, acknowledged=4_201, term=2)}, "leader killed between 30% and 70%"),
        ({"failover": FailOver(leader="n1", term=2, silence=0, rejoined=1)}, "a higher term followed"),
        ({"failover": FailOver(leader="n3", term=3, silence=1, rejoined=None)}, "the killed node rejoined"),
        ({"acknowledged": 4_999}, "at least 5,000 keys written"),
        ({"doubts": (Doubt(key="k", reason="r", happened=None),)}, "every unknown outcome resolved"),
        ({"lost": 1}, "nothing acknowledged is missing"),
        ({"readbacks": (readback("n1"), readback("n2"))}, "nothing acknowledged is missing"),
        (
            {"readbacks": (readback("n1"), readback("n2"), readback("n3", 5_998))},
            "nothing acknowledged is missing",
        ),
        ({"digests_agree": None}, "all replicas are in the same state"),
        ({"digests_agree": False}, "all replicas are in the same state"),
    ],
)
def test_each_missing_fact_fails_its_own_condition(change: dict[str, object], condition: str) -> None:
    summary = msgspec.structs.replace(GOOD, **change)
    assert len(failing(summary)) == 1
    assert failing(summary)[0].startswith(condition)
    assert not summary.ok


def test_without_a_kill_nothing_was_shown() -> None:
    summary = msgspec.structs.replace(GOOD, kill=None, failover=None)
    assert len(failing(summary)) == 3


def test_json_carries_the_figures_the_checks_and_the_verdict() -> None:
    figures = json.loads(as_json(GOOD))
    assert figures["ok"] is True
    assert figures["failover"]["silence"] == 1_900_000
    assert figures["doubts"] == [{"key": "stdlib/x.py", "reason": "the leader was killed", "happened": True}]
    assert all(check["holds"] for check in figures["checks"])


def test_people_see_the_same_figures() -> None:
    out = io.StringIO()
    Console(file=out, width=160).print(summary_table(GOOD))
    text = out.getvalue()
    for figure in ("6,000", "5,999", "1,500 writes/s", "3,000 without", "1,900.0 ms", "FAILED"):
        assert (figure in text) == (figure != "FAILED"), text


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_said_is_shown_on_a_terminal_and_elsewhere(terminal: bool) -> None:
    out = io.StringIO()
    with shown(Console(file=out, width=120, force_terminal=terminal)) as scene:
        scene.begin("writing", 10)
        scene.lead("n2", 4)
        scene.advance(12, 5.0)
        scene.say("n1 was killed")
    assert scene.done == 10
    assert "n1 was killed" in out.getvalue()
    assert ("n2 leads term 4" in out.getvalue()) == terminal
