"""The moment in which a history becomes impossible, drawn as one HTML page without scripts."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate

from jepsen_like.check.history import EventType, History, Operation, paired
from jepsen_like.check.linearizable import Impossible, LegalPrefix

_BEFORE = 12  # answered operations shown that ended before the bad one began
_OLDER = 40  # unanswered ones from before those that are named under the picture
_IN_A_ROW = 8  # the last operations of an order that its row shows
_LANE, _BAR, _TOP = 34, 24, 34  # pixels
_NARROW = 34  # pixels between two events, at least
_LETTER = 6.6  # pixels, about
_STYLE = """
:root { color-scheme: light }
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; padding: 0 1.5em; max-width: 1500px; color: #1b1f24;
  background: #fff }
h1 { font-size: 1.4em; margin-bottom: .2em } h2 { font-size: 1.1em; margin-top: 2em }
.lead { font-size: 1.1em } .note { color: #57606a }
.picture { display: flex; border: 1px solid #d5d9de; border-radius: 6px; background: #fcfcfd }
/* Read from right to left, so that it opens at its end, where the impossible answer is. */
.scroll { overflow-x: auto; direction: rtl } svg { direction: ltr; display: block; flex: none }
svg text { font: 12px system-ui, sans-serif; fill: #1b1f24 } svg .axis { font-size: 10px; fill: #8b949e }
svg .who { fill: #57606a } svg .accused { fill: #b42318; font-weight: 600 } svg .place { font-size: 10px }
.lane { stroke: #eaecef } .tick { stroke: #f3f4f6 } .end { stroke: #c0392b; stroke-dasharray: 3 3 }
.ok rect { fill: #d3ecd9; stroke: #5a9e6b } .info rect { fill: #fdf3d7; stroke: #c9a227; stroke-dasharray: 4 3 }
.fail rect { fill: #eceff2; stroke: #9aa4af } .bad rect { fill: #f9d0cc; stroke: #c0392b; stroke-width: 2 }
.fail text { text-decoration: line-through; fill: #57606a } .bad text { font-weight: 600 }
.key { display: inline-block; width: 1.1em; height: .8em; border: 1px solid; border-radius: 3px; margin: 0 .3em 0 1em }
table { border-collapse: collapse } td, th { border: 1px solid #d5d9de; padding: .25em .7em; text-align: left }
td.state { font-weight: 600 } code { background: #f3f4f6; padding: .1em .3em; border-radius: 3px }
"""

_LEGEND = """
<p class=note>Each row is a client, each bar an operation from its question to its answer.
<span class=key style="background:#d3ecd9;border-color:#5a9e6b"></span>answered
<span class=key style="background:#fdf3d7;border-color:#c9a227"></span>not answered yet: may have happened, or may still
<span class=key style="background:#eceff2;border-color:#9aa4af"></span>did not happen
<span class=key style="background:#f9d0cc;border-color:#c0392b"></span>cannot have had this answer.
Small numbers count the first order in the table below.</p>
"""


def picture(history: History, impossible: Impossible, title: str) -> str:
    """One page: who did what around the impossible event, and what every legal order before it left behind.

    Each process is a lane, each operation a bar from its invocation to its answer; events stand at equal distances in
    the order of the history, not of their times. Only operations on the object concerned are shown: those under way
    with the impossible one, the last few before it, and in words what was asked for earlier and never answered.
    """
    same = [
        each
        for each in paired(history.events)
        if _is_about(each, impossible) and each.invoked <= impossible.event
    ]
    bars, older = _around(same, impossible)
    event = history.events[impossible.event].index
    return "\n".join(
        [
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>",
            f"<h1>{escape(title)}: event {event} is impossible</h1>",
            f"<p class=lead>No order of the operations explains <code>{_accusation(impossible)}</code>.</p>",
            _Chart.of(history, bars, impossible).drawn(),
            _LEGEND,
            _older(history, older),
            _orders(impossible),
            "</html>",
        ]
    )


def _accusation(impossible: Impossible) -> str:
    about = "" if impossible.partition is None else f" (key {impossible.partition!r})"
    return escape(f"process {impossible.operation.process}: {_words(impossible.operation)}{about}")


def _around(same: Sequence[Operation], impossible: Impossible) -> tuple[list[Operation], list[Operation]]:
    """The operations to draw, and the unanswered ones that were asked for before all of them."""
    began = impossible.operation.invoked
    answered = [each for each in same if each.returned is not None]
    earlier = sorted(
        (each for each in answered if (each.returned or 0) < began), key=lambda each: each.returned or 0
    )
    drawn = {each.invoked for each in earlier[-_BEFORE:]}
    drawn |= {each.invoked for each in answered if (each.returned or 0) >= began}
    first = min(drawn)
    return (
        [each for each in same if each.invoked >= first and (each.invoked in drawn or each.returned is None)],
        [each for each in same if each.invoked < first and each.returned is None],
    )


def _is_about(operation: Operation, impossible: Impossible) -> bool:
    if impossible.operation.key is None:
        return True
    if operation.key is not None:
        return bool(operation.key == impossible.operation.key)
    value = operation.argument
    return isinstance(value, list | tuple) and bool(value) and bool(value[0] == impossible.operation.key)


@dataclass(frozen=True, slots=True)
class _Bar:
    """One operation in the picture: columns are events, counted from 0."""

    operation: Operation
    lane: int
    begin: int
    end: int | None
    kind: str
    words: str
    place: int | None

    @property
    def needs(self) -> float:
        """Pixels that what stands in it takes."""
        number = 0 if self.place is None else len(str(self.place)) + 1
        return (len(self.words) + number) * _LETTER + 14


@dataclass(frozen=True, slots=True)
class _Chart:
    """What is drawn: bars in lanes over columns of events, which have the numbers in `events` and stand at `xs`."""

    bars: tuple[_Bar, ...]
    lanes: tuple[Hashable, ...]
    events: tuple[int, ...]
    xs: tuple[float, ...]
    accused: Hashable

    @staticmethod
    def of(history: History, shown: Sequence[Operation], impossible: Impossible) -> "_Chart":
        last = impossible.event
        moments = {each.invoked for each in shown}
        moments |= {each.returned for each in shown if each.returned is not None and each.returned <= last}
        columns = {moment: place for place, moment in enumerate(sorted(moments))}
        lanes = {process: lane for lane, process in enumerate(dict.fromkeys(each.process for each in shown))}
        order = impossible.prefixes[0].order if impossible.prefixes else ()
        places = {each.invoked: place for place, each in enumerate(order, start=1)}
        bars = tuple(
            _bar(each, last, columns, lanes[each.process], places.get(each.invoked)) for each in shown
        )
        return _Chart(
            bars,
            tuple(lanes),
            tuple(history.events[moment].index for moment in columns),
            _spread(bars, len(columns)),
            impossible.operation.process,
        )

    def drawn(self) -> str:
        height = _TOP + len(self.lanes) * _LANE
        width = self._width
        names = max(len(str(process)) for process in self.lanes) * _LETTER + 70
        who = [
            f'<text class="{"accused" if process == self.accused else "who"}" x="10" y="{self._y(lane) + 4}">'
            f"process {escape(str(process))}</text>"
            for lane, process in enumerate(self.lanes)
        ]
        parts = [*self._axis(height), *self._lines(width), *map(self._drawn, self.bars)]
        return (
            f'<div class=picture><svg width="{names:.0f}" height="{height}">{"".join(who)}</svg>'
            f'<div class=scroll><svg width="{width}" height="{height}">{"".join(parts)}</svg></div></div>'
        )

    def _y(self, lane: int) -> int:
        return _TOP + lane * _LANE + _LANE // 2

    def _axis(self, height: int) -> Iterable[str]:
        for place, event in enumerate(self.events):
            x = self.xs[place]
            last = place == len(self.events) - 1
            kind = "end" if last else "tick"
            yield f'<line class={kind} x1="{x}" x2="{x}" y1="22" y2="{height}"/>'
            yield f'<text class=axis x="{x}" y="16" text-anchor="middle">{"event " if last else ""}{event}</text>'

    @property
    def _width(self) -> float:
        open_ends = [self.xs[bar.begin] + bar.needs for bar in self.bars if bar.end is None]
        return max([self.xs[-1] + 2 * _NARROW, *open_ends])

    def _lines(self, width: float) -> Iterable[str]:
        for lane in range(len(self.lanes)):
            yield f'<line class=lane x1="0" x2="{width}" y1="{self._y(lane)}" y2="{self._y(lane)}"/>'

    def _drawn(self, bar: _Bar) -> str:
        left, y = self.xs[bar.begin], self._y(bar.lane)
        number = "" if bar.place is None else f"<tspan class=place>{bar.place} </tspan>"
        right = self._width if bar.end is None else self.xs[bar.end]
        return (
            f"<g class={bar.kind}><title>{escape(str(bar.operation))}</title>"
            f'<rect x="{left}" y="{y - _BAR // 2}" width="{max(right - left, 8)}" height="{_BAR}" rx="4"/>'
            f'<text x="{left + 5}" y="{y + 4}">{number}{escape(bar.words)}</text></g>'
        )


def _spread(bars: Sequence[_Bar], columns: int) -> tuple[float, ...]:
    """Where the events stand: near each other, but so that every bar has room for its words. Short bars ask first."""
    gaps = [float(_NARROW)] * columns  # before each column
    spans = sorted((bar.end - bar.begin, bar.begin, bar.needs) for bar in bars if bar.end is not None)
    for length, begin, needs in spans:
        missing = needs - sum(gaps[begin + 1 : begin + length + 1])
        if missing > 0:
            for place in range(begin + 1, begin + length + 1):
                gaps[place] += missing / length
    return tuple(round(x, 1) for x in accumulate(gaps))


def _bar(operation: Operation, last: int, columns: dict[int, int], lane: int, place: int | None) -> _Bar:
    known = operation.returned is not None and operation.returned <= last
    kind = operation.outcome.value if known else EventType.INFO.value
    if operation.returned == last:
        kind = "bad"
    words = _words(operation) if known else _asked(operation)
    end = columns[operation.returned] if known and operation.returned is not None else None
    return _Bar(operation, lane, columns[operation.invoked], end, kind, words, place)


def _words(operation: Operation) -> str:
    """What was asked and answered; an answer that says nothing but that it is done is left out."""
    if operation.outcome is not EventType.OK or (operation.result is None and operation.argument is not None):
        return _asked(operation)
    if operation.f == "write" or operation.result == operation.argument is not None:
        return _asked(operation)
    return f"{_asked(operation)} \u2192 {_plain(operation.result, nothing='nil')}"


def _asked(operation: Operation) -> str:
    return f"{operation.f} {_plain(operation.argument)}".rstrip()


def _plain(value: object, nothing: str = "") -> str:
    text = nothing if value is None else str(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 40 else text[:37] + "..."


def _older(history: History, older: Sequence[Operation]) -> str:
    if not older:
        return ""
    named = [
        f"{_asked(each)} (process {each.process}, event {history.events[each.invoked].index})"
        for each in older[-_OLDER:]
    ]
    more = f", and {len(older) - _OLDER} before them" if len(older) > _OLDER else ""
    return f"<p class=note>Asked for earlier, never answered, may have happened since: {_listed(named)}{more}.</p>"


def _orders(impossible: Impossible) -> str:
    rows = [_row(prefix) for prefix in impossible.prefixes]
    return (
        "<h2>Orders that explain what came before</h2><p class=note>The last operations of each order, and the state "
        "it leaves, in which the red answer is impossible; operations under way may still take effect.</p>"
        "<table><tr><th>order<th>state</tr>" + "".join(rows) + "</table>"
    )


def _row(prefix: LegalPrefix) -> str:
    last = _listed(f"{each.process}: {_words(each)}" for each in prefix.order[-_IN_A_ROW:])
    dots = "... " if len(prefix.order) > _IN_A_ROW else ""
    return f"<tr><td>{dots}{last}<td class=state><code>{escape(repr(prefix.state))}</code></tr>"


def _listed(words: Iterable[str]) -> str:
    return " \u00b7 ".join(escape(each) for each in words) or "nothing"
