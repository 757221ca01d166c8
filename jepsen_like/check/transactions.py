"""Whether list-append transactions are serializable: anomalies found as cycles of dependencies.

Source: Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental observations" (2020); the names of
the anomalies are Adya's (1999).
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

from jepsen_like.check.appends import Transaction, direct, internal, lost_updates, transactions, versions
from jepsen_like.check.dependencies import Dependencies, Edge
from jepsen_like.check.finding import Anomaly, Finding
from jepsen_like.check.graph import Reach, components, shortest
from jepsen_like.check.history import Event, paired

_SHOWN = 5  # cycles of one kind

_ALWAYS = {"internal", "phantom", "duplicate", "incompatible-order", "G1a", "G1b", "G0", "G1c"}
_SNAPSHOT = {*_ALWAYS, "G-single", "lost-update"}
_SERIALIZABLE = {*_SNAPSHOT, "G2"}


def _with(suffix: str, *, of: Iterable[str] = ("G0", "G1c", "G-single", "G2")) -> set[str]:
    return {f"{kind}-{suffix}" for kind in of}


CONSISTENCY: Mapping[str, frozenset[str]] = {
    "read-committed": frozenset(_ALWAYS),
    "snapshot-isolation": frozenset(_SNAPSHOT),
    "serializable": frozenset(_SERIALIZABLE),
    "strong-session-serializable": frozenset(_SERIALIZABLE | _with("process")),
    "strict-serializable": frozenset(_SERIALIZABLE | _with("process") | _with("realtime")),
}
"""What each level of consistency forbids. What it allows is still reported, as a remark."""


def check_list_append(history: Iterable[Event], *, consistency: str = "strict-serializable") -> Finding:
    """Check transactions of `[append, k, v]` and `[r, k, list]`; every element is appended to a list at most once.

    Cycles, by the edges that they need (see `Edge`):

    - `G0`: only ww. `G1c`: ww and wr. `G-single`: exactly one rw. `G2`: two rw or more.
    - with `-process`, `-realtime`: the same, and the order of a process, or of real time, closes the cycle.

    Without a graph: `internal`, `phantom`, `duplicate`, `incompatible-order`, `G1a` (read of a failed append), `G1b`
    (read of an intermediate state), `lost-update`. Transactions that were never answered count where their appends
    were read. Raises `Misused` for values that are no such transactions.
    """
    forbidden = CONSISTENCY[consistency]
    found = transactions(paired(list(history)))
    known = versions(found)
    anomalies = [anomaly for each in found if each.answered for anomaly in internal(each)]
    anomalies += direct(found, known)
    anomalies += lost_updates(found)
    anomalies += _Cycles(found, Dependencies(found, known)).anomalies()
    bad = [each for each in anomalies if each.kind in forbidden]
    return Finding.of(bad, [each for each in anomalies if each.kind not in forbidden])


_LEVELS: tuple[tuple[str, tuple[Edge, ...]], ...] = (
    ("", ()),
    ("-process", (Edge.PROCESS,)),
    ("-realtime", (Edge.PROCESS, Edge.REALTIME)),
)


class _Cycles:
    """The cycles of one history, looked for component by component and level by level."""

    def __init__(self, found: list[Transaction], dependencies: Dependencies) -> None:
        self._transactions = found
        self._edges = dependencies.edges
        self._numbers = range(len(found))

    def anomalies(self) -> list[Anomaly]:
        """Up to five of each kind. A kind that was found without the order of processes is not looked for with it."""
        anomalies: list[Anomaly] = []
        seen: set[str] = set()
        for suffix, extra in _LEVELS:
            for kind, cycles in (
                ("G0", self._closed((Edge.WW,), extra, Edge.WW)),
                ("G1c", self._closed((Edge.WW, Edge.WR), extra, Edge.WR)),
                ("G-single", self._single(extra)),
                ("G2", self._double(extra)),
            ):
                if kind in seen:
                    continue
                for cycle in cycles:
                    seen.add(kind)
                    anomalies.append(self._told(f"{kind}{suffix}", cycle))
        return anomalies

    def _closed(self, kinds: tuple[Edge, ...], extra: tuple[Edge, ...], needed: Edge) -> Iterable[list[int]]:
        """Cycles of the given edges with at least one of the needed kind."""
        following = self._following((*kinds, *extra))
        return self._limited(
            [before, *way]
            for members in self._components(following)
            for before, after in self._inside(needed, members)
            if (way := shortest(after, before, self._within(following, members))) is not None
        )

    def _single(self, extra: tuple[Edge, ...]) -> Iterable[list[int]]:
        """Cycles of one rw edge, closed by a way without any."""
        following = self._following((Edge.WW, Edge.WR, *extra))
        return self._limited(
            [before, *way]
            for members, reach in self._reaches(extra)
            for before, after in self._inside(Edge.RW, members)
            if reach.leads(after, before)
            if (way := shortest(after, before, self._within(following, members))) is not None
        )

    def _double(self, extra: tuple[Edge, ...]) -> Iterable[list[int]]:
        """Cycles through an rw edge that only another rw edge can close."""
        everything = self._following((Edge.WW, Edge.WR, Edge.RW, *extra))
        return self._limited(
            [before, *way]
            for members, reach in self._reaches(extra)
            for before, after in self._inside(Edge.RW, members)
            if not reach.leads(after, before)
            if (way := shortest(after, before, self._within(everything, members))) is not None
        )

    def _reaches(self, extra: tuple[Edge, ...]) -> Iterable[tuple[list[int], Reach]]:
        """The components of the whole graph, and who leads to whom in them without rw edges."""
        without = self._following((Edge.WW, Edge.WR, *extra))
        for members in self._components(self._following((Edge.WW, Edge.WR, Edge.RW, *extra))):
            yield members, Reach(members, without)

    def _components(self, following: Callable[[int], Iterable[int]]) -> Iterable[list[int]]:
        return (each for each in reversed(components(self._numbers, following)) if len(each) > 1)

    def _following(self, kinds: tuple[Edge, ...]) -> Callable[[int], list[int]]:
        """The nodes after a node, sorted, so that equal histories give equal cycles."""
        memory: dict[int, list[int]] = {}

        def following(node: int) -> list[int]:
            if node not in memory:
                memory[node] = sorted({each for kind in kinds for each in self._edges[kind].get(node, ())})
            return memory[node]

        return following

    def _within(
        self, following: Callable[[int], Iterable[int]], members: list[int]
    ) -> Callable[[int], Iterable[int]]:
        inside = set(members)
        return lambda node: (each for each in following(node) if each in inside)

    def _inside(self, kind: Edge, members: list[int]) -> Iterable[tuple[int, int]]:
        inside = set(members)
        edges = self._edges[kind]
        return ((node, each) for node in members for each in sorted(edges.get(node, ())) if each in inside)

    def _limited(self, cycles: Iterable[list[int]]) -> list[list[int]]:
        """The first few, each set of transactions once."""
        found: dict[frozenset[int], list[int]] = {}
        for cycle in cycles:
            found.setdefault(frozenset(cycle), cycle)
            if len(found) == _SHOWN:
                break
        return list(found.values())

    def _told(self, kind: str, cycle: list[int]) -> Anomaly:
        """The cycle in words. It shows when the last of its transactions is answered."""
        steps = [
            f"{self._transactions[before]} {self._reason(before, after)}" for before, after in pairwise(cycle)
        ]
        ends = [self._transactions[each].operation.returned for each in cycle]
        return Anomaly(kind, "; ".join(steps), max((end for end in ends if end is not None), default=None))

    def _reason(self, before: int, after: int) -> str:
        for kind in Edge:
            reason = self._edges[kind].get(before, {}).get(after)
            if reason is not None:
                return f"-{kind.value}-> T{after} ({reason})"
        raise AssertionError(f"a cycle goes from T{before} to T{after}, which no edge joins")
