"""What the nodes' disks hold after a run, against what clients were told: the log is the truth, answers only claim it.

A history may be linearizable although an answer was wrong: a failure that happened after all and that nobody read, a
success that was lost at the very end. The log shows both. Jepsen's tests of etcd compare with the log in the same way.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from jepsen_like.check import EventType, History, Verdict
from jepsen_like.check.history import paired
from jepsen_like.workloads.workload import Judged, Request
from raftlog.core.entry import Entry, EntryKind, decode_commands
from raftlog.core.ids import META_GROUP, Index
from raftlog.storage.inspect import BatchRow, dump
from raftlog.storage.local import LocalDisk
from raftlog.storage.records import EntryRecord

USER_MACHINE = 1
MOST_SENTENCES = 20


async def log_of(directory: Path) -> Mapping[Index, Entry]:
    """The entries of group 0 in the directory of a node that does not run, by index, as recovery would have them."""
    found: dict[Index, Entry] = {}
    disk = LocalDisk(directory)
    try:
        async for row in dump(disk):
            if isinstance(row, BatchRow):
                for record in row.records:
                    if isinstance(record, EntryRecord) and record.entry.group == META_GROUP:
                        _put(found, record.entry)
    finally:
        await disk.close()
    return found


def _put(log: dict[Index, Entry], entry: Entry) -> None:
    """An entry replaces the one at its index and all behind it."""
    if entry.index in log and log[entry.index].term != entry.term:
        for index in [index for index in log if index > entry.index]:
            del log[index]
    log[entry.index] = entry


def compare(
    logs: Mapping[str, Mapping[Index, Entry]],
    committed: Index,
    asked: Iterable[Request],
    history: History,
    command: Callable[[Request], bytes | None],
) -> Judged:
    """Hold the nodes' logs against each other and the history against them.

    Args:
        logs: by node, as of `log_of`.
        committed: up to where the log was decided when the run ended.
        asked: what was asked outside the history, and succeeded.
        history: of clients with sessions, so that each command is in the log once or, sent again, under one number.
        command: what stands in the log for a request.
    """
    sentences = list(disagreements(logs, committed))
    whole = [log for log in logs.values() if all(index in log for index in range(1, committed + 1))]
    if not whole:
        missing = f"no node's log reaches from 1 to {committed}: what was compacted cannot be compared"
        return Judged("log", Verdict.INVALID if sentences else Verdict.UNKNOWN, (*sentences, missing))
    sentences += _lies(_bodies(whole[0], committed), asked, history, command)
    verdict = Verdict.INVALID if sentences else Verdict.VALID
    return Judged("log", verdict, tuple(sentences[:MOST_SENTENCES]))


def disagreements(logs: Mapping[str, Mapping[Index, Entry]], committed: Index) -> Iterator[str]:
    """Where two logs hold different entries at one place, up to what was decided; either may lack some."""
    seen: dict[Index, tuple[str, Entry]] = {}
    for name, log in logs.items():
        for index, entry in log.items():
            if index > committed:
                continue
            other, theirs = seen.setdefault(index, (name, entry))
            if theirs != entry:
                yield f"{name} holds {entry.id} at {index}, and {other} holds {theirs.id} with other bytes"


def _bodies(log: Mapping[Index, Entry], committed: Index) -> Counter[bytes]:
    """How often each command was decided; one that was sent again within a session counts once."""
    found: Counter[bytes] = Counter()
    known: set[tuple[int, int]] = set()
    for index in range(1, committed + 1):
        if log[index].kind is not EntryKind.COMMANDS:
            continue
        for each in decode_commands(log[index].payload):
            number = (each.client_id, each.sequence)
            if each.machine == USER_MACHINE and (not each.client_id or number not in known):
                known.add(number)
                found[each.body] += 1
    return found


def _lies(
    decided: Counter[bytes],
    asked: Iterable[Request],
    history: History,
    command: Callable[[Request], bytes | None],
) -> Iterator[str]:
    """Commands that the log has less often than clients were told, or more often than can be."""
    least: Counter[bytes] = Counter(body for each in asked if (body := command(each)) is not None)
    most = Counter(least)
    words: dict[bytes, str] = {}
    for operation in paired(list(history)):
        request = Request(operation.f, operation.argument, operation.key)
        if (body := command(request)) is None:
            continue
        words[body] = f"{operation.f} of {operation.argument!r}"
        least[body] += operation.outcome is EventType.OK
        most[body] += operation.outcome is not EventType.FAIL
    for body in sorted(set(decided) | set(least)):
        if not least[body] <= decided[body] <= most[body]:
            told = f"{least[body]} that happened and {most[body] - least[body]} that may have"
            what = words.get(body, repr(body))
            yield f"{what}: {decided[body]} times in the log, and clients were told of {told}"
