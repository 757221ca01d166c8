"""A run as text, in the notation of the golden stories: what was done to the cluster, then `---` and what followed."""

from collections.abc import Iterable, Iterator, Sequence

from jepsen_like.report.faulted import fault_text
from jepsen_like.report.flights import readable
from jepsen_like.sim import notation
from jepsen_like.sim.happening import Happening
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Run
from raftlog.core.ids import Micros

DONE_TO_IT = ("fault", "heal", "crash", "start")
"""What opens a block, as commands do in a story."""


def as_text(
    plan: Plan, run: Run, happenings: Sequence[Happening], *, replay: str = "", last: Micros | None = None
) -> str:
    """The whole trace, or its last microseconds.

    A message is told once, when it arrives or is lost; what was still under way is listed at the end.
    """
    happenings = readable(happenings)
    end = happenings[-1].at if happenings else 0
    since = 0 if last is None else max(0, end - last)
    shown = [happening for happening in happenings if happening.at >= since]
    return (
        "\n".join([*_head(plan, run, replay), *_blocks(shown, since), *_under_way(happenings), *_end(run)])
        + "\n"
    )


def _head(plan: Plan, run: Run, replay: str) -> Iterator[str]:
    if run.outcome == "failed":
        yield f"# {run.oracle}: {run.problem}"
    under_faults = notation.span_text(plan.span)
    yield f"# seed {plan.seed}, {plan.tier} tier, {under_faults} under faults; trace {run.trace or 'none'}"
    if replay:
        yield f"# {replay}"
    yield ""
    yield cluster_line(plan)
    for knob in unusual(plan):
        yield f"# {knob}"
    for fault in plan.faults:
        yield f"# at {notation.span_text(fault.at)}: {fault_text(fault)}"


def cluster_line(plan: Plan) -> str:
    """`cluster voters=n1..n3 learners=n4`."""
    names, learners = plan.names, plan.voters + plan.learners
    groups = [
        ("voters", names[: plan.voters]),
        ("learners", names[plan.voters : learners]),
        ("strangers", names[learners:]),
    ]
    return "cluster " + " ".join(f"{group}={_names(names)}" for group, names in groups if names)


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]}..{names[-1]}"


def unusual(plan: Plan) -> list[str]:
    """The knobs of a plan that differ from the usual ones, a line each."""
    usual = Plan(seed=plan.seed, tier=plan.tier, span=plan.span)
    told = []
    for name in ("settings", "weather", "workload"):
        mine, theirs = getattr(plan, name), getattr(usual, name)
        fields = [field for field in _fields(mine) if getattr(mine, field) != getattr(theirs, field)]
        if fields:
            told.append(f"{name}: " + ", ".join(f"{field} {getattr(mine, field)}" for field in fields))
    plain = ("sync", "segment", "early", "started")
    told += [
        f"{name}: {getattr(plan, name)}" for name in plain if getattr(plan, name) != getattr(usual, name)
    ]
    return told


def _fields(value: object) -> Iterable[str]:
    return getattr(value, "__struct_fields__", ()) or getattr(value, "__dataclass_fields__", ())


def _blocks(happenings: Sequence[Happening], since: Micros) -> Iterator[str]:
    if since:
        yield f"# from {_time(since)} on"
    before, told = since, True
    for happening in happenings:
        if happening.kind in DONE_TO_IT:
            if told:
                yield ""
                if happening.at > before:
                    yield f"elapse {notation.span_text(happening.at - before)}"
            yield line(happening)
            before, told = happening.at, False
        elif happening.kind != "send":
            if not told:
                yield "---"
            told = True
            yield f"{_time(happening.at)}  {line(happening)}"


def line(happening: Happening) -> str:
    """One happening: it begins with whom it happened to."""
    match happening.kind:
        case "lost":
            return f"lost: {happening.text}"
        case "ok" | "fail" | "unknown":
            return f"{happening.lane} {happening.kind}: {happening.text}"
        case "violation":
            return f"VIOLATION: {happening.text}"
        case _:
            return happening.text if _named(happening) else f"{happening.lane} {happening.text}"


def _named(happening: Happening) -> bool:
    """Whether the text says itself to whom it happened."""
    return happening.lane == "net" or happening.kind == "arrive" or happening.text.startswith(happening.lane)


def _under_way(happenings: Sequence[Happening]) -> Iterator[str]:
    ended = {happening.flight for happening in happenings if happening.kind in ("arrive", "lost")}
    sent = [each for each in happenings if each.kind == "send" and each.flight and each.flight not in ended]
    if sent:
        yield ""
        yield "# still under way:"
    for happening in sent[-50:]:
        yield f"#   sent at {_time(happening.at).strip()}: {happening.text}"


def _end(run: Run) -> Iterator[str]:
    yield ""
    if run.outcome == "failed":
        yield f"# {run.oracle}: {run.problem}"
    else:
        yield f"# {run.outcome}{': ' if run.problem else ''}{run.problem}"


def _time(at: Micros) -> str:
    return f"{at / 1_000_000:12.6f}s"
