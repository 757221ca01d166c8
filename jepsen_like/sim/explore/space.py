"""The worlds of a scope and what can happen in each: numbers for nodes, messages and histories, and remembered steps.

A world is a tuple of numbers: one for each node's state, one for the history, one for what has been used up, then one
for each message under way, sorted. Equal parts have equal numbers, so a world is small, quickly named, and an input
that some node has had before, in whatever world, is looked up and not run again: nodes share nothing but messages.
"""

from collections.abc import Hashable, Iterator
from typing import Final, TypeAlias

import msgspec

from jepsen_like.sim.explore import laws
from jepsen_like.sim.explore.action import Action, Kind
from jepsen_like.sim.explore.node import Node, Turn, first
from jepsen_like.sim.explore.scope import Scope
from jepsen_like.sim.verdict import Violation
from raftlog.core.entry import Entry
from raftlog.core.ids import Index, RequestId, Term
from raftlog.core.message import Message, PreVoteRequest, PreVoteResponse
from raftlog.core.roles.candidate import PreCandidate

World: TypeAlias = tuple[int, ...]
Code: TypeAlias = int
"""An action: `kind << 32 | argument`, the argument being a message's number, or a place and a count."""

_ARGUMENT: Final = (1 << 32) - 1


class History(msgspec.Struct, frozen=True):
    """What the laws must remember that no node does."""

    leaders: tuple[int, ...]
    """Who led each term, 0 for nobody."""
    decided: tuple[tuple[Entry, Term], ...] = ()
    """The decided entries, and the term of the node that was the first to know."""
    floors: tuple[tuple[RequestId, Index], ...] = ()
    """Reads under way, and how much was decided when each began."""


class Step:
    """What an input makes of a node."""

    __slots__ = (
        "asked",
        "commits",
        "cut",
        "leads",
        "lost",
        "node",
        "problem",
        "quiet",
        "reads",
        "sent",
        "tells",
    )

    def __init__(self) -> None:
        self.node = 0
        self.sent: tuple[int, ...] = ()
        """Messages, without repeats."""
        self.lost: tuple[int, ...] = ()
        """Messages of kinds that never arrive in this scope."""
        self.leads = False
        """The node has become leader."""
        self.commits = False
        self.cut = False
        """It has given up entries."""
        self.reads: tuple[tuple[RequestId, Index | None], ...] = ()
        self.asked: RequestId | None = None
        """The read that has begun."""
        self.tells = False
        """Something for the history."""
        self.problem: Violation | None = None
        self.quiet = False
        """Nothing has changed and nothing was said."""

    def add(self, other: "Step") -> int:
        """Let another step follow this one; the node after both."""
        self.node = other.node
        self.sent = tuple(dict.fromkeys(self.sent + other.sent))
        self.reads += other.reads
        self.leads |= other.leads
        self.commits |= other.commits
        self.cut |= other.cut
        self.tells |= other.tells
        self.problem = self.problem or other.problem
        return self.node


class Broken(Exception):
    """An action leads to a state that breaks a law."""

    def __init__(self, code: int, violation: Violation) -> None:
        super().__init__(str(violation))
        self.code = code
        self.violation = violation


class Bounds:
    """How often exploring stopped because the scope allows no more of something."""

    __slots__ = ("flights", "log", "term")

    def __init__(self) -> None:
        self.term = 0
        self.log = 0
        self.flights = 0


class Space:
    """All worlds within a scope, made as they are asked for.

    Two spaces of one scope on one build number everything alike, as long as they are asked the same things in order.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.count = len(scope.nodes)
        self.nodes: list[Node] = []
        self.messages: list[Message] = []
        self.histories: list[History] = []
        self.bounds = Bounds()
        self._places = {id: place for place, id in enumerate(scope.nodes)}
        self._to: list[int] = []
        """Of each message, the place of its receiver in a world."""
        self._node_numbers: dict[Hashable, int] = {}
        self._message_numbers: dict[Message, int] = {}
        self._history_numbers: dict[History, int] = {}
        self._steps: dict[tuple[int, int], Step] = {}
        self._agreeing: set[tuple[int, int]] = set()
        self._budget = _budget(scope)
        self.opened: list[Action] = []
        """What the scope has begun with."""

    @property
    def remembered(self) -> int:
        """Steps of single nodes that were run."""
        return len(self._steps)

    def start(self) -> World:
        """The world as the scope begins, after its opening.

        Raises:
            LookupError: the opening names an action that cannot happen there.
        """
        world = self._first()
        self.opened.clear()
        for text in self.scope.opening:
            code, world = next(
                (found for found in self.successors(world) if str(self.action(found[0])) == text), (0, ())
            )
            if not world:
                raise LookupError(f"{self.scope.name} cannot open with {text!r}")
            self.opened.append(self.action(code))
        return world

    def _first(self) -> World:
        nodes = [self._node(first(self.scope, id)) for id in self.scope.nodes]
        leaders = [0] * (self.scope.max_term + 2)
        decided: list[tuple[Entry, Term]] = []
        for number in nodes:
            node = self.nodes[number]
            if node.committed > len(decided):
                decided = [(entry, entry.term) for entry in node.log[: node.committed]]
            for past in self.scope.pasts:
                leaders[past.term] = leaders[past.term] or (past.vote or 0)
        return (*nodes, self._history(History(tuple(leaders), tuple(decided))), 0)

    # -- what can happen

    def successors(self, world: World) -> Iterator[tuple[Code, World]]:
        """Every action that changes something, in order, with the world it leads to.

        Raises:
            Broken: the action leads to a state that breaks a law.
        """
        yield from self._deliveries(world)
        for place in range(self.count):
            yield from self._inputs(world, place)

    def _deliveries(self, world: World) -> Iterator[tuple[Code, World]]:
        head = self.count + 2
        spent, flights = world[head - 1], world[head:]
        again, drop = self._budget[Kind.AGAIN], self._budget[Kind.DROP]
        for at, message in enumerate(flights):
            rest = flights[:at] + flights[at + 1 :]
            place = self._to[message]
            step = self.step(world[place], Kind.DELIVER, message)
            if not step.quiet:
                code = Kind.DELIVER << 32 | message
                after = self._after(world, place, step, spent, rest, code)
                if after is not None:
                    yield code, after
                if again.left(spent):
                    code = Kind.AGAIN << 32 | message
                    after = self._after(world, place, step, spent + again.one, flights, code)
                    if after is not None:
                        yield code, after
            if drop.left(spent):
                yield Kind.DROP << 32 | message, (*world[: head - 1], spent + drop.one, *rest)

    def _inputs(self, world: World, place: int) -> Iterator[tuple[Code, World]]:
        node, spent = self.nodes[world[place]], world[self.count + 1]
        for kind in self._kinds(node, spent):
            if kind is Kind.TIMEOUT and self.scope.pre_vote == "at once":
                step = self._campaign(world, place)
                yield from self._input(world, place, step, kind, 0)
                continue
            counts = range(len(node.pending) + 1) if kind is Kind.CRASH else range(1)
            if kind is Kind.CHANGE:
                counts = range(len(self.scope.changes))
            for count in counts:
                argument = self._budget[kind].used(spent) if kind is Kind.PROPOSE else count
                yield from self._input(world, place, self.step(world[place], kind, argument), kind, count)

    def _kinds(self, node: Node, spent: int) -> Iterator[Kind]:
        left = self._budget
        if left[Kind.TIMEOUT].left(spent):
            yield Kind.TIMEOUT
        if node.leads and left[Kind.HEARTBEAT].left(spent):
            yield Kind.HEARTBEAT
        if left[Kind.PROPOSE].left(spent):
            yield Kind.PROPOSE
        if left[Kind.READ].left(spent) and node.core.leader is not None:
            yield Kind.READ
        if node.pending:
            yield Kind.SYNC
        if left[Kind.CRASH].left(spent):
            yield Kind.CRASH
        if node.leads and left[Kind.CHANGE].left(spent):
            yield Kind.CHANGE

    def _input(
        self, world: World, place: int, step: Step, kind: Kind, count: int
    ) -> Iterator[tuple[Code, World]]:
        if step.quiet:
            return
        code = kind << 32 | place << 8 | count
        spent = world[self.count + 1] + self._budget[kind].one
        after = self._after(world, place, step, spent, world[self.count + 2 :], code)
        if after is not None:
            yield code, after

    def _campaign(self, world: World, place: int) -> Step:
        """A timeout at a node with the pre-vote that follows, as one action: those who agree answer first."""
        whole = Step()
        number = world[place]
        if self.nodes[number].leads:
            number = whole.add(self.step(number, Kind.TIMEOUT, 0))
        number = whole.add(self.step(number, Kind.TIMEOUT, 0))
        questions = [sent for sent in whole.sent if isinstance(self.messages[sent], PreVoteRequest)]
        whole.sent = tuple(sent for sent in whole.sent if sent not in questions)
        answers: list[int] = []
        for question in questions:
            step = self.step(world[self._to[question]], Kind.DELIVER, question)
            whole.problem = whole.problem or step.problem
            answers += step.sent
        for answer in sorted(answers, key=self._refuses):
            if isinstance(self.nodes[number].core._role, PreCandidate):
                number = whole.add(self.step(number, Kind.DELIVER, answer))
        stuck = number == world[place] or isinstance(self.nodes[number].core._role, PreCandidate)
        whole.quiet = stuck and whole.problem is None
        return whole

    def _refuses(self, answer: int) -> bool:
        message = self.messages[answer]
        return not (isinstance(message, PreVoteResponse) and message.granted)

    # -- what an action makes of a world

    def _after(
        self, world: World, place: int, step: Step, spent: int, rest: World, code: Code
    ) -> World | None:
        """The world after a step of the node at `place`; None when the scope does not reach there."""
        if step.problem is not None:
            raise Broken(code, step.problem)
        number = step.node
        node = self.nodes[number]
        if node.term > self.scope.max_term:
            self.bounds.term += 1
            return None
        nodes, history = (*world[:place], number, *world[place + 1 : self.count]), world[self.count]
        if number != world[place]:
            try:
                if step.tells:
                    history = self._told(history, self.nodes[world[place]], node, step, nodes)
                for other in nodes:
                    if (number, other) not in self._agreeing and number != other:
                        laws.pair(node, self.nodes[other])
                        self._agreeing.add((number, other))
            except Violation as violation:
                raise Broken(code, violation) from violation
        if len(node.log) > self.scope.max_log:
            self.bounds.log += 1
            return None
        flights = rest
        if step.sent:
            flights = self._flights(nodes, {*rest, *step.sent})
            if len(flights) > self.scope.flights:
                self.bounds.flights += 1
                return None
        return (*nodes, history, spent, *flights)

    def _flights(self, nodes: World, under_way: set[int]) -> World:
        """Messages under way, sorted; where they are too many, those that would change nothing now are lost."""
        flights = sorted(under_way)
        surplus = len(flights) - self.scope.flights
        for message in tuple(flights) if surplus > 0 else ():
            if surplus and self.step(nodes[self._to[message]], Kind.DELIVER, message).quiet:
                flights.remove(message)
                surplus -= 1
        return tuple(flights)

    def _told(self, number: int, before: Node, node: Node, step: Step, nodes: World) -> int:
        """The history after a step that tells something new, its laws checked."""
        history = self.histories[number]
        leaders, decided, floors = history.leaders, history.decided, history.floors
        if step.leads:
            laws.leads_alone(leaders, node)
            laws.leads_completely(decided, node)
            leaders = (*leaders[: node.term], node.id, *leaders[node.term + 1 :])
        if step.commits:
            laws.commits(decided, node)
            decided += tuple((entry, node.term) for entry in node.log[len(decided) : node.committed])
        if step.cut:
            laws.keeps(decided, before, node)
        everyone = [self.nodes[at] for at in nodes]
        if step.commits:
            laws.decides(before, node, len(history.decided), everyone)
        elif decided and step.cut:
            laws.stays(decided[-1][0], everyone)
        if before.boot != node.boot:
            floors = tuple(floor for floor in floors if floor[0].boot // 1000 != node.id)
        if step.asked is not None:
            floors = (*floors, (step.asked, len(history.decided)))
        for id, index in step.reads:
            known = dict(floors)
            laws.hold(id in known, "I14", f"n{node.id} answers read {id}, which is not open")
            if index is not None:
                laws.answered(known[id], index, node.id)
            floors = tuple(floor for floor in floors if floor[0] != id)
        return self._history(History(leaders, decided, floors))

    # -- single nodes

    def receiver(self, message: int) -> int:
        """The place of a message's receiver in a world."""
        return self._to[message]

    def step(self, number: int, kind: Kind, argument: int) -> Step:
        """What an input makes of a node, looked up or run."""
        key = (number, kind << 32 | argument)
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = self._run(number, kind, argument)
        return step

    def _run(self, number: int, kind: Kind, argument: int) -> Step:
        before, step = self.nodes[number], Step()
        step.node = number
        turn = Turn(before, self.scope.disk)
        try:
            step.asked = self._give(turn, kind, argument)
            after = turn.end()
        except Violation as violation:
            step.problem = violation
            return step
        except Exception as problem:  # noqa: BLE001 - whatever a core raises is a finding, an assertion above all
            step.problem = Violation("assertion", f"n{before.id}: {type(problem).__name__}: {problem}")
            return step
        step.node = self._node(after)
        sent = dict.fromkeys(map(self._message, turn.sent))
        step.sent = tuple(made for made in sent if not isinstance(self.messages[made], self.scope.lose))
        step.lost = tuple(made for made in sent if made not in step.sent)
        step.reads = tuple(turn.reads)
        step.leads = after.leads and not (before.leads and before.term == after.term)
        step.commits = after.committed > before.committed
        step.cut = any(
            tuple(new[: len(old)]) != old for old, new in ((before.log, after.log), (before.disk, after.disk))
        )
        step.tells = bool(
            step.leads or step.commits or step.cut or step.reads or step.asked or before.boot != after.boot
        )
        step.quiet = step.node == number and not step.sent and not step.tells
        return step

    def _give(self, turn: Turn, kind: Kind, argument: int) -> RequestId | None:
        match kind:
            case Kind.DELIVER | Kind.AGAIN | Kind.DROP:
                turn.deliver(self.messages[argument])
            case Kind.TIMEOUT:
                turn.lose_patience()
            case Kind.HEARTBEAT:
                turn.beat()
            case Kind.PROPOSE:
                turn.propose(payload(argument))
            case Kind.READ:
                return turn.read()
            case Kind.SYNC:
                turn.sync()
            case Kind.CRASH:
                turn.crash(argument)
            case Kind.CHANGE:
                turn.change(self.scope.changes[argument])
        return None

    # -- numbers

    def _node(self, node: Node) -> int:
        name = node.name()
        number = self._node_numbers.get(name)
        if number is None:
            number = self._node_numbers[name] = len(self.nodes)
            self.nodes.append(node)
        return number

    def _message(self, message: Message) -> int:
        number = self._message_numbers.get(message)
        if number is None:
            number = self._message_numbers[message] = len(self.messages)
            self.messages.append(message)
            self._to.append(self._places[message.to])
        return number

    def _history(self, history: History) -> int:
        number = self._history_numbers.get(history)
        if number is None:
            number = self._history_numbers[history] = len(self.histories)
            self.histories.append(history)
        return number

    # -- actions

    def action(self, code: Code) -> Action:
        """What a code stands for."""
        kind, argument = Kind(code >> 32), code & _ARGUMENT
        if kind in (Kind.DELIVER, Kind.AGAIN, Kind.DROP):
            message = self.messages[argument]
            return Action(kind, message.to, message)
        node, count = self.scope.nodes[argument >> 8], argument & 0xFF
        if kind is Kind.CHANGE:
            return Action(kind, node, change=self.scope.changes[count])
        return Action(kind, node, None, count)


def payload(number: int) -> bytes:
    """The command of the n-th proposal: a, b, c, ..."""
    return bytes([ord("a") + number])


class _Budget:
    """One counter among those of a world, four bits wide."""

    __slots__ = ("_limit", "_shift", "one")

    def __init__(self, at: int, limit: int) -> None:
        assert 0 <= limit <= 15, f"a budget is 15 at most, not {limit}"
        self._shift = at * 4
        self._limit = limit
        self.one = 1 << self._shift

    def used(self, spent: int) -> int:
        return spent >> self._shift & 15

    def left(self, spent: int) -> bool:
        return (spent >> self._shift & 15) < self._limit


def _budget(scope: Scope) -> dict[Kind, _Budget]:
    limits = {
        Kind.AGAIN: scope.duplicates,
        Kind.DROP: scope.drops,
        Kind.TIMEOUT: scope.timeouts,
        Kind.HEARTBEAT: scope.heartbeats,
        Kind.PROPOSE: scope.proposals,
        Kind.READ: scope.reads,
        Kind.CRASH: scope.crashes,
        Kind.CHANGE: scope.asked,
    }
    budgets = {kind: _Budget(at, limit) for at, (kind, limit) in enumerate(limits.items())}
    return budgets | {kind: _Free() for kind in (Kind.DELIVER, Kind.SYNC)}


class _Free(_Budget):
    """Of this there may be any number."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self.one = 0
