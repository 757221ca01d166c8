"""Looking at a log: what is in it, where it is broken, and not one byte changed."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

from raftlog.core.entry import Entry
from raftlog.core.ids import GroupId
from raftlog.storage.batch import Body
from raftlog.storage.disk import SECTOR
from raftlog.storage.format import segment_name
from raftlog.storage.inspect import (
    BatchRow,
    GroupReport,
    Report,
    Row,
    SegmentRow,
    UnreadableRow,
    dump,
    verify,
)
from raftlog.storage.records import EntryRecord, Mark, Standing, encode_entry
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Platter
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
        assert report.groups == (GroupReport(G0, 1, 2, 5, 1, 6),)
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
        for broken, words in (
            ({}, "no log"),
            ({"identity": identity}, "no log in this directory, and its node is a member"),
            ({name: content for name, content in files.items() if name != "identity"}, "no identity file"),
            ({**files, "identity": identity[:9]}, "cut off"),
            ({**files, ONE: files[ONE][:100]}, "cut off"),
            ({**files, ONE: b"x" + files[ONE][1:]}, "header is unreadable"),
            ({**files, ONE: files[ONE][:-1]}, "its header says"),
        ):
            _, report = await looked_at(broken)
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
