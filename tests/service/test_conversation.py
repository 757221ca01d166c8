"""One client's stream at a node: what is asked, what is answered, what is bounded."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import pytest

from raftlog.core.entry import Command
from raftlog.core.ids import ClusterId, GroupId, Index
from raftlog.machine.applier import Applier
from raftlog.machine.calls import BadCommand, decode_result, encode_call
from raftlog.machine.method import command
from raftlog.machine.result import Kind, Refusal, Result, refusal
from raftlog.machine.sessions import Sessions
from raftlog.machine.typed import Machine
from raftlog.service import Limits, Service
from raftlog.testing.loop import run
from raftlog.transport.client_frames import (
    BadFrame,
    ClientFrame,
    Level,
    decode_node_frame,
    decode_runs,
    encode_client_frame,
    encode_rows,
)
from raftlog.transport.link import LinkBroken
from tests.machine.logs import Log
from tests.service.memory import MemoryLink, Wire

OK = Result(Kind.OK, b"done")


class Node:
    """A node that keeps every request until the test answers it."""

    cluster_id = ClusterId(77)

    def __init__(self) -> None:
        self.submitted: list[tuple[Sequence[Command], Callable[[Sequence[Result]], None]]] = []
        self.reads: list[tuple[Level, Callable[[Result | None], None]]] = []
        self.queried = 0
        self.answer_size = 1

    def serves(self, group: GroupId) -> bool:
        return group in (0, 5)

    def refusals(self, group: GroupId, commands: Sequence[Command]) -> dict[int, Result]:
        return {
            at: refusal(Kind.BAD_COMMAND, "it is bad")
            for at, command in enumerate(commands)
            if command.body == b"bad"
        }

    def check(self, group: GroupId, command: Command) -> Result | None:
        return (
            None if command.body == b"fits" else refusal(Kind.BAD_COMMAND, f"{command.body!r} does not fit")
        )

    def submit(
        self, group: GroupId, commands: Sequence[Command], done: Callable[[Sequence[Result]], None]
    ) -> None:
        self.submitted.append((commands, done))

    def read(self, group: GroupId, level: Level, done: Callable[[Result | None], None]) -> None:
        self.reads.append((level, done))

    def query(self, group: GroupId, machine: int, body: bytes) -> Result:
        self.queried += 1
        return Result(Kind.OK, body * self.answer_size)

    def leader(self, group: GroupId) -> str:
        return ""

    def applied(self, group: GroupId) -> Index:
        return 40 + group

    def answer_all(self, result: Result = OK) -> None:
        """Answer everything that was submitted so far."""
        submitted, self.submitted = self.submitted, []
        for commands, done in submitted:
            done([result] * len(commands))


def frame(
    commands: Sequence[bytes] = (),
    queries: Sequence[bytes] = (),
    *,
    first: int = 1,
    group: int = 0,
    cluster: int = 0,
    version: int = 1,
    level: int = 0,
) -> bytes:
    """A client's frame with these bodies."""
    return encode_client_frame(
        ClientFrame(
            protocol_version=version,
            group=GroupId(group),
            cluster_id=ClusterId(cluster),
            first_call=first,
            commands=encode_rows([(9, first + i, 1, 1, 1, body) for i, body in enumerate(commands)]),
            queries=encode_rows([(level, 1, 1, body) for body in queries]),
        )
    )


async def answers(link: MemoryLink, count: int) -> dict[int, Result]:
    """The next `count` answers, by call."""
    found: dict[int, Result] = {}
    while len(found) < count:
        sent = await link.receive()
        assert sent is not None, f"the node hung up after {sorted(found)}"
        for first, results in decode_runs(decode_node_frame(sent).replies):
            for call, result in enumerate(results, first):
                assert call not in found, f"call {call} was answered twice"
                found[call] = result
    return found


def reason(result: Result) -> str:
    """The sentence of a refusal."""
    return msgspec.msgpack.decode(result.body, type=Refusal).reason


def serving(
    test: Callable[[Node, Wire], Coroutine[Any, Any, None]], limits: Limits | None = None, room: int = 1_000
) -> None:
    """Run a test against a served stream, then cut the wire and see the serving end."""
    node = Node()

    async def main() -> None:
        wire = Wire(room)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Service(node, limits=limits).serve_link(wire.node))
            await test(node, wire)
            wire.cut()
            await settle()
            node.answer_all()  # a stream that is full hears of the cut when it sends the next answer

    run(main())


async def settle() -> None:
    """Let everything run that can."""
    await asyncio.sleep(0.001)


def test_a_frame_of_commands_is_one_batch_and_is_answered_in_one_frame() -> None:
    async def test(node: Node, wire: Wire) -> None:
        await wire.client.send(frame([b"a", b"b", b"c"], first=10, cluster=77))
        await settle()
        ((commands, done),) = node.submitted
        assert [command.body for command in commands] == [b"a", b"b", b"c"]
        node.submitted.clear()
        done([Result(Kind.OK, b"1"), Result(Kind.ERROR, b"2"), Result(Kind.OK, b"3")])
        sent = await wire.client.receive()
        assert sent is not None
        answered = decode_node_frame(sent)
        assert answered.applied == 40
        ((first, results),) = decode_runs(answered.replies)
        assert (first, [result.body for result in results]) == (10, [b"1", b"2", b"3"])

    serving(test)


def test_what_finishes_while_a_frame_is_being_sent_goes_out_together() -> None:
    async def test(node: Node, wire: Wire) -> None:
        for call in range(20):
            await wire.client.send(frame([b"a"], first=call))
        await settle()
        node.answer_all()
        await settle()
        sent = await wire.client.receive()
        assert sent is not None
        assert sum(len(results) for _, results in decode_runs(decode_node_frame(sent).replies)) == 20

    serving(test)


def test_answers_come_in_the_order_in_which_they_are_decided() -> None:
    async def test(node: Node, wire: Wire) -> None:
        await wire.client.send(frame([b"slow"], first=1))
        await wire.client.send(frame([b"fast"], first=2))
        await settle()
        node.submitted.pop(1)[1]([OK])
        assert list(await answers(wire.client, 1)) == [2]
        node.answer_all()
        assert list(await answers(wire.client, 1)) == [1]

    serving(test)


def test_queries_of_a_frame_share_one_read() -> None:
    async def test(node: Node, wire: Wire) -> None:
        await wire.client.send(frame([b"c"], [b"q1", b"q2", b"q3"], first=1))
        await settle()
        ((level, done),) = node.reads
        assert level is Level.LINEARIZABLE
        assert node.queried == 0, "a query was answered before its read was released"
        done(None)
        found = await answers(wire.client, 3)
        assert [found[call].body for call in (2, 3, 4)] == [b"q1", b"q2", b"q3"]

    serving(test)


def test_each_level_is_a_read_of_its_own_and_an_unknown_one_is_refused() -> None:
    async def test(node: Node, wire: Wire) -> None:
        mixed = encode_rows([(0, 1, 1, b"a"), (1, 1, 1, b"b"), (9, 1, 1, b"c")])
        await wire.client.send(encode_client_frame(ClientFrame(queries=mixed, first_call=1)))
        found = await answers(wire.client, 1)
        assert found[3].kind is Kind.FAILED
        assert "level 9" in reason(found[3])
        assert [level for level, _ in node.reads] == [Level.LINEARIZABLE, Level.LOCAL]
        for _, done in node.reads:
            done(None)
        found = await answers(wire.client, 2)
        assert (found[1].body, found[2].body) == (b"a", b"b")

    serving(test)


def test_a_refused_read_refuses_every_query_behind_it() -> None:
    async def test(node: Node, wire: Wire) -> None:
        await wire.client.send(frame(queries=[b"a", b"b"]))
        await settle()
        node.reads[0][1](refusal(Kind.FAILED, "no leader is known"))
        found = await answers(wire.client, 2)
        assert [reason(found[call]) for call in (1, 2)] == ["no leader is known"] * 2
        assert node.queried == 0

    serving(test)


def test_a_command_that_is_too_large_or_bad_fails_alone() -> None:
    limits = Limits(command_bytes=100, frame_bytes=10_000)

    async def test(node: Node, wire: Wire) -> None:
        await wire.client.send(frame([b"a", b"x" * 101, b"b", b"bad", b"c", b"d"]))
        found = await answers(wire.client, 2)
        assert {call: result.kind for call, result in found.items()} == {2: Kind.FAILED, 4: Kind.FAILED}
        assert "101 bytes" in reason(found[2])
        assert "limit of 100" in reason(found[2])
        assert reason(found[4]) == "it is bad"
        ((commands, done),) = node.submitted
        node.submitted.clear()
        assert [command.body for command in commands] == [b"a", b"b", b"c", b"d"]
        done([Result(Kind.OK, command.body) for command in commands])
        found = await answers(wire.client, 4)
        assert {call: result.body for call, result in found.items()} == {1: b"a", 3: b"b", 5: b"c", 6: b"d"}

    serving(test, limits)


def test_a_command_that_did_not_fit_is_answered_with_what_was_wrong_with_it() -> None:
    misfit = refusal(Kind.BAD_COMMAND, "the same words in every log")

    async def test(node: Node, wire: Wire) -> None:
        for first, sent in ((1, [b"a", b"x", b"fits"]), (11, [b"a", b"bad", b"x", b"fits"])):
            await wire.client.send(frame(sent, first=first))
            await settle()
            ((commands, done),) = node.submitted
            node.submitted.clear()
            done([OK] + [misfit] * (len(commands) - 1))
        found = await answers(wire.client, 7)
        assert [found[call] for call in (1, 11)] == [OK, OK]
        assert {found[call].kind for call in (2, 3, 13, 14)} == {Kind.BAD_COMMAND}
        assert [reason(found[call]) for call in (2, 13)] == ["b'x' does not fit"] * 2
        # This node knows nothing against it, another one did when it was applied.
        assert [found[call] for call in (3, 14)] == [misfit, misfit]

    serving(test)


class Shelf(Machine):
    """Something to call wrongly."""

    held: int = 0

    @command
    def put(self, count: int) -> int:
        self.held += count
        return self.held


class Alone(Node):
    """A node whose log is decided at once."""

    def __init__(self) -> None:
        super().__init__()
        self.applier = Applier(Shelf)
        self.log = Log()

    def refusals(self, group: GroupId, commands: Sequence[Command]) -> dict[int, Result]:
        return self.applier.refusals(commands)

    def check(self, group: GroupId, command: Command) -> Result | None:
        return self.applier.check(command)

    def submit(
        self, group: GroupId, commands: Sequence[Command], done: Callable[[Sequence[Result]], None]
    ) -> None:
        done(self.applier.apply(self.log.entry(*commands)))


def test_wrong_types_change_nothing_and_the_caller_is_told_in_one_sentence() -> None:
    put = encode_call(Shelf.put, 3)
    bad = [encode_call(Shelf.put, "three"), b"\x91\xa3put", b"\x91\xa4take", b"\xc1"]  # type: ignore[arg-type]

    async def main() -> None:
        node, wire = Alone(), Wire()
        opened = Command(0, 0, 0, 0, 1, encode_call(Sessions.open))
        session = msgspec.msgpack.decode(node.applier.apply(node.log.entry(opened))[0].body)
        commands = [Command(session, at, 1, 1, 1, body) for at, body in enumerate([*bad, put], 1)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Service(node).serve_link(wire.node))
            for first in (1, 11):  # told again when asked again
                rows = encode_rows(commands)
                await wire.client.send(encode_client_frame(ClientFrame(first_call=first, commands=rows)))
                found = await answers(wire.client, 5)
                said = [told(found[first + at]) for at in range(4)]
                assert said == [
                    "Shelf.put: Shelf.put(count): Expected `int`, got `str` - at `count`",
                    "Shelf.put: Shelf.put(count) got 0 arguments",
                    "Shelf.put: Shelf has no command 'take'; it has: put",
                    "Shelf.put: Shelf has no command None; it has: put",
                ]
                assert decode_result(Shelf.put, found[first + 4]) == 3
            wire.cut()

    run(main())


def told(result: Result) -> str:
    """What the caller of `Shelf.put` reads."""
    with pytest.raises(BadCommand) as raised:
        decode_result(Shelf.put, result)
    return str(raised.value)


@pytest.mark.parametrize(
    "sent, said",
    [
        (frame([b"a", b"b"], cluster=78), "belongs to cluster 000000000000004d"),
        (frame([b"a", b"b"], group=3), "no group 3"),
        (frame([b"a"] * 9), "9 calls in one frame are over the limit of 8"),
    ],
)
def test_a_frame_for_somebody_else_fails_call_by_call(sent: bytes, said: str) -> None:
    async def test(node: Node, wire: Wire) -> None:
        await wire.client.send(sent)
        found = await answers(wire.client, 2)
        assert all(result.kind is Kind.FAILED and said in reason(result) for result in found.values())
        assert not node.submitted

    serving(test, Limits(frame_calls=8))


def test_a_node_that_waits_to_be_initialised_says_so_and_what_to_do() -> None:
    async def test(node: Node, wire: Wire) -> None:
        node.cluster_id = ClusterId(0)
        await wire.client.send(frame([b"a"]))
        assert "raftlog init" in reason((await answers(wire.client, 1))[1])

    serving(test)


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", frame([b"a"], version=2), b"\x22\x01\xc1", b"\x0a\x00"])
def test_a_client_that_does_not_speak_the_protocol_is_refused_in_one_sentence(garbage: bytes) -> None:
    async def main() -> None:
        wire = Wire()
        await wire.client.send(garbage)
        with pytest.raises(BadFrame) as refused:
            await Service(Node()).serve_link(wire.node)
        assert "\n" not in str(refused.value)

    run(main())


def test_an_empty_frame_is_answered_by_an_empty_frame() -> None:
    async def test(node: Node, wire: Wire) -> None:
        await wire.client.send(frame(group=5))
        sent = await wire.client.receive()
        assert sent is not None
        answered = decode_node_frame(sent)
        assert (answered.group, answered.applied, answered.replies) == (5, 45, b"")

    serving(test)


def test_answers_of_two_groups_come_in_frames_of_their_own() -> None:
    async def test(node: Node, wire: Wire) -> None:
        await wire.client.send(frame([b"a"], first=1))
        await wire.client.send(frame([b"b"], first=2, group=5))
        await settle()
        node.answer_all()
        groups = []
        for _ in range(2):
            sent = await wire.client.receive()
            assert sent is not None
            groups.append(decode_node_frame(sent).group)
        assert groups == [0, 5]

    serving(test)


def test_a_client_that_has_said_all_gets_its_answers_before_the_end() -> None:
    async def main() -> None:
        node, wire = Node(), Wire()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Service(node).serve_link(wire.node))
            await wire.client.send(frame([b"a"]))
            await settle()
            # Only this direction ends, as a half-closed stream does.
            wire.node._in.frames.append(None)
            wire.node._in.moved.set()
            await settle()
            node.answer_all()
            assert list(await answers(wire.client, 1)) == [1]
            assert await wire.client.receive() is None

    run(main())


def test_a_client_that_vanishes_in_mid_call_leaves_nothing_behind() -> None:
    async def main() -> None:
        node, wire = Node(), Wire()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Service(node).serve_link(wire.node))
            await wire.client.send(frame([b"a", b"b"], [b"q"]))
            await settle()
            wire.cut()
        (_, done), (_, release) = node.submitted[0], node.reads[0]
        done([OK, OK])
        release(None)
        assert node.queried == 0

    run(main())


def test_nothing_more_is_read_while_too_much_is_unanswered() -> None:
    limits = Limits(inflight_calls=10, frame_calls=5)

    async def test(node: Node, wire: Wire) -> None:
        sender = asyncio.create_task(flood(wire))
        await settle()
        held = sum(len(commands) for commands, _ in node.submitted)
        assert limits.inflight_calls < held <= limits.inflight_calls + limits.frame_calls
        assert not sender.done()
        while not sender.done():
            node.answer_all()
            await settle()
            while wire.client._in.frames:
                await wire.client.receive()
        await sender

    async def flood(wire: Wire) -> None:
        for number in range(40):
            await wire.client.send(frame([b"x"] * 5, first=number * 5))

    serving(test, limits, room=2)


def test_bytes_are_bounded_too() -> None:
    limits = Limits(inflight_bytes=1_000)

    async def test(node: Node, wire: Wire) -> None:
        for number in range(10):
            await wire.client.send(frame([b"x" * 300], first=number))
        await settle()
        assert len(node.submitted) == 4
        node.answer_all()
        await settle()
        assert len(node.submitted) == 4

    serving(test, limits)


def test_queries_wait_for_a_client_that_does_not_read_its_answers() -> None:
    async def test(node: Node, wire: Wire) -> None:
        node.answer_size = 100_000
        await wire.client.send(frame(queries=[b"x"] * 100))
        await settle()
        node.reads[0][1](None)
        await settle()
        assert node.queried < 20, "answers were made that nobody takes"
        assert len(await answers(wire.client, 100)) == 100

    serving(test, room=1)


def test_answers_are_cut_into_frames_and_one_that_is_too_large_is_said_so() -> None:
    limits = Limits(command_bytes=1_000, frame_bytes=5_000)

    async def test(node: Node, wire: Wire) -> None:
        await wire.client.send(frame([b"c"] * 12, [b"q"]))
        await settle()
        ((_, done),) = node.submitted
        node.submitted.clear()
        done([Result(Kind.OK, bytes(1_000))] * 11 + [Result(Kind.OK, bytes(5_001))])
        found: dict[int, Result] = {}
        while len(found) < 12:
            sent = await wire.client.receive()
            assert sent is not None
            assert len(sent) <= limits.frame_bytes
            for first, results in decode_runs(decode_node_frame(sent).replies):
                found.update(enumerate(results, first))
        assert [found[call].kind for call in range(1, 12)] == [Kind.OK] * 11
        assert found[12].kind is Kind.UNKNOWN
        assert "5001 bytes" in reason(found[12])
        node.answer_size = 5_001
        node.reads[0][1](None)
        assert (await answers(wire.client, 1))[13].kind is Kind.FAILED

    serving(test, limits)


def test_serving_can_be_cancelled_and_late_answers_fall_to_the_ground() -> None:
    async def main() -> None:
        node, wire = Node(), Wire()
        serving = asyncio.create_task(Service(node).serve_link(wire.node))
        await wire.client.send(frame([b"a"]))
        await settle()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        node.answer_all()
        wire.cut()
        with pytest.raises(LinkBroken):
            await wire.client.receive()

    run(main())
