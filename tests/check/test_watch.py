"""The watch contract: one planted break of each kind, and random correct streams."""

from collections.abc import Hashable
from random import Random

import pytest

from jepsen_like.check import Batch, Change, Stream, Verdict, check_watch

LOG = (Change(1, "a", 1), Change(2, "a", 2), Change(2, "b", 2), Change(4, "c", 3), Change(5, "a", 4))
A1, A2, B2, C4, A5 = LOG


def _stream(*batches: Batch, start: int = 1, keys: str = "abc", watcher: int = 0) -> Stream:
    return Stream(watcher, start, batches, lambda key: str(key) in keys)


def _kinds(*streams: Stream) -> tuple[str, ...]:
    return check_watch(LOG, streams).kinds()


@pytest.mark.parametrize(
    "kind, streams",
    [
        ("ordered", [_stream(Batch((A2, B2)), Batch((A1,)))]),
        ("unique", [_stream(Batch((A1,)), Batch((A2, B2)), Batch((A2,)))]),
        ("unique", [_stream(Batch((A1,))), _stream(Batch((A1, A2, B2)))]),
        ("reliable", [_stream(Batch((A1,)), Batch((C4,)))]),
        ("reliable", [_stream(Batch((A1,), bookmark=2))]),
        ("reliable", [_stream(Batch(bookmark=4), start=4)]),
        ("atomic", [_stream(Batch((A1, A2)), Batch((B2,)))]),
        ("resumable", [_stream(Batch((A1, A2, B2)), start=2)]),
        ("resumable", [_stream(Batch((A1,))), _stream(Batch((C4,)), start=3)]),
        ("filtered", [_stream(Batch((A1, A2, B2)), keys="a")]),
        ("bookmarkable", [_stream(Batch((A1,), bookmark=2), Batch((A2, B2)))]),
        ("bookmarkable", [_stream(Batch((A1, A2, B2), bookmark=3), Batch(bookmark=2))]),
        ("authentic", [_stream(Batch((Change(1, "a", 9),)))]),
        ("authentic", [_stream(Batch((A1, A2, B2, Change(3, "a", 9))))]),
    ],
)
def test_every_broken_promise_is_named(kind: str, streams: list[Stream]) -> None:
    assert kind in _kinds(*streams)


def test_what_may_still_be_under_way_is_not_held_against_a_stream() -> None:
    assert _kinds(_stream(Batch((A1,)))) == ()
    assert _kinds(_stream()) == ()
    assert _kinds(_stream(Batch((A1,), bookmark=1)), _stream(Batch((A2, B2)), start=2)) == ()
    assert _kinds(_stream(Batch((A1, A2, B2), bookmark=3)), _stream(Batch((C4,)), start=4)) == ()


def test_correct_streams_pass_and_one_change_less_does_not() -> None:
    for seed in range(200):
        random = Random(seed)
        revisions = sorted(random.randrange(1, 20) for _ in range(12))
        log = list({(r, k): Change(r, k, r) for r in revisions for k in random.sample("abcd", 2)}.values())
        keys = "".join(random.sample("abcd", 3))
        stream = _delivered(random, log, keys)
        assert check_watch(log, [stream]).verdict is Verdict.VALID, f"seed {seed}: {stream}"
        count = sum(len(batch.changes) for batch in stream.batches)
        if count > 1:
            short = _without(stream, random.randrange(count - 1))
            assert check_watch(log, [short]).verdict is Verdict.INVALID, f"seed {seed}: {short}"


def _delivered(random: Random, log: list[Change], keys: str) -> Stream:
    start = random.randrange(1, 10)
    wanted = [change for change in log if str(change.key) in keys and change.revision >= start]
    batches = []
    for revision in sorted({change.revision for change in wanted}):
        bookmark = revision if random.random() < 0.2 else None
        batches.append(Batch(tuple(each for each in wanted if each.revision == revision), bookmark))

    def wants(key: Hashable) -> bool:
        return str(key) in keys

    return Stream("w", start, tuple(batches), wants)


def _without(stream: Stream, place: int) -> Stream:
    """The stream without one of its changes; never the last one, which may still be under way."""
    batches = []
    for batch in stream.batches:
        size = len(batch.changes)
        if 0 <= place < size:
            batch = Batch(batch.changes[:place] + batch.changes[place + 1 :], batch.bookmark)
        place -= size
        batches.append(batch)
    return Stream(stream.watcher, stream.start, tuple(batches), stream.wants)
