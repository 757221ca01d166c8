"""Whether the state that a log builds on is here: snapshots that reach beyond a log, and logs that begin after one."""

from raftlog.core.durable import SnapshotMeta
from raftlog.core.ids import NOTHING
from raftlog.core.membership import MembershipAt
from raftlog.storage.damage import WHAT_TO_DO, StorageRefused
from raftlog.storage.group import GroupLog
from raftlog.storage.snapshots import SnapshotDamaged, Snapshots


async def check_newest(log: GroupLog, snapshots: Snapshots) -> None:
    """Read the newest snapshot before anything relies on it; one that is damaged is set aside, and the next one read.

    A log that it reaches beyond would go for it, and a state machine restored from it cannot say later that it was not.
    """
    while (newest := snapshots.newest(log.group)) is not None:
        if not log.reaches(newest.meta.last) and newest.meta.last.index <= log.hard_state.commit:
            raise StorageRefused(
                f"group {log.group}: {newest} is of another log than this one, in which {log.hard_state.commit} is "
                f"committed: one of them is not this node's; {WHAT_TO_DO}"
            )
        try:
            await snapshots.verify(newest)
            return
        except SnapshotDamaged:
            await snapshots.quarantine(newest)


def uncovered(log: GroupLog, snapshots: Snapshots) -> str | None:
    """What is missing of a log that begins after a snapshot: an empty state machine over it would be wrong."""
    newest, base = snapshots.newest(log.group), log.base.last
    if base == NOTHING or (newest is not None and newest.meta.last.index >= base.index):
        return None
    return f"begins after a snapshot at {base}, and there is no such snapshot here"


def newest_state(log: GroupLog, snapshots: Snapshots) -> SnapshotMeta:
    """Of the newest snapshot or, where there is none, of the beginning, with the members known last."""
    newest = snapshots.newest(log.group)
    return newest.meta if newest is not None else SnapshotMeta(NOTHING, MembershipAt(0, log.membership))
