"""What a simulated disk holds: the page cache, what is durable beneath it, and every state a power failure may leave.

The model: a write reaches the page cache at once; until a sync covers it, each of its 512-byte sectors may or may not
have reached the disk, on its own and in any order, in any of the versions written since the last sync. Creations,
renames and removals are each kept or lost on their own until the names are synced. An allocated file's length and zeros
are durable with its name. A sync that failed leaves its sectors undecided for good: later syncs do not cover them,
unless they are written again.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, product
from random import Random
from typing import TypeAlias

import msgspec
import xxhash

from raftlog.storage.disk import SECTOR


class Allocated(msgspec.Struct, frozen=True):
    """A file was created, full of zeros."""

    name: str
    size: int


class Wrote(msgspec.Struct, frozen=True):
    """Bytes reached the page cache."""

    name: str
    offset: int
    content: bytes


class Synced(msgspec.Struct, frozen=True):
    """A file's contents became durable."""

    name: str


class SyncFailed(msgspec.Struct, frozen=True):
    """The device refused; the cache believes the file is clean."""

    name: str


class Renamed(msgspec.Struct, frozen=True):
    """A file took another name, replacing what had it."""

    old: str
    new: str


class Removed(msgspec.Struct, frozen=True):
    """A name went."""

    name: str


class NamesSynced(msgspec.Struct, frozen=True):
    """All names became durable."""


Event: TypeAlias = Allocated | Wrote | Synced | SyncFailed | Renamed | Removed | NamesSynced


class Inode:
    """One file's contents: as programs see them, and as the disk has them.

    Invariant: outside the sectors in `pending`, the cache equals what is durable.
    """

    def __init__(self, content: bytes) -> None:
        self.cache = bytearray(content)
        self.durable = bytearray(content)
        self.pending: dict[int, list[bytes]] = {}
        """By sector: the versions written since it was last durable, oldest first."""
        self.stuck: set[int] = set()
        """Sectors of a failed sync: no later sync covers them."""

    def write(self, offset: int, content: bytes) -> None:
        """Into the cache."""
        assert offset + len(content) <= len(self.cache), (
            f"a write ends at {offset + len(content)} of {len(self.cache)}"
        )
        self.cache[offset : offset + len(content)] = content
        for sector in range(offset // SECTOR, -(-(offset + len(content)) // SECTOR)):
            version = bytes(self.cache[sector * SECTOR : (sector + 1) * SECTOR])
            self.pending.setdefault(sector, []).append(version)
            self.stuck.discard(sector)

    def sync(self) -> None:
        """Make the cache durable, save what an earlier failure left undecided."""
        for sector in [sector for sector in self.pending if sector not in self.stuck]:
            self.put(sector, self.pending.pop(sector)[-1])

    def put(self, sector: int, version: bytes) -> None:
        """Make one version of a sector durable."""
        self.durable[sector * SECTOR : sector * SECTOR + len(version)] = version


class Platter:
    """All files of one disk."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.names: dict[str, Inode] = {name: Inode(content) for name, content in (files or {}).items()}
        self._durable_names = dict(self.names)
        self._changes: list[Event] = []
        self._made: dict[int, Inode] = {}

    def perform(self, event: Event) -> None:
        """Let one thing happen to the disk."""
        match event:
            case Allocated(name=name, size=size):
                assert name not in self.names, f"{name} exists"
                inode = self.names[name] = Inode(bytes(size))
                self._made[len(self._changes)] = inode
                self._changes.append(event)
            case Wrote(name=name, offset=offset, content=content):
                self.names[name].write(offset, content)
            case Synced(name=name):
                self.names[name].sync()
            case SyncFailed(name=name):
                self.names[name].stuck.update(self.names[name].pending)
            case Renamed(old=old, new=new):
                inode = self.names[new] = self.names.pop(old)
                self._made[len(self._changes)] = inode
                self._changes.append(event)
            case Removed(name=name):
                del self.names[name]
                self._changes.append(event)
            case NamesSynced():
                self._durable_names = dict(self.names)
                self._changes.clear()
                self._made.clear()

    def contents(self) -> dict[str, bytes]:
        """Every file as programs see it."""
        return {name: bytes(inode.cache) for name, inode in sorted(self.names.items())}

    def fingerprint(self) -> int:
        """Equal for equal names and contents."""
        running = xxhash.xxh3_64()
        for name, content in self.contents().items():
            running.update(f"{name}:{len(content)}:".encode() + content)
        return running.intdigest()

    @property
    def undecided(self) -> list[str]:
        """What a power failure could still undo: files with unsynced sectors, changes of names."""
        dirty = {name: sorted(inode.pending) for name, inode in sorted(self.names.items()) if inode.pending}
        return [f"{name} sectors {sectors}" for name, sectors in dirty.items()] + [
            str(change) for change in self._changes
        ]

    def flip(self, name: str, bit: int) -> None:
        """Turn one bit at rest."""
        inode = self.names[name]
        for content in (inode.cache, inode.durable):
            content[bit // 8] ^= 1 << bit % 8

    def replace(self, name: str, offset: int, content: bytes) -> None:
        """Change bytes at rest, behind everybody's back."""
        inode = self.names[name]
        inode.cache[offset : offset + len(content)] = content
        inode.durable[offset : offset + len(content)] = content

    def lose(self, name: str) -> None:
        """The directory has forgotten a file at rest."""
        del self.names[name]
        self._durable_names.pop(name, None)

    # ----------------------------------------------------------------------------------- power failures

    def after_crash(self, random: Random) -> "Platter":
        """One state, drawn from all that a power failure may leave now."""
        kept = [random.random() < 0.5 for _ in self._changes]
        names = self._names_with(kept)
        return self._state(names, {id(inode): _draw(inode, random) for _, inode in sorted(names.items())})

    def worst_crash(self) -> "Platter":
        """The state in which nothing survives that no sync covers."""
        return self._state(self._names_with([False] * len(self._changes)), {})

    def crash_states(self, random: Random, *, most: int) -> Iterator["Platter"]:
        """States that a power failure may leave now, at most `most`: all of them where they are few.

        Otherwise the telling ones (nothing and everything kept; each prefix and suffix; each sector alone lost or kept)
        and then random ones.
        """
        return islice(self._crash_states(random, most), most)

    def _crash_states(self, random: Random, most: int) -> Iterator["Platter"]:
        for kept in _subsets(len(self._changes), random, most):
            names = self._names_with(kept)
            inodes = list({id(inode): inode for _, inode in sorted(names.items())}.values())
            dirty = [(inode, sector) for inode in inodes for sector in sorted(inode.pending)]
            for choice in _subsets(len(dirty), random, most):
                yield self._state(names, _choices(dirty, choice, random))

    def _names_with(self, kept: Sequence[bool]) -> dict[str, Inode]:
        names = dict(self._durable_names)
        for at, (change, keep) in enumerate(zip(self._changes, kept, strict=True)):
            match change:
                case Allocated(name=name) if keep:
                    names[name] = self._made[at]
                case Renamed(old=old, new=new) if keep:
                    names[new] = self._made[at]
                    if names.get(old) is self._made[at]:
                        del names[old]
                case Removed(name=name) if keep:
                    names.pop(name, None)
                case _:
                    pass
        return names

    def _state(self, names: dict[str, Inode], choices: dict[int, dict[int, bytes]]) -> "Platter":
        files = {}
        for name, inode in sorted(names.items()):
            content = bytearray(inode.durable)
            for sector, version in choices.get(id(inode), {}).items():
                content[sector * SECTOR : sector * SECTOR + len(version)] = version
            files[name] = bytes(content)
        return Platter(files)


def _subsets(size: int, random: Random, most: int) -> Iterator[tuple[bool, ...]]:
    """Which of `size` things are kept: every way, or the telling ones and then random ones without end."""
    if size <= 4 or 1 << size <= most:
        yield from product((False, True), repeat=size)
        return
    none, every = (False,) * size, (True,) * size
    yield none
    yield every
    for at in range(size):
        yield (True,) * at + (False,) * (size - at)  # a prefix
        yield (False,) * at + (True,) * (size - at)  # a suffix: written in another order
        yield (*every[:at], False, *every[at + 1 :])  # the middle missing
        yield (*none[:at], True, *none[at + 1 :])
    while True:
        yield tuple(random.random() < 0.5 for _ in range(size))


def _choices(
    dirty: list[tuple[Inode, int]], kept: Sequence[bool], random: Random
) -> dict[int, dict[int, bytes]]:
    chosen: dict[int, dict[int, bytes]] = {}
    for (inode, sector), keep in zip(dirty, kept, strict=True):
        if keep:
            versions = inode.pending[sector]
            # Mostly the newest: an older one is a rarer sight.
            version = versions[-1] if random.random() < 0.75 else random.choice(versions)
            chosen.setdefault(id(inode), {})[sector] = version
    return chosen


def _draw(inode: Inode, random: Random) -> dict[int, bytes]:
    share = random.choice((0.0, 0.5, 0.9, 1.0))
    return {
        sector: random.choice(versions)
        for sector, versions in sorted(inode.pending.items())
        if random.random() < share
    }
