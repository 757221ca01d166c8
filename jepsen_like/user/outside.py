"""Notices when code reaches for files, sockets or other processes: what the interpreter's audit hooks tell.

A hook cannot be taken away again, so this belongs into processes of our own.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_WATCHED = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "glob.", "urllib.", "http.")
_EXEMPT = ("importlib", "linecache", "traceback", "warnings", "tokenize", "logging", "zipimport")
"""Modules that open files for reasons of their own, such as an import inside a function."""


class Outside:
    """Notes the first thing that the code in a `watch` block reached for."""

    def __init__(self) -> None:
        self.reached = ""
        """Empty while nothing was."""
        self._watching = False
        sys.addaudithook(self._hear)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Listen during the block."""
        self.reached, self._watching = "", True
        try:
            yield
        finally:
            self._watching = False

    def _hear(self, event: str, args: tuple[object, ...]) -> None:
        if not self._watching or self.reached:
            return
        ours = event.startswith(_WATCHED) or (event == "sqlite3.connect" and ":memory:" not in str(args[0]))
        if ours and not _exempt():
            about = repr(args[0]) if args and isinstance(args[0], str | bytes) else ""
            self.reached = f"{event}({about})"


def _exempt() -> bool:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0].lstrip("_") in _EXEMPT:
            return True
        frame = frame.f_back
    return False
