"""What every role may touch, against the plain log it stands for: memberships, unwritten entries, log time."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from raftlog.core.durable import fresh
from raftlog.core.entry import Entry, EntryKind, seal
from raftlog.core.ids import EntryId, GroupId, NodeId
from raftlog.core.membership import Member, Membership, encode_membership
from raftlog.core.settings import Settings
from raftlog.core.state import State

GROUP = GroupId(1)


def membership(*voters: int) -> Membership:
    """Of these voters."""
    ids = tuple(NodeId(id) for id in sorted(voters))
    return Membership(voters=ids, members=tuple(Member(id, f"n{id}", "", "") for id in ids))


def new_state() -> State:
    """A node of three that has seen nothing."""
    recovered = fresh(membership(1, 2, 3))
    return State(
        node=NodeId(1), group=GROUP, recovered=recovered, settings=Settings(), random=Random(1), now=0
    )


def entry(index: int, term: int, voters: tuple[int, ...] = ()) -> Entry:
    """A membership entry if voters are named, else one with commands."""
    kind = EntryKind.MEMBERSHIP if voters else EntryKind.COMMANDS
    payload = encode_membership(membership(*voters)) if voters else b""
    return seal(group=GROUP, at=EntryId(term, index), kind=kind, log_time=index, payload=payload)


VOTERS = st.one_of(st.just(()), st.sets(st.integers(1, 5), min_size=1).map(tuple))
SPLICES = st.lists(st.tuples(st.floats(0, 1), st.lists(VOTERS, min_size=1, max_size=4)), max_size=8)


@given(SPLICES)
def test_splice_leaves_the_newest_membership_of_the_log(
    splices: list[tuple[float, list[tuple[int, ...]]]],
) -> None:
    state, log = new_state(), list[Entry]()
    for term, (where, voters) in enumerate(splices, 1):
        first = int(where * (len(log) + 1)) + 1
        first = min(first, len(log) + 1)
        new = [entry(first + at, term, some) for at, some in enumerate(voters)]
        state.splice(new)
        log = log[: first - 1] + new
        set_by = [made for made in log if made.kind is EntryKind.MEMBERSHIP]
        assert state.memberships[-1].index == (set_by[-1].index if set_by else 0)
        expected = set_by[-1].payload if set_by else encode_membership(membership(1, 2, 3))
        assert encode_membership(state.membership) == expected
        assert [at.index for at in state.memberships[1:]] == [made.index for made in set_by]
        assert state.log.last == log[-1].id
        assert state.unwritten == log[state.unwritten[0].index - 1 :], (
            "what is not yet handed over ends with the log"
        )
        if term % 3 == 0:
            state.take_write()
            assert state.unwritten == []


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 3)), min_size=1, max_size=20))
def test_log_time_never_falls(walls: list[tuple[int, int]]) -> None:
    state = new_state()
    state.adopt(1)
    times: list[int] = []
    for wall, _ in walls:
        times.append(state.create(EntryKind.COMMANDS, b"", wall).log_time)
    assert times == sorted(times)
    assert times[-1] == max(wall for wall, _ in walls)
