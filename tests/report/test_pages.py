"""The pages of runs: well-formed, whole without a network, made of the files alone, and saying what happened."""

import shlex
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from jepsen_like.check import History
from jepsen_like.cli import run as command
from jepsen_like.cluster.command import real
from jepsen_like.cluster.trial import Trial
from jepsen_like.report.pages import words
from jepsen_like.report.pages.written import write_index, write_run
from jepsen_like.sim.judge import Exit
from jepsen_like.workloads.names import WORKLOADS
from tests.report import runs

VOID = {"meta", "br", "link"}


class Page(HTMLParser):
    """Its text and links; fails on tags that are closed in another order than they were opened."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.words = ""
        self.links: list[str] = []
        self.headings: list[str] = []
        self.svgs = path.read_text().split("<svg")[1:]
        self._open: list[str] = []
        self.feed(path.read_text())
        assert not self._open, f"{path} ends within {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        if tag not in VOID:
            self._open.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        assert self._open.pop() == tag, f"</{tag}> within {self._open}"

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        self.words += data


def plots(page: Page) -> dict[str, ET.Element]:
    """By what is read aloud."""
    found = [ET.fromstring("<svg" + each.partition("</svg>")[0] + "</svg>") for each in page.svgs]
    return {each.attrib["aria-label"]: each for each in found}


def test_the_page_of_a_run_says_what_happened(tmp_path: Path) -> None:
    runs.left(tmp_path / "run", runs.report())
    page = Page(write_run(tmp_path / "run"))
    for told in (
        "register under mix",
        "All promises were kept",
        "linearizable",
        "1 more could not be done",
        "2.5 s",
    ):
        assert told in page.words
    assert page.links == ["../index.html", "history.jsonl", "n1", "n1.log", "report.json"]
    assert words.again(runs.report().trial) in page.words
    drawn = plots(page)
    assert len(drawn) == 5
    for title, plot in drawn.items():
        texts = ["".join(each.itertext()) for each in plot.iter("text")]
        assert "kill n2" in texts, f"{title} does not name the fault"
        assert len([each for each in plot.iter("rect") if each.get("class") == "wash"]) == 3
    raw = drawn["latency of each call over time"]
    dots = {each.attrib["class"]: each.attrib["d"].count("M") for each in raw.iter("path")}
    assert dots == {"dots ok": 16, "dots fail": 2, "dots info": 1}
    lines = [each.attrib["d"] for each in drawn["quantiles of latency over time"].iter("path")]
    assert [each.count("M") for each in lines] == [2] * 4, "a line leads through the gap without a success"
    clocks = _section(tmp_path, "Clocks")
    assert [word for word in ("n1", "n2", "n3") if f"</i>{word}<" in clocks] == ["n1", "n3"]


def _section(directory: Path, heading: str) -> str:
    sections = (directory / "run" / "index.html").read_text().split("<h2>")
    (found,) = [each for each in sections if f"{heading} <small>" in each]
    return found


def test_what_clients_and_checkers_wrote_is_text_and_no_markup(tmp_path: Path) -> None:
    runs.left(tmp_path / "run", runs.report("failed"))
    page = Page(write_run(tmp_path / "run"))
    assert "read <1> & saw 2" in page.words
    assert "A promise was broken" in page.words


def test_of_many_sentences_the_first_are_seen_and_the_others_unfold(tmp_path: Path) -> None:
    report = runs.report("failed")
    found = msgspec.structs.replace(report.judged[0], sentences=tuple(f"sentence {n}" for n in range(9)))
    runs.left(tmp_path / "run", msgspec.structs.replace(report, judged=(found,)))
    page = Page(write_run(tmp_path / "run"))
    assert "sentence 53 moresentence 6" in page.words


def test_a_run_without_a_history_or_with_an_older_report_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    runs.left(tmp_path / "run", runs.report())
    (tmp_path / "run" / "history.jsonl").write_text("")
    text = (tmp_path / "run" / "report.json").read_text()
    assert '"began":5000000000,"healed":9.5,' in text
    (tmp_path / "run" / "report.json").write_text(text.replace('"began":5000000000,"healed":9.5,', ""))
    assert "register under mix" in Page(write_run(tmp_path / "run")).words


def test_the_index_has_every_run_in_its_field(tmp_path: Path) -> None:
    runs.left(tmp_path / "one", runs.report())
    runs.left(tmp_path / "two", runs.report("failed", seed=8))
    runs.left(tmp_path / "three", runs.report("invalid", seed=9))
    runs.left(tmp_path / "four", runs.report("failed", broken="no-sync"))
    (tmp_path / "unfinished").mkdir()
    page = Page(write_index(tmp_path))
    assert "3 runs: 1 passed, 1 failed, 1 say nothing." in page.words
    assert "four (no-sync)caught" in page.words
    cells = (tmp_path / "index.html").read_text().split('<a class="cell ')[1:]
    assert [each.partition('"')[0] for each in cells] == ["passed", "failed", "invalid"]
    assert set(page.links) == {f"{name}/index.html" for name in ("one", "two", "three", "four")}


def test_a_report_that_cannot_be_read_is_named_and_takes_no_other_along(tmp_path: Path) -> None:
    runs.left(tmp_path / "one", runs.report())
    runs.left(tmp_path / "torn", runs.report())
    (tmp_path / "torn" / "report.json").write_text("{")
    page = Page(write_index(tmp_path))
    assert "torn/report.json cannot be read" in page.words
    assert "1 runs: 1 passed." in page.words


def test_the_command_makes_all_pages_again_from_the_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.left(tmp_path / "one", runs.report())
    runs.left(tmp_path / "two", runs.report("failed"))
    assert command(["report", str(tmp_path)]) == Exit.CLEAN
    written = {path: path.read_text() for path in tmp_path.glob("**/index.html")}
    assert sorted(path.parent.name for path in written) == sorted(["one", "two", tmp_path.name])
    assert command(["report", str(tmp_path / "two")]) == Exit.CLEAN
    assert {path: path.read_text() for path in written} == written
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "two" / "index.html")
    empty = tmp_path / "one" / "n1"
    assert command(["report", str(empty)]) == Exit.USAGE
    assert "no run has ended there" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["", "no-sync"])
def test_the_command_on_the_page_asks_for_the_same_trial(broken: str) -> None:
    trial = Trial(
        workload="bank", schedule="power", seed=3, nodes=5, seconds=30, clients=4, rate=2.5, broken=broken
    )
    said = shlex.split(words.again(trial))
    assert said[:4] == ["python", "-m", "jepsen_like", "real"]
    given = real.make_context("real", said[4:]).params
    assert given["workloads"] == (trial.workload,)
    assert given["schedules"] == (trial.schedule,)
    assert (given["first_seed"], given["runs"], given["nodes"]) == (trial.seed, 1, trial.nodes)
    assert (given["seconds"], given["clients"], given["rate"]) == (trial.seconds, trial.clients, trial.rate)
    assert given["broken"] == (broken or None)


def test_every_workload_has_its_promise_in_words() -> None:
    for name, workload in WORKLOADS.items():
        for judged in workload().judge(History()):
            assert words.promise(judged) != judged.checker, (
                f"{name} is judged by {judged.checker}: say what that means"
            )
