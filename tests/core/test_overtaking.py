"""Term and vote that are durable ahead of the entries handed over before them."""

from random import Random

from jepsen_like.sim.notation import entry, membership
from raftlog.core.durable import HardState, fresh
from raftlog.core.ids import NOTHING, EntryId, GroupId, NodeId
from raftlog.core.message import AppendRequest, VoteRequest
from raftlog.core.raft import Raft
from raftlog.core.settings import Settings

GROUP = GroupId(1)
ME, LEADER, OTHER = NodeId(1), NodeId(2), NodeId(3)


def test_a_late_completion_of_an_earlier_term_takes_nothing_back() -> None:
    """It once made the node speak in a term that it took for durable, or wait for a sync that nobody owed it."""
    raft = Raft(
        node=ME,
        group=GROUP,
        recovered=fresh(membership(["voters=n1..n3"])),
        settings=Settings(),
        random=Random(1),
        now=0,
    )
    raft.step(
        AppendRequest(
            group=GROUP, to=ME, sender=LEADER, term=1, prev=NOTHING, entries=(entry("1@1", GROUP),), commit=0
        ),
        0,
    )
    waits = raft.ready()
    later = 3_000_000
    raft.step(VoteRequest(group=GROUP, to=ME, sender=OTHER, term=2, last=EntryId(1, 1)), later)
    votes = raft.ready()
    assert votes.hard_state == HardState(2, OTHER, 0)
    assert raft._state.synced.term == 0
    raft.hard_state_done(votes.hard_state, later)
    assert raft._state.vote_is_durable
    assert raft.status().durable == 0, "its entry still waits for space"
    raft.storage_done(waits.hard_state, EntryId(1, 1), later)
    assert raft._state.vote_is_durable, "the earlier write's term counts as the newest on disk"
    assert raft.status().durable == 1
    raft.storage_done(votes.hard_state, None, later)
    assert raft._state.vote_is_durable
