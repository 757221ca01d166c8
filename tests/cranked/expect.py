"""What a story may expect of its cluster, in the field's words."""

from collections.abc import Callable

from jepsen_like.sim.core.cluster import Cluster, Outcome
from jepsen_like.sim.image import Image
from jepsen_like.sim.notation import KINDS, entry_text, membership_text, node, node_text, position, span_text
from raftlog.core.durable import HardState
from raftlog.core.ids import EntryId, NodeId, RequestId
from raftlog.core.ready import (
    ChangeRefused,
    MessageRefused,
    NotLeader,
    PeerImpaired,
    Proposed,
    SnapshotContradicts,
    TransferBegun,
)
from raftlog.core.status import Status


class Expectations:
    """Checks one `expect` line; raises AssertionError with what is the case instead.

    ==========================================  =======================================================
    `n1 leader term 2`                          any of: role, `term N`, `vote n2|nobody`, `follows n2|nobody`,
                                                `last 3@2`, `committed N`, `applied N`, `durable N`, `snapshot N`
    `n1 log 1@1 2@1=x`                          its whole written log
    `n1 disk term 2 vote n1 last 3@2`           what is durable
    `n1 membership voters=n1,n2;learners=n3`    the membership in force
    `n1 member`, `n1 stranger`                  whether a membership that may be in force names it
    `change begun|refused unsafe`               what became of the last change asked for
    `transfer begun|refused`                    and of the last hand-over
    `n1 hands over to n2|nobody`
    `n1 peer n2 replicate match 3 next 4`       a follower in the leader's eyes
    `n1 fetches 3@2|nothing`                    what it fetches
    `n1 base 3@2`                               after which its written log begins
    `n1 impaired`, `n1 whole`
    `n1 fenced [words]`, `n1 sound`             whether its state may be shown, and why not
    `n1 differs n2 3..7`, `n1 differs nobody`   whose state is known to be another, and since when
    `n1 contradicts [words]`                    it has refused a fetched snapshot (for a reason with the words)
    `n1 refused n2 [words]`                     it has refused a message of n2 (whose reason contains the words)
    `n1 impaired n2`                            it cannot serve n2
    `n1 down`
    `read n1 2 open|refused|answered [at 5]`    read number 2 of n1 (of its present boot or the last that had one)
    `no leader`, `one leader [within 20 timeouts]`, `leader n2 within 20 timeouts`
    `converged [within 3 timeouts]`             one leader; every voter and learner up has applied the same
    `deadlines differ`                          no two nodes are due at the same moment
    `messages [kind] <= 12`                     sent since the last `count`
    `entries <= 12`                             copies of entries sent since the last `count`
    `under-way [kind] [n1->n2] 2`               messages on the network
    ==========================================  =======================================================
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def check(self, words: tuple[str, ...]) -> None:
        """Check the words of one line."""
        match words:
            case ("no", "leader"):
                _hold(not self._leaders(), f"leaders: {self._leaders()}")
            case ("one", "leader", *within):
                self._eventually(within, self._one_leader, self._picture)
            case ("leader", name, *within):
                self._eventually(within, lambda: self._leaders() == [node(name)], self._picture)
            case ("converged", *within):
                self._eventually(within, self._converged, self._picture)
            case ("read", name, number, *rest):
                self._read(node(name), int(number), rest)
            case ("deadlines", "differ"):
                due = [self._cluster.core(at).deadline for at in self._cluster.up]
                _hold(len(set(due)) == len(due), f"deadlines: {due}")
            case ("entries", "<=", number):
                sent = self._cluster.network.entries
                _hold(sent <= int(number), f"{sent} copies of entries were sent")
            case ("change", *rest):
                self._change(" ".join(rest))
            case ("transfer", how):
                answer = self._cluster.transfer_answer
                _hold((how == "begun") == isinstance(answer, TransferBegun), f"it was answered {answer}")
            case (name, "hands", "over", "to", whom):
                target = node_text(self._status(name).transferring)
                _hold(target == whom, f"it hands over to {target}")
            case (name, ("member" | "stranger") as what):
                is_member = self._status(name).is_member
                _hold(is_member == (what == "member"), f"member is {is_member}")
            case ("messages", *rest):
                self._messages(rest)
            case ("under-way", *rest):
                self._under_way(rest)
            case (name, "down"):
                _hold(self._cluster.servers[node(name)].core is None, f"{name} is up")
            case (name, "log", *entries):
                log = [entry_text(made) for made in self._written(name).entries]
                _hold(log == entries, f"the log is {' '.join(log)}")
            case (name, "disk", *rest):
                self._disk(self._cluster.servers[node(name)].store.durable, rest)
            case (name, "membership", text):
                _hold(
                    membership_text(self._status(name).membership) == text, f"{self._status(name).membership}"
                )
            case (name, "peer", *rest):
                self._peer(self._status(name), rest)
            case (name, "fetches", what):
                fetch = self._cluster.servers[node(name)].fetch
                _hold(what == ("nothing" if fetch is None else str(fetch.last)), f"it fetches {fetch}")
            case (name, "base", text):
                base = self._written(name).base.last
                _hold(base == position(text), f"its log begins after {base}")
            case (name, (("full" | "slow") as what)):
                _hold(getattr(self._status(name), what), f"it is not {what}")
            case (name, "not", (("full" | "slow") as what)):
                _hold(not getattr(self._status(name), what), f"it is {what}")
            case (name, ("impaired" | "whole") as how):
                impaired = self._status(name).impaired
                _hold(impaired == (how == "impaired"), f"impaired is {impaired}")
            case (name, "fenced", *reason):
                fenced = self._status(name).fenced
                _hold(bool(fenced) and " ".join(reason) in fenced, f"fenced: {fenced!r}")
            case (name, "sound"):
                _hold(not self._status(name).fenced, f"fenced: {self._status(name).fenced}")
            case (name, "differs", *whom):
                others = [
                    f"{node_text(each.peer)} {each.first}..{each.last}" for each in self._status(name).differs
                ]
                _hold(" ".join(whom) == (", ".join(others) or "nobody"), f"it differs from: {others}")
            case (name, "contradicts", *reason):
                reasons = [
                    e.reason
                    for at, e in self._cluster.events
                    if at == node(name) and isinstance(e, SnapshotContradicts)
                ]
                _hold(any(" ".join(reason) in each for each in reasons), f"it refused: {reasons}")
            case (name, "refused", sender, *rest):
                self._refused(node(name), node(sender), " ".join(rest))
            case (name, "impaired", peer):
                found = [
                    e for at, e in self._cluster.events if at == node(name) and isinstance(e, PeerImpaired)
                ]
                _hold(any(event.peer == node(peer) for event in found), f"impaired: {found}")
            case (name, *rest):
                self._node(self._status(name), rest)
            case _:
                raise ValueError("expect what?")

    def _change(self, how: str) -> None:
        answer = self._cluster.change_answer
        match answer:
            case Proposed():
                _hold(how == "begun", f"it was begun as {answer.id}")
            case ChangeRefused(reason, says):
                _hold(how == f"refused {reason.value}", f"it was refused, {reason.value}: {says}")
            case NotLeader() | None:
                _hold(False, f"it was answered {answer}")

    # -- one node

    def _status(self, name: str) -> Status:
        return self._cluster.core(node(name)).status()

    def _written(self, name: str) -> Image:
        return self._cluster.servers[node(name)].store.written

    def _node(self, status: Status, words: list[str]) -> None:
        last = EntryId(status.runs[-1].term, status.last)
        while words:
            match words:
                case (("leader" | "follower" | "candidate" | "pre-candidate") as role, *words):
                    _hold(status.role == role, f"it is a {status.role}")
                case ("not", role, *words):
                    _hold(status.role != role, f"it is a {status.role}")
                case ("follows", name, *words):
                    _hold(node_text(status.leader) == name, f"it follows {node_text(status.leader)}")
                case ("vote", name, *words):
                    _hold(node_text(status.vote) == name, f"its vote is {node_text(status.vote)}")
                case ("last", text, *words):
                    _hold(last == position(text), f"its log ends with {last}")
                case (("term" | "committed" | "applied" | "durable" | "snapshot") as name, number, *words):
                    value = getattr(status, name)
                    _hold(value == int(number), f"its {name} is {value}")
                case _:
                    raise ValueError(f"cannot expect {' '.join(words)!r} of a node")

    def _disk(self, image: Image, words: list[str]) -> None:
        hard: HardState = image.hard_state
        while words:
            match words:
                case ("term", number, *words):
                    _hold(hard.term == int(number), f"its durable term is {hard.term}")
                case ("vote", name, *words):
                    _hold(node_text(hard.vote) == name, f"its durable vote is {node_text(hard.vote)}")
                case ("last", text, *words):
                    _hold(image.last == position(text), f"its durable log ends with {image.last}")
                case _:
                    raise ValueError(f"cannot expect {' '.join(words)!r} of a disk")

    def _peer(self, status: Status, words: list[str]) -> None:
        peer = next((peer for peer in status.peers if peer.id == node(words[0])), None)
        assert peer is not None, (
            f"n{status.node} is {status.role} and follows nobody's progress of {words[0]}"
        )
        words = words[1:]
        while words:
            match words:
                case ("full", *words):
                    _hold(peer.full, "its disk has space")
                case (("probe" | "replicate" | "snapshot") as mode, *words):
                    _hold(peer.mode == mode, f"it is in {peer.mode}")
                case ("match", number, *words):
                    _hold(peer.match_index == int(number), f"match is {peer.match_index}")
                case ("next", number, *words):
                    _hold(peer.next_index == int(number), f"next is {peer.next_index}")
                case _:
                    raise ValueError(f"cannot expect {' '.join(words)!r} of a peer")

    def _refused(self, at: NodeId, sender: NodeId, reason: str) -> None:
        found = [
            event for who, event in self._cluster.events if who == at and isinstance(event, MessageRefused)
        ]
        fits = any(event.sender == sender and reason in event.reason for event in found)
        _hold(fits, f"refused: {[(event.sender, event.reason) for event in found]}")

    # -- reads and messages

    def _read(self, at: NodeId, number: int, words: list[str]) -> None:
        outcome = self._outcome(at, number)
        match words:
            case ("open",):
                _hold(outcome.open, f"the read is not open: {outcome}")
            case ("refused",):
                _hold(outcome.refused, f"the read is not refused: {outcome}")
            case ("answered", *rest):
                _hold(outcome.answered_at is not None, f"the read is not answered: {outcome}")
                if rest:
                    _hold(
                        outcome.answered_at == int(rest[1]), f"the read is answered at {outcome.answered_at}"
                    )
            case _:
                raise ValueError(f"cannot expect {' '.join(words)!r} of a read")

    def _outcome(self, at: NodeId, number: int) -> Outcome:
        ids: list[RequestId] = [id for id, outcome in self._cluster.outcomes.items() if outcome.node == at]
        assert number <= len(ids), f"{node_text(at)} was asked {len(ids)} reads"
        return self._cluster.outcomes[ids[number - 1]]

    def _messages(self, words: list[str]) -> None:
        counts = self._cluster.network.counts
        total = sum(counts.values())
        if words[0] in KINDS:
            total, words = counts[KINDS[words[0]]], words[1:]
        match words:
            case ("<=", number):
                _hold(total <= int(number), f"{total} messages were sent: {dict(counts)}")
            case (">=", number):
                _hold(total >= int(number), f"{total} messages were sent: {dict(counts)}")
            case (number,):
                _hold(total == int(number), f"{total} messages were sent: {dict(counts)}")
            case _:
                raise ValueError("write `expect messages [kind] <= 12`")

    def _under_way(self, words: list[str]) -> None:
        *which, number = words
        found = [
            message
            for message in self._cluster.network.flights
            if all(
                word == f"n{message.sender}->n{message.to}" if "->" in word else type(message) is KINDS[word]
                for word in which
            )
        ]
        _hold(len(found) == int(number), f"under way: {found}")

    # -- the whole cluster

    def _leaders(self) -> list[NodeId]:
        return [at for at in self._cluster.up if self._cluster.core(at).leads]

    def _one_leader(self) -> bool:
        """One leads at the highest term, and enough voters follow it."""
        if len(self._leaders()) != 1:
            return False
        leader = self._leaders()[0]
        quorum = self._cluster.core(leader).status().membership.quorum
        cores = {at: self._cluster.core(at) for at in self._cluster.up}
        return quorum.agrees(lambda at: at in cores and cores[at].leader == leader)

    def _converged(self) -> bool:
        if not self._one_leader():
            return False
        statuses = [self._cluster.core(at).status() for at in self._cluster.up]
        ends = {(status.applied, status.committed, status.last, status.digest) for status in statuses}
        return len(ends) == 1 and len({status.applied for status in statuses}) == 1

    def _eventually(self, within: list[str], fact: Callable[[], bool], instead: Callable[[], str]) -> None:
        timeouts = int(within[1]) if within else 0
        start, timeout = self._cluster.now, self._cluster.settings.election_timeout
        for _ in range(timeouts * 10):
            if fact():
                return
            self._cluster.wait(timeout // 10)
        _hold(fact(), f"not after {span_text(self._cluster.now - start)}: {instead()}")

    def _picture(self) -> str:
        statuses = [self._cluster.core(at).status() for at in self._cluster.up]
        return "; ".join(
            f"n{s.node}@{s.term} {s.role} last {s.last} committed {s.committed} applied {s.applied}"
            for s in statuses
        )


def _hold(fact: bool, instead: str) -> None:
    assert fact, instead
