"""A machine beside a plain program that means the same: random commands on both, and every answer compared.

The machine runs as on real nodes, behind an `Applier`: its calls are encoded, several share an entry, and every now and
then the replica is dropped and another one restored from its snapshot. A second replica lives through everything.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import xxhash

from raftlog import Kind, Machine, Method, Result, check_machine, encode_call
from raftlog.core.ids import Micros
from raftlog.machine.applier import Applier
from raftlog.machine.method import QueryMethod
from tests.machine.logs import Log, loose

Draw = Callable[[Random], tuple[str, tuple[Any, ...]]]
"""A method's name and its arguments."""


class Refused(Exception):
    """What a model raises where the machine must answer with a declared error of this name and these fields."""

    def __init__(self, name: str, *fields: object) -> None:
        super().__init__(name, fields)


def run_beside(
    machine: type[Machine],
    model: Any,
    draw: Draw,
    seed: int,
    *,
    calls: int = 400,
    tick: Micros = 10,
) -> None:
    """Draw calls and compare what the machine answers with what `model` does.

    The model's methods have the names of the machine's, and take the log time before the arguments.
    Log time goes on in steps of `tick`.
    """
    random = Random(seed)
    log, lives, replica = Log(), Applier(machine), Applier(machine)
    commands: list[bytes] = []
    made = 0
    while made < calls:
        drawn = [draw(random) for _ in range(random.randint(1, 4))]
        made += len(drawn)
        writes = [each for each in drawn if not _reads(machine, each)]
        bodies = [encode_call(getattr(machine, name), *args) for name, args in writes]
        commands += bodies
        entry = log.entry(*map(loose, bodies), step=random.randint(0, 3) * tick)
        results = lives.apply(entry)
        assert replica.apply(entry) == results, (
            f"seed {seed}: a restored replica answers otherwise to {writes}"
        )
        for (name, args), result in zip(writes, results, strict=True):
            answer, right = answered(machine, name, result), expected(model, name, entry.log_time, args)
            assert answer == right, f"seed {seed}: {name}{args} answers {answer} instead of {right}"
        for name, args in drawn:
            if _reads(machine, (name, args)):
                answer = answered(machine, name, replica.query(encode_call(getattr(machine, name), *args)))
                right = expected(model, name, entry.log_time, args)
                assert answer == right, f"seed {seed}: {name}{args} answers {answer} instead of {right}"
        assert replica.digest == lives.digest, f"seed {seed}: the replicas part at {writes}"
        if random.random() < 0.1:
            replica = restored(machine, replica)
            assert written(replica) == written(lives), f"seed {seed}: after {writes} the snapshots differ"
    assert written(replica) == written(lives), f"seed {seed}: in the end the snapshots differ"
    check_machine(machine, commands[:60], hash_seeds=() if seed else (1,))  # another process is dear


def _reads(machine: type[Machine], call: tuple[str, tuple[Any, ...]]) -> bool:
    return isinstance(getattr(machine, call[0]), QueryMethod)


def expected(model: Any, name: str, time: Micros, args: tuple[Any, ...]) -> object:
    """What the model answers, or refuses."""
    try:
        return getattr(model, name)(time, *args)
    except Refused as refused:
        return refused.args


def answered(machine: type[Machine], name: str, result: Result) -> object:
    """What the machine answered, in the same form."""
    method: Method[..., ..., Any] = getattr(machine, name)
    match result.kind:
        case Kind.OK:
            return method.call.decode_result(result.body)
        case Kind.ERROR:
            error = method.call.decode_error(result.body)
            return type(error).__name__, error.values
        case other:
            raise AssertionError(f"{method} ended as {other.name}")


def restored(machine: type[Machine], replica: Applier) -> Applier:
    """Another replica that begins with the snapshot of this one, captured now and written later."""
    fresh = Applier(machine)
    fresh.restore(replica.write(replica.capture()))
    return fresh


def written(replica: Applier) -> int:
    """A fingerprint of the whole snapshot."""
    return xxhash.xxh3_64_intdigest(b"".join(replica.write(replica.capture())))
