"""`raftlog kv`: the key-value store from the command line; an example of a command that a package brings along.

The `raftlog` command gives commands of other packages, through click's `obj`, what they need: `connect` to the nodes
that the user named, and `answer` to print a result in words or as JSON. It adds the flags for both to each command,
tells errors in one sentence, and turns them into exit codes.
"""

import base64
import sys
from contextlib import AbstractContextManager
from typing import BinaryIO, ParamSpec, Protocol, TypeVar

import click

from raftlog import Machine, Method
from statemachines.kv import Item, KeyValue, Mismatch

P = ParamSpec("P")
R = TypeVar("R")


class Caller(Protocol):
    """A client of one machine."""

    def call(self, method: Method[..., P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a command or query; what it returns or raises is what the method does."""
        ...


class Invocation(Protocol):
    """What the `raftlog` command hands to ours."""

    def connect(self, machine: type[Machine]) -> AbstractContextManager[Caller]:
        """A client for as long as the block runs."""
        ...

    def answer(self, value: object, words: str | None) -> None:
        """Print `value` if JSON was asked for, else the words, if there are any."""
        ...

    def refuse(self, sentence: str) -> Exception:
        """What to raise when the answer is a definite no: exit code 1."""
        ...

    @property
    def json(self) -> bool:
        """Whether JSON was asked for."""
        ...


@click.group()
def kv() -> None:
    """Read and write the key-value store."""


@kv.command()
@click.argument("key")
@click.argument("value", required=False)
@click.option(
    "--file", "file", type=click.File("rb"), help="Take the value from a file; - is standard input."
)
@click.pass_obj
def put(raftlog: Invocation, key: str, value: str | None, file: BinaryIO | None) -> None:
    """Write VALUE under KEY."""
    if (value is None) == (file is None):
        raise click.UsageError("give the value either as an argument or with --file")
    content = _encoded(value) if value is not None else file.read() if file is not None else b""
    with raftlog.connect(KeyValue) as client:
        version = client.call(KeyValue.put, key, content)
    raftlog.answer({"key": key, "version": version}, f"version {version}")


@kv.command()
@click.argument("key")
@click.pass_obj
def get(raftlog: Invocation, key: str) -> None:
    """Print the value of KEY, byte for byte; exit code 1 when there is none."""
    with raftlog.connect(KeyValue) as client:
        found = client.call(KeyValue.get, key)
    if found is None:
        raise raftlog.refuse(f"there is no key {key!r}")
    raftlog.answer({"key": key, **_shown(found.value), "version": found.version}, None)
    if not raftlog.json:
        _print_bytes(found.value)


@kv.command()
@click.argument("key")
@click.pass_obj
def delete(raftlog: Invocation, key: str) -> None:
    """Remove KEY; exit code 1 when it was not there."""
    with raftlog.connect(KeyValue) as client:
        was_there = client.call(KeyValue.delete, key)
    if not was_there:
        raise raftlog.refuse(f"there is no key {key!r}")
    raftlog.answer({"key": key, "deleted": True}, None)


@kv.command()
@click.argument("key")
@click.option("--if-value", help="Only if it holds this value.")
@click.option("--if-version", type=click.IntRange(0), help="Only if it is at this version.")
@click.option("--if-absent", is_flag=True, help="Only if there is no such key.")
@click.option("--set", "value", help="Write this value.")
@click.option("--delete", "remove", is_flag=True, help="Remove the key.")
@click.pass_obj
def cas(
    raftlog: Invocation,
    key: str,
    if_value: str | None,
    if_version: int | None,
    if_absent: bool,
    value: str | None,
    remove: bool,
) -> None:
    """Change KEY only if it holds what is expected, in one step; exit code 1 when it does not."""
    if (if_value is not None) + (if_version is not None) + if_absent != 1:
        raise click.UsageError("say what is expected with one of --if-value, --if-version and --if-absent")
    if (value is not None) + remove != 1:
        raise click.UsageError("say what to do with one of --set and --delete")
    new = _encoded(value) if value is not None else None
    try:
        with raftlog.connect(KeyValue) as client:
            if if_value is not None:
                version = client.call(KeyValue.compare_and_set, key, _encoded(if_value), new)
            else:
                version = client.call(KeyValue.set_if_version, key, if_version or 0, new)
    except Mismatch as other:
        held = f"it is at version {other.version}" if other.version else "there is no such key"
        raise raftlog.refuse(
            f"{key!r} does not hold what was expected: {held}; nothing was changed"
        ) from other
    raftlog.answer({"key": key, "version": version}, f"version {version}")


@kv.command("range")
@click.argument("prefix", default="")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Keys at most."
)
@click.option("--after", help="Only keys after this one: where the last range ended.")
@click.pass_obj
def range_(raftlog: Invocation, prefix: str, limit: int, after: str | None) -> None:
    """List keys that start with PREFIX, in order, with their values."""
    with raftlog.connect(KeyValue) as client:
        page = client.call(KeyValue.scan, prefix, after=after, limit=limit)
    items = [{"key": item.key, **_shown(item.value), "version": item.version} for item in page.items]
    raftlog.answer({"items": items, "after": page.after}, "\n".join(map(_line, page.items)) or None)
    if page.after is not None:
        click.echo(f"more: --after {page.after!r}", err=True)


@kv.command()
@click.argument("prefix", default="")
@click.pass_obj
def count(raftlog: Invocation, prefix: str) -> None:
    """Print how many keys start with PREFIX."""
    with raftlog.connect(KeyValue) as client:
        keys = client.call(KeyValue.count, prefix)
    raftlog.answer({"prefix": prefix, "count": keys}, str(keys))


def _encoded(text: str) -> bytes:
    """An argument as the bytes that the shell gave."""
    return text.encode("utf-8", "surrogateescape")


def _shown(value: bytes) -> dict[str, str]:
    """Text where it is text; JSON has no bytes."""
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}


def _line(item: Item) -> str:
    return f"{item.key}\t{item.value.decode('utf-8', 'backslashreplace')}"


def _print_bytes(value: bytes) -> None:
    """Exactly the value; a terminal gets the newline that it needs."""
    sys.stdout.buffer.write(value)
    if sys.stdout.isatty() and not value.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
