"""Elections beyond what a script can tell: timers over many rounds, split votes with real latencies, own votes."""

from random import Random

import pytest

from jepsen_like.sim.core.cluster import Cluster
from jepsen_like.sim.notation import membership
from raftlog.core.durable import fresh
from raftlog.core.ids import EntryId, GroupId, Micros, NodeId
from raftlog.core.membership import Membership
from raftlog.core.message import PreVoteResponse, VoteRequest, VoteResponse
from raftlog.core.raft import Raft
from raftlog.core.settings import Settings
from raftlog.core.state import State

SETTINGS = Settings()
LATENCY: Micros = 20_000


def _state(seed: int, members: Membership) -> State:
    return State(
        node=NodeId(1),
        group=GroupId(1),
        recovered=fresh(members),
        settings=SETTINGS,
        random=Random(seed),
        now=0,
    )


def test_timers_stay_apart() -> None:
    """Twenty nodes hear one leader in the same moment, 200 times: what they would wait stays spread (E23)."""
    states = [_state(seed, membership(["voters=n1..n3"])) for seed in range(20)]
    random, timeout = Random(5), SETTINGS.election_timeout
    now = 0
    for number in range(200):
        now += SETTINGS.heartbeat + random.randrange(1_000)
        waits: list[Micros] = []
        for state in states:
            state.now, state.votes_refused_until = now, now + SETTINGS.vote_span
            waits.append(state.patience() - now)
        assert all(timeout <= wait < 2 * timeout for wait in waits), f"round {number}: {waits}"
        assert max(waits) - min(waits) > timeout // 2, f"round {number}: {sorted(waits)}"
        assert len(set(waits)) >= 19, f"round {number}: {sorted(waits)}"


def _election_with_latency(seed: int) -> int:
    """Terms that five nodes needed to elect after a common restart, with 10 to 20 ms for each message."""
    cluster, random = Cluster(membership(["voters=n1..n5"]), seed=seed), Random(seed)
    cluster.campaign(NodeId(1))
    cluster.stabilize()
    for node in list(cluster.servers):
        cluster.crash(node)
    for node in list(cluster.servers):
        cluster.restart(node)
    arrivals: list[tuple[Micros, int]] = []
    count = 0
    for _ in range(100_000):
        flights = cluster.network.flights
        while len(arrivals) < len(flights):
            count += 1
            arrivals.append((cluster.now + LATENCY // 2 + random.randrange(LATENCY // 2), count))
        first = min(arrivals, default=None)
        due = min(cluster.core(node).deadline for node in cluster.up)
        if first is not None and first[0] <= due:
            at = arrivals.index(first)
            cluster.now = max(cluster.now, first[0])
            del arrivals[at]
            cluster.deliver(at)
        else:
            cluster.now = max(cluster.now, due)
            for node in cluster.up:
                if cluster.core(node).deadline <= cluster.now:
                    cluster.tick(node)
        leaders = [node for node in cluster.up if cluster.core(node).leads]
        if leaders:
            return cluster.core(leaders[0]).status().term - 1
    raise AssertionError(f"seed {seed}: no leader")


def test_few_votes_are_split() -> None:
    needed = [_election_with_latency(seed) for seed in range(60)]
    split = sum(terms > 1 for terms in needed)
    assert split < 12, f"{split} of 60 elections needed more than one term: {needed}"


def test_own_vote_counts_once_it_is_durable() -> None:
    """A vote given in memory is none: with a slow disk the completion of an older write elects nobody."""
    members = membership(["voters=n1"])
    raft = Raft(
        node=NodeId(1), group=GroupId(1), recovered=fresh(members), settings=SETTINGS, random=Random(1), now=0
    )
    raft.tick(1, 0)
    first = raft.ready()
    assert first.hard_state is not None
    assert first.hard_state.vote == 1
    assert raft.status().role == "candidate"
    raft.storage_done(first.hard_state, None, 2)
    assert raft.status().role == "leader"

    # The write of an earlier term completes while the vote of this one is under way.
    three = membership(["voters=n1..n3"])
    raft = Raft(
        node=NodeId(1), group=GroupId(1), recovered=fresh(three), settings=SETTINGS, random=Random(1), now=0
    )
    raft.step(VoteRequest(group=GroupId(1), sender=NodeId(2), to=NodeId(1), term=1, last=EntryId(0, 0)), 0)
    older = raft.ready()
    raft.campaign(10_000_000)
    raft.step(
        PreVoteResponse(
            group=GroupId(1), sender=NodeId(3), to=NodeId(1), term=1, proposed_term=2, granted=True
        ),
        10_000_000,
    )
    assert raft.status().role == "candidate"
    vote = raft.ready()
    assert [type(message) for message in vote.messages] == []
    raft.storage_done(older.hard_state, None, 10_000_001)
    assert not raft.status().peers
    # Another voter's grant (a forged one: it was never asked) and an own vote that is not durable are no majority.
    assert not _counts_own(raft), "a vote that is not durable was counted"
    raft.storage_done(vote.hard_state, None, 10_000_002)
    assert _counts_own(raft)


def _counts_own(raft: Raft) -> bool:
    role = raft._role
    return bool(getattr(role, "_ballots", {}).get(NodeId(1), False))


def test_settings_nest() -> None:
    with pytest.raises(ValueError, match="heartbeat"):
        Settings(heartbeat=400_000)
    with pytest.raises(ValueError, match="nest"):
        Settings(max_append=2, max_inflight=1)


def test_who_cannot_read_its_own_log_neither_leads_nor_campaigns_nor_votes() -> None:
    raft = _raft(membership(["voters=n1"]))
    raft.campaign(1)
    raft.storage_done(raft.ready().hard_state, None, 2)
    assert raft.leads
    raft.damaged(1, 3)
    raft.campaign(4)
    assert raft.status().role == "follower"

    raft = _raft(membership(["voters=n1..n3"]))
    raft.damaged(1, 1)
    raft.step(VoteRequest(group=GroupId(1), sender=NodeId(2), to=NodeId(1), term=1, last=EntryId(0, 0)), 2)
    (answer,) = raft.ready().messages_after_sync
    assert isinstance(answer, VoteResponse)
    assert not answer.granted


def test_who_may_not_lead_any_more_gives_up_its_candidacy() -> None:
    raft = _raft(membership(["voters=n1..n3"]))
    raft.campaign(1)
    assert raft.status().role == "pre-candidate"
    raft.allow_leading(False, "it cannot apply", 2)
    raft.tick(60_000_000, 0)
    assert raft.status().role == "follower"


def _raft(members: Membership) -> Raft:
    return Raft(
        node=NodeId(1), group=GroupId(1), recovered=fresh(members), settings=SETTINGS, random=Random(1), now=0
    )
