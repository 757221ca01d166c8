"""How another process is told which machine to make: by module, class and arguments, where it can be had that way."""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from raftlog.machine.contract import StateMachine


class MachineSpec(msgspec.Struct, frozen=True):
    """A call that gives a fresh machine."""

    module: str
    path: str
    """The class within the module, dotted where it is nested."""
    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] = {}


class NotImportable(Exception):
    """The machine cannot be had by importing it; the sentence says why."""


def spec_of(make: Callable[[], StateMachine]) -> MachineSpec:
    """What makes the same machine in another process.

    That is possible for a class at the top of a module, and for `functools.partial` of one with plain arguments
    (what MessagePack can hold: no pickles).

    Raises:
        NotImportable: it is a closure, or lives in a script, or takes what cannot be passed on.
    """
    call = make if isinstance(make, partial) else partial(make)
    made = call.func
    module, path = getattr(made, "__module__", None), getattr(made, "__qualname__", None)
    name = f"{module}.{path}"
    if module is None or path is None or "<" in path:
        raise NotImportable(f"{name} is made inside a function")
    if module == "__main__":
        raise NotImportable(f"{name} lives in the program that was started: move it to a module of its own")
    try:
        found = _find(sys.modules[module], path)
    except (KeyError, AttributeError):
        found = None
    if found is not made:
        raise NotImportable(f"importing {name} gives something else")
    if not _plain([call.args, call.keywords]):
        raise NotImportable(f"{name} takes arguments that cannot be passed on")
    return MachineSpec(module, path, call.args, dict(call.keywords))


def load(spec: MachineSpec) -> Callable[[], StateMachine]:
    """The other end: what makes the machine. Raises whatever importing the module raises."""
    made = _find(importlib.import_module(spec.module), spec.path)
    return partial(made, *spec.arguments, **spec.named)


def _find(module: object, path: str) -> Any:
    found = module
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _plain(arguments: list[Any]) -> bool:
    """Whether they come out of MessagePack as they went in, tuples aside."""
    try:
        back = msgspec.msgpack.decode(msgspec.msgpack.encode(arguments))
    except (TypeError, ValueError, OverflowError):
        return False
    return bool(back == [list(arguments[0]), arguments[1]])
