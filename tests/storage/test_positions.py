"""What the log keeps in memory: a few bytes per entry, and the terms of the whole log as runs."""

import gc
import tracemalloc
from random import Random

from raftlog.core.durable import HardState, SnapshotMeta, TermRun
from raftlog.core.entry import Entry, EntryKind
from raftlog.core.ids import NOTHING, EntryId
from raftlog.core.membership import MembershipAt
from raftlog.storage.group import GroupLog, Place
from raftlog.storage.records import Standing
from tests.storage.story import G0, membership

ENTRIES = 40_000


def fresh_log() -> GroupLog:
    return GroupLog(Standing(G0, HardState(), SnapshotMeta(NOTHING, MembershipAt(0, membership(1)))))


def put(log: GroupLog, at: EntryId, place: Place) -> None:
    log.put(Entry(G0, at.index, at.term, EntryKind.COMMANDS, 0, 0, b""), place)


def test_ten_million_entries_take_less_than_150_mb() -> None:
    tracemalloc.start()
    try:
        log = fresh_log()
        before = tracemalloc.get_traced_memory()[0]
        for n in range(ENTRIES):
            put(log, EntryId(1 + n // 10_000, n + 1), Place(n // 1000, n % 1000, 100))
        gc.collect()
        per_entry = (tracemalloc.get_traced_memory()[0] - before) / ENTRIES
    finally:
        tracemalloc.stop()
    assert per_entry * 10_000_000 < 150e6, f"{per_entry:.1f} bytes per entry"


def test_places_and_terms_against_a_plain_list() -> None:
    for seed in range(30):
        random = Random(seed)
        log, plain = fresh_log(), list[tuple[EntryId, Place]]()
        term, segment, offset, base = 1, 1, 0, 0
        for _ in range(200):
            action = random.random()
            if action < 0.1 and len(plain) > base:
                base = random.randint(base, len(plain))
                term_there = plain[base - 1][0].term if base else 0
                log.truncate(SnapshotMeta(EntryId(term_there, base), MembershipAt(0, membership(1))))
            if action < 0.3 and len(plain) > base:
                term += 1
                del plain[random.randint(base, len(plain) - 1) :]
            if action > 0.9:
                segment, offset = segment + random.randint(1, 2), 0
            length = random.randint(56, 100)
            at, place = EntryId(term, len(plain) + 1), Place(segment, offset, length)
            offset += length
            put(log, at, place)
            plain.append((at, place))
            assert log.last == plain[-1][0], f"seed {seed}"
            for index in random.sample(range(base + 1, len(plain) + 1), k=min(5, len(plain) - base)):
                assert (EntryId(log.term_at(index), index), log.place_of(index)) == plain[index - 1], (
                    f"seed {seed}"
                )
            assert log.recovered().runs == runs_of(plain[base:]), f"seed {seed}"


def runs_of(plain: list[tuple[EntryId, Place]]) -> tuple[TermRun, ...]:
    found: list[TermRun] = []
    for at, _ in plain:
        if not found or found[-1].term != at.term:
            found.append(TermRun(at.index, at.term))
    return tuple(found)
