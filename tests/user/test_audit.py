"""What is seen when a log goes through a machine again, here and in another process."""

from collections.abc import Iterator
from typing import Any

import pytest

from jepsen_like.user.audit import Audit
from jepsen_like.user.elsewhere import Elsewhere, Unreachable
from jepsen_like.user.steps import Look
from raftlog import Machine, command, encode_call
from tests.user import machines as m
from tests.user.logs import log_of

ADD = encode_call(m.Counter.add, 1)
UP_TO_ONE = encode_call(m.Counter.add_up_to, 1)


def found(machine: type[Machine], *bodies: bytes, **options: Any) -> str:
    """What the audit says of a machine after these commands, three to an entry; empty if nothing."""
    entries = [bodies[at : at + 3] for at in range(0, len(bodies), 3)]
    violation = Audit(machine, **options).run(log_of(*entries))
    return "" if violation is None else str(violation)


def test_a_right_machine_passes_with_an_undone_error_and_with_context() -> None:
    assert found(m.Counter, ADD, UP_TO_ONE, ADD, UP_TO_ONE) == ""
    assert found(m.TakesItsTime, *[encode_call(m.TakesItsTime.add, 1)] * 5) == ""


def test_an_error_after_a_change_is_named_with_its_command_and_place() -> None:
    said = found(m.HastyError, UP_TO_ONE, ADD, UP_TO_ONE)
    assert said.startswith(
        "rollback: HastyError.add_up_to(1) (entry 2, command 2) changed the state and then raised"
    )
    assert "Full(most=1)" in said


def test_an_undeclared_error_is_a_finding_unless_it_is_allowed() -> None:
    bad = encode_call(m.Undeclared.add, 5)
    said = found(m.Undeclared, encode_call(m.Undeclared.add, 1), bad)
    assert said.startswith(
        "fault: Undeclared.add(5) (entry 2, command 1) raised KeyError: 5, in Undeclared.add ("
    )
    assert found(m.Undeclared, bad, faults=True) == ""


@pytest.mark.parametrize(
    "machine, what",
    [(m.AsksTheTime, "time.time"), (m.DrawsLots, "random.randrange"), (m.StartsThreads, "a thread")],
)
def test_the_real_world_is_refused_and_the_line_is_named(machine: type[m.Counter], what: str) -> None:
    said = found(machine, encode_call(machine.add, 1))
    name = machine.__name__
    assert said.startswith(f"sealed: {name}.add(1) (entry 2, command 0): {name}.add ("), said
    assert f"uses {what}" in said
    assert "context.log_time and context.random" in said


def test_a_file_is_refused_since_a_node_would_stop() -> None:
    said = found(m.ReadsFiles, encode_call(m.ReadsFiles.add, 1))
    assert said.startswith("fault: "), said
    assert "FileNotFoundError" in said


def test_state_that_snapshots_lose_is_found_at_the_command_that_shows_it() -> None:
    add = encode_call(m.ForgetsInSnapshots.add, 1)
    said = found(m.ForgetsInSnapshots, add, add, add, add)
    assert said.startswith(
        "restore: ForgetsInSnapshots.add(1) (entry 3, command 0) answers 4, but 1 on a replica"
    )


def test_a_view_that_later_commands_change_is_found() -> None:
    said = found(m.LendsItsState, *[encode_call(m.LendsItsState.add, name) for name in "abcd"])
    assert said == (
        "restore: what LendsItsState.capture() gave before entry 2 is changed by entry 2: return a copy"
    )


def test_an_attribute_that_snapshots_would_lose_is_named() -> None:
    said = found(m.GrowsAttributes, *[encode_call(m.GrowsAttributes.add, 1)] * 4)
    assert said.startswith(
        "restore: after GrowsAttributes.add(1) (entry 2, command 2) the state cannot be saved"
    )
    assert "GrowsAttributes.extra" in said


def test_an_invariant_names_the_command_that_breaks_it() -> None:
    said = found(m.Counter, *[ADD] * 6, invariant=m.three_at_most)
    assert said == "invariant: after Counter.add(1) (entry 3, command 0): the invariant answered False"


@pytest.mark.parametrize("machine", [m.ReadsTheDate, m.SharedByAll])
def test_what_two_replicas_in_one_process_do_otherwise_is_not_blamed_on_snapshots(
    machine: type[Machine],
) -> None:
    said = found(machine, ADD, ADD)
    assert said.startswith(f"determinism: {machine.__name__}.add(1) (entry 2, command"), said
    assert "on another replica with the same log: look for sets, hash(), id(), clocks" in said


def test_other_answers_than_those_of_the_nodes_are_noticed() -> None:
    said = found(m.Counter, ADD, live={2: 1234})
    assert said.startswith("determinism: the nodes of the run answered otherwise than the same log does now")


def test_a_large_state_is_looked_at_ever_less_often() -> None:
    class Large(Machine):
        text: str = "x" * (4 << 20)

    look, machine = Look(), Large()
    looked = sum(look.due() and bool(look.state(machine)) for _ in range(2_000))
    assert 16 <= looked < 200
    assert look.every > 8


# -- another process


@pytest.fixture(scope="module")
def others() -> Iterator[dict[type[Machine], Elsewhere]]:
    """Other processes, by machine."""
    found: dict[type[Machine], Elsewhere] = {}
    yield found
    for each in found.values():
        each.__exit__(None, None, None)


def differs(
    others: dict[type[Machine], Elsewhere], machine: type[Machine], *bodies: bytes, slow: int | None = None
) -> str:
    """What comparing with another process says."""
    log = log_of(*[[body] for body in bodies])
    audit = Audit(machine)
    assert audit.run(log) is None
    if machine not in others:
        others[machine] = Elsewhere(machine).__enter__()
    violation = others[machine].compare(log, audit.steps, slow)
    return "" if violation is None else str(violation)


NAMES = [f"name {number}" for number in range(40)]


def test_hash_order_in_the_state_is_named_with_both_values(others: dict[type[Machine], Elsewhere]) -> None:
    add = m.KeepsHashOrder.add
    said = differs(others, m.KeepsHashOrder, encode_call(add, ["one"]), encode_call(add, NAMES))
    assert said.startswith("determinism: KeepsHashOrder.add(["), said
    assert (
        "(entry 3, command 0) leaves another state in another process with another hash seed: names is ['one'"
        in said
    )


def test_hash_order_in_an_answer_is_named_with_both_answers(others: dict[type[Machine], Elsewhere]) -> None:
    said = differs(others, m.AnswersInHashOrder, encode_call(m.AnswersInHashOrder.first, NAMES))
    assert "(entry 2, command 0) answers 'name " in said, said


def test_each_log_is_the_first_that_the_other_process_sees(others: dict[type[Machine], Elsewhere]) -> None:
    log = log_of([encode_call(m.SharedByAll.add, 1)])
    others[m.SharedByAll] = Elsewhere(m.SharedByAll).__enter__()
    first, second = (others[m.SharedByAll]._ask(log).steps[0] for _ in range(2))
    assert first.result == second.result


def test_a_file_that_is_there_is_noticed_and_an_import_is_not(others: dict[type[Machine], Elsewhere]) -> None:
    said = differs(others, m.ReadsItself, ADD)
    assert said.startswith(
        f"outside: ReadsItself.add(1) (entry 2, command 0) reaches outside: open('{m.__file__}')"
    )
    assert differs(others, m.ImportsLate, ADD) == ""


def test_a_right_machine_is_alike_and_quick_elsewhere(others: dict[type[Machine], Elsewhere]) -> None:
    assert differs(others, m.Counter, ADD, UP_TO_ONE, ADD, slow=1_000_000) == ""


def test_a_command_that_works_too_much_is_named(others: dict[type[Machine], Elsewhere]) -> None:
    add = m.WorksTooMuch.add
    bodies = [encode_call(add, 10), encode_call(add, 2_000_000), encode_call(add, 20)]
    said = differs(others, m.WorksTooMuch, *bodies, slow=5_000)
    assert said.startswith("slow: WorksTooMuch.add(2000000) (entry 3, command 0) took "), said
    assert differs(others, m.WorksTooMuch, *bodies, slow=None) == ""


def test_a_class_that_nobody_else_can_import_is_refused_in_words() -> None:
    class Local(Machine):
        @command
        def nothing(self) -> None: ...

    with pytest.raises(Unreachable, match=r"define it at the top of a file.*another_process=False"):
        Elsewhere(Local)
