"""Gets the snapshot a group needs from a peer, piece by piece, whatever happens to the connection."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Protocol

from raftlog.core.ids import GroupId, Micros, NodeId
from raftlog.core.raft import Raft
from raftlog.core.ready import Fetch
from raftlog.storage import DiskError, LogDamaged, StorageRefused, Wal
from raftlog.storage.snapshots import Manifest, Receiver
from raftlog.storage.snapshots.manifest import decode
from raftlog.transport.bulk import MAX_PIECE, Bulk, ManifestWanted, NotThere, PieceWanted, Unreachable
from raftlog.transport.events import OnEvent

_LIVELY = 0.5
"""Seconds within which a node that is asked before the leader has to say what it has: until then nobody may be able to
decide anything for want of this node."""
_SPARED = 3.0
"""Seconds without an answer after which a transfer from a follower is begun anew from another node."""
_PATIENCE = 10.0
"""The same for the leader, which is asked last: who cannot reach that one waits for another."""
_PAUSE = 0.5
"""Seconds between two of them."""


class Surroundings(Protocol):
    """What it uses of its node."""

    wal: Wal
    bulk: Bulk

    def kick(self) -> None:
        """Have the replica pumped soon."""
        ...

    def start_aside(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine as a task of the node, which is cancelled when that is left."""
        ...


class Fetching:
    """One transfer at a time. Followers are asked before the leader, which has enough to do."""

    def __init__(
        self, around: Surroundings, node: NodeId, group: GroupId, raft: Raft, on_event: OnEvent
    ) -> None:
        self._around = around
        self._node = node
        self._group = group
        self._raft = raft
        self._on_event = on_event
        self._ended = False
        self._fetched: Manifest | None = None
        self._turn = asyncio.Lock()
        """Of fetching one and dropping another: the same may be fetched again."""
        self.taken: Manifest | None = None
        """The last one that the core was told of."""

    def begin(self, fetch: Fetch) -> None:
        """Do what the core asked for."""
        self._around.start_aside(self._fetch(fetch))

    def report(self, now: Micros) -> None:
        """Tell the core how a transfer ended."""
        if not self._ended:
            return
        fetched, self._fetched, self._ended = self._fetched, None, False
        if fetched is None:
            self._raft.fetch_failed(now)
        else:
            self.taken = fetched
            self._raft.snapshot_fetched(fetched.meta, fetched.digest, now)
            if fetched.meta.last.index > self._raft.snapshot_index:
                self._around.start_aside(self._drop(fetched))

    async def _drop(self, manifest: Manifest) -> None:
        """The core does not want it: it must not be the newest at the next start."""
        async with self._turn:
            if manifest.meta.last.index <= self._raft.snapshot_index:
                return  # it has got there by itself
            try:
                await self._around.wal.snapshots.drop(manifest)
            except DiskError as problem:
                self._on_event(f"an unwanted snapshot stays: {problem}", {"group": self._group})

    async def _fetch(self, fetch: Fetch) -> None:
        try:
            async with self._turn:
                for peer in [fetch.peer] if fetch.only else self._order(fetch.peer):
                    if (manifest := await self._from(peer, fetch)) is not None:
                        self._fetched = manifest
                        return
        except DiskError as problem:
            self._on_event(f"a snapshot could not be received: {problem}", {"group": self._group})
        finally:
            self._ended = True
            self._around.kick()

    def _order(self, leader: NodeId) -> Sequence[NodeId]:
        others = [peer for peer in self._raft.membership.ids if peer not in (self._node, leader)]
        return [*others, leader]

    async def _from(self, peer: NodeId, fetch: Fetch) -> Manifest | None:
        """The snapshot, durable here; None when this peer cannot help."""
        try:
            async with asyncio.timeout(None if peer == fetch.peer else _LIVELY):
                manifest = await self._manifest(peer)
        except (NotThere, Unreachable, TimeoutError, LogDamaged, StorageRefused) as problem:
            if peer == fetch.peer:
                self._on_event(f"no snapshot from node {peer:016x}: {problem}", {"group": self._group})
            return None
        if manifest.group != self._group or manifest.meta.last.index < fetch.last.index:
            return None
        if self._around.wal.snapshots.find(manifest.id) is not None:
            return manifest
        receiver = self._around.wal.snapshots.receive(manifest)
        whole = False
        try:
            whole = await self._receive(peer, receiver, _PATIENCE if peer == fetch.peer else _SPARED)
            return await receiver.commit() if whole else None
        finally:
            if not whole:
                await receiver.abandon()

    async def _manifest(self, peer: NodeId) -> Manifest:
        content = await self._around.bulk.fetch(peer, ManifestWanted(self._group))
        return decode(content, f"the manifest of node {peer:016x}")

    async def _receive(self, peer: NodeId, receiver: Receiver, patience: float) -> bool:
        for number in receiver.missing:
            content = await self._part(peer, receiver.manifest, number, patience)
            if content is None:
                return False
            try:
                await receiver.put(number, content)
            except LogDamaged as damage:
                self._on_event(f"node {peer:016x} sent a part that is damaged: {damage.damage}", {})
                return False
        return True

    async def _part(self, peer: NodeId, manifest: Manifest, number: int, patience: float) -> bytes | None:
        length = manifest.parts[number - 1].length
        pieces: list[bytes] = []
        for offset in range(0, length, MAX_PIECE):
            wanted = PieceWanted(manifest.id.value, number, offset, min(MAX_PIECE, length - offset))
            piece = await self._piece(peer, wanted, patience)
            if piece is None:
                return None
            pieces.append(piece)
        return b"".join(pieces)

    async def _piece(self, peer: NodeId, wanted: PieceWanted, patience: float) -> bytes | None:
        try:
            async with asyncio.timeout(patience):
                return await self._asked(peer, wanted)
        except TimeoutError:
            reason = f"nothing came from node {peer:016x} for {patience:g} s"
            self._on_event(f"gave up a transfer: {reason}", {"group": self._group})
            return None

    async def _asked(self, peer: NodeId, wanted: PieceWanted) -> bytes | None:
        while True:
            try:
                return await self._around.bulk.fetch(peer, wanted)
            except NotThere:
                return None
            except Unreachable:
                await asyncio.sleep(_PAUSE)
