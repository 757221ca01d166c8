"""The commands of the story language, one method each; the method's docstring shows how to write it."""

import re
from itertools import islice

from jepsen_like.sim.core.cluster import GROUP, Cluster
from jepsen_like.sim.core.network import Selector
from jepsen_like.sim.image import Image
from jepsen_like.sim.notation import (
    KINDS,
    changes,
    entry,
    entry_text,
    forged,
    membership,
    node,
    node_text,
    nodes,
    position,
    span,
)
from raftlog.core.durable import HardState, SnapshotMeta
from raftlog.core.ids import NOTHING, NodeId
from raftlog.core.membership import MembershipAt
from raftlog.core.message import AppendRequest, Message
from raftlog.core.ready import (
    Busy,
    ChangeRefused,
    Missing,
    NoSpace,
    NotLeader,
    Proposed,
    TransferBegun,
    TransferRefused,
)
from raftlog.core.settings import Settings
from raftlog.core.status import Status
from tests.cranked.expect import Expectations

_ORDINAL = re.compile(r"\d+(st|nd|rd|th)")
_SIZES = frozenset({"max_append", "max_inflight", "max_undecided", "max_recent"})
_SPANS = frozenset({"election_timeout", "heartbeat"})


class Commands:
    """Runs the lines of one story against a cluster and gathers what happened."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._quiet = False
        self._cluster: Cluster | None = None

    def run(self, line: str) -> None:
        """Run one line."""
        words = line.partition(" #")[0].split()
        if not words or words[0].startswith("#"):
            return
        command = getattr(self, "do_" + words[0].replace("-", "_"), None)
        if command is None:
            raise ValueError(f"unknown command {words[0]!r}")
        command(*words[1:])

    def take_said(self) -> list[str]:
        """What has happened since the last call."""
        said, self._said = self._said, []
        return said

    @property
    def cluster(self) -> Cluster:
        """The cluster of the story."""
        if self._cluster is None:
            raise ValueError("a story begins with `cluster`")
        return self._cluster

    def _say(self, topic: str, line: str) -> None:
        if not (self._quiet and topic in ("message", "disk", "commit")):
            self._said.append(line)

    # -- setting the scene

    def do_cluster(self, *words: str) -> None:
        """`cluster voters=n1..n5 learners=n6 strangers=n7 election_timeout=1s max_append=200 seed=3 clock=90min`."""
        groups = [word for word in words if word.partition("=")[0] in ("voters", "outgoing", "learners")]
        knobs = dict(word.split("=", 1) for word in words if word not in groups)
        strangers = nodes(knobs.pop("strangers", ""))
        seed, clock = int(knobs.pop("seed", "0")), span(knobs.pop("clock", "10s"))
        numbers = {name: int(knobs.pop(name)) for name in sorted(_SIZES & knobs.keys())}
        numbers |= {name: span(knobs.pop(name)) for name in sorted(_SPANS & knobs.keys())}
        if knobs:
            raise ValueError(f"unknown setting {', '.join(sorted(knobs))}")
        settings = Settings(**numbers)
        self._cluster = Cluster(
            membership(groups), strangers=strangers, settings=settings, seed=seed, now=clock, say=self._say
        )

    def do_prepare(self, name: str, *words: str) -> None:
        """`prepare n1 1@1 2@1 3@4 term=5 vote=n2 commit=2 base=1`: the node has lived before, long ago."""
        marks = dict(word.split("=", 1) for word in words if "@" not in word)
        history = [entry(word, GROUP) for word in words if "@" in word]
        last_term = history[-1].term if history else 0
        term, commit = int(marks.pop("term", last_term)), int(marks.pop("commit", "0"))
        vote = node(marks.pop("vote")) if "vote" in marks else None
        image = Image(
            SnapshotMeta(NOTHING, MembershipAt(0, self.cluster.membership)),
            HardState(term, vote, commit),
            list(history),
        )
        if base := int(marks.pop("base", "0")):
            image.begin_after(image.meta_at(base))
        if marks:
            raise ValueError(f"unknown mark {', '.join(sorted(marks))}")
        self.cluster.prepare(node(name), image, history)

    # -- inputs

    def do_campaign(self, name: str) -> None:
        """`campaign n1`: ask for votes now."""
        self.cluster.campaign(node(name))

    def do_propose(self, name: str, *payloads: str) -> None:
        """`propose n1 x y`: two entries; `*30` after a payload repeats its text to make it long."""
        for text in payloads:
            text, _, times = text.partition("*")
            match self.cluster.propose(node(name), (text * int(times or "1")).encode()):
                case Proposed(id):
                    self._say("propose", f"{name} takes {text[:24]} as {id}")
                case NotLeader(leader):
                    self._say("propose", f"{name} does not lead, {node_text(leader)} does")
                case Busy():
                    self._say("propose", f"{name} is busy")
                case NoSpace(nodes):
                    full = ", ".join(map(node_text, nodes))
                    self._say("propose", f"{name} refuses {text[:24]}: no space at {full}")

    def do_change(self, name: str, *words: str) -> None:
        """`change n1 add=n4 remove=n2 [expected=7] [force]`: ask n1 for a change of the membership."""
        marks = [word for word in words if word == "force" or word.startswith("expected=")]
        expected = [int(mark.partition("=")[2]) for mark in marks if mark != "force"]
        answer = self.cluster.change(
            node(name),
            changes([word for word in words if word not in marks]),
            expected=expected[0] if expected else None,
            force="force" in marks,
        )
        match answer:
            case Proposed(id):
                self._say("change", f"{name} begins the change as {id}")
            case NotLeader(leader):
                self._say("change", f"{name} does not lead, {node_text(leader)} does")
            case ChangeRefused(reason, says):
                self._say("change", f"{name} refuses the change, {reason.value}: {says}")

    def do_transfer(self, name: str, target: str = "") -> None:
        """`transfer n1 [n2]`: n1 is to hand over, to n2 or to whom it likes."""
        match self.cluster.transfer(node(name), node(target) if target else None):
            case TransferBegun(target=heir):
                self._say("transfer", f"{name} begins to hand over to {node_text(heir)}")
            case NotLeader(leader):
                self._say("transfer", f"{name} does not lead, {node_text(leader)} does")
            case TransferRefused(says):
                self._say("transfer", f"{name} refuses to hand over: {says}")

    def do_read(self, name: str) -> None:
        """`read n1`: begin a linearizable read; reads of one node are numbered from 1."""
        self.cluster.read(node(name))

    def do_inject(self, kind: str, link: str, *fields: str) -> None:
        """`inject append n1->n2 term=3 prev=4@2 entries=5@3|6@3 commit=9`: put a message on the network."""
        sender, to = _link(link)
        message = forged(kind, sender, to, GROUP, dict(field.split("=", 1) for field in fields))
        if isinstance(message, AppendRequest) and all(made.intact() for made in message.entries):
            self.cluster.checker.known(message.entries, message.prev.term)
        self.cluster.network.send(message)

    # -- the network

    def do_deliver(self, *words: str) -> None:
        """`deliver [kind] [n1->n2] [2nd] [count]`: the oldest message meant (or the 2nd), `count` of them, or `all`."""
        for _ in self._chosen(words):
            self.cluster.deliver(self._next())

    def do_drop(self, *words: str) -> None:
        """`drop [kind] [n1->n2] [2nd] [count]`: lose messages under way."""
        for _ in self._chosen(words):
            del self.cluster.network.flights[self._next()]

    def do_duplicate(self, *words: str) -> None:
        """`duplicate [kind] [n1->n2] [2nd]`: deliver the oldest message meant, and leave a copy of it under way."""
        for _ in self._chosen(words):
            self.cluster.deliver(self._next(), again=True)

    def do_reverse(self) -> None:
        """`reverse`: what was sent last arrives first."""
        self.cluster.network.flights.reverse()

    def do_hold(self, *words: str) -> None:
        """`hold [kind] [n1->n2]`: such messages wait until they are released, or named in a `deliver`."""
        self.cluster.network.held.append(_selector(words)[0])

    def do_release(self) -> None:
        """`release`: nothing is held any more."""
        self.cluster.network.held.clear()

    def do_partition(self, *islands: str) -> None:
        """`partition n1,n2 n3`: nothing passes between the islands."""
        self.cluster.network.partition([list(part) for part in map(_nodes, islands)])

    def do_cut(self, link: str) -> None:
        """`cut n1->n2`: nothing passes in this direction."""
        self.cluster.network.cut.add(_link(link))

    def do_heal(self) -> None:
        """`heal`: every link carries again."""
        self.cluster.network.heal()

    def do_stabilize(self) -> None:
        """`stabilize`: deliver everything that is not held, and what that leads to."""
        self.cluster.stabilize()

    # -- time

    def do_wait(self, duration: str) -> None:
        """`wait 3s`: let time pass with prompt messages; only changes of role, reads and refusals are recorded."""
        self._quiet = True
        try:
            self.cluster.wait(span(duration))
        finally:
            self._quiet = False

    def do_elapse(self, duration: str) -> None:
        """`elapse 3s`: move the clock; nobody is told."""
        self.cluster.now += span(duration)

    def do_tick(self, name: str) -> None:
        """`tick n1`: tell one node what time it is."""
        self.cluster.tick(node(name))

    # -- nodes and their disks

    def do_crash(self, name: str, *keeping: str) -> None:
        """`crash n1` loses unsynced writes; `crash n1 keeping 1` keeps the first, `keeping all` every one."""
        server = self.cluster.servers[node(name)]
        count = 0
        if keeping:
            count = len(server.store.pending) if keeping[1] == "all" else int(keeping[1])
        self.cluster.crash(node(name), keeping=count)

    def do_restart(self, name: str) -> None:
        """`restart n1`: start again from what is durable."""
        self.cluster.restart(node(name))

    def do_damage(self, name: str, index: str) -> None:
        """`damage n1 5`: in a stopped node's log everything from 5 on is unreadable."""
        self.cluster.damage(node(name), int(index))

    def do_err(self, name: str) -> None:
        """`err n1`: the next entry that its state machine applies has another effect than it has elsewhere."""
        self.cluster.servers[node(name)].machine.errs = True

    def do_lose_state(self, name: str) -> None:
        """`lose-state n1`: its driver finds that it cannot build the state machine's state any more."""
        self.cluster.core(node(name)).state_lost("its state is lost", self.cluster.now)
        self.cluster.settle(node(name))

    # -- snapshots

    def do_snapshot(self, *names: str) -> None:
        """`snapshot n1 n2`: each takes a snapshot of what it has applied."""
        for name in names:
            self.cluster.snapshot(node(name))

    def do_compact(self, name: str, index: str = "") -> None:
        """`compact n1 [5]`: its log begins after 5, or after what nobody in contact with it needs."""
        self.cluster.compact(node(name), int(index) if index else None)
        self._said.append(
            f"{name}'s log begins after {self.cluster.servers[node(name)].store.written.base.last}"
        )

    def do_hold_fetch(self, name: str) -> None:
        """`hold-fetch n1`: snapshots it fetches wait for `fetch`, `fail-fetch` or `free-fetch`."""
        self.cluster.servers[node(name)].fetch_held = True

    def do_fetch(self, name: str, source: str = "", index: str = "") -> None:
        """`fetch n1 [n2 [5]]`: what it fetches has come, from whom it asked or from n2: the newest, or that at 5."""
        at = int(index) if index else None
        self.cluster.fetch(node(name), node(source) if source else None, at)

    def do_fetch_again(self, name: str, index: str) -> None:
        """`fetch-again n1 5`: its core is told once more of the snapshot at 5."""
        self.cluster.fetched_again(node(name), int(index))

    def do_receive(self, name: str, source: str, index: str = "") -> None:
        """`receive n1 n2 [5]`: n2's snapshot is durable at n1, whose core has not heard of it yet."""
        found = self.cluster.receive(node(name), node(source), int(index) if index else None)
        assert found is not None, f"{source} has no snapshot for {name}"

    def do_fail_fetch(self, name: str) -> None:
        """`fail-fetch n1`: what it fetches cannot be had."""
        self.cluster.fetch_fails(node(name))

    def do_free_fetch(self, name: str) -> None:
        """`free-fetch n1`: what it fetches comes at once again."""
        self.cluster.servers[node(name)].fetch_held = False
        self.cluster.settle(node(name))

    def do_forge_fetch(self, name: str, at: str) -> None:
        """`forge-fetch n1 9@2`: its core is told of a snapshot that cannot be."""
        core = self.cluster.core(node(name))
        core.snapshot_fetched(
            SnapshotMeta(position(at), MembershipAt(0, self.cluster.membership)), 0, self.cluster.now
        )
        self.cluster.settle(node(name))

    def do_pause(self, name: str) -> None:
        """`pause n1`: it stands still, as after SIGSTOP."""
        self.cluster.servers[node(name)].paused = True

    def do_resume(self, name: str) -> None:
        """`resume n1`: it goes on, without knowing how long it stood."""
        self.cluster.servers[node(name)].paused = False

    def do_hold_disk(self, name: str) -> None:
        """`hold-disk n1`: its writes wait for `sync`."""
        self.cluster.servers[node(name)].disk_held = True

    def do_free_disk(self, name: str) -> None:
        """`free-disk n1`: its writes complete again, those that wait first."""
        self.cluster.servers[node(name)].disk_held = False
        self.cluster.settle(node(name))

    def do_sync(self, name: str, count: str = "1") -> None:
        """`sync n1 [2]`: complete its oldest write, or several."""
        for _ in range(int(count)):
            self.cluster.sync(node(name))

    def do_full_disk(self, name: str, room: str = "0") -> None:
        """`full-disk n1 [2000]`: its disk has no space for commands, or for so many bytes of them."""
        self.cluster.room(node(name), int(room))

    def do_space(self, name: str) -> None:
        """`space n1`: its disk has space again."""
        self.cluster.room(node(name), None)

    def do_overtake(self, name: str) -> None:
        """`overtake n1`: term and vote of its held writes are synced ahead of their entries."""
        self.cluster.overtake(node(name))

    def do_fail_disk(self, name: str) -> None:
        """`fail-disk n1`: a write fails; the driver stops such a node at once."""
        self.cluster.crash(node(name))
        self._say("disk", f"{name} stops: its disk failed")

    def do_hold_apply(self, name: str) -> None:
        """`hold-apply n1`: its state machine stands still."""
        self.cluster.servers[node(name)].apply_held = True

    def do_apply(self, name: str) -> None:
        """`apply n1`: its state machine catches up, and goes on from now."""
        self.cluster.servers[node(name)].apply_held = False
        self.cluster.apply(node(name))

    def do_hold_loads(self, name: str) -> None:
        """`hold-loads n1`: entries it asks from its disk wait for `load`."""
        self.cluster.servers[node(name)].loads_held = True

    def do_load(self, name: str, found: str = "") -> None:
        """`load n1 [damaged|compacted]`: answer its oldest load."""
        self.cluster.load(node(name), found=Missing(found) if found else None)

    def do_load_late(self, name: str, *entries: str) -> None:
        """`load-late n1 2@1 3@1`: answer its oldest load with what the disk held when the load was asked for."""
        read = tuple(entry(text, GROUP) for text in entries)
        self.cluster.load(node(name), found=read)

    def do_free_loads(self, name: str) -> None:
        """`free-loads n1`: entries come from its disk at once again."""
        self.cluster.servers[node(name)].loads_held = False
        self.cluster.settle(node(name))

    # -- looking

    def do_status(self, *names: str) -> None:
        """`status [n1]`: role, term, leader and indexes."""
        for name in names or tuple(node_text(id) for id in self.cluster.servers):
            core = self.cluster.servers[node(name)].core
            self._said.append(f"{name} is down" if core is None else _status_text(core.status()))

    def do_log(self, *names: str) -> None:
        """`log [n1]`: the entries, written and durable."""
        for name in names or tuple(node_text(id) for id in self.cluster.servers):
            store = self.cluster.servers[node(name)].store
            written = " ".join(map(entry_text, store.written.entries)) or "empty"
            base = f"[..{store.written.base.last}] " if store.written.base.last.index else ""
            unsynced = f" | durable {store.durable.last}" if store.pending else ""
            self._said.append(f"{name}: {base}{written}{unsynced}")

    def do_flights(self) -> None:
        """`flights`: how many messages of each kind are under way."""
        kinds = [type(message) for message in self.cluster.network.flights]
        counts = [f"{kinds.count(kind)} {name}" for name, kind in KINDS.items() if kind in kinds]
        self._said.append("under way: " + (", ".join(counts) or "nothing"))

    def do_count(self) -> None:
        """`count`: `expect messages` and `expect entries` count from here."""
        self.cluster.network.counts.clear()
        self.cluster.network.entries = 0

    def do_expect(self, *words: str) -> None:
        """`expect ...`: see `tests.cranked.expect`."""
        self._quiet = True
        try:
            Expectations(self.cluster).check(words)
        finally:
            self._quiet = False

    # -- reading words

    def _chosen(self, words: tuple[str, ...]) -> range:
        ordinals = [word for word in words if _ORDINAL.fullmatch(word)]
        self._skip = int(ordinals[0][:-2]) - 1 if ordinals else 0
        self._selector, count = _selector(tuple(word for word in words if word not in ordinals))
        meant = len(list(self.cluster.network.select(self._selector))) - self._skip
        wanted = meant if count is None else count
        if meant < max(wanted, 1):
            raise ValueError(f"only {meant} such messages are under way: {self._flights()}")
        return range(wanted)

    def _next(self) -> int:
        return next(islice(self.cluster.network.select(self._selector), self._skip, None))

    def _flights(self) -> list[str]:
        return [f"{m.sender}->{m.to} {type(m).__name__}" for m in self.cluster.network.flights]


def _selector(words: tuple[str, ...]) -> tuple[Selector, int | None]:
    """Which messages, and how many of them: 1 unless said, None for all."""
    kind: type[Message] | None = None
    sender: NodeId | None = None
    to: NodeId | None = None
    count: int | None = 1
    for word in words:
        if "->" in word:
            ends = word.split("->")
            sender, to = (node(end) if end else None for end in ends)
        elif word in KINDS:
            kind = KINDS[word]
        elif word == "all":
            count = None
        elif word.isdigit():
            count = int(word)
        else:
            raise ValueError(f"{word!r} is no kind of message ({', '.join(KINDS)}), link (n1->n2) or count")
    return Selector(sender, to, kind), count


def _link(text: str) -> tuple[NodeId, NodeId]:
    sender, _, to = text.partition("->")
    return node(sender), node(to)


def _nodes(text: str) -> tuple[NodeId, ...]:
    return tuple(node(name) for name in text.split(","))


def _status_text(status: Status) -> str:
    leader = f" of {node_text(status.leader)}" if status.leader not in (None, status.node) else ""
    vote = f" vote {node_text(status.vote)}" if status.vote is not None else ""
    peers = "".join(
        f" | {node_text(peer.id)} {peer.mode} match {peer.match_index} next {peer.next_index}"
        for peer in status.peers
    )
    return (
        f"n{status.node}@{status.term} {status.role}{leader}{vote} | first {status.first} last {status.last}"
        f" durable {status.durable} committed {status.committed} applied {status.applied}{peers}"
    )
