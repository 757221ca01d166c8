"""Tells a path of actions as a story: a golden script, to be played against the hand-cranked cluster."""

from collections.abc import Iterator, Sequence

from jepsen_like.sim.explore.action import Action, Kind
from jepsen_like.sim.explore.node import Node, Turn, first
from jepsen_like.sim.explore.scope import Scope
from jepsen_like.sim.explore.space import Space, payload
from jepsen_like.sim.notation import KINDS, membership_text, node_text
from jepsen_like.sim.verdict import Violation
from raftlog.core.ids import NodeId
from raftlog.core.message import (
    HeartbeatAck,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    VoteRequest,
)
from raftlog.core.roles.candidate import PreCandidate
from raftlog.core.roles.leader import Leader

_NAMES = {kind: name for name, kind in KINDS.items()}
_PAUSED = (PreVoteRequest, VoteRequest, HeartbeatAck)
"""What is answered by the clock: the explored worlds let this long go by before it."""


class StoryTeller:
    """Walks a path with a network that keeps every copy in order, as the stories' network does."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._nodes: dict[NodeId, Node] = {id: first(scope, id) for id in scope.nodes}
        self._flights: list[Message] = []
        self._proposals = 0

    def opening(self) -> Iterator[str]:
        """The cluster and its past."""
        scope = self._scope
        knobs = "election_timeout=1000h heartbeat=1s"
        if scope.max_append < 1 << 18:
            knobs += f" max_append={scope.max_append}"
        yield f"cluster {membership_text(scope.membership).replace(';', ' ')} {knobs}"
        for id, past in zip(scope.nodes, scope.pasts, strict=False):
            log = "".join(f" {index}@{term}" for index, term in enumerate(past.log, 1))
            vote = "" if past.vote is None else f" vote={node_text(past.vote)}"
            if log or past.term:
                yield f"prepare {node_text(id)}{log} term={past.term}{vote} commit={past.commit}"
        if scope.disk != "prompt":
            yield from (f"hold-disk {node_text(id)}" for id in scope.nodes)

    def tell(self, action: Action) -> Iterator[str]:
        """The lines of one action."""
        name = node_text(action.node)
        match action.kind:
            case Kind.DELIVER | Kind.AGAIN:
                assert action.message is not None
                yield from self._arrives(action.message, again=action.kind is Kind.AGAIN)
            case Kind.DROP:
                assert action.message is not None
                yield f"drop {self._named(action.message)}"
                self._flights.remove(action.message)
            case Kind.TIMEOUT:
                yield from self._loses_patience(action.node)
            case Kind.HEARTBEAT:
                yield from ("elapse 3s", f"tick {name}")
                yield from self._turn(action.node, Turn.beat)
            case Kind.PROPOSE:
                command = payload(self._proposals)
                self._proposals += 1
                yield f"propose {name} {command.decode()}"
                yield from self._turn(action.node, lambda turn: turn.propose(command))
            case Kind.READ:
                yield f"read {name}"
                yield from self._turn(action.node, Turn.read)
            case Kind.CHANGE:
                yield from ("elapse 3s", f"change {name} {' '.join(action.change)} force")
                yield from self._turn(action.node, lambda turn: turn.change(action.change))
            case Kind.SYNC:
                yield f"sync {name}"
                yield from self._turn(action.node, Turn.sync)
            case Kind.CRASH:
                keeping = f" keeping {action.keeping}" if action.keeping else ""
                yield from (f"crash {name}{keeping}", f"restart {name}", "elapse 3s")
                if self._scope.disk != "prompt":
                    yield f"hold-disk {name}"
                yield from self._turn(action.node, lambda turn: turn.crash(action.keeping))

    def _loses_patience(self, id: NodeId) -> Iterator[str]:
        name = node_text(id)
        if isinstance(self._nodes[id].core._role, Leader):
            yield from ("elapse 2000h", f"tick {name}")
            yield from self._turn(id, Turn.lose_patience)
            if self._scope.pre_vote == "messages":
                return
        before = len(self._flights)
        yield f"campaign {name}"
        yield from self._turn(id, Turn.lose_patience)
        if self._scope.pre_vote == "messages":
            return
        questions = [made for made in self._flights[before:] if isinstance(made, PreVoteRequest)]
        before = len(self._flights) - len(questions)
        for question in questions:
            yield from self._arrives(question)
        answers = [made for made in self._flights[before:] if isinstance(made, PreVoteResponse)]
        for answer in sorted(answers, key=lambda made: not made.granted):
            if isinstance(self._nodes[id].core._role, PreCandidate):
                yield from self._arrives(answer)

    def _arrives(self, message: Message, *, again: bool = False) -> Iterator[str]:
        if isinstance(message, _PAUSED):
            yield "elapse 3s"
        yield f"{'duplicate' if again else 'deliver'} {self._named(message)}"
        if not again:
            self._flights.remove(message)
        yield from self._turn(message.to, lambda turn: turn.deliver(message))

    def _named(self, message: Message) -> str:
        """Kind and link, and which of those under way where it is not the oldest."""
        alike = [
            made
            for made in self._flights
            if (type(made), made.sender, made.to) == (type(message), message.sender, message.to)
        ]
        at = alike.index(message)
        which = f" {ordinal(at + 1)}" if at else ""
        return f"{_NAMES[type(message)]} {node_text(message.sender)}->{node_text(message.to)}{which}"

    def _turn(self, id: NodeId, give: object) -> Iterator[str]:
        turn = Turn(self._nodes[id], self._scope.disk)
        assert callable(give)
        give(turn)
        self._nodes[id] = turn.end()
        self._flights += turn.sent
        if self._scope.disk != "prompt":
            yield from [f"sync {node_text(id)}"] * turn.syncs


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ..."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number in (11, 12, 13) else endings.get(number % 10, 'th')}"


def story(scope: Scope, path: Sequence[Action], title: str) -> str:
    """A golden script that plays the path; what happens is for `pytest --rewrite` to record.

    It ends where the law broke. Times differ from the explored ones where two leaders outlive an election timeout of a
    third: there the script may go another way.
    """
    teller = StoryTeller(scope)
    blocks = [list(teller.opening())]
    space = Space(scope)
    space.start()
    for action in (*space.opened, *path):
        lines = [f"# {action}"]
        blocks.append(lines)
        try:
            lines.extend(teller.tell(action))
        except Violation:
            break
        except Exception:  # noqa: BLE001 - the core has failed, which is what the story leads to
            break
    return "\n\n".join("\n".join(block) for block in ([f"# {title}"], *blocks)) + "\n"
