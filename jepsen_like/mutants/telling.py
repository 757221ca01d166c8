"""`python -m jepsen_like.mutants.telling PLACE`: plays a mutant's own scripts and tests, without it and with it."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec

from jepsen_like.mutants.mutant import Mutant
from jepsen_like.mutants.plant import Unplantable, planted

PATIENCE = 300.0
"""Seconds by the clock: a bug may make a script run for ever."""


class Told(msgspec.Struct, frozen=True):
    """Which scripts and tests failed."""

    clean: tuple[str, ...]
    """On the code as it is: nothing can be said then."""
    planted: tuple[str, ...]


def told(mutant: Mutant, place: str, root: Path) -> Told:
    """Have them played in a process of their own, which finds `place` from the directory `root`.

    Raises:
        Unplantable: the code does not fit the bug, or the process ended without an answer; says how.
    """
    done = subprocess.run(
        [sys.executable, "-m", "jepsen_like.mutants.telling", place],
        input=msgspec.json.encode(mutant),
        capture_output=True,
        cwd=root,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise Unplantable(f"{mutant.name}: {place} could not be asked: {said}")
    return msgspec.json.decode(done.stdout, type=Told)


def main() -> None:
    """Answer on standard output; what is played prints to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    module, _, name = sys.argv[1].partition(":")
    tell = cast(Callable[[Mutant], list[str]], getattr(importlib.import_module(module), name))
    mutant = msgspec.json.decode(sys.stdin.buffer.read(), type=Mutant)
    clean = tell(mutant)
    with planted(mutant):
        broken = tell(mutant)
    answers.write(msgspec.json.encode(Told(tuple(clean), tuple(broken))))
    answers.flush()


if __name__ == "__main__":
    main()
