"""Messages under way: nothing arrives until it is told to, in whatever order, as often as one likes, or never."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from raftlog.core.ids import NodeId
from raftlog.core.message import AppendRequest, Message


@dataclass(frozen=True, slots=True)
class Selector:
    """Which messages a command means; a field that is None means any."""

    sender: NodeId | None = None
    to: NodeId | None = None
    kind: type[Message] | None = None

    def __call__(self, message: Message) -> bool:
        """Whether it means this one."""
        return (
            self.sender in (None, message.sender)
            and self.to in (None, message.to)
            and (self.kind is None or type(message) is self.kind)
        )


class Network:
    """Every message that was sent and neither delivered nor lost, oldest first.

    Invariants: `counts` counts each message once, when it is sent, whether it will arrive or not.
    """

    __slots__ = ("counts", "cut", "entries", "flights", "held")

    def __init__(self) -> None:
        self.flights: list[Message] = []
        self.counts: Counter[type[Message]] = Counter()
        self.entries = 0
        """Copies of entries sent."""
        self.cut: set[tuple[NodeId, NodeId]] = set()
        """Directed links that carry nothing."""
        self.held: list[Selector] = []
        """Messages that wait until they are released or named."""

    def send(self, message: Message) -> bool:
        """Take a message; False when its link is cut and it is lost."""
        self.counts[type(message)] += 1
        if isinstance(message, AppendRequest):
            self.entries += len(message.entries)
        if (message.sender, message.to) in self.cut:
            return False
        self.flights.append(message)
        return True

    def holds(self, message: Message) -> bool:
        """Whether it waits until it is released or named."""
        return any(selector(message) for selector in self.held)

    def select(self, selector: Selector) -> Iterator[int]:
        """Positions in `flights` of the messages meant, oldest first."""
        return (at for at, message in enumerate(self.flights) if selector(message))

    def next_free(self) -> int | None:
        """The oldest message that nothing holds back."""
        if not self.held:
            return 0 if self.flights else None
        return next((at for at, message in enumerate(self.flights) if not self.holds(message)), None)

    def passes(self, message: Message) -> bool:
        """Whether its link still carries."""
        return (message.sender, message.to) not in self.cut

    def partition(self, islands: list[list[NodeId]]) -> None:
        """Cut every link between different islands; links within one are left as they are."""
        for here in islands:
            for there in islands:
                if here is not there:
                    self.cut |= {(a, b) for a in here for b in there}

    def heal(self) -> None:
        """Every link carries again; what was lost stays lost."""
        self.cut.clear()
