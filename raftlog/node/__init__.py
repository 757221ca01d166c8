"""The driver: performs what the cores ask, on the disk, the network and the state machines, in order.

A command's way through it: `Node.submit` queues it; `Replica.pump` gathers the queue into an entry and proposes it; the
`Ready` that follows goes to the transport and to `Writer`, which syncs many Readies at once; when a majority has done
so, `Ready.apply` names the entry, `Applying` runs it, and `Proposals` hands each result to who waits for it.
"""

from raftlog.node.limits import Limits
from raftlog.node.node import Node

__all__ = ["Limits", "Node"]
