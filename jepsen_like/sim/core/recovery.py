"""How every core run ends: one quorum is healed, the rest stays broken, and what was promised must come."""

from random import Random

from jepsen_like.sim.core.clients import Client, Clients
from jepsen_like.sim.core.fleet import Fleet
from jepsen_like.sim.core.host import Host, Process
from jepsen_like.sim.core.nemesis import Nemesis
from jepsen_like.sim.core.oracle import Oracle
from jepsen_like.sim.core.timeline import Timeline
from jepsen_like.sim.core.trace import Trace
from jepsen_like.sim.core.wires import Wires
from jepsen_like.sim.electorate import halves, smallest
from jepsen_like.sim.faults import MemberChange
from jepsen_like.sim.links import between
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Violation
from raftlog.core.ids import Micros, Term
from raftlog.testing.network import Weather

OPERATIONS = 10
"""Through each healed node."""
TIMEOUTS = 20
"""Election timeouts: for a leader, and again for the operations."""
GROWS = 5
"""Times as long as that, at most, for a change of the membership while logs grow."""
RESTS = 10
"""Heartbeats for which nothing may happen but heartbeats."""


class Recovery:
    """The liveness phase: everyone may take their time while faults last, and must get somewhere afterwards."""

    def __init__(
        self,
        plan: Plan,
        timeline: Timeline,
        wires: Wires,
        fleet: Fleet,
        nemesis: Nemesis,
        clients: Clients,
        oracle: Oracle,
        trace: Trace,
    ) -> None:
        self._plan = plan
        self._timeline = timeline
        self._wires = wires
        self._fleet = fleet
        self._nemesis = nemesis
        self._clients = clients
        self._oracle = oracle
        self._trace = trace
        self._random: Random = plan.random("recovery")
        self._timeout = plan.settings.election_timeout
        self._healed: list[Host] = []

    def run(self) -> None:
        """Heal, and hold the cluster to its promises; raises `Violation` where it keeps one not."""
        self._clients.stop()
        self._nemesis.stand_down()
        self._heal()
        self._leader_within(TIMEOUTS * self._timeout)
        self._changed_within(TIMEOUTS * self._timeout)
        self._serves_within(TIMEOUTS * self._timeout)
        self._settles_within(TIMEOUTS * self._timeout)
        leader, term = self._leader_within(0)
        self._rests(leader, term)
        self._oracle.survived({host.name: _process(host).machine for host in self._members})

    # -- healing

    def _heal(self) -> None:
        self._healed = self._chosen()
        names = [host.name for host in self._healed]
        rest = [host for host in self._fleet.hosts.values() if host not in self._healed]
        self._trace.note("recovery", names)
        self._trace.tell("net", "heal", f"{', '.join(names)} are healed; the rest stays as it is")
        self._wires.heal()
        low, high = self._plan.weather.delay
        well = max(1, self._timeout // 20)
        self._wires.change(Weather(delay=(min(low, well), min(high, well))))
        self._wires.cut(between([names, [host.name for host in rest]]))
        self._wires.cut(
            between([[f"c{number}" for number in self._client_numbers], [host.name for host in rest]])
        )
        for host in rest:
            if host.process is not None and self._random.random() < 0.5:
                self._fleet.crash(host, power=True)
        for host in self._healed:
            self._make_well(host)

    def _chosen(self) -> list[Host]:
        """A smallest quorum of intact voters of all memberships there may be; for every second seed everyone intact."""
        hosts = [host for host in self._fleet.hosts.values() if not host.wiped]
        if self._plan.seed % 2:
            return hosts
        # Who is impaired gives no vote.
        voters = [host.id for host in hosts if not host.store.durable.impaired]
        chosen = smallest(halves(self._fleet.possible()), voters, self._random)
        return [host for host in hosts if host.id in chosen]

    @property
    def _members(self) -> list[Host]:
        """Those of the healed whom the newest decided membership names: of the others nothing is promised."""
        ids = self._fleet.membership_decided.membership.ids
        return [host for host in self._healed if host.id in ids]

    def _make_well(self, host: Host) -> None:
        fleet = self._fleet
        host.stalled_until = host.slow_until = host.full_until = 0
        self._fleet.see_room(host)
        host.clock.drift(0, self._timeline.now)
        if host.process is None:
            fleet.boot(host)
            return
        fleet.rewind(host)
        if host.process.hung:
            fleet.unhang(host)
        if host.process.paused:
            fleet.resume(host)

    # -- what must come

    def _leader_within(self, span: Micros) -> tuple[Host, Term]:
        end = self._timeline.now + span
        while True:
            leader = self._agreed_leader()
            if leader is not None:
                return leader, _process(leader).view.state.term
            if self._timeline.now >= end:
                break
            self._timeline.run_until(min(end, self._timeline.now + self._timeout // 10))
        roles = ", ".join(
            f"{host.name}@{_process(host).view.state.term} {_process(host).view.role.name}"
            for host in self._healed
        )
        raise Violation(
            "liveness", f"no leader within {TIMEOUTS} election timeouts of a healed quorum: {roles}"
        )

    def _agreed_leader(self) -> Host | None:
        """Who leads in the highest term of the healed members, and is followed by all of them."""
        processes = [_process(host) for host in self._members]
        term = max(process.view.state.term for process in processes)
        leading = [host for host in self._members if _process(host).core.leads]
        if len(leading) != 1 or any(process.view.state.term != term for process in processes):
            return None
        return leading[0] if all(process.core.leader == leading[0].id for process in processes) else None

    @property
    def _client_numbers(self) -> range:
        return range(1, self._plan.workload.clients + len(self._fleet.hosts) + 1)

    def _changed_within(self, span: Micros) -> None:
        """Changes that were under way are through, and for three election timeouts none has followed (M3, M16).

        As long as logs grow on disks the time begins anew: a voter that was forced in has to catch up before it counts,
        be its disk ever so slow.
        """
        if not any(isinstance(fault, MemberChange) for fault in self._plan.faults):
            return
        end, quiet_since = self._timeline.now + span, self._timeline.now
        latest = self._timeline.now + GROWS * span
        before, grown = self._fleet.membership_decided, 0
        while self._timeline.now < end and self._timeline.now < quiet_since + 3 * self._timeout:
            self._timeline.run_until(self._timeline.now + self._timeout // 10)
            durable = sum(_process(host).view.state.log.durable for host in self._members)
            if durable > grown:
                grown, end = durable, min(latest, self._timeline.now + span)
            newest = self._fleet.membership_decided
            memberships = [_process(host).view.membership for host in self._members]
            if newest != before or newest.membership.joint or any(at != newest for at in memberships):
                before, quiet_since = newest, self._timeline.now
        if self._timeline.now < quiet_since + 3 * self._timeout:
            raise Violation("liveness", f"a change of the membership is never through: {before}")
        self._leader_within(TIMEOUTS * self._timeout)

    def _serves_within(self, span: Micros) -> None:
        members = self._members
        clients = [self._client(host) for host in members]
        for client in clients:
            self._clients.add(client)
        end = self._timeline.now + span
        while any(client.done < OPERATIONS for client in clients) and self._timeline.now < end:
            self._timeline.run_until(self._timeline.now + self._timeout // 10)
        done = {host.name: client.done for host, client in zip(members, clients, strict=True)}
        if any(number < OPERATIONS for number in done.values()):
            through = ", ".join(f"{number} through {name}" for name, number in done.items())
            raise Violation(
                "liveness",
                f"a healed quorum with a leader answers {through} of {OPERATIONS} operations each"
                f" within {TIMEOUTS} election timeouts",
            )

    def _client(self, host: Host) -> Client:
        number = self._plan.workload.clients + host.id
        return Client(number, self._plan.random(f"c{number}"), home=host.id, left=OPERATIONS)

    def _settles_within(self, span: Micros) -> None:
        """Every call is resolved, and the healed nodes are equal."""
        end = self._timeline.now + max(span, self._plan.workload.deadline + self._timeout)
        while (problem := self._unsettled()) and self._timeline.now < end:
            self._timeline.run_until(self._timeline.now + self._plan.settings.heartbeat)
        if problem:
            raise Violation("liveness", problem)

    def _unsettled(self) -> str:
        waiting = [client.name for client in self._clients.open]
        if waiting:
            return f"calls of {', '.join(waiting)} are never resolved"
        states = {host.name: _process(host).view.state for host in self._members}
        if len({(state.log.last, state.committed, state.applied) for state in states.values()}) > 1:
            places = ", ".join(
                f"{name}: applied {state.applied}, committed {state.committed}, last {state.log.last}"
                for name, state in states.items()
            )
            return f"healed nodes do not become equal: {places}"
        writing = [host.name for host in self._healed if host.store.pending]
        if writing:
            return f"what {', '.join(writing)} wrote is never synced"
        impaired = [host.name for host in self._members if host.store.durable.impaired]
        if impaired:
            return f"{', '.join(impaired)} never become whole again"
        unanswered = [host.name for host in self._members if _process(host).reads or _process(host).released]
        if unanswered:
            return f"reads at {', '.join(unanswered)} are never answered"
        return ""

    def _sent(self) -> int:
        return sum(host.sent for host in self._healed)

    def _rests(self, leader: Host, term: Term) -> None:
        """No term growth and no message storm once all is well, whatever those do that were not healed."""
        before = self._sent()
        self._timeline.run_until(self._timeline.now + RESTS * self._plan.settings.heartbeat)
        sent = self._sent() - before
        most = (RESTS + 1) * 2 * len(self._fleet.hosts)
        if sent > most:
            raise Violation(
                "liveness", f"{sent} messages in {RESTS} heartbeats of an idle cluster, not {most}"
            )
        terms = {host.name: _process(host).view.state.term for host in self._members}
        if set(terms.values()) != {term} or not _process(leader).core.leads:
            raise Violation(
                "liveness", f"{leader.name}@{term} loses its office in a healthy cluster: {terms}"
            )


def _process(host: Host) -> Process:
    assert host.process is not None, f"{host.name} was healed, and is down"
    return host.process
