"""The leader's part in membership changes: which may begin, what follows by itself, and who has yet to hear of it."""

from collections.abc import Callable, Sequence

from raftlog.core.catchup import CatchUp
from raftlog.core.change import Change, ImpossibleChange, Promote, Remove, leave_joint, step
from raftlog.core.ids import Index, NodeId
from raftlog.core.membership import Member, Membership
from raftlog.core.progress import Mode, Progress
from raftlog.core.ready import ChangeRefused, Refusal
from raftlog.core.state import State


class Changing:
    """One change at a time, each from a decided membership; a joint one is left as soon as it is decided.

    Invariants: `progress` has every other member, and those just removed until they know it (`departing`); it is kept
    where a member's part changes (M13); `learning` has every learner.
    """

    def __init__(
        self, state: State, progress: dict[NodeId, Progress], in_contact: Callable[[NodeId], bool]
    ) -> None:
        self._state = state
        self._progress = progress
        self._in_contact = in_contact
        self._learning: dict[NodeId, CatchUp] = {}
        self._departing: dict[NodeId, tuple[Member, Index]] = {}
        """Who is removed, and by which entry."""
        self._waiting: tuple[NodeId, ...] = ()
        """Learners that are to be promoted when they are ready."""
        self._members: dict[NodeId, Member] = {}
        self.follow(state.log.last.index + 1)

    # -- the membership in force

    def follow(self, next_index: Index) -> None:
        """The membership in force is another one: it counts from now on (thesis 4.1).

        Who is new is sent `next_index` first, which is there already or comes at once: or nothing would ever be sent to
        a learner of a group in which nobody writes.
        """
        state = self._state
        at = state.memberships[-1]
        members = {member.id: member for member in at.membership.members if member.id != state.node}
        for node in members:
            self._departing.pop(node, None)
            if node not in self._progress:
                self._progress[node] = Progress(next_index, state.now)
        for node, member in self._members.items():
            if node not in members:
                self._departing.setdefault(node, (member, at.index))
        self._members = members
        learners = [node for node in at.membership.learners if node != state.node]
        self._learning = {
            node: self._learning.get(node) or CatchUp(state.log.last.index, state.now) for node in learners
        }
        self._waiting = tuple(node for node in learners if members[node].promote_when_ready)

    @property
    def departing(self) -> tuple[Member, ...]:
        """Who is removed and has yet to be told."""
        return tuple(member for member, _ in self._departing.values())

    def see_off(self) -> None:
        """Forget who knows by now that it is removed, and who cannot be told: it will be when it asks for votes.

        Whoever would need a snapshot only to read in it that it is gone is not waited for.
        """
        for node, (_, index) in tuple(self._departing.items()):
            progress = self._progress[node]
            knows = progress.applied >= index and self._state.committed >= index
            if knows or progress.mode is Mode.SNAPSHOT or not self._in_contact(node):
                del self._departing[node], self._progress[node]

    # -- what is asked for

    def begin(
        self, changes: Sequence[Change], expected: Index | None, *, force: bool
    ) -> Membership | ChangeRefused:
        """The first membership on the way of a change that may begin now."""
        state = self._state
        at = state.memberships[-1]
        if at.index > state.committed:
            return ChangeRefused(
                Refusal.UNDER_WAY, f"the membership of entry {at.index} is not decided yet: try again"
            )
        if at.membership.joint:
            return ChangeRefused(
                Refusal.UNDER_WAY, f"the joint membership of entry {at.index} is not left yet: try again"
            )
        if expected not in (None, at.index):
            return ChangeRefused(
                Refusal.OVERTAKEN,
                f"the membership is that of entry {at.index}, not of {expected}: look at it again",
            )
        try:
            wanted = step(at.membership, changes)
        except ImpossibleChange as problem:
            return ChangeRefused(Refusal.IMPOSSIBLE, str(problem))
        return wanted if force else self._safe(at.membership, wanted)

    def _safe(self, now: Membership, wanted: Membership) -> Membership | ChangeRefused:
        late = [node for node in wanted.voters if node in now.learners and not self.ready(node)]
        if late:
            return ChangeRefused(
                Refusal.LAGGING,
                f"{_names(wanted, late)} has not caught up: wait, ask for its promotion when it is ready, or force it",
            )
        if not wanted.quorum.agrees(self._alive):
            silent = [node for node in wanted.quorum.voters if not self._alive(node)]
            return ChangeRefused(
                Refusal.UNSAFE,
                f"nothing could be decided: {_names(wanted, silent)} did not answer within an election timeout; mend"
                " that first, or force it",
            )
        return wanted

    def _alive(self, node: NodeId) -> bool:
        """Whether it has answered this leader, and lately."""
        if node == self._state.node:
            return True
        progress = self._progress.get(node)
        return progress is not None and progress.answered and self._in_contact(node)

    # -- what follows by itself

    def due(self) -> Membership | None:
        """What the leader has to propose of its own accord now that the newest membership is decided.

        A joint one is left. A new leader goes on where the last one stopped: whatever it found in its log (M3).
        """
        at = self._state.memberships[-1]
        if at.index > self._state.committed:
            return None
        if at.membership.joint:
            return leave_joint(at.membership)
        for node in self._waiting:
            if self.ready(node) and self._alive(node):
                wanted = self.begin(_promotion(self._members[node]), None, force=False)
                if isinstance(wanted, Membership):
                    return wanted
        return None

    def accepted(self, node: NodeId, match: Index) -> None:
        """A learner has come this far."""
        catch_up = self._learning.get(node)
        if catch_up is not None:
            state = self._state
            catch_up.reached(match, state.log.last.index, state.now, state.settings.election_timeout)

    def ready(self, node: NodeId) -> bool:
        """Whether a learner has caught up."""
        catch_up = self._learning.get(node)
        if catch_up is None or node not in self._progress:
            return False
        state = self._state
        return catch_up.caught_up(
            self._progress[node].match_index, state.now, state.settings.election_timeout
        )


def _promotion(member: Member) -> list[Change]:
    promotion: list[Change] = [Promote(member.id)]
    return promotion if member.replaces is None else [*promotion, Remove(member.replaces)]


def _names(membership: Membership, nodes: Sequence[NodeId]) -> str:
    members = (membership.member(node) for node in nodes)
    named = (f"{member.name} ({member.id:x})" for member in members if member is not None)
    return ", ".join(named)
