"""The copier is complete: a copy goes on as the original would, and nothing done to one is seen by the other."""

from enum import Enum
from random import Random

import msgspec
import pytest

from jepsen_like.sim.explore.action import Kind
from jepsen_like.sim.explore.copier import PLANS, check, copied, copy, fields, named
from jepsen_like.sim.explore.node import Node, first
from jepsen_like.sim.explore.scope import SCOPES
from jepsen_like.sim.explore.space import Space, World
from raftlog.core.progress import Progress
from raftlog.core.raft import Raft
from raftlog.core.reads import Reads, Round
from raftlog.core.roles.leader import Leader

ALL = msgspec.structs.replace(
    SCOPES["two-nodes"], name="walk", max_term=6, max_log=8, flights=12, proposals=6, reads=4, crashes=3,
    heartbeats=10, timeouts=15, duplicates=4, drops=4,
)  # fmt: skip
IMMUTABLE = (int, str, bytes, bool, type(None), msgspec.Struct, Enum, Round, Random)


def walked(seed: int, steps: int = 60) -> tuple[Space, list[World]]:
    """A space and the worlds of one random walk through it."""
    space, random = Space(ALL), Random(seed)
    worlds = [space.start()]
    for _ in range(steps):
        following = [world for _, world in space.successors(worlds[-1])]
        if not following:
            break
        worlds.append(random.choice(following))
    return space, worlds


@pytest.mark.parametrize("seed", range(12))
def test_every_core_of_a_walk_is_planned_for_and_equals_its_copy(seed: int) -> None:
    space, _ = walked(seed)
    for node in space.nodes:
        check(node.core)
        twin = copy(node.core)
        assert named(twin) == named(node.core), f"seed {seed}"
        assert twin.status() == node.core.status(), f"seed {seed}"


@pytest.mark.parametrize("seed", range(12))
def test_a_copy_shares_nothing_that_can_change(seed: int) -> None:
    space, _ = walked(seed)
    for node in space.nodes:
        mine, theirs = _mutable(node.core), _mutable(copy(node.core))
        assert len(mine) == len(theirs) > 8, f"seed {seed}"
        assert not mine.keys() & theirs.keys(), f"seed {seed}"


@pytest.mark.parametrize("seed", range(12))
def test_stepping_the_copies_leaves_the_originals_as_they_were(seed: int) -> None:
    space, worlds = walked(seed, 30)
    names = [named(node.core) for node in space.nodes]
    for world in worlds:
        list(space.successors(world))
    assert [named(node.core) for node in space.nodes[: len(names)]] == names, f"seed {seed}"


class Twins(Space):
    """Keeps every node that came to a name which another already had."""

    def __init__(self) -> None:
        super().__init__(ALL)
        self.twins: list[tuple[int, Node]] = []

    def _node(self, node: Node) -> int:
        number = super()._node(node)
        if self.nodes[number] is not node:
            self.twins.append((number, node))
        return number


@pytest.mark.parametrize("seed", range(4))
def test_nodes_of_one_name_go_on_alike(seed: int) -> None:
    """What a name leaves out does not matter: whatever was done to one gives the same when done to the other."""
    space, random = Twins(), Random(seed)
    world = space.start()
    for _ in range(60):
        following = list(space.successors(world))
        world = random.choice(following)[1] if following else space.start()
    steps, compared = dict(space._steps), 0
    for number, twin in space.twins[:400]:
        original, space.nodes[number] = space.nodes[number], twin
        for (at, code), step in steps.items():
            if at == number:
                again = space._run(number, Kind(code >> 32), code & (1 << 32) - 1)
                outcome = (again.node, again.sent, again.reads, str(again.problem))
                assert outcome == (step.node, step.sent, step.reads, str(step.problem)), f"seed {seed}"
                compared += 1
        space.nodes[number] = original
    assert compared > 40, f"seed {seed} has compared hardly anything"


def test_a_new_field_is_noticed() -> None:
    node = first(ALL, ALL.nodes[0])
    core = copy(node.core)
    core._role.__dict__["novel"] = 1
    with pytest.raises(TypeError, match="novel"):
        check(core)


def test_plans_name_every_slot() -> None:
    made = Progress(1, 0)
    assert fields(made) == PLANS[Progress].fields
    assert fields(Reads()) == PLANS[Reads].fields
    assert copied(made) is not made


def test_the_walks_meet_every_role_and_work_under_way() -> None:
    nodes = [node for seed in range(12) for node in walked(seed)[0].nodes]
    roles = {node.core._role.name for node in nodes}
    assert roles == {"follower", "pre-candidate", "candidate", "leader"}
    leaders = [node.core._role for node in nodes if isinstance(node.core._role, Leader)]
    assert any(progress.inflight for role in leaders for progress in role.progress.values())
    assert any(role._reads._rounds for role in leaders)
    assert any(node.pending for node in nodes)


def _mutable(core: Raft) -> dict[int, object]:
    """Everything reachable from a core that can change, by where it lies; the shared generator has no state."""
    found: dict[int, object] = {}
    parts: list[object] = [core]
    while parts:
        part = parts.pop()
        if isinstance(part, IMMUTABLE) or id(part) in found:
            continue
        if isinstance(part, tuple):
            parts.extend(part)
            continue
        found[id(part)] = part
        if isinstance(part, dict):
            parts += [*part.keys(), *part.values()]
        elif hasattr(part, "__iter__"):
            parts.extend(part)
        else:
            parts += [getattr(part, name) for name in fields(part)]
    return found
