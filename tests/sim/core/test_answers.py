"""The judge of single answers speaks up for each rule it has, and is silent about what is right."""

from random import Random
from typing import Any

import pytest

from jepsen_like.sim.invariants import Violation
from jepsen_like.sim.invariants.answers import Answers
from jepsen_like.sim.invariants.view import View
from jepsen_like.sim.notation import entry, membership
from raftlog.core.durable import HardState, Recovered, SnapshotMeta, TermRun
from raftlog.core.ids import NOTHING, EntryId, GroupId, NodeId
from raftlog.core.membership import MembershipAt
from raftlog.core.message import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    Envelope,
    PreVoteRequest,
    PreVoteResponse,
    SnapshotOffer,
    VoteRequest,
    VoteResponse,
)
from raftlog.core.progress import Mode, Progress
from raftlog.core.raft import Raft
from raftlog.core.roles.leader import Leader
from raftlog.core.settings import Settings

N1, N2 = NodeId(1), NodeId(2)
GROUP = GroupId(7)


def judged(*, leads: bool = False) -> tuple[Answers, View]:
    """Node 1 in term 2 with the log 1@1 2@1 3@2, of which two are decided, and who judges it."""
    recovered = Recovered(
        base=SnapshotMeta(NOTHING, MembershipAt(0, membership(["voters=n1..n3"]))),
        hard_state=HardState(2, N1 if leads else None, 2),
        last=3,
        runs=(TermRun(1, 1), TermRun(3, 2)),
        memberships=(),
        last_log_time=0,
    )
    core = Raft(
        node=N1, group=GROUP, recovered=recovered, settings=Settings(), random=Random(1), now=10_000_000
    )
    core._state.votes_refused_until = 0
    if leads:
        core._role = Leader(core._state)
    answers = Answers()
    answers.started(N1, View(core))
    return answers, View(core)


def said(kind: type[Envelope], *, to: NodeId = N2, term: int = 2, **fields: Any) -> Any:
    sender = N1 if to == N2 else N2
    return kind(group=GROUP, sender=sender, to=to, term=term, **fields)


def test_a_vote_is_refused_for_a_reason() -> None:
    answers, view = judged()
    behind, ahead = EntryId(1, 9), EntryId(2, 3)
    no, not_yet = said(VoteResponse, granted=False), said(PreVoteResponse, proposed_term=3, granted=False)
    answers.hears(said(VoteRequest, to=N1, last=behind))
    answers.made(no)
    answers.hears(said(VoteRequest, to=N1, last=ahead))
    with pytest.raises(Violation, match="E7: n1 refuses n2 its vote"):
        answers.made(no)
    view.state.vote = NodeId(3)
    answers.made(no)
    answers.hears(said(PreVoteRequest, to=N1, last=ahead))
    with pytest.raises(Violation, match="E7"):
        answers.made(not_yet)
    view.state.votes_refused_until = view.state.now + 1
    answers.made(not_yet)


def test_nobody_votes_for_a_log_that_ends_before_its_own() -> None:
    answers, _ = judged()
    yes = said(VoteResponse, granted=True)
    answers.hears(said(VoteRequest, to=N1, last=EntryId(2, 3)))
    answers.made(yes)
    for behind in (EntryId(1, 9), EntryId(2, 2)):
        answers.hears(said(VoteRequest, to=N1, last=behind))
        with pytest.raises(Violation, match="E6: n1 votes for n2"):
            answers.made(yes)


def test_what_continues_what_is_decided_is_not_refused() -> None:
    answers, _ = judged()
    for prev in (EntryId(1, 3), EntryId(5, 2)):  # not decided; of no rightful leader
        answers.hears(said(AppendRequest, to=N1, prev=prev, entries=(), commit=0))
        answers.made(said(AppendRejected, prev=prev, hint=EntryId(1, 2)))
    prev = EntryId(1, 2)
    answers.hears(said(AppendRequest, to=N1, prev=prev, entries=(), commit=0))
    with pytest.raises(Violation, match="R14: n1 refuses what follows"):
        answers.made(said(AppendRejected, prev=prev, hint=EntryId(1, 1)))


def account(view: View) -> Progress:
    """Node 1's account of node 2."""
    assert view.progress is not None, "it leads"
    return view.progress[N2]


def test_nothing_is_sent_again_without_an_answer() -> None:
    answers, _ = judged(leads=True)
    append = said(AppendRequest, prev=EntryId(1, 2), entries=(entry("3@2", GROUP),), commit=2)
    answers.made(append)
    with pytest.raises(Violation, match="R22: n1 sends n2 entry 3 again"):
        answers.made(append)
    answers.hears(said(AppendAccepted, to=N1, match=2))
    answers.made(append)


def test_an_old_refusal_moves_nothing_back() -> None:
    answers, view = judged(leads=True)
    told = account(view)
    told.match_index, told.next_index, told.mode = 2, 4, Mode.REPLICATE
    late = said(AppendRejected, to=N1, prev=EntryId(1, 2), hint=EntryId(1, 1))
    answers.hears(late)
    answers.heard(late)
    answers.hears(late)
    told.next_index = 3
    with pytest.raises(Violation, match="R10: n1 goes back from 4 to 3 for n2"):
        answers.heard(late)


def test_a_refusal_is_taken_at_its_word() -> None:
    answers, view = judged(leads=True)
    told = account(view)
    told.match_index, told.next_index, told.mode = 0, 4, Mode.PROBE
    refusal = said(AppendRejected, to=N1, prev=EntryId(2, 3), hint=EntryId(1, 1))
    answers.hears(refusal)
    told.next_index = 2
    answers.heard(refusal)
    told.next_index = 4
    answers.hears(refusal)
    told.next_index = 3
    with pytest.raises(Violation, match="R22: n1 tries 2@1 at n2"):
        answers.heard(refusal)


def test_the_offer_of_a_snapshot_ends_and_repeats_for_a_reason() -> None:
    answers, view = judged(leads=True)
    told = account(view)
    told.match_index, told.next_index, told.mode = 1, 4, Mode.SNAPSHOT
    offer = said(SnapshotOffer, last=EntryId(1, 2))
    answers.hears(said(AppendAccepted, to=N1, match=2))
    answers.made(offer)
    answers.hears(said(AppendAccepted, to=N1, match=1))
    with pytest.raises(Violation, match="S20: n1 offers n2 a snapshot for acknowledging 1 again"):
        answers.made(offer)
    late = said(AppendRejected, to=N1, prev=EntryId(2, 3), hint=EntryId(1, 1))
    answers.hears(late)
    told.mode = Mode.PROBE
    with pytest.raises(Violation, match="S20: n1 no longer offers n2 a snapshot"):
        answers.heard(late)
