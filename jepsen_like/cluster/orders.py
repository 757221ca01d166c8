"""What a node under test is told while it runs: one JSON object a line, on its standard input."""

from typing import TypeAlias

import msgspec


class Order(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="order"):
    """One thing to do. The node answers a line with its number when it is done."""

    number: int = 0


class Stall(Order, frozen=True, kw_only=True):
    """From now on no sync returns, or all do again."""

    on: bool


class Slow(Order, frozen=True, kw_only=True):
    """Every sync takes so many microseconds longer; 0: none does."""

    latency: int


class Full(Order, frozen=True, kw_only=True):
    """There is no space for new files, or there is again."""

    on: bool


class FailNext(Order, frozen=True, kw_only=True):
    """The next operation of this kind (`read`, `write`, `sync`, `allocate`) fails with EIO, once."""

    operation: str


class Jump(Order, frozen=True, kw_only=True):
    """The wall clock is set forward (or back) by so many microseconds."""

    by: int


class Drift(Order, frozen=True, kw_only=True):
    """From now on both clocks run at (1 + ppm / 1,000,000) of the true rate."""

    ppm: int


class Arm(Order, frozen=True, kw_only=True):
    """Arm failpoints, as `RAFTLOG_FAILPOINTS` spells them."""

    rules: str


class Disarm(Order, frozen=True, kw_only=True):
    """No failpoint strikes any more."""


AnyOrder: TypeAlias = Stall | Slow | Full | FailNext | Jump | Drift | Arm | Disarm


class Done(msgspec.Struct, frozen=True):
    """A node's answer: the order of this number is carried out, or why not."""

    number: int
    problem: str = ""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a node process is started with: its only argument, as JSON."""

    directory: str
    name: str
    listen: str
    machine: str
    disk: str = "local"
    """`local`, `volatile` (a kill loses what was not synced) or `unsynced` (and nothing is ever synced)."""
    routes: dict[str, str] = {}
    """What to dial in place of another node's address."""
    election_timeout: int = 0
    """Microseconds; 0: as nodes have it by themselves."""
    retention: dict[str, int] = {}
    """What differs from the usual retention of the log."""
    broken: str = ""
    """A build of `jepsen_like.cluster.broken.NODES` in place of the real one."""
