"""Takes a backup of a live cluster: one snapshot of each group, from whichever node can give it, into one file."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import xxhash

from raftlog import __version__
from raftlog.admin import GroupStatus, Refused, SnapshotReply, StatusReply, Unreachable
from raftlog.backup.asking import NoSnapshot, take
from raftlog.backup.format import Header
from raftlog.backup.writing import BackupWriter
from raftlog.clock import Clock
from raftlog.core.ids import ClusterId, EntryId, GroupId, Index
from raftlog.storage.damage import LogDamaged, StorageRefused
from raftlog.storage.snapshots import Manifest
from raftlog.storage.snapshots.manifest import decode
from raftlog.transport.bulk import MAX_PIECE

_PAUSE = 0.5
_PIECE_TRIES = 5
_BROKEN_TRANSFERS = 10
"""How many transfers of a group may break after they had begun, until the backup is given up."""


class CannotBackUp(Exception):
    """No backup was made and no file was left; the sentence says why, node by node."""


class Nodes(Protocol):
    """How nodes are asked: `raftlog.admin.Operator`, or its twin in simulations. Raises as that does."""

    async def statuses(self, addresses: Iterable[str]) -> Mapping[str, StatusReply | Unreachable | Refused]:
        """Who the nodes are."""
        ...

    async def snapshot(
        self, address: str, group: GroupId, *, covers: Index = 0, linearizable: bool = False
    ) -> SnapshotReply:
        """Have one taken."""
        ...

    async def manifest(self, address: str, group: GroupId) -> bytes:
        """Of the newest snapshot."""
        ...

    async def piece(
        self, address: str, group: GroupId, snapshot: int, part: int, offset: int, length: int
    ) -> bytes:
        """Bytes of a part."""
        ...


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """How far a backup is with one group at one node."""

    node: str
    group: GroupId
    fetching: bool
    """False: the node is still writing its snapshot."""
    done: int
    """Bytes."""
    total: int | None
    """Bytes; None: not known yet."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One group in the file."""

    group: GroupId
    last: EntryId
    size: int
    node: str
    """Whom it came from."""
    address: str


class Backup(msgspec.Struct, frozen=True):
    """A file that is complete and durable."""

    header: Header
    groups: tuple[Taken, ...]
    size: int


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of a backup."""

    latest: bool = False
    """Take the newest snapshot there is. Otherwise one is taken first, of all that was acknowledged before."""
    from_leader: bool = False
    """Ask the leader first. Otherwise it is asked last: it has enough to do."""
    replace: bool = False
    """An existing file may be replaced."""
    patience: float = 30.0
    """Seconds for which nothing may move."""


class _Broken(Exception):
    """What a node gave is not what it should be."""


async def back_up(
    nodes: Nodes,
    addresses: Sequence[str],
    file: Path,
    *,
    clock: Clock,
    wishes: Wishes,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Backup:
    """Write the state of every group of the cluster at `addresses` to `file`.

    One address is enough: its members are asked too. In memory are a manifest and a part (8 MiB) at a time.

    Raises:
        CannotBackUp: nobody can give a group's state.
        CannotWrite: the file cannot be written.
    """
    cluster = await _meet(nodes, addresses)
    header = Header(
        cluster=cluster.id, taken_at=clock.wall(), release=__version__, groups=tuple(cluster.groups)
    )
    with BackupWriter(file, header, replace=wishes.replace) as writer:
        taken = [
            await _Group(nodes, cluster, group, writer, wishes, on_step).take() for group in header.groups
        ]
        writer.commit()
    return Backup(header, tuple(taken), writer.size)


class _Cluster(msgspec.Struct):
    """Who was found."""

    id: ClusterId
    asked: list[str]
    """Every address known."""
    members: dict[str, StatusReply]
    """Those of the cluster that answered last, by address."""

    @property
    def groups(self) -> list[GroupId]:
        """Of all of them, sorted."""
        return sorted({GroupId(group.group) for status in self.members.values() for group in status.groups})


async def _meet(nodes: Nodes, addresses: Sequence[str]) -> _Cluster:
    answers = await nodes.statuses(addresses)
    members = {
        address: answer
        for address, answer in answers.items()
        if isinstance(answer, StatusReply) and answer.cluster_id and answer.groups
    }
    if not members:
        said = "; ".join(
            f"{address} waits for `raftlog init`" if isinstance(answer, StatusReply) else str(answer)
            for address, answer in answers.items()
        )
        raise CannotBackUp(f"there is no cluster to take a backup of: {said}")
    clusters = sorted({status.cluster_id for status in members.values()})
    if len(clusters) > 1:
        listed = " and ".join(f"{each:016x}" for each in clusters)
        raise CannotBackUp(f"these nodes belong to different clusters, {listed}: name those of one")
    cluster = _Cluster(ClusterId(clusters[0]), list(members), members)
    await _meet_others(nodes, cluster)
    return cluster


async def _meet_others(nodes: Nodes, cluster: _Cluster) -> None:
    """Ask the members that others name, and everybody anew who was asked before."""
    named = {
        member.client_address
        for status in cluster.members.values()
        for group in status.groups
        for member in group.members
    }
    met = {status.client_address for status in cluster.members.values()}
    cluster.asked += sorted(named - met - set(cluster.asked))
    answers = await nodes.statuses(cluster.asked)
    cluster.members = {
        address: answer
        for address, answer in answers.items()
        if isinstance(answer, StatusReply) and answer.cluster_id == cluster.id and answer.groups
    } or cluster.members


class _Group:
    """Gets one group into the file, from one node after the other until one has given it whole."""

    def __init__(
        self,
        nodes: Nodes,
        cluster: _Cluster,
        group: GroupId,
        writer: BackupWriter,
        wishes: Wishes,
        on_step: Callable[[Step], None],
    ) -> None:
        self._nodes = nodes
        self._cluster = cluster
        self._group = group
        self._writer = writer
        self._wishes = wishes
        self._on_step = on_step
        self._loop = asyncio.get_running_loop()
        self._moved = self._loop.time()
        self._broken = 0
        self._troubles: dict[str, Exception] = {}

    async def take(self) -> Taken:
        """Raises CannotBackUp or CannotWrite."""
        start = self._writer.mark()
        while True:
            for address, status in self._in_order():
                try:
                    return await self._from(address, status)
                except (Unreachable, Refused, NoSnapshot, _Broken) as error:
                    self._troubles[address] = error
                    self._broken += isinstance(error, NoSnapshot | _Broken)
                    self._writer.rewind(start)
            if self._loop.time() - self._moved > self._wishes.patience or self._broken > _BROKEN_TRANSFERS:
                said = "; ".join(map(str, self._troubles.values())) or "no member has it"
                raise CannotBackUp(f"group {self._group} could not be had from any node: {said}")
            await asyncio.sleep(_PAUSE)
            await _meet_others(self._nodes, self._cluster)

    def _in_order(self) -> Iterator[tuple[str, StatusReply]]:
        """Who is asked first: by the wish for the leader or against it, then who is well, then who is furthest."""

        def rank(found: tuple[str, StatusReply, GroupStatus]) -> tuple[bool, bool, int, str]:
            address, status, group = found
            well = status.serving and not status.impairments
            far = group.snapshot if self._wishes.latest else group.applied
            leads = group.role == "leader"
            return (leads != self._wishes.from_leader, not well, -far, address)

        found = [
            (address, status, group)
            for address, status in self._cluster.members.items()
            for group in status.groups
            if group.group == self._group
        ]
        return ((address, status) for address, status, _ in sorted(found, key=rank))

    async def _from(self, address: str, status: StatusReply) -> Taken:
        covers = 0
        if not self._wishes.latest:

            def show(reply: SnapshotReply) -> None:
                self._step(status.name, fetching=False, done=reply.written)

            made = await take(
                self._nodes,
                address,
                self._group,
                linearizable=True,
                seconds=self._wishes.patience,
                on_progress=show,
            )
            covers = made.covers
        manifest = self._checked(address, await self._nodes.manifest(address, self._group), covers)
        try:
            await self._transfer(address, status.name, manifest)
        except (Unreachable, Refused):
            self._broken += 1
            raise
        return Taken(
            group=self._group,
            last=manifest.meta.last,
            size=manifest.size,
            node=status.name,
            address=address,
        )

    def _checked(self, address: str, content: bytes, covers: Index) -> Manifest:
        try:
            manifest = decode(content, f"the manifest of {address}")
        except (LogDamaged, StorageRefused) as error:
            raise _Broken(str(error)) from None
        if (manifest.cluster, manifest.group) != (self._cluster.id, self._group):
            raise _Broken(f"{address} gave {manifest} of another cluster or group")
        if manifest.meta.last.index < covers:
            raise _Broken(f"{address} gave {manifest}, which does not reach {covers}")
        return manifest

    async def _transfer(self, address: str, node: str, manifest: Manifest) -> None:
        self._writer.add_manifest(manifest)
        done = 0
        for number, part in enumerate(manifest.parts, start=1):
            pieces: list[bytes] = []
            for offset in range(0, part.length, MAX_PIECE):
                length = min(MAX_PIECE, part.length - offset)
                piece = await self._piece(address, manifest.id.value, number, offset, length)
                pieces.append(piece)
                done += len(piece)
                self._step(node, fetching=True, done=done, total=manifest.size)
            content = b"".join(pieces)
            if (len(content), xxhash.xxh3_64_intdigest(content)) != (part.length, part.checksum):
                raise _Broken(f"{address} gave part {number} of {manifest} damaged")
            self._writer.add_part(manifest, number, content)

    async def _piece(self, address: str, snapshot: int, part: int, offset: int, length: int) -> bytes:
        for left in reversed(range(_PIECE_TRIES)):
            try:
                return await self._nodes.piece(address, self._group, snapshot, part, offset, length)
            except Unreachable:
                if not left:
                    raise
                await asyncio.sleep(_PAUSE)
        raise AssertionError("the last try returns or raises")

    def _step(self, node: str, *, fetching: bool, done: int, total: int | None = None) -> None:
        if fetching or done:
            self._moved = self._loop.time()
        self._on_step(Step(node=node, group=self._group, fetching=fetching, done=done, total=total))
