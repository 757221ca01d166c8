"""One client's stream at a node: frames of calls in, frames of answers out, as they come and coalesced."""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from raftlog.core.entry import Command
from raftlog.core.ids import GroupId
from raftlog.machine.result import Kind, Result, refusal
from raftlog.service.answers import pack, too_large
from raftlog.service.limits import Limits
from raftlog.service.requests import Requests
from raftlog.transport.client_frames import (
    PROTOCOL_VERSION,
    BadFrame,
    ClientFrame,
    Level,
    NodeFrame,
    Query,
    Run,
    decode_client_frame,
    decode_commands,
    decode_queries,
)
from raftlog.transport.link import Link, LinkBroken

_SLICE_QUERIES = 128
"""Queries answered before others get the loop."""
_SLICE_BYTES = 256 << 10


class _Intake:
    """A frame that was read: it weighs on the stream until all of its calls are answered."""

    __slots__ = ("group", "left", "size")

    def __init__(self, group: GroupId, calls: int, size: int) -> None:
        self.group = group
        self.left = calls
        self.size = size


class Conversation:
    """Reads frames, asks the node, writes answers.

    Invariants: what was read is asked of the node once and, while the link lives, answered once; `calls` and `bytes`
    are the sums over the frames not wholly answered; beyond the limits nothing more is read, so the client's own
    sending waits. A command costs no Python object beyond its decoded fields and its result: the rest is per frame.
    """

    def __init__(self, requests: Requests, link: Link, limits: Limits) -> None:
        self._requests = requests
        self._link = link
        self._limits = limits
        self._calls = 0
        self._bytes = 0
        self._answers: deque[tuple[_Intake, int, Sequence[Result]]] = deque()
        self._released: deque[tuple[_Intake, int, Sequence[Query]]] = deque()
        self._pinged: _Intake | None = None
        self._leaving = False
        """The client sends nothing more; it still gets its answers."""
        self._over = False
        """The link is gone: answers are dropped."""
        self._work = asyncio.Event()
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Serve until the client leaves and has its answers, or the link breaks.

        Raises:
            BadFrame: the client does not speak the protocol. The link is left open, to be ended with that sentence.
        """
        bad: BadFrame | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write())
                try:
                    await self._read()
                except LinkBroken:
                    self._over = True
                except BadFrame as error:
                    bad, self._over = error, True
                self._leaving = True
                self._work.set()
        finally:
            self._over = True
        if bad is not None:
            raise bad
        await self._link.close()

    # Reading.

    async def _read(self) -> None:
        limits = self._limits
        while not self._over:
            if self._calls > limits.inflight_calls or self._bytes > limits.inflight_bytes:
                self._room.clear()
                await self._room.wait()
                continue
            frame = await self._link.receive()
            if frame is None:
                return
            self._take(decode_client_frame(frame))

    def _take(self, frame: ClientFrame) -> None:
        if frame.protocol_version != PROTOCOL_VERSION:
            raise BadFrame(
                f"the client speaks protocol version {frame.protocol_version}, this node {PROTOCOL_VERSION}:"
                " use a client of the node's release"
            )
        commands, queries = decode_commands(frame.commands), decode_queries(frame.queries)
        calls = len(commands) + len(queries)
        intake = _Intake(frame.group, calls, len(frame.commands) + len(frame.queries))
        if not calls:
            self._pinged = intake
            self._work.set()
            return
        self._calls += calls
        self._bytes += intake.size
        if (refused := self._refuse_frame(frame, calls)) is not None:
            self._answer(intake, frame.first_call, [refused] * calls)
            return
        if commands:
            self._submit(intake, frame.first_call, commands)
        if queries:
            self._ask(intake, frame.first_call + len(commands), queries)

    def _refuse_frame(self, frame: ClientFrame, calls: int) -> Result | None:
        cluster = self._requests.cluster_id
        if not cluster:
            return refusal(
                Kind.FAILED,
                "this node has not been initialised: run `raftlog init`, or ask a node of the cluster",
                retry_after=1_000_000,
            )
        if frame.cluster_id not in (0, cluster):
            return refusal(
                Kind.FAILED,
                f"this node belongs to cluster {cluster:016x}, not to {frame.cluster_id:016x}:"
                " check the client's addresses",
            )
        if not self._requests.serves(frame.group):
            return refusal(Kind.FAILED, f"this node has no group {frame.group}")
        if calls > self._limits.frame_calls:
            return refusal(
                Kind.FAILED, f"{calls} calls in one frame are over the limit of {self._limits.frame_calls}"
            )
        return None

    # Commands.

    def _submit(self, intake: _Intake, first: int, commands: Sequence[Command]) -> None:
        refused = self._refusals(intake, commands)
        if not refused:
            self._requests.submit(intake.group, commands, partial(self._answer_all, intake, first, commands))
            return
        for position, result in refused.items():
            self._answer(intake, first + position, [result])
        numbers = [position for position in range(len(commands)) if position not in refused]
        if numbers:
            passed = [commands[position] for position in numbers]
            calls = [first + position for position in numbers]
            self._requests.submit(
                intake.group, passed, partial(self._answer_scattered, intake, calls, passed)
            )

    def _refusals(self, intake: _Intake, commands: Sequence[Command]) -> dict[int, Result]:
        limit = self._limits.command_bytes
        if intake.size > limit:  # else none of them can be over it
            refused = {i: self._over_limit(c.body) for i, c in enumerate(commands) if len(c.body) > limit}
        else:
            refused = {}
        for position, found in self._requests.refusals(intake.group, commands).items():
            # Nothing was proposed, so it is the node that refuses, not the log: an earlier try may have happened.
            refused.setdefault(position, Result(Kind.FAILED, found.body))
        return refused

    def _over_limit(self, body: bytes) -> Result:
        return refusal(
            Kind.FAILED, f"{len(body)} bytes are over the limit of {self._limits.command_bytes} for one call"
        )

    def _answer_all(
        self, intake: _Intake, first: int, commands: Sequence[Command], results: Sequence[Result]
    ) -> None:
        self._answer(intake, first, self._explained(intake.group, commands, results))

    def _explained(
        self, group: GroupId, commands: Sequence[Command], results: Sequence[Result]
    ) -> Sequence[Result]:
        """The log answers all commands that do not fit in the same words: say here what is wrong with each."""
        if self._over or not [True for result in results if result.kind is Kind.BAD_COMMAND]:
            return results
        check = self._requests.check
        return [
            (result.kind is Kind.BAD_COMMAND and check(group, command)) or result
            for command, result in zip(commands, results, strict=True)
        ]

    def _answer(self, intake: _Intake, first: int, results: Sequence[Result]) -> None:
        if not self._over:
            self._answers.append((intake, first, results))
            self._work.set()

    def _answer_scattered(
        self, intake: _Intake, calls: Sequence[int], commands: Sequence[Command], results: Sequence[Result]
    ) -> None:
        assert len(calls) == len(results), f"{len(calls)} commands got {len(results)} results"
        explained = self._explained(intake.group, commands, results)
        rows = list(enumerate(zip(calls, explained, strict=True)))
        for _, run in groupby(rows, key=lambda row: row[1][0] - row[0]):  # equal while calls are consecutive
            pairs = [pair for _, pair in run]
            self._answer(intake, pairs[0][0], [result for _, result in pairs])

    # Queries.

    def _ask(self, intake: _Intake, first: int, queries: Sequence[Query]) -> None:
        for number, run in groupby(queries, key=lambda query: query.level):
            asked = list(run)
            try:
                level = Level(number)
            except ValueError:
                said = refusal(Kind.FAILED, f"level {number} is not one that this node knows")
                self._answer(intake, first, [said] * len(asked))
            else:
                self._requests.read(intake.group, level, partial(self._release, intake, first, asked))
            first += len(asked)

    def _release(self, intake: _Intake, first: int, queries: Sequence[Query], refused: Result | None) -> None:
        if self._over:
            return
        if refused is not None:
            self._answer(intake, first, [refused] * len(queries))
            return
        self._released.append((intake, first, queries))
        self._work.set()

    def _answer_queries(self) -> None:
        # Only when their answers are about to be sent: a slow client holds up its queries, not the node's memory.
        intake, first, queries = self._released.popleft()
        results: list[Result] = []
        size = 0
        for query in queries[:_SLICE_QUERIES]:
            results.append(result := self._query(intake.group, query))
            size += len(result.body)
            if size > _SLICE_BYTES:
                break
        self._answers.append((intake, first, results))
        if rest := queries[len(results) :]:
            self._released.appendleft((intake, first + len(results), rest))

    def _query(self, group: GroupId, query: Query) -> Result:
        if len(query.body) > self._limits.command_bytes:
            return self._over_limit(query.body)
        result = self._requests.query(group, query.machine, query.body)
        limit = self._limits.frame_bytes - 1024
        return result if len(result.body) <= limit else too_large(Kind.FAILED, len(result.body), limit)

    # Writing.

    async def _write(self) -> None:
        try:
            while not self._over:
                if self._released:
                    self._answer_queries()
                if self._answers or self._pinged is not None:
                    await self._send()
                    if self._released:
                        await asyncio.sleep(0)
                elif self._leaving and not self._calls:
                    return
                else:
                    await self._work.wait()
                    self._work.clear()
        except LinkBroken:
            self._over = True
            self._room.set()

    def _about(self, group: GroupId) -> NodeFrame:
        requests = self._requests
        if not requests.serves(group):
            return NodeFrame(group=group, cluster_id=requests.cluster_id)
        return NodeFrame(
            group=group,
            applied=requests.applied(group),
            leader=requests.leader(group),
            cluster_id=requests.cluster_id,
        )

    async def _send(self) -> None:
        """Everything that was answered, up to the first answer of another group."""
        ping, self._pinged = self._pinged, None
        group = self._answers[0][0].group if self._answers else ping.group if ping else GroupId(0)
        taken: list[_Intake] = []
        runs: list[Run] = []
        while self._answers and self._answers[0][0].group == group:
            intake, first, results = self._answers.popleft()
            intake.left -= len(results)
            assert intake.left >= 0, f"{-intake.left} answers too many for one frame"
            self._calls -= len(results)
            taken.append(intake)
            runs.append((first, results))
        for frame in pack(self._about(group), runs, self._limits.frame_bytes):
            await self._link.send(frame)
        for intake in taken:
            if not intake.left:
                self._bytes -= intake.size
                intake.size = 0
        self._room.set()
