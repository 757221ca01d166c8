"""Joins the ends of messages and faults, so that a trace or a timeline can tell what became of each."""

from collections import defaultdict, deque
from collections.abc import Iterable

import msgspec

from jepsen_like.sim.happening import Happening


def joined(happenings: Iterable[Happening]) -> list[Happening]:
    """The same, with a flight's number at both ends of every message.

    A tier that moves messages by the hundred thousand may not know which copy it is that arrives. Copies of one text
    are alike, so the one that left first is taken for it.
    """
    under_way: defaultdict[str, deque[int]] = defaultdict(deque)
    made, told = 1 << 40, []
    for each in happenings:
        match each.kind:
            case "send":
                if not each.flight:
                    made += 1
                    each = msgspec.structs.replace(each, flight=made)
                under_way[each.text].append(each.flight)
            case "arrive" | "lost" if not each.flight and under_way[each.text]:
                each = msgspec.structs.replace(each, flight=under_way[each.text].popleft())
            case "arrive" | "lost" if each.flight in under_way[each.text]:
                under_way[each.text].remove(each.flight)
            case _:
                pass
        told.append(each)
    return told
