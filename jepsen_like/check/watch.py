"""Whether a watch delivers the changes of a log as promised, to streams that begin anywhere and may be resumed."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jepsen_like.check.finding import Anomaly, Finding
from jepsen_like.check.history import Value


@dataclass(frozen=True, slots=True)
class Change:
    """One change: what happened to `key` at `revision`. Changes of one revision happened at one moment."""

    revision: int
    key: Hashable
    value: Value = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a stream delivered at once: changes, and perhaps a bookmark.

    A `bookmark` of r promises that everything up to and including revision r has been delivered.
    """

    changes: tuple[Change, ...] = ()
    bookmark: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """One connection of a watcher.

    - `start` is the first revision asked for; a resumed stream asks for the one after the last it has seen.
    - `wants` says which keys were asked for.
    """

    watcher: Hashable
    start: int
    batches: tuple[Batch, ...]
    wants: Callable[[Hashable], bool] = lambda key: True


def check_watch(log: Iterable[Change], streams: Sequence[Stream]) -> Finding:
    """Compare what streams delivered with the log of all changes, in its order. A watcher's streams stand in order.

    - `ordered`: a change came after one of a later revision.
    - `unique`: a change came twice on one stream, or again to a watcher that resumed after it.
    - `reliable`: a wanted change was left out although a later one, or a bookmark at or after it, was delivered.
    - `atomic`: the changes of one revision came in several batches.
    - `resumable`: a change before the revision asked for came, or a resumed watcher skipped wanted changes.
    - `filtered`: a change of a key nobody asked for.
    - `bookmarkable`: a change came at or before a revision whose bookmark had been delivered; or bookmarks went back.
    - `authentic`: a change that is not in the log, or differs from it.

    What lies after the last delivery of a stream may still be under way: nothing is held against it.
    """
    changes = list(log)
    assert all(first.revision <= second.revision for first, second in pairwise(changes)), (
        "the log's revisions go back"
    )
    anomalies: list[Anomaly] = []
    reached: dict[Hashable, int] = {}
    for number, stream in enumerate(streams):
        anomalies += [
            Anomaly(kind, f"stream {number} of watcher {stream.watcher}: {sentence}")
            for kind, sentence in _Judged(changes, stream, reached.get(stream.watcher)).anomalies()
        ]
        last = _last_delivered(stream)
        if last is not None:
            reached[stream.watcher] = max(last, reached.get(stream.watcher, last))
    return Finding.of(anomalies, [])


def _last_delivered(stream: Stream) -> int | None:
    marks = [change.revision for batch in stream.batches for change in batch.changes]
    marks += [batch.bookmark for batch in stream.batches if batch.bookmark is not None]
    return max(marks, default=None)


class _Judged:
    """One stream beside the log."""

    def __init__(self, log: list[Change], stream: Stream, reached: int | None) -> None:
        self._stream = stream
        self._reached = reached
        self._known = {(change.revision, change.key): change for change in log}
        self._wanted = [change for change in log if stream.wants(change.key)]

    def anomalies(self) -> Iterable[tuple[str, str]]:
        yield from self._one_by_one()
        yield from self._left_out()

    def _one_by_one(self) -> Iterable[tuple[str, str]]:
        """Everything that can be said while reading the stream from its begin."""
        latest: int | None = None
        bookmark: int | None = None
        seen: set[tuple[int, Hashable]] = set()
        closed: set[int] = set()  # revisions of earlier batches
        for batch in self._stream.batches:
            for change in batch.changes:
                place = (change.revision, change.key)
                if place in seen:
                    yield "unique", f"{change} came twice"
                elif self._reached is not None and change.revision <= self._reached:
                    yield "unique", f"{change} came again; revision {self._reached} had been delivered before"
                elif latest is not None and change.revision < latest:
                    yield "ordered", f"{change} came after revision {latest}"
                if change.revision in closed and place not in seen:
                    yield "atomic", f"{change} came apart from other changes of its revision"
                if bookmark is not None and change.revision <= bookmark:
                    yield "bookmarkable", f"{change} came after the bookmark of revision {bookmark}"
                yield from self._alone(change)
                seen.add(place)
                latest = change.revision if latest is None else max(latest, change.revision)
            closed |= {change.revision for change in batch.changes}
            if batch.bookmark is not None:
                if bookmark is not None and batch.bookmark < bookmark:
                    yield (
                        "bookmarkable",
                        f"the bookmark of revision {batch.bookmark} came after that of {bookmark}",
                    )
                bookmark = batch.bookmark if bookmark is None else max(bookmark, batch.bookmark)

    def _alone(self, change: Change) -> Iterable[tuple[str, str]]:
        """What can be said of a change whatever came before it."""
        known = self._known.get((change.revision, change.key))
        if known != change:
            yield "authentic", f"{change} came, the log has {known}"
        if not self._stream.wants(change.key):
            yield "filtered", f"{change} came, which was not asked for"
        if change.revision < self._stream.start:
            yield "resumable", f"{change} came although the stream began at revision {self._stream.start}"

    def _left_out(self) -> Iterable[tuple[str, str]]:
        last = _last_delivered(self._stream)
        if last is None:
            return
        if self._reached is not None and self._stream.start > self._reached + 1:
            skipped = [each for each in self._wanted if self._reached < each.revision < self._stream.start]
            if skipped:
                yield "resumable", f"the stream began at {self._stream.start} and skipped {skipped[0]}"
        delivered = {
            (change.revision, change.key) for batch in self._stream.batches for change in batch.changes
        }
        for change in self._wanted:
            if (
                self._stream.start <= change.revision <= last
                and (change.revision, change.key) not in delivered
            ):
                yield "reliable", f"{change} was left out; revision {last} was delivered"
