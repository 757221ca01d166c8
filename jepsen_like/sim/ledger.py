"""The record of a campaign: a file of JSON lines from which anyone can make any run again and compare the hash.

The first line says which build ran what; each further line is one run, written and flushed when the run ended. A
campaign that was killed leaves at most its last line torn: reading forgets it, resuming cuts it off. Finished ledgers
may be kept compressed (`.gz`, `.xz`); those are only read.
"""

import gzip
import lzma
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec
import xxhash

from jepsen_like.sim.build import Build
from jepsen_like.sim.plan import Plan, Tier
from jepsen_like.sim.verdict import Run
from raftlog.core.ids import Micros

FORMAT = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign is. A ledger holds the runs of one build, one tier and one span."""

    ledger: int = FORMAT
    build: Build
    tier: Tier
    span: Micros
    place: str
    first_seed: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    commit: str
    plan: str
    """`digest` of the plan that the seed stood for."""
    seconds: float
    """Wall-clock time, for figures; equal runs need not take equally long."""
    run: Run


class BadLedger(Exception):
    """The file is no ledger, or not the one it should be; the message says which, where and what to do."""


def digest(plan: Plan) -> str:
    """16 hexadecimal digits; equal for equal plans."""
    return xxhash.xxh3_64(msgspec.json.encode(plan)).hexdigest()


def read(path: Path) -> tuple[Header, list[Line]]:
    """A ledger's header and its whole lines, in the order in which the runs ended.

    Raises:
        BadLedger: there is no such file, or it is not a ledger of this format.
    """
    header, lines, _ = _read(path, _bytes(path))
    return header, lines


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        match path.suffix:
            case ".gz":
                return gzip.decompress(content)
            case ".xz":
                return lzma.decompress(content)
            case _:
                return content
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise BadLedger(f"{path} cannot be read: {error}") from error


def _read(path: Path, content: bytes) -> tuple[Header, list[Line], int]:
    """The last of the three: up to where the file is whole."""
    whole = content.rfind(b"\n") + 1
    first, *rest = content[:whole].splitlines() or [b""]
    try:
        header = msgspec.json.decode(first, type=Header)
    except msgspec.MsgspecError as error:
        raise BadLedger(f"{path} is no ledger: its first line is no header ({error})") from error
    if header.ledger != FORMAT:
        raise BadLedger(f"{path} is a ledger of format {header.ledger}; this version reads format {FORMAT}")
    return header, [_line(path, number, text) for number, text in enumerate(rest, start=2)], whole


def _line(path: Path, number: int, text: bytes) -> Line:
    try:
        return msgspec.json.decode(text, type=Line)
    except msgspec.MsgspecError as error:
        raise BadLedger(f"line {number} of {path} is no run: {error}") from error


class Ledger:
    """A ledger that is being written. `lines` are the runs it held when it was opened."""

    def __init__(self, path: Path, header: Header, *, resume: bool) -> None:
        """Open it: a new file, or with `resume` an earlier one of the same header.

        Raises:
            BadLedger: the file is there and is not to be resumed, or is of another campaign or build.
        """
        self.path, self.header = path, header
        self.lines: list[Line] = []
        if path.suffix in (".gz", ".xz"):
            raise BadLedger(f"{path}: a ledger is compressed when it is finished; name a plain file")
        there = path.exists() and path.stat().st_size > 0
        if there and not resume:
            raise BadLedger(f"{path} is there already: go on with it by --resume, or name another file")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._resumed() if there else path.open("wb")
        if not there:
            self._write(header)

    def _resumed(self) -> BinaryIO:
        """The earlier file, cut where it is whole and ready for the next line."""
        found, self.lines, whole = _read(self.path, _bytes(self.path))
        if differences := differing(found, self.header):
            raise BadLedger(
                f"{self.path} cannot be resumed: it has {'; '.join(differences)}. Name another file"
            )
        file = self.path.open("r+b")
        file.seek(whole)
        file.truncate()
        return file

    def note(self, line: Line) -> None:
        """Add a run; it is in the file when this returns."""
        self._write(line)

    def _write(self, value: Header | Line) -> None:
        self._file.write(msgspec.json.encode(value) + b"\n")
        self._file.flush()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def differing(one: Header, other: Header) -> list[str]:
    """What keeps two headers from being of one campaign, in words; the commit's name and the first seed do not."""
    pairs = [
        ("source", one.build.source, other.build.source),
        ("interpreter", one.build.python, other.build.python),
        ("tier", one.tier, other.tier),
        ("span", one.span, other.span),
        ("simulator", one.place, other.place),
    ]
    return [f"{name} {here}, not {there}" for name, here, there in pairs if here != there]
