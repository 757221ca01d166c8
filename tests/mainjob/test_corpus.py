"""What the main job writes is what lies on the disk, in a fixed order, and always enough of it."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from raftlog.mainjob.corpus import (
    CHUNK,
    Corpus,
    Described,
    first_docstring_line,
    pieces,
    read,
    site_packages,
    standard_library,
)


def ignore(done: int) -> None:
    """Nobody watches."""


def described(corpus: Corpus) -> dict[str, Described]:
    """The corpus, decoded."""
    return {r.key: msgspec.json.decode(r.value, type=Described) for r in corpus.records}


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Three files, and what running Python leaves beside them."""
    root = tmp_path / "lib"
    (root / "json").mkdir(parents=True)
    (root / "json" / "__init__.py").write_bytes(b'r"""JSON, both ways.\n\nMore.\n"""\n')
    (root / "abc.py").write_bytes(b"x = 1\n")
    (root / "notes.txt").write_bytes(bytes(CHUNK) + b"tail")
    (root / "json" / "__pycache__").mkdir()
    (root / "json" / "__pycache__" / "x.pyc").write_bytes(b"made by running")
    (root / "site-packages").mkdir()
    (root / "site-packages" / "one.py").write_bytes(b"'One.'\n")
    return root


def test_every_file_of_the_library_becomes_a_record(library: Path) -> None:
    corpus = read(pieces(library, library / "site-packages", 0), ignore)
    found = described(corpus)
    assert list(found) == ["stdlib/abc.py", "stdlib/notes.txt", "stdlib/json/__init__.py"]
    content = (library / "json" / "__init__.py").read_bytes()
    assert found["stdlib/json/__init__.py"] == Described(
        len(content), hashlib.sha256(content).hexdigest(), "JSON, both ways."
    )
    assert corpus.bytes_read == sum(described.size for described in found.values())


def test_a_small_library_is_filled_up_with_packages_and_then_with_stretches(library: Path) -> None:
    corpus = read(pieces(library, library / "site-packages", 6), ignore)
    found = described(corpus)
    assert corpus.sources == {"stdlib": 3, "site-packages": 1, "chunks": 2}
    assert [key for key in found if key.startswith("chunks/")] == ["chunks/abc.py#0", "chunks/notes.txt#0"]
    more = described(read(pieces(library, library / "site-packages", 7), ignore))
    assert more[f"chunks/notes.txt#{CHUNK}"].sha256 == hashlib.sha256(b"tail").hexdigest()


def test_a_file_that_went_away_is_left_out(library: Path) -> None:
    chosen = pieces(library, library / "site-packages", 0)
    (library / "abc.py").unlink()
    seen: list[int] = []
    assert "stdlib/abc.py" not in described(read(chosen, seen.append))
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(
    "source, line",
    [
        (b'"""One line."""\n', "One line."),
        (b'#!/usr/bin/env python\n# -*- coding: latin-1 -*-\n\n"caf\xe9"\n', "caf\xe9"),
        (b"u'''\\\n  Late start\\n.\n'''", "Late start\\n."),
        (b'f"""Not a docstring."""', ""),
        (b"b'bytes'", ""),
        (b"import os\n'not first'", ""),
        (b'"""Never ends.', ""),
        (b"\xff\xfe", ""),
        (b"", ""),
        (b'""', ""),
        (b'"""\n\n"""', ""),
    ],
)
def test_the_first_line_of_a_docstring(source: bytes, line: str) -> None:
    assert first_docstring_line(source) == line


def test_the_running_python_gives_enough_unique_keys() -> None:
    chosen = pieces(standard_library(), site_packages(), 5_000)
    keys = [piece.key for piece in chosen]
    assert len(set(keys)) == len(keys) >= 5_000
    assert sum(key.startswith("stdlib/") for key in keys) > 500
