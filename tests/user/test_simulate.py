"""`simulate`: what it finds in whole runs, what it refuses, what it reports."""

import asyncio
import random as chance
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from jepsen_like import Report, SimulatedClient, SimulationFailed, SimulationInvalid, faults, simulate
from jepsen_like.check import SequentialModel, check_set_full
from jepsen_like.user.outcome import SEED_VARIABLE
from raftlog import CallFailed, Kind, Machine, MachineRefused, command, query
from tests.user import machines as m

Workload = Callable[[SimulatedClient, Random], Awaitable[object]]
SECOND = 1_000_000


async def add(client: SimulatedClient, random: Random) -> None:
    await client.call(m.Counter.add, 1)


async def add_and_read(client: SimulatedClient, random: Random) -> None:
    before = await client.call(m.Counter.read)
    assert await client.call(m.Counter.add, 1) > before


def failure(machine: type[Machine], workload: Workload, **options: Any) -> str:
    """What one short run finds."""
    usual: dict[str, Any] = {"seeds": [1], "span": "3s", "faults": (), "another_process": False}
    with pytest.raises(SimulationFailed) as caught:
        simulate(machine, workload, **(usual | options))
    found = caught.value.failure
    assert str(caught.value).startswith(
        f"seed {found.seed} failed: {found.oracle}: {found.problem}\n  again: "
    )
    return f"{found.oracle}: {found.problem}"


def test_a_right_machine_passes_under_the_whole_swarm_and_says_what_it_went_through() -> None:
    report = simulate(m.Counter, add_and_read, seeds=[3, 6], span="6s", invariant=lambda machines: True)
    assert isinstance(report, Report)
    assert [run.outcome for run in report.runs] == ["passed", "passed"]
    assert report.acknowledged > 50
    assert report.faults.total() > 0
    assert str(report).startswith("2 runs, 0 failed; ")


def test_equal_seeds_are_equal_runs_and_forks_make_the_same() -> None:
    def made(workers: int) -> Report:
        return simulate(m.Counter, add, seeds=[4, 8], span="3s", workers=workers, another_process=False)

    one, two = made(1), made(2)
    assert one.runs == two.runs
    assert one.runs[0].trace != one.runs[1].trace


def test_a_failure_in_a_fork_is_raised_here() -> None:
    said = failure(m.HastyError, hasty, seeds=[1, 2, 3], workers=2)
    assert said.startswith("rollback: HastyError.add_up_to(1)")


async def hasty(client: SimulatedClient, random: Random) -> None:
    await client.call(m.HastyError.add_up_to, 1)


def test_what_the_machine_raises_ends_the_run_by_its_place() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        await client.call(m.Undeclared.add, 5)

    said = failure(m.Undeclared, workload)
    assert "Undeclared.add(5) (entry 3, command 0) raised KeyError: 5, in Undeclared.add (" in said
    with pytest.raises(SimulationInvalid, match="no call acknowledged in 1 of 1 runs"):
        simulate(
            m.Undeclared,
            workload,
            seeds=[1],
            span="3s",
            faults=(),
            machine_faults=True,
            another_process=False,
        )


def test_a_query_that_writes_is_caught_where_it_runs() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        await client.call(m.WritesWhenAsked.read)

    said = failure(m.WritesWhenAsked, workload)
    assert said.startswith(
        "query: WritesWhenAsked.read is a query and changed the state of the one node that ran it"
    )


def test_a_clock_in_a_query_or_in_the_workload_is_refused_by_place() -> None:
    class AsksTheTimeWhenAsked(m.Counter):
        @query
        def now(self) -> int:
            return int(time.time())

    async def ask(client: SimulatedClient, random: Random) -> None:
        await client.call(AsksTheTimeWhenAsked.now)

    async def draw(client: SimulatedClient, random: Random) -> None:
        await client.call(m.Counter.add, chance.randrange(3))  # noqa: TID251 - what one must not do

    assert "AsksTheTimeWhenAsked.now (" in failure(AsksTheTimeWhenAsked, ask)
    said = failure(m.Counter, draw)
    assert said.startswith("sealed: ")
    assert f"{draw.__qualname__} ({__file__}:" in said


def test_an_assertion_in_the_workload_names_client_and_line() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        assert await client.call(m.Counter.add, 1) < 4, "four is too much"

    said = failure(m.Counter, workload)
    assert said.startswith("workload: c")
    assert "AssertionError: four is too much" in said
    assert f"workload ({__file__}:" in said


def test_the_users_own_error_is_the_cause_of_the_failure() -> None:
    async def workload(client: SimulatedClient, random: Random) -> None:
        raise LookupError("nothing there")

    with pytest.raises(SimulationFailed) as caught:
        simulate(m.Counter, workload, seeds=[1], span="3s", faults=(), another_process=False)
    assert isinstance(caught.value.__cause__, LookupError)


def test_an_invariant_that_does_not_hold_names_the_command() -> None:
    said = failure(m.Counter, add, invariant=m.three_at_most)
    assert said.startswith("invariant: after Counter.add(1) (entry ")


def test_what_is_left_is_looked_at_through_every_healed_node() -> None:
    seen: list[str] = []

    async def afterwards(client: SimulatedClient) -> None:
        seen.append(client.name)
        assert await client.call(m.Counter.read) == client.shared["sum"] + len(client.shared["bad"])

    async def workload(client: SimulatedClient, random: Random) -> None:
        client.shared.setdefault("bad", [])
        client.shared["sum"] = client.shared.get("sum", 0)
        try:
            await client.call(m.Counter.add, 1)
        except CallFailed:
            return
        client.shared["sum"] += 1

    simulate(
        m.Counter, workload, seeds=[1], span="3s", faults=(), afterwards=afterwards, another_process=False
    )
    assert 2 <= len(seen) <= 3

    async def complain(client: SimulatedClient) -> None:
        raise AssertionError("something is gone")

    said = failure(m.Counter, workload, afterwards=complain)
    assert said.startswith("afterwards: probe-n")


class Total(SequentialModel):
    """What adding means."""

    initial = 0

    def apply(self, state: int, f: str, argument: int) -> tuple[int, int]:
        return (state + argument, state + argument) if f == "add" else (state, state)


class Cached(m.Counter):
    """Reads are answered from a copy that is refreshed at every third write."""

    copy: int = 0

    @command
    def add(self, amount: int) -> int:
        self.value += amount
        if self.value % 3 == 0:
            self.copy = self.value
        return self.value

    @query
    def read(self) -> int:
        return self.copy


async def cached(client: SimulatedClient, random: Random) -> None:
    await client.call(*((Cached.add, 1) if random.random() < 0.5 else (Cached.read,)))


def test_a_model_judges_the_calls_of_the_workload() -> None:
    said = failure(Cached, cached, model=Total)
    assert said.startswith("linearizable: no order of the calls explains process c"), said
    assert ": read None -> " in said
    simulate(m.Counter, add_and_read, seeds=[1], span="3s", model=Total, another_process=False)


def test_only_recorded_methods_are_judged() -> None:
    simulate(Cached, cached, seeds=[1], span="3s", model=Total(), record=[Cached.add], another_process=False)


class Forgetful(Machine):
    """Answers every add and keeps those of even numbers."""

    kept: list[int]

    def __init__(self) -> None:
        self.kept = []

    @command
    def add(self, number: int) -> None:
        if number % 2 == 0:
            self.kept.append(number)

    @query
    def read(self) -> tuple[int, ...]:
        return tuple(self.kept)


def adding(*numbers: int) -> Workload:
    async def workload(client: SimulatedClient, random: Random) -> None:
        await client.call(Forgetful.add, random.choice(numbers) + 2 * random.getrandbits(60))

    return workload


async def read_again(client: SimulatedClient) -> None:
    await client.call(Forgetful.read)


def test_a_check_judges_the_calls_of_the_workload_and_of_the_look_afterwards() -> None:
    said = failure(Forgetful, adding(0, 1), check=check_set_full, afterwards=read_again)
    assert said.startswith("check: lost: "), said
    assert " more)" in said
    passed: dict[str, Any] = {"seeds": [1], "span": "3s", "faults": (), "another_process": False}
    report = simulate(Forgetful, adding(0), check=check_set_full, afterwards=read_again, **passed)
    assert report.remarks == ()


def test_a_check_that_cannot_tell_is_remarked_and_stands_in_the_place_of_a_model() -> None:
    passed: dict[str, Any] = {"seeds": [1], "span": "3s", "faults": (), "another_process": False}
    report = simulate(Forgetful, adding(0), check=check_set_full, **passed)
    assert "1 histories could not be judged" in report.remarks[0]
    with pytest.raises(ValueError, match="give one of them"):
        simulate(Forgetful, adding(0), check=check_set_full, model=Total, **passed)


def test_faults_as_values_come_when_they_should() -> None:
    values = [faults.Kill(at=2 * SECOND, nodes=("leader",), down=SECOND)]
    report = simulate(m.Counter, add, seeds=[1], span="4s", faults=values, another_process=False)
    assert report.faults == {"kill": 1}


async def swap(client: SimulatedClient, random: Random) -> None:
    with client.operation("write", random.randrange(1_000)) as operation:
        value = b"%d" % random.randrange(1_000)
        result = await client.execute(value)
        assert result.kind in (Kind.OK, Kind.FAILED, Kind.UNKNOWN)
        operation.answer(None)
    assert (await client.ask(b"")).kind in (Kind.OK, Kind.FAILED)


def test_a_machine_that_takes_bytes_is_simulated_too() -> None:
    report = simulate(m.Bytes, swap, seeds=[1], span="3s", faults=())
    assert report.acknowledged > 20


def test_a_fault_that_never_came_makes_the_campaign_invalid() -> None:
    with pytest.raises(SimulationInvalid, match="no wipe was carried out in 1 runs"):
        simulate(m.Counter, add, seeds=[1], nodes=1, span="3s", faults=("wipe",), another_process=False)


def test_one_seed_can_be_chosen_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SEED_VARIABLE, "7")
    report = simulate(m.Counter, add, seeds=100, span="3s", faults=("wipe",), nodes=1, another_process=False)
    assert [run.seed for run in report.runs] == [7]


def test_a_failed_run_is_drawn_and_others_go_on(tmp_path: Path) -> None:
    report = simulate(
        m.HastyError,
        hasty,
        seeds=[1, 2],
        span="3s",
        keep_going=True,
        timeline=tmp_path,
        another_process=False,
    )
    assert [failure.oracle for failure in report.failures] == ["rollback", "rollback"]
    for found in report.failures:
        assert Path(found.timeline).read_text().startswith("<!doctype html>")
        assert found.timeline in str(found)
        assert f"--simulate-seed={found.seed}" in found.replay, "under pytest, the line is pytest's"


@pytest.mark.parametrize(
    "options, words",
    [
        ({"faults": "crash"}, "write faults=\\('crash',\\)"),
        ({"faults": ("crush",)}, "there is no fault 'crush'; there are: campaign, crash"),
        ({"faults": None, "span": "1s"}, "ends before the first fault"),
        ({"span": "soon"}, "'soon' is not a span of time"),
        ({"nodes": 0}, "3 or 5 are usual"),
        ({"clients": 0}, "clients must be 1 or more"),
        ({"rate": 0}, "clients would never begin"),
        ({"workers": 0}, "give 1 or more"),
        ({"seeds": 0}, "no seeds"),
        ({"seeds": [9_000_000_000]}, "seeds are 0 to 8,999,999,999"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        simulate(
            m.Counter, add, **{"another_process": False, "seeds": 1, "span": "3s", "faults": (), **options}
        )


def test_a_workload_of_another_shape_is_refused_at_once() -> None:
    async def alone(client: SimulatedClient) -> None: ...

    with pytest.raises(ValueError, match=r"must take \(client, random\)"):
        simulate(m.Counter, alone)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is not `async def workload"):
        simulate(m.Counter, lambda client, random: None)  # type: ignore[arg-type,return-value]


def test_inside_a_running_loop_it_is_refused_in_words() -> None:
    async def main() -> None:
        simulate(m.Counter, add, seeds=1)

    with pytest.raises(RuntimeError, match="call it from a plain function"):
        asyncio.run(main())


def test_a_machine_that_no_node_would_start_with_is_refused_at_once() -> None:
    class Lost(Machine):
        def __init__(self) -> None:
            self.lost = 1

    with pytest.raises(MachineRefused, match=r"Lost\.lost is set but not annotated"):
        simulate(Lost, add, another_process=False)
