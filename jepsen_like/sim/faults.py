"""What can be done to a cluster, as values: each fault says when, to whom, how and for how long.

Nodes are named as in stories: `n1`, or `leader` for whoever leads when the moment comes (nobody: the fault is skipped).
Clients are `c1`, `c2` and so on. Times are microseconds of virtual time since the run began.
"""

from typing import Literal, TypeAlias

import msgspec

from raftlog.core.ids import Micros
from raftlog.testing.network import Weather

LEADER = "leader"
"""The name that stands for whoever leads at that moment."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="fault"):
    """Something that goes wrong at a moment."""

    at: Micros


# -- processes


class Crash(Fault, frozen=True, kw_only=True):
    """Power is lost on these nodes at once: unsynced writes survive or not by chance, sector by sector, and names too.

    They start again after `down`.
    """

    nodes: tuple[str, ...]
    down: Micros


class Kill(Fault, frozen=True, kw_only=True):
    """The processes die at once; what they wrote survives, synced or not. They start again after `down`."""

    nodes: tuple[str, ...]
    down: Micros


class Stop(Fault, frozen=True, kw_only=True):
    """The processes end in good order, one after the other, and start again after `down`."""

    nodes: tuple[str, ...]
    down: Micros


class Pause(Fault, frozen=True, kw_only=True):
    """These nodes stand still, timers included, as after SIGSTOP or on a host that swaps; their clocks go on."""

    nodes: tuple[str, ...]
    span: Micros


class Wipe(Fault, frozen=True, kw_only=True):
    """A node loses its disk for good and starts empty after `down`: a stranger with the old address."""

    node: str
    down: Micros


# -- the network


class Partition(Fault, frozen=True, kw_only=True):
    """Nothing passes between different sides. Who is not named talks to everyone."""

    sides: tuple[tuple[str, ...], ...]
    span: Micros


class OneWay(Fault, frozen=True, kw_only=True):
    """Nothing gets from the origins to the targets; the other way is open."""

    origins: tuple[str, ...]
    targets: tuple[str, ...]
    span: Micros


class Ring(Fault, frozen=True, kw_only=True):
    """Every node reaches a majority and no two the same one: each talks to its nearest neighbours in this order."""

    nodes: tuple[str, ...]
    span: Micros


class Maroon(Fault, frozen=True, kw_only=True):
    """Whoever leads, or comes to lead within `span`, is cut off at once from all nodes but `node`, for `alone`.

    So leaders of several terms leave entries of their own at the same places of one log. With `stalls`, the disk of
    that node completes no write before the end: all of them are under way there together.
    """

    node: str
    alone: Micros
    stalls: bool
    span: Micros


class Squall(Fault, frozen=True, kw_only=True):
    """The whole network has this weather for a while."""

    weather: Weather
    span: Micros


class SlowLink(Fault, frozen=True, kw_only=True):
    """Frames from the origin to the target take `delay` longer."""

    origin: str
    target: str
    delay: Micros
    span: Micros


class Hang(Fault, frozen=True, kw_only=True):
    """These nodes read nothing from the network; connections stay open, calls hang, timers and disks go on."""

    nodes: tuple[str, ...]
    span: Micros


# -- clocks


class Drift(Fault, frozen=True, kw_only=True):
    """A node's monotonic and wall clock run at (1 + ppm / 1,000,000) of the true rate."""

    node: str
    ppm: int
    span: Micros


class WallJump(Fault, frozen=True, kw_only=True):
    """A node's wall clock is set forward or back by `by`, for good."""

    node: str
    by: Micros


# -- disks


class DiskStall(Fault, frozen=True, kw_only=True):
    """Syncs on this node's disk do not return until `span` has passed."""

    node: str
    span: Micros


class DiskSlow(Fault, frozen=True, kw_only=True):
    """Every sync on this node's disk takes `latency`."""

    node: str
    latency: Micros
    span: Micros


class DiskFails(Fault, frozen=True, kw_only=True):
    """The next operation of this kind (`read`, `write`, `sync`, `allocate`) on this node's disk fails once with EIO.

    A node that ends because of it starts again after `down`.
    """

    node: str
    operation: str
    down: Micros


class DiskFull(Fault, frozen=True, kw_only=True):
    """There is no space for new files on this node's disk."""

    node: str
    span: Micros


class Damage(Fault, frozen=True, kw_only=True):
    """Power is lost on a node, and something it had synced comes back wrong: D10's damage at rest.

    `how`: `flip` (one bit), `zero` (one sector), `misdirect` (two sectors of a file change places). `place` is a
    fraction of the file's written part. The node starts again after `down`, and may refuse to.
    """

    node: str
    how: str
    place: float
    down: Micros


class DamageSnapshot(Fault, frozen=True, kw_only=True):
    """Power is lost on a node, and a file of a snapshot comes back wrong, or not at all.

    `how`: `flip` (one bit), `zero` (one sector), `lose` (the directory has forgotten the file). `place` is a fraction
    of all there is to choose from. The node starts again after `down`.
    """

    node: str
    how: str
    place: float
    down: Micros


class Failpoint(Fault, frozen=True, kw_only=True):
    """A named point in the code of a node is armed, as `raftlog.failpoints` writes it. A crash there lasts `down`."""

    node: str
    arm: str
    down: Micros


# -- on purpose


class Campaign(Fault, frozen=True, kw_only=True):
    """A node asks for votes now, as if it had heard nothing from a leader."""

    node: str


How: TypeAlias = Literal[
    "grow", "learn", "promote", "demote", "shrink", "replace", "replace-later", "reshape"
]
"""grow: strangers become learners, and voters when they have caught up. learn: learners, for good. shrink: members go.
replace: a stranger takes a member's place at once; later: once it has caught up. reshape: exactly these are voters."""


class MemberChange(Fault, frozen=True, kw_only=True):
    """Somebody asks the leader for another membership; what does not fit is left out.

    With `blind` it is not said which membership the change is meant for.
    """

    how: How
    nodes: tuple[str, ...]
    force: bool = False
    """Whoever is alive: but never one that could not be decided after the faults."""
    blind: bool = False


class Transfer(Fault, frozen=True, kw_only=True):
    """Somebody asks the leader to hand over to `node`; `leader` leaves it to the leader to whom."""

    node: str


AnyFault: TypeAlias = (
    Crash
    | Kill
    | Stop
    | Pause
    | Wipe
    | Partition
    | OneWay
    | Ring
    | Maroon
    | Squall
    | SlowLink
    | Hang
    | Drift
    | WallJump
    | DiskStall
    | DiskSlow
    | DiskFails
    | DiskFull
    | Damage
    | DamageSnapshot
    | Failpoint
    | Campaign
    | MemberChange
    | Transfer
)


def ends(fault: AnyFault) -> Micros:
    """When the fault is over by itself."""
    return fault.at + int(getattr(fault, "span", 0) or getattr(fault, "down", 0))


def name(fault: AnyFault) -> str:
    """The fault's kind as coverage and ledgers spell it: `crash`, `one-way`, `disk-full`."""
    kind = type(fault).__name__
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind)[1:]
