"""The pytest plugin: tests on clusters, simulated ones (`@pytest.mark.simulate`) and real ones (`raft_cluster`).

`simulate` runs an async test on a simulated cluster, once for each seed; `raft_cluster` is a fixture of real processes.
Imports what such a test needs when the first one runs, and nothing before: every pytest of an environment loads this.
"""

import inspect
import os
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jepsen_like.cluster.blocking import RaftCluster
    from jepsen_like.user.cluster import SimulatedCluster

MARK = (
    "simulate(seeds=20, machine=..., faults=(), nodes=3, span='30s', deadline=10.0, limit='10min', model=None,"
    " record=None, invariant=None, machine_faults=False, slow='20ms', another_process=True): run this async test on"
    " a simulated cluster, once per seed (jepsen_like)"
)
REAL = (
    "raft_cluster(machine=statemachines.kv.KeyValue, nodes=3, disk='local'): what the real cluster of the fixture"
    " `raft_cluster` is; disk='volatile' makes every kill a loss of power (jepsen_like)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many seeds, and which."""
    group = parser.getgroup("simulate", "tests on simulated clusters (jepsen_like)")
    group.addoption(
        "--simulate-seed",
        type=int,
        metavar="N",
        help="run simulated tests under this seed alone, to see a failure again",
    )
    group.addoption(
        "--simulate-seeds",
        type=int,
        metavar="K",
        help="run simulated tests under at most so many of their seeds",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let the mark be known, and `simulate` called in a test know the seed."""
    config.addinivalue_line("markers", MARK)
    config.addinivalue_line("markers", REAL)
    seed, most = config.getoption("--simulate-seed"), config.getoption("--simulate-seeds")
    if (seed is not None and seed < 0) or (most is not None and most < 1):
        raise pytest.UsageError("--simulate-seed takes a seed from 0 on, --simulate-seeds a number from 1 on")
    for name, value in (("JEPSEN_LIKE_SEED", seed), ("JEPSEN_LIKE_SEEDS", most)):
        if value is not None:
            os.environ[name] = str(value)
            config.add_cleanup(partial(_forget, name))


def _forget(name: str) -> None:
    os.environ.pop(name, None)


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> "Iterator[SimulatedCluster]":
    """The simulated cluster of the run that is going on; for tests marked `simulate`."""
    from jepsen_like.user.cluster import SimulatedCluster

    if request.node.get_closest_marker("simulate") is None:
        pytest.fail("the fixture `cluster` belongs to tests marked @pytest.mark.simulate", pytrace=False)
    found = SimulatedCluster()
    yield found
    found.hand_over(None)


@pytest.fixture
def raft_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[RaftCluster]":
    """Three real nodes as processes, a cluster with a leader; the mark `raft_cluster` says what else they should be."""
    from jepsen_like.cluster.blocking import raft_cluster

    mark = request.node.get_closest_marker("raft_cluster")
    if mark is not None and mark.args:
        pytest.fail("the mark raft_cluster takes its options by name, as in machine=Counter", pytrace=False)
    with raft_cluster(tmp_path / "raft_cluster", **(mark.kwargs if mark is not None else {})) as found:
        yield found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed on real nodes shows what they wrote last."""
    report = yield
    nodes = getattr(item, "funcargs", {}).get("raft_cluster")
    if report.when == "call" and report.failed and nodes is not None:
        report.sections.append(("what the nodes wrote", nodes.last_words()))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Run a marked test under its seeds."""
    __tracebackhide__ = True
    mark = pyfuncitem.get_closest_marker("simulate")
    if mark is None:
        return None
    from jepsen_like.user.marked import run_marked

    test = inspect.unwrap(pyfuncitem.obj)
    if not inspect.iscoroutinefunction(test):
        pytest.fail(f"{pyfuncitem.name} is marked simulate and is no `async def`", pytrace=False)
    names = pyfuncitem._fixtureinfo.argnames
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    run_marked(pyfuncitem, test, arguments, mark.args, dict(mark.kwargs))
    return True
