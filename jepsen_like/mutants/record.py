"""The record of a mutation campaign: a file of JSON lines that keeps what was found when the campaign is stopped.

The first line says which build was hunted on and how; each further line is one mutant's fate, as soon as it was known.
Whoever goes on with the file asks only for the others. A fate counts for the mutant as it stood in the table: one that
has been changed since is hunted anew.
"""

from pathlib import Path
from types import TracebackType

import msgspec

from jepsen_like.mutants.hunt import Ground, Hunted
from jepsen_like.mutants.mutant import Mutant
from jepsen_like.sim.build import Build
from jepsen_like.sim.plan import Tier
from jepsen_like.sim.verdict import Run
from raftlog.core.ids import Micros

FORMAT = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What was hunted on, and how long for each mutant."""

    mutants: int = FORMAT
    build: Build
    tiers: tuple[Tier, ...]
    seeds: int
    first_seed: int
    span: Micros
    harness_seeds: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one mutant; with what the clean build had shown by then."""

    hunted: Hunted
    clean_runs: int
    red: tuple[Run, ...] = ()
    """Seeds on which the build itself failed."""


class BadRecord(ValueError):
    """The file is no record of a mutation campaign, or not of this one; the message says which and what to do."""


def header_of(ground: Ground, build: Build) -> Header:
    """The first line of a campaign on this ground."""
    return Header(
        build=build,
        tiers=ground.tiers,
        seeds=ground.seeds,
        first_seed=ground.first_seed,
        span=ground.span,
        harness_seeds=ground.harness_seeds,
    )


class Record:
    """A record that is being written, begun or gone on with; used with `with`.

    Invariants: `lines` are those the file held when it was opened, at most one torn line behind them was cut off.
    """

    def __init__(self, path: Path, header: Header) -> None:
        """Open it.

        Raises:
            BadRecord: the file is of another build or another campaign, or nothing of the kind.
        """
        self.lines: list[Line] = []
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole:
            self.lines = _read(path, content[:whole], header)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("r+b" if content else "wb")
        self._file.truncate(whole)
        self._file.seek(whole)
        if not whole:
            self._write(header)

    def known(self, mutant: Mutant) -> Hunted | None:
        """What became of exactly this mutant; None while nobody knows."""
        return next((line.hunted for line in self.lines if line.hunted.mutant == mutant), None)

    def note(self, line: Line) -> None:
        """Add a fate; it is in the file when this returns."""
        self._write(line)

    def _write(self, value: Header | Line) -> None:
        self._file.write(msgspec.json.encode(value) + b"\n")
        self._file.flush()

    def __enter__(self) -> "Record":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _read(path: Path, content: bytes, expected: Header) -> list[Line]:
    first, *rest = content.splitlines()
    try:
        found = msgspec.json.decode(first, type=Header)
        lines = [msgspec.json.decode(text, type=Line) for text in rest]
    except msgspec.MsgspecError as error:
        raise BadRecord(f"{path} is no record of a mutation campaign: {error}") from error
    # The commit's name does not matter, what it holds does: documentation may have been written since.
    wanted = msgspec.structs.replace(expected, build=found.build)
    if (found.build.source, found.build.python) != (expected.build.source, expected.build.python):
        raise BadRecord(
            f"{path} was made by commit {found.build.commit}, other code than this: name another file"
        )
    if found != wanted:
        raise BadRecord(f"{path} is of a campaign with other seeds or tiers, {found}: name another file")
    return lines
