"""The outcome of a call as a value: exactly one of these, told apart with `match`."""

from typing import Generic, TypeAlias, TypeVar

import msgspec

from raftlog.machine.calls import CallError, CallFailed, CallUnknown
from raftlog.machine.errors import MachineError

R = TypeVar("R")


class Ok(msgspec.Struct, Generic[R], frozen=True):
    """It happened, and is durable on a majority; a query was answered."""

    value: R


Failed: TypeAlias = CallFailed
"""It certainly did not happen."""

Unknown: TypeAlias = CallUnknown
"""It may have happened, or may yet."""

Outcome: TypeAlias = Ok[R] | MachineError | CallError
"""`MachineError`: it happened, and the machine answered with this declared error. `CallError`: see its subclasses."""
