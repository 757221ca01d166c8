"""Everything that is decided about a run before it begins: one value that a file can hold and a shrinker cut down.

Two runs of one plan on one build are the same run. What chance decides within a run (delays, which unsynced sectors
survive, who asks what) is drawn from generators made from the plan's seed, one for each purpose, so that a plan with
one fault less differs as little as can be.
"""

from random import Random
from typing import Literal, TypeAlias

import msgspec

from jepsen_like.sim.faults import AnyFault
from raftlog.core.ids import Micros
from raftlog.core.settings import Settings
from raftlog.testing.network import Weather

Tier: TypeAlias = Literal["core", "node"]
"""core: cores on modelled disks. node: whole nodes, real client, simulated disk and transport."""

FORMAT = 1
RESERVED = 9_000_000_000
"""Seeds from here on are kept out of every campaign, so that somebody can try what nobody has seen."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What clients do. Every written value is unique in the run."""

    clients: int = 3
    rate: float = 8.0
    """Operations per client and virtual second, on average; a client waits for each answer."""
    keys: int = 4
    reads: float = 0.4
    """The share of reads; `swaps` of the rest compare first."""
    swaps: float = 0.2
    size: int = 0
    """Bytes of padding in a written value."""
    deadline: Micros = 5_000_000
    """After this long an operation is given up: its outcome is unknown."""


class Snapshotting(msgspec.Struct, frozen=True, kw_only=True):
    """When snapshots are taken, and what is kept behind them."""

    entries: int = 0
    """Applied since the last one; 0: never."""
    keep: int = 0
    """Entries kept behind the newest."""
    most: int = 1_000
    """Entries of a log beyond which no follower is waited for."""
    takes: tuple[Micros, ...] = (1_000, 20_000, 200_000)
    """What it takes to write one, or to fetch one, drawn evenly; on the node tier each piece of that work."""
    part: int = 8 << 20
    """Bytes of a part, of which one at a time is written or asked for (node tier)."""
    rate: int = 64 << 20
    """Bytes of snapshots that a node gives its peers per second (node tier)."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Invariants: faults are in the order of their times; all of them begin within `span`."""

    seed: int
    tier: Tier
    span: Micros
    """Virtual time under faults; the recovery that every run ends with comes after it."""
    voters: int = 3
    learners: int = 0
    strangers: int = 0
    """Nodes that wait for somebody to add them (core tier)."""
    settings: Settings = Settings()
    weather: Weather = Weather()
    """Between faults."""
    sync: tuple[Micros, ...] = (200, 300, 500, 2_000, 20_000)
    """What a sync takes, drawn evenly."""
    segment: int = 64 << 10
    """Bytes of a segment of the log (node tier)."""
    early: Micros = 0
    """How much long timers come early, as on loops that count in milliseconds (node tier)."""
    started: Micros = 10_000_000
    """What the clocks show when the run begins."""
    snapshot: Snapshotting = Snapshotting()
    workload: Workload = Workload()
    faults: tuple[AnyFault, ...] = ()
    format: int = FORMAT

    def __post_init__(self) -> None:
        times = [fault.at for fault in self.faults]
        if times != sorted(times):
            raise ValueError("the faults of a plan must be in the order of their times")
        if times and not 0 <= times[0] <= times[-1] <= self.span:
            raise ValueError(f"a fault at {times[0]} or {times[-1]} us lies outside the run's {self.span} us")

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes, first voters, then learners, then strangers: `n1`, `n2`, ..."""
        count = self.voters + self.learners + self.strangers
        return tuple(f"n{number}" for number in range(1, count + 1))

    def random(self, purpose: str) -> Random:
        """The generator for one purpose; equal for equal plans' seeds."""
        return Random(f"{self.seed}/{purpose}")


def encode(plan: Plan) -> bytes:
    """The plan as JSON that people can read and change."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=2)


def decode(text: bytes) -> Plan:
    """The plan in a file.

    Raises:
        ValueError: it is not a plan of this format; the message says where it stops being one.
    """
    try:
        plan = msgspec.json.decode(text, type=Plan)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a plan of format {FORMAT}: {error}") from error
    if plan.format != FORMAT:
        raise ValueError(f"a plan of format {plan.format}; this version reads format {FORMAT}")
    return plan
