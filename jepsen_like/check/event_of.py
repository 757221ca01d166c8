"""The event that one decoded map of a file describes, whatever notation the file is in."""

from collections.abc import Mapping

from jepsen_like.check.history import Event, EventType
from jepsen_like.check.unreadable import Unreadable

_TYPES = {kind.value: kind for kind in EventType}


def event_of(found: object, index: int, place: str) -> Event:
    """The event with process, type, f, and perhaps value, time, key, error. Raises `Unreadable` naming `place`."""
    if not isinstance(found, Mapping):
        raise Unreadable(place, f"expected a map with process, type and f, found {_short(found)}")
    kind = found.get("type")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise Unreadable(place, f"expected type invoke, ok, fail or info, found {_short(kind)}")
    f = found.get("f")
    if not isinstance(f, str) or not f:
        raise Unreadable(place, f"expected f to be the operation's name, found {_short(f)}")
    process = found.get("process")
    if not isinstance(process, int | str) or isinstance(process, bool):
        raise Unreadable(place, f"expected process to be a number or a name, found {_short(process)}")
    time = found.get("time")
    if not isinstance(time, int | None):
        raise Unreadable(place, f"expected time to be whole nanoseconds, found {_short(time)}")
    return Event(
        _TYPES[kind], process, f, found.get("value"), time, index, found.get("key"), found.get("error")
    )


def _short(found: object) -> str:
    text = "nothing" if found is None else ascii(found)
    return text if len(text) <= 40 else text[:37] + "..."
