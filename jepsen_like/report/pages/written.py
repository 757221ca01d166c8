"""Pages written beside the files that they are made of: nothing but those files is needed."""

from pathlib import Path

import msgspec

from jepsen_like.check.jsonl import read_jsonl
from jepsen_like.cluster.trial import Report
from jepsen_like.report.pages.index_page import index_page
from jepsen_like.report.pages.run_page import run_page

PAGE = "index.html"
REPORT = "report.json"
HISTORY = "history.jsonl"


class NoRun(ValueError):
    """A folder does not hold what a run leaves behind."""


def report_of(folder: Path) -> Report:
    """The report of the run in this folder.

    Raises:
        NoRun: there is none, or it cannot be read.
    """
    try:
        return msgspec.json.decode((folder / REPORT).read_bytes(), type=Report)
    except FileNotFoundError:
        raise NoRun(f"{folder} holds no {REPORT}: no run has ended there") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise NoRun(f"{folder / REPORT} cannot be read: {error}") from error


def write_run(folder: Path) -> Path:
    """Write the page of the run in this folder; the page.

    Raises:
        NoRun: it has no report, or no history.
        Unreadable: a line of the history is no event.
    """
    report = report_of(folder)
    try:
        with (folder / HISTORY).open("rb") as lines:
            history = read_jsonl(lines)
    except OSError as error:
        raise NoRun(f"{folder / HISTORY} cannot be read: {error}") from error
    files = sorted(each for each in folder.iterdir() if each.name != PAGE)
    return _write(folder / PAGE, run_page(report, history, files))


def write_index(directory: Path) -> Path:
    """Write the page over all folders in this directory that hold a report; the page. It names what cannot be read."""
    reports: dict[str, Report] = {}
    problems: list[str] = []
    for folder in folders(directory):
        try:
            reports[folder.name] = report_of(folder)
        except NoRun as error:
            problems.append(str(error))
    return _write(directory / PAGE, index_page(f"Runs in {directory.resolve().name}", reports, problems))


def folders(directory: Path) -> list[Path]:
    """Of the runs in this directory that have ended."""
    return sorted(each.parent for each in directory.glob(f"*/{REPORT}"))


def _write(path: Path, text: str) -> Path:
    """Whole or not at all: somebody may be reading it while runs go on."""
    beside = path.with_suffix(".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
    return path
