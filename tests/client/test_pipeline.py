"""Pipelines: commands under way together, applied in the order of the calls, without gaps."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from raftlog.client import Client, Failed, Limits, Ok, Unknown
from raftlog.core.entry import Command
from raftlog.machine.result import Kind, Result, refusal
from raftlog.testing.loop import run
from tests.client.cluster import Cluster, Done, Register, Taken, chaos
from tests.client.test_client import now, play


def test_commands_are_under_way_together_and_applied_in_the_order_of_the_calls() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.node.delay = lambda: 0.1
        async with client.pipeline() as pipeline:
            await pipeline.call(Register.add, "first")
            began = now()
            async with asyncio.TaskGroup() as tasks:
                for number in range(50):
                    tasks.create_task(pipeline.call(Register.add, f"{number}"))
            assert now() - began < 0.15

    assert play(story).applied == ["first", *(f"{number}" for number in range(50))]


def test_a_refusal_in_the_middle_sends_it_and_all_after_it_again() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        turn = 0

        def trouble(commands: Sequence[Command], done: Done) -> bool:
            nonlocal turn
            if not commands[0].machine:
                return False
            turn += 1
            if turn % 3 == 1:
                done([refusal(Kind.FAILED, "too much at once", retry_after=30_000)] * len(commands))
            elif turn % 3 == 2:
                cluster.cut()
                done([Result(Kind.OK)] * len(commands))
            return turn % 3 != 0

        cluster.node.trouble = trouble
        async with client.pipeline() as pipeline:
            outcomes = await pipeline.call_many(Register.add, [(f"{number}",) for number in range(100)])
        assert outcomes == [Ok(place + 1) for place in range(100)]
        assert turn > 5

    limits = Limits(window_calls=20, frame_bytes=100, window_bytes=1_000)
    assert play(story, limits=limits).applied == [f"{number}" for number in range(100)]


def test_a_declared_error_breaks_nothing_and_a_failure_ends_the_pipeline() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        async with client.pipeline() as pipeline:
            names = ["a", "taken", "b", "x" * (1 << 20), "c", "d"]
            outcomes = await asyncio.gather(*(pipeline.outcome(Register.add, name) for name in names))
            assert outcomes[0] == Ok(1)
            assert isinstance(outcomes[1], Taken)
            assert outcomes[2] == Ok(2)
            assert isinstance(outcomes[3], Failed)
            assert "limit" in str(outcomes[3])
            for later in outcomes[4:]:
                assert isinstance(later, Failed)
            with pytest.raises(Failed, match="earlier command of the pipeline"):
                await pipeline.call(Register.add, "e")
        assert await client.call(Register.count) == 2

    assert play(story).applied == ["a", "b"]


def test_an_expired_session_ends_the_pipeline() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        async with client.pipeline() as pipeline:
            await pipeline.call(Register.add, "a")
            cluster.log.forget_sessions()
            with pytest.raises(Failed, match="begin another pipeline"):
                await pipeline.call(Register.add, "b")
            with pytest.raises(Failed, match="earlier command"):
                await pipeline.call(Register.add, "c")

    assert play(story).applied == ["a"]


def test_a_cancelled_caller_keeps_its_commands_place() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.node.delay = lambda: 0.1
        async with client.pipeline() as pipeline:
            await pipeline.call(Register.add, "a")
            tasks = [asyncio.create_task(pipeline.call(Register.add, name)) for name in "bcd"]
            await asyncio.sleep(0.05)
            cluster.cut()  # they are all sent again
            tasks[0].cancel()
            assert await tasks[2] == 4
            cluster.cut()
            await asyncio.sleep(0.0005)  # dialing takes a millisecond
            unsent = asyncio.create_task(pipeline.call(Register.add, "never"))
            await asyncio.sleep(0)
            unsent.cancel()
            assert await pipeline.call(Register.add, "e") == 5

    assert play(story).applied == ["a", "b", "c", "d", "e"]


def test_queries_are_asked_elsewhere_and_a_pipeline_is_entered_once() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        with pytest.raises(RuntimeError, match="has not been entered"):
            await client.pipeline().call(Register.add, "a")
        async with client.pipeline() as pipeline:
            with pytest.raises(TypeError, match="ask it of the client"):
                await pipeline.call(Register.count)
            with pytest.raises(RuntimeError, match="entered once"):
                await pipeline.__aenter__()
        with pytest.raises(Failed, match="closed"):
            await pipeline.call(Register.add, "a")

    play(story)


@pytest.mark.parametrize("seed", range(40))
def test_what_is_applied_is_a_prefix_and_every_outcome_is_true(seed: int) -> None:
    random = Random(seed)
    outcomes: list[object] = []
    limits = Limits(window_calls=8, frame_bytes=40, window_bytes=400)

    async def main() -> Cluster:
        async with Cluster("a", "b", "c") as cluster:
            async with Client(
                list(cluster.nodes), dialer=cluster, random=Random(seed), deadline=60.0, limits=limits
            ) as client:
                chaos(cluster, random)
                async with client.pipeline() as pipeline:
                    outcomes.extend(
                        await asyncio.gather(
                            *(pipeline.outcome(Register.add, f"{number}") for number in range(60))
                        )
                    )
            await asyncio.sleep(5.0)
            return cluster

    cluster = run(main(), seed=seed)
    applied = cluster.applied
    assert applied == [f"{number}" for number in range(len(applied))], f"seed {seed}: a gap or a repeat"
    for number, outcome in enumerate(outcomes):
        match outcome:
            case Ok():
                assert number < len(applied), f"seed {seed}: {number} was answered and did not happen"
            case Unknown():
                pass
            case Failed():
                assert number >= len(applied), f"seed {seed}: {number} failed and happened"
            case other:
                raise AssertionError(f"seed {seed}: {number} ended as {other!r}")
    assert cluster.dialed[1:], f"seed {seed}: the links never broke"
