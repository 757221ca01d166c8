"""The histories of `python -m bench.histories`: true ones are valid, the false one is not, a seed makes one history."""

import pathlib

import pytest
from click.testing import CliRunner

from bench import histories
from bench.histories import falsified, key_value, list_append, main
from jepsen_like.check import KeyValue, Verdict, check_linearizable, check_list_append


def test_true_histories_are_valid_and_one_false_answer_is_found() -> None:
    recorded = key_value(3, 400, keys=4)
    assert recorded.events == key_value(3, 400, keys=4).events
    assert check_linearizable(recorded, KeyValue()).verdict is Verdict.VALID
    unanswered = sum(each.returned is None for each in recorded.operations())
    assert 0 < unanswered < 40
    lie = falsified(recorded)
    different = [at for at, pair in enumerate(zip(recorded, lie, strict=True)) if pair[0] != pair[1]]
    assert [check_linearizable(lie, KeyValue()).first_bad_event] == different


def test_true_transactions_are_valid() -> None:
    recorded = list_append(3, 400)
    assert len(recorded.operations()) == 400
    assert check_list_append(recorded).verdict is Verdict.VALID


def test_every_history_is_made_and_judged_by_the_command(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"short": ("edn", "kv", lambda seed: key_value(seed, 50, keys=2))}
    monkeypatch.setattr(histories, "HISTORIES", short)
    ended = CliRunner().invoke(main, ["--keep", str(tmp_path / "made")])
    assert ended.exit_code == 0, ended.output
    assert ended.output.splitlines()[1].split()[:2] == ["short", "valid"]
    assert (tmp_path / "made" / "0-kv.edn").stat().st_size > 1000
    assert CliRunner().invoke(main, ["--make-only"]).exit_code == 2
