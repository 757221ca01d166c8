"""Backups of whole clusters in virtual time: from whom, of what, and through deaths and elections in the middle."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from raftlog.admin import Unreachable
from raftlog.backup.checking import check
from raftlog.backup.reading import BackupReader
from raftlog.backup.taking import Backup, CannotBackUp, Step, Wishes, back_up
from raftlog.backup.writing import CannotWrite
from raftlog.core.ids import META_GROUP
from raftlog.machine.applier import Applier
from raftlog.machine.calls import encode_call
from raftlog.node.retention import Retention
from raftlog.testing.loop import run
from raftlog.testing.network import Weather
from tests.backup.nodes import Piece, SimNodes
from tests.node.test_snapshots import add, agreed, leader_of
from tests.simulation.tally import Tally
from tests.simulation.world import Host, World

NEVER = Retention(entries=1 << 40, bytes=1 << 50, age=1 << 60)
LEADER = Wishes(from_leader=True)
LATEST = Wishes(latest=True)


def story(
    seed: int, tale: Callable[[World, SimNodes], Awaitable[None]], retention: Retention = NEVER
) -> None:
    async def whole() -> None:
        world = World(seed, machine=Tally, weather=Weather(), retention=retention)
        world.part_size = 300
        await world.start()
        await asyncio.sleep(4)
        await add(world, 20)
        for n in range(40):
            await add(world, 1, size=n + 2)
        await tale(world, SimNodes(world))
        await world.stop()

    run(whole(), seed=seed)


async def made(nodes: SimNodes, file: Path, wishes: Wishes | None = None, *, asked: int = 0) -> Backup:
    wishes = wishes or Wishes()
    return await back_up(nodes, [f"h{asked + 1}:2"], file, clock=nodes.world.clock, wishes=wishes)


def state_in(file: Path) -> Applier:
    """What a node makes of the file's group."""
    applier = Applier(Tally)
    with file.open("rb") as source:
        for _, parts in BackupReader(source, str(file)).groups():
            applier.restore(parts)
    return applier


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def size_of(file: Path) -> int:
    return file.stat().st_size


def followers_of(world: World) -> list[Host]:
    return [host for host in world.hosts if host is not leader_of(world)]


def test_a_backup_is_the_state_with_everything_acknowledged_before(tmp_path: Path) -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        leader = leader_of(world).node
        assert leader is not None
        acknowledged = leader.status().committed
        backup = await made(nodes, tmp_path / "b")
        (group,) = backup.groups
        assert group.last.index >= acknowledged
        assert group.node in [host.name for host in followers_of(world)], "the leader has enough to do"
        contents = check(tmp_path / "b")
        assert (contents.groups[0].last, contents.size) == (group.last, size_of(tmp_path / "b"))
        restored = state_in(tmp_path / "b")
        assert restored.applied == group.last
        assert (restored.query(encode_call(Tally.read, "x")).body, restored.digest) == (
            leader.query(META_GROUP, 1, encode_call(Tally.read, "x")).body,
            leader.status().digest,
        )
        assert names_in(tmp_path) == ["b"]

    story(31, tale)


def test_it_goes_on_under_load(tmp_path: Path) -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        async def on_piece(host: Host, request: Piece) -> None:
            await add(world, 1)

        nodes.on_piece = on_piece
        backup = await made(nodes, tmp_path / "b")
        await agreed(world)
        leader = leader_of(world).node
        assert leader is not None
        assert leader.status().applied > backup.groups[0].last.index, "nothing was written meanwhile: no test"
        assert state_in(tmp_path / "b").applied == backup.groups[0].last

    story(32, tale)


def test_from_the_leader_if_wished(tmp_path: Path) -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        assert (await made(nodes, tmp_path / "b", LEADER)).groups[0].node == leader_of(world).name

    story(33, tale)


def test_the_latest_one_is_as_old_as_it_is_and_of_whoever_has_the_newest(tmp_path: Path) -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        with pytest.raises(CannotBackUp, match="not here"):
            await made(nodes, tmp_path / "b", Wishes(latest=True, patience=1))
        older, newer = followers_of(world)
        for host in (older, newer):
            await add(world, 5)
            await agreed(world)
            await nodes.snapshot(f"{host.name}:2", META_GROUP)
            await asyncio.sleep(1)
        assert newer.node is not None
        newest = newer.node.status().snapshot
        await add(world, 5)
        nodes.asked.clear()
        backup = await made(nodes, tmp_path / "b", LATEST)
        assert (backup.groups[0].last.index, backup.groups[0].node) == (newest, newer.name)
        assert "snapshot" not in {method for _, method in nodes.asked}, "nobody was to take one"

    story(34, tale)


def test_a_node_that_dies_in_the_middle_is_replaced_by_another(tmp_path: Path) -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        died: list[Host] = []

        async def on_piece(host: Host, request: Piece) -> None:
            if request.part == 3 and not died:
                died.append(host)
                await host.crash()

        nodes.on_piece = on_piece
        backup = await made(nodes, tmp_path / "b")
        assert died
        assert backup.groups[0].node not in (died[0].name, leader_of(world).name)
        assert check(tmp_path / "b").size == backup.size == size_of(tmp_path / "b")

    story(35, tale)


def test_a_leader_that_dies_in_the_middle_is_no_end(tmp_path: Path) -> None:
    """The follower that was to be asked dies as well: what is left elects nobody until one of them is back."""

    async def tale(world: World, nodes: SimNodes) -> None:
        died: list[Host] = []
        dead = asyncio.Event()

        async def on_piece(host: Host, request: Piece) -> None:
            if request.part == 2 and not died:
                died.extend((host, leader_of(world)))
                for each in died:
                    await each.crash()
                dead.set()

        async def come_back() -> None:
            await dead.wait()
            await asyncio.sleep(8)
            await died[1].start()

        nodes.on_piece = on_piece
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(come_back())
            backup = await made(nodes, tmp_path / "b")
        assert backup.groups[0].node != died[0].name
        assert backup.groups[0].last.term > 1, "nobody was elected meanwhile: no test"
        assert state_in(tmp_path / "b").applied == backup.groups[0].last

    story(36, tale)


def test_a_damaged_piece_is_not_written_down(tmp_path: Path) -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        first = followers_of(world)[0]
        nodes.spoil = lambda host, content: (
            bytes([content[0] ^ 1]) + content[1:] if host is first else content
        )
        assert (await made(nodes, tmp_path / "b")).groups[0].node != first.name
        nodes.spoil = lambda host, content: content[:-1]
        with pytest.raises(CannotBackUp, match=r"h1:2 gave part 1 of snapshot .* damaged"):
            await made(nodes, tmp_path / "c")
        assert names_in(tmp_path) == ["b"]

    story(37, tale)


def test_a_snapshot_stays_while_it_is_being_given_away(tmp_path: Path) -> None:
    """Nodes take one after the other here, faster than a backup reads its pieces."""

    async def tale(world: World, nodes: SimNodes) -> None:
        kept: list[int] = []

        async def on_piece(host: Host, request: Piece) -> None:
            assert host.node is not None
            await add(world, 60)
            await agreed(world)
            every = host.node.wal.snapshots.all(META_GROUP)
            kept.append(len(every))
            if request.part > 1:
                assert every[0].id.value == request.snapshot, "it was dropped under the reader's hands"
                assert every[1].meta.last.index > every[0].meta.last.index + 20, (
                    "no newer ones were taken: no test"
                )

        nodes.on_piece = on_piece
        backup = await made(nodes, tmp_path / "b")
        assert [call for _, call in nodes.asked].count("manifest") == 1
        assert check(tmp_path / "b").groups[0].last == backup.groups[0].last
        assert max(kept) == 3, "at most one more than usual"
        host = nodes.host(backup.groups[0].address)
        await asyncio.sleep(60)
        await add(world, 60)
        await agreed(world)
        assert host.node is not None
        assert len(host.node.wal.snapshots.all(META_GROUP)) == 2, (
            "one that nobody reads any more stays for ever"
        )

    story(38, tale, Retention(entries=10, keep_entries=5))


def test_one_that_is_dropped_all_the_same_is_begun_anew(tmp_path: Path) -> None:
    """A reader that pauses for more than a minute."""

    async def tale(world: World, nodes: SimNodes) -> None:
        paused: list[Piece] = []

        async def on_piece(host: Host, request: Piece) -> None:
            if request.part == 2 and not paused:
                paused.append(request)
                await asyncio.sleep(61)
                await add(world, 60)
                await agreed(world)

        nodes.on_piece = on_piece
        backup = await made(nodes, tmp_path / "b")
        assert [call for _, call in nodes.asked].count("manifest") == 2
        assert check(tmp_path / "b").groups[0].last == backup.groups[0].last

    story(44, tale, Retention(entries=10, keep_entries=5))


def test_when_nobody_can_there_is_no_file(tmp_path: Path) -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        for host in world.hosts[1:]:
            await host.crash()
        await asyncio.sleep(10)
        with pytest.raises(CannotBackUp, match=r"h1:2 refused: no leader is known"):
            await made(nodes, tmp_path / "b")
        with pytest.raises(
            CannotBackUp, match="there is no cluster to take a backup of: no node answers at h2:2"
        ):
            await made(nodes, tmp_path / "b", asked=1)
        assert names_in(tmp_path) == []

    story(39, tale)


def test_an_existing_file_is_replaced_only_if_wished_and_only_by_a_whole_one(tmp_path: Path) -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        file = tmp_path / "b"
        file.write_bytes(b"precious")
        with pytest.raises(CannotWrite, match="exists: give another name, or --replace"):
            await made(nodes, file)

        async def on_piece(host: Host, request: Piece) -> None:
            assert file.read_bytes() == b"precious"
            assert names_in(tmp_path) == ["b", "b.new"]

        nodes.on_piece = on_piece
        await made(nodes, file, Wishes(replace=True))
        check(file)
        assert names_in(tmp_path) == ["b"]

    story(40, tale)


def test_progress_counts_up_to_the_whole(tmp_path: Path) -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        steps: list[Step] = []
        backup = await back_up(
            nodes, ["h1:2"], tmp_path / "b", clock=world.clock, wishes=Wishes(), on_step=steps.append
        )
        fetched = [step.done for step in steps if step.fetching]
        assert fetched == sorted(fetched)
        assert (fetched[-1], steps[-1].total) == (backup.groups[0].size, backup.groups[0].size)

    story(41, tale)


def test_two_backups_to_one_name_do_not_mix(tmp_path: Path) -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        async def on_piece(host: Host, request: Piece) -> None:
            nodes.on_piece = None
            with pytest.raises(CannotWrite, match="another backup is being written"):
                await made(nodes, tmp_path / "b")

        nodes.on_piece = on_piece
        await made(nodes, tmp_path / "b")
        check(tmp_path / "b")

    story(42, tale)


def test_who_is_down_is_said_to_be() -> None:
    async def tale(world: World, nodes: SimNodes) -> None:
        await world.hosts[0].crash()
        with pytest.raises(Unreachable):
            await nodes.manifest("h1:2", META_GROUP)

    story(43, tale)
