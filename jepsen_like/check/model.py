"""What a model is: the sequential meaning of an object, to which a concurrent history is compared."""

from collections.abc import Hashable, Sequence
from enum import Enum
from typing import Any, ClassVar, Final, TypeAlias

import msgspec

from jepsen_like.check.frozen import exact
from jepsen_like.check.history import UNKNOWN, Operation, Value

State: TypeAlias = Any
"""A model's state: an immutable, hashable value. Equal states must have equal futures."""


class Illegal(Enum):
    """The type of `ILLEGAL`, what `step` gives when the operation cannot have had that result in that state."""

    ILLEGAL = "illegal"

    def __repr__(self) -> str:
        return "illegal"


ILLEGAL: Final = Illegal.ILLEGAL


class Model:
    """The meaning of an object's operations, one after another. Subclass it, or `SequentialModel`, for your own.

    Only `initial` and `step` are needed. The rest tells the search what it need not try; the defaults promise
    nothing and are always right.

    - `initial` is the state before the first operation.
    - `step` is a pure function. Arguments and results arrive immutable and hashable: lists as tuples, dicts as
      tuples of sorted pairs (`frozen` says how).
    - With the result `UNKNOWN` the operation's answer was never heard: any result is legal that it could have had, and
      the state after it is the same as with that result.
    """

    initial: State = None
    knows: ClassVar[tuple[str, ...]] = ()
    """The names of its operations, where a history with others is to be refused; with none, all are tried."""
    has_precedences: ClassVar[bool] = False
    """True if `precedes` may say so of any two operations."""

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        """The state after `f(argument)` answered `result` in `state`, or `ILLEGAL` if it cannot have."""
        raise NotImplementedError(f"{type(self).__name__} must say what its operations do: define step")

    def partition(self, operation: Operation) -> Hashable:
        """The object that the operation is about. Objects are checked one by one (P-compositionality).

        Sound only where operations on different objects never influence each other.
        """
        return None

    def observes(self, f: str, argument: Value, result: Value) -> bool:
        """True if, with this result, the operation leaves every state as it is: a read, a failed comparison.

        With the result `UNKNOWN`: true if it changes no state whatever the answer was.
        """
        return False

    def overwrites(self, f: str, argument: Value, result: Value) -> bool:
        """True if the operation is legal in every state and what follows does not depend on the state before."""
        return False

    def goal(self, f: str, argument: Value, result: Value) -> State | Illegal:
        """The one state in which an observer can have had this result, or `ILLEGAL` if there are several."""
        return ILLEGAL

    def landing(self, f: str, argument: Value, result: Value) -> State | Illegal:
        """The state after the operation where it does not depend on the state before, else `ILLEGAL`.

        An operation that lands may be illegal in some states, such as a comparison that succeeded; with the result
        `UNKNOWN` it may also have done nothing.
        """
        return ILLEGAL

    def leads(self, state: State, goal: State) -> bool:
        """False if operations without a `landing` cannot turn `state` into `goal`, an observer's only state."""
        return True

    def fitted(self, operations: Sequence[Operation]) -> "Model":
        """The model for just these operations on one object: it may call illegal what no order can go on from.

        They are given as `arranged` and frozen; with failed ones among them, which no order holds.
        """
        return self

    def precedes(self, first: Operation, second: Operation) -> bool:
        """True if in every order `first` comes before `second`, two answered operations that overlap in time.

        Asked only where `has_precedences` is set.
        """
        return False

    def arranged(self, operation: Operation) -> Operation:
        """The operation as `partition` and `step` take it: here a model accepts other ways to write it down."""
        return operation


class SequentialModel(Model):
    """A model written as the program itself: `apply` returns the next state and the answer.

    For example a counter that answers with its new value, complete::

        class Counter(SequentialModel):
            initial = 0

            def apply(self, state, f, argument):
                if f == "add":
                    return state + argument, state + argument
                return state, state
    """

    def apply(self, state: State, f: str, argument: Value) -> tuple[State, Value]:
        """The state after `f(argument)` in `state`, and the one answer that it gives."""
        raise NotImplementedError(f"{type(self).__name__} must say what its operations do: define apply")

    def step(self, state: State, f: str, argument: Value, result: Value) -> State | Illegal:
        """As `apply` says; illegal if the answer was another one."""
        after, answer = self.apply(state, f, argument)
        return after if result is UNKNOWN or exact(answer) == exact(result) else ILLEGAL


def exactly(operation: Operation) -> Operation:
    """The operation with exact argument and result: what models of stored values make of it in `arranged`."""
    argument, result = exact(operation.argument), exact(operation.result)
    if argument is operation.argument and result is operation.result:
        return operation
    return msgspec.structs.replace(operation, argument=argument, result=result)
