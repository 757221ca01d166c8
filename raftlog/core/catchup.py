"""Whether a learner keeps pace with its leader, so that it could be made a voter without a pause (thesis 4.2.1)."""

from dataclasses import dataclass

from raftlog.core.ids import Index, Micros


@dataclass(slots=True)
class CatchUp:
    """Replication in rounds: each has the entries that were there when it began, and the next begins when they are.

    Who has done its last round within an election timeout would hold up decisions for less than that if they were to
    wait for it. A round takes what came during the one before, so a slow learner never ends one in time, and a fast one
    does so after a few.

    Invariants: `target` never falls.
    """

    target: Index
    """Up to where the round under way goes."""
    began: Micros
    prompt: bool = False
    """Whether the last round was done in time."""

    def reached(self, match: Index, last: Index, now: Micros, patience: Micros) -> None:
        """The learner has everything up to `match`, the leader up to `last`."""
        if match >= self.target:
            self.prompt = now - self.began < patience
            self.target, self.began = max(last, self.target), now

    def caught_up(self, match: Index, now: Micros, patience: Micros) -> bool:
        """Whether the last round was prompt, and the one under way is not late already."""
        return self.prompt and (match >= self.target or now - self.began < patience)
