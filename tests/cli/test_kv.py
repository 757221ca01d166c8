"""Three real processes used from the command line: written, read through followers, killed, read back."""

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from raftlog.cli.app import run
from raftlog.cluster import LocalCluster
from tests.cli.running import Done, raftlog

pytestmark = [pytest.mark.real, pytest.mark.asyncio]

FAILED, USAGE, UNKNOWN, UNREACHABLE = 1, 2, 3, 4
QUICK = ("--election-timeout", "400", "--heartbeat", "40")


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    async with LocalCluster(tmp_path / "c", flags=QUICK) as cluster:
        await cluster.until_serving()
        yield cluster


async def kv(cluster: LocalCluster, *arguments: str, node: int | None = None) -> Done:
    where = ("--dir", str(cluster.directory)) if node is None else ("--node", cluster.addresses[node])
    return await asyncio.to_thread(raftlog, "kv", *arguments, *where)


@pytest.fixture(autouse=True)
def no_words_of_the_poller() -> Iterator[None]:
    """gRPC has one poller for all loops of a process, and asyncio logs what it finds for one that has just closed.

    Commands have a process, and a loop, of their own; here they share one with the test.
    """
    logger = logging.getLogger("asyncio")
    logger.disabled = True
    yield
    logger.disabled = False


async def quick_kv(cluster: LocalCluster, capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """The same in this process: many commands, and starting Python for each is most of their time."""
    code = await asyncio.to_thread(run, ["kv", *arguments, "--dir", str(cluster.directory)])
    out, err = capsys.readouterr()
    return Done(code, out, err)


async def until(what: str, true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await true():  # noqa: ASYNC110 - processes set no event of ours
            await asyncio.sleep(0.02)


async def led(cluster: LocalCluster) -> int:
    found: list[int] = []

    async def somebody_leads() -> bool:
        leader = await cluster.leader()
        found[:] = [] if leader is None else [leader]
        return leader is not None

    await until("a leader", somebody_leads)
    return found[0]


@pytest.mark.slow
async def test_a_killed_leader_takes_nothing_with_it(cluster: LocalCluster) -> None:
    leader = await led(cluster)
    follower = (leader + 1) % 3
    assert await kv(cluster, "put", "greeting", "hello", node=follower) == Done(0, "version 1\n", "")
    assert await kv(cluster, "get", "greeting", node=(leader + 2) % 3) == Done(0, "hello", "")

    before = (await cluster.statuses())[leader]
    cluster.kill(leader)
    assert await cluster.gone(leader) == -signal.SIGKILL
    assert (await kv(cluster, "put", "after", "the kill")).code == 0
    new = await led(cluster)
    after = (await cluster.statuses())[new]
    assert before is not None
    assert after is not None
    assert new != leader
    assert after.groups[0].term > before.groups[0].term

    shown = await asyncio.to_thread(raftlog, "status", "--dir", str(cluster.directory), "--json")
    nodes = json.loads(shown.out)
    assert (shown.code, nodes["healthy"]) == (0, True)
    assert [node["role"] for node in nodes["nodes"]].count("unreachable") == 1
    assert {node["node"] for node in nodes["nodes"]} == {"n1", "n2", "n3"}

    await cluster.restart(leader)
    await cluster.until_serving()
    assert (await kv(cluster, "get", "greeting", node=leader)).out == "hello"
    assert (await kv(cluster, "get", "after", node=leader)).out == "the kill"
    table = await asyncio.to_thread(raftlog, "status", cluster.addresses[leader])
    assert table.code == 0
    assert sum(f"127.0.0.1:{address.split(':')[1]}" in table.out for address in cluster.addresses) == 3

    async def caught_up() -> bool:
        statuses = [status for status in await cluster.statuses() if status is not None]
        return len({(s.groups[0].applied, s.groups[0].digest) for s in statuses}) == 1 and len(statuses) == 3

    await until("equal digests", caught_up)


async def test_every_command_and_its_exit_code(
    cluster: LocalCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def kv(*arguments: str) -> Done:
        return await quick_kv(cluster, capsys, *arguments)

    async def code(*arguments: str) -> int:
        return (await kv(*arguments)).code

    picture = tmp_path / "picture"
    picture.write_bytes(b"\xff\x00\n")
    assert await code("put", "picture", "--file", str(picture)) == 0
    shown = json.loads((await kv("get", "picture", "--json")).out)
    assert shown == {"key": "picture", "value_base64": "/wAK", "version": 1}
    assert await code("cas", "lock", "--if-absent", "--set", "me") == 0
    again = await kv("cas", "lock", "--if-absent", "--set", "you")
    assert (again.code, "it is at version 2; nothing was changed" in again.said) == (FAILED, True)
    assert await code("cas", "lock", "--if-value", "you", "--delete") == FAILED
    assert await code("cas", "lock", "--if-version", "2", "--delete") == 0
    missing = await kv("get", "lock")
    assert missing == Done(FAILED, "", "raftlog: there is no key 'lock'\n")
    assert json.loads((await kv("get", "lock", "--json")).out)["exit"] == FAILED
    assert await code("delete", "lock") == FAILED
    assert await code("put", "b", "2") == 0
    assert (await kv("range", "--limit", "1")).out == "b\t2\n"
    page = json.loads((await kv("range", "--limit", "1", "--json")).out)
    assert page == {"items": [{"key": "b", "value": "2", "version": 4}], "after": "b"}
    assert (await kv("count")).out == "2\n"


async def test_what_the_store_refuses(
    cluster: LocalCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def kv(*arguments: str) -> Done:
        return await quick_kv(cluster, capsys, *arguments)

    large = tmp_path / "large"
    large.write_bytes(bytes(2 << 20))
    over = await kv("put", "large", "--file", str(large))
    assert (over.code, "over the limit of" in over.said) == (FAILED, True)
    long = await kv("put", "k" * 2000, "v")
    assert (long.code, "refused: KeyTooLong(size=2000" in long.said) == (FAILED, True)
    for arguments in (
        ("put", "k"),
        ("put", "k", "v", "--file", str(large)),
        ("cas", "k"),
        ("cas", "k", "--if-absent"),
    ):
        assert (await kv(*arguments)).code == USAGE
    assert (await kv("count")).out == "0\n"


@pytest.mark.slow
async def test_a_minority_promises_nothing(cluster: LocalCluster) -> None:
    leader = await led(cluster)
    assert (await kv(cluster, "put", "k", "v")).code == 0
    others = [node for node in range(3) if node != leader]
    for node in others:
        cluster.kill(node, signal.SIGSTOP)
    lost = await kv(cluster, "put", "k", "w", "--timeout", "1", node=leader)
    assert lost.code in (FAILED, UNKNOWN)
    read = await kv(cluster, "get", "k", "--timeout", "1", node=leader)
    assert (read.code, read.out) == (FAILED, "")
    for node in others:
        cluster.kill(node, signal.SIGCONT)
    await cluster.until_serving()
    after = await kv(cluster, "get", "k")
    assert after.out in ({"v"} if lost.code == FAILED else {"v", "w"})


async def test_nobody_there_is_an_exit_code_of_its_own(tmp_path: Path) -> None:
    done = await asyncio.to_thread(raftlog, "kv", "get", "k", "--node", "127.0.0.1:1")
    assert done.code == UNREACHABLE
    assert done.said.startswith("no node answers at 127.0.0.1:1: ")


async def test_another_machines_cluster_is_told_apart(tmp_path: Path) -> None:
    async with LocalCluster(
        tmp_path / "c", nodes=1, machine="statemachines.counter:Counter", flags=QUICK
    ) as other:
        await other.until_serving()
        done = await kv(other, "put", "k", "v")
    assert done.code == FAILED
    assert done.said == "this cluster runs Counter, not KeyValue; nothing was done"
