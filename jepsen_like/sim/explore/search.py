"""Breadth first through the worlds of a scope, so that what is found first is found on a shortest path."""

from array import array
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import xxhash

from jepsen_like.sim.explore.action import Action
from jepsen_like.sim.explore.recovery import Recovery, quorums
from jepsen_like.sim.explore.scope import Scope
from jepsen_like.sim.explore.space import Broken, Code, Space, World
from jepsen_like.sim.notation import node_text
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


class _Found(Exception):
    """Nothing more needs to be looked at."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.problem)
        self.finding = finding


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
        self._pause_at = 0
        self._stumbled: Finding | None = None
        """What a continuation broke: kept in case that no shorter way to it is found."""

    def run(self, *, max_states: int, go_on: Callable[[Progress], bool] = lambda _: True) -> Report:
        """Explore until a law breaks, the scope is exhausted, `max_states` were seen or `go_on` says no."""
        depth = 0
        try:
            for progress in self._levels(max_states):
                depth = progress.depth
                if progress.states >= max_states or not go_on(progress):
                    return self._report(self._stumbled, depth, exhausted=False)
        except _Found as found:
            return self._report(found.finding, depth, exhausted=False)
        return self._report(self._stumbled, depth, exhausted=True)

    def _levels(self, max_states: int) -> Iterator[Progress]:
        """Looks at one world after the other, and says from time to time how far it is."""
        start = self.space.start()
        self._add(_packed(start), start, 0, 0)
        level, depth, first = [_packed(start)], 0, 0
        while level:
            following: list[bytes] = []
            for at, packed in enumerate(level):
                if at % EACH == 0 or len(self._codes) >= self._pause_at:
                    self._pause_at = min(len(self._codes) + EACH, max_states)
                    yield Progress(len(self._codes), depth, len(level), self.space.remembered)
                self._expand(_unpacked(packed), first + at, following)
            first += len(level)
            level, depth = following, depth + 1

    def _expand(self, world: World, number: int, following: list[bytes]) -> None:
        try:
            for code, after in self.space.successors(world):
                self._transitions += 1
                packed = _packed(after)
                if self._add(packed, after, number, code):
                    following.append(packed)
        except Broken as broken:
            way = (*self._way_to(number), self.space.action(broken.code))
            raise _Found(Finding(broken.violation.oracle, broken.violation.problem, way)) from broken

    def _add(self, packed: bytes, world: World, parent: int, code: Code) -> bool:
        """Note a world; whether it is new."""
        digest = xxhash.xxh3_64_intdigest(packed)
        if digest in self._seen:
            return False
        self._seen.add(digest)
        number = len(self._codes)
        self._parents.append(parent)
        self._codes.append(code)
        if self._recover_each and number % self._recover_each == 0:
            self._recover(world, number)
        return True

    def _recover(self, world: World, number: int) -> None:
        """Everyone goes on, and then, from the same world, one of the smallest quorums: each in its turn."""
        smallest = [] if self.space.scope.changes else self._quorums[1:]
        turn = number // self._recover_each
        for alive in (self._quorums[0], *(smallest[turn % len(smallest) :][:1] if smallest else ())):
            try:
                Recovery(self.space, world, alive).run()
                self._recoveries += 1
            except Violation as violation:
                names = ", ".join(node_text(self.space.scope.nodes[place]) for place in alive)
                problem = f"left in peace from here on with {names}: {violation.problem}"
                self._stumble(Finding(violation.oracle, problem, self._way_to(number)))
                return

    def _stumble(self, finding: Finding) -> None:
        """Stop where peace leads nowhere. What else broke on the way is found on a shorter one, or told at the end."""
        if finding.oracle == "liveness":
            raise _Found(finding)
        self._stumbled, self._recover_each = finding, 0

    def _way_to(self, number: int) -> tuple[Action, ...]:
        """The actions that lead to a world."""
        codes: list[Code] = []
        while number:
            codes.append(self._codes[number])
            number = self._parents[number]
        return tuple(self.space.action(code) for code in reversed(codes))

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
