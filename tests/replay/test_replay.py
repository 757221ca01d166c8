"""Snapshots made by another process: the same as one's own, or none and no trace of it."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from raftlog.clock import SystemClock
from raftlog.core.durable import HardState, SnapshotMeta
from raftlog.core.entry import Command, Entry, EntryKind, encode_commands, seal
from raftlog.core.ids import META_GROUP, ClusterId, EntryId, Index, NodeId
from raftlog.core.membership import Member, Membership, MembershipAt
from raftlog.machine.applier import Applier
from raftlog.machine.calls import encode_call
from raftlog.machine.contract import StateMachine
from raftlog.node.taking import Differs, NotTaken, Point, by_replay
from raftlog.replay import Processes, spec_of
from raftlog.replay.machine import NotImportable
from raftlog.storage import GroupWrite, LocalDisk, Wal, load_or_create
from statemachines.kv import KeyValue
from tests.replay.machines import Hashing, Held, Names

ROOT = Path(__file__).parents[2]
AT = MembershipAt(0, Membership(voters=(NodeId(1),), members=(Member(NodeId(1), "n1", "h:1", "h:1"),)))
FULL = """
import errno, os
from raftlog.replay.worker import main
def full(*_): raise OSError(errno.ENOSPC, "No space left on device")
os.posix_fallocate = full
main()
"""


class Story:
    """A log on a real disk, and the state that its node would be in."""

    def __init__(self, make: Callable[[], StateMachine], directory: Path) -> None:
        self.directory = directory
        self.applier = Applier(make)
        self.machine = spec_of(make)
        self.wal: Wal

    async def __aenter__(self) -> "Story":
        self._disk = LocalDisk(self.directory)
        identity = await load_or_create(self._disk, SystemClock())
        members = Membership(voters=(identity.node,), members=(Member(identity.node, "n1", "h:1", "h:1"),))
        if identity.cluster is None:
            identity = await Wal.bootstrap(
                self._disk, identity=identity, cluster_id=ClusterId(7), groups={META_GROUP: members},
                segment_size=8192,
            )  # fmt: skip
        self.wal = await Wal.open(self._disk, identity=identity, segment_size=8192, part_size=1024)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.wal.close()
        await self._disk.close()

    async def write(self, bodies: list[bytes]) -> None:
        """Append entries of one command each, decided at once, and apply them."""
        first = self.applier.applied.index + 1
        entries = tuple(_entry(first + n, body) for n, body in enumerate(bodies))
        await self.wal.append([GroupWrite(META_GROUP, HardState(1, None, first - 1), entries)])
        for entry in entries:
            self.applier.apply(entry)

    @property
    def point(self) -> Point:
        """The state as it stands."""
        applier = self.applier
        return Point(SnapshotMeta(applier.applied, AT, applier.log_time), applier.digest)

    def processes(self, **options: object) -> Processes:
        return Processes(self.directory, entropy=SystemClock().entropy, **options)  # type: ignore[arg-type]

    async def replay(self, processes: Processes | None = None) -> None:
        """Take a snapshot in another process."""
        processes = processes or self.processes()
        try:
            await by_replay(
                self.wal,
                processes,
                META_GROUP,
                self.machine,
                self.point,
                urgent=False,
                outrun=asyncio.Event(),
            )
        finally:
            processes.close()

    async def restored(self, make: Callable[[], StateMachine]) -> Applier:
        """The state of the newest snapshot."""
        newest = self.wal.snapshots.newest(META_GROUP)
        assert newest is not None, "no snapshot was taken"
        fresh = Applier(make)
        fresh.restore([piece async for piece in self.wal.snapshots.stream(newest)])
        return fresh

    def leftovers(self) -> list[str]:
        """Files of snapshots on disk that none of the snapshots there are needs."""
        needed = {
            name for each in self.wal.snapshots.all(META_GROUP) for name in (each.name, *each.part_names)
        }
        found = {
            each.name for each in self.directory.iterdir() if ".part" in each.name or ".snap" in each.name
        }
        return sorted(found - needed)


def _entry(index: Index, body: bytes) -> Entry:
    payload = encode_commands([Command(0, 0, 0, 1, 1, body)])
    return seal(
        group=META_GROUP,
        at=EntryId(1, index),
        kind=EntryKind.COMMANDS,
        log_time=1000 + index,
        payload=payload,
    )


def stream(applier: Applier) -> bytes:
    return b"".join(applier.write(applier.capture()))


def puts(start: int, count: int) -> list[bytes]:
    return [encode_call(KeyValue.put, f"key {n}", bytes(n % 50)) for n in range(start, start + count)]


def names(start: int, count: int) -> list[bytes]:
    return [encode_call(Names.add, f"name {n}") for n in range(start, start + count)]


def test_i13_the_state_replayed_is_the_state_here_byte_for_byte(tmp_path: Path) -> None:
    async def tale() -> None:
        async with Story(KeyValue, tmp_path) as story:
            await story.write(puts(0, 300))
            await story.replay()
            assert stream(await story.restored(KeyValue)) == stream(story.applier)
            await story.write(puts(150, 300))
            await story.replay()
            assert stream(await story.restored(KeyValue)) == stream(story.applier)
            first, second = story.wal.snapshots.all(META_GROUP)
            assert (first.meta.last.index, second.meta.last.index) == (300, 600)
            assert len(second.parts) > 2, "one part: no test of how they are cut"
            assert second.digest == story.applier.digest
            assert story.leftovers() == []
        async with Story(KeyValue, tmp_path) as again:  # and it is durable
            assert again.wal.snapshots.newest(META_GROUP) == second

    asyncio.run(tale())


def test_i13_the_second_begins_with_the_first_and_not_with_the_log(tmp_path: Path) -> None:
    async def tale() -> None:
        async with Story(Names, tmp_path) as story:
            await story.write(names(0, 50))
            await story.replay()
            base = story.wal.snapshots.newest(META_GROUP)
            assert base is not None
            await story.wal.append([GroupWrite(META_GROUP, HardState(1, None, 50), base=base.meta)])
            await story.wal.purge()
            await story.write(names(40, 50))
            await story.replay()
            assert stream(await story.restored(Names)) == stream(story.applier)

    asyncio.run(tale())


def test_a_copy_of_the_newest_can_be_made_without_new_entries(tmp_path: Path) -> None:
    async def tale() -> None:
        async with Story(Names, tmp_path) as story:
            await story.write(names(0, 5))
            await story.replay()
            await story.replay()
            one, two = story.wal.snapshots.all(META_GROUP)
            assert one.id != two.id
            assert one.meta == two.meta

    asyncio.run(tale())


def test_a_machine_that_follows_the_order_of_hashes_is_found_and_its_snapshot_not_used(
    tmp_path: Path,
) -> None:
    async def tale() -> None:
        async with Story(Hashing, tmp_path) as story:
            await story.write([*names(0, 5), encode_call(Hashing.bucket, "somewhere")])
            with pytest.raises(Differs, match=r"LEADS TO ANOTHER STATE.* up to 6@1"):
                await story.replay()
            assert story.wal.snapshots.newest(META_GROUP) is None
            assert story.leftovers() == []

    asyncio.run(tale())


def test_a_flipped_bit_in_memory_is_found(tmp_path: Path) -> None:
    async def tale() -> None:
        async with Story(Names, tmp_path) as story:
            await story.write(names(0, 5))
            machine = story.applier.machine
            assert isinstance(machine, Names)
            machine.names["name 3"] ^= 64
            await story.write(names(3, 1))
            with pytest.raises(Differs, match="memory or disk"):
                await story.replay()

    asyncio.run(tale())


def flip(directory: Path, where: bytes, files: str = "*.seg") -> None:
    """One bit in the first file of these, where this is written."""
    file = min(directory.glob(files))
    content = bytearray(file.read_bytes())
    content[content.index(where)] ^= 1
    file.write_bytes(content)


def test_a_flipped_bit_on_disk_is_found(tmp_path: Path) -> None:
    async def tale() -> None:
        async with Story(Names, tmp_path) as story:
            await story.write(names(0, 40))
            flip(tmp_path, b"name 7")
            with pytest.raises(NotTaken, match=r"not entry 8 of group 0 as it was written"):
                await story.replay()
            assert story.leftovers() == []

    asyncio.run(tale())


def test_a_damaged_snapshot_is_no_beginning(tmp_path: Path) -> None:
    async def tale() -> None:
        async with Story(Names, tmp_path) as story:
            await story.write(names(0, 40))
            await story.replay()
            flip(tmp_path, b"name 7", "*.part")
            await story.write(names(0, 1))
            with pytest.raises(NotTaken, match="does not fit its checksum"):
                await story.replay()

    asyncio.run(tale())


@contextmanager
def gate(directory: Path) -> Iterator[str]:
    """A pipe that nobody waits at here: `Held` does, in the other process."""
    path = directory / "gate"
    os.mkfifo(path)
    yield str(path)


def arrived(path: str) -> int:
    """Wait until the other process is in its first command; what holds it there until it is closed."""
    return os.open(path, os.O_WRONLY)


def held(path: str) -> Callable[[], StateMachine]:
    return partial(Held, path)


def test_a_process_killed_in_the_middle_leaves_nothing_and_the_next_succeeds(tmp_path: Path) -> None:
    async def tale() -> None:
        started: list[int] = []
        with gate(tmp_path) as path:
            async with Story(held(path), tmp_path / "node") as story:
                let_pass(story)
                await story.write(names(0, 30))
                making = asyncio.create_task(story.replay(story.processes(on_start=started.append)))
                holding = await asyncio.to_thread(arrived, path)
                os.kill(started[0], signal.SIGKILL)
                with pytest.raises(NotTaken, match="was killed by signal 9"):
                    await making
                os.close(holding)
                assert story.leftovers() == []
                making = asyncio.create_task(story.replay())
                os.close(await asyncio.to_thread(arrived, path))
                await making
                assert stream(await story.restored(held(""))) == stream(story.applier)

    asyncio.run(tale())


def let_pass(story: Story) -> None:
    """The node's own machine does not wait."""
    machine = story.applier.machine
    assert isinstance(machine, Held)
    machine._pipe = ""


def test_who_no_longer_waits_leaves_no_process_behind(tmp_path: Path) -> None:
    async def tale() -> None:
        with gate(tmp_path) as path:
            async with Story(held(path), tmp_path / "node") as story:
                let_pass(story)
                await story.write(names(0, 3))
                making = asyncio.create_task(story.replay())
                holding = await asyncio.to_thread(arrived, path)
                making.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await making
                assert abandoned(holding, within=0), "the process outlived who asked for it"
                os.close(holding)

    asyncio.run(tale())


def abandoned(holding: int, within: float) -> bool:
    """Whether nobody waits at the other end of the pipe any more, or does not after so many seconds."""
    poll = select.poll()
    poll.register(holding, 0)
    return bool(poll.poll(within * 1000))


PARENT = """
import asyncio, sys
from pathlib import Path
from tests.replay.test_replay import Story, held, let_pass, names
async def main():
    async with Story(held(sys.argv[2]), Path(sys.argv[1])) as story:
        let_pass(story)
        await story.write(names(0, 30))
        await story.replay()
asyncio.run(main())
"""


def test_a_process_whose_node_is_killed_ends_and_the_next_start_removes_what_it_left(tmp_path: Path) -> None:
    with gate(tmp_path) as path:
        node = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(tmp_path / "node"), path],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        holding = arrived(path)
        node.kill()
        node.wait()
        assert abandoned(holding, within=30), "it works on for a node that is gone"
        os.close(holding)
    (tmp_path / "node" / "00000000000000aa.0001.part").write_bytes(b"half a snapshot")

    async def tale() -> None:
        async with Story(Names, tmp_path / "node") as story:
            assert story.leftovers() == []
            assert story.wal.recovered(META_GROUP).last == 30

    asyncio.run(tale())


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    async def tale() -> None:
        async with Story(Names, tmp_path) as story:
            await story.write(names(0, 30))
            with pytest.raises(NotTaken, match="there is no space to allocate"):
                await story.replay(story.processes(command=(sys.executable, "-c", FULL)))
            assert story.leftovers() == []
            await story.replay()
            assert story.wal.snapshots.newest(META_GROUP) is not None

    asyncio.run(tale())


def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    async def tale() -> None:
        async with Story(Names, tmp_path) as story:
            await story.write(names(0, 3))
            with pytest.raises(NotTaken, match="no process can be started"):
                await story.replay(story.processes(command=(str(tmp_path / "no such program"),)))
            with pytest.raises(NotTaken, match=r"ended with code 1.*ZeroDivisionError"):
                await story.replay(story.processes(command=(sys.executable, "-c", "1/0")))

    asyncio.run(tale())


class TestNames:
    """What can be made in another process, and what cannot."""

    def test_a_class_and_a_class_with_arguments(self) -> None:
        assert spec_of(Names).path == "Names"
        assert spec_of(partial(Names, 3)).arguments == (3,)
        assert spec_of(partial(Names, first=3)).named == {"first": 3}

    def test_a_closure_a_lambda_and_what_has_no_plain_arguments(self) -> None:
        class Local(Names):
            pass

        with pytest.raises(NotImportable, match="inside a function"):
            spec_of(Local)
        with pytest.raises(NotImportable, match="inside a function"):
            spec_of(lambda: Names(3))
        with pytest.raises(NotImportable, match="arguments"):
            spec_of(partial(Names, object()))  # type: ignore[arg-type]

    def test_a_class_that_was_replaced_in_its_module(self) -> None:
        other = type("Names", (Names,), {"__module__": Names.__module__, "__qualname__": "Names"})
        with pytest.raises(NotImportable, match="gives something else"):
            spec_of(other)

    def test_a_class_of_the_program_itself(self) -> None:
        other = type("Names", (Names,), {"__module__": "__main__", "__qualname__": "Names"})
        with pytest.raises(NotImportable, match="module of its own"):
            spec_of(other)
