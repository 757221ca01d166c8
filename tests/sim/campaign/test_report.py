"""Traces and timelines tell what happened, and hold together whatever the texts in them are."""

import re
from html.parser import HTMLParser
from typing import Any, get_args

import msgspec

from jepsen_like.report.faulted import fault_text
from jepsen_like.report.flights import joined, readable
from jepsen_like.report.timeline import as_html
from jepsen_like.report.trace import as_text, cluster_line, unusual
from jepsen_like.sim.faults import AnyFault, Crash, Partition
from jepsen_like.sim.happening import Happening
from jepsen_like.sim.notation import span_text
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.swarm import draw
from tests.sim.campaign.fake import passed

CUT = Partition(at=1_000_000, sides=(("n1",), ("n2", "n3")), span=400_000)
PLAN = Plan(seed=3, tier="core", span=2_000_000, faults=(CUT,))
RUN = passed(PLAN, outcome="failed", oracle="I1", problem="n2 leads term 3, as does n1", span=1_300_000)


def happening(at: int, lane: str, kind: Any, text: str, peer: str = "", flight: int = 0) -> Happening:
    return Happening(at=at, lane=lane, kind=kind, text=text, peer=peer, flight=flight)


STORY = [
    happening(900_000, "n1", "send", "n1@2 -> n2 append after 1@1: 2@2=x, commit 1", "n2", 7),
    happening(900_400, "n2", "arrive", "n1@2 -> n2 append after 1@1: 2@2=x, commit 1", "n1", 7),
    happening(1_000_000, "net", "fault", "partition n1 | n2, n3", flight=-1),
    happening(1_100_000, "n1", "send", "n1@2 -> n3 heartbeat round 4, commit 1", "n3", 8),
    happening(1_100_300, "n1", "lost", "n1@2 -> n3 heartbeat round 4, commit 1", "n3", 8),
    happening(1_150_000, "c1", "invoke", "read k1", flight=1),
    happening(1_200_000, "n2", "send", "n2@3 -> n3 vote last 2@2", "n3", 9),
    happening(1_250_000, "n2", "role", "n2@3 leader: won the election"),
    happening(1_300_000, "n2", "violation", "I1: n2 leads term 3, as does n1"),
]


def test_a_trace_reads_like_a_story() -> None:
    text = as_text(PLAN, RUN, STORY, replay="python -m jepsen_like replay 3")
    assert text == (
        "# I1: n2 leads term 3, as does n1\n"
        f"# seed 3, core tier, 2s under faults; trace {RUN.trace}\n"
        "# python -m jepsen_like replay 3\n"
        "\n"
        "cluster voters=n1..n3\n"
        "# at 1s: partition n1 | n2, n3 for 400ms\n"
        "    0.900400s  n1@2 -> n2 append after 1@1: 2@2=x, commit 1\n"
        "\n"
        "elapse 1s\n"
        "partition n1 | n2, n3\n"
        "---\n"
        "    1.100300s  lost: n1@2 -> n3 heartbeat round 4, commit 1\n"
        "    1.150000s  c1 read k1\n"
        "    1.250000s  n2@3 leader: won the election\n"
        "    1.300000s  VIOLATION: I1: n2 leads term 3, as does n1\n"
        "\n"
        "# still under way:\n"
        "#   sent at 1.200000s: n2@3 -> n3 vote last 2@2\n"
        "\n"
        "# I1: n2 leads term 3, as does n1\n"
    )


def test_the_last_of_a_trace_can_be_asked_for() -> None:
    text = as_text(PLAN, RUN, STORY, last=100_000)
    assert "# from     1.200000s on" in text
    assert "append" not in text
    assert "VIOLATION" in text


def test_ends_without_numbers_are_joined_in_the_order_of_departure() -> None:
    text = "n1@2 -> n2 heartbeat round 4, commit 1"
    told = joined(
        [
            happening(1, "n1", "send", text, "n2", 5),
            happening(2, "n1", "send", text, "n2"),
            happening(3, "n2", "arrive", text, "n1"),
            happening(4, "n1", "send", "another", "n2", 6),
            happening(5, "n2", "arrive", "another", "n1", 6),
            happening(6, "n2", "arrive", text, "n1"),
            happening(7, "n2", "arrive", text, "n1"),
        ]
    )
    flights = [each.flight for each in told]
    assert flights[0] == flights[2] == 5
    assert flights[1] == flights[5] != 0
    assert flights[3] == flights[4] == 6
    assert flights[6] == 0


def test_texts_name_both_ends_and_print_on_one_line() -> None:
    told = readable(
        [
            happening(1, "c1", "send", "21 bytes", "n2", 5),
            happening(2, "n2", "arrive", "21 bytes", "c1", 5),
            happening(3, "n2", "lost", "3 bytes", "c1"),
            happening(4, "n1", "commit", "2@2=a\nb\x00\ufffd"),
        ]
    )
    assert [each.text for each in told] == [
        "c1 -> n2 21 bytes",
        "c1 -> n2 21 bytes",
        "n2 -> c1 3 bytes",
        "2@2=a·b··",
    ]


class _Page(HTMLParser):
    """Collects what the page refers to, and the run in it."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.run = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        self._inside = tag == "script" and ("type", "application/json") in attrs

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.run += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = False


def page(text: str) -> _Page:
    parsed = _Page()
    parsed.feed(text)
    return parsed


def test_a_timeline_is_one_page_that_needs_nothing_else() -> None:
    text = as_html(PLAN, RUN, STORY, replay="python -m jepsen_like replay 3")
    parsed = page(text)
    assert parsed.references == []
    assert re.findall(r"(?:https?:)?//[\w.]+\.\w+[\w/.]*", text) == ["http://www.w3.org/2000/svg"]
    value = msgspec.json.decode(parsed.run)
    assert value["lanes"] == ["n1", "n2", "n3", "c1"]
    assert value["oracle"] == "I1"
    assert len(value["happenings"]) == len(STORY)


def test_a_text_cannot_break_out_of_the_page() -> None:
    bad = "</script><script>alert(1)</script><!--"
    parsed = page(as_html(PLAN, passed(PLAN, problem=bad), [happening(1, "n1", "note", bad)], replay=bad))
    value = msgspec.json.decode(parsed.run)
    assert value["problem"] == value["replay"] == value["happenings"][0][3] == bad


def test_a_timeline_of_nothing_is_still_a_page() -> None:
    assert msgspec.json.decode(page(as_html(PLAN, RUN, [])).run)["happenings"] == []


def test_a_long_run_keeps_its_end() -> None:
    long = [happening(at, "n1", "commit", f"n1 committed {at}") for at in range(70_000)]
    value = msgspec.json.decode(page(as_html(PLAN, RUN, long)).run)
    assert value["left_out"] == 10_000
    assert value["happenings"][-1][0] == 69_999


def test_every_fault_has_words_that_name_who_and_how_long() -> None:
    kinds = set()
    for seed in range(1, 120):
        for fault in (*draw(seed, "node").faults, *draw(seed, "core").faults):
            kinds.add(type(fault).__name__)
            text = fault_text(fault)
            for field in ("span", "down"):
                if lasts := getattr(fault, field, 0):
                    assert span_text(lasts) in text
            for name in (*getattr(fault, "nodes", ()), *getattr(fault, "origins", ())):
                assert name in text
            assert "\n" not in text
    assert kinds == {fault.__name__ for fault in get_args(AnyFault)}


def test_what_is_unusual_about_a_plan_is_said() -> None:
    assert unusual(PLAN) == []
    assert cluster_line(Plan(seed=1, tier="core", span=1, voters=1)) == "cluster voters=n1"
    odd = Plan(
        seed=1,
        tier="core",
        span=1,
        voters=3,
        learners=1,
        early=400,
        faults=(Crash(at=0, nodes=("n1",), down=1),),
    )
    assert unusual(odd) == ["early: 400"]
    assert cluster_line(odd) == "cluster voters=n1..n3 learners=n4"
