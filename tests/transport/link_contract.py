"""What every Link and Dialer promise, as stories that are told to the real ones and to their in-memory twins."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import pytest

from raftlog.transport.client_frames import BadFrame
from raftlog.transport.link import Dialer, Link, LinkBroken
from tests.transport.contract import PATIENCE

Serve: TypeAlias = Callable[[Link], Awaitable[None]]


class LinkWorld(Protocol):
    """One node that serves links, and clients that dial it."""

    async def serve(self, serve: Serve) -> str:
        """Start the node; its address. `serve` ends with the link closed, LinkBroken or BadFrame."""
        ...

    def dialer(self) -> Dialer: ...

    def nobody(self) -> str:
        """An address where nothing listens."""
        ...

    async def kill(self) -> None:
        """The node is gone without a goodbye."""
        ...


LinkStory: TypeAlias = Callable[[LinkWorld], Awaitable[None]]
STORIES: list[LinkStory] = []


def story(told: LinkStory) -> LinkStory:
    STORIES.append(told)
    return told


async def echo(link: Link) -> None:
    """Sends back what it gets, and leaves when the client does."""
    while (frame := await link.receive()) is not None:
        await link.send(b"re: " + frame)
    await link.close()


async def soon(what: Awaitable[object]) -> object:
    async with asyncio.timeout(PATIENCE):
        return await what


@story
async def frames_come_back_in_order(world: LinkWorld) -> None:
    link = await world.dialer().dial(await world.serve(echo))
    sent = [number.to_bytes(4, "big") * (1 + number % 30) for number in range(200)]

    async def send() -> None:
        for frame in sent:
            await link.send(frame)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        assert [await link.receive() for _ in sent] == [b"re: " + frame for frame in sent]
    await link.close()


@story
async def a_client_that_leaves_still_gets_its_answers(world: LinkWorld) -> None:
    left = asyncio.Event()

    async def answer_late(link: Link) -> None:
        assert await link.receive() == b"question"
        assert await link.receive() is None
        left.set()
        await link.send(b"answer")
        await link.close()

    link = await world.dialer().dial(await world.serve(answer_late))
    await link.send(b"question")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(link.close())
        assert await soon(link.receive()) == b"answer"
        assert await soon(link.receive()) is None
    assert left.is_set()
    await link.close()
    with pytest.raises(LinkBroken):
        await link.send(b"too late")


@story
async def a_node_that_closes_is_heard_after_its_last_frame(world: LinkWorld) -> None:
    async def say_and_leave(link: Link) -> None:
        await link.send(b"last words")
        await link.close()

    link = await world.dialer().dial(await world.serve(say_and_leave))
    assert await soon(link.receive()) == b"last words"
    assert await soon(link.receive()) is None
    assert await soon(link.receive()) is None
    with pytest.raises(LinkBroken):
        await link.send(b"?")


@story
async def a_node_that_dies_is_no_good_end(world: LinkWorld) -> None:
    link = await world.dialer().dial(await world.serve(echo))
    await link.send(b"alive?")
    assert await soon(link.receive()) == b"re: alive?"
    await world.kill()
    with pytest.raises(LinkBroken):
        await soon(link.receive())
    with pytest.raises(LinkBroken):
        await link.send(b"?")
    await link.close()


@story
async def a_client_that_speaks_nonsense_is_told(world: LinkWorld) -> None:
    async def refuse(link: Link) -> None:
        frame = await link.receive()
        raise BadFrame(f"{frame!r} is nonsense")

    link = await world.dialer().dial(await world.serve(refuse))
    await link.send(b"xyz")
    with pytest.raises(LinkBroken, match="b'xyz' is nonsense"):
        await soon(link.receive())


@story
async def a_client_that_vanishes_is_noticed(world: LinkWorld) -> None:
    outcome: asyncio.Future[bytes | str | None] = asyncio.get_running_loop().create_future()

    async def wait(link: Link) -> None:
        await link.receive()
        try:
            outcome.set_result(await link.receive())
        except LinkBroken as broken:
            outcome.set_result(str(broken))
            raise
        except asyncio.CancelledError:
            outcome.set_result("cancelled")
            raise

    dialer = world.dialer()
    link = await dialer.dial(await world.serve(wait))
    await link.send(b"hello")
    await dialer.close()
    async with asyncio.timeout(PATIENCE):
        assert not isinstance(await outcome, bytes)


@story
async def a_slow_reader_holds_up_the_sender_and_nobody_else(world: LinkWorld) -> None:
    go_on, taken = asyncio.Event(), 0

    async def read_when_told(link: Link) -> None:
        nonlocal taken
        if await link.receive() == b"slow":
            await go_on.wait()
        while (frame := await link.receive()) is not None:
            taken += len(frame)
        await link.close()

    address = await world.serve(read_when_told)
    slow, quick = await world.dialer().dial(address), await world.dialer().dial(address)
    await slow.send(b"slow")
    await quick.send(b"quick")
    frame, sent = bytes(256 << 10), 0

    async def flood() -> None:
        nonlocal sent
        while sent < 256:
            await slow.send(frame)
            sent += 1

    flooding = asyncio.create_task(flood())
    for _ in range(64):
        await soon(quick.send(frame))
    await quick.close()
    assert await soon(quick.receive()) is None
    assert taken >= 64 * len(frame)
    assert sent < 256, "64 MiB are on their way to somebody who reads nothing"
    go_on.set()
    await soon(flooding)
    await slow.close()


@story
async def nobody_there_is_a_broken_link(world: LinkWorld) -> None:
    with pytest.raises(LinkBroken, match="no link to"):
        await soon(world.dialer().dial(world.nobody()))


@story
async def a_receive_that_is_cancelled_breaks_the_link(world: LinkWorld) -> None:
    link = await world.dialer().dial(await world.serve(echo))
    receiving = asyncio.create_task(link.receive())
    await asyncio.sleep(0)
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    with pytest.raises(LinkBroken):
        await soon(link.receive())
    await link.close()
