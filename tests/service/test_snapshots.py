"""Operators' calls about snapshots, on whole nodes in virtual time: taken when asked, read piece by piece."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from raftlog.core.ids import META_GROUP
from raftlog.node.retention import Retention
from raftlog.pb import admin_pb2 as pb
from raftlog.service import CallRefused, Code, SnapshotService
from raftlog.storage.snapshots.manifest import decode
from raftlog.testing.loop import run
from tests.node.test_snapshots import add, agreed, leader_of, settled
from tests.simulation.world import Host, World

NEVER = Retention(entries=1 << 40, bytes=1 << 50, age=1 << 60)


def service(host: Host) -> SnapshotService:
    assert host.node is not None, f"{host.name} is down"
    return SnapshotService(host.node, host.node.give)


async def asked(host: Host, **fields: object) -> pb.SnapshotReply:
    request = pb.SnapshotRequest(**fields)  # type: ignore[arg-type]
    return pb.SnapshotReply.FromString(await service(host).snapshot(request.SerializeToString()))


async def taken(host: Host, **fields: object) -> pb.SnapshotReply:
    """Ask until it is done."""
    reply = await asked(host, **fields)
    for _ in range(400):
        if reply.done:
            return reply
        await asyncio.sleep(0.1)
        reply = await asked(host, covers=reply.covers)
    raise AssertionError(f"no snapshot: {reply}")


def story(seed: int, tale: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = await settled(seed, NEVER)
        await tale(world)
        await world.stop()

    run(whole(), seed=seed)


def follower_of(world: World) -> Host:
    return next(host for host in world.hosts if host is not leader_of(world))


def test_a_snapshot_is_taken_when_asked_for_and_only_if_there_is_something_new() -> None:
    async def tale(world: World) -> None:
        host = follower_of(world)
        await add(world, 7)
        await agreed(world)
        first = await taken(host)
        assert host.node is not None
        assert first.newest.index == host.node.status().applied == host.node.status().snapshot
        assert (await taken(host)).newest == first.newest, (
            "nothing is new: it should answer with the one it has"
        )
        await add(world, 1)
        await agreed(world)
        second = await taken(host)
        assert second.newest.index == first.newest.index + 1
        assert second.newest.id != first.newest.id

    story(11, tale)


def test_a_linearizable_one_holds_what_was_acknowledged_before_the_call() -> None:
    async def tale(world: World) -> None:
        host = follower_of(world)
        for _ in range(5):
            await add(world, 3)
            acknowledged = leader_of(world).node
            assert acknowledged is not None
            committed = acknowledged.status().committed
            reply = await taken(host, linearizable=True)
            assert reply.newest.index >= reply.covers >= committed

    story(12, tale)


def test_without_a_leader_nobody_can_tell_what_was_acknowledged() -> None:
    async def tale(world: World) -> None:
        host = follower_of(world)
        await add(world, 3)
        for other in world.hosts:
            if other is not host:
                await other.crash()
        await asyncio.sleep(10)
        with pytest.raises(CallRefused, match="no leader is known") as refused:
            await asked(host, linearizable=True)
        assert refused.value.code is Code.FAILED_PRECONDITION
        assert (await taken(host)).done, "its own state it can always write"

    story(13, tale)


def test_an_attempt_that_failed_is_told_and_made_again_although_nothing_is_applied() -> None:
    async def tale(world: World) -> None:
        host = follower_of(world)
        await add(world, 3)
        await agreed(world)
        host.disk.fail_once("allocate")
        reply = await asked(host)
        while not reply.failures:
            await asyncio.sleep(0.01)
            reply = await asked(host, covers=reply.covers)
        assert "Input/output error" in reply.trouble
        assert not reply.done
        await asyncio.sleep(15)  # of virtual time; nobody asks
        assert host.node is not None
        assert host.node.status().snapshot == reply.covers

    story(14, tale)


def test_what_is_read_piece_by_piece_is_the_snapshot() -> None:
    async def tale(world: World) -> None:
        host = follower_of(world)
        await add(world, 3, size=2000)
        reply = await taken(host)

        async def read(**fields: int) -> bytes:
            request = pb.ReadSnapshotRequest(**fields).SerializeToString()
            return pb.ReadSnapshotReply.FromString(await service(host).read_snapshot(request)).content

        manifest = decode(await read(), "the manifest")
        assert (manifest.id.value, manifest.meta.last.index) == (reply.newest.id, reply.newest.index)
        pieces = [
            await read(snapshot=manifest.id.value, part=number, offset=at, length=1000)
            for number, part in enumerate(manifest.parts, start=1)
            for at in range(0, part.length, 1000)
        ]
        assert host.node is not None
        whole = b"".join([part async for part in host.node.wal.snapshots.stream(manifest)])
        assert b"".join(pieces) == whole
        for fields, code in (
            ({"snapshot": 1, "part": 1, "length": 1}, Code.NOT_FOUND),
            ({"snapshot": manifest.id.value, "part": 99, "length": 1}, Code.NOT_FOUND),
            ({"snapshot": manifest.id.value, "part": 0, "length": 1}, Code.INVALID_ARGUMENT),
            ({"snapshot": manifest.id.value, "part": 1, "length": (1 << 20) + 1}, Code.INVALID_ARGUMENT),
            ({"group": 9}, Code.INVALID_ARGUMENT),
        ):
            with pytest.raises(CallRefused) as refused:
                await read(**fields)
            assert refused.value.code is code

    story(15, tale)


def test_who_has_none_says_so() -> None:
    async def tale(world: World) -> None:
        with pytest.raises(CallRefused, match="not here") as refused:
            await service(world.hosts[0]).read_snapshot(b"")
        assert refused.value.code is Code.NOT_FOUND
        with pytest.raises(CallRefused, match="not yet to"):
            await asked(world.hosts[0], covers=1 << 40)
        with pytest.raises(CallRefused, match=f"no group {META_GROUP + 3}"):
            await asked(world.hosts[0], group=META_GROUP + 3)

    story(16, tale)
