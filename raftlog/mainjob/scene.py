"""What is happening right now, for whoever shows it."""

from collections.abc import Callable

from raftlog.core.ids import Term

Listener = Callable[[str], None]


class Scene:
    """The picture the main job paints while it runs; a display reads it several times a second.

    Invariant: `done <= total`. Reading it from another thread sees each field whole, maybe not all of one moment.
    """

    def __init__(self, tell: Listener) -> None:
        self._tell = tell
        self.stage = "starting"
        self.done = 0
        self.total = 0
        """0: the stage has no measure."""
        self.rate = 0.0
        """Per second."""
        self.leader = ""
        self.term: Term = 0

    def say(self, sentence: str) -> None:
        """Something worth a line of its own has happened."""
        self._tell(sentence)

    def begin(self, stage: str, total: int = 0) -> None:
        """A new stage of `total` steps."""
        self.stage, self.done, self.total, self.rate = stage, 0, total, 0.0

    def advance(self, done: int, rate: float = 0.0) -> None:
        """The stage has got this far."""
        self.done, self.rate = min(done, self.total), rate

    def lead(self, leader: str, term: Term) -> None:
        """Who leads, as far as is known; an empty name: nobody."""
        self.leader, self.term = leader, term
