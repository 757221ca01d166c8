"""How long to wait before dialing again: doubling from 50 ms to a bound, and back to 50 ms after a success."""

FIRST = 0.05
LONGEST = 1.0


class Backoff:
    """Delays between attempts, in seconds.

    Bounded low because a peer that was away for ten minutes must hear from us at once when it is back: what a refused
    connection per second costs is nothing beside an election.
    """

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._delay = FIRST

    def reset(self) -> None:
        """The last attempt succeeded."""
        self._delay = FIRST

    def next(self) -> float:
        """The delay before the next attempt."""
        delay = self._delay
        self._delay = min(2 * delay, self._longest)
        return delay
