"""Partitions, one-way cuts and rings cut the links they say, and no others."""

from collections.abc import Iterable

import pytest

from jepsen_like.sim.links import Link, between, one_way, ring


def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(1, count + 1)]


def heard(cut: Iterable[Link], nodes: list[str]) -> dict[str, set[str]]:
    closed = set(cut)
    return {node: {peer for peer in nodes if (peer, node) not in closed} for node in nodes}


def test_nothing_passes_between_sides() -> None:
    assert sorted(between([["n1"], ["n2", "c1"]])) == [("c1", "n1"), ("n1", "c1"), ("n1", "n2"), ("n2", "n1")]


def test_the_first_side_keeps_a_name_that_occurs_twice() -> None:
    assert set(between([["n2"], ["n1", "n2", "n3"]])) == {
        ("n2", "n1"),
        ("n2", "n3"),
        ("n1", "n2"),
        ("n3", "n2"),
    }


def test_one_way_leaves_the_way_back_open() -> None:
    assert list(one_way(["n1"], ["n1", "n2", "n3"])) == [("n1", "n2"), ("n1", "n3")]


@pytest.mark.parametrize("count", range(4, 10))
def test_in_a_ring_everyone_reaches_a_majority_of_its_own(count: int) -> None:
    nodes = names(count)
    reached = heard(ring(nodes), nodes)
    assert all(len(peers) > count // 2 for peers in reached.values())
    assert all(len(peers) < count for peers in reached.values())
    assert len({frozenset(peers) for peers in reached.values()}) == count


def test_three_nodes_stand_in_a_line() -> None:
    assert set(ring(names(3))) == {("n1", "n3"), ("n3", "n1")}
    assert list(ring(names(2))) == []
