"""A node that starts on a damaged log: what it has lost comes back from the others, and only then it counts."""

import asyncio

import pytest

from raftlog.core.ids import META_GROUP
from raftlog.testing.loop import run
from tests.node.test_snapshots import add, agreed, leader_of, settled
from tests.simulation.world import Host, World


def damage(host: Host, share: float) -> None:
    """Change bits somewhere in what the first segment holds."""
    name = next(name for name in sorted(host.disk.platter.names) if name.endswith(".seg"))
    used = len(bytes(host.disk.platter.names[name].cache).rstrip(b"\0"))
    host.disk.platter.flip(name, int(512 + (used - 512) * share) * 8)


async def away_while_others_go_on(world: World) -> Host:
    away = next(host for host in world.hosts if host is not leader_of(world))
    await away.crash()
    await add(world, 15)
    return away


async def healed(host: Host) -> None:
    for _ in range(60):
        await asyncio.sleep(0.25)
        assert host.node is not None
        if not host.node.wal.impairment(META_GROUP) and not host.node.status().impaired:
            return
    raise AssertionError(f"{host.name} is impaired for ever: {host.node and host.node.status()}")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_what_damage_has_cost_a_node_comes_back_from_the_others(share: float) -> None:
    async def story() -> None:
        world = await settled(4)
        await add(world, 45)  # no snapshot is due: the log alone must tell
        await agreed(world)
        away = await away_while_others_go_on(world)
        damage(away, share)
        away.repair = True
        await away.start()
        assert away.node is not None
        assert away.node.wal.impairment(META_GROUP), "nothing was damaged"
        assert away.node.wal.damage
        await agreed(world)
        await healed(away)
        await away.crash()  # and that it is healed is durable
        away.repair = False
        await away.start()
        assert not away.node.wal.impairment(META_GROUP)
        await agreed(world)
        await world.stop()

    run(story(), seed=4)


def test_the_impaired_node_is_no_help_in_an_election() -> None:
    """Of three nodes one is down and one impaired: nobody leads, for the impaired one may lack what was decided."""

    async def story() -> None:
        world = await settled(5)
        await add(world, 45)
        await agreed(world)
        away = await away_while_others_go_on(world)
        leader = leader_of(world)
        damage(away, 0.5)
        away.repair = True
        await leader.crash()
        await away.start()
        for _ in range(40):
            await asyncio.sleep(0.25)
            assert all(host.node is None or host.node.status().role != "leader" for host in world.hosts)
        await leader.start()
        await agreed(world)
        await healed(away)
        await add(world, 3)
        await agreed(world)
        await world.stop()

    run(story(), seed=5)
