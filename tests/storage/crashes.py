"""Every crash state of a recorded story: recover it, hold it to its notes, write on, crash again."""

from collections.abc import Iterator
from random import Random

import msgspec

from raftlog.core.durable import HardState
from raftlog.core.ids import GroupId
from raftlog.storage import GroupWrite, Wal, load_or_create
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Platter
from tests.storage.story import PART, SEGMENT, Account, Act, Entropy, Log, entry, meta, read_all


class Lost(AssertionError):
    """A crash state in which something acknowledged is gone, or that recovers differently each time."""


class CrashState(msgspec.Struct, frozen=True):
    """What a power failure left at one step of an act, and what may be found there."""

    act: int
    events: int
    """Of the act's trace, performed before the power failed."""
    platter: Platter
    allowed: tuple[Account, ...]


def crash_states(acts: list[Act], random: Random, *, per_step: int) -> Iterator[CrashState]:
    """Distinct states, at most `per_step` of them before the first event of each act and after each event."""
    for number, act in enumerate(acts):
        platter = Platter(act.start)
        seen: set[tuple[int, int]] = set()
        for events in range(len(act.trace) + 1):
            if events:
                platter.perform(act.trace[events - 1])
            note = max(n for n, note in enumerate(act.notes) if note.events <= events)
            # A note made after the last event of a step counts from then on; one made before the next event as well.
            for state in platter.crash_states(random, most=per_step):
                if (key := (note, state.fingerprint())) not in seen:
                    seen.add(key)
                    yield CrashState(number, events, state, act.notes[note].allowed)


async def examine(state: CrashState, random: Random) -> None:
    """Recover a state twice, append, crash once more.

    Raises:
        Lost: a promise was broken.
    """
    disk = SimDisk(random, platter=state.platter)
    found, wal = await _recover(disk, random)
    _hold(found, state.allowed, "recovered")
    if disk.platter.undecided:
        raise Lost(f"recovery promised what is not durable: {disk.platter.undecided}")
    before = disk.platter.fingerprint()
    disk = disk.after_crash()
    again, wal = await _recover(disk, random)
    _hold(again, (found,), "recovered twice")
    if disk.platter.fingerprint() != before:
        raise Lost("recovering twice leaves other bytes than recovering once")
    if wal is not None:
        await _write_on(disk, wal, again, random)


async def _recover(disk: SimDisk, random: Random) -> tuple[Account, Wal | None]:
    clock = Entropy(random)
    identity = await load_or_create(disk, clock)
    if identity.cluster is None:
        return Account(identity.node), None
    wal = await Wal.open(
        disk, identity=identity, segment_size=SEGMENT, entropy=clock.entropy, part_size=PART, repair=True
    )
    await wal.make_room()
    return Account(identity.node, True, await read_all(wal)), wal


async def _write_on(disk: SimDisk, wal: Wal, found: Account, random: Random) -> None:
    """Append to the recovered log twice; the power fails somewhere in the second or right after it."""
    first = _writes(found, random)
    await wal.append(first)
    await wal.make_room()
    after_first = found.after(first)
    platter, start = Platter(disk.platter.contents()), len(disk.trace)
    second = _writes(after_first, random)
    await wal.append(second)
    acknowledged = len(disk.trace) - start
    await wal.make_room()
    events = random.randint(0, len(disk.trace) - start)
    for event in disk.trace[start : start + events]:
        platter.perform(event)
    after_second = after_first.after(second)
    allowed = (after_second,) if events >= acknowledged else (after_first, after_second)
    crashed, _ = await _recover(SimDisk(random, platter=platter.after_crash(random)), random)
    _hold(crashed, allowed, f"appended and crashed again after {events} events")


def _writes(account: Account, random: Random) -> list[GroupWrite]:
    return [_write(group, log, random) for group, log in sorted(account.logs.items())]


def _write(group: GroupId, log: Log, random: Random) -> GroupWrite:
    """Two entries, of which the first may replace some; where there is a snapshot, perhaps a base as well."""
    base = meta(log.snapshot) if log.snapshot.index > log.base.index and random.random() < 0.5 else None
    kept = max(log.hard_state.commit, log.last - 2, log.base.index, log.snapshot.index)
    first = random.randint(kept, log.last) + 1
    term = max(log.hard_state.term, log.base.term) + 1
    new = tuple(entry(index, term, random.choice((10, 600)), group) for index in range(first, first + 2))
    return GroupWrite(group, HardState(term, None, log.hard_state.commit), new, base)


def _hold(found: Account, allowed: tuple[Account, ...], when: str) -> None:
    for account in allowed:
        if account.node in (None, found.node) and (account.initialised, account.started().logs) == (
            found.initialised,
            found.logs,
        ):
            return
    raise Lost(f"{when}: found {found}, promised one of {allowed}")
