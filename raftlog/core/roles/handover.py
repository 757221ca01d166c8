"""A leader's hand-over of its office to somebody else: to whom, and for how long it waits."""

from dataclasses import dataclass

from raftlog.core.ids import Micros, NodeId


@dataclass(frozen=True, slots=True)
class Handover:
    """The leader takes no proposals, lets the target catch up and then calls on it to stand (thesis 3.10).

    It is called again with every heartbeat, for calls may be lost, and not after `until`: then the leader leads on. A
    call that is still under way then names a heartbeat round that is over, and is not followed (`TimeoutNow`).
    """

    target: NodeId
    until: Micros
