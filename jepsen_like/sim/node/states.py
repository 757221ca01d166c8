"""Every state that a snapshot has made durable, held to those of other nodes and to the log played again (I13)."""

from collections.abc import Callable

import xxhash

from jepsen_like.sim.node.images import Kept
from jepsen_like.sim.verdict import Violation
from raftlog.core.entry import Entry
from raftlog.core.ids import Index
from raftlog.machine.applier import Applier
from raftlog.machine.contract import ApplyStopped, StateMachine


class States:
    """Invariant: of every index that a snapshot stands at one hash is known, and who was first to have it."""

    def __init__(self, machine: Callable[[], StateMachine], entry: Callable[[Index], Entry | None]) -> None:
        """`entry` gives decided entries."""
        self._machine = machine
        self._entry = entry
        self._hashes: dict[Index, tuple[int, str]] = {}
        self._ids: set[int] = set()

    def kept(self, name: str, kept: Kept) -> bool:
        """A node has this snapshot for good; whether nobody had it before.

        Raises:
            Violation: another node's state at that index is a different one.
        """
        index, state = kept.snapshot.meta.last.index, kept.snapshot.state
        known, whose = self._hashes.setdefault(index, (state, name))
        if known != state:
            raise Violation(
                "I13", f"{name} keeps a state at {index} of hash {state:x}, that of {whose} is {known:x}"
            )
        new = kept.manifest.id.value not in self._ids
        self._ids.add(kept.manifest.id.value)
        return new

    def judge(self) -> None:
        """Play the decided log once and compare.

        Raises:
            Violation: a snapshot is not what the log up to its index gives.
        """
        applier = Applier(self._machine)
        try:
            for index in range(1, max(self._hashes, default=0) + 1):
                entry = self._entry(index)
                assert entry is not None, f"a snapshot beyond {index}, which nobody has decided"
                applier.apply(entry)
                if index in self._hashes:
                    self._compare(index, hash_of(applier))
        except ApplyStopped:
            return  # a machine that stops its replicas stops this one as well

    def _compare(self, index: Index, state: int) -> None:
        known, whose = self._hashes[index]
        if known != state:
            raise Violation(
                "I13", f"{whose} keeps a state at {index} of hash {known:x}, the log gives {state:x}"
            )


def hash_of(applier: Applier) -> int:
    """The hash of the whole state as a snapshot would hold it."""
    stream = xxhash.xxh3_64()
    for piece in applier.write(applier.capture()):
        stream.update(piece)
    return stream.intdigest()
