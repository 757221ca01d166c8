"""What is to happen at a failpoint, and when: rules, as values and as text.

wal.append.after_sync=crash                     each time the place is reached
wal.append.before_write=delay(50ms)             us, ms or s
bootstrap.before_rename=error*2                 twice at most
writer.after_append=3rd:crash                   the third time (3rd:error*2: the third and the fourth)
node.before_send=5%:error; loads.before_read=error      one time in twenty; several rules
"""

import difflib
import re
from typing import TypeAlias

import msgspec

from raftlog.core.ids import Micros
from raftlog.failpoints.points import ALL


class BadRule(ValueError):
    """A text that is no rule; the sentence says which part and what to write."""


class Crash(msgspec.Struct, frozen=True):
    """The process ends at that line."""

    def __str__(self) -> str:
        return "crash"


class Delay(msgspec.Struct, frozen=True):
    """Time passes at that line."""

    micros: Micros

    def __str__(self) -> str:
        for unit in ("s", "ms"):
            if self.micros % _UNITS[unit] == 0:
                return f"delay({self.micros // _UNITS[unit]}{unit})"
        return f"delay({self.micros}us)"


class Fail(msgspec.Struct, frozen=True):
    """What the failpoint's `error` says happens at that line."""

    def __str__(self) -> str:
        return "error"


Action: TypeAlias = Crash | Delay | Fail


class Rule(msgspec.Struct, frozen=True):
    """One action at one failpoint. `str` gives the text that `parse` reads.

    Invariants: the name is a failpoint's; `first` and `times` are 1 or more; 0 < `chance` <= 1.
    """

    name: str
    action: Action
    first: int = 1
    """Which hit is the first that counts."""
    times: int | None = None
    """How often it fires at most; None: always."""
    chance: float = 1.0
    """Of firing at a hit that counts."""

    def __post_init__(self) -> None:
        if self.name not in ALL:
            raise BadRule(f"there is no failpoint {self.name!r}{_meant(self.name)}")
        if self.first < 1 or (self.times is not None and self.times < 1):
            raise BadRule(f"{self.name}: hits and times are counted from 1")
        if not 0 < self.chance <= 1:
            raise BadRule(f"{self.name}: a chance lies above 0% and at or below 100%")

    def __str__(self) -> str:
        when = f"{_ordinal(self.first)}:" if self.first > 1 or self.times == 1 else ""
        chance = f"{self.chance * 100:.10g}%:" if self.chance < 1 else ""
        times = "" if self.times == (1 if when else None) else f"*{self.times or 'always'}"
        return f"{self.name}={when}{chance}{self.action}{times}"


def parse(text: str) -> tuple[Rule, ...]:
    """The rules in a text, one per failpoint, separated by semicolons or commas. An empty text has none.

    Raises:
        BadRule: a part of it is no rule, or two rules name the same failpoint.
    """
    rules: dict[str, Rule] = {}
    for part in re.split(r"[;,]", text):
        if part := part.strip():
            rule = _rule(part)
            if rule.name in rules:
                raise BadRule(f"{rule.name} has two rules: {rules[rule.name]} and {rule}")
            rules[rule.name] = rule
    return tuple(rules.values())


def _rule(text: str) -> Rule:
    name, equals, rest = text.partition("=")
    if not equals:
        raise BadRule(f"{text!r} is not written as failpoint=action, such as wal.append.after_sync=crash")
    found = _RULE.match(rest.strip())
    if found is None:
        raise BadRule(
            f"{text!r}: {rest.strip()!r} is no action: write crash, error or delay(50ms), before it 3rd: or 5%:, "
            "after it *2"
        )
    first, chance, times = found["first"], found["chance"], found["times"]
    if first is not None and _ordinal(int(first)) != found["ordinal"]:
        raise BadRule(f"{text!r}: {found['ordinal']!r} is no ordinal: write {_ordinal(int(first))}")
    return Rule(
        name.strip(),
        _action(found),
        int(first or 1),
        _times(times, 1 if first else None),
        round(float(chance) / 100, 12) if chance else 1.0,
    )


def _action(found: re.Match[str]) -> Action:
    match found["action"]:
        case "crash":
            return Crash()
        case "error":
            return Fail()
        case _:
            return Delay(round(float(found["span"]) * _UNITS[found["unit"]]))


def _times(text: str | None, default: int | None) -> int | None:
    if text is None:
        return default
    return None if text == "always" else int(text)


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name, ALL, n=3, cutoff=0.5)
    if not close:
        return "; docs/failpoints.md lists them"
    return f": did you mean {' or '.join(close)}?"


_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000}
_RULE = re.compile(
    r"(?:(?P<ordinal>(?P<first>\d+)(?:st|nd|rd|th)):)?"
    r"(?:(?P<chance>\d+(?:\.\d+)?)%:)?"
    r"(?:(?P<action>crash|error)|delay\((?P<span>\d+(?:\.\d+)?)(?P<unit>us|ms|s)\))"
    r"(?:\*(?P<times>\d+|always))?\Z"
)
