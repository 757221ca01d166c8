"""The effects that pile up between two `Ready`s."""

from dataclasses import dataclass, field

from raftlog.core.durable import SnapshotMeta
from raftlog.core.message import Message
from raftlog.core.ready import Event, Fetch, Load, Read


@dataclass(slots=True)
class Outbox:
    """What the next `Ready` will carry, beside the writes that the state itself knows of."""

    messages: list[Message] = field(default_factory=list)
    after_sync: list[Message] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    install: SnapshotMeta | None = None
    fetch: Fetch | None = None
    healed: bool = False
    fenced: str | None = None
    snapshot_wanted: bool = False

    def __bool__(self) -> bool:
        said = self.messages or self.after_sync or self.loads or self.reads or self.events
        marks = self.healed or self.fenced is not None or self.snapshot_wanted
        return bool(said or marks or self.install or self.fetch)
