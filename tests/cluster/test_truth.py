"""Histories against logs: a false failure and a phantom success are found where the history alone would pass."""

from collections.abc import Sequence

from jepsen_like.check import History, Verdict
from jepsen_like.cluster.truth import compare
from jepsen_like.workloads.workload import Request
from raftlog.core.entry import Command, Entry, EntryKind, encode_commands, seal
from raftlog.core.ids import META_GROUP, EntryId, Index, Term


def command(request: Request) -> bytes | None:
    return None if request.f == "read" else f"{request.f} {request.value}".encode()


def log(*bodies: str, client: int = 7, term: int = 1, sequences: Sequence[int] = ()) -> dict[Index, Entry]:
    numbers = sequences or range(1, len(bodies) + 1)
    return {
        Index(at): _entry(at, term, Command(client, number, 0, 1, 1, body.encode()))
        for at, (number, body) in enumerate(zip(numbers, bodies, strict=True), 1)
    }


def _entry(at: int, term: int, said: Command) -> Entry:
    return seal(
        group=META_GROUP,
        at=EntryId(Term(term), Index(at)),
        kind=EntryKind.COMMANDS,
        log_time=0,
        payload=encode_commands([said]),
    )


def told(*said: tuple[str, int]) -> History:
    """One client's adds, each with what it was told."""
    history = History()
    for outcome, value in said:
        history.invoke(value, "add", value, time=0)
        getattr(history, outcome)(value, **({"time": 1} if outcome != "ok" else {"value": True, "time": 1}))
    return history


def judge(history: History, *logs: dict[Index, Entry], committed: int) -> tuple[Verdict, tuple[str, ...]]:
    named = {f"n{number}": each for number, each in enumerate(logs, 1)}
    found = compare(named, Index(committed), [], history, command)
    return found.verdict, found.sentences


def test_what_was_told_and_what_is_there_agree() -> None:
    history = told(("ok", 1), ("info", 2), ("info", 3), ("fail", 4))
    assert judge(history, log("add 1", "add 3"), committed=2) == (Verdict.VALID, ())


def test_a_failure_that_happened_is_a_lie() -> None:
    verdict, (sentence,) = judge(told(("ok", 1), ("fail", 2)), log("add 1", "add 2"), committed=2)
    assert verdict is Verdict.INVALID
    assert "add of 2: 1 times in the log" in sentence


def test_a_success_that_is_not_there_is_a_lie() -> None:
    verdict, (sentence,) = judge(told(("ok", 1), ("ok", 2)), log("add 1", "add 2"), committed=1)
    assert verdict is Verdict.INVALID
    assert "add of 2: 0 times in the log, and clients were told of 1" in sentence


def test_what_nobody_asked_for_is_no_truth() -> None:
    assert judge(told(("ok", 1)), log("add 1", "add 9"), committed=2)[0] is Verdict.INVALID


def test_a_command_sent_again_within_its_session_counts_once() -> None:
    again = log("add 1", "add 1", sequences=[1, 1])
    assert judge(told(("ok", 1)), again, committed=2)[0] is Verdict.VALID
    without_session = log("add 1", "add 1", client=0)
    assert judge(told(("ok", 1)), without_session, committed=2)[0] is Verdict.INVALID


def test_nodes_must_hold_the_same_entries() -> None:
    verdict, (sentence,) = judge(told(("ok", 1)), log("add 1"), log("add 1", term=2), committed=1)
    assert verdict is Verdict.INVALID
    assert sentence.startswith("n2 holds 1@2")


def test_a_log_that_was_compacted_everywhere_decides_nothing() -> None:
    begun_later = {index: entry for index, entry in log("add 1", "add 2").items() if index > 1}
    assert judge(told(("ok", 1), ("ok", 2)), begun_later, committed=2)[0] is Verdict.UNKNOWN
