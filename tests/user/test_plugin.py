"""The pytest plugin, as its users meet it: in another pytest, with and without pytest-asyncio."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.user.inner import ROOT, pytest_in

MACHINE = """
import asyncio
import pytest
from raftlog import Machine, command, query


class Counter(Machine):
    value: int = 0

    @command
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    @query
    def read(self) -> int:
        return self.value


@pytest.fixture
def machine():
    return Counter

"""


ASYNCIO = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function")


def pytest_of(folder: Path, text: str, *words: str) -> str:
    """What pytest prints of a test file."""
    (folder / "test_it.py").write_text(MACHINE + text, encoding="utf-8")
    return pytest_in(folder, "--tb=short", *words)


PASSES = """
@pytest.mark.simulate(seeds=[3])
async def test_the_hands(cluster):
    client = cluster.client()
    assert await client.call(Counter.add, 1) == 1
    first = await cluster.leader()
    assert cluster.crash("leader") == first
    assert first not in cluster.running
    assert await client.call(Counter.add, 1) == 2
    cluster.restart(first)
    assert cluster.running == cluster.nodes == ("n1", "n2", "n3")
    second = await cluster.leader()
    cluster.partition("leader")
    await cluster.sleep(5)
    assert await cluster.leader() != second
    cluster.heal()
    paused = cluster.pause("leader")
    await cluster.sleep(10)
    assert await cluster.leader() != paused
    assert await cluster.client().call(Counter.read) == 2
    cluster.heal()
    cluster.kill(*cluster.nodes)
    cluster.restart()
    await cluster.check()
    assert {machine.value for machine in cluster.machines.values()} == {2}
    assert cluster.seed == 3 and cluster.time > 15
"""

OTHERS = """
@pytest.mark.asyncio
async def test_of_another_kind():
    await asyncio.sleep(0)


@pytest.mark.simulate(seeds=[1])
class TestInAClass:
    async def test_with_another_fixture(self, cluster, tmp_path):
        assert await cluster.client().call(Counter.add, 1) == 1 and tmp_path.exists()


def test_that_is_plain():
    pass
"""


def test_a_test_holds_the_cluster_in_its_hands_beside_pytest_asyncio(tmp_path: Path) -> None:
    output = pytest_of(tmp_path, PASSES + OTHERS, *ASYNCIO, "--asyncio-mode=strict")
    assert "4 passed" in output, output


def test_automatic_pytest_asyncio_leaves_marked_tests_alone(tmp_path: Path) -> None:
    output = pytest_of(tmp_path, OTHERS, *ASYNCIO, "--asyncio-mode=auto")
    assert "3 passed" in output, output


FAILS = """
@pytest.mark.simulate(seeds=5)
async def test_that_fails_under_some_seeds(cluster):
    value = await cluster.client().call(Counter.add, cluster.seed)
    assert value != 3, "three"


@pytest.mark.simulate(seeds=[1], invariant=lambda machines: all(each.value < 1 for each in machines))
async def test_that_an_oracle_fails(cluster):
    await cluster.client().call(Counter.add, 1)


@pytest.mark.simulate(seeds=[1])
async def test_that_is_left(cluster):
    pytest.skip("not today")


@pytest.mark.simulate(seeds=[1])
async def test_that_asks_nothing(cluster):
    await cluster.leader()


@pytest.mark.simulate(seeds=[1], limit="20s")
async def test_that_waits_for_ever(cluster):
    await asyncio.Event().wait()


@pytest.mark.simulate(5)
async def test_with_a_bare_number(cluster): ...


@pytest.mark.simulate(sedes=5)
async def test_with_a_slip(cluster): ...


@pytest.mark.simulate(faults=("crush",))
async def test_with_a_fault_that_is_none(cluster): ...


@pytest.mark.simulate
def test_that_is_not_async(cluster): ...


@pytest.mark.simulate
async def test_without_a_cluster(): ...


@pytest.mark.simulate(seeds=[1])
async def test_of_a_node_that_is_none(cluster):
    cluster.crash("n4")


async def helper(cluster): ...


def test_that_is_not_marked(cluster): ...
"""


def test_failures_show_the_seed_the_line_and_what_is_wrong(tmp_path: Path) -> None:
    output = pytest_of(tmp_path, FAILS)
    for words in (
        "AssertionError: three",
        "under seed 3; again: python -m pytest test_it.py::test_that_fails_under_some_seeds --simulate-seed=3",
        "seed 1 failed: invariant: after Counter.add(1) (entry ",
        "seed 1: no call was acknowledged: this shows nothing",
        "the test has not ended after 20 virtual seconds",
        "takes names and values, such as seeds=5",
        "@pytest.mark.simulate: Unexpected keyword argument 'sedes'",
        "there is no fault 'crush'; there are: campaign, crash",
        "test_that_is_not_async is marked simulate and is no `async def`",
        "test_without_a_cluster is marked simulate and does not take the fixture `cluster`",
        "there is no node 'n4' here; there are n1, n2, n3 and 'leader'",
        "the fixture `cluster` belongs to tests marked @pytest.mark.simulate",
        "1 skipped",
    ):
        assert words in output, f"{words!r} is not in:\n{output}"
    assert "10 failed, 1 skipped, 1 error" in output, output


def test_seeds_are_narrowed_from_the_command_line(tmp_path: Path) -> None:
    narrow = ["-k", "some_seeds"]
    assert "1 failed" in pytest_of(tmp_path, FAILS, *narrow, "--simulate-seed=3")
    assert "1 passed" in pytest_of(tmp_path, FAILS, *narrow, "--simulate-seeds=2")
    assert "takes a seed from 0 on" in pytest_of(tmp_path, FAILS, "--simulate-seed=-1")


def test_the_plugin_costs_nothing_until_it_is_used() -> None:
    asked = (
        "import sys, jepsen_like.pytest_plugin; print([n for n in sys.modules if n.split('.')[0] in names])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"names = ('raftlog', 'msgspec', 'grpc', 'rich'); {asked}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]", done.stdout


def test_this_pytest_knows_the_mark(pytestconfig: pytest.Config) -> None:
    if not any(each.name == "jepsen_like" for each in entry_points(group="pytest11")):
        pytest.skip("the package was installed before it had the plugin: make venv")
    assert any(line.startswith("simulate(") for line in pytestconfig.getini("markers"))
