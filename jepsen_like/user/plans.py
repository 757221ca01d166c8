"""From what a user asks for to a plan: the swarm's settings, weather and faults, on their number of nodes."""

from collections.abc import Sequence
from random import Random
from typing import TypeAlias

import msgspec

from jepsen_like.sim import notation
from jepsen_like.sim.faults import AnyFault, Failpoint, Fault
from jepsen_like.sim.plan import RESERVED, Plan
from jepsen_like.sim.plan import Workload as PlannedWorkload
from jepsen_like.sim.swarm import DRAWS, draw
from raftlog.core.ids import Micros
from raftlog.core.settings import Settings

Faults: TypeAlias = Sequence[str] | Sequence[AnyFault] | None
"""Kinds by name, or faults with their times, or None: whatever the swarm draws."""

FIRST: Micros = 1_000_000
"""Before the first fault: there must be a cluster to hurt."""
SHORTEST: Micros = 3_000_000


class Demand(msgspec.Struct, frozen=True):
    """What stays the same from seed to seed.

    Raises, when it is made from `demand`: ValueError, in the user's words.
    """

    nodes: int
    clients: int
    span: Micros
    deadline: Micros
    kinds: tuple[str, ...] | None
    """None: all that the swarm has."""
    faults: tuple[AnyFault, ...] = ()


def demand(*, nodes: int, clients: int, span: str, deadline: float, faults: Faults) -> Demand:
    """Check what a user asks for.

    Raises:
        ValueError: it makes no sense; the sentence says what would.
    """
    if not 1 <= nodes <= 9:
        raise ValueError(f"a cluster of {nodes} nodes: 1 to 9 can be simulated, 3 or 5 are usual")
    if clients < 1:
        raise ValueError("without a client nobody calls the machine: clients must be 1 or more")
    micros = notation.span(span)
    values, names = _sorted_out(faults)
    if micros < SHORTEST and (faults is None or names):
        raise ValueError(f"a span of {span} ends before the first fault: give it 3s or more, or faults=()")
    return Demand(nodes, clients, micros, round(deadline * 1e6), names, values)


def _sorted_out(faults: Faults) -> tuple[tuple[AnyFault, ...], tuple[str, ...] | None]:
    if faults is None:
        return (), None
    if isinstance(faults, str):
        raise ValueError(f"faults={faults!r} is one string: write faults=({faults!r},)")
    values = tuple(each for each in faults if isinstance(each, Fault))
    names = tuple(each for each in faults if isinstance(each, str))
    if values and names:
        raise ValueError("faults are either names of kinds or values with times, not both")
    if unknown := [name for name in names if not _kinds(name)]:
        raise ValueError(f"there is no fault {unknown[0]!r}; there are: {', '.join(KINDS)}")
    return tuple(sorted(values, key=lambda each: each.at)), names


def _base(kind: str) -> str:
    """The swarm has some kinds twice, to draw them more often."""
    name, _, number = kind.rpartition("-")
    return name if name and number.isdigit() else kind


def _kinds(name: str) -> list[str]:
    return [kind for kind in sorted(DRAWS["node"]) if _base(kind) == name]


KINDS = tuple(sorted({_base(kind) for kind in DRAWS["node"] if not kind.startswith("failpoint")}))
"""The names of faults that can be asked for. Failpoints lie in raftlog's own code and are its own tests' affair."""


def plan_for(seed: int, wanted: Demand) -> Plan:
    """The plan of a seed. Sizes are those of real nodes, so that a user's commands fit.

    Raises:
        ValueError: the seed is reserved or negative.
    """
    if not 0 <= seed < RESERVED:
        raise ValueError(f"seed {seed:,}: seeds are 0 to {RESERVED - 1:,}")
    drawn = draw(seed, "node", span=wanted.span)
    times = drawn.settings
    usual = Settings(election_timeout=times.election_timeout, heartbeat=times.heartbeat)
    names = tuple(f"n{number}" for number in range(1, wanted.nodes + 1))
    return msgspec.structs.replace(
        drawn,
        voters=wanted.nodes,
        learners=0,
        settings=usual,
        segment=1 << 20,
        workload=PlannedWorkload(clients=wanted.clients, deadline=wanted.deadline),
        faults=wanted.faults or _draw(Random(f"{seed}/user/faults"), wanted, names),
    )


def _draw(random: Random, wanted: Demand, names: tuple[str, ...]) -> tuple[AnyFault, ...]:
    asked = KINDS if wanted.kinds is None else wanted.kinds
    if not asked:
        return ()
    if wanted.kinds is None:
        asked = tuple(random.sample(asked, random.randint(1, min(6, len(asked)))))
    kinds = [kind for name in asked for kind in _kinds(name)]
    gap = random.choice((300_000, 1_000_000, 2_000_000))
    found: list[AnyFault] = []
    at = FIRST + random.randrange(FIRST)
    while at < wanted.span:
        fault = DRAWS["node"][random.choice(kinds)](random, at, names)
        if not isinstance(fault, Failpoint):
            found.append(fault)
        at += max(1, round(random.expovariate(1 / gap)))
    return tuple(found)
