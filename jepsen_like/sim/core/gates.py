"""What a campaign of the core tier must have done and seen."""

from jepsen_like.sim.coverage import Registry
from jepsen_like.sim.plan import Tier

CORE: tuple[Tier, ...] = ("core",)
FAULTS = (
    "campaign",
    "crash",
    "damage",
    "disk-full",
    "disk-slow",
    "disk-stall",
    "drift",
    "hang",
    "kill",
    "maroon",
    "member-change",
    "one-way",
    "partition",
    "pause",
    "ring",
    "slow-link",
    "squall",
    "transfer",
    "wall-jump",
    "wipe",
)
EVENTS = (
    "busy",
    "cas",
    "change-begun",
    "change-lagging",
    "change-too-early",
    "change-under-way",
    "change-unsafe",
    "conflict-truncated",
    "fetch-failed",
    "hand-over-done",
    "hand-over-failed",
    "impaired-healed",
    "joint-in-force",
    "leader-change",
    "left-group",
    "load-from-disk",
    "log-compacted",
    "membership-decided",
    "read",
    "redirect",
    "repetition-filtered",
    "restart",
    "retry",
    "snapshot-installed",
    "snapshot-taken",
    "transfer-begun",
    "transfer-refused",
)
EFFECTS = (
    "doubled",
    "lost",
    "lost-at-a-cut",
    "lost-at-a-dead-end",
    "lost-writes",
    "marooned",
    "no-space",
    "slow-sync",
    "slowed",
    "stalled-sync",
    "unread",
    "waited",
)
"""What faults must have led to: a nemesis that only says it struck strikes nobody."""
_EVERY = (
    "pre-vote",
    "pre-vote-answer",
    "vote",
    "vote-answer",
    "append",
    "accepted",
    "rejected",
    "heartbeat",
    "heartbeat-ack",
    "read-request",
    "read-answer",
)
MESSAGES = {
    "follower": _EVERY,
    "pre-candidate": _EVERY,
    "candidate": tuple(kind for kind in _EVERY if kind not in ("accepted", "rejected")),
    "leader": _EVERY,
}
"""Which kinds of message a node in a role must have been given. A candidate that hears what became of entries from
an earlier leadership is too rare to insist on: once in hundreds of runs, or in thousands."""


def expect_core(registry: Registry) -> None:
    """Register the core tier's gates."""
    for role, kinds in MESSAGES.items():
        for kind in kinds:
            registry.expect(f"role/{role}/{kind}", tiers=CORE)
    # Offers come with a leader's heartbeats: hardly ever to anyone who does not follow it.
    registry.expect("role/follower/offer", tiers=CORE)
    for kind in ("timeout-now", "not-a-member"):
        registry.expect(f"role/follower/{kind}", tiers=CORE)
    for event in EVENTS:
        registry.expect(f"event/{event}", tiers=CORE)
    for effect in EFFECTS:
        registry.expect(f"effect/{effect}", tiers=CORE)
    for fault in FAULTS:
        registry.expect(f"fault/{fault}", tiers=CORE)
