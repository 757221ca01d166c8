"""The contract of a workload: a machine, what clients ask of it, and the promise their answers are held to."""

from collections.abc import Iterable, Sequence
from random import Random
from time import monotonic
from typing import Protocol

import msgspec

from jepsen_like.check import Finding, History, Value, Verdict
from jepsen_like.check.judgement import JUDGES
from raftlog import Client


class Request(msgspec.Struct, frozen=True):
    """One operation of a client, as it stands in the history."""

    f: str
    value: Value = None
    key: Value = None


class Judged(msgspec.Struct, frozen=True):
    """What a checker found."""

    checker: str
    verdict: Verdict
    sentences: tuple[str, ...] = ()


class Workload(Protocol):
    """One run's workload. Every written value is unique in the run, so that a read tells which write it saw.

    `who` is the number of one of the clients; each asks one thing at a time.
    """

    machine: str
    """`module:Class` of what the nodes run."""

    def first(self) -> Iterable[Request]:
        """What makes the state that the run begins with: asked one after the other, before the history begins."""
        ...

    def next(self, random: Random, who: int) -> Request:
        """What this client asks next."""
        ...

    async def perform(self, client: Client, request: Request, who: int) -> Value:
        """Ask it; the result as the history shows it.

        Raises:
            CallFailed: it certainly did not happen.
            CallUnknown: nobody knows.
        """
        ...

    def command(self, request: Request) -> bytes | None:
        """The bytes that stand in the log for it; None for a query, which is in no log."""
        ...

    def last(self) -> Iterable[Request]:
        """What is asked once everything is well again, one after the other, each until it succeeds: all there is."""
        ...

    def judge(self, history: History) -> Sequence[Judged]:
        """Hold the history to the promise."""
        ...


PATIENCE = 300.0
"""Seconds after which a search is given up; its verdict is unknown then."""


def told(checker: str, found: Finding) -> Judged:
    """What a checker without a search has found."""
    return Judged(checker, found.verdict, tuple(str(each) for each in found.anomalies))


def judged(checker: str, history: History, initial: Value = None) -> Judged:
    """What a checker of `python -m jepsen_like check --model` says of it."""
    ends = monotonic() + PATIENCE
    found = JUDGES[checker](history, initial, False, lambda: monotonic() > ends)
    return Judged(checker, found.verdict, found.sentences)
