"""When a snapshot is taken, and how much of the log is kept behind it."""

import msgspec

from raftlog.core.ids import Index, Micros


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot is due when one of the first three is reached since the last one.

    Behind the newest snapshot entries are kept for followers that were away, as long as each of `keep_entries`,
    `keep_bytes` and `keep_age` allows, and always back to the snapshot before it: should the newest be damaged, that
    one and the log still give the state. A follower in contact that needs more is waited for. Neither holds once the
    log has `most_bytes`. A group without new entries lets go of its old ones after `age`, for other groups' sake.
    """

    entries: int = 100_000
    bytes: int = 64 << 20
    """Of entries, as they lie in the log."""
    age: Micros = 3_600_000_000
    keep_entries: int = 10_000
    keep_bytes: int = 16 << 20
    keep_age: Micros = 3_600_000_000
    """By log time, looked at whenever a snapshot was taken."""
    most_bytes: int = 1 << 30
    """Bytes of the whole log on disk beyond which nothing is kept but what the state needs."""

    def __post_init__(self) -> None:
        if (
            min(self.entries, self.bytes, self.age) <= 0
            or min(self.keep_entries, self.keep_bytes, self.keep_age) < 0
        ):
            raise ValueError(f"retention must be positive: {self}")


class Since(msgspec.Struct):
    """What has come since the last snapshot."""

    index: Index
    at: Micros
    """When it was taken, or this process began."""
    entries: int = 0
    size: int = 0

    def count(self, size: int) -> None:
        """One more entry is applied."""
        self.entries += 1
        self.size += size

    def overdue(self, retention: Retention, times: int) -> bool:
        """Whether so many times as much has come as should."""
        return self.entries >= times * retention.entries or self.size >= times * retention.bytes

    def due(self, retention: Retention, now: Micros) -> bool:
        """Whether it is time for the next."""
        if not self.entries:
            return False
        if self.entries >= retention.entries or self.size >= retention.bytes:
            return True
        return now - self.at >= retention.age
