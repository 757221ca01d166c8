"""The moment in which a history becomes impossible, drawn as one HTML page without scripts."""

from collections.abc import Hashable, Iterable, Sequence
from html import escape

from jepsen_like.check.history import EventType, History, Operation, paired
from jepsen_like.check.linearizable import Impossible, LegalPrefix

_BEFORE = 12  # answered operations shown that ended before the bad one began
_LANE, _BAR, _LEFT, _COLUMN = 34, 24, 110, 46  # pixels
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em; color: #1b1f24; background: #fff }
h1 { font-size: 1.3em } h2 { font-size: 1.1em; margin-top: 2em }
svg text { font: 12px system-ui, sans-serif } .lane { stroke: #e3e6ea }
.ok rect { fill: #cfe8d5; stroke: #5a9e6b } .info rect { fill: #fdf0cd; stroke: #c9a227; stroke-dasharray: 4 3 }
.fail rect { fill: #eceff2; stroke: #9aa4af } .bad rect { fill: #f8cfcf; stroke: #c0392b; stroke-width: 2 }
table { border-collapse: collapse } td, th { border: 1px solid #d5d9de; padding: .2em .7em; text-align: left }
code { background: #f3f4f6; padding: 0 .2em }
"""

_LEGEND = """
<p>Green was answered, yellow was never answered and may have happened at any later time, grey did not happen, red
cannot have had this answer.</p>
"""


def picture(history: History, impossible: Impossible, title: str) -> str:
    """One page: who did what around the impossible event, and what every legal order before it left behind.

    Each process is a lane, each operation a bar from its invocation to its answer; events stand at equal distances in
    the order of the history, not of their times. Only operations on the object concerned are shown.
    """
    shown = _around(history, impossible)
    return "\n".join(
        [
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>",
            f"<h1>{escape(title)}: event {history.events[impossible.event].index} is impossible</h1>",
            f"<p>No order of the operations explains <code>{escape(str(impossible.operation))}</code>.</p>{_LEGEND}",
            _drawing(shown, impossible),
            _orders(impossible),
            "</html>",
        ]
    )


def _around(history: History, impossible: Impossible) -> list[Operation]:
    """The operations on the object that were under way at the bad one's time, and the last few before."""
    bad = impossible.operation
    began = bad.invoked
    same = [
        each
        for each in paired(history.events)
        if _is_about(each, impossible) and each.invoked <= impossible.event
    ]
    earlier = [each for each in same if each.returned is not None and each.returned < began]
    earlier.sort(key=lambda each: each.returned or 0)
    near = {each.invoked for each in earlier[-_BEFORE:]}
    return [each for each in same if each.invoked in near or each.returned is None or each.returned >= began]


def _is_about(operation: Operation, impossible: Impossible) -> bool:
    if impossible.operation.key is None:
        return True
    if operation.key is not None:
        return bool(operation.key == impossible.operation.key)
    value = operation.argument
    return isinstance(value, list | tuple) and bool(value) and bool(value[0] == impossible.operation.key)


def _drawing(shown: Sequence[Operation], impossible: Impossible) -> str:
    moments = {each.invoked for each in shown}
    moments |= {
        each.returned for each in shown if each.returned is not None and each.returned <= impossible.event
    }
    column = {moment: place for place, moment in enumerate(sorted(moments))}
    lanes: dict[Hashable, int] = {}
    for each in shown:
        lanes.setdefault(each.process, len(lanes))
    width = _LEFT + (len(column) + 1) * _COLUMN
    parts = [f'<svg width="{width}" height="{(len(lanes) + 1) * _LANE}">']
    for process, lane in lanes.items():
        y = lane * _LANE + _LANE
        parts.append(f'<line class=lane x1="{_LEFT}" x2="{width}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="4" y="{y + 4}">process {escape(str(process))}</text>')
    parts += [_bar(each, impossible, column, lanes[each.process] * _LANE + _LANE, width) for each in shown]
    return "".join([*parts, "</svg>"])


def _bar(operation: Operation, impossible: Impossible, column: dict[int, int], y: int, width: int) -> str:
    left = _LEFT + column[operation.invoked] * _COLUMN
    known = operation.returned is not None and operation.returned <= impossible.event
    right = _LEFT + column[operation.returned or 0] * _COLUMN + _COLUMN // 2 if known else width
    kind = operation.outcome.value if known else EventType.INFO.value
    if operation.returned == impossible.event:
        kind = "bad"
    words = f"{operation.f} {_plain(operation.argument)}"
    if known and operation.outcome is EventType.OK:
        words += f" \u2192 {_plain(operation.result)}"
    return (
        f"<g class={kind}><title>{escape(str(operation))}</title>"
        f'<rect x="{left}" y="{y - _BAR // 2}" width="{max(right - left, 8)}" height="{_BAR}" rx="4"/>'
        f'<text x="{left + 5}" y="{y + 4}">{escape(words)}</text></g>'
    )


def _plain(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _orders(impossible: Impossible) -> str:
    rows = [_row(prefix) for prefix in impossible.prefixes]
    return (
        "<h2>Every order that explains what came before</h2><p>The last operations of each order, and the state it "
        "leaves, in which the red answer is impossible; operations under way may still take effect.</p>"
        "<table><tr><th>order<th>state</tr>" + "".join(rows) + "</table>"
    )


def _row(prefix: LegalPrefix) -> str:
    last = _listed(f"{each.process}: {each.f} {_plain(each.argument)}" for each in prefix.order[-8:])
    return f"<tr><td>{last}<td><code>{escape(repr(prefix.state))}</code></tr>"


def _listed(words: Iterable[str]) -> str:
    return " \u00b7 ".join(escape(each) for each in words) or "nothing"
