"""A directory made by a restore: every crash on the way leaves one that says what to do, or one that is whole."""

import asyncio
from collections.abc import Iterator
from random import Random

import msgspec
import pytest

from raftlog.core.durable import HardState
from raftlog.core.entry import seal
from raftlog.core.ids import META_GROUP, ClusterId, EntryId, GroupId, NodeId
from raftlog.core.membership import MembershipAt
from raftlog.storage import DiskError, GroupWrite, Identity, LogDamaged, StorageRefused, Wal, load_or_create
from raftlog.storage.identity import RESTORING
from raftlog.storage.restored import FILE, Restored, Restoring, load_restored
from raftlog.storage.snapshots import Manifest
from raftlog.testing.disk import SimDisk
from raftlog.testing.platter import Event, Platter
from tests.backup.samples import CLUSTER, TAKEN_AT, state
from tests.storage.story import SEGMENT, Entropy, entry, membership

NEW = ClusterId(0xBEEF)
OTHER = ClusterId(0xFEED)
NODE = NodeId(0x77)
GROUPS = (META_GROUP, GroupId(7))
MEMBERS = membership(0x77, 0x78)
STATES = {group: state(group, 5 + group) for group in GROUPS}
RESTORED = Restored(
    source=CLUSTER,
    taken_at=TAKEN_AT,
    machine="Counter",
    manifests=tuple(manifest for manifest, _ in STATES.values()),
)


async def restore(disk: SimDisk) -> Identity:
    making = Restoring(disk)
    await making.begin()
    for manifest, parts in STATES.values():
        for number, part in enumerate(parts, start=1):
            await making.put(manifest, number, part)
    return await making.finish(RESTORED, NODE)


async def initialise(
    disk: SimDisk, cluster: ClusterId = NEW, restored: Restored | None = RESTORED
) -> Identity:
    identity = await load_or_create(disk, Entropy(Random(3)))
    return await Wal.bootstrap(
        disk,
        identity=identity,
        cluster_id=cluster,
        groups={META_GROUP: MEMBERS},
        restored=restored,
        segment_size=SEGMENT,
        entropy=Entropy(Random(4)).entropy,
    )


async def hold(disk: SimDisk, identity: Identity) -> None:
    """The member begins with the whole state, and with nothing else."""
    wal = await Wal.open(disk, identity=identity, segment_size=SEGMENT, entropy=Entropy(Random(5)).entropy)
    assert wal.groups() == GROUPS
    for group, (manifest, parts) in STATES.items():
        last = manifest.meta.last
        found = wal.recovered(group)
        assert found.base.last == found.snapshot == last
        assert found.base.membership == MembershipAt(0, MEMBERS)
        assert (found.last, found.runs, found.impaired) == (last.index, (), False)
        assert found.hard_state == HardState(last.term, None, last.index)
        assert found.base.log_time == manifest.meta.log_time
        (snapshot,) = wal.snapshots.all(group)
        assert (snapshot.cluster, snapshot.id, snapshot.digest) == (
            identity.cluster,
            manifest.id,
            manifest.digest,
        )
        assert [part async for part in wal.snapshots.stream(snapshot)] == parts
    await wal.close()


def after(platter: Platter, trace: list[Event], random: Random) -> Iterator[tuple[int, Platter]]:
    """What a power failure may leave after each event."""
    seen: set[int] = set()
    for events in range(len(trace) + 1):
        if events:
            platter.perform(trace[events - 1])
        for crashed in platter.crash_states(random, most=60):
            if (mark := crashed.fingerprint()) not in seen:
                seen.add(mark)
                yield events, crashed


def test_a_restored_directory_waits_and_begins_with_the_state() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        identity = await restore(disk)
        assert identity == Identity(NODE, None, "Counter")
        assert await load_or_create(disk, Entropy(Random(2))) == identity
        assert await load_restored(disk) == RESTORED
        assert not disk.platter.undecided
        member = await initialise(disk)
        assert member == Identity(NODE, NEW, "Counter")
        await hold(disk, member)
        await hold(disk.after_crash(), member)

    asyncio.run(tale())


def test_no_crash_while_restoring_leaves_a_directory_that_passes_for_an_empty_one() -> None:
    async def tale() -> None:
        made = SimDisk(Random(1))
        await restore(made)
        random, refused, whole = Random(2), 0, 0
        refusals: set[str] = set()
        for events, platter in after(Platter(), made.trace, random):
            disk = SimDisk(random, platter=platter)
            names = sorted(platter.names)
            try:
                identity = await load_or_create(disk, Entropy(Random(3)))
            except StorageRefused as refusal:
                refusals.add(str(refusal))
                refused += 1
                continue
            if not names:  # the power failed before anything was there: as if it had never been begun
                assert events <= 2, "the marker was durable and is gone"
                continue
            assert identity == Identity(NODE, None, "Counter"), f"after {events} events, with {names}"
            await hold(disk, await initialise(disk))
            whole += 1
        assert refused > 20
        (said,) = refusals
        assert "empty the directory and run `raftlog restore` again" in said
        assert whole >= 1

    asyncio.run(tale())


def test_no_crash_while_initialising_loses_the_state_or_half_of_a_cluster() -> None:
    async def tale() -> None:
        made = SimDisk(Random(1))
        await restore(made)
        start = Platter(made.platter.contents())
        made.trace.clear()
        await initialise(made)
        random, waiting, members = Random(2), 0, 0
        for _, platter in after(start, list(made.trace), random):
            disk = SimDisk(random, platter=platter)
            identity = await load_or_create(disk, Entropy(Random(3)))
            assert identity.node == NODE
            if identity.cluster is None:
                waiting += 1
                # The others of that try may never have been told: the next one is another cluster's.
                identity = await initialise(disk, OTHER)
            else:
                members += 1
                assert identity.cluster == NEW
            await hold(disk, identity)
        assert waiting > 10
        assert members > 3

    asyncio.run(tale())


def test_an_error_on_the_way_leaves_an_empty_directory() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        making = Restoring(disk)
        await making.begin()
        manifest, parts = STATES[META_GROUP]
        await making.put(manifest, 1, parts[0])
        disk.fail_once("allocate")
        with pytest.raises(DiskError):
            await making.put(manifest, 2, parts[1])
        await making.give_up()
        assert await disk.names() == []
        assert await restore(disk) == Identity(NODE, None, "Counter")

    asyncio.run(tale())


def test_a_restore_never_goes_into_a_directory_with_something_in_it() -> None:
    async def tale() -> None:
        used = SimDisk(Random(1))
        await load_or_create(used, Entropy(Random(2)))
        before = used.platter.contents()
        with pytest.raises(StorageRefused, match="is not empty"):
            await restore(used)
        assert used.platter.contents() == before

    asyncio.run(tale())


def test_the_state_never_goes_back_into_its_own_cluster() -> None:
    """S12: the indexes after the backup's are taken there, by entries that others acknowledged."""

    async def tale() -> None:
        disk = SimDisk(Random(1))
        await restore(disk)
        with pytest.raises(
            StorageRefused, match=r"a restore makes a new cluster and never goes back into the old"
        ):
            await initialise(disk, CLUSTER)
        await hold(disk, await initialise(disk))

    asyncio.run(tale())


def test_a_state_is_brought_into_a_cluster_only_by_who_knows_of_it() -> None:
    """Whoever joins a cluster that there is must not come with a state of another."""

    async def tale() -> None:
        disk = SimDisk(Random(1))
        await restore(disk)
        other = msgspec.structs.replace(RESTORED, manifests=RESTORED.manifests[:1])
        for wrong in (None, other):
            with pytest.raises(
                StorageRefused, match=r"holds a state that was restored .* empty its directory first"
            ):
                await initialise(disk, restored=wrong)
        with pytest.raises(StorageRefused, match="holds a state"):
            await initialise(SimDisk(Random(2)))
        await hold(disk, await initialise(disk))

    asyncio.run(tale())


def test_members_of_the_two_clusters_do_not_take_each_others_snapshots() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        await restore(disk)
        member = await initialise(disk)
        wal = await Wal.open(disk, identity=member, segment_size=SEGMENT, entropy=Entropy(Random(5)).entropy)
        old, _ = STATES[META_GROUP]
        later = msgspec.structs.replace(old, meta=msgspec.structs.replace(old.meta, last=EntryId(9, 900)))
        with pytest.raises(LogDamaged, match=f"a snapshot of cluster {CLUSTER:016x}"):
            wal.snapshots.receive(later)
        await wal.close()

    asyncio.run(tale())


def test_parts_that_are_gone_are_missed_before_a_cluster_is_made() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        await restore(disk)
        manifest: Manifest = STATES[GroupId(7)][0]
        await disk.remove(manifest.part_name(2))
        with pytest.raises(
            StorageRefused, match=r"0002.part of the restored state is missing or cut off: empty the"
        ):
            await initialise(disk)
        assert (await load_or_create(disk, Entropy(Random(3)))).cluster is None

    asyncio.run(tale())


@pytest.mark.parametrize(
    "spoil, error, said",
    [
        (
            lambda c: c[:8] + b"\x02" + c[9:],
            StorageRefused,
            "restored has format version 2, this program reads 1",
        ),
        (lambda c: b"X" + c[1:], LogDamaged, "does not say what was restored"),
        (lambda c: c[:40], LogDamaged, "is cut off"),
        (lambda c: c[:40] + bytes([c[40] ^ 1]) + c[41:], LogDamaged, "does not fit its checksum"),
    ],
)
def test_a_file_that_does_not_say_what_was_restored(spoil, error, said) -> None:  # type: ignore[no-untyped-def]
    async def tale() -> None:
        content = spoil(RESTORED.encode())
        disk = SimDisk(Random(1), platter=Platter({FILE: content}))
        with pytest.raises(error, match=said):
            await load_restored(disk)

    asyncio.run(tale())


def test_the_marker_alone_is_refused() -> None:
    async def tale() -> None:
        with pytest.raises(StorageRefused, match="was cut short"):
            await load_or_create(
                SimDisk(Random(1), platter=Platter({RESTORING: bytes(512)})), Entropy(Random(2))
            )

    asyncio.run(tale())


def test_the_log_goes_on_after_the_state() -> None:
    async def tale() -> None:
        disk = SimDisk(Random(1))
        await restore(disk)
        member = await initialise(disk)
        wal = await Wal.open(disk, identity=member, segment_size=SEGMENT, entropy=Entropy(Random(5)).entropy)
        last = STATES[META_GROUP][0].meta.last
        new = entry(last.index + 1, last.term + 1)
        new = seal(group=META_GROUP, at=new.id, kind=new.kind, log_time=2_000_000, payload=new.payload)
        await wal.append([GroupWrite(META_GROUP, HardState(last.term + 1, NODE, last.index), (new,))])
        disk = disk.after_crash()
        wal = await Wal.open(disk, identity=member, segment_size=SEGMENT, entropy=Entropy(Random(6)).entropy)
        assert await wal.read(META_GROUP, new.index, new.index, max_bytes=1 << 20) == (new,)
        assert wal.recovered(META_GROUP).base.last == last
        await wal.close()

    asyncio.run(tale())
