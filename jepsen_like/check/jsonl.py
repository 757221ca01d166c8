"""Histories as JSON lines: one event per line, in the order of events."""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from jepsen_like.check.event_of import event_of
from jepsen_like.check.history import Event, History
from jepsen_like.check.unreadable import Unreadable


def write_jsonl(history: Iterable[Event], file: BinaryIO) -> None:
    """Write one JSON object per event. Values must be JSON's; bytes become base64 text, sets become sorted arrays."""
    encoder = msgspec.json.Encoder(order="deterministic")
    file.writelines(encoder.encode(_line(event)) + b"\n" for event in history)


def read_jsonl(lines: Iterable[bytes]) -> History:
    """Read what `write_jsonl` wrote, or anyone else. Empty lines are passed over; `index` becomes the line's number.

    Raises `Unreadable`, which names the line and what was expected there.
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
            raise Unreadable(f"line {number + 1}", f"expected one JSON object, {error}") from error
        yield event_of(found, number, f"line {number + 1}")
