"""Histories as JSON lines: one event per line, in the order of events."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from jepsen_like.check.history import Event, EventType, History
from jepsen_like.check.unreadable import Unreadable

_TYPES = {kind.value: kind for kind in EventType}


def write_jsonl(history: Iterable[Event], file: BinaryIO) -> None:
    """Write one JSON object per event. Values must be JSON's; bytes become base64 text, sets become sorted arrays."""
    encoder = msgspec.json.Encoder(order="deterministic")
    file.writelines(encoder.encode(_line(event)) + b"\n" for event in history)


def read_jsonl(lines: Iterable[bytes]) -> History:
    """Read what `write_jsonl` wrote, or anyone else. Empty lines are passed over; `index` becomes the line's number.

    Raises `Unreadable`, which names the line (counted from 0) and what was expected there.
    """
    return History(_events(lines))


def _line(event: Event) -> dict[str, Any]:
    line: dict[str, Any] = {
        "process": event.process,
        "type": event.type.value,
        "f": event.f,
        "value": event.value,
    }
    if event.time is not None:
        line["time"] = event.time
    line["index"] = event.index
    if event.key is not None:
        line["key"] = event.key
    if event.error is not None:
        line["error"] = event.error
    return line


def _events(lines: Iterable[bytes]) -> Iterator[Event]:
    decoder = msgspec.json.Decoder()
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            found = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unreadable(number, f"expected one JSON object, {error}") from error
        yield event_of(found, number)


def event_of(found: object, number: int) -> Event:
    """The event that a decoded object describes. Raises `Unreadable` with the line's or element's number."""
    if not isinstance(found, dict):
        raise Unreadable(number, f"expected an object with process, type and f, found {_named(found)}")
    kind = found.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise Unreadable(number, f"expected type invoke, ok, fail or info, found {_short(kind)}")
    f = found.get("f")
    if not isinstance(f, str):
        raise Unreadable(number, f"expected f to be the operation's name, found {_short(f)}")
    process = found.get("process")
    if not isinstance(process, int | str) or isinstance(process, bool):
        raise Unreadable(number, f"expected process to be a number or a name, found {_short(process)}")
    time = found.get("time")
    if not isinstance(time, int | None):
        raise Unreadable(number, f"expected time to be whole nanoseconds, found {_short(time)}")
    return Event(
        _TYPES[kind], process, f, found.get("value"), time, number, found.get("key"), found.get("error")
    )


def _named(found: object) -> str:
    return {list: "an array", str: "a string", type(None): "null"}.get(
        type(found), f"a {type(found).__name__}"
    )


def _short(found: object) -> str:
    text = "nothing" if found is None else repr(found)
    return text if len(text) <= 40 else text[:37] + "..."
