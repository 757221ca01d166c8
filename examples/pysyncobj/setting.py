"""What a node process is started with."""

from jepsen_like.cluster.orders import Setting


class NodeSetting(Setting, frozen=True, kw_only=True):
    """`listen` is where clients ask; nodes reach each other elsewhere."""

    raft: str
    """Where this node listens to the others."""
    peers: tuple[str, ...]
    """Where the others listen; `routes` says what to dial in place of each."""
