"""Stories of a log: what a test does to a node's disk, beside the plainest account of what must be found there.

A `Story` drives `load_or_create`, `Wal.bootstrap`, `Wal.open` and `Wal.append` on a `SimDisk`. Before each step it
notes which states of the log would be right if the power failed from now on: the last acknowledged one and, while the
step is under way, the one the step leads to. `tests.storage.crashes` plays the recorded trace and holds the log to
those notes.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from random import Random
from typing import TypeAlias

import msgspec

from raftlog.core.durable import HardState
from raftlog.core.entry import Entry, EntryKind, seal
from raftlog.core.ids import ClusterId, EntryId, GroupId, Micros, NodeId
from raftlog.core.membership import Member, Membership, encode_membership
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage import DiskError, DiskFull, GroupWrite, Identity, Wal, load_or_create
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Event, Platter

CLUSTER = ClusterId(0xC1)
G0 = GroupId(0)
SEGMENT = 4096

Logs: TypeAlias = dict[GroupId, tuple[HardState, tuple[Entry, ...]]]


class Entropy:
    """A Clock whose time stands still."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def monotonic(self) -> Micros:
        """See `Clock.monotonic`."""
        return 0

    def wall(self) -> Micros:
        """See `Clock.wall`."""
        return 0

    def entropy(self) -> int:
        """See `Clock.entropy`."""
        return self._random.getrandbits(64) or 1


class Account(msgspec.Struct, frozen=True):
    """What a directory holds, as far as anyone was promised."""

    node: NodeId | None = None
    """None: nobody was told an id yet."""
    initialised: bool = False
    logs: Logs = {}

    def after(self, writes: Sequence[GroupWrite]) -> "Account":
        """The account when these writes are done."""
        logs = dict(self.logs)
        for write in writes:
            hard_state, entries = logs[write.group]
            if write.entries:
                entries = entries[: write.entries[0].index - 1] + write.entries
            logs[write.group] = (write.hard_state or hard_state, entries)
        return Account(self.node, self.initialised, logs)


class Note(msgspec.Struct, frozen=True):
    """From this many events of the act on, one of these accounts must be found."""

    events: int
    allowed: tuple[Account, ...]


class Act(msgspec.Struct, frozen=True):
    """What happened to the disk between two power failures."""

    start: dict[str, bytes]
    trace: list[Event]
    notes: list[Note]


def membership(*nodes: int) -> Membership:
    """A membership of voters n1, n2, ..."""
    ids = tuple(NodeId(node) for node in sorted(nodes))
    return Membership(
        ids, (), (), tuple(Member(node, f"n{node}", f"h{node}:1", f"h{node}:2") for node in ids)
    )


def entry(index: int, term: int, size: int = 20, group: int = 0, filler: int | None = None) -> Entry:
    """A command entry whose payload tells who it is."""
    word = f"{group}/{index}@{term}:".encode()
    payload = (word * (size // len(word) + 1))[:size] if filler is None else bytes([filler]) * size
    at = EntryId(term, index)
    return seal(group=GroupId(group), at=at, kind=EntryKind.COMMANDS, log_time=index, payload=payload)


def membership_entry(index: int, term: int, *nodes: int) -> Entry:
    """An entry that sets the membership."""
    payload = encode_membership(membership(*nodes))
    return seal(group=G0, at=EntryId(term, index), kind=EntryKind.MEMBERSHIP, log_time=index, payload=payload)


def run(first: int, last: int, term: int, size: int = 20, group: int = 0) -> tuple[Entry, ...]:
    """Entries `first` to `last` of one term."""
    return tuple(entry(index, term, size, group) for index in range(first, last + 1))


def write(*entries: Entry, term: int | None = None, vote: int | None = None, commit: int = 0) -> GroupWrite:
    """A write of one group; with a term, also of its hard state."""
    hard_state = None if term is None else HardState(term, None if vote is None else NodeId(vote), commit)
    return GroupWrite(entries[0].group if entries else G0, hard_state, entries)


async def read_all(wal: Wal) -> Logs:
    """Everything in a log, each entry read back from the disk."""
    logs: Logs = {}
    for group in wal.groups():
        found = wal.recovered(group)
        entries: list[Entry] = []
        while len(entries) < found.last:
            entries += await wal.read(group, len(entries) + 1, found.last, max_bytes=2000)
        logs[group] = (found.hard_state, tuple(entries))
    return logs


class Story:
    """One node's life on one disk."""

    def __init__(
        self,
        seed: int,
        *,
        groups: int = 1,
        segment_size: int = SEGMENT,
        disk: SimDisk | None = None,
        failpoints: Failpoints = INERT,
    ) -> None:
        self.random = Random(seed)
        self.clock = Entropy(Random(seed + 1))
        self.disk = disk or SimDisk(self.random)
        self.failpoints = failpoints
        self.groups = {GroupId(n): membership(1, 2, 3) for n in range(groups)}
        self.segment_size = segment_size
        self.acts: list[Act] = []
        self.account = Account()
        self._wal: Wal | None = None
        self._begin_act()

    @property
    def wal(self) -> Wal:
        """The open log."""
        assert self._wal is not None, "the log is not open"
        return self._wal

    @property
    def allowed(self) -> tuple[Account, ...]:
        """What may be found if the power failed now."""
        return self._notes[-1].allowed

    @property
    def opened(self) -> bool:
        """Whether there is an open log."""
        return self._wal is not None

    def done(self) -> list[Act]:
        """All that happened."""
        self._end_act()
        return self.acts

    # --------------------------------------------------------------------------------------------- steps

    async def create(self) -> Identity:
        """Make or load the identity."""
        identity = await load_or_create(self.disk, self.clock, failpoints=self.failpoints)
        if self.account.node is None:
            self._settle(Account(identity.node, self.account.initialised, self.account.logs))
        return identity

    async def bootstrap(self) -> None:
        """Initialise a waiting node."""
        identity = await self.create()
        logs: Logs = {group: (HardState(), ()) for group in self.groups}
        await self._step(
            Wal.bootstrap(
                self.disk,
                identity=identity,
                cluster_id=CLUSTER,
                groups=self.groups,
                segment_size=self.segment_size,
                entropy=self.clock.entropy,
                failpoints=self.failpoints,
            ),
            Account(identity.node, True, logs),
        )

    async def open(self) -> Wal:
        """Recover the log and let the segment ahead be made."""
        identity = await self.create()
        self._wal = await Wal.open(
            self.disk,
            identity=identity,
            segment_size=self.segment_size,
            entropy=self.clock.entropy,
            failpoints=self.failpoints,
        )
        await self._wal.make_room()
        found = await read_all(self._wal)
        allowed = [account.logs for account in self.allowed]
        assert found in allowed, f"opened {found}, promised one of {allowed}"
        self._settle(Account(identity.node, True, found))
        return self._wal

    async def start(self) -> Wal:
        """A fresh directory up to an open log."""
        await self.bootstrap()
        return await self.open()

    async def append(self, *writes: GroupWrite) -> None:
        """One append."""
        await self._step(self.wal.append(writes), self.account.after(writes))

    async def append_failing(self, *writes: GroupWrite) -> None:
        """One append that the disk refuses: it may or may not have happened."""
        self._note(self.account, self.account.after(writes))
        try:
            await self.wal.append(writes)
        except DiskError:
            return
        raise AssertionError("the append went through")

    async def append_refused(self, *writes: GroupWrite) -> None:
        """One append that finds no space: it did not happen."""
        try:
            await self.wal.append(writes)
        except DiskFull:
            assert self.wal.full, "no space, and the log does not say so"
            return
        raise AssertionError("the append went through")

    async def append_cut_short(self, *writes: GroupWrite) -> None:
        """One append that never gets its sync: whoever waits for it is cancelled."""
        self._note(self.account, self.account.after(writes))
        self.disk.hold("sync")
        task = asyncio.create_task(self.wal.append(writes))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()  # what it died of is the caller's
            raise AssertionError("the append did not wait for its sync")

    async def mark(self) -> None:
        """An idle mark."""
        await self.wal.mark()

    async def close(self) -> None:
        """A clean stop."""
        await self.wal.close()
        self._wal = None

    async def reopen(self) -> None:
        """A clean restart."""
        await self.close()
        await self.open()

    async def kill(self) -> None:
        """The process dies; the page cache survives. Then it starts again."""
        trace = self.disk.trace
        self.disk = self.disk.after_kill()
        self.disk.trace = trace
        await self.open()

    async def power_failure(self, platter: Platter | None = None) -> None:
        """Unsynced things are lost by chance, or as given. Then the node starts again."""
        allowed = self.allowed
        self._end_act()
        after = self.disk.after_crash()
        self.disk = after if platter is None else SimDisk(self.random, platter=platter)
        self._begin_act()
        self._note(*allowed)
        await self.open()

    # -------------------------------------------------------------------------------------------- inside

    async def _step(self, work: Awaitable[object], after: Account) -> None:
        self._note(self.account, after)
        await work
        self._settle(after)

    def _settle(self, account: Account) -> None:
        self.account = account
        self._note(account)

    def _note(self, *allowed: Account) -> None:
        self._notes.append(Note(len(self.disk.trace), allowed))

    def _begin_act(self) -> None:
        self._start = self.disk.platter.contents()
        self._notes: list[Note] = []
        self._note(self.account)

    def _end_act(self) -> None:
        self.acts.append(Act(self._start, list(self.disk.trace), self._notes))
