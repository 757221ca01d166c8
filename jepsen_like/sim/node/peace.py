"""What every run ends with: a quorum is healed, the rest stays broken for good, and everything must come back."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from jepsen_like.sim.node.callers import Caller, Story, all_of, visit
from jepsen_like.sim.node.host import Host
from jepsen_like.sim.verdict import Violation
from raftlog.core.ids import Micros
from raftlog.core.settings import MAX_VOTE_SPAN
from raftlog.core.status import Status
from raftlog.testing.network import Weather

if TYPE_CHECKING:
    from jepsen_like.sim.node.world import World

TIMEOUTS = 20
"""Election timeouts for a leader to be found, and again for the calls."""
CALLS = 10
QUIET = 10
"""Election timeouts of watching that nothing goes on for no reason."""


async def make_peace(world: "World", story: Story) -> None:
    """Heal, and see that the healed are a cluster again.

    Raises:
        Violation: of liveness, or what the story's audit finds.
    """
    await _see_damage(world)
    healed = _heal(world, world.draw("peace"))
    names = [host.name for host in healed]
    world.chronicle.note("net", "heal", f"the faults are over; whole again: {', '.join(names)}")
    await _leader(world, healed)
    await _calls(world, story, healed)
    await _equal(world, healed)
    await _quiet(world, healed)


async def _see_damage(world: "World") -> None:
    """Start the hosts that were damaged at the very end: which of them still serve decides who can be healed."""
    waiting = [host for host in world.hosts if host.damaged and not host.lost and host.node is None]
    for host in waiting:
        host.start()
    await _within(world, MAX_VOTE_SPAN, lambda: all(host.lost or host.node is not None for host in waiting))


def _heal(world: "World", random: Random) -> list[Host]:
    """Which hosts are made whole: all that can be, or a bare majority of the voters; the others are left for dead."""
    sound = [host for host in world.hosts if not host.lost and (host.node is not None or not host.damaged)]
    whole = [host for host in world.voters if host in sound]
    learners = [host for host in world.hosts[world.plan.voters :] if host in sound]
    if random.random() < 0.5:
        # Counted without those that have lost something: until it is there again they give no vote.
        whole = [host for host in whole if not host.damaged]
        whole = sorted(random.sample(whole, world.plan.voters // 2 + 1), key=lambda host: host.id)
        learners = []
    healed = whole + learners
    for host in world.hosts:
        if host not in healed and not host.lost:
            _abandon(world, host, healed, random)
    world.network.weather = Weather(delay=world.plan.weather.delay)
    for host in healed:
        if host.node is not None and host.node.impairments:
            # A read that failed once keeps a node from applying until it is started anew: operators are told to.
            world.chronicle.count("event/impaired")
            world.chronicle.note(host.name, "note", f"is started anew: {host.node.impairments[0]}")
            host.kill()
        host.start()
    return healed


def _abandon(world: "World", host: Host, healed: Sequence[Host], random: Random) -> None:
    """Leave a host broken for good."""
    how = random.choice(("down", "cut off", "hung", "paused", "stalled"))
    world.chronicle.note(host.name, "fault", f"is left for dead: {how}")
    host.forsaken = True
    match how:
        case "down":
            host.lose_power()
        case "cut off":
            world.network.partition([host.name], [other.name for other in healed])
        case "hung":
            world.network.hang(host.name)
        case "paused":
            world.network.hang(host.name)
            world.loop.pause(host.name)
        case _:
            host.stalls.add(-1)
            host.settle_disk()


async def _leader(world: "World", healed: Sequence[Host]) -> None:
    """One leader within 20 election timeouts, after whatever promise a restarted node keeps."""
    patience = MAX_VOTE_SPAN + TIMEOUTS * world.plan.settings.election_timeout
    if not await _within(world, patience, lambda: _led(world, healed)):
        raise Violation("liveness", f"no leader after {patience / 1e6} s: {_states(world, healed)}")


def _led(world: "World", healed: Sequence[Host]) -> bool:
    """All of them follow one leader.

    That may be one whose disk was left stalled: it costs a leader its office when something is to be written.
    """
    statuses = world.statuses(healed)
    able = [*healed, *(host for host in world.hosts if host.stalls and host not in healed)]
    leaders = {status.node for status in world.statuses(able) if status.role == "leader"}
    known = {status.leader for status in statuses}
    return len(statuses) == len(healed) and len(known) == 1 and known <= leaders


async def _calls(world: "World", story: Story, healed: Sequence[Host]) -> None:
    """Ten calls through each healed node within 20 election timeouts, and everything acknowledged is there."""
    patience = max(TIMEOUTS * world.plan.settings.election_timeout / 1e6, 2.0)
    passed: list[str] = []

    async def use(caller: Caller) -> None:
        await story.try_node(caller, CALLS)
        await story.audit(caller)
        passed.append(caller.name)

    works = {
        f"probe-{host.name}": visit(
            world, f"probe-{host.name}", [host.client_address], use, deadline=patience, follow=False
        )
        for host in healed
    }
    try:
        async with asyncio.timeout(patience):
            await all_of(world, works)
    except TimeoutError:
        missing = [name for name in works if name not in passed]
        raise Violation(
            "liveness",
            f"{CALLS} calls took more than {patience} s through {missing}: {_states(world, healed)}",
        ) from None


async def _equal(world: "World", healed: Sequence[Host]) -> None:
    """Equal digests on all of them."""
    patience = TIMEOUTS * world.plan.settings.election_timeout + _transfer(world)
    if not await _within(world, patience, lambda: _alike(world, healed)):
        raise Violation("liveness", f"states differ after {patience / 1e6} s: {_states(world, healed)}")


def _transfer(world: "World") -> Micros:
    """What it may take to ask one node that is gone, then another, and to get and restore a state."""
    snapshots = world.plan.snapshot
    return 5_000_000 + 4 * max(snapshots.takes) if snapshots.entries else 0


def _alike(world: "World", healed: Sequence[Host]) -> bool:
    states = {(status.applied, status.committed, status.digest) for status in world.statuses(healed)}
    return len(states) == 1 and not any(status.impaired for status in world.statuses(healed))


async def _quiet(world: "World", healed: Sequence[Host]) -> None:
    """No term growth and no message storm."""
    settings = world.plan.settings
    before, frames = {status.term for status in world.statuses(healed)}, world.chronicle.frames
    span = QUIET * settings.election_timeout
    await asyncio.sleep(span / 1e6)
    after = {status.term for status in world.statuses(healed)}
    if after != before or len(after) != 1:
        raise Violation("liveness", f"terms went from {sorted(before)} to {sorted(after)} in peace")
    # Per heartbeat: the leader to each other node and back. As much again for those that are left for dead and ask.
    rounds = span // settings.heartbeat + 2
    allowed = 4 * rounds * (len(world.hosts) - 1) + 50
    if world.chronicle.frames - frames > allowed:
        raise Violation(
            "liveness",
            f"{world.chronicle.frames - frames} messages in {span / 1e6} s of peace; {allowed} would do",
        )


async def _within(world: "World", micros: int, holds: Callable[[], bool]) -> bool:
    until = world.loop.micros + micros
    while not holds():
        if world.loop.micros >= until:
            return False
        await asyncio.sleep(0.02)
    return True


def _states(world: "World", hosts: Sequence[Host]) -> str:
    return "; ".join(_state(host) for host in hosts)


def _state(host: Host) -> str:
    if host.node is None:
        return f"{host.name} does not run{' (lost)' if host.lost else ''}"
    status: Status = host.node.status()
    return (
        f"{host.name} {status.role} term {status.term} leader {status.leader} committed {status.committed}"
        f" applied {status.applied} last {status.last}"
    )
