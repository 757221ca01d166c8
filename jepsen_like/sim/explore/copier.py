"""Copies a core, and names its state: each field of each object in it that can change, and nothing else.

A core between two inputs is a small tree of mutable objects whose leaves are immutable. `PLAN` says of every field of
every one of them how it is copied and what of it counts for the name. A field that the plan does not know is an error
(`check`): a core that grew a field would otherwise be explored with states taken for equal that are not.

**Time.** A name must not hold the clock's value, or no state would ever come back. So `rest` turns every core back to
one moment, `NOW`, after each input, and every time it keeps to that moment's or to its distance when freshly set.
This is exact, not an estimate, for the world that `raftlog.core` is explored in (`SETTINGS`): between two inputs of a
node `PAUSE` goes by, which outlasts every promise not to vote and every heartbeat interval and is nothing against the
election timeout. Then all that a core asks of its clock has one answer: promises have run out, heartbeats are due,
what is under way counts as stalled, leader and quorum were heard in time. The other answers are inputs of their own: an
election timeout is an input that comes after two of them, for a follower as for a leader who has heard nobody.

What this does not see: votes refused for a promise's sake (a request that is answered "no", or ignored, which a lost
message does as well); a heartbeat's answer that comes too early to ask again for what it waits for (as if that question
were lost); log times, which stand still.

**Chance.** A core draws nothing but its patience, which `rest` sets. So its generator is `Still`: it has no state.
"""

from collections import deque
from collections.abc import Callable, Hashable
from random import Random
from typing import Any, Final, TypeAlias, TypeVar

from raftlog.core.catchup import CatchUp
from raftlog.core.comparison import Account, Comparison
from raftlog.core.digests import Digests
from raftlog.core.fence import Fence
from raftlog.core.ids import Micros, NodeId
from raftlog.core.log import Log
from raftlog.core.outbox import Outbox
from raftlog.core.outrun import Outrun
from raftlog.core.progress import Progress
from raftlog.core.raft import Raft
from raftlog.core.reads import Reads
from raftlog.core.roles.candidate import Candidate, PreCandidate
from raftlog.core.roles.changing import Changing
from raftlog.core.roles.follower import SPARED, Follower
from raftlog.core.roles.handover import Handover
from raftlog.core.roles.leader import Leader
from raftlog.core.settings import Settings
from raftlog.core.state import State

HOUR: Final[Micros] = 3_600_000_000
NOW: Final[Micros] = 10_000 * HOUR
WALL: Final[Micros] = 1_700_000_000_000_000
"""The wall clock is this far ahead."""
PAUSE: Final[Micros] = 3_000_000
ELECTION_TIMEOUT: Final[Micros] = 1_000 * HOUR
HEARTBEAT: Final[Micros] = 1_000_000
LATER: Final[Micros] = NOW + 2 * ELECTION_TIMEOUT
"""By then whoever has heard nobody since `NOW` has lost patience."""


def settings(max_append: int) -> Settings:
    """The knobs of every explored core; `max_append` bytes of entries fit into a message."""
    return Settings(
        election_timeout=ELECTION_TIMEOUT, heartbeat=HEARTBEAT, max_append=max_append, max_inflight=1 << 20
    )


class Still(Random):
    """A generator that draws the lowest number there is, always."""

    def random(self) -> float:
        """0."""
        return 0.0

    def getrandbits(self, k: int, /) -> int:
        """No bit is set."""
        return 0


STILL: Final = Still()

_Copy: TypeAlias = Callable[[Any], Any]
_Name: TypeAlias = Callable[[Any], Hashable]
_Way: TypeAlias = tuple[_Copy, _Name]
"""How a field's value is copied, and what of it counts for the name."""
_Part = TypeVar("_Part")


class Plan:
    """How one class is copied and named: `shared` are fields whose values never change, the others say how."""

    __slots__ = ("fields", "kind", "others", "shared")

    def __init__(self, kind: type, shared: str = "", **others: _Way) -> None:
        self.kind = kind
        self.shared = tuple(shared.split())
        self.others = tuple((name, *way) for name, way in others.items())
        self.fields = frozenset(self.shared) | others.keys()


def copied(part: _Part) -> _Part:
    """Another such object that shares nothing mutable with it; a role's copy still has the original's `State`."""
    plan = PLANS[type(part)]
    copy = object.__new__(type(part))
    for name in plan.shared:
        setattr(copy, name, getattr(part, name))
    for name, copier, _ in plan.others:
        setattr(copy, name, copier(getattr(part, name)))
    return copy


def named(part: object) -> Hashable:
    """Equal for two objects that will always behave alike."""
    plan = PLANS[type(part)]
    shared = [getattr(part, name) for name in plan.shared]
    return (plan.kind.__name__, *shared, *[namer(getattr(part, name)) for name, _, namer in plan.others])


def _peers_copied(value: dict[NodeId, _Part]) -> dict[NodeId, _Part]:
    return {peer: copied(part) for peer, part in value.items()}


def _peers_named(value: dict[NodeId, object]) -> Hashable:
    return tuple((peer, named(part)) for peer, part in value.items())


def _by_key(value: dict[Any, Any]) -> Hashable:
    return tuple(sorted(value.items()))


def _emptied(outbox: Outbox) -> Outbox:
    assert not outbox, f"a core is copied with effects nobody has performed: {outbox}"
    return Outbox()


_PART: _Way = (copied, named)
_LIST: _Way = (list, tuple)
_DEQUE: _Way = (deque, tuple)
_PEERS: _Way = (_peers_copied, _peers_named)
_LOOKUP: _Way = (dict, _by_key)
"""A dict that is only ever asked by key: its order means nothing."""
_ORDERED: _Way = (dict, lambda value: tuple(value.items()))
_EMPTY: _Way = (_emptied, lambda _: None)
_STATELESS: _Way = (lambda value: value, lambda _: None)
_ITS_CORE: _Way = _STATELESS
"""A role's way back to the state of its core: set anew by `copy`, and named there."""

PLANS: Final[dict[type, Plan]] = {
    plan.kind: plan
    for plan in (
        Plan(Raft, "_installing _shown", _state=_PART, _role=_PART, _writes=_DEQUE),
        Plan(
            State,
            "_last_log_time _unwritten_base _was_member _written applied committed digest dragging expelled fetching"
            " group handed hole impaired installing may_lead node now room settings snapshot synced term vote"
            " votes_refused_until"
            " wall wall_at writing_since",
            digests=_PART,
            fence=_PART,
            log=_PART,
            _told=_STATELESS,  # decides only what people are shown
            memberships=_LIST,
            outbox=_EMPTY,
            random=_STATELESS,
            unwritten=_LIST,
        ),
        Plan(
            Log,
            "_bytes _max_bytes _undurable_bytes _window_first base durable last",
            _runs=_LIST,
            _window=_LIST,
        ),
        Plan(Fence, "reason wants_state restored_at agreed differs ask_at"),
        Plan(Digests, "latest", _long=_LOOKUP, _recent=_LOOKUP),
        Plan(Comparison, "_node question", _accounts=_PEERS),
        Plan(Account, "agreed differs other answer"),
        Plan(
            Follower,
            "_leader _patience_ends _round verified _owes_ack _spared _healing _healing_until _whole_at",
            state=_ITS_CORE,
            _reads=_ORDERED,
        ),
        Plan(PreCandidate, "_patience_ends", state=_ITS_CORE, _ballots=_LOOKUP),
        Plan(Candidate, "_patience_ends _transfer", state=_ITS_CORE, _ballots=_LOOKUP),
        Plan(
            Leader,
            "_asked_after _handover _heartbeat_due _heir_since _round _wall_offset _undecided_bytes opening",
            state=_ITS_CORE,
            _changing=_PART,
            comparison=_PART,
            progress=_PEERS,
            _reads=_PART,
            _undecided=_DEQUE,
            _outrun=_PART,
        ),
        Plan(Outrun, "_level _since _late"),
        Plan(
            Progress,
            "next_index heard_at match_index mode probing loading offered offered_round impaired full acked_round"
            " moved_at inflight_bytes",
            applied=_STATELESS,  # shown to people, decides nothing
            digest=_STATELESS,
            inflight=_DEQUE,
        ),
        Plan(
            Changing,
            "_waiting",
            _state=_ITS_CORE,
            _progress=_ITS_CORE,
            _in_contact=_ITS_CORE,
            _learning=_PEERS,
            _departing=_ORDERED,
            _members=_ORDERED,
        ),
        Plan(CatchUp, "target began prompt"),
        Plan(Reads, _waiting=_LIST, _rounds=_DEQUE),
    )
}


def copy(core: Raft) -> Raft:
    """A core that behaves as this one will and shares nothing mutable with it. Its effects must have been taken."""
    twin = copied(core)
    role = twin._role
    role.state = twin._state
    if isinstance(role, Leader):
        changing = role._changing
        changing._state, changing._progress, changing._in_contact = (
            twin._state,
            role.progress,
            role._in_contact,
        )
    return twin


def rest(core: Raft) -> None:
    """Turn the core back to `NOW`: no time it keeps says any more how long something has lasted."""
    state, role = core._state, core._role
    state.now, state.wall, state.wall_at = NOW, NOW + WALL, NOW
    state.votes_refused_until = NOW
    state.fence.ask_at = 0
    state.writing_since = NOW if core._writes else None
    core._writes = deque((NOW, first) for _, first in core._writes)
    match role:
        case Follower():
            role._patience_ends, role._healing_until = NOW + ELECTION_TIMEOUT, 0
            role._spared = SPARED  # a lost patience stands for as many as it takes until it campaigns
            role._reads = dict.fromkeys(role._reads, NOW + ELECTION_TIMEOUT)
        case PreCandidate() | Candidate():
            role._patience_ends = NOW + ELECTION_TIMEOUT
        case Leader():
            role._heartbeat_due, role._wall_offset = NOW + HEARTBEAT, WALL
            role._outrun._since = NOW
            for progress in role.progress.values():
                progress.heard_at = progress.moved_at = NOW
            for catch_up in role._changing._learning.values():
                catch_up.began = NOW
            if role._handover is not None:
                role._handover = Handover(role._handover.target, NOW + ELECTION_TIMEOUT)
        case _:
            raise TypeError(f"no plan for the role {role.name}: add it to the copier")


def check(core: Raft) -> None:
    """Compare the plans with what the objects of this core really have.

    Raises:
        TypeError: a class or a field is not planned for, or a planned field is gone.
    """
    parts: list[object] = [core]
    while parts:
        part = parts.pop()
        plan = PLANS.get(type(part))
        if plan is None:
            raise TypeError(f"no plan to copy a {type(part).__name__}: add one to PLANS in {__name__}")
        if differs := fields(part) ^ plan.fields:
            raise TypeError(f"fields of {type(part).__name__} without a plan, or gone: {sorted(differs)}")
        for name, copier, _ in plan.others:
            value = getattr(part, name)
            if copier is copied:
                parts.append(value)
            elif copier is _peers_copied:
                parts.extend(value.values())


def fields(part: object) -> frozenset[str]:
    """Names of everything that an object keeps, in slots or in its dict."""
    slots = (name for kind in type(part).__mro__ for name in getattr(kind, "__slots__", ()))
    return frozenset(slots) | getattr(part, "__dict__", {}).keys()
