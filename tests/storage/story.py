"""Stories of a log: what a test does to a node's disk, beside the plainest account of what must be found there.

A `Story` drives a node's `Wal` and `Snapshots` on a `SimDisk`. Before each step it
notes which states of the log would be right if the power failed from now on: the last acknowledged one and, while the
step is under way, the one the step leads to. `tests.storage.crashes` plays the recorded trace and holds the log to
those notes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeAlias

import msgspec
import xxhash

from raftlog.core.durable import HardState, SnapshotMeta
from raftlog.core.entry import Entry, EntryKind, seal
from raftlog.core.ids import NOTHING, ClusterId, EntryId, GroupId, Micros, NodeId
from raftlog.core.membership import Member, Membership, MembershipAt, encode_membership
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage import DiskError, DiskFull, GroupWrite, Identity, Wal, load_or_create
from raftlog.storage.snapshots import Manifest, Part, Receiver, SnapshotId, Writer
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Event, Platter

CLUSTER = ClusterId(0xC1)
G0 = GroupId(0)
SEGMENT = 4096

PART = 700
"""Bytes of a snapshot's part: small, so that each has several."""


class Log(msgspec.Struct, frozen=True):
    """What is there of one group."""

    hard_state: HardState = HardState()
    entries: tuple[Entry, ...] = ()
    """Those after the base."""
    base: EntryId = NOTHING
    snapshot: EntryId = NOTHING
    """The newest."""
    impaired: bool = False
    fenced: str = ""

    @property
    def last(self) -> int:
        """Index of the last entry, or of the base."""
        return self.base.index + len(self.entries)

    def id_at(self, index: int) -> EntryId | None:
        """The entry there, or the base; None: neither."""
        if index == self.base.index:
            return self.base
        return self.entries[index - self.base.index - 1].id if self.base.index < index <= self.last else None

    def after(self, write: GroupWrite) -> "Log":
        """The log when this write is done."""
        base, entries = self.base, self.entries
        if write.base is not None:
            new = write.base.last
            entries = entries[new.index - base.index :] if self.id_at(new.index) == new else ()
            base = new
        if write.entries:
            entries = entries[: write.entries[0].index - base.index - 1] + write.entries
        impaired = self.impaired and not write.healed
        fenced = self.fenced if write.fenced is None else write.fenced
        return Log(write.hard_state or self.hard_state, entries, base, self.snapshot, impaired, fenced)

    def cut(self, last: int, commit: int) -> "Log":
        """The log when what follows an entry is given up as damaged; `commit` is what was known to be decided there."""
        term = HardState(self.hard_state.term, self.hard_state.vote, commit)
        return Log(term, self.entries[: last - self.base.index], self.base, self.snapshot, True, self.fenced)

    def with_snapshot(self, at: EntryId) -> "Log":
        """The log when this snapshot is durable."""
        return msgspec.structs.replace(self, snapshot=max(self.snapshot, at, key=lambda id: id.index))

    def started(self) -> "Log":
        """The log that the next start finds: one that does not hold what a snapshot stands for begins after that."""
        at = self.snapshot
        if at.index <= self.base.index or self.id_at(at.index) == at:
            return self
        return Log(self.hard_state, (), at, at, self.impaired, self.fenced)


Logs: TypeAlias = dict[GroupId, Log]


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
            logs[write.group] = logs[write.group].after(write)
        return Account(self.node, self.initialised, logs)

    def with_snapshot(self, group: GroupId, at: EntryId) -> "Account":
        """The account when this snapshot is durable."""
        logs = {**self.logs, group: self.logs[group].with_snapshot(at)}
        return Account(self.node, self.initialised, logs)

    def started(self) -> "Account":
        """What the next start finds."""
        logs = {group: log.started() for group, log in self.logs.items()}
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


def meta(at: EntryId, *nodes: int) -> SnapshotMeta:
    """What a snapshot at that entry says of it; log times are indexes here."""
    return SnapshotMeta(at, MembershipAt(0, membership(*(nodes or (1, 2, 3)))), at.index)


def state_at(group: GroupId, at: EntryId) -> bytes:
    """The state that a machine has there: two parts and a bit."""
    word = f"{group}:{at};".encode()
    return (word * PART)[: 2 * PART + 50 + at.index]


async def read_all(wal: Wal) -> Logs:
    """Everything in a log, each entry and each state read back from the disk."""
    logs: Logs = {}
    for group in wal.groups():
        found = wal.recovered(group)
        base, entries = found.base.last, list[Entry]()
        while base.index + len(entries) < found.last:
            first = base.index + len(entries) + 1
            entries += await wal.read(group, first, found.last, max_bytes=2000)
        newest = found.snapshot or base
        logs[group] = Log(found.hard_state, tuple(entries), base, newest, found.impaired, found.fenced)
        assert found.impaired == bool(wal.impairment(group)), f"impaired, and why: {wal.impairment(group)}"
        assert wal.count(group) == len(entries), f"{wal.count(group)} entries counted, {len(entries)} read"
        for manifest in wal.snapshots.all(group):
            at = manifest.meta.last
            state = b"".join([part async for part in wal.snapshots.stream(manifest)])
            assert state == state_at(group, at), f"snapshot at {at} of group {group}: {state[:40]!r}"
            assert manifest.digest == at.index, f"snapshot at {at}: digest {manifest.digest}"
    return logs


def a_snapshot(clock: Entropy, group: GroupId, at: EntryId) -> tuple[Manifest, list[bytes]]:
    """What another node has of a state: the manifest, and the parts."""
    content = state_at(group, at)
    parts = [content[start : start + PART] for start in range(0, len(content), PART)]
    manifest = Manifest(
        id=SnapshotId(clock.entropy()),
        cluster=CLUSTER,
        group=group,
        meta=meta(at),
        digest=at.index,
        parts=tuple(Part(len(part), xxhash.xxh3_64_intdigest(part)) for part in parts),
    )
    return manifest, parts


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
        logs: Logs = {group: Log() for group in self.groups}
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
            part_size=PART,
            repair=True,
        )
        await self._wal.make_room()
        found = await read_all(self._wal)
        allowed = [account.started().logs for account in self.allowed]
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

    async def snapshot(self, index: int, group: int = 0) -> EntryId:
        """Write a snapshot of this node's own state at an entry of its log."""
        at = self.account.logs[GroupId(group)].id_at(index)
        assert at is not None, f"no entry {index} to take a snapshot at"
        writer = self.wal.snapshots.begin(GroupId(group), meta(at))
        await self._step(self._fill(writer, state_at(GroupId(group), at), at.index), self._with(at, group))
        return at

    async def snapshot_refused(self, index: int, group: int = 0) -> None:
        """A snapshot that the disk will not have, given up."""
        at = self.account.logs[GroupId(group)].id_at(index)
        assert at is not None, f"no entry {index} to take a snapshot at"
        self._note(self.account, self._with(at, group))
        writer = self.wal.snapshots.begin(GroupId(group), meta(at))
        try:
            await self._fill(writer, state_at(GroupId(group), at), at.index)
        except DiskError:
            await writer.abandon()
            self._settle(self.account)
            return
        raise AssertionError("the snapshot was taken")

    async def fetch(self, index: int, term: int, group: int = 0) -> EntryId:
        """Receive a snapshot of another node, part by part and some of them twice."""
        at = EntryId(term, index)
        manifest, parts = a_snapshot(self.clock, GroupId(group), at)
        receiver = self.wal.snapshots.receive(manifest)
        await self._step(self._receive(receiver, parts), self._with(at, group))
        return at

    async def quarantine(self, group: int = 0) -> None:
        """Set the newest snapshot aside, as if it had been found damaged; an older one takes its place."""
        *_, older, newest = self.wal.snapshots.all(GroupId(group))
        log = msgspec.structs.replace(self.account.logs[GroupId(group)], snapshot=older.meta.last)
        await self._step(self.wal.snapshots.quarantine(newest), self._with_log(log, group))

    async def lose_snapshot(self, group: int = 0) -> None:
        """The newest snapshot is found damaged when it is read; the group starts from what is left."""
        manifests = self.wal.snapshots.all(GroupId(group))
        older = manifests[-2].meta.last if len(manifests) > 1 else NOTHING
        log = self.account.logs[GroupId(group)]
        if older.index >= log.base.index:
            after = msgspec.structs.replace(log, snapshot=older)
        else:
            commit = min(log.hard_state.commit, older.index)
            hard_state = HardState(log.hard_state.term, log.hard_state.vote, commit)
            after = Log(hard_state, (), older, older, True)
        # A start in between does what was left undone.
        await self._step(self.wal.snapshot_damaged(manifests[-1]), self._with_log(after, group))

    def _with_log(self, log: Log, group: int) -> Account:
        return Account(self.account.node, True, {**self.account.logs, GroupId(group): log})

    async def compact(self, index: int, group: int = 0) -> None:
        """Let the log begin after an entry of it."""
        at = self.account.logs[GroupId(group)].id_at(index)
        assert at is not None, f"no entry {index} to begin after"
        await self.begin_after(at, group)

    async def begin_after(self, at: EntryId, group: int = 0) -> None:
        """Let the log begin after what a snapshot stands for."""
        await self.append(GroupWrite(GroupId(group), base=meta(at)))

    async def purge(self) -> int:
        """Remove the segments that nobody needs."""
        return await self.wal.purge()

    def _with(self, at: EntryId, group: int) -> "Account":
        return self.account.with_snapshot(GroupId(group), at)

    async def _fill(self, writer: Writer, content: bytes, digest: int) -> None:
        for start in range(0, len(content), 300):
            await writer.write(content[start : start + 300])
        await writer.commit(digest)

    async def _receive(self, receiver: Receiver, parts: list[bytes]) -> None:
        numbers = list(range(1, len(parts) + 1))
        self.random.shuffle(numbers)
        for number in (*numbers, numbers[0]):
            await receiver.put(number, parts[number - 1])
        await receiver.commit()

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

    async def damaged(self, change: Callable[[dict[str, bytes]], dict[str, bytes]], after: Logs) -> None:
        """A clean stop; bytes change while nobody looks. Then the node starts again and must find `after`."""
        await self.close()
        self._end_act()
        self.disk.power_off()
        self.disk = SimDisk(self.random, platter=Platter(change(self.disk.platter.contents())))
        self.account = Account(self.account.node, True, after)
        self._begin_act()
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
