"""The client against a cluster that misbehaves on demand: what callers are told, and what has happened."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any

import pytest

from raftlog.client import Client, Failed, Level, Limits, Ok, Unknown
from raftlog.core.entry import Command
from raftlog.core.ids import ClusterId
from raftlog.machine.calls import AnswerGone, MachineFault, SessionExpired
from raftlog.machine.result import Kind, Result, refusal
from raftlog.machine.sessions import Limits as SessionLimits
from raftlog.testing.loop import run
from raftlog.transport.client_frames import NodeFrame, encode_node_frame, encode_runs
from tests.client.cluster import Cluster, Done, Register, Taken, chaos, refuse

Story = Callable[[Cluster, Client], Coroutine[Any, Any, None]]


def play(
    story: Story, *names: str, table: SessionLimits | None = None, seed: int = 1, **options: Any
) -> Cluster:
    """Run a story with a client of a fresh cluster, in virtual time."""

    async def main() -> Cluster:
        async with Cluster(*names, limits=table) as cluster:
            addresses = options.pop("addresses", list(cluster.nodes))
            async with Client(addresses, dialer=cluster, random=Random(seed), **options) as client:
                await story(cluster, client)
        return cluster

    return run(main(), seed=seed)


def now() -> float:
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


def user_commands(batches: Sequence[Sequence[Command]]) -> list[list[Command]]:
    """The batches without the session table's own commands."""
    return [kept for batch in batches if (kept := [command for command in batch if command.machine])]


# Calls and their values.


def test_a_command_and_a_query_come_back_with_their_typed_values() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        place: int = await client.call(Register.add, "x")
        assert place == 1
        assert await client.call(Register.has, "x") is True
        assert await client.machine(Register).add("y") == 2
        assert await client.machine(Register).count() == 2

    play(story)


def test_declared_errors_and_faults_are_outcomes_of_their_own() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        with pytest.raises(Taken) as taken:
            await client.call(Register.add, "taken already")
        assert taken.value.by == "taken already"
        with pytest.raises(MachineFault):
            await client.call(Register.add, "break it")
        assert await client.outcome(Register.add, "x") == Ok(1)
        assert isinstance(await client.outcome(Register.add, "taken"), Taken)

    assert play(story).applied == ["x"]


def test_raw_calls_give_results() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        result = await client.execute(Register.add.call.encode("x"))
        assert result.kind is Kind.OK
        assert (await client.read(Register.count.call.encode())).body == b"\x01"

    play(story)


def test_a_proxy_names_what_it_does_not_have() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        with pytest.raises(AttributeError, match="no command or query 'subtract'; it has: add, count, has"):
            await client.machine(Register).subtract(1)

    play(story)


def test_a_client_that_was_not_entered_or_was_left_says_so() -> None:
    kept: list[Client] = []

    async def story(cluster: Cluster, client: Client) -> None:
        kept.append(client)
        with pytest.raises(RuntimeError, match="async with"):
            await Client(["a"], dialer=cluster, random=Random(1)).call(Register.count)
        with pytest.raises(RuntimeError, match="entered once"):
            await client.__aenter__()

    async def after() -> None:
        with pytest.raises(Failed, match="closed"):
            await kept[0].call(Register.add, "x")

    play(story)
    with pytest.raises(ValueError, match="at least one node"):
        play(story, addresses=[])


# Batches and windows.


def test_calls_made_at_the_same_time_travel_in_one_batch() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        await client.call(Register.add, "first")
        cluster.node.batches.clear()
        async with asyncio.TaskGroup() as tasks:
            for number in range(100):
                tasks.create_task(client.call(Register.add, f"{number}"))
        (batch,) = user_commands(cluster.node.batches)
        assert len(batch) == 100

    play(story)


def test_what_is_called_while_a_frame_is_being_sent_leaves_with_the_next() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.room = 1  # the stream takes one frame at a time
        await client.call(Register.add, "first")
        cluster.node.batches.clear()
        async with asyncio.TaskGroup() as tasks:
            for number in range(100):
                tasks.create_task(client.call(Register.add, f"{number}"))
                if number % 10 == 0:
                    await asyncio.sleep(0)
        sizes = [len(batch) for batch in user_commands(cluster.node.batches)]
        assert sum(sizes) == 100
        assert len(sizes) < 30

    play(story)


def test_no_more_is_sent_than_the_window_holds() -> None:
    limits = Limits(window_calls=10, window_bytes=10_000, frame_bytes=10_000)
    seen: list[int] = []

    async def story(cluster: Cluster, client: Client) -> None:
        open_calls = 0

        def trouble(commands: Sequence[Command], done: Done) -> bool:
            nonlocal open_calls
            open_calls += len(commands)
            seen.append(open_calls)

            def answer() -> None:
                nonlocal open_calls
                open_calls -= len(commands)
                done(cluster.log.apply(commands))

            asyncio.get_running_loop().call_later(0.01, answer)
            return True

        cluster.node.trouble = trouble
        outcomes = await client.call_many(Register.add, [(f"{n}",) for n in range(205)])
        assert sorted(o.value for o in outcomes if isinstance(o, Ok)) == list(range(1, 206))
        assert max(seen) == 10
        seen.clear()
        await client.call_many(Register.add, [(f"{n}".zfill(3_000),) for n in range(20)])
        assert max(seen) == 4, "bytes are bounded by the window and one more body"

    play(story, limits=limits)


def test_bulk_calls_have_an_outcome_each() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        names = [("taken",) if n % 3 == 0 else (f"{n}",) for n in range(10_000)]
        outcomes = await client.call_many(Register.add, names)
        assert len(outcomes) == 10_000
        assert all(isinstance(o, Taken) == (n % 3 == 0) for n, o in enumerate(outcomes))
        assert await client.call_many(Register.has, [("1",), ("3",)]) == [Ok(True), Ok(False)]
        assert await client.call_many(Register.has, []) == []

    assert len(play(story).applied) == 6_666


# Sessions and lost answers.


def test_a_command_whose_answer_was_lost_is_sent_again_and_applied_once() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        losses = 0

        def lose(commands: Sequence[Command], done: Done) -> bool:
            nonlocal losses
            if not commands[0].machine or losses == 3:
                return False
            losses += 1
            cluster.log.apply(commands)
            cluster.cut()
            done([Result(Kind.OK)] * len(commands))
            return True

        cluster.node.trouble = lose
        assert await client.call(Register.add, "x") == 1
        assert losses == 3
        sequences = [c.sequence for batch in user_commands(cluster.node.batches) for c in batch]
        assert sequences == [1, 1, 1, 1]

    assert play(story).applied == ["x"]


def test_without_a_session_a_lost_answer_is_unknown_and_never_sent_again() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        def cut(commands: Sequence[Command], done: Done) -> bool:
            cluster.cut()
            done([Result(Kind.OK)] * len(commands))
            return True

        cluster.node.trouble = cut
        with pytest.raises(Unknown, match="may have happened"):
            await client.call(Register.add, "x")
        assert len(cluster.node.batches) == 1
        cluster.node.trouble = refuse(refusal(Kind.UNKNOWN, "left office"))
        with pytest.raises(Unknown, match="left office"):
            await client.call(Register.add, "y")
        assert len(cluster.node.batches) == 2

    play(story, session=False)


def test_without_a_session_a_definite_refusal_is_tried_again() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.node.trouble = refuse(refusal(Kind.FAILED, "no leader yet", retry_after=50_000))
        asyncio.get_running_loop().call_later(1.0, setattr, cluster.node, "trouble", lambda c, d: False)
        assert await client.call(Register.add, "x") == 1

    assert play(story, session=False).applied == ["x"]


def test_an_open_outcome_is_asked_for_again_under_its_sequence() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        def trouble(commands: Sequence[Command], done: Done) -> bool:
            if not commands[0].machine:
                return False
            cluster.log.apply(commands)
            cluster.node.trouble = lambda commands, done: False
            done([refusal(Kind.UNKNOWN, "left office before the answer")] * len(commands))
            return True

        cluster.node.trouble = trouble
        assert await client.call(Register.add, "x") == 1

    assert play(story).applied == ["x"]


def test_repeated_and_unasked_answers_are_passed_over() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        await client.call(Register.add, "x")
        (wire,) = cluster.wires
        stray = encode_runs([(0, [Result(Kind.OK, b"\x63")] * 3)])
        wire.client._in.frames.append(encode_node_frame(NodeFrame(replies=stray)))
        wire.client._in.moved.set()
        assert await client.call(Register.add, "y") == 2

    assert play(story).applied == ["x", "y"]


def test_an_expired_session_is_opened_anew_for_what_was_never_tried_before() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        await client.call(Register.add, "x")
        cluster.log.forget_sessions()
        assert await client.call(Register.add, "y") == 2
        batches = user_commands(cluster.node.batches)
        ids = [command.client_id for batch in batches for command in batch]
        assert len(ids) == 3
        assert ids[0] == ids[1] != ids[2]

    assert play(story).applied == ["x", "y"]


def test_an_expired_session_makes_an_uncertain_call_unknown() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        def lose(commands: Sequence[Command], done: Done) -> bool:
            if not commands[0].machine:
                return False
            cluster.log.apply(commands)
            cluster.log.forget_sessions()
            cluster.node.trouble = lambda commands, done: False
            cluster.cut()
            done([Result(Kind.OK)] * len(commands))
            return True

        cluster.node.trouble = lose
        with pytest.raises(SessionExpired):
            await client.call(Register.add, "x")
        assert await client.call(Register.add, "y") == 2

    assert play(story).applied == ["x", "y"]


def test_a_first_try_below_the_floor_takes_a_new_sequence_and_a_later_one_is_unknown() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        await client.call(Register.add, "x")

        def gone(commands: Sequence[Command], done: Done) -> bool:
            cluster.node.trouble = lambda commands, done: False
            done([Result(Kind.ANSWER_GONE)] * len(commands))
            return True

        cluster.node.trouble = gone
        assert await client.call(Register.add, "y") == 2

        def lost_then_gone(commands: Sequence[Command], done: Done) -> bool:
            cluster.node.trouble = gone
            done([refusal(Kind.UNKNOWN, "left office")] * len(commands))
            return True

        cluster.node.trouble = lost_then_gone
        with pytest.raises(AnswerGone):
            await client.call(Register.add, "z")

    play(story)


def test_a_final_refusal_of_a_later_try_says_nothing_of_the_first() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        def lose_then_refuse(commands: Sequence[Command], done: Done) -> bool:
            if not commands[0].machine:
                return False
            cluster.log.apply(commands)
            cluster.node.trouble = refuse(refusal(Kind.FAILED, "this node is too old for that command"))
            done([refusal(Kind.UNKNOWN, "left office")] * len(commands))
            return True

        cluster.node.trouble = lose_then_refuse
        with pytest.raises(Unknown, match=r"too old.*may have happened"):
            await client.options(deadline=1.0).call(Register.add, "x")
        cluster.node.trouble = lose_then_refuse
        asyncio.get_running_loop().call_later(0.5, setattr, cluster.node, "trouble", lambda c, d: False)
        assert await client.options(deadline=2.0).call(Register.add, "y") == 2

    assert play(story).applied == ["x", "y"]


def test_confirmed_sequences_have_no_gap_whatever_order_answers_come_in() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        random = Random(5)
        cluster.node.delay = lambda: random.choice((0.001, 0.05, 0.5))
        answered: set[int] = set()

        async def worker(name: int) -> None:
            for turn in range(20):
                await client.call(Register.add, f"{name} {turn}")

        def watch(commands: Sequence[Command], done: Done) -> bool:
            for command in commands:
                confirmed = set(range(1, command.answered_below))
                assert confirmed <= answered, f"unanswered but confirmed: {sorted(confirmed - answered)}"
                assert command.answered_below <= max(command.sequence, 1)

            def note(results: Sequence[Result]) -> None:
                answered.update(command.sequence for command in commands if command.machine)
                done(results)

            loop = asyncio.get_running_loop()
            loop.call_later(cluster.node.delay(), lambda: note(cluster.log.apply(commands)))
            return True

        cluster.node.trouble = watch
        async with asyncio.TaskGroup() as tasks:
            for name in range(20):
                tasks.create_task(worker(name))
        assert len(answered) == 400
        (session,) = cluster.log.sessions._sessions.values()
        assert session.answers.count < 60, "answers that the client has are kept"

    assert len(play(story).applied) == 400


def test_a_session_is_closed_with_its_client() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        await client.call(Register.add, "x")
        assert cluster.log.sessions.count() == 1

    assert play(story).log.sessions.count() == 0


def test_one_early_call_that_waits_does_not_lose_its_answer_to_many_later_ones() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        held: list[tuple[Sequence[Command], Done]] = []

        def hold(commands: Sequence[Command], done: Done) -> bool:
            if commands[0].sequence == 1:
                held.append((commands, done))
                return True
            return False

        cluster.node.trouble = hold
        early = asyncio.create_task(client.call(Register.add, "early"))
        await asyncio.sleep(0.1)
        late = asyncio.create_task(client.call_many(Register.add, [(f"{n}",) for n in range(3_000)]))
        await asyncio.sleep(1.0)
        assert max(c.sequence for batch in cluster.node.batches for c in batch) == 1_000
        ((commands, done),) = held
        done(cluster.log.apply(commands))
        assert isinstance(await early, int)
        assert all(isinstance(outcome, Ok) for outcome in await late)

    assert len(play(story, limits=Limits(spread=1_000)).applied) == 3_001


# Finding the leader, and nodes that fail.


def test_the_named_leader_is_followed_at_once() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        for name in ("a", "b"):
            cluster.nodes[name].trouble = refuse(refusal(Kind.FAILED, "not the leader", leader="c"))
        began = now()
        assert await client.call(Register.add, "x") == 1
        assert cluster.dialed[-1] == "c"
        assert now() - began < 0.05
        await client.call(Register.add, "y")
        assert len(cluster.dialed) == 2, "it stays with the leader"

    play(story, "a", "b", "c", addresses=["a", "b"])


def test_a_follower_that_answers_is_left_for_the_leader_it_names() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.nodes["a"].named = "c"
        assert await client.call(Register.add, "x") == 1
        assert await client.call(Register.add, "y") == 2
        assert cluster.dialed == ["a", "c"]
        assert await client.call(Register.add, "z") == 3
        assert cluster.dialed == ["a", "c"], "it stays with the leader"

    play(story, "a", "b", "c", addresses=["a"])


def test_a_client_that_does_not_follow_hears_the_given_nodes_only() -> None:
    """Reading through one node means that node, whatever it hints at, and so for a pipeline."""

    async def story(cluster: Cluster, client: Client) -> None:
        cluster.nodes["a"].named = "c"
        assert await client.call(Register.add, "x") == 1
        assert await client.call(Register.add, "y") == 2
        async with client.pipeline() as pipeline:
            assert await pipeline.call(Register.add, "z") == 3
        assert set(cluster.dialed) == {"a"}

    play(story, "a", "c", addresses=["a"], follow=False)


def test_a_follower_that_answers_is_kept_while_the_leader_it_names_cannot_be_reached() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.nodes["a"].named = "c"
        cluster.down |= {"c"}
        for n in range(1, 30):
            assert await client.call(Register.add, "x") == n
            await asyncio.sleep(0.1)
        assert cluster.dialed.count("c") == 1
        assert len(cluster.dialed) <= 3

    play(story, "a", "c", addresses=["a"])


@pytest.mark.parametrize("session", [True, False])
def test_moving_to_the_leader_makes_no_call_unknown(session: bool) -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        await client.call(Register.add, "first")
        cluster.nodes["a"].delay = lambda: 3.0
        slow = asyncio.create_task(client.call(Register.add, "slow"))
        await asyncio.sleep(0.1)
        said = refusal(Kind.FAILED, "not the leader", leader="b")
        cluster.nodes["a"].trouble = refuse(said)
        assert isinstance(await client.call(Register.add, "x"), int)
        assert isinstance(await slow, int)
        assert cluster.dialed == ["a", "b"]
        assert now() < (2.0 if session else 4.0)

    assert sorted(play(story, "a", "b", addresses=["a"], session=session).applied) == ["first", "slow", "x"]


def test_nodes_that_name_each_other_are_not_stormed() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        for name, other in (("a", "b"), ("b", "a")):
            cluster.nodes[name].trouble = refuse(refusal(Kind.FAILED, "not the leader", leader=other))
        with pytest.raises(Failed, match="not the leader"):
            await client.call(Register.add, "x")
        assert len(cluster.dialed) < 80, "in ten seconds: more than eight a second"

    play(story, "a", "b", deadline=10.0)


def test_other_addresses_are_tried_in_turn_without_a_pause() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.down |= {"a", "b", "c", "e"}
        began = now()
        await client.call(Register.add, "x")
        assert now() - began < 0.05

    play(story, "a", "b", "c", "d", "e")


def test_pauses_between_dials_are_bounded_and_service_returns() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.down |= {"a", "b"}
        loop = asyncio.get_running_loop()
        loop.call_later(100.0, cluster.down.clear)
        assert await client.options(deadline=200.0).call(Register.add, "x") == 1
        assert 60 < len(cluster.dialed) < 800
        assert now() < 100.6

    play(story, "a", "b")


def test_a_node_that_falls_silent_is_left() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.silent |= {"a", "b"} - {"b"}
        assert await client.call(Register.add, "x") == 1
        assert now() < 4.0

    for seed in (1, 2, 3):
        play(story, "a", "b", seed=seed)


def test_a_slow_node_that_answers_pings_is_kept() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.node.delay = lambda: 8.0
        assert await client.options(deadline=30.0).call(Register.add, "x") == 1
        assert len(cluster.dialed) == 1

    play(story)


def test_a_node_that_can_only_refuse_is_left_for_another() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.nodes["a"].trouble = refuse(refusal(Kind.FAILED, "no leader is known", retry_after=20_000))
        assert await client.call(Register.add, "x") == 1
        assert now() < 2.0

    for seed in (1, 2, 3):
        play(story, "a", "b", seed=seed)


def test_queries_are_asked_again_elsewhere() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        said = refusal(Kind.FAILED, "cut off from the majority", retry_after=20_000)
        cluster.nodes["a"].read_trouble = lambda level: None if level is Level.LOCAL else said
        assert await client.call(Register.count) == 0
        assert await client.options(level=Level.LOCAL).call(Register.count) == 0

    for seed in (1, 2, 3):
        play(story, "a", "b", seed=seed)


def test_the_wrong_cluster_is_told_at_once_and_of_every_call() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        outcomes = await asyncio.gather(
            client.outcome(Register.add, "x"),
            client.outcome(Register.count),
            client.outcome(Register.add, "y"),
        )
        assert all(
            isinstance(outcome, Failed) and "belongs to cluster" in str(outcome) for outcome in outcomes
        )
        assert now() < 1.0

    assert play(story, cluster_id=ClusterId(78)).applied == []


def test_a_command_over_the_limit_fails_at_once_and_alone() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        large, small = await asyncio.gather(
            client.outcome(Register.add, "x" * (1 << 20)), client.outcome(Register.add, "y")
        )
        assert isinstance(large, Failed)
        assert "limit" in str(large)
        assert small == Ok(1)
        assert now() < 1.0

    play(story)


def test_a_node_that_sends_garbage_is_left() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        await client.call(Register.add, "x")
        (wire,) = cluster.wires
        wire.client._in.frames.append(b"\xff\xff\xff")
        wire.client._in.moved.set()
        assert await client.call(Register.add, "y") == 2
        assert len(cluster.dialed) == 2

    play(story)


# Deadlines and cancellation.


def test_a_deadline_before_anything_was_sent_is_a_definite_failure() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.down.add("a")
        with pytest.raises(Failed, match=r"a cannot be reached \(connection refused\).*has not happened"):
            await client.options(deadline=3.0).call(Register.add, "x")
        assert 3.0 <= now() <= 3.03

    play(story)


def test_a_deadline_while_a_node_has_the_command_leaves_it_unknown() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        held: list[tuple[Sequence[Command], Done]] = []

        def hold(commands: Sequence[Command], done: Done) -> bool:
            if not commands[0].machine:
                return False
            held.append((commands, done))
            return True

        cluster.node.trouble = hold
        with pytest.raises(Unknown, match=r"a has not answered.*may have happened, or may yet"):
            await client.options(deadline=0.5).call(Register.add, "x")
        cluster.node.trouble = lambda commands, done: False
        assert await client.call(Register.add, "y") == 1
        # The straggler arrives after a command that confirmed it: it is refused, and nobody is confused.
        ((commands, done),) = held
        done(cluster.log.apply(commands))
        assert await client.call(Register.add, "z") == 2

    assert play(story).applied == ["y", "z"]


def test_the_reason_of_the_last_refusal_is_told_too_when_the_deadline_comes_during_another_try() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        tries = 0

        def trouble(commands: Sequence[Command], done: Done) -> bool:
            nonlocal tries
            if commands[0].machine:
                tries += 1
                if tries == 1:
                    done([refusal(Kind.FAILED, "the disk is full", retry_after=100_000)])
            return bool(commands[0].machine)

        cluster.node.trouble = trouble
        with pytest.raises(Unknown, match=r"a has not answered; it had refused before: the disk is full"):
            await client.options(deadline=1.0).call(Register.add, "x")
        assert tries == 2

    play(story)


def test_a_refusal_that_lasts_is_told_with_its_reason() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.node.trouble = refuse(refusal(Kind.FAILED, "the disk is full", retry_after=100_000))
        with pytest.raises(Failed, match="the disk is full"):
            await client.options(deadline=1.0).call(Register.add, "x")

    play(story, session=False)


def test_a_query_is_never_unknown() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.node.delay = lambda: 5.0
        with pytest.raises(Failed, match="a query changes nothing"):
            await client.options(deadline=0.5).call(Register.count)

    play(story)


def test_a_cancelled_caller_harms_no_other() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.node.delay = lambda: 0.1
        tasks = [asyncio.create_task(client.call(Register.add, f"{n}")) for n in range(50)]
        bulk = asyncio.create_task(client.call_many(Register.add, [("b",)] * 50))
        await asyncio.sleep(0.15)
        for task in tasks[::2]:
            task.cancel()
        bulk.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended[::2])
        assert all(isinstance(each, int) for each in ended[1::2])
        assert isinstance(await client.call(Register.add, "last"), int)
        (session,) = cluster.log.sessions._sessions.values()
        assert session.answers.count <= 1, "what nobody waits for is confirmed too"

    play(story)


def test_a_cancellation_in_the_same_pass_as_the_answer_is_not_swallowed() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        for steps in range(12):
            cluster.node.delay = lambda: 0.0
            task = asyncio.create_task(client.call(Register.add, f"{steps}"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert isinstance(await client.call(Register.add, "last"), int)

    play(story)


def test_calls_that_are_open_when_the_client_closes_get_their_outcome() -> None:
    async def main() -> None:
        async with Cluster() as cluster:
            cluster.node.delay = lambda: 5.0
            async with Client(["a"], dialer=cluster, random=Random(1), session=False) as client:
                sent = asyncio.create_task(client.outcome(Register.add, "x"))
                read = asyncio.create_task(client.outcome(Register.count))
                await asyncio.sleep(0.1)
                cluster.down.add("a")
                cluster.cut()
                await asyncio.sleep(0.1)
                unsent = asyncio.create_task(client.outcome(Register.add, "y"))
                await asyncio.sleep(0.1)
            assert isinstance(await sent, Unknown)
            for task in (read, unsent):
                outcome = await task
                assert isinstance(outcome, Failed)
                assert "closed" in str(outcome)

    run(main())


def test_calls_that_time_out_while_the_cluster_is_away_leave_nothing_behind() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        cluster.down.add("a")
        engine = client._running()
        for _ in range(2_000):
            with pytest.raises(Failed):
                await client.options(deadline=0.1).call(Register.add, "x")
        assert len(engine._commands) + len(engine._plain) < 200
        assert not len(engine._rests)
        assert not engine._deadlines._entries

    play(story)


def test_nothing_is_kept_of_calls_that_were_answered() -> None:
    async def story(cluster: Cluster, client: Client) -> None:
        await client.call_many(Register.add, [("x",)] * 3_000)
        engine = client._running()
        session = engine._session
        assert session is not None
        assert (session.spread, session._ahead) == (0, set())
        assert not engine._flight
        assert engine._flight_bytes == 0
        assert not engine._deadlines._entries
        gc.collect()

    play(story)


# Everything at once.


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("session", [True, False])
def test_every_call_has_one_outcome_and_it_is_true(seed: int, session: bool) -> None:
    random = Random(seed * 2 + session)
    outcomes: dict[str, object] = {}

    async def caller(client: Client, number: int) -> None:
        for turn in range(12):
            name = f"{number} {turn}"
            calls = client.options(deadline=random.choice((0.05, 0.5, 5.0, 20.0)))
            match random.randrange(8):
                case 0:
                    task = asyncio.create_task(calls.outcome(Register.add, name))
                    await asyncio.sleep(random.choice((0.0, 0.001, 0.3)))
                    task.cancel()
                    try:
                        outcomes[name] = await task
                    except asyncio.CancelledError:
                        outcomes[name] = None
                case 1:
                    names = [f"{name} {n}" for n in range(20)]
                    many = await calls.call_many(Register.add, [(each,) for each in names])
                    outcomes.update(zip(names, many, strict=True))
                case 2:
                    read = await calls.outcome(Register.count)
                    assert isinstance(read, Ok | Failed), f"a query ended as {read!r}"
                case _:
                    outcomes[name] = await calls.outcome(Register.add, name)
            await asyncio.sleep(random.choice((0.0, 0.01, 1.0)))

    async def story(cluster: Cluster, client: Client) -> None:
        chaos(cluster, random)
        async with asyncio.TaskGroup() as tasks:
            for number in range(8):
                tasks.create_task(caller(client, number))
        await asyncio.sleep(5.0)  # what still lingers happens now

    cluster = play(story, "a", "b", "c", seed=seed, session=session)
    kinds: dict[str, int] = {}
    for name, outcome in outcomes.items():
        times = cluster.applied.count(name)
        kinds[type(outcome).__name__] = kinds.get(type(outcome).__name__, 0) + 1
        assert times <= 1, f"seed {seed}: {name} happened {times} times"
        match outcome:
            case Ok():
                assert times == 1, f"seed {seed}: {name} was answered and did not happen"
            case Unknown() | None:
                pass
            case Failed():
                assert times == 0, f"seed {seed}: {name} failed and happened: {outcome}"
            case other:
                raise AssertionError(f"seed {seed}: {name} ended as {other!r}")
    assert kinds.get("Ok", 0) > 20, f"seed {seed}: hardly anything worked: {kinds}"
    assert cluster.dialed[3:], f"seed {seed}: the links never broke"
