"""What docs/simulator.md says is so: its example runs, its commands exist, its exit codes are those of the code."""

import re
from pathlib import Path

from jepsen_like.cli import app
from jepsen_like.sim.judge import FEWEST_ACKNOWLEDGED, FEWEST_LEADER_CHANGES, MOST_INVALID, MOST_QUIET, Exit
from jepsen_like.sim.plan import RESERVED

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "simulator.md").read_text()


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(example.replace('draw(17, "core")', 'draw(17, "core", span=3_000_000)'), {})  # noqa: S102 - our own page


def test_every_command_and_option_on_the_page_exists() -> None:
    lines = re.findall(r"-m jepsen_like (\w+) ?([^#\n]*)", PAGE)
    assert len(lines) >= 8
    for name, rest in lines:
        command = app.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None, name
        options = {option for parameter in command.params for option in parameter.opts}
        for option in re.findall(r"--[\w-]+", rest):
            assert option in options, f"{name} has no {option}"


def test_the_exit_codes_are_those_of_the_page() -> None:
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert named == set(Exit)


def test_the_thresholds_are_those_of_the_page() -> None:
    for told in (
        f"fewer than {FEWEST_ACKNOWLEDGED:g} operations",
        f"fewer than {FEWEST_LEADER_CHANGES:g} times",
        f"more than {MOST_QUIET * 100:.0f} % of the time",
        f"more than {MOST_INVALID * 100:.0f} % of the runs",
        f"{RESERVED:,}",
    ):
        assert told in PAGE, told
