"""The purity check finds what would make the core depend on anything but its inputs."""

import ast
import pathlib

import pytest

from tests.gate import purity

PURE = """
import random
from random import Random
from typing import assert_never
import msgspec
from raftlog.core.ids import Term

def draw(rng: random.Random, other: Random) -> int:
    return rng.randrange(10) + other.randrange(10)
"""

BREACHES = {
    "import asyncio": "imports asyncio",
    "import grpc.aio": "imports grpc.aio",
    "from google.protobuf import message": "imports google.protobuf",
    "import os": "imports os",
    "import time": "imports time",
    "import logging": "imports logging",
    "import structlog": "imports structlog",
    "from threading import Lock": "imports threading",
    "from raftlog.storage import disk": "imports raftlog.storage",
    "import raftlog.node": "imports raftlog.node",
    "from raftlog.corelike import x": "imports raftlog.corelike",
    "from . import ids": "imports the package by dots",
    "from random import choice": "takes random.choice",
    "import random\nrandom.shuffle([])": "uses random.shuffle",
    "import random\nrng = random.Random(1)": "makes its own Random",
    "import random as r\nr.shuffle([])": "calls it r",
    "from random import Random as Dice\nrng = Dice(1)": "calls it Dice",
    "async def f(): ...": "awaits",
    "x = hash('a')": "calls hash()",
    "x = sorted([], key=id)": "names id() as a sort key",
    "print('here')": "calls print()",
    "open('x')": "calls open()",
}


def test_what_the_core_needs_is_pure() -> None:
    assert list(purity.breaches(ast.parse(PURE))) == []


@pytest.mark.parametrize("source, sentence", BREACHES.items(), ids=BREACHES)
def test_a_breach_is_found(source: str, sentence: str) -> None:
    said = [what for _, what in purity.breaches(ast.parse(source))]
    assert any(what.startswith(sentence) for what in said), said


def test_a_breach_is_reported_with_its_place(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    core = tmp_path / "raftlog" / "core"
    core.mkdir(parents=True)
    (core / "raft.py").write_text("import msgspec\nimport time\n")
    assert purity.main(core) == 1
    assert capsys.readouterr().out.startswith(
        "raftlog/core/raft.py:2: imports time, which is not on the list"
    )
