"""A session as its client sees it: which sequences are used and which are answered."""


class ClientSession:
    """Hands out sequences and knows below which all are answered, whatever order answers come in.

    Invariants: `1 <= answered_below <= following`; every sequence below `answered_below` is answered or given up and
    never sent again; `_ahead` holds exactly the answered ones above it.
    """

    __slots__ = ("_ahead", "answered_below", "following", "id")

    def __init__(self, client_id: int) -> None:
        self.id = client_id
        self.following = 1
        """The next sequence."""
        self.answered_below = 1
        self._ahead: set[int] = set()

    @property
    def spread(self) -> int:
        """How far sequences have run ahead of the earliest unanswered one."""
        return self.following - self.answered_below

    def take(self) -> int:
        """A fresh sequence."""
        sequence = self.following
        self.following = sequence + 1
        return sequence

    def answered(self, sequence: int) -> None:
        """This one is answered, or given up: it is not sent again either way."""
        assert self.answered_below <= sequence < self.following, (
            f"sequence {sequence} of {self.answered_below} to {self.following - 1} was answered before"
        )
        if sequence != self.answered_below:
            self._ahead.add(sequence)
            return
        sequence += 1
        ahead = self._ahead
        while sequence in ahead:
            ahead.remove(sequence)
            sequence += 1
        self.answered_below = sequence
