"""Schedules by name: which faults a run meets, and when, drawn from a seed.

A schedule leaves the beginning and the end of its span in peace: there is traffic to hurt, and traffic after it. The
faults follow each other with pauses in which the cluster may recover; those of `mix` overlap.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

from jepsen_like.sim.faults import (
    LEADER,
    AnyFault,
    Crash,
    Damage,
    DiskFull,
    DiskSlow,
    DiskStall,
    Drift,
    Kill,
    OneWay,
    Partition,
    Pause,
    Ring,
    SlowLink,
    Squall,
    Stop,
    WallJump,
)
from raftlog.core.ids import Micros
from raftlog.testing.network import Weather

SECOND: Micros = 1_000_000
PEACE: Micros = 4 * SECOND
"""At the beginning; twice as long at the end."""
PERIOD: Micros = 9 * SECOND
"""From one fault to the next."""

Draw = Callable[[Random, Sequence[str], Micros], Iterator[AnyFault]]
"""The faults that begin at a moment, drawn for nodes of these names."""


def schedule(name: str, random: Random, nodes: Sequence[str], span: Micros) -> tuple[AnyFault, ...]:
    """The faults of one run.

    Raises:
        KeyError: no schedule has this name (`SCHEDULES` has them all).
    """
    draws = SCHEDULES[name]
    faults: list[AnyFault] = []
    at = PEACE
    while draws and at + PERIOD <= span - 2 * PEACE:
        faults += random.choice(draws)(random, nodes, at)
        at += PERIOD if name != "mix" else PERIOD // 2
    return tuple(sorted(faults, key=lambda fault: fault.at))


def _someone(random: Random, nodes: Sequence[str]) -> str:
    """The leader every other time: that is where it hurts."""
    return LEADER if random.random() < 0.5 else random.choice(nodes)


def _minority(random: Random, nodes: Sequence[str]) -> tuple[str, ...]:
    return tuple(random.sample(list(nodes), max(1, (len(nodes) - 1) // 2)))


def _kill(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield Kill(at=at, nodes=(_someone(random, nodes),), down=random.randint(1, 3) * SECOND)


def _kill_all(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield Kill(at=at, nodes=tuple(nodes), down=SECOND)


def _stop(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield Stop(at=at, nodes=(_someone(random, nodes),), down=SECOND)


def _power(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield Crash(at=at, nodes=tuple(nodes), down=SECOND)


def _pause(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield Pause(at=at, nodes=(_someone(random, nodes),), span=random.randint(1, 4) * SECOND)


def _halves(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    small = _minority(random, nodes)
    rest = tuple(node for node in nodes if node not in small)
    yield Partition(at=at, sides=(small, rest), span=6 * SECOND)


def _isolated(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield Partition(at=at, sides=((LEADER,), tuple(nodes)), span=6 * SECOND)


def _bridge(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    """Two halves that only one node reaches both of."""
    shuffled = random.sample(list(nodes), len(nodes))
    half = (len(nodes) - 1) // 2
    yield Partition(at=at, sides=(tuple(shuffled[:half]), tuple(shuffled[half:-1])), span=6 * SECOND)


def _ring(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield Ring(at=at, nodes=tuple(random.sample(list(nodes), len(nodes))), span=6 * SECOND)


def _one_way(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    deaf = random.choice(nodes)
    others = tuple(node for node in nodes if node != deaf)
    ends = ((deaf,), others) if random.random() < 0.5 else (others, (deaf,))
    yield OneWay(at=at, origins=ends[0], targets=ends[1], span=6 * SECOND)


def _wall(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield WallJump(at=at, node=_someone(random, nodes), by=random.choice((-3_600, -2, 2, 3_600)) * SECOND)


def _drift(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield Drift(at=at, node=random.choice(nodes), ppm=random.choice((-200_000, 200_000)), span=4 * SECOND)


def _stall(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield DiskStall(at=at, node=_someone(random, nodes), span=3 * SECOND)


def _slow(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    latency = random.choice((20_000, 100_000, 500_000))
    yield DiskSlow(at=at, node=_someone(random, nodes), latency=latency, span=4 * SECOND)


def _full(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    yield DiskFull(at=at, node=_someone(random, nodes), span=4 * SECOND)


def _damage(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    how = random.choice(("flip", "zero"))
    yield Damage(at=at, node=random.choice(nodes), how=how, place=random.random(), down=SECOND)


def _slow_link(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    origin, target = random.sample(list(nodes), 2)
    delay = random.choice((50_000, 300_000))
    yield SlowLink(at=at, origin=origin, target=target, delay=delay, span=5 * SECOND)


def _squall(random: Random, nodes: Sequence[str], at: Micros) -> Iterator[AnyFault]:
    weather = Weather(delay=(5_000, random.choice((20_000, 100_000))), loss=random.choice((0.0, 0.02, 0.1)))
    yield Squall(at=at, weather=weather, span=5 * SECOND)


SCHEDULES: Mapping[str, Sequence[Draw]] = {
    "none": (),
    "kill": (_kill, _kill, _kill_all, _stop),
    "power": (_power,),
    "pause": (_pause,),
    "partition": (_halves, _isolated),
    "ring": (_ring,),
    "bridge": (_bridge,),
    "one-way": (_one_way,),
    "clock": (_wall, _drift),
    "disk": (_stall, _slow, _full),
    "damage": (_damage,),
    "slow-link": (_slow_link, _squall),
    "mix": (_kill, _pause, _halves, _isolated, _one_way, _wall, _drift, _stall, _slow, _slow_link, _squall),
}
"""Every schedule by its name. `power` needs nodes on volatile disks."""
