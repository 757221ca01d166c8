"""Which nodes make a cluster, which do not, and how a start that stopped half-way goes on."""

from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from raftlog.admin import GroupStatus, Member, Operator, StatusReply, Unreachable
from raftlog.bootstrap import CannotInitialise, NotReady, Plan, initialise, plan
from raftlog.core.ids import ClusterId
from raftlog.testing.loop import run

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


class Slow:
    """Stands in the place of an operator: answers the nth question with the nth of these, and then with the last."""

    def __init__(self, *answers: Mapping[str, StatusReply | Unreachable], lost: int = 0) -> None:
        self._answers = list(answers)
        self._lost = lost
        self.asked = 0
        self.written: list[tuple[str, int]] = []

    async def statuses(self, addresses: Sequence[str]) -> Mapping[str, StatusReply | Unreachable]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def initialise(self, address: str, cluster: ClusterId, voters: Sequence[Member]) -> None:
        if self._lost:
            self._lost -= 1
            raise Unreachable(address, "lost")
        self.written.append((address, cluster))


SILENT: Mapping[str, StatusReply | Unreachable] = {"h1:1": Unreachable("h1:1", "refused"), "h2:1": waiting(2)}


def initialised(operator: Slow, wait: float) -> tuple[Plan, list[str]]:
    said: list[str] = []
    made = initialise(cast(Operator, operator), ["h1:1", "h2:1"], NEW, wait=wait, on_wait=said.append)
    return run(made), said


def test_init_waits_for_nodes_that_come_up_late_and_says_so_once() -> None:
    operator = Slow(SILENT, SILENT, SILENT, nodes(waiting(1), waiting(2)))
    made, said = initialised(operator, 60)
    assert made.waiting == ("h1:1", "h2:1")
    assert operator.written == [("h1:1", NEW), ("h2:1", NEW)]
    assert len(said) == 1
    assert said[0].startswith("no node answers at h1:1: refused.")


def test_init_that_loses_a_node_on_the_way_goes_on_with_what_the_others_were_told() -> None:
    half = nodes(done(1, voters=(1, 2)), waiting(2))
    operator = Slow(nodes(waiting(1), waiting(2)), half, lost=1)
    made, said = initialised(operator, 60)
    assert (made.cluster, operator.written) == (OLD, [("h2:1", OLD)])
    assert "repeat the same command" in said[0]


def test_init_gives_up_in_time_and_at_once_where_time_mends_nothing() -> None:
    with pytest.raises(NotReady, match="no node answers at h1:1"):
        initialised(Slow(SILENT), 60)
    with pytest.raises(NotReady):
        initialised(once := Slow(SILENT), 0)
    stranger = Slow(nodes(done(1), waiting(9)))
    with pytest.raises(CannotInitialise, match="is a stranger"):
        initialised(stranger, 60)
    assert (once.asked, stranger.asked) == (1, 1)
