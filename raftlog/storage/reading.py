"""Reading single entries back from the segments, each checked before it is given."""

from collections.abc import Sequence
from typing import Final

from raftlog.core.entry import Entry
from raftlog.core.ids import GroupId, Index
from raftlog.failpoints import Failpoints
from raftlog.storage.damage import Compacted, Damage, LogDamaged
from raftlog.storage.disk import Disk, DiskError
from raftlog.storage.format import segment_name
from raftlog.storage.group import GroupLog, Place
from raftlog.storage.records import ENTRY_OVERHEAD, decode_entry

_GAP: Final = 64 << 10


class Reading:
    """Runs beside appends and purges; remembers the holes it meets."""

    def __init__(self, disk: Disk, failpoints: Failpoints) -> None:
        self._disk = disk
        self._failpoints = failpoints
        self._damage: list[Damage] = []

    @property
    def damage(self) -> tuple[Damage, ...]:
        """The holes that were met, each once."""
        return tuple(self._damage)

    async def read(self, log: GroupLog, first: Index, last: Index, max_bytes: int) -> tuple[Entry, ...]:
        """See `Wal.read`."""
        assert first <= last, f"nothing to read from {first} to {last}"
        wanted = _within(log, first, last, max_bytes)
        if self._failpoints.armed:
            await self._failpoints.hit("wal.read.before_read", DiskError)
        entries: list[Entry] = []
        try:
            for places in _spans(wanted):
                entries += await self._read_span(log.group, first + len(entries), places)
        except DiskError:
            if first <= log.base.last.index:  # meanwhile the log begins later, and its segment was removed
                raise Compacted(log.base.last.index + 1) from None
            raise
        if self._failpoints.armed:
            await self._failpoints.hit("wal.read.before_answer", DiskError)
        return tuple(entries)

    async def _read_span(self, group: GroupId, first: Index, places: Sequence[Place]) -> list[Entry]:
        start = places[0].offset
        name = segment_name(places[0].segment)
        content = await self._disk.read(name, start, places[-1].offset + places[-1].length - start)
        return [
            self._verified(content, place.offset - start, group, first + n, name, place.offset)
            for n, place in enumerate(places)
        ]

    def _verified(
        self, content: bytes, at: int, group: GroupId, index: Index, name: str, offset: int
    ) -> Entry:
        try:
            entry = decode_entry(content, at)
        except ValueError as error:
            reason = str(error)
        else:
            if (entry.group, entry.index) == (group, index) and entry.intact():
                return entry
            reason = "the entry there does not fit its checksum or its place"
        damage = Damage(name, offset, reason, f"group {group}: entry {index}")
        if damage not in self._damage:
            self._damage.append(damage)
        raise LogDamaged(damage)


def _within(log: GroupLog, first: Index, last: Index, max_bytes: int) -> list[Place]:
    places = [log.place_of(first)]
    size = _charge(places[0])
    for index in range(first + 1, last + 1):
        place = log.place_of(index)
        size += _charge(place)
        if size > max_bytes:
            break
        places.append(place)
    return places


def _charge(place: Place) -> int:
    """`Entry.size` of the entry there."""
    return place.length - ENTRY_OVERHEAD + 64


def _spans(places: Sequence[Place]) -> list[list[Place]]:
    """Split at segment boundaries and wide gaps: each span is worth one read."""
    spans = [[places[0]]]
    for place in places[1:]:
        before = spans[-1][-1]
        if place.segment == before.segment and place.offset - before.offset - before.length <= _GAP:
            spans[-1].append(place)
        else:
            spans.append([place])
    return spans
