"""Named places around the durability boundaries at which a node can be told to crash, to wait or to fail.

Nothing happens at any of them until a rule is armed: `points` lists them, `rules` is how rules are written,
`failpoints` is what a node carries. docs/failpoints.md is the page for people.
"""

from raftlog.failpoints.failpoints import INERT, FailpointCrash, FailpointError, Failpoints, OnHit
from raftlog.failpoints.points import ALL, Failpoint
from raftlog.failpoints.rules import Action, BadRule, Crash, Delay, Fail, Rule, parse

__all__ = [
    "ALL",
    "INERT",
    "Action",
    "BadRule",
    "Crash",
    "Delay",
    "Fail",
    "Failpoint",
    "FailpointCrash",
    "FailpointError",
    "Failpoints",
    "OnHit",
    "Rule",
    "parse",
]
