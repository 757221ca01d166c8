"""Going on after damage: the log is cut right before it, and its node counts as impaired until it has everything again.

`plan` reads a damaged log and says how to mend it, or why that must not be done; `mend` does it. The deed is one new
segment whose header says where the log breaks off (see `format`): until it has its name, a crash leaves the damage as
it was, and from then on the log is whole, shorter, and impaired. Nothing is overwritten: what is out of the log is
renamed to `*.bad`, the broken segment itself once its sound part is not needed any more.

What may be lost are acknowledged entries, and an impaired node can do without them: it neither votes nor campaigns
until a leader has vouched for what is decided, so its copies count as lost, as a dead node's do (see `raftlog.core`).
Three things it must not lose or make up:

*Term and vote.* Suppose the damaged batch was the one that recorded a vote for A in term 7, and only entries follow it.
The newest hard state that can be read says term 6. Such a node would still take entries from the leader of term 6,
acknowledge them and so help to commit them, while A leads in term 7 with a vote that nobody remembers, and without
those entries. That it does not vote itself does not help. So the log is mended only if a hard state of each group can
be read that is newer than everything that cannot be: the records of a later batch, or the standing that a later segment
opens with. If the damage lies behind the last of them the node stays out.

*The commit index.* The newest one on record may be higher than where the log is cut, but it must not be capped to the
last entry that is left. Suppose the log holds 8@1 to 10@1, the damaged batch replaced them by 8@2 to 10@2, and then 10
was committed. Capped, the commit index would declare 10@1 decided, and the node would apply it. What the log before the
cut says itself is right: entries committed there are never replaced.

*What it is not alone to know.* The only voter of a group has nobody to tell it what it has lost: it stays out.

If the damage lies before a segment that the log could begin with as well, nothing that counts is lost: the segments
before that one are set aside, and nobody is impaired.
"""

from collections.abc import Callable, Sequence

import msgspec

from raftlog.core.durable import HardState, SnapshotMeta
from raftlog.core.ids import NOTHING, GroupId, NodeId
from raftlog.core.membership import Membership, MembershipAt
from raftlog.failpoints import INERT, Failpoints
from raftlog.storage.batch import Body
from raftlog.storage.damage import Damage, LogDamaged, bad_name
from raftlog.storage.disk import SECTOR, Disk, DiskError
from raftlog.storage.format import (
    MAX_SEGMENT,
    Position,
    SegmentHeader,
    batch_length,
    padded,
    seal_batch,
    segment_name,
)
from raftlog.storage.group import GroupLog
from raftlog.storage.identity import Identity
from raftlog.storage.records import HardStateRecord, Impairment, Standing, encode_impairment, encode_standing
from raftlog.storage.recovery import Reader, check_owner, examine
from raftlog.storage.segment import Link, Points, prepare, sequences
from raftlog.storage.survey import Spot, survey


class Plan(msgspec.Struct, frozen=True):
    """How to mend a log. Either it begins later, or a new segment goes on where it breaks off."""

    damage: Damage
    aside: tuple[int, ...]
    """Segments that are then out of the log."""
    header: SegmentHeader | None = None
    """Of the new segment, its id and length not yet given; None: none is needed, nothing that counts is lost."""
    standings: tuple[Standing, ...] = ()
    reason: str = ""
    """Why every group is impaired from now on."""

    def __str__(self) -> str:
        if self.header is None:
            return f"nothing that counts is lost: {_names(self.aside)} can go"
        ends = ", ".join(f"group {each.group} would end at {each.last}" for each in self.standings)
        return f"the log can be cut before it ({ends}), and other nodes have the rest"


async def plan(disk: Disk, identity: Identity, damaged: LogDamaged) -> Plan:
    """How to mend a log that `examine` found damaged. Only reads.

    Raises:
        LogDamaged: it must not be mended; says why and what to do.
        StorageRefused: a segment is not this node's.
        DiskError: a file cannot be read.
    """
    spots, links = await survey(disk)
    for link in links:
        check_owner(link.header, link.header, identity)
    if links and await _begins_too_late(disk, links, spots):
        spots.insert(0, Spot(Position(links[0].header.sequence - 1, 0), lost=True))
    gap = next((spot for spot in spots if spot.lost), None)
    if (later := await _beginning_after(disk, identity, gap, links)) is not None:
        return Plan(damaged.damage, tuple(each for each in await sequences(disk) if each < later))
    if gap is None:
        return _harmless(damaged, spots)
    return await _cut(disk, identity, damaged, gap, spots, links)


async def mend(
    disk: Disk,
    plan: Plan,
    *,
    segment_size: int,
    entropy: Callable[[], int],
    failpoints: Failpoints = INERT,
) -> None:
    """Carry out a plan. After a crash on the way the log is as damaged as before, or mended.

    Raises:
        DiskFull: no space for the new segment.
        DiskError: the disk refused.
    """
    if plan.header is not None:
        await _go_on(disk, plan, plan.header, segment_size, entropy, failpoints)
    await set_aside(disk, plan.aside, failpoints)


async def set_aside(disk: Disk, out: Sequence[int], failpoints: Failpoints = INERT) -> None:
    """Rename segments to `*.bad`; the last one first and for good: the others then lie before a gap (see `Wal.purge`).

    Raises:
        DiskError: the disk refused; what still has its name gets the other one at the next start.
    """
    names = await disk.names()
    ours = sorted(segment_name(sequence) for sequence in out)
    for part in (ours[-1:], ours[:-1]):
        for name in part:
            if failpoints.armed:
                await failpoints.hit("quarantine.before_set_aside", DiskError)
            await disk.rename(name, bad_name(name, names))
        if part:
            if failpoints.armed:
                await failpoints.hit("quarantine.before_set_aside_sync", DiskError)
            await disk.sync_names()


# -- how to go on


async def _begins_too_late(disk: Disk, links: list[Link], spots: Sequence[Spot]) -> bool:
    """Whether the log is whole and its first segments are missing."""
    if any(spot.lost for spot in spots):
        return False
    reader = Reader(links)
    for link in links:
        if reader.stopped is None:
            content = await disk.read(link.header.name, 0, link.header.size if link.end is None else link.end)
            reader.follow(link.header, content, link.end)
    return any(log.absent is not None for log in reader.groups.values())


async def _beginning_after(
    disk: Disk, identity: Identity, gap: Spot | None, links: Sequence[Link]
) -> int | None:
    """The first segment behind the damage that the log could begin with, if all is well from there on."""
    for link in links:
        sequence = link.header.sequence
        if gap is not None and sequence > gap.start.segment:
            try:
                found = await examine(disk, identity, first=sequence)
            except LogDamaged:
                continue
            return sequence if found.first == sequence else None
    return None


def _harmless(damaged: LogDamaged, spots: Sequence[Spot]) -> Plan:
    """Only a segment that lay ready and had never been begun is unreadable: it can go."""
    unreadable = tuple(spot.start.segment for spot in spots if spot.batch is None and spot.start.offset == 0)
    if not unreadable:
        raise damaged  # whole batches that contradict each other: no disk does that
    return Plan(damaged.damage, unreadable)


async def _cut(
    disk: Disk, identity: Identity, damaged: LogDamaged, gap: Spot, spots: Sequence[Spot], links: list[Link]
) -> Plan:
    groups, end = await _before(disk, gap, links)
    hard_states = _newest_hard_states(spots)
    memberships = {group: log.membership for group, log in groups.items()} | _memberships(spots)
    if not memberships:
        raise LogDamaged(damaged.damage, "nothing that can be read says which groups there are")
    standings = []
    for group, membership in sorted(memberships.items()):
        _refuse_if_alone(damaged, identity.node, group, membership)
        if (hard_state := hard_states.get(group)) is None:
            reason = f"what cannot be read may have held the newest vote of group {group}"
            raise LogDamaged(damaged.damage, reason)
        standings.append(_standing(group, groups.get(group), hard_state, membership))
    out = await sequences(disk)
    previous = next((link.header.id for link in links if link.header.sequence == end.segment), 0)
    assert identity.cluster is not None, "a log belongs to a member of a cluster"
    return Plan(
        damage=damaged.damage,
        aside=tuple(sequence for sequence in out if sequence > end.segment),
        header=SegmentHeader(0, out[-1] + 1, previous, 0, identity.cluster, identity.node, end),
        standings=tuple(standings),
        reason=str(damaged.damage),
    )


async def _before(disk: Disk, gap: Spot, links: list[Link]) -> tuple[dict[GroupId, GroupLog], Position]:
    """The groups as they were where the log breaks off, and where that is; nothing, at 0, without a sound beginning."""
    if not links or links[0].header.sequence > gap.start.segment:
        return {}, Position(0, 0)
    reader = Reader(links)
    for link in links:
        header, until = link.header, link.end
        if header.sequence == gap.start.segment:
            until = gap.start.offset
        if header.sequence <= gap.start.segment:
            content = await disk.read(header.name, 0, header.size if until is None else until)
            reader.follow(header, content, until)
    return reader.groups, reader.end


def _standing(
    group: GroupId, log: GroupLog | None, hard_state: HardState, membership: Membership
) -> Standing:
    if (
        log is None or log.absent is not None
    ):  # what it would begin after is gone, or was recorded behind the damage
        base = SnapshotMeta(NOTHING, MembershipAt(0, membership))
        return Standing(group, HardState(hard_state.term, hard_state.vote, 0), base)
    newest = HardState(hard_state.term, hard_state.vote, log.hard_state.commit)
    return msgspec.structs.replace(log.standing(), hard_state=newest)


def _newest_hard_states(spots: Sequence[Spot]) -> dict[GroupId, HardState]:
    """By group, as far as nothing that may have held a newer one is lost."""
    found: dict[GroupId, HardState] = {}
    for spot in spots:
        if spot.lost:
            found.clear()
        for record in spot.records:
            if isinstance(record, HardStateRecord | Standing):
                found[record.group] = record.hard_state
    return found


def _memberships(spots: Sequence[Spot]) -> dict[GroupId, Membership]:
    standings = [record for spot in spots for record in spot.records if isinstance(record, Standing)]
    return {
        each.group: (each.memberships[-1] if each.memberships else each.base.membership).membership
        for each in standings
    }


def alone(node: NodeId, group: GroupId, membership: Membership) -> str | None:
    """Why this node cannot be told by others what it has lost; None when it can."""
    if any(other != node for other in (*membership.voters, *membership.outgoing)):
        return None
    return f"this node is the only voter of group {group}, and nobody else has what is lost"


def _refuse_if_alone(damaged: LogDamaged, node: NodeId, group: GroupId, membership: Membership) -> None:
    if (reason := alone(node, group, membership)) is not None:
        raise LogDamaged(damaged.damage, reason)


# -- doing it


async def _go_on(
    disk: Disk,
    plan: Plan,
    draft: SegmentHeader,
    segment_size: int,
    entropy: Callable[[], int],
    failpoints: Failpoints,
) -> None:
    body = Body()
    for standing in plan.standings:
        body.add(encode_standing(standing))
        body.add(encode_impairment(Impairment(standing.group, plan.reason)))
    needed = SECTOR + batch_length(body.length) + Points(segment_size).closing_room(len(plan.standings))
    size = max(segment_size, padded(needed))
    assert size < MAX_SEGMENT, f"a segment cannot have {size} bytes"
    header = msgspec.structs.replace(draft, id=entropy(), size=size)
    start = Position(header.sequence, SECTOR)
    batch = seal_batch(
        segment_id=header.id, offset=SECTOR, synced_to=start, count=body.count, pieces=body.pieces
    )
    await prepare(disk, header, batch, purpose="quarantine", failpoints=failpoints)


def _names(out: Sequence[int]) -> str:
    return ", ".join(map(segment_name, out)) or "nothing"
