"""Traps that only a whole node can fall into: its tasks, its disk, its clock, and the order in which it does things."""

import asyncio
from types import SimpleNamespace
from typing import Any, Never

import msgspec
import pytest

from raftlog.core.ids import META_GROUP, Boot, RequestId
from raftlog.core.settings import Settings
from raftlog.machine.result import Kind
from raftlog.testing.loop import SimLoop
from raftlog.transport.client_frames import Level
from raftlog.transport.codec import encode_forward
from raftlog.transport.frames import Forward
from raftlog.transport.port import Lane
from tests.simulation.asking import (
    PATIENCE,
    Stepping,
    adds,
    agreed,
    kinds,
    led,
    noted,
    play,
    read,
    running,
    submit,
    value,
)
from tests.simulation.world import World


def exhaust() -> Never:
    """What a command does where no memory is left."""
    raise MemoryError("no memory left")


def sim() -> SimLoop:
    """The loop in virtual time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop), "a simulation"
    return loop


def test_p6_slow_commands_hold_up_neither_heartbeats_nor_elections() -> None:
    """Applying yields to the loop between slices, so seconds of it cost nobody the office."""

    async def story(world: World) -> None:
        leader = await led(world)
        term = running(leader).status().term
        answers = submit(running(leader), adds(800))
        assert kinds(await answers.wait()) == {Kind.OK}
        assert world.loop.time() > 4.0, "it was not slow"
        for host in world.hosts:
            assert running(host).status().term == term, f"{host.name} saw an election"

    play(story, machine=lambda: Stepping(lambda: sim().spend(3_000)))


def test_a_node_that_cannot_apply_hands_over_and_shows_nobody_its_half_changed_state() -> None:
    """MemoryError in a command: that node goes on voting and replicating, leads no more, and tries again."""
    machines: list[Stepping] = []

    def make() -> Stepping:
        machines.append(Stepping())
        return machines[-1]

    async def story(world: World) -> None:
        leader = await led(world)
        assert value((await submit(running(leader), adds()).wait())[0]) == 1
        machines[world.hosts.index(leader)].step = exhaust
        begun = world.loop.time()
        answers = submit(running(leader), adds())
        assert kinds(await answers.wait()) == {Kind.UNKNOWN}
        assert world.loop.time() - begun < 0.5, "the answer waited for something else to happen"
        for level in Level:
            assert (await read(running(leader), level=level)).kind is Kind.FAILED, level
        assert not running(leader).serving
        assert any("MemoryError" in told for told in running(leader).impairments)
        await world.hosts[world.hosts.index(leader) - 1].crash()
        second = await led(world, among=[host for host in world.hosts if host.node is not None])
        assert second is not leader
        assert value((await submit(running(second), adds()).wait())[0]) == 3, (
            "it neither votes nor acknowledges"
        )
        while running(leader).applied(META_GROUP) == 0:
            seen = await read(running(leader), level=Level.LOCAL)
            assert seen.kind is Kind.FAILED, "a state that is built anew was shown half-way"
            await asyncio.sleep(0.01)
        await agreed(world, 3)
        assert running(leader).impairments == ()

    play(story, machine=make)


def test_a_node_whose_own_log_cannot_be_read_answers_at_once_and_never_leads() -> None:
    """What it would have to apply next is lost here: it says so instead of leaving calls and reads waiting."""
    machines: list[Stepping] = []

    def make() -> Stepping:
        machines.append(Stepping())
        return machines[-1]

    async def story(world: World) -> None:
        broken = await led(world)
        machines[world.hosts.index(broken)].step = exhaust
        assert kinds(await submit(running(broken), adds()).wait()) == {Kind.UNKNOWN}
        for _ in range(100):  # reading is what building the state anew begins with
            broken.disk.fail_once("read")
        leader = await led(world)
        await noted(world, "cannot apply on")
        assert (await read(running(broken))).kind is Kind.FAILED
        assert not running(broken).serving
        await leader.crash()
        for _ in range(500):
            await asyncio.sleep(0.02)
            assert running(broken).status().role == "follower", "it would lead what it cannot apply"
        await leader.start()
        assert kinds(await submit(running(await led(world)), adds()).wait()) == {Kind.OK}
        broken.disk.fail_no_more()
        await noted(world, "can be read again")
        await agreed(world, 2)
        assert not running(broken).impairments

    play(story, machine=make, settings=Settings(max_recent=1))


def test_a_disk_that_refuses_one_read_is_asked_again() -> None:
    """A node does not fall silent over it: it applies on after a moment, and no one else notices."""
    machines: list[Stepping] = []

    def make() -> Stepping:
        machines.append(Stepping())
        return machines[-1]

    async def story(world: World) -> None:
        broken = await led(world)
        machines[world.hosts.index(broken)].step = exhaust
        assert kinds(await submit(running(broken), adds()).wait()) == {Kind.UNKNOWN}
        for _ in range(4):
            broken.disk.fail_once("read")
        await noted(world, "cannot read the log")
        await agreed(world, 1)
        assert not any("cannot apply on" in line for line in world.log)

    play(story, machine=make, settings=Settings(max_recent=1))


def test_c13_a_node_that_drains_answers_what_it_has_and_takes_nothing_new() -> None:
    """Neither from its own clients nor from those of other nodes; nobody is left without an answer."""

    async def story(world: World) -> None:
        leader = await led(world)
        follower = next(host for host in world.hosts if host is not leader)
        under_way = [submit(running(host), adds(3)) for host in world.hosts]
        await asyncio.sleep(0.005)
        draining = asyncio.get_running_loop().create_task(running(leader).drain(1.0))
        await asyncio.sleep(0)
        refused = [submit(running(host), adds(3)) for host in (leader, follower)]
        begun = world.loop.time()
        await draining
        assert world.loop.time() - begun < 1.0, "it waited for nothing"
        for answers in under_way:
            assert answers.results is None or kinds(answers.results) == {Kind.OK}
            assert kinds(await answers.wait()) == {Kind.OK}
        for answers in refused:
            assert kinds(await answers.wait()) == {Kind.FAILED}
        assert value(await read(running(follower))) == 9, "what was refused happened"

    play(story)


def test_a_node_that_waits_for_space_can_be_stopped() -> None:
    async def story(world: World) -> None:
        leader = await led(world)
        leader.disk.hold("allocate")  # that there is no space shows when entries wait for it already
        leader.disk.capacity = 0
        for _ in range(8):
            submit(running(leader), adds(1, "x" * 20_000))
            await asyncio.sleep(0.05)
        leader.disk.release("allocate")
        await noted(world, "waiting for space")
        async with asyncio.timeout(PATIENCE):
            await leader.stop()

    play(story)


def test_a_leader_keeps_out_what_its_own_release_does_not_understand() -> None:
    """A newer node passes on a command that it knows; in the log it would stop every older one from applying."""
    machines: list[Stepping] = []

    def make() -> Stepping:
        machines.append(Stepping())
        return machines[-1]

    async def story(world: World) -> None:
        leader = await led(world)
        follower = next(host for host in world.hosts if host is not leader)
        machines[world.hosts.index(follower)].__class__ = Newer
        old, new = adds()[0], msgspec.structs.replace(adds()[0], machine_version=2)
        results = await submit(running(follower), [old, new, old]).wait()
        assert [result.kind for result in results] == [Kind.OK, Kind.FAILED, Kind.OK]
        assert [value(result) for result in results[::2]] == [1, 2]
        assert kinds(await submit(running(follower), [new]).wait()) == {Kind.FAILED}
        await agreed(world, 2)

    play(story, machine=make)


class Newer(Stepping):
    """The next release of the machine."""

    version = 2


def test_p2_a_forward_of_bottomless_commands_is_dropped() -> None:
    """Whatever is nested too deep to be decoded is a bad frame, not the end of the node."""

    async def story(world: World) -> None:
        node, sender = running(world.hosts[0]), world.hosts[1].id
        deep = b"\x91\x97\x00\x01\x00\x01\x01\xc4\x01x" + b"\x91" * 100_000 + b"\x00"
        node.receive(sender, Lane.BULK, encode_forward(Forward(META_GROUP, RequestId(Boot(1), 1), deep)))
        await noted(world, "dropped a frame")
        assert kinds(await submit(node, adds()).wait()) == {Kind.OK}

    play(story)


@pytest.mark.parametrize("task", ["pump", "writer", "work"])
def test_p7_a_task_that_raises_takes_its_node_down(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a node outlives one of its tasks: callers are answered, others take over, a restart goes on."""

    def fail(*_: object) -> Any:
        raise Defect(task)

    async def work() -> None:
        fail()

    async def story(world: World) -> None:
        leader = await led(world)
        node = running(leader)
        answers = submit(node, adds())
        match task:
            case "pump":
                monkeypatch.setattr(node, "clock", SimpleNamespace(monotonic=fail))
            case "writer":
                monkeypatch.setattr(node.wal, "append", fail)
            case _:
                node.start(work())
        error = await leader.death()
        assert isinstance(error, BaseExceptionGroup)
        assert error.split(Defect)[1] is None, error
        assert kinds(await answers.wait()) <= {Kind.UNKNOWN, Kind.FAILED}
        assert kinds(await submit(node, adds(1, "late")).wait()) == {Kind.FAILED}
        others = [host for host in world.hosts if host is not leader]
        assert kinds(await submit(running(await led(world, among=others)), adds(1, "y")).wait()) == {Kind.OK}
        await leader.start()
        await led(world)
        await agreed(world, 1, "y")
        await agreed(world, 0, "late")

    play(story)


class Defect(Exception):
    """Our own mistake, wherever it is."""


def test_a6_what_is_reported_as_applied_can_be_seen() -> None:
    async def story(world: World) -> None:
        leader = await led(world)
        index = running(leader).status().last + 1
        answers = submit(running(leader), adds(64))
        halves = 0
        while answers.results is None:
            for host in world.hosts:
                node = running(host)
                seen = value(await read(node, level=Level.LOCAL))
                reported = max(node.applied(META_GROUP), node.status().applied)
                assert seen == 64 or reported < index, f"{host.name} shows {seen} at {reported}"
                halves += 0 < seen < 64
            await asyncio.sleep(0.0001)
        assert halves, "no entry was ever seen half-way: no test"
        assert kinds(await answers.wait()) == {Kind.OK}

    play(story, machine=lambda: Stepping(lambda: sim().spend(1_000)))


def test_c2_q1_a_leader_that_is_cut_off_knows_nothing_and_says_so() -> None:
    """Its open commands are unknown, its reads are refused, and what it calls failed never happens."""

    async def story(world: World) -> None:
        old = await led(world)
        others = [host for host in world.hosts if host is not old]
        world.network.isolate(old.name, [host.name for host in others])
        opened = submit(running(old), adds(1, "open"))
        passed = submit(running(others[0]), adds(1, "passed"))
        asked = asyncio.get_running_loop().create_task(read(running(old)))
        assert kinds(await opened.wait()) == {Kind.UNKNOWN}
        assert (await asked).kind is Kind.FAILED
        late = submit(running(old), adds(1, "late"))
        assert kinds(await late.wait()) == {Kind.FAILED}
        new = await led(world, among=others)
        assert value((await submit(running(new), adds()).wait())[0]) == 1
        assert (await read(running(old))).kind is Kind.FAILED
        assert kinds(await passed.wait()) == {Kind.UNKNOWN}
        world.network.heal()
        await led(world)
        await agreed(world, 0, "late")
        await agreed(world, 1)

    play(story)


def test_p9_what_was_handed_over_is_not_shared() -> None:
    async def story(world: World) -> None:
        node = running(await led(world))
        commands = adds(3)
        answers = submit(node, commands)
        commands.clear()
        assert [value(result) for result in await answers.wait()] == [1, 2, 3]

    play(story)


def test_a_leader_that_cannot_read_what_a_follower_lacks_says_so_and_keeps_no_read_waiting() -> None:
    """The hole lies below what it has applied itself; still the core hands out nothing beyond it any more."""

    async def story(world: World) -> None:
        broken = await led(world)
        behind = next(host for host in world.hosts if host is not broken)
        await behind.crash()
        assert kinds(await submit(running(broken), adds(20)).wait()) == {Kind.OK}
        for _ in range(5):  # reading is what sending old entries begins with
            broken.disk.fail_once("read")
        await behind.start()
        await noted(world, "cannot be read here")
        assert running(broken).impairments, "nobody is told"
        leader = await led(world, among=[host for host in world.hosts if host is not broken])
        assert kinds(await submit(running(leader), adds()).wait()) == {Kind.OK}
        assert (await read(running(broken))).kind is Kind.FAILED

    play(story, settings=Settings(max_recent=1))
