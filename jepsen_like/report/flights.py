"""Makes what a run told fit for reading: the ends of each message joined, texts that name both, one line each."""

from collections import defaultdict, deque
from collections.abc import Iterable

import msgspec

from jepsen_like.sim.happening import Happening


def readable(happenings: Iterable[Happening]) -> list[Happening]:
    """What traces and timelines are made of."""
    return [_clear(each) for each in joined(happenings)]


def _clear(happening: Happening) -> Happening:
    text = "".join(
        letter if letter.isprintable() and letter != "\ufffd" else "·" for letter in happening.text
    )
    if happening.kind in ("send", "arrive", "lost") and happening.peer and " -> " not in text:
        ends = (
            (happening.peer, happening.lane)
            if happening.kind == "arrive"
            else (happening.lane, happening.peer)
        )
        text = f"{ends[0]} -> {ends[1]} {text}"
    return happening if text == happening.text else msgspec.structs.replace(happening, text=text)


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
