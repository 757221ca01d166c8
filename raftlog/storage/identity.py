"""The identity file: which node and which cluster a data directory belongs to."""

import contextlib
import struct

import msgspec
import xxhash

from raftlog.clock import Clock
from raftlog.core.ids import ClusterId, NodeId
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage.damage import WHAT_TO_DO, Damage, LogDamaged, StorageRefused
from raftlog.storage.disk import SECTOR, Disk, DiskError, DiskFull
from raftlog.storage.format import FORMAT, segment_name, segment_sequence
from raftlog.storage.segment import ASIDE, read_header, remove_unfinished, sequences

FILE = "identity"
RESTORING = "restoring"
"""While this file is there, the directory is not yet what a restore makes of it (see `restored`)."""
CUT_SHORT = "a restore into this directory was cut short: empty the directory and run `raftlog restore` again"

_MAGIC = b"RAFTLOID"
_LAYOUT = struct.Struct("<8sIIQQ")
_LENGTH = struct.Struct("<H")
_CHECKSUM = struct.Struct("<Q")

LONGEST_NAME = SECTOR - _LAYOUT.size - _LENGTH.size - _CHECKSUM.size
"""Bytes of a machine's name in UTF-8: 470."""


class Identity(msgspec.Struct, frozen=True):
    """Who a data directory is.

    The file is one sector: magic "RAFTLOID" 8, format version 4, zero 4, node id 8, cluster id 8 (0: waiting), length
    of the machine's name 2, the name, zeros, xxh3-64 checksum of the 504 bytes before it 8.

    The machine stands here rather than in the log's bootstrap record because it is a matter of one node: which class
    this process was started with, checked against what applied the same log before. It was added to format 1 without a
    new version: the bytes were zero, which reads as "not known", and programs that do not know of it ignore it. What
    such a program writes anew is unknown again, and the next start that knows its machine records that.
    """

    node: NodeId
    cluster: ClusterId | None
    """None: a fresh directory. It waits for `raftlog init`, neither votes nor acknowledges."""
    machine: str = ""
    """The name of the machine that applies the log, at most `LONGEST_NAME` bytes; empty: not known."""

    def encode(self) -> bytes:
        """One sector."""
        body = _LAYOUT.pack(_MAGIC, FORMAT, 0, self.node, self.cluster or 0)
        name = self.machine.encode()
        assert len(name) <= LONGEST_NAME, f"a machine's name of {len(name)} bytes"
        body += _LENGTH.pack(len(name)) + name
        body += bytes(SECTOR - _CHECKSUM.size - len(body))
        return body + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))


async def load_or_create(disk: Disk, clock: Clock, *, failpoints: Failpoints = INERT) -> Identity:
    """The directory's identity; a directory without files becomes a new node that waits.

    Finishes what a crash cut short.

    Raises:
        StorageRefused: the directory lost its identity or its log, another format version wrote it, or a restore into
            it was cut short.
        LogDamaged: the identity file is unreadable.
        DiskError: the disk refused.
    """
    if RESTORING in await disk.names():
        raise StorageRefused(CUT_SHORT)
    identity = await load(disk)
    await remove_unfinished(disk, failpoints)
    segments = await sequences(disk)
    if identity is None:
        if segments:
            raise StorageRefused(
                f"the directory holds a log ({segment_name(segments[0])}) but no identity file: "
                f"put '{FILE}' back, or go on without this node"
            )
        identity = Identity(NodeId(clock.entropy()), None)
        await save(disk, identity, failpoints)
    elif identity.cluster is None and segments:
        header = await read_header(disk, segments[0])
        if header.node == identity.node:
            # Initialised, and stopped before the identity was written: the segment is the deed, this file its copy.
            identity = Identity(identity.node, header.cluster, identity.machine)
            await _save_if_there_is_space(disk, identity, failpoints)
    elif identity.cluster is not None and not segments:
        raise StorageRefused(
            f"node {identity.node:016x} is a member of cluster {identity.cluster:016x} but its log is gone: "
            f"votes it gave may be forgotten; {WHAT_TO_DO}"
        )
    return identity


async def load(disk: Disk) -> Identity | None:
    """Read the identity; None when there is no such file. Changes nothing.

    Raises:
        LogDamaged: the file is unreadable.
        StorageRefused: another format version wrote it.
    """
    if FILE not in await disk.names():
        return None
    sector = await disk.read(FILE, 0, SECTOR)
    if len(sector) < SECTOR:
        raise LogDamaged(Damage(FILE, len(sector), f"the file is cut off after {len(sector)} bytes"))
    (checksum,) = _CHECKSUM.unpack_from(sector, SECTOR - _CHECKSUM.size)
    if sector[:8] != _MAGIC or checksum != xxhash.xxh3_64_intdigest(sector[: SECTOR - _CHECKSUM.size]):
        raise LogDamaged(Damage(FILE, 0, "the identity is unreadable"))
    _, version, _, node, cluster = _LAYOUT.unpack_from(sector)
    if version != FORMAT:
        raise StorageRefused(
            f"{FILE} has format version {version}, this program reads {FORMAT}: use the one that wrote it"
        )
    (length,) = _LENGTH.unpack_from(sector, _LAYOUT.size)
    start = _LAYOUT.size + _LENGTH.size
    if length > LONGEST_NAME:
        raise LogDamaged(Damage(FILE, _LAYOUT.size, f"a machine's name cannot have {length} bytes"))
    machine = sector[start : start + length].decode(errors="replace")
    return Identity(NodeId(node), ClusterId(cluster) if cluster else None, machine)


async def keep_machine(
    disk: Disk, identity: Identity, machine: str, failpoints: Failpoints = INERT
) -> Identity:
    """See that `machine` is the one that has applied this directory's log so far; recorded where none is known.

    Another class would take the commands of the first for its own: what it does not know fails, and what has the same
    name means something else, on this replica alone.

    Raises:
        StorageRefused: it is another. Nothing was changed.
        DiskError: the disk refused; the directory is as it was.
    """
    if identity.machine == machine:
        return identity
    if identity.machine:
        raise StorageRefused(
            f"the log in this directory was applied by the machine {identity.machine!r}, and this node was started "
            f"with {machine!r}: start it with the first, or name another directory (a class that was only renamed "
            f"keeps its old name with `name = {identity.machine!r}`)"
        )
    identity = Identity(identity.node, identity.cluster, machine)
    await _save_if_there_is_space(disk, identity, failpoints)
    return identity


async def _save_if_there_is_space(disk: Disk, identity: Identity, failpoints: Failpoints) -> None:
    """Record what can be found out again at the next start: a full disk is no reason not to serve."""
    with contextlib.suppress(DiskFull):
        await save(disk, identity, failpoints)


async def save(disk: Disk, identity: Identity, failpoints: Failpoints = INERT) -> None:
    """Replace the identity in one step: a crash leaves the old one or the new one."""
    if failpoints.armed:
        await failpoints.hit("identity.before_write", DiskError)
    aside = FILE + ASIDE
    if aside in await disk.names():
        await disk.remove(aside)
    await disk.allocate(aside, SECTOR)
    await disk.write_and_sync(aside, 0, [identity.encode()])
    if failpoints.armed:
        await failpoints.hit("identity.before_rename", DiskError)
    await disk.rename(aside, FILE)
    if failpoints.armed:
        await failpoints.hit("identity.before_names_sync", DiskError)
    await disk.sync_names()
    if failpoints.armed:
        await failpoints.hit("identity.after_names_sync", DiskError)


async def initialised(disk: Disk) -> bool:
    """Whether the directory holds a log."""
    return any(segment_sequence(name) is not None for name in await disk.names())
