"""A run as one self-contained HTML page: nodes as lanes, messages as arrows, faults shaded, operations as bars.

The page is `timeline.html` with the run put into it as JSON; what draws it is in the page. It needs no network.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from jepsen_like.report.flights import readable
from jepsen_like.report.trace import cluster_line, unusual
from jepsen_like.sim import notation
from jepsen_like.sim.happening import Happening
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Run
from raftlog.core.ids import Micros

PAGE = Path(__file__).with_name("timeline.html")
PLACE = "/*the run*/"
MOST = 60_000
"""Happenings in a page; of a longer run it has the last ones."""


def as_html(
    plan: Plan, run: Run, happenings: Sequence[Happening], *, replay: str = "", last: Micros | None = None
) -> str:
    """The page. `last` keeps only the last microseconds."""
    told = readable(happening for happening in happenings if happening.kind != "tick")
    end = told[-1].at if told else 0
    since = 0 if last is None else max(0, end - last)
    shown = [happening for happening in told if happening.at >= since][-MOST:]
    text = msgspec.json.encode(_values(plan, run, shown, replay, left_out=len(told) - len(shown))).decode()
    page = PAGE.read_text()
    assert page.count(PLACE) == 1, f"{PAGE} has {page.count(PLACE)} places for the run"
    # A script element ends at the first `</`, wherever that stands.
    return page.replace(PLACE, text.replace("<", "\\u003c"))


def _values(
    plan: Plan, run: Run, happenings: Sequence[Happening], replay: str, *, left_out: int
) -> dict[str, Any]:
    clients = sorted(
        {each.lane for each in happenings if each.lane.startswith("c")}, key=lambda name: (len(name), name)
    )
    lanes = [*plan.names, *clients]
    others = sorted({each.lane for each in happenings} - {*lanes, "net", ""})
    return {
        "title": f"seed {plan.seed}, {plan.tier} tier",
        "outcome": run.outcome,
        "oracle": run.oracle,
        "problem": run.problem,
        "replay": replay,
        "cluster": [cluster_line(plan), *unusual(plan)],
        "figures": f"{run.events:,} events in {notation.span_text(run.span)}; {run.acknowledged:,} operations "
        f"acknowledged, {run.failed} failed, {run.unknown} unknown; {run.leader_changes} leader changes; "
        f"trace {run.trace}",
        "under_faults": plan.span,
        "left_out": left_out,
        "nodes": list(plan.names),
        "lanes": [*lanes, *others],
        "happenings": [
            (each.at, each.lane, each.kind, each.text, each.peer, each.flight) for each in happenings
        ],
    }
