"""Digests of states: what is remembered of them, and what a leader concludes from those of its followers."""

from random import Random

import pytest

from raftlog.core.comparison import Comparison
from raftlog.core.digests import EVERY, LONG, RECENT, Checkpoint, Difference, Digests
from raftlog.core.ids import Index, NodeId
from raftlog.core.quorum import Quorum
from tests.cranked.script import run

N1, N2, N3, N4, N5 = map(NodeId, range(1, 6))
THREE = Quorum.of([N1, N2, N3])


def history(last: Index, wrong_from: Index | None = None, kind: int = 1) -> Digests:
    """A state machine's that has applied so much, rightly up to somewhere."""
    digests = Digests()
    for index in range(1, last + 1):
        wrong = wrong_from is not None and index >= wrong_from
        digests.note(index, index * 10 + (kind if wrong else 0))
    return digests


def said(digests: Digests, asked: Index | None) -> list[Checkpoint]:
    """What a follower reports."""
    newest = digests.latest
    assert newest is not None, "it has applied nothing"
    found = (digests.aligned(newest.index), newest, digests.checkpoint(asked or 0))
    return [each for each in found if each is not None]


def test_the_last_ones_and_every_so_many_are_remembered() -> None:
    digests = history(20_000)
    known = [index for index in range(20_001) if digests.at(index) is not None]
    aligned = list(range(20_000 // EVERY * EVERY, 0, -EVERY))[:LONG]
    assert known == sorted({*aligned, *range(20_000 - RECENT + 1, 20_001)})
    assert all(digests.at(index) == index * 10 for index in known)
    digests.note(19_990, 5)  # told of again
    assert digests.at(19_990) == 199_900


@pytest.mark.parametrize("seed", range(30))
def test_a_difference_is_found_wherever_it_began_and_however_far_behind_a_follower_is(seed: int) -> None:
    random = Random(seed)
    last = random.randrange(200, 3_000)
    behind = last - random.randrange(0, min(last - EVERY, EVERY * LONG // 2))
    began = random.randrange(1, behind + 1)
    own, comparison = history(last), Comparison(N1)
    for _ in range(3):
        comparison.heard(N2, said(history(last), comparison.question), own)
        comparison.heard(N3, said(history(behind, began), comparison.question), own)
    shared = began <= behind // EVERY * EVERY or behind > last - RECENT
    if not shared:
        assert comparison.question is None, "nobody knows yet, and nobody says so"
        return
    (found,) = comparison.differences
    assert found.peer == N3
    assert found.first <= began <= found.last, f"seed {seed}: it began at {began}"
    (decided,) = comparison.decided(THREE, own)
    assert history(behind, began).at(decided.index) not in (None, decided.digest), (
        "it cannot tell that it is meant"
    )
    assert not comparison.overruled(THREE, own)


def test_followers_that_agree_with_each_other_overrule_their_leader() -> None:
    own, comparison = history(100, wrong_from=70), Comparison(N1)
    assert comparison.heard(N2, said(history(90), None), own) == Difference(N2, 65, 90)
    assert not comparison.overruled(THREE, own), "it is one against one"
    assert comparison.decided(THREE, own) == ()
    assert comparison.compare(own) == Checkpoint(90, 901)
    comparison.heard(N3, said(history(97), comparison.question), own)
    assert comparison.overruled(THREE, own)


def test_followers_that_differ_from_each_other_too_overrule_nobody() -> None:
    own, comparison = history(100), Comparison(N1)
    for peer, kind in ((N2, 1), (N3, 2)):
        comparison.heard(peer, said(history(100, wrong_from=70, kind=kind), comparison.question), own)
    assert not comparison.overruled(THREE, own)
    assert comparison.decided(THREE, own) == ()
    assert [each.peer for each in comparison.differences] == [N2, N3]


def test_two_of_five_decide_nothing() -> None:
    five = Quorum.of([N1, N2, N3, N4, N5])
    own, comparison = history(100, wrong_from=70), Comparison(N1)
    for peer in (N2, N3):
        comparison.heard(peer, said(history(100), comparison.question), own)
    assert not comparison.overruled(five, own)
    comparison.heard(N4, said(history(100), comparison.question), own)
    assert comparison.overruled(five, own)


def test_who_agrees_again_at_a_later_index_differs_no_more() -> None:
    own, comparison = history(100), Comparison(N1)
    wrong = said(history(100, wrong_from=70), None)
    comparison.heard(N2, wrong, own)
    for index in range(101, 110):
        own.note(index, index * 10)
    comparison.heard(N2, said(history(109), None), own)
    assert comparison.differences == ()
    comparison.heard(N2, wrong, own)  # late
    assert (comparison.differences, comparison.question) == ((), None)


def test_members_that_left_are_asked_nothing() -> None:
    own, comparison = history(100), Comparison(N1)
    comparison.heard(N3, said(history(100, wrong_from=70), None), own)
    comparison.keep([N2])
    comparison.heard(N2, said(history(100), None), own)
    assert (comparison.differences, comparison.question) == ((), None)


def test_a_follower_that_lags_is_compared_at_an_index_that_both_still_know() -> None:
    entries = [f"propose n1 {' '.join(f'{row}x{column}' for column in range(10))}" for row in range(26)]
    story = ["cluster voters=n1..n3", "campaign n1", "stabilize", "err n3", "hold-fetch n3", *entries[:13]]
    story += ["stabilize", "propose n1 again", "stabilize", "hold-apply n3", "expect n3 applied 131"]
    story += [*entries[13:], "stabilize", "wait 500ms", "expect n3 applied 131"]
    story += ["expect n3 fenced since some entry of 1 to 128", "expect n1 sound"]
    run("# A story.\n\n" + "\n".join(story) + "\n", name="lagging")
