"""Forwards: passed on once, answered or given up, never repeated, never answered by the wrong node."""

from raftlog.core.entry import Command, decode_commands
from raftlog.core.ids import META_GROUP, Boot, NodeId, RequestId
from raftlog.machine.result import Kind, Result
from raftlog.node.calls import Batch
from raftlog.node.forwards import LOST, Arrivals, Forwards, reply_to
from raftlog.transport.frames import ForwardReply


def new() -> tuple[Forwards, list[object]]:
    return Forwards(Boot(5), 1000), []


LEADER, OTHER = NodeId(3), NodeId(2)


def batch(got: list[object], *sequences: int) -> Batch:
    return Batch([Command(9, each, 0, 1, 1, b"x") for each in sequences], 100, got.append)


def test_a_forward_carries_the_commands_and_its_reply_their_results() -> None:
    (forwards, first), second = new(), list[object]()
    forward = forwards.make(META_GROUP, [batch(first, 1, 2), batch(second, 3)], LEADER, until=100)
    assert [command.sequence for command in decode_commands(forward.commands)] == [1, 2, 3]
    results = [Result(Kind.OK, b"1"), Result(Kind.OK, b"2"), Result(Kind.OK, b"3")]
    forwards.answered(LEADER, reply_to(forward, results))
    assert first == [results[:2]]
    assert second == [results[2:]]
    assert not forwards


def test_only_the_node_that_was_asked_answers() -> None:
    forwards, got = new()
    forward = forwards.make(META_GROUP, [batch(got, 1)], LEADER, until=100)
    forwards.answered(OTHER, reply_to(forward, [Result(Kind.OK)]))
    assert got == []


def test_a_second_answer_is_nobodys() -> None:
    forwards, got = new()
    forward = forwards.make(META_GROUP, [batch(got, 1)], LEADER, until=100)
    reply = reply_to(forward, [Result(Kind.OK)])
    forwards.answered(LEADER, reply)
    forwards.answered(LEADER, reply)
    assert got == [[Result(Kind.OK)]]


def test_a_reply_that_does_not_fit_leaves_the_outcome_unknown() -> None:
    for replies in (b"\xc1 garbage", b"\x90"):
        forwards, got = new()
        forward = forwards.make(META_GROUP, [batch(got, 1)], LEADER, until=100)
        forwards.answered(LEADER, ForwardReply(META_GROUP, forward.id, replies))
        assert got == [[LOST]]


def test_a_new_leader_or_a_long_silence_leaves_the_outcome_unknown() -> None:
    for now, leader in ((0, OTHER), (0, None), (100, LEADER)):
        forwards, got = new()
        forwards.make(META_GROUP, [batch(got, 1)], LEADER, until=100)
        forwards.give_up(99, LEADER)
        assert got == []
        forwards.give_up(now, leader)
        assert got == [[LOST]]
        assert LOST.kind is Kind.UNKNOWN
        assert not forwards.full


def test_a_repeated_forward_is_looked_at_once_whatever_came_in_between() -> None:
    """A refused copy and a late accepted one would make "certainly did not happen" a lie."""
    arrivals = Arrivals()
    first, second = RequestId(Boot(5), 1), RequestId(Boot(5), 2)
    assert arrivals.first_time(OTHER, second)
    assert not arrivals.first_time(OTHER, second)
    assert not arrivals.first_time(OTHER, first), "overtaken: its sender has to call it unknown"
    assert arrivals.first_time(LEADER, first), "each sender counts for itself"
    assert arrivals.first_time(OTHER, RequestId(Boot(6), 1)), "and each boot"
    assert not arrivals.first_time(OTHER, second), "a later boot does not make the earlier one new"
