"""Where in the user's own code something happened, for sentences that people read."""

from types import TracebackType

_OURS = ("jepsen_like", "raftlog", "asyncio", "contextlib", "random", "msgspec")


def place_of(error: BaseException) -> str:
    """`Tags.add (tags.py:17)`: the innermost frame that is the user's own, else the innermost of all; may be empty."""
    found = last = ""
    step: TracebackType | None = error.__traceback__
    while step is not None:
        frame = step.tb_frame
        last = f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{step.tb_lineno})"
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _OURS:
            found = last
        step = step.tb_next
    return found or last


def told(error: BaseException) -> str:
    """An exception in one sentence: its type, its words, and where in the user's code it was raised."""
    words = str(error).partition("\n")[0]
    where = place_of(error)
    return f"{type(error).__name__}{': ' if words else ''}{words}{f', in {where}' if where else ''}"
