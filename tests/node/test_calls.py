"""Commands on their way: what is split, gathered and answered, each exactly once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftlog.core.entry import Command
from raftlog.core.ids import EntryId
from raftlog.machine.result import Kind, Result
from raftlog.node.calls import COMMAND_OVERHEAD, Batch, InLog, Proposals, Queue, batches


def commands(*sizes: int) -> list[Command]:
    return [Command(0, n, 0, 1, 1, bytes(size)) for n, size in enumerate(sizes, 1)]


class Answers(list[list[Result]]):
    def __call__(self, results: object) -> None:
        assert isinstance(results, list | tuple)
        self.append(list(results))


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60), st.integers(100, 900))
def test_a_split_batch_is_answered_once_and_in_order(sizes: list[int], max_bytes: int) -> None:
    got = Answers()
    parts = batches(commands(*sizes), got, None, max_bytes)
    for part in parts:
        assert part.size <= max_bytes or len(part.commands) == 1
    for part in reversed(parts):
        assert got == []
        part.done([Result(Kind.OK, str(command.sequence).encode()) for command in part.commands])
    assert got == [[Result(Kind.OK, str(n).encode()) for n in range(1, len(sizes) + 1)]]


def test_the_queue_takes_all_parts_or_none_and_never_more_than_its_cap() -> None:
    queue = Queue(1000)
    small = [Batch(commands(1), 600, Answers())]
    assert queue.put(small)
    assert not queue.put([Batch(commands(1), 300, Answers()), Batch(commands(1), 300, Answers())])
    assert queue.size == 600
    assert queue.take(1) == small
    assert queue.size == 0


def test_an_empty_queue_takes_what_is_larger_than_its_cap() -> None:
    queue = Queue(10)
    assert queue.put([Batch(commands(100), 164, Answers())])
    assert not queue.put([Batch(commands(1), 65, Answers())])


@given(st.lists(st.integers(1, 500), min_size=1, max_size=40), st.integers(1, 900))
def test_what_is_taken_fits_an_entry_and_keeps_its_order(sizes: list[int], max_bytes: int) -> None:
    queue = Queue(1 << 30)
    put = [Batch(commands(size), size + COMMAND_OVERHEAD, Answers()) for size in sizes]
    assert all(queue.put([batch]) for batch in put)
    taken: list[Batch] = []
    while queue:
        entry = queue.take(max_bytes)
        assert len(entry) == 1 or sum(batch.size for batch in entry) <= max_bytes
        taken += entry
    assert taken == put
    assert queue.size == 0


def test_an_entry_hands_each_batch_its_own_results() -> None:
    first, second = Answers(), Answers()
    parts = [Batch(commands(1, 1), 130, first), Batch(commands(1), 65, second)]
    entry = InLog(1, commands(1, 1, 1), parts)
    entry.answer([Result(Kind.OK, b"1"), Result(Kind.OK, b"2"), Result(Kind.OK, b"3")])
    assert first == [[Result(Kind.OK, b"1"), Result(Kind.OK, b"2")]]
    assert second == [[Result(Kind.OK, b"3")]]


def test_an_entry_with_too_few_results_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="1 results for 2 commands"):
        InLog(1, commands(1, 1), []).answer([Result(Kind.OK)])


def test_abandoned_proposals_come_back_in_order_and_only_once() -> None:
    proposals = Proposals()
    for index in (3, 1, 2):
        proposals.add(EntryId(1, index), commands(index), [])
    assert [len(waiting.commands[0].body) for waiting in proposals.abandon()] == [1, 2, 3]
    assert proposals.abandon() == []
    assert not proposals
