"""A server on a directory that was restored: it waits, says with what, and begins with that once initialised."""

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest

from raftlog.core.ids import META_GROUP, ClusterId, GroupId
from raftlog.core.membership import Member, Membership
from raftlog.machine.calls import encode_call
from raftlog.server import Address, ServeOptions, Server
from raftlog.service import AlreadyInitialised
from raftlog.storage import StorageRefused
from raftlog.transport.client_frames import Level
from statemachines.counter import Counter
from statemachines.kv import KeyValue
from tests.storage.test_fixtures import RESTORED_1

pytestmark = pytest.mark.real

SOURCE = ClusterId(0xC0FFEE)
NEW = ClusterId(0xBEEF)


def options(directory: Path, machine: type[Counter] | type[KeyValue] = Counter) -> ServeOptions:
    if not directory.exists():
        shutil.copytree(RESTORED_1, directory)
    return ServeOptions(data_dir=directory, listen=Address("127.0.0.1", 0), machine=machine)


def alone(server: Server) -> Membership:
    address = server.advertised
    return Membership(voters=(server.node_id,), members=(Member(server.node_id, "n1", address, address),))


async def reads(server: Server, group: GroupId) -> int:
    """The counter's value, linearizably, as soon as somebody leads."""
    node = server.node
    assert node is not None
    async with asyncio.timeout(30):
        while True:
            refused = asyncio.get_running_loop().create_future()
            node.read(group, Level.LINEARIZABLE, refused.set_result)
            if await refused is None:
                found = node.query(group, 1, encode_call(Counter.read))
                return msgspec.msgpack.decode(found.body, type=int)
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_it_begins_with_the_state_of_every_group_and_keeps_it(tmp_path: Path) -> None:
    async with Server(options(tmp_path / "n1")) as server:
        status = server.status()
        assert server.waiting
        assert status.restored is not None
        assert (status.restored.source, [m.group for m in status.restored.manifests]) == (SOURCE, [0, 7])
        with pytest.raises(AlreadyInitialised, match="never goes back into the old one"):
            await server.initialise(SOURCE, alone(server))
        assert server.waiting
        await server.initialise(NEW, alone(server))
        assert server.status().restored is None, "it does not wait any more"
        assert [await reads(server, group) for group in (META_GROUP, GroupId(7))] == [42, 49]
    async with Server(options(tmp_path / "n1")) as server:
        assert not server.waiting
        assert [await reads(server, group) for group in (META_GROUP, GroupId(7))] == [42, 49]


@pytest.mark.asyncio
async def test_another_machine_does_not_take_the_state_for_its_own(tmp_path: Path) -> None:
    with pytest.raises(
        StorageRefused, match="applied by the machine 'Counter', and this node was started with 'Key"
    ):
        async with Server(options(tmp_path / "n1", KeyValue)):
            pass
    async with Server(options(tmp_path / "n1")) as server:
        assert server.status().restored is not None


@pytest.mark.asyncio
async def test_parts_that_are_gone_are_told_before_anything_is_written(tmp_path: Path) -> None:
    told = options(tmp_path / "n1")
    (tmp_path / "n1" / "000000000000abc7.0002.part").unlink()
    async with Server(told) as server:
        with pytest.raises(AlreadyInitialised, match=r"0002\.part .* run `raftlog restore` again$"):
            await server.initialise(NEW, alone(server))
        assert server.waiting
