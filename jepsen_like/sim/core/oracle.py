"""The client's side of the oracles: what an answer may be, judged the moment it is heard."""

from collections.abc import Mapping

from jepsen_like.sim.core.registers import Command, Registers
from jepsen_like.sim.invariants import Checker
from jepsen_like.sim.verdict import Violation
from raftlog.core.ids import Index


class Oracle:
    """Knows at which index of the log each value was set: that index is the value's version.

    Every written value is unique, so a read names the write it saw. Versions order the values of a register as the
    log does; an answer is wrong if its version lies below one that was acknowledged before the question (I14), or
    below one that the same client has seen (its own writes included). That is all there is to linearizability if the
    log's order is the order; the history is searched for another order only at the end.

    Invariants: a floor never falls.
    """

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._versions: dict[str, tuple[str, Index]] = {}
        self._floors: dict[str, Index] = {}
        self._seen: dict[tuple[str, str], Index] = {}
        self._acknowledged: list[tuple[str, int, int]] = []

    # -- told by the fleet

    def sets(self, command: Command, index: Index) -> None:
        """A state machine has set a register."""
        self._versions.setdefault(command.value, (command.key, index))

    # -- told by the clients

    def floor(self, key: str) -> Index:
        """The highest version of a register that anyone has been told of: what a question asked now must see."""
        return self._floors.get(key, 0)

    def read(self, who: str, key: str, value: str | None, floor: Index) -> None:
        """A client has read this value, having asked when the register's floor was `floor`."""
        version = self._version(who, key, value)
        if version < floor:
            raise Violation(
                "I14", f"{who} reads {key}={value} of entry {version}, after {floor} was answered"
            )
        self._sees(who, key, version)

    def executed(self, who: str, client: int, sequence: int, key: str, value: str, floor: Index) -> None:
        """A client was told that its command has set a register."""
        self._is_decided(who, client, sequence)
        version = self._version(who, key, value)
        if version < floor:
            raise Violation(
                "I14", f"{who} sets {key}={value} at {version}, below {floor}, answered before it"
            )
        self._sees(who, key, version)

    def compared(self, who: str, client: int, sequence: int) -> None:
        """A client was told that its comparison failed."""
        self._is_decided(who, client, sequence)

    def _is_decided(self, who: str, client: int, sequence: int) -> None:
        at = self._checker.effect(client, sequence)
        if at is None or self._checker.entry(at) is None:
            raise Violation("client", f"{who} is told that its command {sequence} happened, but it did not")
        self._acknowledged.append((who, client, sequence))

    def _version(self, who: str, key: str, value: str | None) -> Index:
        if value is None:
            return 0
        known, version = self._versions.get(value, ("", 0))
        if known != key:
            raise Violation("client", f"{who} finds {key}={value}, which nobody has written there")
        return version

    def _sees(self, who: str, key: str, version: Index) -> None:
        before = self._seen.get((who, key), 0)
        if version < before:
            raise Violation("client", f"{who} sees {key} of entry {version}, having seen {before} before")
        self._seen[who, key] = version
        self._floors[key] = max(self._floors.get(key, 0), version)

    # -- at the end

    def survived(self, machines: Mapping[str, Registers]) -> None:
        """Every machine is what the decided log makes of it, and all that was acknowledged is in it."""
        last = len(self._checker.decided)
        expected = Registers()
        effects = set()
        for index in range(1, last + 1):
            entry = self._checker.entry(index)
            assert entry is not None, f"nothing is decided at {index} of {last}"
            effect = expected.apply(entry)
            if effect is not None and effect.executed:
                effects.add((effect.command.client, effect.command.sequence))
        for who, client, sequence in self._acknowledged:
            if (client, sequence) not in effects:
                raise Violation(
                    "client", f"{who} was told that its command {sequence} happened; the log lacks it"
                )
        for name, machine in machines.items():
            if machine != expected:
                raise Violation(
                    "I5",
                    f"{name} ends with {machine.values} at {machine.applied}; the log makes {expected.values}"
                    f" at {expected.applied}",
                )
