"""The formats of histories that can be read, by their names on the command line."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

from jepsen_like.check.edn import Keyword, edn, read_edn
from jepsen_like.check.event_of import event_of
from jepsen_like.check.history import Event, EventType, History, Value
from jepsen_like.check.jsonl import read_jsonl
from jepsen_like.check.unreadable import Unreadable


def read_edn_history(content: bytes) -> History:
    """Jepsen's operation maps, in one vector or list, or one per line.

    An event's `index` is its place in the vector, or the number of its line (from 0). Raises `Unreadable`.
    """
    values = read_edn(_text(content))
    if len(values) == 1 and isinstance(values[0][1], list):
        return History(event_of(each, place, f"element {place}") for place, each in enumerate(values[0][1]))
    return History(event_of(each, line, f"line {line + 1}") for line, each in values)


def read_kv_edn(content: bytes) -> History:
    """Operation maps with `:key`, one per line: `:get`, `:put` and `:append` of text. Raises `Unreadable`."""
    history = read_edn_history(content)
    for event in history.events:
        if event.key is None:
            raise Unreadable(
                f"line {event.index + 1}", f"expected a map with :key, found {event.f} without one"
            )
    return history


_LOGGED = re.compile(r"\bjepsen\.util\s+-\s+(\d+)\s+:(invoke|ok|fail|info)\s+:(\S+)(?:\s+(.*))?$")


def read_jepsen_log(content: bytes) -> History:
    """The operations that Jepsen logged on one compare-and-set register; other lines are noise.

    A `:fail :cas` with its two values is a comparison that answered no, so it becomes an `ok` with False. A `:fail
    :cas` without them leaves open what happened. Other failures did not happen. Raises `Unreadable`.
    """
    text = _text(content)
    lines = text.split("\n")
    history = History()
    for number, line in enumerate(lines):
        found = _LOGGED.search(line.rstrip())
        if found is not None:
            history.events.append(
                _logged(int(found[1]), EventType(found[2]), found[3], found[4] or "", number)
            )
    if not history.events and text.strip():
        raise Unreadable(
            "line 1", "expected lines such as 'INFO  jepsen.util - 4 :invoke :write 3', found none"
        )
    return history


def _logged(process: int, kind: EventType, f: str, text: str, number: int) -> Event:
    values = read_edn_at(text, f"line {number + 1}")
    if len(values) > 1:
        values = [values[0]]  # an error's words may follow the value
    value = values[0] if values else None
    if kind is EventType.FAIL and f == "cas":
        compared = isinstance(value, list) and len(value) == 2
        return Event(EventType.OK if compared else EventType.INFO, process, f, False, None, number)
    if kind is EventType.OK and f == "read" and isinstance(value, Keyword):
        raise Unreadable(f"line {number + 1}", f"expected the value that was read, found :{value}")
    return Event(kind, process, f, value, None, number)


def read_edn_at(text: str, place: str) -> list[Value]:
    """The values in a short text that lies at `place`. Raises `Unreadable` naming that place."""
    try:
        return [value for _, value in read_edn(text)]
    except Unreadable as error:
        raise Unreadable(place, str(error).partition(": ")[2]) from error


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(
            f"line {line}", f"expected UTF-8 text, found byte 0x{content[error.start]:02x}"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Unreadable(f"line {line}", "expected text, found a zero byte: this is no text file")
    return text


def _read_jsonl(content: bytes) -> History:
    return read_jsonl(content.split(b"\n"))


FORMATS: Mapping[str, Callable[[bytes], History]] = {
    "jepsen-log": read_jepsen_log,
    "edn": read_edn_history,
    "kv-edn": read_kv_edn,
    "jsonl": _read_jsonl,
}


def write_edn(history: Iterable[Event], file: BinaryIO) -> None:
    """Write one EDN map per event and line. Keywords that were read stay keywords; texts stay texts."""
    file.writelines((_edn_line(event) + "\n").encode() for event in history)


def _edn_line(event: Event) -> str:
    process = Keyword(event.process) if isinstance(event.process, str) else event.process
    fields: dict[str, Value] = {"process": process, "type": Keyword(event.type.value), "f": Keyword(event.f)}
    if event.key is not None:
        fields["key"] = event.key
    fields["value"] = event.value
    if event.time is not None:
        fields["time"] = event.time
    fields["index"] = event.index
    if event.error is not None:
        fields["error"] = event.error
    return edn({Keyword(name): value for name, value in fields.items()})
