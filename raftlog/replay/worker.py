"""The other process: builds the state anew from snapshot and log, and writes it as the parts of the next snapshot."""

import asyncio
import gc
import os
import queue
import signal
import threading
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import xxhash

from raftlog.core.entry import Entry
from raftlog.machine.applier import Applier
from raftlog.machine.contract import ApplyStopped
from raftlog.machine.snapshot import SnapshotRefused
from raftlog.replay.job import Job, Outcome, encode, read
from raftlog.replay.machine import load
from raftlog.storage.disk import DiskError
from raftlog.storage.format import segment_name
from raftlog.storage.group import Stretch
from raftlog.storage.local import LocalDisk
from raftlog.storage.records import decode_entry
from raftlog.storage.snapshots import Manifest
from raftlog.storage.snapshots.writing import Writer

NICE = 5
"""Below the nodes: about a quarter of a processor that others want too. Lower, and a busy machine would starve it while
the log grows."""
_SPAN = 4 << 20
"""Bytes of a segment that are read at a time."""
_COLLECT_AFTER = (100_000, 50, 1000)


class Unusable(Exception):
    """What it was told to replay is not there, or not what was written."""


def main() -> None:
    """Do the one job that comes on standard input, and answer on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from the terminal, it is meant for the node
    gc.set_threshold(*_COLLECT_AFTER)
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _silence()
    job = read(asked, Job)
    if job is None:
        return
    _give_way(job)
    outcome = _do(job, _arriving(asked, job.stretches))
    answers.write(encode(outcome))
    answers.flush()
    os._exit(0)  # nothing here is worth the time of tidying up


def _give_way(job: Job) -> None:
    """To the nodes for processors, and be the first to go when the memory of this computer runs out."""
    os.nice(0 if job.urgent else NICE)
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/oom_score_adj").write_text("1000")


def _silence() -> None:
    """What the machine prints has been printed by the node."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)


def _arriving(asked: BinaryIO, count: int) -> Iterator[Stretch]:
    """What the node sends. When the pipe ends, so does this process, whatever it is doing."""
    come: queue.SimpleQueue[Stretch] = queue.SimpleQueue()

    def listen() -> None:
        while (stretch := read(asked, Stretch)) is not None:
            come.put(stretch)
        os._exit(1)

    threading.Thread(target=listen, name="node", daemon=True).start()
    for _ in range(count):
        yield come.get()


def _do(job: Job, stretches: Iterator[Stretch]) -> Outcome:
    try:
        return Outcome(made=replay(job, stretches))
    except (Unusable, SnapshotRefused, ApplyStopped, DiskError, OSError) as problem:
        return Outcome(failed=str(problem))
    except Exception as error:  # noqa: BLE001 - a stranger's machine, imported anew
        return Outcome(failed=f"{type(error).__name__}: {error}")


def replay(job: Job, stretches: Iterator[Stretch]) -> Manifest:
    """Do the job; the manifest that would make a snapshot of what was written.

    Raises:
        Unusable, SnapshotRefused, ApplyStopped, DiskError: as they say.
    """
    directory = Path(job.directory)
    applier = Applier(load(job.machine), group=job.group)
    if job.begins_with is not None:
        applier.restore(_stream(directory, job.begins_with))
        gc.freeze()
    for stretch in stretches:
        for entry in _entries(directory, job, stretch):
            applier.apply(entry)
    if (applier.applied, applier.log_time) != (job.meta.last, job.meta.log_time):
        raise Unusable(f"the entries end with {applier.applied} where {job.meta.last} was to come")
    return asyncio.run(_write(job, applier, directory))


def _stream(directory: Path, manifest: Manifest) -> Iterator[bytes]:
    for part, name in zip(manifest.parts, manifest.part_names, strict=True):
        content = (directory / name).read_bytes()
        if len(content) != part.length or xxhash.xxh3_64_intdigest(content) != part.checksum:
            raise Unusable(f"{name} of {manifest} does not fit its checksum")
        yield content


def _entries(directory: Path, job: Job, stretch: Stretch) -> Iterator[Entry]:
    """The entries of a stretch, each checked against its own checksum and place."""
    offsets, lengths = array("I", stretch.offsets), array("I", stretch.lengths)
    name = segment_name(stretch.segment)
    with open(directory / name, "rb", buffering=0) as file:
        start, content = 0, b""
        for n, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
            if offset + length > start + len(content) or offset < start:
                start = offset
                content = os.pread(file.fileno(), max(_SPAN, length), start)
            yield _checked(content, offset - start, job, stretch.first + n, f"{name} at byte {offset}")


def _checked(content: bytes, at: int, job: Job, index: int, place: str) -> Entry:
    try:
        entry = decode_entry(content, at)
    except ValueError as error:
        raise Unusable(f"{place}: {error}") from error
    if (entry.group, entry.index) != (job.group, index) or not entry.intact():
        raise Unusable(f"{place}: not entry {index} of group {job.group} as it was written")
    return entry


async def _write(job: Job, applier: Applier, directory: Path) -> Manifest:
    disk = LocalDisk(directory, beside_owner=True)
    writer = Writer(
        disk,
        lambda manifest: None,
        id=job.id,
        cluster=job.cluster,
        group=job.group,
        meta=job.meta,
        part_size=job.part_size,
    )
    try:
        for piece in applier.write(applier.capture()):
            await writer.write(piece)
        return await writer.finish(applier.digest)
    finally:
        await disk.close()
