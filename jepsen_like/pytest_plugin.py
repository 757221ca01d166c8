"""The pytest plugin: `@pytest.mark.simulate` runs an async test on a simulated cluster, once for each seed.

Imports the simulator when the first such test runs, and nothing before: every pytest of an environment loads this.
"""

import inspect
import os
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jepsen_like.user.cluster import SimulatedCluster

MARK = (
    "simulate(seeds=20, machine=..., faults=(), nodes=3, span='30s', deadline=10.0, limit='10min', model=None,"
    " record=None, invariant=None, machine_faults=False, slow='20ms', another_process=True): run this async test on"
    " a simulated cluster, once per seed (jepsen_like)"
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
