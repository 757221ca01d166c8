"""Breadth first through the worlds of a scope, so that what is found first is found on a shortest path."""

from array import array
from collections.abc import Callable
from typing import Final

import msgspec
import xxhash

from jepsen_like.sim.explore.action import Action
from jepsen_like.sim.explore.recovery import Recovery, quorums
from jepsen_like.sim.explore.scope import Scope
from jepsen_like.sim.explore.space import Broken, Code, Space, World
from jepsen_like.sim.verdict import Violation

EACH: Final = 4_096
"""Worlds between two looks at the clock and the progress."""


class Finding(msgspec.Struct, frozen=True):
    """A law that was broken, and the shortest way there."""

    oracle: str
    problem: str
    path: tuple[Action, ...]


class Progress(msgspec.Struct, frozen=True):
    """How far an exploration is."""

    states: int
    depth: int
    """Every world that can be reached in fewer actions has been looked at."""
    frontier: int
    steps: int
    """Steps of single nodes that were run."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How an exploration ended."""

    scope: str
    finding: Finding | None
    exhausted: bool
    """Every world of the scope was looked at."""
    depth: int
    """Every world that can be reached in so many actions was looked at."""
    states: int
    transitions: int
    steps: int
    nodes: int
    messages: int
    recoveries: int
    """Fair continuations that were tried, and came to a decision."""
    beyond: dict[str, int]
    """Actions that lead out of the scope, by the bound that they break."""


class Search:
    """One exploration. What it keeps of a world that it has looked at is 8 bytes of digest and 12 of its origin."""

    def __init__(self, scope: Scope, *, recover_each: int = 1_000) -> None:
        self.space = Space(scope)
        self._recover_each = recover_each
        """Of so many new worlds one is let go on in peace; 0 for none."""
        self._quorums = quorums(scope.membership)
        self._recoveries = 0
        self._seen: set[int] = set()
        self._parents = array("I")
        self._codes = array("Q")
        self._transitions = 0

    def run(self, *, max_states: int, go_on: Callable[[Progress], bool] = lambda _: True) -> Report:
        """Explore until a law breaks, the scope is exhausted, `max_states` were seen or `go_on` says no."""
        start = self.space.start()
        self._add(start, 0, 0)
        level, depth = [_packed(start)], 0
        first = 0
        while level:
            following: list[bytes] = []
            for at, packed in enumerate(level):
                if at % EACH == 0 or len(self._codes) >= max_states:
                    progress = Progress(len(self._codes), depth, len(level), self.space.remembered)
                    if len(self._codes) >= max_states or not go_on(progress):
                        return self._report(None, depth, exhausted=False)
                try:
                    self._expand(_unpacked(packed), first + at, following)
                except Broken as broken:
                    return self._report(self._finding(broken, first + at), depth, exhausted=False)
            first += len(level)
            level, depth = following, depth + 1
        return self._report(None, depth - 1, exhausted=True)

    def _expand(self, world: World, number: int, following: list[bytes]) -> None:
        for code, after in self.space.successors(world):
            self._transitions += 1
            packed = _packed(after)
            digest = xxhash.xxh3_64_intdigest(packed)
            if digest not in self._seen:
                self._seen.add(digest)
                self._parents.append(number)
                self._codes.append(code)
                following.append(packed)
                if self._recover_each and len(self._codes) % self._recover_each == 0:
                    self._recover(after, code)

    def _recover(self, world: World, code: Code) -> None:
        """Everyone goes on, and then, from the same world, one of the smallest quorums: each in its turn."""
        at = len(self._codes) // self._recover_each
        smallest = self._quorums[1:]
        for alive in (self._quorums[0], *(smallest[at % len(smallest) :][:1] if smallest else ())):
            try:
                Recovery(self.space, world, alive).run()
            except Violation as violation:
                raise Broken(code, violation) from violation
            self._recoveries += 1

    def _add(self, world: World, parent: int, code: Code) -> None:
        self._seen.add(xxhash.xxh3_64_intdigest(_packed(world)))
        self._parents.append(parent)
        self._codes.append(code)

    def _finding(self, broken: Broken, number: int) -> Finding:
        codes = [broken.code, *self._way_to(number)]
        path = tuple(self.space.action(code) for code in reversed(codes))
        return Finding(broken.violation.oracle, broken.violation.problem, path)

    def _way_to(self, number: int) -> list[Code]:
        """Codes that lead to a world, the last first."""
        codes: list[Code] = []
        while number:
            codes.append(self._codes[number])
            number = self._parents[number]
        return codes

    def _report(self, finding: Finding | None, depth: int, *, exhausted: bool) -> Report:
        bounds = self.space.bounds
        return Report(
            scope=self.space.scope.name,
            finding=finding,
            exhausted=exhausted,
            depth=depth,
            states=len(self._codes),
            transitions=self._transitions,
            steps=self.space.remembered,
            nodes=len(self.space.nodes),
            messages=len(self.space.messages),
            recoveries=self._recoveries,
            beyond={"term": bounds.term, "log": bounds.log, "flights": bounds.flights},
        )


def _packed(world: World) -> bytes:
    return array("I", world).tobytes()


def _unpacked(packed: bytes) -> World:
    return tuple(array("I", packed))
