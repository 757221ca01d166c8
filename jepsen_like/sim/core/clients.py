"""The clients of a core run: each asks one thing at a time and tries again where that is safe."""

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from jepsen_like.check.history import History
from jepsen_like.sim.core.fleet import Fleet
from jepsen_like.sim.core.host import Answer, Broken, Busy, Done, Refused, Replaced, Ticket
from jepsen_like.sim.core.oracle import Oracle
from jepsen_like.sim.core.registers import Command, encode
from jepsen_like.sim.core.timeline import Timeline
from jepsen_like.sim.core.trace import Trace
from jepsen_like.sim.core.wires import Wires
from jepsen_like.sim.plan import Plan
from raftlog.core.ids import Index, Micros, NodeId

PAUSE: tuple[Micros, Micros] = (20_000, 100_000)
"""Between two tries."""
Verb = Literal["read", "write", "cas"]


@dataclass(slots=True)
class Operation:
    """What a client has under way."""

    serial: int
    verb: Verb
    key: str
    value: str | None
    expected: str | None
    sequence: int
    payload: bytes | None
    deadline: Micros
    floor: Index
    first_try: int
    stubborn: bool
    """Tries on when an earlier try may have happened; the session sorts that out."""
    once: bool
    """Never tries again."""
    doubt: bool = False
    """Some try may have happened."""

    @property
    def text(self) -> str:
        """`read k1`, `write k1=c1.7`, `cas k1 c2.3 -> c1.8`."""
        match self.verb:
            case "read":
                return f"read {self.key}"
            case "write":
                return f"write {self.key}={self.value}"
            case "cas":
                return f"cas {self.key} {self.expected or 'nothing'} -> {self.value}"


@dataclass(slots=True)
class Client:
    """Invariants: a later try has a higher number; sequences have no gaps, and only commands have one."""

    number: int
    random: Random
    home: NodeId | None = None
    """Where each operation begins; None for anywhere."""
    left: int | None = None
    """How many operations it still has to begin; None without end."""
    done: int = 0
    """How many it was told of that they happened."""
    sequence: int = 0
    tries: int = 0
    due: Micros = 0
    """When its next operation is to begin."""
    operation: Operation | None = None
    leader: NodeId | None = None
    """Who led when it last heard of a leader."""
    known: dict[str, str | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`c1`."""
        return f"c{self.number}"


class Clients:
    """Asks, hears and records. What becomes of an operation is `ok`, `failed` (it certainly did not happen) or
    `unknown`.

    Invariants: every operation ends at its deadline at the latest.
    """

    def __init__(
        self, plan: Plan, timeline: Timeline, wires: Wires, fleet: Fleet, trace: Trace, oracle: Oracle
    ) -> None:
        self._plan = plan
        self._timeline = timeline
        self._wires = wires
        self._fleet = fleet
        self._trace = trace
        self._oracle = oracle
        self._clients: dict[int, Client] = {}
        self._nodes = tuple(fleet.hosts)
        self._padding = b"." * plan.workload.size
        self._patience = plan.settings.election_timeout
        self._serial = 0
        self._working = True
        self.history = History()
        self.acknowledged = 0
        self.failed = 0
        self.unknown = 0
        fleet.answer = self._answer

    def start(self) -> None:
        """The plan's clients begin to ask."""
        for number in range(1, self._plan.workload.clients + 1):
            client = Client(number, self._plan.random(f"c{number}"))
            self._clients[number] = client
            self._plan_next(client)

    def add(self, client: Client) -> None:
        """One more client, whose operations follow one another at once."""
        self._clients[client.number] = client
        self._timeline.at(self._timeline.now, self._begin, client)

    def stop(self) -> None:
        """The plan's clients begin nothing more."""
        self._working = False

    @property
    def open(self) -> list[Client]:
        """Clients with an operation under way or still to begin."""
        return [client for client in self._clients.values() if client.operation is not None or client.left]

    # -- an operation's life

    def _plan_next(self, client: Client) -> None:
        rate = self._plan.workload.rate
        client.due = max(
            self._timeline.now, client.due + 1 + round(client.random.expovariate(rate) * 1_000_000)
        )
        self._timeline.at(client.due, self._begin, client)

    def _begin(self, client: Client, _: None = None, __: None = None) -> None:
        if client.left is None and not self._working:
            return
        operation = client.operation = self._draw(client)
        self._fleet.events += 1
        self._trace.note("invoke", client.number, operation.verb, operation.key, operation.value)
        if self._trace.watch is not None:
            self._trace.tell(client.name, "invoke", operation.text, flight=operation.serial)
        self.history.invoke(
            client.number,
            operation.verb,
            _argument(operation),
            time=self._timeline.now * 1_000,
            key=operation.key,
        )
        self._try(client, operation)

    def _draw(self, client: Client) -> Operation:
        workload, random = self._plan.workload, client.random
        key = f"k{1 + int(random.random() * workload.keys)}"
        verb: Verb = "read"
        if client.left is not None:
            verb = "read" if client.left % 2 else "write"
            client.left -= 1
        elif random.random() >= workload.reads:
            verb = "cas" if random.random() < workload.swaps else "write"
        self._serial += 1
        payload = value = expected = None
        if verb != "read":
            client.sequence += 1
            value, expected = f"{client.name}.{client.sequence}", client.known.get(key)
            payload = encode(
                Command(client.number, client.sequence, key, value, verb == "cas", expected, self._padding)
            )
            if verb == "cas":
                self._fleet.counts["event/cas"] += 1
        return Operation(
            serial=self._serial,
            verb=verb,
            key=key,
            value=value,
            expected=expected,
            sequence=client.sequence,
            payload=payload,
            deadline=self._timeline.now + workload.deadline,
            floor=self._oracle.floor(key),
            first_try=client.tries + 1,
            stubborn=client.left is not None or random.random() < 0.6,
            once=client.left is None and random.random() < 0.2,
        )

    def _try(self, client: Client, operation: Operation, _: None = None) -> None:
        if client.operation is not operation:
            return
        now = self._timeline.now
        client.tries += 1
        node = self._choose(client, operation)
        if client.tries > operation.first_try:
            self._fleet.counts["event/retry" if operation.doubt else "event/redirect"] += 1
        ticket = Ticket(client.number, client.tries, node, operation.key, operation.payload)
        self._trace.note("try", client.number, client.tries, node)
        wire = self._wires.wire(client.name, self._fleet.hosts[node].name)
        if not wire.cuts:
            self._timeline.at(now + self._wires.delay(wire), self._reaches, ticket)
        self._timeline.at(
            min(now + self._patience, operation.deadline), self._waited, client, operation, client.tries
        )

    def _choose(self, client: Client, operation: Operation) -> NodeId:
        if client.home is not None and client.tries == operation.first_try:
            return client.home
        if client.leader is not None and (operation.payload is not None or client.random.random() < 0.5):
            return client.leader
        return self._nodes[int(client.random.random() * len(self._nodes))]

    def _reaches(self, ticket: Ticket, _: None = None, __: None = None) -> None:
        wire = self._wires.wire(f"c{ticket.client}", self._fleet.hosts[ticket.host].name)
        if not wire.cuts:
            self._fleet.reach(ticket)

    def _answer(self, ticket: Ticket, answer: Answer) -> None:
        """A node answers: the client hears it a little later, unless the way back is cut."""
        wire = self._wires.wire(self._fleet.hosts[ticket.host].name, f"c{ticket.client}")
        if not wire.cuts:
            self._timeline.at(self._timeline.now + self._wires.delay(wire), self._hear, ticket, answer)

    def _hear(self, ticket: Ticket, answer: Answer, _: None = None) -> None:
        client = self._clients[ticket.client]
        operation = client.operation
        if operation is None or ticket.number < operation.first_try:
            return
        if isinstance(answer, Done):
            client.leader = ticket.host if operation.payload is not None else client.leader
            self._done(client, operation, answer)
        elif ticket.number == client.tries:
            self._not_done(client, operation, answer)

    def _not_done(self, client: Client, operation: Operation, answer: Answer) -> None:
        low, high = PAUSE
        pause = low + int(client.random.random() * (high - low))
        match answer:
            case Refused(leader):
                if leader is not None and leader != client.leader:
                    pause = 0
                client.leader = leader
            case Busy(retry_after):
                pause = retry_after
            case Broken():
                client.leader = None
                operation.doubt = True
            case Replaced() | Done():
                pass
        self._again(client, operation, pause)

    def _waited(self, client: Client, operation: Operation, number: int) -> None:
        if client.operation is not operation or client.tries != number:
            return
        client.leader = None
        operation.doubt = True
        self._again(client, operation, 0)

    def _again(self, client: Client, operation: Operation, pause: Micros) -> None:
        due = self._timeline.now + pause
        harmless = operation.payload is None or not operation.doubt
        if due >= operation.deadline or operation.once or not (harmless or operation.stubborn):
            self._given_up(client, operation)
        else:
            client.tries += 1  # whatever the last try still leads to comes too late
            self._timeline.at(due, self._try, client, operation)

    # -- its end

    def _done(self, client: Client, operation: Operation, answer: Done) -> None:
        oracle, name, key = self._oracle, client.name, operation.key
        result: str | bool | None = answer.set
        if operation.verb == "read":
            result = answer.value
            oracle.read(name, key, answer.value, operation.floor)
            client.known[key] = answer.value
        elif answer.set:
            assert operation.value is not None, f"a {operation.verb} without a value"
            oracle.executed(name, client.number, operation.sequence, key, operation.value, operation.floor)
            client.known[key] = operation.value
        else:
            oracle.compared(name, client.number, operation.sequence)
            client.known.pop(key, None)
        self.acknowledged += 1
        client.done += 1
        self.history.ok(client.number, result, time=self._timeline.now * 1_000)
        self._ends(
            client,
            operation,
            "ok",
            f"{operation.text}: {result}" if operation.verb != "write" else operation.text,
        )

    def _given_up(self, client: Client, operation: Operation) -> None:
        if client.left is not None:
            client.left += 1  # the recovery asks for so many answers, not for so many questions
        if operation.payload is not None and operation.doubt:
            self.unknown += 1
            self.history.info(client.number, time=self._timeline.now * 1_000)
            self._ends(client, operation, "unknown", operation.text)
        else:
            self.failed += 1
            self.history.fail(client.number, time=self._timeline.now * 1_000)
            self._ends(client, operation, "fail", operation.text)

    def _ends(
        self, client: Client, operation: Operation, how: Literal["ok", "fail", "unknown"], text: str
    ) -> None:
        self._fleet.events += 1
        self._trace.note(how, client.number, operation.serial)
        if self._trace.watch is not None:
            self._trace.tell(client.name, how, text, flight=operation.serial)
        client.operation = None
        if client.left is None:
            self._plan_next(client)
        elif client.left:
            self._begin(client)


def _argument(operation: Operation) -> str | list[str | None] | None:
    match operation.verb:
        case "read":
            return None
        case "write":
            return operation.value
        case "cas":
            return [operation.expected, operation.value]
