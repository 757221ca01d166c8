"""Which nodes make a cluster, which do not, and how a start that stopped half-way goes on."""

import pytest

from raftlog.admin import GroupStatus, Member, StatusReply
from raftlog.bootstrap import CannotInitialise, plan
from raftlog.core.ids import ClusterId

NEW = ClusterId(0xAAAA)
OLD = 0xBBBB


def member(node: int) -> Member:
    return Member(id=node, name=f"n{node}", peer_address=f"h{node}:1", client_address=f"h{node}:1")


def waiting(node: int) -> StatusReply:
    me = member(node)
    return StatusReply(
        node_id=node, name=me.name, peer_address=me.peer_address, client_address=me.client_address
    )


def done(
    node: int, *, cluster: int = OLD, voters: tuple[int, ...] = (1, 2, 3), changed_at: int = 0
) -> StatusReply:
    reply = waiting(node)
    reply.cluster_id = cluster
    group = GroupStatus(group=0, voters=voters, members=map(member, voters), membership_index=changed_at)
    reply.groups.append(group)
    return reply


def restored(node: int, *, index: int = 40, snapshot: int = 0x51) -> StatusReply:
    reply = waiting(node)
    reply.restored.cluster_id = 0xDD
    group = reply.restored.groups.add(group=0)
    group.snapshot.id, group.snapshot.index, group.snapshot.term = snapshot, index, 3
    return reply


def nodes(*replies: StatusReply) -> dict[str, StatusReply]:
    return {reply.client_address: reply for reply in replies}


def test_waiting_nodes_get_one_record_with_all_of_them_sorted() -> None:
    made = plan(nodes(waiting(3), waiting(1), waiting(2)), NEW)
    assert made.cluster == NEW
    assert [voter.id for voter in made.voters] == [1, 2, 3]
    assert made.voters[0] == member(1)
    assert (made.waiting, made.done) == (("h3:1", "h1:1", "h2:1"), ())


def test_a_start_that_stopped_half_way_goes_on_with_the_same_record() -> None:
    went_on = plan(nodes(waiting(1), done(2), waiting(3)), NEW)
    assert went_on.cluster == OLD
    assert went_on.voters == (member(1), member(2), member(3))
    assert (went_on.waiting, went_on.done) == (("h1:1", "h3:1"), ("h2:1",))


def test_nodes_restored_from_one_backup_make_a_cluster() -> None:
    made = plan(nodes(restored(1), restored(2), restored(3)), NEW)
    assert (made.cluster, len(made.waiting)) == (NEW, 3)
    went_on = plan(nodes(restored(1), done(2), restored(3)), NEW)
    assert (went_on.cluster, went_on.waiting) == (OLD, ("h1:1", "h3:1"))


def test_a_complete_cluster_needs_nothing() -> None:
    assert plan(nodes(done(1), done(2), done(3)), NEW).waiting == ()
    assert plan(nodes(done(2)), NEW).waiting == ()


def test_a_cluster_that_has_grown_and_of_which_nobody_waits_needs_nothing_either() -> None:
    grown = plan(nodes(done(1, changed_at=7), done(2, changed_at=7)), NEW)
    assert (grown.cluster, grown.waiting) == (OLD, ())


@pytest.mark.parametrize(
    "found, said",
    [
        (nodes(done(1), waiting(9)), r"h1:1 belongs to cluster .*bbbb already, which does not name h9:1"),
        (
            nodes(done(1), done(2, cluster=5)),
            r"belong to different clusters already: h1:1 to .*bbbb, h2:1 to",
        ),
        (nodes(done(1, changed_at=7), waiting(2)), r"has changed its members since it began"),
        ({"a:1": waiting(1), "b:1": waiting(1)}, r"a:1 and b:1 are the same node"),
        ({"a:1": waiting(1), "b:1": StatusReply(node_id=2, name="n1")}, r"are both called 'n1'"),
        (
            nodes(restored(1), waiting(2)),
            r"h1:1 was restored from a backup of cluster 0+dd with group 0 at 40@3 .*, and h2:1 is empty: run",
        ),
        (nodes(waiting(1), restored(2)), r"h1:1 is empty, and h2:1 was restored from"),
        (nodes(restored(1), restored(2, snapshot=0x52)), r"\(0+51\), and h2:1 was restored .*\(0+52\)"),
        (nodes(StatusReply(node_id=1, cluster_id=OLD, client_address="h1:1")), r"not running yet"),
    ],
    ids=[
        "a wiped node",
        "two clusters",
        "a grown cluster",
        "one node twice",
        "one name twice",
        "one restored and one empty",
        "one empty and one restored",
        "restored from two backups",
        "still starting",
    ],
)
def test_what_does_not_make_a_cluster_is_refused_before_anything_is_written(
    found: dict[str, StatusReply], said: str
) -> None:
    with pytest.raises(CannotInitialise, match=said):
        plan(found, NEW)
