"""The bare pipeline's state machine: commands are typed, told apart by their name, and answered with encoded values."""

from collections.abc import Callable

import msgspec

from bench.yardstick_wire import encode


class Put(msgspec.Struct, frozen=True, array_like=True, tag="put"):
    """Set a key; answers the revision this write has."""

    key: str
    value: bytes


class Delete(msgspec.Struct, frozen=True, array_like=True, tag="delete"):
    """Drop a key; answers the revision, or 0 when there was no such key."""

    key: str


class Store:
    """A dict and a revision. Equal after the same commands, as on every replica."""

    def __init__(self) -> None:
        self.applied = 0
        self._values: dict[str, bytes] = {}
        self._run: dict[type, Callable[..., int]] = {Put: self._put, Delete: self._delete}
        self._decode = msgspec.msgpack.Decoder(Put | Delete).decode

    def apply(self, body: bytes) -> bytes:
        """Decode one command, run it, encode its answer."""
        command = self._decode(body)
        self.applied += 1
        return encode(self._run[type(command)](*msgspec.structs.astuple(command)))

    def _put(self, key: str, value: bytes) -> int:
        self._values[key] = value
        return self.applied

    def _delete(self, key: str) -> int:
        return 0 if self._values.pop(key, None) is None else self.applied
