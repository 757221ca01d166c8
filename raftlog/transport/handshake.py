"""Who may speak to whom: the first words on a stream between nodes, and the decision about them."""

from collections import deque
from collections.abc import Iterable
from enum import Enum
from typing import TypeAlias

import msgspec

from raftlog.core.ids import Boot, ClusterId, NodeId
from raftlog.transport.port import Lane

PROTOCOL_VERSION = 1
"""Of the frames between nodes. A node speaks exactly this one; later versions will name a range."""

NO_CLUSTER = ClusterId(0)
"""A node that was not initialised yet belongs here: it speaks to nobody."""

_REMEMBERED_BOOTS = 64


class Identity(msgspec.Struct, frozen=True):
    """Who a node says it is. `cluster` is `NO_CLUSTER` until it was initialised."""

    node: NodeId
    cluster: ClusterId
    boot: Boot


class Hello(msgspec.Struct, frozen=True):
    """The sender's first words, before any frame."""

    protocol_version: int
    cluster: ClusterId
    sender: NodeId
    to: NodeId
    boot: Boot
    """Of the sender's process."""
    lane: Lane


class Welcome(msgspec.Struct, frozen=True):
    """The receiver's only words: frames may follow."""

    protocol_version: int
    node: NodeId
    boot: Boot


class Blame(Enum):
    """Why a stream was refused; for tests and counters, people get the sentence."""

    PROTOCOL = "protocol"
    WAITING = "waiting"
    """The receiver was not initialised yet."""
    CLUSTER = "cluster"
    NODE = "node"
    """The address belongs to another node."""
    STRANGER = "stranger"
    """The sender is not, or no longer, a peer."""
    STALE = "stale"
    """The sender's process was replaced by a later start."""


class Refused(msgspec.Struct, frozen=True):
    """The stream is turned away; `reason` is a sentence naming who was refused by whom, and why."""

    blame: Blame
    reason: str


Verdict: TypeAlias = Welcome | Refused


class Doorkeeper:
    """Decides for one node which streams it takes; shared by every transport so that all refuse alike.

    A boot is a random number, so order comes from what was seen: a boot is *confirmed* when it uses a stream it was
    welcomed on, and from then on every boot confirmed before it is stale for good. A mere Hello makes nobody stale: one
    that a dead process left in a buffer would otherwise lock its successor out.

    Invariants: the confirmed boot of a peer is never among its stale ones; only allowed peers have a confirmed boot.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._allowed: frozenset[NodeId] = frozenset()
        self._confirmed: dict[NodeId, Boot] = {}
        self._stale: dict[NodeId, deque[Boot]] = {}

    @property
    def identity(self) -> Identity:
        """Whose door this is."""
        return self._identity

    def join(self, cluster: ClusterId) -> None:
        """The node was initialised into `cluster`; happens once."""
        assert cluster != NO_CLUSTER, "a node joins a cluster, not the absence of one"
        assert self._identity.cluster in (NO_CLUSTER, cluster), (
            f"{self._identity} belongs to a cluster already and cannot join {cluster:x}"
        )
        self._identity = Identity(self._identity.node, cluster, self._identity.boot)

    def allow(self, peers: Iterable[NodeId]) -> None:
        """Replace the set of peers that may come in."""
        self._allowed = frozenset(peers) - {self._identity.node}
        for gone in self._confirmed.keys() - self._allowed:
            del self._confirmed[gone]

    def hello(self, to: NodeId, lane: Lane) -> Hello:
        """What this node says at the door of `to`."""
        me = self._identity
        return Hello(PROTOCOL_VERSION, me.cluster, me.node, to, me.boot, lane)

    def admit(self, hello: Hello) -> Verdict:
        """Whether a stream that opens with `hello` may go on."""
        blame = self._blame(hello)
        if blame is not None:
            return Refused(blame, self._sentence(blame, hello))
        return Welcome(PROTOCOL_VERSION, self._identity.node, self._identity.boot)

    def still(self, hello: Hello) -> Refused | None:
        """Why a stream that was admitted with `hello` must end now, or None while it may go on."""
        verdict = self.admit(hello)
        return verdict if isinstance(verdict, Refused) else None

    def confirm(self, hello: Hello) -> bool:
        """The sender used its welcome. True when that made an earlier boot stale: end the streams not `still` good."""
        before = self._confirmed.get(hello.sender)
        if before == hello.boot:
            return False
        self._confirmed[hello.sender] = hello.boot
        if before is None:
            return False
        self._stale.setdefault(hello.sender, deque(maxlen=_REMEMBERED_BOOTS)).append(before)
        return True

    def _blame(self, hello: Hello) -> Blame | None:
        me = self._identity
        if hello.protocol_version != PROTOCOL_VERSION:
            return Blame.PROTOCOL
        if me.cluster == NO_CLUSTER:
            return Blame.WAITING
        if hello.cluster != me.cluster:
            return Blame.CLUSTER
        if hello.to != me.node:
            return Blame.NODE
        if hello.sender not in self._allowed:
            return Blame.STRANGER
        if hello.boot in self._stale.get(hello.sender, ()):
            return Blame.STALE
        return None

    def _sentence(self, blame: Blame, hello: Hello) -> str:
        me = self._identity
        who = f"node {hello.sender:x} of cluster {hello.cluster:x} was refused by node {me.node:x}"
        match blame:
            case Blame.PROTOCOL:
                return (
                    f"{who}: it speaks protocol version {hello.protocol_version}, here is {PROTOCOL_VERSION}; "
                    "run releases that go together"
                )
            case Blame.WAITING:
                return f"{who}, which waits to be initialised and belongs to no cluster; run `raftlog init`"
            case Blame.CLUSTER:
                return f"{who}, which belongs to cluster {me.cluster:x}; check the addresses of both clusters"
            case Blame.NODE:
                return f"{who}: it asked for node {hello.to:x}, which is not here; check that node's address"
            case Blame.STRANGER:
                return (
                    f"{who}, whose membership does not name it: it was removed, or wiped and must be replaced"
                )
            case Blame.STALE:
                return f"{who}: its boot {hello.boot:x} was followed by a later start of the same node"


def accept_welcome(hello: Hello, welcome: Welcome) -> Refused | None:
    """The dialer's own look at who answered; None when it is the node that was asked for."""
    who = f"node {hello.to:x} was asked for, and node {welcome.node:x} answered"
    if welcome.protocol_version != PROTOCOL_VERSION:
        spoken = f"{who} in protocol version {welcome.protocol_version}, not {PROTOCOL_VERSION}"
        return Refused(Blame.PROTOCOL, f"{spoken}; run releases that go together")
    if welcome.node != hello.to:
        return Refused(Blame.NODE, f"{who}; check the address of node {hello.to:x}")
    return None
