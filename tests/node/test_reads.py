"""Reads on their way: each answered exactly once, none before its index is applied, none by another boot's answer."""

from random import Random

from raftlog.core.ids import Boot, RequestId
from raftlog.machine.result import Kind, Result
from raftlog.node.reads import Reads

REFUSED = Result(Kind.FAILED)
Got = list[Result | None]


def new(limit: int) -> tuple[Reads, Got]:
    return Reads(Boot(7), limit), []


def test_reads_of_one_pass_share_a_request() -> None:
    reads, got = new(10)
    reads.add(got.append)
    reads.add(got.append)
    id = reads.ask()
    assert id == RequestId(Boot(7), 1)
    assert reads.ask() is None
    reads.released(id, 5)
    reads.applied(4)
    assert got == []
    reads.applied(5)
    assert got == [None, None]
    assert not reads


def test_a_read_that_comes_while_another_is_being_confirmed_asks_anew() -> None:
    """The index that is on its way may be older than a write that was acknowledged before this read began."""
    reads, got = new(10)
    reads.add(got.append)
    assert reads.ask() == RequestId(Boot(7), 1)
    reads.add(got.append)
    assert reads.ask() == RequestId(Boot(7), 2), "it shares the answer to an earlier question"
    reads.released(RequestId(Boot(7), 1), 5)
    reads.applied(5)
    assert got == [None]


def test_an_answer_to_another_boot_releases_nothing() -> None:
    reads, got = new(10)
    reads.add(got.append)
    assert reads.ask() is not None
    reads.released(RequestId(Boot(6), 1), 0)
    reads.applied(100)
    assert got == []


def test_a_late_second_answer_changes_nothing() -> None:
    reads, got = new(10)
    reads.add(got.append)
    id = reads.ask()
    assert id is not None
    reads.refused(id, REFUSED)
    reads.released(id, 0)
    reads.applied(100)
    assert got == [REFUSED]


def test_the_bound_counts_every_read_that_waits_for_anything() -> None:
    reads, got = new(2)
    reads.add(got.append)
    id = reads.ask()
    assert id is not None
    reads.released(id, 9)
    reads.add(got.append)
    assert reads.full
    reads.applied(9)
    assert not reads.full


def test_every_read_is_answered_once_whatever_happens() -> None:
    for seed in range(200):
        random = Random(seed)
        answers: list[Got] = [[] for _ in range(random.randrange(30))]
        ids: list[RequestId] = []
        reads, index = Reads(Boot(1), 1000), 0
        for got in answers:
            reads.add(got.append)
            if random.random() < 0.5 and (id := reads.ask()) is not None:
                ids.append(id)
            if ids and random.random() < 0.4:
                id = ids.pop(random.randrange(len(ids)))
                if random.random() < 0.7:
                    reads.released(id, random.randrange(20))
                else:
                    reads.refused(id, REFUSED)
            index += random.randrange(3)
            reads.applied(index)
        reads.abandon(REFUSED)
        assert not reads, f"seed {seed}"
        assert all(len(got) == 1 for got in answers), f"seed {seed}: {answers}"
