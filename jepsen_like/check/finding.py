"""What the checkers that need no search report: the anomalies they found, and a verdict."""

from dataclasses import dataclass

from jepsen_like.check.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One broken promise.

    - `kind` names the promise, in the words of the checker's docstring.
    - `sentence` says what happened, with the values.
    - `event` is the position in the history where it shows, None where it belongs to no single event.
    """

    kind: str
    sentence: str
    event: int | None = None

    def __str__(self) -> str:
        where = "" if self.event is None else f"event {self.event}: "
        return f"{self.kind}: {where}{self.sentence}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with its reasons.

    - `anomalies` are those that make the history invalid; not empty exactly when the verdict is INVALID.
    - `remarks` are anomalies that the promise allows, and reasons why the verdict is only UNKNOWN.
    """

    verdict: Verdict
    anomalies: tuple[Anomaly, ...] = ()
    remarks: tuple[Anomaly, ...] = ()

    @staticmethod
    def of(anomalies: list[Anomaly], remarks: list[Anomaly], *, undecided: bool = False) -> "Finding":
        """Invalid with anomalies, else unknown if `undecided`, else valid. Both lists are put in order of event."""
        verdict = Verdict.INVALID if anomalies else Verdict.UNKNOWN if undecided else Verdict.VALID
        return Finding(verdict, tuple(sorted(anomalies, key=_place)), tuple(sorted(remarks, key=_place)))

    @property
    def first_bad_event(self) -> int | None:
        """The earliest position at which an anomaly shows."""
        return min((each.event for each in self.anomalies if each.event is not None), default=None)

    def kinds(self) -> tuple[str, ...]:
        """The kinds of anomalies found, sorted, each once."""
        return tuple(sorted({each.kind for each in self.anomalies}))


def _place(anomaly: Anomaly) -> tuple[int, str, str]:
    return (-1 if anomaly.event is None else anomaly.event, anomaly.kind, anomaly.sentence)
