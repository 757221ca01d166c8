"""The caps, in bytes, of everything a node holds in memory beside the state machine itself."""

import msgspec

from raftlog.core.settings import Settings


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a node may hold; the sum is what it needs at the worst beyond its machines (see `total`).

    Invariants: limits nest: `command <= entry_target` or one command makes an entry of its own; an entry is smaller
    than a log segment and than a message between nodes.
    """

    command: int = 1024 * 1024
    """Bytes of one command's body; larger ones are refused before they are proposed."""
    entry_target: int = 256 * 1024
    """Commands are gathered into one entry up to this; a single larger command is an entry of its own."""
    queue: int = 8 * 1024 * 1024
    """Commands accepted and not yet in an entry or forwarded; beyond it the answer is busy."""
    forwarded: int = 8 * 1024 * 1024
    """Commands forwarded and not yet answered."""
    inbox: int = 8 * 1024 * 1024
    """Frames received and not yet stepped, per lane; beyond it frames are dropped, as a network may."""
    write: int = 4 * 1024 * 1024
    """Entries merged into one write; one entry may be larger."""
    apply: int = 1024 * 1024
    """Entries read from disk at a time to be applied."""
    reads: int = 65_536
    """Reads waiting for their index; each takes about 200 bytes."""

    def total(self, settings: Settings, *, peers: int) -> int:
        """The most that one group's queues and windows can hold, in bytes; gRPC's own buffers and the machine excluded.

        Undecided entries count once: the log's window, the write queue and the waiting calls share their bytes.
        """
        log = settings.max_recent + settings.max_undecided
        loads = self.apply + peers * settings.max_append
        return log + self.queue + self.forwarded + 2 * self.inbox + self.write + loads + 200 * self.reads
