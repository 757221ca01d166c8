"""What is a simpler plan than this one: each way of cutting a plan down offers candidates, the boldest first."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec

from jepsen_like.sim.faults import LEADER, AnyFault, Partition, Squall
from jepsen_like.sim.plan import Plan, Snapshotting, Workload
from raftlog.core.ids import Micros
from raftlog.core.settings import Settings
from raftlog.testing.network import Weather

MILLISECOND: Micros = 1_000
SHORTEST: Micros = MILLISECOND
CALM = Weather()
WORKLOAD = Workload(clients=1, rate=2.0, keys=1, reads=0.0, swaps=0.0)
"""As little as a client can do; how long it waits for an answer is left as it is."""

Reduction: TypeAlias = Callable[[Plan], Iterator[Plan]]


def fitted(plan: Plan, **changes: Any) -> Plan:
    """The plan with these fields changed, its faults without what is gone: nodes, clients, times beyond the span."""
    changed: Plan = msgspec.structs.replace(plan, **{**changes, "faults": ()})
    clients = {f"c{number}" for number in range(1, changed.workload.clients + 1)}
    there = {*changed.names, *clients, LEADER}
    faults = (
        _among(fault, there) for fault in changes.get("faults", plan.faults) if fault.at <= changed.span
    )
    return msgspec.structs.replace(changed, faults=tuple(fault for fault in faults if fault is not None))


def _among(fault: AnyFault, there: set[str]) -> AnyFault | None:
    """The fault, done to those who are there; None when nobody is left whom it could be done to."""
    if isinstance(fault, Partition):
        sides = tuple(tuple(name for name in side if name in there) for side in fault.sides)
        sides = tuple(side for side in sides if side)
        return msgspec.structs.replace(fault, sides=sides) if len(sides) > 1 else None
    changes = {}
    for field in ("nodes", "origins", "targets"):
        if (names := getattr(fault, field, None)) is not None:
            changes[field] = tuple(name for name in names if name in there)
    alone = [getattr(fault, field) for field in ("node", "origin", "target") if hasattr(fault, field)]
    if not all(changes.values()) or not all(name in there for name in alone):
        return None
    return msgspec.structs.replace(fault, **changes)


def spans(plan: Plan) -> Iterator[Plan]:
    """Shorter runs; the recovery comes as soon as they end."""
    for part in (0.25, 0.5, 0.75, 0.9):
        yield fitted(plan, span=max(100 * MILLISECOND, round(plan.span * part)))


def gaps(plan: Plan) -> Iterator[Plan]:
    """Less waiting before each fault: it and all later ones come earlier, and so does the end."""
    before = 0
    for number, fault in enumerate(plan.faults):
        for less in ((fault.at - before) * 3 // 4, (fault.at - before) // 4):
            if less >= 10 * MILLISECOND:
                later = (msgspec.structs.replace(each, at=each.at - less) for each in plan.faults[number:])
                yield fitted(plan, faults=(*plan.faults[:number], *later), span=plan.span - less)
        before = fault.at


def nodes(plan: Plan) -> Iterator[Plan]:
    """Fewer nodes, strangers and learners first."""
    if plan.strangers:
        yield fitted(plan, strangers=0)
    if plan.learners:
        yield fitted(plan, learners=0)
    for voters in range(1, plan.voters):
        yield fitted(
            plan,
            voters=voters,
            faults=tuple(_moved(fault, voters + plan.learners + plan.strangers) for fault in plan.faults),
        )
        yield fitted(plan, voters=voters)


def _moved(fault: AnyFault, nodes: int) -> AnyFault:
    """The fault, with the nodes beyond so many replaced by those that stay."""

    def moved(name: str) -> str:
        return f"n{(int(name[1:]) - 1) % nodes + 1}" if name.startswith("n") else name

    changes: dict[str, Any] = {}
    for field in ("nodes", "origins", "targets"):
        if names := getattr(fault, field, ()):
            changes[field] = tuple(dict.fromkeys(map(moved, names)))
    for field in ("node", "origin", "target"):
        if hasattr(fault, field):
            changes[field] = moved(getattr(fault, field))
    if isinstance(fault, Partition):
        changes["sides"] = _apart([[moved(name) for name in side] for side in fault.sides])
    return msgspec.structs.replace(fault, **changes)


def _apart(sides: list[list[str]]) -> tuple[tuple[str, ...], ...]:
    """The sides, with nobody on two of them."""
    seen: set[str] = set()
    apart = []
    for side in sides:
        apart.append(tuple(dict.fromkeys(name for name in side if name not in seen)))
        seen.update(side)
    return tuple(apart)


def clients(plan: Plan) -> Iterator[Plan]:
    """Less work, all at once or knob by knob."""
    work = plan.workload
    yield fitted(plan, workload=msgspec.structs.replace(WORKLOAD, deadline=work.deadline, rate=work.rate))
    for number in range(1, work.clients):
        yield fitted(plan, workload=msgspec.structs.replace(work, clients=number))
    for field in ("keys", "reads", "swaps", "size", "rate"):
        yield fitted(plan, workload=msgspec.structs.replace(work, **{field: getattr(WORKLOAD, field)}))
    if work.rate > 2 * WORKLOAD.rate:
        yield fitted(plan, workload=msgspec.structs.replace(work, rate=work.rate / 2))


def weather(plan: Plan) -> Iterator[Plan]:
    """Calmer weather and faster disks between the faults."""
    yield fitted(plan, weather=CALM, sync=(300,), early=0)
    yield fitted(plan, weather=CALM)
    for calmer in _calmer(plan.weather):
        yield fitted(plan, weather=calmer)
    yield fitted(plan, sync=(300,))
    yield fitted(plan, early=0)


def _calmer(weather: Weather) -> Iterator[Weather]:
    for field in dataclasses.fields(Weather):
        if getattr(weather, field.name) != field.default:
            changed: dict[str, Any] = {field.name: field.default}
            yield dataclasses.replace(weather, **changed)


def knobs(plan: Plan) -> Iterator[Plan]:
    """Settings, clocks and segments as they usually are."""
    usual = Plan(seed=0, tier=plan.tier, span=plan.span)
    yield fitted(plan, settings=usual.settings, started=usual.started, segment=usual.segment)
    for changed in _usual(plan.settings):
        yield fitted(plan, settings=changed)
    yield fitted(plan, started=usual.started)
    yield fitted(plan, segment=usual.segment)


def snapshots(plan: Plan) -> Iterator[Plan]:
    """No snapshots, or fewer, with nothing out of the ordinary about them."""
    usual = Snapshotting()
    if plan.snapshot == usual:
        return
    yield fitted(plan, snapshot=usual)
    for changes in (
        {"keep": 0},
        {"most": usual.most},
        {"takes": (1_000,)},
        {"entries": plan.snapshot.entries * 4},
    ):
        yield fitted(plan, snapshot=msgspec.structs.replace(plan.snapshot, **changes))


def _usual(settings: Settings) -> Iterator[Settings]:
    for field in Settings.__struct_fields__:
        try:
            yield msgspec.structs.replace(settings, **{field: getattr(Settings(), field)})
        except ValueError:
            continue  # the sizes would not nest


def faults(plan: Plan) -> Iterator[Plan]:
    """Each fault milder: shorter, done to fewer nodes, in round numbers."""
    for number, fault in enumerate(plan.faults):
        for milder in _milder(fault):
            changed = (*plan.faults[:number], milder, *plan.faults[number + 1 :])
            yield fitted(plan, faults=tuple(sorted(changed, key=lambda each: each.at)))


def _milder(fault: AnyFault) -> Iterator[AnyFault]:
    replace = msgspec.structs.replace
    for field in ("span", "down"):
        lasts = getattr(fault, field, 0)
        for shorter in (lasts // 8, lasts // 2):
            if shorter >= SHORTEST:
                yield replace(fault, **{field: _round(shorter)})
    for field in ("nodes", "origins", "targets"):
        names = getattr(fault, field, ())
        if len(names) > 1:
            yield from (replace(fault, **{field: (name,)}) for name in names)
            yield from (
                replace(fault, **{field: (*names[:at], *names[at + 1 :])}) for at in range(len(names))
            )
    if isinstance(fault, Partition):
        for number, side in enumerate(fault.sides):
            for fewer in (side[:at] + side[at + 1 :] for at in range(len(side)) if len(side) > 1):
                yield replace(fault, sides=(*fault.sides[:number], fewer, *fault.sides[number + 1 :]))
    if isinstance(fault, Squall):
        yield from (replace(fault, weather=calmer) for calmer in _calmer(fault.weather))
    if (at := _round(fault.at)) != fault.at:
        yield replace(fault, at=at)


def _round(time: Micros) -> Micros:
    """Down to two leading digits: `1.2s` reads better than `1.234567s`."""
    unit: Micros = 10 ** max(0, len(str(time)) - 2)
    return time - time % unit


def without_faults(plan: Plan, start: int, number: int) -> Plan:
    """The plan without some of its faults in a row."""
    return fitted(plan, faults=(*plan.faults[:start], *plan.faults[start + number :]))


def reseeded(plan: Plan, number: int) -> Plan:
    """The same plan under other dice: a smaller plan may miss the bug by a hair's breadth."""
    return msgspec.structs.replace(plan, seed=(plan.seed * 31 + number) % 1_000_000_007)
