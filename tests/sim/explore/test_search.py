"""The explorer finds what is planted, on a shortest path that others can play; and nothing where nothing is."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from jepsen_like.mutants.plant import planted
from jepsen_like.mutants.table import find, read
from jepsen_like.sim.explore.action import Kind
from jepsen_like.sim.explore.recovery import quorums
from jepsen_like.sim.explore.replay import NoSuchAction, replay
from jepsen_like.sim.explore.scope import SCOPES, voters
from jepsen_like.sim.explore.search import Finding, Search
from jepsen_like.sim.explore.space import Space, Step
from jepsen_like.sim.explore.story import ordinal, story
from tests.cranked.script import StoryFailed, run
from tests.sim.explore.kills import KILLS, Kill, hunt

ROOT = Path(__file__).parents[3]
SMALL = msgspec.structs.replace(SCOPES["two-nodes"], name="small", timeouts=2)
TOLD = ("I1", "I4", "I6", "I7", "I9", "I11")
"""Laws that the stories' own checker knows too, and looks at in the same places."""


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: f"{kill.mutant}-{kill.scope}")
def test_a_planted_bug_is_found(kill: Kill) -> None:
    report = hunt(kill)
    again = f"python -m tests.sim.explore.kills {kill.mutant}"
    assert report.finding is not None, (
        f"{report.states:,} states to depth {report.depth}: replay with {again}"
    )
    assert report.finding.oracle == kill.oracle, f"{report.finding.problem}: replay with {again}"


@pytest.mark.parametrize("name", SCOPES)
def test_the_code_as_it_is_breaks_no_law(name: str) -> None:
    report = Search(SCOPES[name], recover_each=300).run(max_states=8_000)
    again = f"python -m jepsen_like explore --scope {name} --max-states 8000"
    assert report.finding is None, f"{report.finding}: replay with {again}"
    assert report.states >= 8_000
    assert report.recoveries > 20


def test_a_small_scope_is_exhausted() -> None:
    report = Search(SMALL).run(max_states=200_000)
    assert report.exhausted
    assert report.finding is None
    assert report.states > 10_000
    assert report.transitions > report.states, (
        "no two ways lead to one state: equal states are not recognised"
    )


def test_what_is_cut_short_says_how_deep_it_was_exhaustive() -> None:
    whole = Search(SMALL).run(max_states=200_000)
    short = Search(SMALL).run(max_states=3_000)
    late = Search(SMALL).run(max_states=200_000, go_on=lambda progress: progress.depth < 4)
    assert not short.exhausted
    assert 0 < short.depth < whole.depth
    assert 3_000 <= short.states < 3_100
    assert not late.exhausted
    assert late.depth == 4


class Forgetful(Space):
    """Runs every input anew instead of looking it up."""

    def step(self, number: int, kind: Kind, argument: int) -> Step:
        """Never remembered."""
        return self._run(number, kind, argument)


def test_remembered_steps_are_what_running_them_gives() -> None:
    scope = msgspec.structs.replace(SCOPES["figure-8"], flights=3, timeouts=2)
    fast, slow = Search(scope, recover_each=0), Search(scope, recover_each=0)
    slow.space = Forgetful(scope)
    quick, thorough = fast.run(max_states=2_500), slow.run(max_states=2_500)
    assert thorough.steps == 0
    assert msgspec.structs.replace(quick, steps=0) == thorough


# -- what is found can be played


@pytest.mark.parametrize(
    "kill", [kill for kill in KILLS if kill.oracle in TOLD and not kill.deep], ids=lambda kill: kill.mutant
)
def test_the_path_is_a_story_that_fails_where_the_law_broke(kill: Kill) -> None:
    found = _found(kill)
    with planted(read(find(None)).named(kill.mutant)):
        told = story(SCOPES[kill.scope], found.path, f"{found.problem}.")
        with pytest.raises(StoryFailed) as failed:
            run(told)
    place = int(str(failed.value).split(":")[1])
    last = len(told.splitlines())
    assert last - 8 <= place <= last, f"{failed.value}\nfails before its end:\n{told}"


@pytest.mark.parametrize("mutant", ["late_grant_counts", "earlier_term_commits_by_counting"])
def test_the_path_can_be_walked_again_from_its_text(mutant: str) -> None:
    kill = next(kill for kill in KILLS if kill.mutant == mutant)
    found = _found(kill)
    texts = [str(action) for action in found.path]
    with planted(read(find(None)).named(mutant)):
        assert replay(SCOPES[kill.scope], texts) == found
        assert replay(SCOPES[kill.scope], texts[:-1]) is None
    with pytest.raises(NoSuchAction, match="cannot happen here"):
        replay(SCOPES[kill.scope], [*texts[:2], "deliver n9@9 -> n1 nothing"])


def test_a_path_is_a_shortest_one() -> None:
    kill = next(kill for kill in KILLS if kill.mutant == "half_is_a_majority")
    length = len(_found(kill).path)
    with planted(read(find(None)).named(kill.mutant)):
        shorter = Search(SCOPES[kill.scope], recover_each=0).run(
            max_states=100_000, go_on=lambda progress: progress.depth < length - 1
        )
    assert shorter.finding is None
    assert shorter.depth == length - 1


def _found(kill: Kill) -> Finding:
    found = hunt(kill).finding
    assert found is not None, f"{kill.mutant} survives {kill.scope}"
    return found


# -- it repeats


def test_the_same_under_any_hash_seed() -> None:
    script = (
        "from jepsen_like.sim.explore.scope import SCOPES;"
        "from jepsen_like.sim.explore.search import Search;"
        "search = Search(SCOPES['three-nodes-crashes']);"
        "report = search.run(max_states=3000);"
        "print(report, search._codes[-1], sum(search._seen))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4711")
    ]
    assert said[0] == said[1]
    assert "states=300" in said[0]


def test_quorums_are_the_smallest_sets_that_decide() -> None:
    assert quorums(voters(1, 2, 3)) == [(0, 1, 2), (0, 1), (0, 2), (1, 2)]
    assert quorums(voters(1, outgoing=(1, 2, 3))) == [(0, 1, 2), (0, 1), (0, 2)]
    assert quorums(voters(1, 2)) == [(0, 1)]


def test_ordinals() -> None:
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 22)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "22nd",
    ]
