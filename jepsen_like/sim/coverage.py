"""What must have happened in a campaign for its silence to mean anything: an open registry of gates, and their counts.

Names are paths: `fault/crash`, `role/leader/accepted`, `failpoint/wal.append.before_sync`, `event/leader-change`. A
feature that arrives adds its gates with `expect`; a campaign that left one of them at zero is invalid.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jepsen_like.sim.plan import Tier


@dataclass(frozen=True, slots=True)
class Gate:
    """Something that must happen at least `least` times in a whole campaign of the tiers it is for."""

    name: str
    tiers: tuple[Tier, ...]
    least: int = 1
    absent: str = ""
    """The feature it waits for; a gate with one is printed as absent and counts neither way."""


class Registry:
    """Gates by name. Open: whoever brings a fault, a role, a message or a failpoint brings its gates.

    Invariants: a name is registered once for each tier; the order of registration is the order of reports.
    """

    def __init__(self) -> None:
        self._gates: list[Gate] = []

    def expect(
        self, name: str, *, tiers: tuple[Tier, ...] = ("core", "node"), least: int = 1, absent: str = ""
    ) -> None:
        """Add a gate.

        Raises:
            ValueError: the name is taken, in one of these tiers.
        """
        if any(gate.name == name and {*gate.tiers} & {*tiers} for gate in self._gates):
            raise ValueError(f"the gate {name} is registered already")
        self._gates.append(Gate(name, tiers, least, absent))

    def gates(self, tier: Tier) -> list[Gate]:
        """Those of a tier, in the order they were registered."""
        return [gate for gate in self._gates if tier in gate.tiers]

    def missed(self, tier: Tier, counts: Mapping[str, int]) -> list[Gate]:
        """Gates that did not happen often enough, absent ones left out."""
        return [
            gate for gate in self.gates(tier) if not gate.absent and counts.get(gate.name, 0) < gate.least
        ]


def merge(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of many runs' counts, by name in sorted order."""
    total: dict[str, int] = {}
    for each in counts:
        for name, number in each.items():
            total[name] = total.get(name, 0) + number
    return dict(sorted(total.items()))
