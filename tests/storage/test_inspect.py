"""Looking at a log: what is in it, where it is broken, and not one byte changed."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

from raftlog.core.entry import Entry
from raftlog.core.ids import NOTHING, EntryId, GroupId
from raftlog.storage.batch import Body
from raftlog.storage.disk import SECTOR
from raftlog.storage.format import segment_name
from raftlog.storage.inspect import (
    BatchRow,
    GroupReport,
    Report,
    Row,
    SegmentRow,
    SnapshotRow,
    UnreadableRow,
    dump,
    verify,
)
from raftlog.storage.records import EntryRecord, Impairment, Mark, Standing, encode_entry
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Platter
from tests.storage.scenarios import broken, some_segments
from tests.storage.story import G0, Story, entry, run, write

ONE = segment_name(1)


def go(tale: Coroutine[Any, Any, None]) -> None:
    asyncio.run(tale)


async def looked_at(files: dict[str, bytes]) -> tuple[list[Row], Report]:
    """Rows and verdict; the disk must not change."""
    disk = SimDisk(Random(1), platter=Platter(files))
    rows = [row async for row in dump(disk)]
    report = await verify(disk)
    assert disk.platter.contents() == files
    assert disk.trace == [], "something was written"
    return rows, report


async def a_log() -> tuple[dict[str, bytes], tuple[Entry, ...]]:
    story = Story(1)
    await story.start()
    entries = run(1, 6, 1, size=700)
    await story.append(write(*entries[:2], term=1, vote=2))
    for each in entries[2:]:
        await story.append(write(each, term=1, vote=2, commit=each.index - 1))
    await story.close()
    return story.disk.platter.contents(), entries


def entries_in(rows: list[Row]) -> list[Entry]:
    records = [record for row in rows if isinstance(row, BatchRow) for record in row.records]
    return [record.entry for record in records if isinstance(record, EntryRecord)]


def test_a_sound_log_is_shown_whole() -> None:
    async def tale() -> None:
        files, entries = await a_log()
        rows, report = await looked_at(files)
        assert entries_in(rows) == list(entries)
        assert [row.file for row in rows if isinstance(row, SegmentRow)] == sorted(files)[:-1]
        batches = [row for row in rows if isinstance(row, BatchRow)]
        assert isinstance(batches[0].records[0], Standing)
        assert isinstance(batches[-1].records[-1], Mark)
        assert not [row for row in rows if isinstance(row, UnreadableRow)]
        assert report.sound
        assert report.groups == (GroupReport(G0, 1, 2, 5, 1, 6, NOTHING, ""),)
        assert report.torn == ()

    go(tale())


def test_a_torn_tail_is_told_from_damage() -> None:
    async def tale() -> None:
        story = Story(2)
        wal = await story.start()
        await story.append(write(entry(1, 1), term=1))
        end = wal.end.offset
        await story.append_cut_short(write(*run(2, 4, 1, size=400)))
        files = story.disk.platter.contents()
        content = files[ONE]
        files[ONE] = content[:end] + bytes(SECTOR) + content[end + SECTOR :]
        rows, report = await looked_at(files)
        assert report.sound
        (torn,) = report.torn
        assert (torn.file, torn.offset) == (ONE, end)
        (unreadable,) = [row for row in rows if isinstance(row, UnreadableRow)]
        assert (unreadable.file, unreadable.offset) == (ONE, end)

    go(tale())


def test_damage_is_reported_and_what_lies_behind_it_shown() -> None:
    async def tale() -> None:
        files, entries = await a_log()
        record = b"".join(encode_entry(entries[2]))
        name, at = next(
            (name, content.index(record)) for name, content in sorted(files.items()) if record in content
        )
        content = files[name]
        files[name] = content[: at + 100] + b"\xff" + content[at + 101 :]
        rows, report = await looked_at(files)
        assert not report.sound
        assert name in report.problems[0]
        assert report.end is None
        (hole,) = [row for row in rows if isinstance(row, UnreadableRow)]
        assert hole.file == name
        assert hole.offset <= at < hole.offset + hole.length
        assert entries_in(rows) == [each for each in entries if each.index != 3]

    go(tale())


def test_every_kind_of_broken_directory_has_a_verdict() -> None:
    async def tale() -> None:
        files, _ = await a_log()
        identity = files["identity"]
        for directory, words in (
            ({}, "no log"),
            ({"identity": identity}, "no log in this directory, and its node is a member"),
            ({name: content for name, content in files.items() if name != "identity"}, "no identity file"),
            ({**files, "identity": identity[:9]}, "cut off"),
            ({**files, ONE: files[ONE][:100]}, "cut off"),
            ({**files, ONE: b"x" + files[ONE][1:]}, "header is unreadable"),
            ({**files, ONE: files[ONE][:-1]}, "its header says"),
        ):
            _, report = await looked_at(directory)
            assert not report.sound
            assert any(words in problem for problem in report.problems), (words, report.problems)

    go(tale())


def test_an_entry_that_was_wrong_before_it_was_written_is_reported() -> None:
    async def tale() -> None:
        story = Story(3, groups=2)
        wal = await story.start()
        await story.append(write(entry(1, 1), term=1))
        good = entry(2, 1)
        body = Body()
        body.add(
            *encode_entry(Entry(good.group, good.index, good.term, good.kind, good.log_time, 5, good.payload))
        )
        await wal._commit(body, "append", keeps_room=True, groups=1)
        _, report = await looked_at(story.disk.platter.contents())
        assert len(report.problems) == 1
        assert "entry 2@1 does not fit its own checksum" in report.problems[0]
        assert [group.group for group in report.groups] == [G0, GroupId(1)]

    go(tale())


def test_snapshots_are_shown_and_their_parts_verified() -> None:
    async def tale() -> None:
        story = Story(4)
        await story.start()
        await story.append(write(*run(1, 9, 1), term=1, commit=9))
        await story.snapshot(3)
        await story.snapshot(7)
        await story.compact(5)
        newest = story.wal.snapshots.newest(G0)
        assert newest is not None
        await story.close()
        files = story.disk.platter.contents()
        rows, report = await looked_at(files)
        assert [row.manifest.meta.last.index for row in rows if isinstance(row, SnapshotRow)] == [3, 7]
        assert report.sound
        assert [(each.at.index, each.parts, each.problem) for each in report.snapshots] == [
            (3, 3, ""),
            (7, 3, ""),
        ]
        assert (report.groups[0].base, report.groups[0].first) == (EntryId(1, 5), 6)
        name = newest.part_names[1]
        flipped = {**files, name: b"?" + files[name][1:]}
        _, report = await looked_at(flipped)
        assert not report.sound
        assert name in report.problems[0]
        assert "begins after a snapshot at 5@1" in report.problems[1], "the older one does not reach the log"
        rows, report = await looked_at({**files, newest.name: b"?" + files[newest.name][1:]})
        assert [row.file for row in rows if isinstance(row, UnreadableRow)] == [newest.name]
        assert "no manifest" in report.problems[0]

    go(tale())


def test_an_impaired_log_says_so_and_what_was_set_aside() -> None:
    async def tale() -> None:
        story = Story(1)
        starts = await some_segments(story)
        log = story.account.logs[G0]
        place = starts[4]
        damaged = broken(segment_name(place.segment), place.offset + 100)
        await story.damaged(damaged, {G0: log.cut(3, 1)})
        await story.append(write(entry(4, 5), term=5, commit=2))
        await story.close()
        rows, report = await looked_at(story.disk.platter.contents())
        assert report.sound
        (group,) = report.groups
        assert group.impairment.startswith(f"{segment_name(place.segment)} at byte {place.offset}")
        assert (group.last, report.way) == (4, "")
        assert report.aside
        assert all(name.endswith(".bad") for name in report.aside)
        records = [record for row in rows if isinstance(row, BatchRow) for record in row.records]
        (impairment,) = [record for record in records if isinstance(record, Impairment)]
        assert impairment.reason == group.impairment
        (mending,) = [row.header for row in rows if isinstance(row, SegmentRow) and row.header.mends]
        assert mending.mends == place

    go(tale())


def test_a_damaged_log_says_how_a_start_would_go_on() -> None:
    async def tale() -> None:
        story = Story(1)
        starts = await some_segments(story)
        last = story.wal.end
        await story.append(write(entry(7, 4)))
        await story.close()
        files = story.disk.platter.contents()
        _, report = await looked_at(broken(segment_name(starts[4].segment), starts[4].offset + 100)(files))
        assert (
            report.way
            == "the log can be cut before it (group 0 would end at 3@1), and other nodes have the rest"
        )
        _, report = await looked_at(broken(segment_name(last.segment), last.offset - 3 * SECTOR + 70)(files))
        assert not report.sound
        assert "cannot be mended" in report.way or "can be cut" in report.way

    go(tale())
