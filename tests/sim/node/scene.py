"""Plans made by hand for the node tier, and runs of them with everything that happened."""

from collections.abc import Sequence
from dataclasses import dataclass

from jepsen_like.sim.faults import AnyFault
from jepsen_like.sim.happening import Happening, Kind
from jepsen_like.sim.node import Simulation
from jepsen_like.sim.plan import Plan, Snapshotting, Workload
from jepsen_like.sim.verdict import Run
from raftlog.core.ids import Micros
from raftlog.core.settings import Settings
from raftlog.testing.network import Weather

SECOND: Micros = 1_000_000
AT: Micros = 3 * SECOND
"""When the fault of a scene strikes: there is a leader, and clients are at work."""


def plan(
    *faults: AnyFault,
    seed: int = 1,
    voters: int = 3,
    learners: int = 0,
    span: Micros = 6 * SECOND,
    size: int = 0,
    sync: tuple[Micros, ...] = (300, 500),
    snapshot: Snapshotting | None = None,
) -> Plan:
    """A calm run with these faults."""
    return Plan(
        seed=seed,
        tier="node",
        span=span,
        voters=voters,
        learners=learners,
        settings=Settings(election_timeout=300_000, heartbeat=50_000),
        weather=Weather(delay=(100, 400)),
        sync=sync,
        segment=32 << 10,
        snapshot=snapshot or Snapshotting(),
        workload=Workload(clients=3, rate=10.0, keys=3, size=size),
        faults=faults,
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """A run and all that was told of it."""

    simulation: Simulation
    run: Run
    happenings: Sequence[Happening]

    def between(
        self, start: Micros, end: Micros, kind: Kind, *, lane: str = "", peer: str = ""
    ) -> list[Happening]:
        """What of this kind happened after `start` and before `end`, there and with that other end."""
        return [
            each
            for each in self.happenings
            if start < each.at < end
            and each.kind == kind
            and lane in ("", each.lane)
            and peer in ("", each.peer)
        ]

    def first(self, kind: Kind, text: str) -> Happening:
        """The first happening of this kind whose text begins so."""
        return next(each for each in self.happenings if each.kind == kind and each.text.startswith(text))


def play(made: Plan) -> Seen:
    """Run a plan that must pass."""
    happenings: list[Happening] = []
    simulation = Simulation(made, watch=happenings.append)
    run = simulation.run()
    assert run.outcome == "passed", f"{run.oracle}: {run.problem}"
    return Seen(simulation, run, happenings)
