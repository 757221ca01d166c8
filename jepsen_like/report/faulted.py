"""A fault in words, as traces and summaries tell it: `crash n1, n3 for 250ms`."""

import dataclasses

from jepsen_like.sim import notation
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
from raftlog.core.ids import Micros
from raftlog.testing.network import Weather


def fault_text(fault: AnyFault) -> str:
    """One line, without the time at which it begins."""
    match fault:
        case Crash() | Kill() | Stop():
            return f"{type(fault).__name__.lower()} {_all(fault.nodes)}, down{_for(fault.down)}"
        case Pause() | Hang():
            return f"{type(fault).__name__.lower()} {_all(fault.nodes)}{_for(fault.span)}"
        case Wipe():
            return f"wipe {fault.node}, down{_for(fault.down)}"
        case Partition():
            return f"partition {' | '.join(map(_all, fault.sides))}{_for(fault.span)}"
        case OneWay():
            return f"one way: nothing from {_all(fault.origins)} to {_all(fault.targets)}{_for(fault.span)}"
        case Ring():
            return f"ring {_all(fault.nodes)}{_for(fault.span)}"
        case Maroon():
            stalls = ", whose disk stalls" if fault.stalls else ""
            alone = notation.span_text(fault.alone)
            return f"maroon leaders with {fault.node}{stalls}, each for {alone}{_for(fault.span)}"
        case Squall():
            return f"squall: {weather_text(fault.weather)}{_for(fault.span)}"
        case SlowLink():
            late = notation.span_text(fault.delay)
            return f"slow link {fault.origin} -> {fault.target}: {late} longer{_for(fault.span)}"
        case Drift():
            return f"drift {fault.node}: {fault.ppm:+,} ppm{_for(fault.span)}"
        case WallJump():
            return f"wall clock of {fault.node} jumps by {fault.by / 1_000_000:+g}s"
        case DiskStall():
            return f"disk of {fault.node} stalls{_for(fault.span)}"
        case DiskSlow():
            return f"disk of {fault.node} takes {notation.span_text(fault.latency)} a sync{_for(fault.span)}"
        case DiskFails():
            return f"disk of {fault.node} fails the next {fault.operation}, down{_for(fault.down)} if it ends"
        case DiskFull():
            return f"disk of {fault.node} is full{_for(fault.span)}"
        case Damage():
            return (
                f"damage {fault.node}: {fault.how} at {fault.place:.0%} of the file, down{_for(fault.down)}"
            )
        case DamageSnapshot():
            return f"damage a snapshot of {fault.node}: {fault.how}, down{_for(fault.down)}"
        case Failpoint():
            return f"failpoint {fault.arm} on {fault.node}, down{_for(fault.down)} if it ends"
        case Campaign():
            return f"campaign {fault.node}"
        case MemberChange():
            marks = ", forced" * fault.force + ", blindly" * fault.blind
            return f"membership: {fault.how} {_all(fault.nodes)}{marks}"
        case Transfer():
            return f"hand over to {'anybody' if fault.node == LEADER else fault.node}"


def weather_text(weather: Weather) -> str:
    """The knobs of the weather that are not as usual."""
    told = [
        f"{field.name} {getattr(weather, field.name)}"
        for field in dataclasses.fields(weather)
        if getattr(weather, field.name) != field.default
    ]
    return ", ".join(told) or "calm"


def _all(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _for(span: Micros) -> str:
    return f" for {notation.span_text(span)}"
