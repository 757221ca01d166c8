"""Histories written by hand, one event per word."""

from typing import Any

from jepsen_like.check import Event, EventType, History


def history(*lines: tuple[Any, ...]) -> History:
    """Events from (process, type, f, value) and perhaps a key, in order. Types: ask, ok, fail, info."""
    kinds = {"ask": EventType.INVOKE, "ok": EventType.OK, "fail": EventType.FAIL, "info": EventType.INFO}
    return History(
        Event(kinds[kind], process, f, value, 0, place, rest[0] if rest else None)
        for place, (process, kind, f, value, *rest) in enumerate(lines)
    )


def done(process: int, f: str, argument: Any, result: Any, key: Any = None) -> list[tuple[Any, ...]]:
    """One operation, asked and answered with nothing in between."""
    return [(process, "ask", f, argument, key), (process, "ok", f, result, key)]
