"""Draws a plan from a seed, swarm style: each run has its own small set of faults, so that no fault hides another.

Source: Groce et al., Swarm Testing (ISSTA 2012): leaving features out at random finds more than using all of them.
"""

from collections.abc import Callable
from random import Random

from jepsen_like.sim.faults import (
    LEADER,
    AnyFault,
    Campaign,
    Crash,
    Damage,
    DamageSnapshot,
    DiskFails,
    DiskFull,
    DiskSlow,
    DiskStall,
    Drift,
    Failpoint,
    Hang,
    How,
    Kill,
    Maroon,
    MemberChange,
    OneWay,
    Partition,
    Pause,
    Ring,
    SlowLink,
    Squall,
    Stop,
    Transfer,
    WallJump,
    Wipe,
)
from jepsen_like.sim.plan import Plan, Snapshotting, Tier, Workload
from raftlog.core.ids import Micros
from raftlog.core.settings import Settings
from raftlog.failpoints import ALL
from raftlog.testing.network import Weather

SECOND: Micros = 1_000_000
SPAN: Micros = 30 * SECOND
CALM: Micros = 2 * SECOND
"""Before the first fault, so that there is a cluster to hurt."""


def draw(seed: int, tier: Tier, *, span: Micros = SPAN) -> Plan:
    """The plan that this seed stands for."""
    random = Random(f"{seed}/{tier}/plan")
    voters, learners = random.choice(
        ((3, 0), (3, 0), (5, 0), (5, 0), (3, 1), (4, 0), (1, 0) if tier == "core" else (3, 0))
    )
    names = tuple(f"n{number}" for number in range(1, voters + learners + 1))
    settings = _settings(random)
    strangers, changes = _changes(Random(f"{seed}/{tier}/changes"), tier, voters + learners, span)
    return Plan(
        seed=seed,
        tier=tier,
        span=span,
        voters=voters,
        learners=learners,
        strangers=strangers,
        settings=settings,
        weather=_weather(random, calm=random.random() < 0.4),
        sync=random.choice(((200, 300, 500), (200, 300, 500, 2_000, 20_000), (1_000, 5_000, 30_000, 80_000))),
        segment=random.choice((32 << 10, 32 << 10, 64 << 10, 256 << 10)),
        early=random.choice((0, 400, 1_000)),
        started=random.choice((10 * SECOND, 2**31 * 1_000 - 10 * SECOND, 2**53 - 10 * SECOND)),
        snapshot=_snapshotting(Random(f"{seed}/{tier}/snapshots")),
        workload=_workload(random, settings),
        faults=tuple(sorted((*_faults(random, tier, names, span), *changes), key=lambda fault: fault.at)),
    )


def _changes(random: Random, tier: Tier, nodes: int, span: Micros) -> tuple[int, list[AnyFault]]:
    """In every second run the membership changes, or the office changes hands on purpose, or both: beside other faults.

    Drawn apart, so that a run without it is what it was. How many strangers wait, and who asks for what and when.
    """
    if tier == "node" or random.random() < 0.5:
        return 0, []
    strangers = random.choice((0, 1, 1, 2))
    names = tuple(f"n{number}" for number in range(1, nodes + strangers + 1))
    transfers = random.choice((0.0, 0.2, 0.2, 0.5, 1.0))
    gap = random.choice((0.3, 1.0, 2.0)) * SECOND
    faults: list[AnyFault] = []
    at = CALM + random.randrange(SECOND)
    while at < span:
        if random.random() < transfers:
            faults.append(Transfer(at=at, node=random.choice((LEADER, *names))))
        else:
            faults.append(_member_change(random, at, names))
        at += max(1, round(random.expovariate(1 / gap)))
    return strangers, faults


def _member_change(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    how: How = random.choice(
        (
            "grow",
            "grow",
            "learn",
            "promote",
            "demote",
            "shrink",
            "shrink",
            "replace",
            "replace-later",
            "reshape",
        )
    )
    few = random.choice((1, 1, 2))
    count = random.randint(1, min(5, len(names))) if how == "reshape" else few
    nodes = random.sample(
        names, len(names) if how in ("replace", "replace-later") else min(count, len(names))
    )
    if how == "shrink" and random.random() < 0.2:
        nodes = [LEADER]
    force, blind = random.random() < 0.3, random.random() < 0.5
    return MemberChange(at=at, how=how, nodes=tuple(nodes), force=force, blind=blind)


def _settings(random: Random) -> Settings:
    election_timeout = random.choice((300_000, 500_000, 1_000_000, 1_000_000))
    max_append = random.choice((512, 4 << 10, 256 << 10))
    max_inflight = max_append * random.choice((1, 3, 8))
    return Settings(
        election_timeout=election_timeout,
        heartbeat=election_timeout // random.choice((4, 10)),
        max_append=max_append,
        max_inflight=max_inflight,
        max_undecided=max_inflight * random.choice((2, 64)),
        max_recent=random.choice((64, 4 << 10, 16 << 20)),
    )


def _weather(random: Random, *, calm: bool) -> Weather:
    low = random.choice((50, 200, 1_000))
    delay = (low, low * random.choice((2, 10, 40)))
    if calm:
        return Weather(delay=delay)
    return Weather(
        delay=delay,
        loss=random.choice((0.0, 0.01, 0.05)),
        duplicate=random.choice((0.0, 0.01, 0.1)),
        reorder=random.choice((0.0, 0.02, 0.2)),
        breaks=random.choice((0.0, 0.0, 0.001)),
    )


def _snapshotting(random: Random) -> Snapshotting:
    """Often after a few entries, so that a short run has many; sometimes never."""
    if random.random() < 0.2:
        return Snapshotting()
    return Snapshotting(
        entries=random.choice((1, random.randint(2, 20), random.randint(2, 20), 100)),
        keep=random.choice((0, 0, random.randint(1, 20), 50)),
        most=random.choice((1, 5, 20, 1_000)),
        takes=random.choice(((1_000,), (1_000, 20_000, 200_000), (50_000, 1_000_000))),
        part=random.choice((512, 4 << 10, 64 << 10)),
        rate=random.choice((64 << 20, 64 << 10, 16 << 10)),
    )


def _workload(random: Random, settings: Settings) -> Workload:
    size = random.choice((0, 0, 100, 2_000, 2_000))
    return Workload(
        clients=random.choice((2, 3, 5)),
        rate=random.choice((5.0, 10.0, 20.0)),
        keys=random.choice((1, 3, 8)),
        reads=random.choice((0.2, 0.4, 0.7)),
        swaps=random.choice((0.0, 0.2, 0.5)),
        # An entry that can never fit is refused as busy for ever.
        size=min(size, settings.max_undecided // 4),
    )


MOMENTARY = frozenset({"campaign", "damage", "damage-snapshot", "disk-fails", "wall-jump", "wipe"})
"""Done in a moment, and often over in a moment."""
DESTRUCTIVE = frozenset({"damage", "damage-snapshot", "wipe"})
SELDOM = 0.2
"""The weight of faults that destroy a copy: after the first one or two of a run the atlas forbids them."""

Draw = Callable[[Random, Micros, tuple[str, ...]], AnyFault]


def _faults(random: Random, tier: Tier, names: tuple[str, ...], span: Micros) -> tuple[AnyFault, ...]:
    chosen = _kinds(random, tier)
    weights = [SELDOM if kind in DESTRUCTIVE else 1.0 for kind in chosen]
    gap = random.choice((0.3, 0.6, 1.2)) * SECOND
    faults: list[AnyFault] = []
    if any(kind.startswith("failpoint") for kind in chosen):
        faults += _birth(random, names)
    at = CALM + random.randrange(SECOND)
    while at < span:
        (kind,) = random.choices(chosen, weights)
        faults.append(DRAWS[tier][kind](random, at, names))
        at += max(1, round(random.expovariate(1 / gap)))
    return tuple(faults)


def _kinds(random: Random, tier: Tier) -> list[str]:
    """The kinds of this run. One of them lasts, else most of the run would be quiet."""
    kinds = sorted(DRAWS[tier])
    chosen = random.sample(kinds, random.randint(1, min(6, len(kinds))))
    if not any(kind not in MOMENTARY for kind in chosen):
        chosen.append(random.choice([kind for kind in kinds if kind not in MOMENTARY]))
    # Many failpoints lie on the ways into a process and out of it.
    if any(kind.startswith("failpoint") for kind in chosen) and not {"kill", "stop"} & {*chosen}:
        chosen.append(random.choice(("kill", "stop")))
    return chosen


def _some(random: Random, names: tuple[str, ...]) -> tuple[str, ...]:
    """Usually one node, often the leader, now and then several or all."""
    match random.choice(("one", "one", "leader", "leader", "several", "all")):
        case "one":
            return (random.choice(names),)
        case "leader":
            return (LEADER,)
        case "several":
            return tuple(sorted(random.sample(names, random.randint(1, len(names)))))
        case _:
            return names


def _one(random: Random, names: tuple[str, ...]) -> str:
    return LEADER if random.random() < 0.4 else random.choice(names)


def _span(random: Random) -> Micros:
    return random.choice((random.randrange(50_000, 500_000), random.randrange(500_000, 4 * SECOND)))


def _partition(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    nodes = list(names)
    random.shuffle(nodes)
    cut = random.randint(1, max(1, len(nodes) - 1))
    sides = [nodes[:cut], nodes[cut:]]
    if random.random() < 0.3:
        sides = [[LEADER], [*names]]
    if random.random() < 0.3:
        sides[0].append("c1")
    return Partition(at=at, sides=tuple(tuple(side) for side in sides), span=_span(random))


def _deposed(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    """The leader is cut off with a client, for about as long as it takes the others to replace it: logs part."""
    timeout = random.choice((400_000, 800_000, 1_500_000, 2_500_000))
    return Partition(at=at, sides=((LEADER, "c1"), names), span=timeout + random.randrange(timeout))


def _maroon(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    """Long enough for several elections, and each cut about as long as it takes to hold the next one."""
    timeout = random.choice((400_000, 800_000, 1_500_000))
    return Maroon(
        at=at,
        node=random.choice(names),
        alone=timeout + random.randrange(timeout),
        stalls=random.random() < 0.7,
        span=random.randrange(2, 6) * SECOND,
    )


def _one_way(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    origin = _one(random, names)
    pair = ((origin,), tuple(name for name in names if name != origin))
    origins, targets = pair if random.random() < 0.5 else pair[::-1]
    return OneWay(at=at, origins=origins, targets=targets, span=_span(random))


def _ring(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    return Ring(at=at, nodes=tuple(random.sample(names, len(names))), span=_span(random))


def _squall(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    weather = Weather(
        delay=random.choice(((100, 20_000), (10_000, 200_000))),
        loss=random.choice((0.0, 0.1, 0.4)),
        duplicate=random.choice((0.0, 0.3)),
        reorder=random.choice((0.0, 0.5)),
    )
    return Squall(at=at, weather=weather, span=_span(random))


def _slow_link(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    origin = _one(random, names)
    return SlowLink(
        at=at,
        origin=origin,
        target=random.choice(names),
        delay=random.randrange(20_000, 800_000),
        span=_span(random),
    )


def _disk_full(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    span = random.choice((_span(random), random.randrange(4, 12) * SECOND))
    return DiskFull(at=at, node=_one(random, names), span=span)


def _damage(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    how = random.choice(("flip", "zero", "misdirect"))
    return Damage(
        at=at, node=_one(random, names), how=how, place=round(random.random(), 6), down=_span(random)
    )


def _damage_snapshot(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    how = random.choice(("flip", "zero", "lose"))
    return DamageSnapshot(
        at=at, node=_one(random, names), how=how, place=round(random.random(), 6), down=_span(random)
    )


def _failpoint(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    point = random.choice(POINTS)
    action = random.choice(("crash", "crash", "error", "delay"))
    if point.startswith("wal.") and point.endswith(".before_sync"):
        action = "crash"  # what is not synced may be torn then: nothing else there is as telling
    elif point == "applying.before_entry" and random.random() < 0.5:
        action = "error"  # the machine is built anew from the log
    longest = 800 if ALL[point].waits else 200
    what = f"delay({random.randint(1, longest)}ms)" if action == "delay" else action
    # Armed anew at each start, an error that always comes first would keep a node from ever starting.
    first = "40%:" if action == "error" else "1st:"
    later = ("2nd:",) if point.startswith(SCARCE) else ("5th:", "30th:", "10%:")
    when = random.choice((first, *later))
    return Failpoint(at=at, node=_one(random, names), arm=f"{point}={when}{what}", down=_span(random))


def _birth(random: Random, names: tuple[str, ...]) -> list[AnyFault]:
    """Some nodes lose power while their disk is initialised: what is armed at 0 is there before the first start."""
    points = [point for point in POINTS if point.startswith(("bootstrap.", "identity."))]
    return [
        Failpoint(at=0, node=name, arm=f"{random.choice(points)}=crash", down=_span(random))
        for name in names
        if random.random() < 0.4
    ]


def _crash(random: Random, at: Micros, names: tuple[str, ...]) -> AnyFault:
    return Crash(at=at, nodes=_some(random, names), down=_span(random))


SCARCE = (
    "identity.",
    "leftovers.",
    "bootstrap.",
    "ahead.",
    "recovery.",
    "wal.seal.",
    "wal.roll.",
    "wal.shutdown.",
    "wal.truncate.",
    "purge.",
    "quarantine.",
    "snapshot.",
)
"""Reached a few times in a life at most, or once."""
PIVOTAL = (
    "applying.before_entry",
    "wal.append.before_sync",
    "wal.mark.before_sync",
    "wal.roll.before_sync",
    "wal.seal.before_sync",
    "writer.before_retry",
)
"""Where a strike leads on to other points: rebuilding a machine, zeroing a torn write, waiting for space."""
POINTS = [*sorted(ALL), *PIVOTAL * 4, *["wal.roll.before_sync"] * 6]

EVERYWHERE: dict[str, Draw] = {
    "campaign": lambda random, at, names: Campaign(at=at, node=random.choice(names)),
    "crash": _crash,
    "crash-2": _crash,
    "deposed": _deposed,
    "deposed-2": _deposed,
    "disk-slow": lambda random, at, names: DiskSlow(
        at=at, node=_one(random, names), latency=random.randrange(5_000, 400_000), span=_span(random)
    ),
    "disk-stall": lambda random, at, names: DiskStall(at=at, node=_one(random, names), span=_span(random)),
    "drift": lambda random, at, names: Drift(
        at=at, node=_one(random, names), ppm=random.choice((-5_000, -500, 500, 5_000)), span=_span(random)
    ),
    "hang": lambda random, at, names: Hang(at=at, nodes=_some(random, names), span=_span(random)),
    "kill": lambda random, at, names: Kill(at=at, nodes=_some(random, names), down=_span(random)),
    "one-way": _one_way,
    "partition": _partition,
    "partition-2": _partition,
    "pause": lambda random, at, names: Pause(at=at, nodes=_some(random, names), span=_span(random)),
    "ring": _ring,
    "slow-link": _slow_link,
    "squall": _squall,
    "wall-jump": lambda random, at, names: WallJump(
        at=at, node=_one(random, names), by=random.choice((-3_600, -5, 5, 3_600)) * SECOND
    ),
    "wipe": lambda random, at, names: Wipe(at=at, node=_one(random, names), down=_span(random)),
}

NODE_ONLY: dict[str, Draw] = {
    # Among so many kinds: without power loss, what was written and what is durable never part.
    "crash-3": _crash,
    "crash-4": _crash,
    "damage": _damage,
    "damage-snapshot": _damage_snapshot,
    "disk-fails": lambda random, at, names: DiskFails(
        at=at,
        node=_one(random, names),
        operation=random.choice(("read", "write", "sync", "allocate")),
        down=_span(random),
    ),
    "disk-full": _disk_full,
    "failpoint": _failpoint,
    "failpoint-2": _failpoint,
    "failpoint-3": _failpoint,
    "stop": lambda random, at, names: Stop(at=at, nodes=_some(random, names), down=_span(random)),
}

DRAWS: dict[Tier, dict[str, Draw]] = {
    "core": EVERYWHERE | {"damage": _damage, "disk-full": _disk_full, "maroon": _maroon, "maroon-2": _maroon},
    "node": EVERYWHERE | NODE_ONLY,
}
"""How each kind of fault is drawn. A kind that is named twice is chosen twice as often."""
