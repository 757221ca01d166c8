"""What storage says when it cannot go on: damage with its place, refusals, and entries that are gone on purpose."""

import msgspec

from raftlog.core.ids import Index


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
    """The log lost or changed something that had been synced. It is never cut away: repair it or replace the member."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(
            f"the log is damaged: {damage}. Restore the file, or remove this member and add it anew"
        )
        self.damage = damage


class StorageRefused(Exception):
    """The directory is not one this node may use. The message says why and what to do."""


class Compacted(Exception):
    """The entries asked for were replaced by a snapshot; the log begins at `first`."""

    def __init__(self, first: Index) -> None:
        super().__init__(f"the log begins at {first}: what lies before it is in the snapshot")
        self.first = first
