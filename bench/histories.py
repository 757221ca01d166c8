"""`python -m bench.histories`: makes long histories, has the checker's command judge them, and shows what it took."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any, Final

import click
import msgspec

from jepsen_like.check import Event, EventType, History, write_edn, write_jsonl

Effect = Callable[[Any], Any]
"""Performs one operation, given its argument, and tells the answer."""

_STALE: Final = "never written"


class Recorder:
    """Clients that use one true object at the same time; every operation takes effect at one moment while under way.

    A share of `lost` answers is never heard; half of those operations took effect. The client goes on under another
    name, as Jepsen's do.
    """

    def __init__(self, random: Random, *, clients: int, lost: float) -> None:
        self.history = History()
        self._random = random
        self._lost = lost
        self._idle = list(range(clients))
        self._next = clients
        self._asked: list[tuple[int, Effect, Any]] = []
        self._done: list[tuple[int, Any]] = []
        self._time = 0

    def ask(self, f: str, key: Any, argument: Any, effect: Effect) -> None:
        """Have an idle client ask; let others get on until one is idle."""
        while not self._idle:
            self._get_on()
        client = self._taken(self._idle)
        self.history.invoke(client, f, argument, time=self._now(), key=key)
        self._asked.append((client, effect, argument))
        while self._random.random() < 0.7 and (self._asked or self._done):
            self._get_on()

    def finish(self) -> History:
        """Have everything answered that will be."""
        while self._asked or self._done:
            self._get_on()
        return self.history

    def _get_on(self) -> None:
        if self._asked and (not self._done or self._random.random() < 0.5):
            client, effect, argument = self._taken(self._asked)
            if self._random.random() >= self._lost:
                self._done.append((client, effect(argument)))
                return
            if self._random.random() < 0.5:
                effect(argument)
            self.history.info(client, time=self._now())
            self._idle.append(self._next)
            self._next += 1
        else:
            client, answer = self._taken(self._done)
            self.history.ok(client, answer, time=self._now())
            self._idle.append(client)

    def _taken(self, waiting: list[Any]) -> Any:
        return waiting.pop(self._random.randrange(len(waiting)))

    def _now(self) -> int:
        self._time += 1000
        return self._time


def key_value(
    seed: int, operations: int, *, keys: int = 100, clients: int = 20, lost: float = 0.01
) -> History:
    """Half gets, a third puts, a sixth comparisons on `keys` keys."""
    random = Random(seed)
    recorder = Recorder(random, clients=clients, lost=lost)
    stored: dict[str, int] = {}
    for _ in range(operations):
        key, deed, value = f"k{random.randrange(keys)}", random.random(), random.randrange(10)
        if deed < 0.5:
            recorder.ask("get", key, None, partial(_got, stored, key))
        elif deed < 0.83:
            recorder.ask("put", key, value, partial(stored.__setitem__, key))
        else:
            recorder.ask("cas", key, [random.randrange(10), value], partial(_compared, stored, key))
    return recorder.finish()


def _got(stored: dict[str, int], key: str, _: None) -> int | None:
    return stored.get(key)


def _compared(stored: dict[str, int], key: str, pair: tuple[int, int]) -> bool:
    old, new = pair
    if stored.get(key) != old:
        return False
    stored[key] = new
    return True


def list_append(seed: int, transactions: int, *, clients: int = 20, lost: float = 0.01) -> History:
    """Transactions of one to four reads and appends on ten lists at a time; a list is left alone after 32 appends."""
    random = Random(seed)
    recorder = Recorder(random, clients=clients, lost=lost)
    lists: dict[int, list[int]] = {}
    open_lists, asked, fresh = list(range(10)), [0] * 10, iter(range(1, 1 << 60))
    for _ in range(transactions):
        actions: list[list[Any]] = []
        for _ in range(random.randrange(1, 5)):
            place = random.randrange(10)
            if random.random() < 0.5:
                actions.append(["r", open_lists[place], None])
                continue
            actions.append(["append", open_lists[place], next(fresh)])
            asked[place] += 1
            if asked[place] == 32:
                open_lists[place], asked[place] = max(open_lists) + 1, 0
        recorder.ask("txn", None, actions, partial(_performed, lists))
    return recorder.finish()


def _performed(lists: dict[int, list[int]], actions: list[list[Any]]) -> list[list[Any]]:
    done = []
    for kind, name, element in actions:
        if kind == "append":
            lists.setdefault(name, []).append(element)
            done.append([kind, name, element])
        else:
            done.append([kind, name, list(lists.get(name, ()))])
    return done


def falsified(history: History) -> History:
    """The history with one wrong answer near its end: the last get shows what was last overwritten in its key."""
    events = list(history.events)
    for place in range(len(events) - 1, -1, -1):
        if events[place].type is EventType.OK and events[place].f == "get":
            events[place] = msgspec.structs.replace(events[place], value=_overwritten(events, place))
            return History(events)
    raise ValueError("a history without an answered get cannot be falsified here")


def _overwritten(events: list[Event], place: int) -> object:
    """A value that the key surely had before and has no more; where there is none, one that it never had."""
    key = events[place].key
    written = [
        (event.f, event.value)
        for event in events[:place]
        if event.key == key and event.type is EventType.INVOKE and event.f != "get"
    ]
    recent = {value if f == "put" else value[1] for f, value in written[-40:]}
    return next((value for value in range(10) if value not in recent), _STALE)


HISTORIES: Final[dict[str, tuple[str, str, Callable[[int], History]]]] = {
    "10,000 operations, 100 keys": ("jsonl", "kv", lambda seed: key_value(seed, 10_000)),
    "the same, from EDN": ("edn", "kv", lambda seed: key_value(seed, 10_000)),
    "the same, one answer false": ("jsonl", "kv", lambda seed: falsified(key_value(seed, 10_000))),
    "100,000 operations, 100 keys": ("jsonl", "kv", lambda seed: key_value(seed, 100_000)),
    "the same, from EDN, 100,000": ("edn", "kv", lambda seed: key_value(seed, 100_000)),
    "10,000 operations, 1 key": ("jsonl", "kv", lambda seed: key_value(seed, 10_000, keys=1)),
    "10,000 list-append transactions": ("jsonl", "list-append", lambda seed: list_append(seed, 10_000)),
}
"""What is measured: format, model, and how the history of a seed is made."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of all histories.")
@click.option(
    "--keep",
    type=click.Path(path_type=pathlib.Path, file_okay=False),
    help="Leave the histories in this directory.",
)
@click.option("--make-only", is_flag=True, help="Make the histories and judge none; needs --keep.")
def main(seed: int, keep: pathlib.Path | None, make_only: bool) -> None:
    """Judge long histories, each in a process of its own: reading, checking and Python's own start are counted."""
    if make_only and keep is None:
        raise click.UsageError("--make-only needs --keep DIRECTORY: where else should the histories go?")
    with tempfile.TemporaryDirectory() as temporary:
        directory = keep or pathlib.Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        click.echo(
            f"{'history':36} {'verdict':8} {'seconds':>8} {'MiB':>6}   python -m jepsen_like check ..."
        )
        for name, file, form, model in _made(directory, seed):
            if not make_only:
                _judge(name, file, form, model)


def _made(directory: pathlib.Path, seed: int) -> Iterator[tuple[str, pathlib.Path, str, str]]:
    for number, (name, (form, model, make)) in enumerate(HISTORIES.items()):
        file = directory / f"{number}-{model}.{form}"
        with file.open("wb") as out:
            (write_jsonl if form == "jsonl" else write_edn)(make(seed), out)
        yield name, file, form, model


def _judge(name: str, file: pathlib.Path, form: str, model: str) -> None:
    arguments = ["--format", form, "--model", model, "--json", str(file)]
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "jepsen_like", "check", *arguments], stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None, "it was asked for"
        printed = command.stdout.read()
        _, status, used = os.wait4(command.pid, 0)
        seconds = time.monotonic() - started
        command.returncode = os.waitstatus_to_exitcode(status)
    verdict = msgspec.json.decode(printed)["verdict"] if printed else f"exit {command.returncode}"
    most = used.ru_maxrss // 1024
    click.echo(f"{name:36} {verdict:8} {seconds:8.2f} {most:6}   {' '.join(arguments)}")


if __name__ == "__main__":
    main()
