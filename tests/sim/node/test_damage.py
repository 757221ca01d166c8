"""Whatever the nemesis damages is noticed by recovery: it only touches what the log promises to notice."""

from random import Random

import pytest

from jepsen_like.sim.node.damage import damage
from jepsen_like.sim.node.images import durable_only, image_of
from jepsen_like.sim.node.simulation import Simulation
from raftlog.storage import LogDamaged
from raftlog.testing.platter import Platter
from tests.sim.node.scene import SECOND, plan


@pytest.fixture(scope="module")
def disk() -> dict[str, bytes]:
    """A node's disk after a run, several segments long."""
    simulation = Simulation(plan(span=4 * SECOND, size=1_000))
    assert simulation.run().outcome == "passed"
    contents = simulation.world.hosts[0].disk.platter.contents()
    assert len([name for name in contents if name.endswith(".seg")]) >= 3, sorted(contents)
    return contents


@pytest.mark.parametrize("how", ["flip", "zero", "misdirect"])
def test_all_damage_is_noticed(disk: dict[str, bytes], how: str) -> None:
    random = Random(how)
    done = 0
    for _ in range(150):
        platter = Platter(disk)
        what = damage(platter, how, random.random())
        if what is None:
            continue
        done += 1
        assert platter.contents() != disk, f"{what}: nothing has changed"
        assert _refused(platter), f"{what}, and recovery noticed nothing"
    assert done > 100


def _refused(platter: Platter) -> bool:
    try:
        image_of(platter)
    except LogDamaged:
        return True
    return False


def test_an_intact_disk_is_read_as_the_node_left_it(disk: dict[str, bytes]) -> None:
    platter = Platter(disk)
    found = image_of(platter)
    assert found.entries[0].index == 1
    assert [entry.index for entry in found.entries] == list(range(1, len(found.entries) + 1))
    assert found.hard_state.commit > 0
    assert image_of(durable_only(platter)).last == found.last
