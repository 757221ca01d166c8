"""Snapshots on disk: never half there, never lost before a newer one is there, damage named and set aside."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import xxhash

from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import ClusterId, EntryId, GroupId
from raftlog.core.membership import MembershipAt
from raftlog.storage import Compacted, Disk, DiskError, DiskFull, LocalDisk, LogDamaged, StorageRefused, Wal
from raftlog.storage.disk import SECTOR
from raftlog.storage.format import padded
from raftlog.storage.snapshots import Manifest, SnapshotDamaged, SnapshotId, Snapshots, Writer
from raftlog.storage.snapshots.manifest import decode, encode
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Platter
from tests.storage.story import (
    CLUSTER,
    G0,
    PART,
    SEGMENT,
    Entropy,
    Story,
    a_snapshot,
    entry,
    membership,
    meta,
    run,
    state_at,
    write,
)

AT = EntryId(2, 9)


@pytest.fixture(params=["simulated", "local"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return LocalDisk(tmp_path) if request.param == "local" else SimDisk(Random(3))


def go(tale: Coroutine[Any, Any, None]) -> None:
    asyncio.run(tale)


async def opened(disk: Disk, seed: int = 4) -> Snapshots:
    return await Snapshots.open(disk, CLUSTER, entropy=Entropy(Random(seed)).entropy, part_size=PART)


async def filled(writer: Writer, content: bytes, step: int = 300) -> Manifest:
    for start in range(0, len(content), step):
        await writer.write(content[start : start + step])
    return await writer.commit(77)


async def taken(snapshots: Snapshots, at: EntryId = AT, group: GroupId = G0) -> Manifest:
    return await filled(snapshots.begin(group, meta(at)), state_at(group, at))


async def stream_of(snapshots: Snapshots, manifest: Manifest) -> bytes:
    return b"".join([part async for part in snapshots.stream(manifest)])


async def received(snapshots: Snapshots, manifest: Manifest, parts: list[bytes]) -> Manifest:
    receiver = snapshots.receive(manifest)
    for number, part in enumerate(parts, 1):
        await receiver.put(number, part)
    return await receiver.commit()


def changed(files: dict[str, bytes], name: str, at: int, new: bytes) -> dict[str, bytes]:
    content = files[name]
    return {**files, name: content[:at] + new + content[at + len(new) :]}


def on(files: dict[str, bytes]) -> SimDisk:
    return SimDisk(Random(5), platter=Platter(files))


async def files_of_one() -> tuple[dict[str, bytes], Manifest]:
    disk = SimDisk(Random(6))
    manifest = await taken(await opened(disk))
    return disk.platter.contents(), manifest


# -- taking and reading


@pytest.mark.parametrize("step", [1, 7, 300, PART, 2 * PART + 1, 1 << 20])
def test_what_is_written_is_read_back_in_parts_before_and_after_a_restart(disk: Disk, step: int) -> None:
    async def tale() -> None:
        snapshots = await opened(disk)
        content = state_at(G0, AT)
        changes = SnapshotMeta(AT, MembershipAt(4, membership(1, 2)), 123_456)
        manifest = await filled(snapshots.begin(G0, changes), content, step)
        assert [part.length for part in manifest.parts] == [PART, PART, len(content) - 2 * PART]
        assert (manifest.meta, manifest.digest, manifest.cluster) == (changes, 77, CLUSTER)
        assert (manifest.size, snapshots.size) == (len(content), len(content))
        for found in (snapshots, await opened(disk)):
            assert found.newest(G0) == manifest == found.find(manifest.id)
            assert await stream_of(found, manifest) == content
            assert await found.part(manifest, 2) == content[PART : 2 * PART]
            assert found.damage == ()
        await disk.close()

    go(tale())


def test_a_received_snapshot_has_the_same_files_byte_for_byte(disk: Disk) -> None:
    async def tale() -> None:
        files, manifest = await files_of_one()
        snapshots = await opened(disk)
        receiver = snapshots.receive(manifest)
        assert receiver.missing == [1, 2, 3]
        parts = [files[name] for name in manifest.part_names]
        for number in (3, 1, 3, 2, 1):
            await receiver.put(number, parts[number - 1])
        assert receiver.missing == []
        assert await receiver.commit() == manifest
        names = [name for name in await disk.names() if name != "lock"]
        assert {name: await disk.read(name, 0, 1 << 20) for name in names} == files
        assert await stream_of(await opened(disk), manifest) == state_at(G0, AT)
        await disk.close()

    go(tale())


def test_what_is_no_part_of_the_snapshot_is_not_taken() -> None:
    async def tale() -> None:
        manifest, parts = a_snapshot(Entropy(Random(1)), G0, AT)
        disk = SimDisk(Random(1))
        receiver = (await opened(disk)).receive(manifest)
        for number, content, words in (
            (1, parts[1], "do not fit"),
            (1, parts[0][:-1], "do not fit"),
            (1, b"", "do not fit"),
            (0, parts[-1], "no such part"),
            (-1, parts[-1], "no such part"),
            (4, parts[0], "no such part"),
        ):
            with pytest.raises(LogDamaged, match=words):
                await receiver.put(number, content)
        assert receiver.missing == [1, 2, 3]
        assert await disk.names() == [], "something was written"
        with pytest.raises(AssertionError, match="have not come"):
            await receiver.commit()
        other = Snapshots(disk, ClusterId(9), entropy=Entropy(Random(1)).entropy, part_size=PART)
        with pytest.raises(LogDamaged, match="a snapshot of cluster 00000000000000c1"):
            other.receive(manifest)

    go(tale())


def test_a_snapshot_that_is_here_is_not_received_again() -> None:
    async def tale() -> None:
        manifest, parts = a_snapshot(Entropy(Random(1)), G0, AT)
        snapshots = await opened(SimDisk(Random(1)))
        await received(snapshots, manifest, parts)
        with pytest.raises(AssertionError, match="is here"):
            snapshots.receive(manifest)

    go(tale())


def test_the_writer_holds_one_part_in_memory() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        writer = (await opened(disk)).begin(G0, meta(AT))
        for number in range(1, 40):
            await writer.write(bytes(250))
            assert len(await disk.names()) == number * 250 // PART

    go(tale())


def test_s6_the_newest_is_the_one_of_the_highest_index_whatever_comes_last() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        snapshots = await opened(disk)
        slow = snapshots.begin(G0, meta(EntryId(1, 5)))
        await slow.write(state_at(G0, EntryId(1, 5)))
        fetched, parts = a_snapshot(Entropy(Random(2)), G0, AT)
        await received(snapshots, fetched, parts)
        other = await taken(snapshots, EntryId(1, 50), GroupId(1))
        older = await slow.commit(5)
        for found in (snapshots, await opened(disk)):
            assert found.newest(G0) == fetched
            assert found.all(G0) == (older, fetched)
            assert found.newest(GroupId(1)) == other
            assert found.newest(GroupId(2)) is None
        await snapshots.keep_newest(G0)
        for found in (snapshots, await opened(disk)):
            assert found.all(G0) == (fetched,)
            assert await stream_of(found, fetched) == state_at(G0, AT)
            assert found.newest(GroupId(1)) == other
        with pytest.raises(AssertionError, match="relies on"):
            await snapshots.keep_newest(G0, 0)

    go(tale())


def test_a_reader_of_a_dropped_snapshot_is_told() -> None:
    async def tale() -> None:
        snapshots = await opened(SimDisk(Random(1)))
        old = await taken(snapshots, EntryId(1, 3))
        reading = snapshots.stream(old)
        assert await anext(reading)
        await taken(snapshots)
        await snapshots.keep_newest(G0)
        with pytest.raises(DiskError, match="No such file"):
            await anext(reading)
        assert snapshots.damage == ()

    go(tale())


# -- giving up


def test_nothing_remains_of_what_is_abandoned(disk: Disk) -> None:
    async def tale() -> None:
        snapshots = await opened(disk)
        before = await disk.names()
        writer = snapshots.begin(G0, meta(AT))
        await writer.write(state_at(G0, AT))
        await writer.abandon()
        manifest, parts = a_snapshot(Entropy(Random(2)), G0, AT)
        receiver = snapshots.receive(manifest)
        await receiver.put(2, parts[1])
        await receiver.abandon()
        assert await disk.names() == before
        await disk.close()

    go(tale())


def test_leftovers_are_removed_by_the_next_start(disk: Disk) -> None:
    async def tale() -> None:
        snapshots = await opened(disk)
        kept = await taken(snapshots, EntryId(1, 3))
        names = await disk.names()
        await snapshots.begin(G0, meta(AT)).write(bytes(2 * PART))
        manifest, parts = a_snapshot(Entropy(Random(2)), G0, AT)
        await snapshots.receive(manifest).put(2, parts[1])
        await disk.allocate(manifest.name + ".new", SECTOR)
        assert len(await disk.names()) == len(names) + 4
        found = await opened(disk)
        assert await disk.names() == names
        assert found.all(G0) == (kept,)
        await disk.close()

    go(tale())


Work = Callable[[Snapshots], Awaitable[bool]]


async def take_or_abandon(snapshots: Snapshots) -> bool:
    writer = snapshots.begin(G0, meta(AT))
    try:
        await filled(writer, state_at(G0, AT))
    except DiskError:
        await writer.abandon()
        return False
    return True


async def receive_or_abandon(snapshots: Snapshots) -> bool:
    manifest, parts = a_snapshot(Entropy(Random(2)), G0, AT)
    receiver = snapshots.receive(manifest)
    try:
        for number in (2, 3, 1):
            await receiver.put(number, parts[number - 1])
        await receiver.commit()
    except DiskError:
        await receiver.abandon()
        return False
    return True


@pytest.mark.parametrize("work", [take_or_abandon, receive_or_abandon])
def test_a_full_disk_at_any_step_costs_that_snapshot_only(work: Work) -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        snapshots = await opened(disk)
        old = await taken(snapshots, EntryId(1, 3))
        files, used = disk.platter.contents(), sum(map(len, disk.platter.contents().values()))
        needed = len(state_at(G0, AT)) + padded(len(encode(old)))
        refused = 0
        for room in [*range(0, needed + 1, 50), needed]:
            disk.capacity = used + room
            if await work(snapshots):
                break
            refused += 1
            assert disk.platter.contents() == files, f"something remains for want of {needed - room} bytes"
            assert snapshots.newest(G0) == old
        assert refused == len(range(0, needed, 50)), "it took more space than it has bytes"
        newest = (await opened(disk)).newest(G0)
        assert newest is not None
        assert newest.meta.last == AT

    go(tale())


async def calls_of(work: Work) -> list[str]:
    """The calls that change the disk, in order."""
    disk = Counting(None)
    snapshots = await opened(disk)
    disk.calls.clear()
    await work(snapshots)
    return disk.calls


class Counting(SimDisk):
    """Counts the calls that change it, and lets one of them fail before or after it was done."""

    def __init__(self, fails: tuple[int, bool] | None) -> None:
        super().__init__(Random(1))
        self.calls: list[str] = []
        self.fails = fails

    async def _count(self, call: str, work: Awaitable[None]) -> None:
        self.calls.append(call)
        at, done = self.fails or (0, True)
        if len(self.calls) != at or done:
            await work
        else:
            work.close()  # type: ignore[attr-defined] # a coroutine that is never awaited
        if len(self.calls) == at:
            raise DiskError(f"{call} fails")

    async def allocate(self, name: str, size: int) -> None:
        await self._count("allocate", super().allocate(name, size))

    async def write_and_sync(self, name: str, offset: int, pieces: Any) -> None:
        await self._count("write", super().write_and_sync(name, offset, pieces))

    async def rename(self, old: str, new: str) -> None:
        await self._count("rename", super().rename(old, new))

    async def sync_names(self) -> None:
        await self._count("names", super().sync_names())


@pytest.mark.parametrize("done", [False, True], ids=["not-done", "done"])
@pytest.mark.parametrize("work", [take_or_abandon, receive_or_abandon])
def test_a_step_that_fails_leaves_no_snapshot_or_a_whole_one(work: Work, done: bool) -> None:
    async def tale() -> None:
        calls = await calls_of(work)
        assert calls == ["allocate", "write"] * 3 + ["names", "allocate", "write", "rename", "names"]
        for at in range(1, len(calls) + 1):
            disk = Counting((at, done))
            snapshots = Snapshots(disk, CLUSTER, entropy=Entropy(Random(4)).entropy, part_size=PART)
            assert not await work(snapshots), f"{calls[at - 1]} failed, the {at}th call, and nobody noticed"
            assert snapshots.newest(G0) is None
            assert await disk.names() == [], f"after the {at}th call, {calls[at - 1]}"
            disk.fails = None
            assert await work(snapshots), "what was given up stands in the way"
            found = await opened(disk)
            assert len(found.all(G0)) == 1
            assert found.damage == ()

    go(tale())


def test_a_process_that_ends_with_the_manifest_in_doubt_finds_all_or_nothing() -> None:
    async def tale() -> None:
        disk = Counting((11, True))
        snapshots = Snapshots(disk, CLUSTER, entropy=Entropy(Random(4)).entropy, part_size=PART)
        with pytest.raises(DiskError):
            await taken(snapshots)
        outcomes = set()
        for state in disk.platter.crash_states(Random(1), most=50):
            found = await opened(SimDisk(Random(1), platter=state))
            assert found.damage == ()
            for manifest in found.all(G0):
                assert await stream_of(found, manifest) == state_at(G0, AT)
            outcomes.add(len(found.all(G0)))
        assert 1 in outcomes

    go(tale())


# -- damage


def test_every_bit_of_a_manifest_is_covered() -> None:
    async def tale() -> None:
        files, manifest = await files_of_one()
        content = files[manifest.name]
        used = len(content.rstrip(b"\0"))
        for bit in range(used * 8):
            flipped = bytes([content[bit // 8] ^ 1 << bit % 8])
            disk = on(changed(files, manifest.name, bit // 8, flipped))
            try:
                found = await opened(disk)
            except StorageRefused as error:
                raise AssertionError(f"bit {bit} looks like a later version") from error
            assert found.newest(G0) is None, f"bit {bit} was flipped and nobody noticed"
            (damage,) = found.damage
            assert damage.file == manifest.name
            assert await disk.names() == sorted(f"{name}.bad" for name in files)

    go(tale())


@pytest.mark.parametrize("size", [0, 10, 16, 100])
def test_a_manifest_that_is_cut_off_is_set_aside(size: int) -> None:
    async def tale() -> None:
        files, manifest = await files_of_one()
        found = await opened(on({**files, manifest.name: files[manifest.name][:size]}))
        assert found.newest(G0) is None
        assert found.damage[0].file == manifest.name

    go(tale())


def test_a_manifest_under_another_name_or_of_another_cluster_is_set_aside() -> None:
    async def tale() -> None:
        files, manifest = await files_of_one()
        content = files.pop(manifest.name)
        name = manifest.name.replace("0009", "0008", 1)
        found = await opened(on({**files, name: content}))
        assert (found.newest(G0), found.damage[0].file) == (None, name)
        other = await Snapshots.open(
            on({**files, manifest.name: content}), ClusterId(5), entropy=lambda: 1, part_size=PART
        )
        assert "of cluster 00000000000000c1" in other.damage[0].reason

    go(tale())


def test_a_manifest_of_a_later_format_is_refused_by_its_version() -> None:
    async def tale() -> None:
        files, manifest = await files_of_one()
        body = encode(manifest)
        later = body[:8] + (2).to_bytes(4, "little") + body[12:]
        sealed = later[: 16 + int.from_bytes(body[12:16], "little")]
        content = (sealed + xxh3(sealed)).ljust(len(body), b"\0")
        with pytest.raises(StorageRefused, match="format version 2"):
            await opened(on({**files, manifest.name: content}))

    go(tale())


def xxh3(content: bytes) -> bytes:
    return xxhash.xxh3_64_intdigest(content).to_bytes(8, "little")


@pytest.mark.parametrize("lengths", [(), (0,), (700, 0), (700, 699, 700), (700, 701), (0, 700)], ids=str)
def test_a_manifest_whose_parts_cannot_be_is_damaged(lengths: tuple[int, ...]) -> None:
    manifest, _ = a_snapshot(Entropy(Random(1)), G0, AT)
    one = manifest.parts[0]
    parts = tuple(msgspec.structs.replace(one, length=length) for length in lengths)
    content = encode(msgspec.structs.replace(manifest, parts=parts))
    with pytest.raises(LogDamaged, match="part"):
        decode(content, manifest.name)


def test_a_flipped_bit_in_a_part_is_found_when_it_is_read() -> None:
    async def tale() -> None:
        files, manifest = await files_of_one()
        for number, name in enumerate(manifest.part_names, 1):
            for byte in (0, len(files[name]) // 2, len(files[name]) - 1):
                flipped = bytes([files[name][byte] ^ 8])
                found = await opened(on(changed(files, name, byte, flipped)))
                assert found.newest(G0) == manifest
                for _ in range(2):
                    with pytest.raises(SnapshotDamaged, match="does not fit its checksum") as caught:
                        await found.verify(manifest)
                    assert caught.value.damage.file == name
                assert len(found.damage) == 1, "one place is one damage"
                assert "9@2" in str(found.damage[0])
                for other in {1, 2, 3} - {number}:
                    assert await found.part(manifest, other) == files[manifest.part_name(other)]

    go(tale())


def test_a_part_that_is_missing_or_cut_off_is_found_at_the_start() -> None:
    async def tale() -> None:
        files, manifest = await files_of_one()
        name = manifest.part_names[1]
        without = {each: content for each, content in files.items() if each != name}
        for broken, words in (
            (without, "missing"),
            ({**files, name: files[name][:-1]}, "it has 699 bytes and had 700"),
            ({**files, name: files[name] + b"x"}, "it has 701 bytes"),
        ):
            disk = on(broken)
            found = await opened(disk)
            assert found.newest(G0) is None
            assert words in found.damage[0].reason
            assert await disk.names() == sorted(f"{each}.bad" for each in broken)

    go(tale())


def test_a_part_that_goes_missing_later_is_damage_too() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        snapshots = await opened(disk)
        manifest = await taken(snapshots)
        await disk.remove(manifest.part_name(2))
        with pytest.raises(SnapshotDamaged, match="missing"):
            await snapshots.verify(manifest)

    go(tale())


def test_a_damaged_snapshot_is_kept_for_people_and_never_overwritten(disk: Disk) -> None:
    async def tale() -> None:
        snapshots = await opened(disk)
        manifest, parts = a_snapshot(Entropy(Random(2)), G0, AT)
        old = await taken(snapshots, EntryId(1, 3))
        for suffix in (".bad", ".bad2", ".bad3"):
            await received(snapshots, manifest, parts)
            assert snapshots.newest(G0) == manifest
            await snapshots.quarantine(manifest)
            await snapshots.quarantine(manifest)
            for found in (snapshots, await opened(disk)):
                assert found.all(G0) == (old,)
            for name in (manifest.name, *manifest.part_names):
                assert name + suffix in await disk.names()
                assert name not in await disk.names()
        await disk.close()

    go(tale())


def test_a_crash_while_one_is_set_aside_leaves_all_its_files_to_people() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        snapshots = await opened(disk)
        old = await taken(snapshots, EntryId(1, 3))
        manifest = await taken(snapshots)
        platter, before = Platter(disk.platter.contents()), len(disk.trace)
        await snapshots.quarantine(manifest)
        states, aside = 0, 0
        for event in [None, *disk.trace[before:]]:
            if event is not None:
                platter.perform(event)
            for state in platter.crash_states(Random(1), most=60):
                crashed = SimDisk(Random(1), platter=state)
                found = await opened(crashed)
                states += 1
                assert found.all(G0)[0] == old
                kept = [name.partition(".bad")[0] for name in await crashed.names()]
                assert set(manifest.part_names) | {manifest.name} <= set(kept), kept
                if len(found.all(G0)) == 1:
                    aside += 1
        assert states >= 15
        assert 0 < aside < states, "the crash came too early or too late to tell"

    go(tale())


# -- and the log


def test_s3_the_log_does_not_begin_after_what_no_snapshot_stands_for() -> None:
    async def tale() -> None:
        story = Story(1)
        await story.start()
        await story.append(write(*run(1, 6, 1), term=1, commit=6))
        with pytest.raises(AssertionError, match="the newest snapshot is None"):
            await story.compact(4)
        writer = story.wal.snapshots.begin(G0, meta(EntryId(1, 4)))
        await writer.write(state_at(G0, EntryId(1, 4)))
        story.disk.hold("sync")
        sealing = asyncio.create_task(writer.commit(4))
        for _ in range(50):
            await asyncio.sleep(0)
        story.disk.release("sync")
        with pytest.raises(AssertionError, match="the newest snapshot is None"):
            await story.compact(4)
        await sealing
        with pytest.raises(AssertionError, match=r"would begin after .* the newest snapshot is snapshot"):
            await story.compact(5)
        await story.wal.close()

    go(tale())


def test_s15_a_snapshot_that_contradicts_what_is_committed_is_refused() -> None:
    async def tale() -> None:
        story = Story(1)
        await story.start()
        await story.append(write(*run(1, 6, 1), term=1, commit=5))
        await story.fetch(4, 2)
        with pytest.raises(AssertionError, match=r"4@2 .* no entry of this log, and 5 is committed"):
            await story.begin_after(EntryId(2, 4))
        await story.wal.close()
        with pytest.raises(StorageRefused, match=r"4@2 .* committed"):
            await story.open()
        assert story.disk.platter.contents() != {}

    go(tale())


def test_a_damaged_snapshot_beyond_the_log_does_not_take_its_place() -> None:
    """The crash came before it was installed: the log as it is is worth more than a snapshot that cannot be read."""

    async def tale() -> None:
        story = Story(1)
        await story.start()
        await story.append(write(*run(1, 6, 1), term=1, commit=5))
        await story.fetch(9, 2)
        name = next(name for name in await story.disk.names() if name.endswith(".0002.part"))
        await story.close()
        story.disk.platter.flip(name, 99)
        wal = await Wal.open(story.disk, identity=await story.create(), segment_size=SEGMENT)
        assert wal.recovered(G0).last == 6
        assert wal.snapshots.newest(G0) is None
        assert wal.snapshots.damage[0].file == name
        await wal.close()

    go(tale())


def test_snapshot_ids_are_drawn_anew() -> None:
    async def tale() -> None:
        snapshots = await opened(SimDisk(Random(1)))
        ids = {(await taken(snapshots)).id for _ in range(5)}
        assert len(ids) == 5
        assert all(isinstance(id, SnapshotId) for id in ids)

    go(tale())


def test_no_space_is_a_refusal_that_says_so() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1), capacity=100)
        writer = (await opened(disk)).begin(G0, meta(AT))
        with pytest.raises(DiskFull):
            await writer.write(bytes(PART))
        await writer.abandon()
        assert await disk.names() == []

    go(tale())


def test_a_read_that_races_with_a_purge_hears_that_it_is_compacted() -> None:
    async def tale() -> None:
        story = Story(1)
        wal = await story.start()
        for index in range(1, 9):
            await story.append(write(entry(index, 1, size=1800), term=1, commit=index - 1))
        await story.snapshot(7)
        story.disk.hold("read")
        reading = asyncio.create_task(wal.read(G0, 1, 8, max_bytes=1 << 20))
        kept = asyncio.create_task(wal.read(G0, 7, 8, max_bytes=1 << 20))
        for _ in range(5):
            await asyncio.sleep(0)
        await story.compact(6)
        purging = asyncio.create_task(wal.purge())
        for _ in range(5):
            await asyncio.sleep(0)
        story.disk.release("read")
        assert await purging > 0
        with pytest.raises(Compacted) as caught:
            await reading
        assert caught.value.first == 7
        assert await kept == (entry(7, 1, size=1800), entry(8, 1, size=1800))
        assert wal.damage == ()
        await wal.close()

    go(tale())
