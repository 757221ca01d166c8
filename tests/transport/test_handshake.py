"""Who is admitted, who is refused, and what each is told."""

import msgspec
import pytest

from raftlog.core.ids import Boot, ClusterId, NodeId
from raftlog.transport.handshake import (
    NO_CLUSTER,
    PROTOCOL_VERSION,
    Blame,
    Doorkeeper,
    Hello,
    Identity,
    Refused,
    Welcome,
    accept_welcome,
)
from raftlog.transport.port import Lane

ME = Identity(NodeId(0xA1), ClusterId(0xC1), Boot(0xB1))
PEER = NodeId(0xA2)
HELLO = Hello(PROTOCOL_VERSION, ME.cluster, PEER, ME.node, Boot(0xB2), Lane.URGENT)


def door() -> Doorkeeper:
    keeper = Doorkeeper(ME)
    keeper.allow([ME.node, PEER])
    return keeper


def with_(**changes: object) -> Hello:
    return msgspec.structs.replace(HELLO, **changes)


def test_a_peer_is_welcomed_by_name() -> None:
    assert door().admit(HELLO) == Welcome(PROTOCOL_VERSION, ME.node, ME.boot)


@pytest.mark.parametrize(
    "hello, blame, words",
    [
        (with_(protocol_version=9), Blame.PROTOCOL, "speaks protocol version 9, here is 1"),
        (
            with_(cluster=ClusterId(0xC2)),
            Blame.CLUSTER,
            "node a2 of cluster c2 was refused by node a1, which belongs",
        ),
        (with_(cluster=NO_CLUSTER), Blame.CLUSTER, "of cluster 0 was refused"),
        (with_(to=NodeId(0xA3)), Blame.NODE, "asked for node a3, which is not here"),
        (with_(sender=NodeId(0xA4)), Blame.STRANGER, "membership does not name it"),
        (with_(sender=ME.node), Blame.STRANGER, "membership does not name it"),
        (with_(sender=NodeId(0)), Blame.STRANGER, "membership does not name it"),
    ],
)
def test_everybody_else_is_refused_with_a_reason(hello: Hello, blame: Blame, words: str) -> None:
    verdict = door().admit(hello)
    assert isinstance(verdict, Refused)
    assert verdict.blame is blame
    assert words in verdict.reason


def test_a_waiting_node_admits_nobody_and_joins_once() -> None:
    keeper = Doorkeeper(Identity(ME.node, NO_CLUSTER, ME.boot))
    keeper.allow([PEER])
    for hello in (HELLO, with_(cluster=NO_CLUSTER)):
        verdict = keeper.admit(hello)
        assert isinstance(verdict, Refused)
        assert verdict.blame is Blame.WAITING
    keeper.join(ME.cluster)
    assert isinstance(keeper.admit(HELLO), Welcome)
    with pytest.raises(AssertionError, match="belongs to a cluster already"):
        keeper.join(ClusterId(0xC9))


def test_a_boot_is_stale_once_a_later_one_was_confirmed() -> None:
    keeper, later = door(), with_(boot=Boot(0xB3))
    assert not keeper.confirm(HELLO)
    assert keeper.confirm(later)
    assert not keeper.confirm(later)
    refused = keeper.still(HELLO)
    assert refused is not None
    assert refused.blame is Blame.STALE
    assert "its boot b2 was followed by a later start" in refused.reason
    assert keeper.still(later) is None


def test_a_hello_that_nobody_follows_up_locks_nobody_out() -> None:
    # A process died right after its hello; the word is read only after its successor has arrived.
    keeper, dead = door(), with_(boot=Boot(0xB0))
    keeper.confirm(HELLO)
    assert isinstance(keeper.admit(dead), Welcome)
    assert keeper.still(HELLO) is None


def test_what_a_peer_was_is_remembered_while_it_is_away() -> None:
    keeper, later = door(), with_(boot=Boot(0xB3))
    keeper.confirm(HELLO)
    keeper.confirm(later)
    keeper.allow([])
    keeper.allow([PEER])
    assert keeper.still(HELLO) is not None
    assert keeper.still(later) is None


def test_stale_boots_are_remembered_within_a_bound() -> None:
    keeper = door()
    for boot in range(1, 1_000):
        keeper.confirm(with_(boot=Boot(boot)))
    assert keeper.still(with_(boot=Boot(998))) is not None
    assert keeper.still(with_(boot=Boot(1))) is None


@pytest.mark.parametrize(
    "welcome, words",
    [
        (Welcome(PROTOCOL_VERSION, NodeId(0xA9), Boot(1)), "node a1 was asked for, and node a9 answered"),
        (Welcome(2, ME.node, Boot(1)), "answered in protocol version 2"),
    ],
)
def test_the_dialer_looks_at_who_answers(welcome: Welcome, words: str) -> None:
    refused = accept_welcome(HELLO, welcome)
    assert refused is not None
    assert words in refused.reason


def test_the_dialer_accepts_whom_it_asked_for() -> None:
    assert accept_welcome(HELLO, Welcome(PROTOCOL_VERSION, ME.node, Boot(7))) is None
