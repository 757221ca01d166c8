"""What storage says when it cannot go on: damage with its place, refusals, and entries that are gone on purpose."""

from collections.abc import Collection

import msgspec

from raftlog.core.ids import Index

WHAT_TO_DO = (
    "put the directory back as it was when the node last ran, or go on without this node "
    "(an older copy has forgotten promises)"
)
"""For people whose log is damaged or gone: the other nodes carry the cluster as long as they are a majority."""


BAD = ".bad"
"""What is appended to the name of a file that was set aside as damaged; people may look at it, nodes never do."""


def bad_name(name: str, taken: Collection[str]) -> str:
    """Under which name to set a file aside, so that nothing set aside earlier is lost."""
    number = 1
    while (aside := f"{name}{BAD}{number if number > 1 else ''}") in taken:
        number += 1
    return aside


class Damage(msgspec.Struct, frozen=True):
    """One place in the log whose bytes are not what was synced there."""

    file: str
    offset: int
    """Byte position in the file."""
    reason: str
    affected: str = ""
    """Which groups and entries it may have hit, as far as the rest of the log can tell."""

    def __str__(self) -> str:
        affected = f"; affected: {self.affected}" if self.affected else ""
        return f"{self.file} at byte {self.offset}: {self.reason}{affected}"


class LogDamaged(Exception):
    """The log lost or changed something that had been synced. It is never cut away, and its node does not vote."""

    def __init__(self, damage: Damage, beyond_mending: str = "") -> None:
        """Where it is and, if it was tried to mend it, why that must not be done."""
        why = f"; it cannot be mended: {beyond_mending}" if beyond_mending else ""
        super().__init__(f"the log is damaged: {damage}{why}; {WHAT_TO_DO}")
        self.damage = damage


class StorageRefused(Exception):
    """The directory is not one this node may use. The message says why and what to do."""


class Compacted(Exception):
    """The entries asked for were replaced by a snapshot; the log begins at `first`."""

    def __init__(self, first: Index) -> None:
        super().__init__(f"the log begins at {first}: what lies before it is in the snapshot")
        self.first = first
