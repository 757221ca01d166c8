"""Directed graphs with labelled edges over whole numbers: components, reachability, shortest ways."""

from collections import deque
from collections.abc import Callable, Iterable


def components(nodes: Iterable[int], following: Callable[[int], Iterable[int]]) -> list[list[int]]:
    """Strongly connected components, each sorted; each comes after those that it leads to.

    Tarjan's algorithm, without recursion: histories have longer ways than Python's stack is deep.
    """
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[list[int]] = []
    for root in nodes:
        if root in order:
            continue
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        work = [(root, iter(following(root)))]
        while work:
            node, rest = work[-1]
            advanced = False
            for other in rest:
                if other not in order:
                    order[other] = low[other] = len(order)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(following(other))))
                    advanced = True
                    break
                if other in on_stack:
                    low[node] = min(low[node], order[other])
            if advanced:
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == order[node]:
                members = []
                while True:
                    member = stack.pop()
                    on_stack.discard(member)
                    members.append(member)
                    if member == node:
                        break
                found.append(sorted(members))
    return found


def shortest(start: int, end: int, following: Callable[[int], Iterable[int]]) -> list[int] | None:
    """The nodes of a shortest way from `start` to `end`, both included, or None. `start` may equal `end`."""
    came_from: dict[int, int] = {}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for other in following(node):
            if other == end:
                way = [end, node]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if other not in came_from and other != start:
                came_from[other] = node
                queue.append(other)
    return None


class Reach:
    """Which nodes of a graph lead to which, by ways of one edge or more. Takes n * n bits of memory."""

    def __init__(self, nodes: Iterable[int], following: Callable[[int], Iterable[int]]) -> None:
        self._place = {node: place for place, node in enumerate(sorted(nodes))}
        self._bits: dict[int, int] = {}
        place = self._place

        def inside(node: int) -> Iterable[int]:
            return (each for each in following(node) if each in place)

        for members in components(place, inside):
            bits = 0
            for member in members:
                for other in inside(member):
                    bits |= 1 << place[other] | self._bits.get(other, 0)
            self._bits.update(dict.fromkeys(members, bits))

    def leads(self, start: int, end: int) -> bool:
        """True if there is a way."""
        return bool(self._bits[start] >> self._place[end] & 1)
