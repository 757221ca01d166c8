"""How far a leader's own disk lags behind those of a majority that could do without it."""

from dataclasses import dataclass

from raftlog.core.ids import Index, Micros

SHARE = 4
"""A disk drags while it needs more than one part in so many of an election timeout longer than the others."""
IN_A_ROW = 4
"""How often, without a prompt write in between, until that is no accident."""


@dataclass(slots=True)
class Outrun:
    """Samples the lag, one at a time.

    A sample begins when a quorum without the leader has acknowledged more than the leader's own disk has, and ends when
    that disk has as much. Where no such quorum is faster there are no samples: another leader would do no better.
    """

    _level: Index = 0
    """What is waited for; 0: nothing."""
    _since: Micros = 0
    _late: int = 0

    @property
    def waits(self) -> bool:
        """Whether a sample is under way."""
        return self._level > 0

    def others_have(self, level: Index, now: Micros) -> None:
        """A quorum without the leader has this much, which is more than the leader's disk has."""
        assert not self.waits, f"{self._level} is waited for already"
        self._level, self._since = level, now

    def own_has(self, durable: Index, now: Micros, election_timeout: Micros) -> bool:
        """The leader's disk has this much; True when it has dragged too often in a row."""
        if self.waits and durable >= self._level:
            late = (now - self._since) * SHARE >= election_timeout
            self._late = self._late + 1 if late else 0
            self._level = 0
        return self._late >= IN_A_ROW
