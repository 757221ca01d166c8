"""The determinism test kit: runs the same commands in every way replicas may come to run them, and compares."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

import msgspec
import xxhash

from raftlog.core.entry import Command, Entry, EntryKind, decode_commands, encode_commands, seal
from raftlog.core.ids import META_GROUP, EntryId
from raftlog.machine.applier import MACHINE, Applier, Faulted
from raftlog.machine.contract import StateMachine
from raftlog.machine.result import Kind, Result
from raftlog.machine.typed import Machine


class CheckFailed(AssertionError):
    """The machine would not behave alike on all replicas, or breaks a promise of the contract."""


def check_machine(
    machine: type[StateMachine],
    commands: Sequence[bytes],
    *,
    queries: Sequence[bytes] = (),
    faults: bool = False,
    hash_seeds: Sequence[int] = (1, 2),
) -> None:
    """Run the commands (from `encode_call`) on several replicas and compare.

    - A replica that lives from the first command on, one that is restored from a snapshot before every entry, and
      one in a fresh process for each of `hash_seeds` give the same results and the same snapshot, byte for byte.
    - A command answered with a declared error or BAD_COMMAND leaves the state as it was.
    - Results and errors decode as the methods' annotations promise.
    - Queries, asked after every entry, change nothing.

    The fresh processes import the class by its module's name; `hash_seeds=()` leaves them out. `faults` allows
    undeclared exceptions. Not proven: that other commands would fare as well.

    Raises:
        CheckFailed: the sentence names the command and what differs.
    """
    _watch(machine, commands, queries, faults=faults)
    lived = _compare_restored(machine, commands)
    for seed in hash_seeds:
        digest, state = _in_a_fresh_process(machine, commands, seed)
        if digest != lived.digest:
            raise CheckFailed(f"{machine.__name__}: results differ under PYTHONHASHSEED={seed}; {_LOOK_FOR}")
        if state != _fingerprint(lived):
            raise CheckFailed(
                f"{machine.__name__}: the snapshot differs under PYTHONHASHSEED={seed}; {_LOOK_FOR}"
            )


_LOOK_FOR = "something depends on the order of a set, on hash(), or on the process"


def _watch(
    machine: type[StateMachine], commands: Sequence[bytes], queries: Sequence[bytes], *, faults: bool
) -> None:
    """One command at a time, with the state compared before and after."""
    broken: list[Faulted] = []
    applier = Applier(machine, on_fault=broken.append)
    before = _state(applier.machine)
    for entry, body in zip(_entries(commands, sizes=(1,)), commands, strict=True):
        [result] = applier.apply(entry)
        what = f"{applier.machine.method_of(body)} (command {entry.index - 1})"
        after = _state(applier.machine)
        if broken and not faults:
            raise CheckFailed(
                f"{what} raised {broken[0].cause!r}: declare it with errors=, mend it, or pass faults=True"
            ) from broken[0].cause
        if result.kind in (Kind.ERROR, Kind.BAD_COMMAND) and after != before:
            raise CheckFailed(
                f"{what} changed the state and then answered {result.kind.name}: raise before changing"
            )
        _judge(machine, body, result, what)
        for asked in queries:
            _judge(machine, asked, applier.query(asked), applier.machine.method_of(asked))
            if _state(applier.machine) != after:
                raise CheckFailed(f"query {applier.machine.method_of(asked)} changed the state")
        before = after


def _compare_restored(machine: type[StateMachine], commands: Sequence[bytes]) -> Applier:
    """A replica that lives on beside one that is restored before every entry; returns the first."""
    lived = Applier(machine)
    for entry in _entries(commands):
        restored = Applier(machine)
        restored.restore(lived.write(lived.capture()))
        first, second = lived.apply(entry), restored.apply(entry)
        where = f"{machine.__name__}: restored from a snapshot before entry {entry.index}"
        if first != second:
            ordinal = next(n for n, pair in enumerate(zip(first, second, strict=True)) if pair[0] != pair[1])
            method = lived.machine.method_of(decode_commands(entry.payload)[ordinal].body)
            raise CheckFailed(f"{where}, {method} answers {second[ordinal]} instead of {first[ordinal]}")
        if _fingerprint(lived) != _fingerprint(restored):
            raise CheckFailed(f"{where}, it writes another snapshot after it")
    return lived


def _entries(commands: Sequence[bytes], sizes: tuple[int, ...] = (1, 2, 3)) -> Iterator[Entry]:
    """The commands in entries of these sizes in turn, a millisecond apart."""
    start = index = 0
    while start < len(commands):
        bodies = commands[start : start + sizes[index % len(sizes)]]
        start += len(bodies)
        index += 1
        yield seal(
            group=META_GROUP,
            at=EntryId(1, index),
            kind=EntryKind.COMMANDS,
            log_time=1_700_000_000_000_000 + index * 1000,
            payload=encode_commands([Command(0, 0, 0, MACHINE, 1, body) for body in bodies]),
        )


def _judge(machine: type[StateMachine], body: bytes, result: Result, what: str) -> None:
    """Whether a typed machine's result is what its annotation says."""
    if not issubclass(machine, Machine):
        return
    method = machine.method_in(body)
    if method is None:
        return
    try:
        match result.kind:
            case Kind.OK:
                method.call.decode_result(result.body)
            case Kind.ERROR:
                method.call.decode_error(result.body)
            case _:
                pass
    except ValueError as error:
        raise CheckFailed(f"{what} answered what its annotation does not promise: {error}") from None


def _state(machine: StateMachine) -> list[bytes]:
    return list(machine.write(machine.capture()))


def _fingerprint(applier: Applier) -> int:
    return xxhash.xxh3_64_intdigest(b"".join(applier.write(applier.capture())))


def _in_a_fresh_process(machine: type[StateMachine], commands: Sequence[bytes], seed: int) -> tuple[int, int]:
    if "<locals>" in machine.__qualname__ or machine.__module__ == "__main__":
        raise CheckFailed(
            f"{machine.__qualname__} of {machine.__module__} cannot be imported by a fresh process: "
            "define it in a module of its own, or pass hash_seeds=()"
        )
    environment = os.environ | {
        "PYTHONHASHSEED": str(seed),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from raftlog.machine.check import _child; _child()"],
        input=msgspec.msgpack.encode((machine.__module__, machine.__qualname__, list(commands))),
        capture_output=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise CheckFailed(
            f"{machine.__name__} fails in a fresh process: {done.stderr.decode(errors='replace')}"
        )
    return msgspec.msgpack.decode(done.stdout, type=tuple[int, int])


def _child() -> None:
    module, name, commands = msgspec.msgpack.decode(
        sys.stdin.buffer.read(), type=tuple[str, str, list[bytes]]
    )
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    assert isinstance(found, type), f"{module}:{name} is {found!r}"
    assert issubclass(found, StateMachine), f"{module}:{name} is no state machine"
    applier = Applier(found)
    for entry in _entries(commands):
        applier.apply(entry)
    sys.stdout.buffer.write(msgspec.msgpack.encode((applier.digest, _fingerprint(applier))))
