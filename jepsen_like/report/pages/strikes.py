"""The faults of a run as plots show them: a name, a kind that gives the colour, and from when to when."""

from collections.abc import Iterator, Sequence

import msgspec

from jepsen_like.cluster.trial import Struck
from jepsen_like.sim import notation
from jepsen_like.sim.faults import (
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


class Strike(msgspec.Struct, frozen=True):
    """One fault in a plot. `kind` is `process`, `network`, `clock` or `disk`."""

    text: str
    kind: str
    began: float
    ended: float


def strikes(struck: Sequence[Struck]) -> list[Strike]:
    """Those that could be done, in the order of their beginnings."""
    return sorted(_strikes(struck), key=lambda each: (each.began, each.ended))


def _strikes(struck: Sequence[Struck]) -> Iterator[Strike]:
    for each in struck:
        if each.ended is not None:
            yield Strike(text(each), kind(each.fault), each.began, each.ended)


def kind(fault: AnyFault) -> str:
    """What of a cluster it hurts."""
    match fault:
        case (
            Crash()
            | Kill()
            | Stop()
            | Pause()
            | Hang()
            | Failpoint()
            | Campaign()
            | MemberChange()
            | Transfer()
        ):
            return "process"
        case Partition() | OneWay() | Ring() | Maroon() | Squall() | SlowLink():
            return "network"
        case Drift() | WallJump():
            return "clock"
        case DiskStall() | DiskSlow() | DiskFails() | DiskFull() | Damage() | DamageSnapshot() | Wipe():
            return "disk"


def text(struck: Struck) -> str:
    """What was done to whom, short: `kill n2`. The leader of that moment has its name."""
    names = list(dict.fromkeys(struck.targets))
    who = ", ".join(names)
    match struck.fault:
        case Crash():
            return f"power lost: {who}"
        case Partition(sides=sides):
            return f"partition {' | '.join(map(' '.join, _sides(sides, struck.targets)))}"
        case OneWay(origins=origins):
            count = len(origins)
            return f"one way: not {' '.join(struck.targets[:count])} to {' '.join(struck.targets[count:])}"
        case SlowLink(delay=delay):
            return f"slow link {' to '.join(struck.targets)}: {notation.span_text(delay)}"
        case Squall(weather=weather):
            lost = f", {weather.loss:.0%} lost" if weather.loss else ""
            return f"squall: up to {notation.span_text(weather.delay[1])}{lost}"
        case Drift(ppm=ppm):
            return f"clock of {who} runs {ppm / 10_000:+g}%"
        case WallJump(by=by):
            return f"wall clock of {who} {by / 1_000_000:+g} s"
        case DiskStall():
            return f"disk of {who} stalls"
        case DiskSlow(latency=latency):
            return f"disk of {who}: {notation.span_text(latency)} a sync"
        case DiskFails(operation=operation):
            return f"disk of {who} fails a {operation}"
        case DiskFull():
            return f"disk of {who} full"
        case Damage(how=how):
            return f"damage {who}: {how}"
        case Failpoint(arm=arm):
            return f"failpoint {arm} on {who}"
        case MemberChange(how=how):
            return f"membership: {how} {who}"
        case Transfer():
            return f"hand over to {who}"
        case Kill() | Stop() | Pause() | Wipe() | Ring() | Hang() | Maroon() | DamageSnapshot() | Campaign():
            return f"{type(struck.fault).__name__.lower()} {who}"


def _sides(sides: Sequence[Sequence[str]], targets: Sequence[str]) -> Iterator[list[str]]:
    """Who was on each side: a leader that stands alone is not named again among the rest."""
    left, seen = iter(targets), set[str]()
    for side in sides:
        named = [next(left, "?") for _ in side]
        yield [each for each in named if each not in seen]
        seen.update(named)


def clocks(struck: Sequence[Struck], end: float) -> dict[str, list[tuple[float, float]]]:
    """How far each node's wall clock was ahead (seconds), as lines over time; {} when no clock was touched.

    What was done to a clock is told, not measured: a process has its clock from the machine when it starts, so a node
    that starts again is right again.
    """
    moments: list[tuple[float, int, str, float]] = []
    for each in struck:
        if each.ended is None or not each.targets:
            continue
        node = each.targets[0]
        match each.fault:
            case WallJump(by=by):
                moments.append((each.began, 0, node, by / 1e6))
            case Drift(ppm=ppm):
                moments += [(each.began, 1, node, ppm / 1e6), (each.ended, 1, node, 0.0)]
            case Crash() | Kill() | Stop() | Wipe() | Damage() | DiskFails() | Failpoint():
                moments += [(each.ended, 2, name, 0.0) for name in dict.fromkeys(each.targets)]
            case _:
                pass
    touched = sorted({node for _, what, node, _ in moments if what < 2})
    return {
        node: _line([(at, what, by) for at, what, whose, by in sorted(moments) if whose == node], end)
        for node in touched
    }


def _line(moments: Sequence[tuple[float, int, float]], end: float) -> list[tuple[float, float]]:
    """Jumps (0), new rates (1) and restarts (2) as a line from 0 to `end`."""
    points, ahead, rate = [(0.0, 0.0)], 0.0, 0.0
    for at, what, by in moments:
        ahead += rate * (at - points[-1][0])
        points.append((at, ahead))
        if what == 1:
            rate = by
            continue
        ahead, rate = (ahead + by, rate) if what == 0 else (0.0, 0.0)
        points.append((at, ahead))
    points.append((end, ahead + rate * (end - points[-1][0])))
    return points
