"""The search for an order of operations: Wing and Gong's, with Lowe's memory and a rule for unanswered operations.

Sources: Wing and Gong, "Testing and verifying concurrent objects" (1993); Lowe, "Testing for linearizability" (2017),
whose just-in-time variant this is; Horn and Kroening, "Faster linearizability checking via P-compositionality" (2015).

The search walks over the returns in their order. A *position* is (k, placed, used, state): the first k operations to
return have taken effect, and so have `placed`, which are under way at the k-th return, and `used`, which never
return. From there one more operation that is under way takes effect. The history is linearizable if and only if the
search gets past the last return. Why what it leaves out cannot matter:

- *Observers first.* An operation that with its result changes no state (a read, a failed comparison) takes effect as
  soon as it is legal. In any order where it takes effect later, it can be moved to here: it changes nothing.
- *Memory.* Equal (k, placed, state) have equal futures, and more in `used` only means fewer choices. So a position is
  dropped if one was seen with the same (k, placed, state) and a subset of its `used`.
- *Twins.* Of unanswered operations with equal f and argument the one invoked first goes first. In an order where a
  later twin goes first they can change places: the earlier was under way all the more.
- *Unanswered only where needed.* Take an order with the fewest unanswered operations. In it each of them changes
  the state, and the next operation is one that would be illegal, or lead elsewhere, without it: else it could be left
  out. In particular the next one does not overwrite. For the same reason none is placed last, after all returns.
- *Unanswered observers* were removed before: they restrict nobody and change nothing.
- *Answered twins first.* While an answered operation with equal effect is under way, it goes before an unanswered
  one: in an order where the unanswered goes first they can change places.
- *Hopeless positions.* An observer that must still take effect, and can in one state only, needs a way to that state:
  from here by operations that build on the state, or through one not yet placed that lands where such a way begins.
- *Precedences.* Some models know which of two overlapping operations came first: no other order is tried.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from jepsen_like.check.history import UNKNOWN, Operation
from jepsen_like.check.model import ILLEGAL, Illegal, State
from jepsen_like.check.scene import Scene
from jepsen_like.check.unexplained import unexplained

_NOTHING: Final = Illegal.ILLEGAL  # no unanswered operation came just before
_GLANCES: Final = 32  # sets of spent operations that are compared in the time of one step


class _Position:
    """Where the search stands, and the ways on from there that it has not tried yet."""

    __slots__ = ("before", "k", "placed", "state", "taken", "used", "ways")

    def __init__(self, k: int, placed: int, used: int, state: State, taken: tuple[Operation, ...]) -> None:
        self.k = k
        self.placed = placed
        self.used = used
        self.state = state
        self.taken = taken  # what took effect on the way from the position before
        self.before: State | Illegal = _NOTHING
        self.ways: Iterator[_Position] = iter(())


class Search:
    """A search that can be advanced in slices. `steps` counts the transitions tried: equal for equal histories.

    - `found` is None while the search goes on, then whether an order exists.
    - `deepest` is the most returns that any order got past.
    - `refuted` is the rank of an observer that nothing can explain, so that no search was needed, else None.
    """

    def __init__(self, scene: Scene, *, stop_at: int | None = None) -> None:
        """`stop_at` makes a search that goes no deeper and remembers the orders that got there in `stopped`."""
        self.scene = scene
        self.steps = 0
        self.found: bool | None = None
        self.deepest = 0
        self.stopped: list[tuple[list[Operation], State]] = []
        self._stop_at = stop_at
        self._seen: dict[tuple[int, int, State], list[int]] = {}
        self._remembered = 0
        self._path: list[_Position] = []
        self.refuted = unexplained(scene)
        if self.refuted is not None:
            self.found = False
        else:
            self._visit(self._settled(_Position(0, 0, 0, scene.model.initial, ()), changed=True))

    @property
    def positions(self) -> int:
        """How many positions it remembers: a few hundred bytes each."""
        return self._remembered

    def order(self) -> list[Operation]:
        """The operations in the order in which they took effect, up to where the search stands."""
        return [operation for position in self._path for operation in position.taken]

    def advance(self, steps: int) -> bool | None:
        """Try about `steps` transitions more; the answer is that of `found`."""
        limit = self.steps + steps
        path = self._path
        while self.found is None and self.steps < limit:
            following = next(path[-1].ways, None) if path else None
            if following is not None:
                self._visit(following)
            elif path:
                path.pop()
            else:
                self.found = False
        return self.found

    def _visit(self, position: _Position) -> None:
        """Go on from `position`, unless a position that could do as much was seen."""
        if position.k > self.deepest:
            self.deepest = position.k
        if self._hopeless(position):
            return
        key = (position.k, position.placed, position.state)
        used = position.used
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = [used]
            self._remembered += 1
        else:
            self.steps += len(seen) // _GLANCES
            if any(less & used == less for less in seen):
                return
            kept = [more for more in seen if more & used != used]
            self._remembered += 1 + len(kept) - len(seen)
            seen[:] = [*kept, used]
        self._path.append(position)
        if position.k == self._stop_at:
            self.stopped.append((self.order(), position.state))
        elif position.k == len(self.scene.returns):
            self.found = True
        else:
            position.ways = self._ways(position)

    def _hopeless(self, position: _Position) -> bool:
        """True if some observer under way, or the next to come, can take effect nowhere from here."""
        scene, k = self.scene, position.k
        if k == len(scene.returns):
            return False
        for rank in scene.observers[k]:
            if not position.placed & scene.bits[rank] and self._unreachable(rank, position):
                return True
        upcoming = scene.upcoming[k]
        return upcoming >= 0 and self._unreachable(upcoming, position)

    def _unreachable(self, rank: int, position: _Position) -> bool:
        scene, k = self.scene, position.k
        goal = scene.goals[rank]
        if goal is ILLEGAL or scene.model.leads(position.state, goal):
            return False
        self.steps += 1
        movers, unanswered = scene.paths(rank)
        if unanswered & ~position.used:
            return False
        return all(each < k or self._is_placed(each, position) for each in movers)

    def _ways(self, position: _Position) -> Iterator[_Position]:
        """The positions one operation further: answered operations first, the next to return foremost."""
        scene, step = self.scene, self.scene.model.step
        k, placed, used, state = position.k, position.placed, position.used, position.state
        before = position.before
        reached: list[tuple[str, Any, State]] = []
        for rank in scene.movers[k]:
            if placed & scene.bits[rank] or (before is not _NOTHING and scene.blind[rank]):
                continue
            if scene.model.has_precedences and self._is_early(rank, position):
                continue
            operation = scene.returns[rank]
            self.steps += 1
            after = step(state, operation.f, operation.argument, operation.result)
            if after is ILLEGAL or (before is not _NOTHING and after == self._without(before, operation)):
                continue
            if scene.unanswered:
                reached.append((operation.f, operation.argument, after))
            way = _Position(k, placed | scene.bits[rank], used, after, (operation,))
            yield self._settled(way, changed=after != state)
        for place in range(scene.waiting[k]):
            twin = scene.twins[place]
            if used >> place & 1 or (twin >= 0 and not used >> twin & 1):
                continue
            if before is not _NOTHING and scene.blind_unanswered[place]:
                continue
            operation = scene.unanswered[place]
            self.steps += 1
            after = step(state, operation.f, operation.argument, UNKNOWN)
            if after is ILLEGAL or after == state or (operation.f, operation.argument, after) in reached:
                continue
            if before is not _NOTHING and after == self._without(before, operation):
                continue
            way = _Position(k, placed, used | 1 << place, after, (operation,))
            self._settled(way, changed=True)
            if len(way.taken) == 1:
                way.before = state  # nobody has needed it yet
            yield way

    def _is_early(self, rank: int, position: _Position) -> bool:
        """True if something that must come before this operation has not taken effect."""
        scene, k = self.scene, position.k
        self.steps += 1
        return any(not self._is_placed(each, position) for each in scene.preceding(rank) if each >= k)

    def _is_placed(self, rank: int, position: _Position) -> bool:
        """Whether an operation that has not returned yet took effect; what was not even invoked did not."""
        scene = self.scene
        now = scene.returns[position.k].returned or 0
        return scene.returns[rank].invoked < now and bool(position.placed & scene.bits[rank])

    def _without(self, before: State, operation: Operation) -> State | Illegal:
        """Where `operation` would lead had the unanswered operation before it not taken effect."""
        self.steps += 1
        return self.scene.model.step(before, operation.f, operation.argument, operation.result)

    def _settled(self, position: _Position, *, changed: bool) -> _Position:
        """Let every observer take effect that now can, and pass the returns of what has taken effect."""
        scene, step = self.scene, self.scene.model.step
        k, placed, state = position.k, position.placed, position.state
        observed: list[Operation] = []
        returns, bits = scene.returns, scene.bits
        looking: Sequence[int] = scene.observers[k] if changed and k < len(returns) else ()
        while True:
            for rank in looking:
                if placed & bits[rank]:
                    continue
                operation = returns[rank]
                self.steps += 1
                if step(state, operation.f, operation.argument, operation.result) is not ILLEGAL:
                    placed |= bits[rank]
                    observed.append(operation)
            if k == len(returns) or not placed & bits[k]:
                break
            placed &= ~bits[k]
            k += 1
            looking = scene.arrivals[k] if k < len(returns) else ()
        position.k, position.placed = k, placed
        if observed:
            position.taken = (*position.taken, *observed)
        return position
