"""A key-value store: text keys in order, byte values, and a version on every key to compare with."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec
from sortedcontainers import SortedList

from raftlog import Machine, MachineError, command, query

MAX_KEY = 1024
"""Bytes of a key in UTF-8. Values are bounded by the cluster's limit for one command."""
PAGE_BYTES = 1 << 20
"""A page of a scan ends after this many bytes of keys and values, whatever its limit."""

Limit = Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class KeyTooLong(MachineError):
    """The key has more bytes in UTF-8 than a key may have; nothing was changed."""

    size: int
    limit: int


class Mismatch(MachineError):
    """The key does not hold what was expected; nothing was changed."""

    version: int
    """What it holds: the version of its value, 0 when it is absent."""


class Versioned(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value and the version it was written as."""

    value: bytes
    version: int
    """Counts the store's writes, from 1: larger is later, and no two writes share one."""


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A key with what it holds."""

    key: str
    value: bytes
    version: int


class Page(msgspec.Struct, frozen=True, array_like=True):
    """Part of a scan, in the order of the keys (by code point, which is also the order of their UTF-8)."""

    items: tuple[Item, ...]
    after: str | None
    """Where the next page goes on, or None when there is nothing more."""


class KeyValue(Machine):
    """An ordered map from str to bytes.

    Invariants: the index holds exactly the keys of the map; `_version` is the highest version of any value, or was;
    it counts every write and deletion, and nothing else.
    """

    version = 1

    def __init__(self) -> None:
        self._items: dict[str, Versioned] = {}
        self._keys: SortedList[str] = SortedList()
        self._version = 0

    @command(errors=(KeyTooLong,))
    def put(self, key: str, value: bytes) -> int:
        """Write a value: its version."""
        if len(key) > _SURELY_SHORT:
            _check_key(key)
        # `_write` once more, without the call: every node pays for it on every put.
        self._version = version = self._version + 1
        items = self._items
        if key not in items:
            self._keys.add(key)
        items[key] = Versioned(value, version)
        return version

    @command
    def delete(self, key: str) -> bool:
        """Remove a key: whether it was there."""
        if key not in self._items:
            return False
        self._remove(key)
        return True

    @command(errors=(KeyTooLong, Mismatch))
    def compare_and_set(self, key: str, expected: bytes | None, value: bytes | None) -> int:
        """Write `value` if the key holds exactly `expected`; None stands for absent on both sides. The new version."""
        _check_key(key)
        found = self._items.get(key)
        if (found.value if found is not None else None) != expected:
            raise Mismatch(found.version if found is not None else 0)
        return self._set(key, value)

    @command(errors=(KeyTooLong, Mismatch))
    def set_if_version(self, key: str, version: int, value: bytes | None) -> int:
        """Write `value` (None: remove) if the key is at `version`, 0 for absent. The new version."""
        _check_key(key)
        found = self._items.get(key)
        at = found.version if found is not None else 0
        if at != version:
            raise Mismatch(at)
        return self._set(key, value)

    @query
    def get(self, key: str) -> Versioned | None:
        """What the key holds, None when it is absent."""
        return self._items.get(key)

    @query
    def scan(self, prefix: str = "", *, after: str | None = None, limit: Limit = 1000) -> Page:
        """The first `limit` keys that start with `prefix` and come after `after`, as one consistent page.

        A page may be shorter than the limit (`PAGE_BYTES`); only `after` being None says that it is the last. Two
        pages are two reads: what was written between them shows in the second.
        """
        items: list[Item] = []
        size = 0
        for key in self._from(prefix, after):
            if not key.startswith(prefix):
                break
            if len(items) == limit or size > PAGE_BYTES:
                return Page(tuple(items), items[-1].key)
            found = self._items[key]
            items.append(Item(key, found.value, found.version))
            size += len(key) + len(found.value)
        return Page(tuple(items), None)

    @query
    def count(self, prefix: str = "") -> int:
        """How many keys start with `prefix`."""
        last = _behind(prefix)
        end = len(self._keys) if last is None else self._keys.bisect_left(last)
        return end - self._keys.bisect_left(prefix)

    def capture(self) -> object:
        """Copies of the index and the map, sharing keys and values: about 50 ms per million keys."""
        return self._version, list(self._keys), self._items.copy()

    def write(self, view: Any) -> Iterator[bytes]:
        """The version, then the items in the order of their keys, in chunks of about 256 KiB."""
        version, keys, items = view
        yield msgspec.msgpack.encode(version)
        chunk: list[tuple[str, bytes, int]] = []
        size = 0
        for key in keys:
            found = items[key]
            chunk.append((key, found.value, found.version))
            size += len(key) + len(found.value) + 16
            if size >= _CHUNK:
                yield msgspec.msgpack.encode(chunk)
                chunk, size = [], 0
        yield msgspec.msgpack.encode(chunk)

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        """See `StateMachine.restore`."""
        parts = iter(chunks)
        self._version = msgspec.msgpack.decode(next(parts), type=int)
        for part in parts:
            for key, value, at in _decode_chunk(part):
                self._items[key] = Versioned(value, at)
        self._keys = SortedList(self._items)

    def _set(self, key: str, value: bytes | None) -> int:
        if value is not None:
            return self._write(key, value)
        if key in self._items:
            self._remove(key)
        return self._version

    def _write(self, key: str, value: bytes) -> int:
        self._version = version = self._version + 1
        if key not in self._items:  # overwriting leaves the index alone
            self._keys.add(key)
        self._items[key] = Versioned(value, version)
        return version

    def _remove(self, key: str) -> None:
        self._version += 1
        del self._items[key]
        self._keys.remove(key)

    def _from(self, prefix: str, after: str | None) -> Iterator[str]:
        if after is None or after < prefix:
            return self._keys.irange(prefix)
        return self._keys.irange(after, inclusive=(False, False))


_CHUNK = 1 << 18
_decode_chunk = msgspec.msgpack.Decoder(list[tuple[str, bytes, int]]).decode


_SURELY_SHORT = MAX_KEY // 4
"""Characters of a key that needs no measuring: each has four bytes at most."""


def _check_key(key: str) -> None:
    if len(key) > _SURELY_SHORT and (size := len(key.encode())) > MAX_KEY:
        raise KeyTooLong(size, MAX_KEY)


def _behind(prefix: str) -> str | None:
    """The first text after all that start with `prefix`, or None when nothing can come after them."""
    prefix = prefix.rstrip("\U0010ffff")
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else None
