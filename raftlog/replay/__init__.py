"""Compaction by replay: another process makes the snapshot, from the last one and the log, so that the node need not.

It restores the newest snapshot, reads the entries after it from the segments, applies them, and writes the parts of the
next one. The node, meanwhile, goes on; all it does is to seal the parts with a manifest once they are there, and only
if the running digest of the other process is its own at that entry. So each snapshot also proves that the log and the
last snapshot lead to the state that this node answers from: a machine that depends on the order of hashes (the other
process has another PYTHONHASHSEED) or a bit that flipped in memory shows itself, unless no result ever told of it.

`job` is what the two say to each other, `machine` how a machine is named between them, `process` the node's side,
`worker` the other's.
"""

from raftlog.replay.job import Job, Outcome
from raftlog.replay.machine import MachineSpec, spec_of
from raftlog.replay.process import Processes, ReplayFailed, Replays

__all__ = ["Job", "MachineSpec", "Outcome", "Processes", "ReplayFailed", "Replays", "spec_of"]
