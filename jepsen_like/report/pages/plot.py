"""A plot over the time of a run, as SVG text: axes, faults as shaded and named spans, dots, lines and bars.

Drawn by hand and not by a plotting library: five plots with one time axis need no more than this, the page's style
sheet colours them (by day and by night), text stays text, and an environment that runs tests installs nothing for it.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

from jepsen_like.report.pages.scale import Scale
from jepsen_like.report.pages.series import Points
from jepsen_like.report.pages.strikes import Strike

WIDTH = 1080
LEFT, RIGHT = 66, 14
ROW = 15
"""The height of a fault's name."""
SHORTEST = 4.0
"""How wide the fault of a moment is drawn: one must be able to see it."""
LETTER = 6.0
"""About how wide one letter of a name is."""


class Plot:
    """Drawn in layers, the first undermost; `svg` has them all. Lengths are pixels at full width, times seconds."""

    def __init__(
        self, *, end: float, scale: Scale | None, strikes: Sequence[Strike] = (), height: int = 200
    ) -> None:
        """`scale` None: a plot that shows when, and not how much."""
        self._end = max(end, 1e-9)
        self._scale = scale
        rows = _packed(strikes, self.x)
        self._top = 12 + ROW * (max(rows, default=-1) + 1)
        self._bottom = self._top + height
        self._parts: list[str] = []
        self._back(strikes, rows)

    # -- places

    def x(self, at: float) -> float:
        """Where a moment is."""
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(at / self._end, 0.0), 1.0)

    def y(self, value: float) -> float:
        """Where a value is."""
        assert self._scale is not None, "this plot has no values"
        return self._bottom - (self._bottom - self._top) * self._scale.place(value)

    # -- layers

    def dots(self, points: Points, css: str) -> None:
        """A dot each: one path, for there may be ten thousand."""
        if points:
            drawn = "".join(f"M{self.x(at):.1f} {self.y(value):.1f}h0" for at, value in points)
            self._parts.append(f'<path class="dots {css}" d="{drawn}"/>')

    def line(self, points: Points, css: str, *, apart: float = math.inf) -> None:
        """Through all points, but not from one to the next where they are further apart than so many seconds."""
        drawn, last = "", -math.inf
        for at, value in points:
            drawn += f"{'M' if not drawn or at - last > apart else 'L'}{self.x(at):.1f} {self.y(value):.1f}"
            last = at
        if points:
            self._parts.append(f'<path class="line {css}" d="{drawn}h0"/>')

    def area(self, points: Points, css: str) -> None:
        """Filled down to the axis."""
        if points:
            ends = [(points[0][0], 0.0), *points, (points[-1][0], 0.0)]
            drawn = " ".join(f"{self.x(at):.1f},{self.y(value):.1f}" for at, value in ends)
            self._parts.append(f'<polygon class="area {css}" points="{drawn}"/>')

    def bar(self, began: float, ended: float, css: str, text: str = "") -> None:
        """As high as the plot; the text stands in it where there is room, and appears under the pointer."""
        left, width = self.x(began), max(self.x(ended) - self.x(began), 1.0)
        height, title = self._bottom - self._top, f"<title>{escape(text)}</title>" if text else ""
        box = f'x="{left:.1f}" y="{self._top}" width="{width:.1f}" height="{height}"'
        self._parts.append(f'<rect class="bar {css}" {box}>{title}</rect>')
        if text and LETTER * len(text) < width:
            self._text(left + width / 2, self._top + height / 2 + 4, text, "middle in-bar")

    def mark(self, at: float, text: str) -> None:
        """A moment that matters to the whole run."""
        x = self.x(at)
        self._parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{self._top}" y2="{self._bottom}"/>'
        )
        self._text(x - 4, self._bottom - 5, text, "end soft")

    def svg(self, title: str) -> str:
        """The picture. `title` is read aloud to whoever cannot see it."""
        height = self._bottom + 22
        head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        return f"{head}{''.join(self._parts)}</svg>"

    # -- what all plots have

    def _back(self, strikes: Sequence[Strike], rows: Sequence[int]) -> None:
        for strike, row in zip(strikes, rows, strict=True):
            left, width = self.x(strike.began), max(self.x(strike.ended) - self.x(strike.began), SHORTEST)
            top = 4 + ROW * row
            words = f"{strike.text}, {strike.began:.1f} s to {strike.ended:.1f} s"
            self._parts.append(
                f'<g class="strike {strike.kind}"><title>{escape(words)}</title>'
                f'<rect class="wash" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{self._bottom - top}"/>'
                f'<rect class="head" x="{left:.1f}" y="{top}" width="{width:.1f}" height="3"/></g>'
            )
            end = left + LETTER * len(strike.text) > WIDTH - RIGHT
            self._text(
                WIDTH - RIGHT if end else left + 3, top + 13, strike.text, f"{'end ' * end}name {strike.kind}"
            )
        if self._scale is not None:
            for value, text in self._scale.ticks():
                y = self.y(value)
                self._parts.append(
                    f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                )
                self._text(LEFT - 7, y + 4, text, "end soft")
        self._time_axis()

    def _time_axis(self) -> None:
        y = self._bottom
        self._parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        step = next(
            (each for each in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if self._end / each <= 14), 3600
        )
        for number in range(math.floor(self._end / step) + 1):
            x = self.x(number * step)
            self._parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 4}"/>')
            self._text(x, y + 17, f"{number * step} s" if number else "0", "middle soft")

    def _text(self, x: float, y: float, text: str, css: str) -> None:
        self._parts.append(f'<text class="{css}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')


def _packed(strikes: Sequence[Strike], x: Callable[[float], float]) -> list[int]:
    """The row of each, the lowest in which neither its span nor its name meets another's."""
    ends: list[float] = []
    rows: list[int] = []
    for strike in strikes:
        left, right = x(strike.began), max(x(strike.ended), x(strike.began) + LETTER * len(strike.text) + 6)
        row = next((number for number, end in enumerate(ends) if end <= left), len(ends))
        ends[row : row + 1] = [right]
        rows.append(row)
    return rows
