"""A seeded walk through what can happen to a cluster, every invariant checked at each step, and a recovery at the end.

`python -m tests.cranked.walk SEED [STEPS]` replays one walk and prints every step of it.
"""

import sys
from collections.abc import Callable
from random import Random

from jepsen_like.sim.core.cluster import Cluster
from jepsen_like.sim.electorate import enough, halves, smallest
from jepsen_like.sim.notation import changes, membership, node_text
from raftlog.core.change import Change, ImpossibleChange, step
from raftlog.core.ids import NodeId
from raftlog.core.membership import Membership
from raftlog.core.message import TimeoutNow
from raftlog.core.ready import Proposed
from raftlog.core.settings import Settings

MEMBERSHIPS = (
    "voters=n1..n3",
    "voters=n1..n5",
    "voters=n1,n2 learners=n3",
    "voters=n1..n4",
    "voters=n1..n3 outgoing=n3..n5",
    "voters=n1 outgoing=n1..n3 learners=n4",
    "voters=n1..n3 learners=n4,n5",
    "voters=n1",
)
ENTRY = 64
"""Bytes an entry is charged with beside its payload."""


class Walk:
    """One cluster and one source of chance."""

    def __init__(self, seed: int, *, say: Callable[[str, str], None] | None = None) -> None:
        self.random = Random(seed)
        text = self.random.choice(MEMBERSHIPS[:2]) if seed % 2 else self.random.choice(MEMBERSHIPS)
        max_append = self.random.choice((ENTRY * 2, ENTRY * 8, 1 << 18))
        settings = Settings(
            max_append=max_append,
            max_inflight=max_append * self.random.choice((1, 3)),
            max_undecided=max(max_append * 3, ENTRY * self.random.choice((20, 10_000))),
            max_recent=ENTRY * self.random.choice((1, 5, 100_000)),
        )
        first = membership(text.split())
        strangers = [NodeId(len(first.ids) + extra) for extra in range(1, self.random.randrange(3) + 1)]
        self.cluster = Cluster(first, strangers=strangers, settings=settings, seed=seed, say=say)
        self.say = say
        self.proposed = 0
        self.snapshots = self.random.choice((0, 1, 4))
        """How often snapshots are taken and logs compacted."""
        self.keep = self.random.choice((0, 0, 2, 10))
        """Entries kept behind a snapshot."""
        self.damaged: set[NodeId] = set()
        """Voters whose disks have lost something and which are not whole again: less than half."""
        self.changes = self.random.choice((0, 1, 2))
        """How often somebody asks for another membership, or for another leader."""
        self.disasters = self.random.choice((0, 1, 3))
        """How often disks, nodes and links break, beside ordinary work."""
        ordinary = (
            (self._deliver_oldest, 30),
            (self._deliver_any, 25),
            (self._drop, 2),
            (self._duplicate, 4),
            (self._propose, 12),
            (self._read, 5),
            (self._pass_time, 14),
            (self._sync, 12),
            (self._restart, 4),
            (self._heal, 2),
            (self._free, 4),
            (self._campaign, 2),
            (self._settle, 3),
            (self._fetch, 6),
            (self._snapshot, 4 * self.snapshots),
            (self._compact, 6 * self.snapshots),
        )
        broken = (
            (self._crash, 2),
            (self._hold_disk, 3),
            (self._hold_apply, 1),
            (self._hold_loads, 1),
            (self._hold_fetch, 2),
            (self._damage, 2),
            (self._fall_behind, 2 * self.snapshots),
            (self._partition, 1),
            (self._cut, 1),
            (self._long_silence, 2),
            (self._replace_leader, 2),
        )
        changing = ((self._change, 6), (self._transfer, 3), (self._late_call, 1))
        """Most walks change the membership; the others are easier to read."""
        self._steps = [step for step, _ in ordinary + broken + changing]
        self._weights = [weight for _, weight in ordinary] + [weight * self.disasters for _, weight in broken]
        self._weights += [weight * self.changes for _, weight in changing]

    def run(self, steps: int) -> None:
        """Take that many steps, then let what is left recover."""
        for number in range(steps):
            (step,) = self.random.choices(self._steps, self._weights)
            if self.say is not None:
                self.say("step", f"{number}: {step.__name__[1:]}")
            step()
        self.recover()

    # -- ordinary work

    def _deliver_oldest(self) -> None:
        for _ in range(self.random.randrange(1, 6)):
            if self.cluster.network.flights:
                self.cluster.deliver(0)

    def _deliver_any(self) -> None:
        if self.cluster.network.flights:
            self.cluster.deliver(self._any_flight())

    def _duplicate(self) -> None:
        if self.cluster.network.flights:
            self.cluster.deliver(self._any_flight(), again=True)

    def _drop(self) -> None:
        for _ in range(self.random.randrange(1, 4)):
            if self.cluster.network.flights:
                del self.cluster.network.flights[self._any_flight()]

    def _propose(self) -> None:
        leaders = [node for node in self.cluster.up if self.cluster.core(node).leads]
        if not leaders:
            return
        for _ in range(self.random.randrange(1, 4)):
            self.proposed += 1
            self.cluster.propose(self.random.choice(leaders), b"%d" % self.proposed)

    def _read(self) -> None:
        if (node := self._any_up()) is not None:
            self.cluster.read(node)

    def _pass_time(self) -> None:
        settings = self.cluster.settings
        self.cluster.now += self.random.randrange(settings.heartbeat * 2)
        if (node := self._any_up()) is not None:
            self.cluster.tick(node)

    def _sync(self) -> None:
        busy = [node for node in self.cluster.up if self.cluster.servers[node].store.pending]
        if busy:
            self.cluster.sync(self.random.choice(busy))

    def _restart(self) -> None:
        down = [node for node in self.cluster.servers if node not in self.cluster.up]
        if down:
            self.cluster.restart(self.random.choice(down))

    def _heal(self) -> None:
        self.cluster.network.heal()

    def _campaign(self) -> None:
        if (node := self._any_up()) is not None:
            self.cluster.campaign(node)

    def _settle(self) -> None:
        self.cluster.stabilize()

    def _free(self) -> None:
        if (node := self._any_up()) is not None:
            self._free_node(node)

    def _free_node(self, node: NodeId) -> None:
        server = self.cluster.servers[node]
        server.disk_held = server.apply_held = server.loads_held = server.fetch_held = False
        self.cluster.settle(node)

    # -- snapshots

    def _snapshot(self) -> None:
        """Anybody, about as far as it has applied since the last."""
        node = self._any_up()
        if (
            node is not None
            and self.cluster.servers[node].machine.applied > self.cluster.core(node).snapshot_index
        ):
            self.cluster.snapshot(node)

    def _compact(self) -> None:
        """As far as the others allow; now and then as far as the snapshot, whoever needs more."""
        if (node := self._any_up()) is None:
            return
        core = self.cluster.core(node)
        to = core.snapshot_index - self.keep
        if self.random.random() < 0.5:
            to = min(to, core.needed_from - 1)
        if to > 0:
            self.cluster.compact(node, to)

    def _fall_behind(self) -> None:
        """One node hears nothing while the others go on without their logs."""
        away = self.random.choice(list(self.cluster.servers))
        others = [node for node in self.cluster.servers if node != away]
        self.cluster.network.partition([[away], others])
        self._propose()
        self._settle()
        for node in others:
            if node in self.cluster.up:
                core = self.cluster.core(node)
                if self.cluster.servers[node].machine.applied > core.snapshot_index:
                    self.cluster.snapshot(node)
                self.cluster.compact(node, max(core.snapshot_index - self.keep, 0))
        self._heal()

    def _fetch(self) -> None:
        """A fetch ends: somebody's snapshot, the newest or an old one, or nothing, or a crash right after it."""
        busy = [node for node in self.cluster.up if self.cluster.servers[node].fetch is not None]
        if not busy:
            return
        node = self.random.choice(busy)
        sources = [other for other in self.cluster.up if self.cluster.servers[other].store.durable.snapshot]
        match self.random.randrange(8):
            case 0:
                self.cluster.fetch_fails(node)
            case 1 if sources:
                self.cluster.receive(node, self.random.choice(sources))
                self.cluster.crash(node, keeping=self.random.randrange(9))
            case 2 if self.cluster.servers[node].snapshots:
                self.cluster.fetch_fails(node)
                self.cluster.servers[node].fetch = None  # what it asks for next is answered by the old one
                old = self.random.choice(self.cluster.servers[node].snapshots)
                self.cluster.fetched_again(node, old.meta.last.index)
            case _ if sources:
                self.cluster.fetch(node, self.random.choice(sources))
            case _:
                pass

    # -- disasters

    def _crash(self) -> None:
        if (node := self._any_up()) is not None:
            pending = len(self.cluster.servers[node].store.pending)
            self.cluster.crash(node, keeping=self.random.randrange(pending + 1))

    def _hold_disk(self) -> None:
        if (node := self._any_up()) is not None:
            self.cluster.servers[node].disk_held = True

    def _hold_apply(self) -> None:
        if (node := self._any_up()) is not None:
            self.cluster.servers[node].apply_held = True

    def _hold_loads(self) -> None:
        if (node := self._any_up()) is not None:
            self.cluster.servers[node].loads_held = True

    def _hold_fetch(self) -> None:
        for node in self.cluster.up:
            self.cluster.servers[node].fetch_held = True

    def _damage(self) -> None:
        """Less than half of the voters may have lost something at a time."""
        self.damaged = {node for node in self.damaged if self.cluster.servers[node].store.durable.impaired}
        down = [node for node in self.cluster.servers if node not in self.cluster.up]
        node = self.random.choice(down) if down else None
        if node is None:
            return
        lost = self.damaged | {node}
        image = self.cluster.servers[node].store.durable
        if image.entries and self._spare(lost, self.cluster.checker.possible()):
            self.damaged = lost
            self.cluster.damage(node, image.base.last.index + self.random.randint(1, len(image.entries)))

    def _partition(self) -> None:
        nodes = list(self.cluster.servers)
        self.random.shuffle(nodes)
        at = self.random.randrange(len(nodes))
        self.cluster.network.partition([nodes[:at], nodes[at:]])

    def _cut(self) -> None:
        nodes = list(self.cluster.servers)
        self.cluster.network.cut.add((self.random.choice(nodes), self.random.choice(nodes)))

    def _long_silence(self) -> None:
        self.cluster.now += self.random.randrange(self.cluster.settings.election_timeout * 3)
        for node in self.cluster.up:
            if self.random.random() < 0.5:
                self.cluster.tick(node)

    def _replace_leader(self) -> None:
        """Cut a leader off, without its noticing, for long enough that the others may elect and write."""
        leaders = [node for node in self.cluster.up if self.cluster.core(node).leads]
        if not leaders:
            return
        leader = self.random.choice(leaders)
        others = [node for node in self.cluster.servers if node != leader]
        self.cluster.network.partition([[leader], others])
        self.cluster.now += self.cluster.settings.election_timeout
        up = [node for node in others if node in self.cluster.up]
        if up:
            self.cluster.campaign(self.random.choice(up))
            self._settle()
            self._propose()
            self._read()

    # -- membership and office

    def _change(self) -> None:
        """A leader is asked for one to three changes at once, whether or not they fit."""
        leaders = [node for node in self.cluster.up if self.cluster.core(node).leads]
        if not leaders:
            return
        leader = self.random.choice(leaders)
        wanted = [self._any_change() for _ in range(self.random.choice((1, 1, 2, 3)))]
        try:
            after = step(self.cluster.core(leader).membership, wanted)
        except ImpossibleChange:
            return
        expected = self.cluster.core(leader).status().membership_index - self.random.choice((0, 0, 0, 1))
        if self._spare(self.damaged, [after]):
            self.cluster.change(leader, wanted, expected=expected, force=self.random.random() < 0.3)

    def _any_change(self) -> Change:
        nodes = list(self.cluster.servers)
        one, other = self.random.choice(nodes), self.random.choice(nodes)
        verbs = (
            "add",
            "add-voter",
            "promote",
            "demote",
            "remove",
            "remove",
            "replace",
            "replace-later",
            "describe",
        )
        (change,) = changes([f"{self.random.choice(verbs)}={node_text(one)}:{node_text(other)}"])
        return change

    def _spare(self, lost: set[NodeId], memberships: list[Membership]) -> bool:
        """Whether most of every half keep their disks where these have lost something."""
        kept = [node for node in self.cluster.servers if node not in lost]
        return enough(halves(memberships), kept)

    def _transfer(self) -> None:
        leaders = [node for node in self.cluster.up if self.cluster.core(node).leads]
        if leaders:
            target = self.random.choice([None, *self.cluster.servers])
            self.cluster.transfer(self.random.choice(leaders), target)

    def _late_call(self) -> None:
        """A call to take over arrives again, with a copy left under way."""
        late = [at for at, made in enumerate(self.cluster.network.flights) if isinstance(made, TimeoutNow)]
        if late:
            self.cluster.deliver(self.random.choice(late), again=True)

    # -- recovery

    def recover(self) -> None:
        """Heal one quorum, leave everything else broken for good: it must elect, decide and answer, and then rest."""
        cluster = self.cluster
        healed = self._some_quorum()
        rest = [node for node in cluster.servers if node not in healed]
        if self.say is not None:
            self.say("step", f"recovery of {', '.join(map(node_text, healed))}")
        cluster.network.heal()
        cluster.network.partition([healed, rest])
        for node in rest:
            if node in cluster.up:
                cluster.crash(node)
        for node in healed:
            if node not in cluster.up:
                cluster.restart(node)
            self._free_node(node)
        timeout = cluster.settings.election_timeout
        cluster.wait(timeout)  # so that who has long lost its office knows
        self._leader_within(20 * timeout)
        self._settled()
        leader = self._leader_within(20 * timeout)
        healed = self._members()
        term = cluster.core(leader).status().term
        cluster.wait(timeout)
        reads = [cluster.read(node) for node in healed for _ in range(3)]
        taken = [cluster.propose(leader, b"after %d" % number) for number in range(10)]
        cluster.wait(timeout)
        assert cluster.core(leader).leads, f"{node_text(leader)} has lost term {term} in a healthy cluster"
        taken = [outcome for outcome in taken if isinstance(outcome, Proposed)]
        assert taken, "a healthy leader takes nothing"
        for id in reads:
            assert cluster.outcomes[id].answered_at is not None, (
                f"read {id} in a healthy cluster: {cluster.outcomes[id]}"
            )
        ends = {node: cluster.core(node).status() for node in healed}
        lags = {node: (s.applied, s.committed, s.last) for node, s in ends.items()}
        assert len({(s.applied, s.committed, s.last, s.digest) for s in ends.values()}) == 1, f"apart: {lags}"
        assert all(len(set(lag)) == 1 for lag in lags.values()), f"not all decided: {lags}"
        impaired = [node_text(node) for node in healed if cluster.core(node).status().impaired]
        assert not impaired, f"{', '.join(impaired)} never became whole again"
        self._rests(leader, term, healed)

    def _rests(self, leader: NodeId, term: int, healed: list[NodeId]) -> None:
        """No term growth and no message storm once all is well."""
        cluster = self.cluster
        sent = sum(cluster.network.counts.values())
        cluster.wait(10 * cluster.settings.heartbeat)
        sent = sum(cluster.network.counts.values()) - sent
        assert sent <= 11 * 2 * len(cluster.servers), f"{sent} messages in ten heartbeats of an idle cluster"
        assert {cluster.core(node).status().term for node in healed} == {term}, (
            "terms grow in a healthy cluster"
        )
        # A removed node gets no entries any more: a read that was released there may wait for ever.
        open_ = [outcome for outcome in cluster.outcomes.values() if outcome.open and outcome.node in healed]
        assert not open_, f"reads were never answered: {open_}"

    def _some_quorum(self) -> list[NodeId]:
        if self.random.random() < 0.5:  # those who are impaired among the rest must become whole
            return sorted(self.cluster.servers)
        whole = [node for node, server in self.cluster.servers.items() if not server.store.durable.impaired]
        return smallest(halves(self.cluster.checker.possible()), whole, self.random)

    def _members(self) -> list[NodeId]:
        """Those of the newest decided membership who run."""
        ids = self.cluster.checker.membership.membership.ids
        return [node for node in self.cluster.up if node in ids]

    def _settled(self) -> None:
        """Changes that were under way come to their end, and what follows from them too."""
        cluster = self.cluster
        for _ in range(20):
            cluster.wait(cluster.settings.election_timeout)
            ends = [cluster.core(node).status() for node in self._members()]
            if all(end.membership_index == end.decided_index and not end.membership.joint for end in ends):
                return
        raise AssertionError(f"a change of the membership is never through: {cluster.checker.possible()}")

    def _leader_within(self, span: int) -> NodeId:
        cluster, start = self.cluster, self.cluster.now
        while cluster.now - start <= span:
            leaders = [node for node in cluster.up if cluster.core(node).leads]
            if len(leaders) == 1 and all(cluster.core(node).leader == leaders[0] for node in self._members()):
                return leaders[0]
            cluster.wait(cluster.settings.election_timeout // 10)
        raise AssertionError(
            f"no leader within {span} us: {[cluster.core(node).status() for node in cluster.up]}"
        )

    # -- chance

    def _any_flight(self) -> int:
        return self.random.randrange(len(self.cluster.network.flights))

    def _any_up(self) -> NodeId | None:
        up = self.cluster.up
        return self.random.choice(up) if up else None


def main(arguments: list[str]) -> None:
    """Replay one walk, step by step."""
    seed, steps = int(arguments[0]), int(arguments[1]) if arguments[1:] else 300
    Walk(seed, say=lambda topic, line: print(line if topic == "step" else f"    {line}")).run(steps)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
