"""What the command knows of a checker: give it a history, get a verdict and sentences for people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from jepsen_like.check.bank import check_bank
from jepsen_like.check.counter import check_counter
from jepsen_like.check.fenced_lock import check_fenced_lock
from jepsen_like.check.finding import Finding
from jepsen_like.check.history import EventType, History, Value
from jepsen_like.check.linearizable import Linearizability, check_linearizable
from jepsen_like.check.misused import Misused
from jepsen_like.check.models import MODELS, WITHOUT_INITIAL
from jepsen_like.check.picture import picture
from jepsen_like.check.set_full import check_set_full
from jepsen_like.check.total_queue import check_total_queue
from jepsen_like.check.transactions import check_list_append
from jepsen_like.check.unique_ids import check_unique_ids
from jepsen_like.check.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict in the command's terms.

    - `first_bad_event` is the `index` of the event: its place in the file, or the number of its line.
    - `picture` draws the moment, given a title; None if there is nothing to draw.
    """

    verdict: Verdict
    first_bad_event: int | None
    sentences: tuple[str, ...]
    picture: Callable[[str], str] | None = None


Judge: TypeAlias = Callable[[History, Value, bool, Callable[[], bool]], Judgement]
"""A checker behind a name: history, initial value, whether nil reads may be unrecorded ones, whether time is up."""


def _linearizable(name: str) -> Judge:
    def judge(
        history: History, initial: Value, nil_may_be_unrecorded: bool, expired: Callable[[], bool]
    ) -> Judgement:
        model = MODELS[name]() if name in WITHOUT_INITIAL else MODELS[name](initial)
        if nil_may_be_unrecorded and name in ("register", "cas-register"):
            history = _without_unrecorded(history, initial)
        return _judgement(history, check_linearizable(history, model, expired=expired))

    return judge


def _judgement(history: History, found: Linearizability) -> Judgement:
    if found.impossible is None:
        sentences = (
            ("the time, or the memory, was too short for a verdict: --timeout SECONDS gives it more time",)
            if found.verdict is Verdict.UNKNOWN
            else ()
        )
        return Judgement(found.verdict, None, sentences)
    impossible = found.impossible
    index = history.events[impossible.event].index
    about = "" if impossible.partition is None else f" of {impossible.partition!r}"
    states = ", ".join(repr(prefix.state) for prefix in impossible.prefixes)
    return Judgement(
        found.verdict,
        index,
        (
            f"event {index} is impossible: {impossible.operation}",
            f"whatever the order of the operations before it, the state{about} was one of: {states}",
        ),
        lambda title: picture(history, impossible, title),
    )


def _without_unrecorded(history: History, initial: Value) -> History:
    """The history without answers that were not written down.

    Jepsen's histories leave a read's value nil where it is not known. Where nil can be a value of the register, because
    it begins so or somebody writes it, a nil is taken at its word.
    """
    if initial is None or any(_sets_nil(event.f, event.value) for event in history.events):
        return history
    return History(
        msgspec.structs.replace(event, type=EventType.INFO)
        if _is_unrecorded(event.f, event.value, event.type)
        else event
        for event in history.events
    )


def _sets_nil(f: str, value: Value) -> bool:
    if f == "write":
        return value is None
    if f == "cas":
        return isinstance(value, list) and None in value
    return False


def _is_unrecorded(f: str, value: Value, kind: EventType) -> bool:
    return kind is EventType.OK and f == "read" and value is None


def _found(check: Callable[[History, Value], Finding]) -> Judge:
    """A checker that needs no search, and so no clock."""

    def judge(
        history: History, initial: Value, nil_may_be_unrecorded: bool, expired: Callable[[], bool]
    ) -> Judgement:
        found = check(history, initial)
        position = found.first_bad_event
        return Judgement(
            found.verdict,
            None if position is None else history.events[position].index,
            tuple(str(each) for each in found.anomalies)
            + tuple(f"(remark) {each}" for each in found.remarks),
        )

    return judge


def _bank(history: History, initial: Value) -> Finding:
    if not isinstance(initial, int):
        raise Misused("a bank needs to know its total: give it with --initial")
    return check_bank(history, total=initial)


JUDGES: Mapping[str, Judge] = {
    **{name: _linearizable(name) for name in MODELS},
    "set-full": _found(lambda history, initial: check_set_full(history)),
    "bank": _found(_bank),
    "counter-bounds": _found(lambda history, initial: check_counter(history, initial=initial or 0)),
    "unique-ids": _found(lambda history, initial: check_unique_ids(history)),
    "total-queue": _found(lambda history, initial: check_total_queue(history)),
    "fenced-lock": _found(lambda history, initial: check_fenced_lock(history)),
    "list-append": _found(lambda history, initial: check_list_append(history)),
}
"""Every checker by its name on the command line."""
