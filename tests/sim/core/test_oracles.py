"""The checker and the clients' oracle fire on what they forbid, and on nothing else."""

from random import Random

import pytest

from jepsen_like.sim.core.oracle import Oracle
from jepsen_like.sim.core.registers import Command, Registers, decode, encode
from jepsen_like.sim.core.store import Store
from jepsen_like.sim.image import Image, Snapshot, Write
from jepsen_like.sim.invariants import INVARIANTS, Checker, Violation
from jepsen_like.sim.notation import entry, membership
from raftlog.core.durable import HardState, SnapshotMeta
from raftlog.core.entry import Entry, EntryKind, seal
from raftlog.core.ids import NOTHING, Boot, EntryId, GroupId, NodeId, RequestId
from raftlog.core.membership import MembershipAt
from raftlog.core.message import PreVoteRequest
from raftlog.core.raft import Raft
from raftlog.core.settings import Settings

N1, N2 = NodeId(1), NodeId(2)


def command(
    sequence: int, key: str = "k1", *, client: int = 1, expected: str | None = None, compares: bool = False
) -> Command:
    return Command(client, sequence, key, f"c{client}.{sequence}", compares, expected, b"")


def machine(*commands: Command) -> Registers:
    made = Registers()
    for index, each in enumerate(commands, 1):
        made.apply(
            seal(
                group=GroupId(7),
                at=EntryId(1, index),
                kind=EntryKind.COMMANDS,
                log_time=0,
                payload=encode(each),
            )
        )
    return made


def test_the_list_of_invariants_is_whole() -> None:
    assert [row.name for row in INVARIANTS[:16]] == [f"I{number}" for number in range(1, 17)]
    assert {row.name for row in INVARIANTS if row.absent} <= {"I16"}


def test_unequal_digests_break_i5() -> None:
    checker = Checker()
    checker.applied(N1, 1, 77)
    checker.applied(N2, 1, 77)
    with pytest.raises(Violation, match="I5: n2 its digest at 1"):
        checker.applied(N2, 1, 78)


def test_a_command_that_takes_effect_twice_breaks_i15() -> None:
    checker = Checker()
    checker.took_effect(N1, 3, 9, 40)
    checker.took_effect(N2, 3, 9, 40)
    with pytest.raises(Violation, match="I15: n1 command 9 of c3 takes effect at 41, and did at 40"):
        checker.took_effect(N1, 3, 9, 41)


def test_a_read_below_what_was_decided_before_it_breaks_i14() -> None:
    checker, early, late = Checker(), RequestId(Boot(1), 1), RequestId(Boot(1), 2)
    checker.asked(early)
    checker.decided += [(EntryId(1, 1), 1), (EntryId(1, 2), 1)]
    checker.asked(late)
    checker.answered(N1, early, 0)
    checker.answered(N1, late, 2)
    with pytest.raises(Violation, match=r"I14: n1 read .* is released at 1, 2 was decided before it"):
        checker.answered(N1, late, 1)


def story() -> tuple[Checker, list[Entry]]:
    """A checker that knows a decided log: 1@1, the membership of n1 alone at 2@1, 3@1."""
    texts = ("1@1", "2@1:voters=n1", "3@1")
    history = [entry(text, GroupId(7)) for text in texts]
    checker = Checker()
    first = SnapshotMeta(NOTHING, MembershipAt(0, membership(["voters=n1,n2"])))
    disk = Store(Image(first, HardState()))
    core = Raft(
        node=N1,
        group=GroupId(7),
        recovered=disk.open(),
        settings=Settings(),
        random=Random(1),
        now=0,
    )
    checker.started(N1, core, disk)
    checker.prepared(N1, Image(first, HardState(1, None, 3), history), history)
    return checker, history


def meta(of: Entry, at: int, voters: str) -> SnapshotMeta:
    return SnapshotMeta(of.id, MembershipAt(at, membership([f"voters={voters}"])), of.log_time)


def test_a_snapshot_is_of_the_decided_log() -> None:
    checker, (first, second, third) = story()
    checker.applied(N2, 3, 77)
    checker.kept(N1, Snapshot(meta(first, 0, "n1,n2"), 5))
    checker.kept(N1, Snapshot(meta(second, 2, "n1"), 6))
    checker.kept(N1, Snapshot(meta(third, 2, "n1"), 77))
    broken = {
        "of digest 4e": Snapshot(meta(third, 2, "n1"), 78),
        "with the membership of 0": Snapshot(meta(third, 0, "n1,n2"), 77),
        "with the membership of 2": Snapshot(meta(first, 2, "n1"), 5),
        "but 3@1 was decided": Snapshot(meta(entry("3@2", GroupId(7)), 2, "n1"), 77),
        "which nobody has decided": Snapshot(meta(entry("4@1", GroupId(7)), 2, "n1"), 77),
        "of time 9, not 3": Snapshot(
            SnapshotMeta(third.id, MembershipAt(2, membership(["voters=n1"])), 9), 77
        ),
    }
    for words, snapshot in broken.items():
        with pytest.raises(Violation, match=f"I13: n1 .*{words}"):
            checker.kept(N1, snapshot)


def test_a_log_does_not_begin_after_what_no_snapshot_stands_for() -> None:
    checker, (_, second, third) = story()
    disk = checker._disks[N1]
    base = Write(None, (), base=meta(second, 2, "n1"))
    with pytest.raises(Violation, match="I8: n1 lets its log begin after 2@1, its snapshot is at 0"):
        checker.wrote(N1, base)
    disk.durable.keep(Snapshot(meta(third, 2, "n1"), 77))
    checker.wrote(N1, base)


def test_what_is_decided_must_do_without_what_a_whole_node_has_lost() -> None:
    checker, history = story()
    first = SnapshotMeta(NOTHING, MembershipAt(0, membership(["voters=n1,n2"])))
    before = Image(first, HardState(1), history)
    checker._disks[N2] = Store(before.copy())
    checker._disks[N1].durable = before.copy()
    checker._decided_under = first.membership.membership
    checker.crashed(N1)
    checker.damaged(N1, before)
    checker._disks[N1].durable.damage(2)
    checker.crashed(N1)
    ask = PreVoteRequest(group=GroupId(7), sender=N1, to=N2, term=1, last=EntryId(1, 1))
    checker._seen[N1].state.term = 1
    with pytest.raises(
        Violation, match="W4: n1 has lost entries, is not whole again, and says PreVoteRequest"
    ):
        checker.made(ask)
    with pytest.raises(Violation, match="W4: n1 is whole again with 1@1, and 3 was decided before its loss"):
        checker.healed(N1)
    with pytest.raises(Violation, match=r"I7: n1 3@1 is decided, but durable only on \[2\]"):
        checker.healed(N1)  # once more, as if it had been decided since


def oracle() -> Oracle:
    made = Oracle(Checker())
    made.sets(command(1), 5)
    made.sets(command(2), 8)
    made.sets(command(1, "k2", client=2), 6)
    return made


def test_a_value_that_nobody_wrote_is_a_phantom() -> None:
    made = oracle()
    made.read("c1", "k1", "c1.1", 0)
    for key, value in (("k1", "c9.9"), ("k1", "c2.1")):
        with pytest.raises(Violation, match=r"client: c1 finds .* which nobody has written there"):
            made.read("c1", key, value, 0)


def test_what_a_client_has_seen_does_not_go_back() -> None:
    made = oracle()
    made.read("c1", "k1", "c1.2", 0)
    made.read("c2", "k1", "c1.1", 0)
    with pytest.raises(Violation, match="client: c1 sees k1 of entry 5, having seen 8"):
        made.read("c1", "k1", "c1.1", 0)


def test_a_read_sees_what_was_answered_before_it_was_asked() -> None:
    made = oracle()
    before = made.floor("k1")
    made.read("c1", "k1", "c1.2", before)
    assert (before, made.floor("k1")) == (0, 8)
    made.read("c2", "k1", "c1.1", before)
    with pytest.raises(Violation, match=r"I14: c3 reads k1=c1\.1 of entry 5, after 8 was answered"):
        made.read("c3", "k1", "c1.1", made.floor("k1"))
    with pytest.raises(Violation, match="I14: c3 reads k1=None"):
        made.read("c3", "k1", None, made.floor("k1"))


def test_an_answer_without_a_decided_entry_is_a_lie() -> None:
    with pytest.raises(Violation, match="client: c1 is told that its command 1 happened, but it did not"):
        oracle().executed("c1", 1, 1, "k1", "c1.1", 0)


def test_a_machine_that_is_not_what_the_log_makes_breaks_i5() -> None:
    made = Oracle(Checker())
    made.survived({"n1": Registers()})
    with pytest.raises(Violation, match="I5: n1 ends with"):
        made.survived({"n1": machine(command(1))})


def test_a_repetition_gets_the_first_answer_and_does_nothing() -> None:
    once, twice = machine(command(1)), machine(command(1), command(1))
    assert twice.values == once.values
    assert twice.digest != once.digest
    compared = machine(command(1), command(2, expected="other", compares=True))
    assert compared.values == {"k1": "c1.1"}
    assert compared.sessions == {1: (2, False)}
    assert machine(command(1), command(2, expected="c1.1", compares=True)).values == {"k1": "c1.2"}


def test_commands_survive_their_encoding() -> None:
    for each in (command(1), command(7, "k3", client=4, expected="c1.1", compares=True)):
        assert decode(encode(each)) == each
