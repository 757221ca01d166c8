"""What the main job writes: for each file of the running Python its path, size, digest and first docstring line."""

import hashlib
import os
import re
import sysconfig
import tokenize
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path

import msgspec

CHUNK = 16 << 10
"""Bytes of a piece when whole files are not enough."""
LONGEST_LINE = 160
"""Characters of a docstring's line that are kept."""

_MADE_BY_RUNNING = frozenset({"__pycache__", "site-packages", "dist-packages"})
"""Directories inside the standard library that are no part of it."""

_LITERAL = re.compile(r"""(\w*)(\"{3}|'{3}|"|')(.*)""", re.DOTALL)
"""A string literal: prefix, quote, the rest."""


class Described(msgspec.Struct, frozen=True, array_like=True):
    """The value under a path: what the file holds, as a JSON array of about 75 bytes and a sentence.

    JSON, because people look at it with `raftlog kv get`.
    """

    size: int
    sha256: str
    """In hexadecimal."""
    docstring: str
    """First line of the module's docstring; empty where there is none."""


class Record(msgspec.Struct, frozen=True):
    """One key and its value, as they are written."""

    key: str
    value: bytes


class Piece(msgspec.Struct, frozen=True):
    """A file, or a stretch of one, that becomes a record."""

    source: str
    """`stdlib`, `site-packages` or `chunks`."""
    path: Path
    name: str
    """The path below its source, with `/`; a stretch adds its offset."""
    offset: int | None = None

    @property
    def key(self) -> str:
        """`stdlib/json/decoder.py`; a file name that is no UTF-8 is written with escapes."""
        return f"{self.source}/{self.name}".encode("utf-8", "backslashreplace").decode()


class Corpus(msgspec.Struct, frozen=True):
    """Everything that will be written, in order.

    Invariant: keys are unique and their order is that of the directories, sorted.
    """

    records: tuple[Record, ...]
    sources: dict[str, int]
    """Records per source."""
    bytes_read: int


def standard_library() -> Path:
    """Where the running Python keeps its library."""
    return Path(sysconfig.get_path("stdlib"))


def site_packages() -> Path:
    """Where the running Python keeps what was installed."""
    return Path(sysconfig.get_path("purelib"))


def pieces(library: Path, packages: Path, at_least: int) -> list[Piece]:
    """The library in full; if it has fewer files, then installed packages and then stretches of the library's files."""
    chosen = list(_files("stdlib", library))
    chosen.extend(islice(_files("site-packages", packages), max(at_least - len(chosen), 0)))
    if len(chosen) < at_least:
        chosen.extend(islice(_stretches(_files("stdlib", library)), at_least - len(chosen)))
    return chosen


def read(chosen: list[Piece], progress: Callable[[int], None]) -> Corpus:
    """Read and digest every piece; a file that has gone or cannot be read is left out.

    Takes seconds and blocks: run it beside the event loop. `progress` is told how many pieces are done.
    """
    records: list[Record] = []
    sources: dict[str, int] = {}
    total = 0
    for done, piece in enumerate(chosen, 1):
        content = _content(piece)
        if content is not None:
            records.append(Record(piece.key, msgspec.json.encode(describe(content, piece.path.suffix))))
            sources[piece.source] = sources.get(piece.source, 0) + 1
            total += len(content)
        progress(done)
    return Corpus(tuple(records), sources, total)


def describe(content: bytes, suffix: str) -> Described:
    """Size, SHA-256 and, for Python source, the first line of its docstring."""
    line = first_docstring_line(content) if suffix == ".py" else ""
    return Described(len(content), hashlib.sha256(content).hexdigest(), line)


def first_docstring_line(source: bytes) -> str:
    """The first line with text of a module's docstring, as written there; reads no further than its first word."""
    try:
        for token in tokenize.tokenize(BytesIO(source).readline):
            if token.type == tokenize.STRING:
                return _first_line(token.string)
            if token.type not in (tokenize.ENCODING, tokenize.COMMENT, tokenize.NL):
                return ""
    except (tokenize.TokenError, SyntaxError):
        pass  # test data of the library: broken on purpose
    return ""


def _first_line(literal: str) -> str:
    # Not evaluated: old escapes would warn, and what is wanted is the sentence, not its exact characters.
    prefix, quote, text = _LITERAL.match(literal).groups()  # type: ignore[union-attr]
    if prefix.lower() not in ("", "r", "u"):
        return ""
    lines = (line.rstrip("\\").strip() for line in text.removesuffix(quote).splitlines())
    line = next(filter(None, lines), "")[:LONGEST_LINE]
    return line.encode("utf-8", "backslashreplace").decode()


def _files(source: str, root: Path) -> Iterator[Piece]:
    for directory, below, names in os.walk(root):
        below[:] = sorted(set(below) - _MADE_BY_RUNNING)
        for name in sorted(names):
            path = Path(directory, name)
            if path.is_file():
                yield Piece(source, path, path.relative_to(root).as_posix())


def _stretches(files: Iterator[Piece]) -> Iterator[Piece]:
    for file in files:
        for offset in range(0, file.path.stat().st_size, CHUNK):
            yield Piece("chunks", file.path, f"{file.name}#{offset}", offset)


def _content(piece: Piece) -> bytes | None:
    try:
        with piece.path.open("rb") as file:
            if piece.offset is None:
                return file.read()
            file.seek(piece.offset)
            return file.read(CHUNK)
    except OSError:
        return None
