"""What must have happened in a campaign of either tier, for its silence to mean anything."""

from jepsen_like.sim.core.gates import expect_core
from jepsen_like.sim.coverage import Registry
from jepsen_like.sim.plan import Tier
from raftlog.failpoints import ALL

REGISTRY = Registry()
"""All gates. Whoever brings a feature adds a line here."""

NODE: tuple[Tier, ...] = ("node",)
FAULTS = (
    "campaign",
    "crash",
    "damage",
    "damage-snapshot",
    "disk-fails",
    "disk-full",
    "disk-slow",
    "disk-stall",
    "drift",
    "failpoint",
    "hang",
    "kill",
    "one-way",
    "partition",
    "pause",
    "ring",
    "slow-link",
    "squall",
    "stop",
    "wall-jump",
    "wipe",
)
MESSAGES = {
    "follower": (
        "append",
        "heartbeat",
        "pre-vote",
        "vote",
        "read-answer",
        "forward",
        "forward-answer",
        "offer",
    ),
    "pre-candidate": ("append", "heartbeat", "pre-vote", "pre-vote-answer", "vote"),
    "candidate": ("pre-vote", "pre-vote-answer", "vote", "vote-answer"),
    "leader": ("accepted", "rejected", "heartbeat-ack", "pre-vote", "vote-answer", "read-request", "forward"),
}
EVENTS = (
    "impaired",
    "impaired-healed",
    "leader-change",
    "log-compacted",
    "read",
    "redirect",
    "restart",
    "retry",
    "session-opened",
    "session-resumed",
    "snapshot-fetched",
    "snapshot-installed",
    "snapshot-replaced",
    "snapshot-taken",
    "transfer-resumed",
)
EFFECTS = (
    "damage-impairs",
    "damage-mended",
    "damage-refused",
    "doubled",
    "io-error",
    "lost",
    "lost-at-a-cut",
    "lost-writes",
    "no-space",
    "slow-sync",
    "slowed",
    "snapshot-not-written",
    "stalled-sync",
    "stood-still",
    "stranger",
    "transfer-broken",
    "waited",
)
"""What faults must have led to: a nemesis that only says it struck strikes nobody."""
ABSENT = {"event/lease-read": "lease reads"}
NOT_ON_WHOLE_NODES = {
    "fault/member-change": "membership changes on whole nodes",
    "fault/transfer": "leadership transfer on whole nodes",
}


def _expect_whole_nodes(registry: Registry) -> None:
    for role, kinds in MESSAGES.items():
        for kind in kinds:
            registry.expect(f"role/{role}/{kind}", tiers=NODE)
    for event in EVENTS:
        registry.expect(f"event/{event}", tiers=NODE)
    for effect in EFFECTS:
        registry.expect(f"effect/{effect}", tiers=NODE)
    for fault in FAULTS:
        registry.expect(f"fault/{fault}", tiers=NODE)
    for point in ALL:
        registry.expect(f"failpoint/{point}", tiers=NODE)


expect_core(REGISTRY)
_expect_whole_nodes(REGISTRY)
for name, feature in ABSENT.items():
    REGISTRY.expect(name, absent=feature)
for name, feature in NOT_ON_WHOLE_NODES.items():
    REGISTRY.expect(name, tiers=NODE, absent=feature)
