"""Runs one test marked `simulate` under its seeds; the plugin imports this when the first such test runs."""

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from jepsen_like.sim import notation
from jepsen_like.user.campaign import chosen_seeds
from jepsen_like.user.cluster import SimulatedCluster, TestRun
from jepsen_like.user.elsewhere import Elsewhere
from jepsen_like.user.outcome import Failure, SimulationFailed, narrowed, replay_line
from jepsen_like.user.plans import demand, plan_for
from jepsen_like.user.running import Ran, carry_out
from jepsen_like.user.story import Cast, UserStory
from raftlog.machine.applier import Applier

Test = Callable[..., Coroutine[Any, Any, object]]

ELSEWHERE = pytest.StashKey[dict[object, Elsewhere]]()
"""The other processes of this session, by machine: starting one takes longer than a run."""


class Marked(msgspec.Struct, forbid_unknown_fields=True):
    """What the mark may say."""

    seeds: Any = 20
    machine: Any = None
    faults: Any = ()
    nodes: int = 3
    span: str = "30s"
    deadline: float = 10.0
    limit: str = "10min"
    """Virtual time that the test may take."""
    model: Any = None
    check: Any = None
    record: Any = None
    invariant: Any = None
    machine_faults: bool = False
    slow: str | None = "20ms"
    another_process: bool = True


def run_marked(
    item: pytest.Function,
    test: Test,
    arguments: dict[str, Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
) -> None:
    """Run it under each seed; the first failure ends it."""
    __tracebackhide__ = True
    marked = _options(args, options)
    machine = marked.machine or _machine(item)
    cluster = arguments.get("cluster") or item.funcargs.get("cluster")
    if not isinstance(cluster, SimulatedCluster):
        pytest.fail(f"{item.name} is marked simulate and does not take the fixture `cluster`", pytrace=False)
    try:
        wanted = demand(
            nodes=marked.nodes, clients=1, span=marked.span, deadline=marked.deadline, faults=marked.faults
        )
        cast = Cast(
            machine,
            model=marked.model,
            check=marked.check,
            record=marked.record,
            invariant=marked.invariant,
            machine_faults=marked.machine_faults,
        )
        slow = None if marked.slow is None else notation.span(marked.slow)
        limit = notation.span(marked.limit)
        Applier(machine)
        elsewhere = _elsewhere(item, machine) if marked.another_process else None
    except ValueError as error:
        raise pytest.fail.Exception(f"{item.name}: {error}", pytrace=False) from None
    done: Counter[str] = Counter()
    seeds = chosen_seeds(marked.seeds)
    for seed in seeds:
        story = UserStory(cast)
        run = TestRun(plan_for(seed, wanted), story, lambda: test(**arguments), limit)
        cluster.hand_over(run)
        try:
            ran = carry_out(run, story, elsewhere, slow)
        except BaseException as error:  # pytest's own skip and fail among them
            error.add_note(_under(seed))
            raise
        done.update(ran.run.faults)
        _judge(ran, replay_line(seed))
    if not narrowed() and (missing := [kind for kind in wanted.kinds or () if not done[kind]]):
        pytest.fail(
            f"no {missing[0]} was carried out under {len(seeds)} seeds: this shows nothing", pytrace=False
        )


def _judge(ran: Ran, again: str) -> None:
    __tracebackhide__ = True
    if ran.run.outcome == "passed":
        return
    if ran.run.outcome == "invalid":
        pytest.fail(
            f"seed {ran.run.seed}: {ran.run.problem}: this shows nothing\n  again: {again}", pytrace=False
        )
    if ran.theirs:
        # What the test itself raised is shown by pytest as always.
        assert ran.cause is not None, "an exception of the test's own is known"
        ran.cause.add_note(_under(ran.run.seed))
        raise ran.cause
    raise SimulationFailed(Failure(ran.run, again)) from ran.cause


def _under(seed: int) -> str:
    return f"under seed {seed}; again: {replay_line(seed)}"


def _options(args: tuple[Any, ...], options: dict[str, Any]) -> Marked:
    if args:
        pytest.fail(f"@pytest.mark.simulate takes names and values, such as seeds={args[0]!r}", pytrace=False)
    try:
        return Marked(**options)
    except TypeError as error:
        raise pytest.fail.Exception(f"@pytest.mark.simulate: {error}", pytrace=False) from None


def _machine(item: pytest.Function) -> Any:
    try:
        return item._request.getfixturevalue("machine")
    except pytest.FixtureLookupError:
        pytest.fail(
            f"{item.name} names no machine: @pytest.mark.simulate(machine=...), or a fixture `machine` that gives"
            " the class",
            pytrace=False,
        )


def _elsewhere(item: pytest.Function, machine: Any) -> Elsewhere:
    """Raises ValueError: no other process could import the machine."""
    kept = item.config.stash.setdefault(ELSEWHERE, {})
    if machine not in kept:
        entered = kept[machine] = Elsewhere(machine).__enter__()
        item.config.add_cleanup(lambda: entered.__exit__(None, None, None))
    return kept[machine]
