"""`python -m jepsen_like.user.again`: the other end of `Elsewhere`; each log runs in a fork that has seen no other."""

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

import msgspec

from jepsen_like.user.elsewhere import LENGTH, Found, Reply, Request
from jepsen_like.user.outside import Outside
from jepsen_like.user.steps import steps
from raftlog.machine.contract import StateMachine

T = TypeVar("T")


def main() -> None:
    """Serve until the input ends. What a machine prints goes to standard error."""
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    asked = sys.stdin.buffer
    found = _read(asked, Found)
    if found is None:
        return
    try:
        make = _load(found)
    except Exception as error:  # noqa: BLE001 - whatever an import raises is for the other end to tell
        _write(answers, Reply(problem=f"{type(error).__name__}: {error}"))
        return
    gc.disable()  # every fork would collect at the same command, and call that command slow
    _write(answers, Reply())
    while (request := _read(asked, Request)) is not None:
        child = os.fork()
        if not child:
            _answer(make, request, answers)
        os.waitpid(child, 0)


def _answer(make: Callable[[], StateMachine], request: Request, answers: int) -> None:
    """In the fork: answers, and ends it."""
    try:
        _write(answers, _reply(make, request))
    finally:
        os._exit(0)


def _write(answers: int, reply: Reply) -> None:
    encoded = msgspec.msgpack.encode(reply)
    with os.fdopen(os.dup(answers), "wb") as out:
        out.write(LENGTH.pack(len(encoded)) + encoded)


def _reply(make: Callable[[], StateMachine], request: Request) -> Reply:
    try:
        return Reply(steps(make, request.log, wanted=request.wanted, outside=Outside()))
    except Exception as error:  # noqa: BLE001 - whatever a machine raises is for the other end to tell
        return Reply(problem=f"the log cannot be run: {type(error).__name__}: {error}")


def _load(found: Found) -> Callable[[], StateMachine]:
    value: Any = _module(found)
    for part in found.name.split("."):
        value = getattr(value, part)
    make: Callable[[], StateMachine] = value
    return make


def _module(found: Found) -> Any:
    """The module by its name, if that leads to the same file; else the file under a name of its own."""
    try:
        if found.module != "__main__":
            module = importlib.import_module(found.module)
            if os.path.abspath(module.__file__ or "") == found.file:
                return module
    except ImportError:
        pass  # a test file, say, that only pytest knows how to import
    name = "__simulated__" if found.module == "__main__" else found.module
    spec = importlib.util.spec_from_file_location(name, found.file)
    assert spec is not None, f"{found.file} is no Python file"
    assert spec.loader is not None, f"{found.file} is no Python file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _read(pipe: BinaryIO, type: type[T]) -> T | None:
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return msgspec.msgpack.decode(pipe.read(*LENGTH.unpack(head)), type=type)


if __name__ == "__main__":
    main()
