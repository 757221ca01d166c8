"""The failpoints there are: their names, where each lies, and what an error means there."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

DISK = "the disk fails"
FULL = "the disk is full"
DEFECT = "the node stops, as after a defect"


class Failpoint(msgspec.Struct, frozen=True):
    """One place in the code."""

    name: str
    """Part of the program first, then the moment: `wal.append.before_sync`."""
    where: str
    """What has been done there and what has not, in one sentence."""
    error: str = DISK
    """What the action `error` is there."""
    waits: bool = True
    """A delay holds up what awaits this step only. Otherwise it holds up the whole process: nothing runs meanwhile."""


def _identity() -> Iterator[Failpoint]:
    yield Failpoint("identity.before_write", "The identity file is to be written anew; the old one stands.")
    yield Failpoint("identity.before_rename", "The new identity is synced under its provisional name.")
    yield Failpoint(
        "identity.before_names_sync", "The new identity has its name, which a power failure may undo."
    )
    yield Failpoint(
        "identity.after_names_sync", "The new identity is durable; who asked for it does not know."
    )
    yield Failpoint(
        "leftovers.before_remove", "A file that an earlier crash left half-made is to be removed."
    )
    yield Failpoint(
        "leftovers.before_names_sync",
        "Such files are gone, and names that are visible may not be durable yet.",
    )


def _bootstrap() -> Iterator[Failpoint]:
    yield Failpoint(
        "bootstrap.before_allocate", "A waiting node was told its cluster; nothing is written.", FULL
    )
    yield Failpoint("bootstrap.before_write", "The first segment has its space and no content.")
    yield Failpoint("bootstrap.before_rename", "The first segment is synced under its provisional name.")
    yield Failpoint(
        "bootstrap.before_names_sync", "The first segment has its name, which a power failure may undo."
    )
    yield Failpoint(
        "bootstrap.before_identity", "The log is there, and the identity still says that it waits."
    )
    yield Failpoint("bootstrap.before_answer", "The node is a member for good, and nobody was told.")


def _ahead() -> Iterator[Failpoint]:
    yield Failpoint("ahead.before_allocate", "The next segment is to be made, beside the log's work.", FULL)
    yield Failpoint("ahead.before_write", "The next segment has its space and no header.")
    yield Failpoint("ahead.before_rename", "The next segment is synced under its provisional name.")
    yield Failpoint(
        "ahead.before_names_sync", "The next segment has its name, which a power failure may undo."
    )
    yield Failpoint("ahead.before_ready", "The next segment is durable, and the log does not know of it.")


def _recovery() -> Iterator[Failpoint]:
    yield Failpoint("recovery.before_read", "A start is about to read the log.")
    yield Failpoint(
        "recovery.before_rewrite", "The log's end is known, and it is not yet made durable as found."
    )
    yield Failpoint(
        "recovery.before_zeros",
        "A torn write in a later segment is to be overwritten; the log's end is durable.",
    )
    yield Failpoint("recovery.before_answer", "The log is recovered, and the node has not started from it.")


def _wal() -> Iterator[Failpoint]:
    batches = {
        "append": "Entries or a hard state, within a segment",
        "truncate": "The record that lets the log begin later, with entries or not, within a segment",
        "seal": "A full segment's closing batch",
        "roll": "A new segment's opening batch, which carries the append that did not fit",
        "mark": "The mark that covers a quiet log's last batch",
    }
    for batch, what in batches.items():
        yield Failpoint(f"wal.{batch}.before_write", f"{what}: to be written.")
        yield Failpoint(
            f"wal.{batch}.before_sync",
            f"{what}: written, not synced. Reached only while a rule names it: else both are one step.",
        )
        yield Failpoint(f"wal.{batch}.after_sync", f"{what}: durable, and the log does not know it.")
    yield Failpoint(
        "wal.roll.before_segment", "An append does not fit, and a further segment is needed.", FULL
    )
    yield Failpoint("wal.read.before_read", "Entries are to be read from disk, to be sent or applied.")
    yield Failpoint("wal.read.before_answer", "Entries were read and checked; who asked has not got them.")
    yield Failpoint("purge.before_remove", "A segment is to be removed that nobody needs any more.")
    yield Failpoint("purge.before_names_sync", "Segments are removed, which a power failure may undo.")
    yield Failpoint("wal.shutdown.before_mark", "The log is being closed in good order and not yet marked.")
    yield Failpoint("wal.shutdown.after_mark", "The log is closed and marked, and the process has not ended.")


def _quarantine() -> Iterator[Failpoint]:
    yield Failpoint(
        "quarantine.before_allocate",
        "A start has found damage and a way to go on; nothing is changed.",
        FULL,
    )
    yield Failpoint("quarantine.before_write", "The segment that mends the log has its space and no content.")
    yield Failpoint("quarantine.before_rename", "The mending segment is synced under its provisional name.")
    yield Failpoint(
        "quarantine.before_names_sync", "The mending segment has its name, which a power failure may undo."
    )
    yield Failpoint("quarantine.before_set_aside", "A segment is out of the log and still has its name.")
    yield Failpoint(
        "quarantine.before_set_aside_sync",
        "Segments out of the log are called *.bad, which a power failure may undo.",
    )


def _snapshots() -> Iterator[Failpoint]:
    yield Failpoint(
        "snapshot.part.before_allocate", "A part of a snapshot, written or received, has no space yet.", FULL
    )
    yield Failpoint("snapshot.part.before_write", "A part has its space and no content.")
    yield Failpoint(
        "snapshot.part.after_sync", "A part is synced; its name is not, and no manifest names it."
    )
    yield Failpoint("snapshot.before_parts_sync", "Every part is synced, and not all of their names are.")
    yield Failpoint("snapshot.before_allocate", "Every part is durable, and there is no manifest.", FULL)
    yield Failpoint("snapshot.before_write", "The manifest has its space and no content.")
    yield Failpoint("snapshot.before_rename", "The manifest is synced under its provisional name.")
    yield Failpoint(
        "snapshot.before_names_sync", "The manifest has its name, which a power failure may undo."
    )
    yield Failpoint("snapshot.after_names_sync", "The snapshot is durable, and nobody knows of it.")
    yield Failpoint(
        "snapshot.drop.before_manifest", "A snapshot is to be removed, an old one or a half-made one."
    )
    yield Failpoint("snapshot.drop.before_parts", "Its manifest is gone for good, and its parts are there.")
    yield Failpoint("snapshot.leftovers.before_remove", "A start has found parts that no manifest names.")
    yield Failpoint("snapshot.quarantine.before_rename", "A file of a damaged snapshot is to be set aside.")
    yield Failpoint(
        "snapshot.quarantine.before_names_sync",
        "A damaged snapshot is set aside, which a power failure may undo.",
    )


def _writer() -> Iterator[Failpoint]:
    yield Failpoint(
        "writer.before_append", "What gathered is taken for one write, and the log does not have it."
    )
    yield Failpoint("writer.after_append", "It is durable; no message leaves and no core is told yet.")
    yield Failpoint("writer.before_retry", "The disk is full, and the node looks for space again.")
    yield Failpoint(
        "writer.before_deliver",
        "Between two inputs of the core, before it is told what is durable.",
        DEFECT,
        False,
    )
    yield Failpoint(
        "replica.before_acknowledge",
        "Votes or acknowledgements may go, their sync is done, none has left.",
        DEFECT,
        False,
    )
    yield Failpoint(
        "replica.before_storage_done",
        "Acknowledgements have left; the node's own core is not told of its sync.",
        DEFECT,
        False,
    )


def _replica() -> Iterator[Failpoint]:
    lost = "these messages are lost, as a network may lose them"
    yield Failpoint(
        "replica.before_step", "Messages of other nodes are here, and the core has seen none.", lost, False
    )
    yield Failpoint(
        "replica.before_propose",
        "A leader is about to make an entry of commands.",
        "they are refused as busy",
        False,
    )
    yield Failpoint(
        "replica.after_propose", "The entry is in the core's log; nothing is sent or written.", DEFECT, False
    )
    yield Failpoint(
        "replica.before_perform", "The core has decided; nothing of it is sent or written.", DEFECT, False
    )
    yield Failpoint(
        "replica.before_submit",
        "What may go before the sync has left; the write is not queued.",
        DEFECT,
        False,
    )
    yield Failpoint("loads.before_read", "Entries for a follower that is behind are to be read.")
    yield Failpoint("loads.before_answer", "They were read, and the core has not got them.")


def _applying() -> Iterator[Failpoint]:
    stops = "applying stops on this node, which tries again from the start of the log"
    yield Failpoint("applying.before_read", "Committed entries are to be read from disk to be applied.")
    yield Failpoint("applying.before_feed", "They were read, and the machine has not got them.")
    yield Failpoint("applying.before_entry", "A committed entry is about to be applied.", stops, False)
    yield Failpoint(
        "applying.before_report", "An entry was applied, and the core does not know.", DEFECT, False
    )
    yield Failpoint(
        "applying.before_answer",
        "An entry was applied; its callers wait for the answers.",
        "they hear that it is unknown",
        False,
    )
    yield Failpoint(
        "applying.before_rebuild", "A machine that had stopped is to be built anew.", DEFECT, False
    )


def _reads() -> Iterator[Failpoint]:
    refused = "they are refused"
    yield Failpoint("reads.before_ask", "Linearizable reads are about to ask for an index.", DEFECT, False)
    yield Failpoint(
        "reads.before_release", "The leader vouched for an index; its reads do not know.", refused, False
    )
    yield Failpoint(
        "reads.before_answer", "An index that reads wait for may have been applied.", DEFECT, False
    )


def _forwards() -> Iterator[Failpoint]:
    dropped = "it is lost, as a network may lose it"
    yield Failpoint(
        "forwards.before_send",
        "Commands are about to be passed to the leader.",
        "the leader cannot be reached",
        False,
    )
    yield Failpoint("forwards.after_send", "They are on their way, and nobody has noted it.", DEFECT, False)
    yield Failpoint(
        "forwards.before_take", "A forward has come, and the node has not looked at it.", dropped, False
    )
    yield Failpoint(
        "forwards.before_reply", "The outcome of a forward is known and not sent.", dropped, False
    )
    yield Failpoint(
        "forwards.before_answer", "The leader's answers have come, and the callers wait.", dropped, False
    )


def _node() -> Iterator[Failpoint]:
    yield Failpoint(
        "node.before_first_pump", "The log is recovered; the node has said and heard nothing.", DEFECT
    )
    yield Failpoint(
        "node.before_receive",
        "A frame has come from another node.",
        "it is lost, as a network may lose it",
        False,
    )
    yield Failpoint(
        "node.before_send",
        "A frame is to be handed to the network.",
        "it is dropped, as from a full queue",
        False,
    )
    yield Failpoint("node.before_drain", "A node is told to stop; calls are under way.", DEFECT)
    yield Failpoint(
        "node.before_log_close", "A stopping node has written all it will; the log is open.", DEFECT
    )


def _all() -> Iterator[Failpoint]:
    for part in (
        _identity, _bootstrap, _ahead, _recovery, _quarantine, _wal, _snapshots, _writer, _replica, _applying,
        _reads, _forwards, _node,
    ):  # fmt: skip
        yield from part()


ALL: Final[Mapping[str, Failpoint]] = MappingProxyType({point.name: point for point in _all()})
"""Every failpoint by name, in the order of the table in docs/failpoints.md."""
