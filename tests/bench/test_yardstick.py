"""The yardstick itself: a benchmark of a pipeline that loses or skips commands would be worth nothing."""

import asyncio
import pathlib

import pytest

from bench.workload import KEYS, VALUE
from bench.yardstick import YardstickNodes
from bench.yardstick_client import YardstickClient
from bench.yardstick_file import RingFile
from bench.yardstick_machine import Delete, Put, Store
from bench.yardstick_wire import encode

pytestmark = pytest.mark.real


def test_every_command_is_answered_once_and_applied_by_all_three(tmp_path: pathlib.Path) -> None:
    async def load() -> list[int]:
        client = YardstickClient(nodes.addresses[0])
        concurrent = [client.revisions([(KEYS[number], VALUE)]) for number in range(100)]
        found = await asyncio.gather(*concurrent)
        found.append(await client.revisions([(key, VALUE) for key in KEYS[:100]]))
        await client.close()
        return [revision for revisions in found for revision in revisions]

    with YardstickNodes(tmp_path) as nodes:
        with asyncio.Runner() as runner:
            revisions = runner.run(load())
        applied = nodes.stop()

    assert sorted(revisions) == list(range(1, 201))
    assert applied == {"primary": 200, "replica-1": 200, "replica-2": 200}


def test_calls_made_together_share_frames_and_keep_their_answers(tmp_path: pathlib.Path) -> None:
    async def load() -> None:
        client = YardstickClient(nodes.addresses[0])
        groups = [client.revisions([(KEYS[0], VALUE)] * length) for length in (3, 1, 5)]
        answered = await asyncio.gather(*groups)
        assert answered == [[1, 2, 3], [4], [5, 6, 7, 8, 9]]
        await client.close()

    with YardstickNodes(tmp_path) as nodes, asyncio.Runner() as runner:
        runner.run(load())


def test_a_dead_primary_fails_the_calls_that_wait_for_it(tmp_path: pathlib.Path) -> None:
    async def load() -> None:
        client = YardstickClient(nodes.addresses[0])
        await client.put(KEYS[0], VALUE)
        nodes.kill()
        with pytest.raises(ConnectionError):
            await client.put(KEYS[0], VALUE)
        await client.close()

    with YardstickNodes(tmp_path) as nodes, asyncio.Runner() as runner:
        runner.run(load())


def test_the_store_answers_with_revisions() -> None:
    store = Store()
    assert store.apply(encode(Put("k", b"v"))) == encode(1)
    assert store.apply(encode(Delete("k"))) == encode(2)
    assert store.apply(encode(Delete("k"))) == encode(0)


def test_the_ring_starts_again_at_its_front(tmp_path: pathlib.Path) -> None:
    async def fill() -> None:
        file = RingFile(tmp_path / "ring", size=64)
        for record in (b"a" * 40, b"b" * 40):
            await file.append([record])
        file.close()

    with asyncio.Runner() as runner:
        runner.run(fill())
    content = (tmp_path / "ring").read_bytes()
    assert content[:4] == (40).to_bytes(4, "little")
    assert content[8:] == b"b" * 40 + bytes(16)
