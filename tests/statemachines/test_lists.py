"""Transactions on lists against a plain dict of lists, their refusals, and on a simulated cluster."""

from random import Random
from typing import Any

import pytest

from jepsen_like import SimulatedClient, simulate
from jepsen_like.check import check_list_append
from raftlog import encode_call
from raftlog.machine.applier import Applier
from raftlog.machine.result import Kind
from statemachines import lists
from statemachines.lists import AnswerTooLarge, Append, Changed, Expect, Lists, Read, Seen
from tests.machine.logs import loose
from tests.statemachines.beside import Refused, run_beside

KEYS = ("a", "b", "c")


class Plain:
    def __init__(self) -> None:
        self.lists: dict[str, list[int]] = {}

    def txn(self, time: int, actions: tuple[Any, ...]) -> tuple[Any, ...]:
        for action in actions:
            if isinstance(action, Expect) and len(self.lists.get(action.key, [])) != action.length:
                raise Refused("Changed", action.key, len(self.lists.get(action.key, [])))
        answers: list[Any] = []
        for action in actions:
            if isinstance(action, Append):
                self.lists[action.key] = [*self.lists.get(action.key, []), action.element]
            answers.append(
                Seen(action.key, tuple(self.lists.get(action.key, [])))
                if isinstance(action, Read)
                else action
            )
        return tuple(answers)

    def read(self, time: int, keys: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(self.lists.get(key, [])) for key in keys)

    def length(self, time: int, key: str) -> int:
        return len(self.lists.get(key, []))


def draw(random: Random) -> tuple[str, tuple[Any, ...]]:
    key = random.choice(KEYS)
    if random.random() < 0.2:
        return "read", (tuple(random.choices(KEYS, k=random.randrange(4))),)
    if random.random() < 0.1:
        return "length", (key,)
    actions: list[Any] = []
    for _ in range(random.randint(1, 4)):
        key = random.choice(KEYS)
        actions.append(
            random.choice(
                (
                    Append(key, random.randrange(100)),
                    Append(key, random.randrange(100)),
                    Read(key),
                    Expect(key, random.randrange(20)),
                )
            )
        )
    return "txn", (tuple(actions),)


@pytest.mark.parametrize("seed", range(3))
def test_transactions_do_what_a_dict_of_lists_does(seed: int) -> None:
    run_beside(Lists, Plain(), draw, seed)


def test_a_transaction_reads_what_it_appended_and_is_refused_as_a_whole() -> None:
    machine = Lists()
    assert machine.txn((Append("a", 1), Read("a"), Append("a", 2))) == (
        Append("a", 1),
        Seen("a", (1,)),
        Append("a", 2),
    )
    with pytest.raises(Changed) as raised:
        machine.txn((Append("a", 3), Append("b", 1), Expect("a", 1)))
    assert (raised.value.key, raised.value.length) == ("a", 2)
    assert machine.read(("a", "b")) == ((1, 2), ())


def test_an_answer_is_bounded_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "READ_ELEMENTS", 3)
    machine = Lists()
    machine.txn((Append("a", 1), Append("a", 2)))
    assert machine.txn((Append("a", 3), Read("a")))[1] == Seen("a", (1, 2, 3))
    with pytest.raises(AnswerTooLarge):
        machine.txn((Append("a", 4), Read("a")))
    with pytest.raises(AnswerTooLarge):
        machine.read(("a", "a"))
    assert machine.length("a") == 3


def test_long_lists_are_snapshotted_in_pieces() -> None:
    machine = Lists()
    for start in range(0, 9000, 100):
        machine.txn(tuple(Append("long", number) for number in range(start, start + 100)))
    for number in range(3000):
        machine.txn((Append(f"{number}", number),))
    chunks = list(machine.write(machine.capture()))
    again = Lists()
    again.restore(chunks, 1)
    assert list(again.write(again.capture())) == chunks
    assert again.read(("long", "2999")) == (tuple(range(9000)), (2999,))


def test_the_form_in_the_log_is_that_of_the_papers() -> None:
    body = encode_call(Lists.txn, (Append("x", 1), Read("y"), Expect("z", 0)))
    assert body == b"\x92\xa3txn\x93\x93\xa6append\xa1x\x01\x92\xa1r\xa1y\x93\xa6expect\xa1z\x00"
    for none in ((), tuple(Read("x") for _ in range(129))):
        refused = Applier(Lists).check(loose(encode_call(Lists.txn, none)))
        assert refused is not None
        assert refused.kind is Kind.BAD_COMMAND


def test_transactions_are_strictly_serializable_on_a_simulated_cluster() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        actions: list[Append | Read] = []
        for _ in range(random.randint(1, 4)):
            key = random.choice(KEYS)
            actions.append(Append(key, random.getrandbits(60)) if random.random() < 0.5 else Read(key))
        await client.call(Lists.txn, tuple(actions))

    simulate(Lists, workload, seeds=[1], span="5s", check=check_list_append)
