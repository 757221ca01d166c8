"""Which directed links a network fault cuts: the same for both tiers."""

from collections.abc import Iterator, Sequence

Link = tuple[str, str]
"""From the first to the second."""


def between(sides: Sequence[Sequence[str]]) -> Iterator[Link]:
    """Every link between different sides. A name that occurs again belongs to the side that named it first."""
    taken: set[str] = set()
    groups: list[list[str]] = []
    for side in sides:
        groups.append([name for name in dict.fromkeys(side) if name not in taken])
        taken.update(side)
    for here in groups:
        for there in groups:
            if here is not there:
                yield from ((origin, target) for origin in here for target in there)


def one_way(origins: Sequence[str], targets: Sequence[str]) -> Iterator[Link]:
    """Every link from an origin to a target."""
    for origin in dict.fromkeys(origins):
        yield from ((origin, target) for target in dict.fromkeys(targets) if target != origin)


def ring(nodes: Sequence[str]) -> Iterator[Link]:
    """What is cut so that each node talks to just enough of its nearest neighbours for a majority, itself included.

    From four nodes on no two majorities are the same one. Among three, whose ring cuts nothing, the two ends of the
    line are kept apart: both talk to the middle.
    """
    count = len(nodes)
    reach = (count // 2 + 1) // 2
    for here, origin in enumerate(nodes):
        for there, target in enumerate(nodes):
            steps = abs(here - there)
            near = steps < 2 if count <= 3 else min(steps, count - steps) <= reach
            if not near:
                yield origin, target
