"""How `module:Class` becomes a state machine, and what is said when it does not."""

import re
import sys
from pathlib import Path

import pytest

import statemachines
from raftlog.server import BadMachine, load_machine
from statemachines.counter import Counter

MODULE = """
from raftlog import Machine, StateMachine, command

class Good(Machine):
    @command
    def go(self) -> None: ...

class Needy(Machine):
    def __init__(self, size: int) -> None: ...

class Half(StateMachine):
    name = "half"

class Outer:
    class Inner(Good): ...

number = 7
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spec_good.py").write_text(MODULE)
    (tmp_path / "spec_needs.py").write_text("import not_installed_anywhere")
    (tmp_path / "spec_broken.py").write_text("1 / 0")
    (tmp_path / "spec_refused.py").write_text(
        "from raftlog import Machine, command\n"
        "class Bad(Machine):\n    @command\n    def go(self, names: set[str]) -> None: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("spec_")]:
        del sys.modules[name]


def test_a_class_is_found_in_its_module_and_inside_other_classes() -> None:
    assert load_machine("statemachines.counter:Counter") is Counter
    assert load_machine("spec_good:Outer.Inner").__name__ == "Inner"


def test_every_ready_made_machine_is_on_the_page_and_loads() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "machines.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(statemachines\.\w+:\w+)` \|", page, re.MULTILINE)
    assert len({load_machine(spec).name for spec in listed}) == len(listed)
    modules = {path.stem for path in Path(statemachines.__path__[0]).glob("*.py")} - {"__init__", "kv_cli"}
    assert {spec.split(":")[0].removeprefix("statemachines.") for spec in listed} == modules


@pytest.mark.parametrize(
    "spec, said",
    [
        ("counter", "not written as module:Class"),
        (":Counter", "not written as module:Class"),
        ("spec_good:", "not written as module:Class"),
        ("spec_absent:Good", "no module 'spec_absent'"),
        ("statemachines.absent:Good", "no module 'statemachines.absent'"),
        ("spec_needs:Good", "needs 'not_installed_anywhere', which is not installed"),
        ("spec_broken:Good", "failed to load: ZeroDivisionError"),
        ("spec_refused:Bad", "is a set"),
        ("spec_good:Gooood", "has no 'Gooood'; it has: Good, Half, Needy"),
        ("spec_good:number", "is no state machine"),
        ("spec_good:Outer", "is no state machine"),
        ("spec_good:Needy", "cannot be made without arguments"),
        ("spec_good:Half", "does not define apply, capture"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(spec: str, said: str) -> None:
    with pytest.raises(BadMachine) as refused:
        load_machine(spec)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
