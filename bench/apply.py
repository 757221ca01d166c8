"""`python -m bench.apply`: what applying and asking cost per command, in one thread, without log and network."""

import time
from collections.abc import Callable, Iterator

import click

from bench import yardstick_wire
from bench.yardstick_machine import Put, Store
from raftlog.clock import SystemClock
from raftlog.core.entry import Command, Entry, EntryKind, decode_commands, encode_commands, seal
from raftlog.core.ids import META_GROUP, EntryId
from raftlog.machine.applier import MACHINE, SESSIONS, Applier
from raftlog.machine.calls import encode_call
from raftlog.machine.sessions import Sessions
from statemachines.kv import KeyValue

_KEYS = 10_000
_ENTRIES = 256
_VALUE = b"x" * 128
_IN_FLIGHT = 512
"""What a client confirms lies this far behind what it sends."""


def entries(per_entry: int, sessions: int, count: int = _ENTRIES) -> list[Entry]:
    """A log of puts: first the opening of as many sessions, then `count` entries, sessions taking turns."""
    opening = Command(0, 0, 0, SESSIONS, 1, encode_call(Sessions.open))
    made = [_sealed(1, [opening] * sessions)]
    sent = 0
    for index in range(2, count + 2):
        commands = []
        for _ in range(per_entry):
            body = encode_call(KeyValue.put, f"key-{sent * 7919 % _KEYS:06d}", _VALUE)
            if sessions:
                turn, client = sent // sessions + 1, 1 << 16 | sent % sessions
                below = max(1, turn - _IN_FLIGHT // sessions)
                commands.append(Command(client, turn, below, MACHINE, 1, body))
            else:
                commands.append(Command(0, 0, 0, MACHINE, 1, body))
            sent += 1
        made.append(_sealed(index, commands))
    return made


def _sealed(index: int, commands: list[Command]) -> Entry:
    at = EntryId(1, index)
    payload = encode_commands(commands)
    return seal(group=META_GROUP, at=at, kind=EntryKind.COMMANDS, log_time=index, payload=payload)


def applying(per_entry: int, sessions: int, *, decoded: bool) -> Iterator[float]:
    """Microseconds per command, entry by entry; `decoded` as on the leader, which has the commands already."""
    applier = Applier(KeyValue, clock=SystemClock().monotonic)
    for number, entry in enumerate(entries(per_entry, sessions)):
        commands = decode_commands(entry.payload) if decoded else None
        began = time.thread_time_ns()
        applier.apply(entry, commands)
        took = time.thread_time_ns() - began
        if number > _ENTRIES // 4:
            yield took / per_entry / 1000


def refusing(per_entry: int) -> Iterator[float]:
    """What asking costs whether commands may enter the log."""
    applier = Applier(KeyValue)
    for entry in entries(per_entry, 1)[1:]:
        commands = decode_commands(entry.payload)
        began = time.thread_time_ns()
        applier.refusals(commands)
        yield (time.thread_time_ns() - began) / per_entry / 1000


def yardstick(per_entry: int) -> Iterator[float]:
    """The bare pipeline's machine on the same puts."""
    store = Store()
    bodies = [yardstick_wire.encode(Put(f"key-{n * 7919 % _KEYS:06d}", _VALUE)) for n in range(_KEYS)]
    for start in range(_ENTRIES):
        batch = [bodies[(start * per_entry + n) % _KEYS] for n in range(per_entry)]
        began = time.thread_time_ns()
        for body in batch:
            store.apply(body)
        yield (time.thread_time_ns() - began) / per_entry / 1000


MEASURES: dict[str, Callable[[], Iterator[float]]] = {
    "the yardstick's machine": lambda: yardstick(128),
    "128 commands, no session": lambda: applying(128, 0, decoded=True),
    "128 commands of one session": lambda: applying(128, 1, decoded=True),
    "the same, decoding the entry": lambda: applying(128, 1, decoded=False),
    "128 commands of 128 sessions": lambda: applying(128, 128, decoded=True),
    "1 command of one session": lambda: applying(1, 1, decoded=True),
    "asking about 128 commands": lambda: refusing(128),
}
"""By name: the microseconds per command of many batches."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
def main(rounds: int) -> None:
    """Puts of 128 bytes into a key-value store: processor time of one thread, per command.

    The least is what the code costs; the median is what it costs here and now, beside whatever else runs.
    """
    taken: dict[str, list[float]] = {name: [] for name in MEASURES}
    for _ in range(rounds):
        for name, measure in MEASURES.items():
            taken[name] += measure()
    click.echo(f"{'microseconds per command':<32}{'least':>8}{'median':>8}")
    for name, found in taken.items():
        found.sort()
        click.echo(f"{name:<32}{found[0]:>8.2f}{found[len(found) // 2]:>8.2f}")


if __name__ == "__main__":
    main()
