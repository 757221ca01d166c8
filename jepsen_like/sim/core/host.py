"""One machine of a core run: its clock and disk, and while its process runs a core and a state machine."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from jepsen_like.sim.core.clock import Clock
from jepsen_like.sim.core.registers import Registers
from jepsen_like.sim.core.store import Store
from jepsen_like.sim.core.timeline import Act
from jepsen_like.sim.invariants.view import View
from raftlog.core.ids import EntryId, Index, Micros, NodeId, RequestId
from raftlog.core.raft import Raft
from raftlog.core.ready import IndexRange

Later: TypeAlias = tuple[Act, Any, Any, Any]
"""An act that waits, with what it takes."""

NEVER: Micros = 1 << 62


class Ticket(msgspec.Struct, gc=False):
    """One try of a client's operation at one node; what the node knows of whom to answer."""

    client: int
    number: int
    """Counts up over all tries of this client."""
    host: NodeId
    key: str
    payload: bytes | None
    """The command to propose; None for a read."""


class Done(msgspec.Struct, frozen=True):
    """It happened. `value` is what a read found; `set` whether a command set its register."""

    value: str | None = None
    set: bool = True


class Refused(msgspec.Struct, frozen=True):
    """It did not happen here; ask `leader` (None: nobody is known)."""

    leader: NodeId | None


class Busy(msgspec.Struct, frozen=True):
    """It did not happen: too much is undecided."""

    retry_after: Micros


class Replaced(msgspec.Struct, frozen=True):
    """It did not happen: another entry was decided in its place."""


class Broken(msgspec.Struct, frozen=True):
    """The node is gone: it may have happened."""


Answer: TypeAlias = Done | Refused | Busy | Replaced | Broken


@dataclass(slots=True)
class Process:
    """What a crash takes away.

    Invariants: writes before the first `syncing` pending ones wait for the next sync; `waiting` is empty unless paused,
    `unread` unless the host hangs or is paused.
    """

    core: Raft
    view: View
    machine: Registers
    boot: int
    syncing: int = 0
    """How many of the pending writes the sync under way covers."""
    tick_at: Micros = NEVER
    """When, in true time, the next tick was put down for."""
    tick_shows: Micros = NEVER
    """What its clock shows then."""
    paused: bool = False
    hung: bool = False
    waiting: deque[Later] = field(default_factory=deque)
    """What happened to it while it stood still."""
    unread: deque[Later] = field(default_factory=deque)
    """What arrived while it did not read."""
    unapplied: deque[IndexRange] = field(default_factory=deque)
    applying: bool = False
    proposals: dict[Index, list[tuple[EntryId, Ticket]]] = field(default_factory=dict)
    """Who waits for the entry at an index. A node that led twice may have proposed there twice."""
    reads: dict[RequestId, Ticket] = field(default_factory=dict)
    """Reads the core has not answered."""
    released: list[tuple[Index, Ticket]] = field(default_factory=list)
    """Reads that wait for the state machine."""
    asked: int = 0
    captured: Index = 0
    """Up to where the last snapshot stands that was begun or restored."""
    capturing: bool = False
    """One is being written."""


@dataclass(slots=True)
class Host:
    """What stays when the process dies."""

    id: NodeId
    name: str
    clock: Clock
    store: Store
    process: Process | None = None
    boots: int = 0
    sent: int = 0
    """Messages, lost ones included."""
    wiped: bool = False
    """Its disk is gone for good: it is a stranger that answers nothing, and `store` is what it once had promised."""
    down_until: Micros = 0
    paused_until: Micros = 0
    hung_until: Micros = 0
    stalled_until: Micros = 0
    full_until: Micros = 0
    slow_until: Micros = 0
    latency: Micros = 0
    """What a sync takes while it is slow."""
    drifts_until: Micros = 0
