"""The value axis of a plot: where a value stands between bottom and top, and which ones are written beside it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high`. `bend` is what makes distances: the value itself, its logarithm, or something between."""

    low: float
    high: float
    marks: tuple[tuple[float, str], ...]
    bend: Callable[[float], float]

    def place(self, value: float) -> float:
        """0 at the bottom, 1 at the top; what is beyond stays at the edge."""
        low, high = self.bend(self.low), self.bend(self.high)
        return min(max((self.bend(max(value, self.low)) - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> Sequence[tuple[float, str]]:
        """Values and their names."""
        return self.marks


def linear(most: float) -> Scale:
    """From 0 to a round value not below `most`."""
    rough = max(most, 1e-9) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough)
    high = step * max(1, math.ceil(most / step))
    count = round(high / step)
    return Scale(0.0, high, tuple((step * each, f"{step * each:g}") for each in range(count + 1)), float)


def durations(least: float, most: float) -> Scale:
    """Logarithmic, in seconds, over whole powers of ten."""
    low = math.floor(math.log10(max(least, 1e-5)))
    high = max(math.ceil(math.log10(max(most, 1e-5))), low + 1)
    marks = tuple((10.0**power, duration(10.0**power)) for power in range(low, high + 1))
    return Scale(10.0**low, 10.0**high, marks, math.log10)


def signed(most: float) -> Scale:
    """Both ways from 0, in seconds: linear for the first tenth, logarithmic beyond."""
    high = 10.0 ** max(0, math.ceil(math.log10(max(most, 1e-9))))
    powers = [10.0**power for power in range(round(math.log10(high)) + 1)]
    marks = [(sign * each, f"{sign * each:+g} s") for each in powers for sign in (-1, 1)]
    return Scale(-high, high, ((0.0, "0"), *marks), lambda value: math.asinh(value * 10))


def duration(seconds: float) -> str:
    """`2 ms`, `1.5 s`."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
