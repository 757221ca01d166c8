"""The determinism kit finds what it promises to find, and lets a good machine pass."""

from collections.abc import Sequence
from typing import Any

import pytest

from raftlog.machine.calls import encode_call
from raftlog.machine.check import CheckFailed, check_machine
from raftlog.machine.typed import Machine
from statemachines.counter import Counter
from statemachines.kv import KeyValue
from tests.machine import careless

NAMES = [f"name-{n}" for n in range(20)]


def test_good_machines_pass() -> None:
    draws = [encode_call(careless.Good.draw, name) for name in ["b", "a", "c"] * 4]
    oldest = encode_call(careless.Good.oldest)
    check_machine(
        careless.Good, [oldest, *draws, oldest, b"garbage"], queries=[encode_call(careless.Good.read, "a")]
    )
    adds = [encode_call(Counter.add, n) for n in (3, -1, 0)]
    check_machine(Counter, adds, queries=[encode_call(Counter.read)], hash_seeds=())
    puts = [encode_call(KeyValue.put, name, name.encode()) for name in reversed(NAMES)]
    more = [
        encode_call(KeyValue.delete, NAMES[3]),
        encode_call(KeyValue.compare_and_set, NAMES[4], b"wrong", b"x"),
        encode_call(KeyValue.compare_and_set, NAMES[4], NAMES[4].encode(), b"x"),
        encode_call(KeyValue.put, "k" * 2000, b"x"),
        encode_call(KeyValue.set_if_version, NAMES[5], 1, b"x"),
    ]
    check_machine(
        KeyValue, puts + more, queries=[encode_call(KeyValue.scan), encode_call(KeyValue.get, NAMES[0])]
    )


BAD: list[tuple[type[Machine], Sequence[bytes], dict[str, Any], str]] = [
    (
        careless.HashOrder,
        [encode_call(careless.HashOrder.add, n) for n in NAMES],
        {},
        "results differ under PYTHONHASHSEED",
    ),
    (
        careless.HashOrderedSnapshot,
        [encode_call(careless.HashOrderedSnapshot.add, n) for n in NAMES],
        {"hash_seeds": (1, 2, 3)},
        "snapshot differs under PYTHONHASHSEED|writes another snapshot",
    ),
    (
        careless.Forgetful,
        [encode_call(careless.Forgetful.add, n) for n in NAMES],
        {},
        "restored .* Forgetful.add answers",
    ),
    (careless.Hasty, [encode_call(careless.Hasty.take)] * 3, {}, r"Hasty.take \(command 2\) changed the state"),
    (careless.Liar, [encode_call(careless.Liar.read)], {}, "Liar.read .* does not promise: Expected `int`, got `str`"),
    (
        careless.Meddler,
        [encode_call(careless.Meddler.nothing)],
        {"queries": [encode_call(careless.Meddler.read)]},
        "query Meddler.read changed the state",
    ),
    (
        careless.Buggy,
        [encode_call(careless.Buggy.divide, by) for by in (1, 0)],
        {},
        r"Buggy.divide \(command 1\) raised ZeroDivisionError",
    ),
]  # fmt: skip


@pytest.mark.parametrize("machine,commands,options,sentence", BAD, ids=[bad[0].__name__ for bad in BAD])
def test_each_careless_machine_is_found(
    machine: type[Machine], commands: Sequence[bytes], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CheckFailed, match=sentence):
        check_machine(machine, commands, **options)


def test_faults_may_be_allowed() -> None:
    bodies = [encode_call(careless.Buggy.divide, by) for by in (1, 0, 2)]
    check_machine(careless.Buggy, bodies, faults=True, hash_seeds=())


def test_a_class_that_cannot_be_imported_is_named() -> None:
    class Local(Counter):
        pass

    with pytest.raises(CheckFailed, match="cannot be imported by a fresh process"):
        check_machine(Local, [encode_call(Local.add, 1)])
