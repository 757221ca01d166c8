"""`raftlog log`: the files of a stopped node's log and snapshots, read without changing them, damaged ones too."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from raftlog.cli.exits import CommandFailed, Exit
from raftlog.cli.output import asides, json_option, print_json
from raftlog.core.durable import HardState
from raftlog.core.entry import Entry, EntryKind, decode_commands
from raftlog.core.membership import Membership, decode_membership
from raftlog.storage import Disk, LocalDisk
from raftlog.storage.damage import WHAT_TO_DO
from raftlog.storage.format import BatchHeader, segment_sequence
from raftlog.storage.identity import CUT_SHORT, RESTORING
from raftlog.storage.identity import FILE as IDENTITY
from raftlog.storage.inspect import (
    BatchRow,
    Report,
    Row,
    SegmentRow,
    SnapshotRow,
    UnreadableRow,
    dump,
    verify,
)
from raftlog.storage.records import (
    Close,
    EntryRecord,
    FenceRecord,
    HardStateRecord,
    Impairment,
    Mark,
    Record,
    SparseIndex,
    Standing,
    Truncation,
)
from raftlog.storage.snapshots import Manifest

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group("log")
def command() -> None:
    """Read the files of a stopped node's log; nothing is changed."""


@command.command("verify")
@click.argument("directory", metavar="DIR", type=_DIRECTORY)
@json_option
def verify_command(directory: Path, as_json: bool) -> None:
    """Read the whole log in DIR and every snapshot; say what cannot be read, and how a start would go on.

    Exit code 0: sound (a torn tail, which no sync covered, is cut at the next start and no fault); 5: damaged.
    """
    report = asyncio.run(_verify(directory))
    if as_json:
        print_json(_report_value(report))
    else:
        for line in _report_lines(directory, report):
            click.echo(line)
    if not report.sound:
        raise CommandFailed(
            f"the log in {directory} is damaged ({len(report.problems)} found): {WHAT_TO_DO}",
            Exit.DAMAGED,
        )


@command.command("dump")
@click.argument("directory", metavar="DIR", type=_DIRECTORY)
@click.option("--payloads", is_flag=True, help="Show the commands of each entry.")
@json_option
def dump_command(directory: Path, payloads: bool, as_json: bool) -> None:
    """Print every record in DIR in the order of the files; with --json, one document per line.

    Exit code 5: some bytes cannot be read; all others are printed.
    """
    unreadable = asyncio.run(_dump(directory, payloads=payloads, as_json=as_json))
    if unreadable:
        raise CommandFailed(
            f"{unreadable} stretches of the log in {directory} cannot be read: `raftlog log verify {directory}` "
            "tells whether that is a torn tail or damage",
            Exit.DAMAGED,
        )


async def _verify(directory: Path) -> Report:
    async with _opened(directory, passes=3, label="verifying") as disk:
        return await verify(disk)


async def _dump(directory: Path, *, payloads: bool, as_json: bool) -> int:
    unreadable = 0
    async with _opened(directory, passes=1, label="reading") as disk:
        async for row in dump(disk):
            unreadable += isinstance(row, UnreadableRow)
            for value, line in _lines(row, payloads=payloads):
                if as_json:
                    print_json(value)
                else:
                    click.echo(line)
    return unreadable


class _Watched(LocalDisk):
    """A directory opened for reading that tells how much of it was read."""

    def __init__(self, directory: Path, on_read: Callable[[int], object]) -> None:
        super().__init__(directory, read_only=True)
        self._on_read = on_read

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """See `Disk.read`."""
        found = await super().read(name, offset, length)
        self._on_read(len(found))
        return found


@asynccontextmanager
async def _opened(directory: Path, *, passes: int, label: str) -> AsyncIterator[Disk]:
    """The directory's disk, and a progress bar for people while it is read about `passes` times."""
    console = asides()
    bar = Progress(
        TextColumn(label),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task(label, total=None)
    disk = _Watched(directory, lambda length: bar.advance(task, length))
    try:
        names = await disk.names()
        segments = [name for name in names if segment_sequence(name) is not None]
        if RESTORING in names:
            raise CommandFailed(f"{directory}: {CUT_SHORT}")
        if not segments and IDENTITY not in names:
            raise CommandFailed(
                f"{directory} is no data directory of a node: it holds no log and no identity"
            )
        bar.update(task, total=passes * sum([await disk.size(name) for name in segments]))
        with bar:
            yield disk
    finally:
        await disk.close()


# -- verify, shown


def _report_lines(directory: Path, report: Report) -> Iterator[str]:
    if report.identity is None:
        yield f"{directory} has no identity"
    elif report.identity.cluster is None:
        yield f"node {report.identity.node:016x} waits to be initialised"
    else:
        machine = f", machine {report.identity.machine}" if report.identity.machine else ""
        yield f"node {report.identity.node:016x} of cluster {report.identity.cluster:016x}{machine}"
    yield f"{report.segments} segments" + (f", ending at {report.end}" if report.end else "")
    for group in report.groups:
        vote = f"{group.vote:016x}" if group.vote else "nobody"
        yield (
            f"group {group.group}: entries {group.first} to {group.last}, committed to {group.commit} at least, "
            f"term {group.term}, vote for {vote}"
        )
        if group.impairment:
            yield f"group {group.group} is IMPAIRED until other nodes have told it the rest: {group.impairment}"
        if group.fenced:
            yield f"group {group.group} is FENCED until it has the state of a peer: {group.fenced}"
    for snapshot in report.snapshots:
        yield (
            f"snapshot of group {snapshot.group} at {snapshot.at}: {snapshot.bytes} bytes in {snapshot.parts} parts"
            + ("" if snapshot.problem else ", whole")
        )
    for name in report.aside:
        yield f"set aside by an earlier start, for you to look at and remove: {name}"
    for torn in report.torn:
        yield f"torn tail, cut at the next start: {torn}"
    for problem in report.problems:
        yield f"DAMAGED: {problem}"
    if report.way:
        yield f"how to go on: {report.way}"
    if report.sound:
        yield "sound"


def _report_value(report: Report) -> dict[str, object]:
    identity = report.identity
    return {
        "sound": report.sound,
        "node": f"{identity.node:016x}" if identity else None,
        "cluster": f"{identity.cluster:016x}" if identity and identity.cluster else None,
        "machine": (identity.machine or None) if identity else None,
        "segments": report.segments,
        "end": str(report.end) if report.end else None,
        "groups": [
            {
                "group": group.group,
                "term": group.term,
                "vote": f"{group.vote:016x}" if group.vote else None,
                "commit": group.commit,
                "first": group.first,
                "last": group.last,
                "base": str(group.base),
                "impairment": group.impairment,
                "fenced": group.fenced,
            }
            for group in report.groups
        ],
        "snapshots": [
            {
                "file": snapshot.file,
                "group": snapshot.group,
                "at": str(snapshot.at),
                "bytes": snapshot.bytes,
                "parts": snapshot.parts,
                "problem": snapshot.problem,
            }
            for snapshot in report.snapshots
        ],
        "aside": list(report.aside),
        "way": report.way,
        "torn": [str(torn) for torn in report.torn],
        "problems": list(report.problems),
    }


# -- dump, shown


def _lines(row: Row, *, payloads: bool) -> Iterator[tuple[dict[str, object], str]]:
    """Each record of a row, as a value for scripts and as a line for people."""
    match row:
        case SegmentRow():
            head = row.header
            yield (
                {
                    "kind": "segment",
                    "file": row.file,
                    "id": f"{head.id:016x}",
                    "node": f"{head.node:016x}",
                    "cluster": f"{head.cluster:016x}",
                    "size": head.size,
                },
                f"{row.file}  segment {head.id:016x}, {head.size} bytes, node {head.node:016x} of {head.cluster:016x}"
                + (f", goes on where {head.mends} breaks off" if head.mends else ""),
            )
        case BatchRow():
            yield _batch_line(row.file, row.batch)
            for record in row.records:
                fields = _fields(record, payloads=payloads)
                words = "  ".join(f"{key} {value}" for key, value in fields.items() if key != "kind")
                yield {"file": row.file, **fields}, f"    {fields['kind']:<11} {words}"
        case SnapshotRow():
            yield _snapshot_line(row.file, row.manifest)
        case UnreadableRow():
            yield (
                {
                    "kind": "unreadable",
                    "file": row.file,
                    "offset": row.offset,
                    "length": row.length,
                    "reason": row.reason,
                },
                f"  {row.file} @{row.offset:<10} UNREADABLE {row.length} bytes: {row.reason}",
            )


def _batch_line(file: str, batch: BatchHeader) -> tuple[dict[str, object], str]:
    value: dict[str, object] = {
        "kind": "batch",
        "file": file,
        "offset": batch.offset,
        "length": batch.length,
        "records": batch.count,
        "synced_to": str(batch.synced_to),
    }
    return (
        value,
        f"  @{batch.offset:<10} batch of {batch.count} records, {batch.length} bytes, synced to {batch.synced_to}",
    )


def _snapshot_line(file: str, manifest: Manifest) -> tuple[dict[str, object], str]:
    value: dict[str, object] = {
        "kind": "snapshot",
        "file": file,
        "id": str(manifest.id),
        "group": manifest.group,
        "at": str(manifest.meta.last),
        "time": manifest.meta.log_time,
        "digest": f"{manifest.digest:016x}",
        "bytes": manifest.size,
        "parts": len(manifest.parts),
        "voters": _voters(manifest.meta.membership.membership),
    }
    words = "  ".join(f"{key} {value[key]}" for key in ("group", "at", "bytes", "parts", "digest", "voters"))
    return value, f"{file}  snapshot {manifest.id}  {words}"


def _fields(record: Record, *, payloads: bool) -> dict[str, object]:
    match record:
        case EntryRecord():
            return _entry_fields(record.entry, payloads=payloads)
        case HardStateRecord():
            return {"kind": "hard state", "group": record.group, **_hard_state(record.hard_state)}
        case Standing():
            return {
                "kind": "standing",
                "group": record.group,
                **_hard_state(record.hard_state),
                "base": str(record.base.last),
                "last": str(record.last),
                "voters": _voters(record.base.membership.membership),
            }
        case Truncation():
            return {"kind": "truncation", "group": record.group, "base": str(record.base.last)}
        case Impairment():
            fields: dict[str, object] = {
                "kind": "impairment",
                "group": record.group,
                "reason": record.reason or "healed",
            }
            return fields if record.base is None else {**fields, "base": str(record.base.last)}
        case FenceRecord():
            return {"kind": "fence", "group": record.group, "reason": record.reason or "let out"}
        case SparseIndex():
            return {"kind": "index", "group": record.group, "points": len(record.points)}
        case Mark():
            return {"kind": "mark"}
        case Close():
            return {"kind": "close"}


def _entry_fields(entry: Entry, *, payloads: bool) -> dict[str, object]:
    fields: dict[str, object] = {
        "kind": "entry",
        "group": entry.group,
        "id": str(entry.id),
        "of": entry.kind.name.lower().replace("_", "-"),
        "time": entry.log_time,
        "bytes": len(entry.payload),
    }
    if not entry.intact():
        fields["checksum"] = "WRONG"
    try:
        if entry.kind is EntryKind.COMMANDS:
            commands = decode_commands(entry.payload)
            fields["commands"] = len(commands)
            if payloads:
                fields["bodies"] = [
                    f"{command.client_id:x}/{command.sequence} {command.body!r}" for command in commands
                ]
        elif entry.kind is EntryKind.MEMBERSHIP:
            fields["voters"] = _voters(decode_membership(entry.payload))
    except ValueError as error:
        fields["payload"] = f"UNREADABLE: {error}"
    return fields


def _hard_state(state: HardState) -> dict[str, object]:
    return {
        "term": state.term,
        "vote": f"{state.vote:016x}" if state.vote else "none",
        "commit": state.commit,
    }


def _voters(membership: Membership) -> Sequence[str]:
    return [
        f"{member.name} {member.id:016x}" for member in membership.members if membership.may_vote(member.id)
    ]
