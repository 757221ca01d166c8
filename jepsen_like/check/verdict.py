"""What a checker says of a history, and how such answers compose."""

from collections.abc import Iterable
from enum import Enum


class Verdict(Enum):
    """`VALID`: the history keeps the promise. `INVALID`: it certainly does not. `UNKNOWN`: the search was cut short."""

    VALID = "valid"
    UNKNOWN = "unknown"
    INVALID = "invalid"

    @staticmethod
    def composed(verdicts: Iterable["Verdict"]) -> "Verdict":
        """The verdict over all: one invalid part makes the whole invalid, else one unknown part makes it unknown.

        No parts are valid: nothing was promised, so nothing was broken.
        """
        seen = frozenset(verdicts)
        if Verdict.INVALID in seen:
            return Verdict.INVALID
        return Verdict.UNKNOWN if Verdict.UNKNOWN in seen else Verdict.VALID
