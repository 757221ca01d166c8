"""`package.module:Class`, the way a state machine is named on the command line, turned into the class."""

import importlib
import inspect

from raftlog.machine.contract import StateMachine
from raftlog.machine.typed import Machine


class BadMachine(ValueError):
    """The text names no state machine; the sentence says which part of it is wrong and what to write."""


def load_machine(spec: str) -> type[StateMachine]:
    """Import the module and return the class, which takes no arguments.

    Raises:
        BadMachine: the module or class is missing, failed to load, or is no state machine.
    """
    module_name, colon, class_name = spec.partition(":")
    if not (colon and module_name and class_name):
        raise BadMachine(
            f"machine {spec!r} is not written as module:Class, such as statemachines.kv:KeyValue"
        )
    return _machine(spec, _member(spec, _module(spec, module_name), class_name))


def _module(spec: str, name: str) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise BadMachine(
                f"machine {spec!r}: there is no module {error.name!r};"
                " run from the directory that holds it, or install it"
            ) from error
        raise BadMachine(
            f"machine {spec!r}: its module needs {error.name!r}, which is not installed"
        ) from error
    except Exception as error:  # a stranger's module may raise anything
        raise BadMachine(
            f"machine {spec!r}: its module failed to load: {type(error).__name__}: {error}"
        ) from error


def _member(spec: str, module: object, path: str) -> object:
    found = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise BadMachine(f"machine {spec!r}: the module has no {path!r}; it has: {_machines_in(module)}")
        found = getattr(found, name)
    return found


def _machine(spec: str, found: object) -> type[StateMachine]:
    if not (isinstance(found, type) and issubclass(found, StateMachine)):
        raise BadMachine(f"machine {spec!r} is no state machine: make it a subclass of raftlog.Machine")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise BadMachine(f"machine {spec!r} is incomplete: it does not define {missing}")
    try:
        found()
    except Exception as error:
        raise BadMachine(
            f"machine {spec!r} cannot be made without arguments: {type(error).__name__}: {error}"
        ) from error
    return found


def _machines_in(module: object) -> str:
    names = [
        name
        for name, value in sorted(vars(module).items())
        if isinstance(value, type)
        and issubclass(value, StateMachine)
        and value not in (StateMachine, Machine)
    ]
    return ", ".join(names) or "no state machine"
