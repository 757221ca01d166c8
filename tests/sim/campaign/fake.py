"""A tier that simulates nothing: what a run comes to follows from its plan, so that what handles runs can be tested."""

import os
import time
from random import Random

import xxhash

from jepsen_like.sim.coverage import Registry
from jepsen_like.sim.faults import Crash, Partition, name
from jepsen_like.sim.happening import Happening, Watch
from jepsen_like.sim.ledger import digest
from jepsen_like.sim.plan import Plan
from jepsen_like.sim.verdict import Run

SECOND = 1_000_000
HERE = "tests.sim.campaign.fake"
GATES = Registry()
GATES.expect("fault/crash")
GATES.expect("fault/partition", tiers=("node",))
GATES.expect("role/leader/snapshot", absent="snapshots")


def run(plan: Plan, *, watch: Watch | None = None) -> Run:
    """Every run passes."""
    for number, fault in enumerate(plan.faults):
        if watch is not None:
            watch(Happening(at=fault.at, lane="net", kind="fault", text=name(fault), flight=number))
    return passed(plan)


def passed(plan: Plan, **changed: object) -> Run:
    """A lively run."""
    faults: dict[str, int] = {}
    for fault in plan.faults:
        faults[name(fault)] = faults.get(name(fault), 0) + 1
    values: dict[str, object] = {
        "seed": plan.seed,
        "tier": plan.tier,
        "outcome": "passed",
        "trace": xxhash.xxh3_64(digest(plan).encode()).hexdigest(),
        "span": plan.span + 10 * SECOND,
        "events": 1_000,
        "acknowledged": 20 * plan.span // SECOND,
        "leader_changes": 3,
        "quiet": plan.span // 10,
        "faults": faults,
        "coverage": {f"fault/{kind}": number for kind, number in faults.items()},
    }
    return Run(**{**values, **changed})  # type: ignore[arg-type]


def every_seventh_fails(plan: Plan, *, watch: Watch | None = None) -> Run:
    if plan.seed % 7 == 0:
        return passed(plan, outcome="failed", oracle="I1", problem="n2 leads term 3, as does n1")
    return passed(plan)


def nothing_happens(plan: Plan, *, watch: Watch | None = None) -> Run:
    return passed(plan, acknowledged=0, leader_changes=0, quiet=plan.span, coverage={})


def some_die(plan: Plan, *, watch: Watch | None = None) -> Run:
    """Seed 3 ends its process, seed 4 raises, seed 5 takes for ever, seed 6 prints."""
    match plan.seed:
        case 3:
            os._exit(9)
        case 4:
            raise LookupError("a defect of the laboratory")
        case 5:
            time.sleep(3_600)
        case 6:
            os.write(1, b"this is no answer\n")
        case _:
            pass
    return passed(plan)


def other_every_time(plan: Plan, *, watch: Watch | None = None) -> Run:
    """Not deterministic: its trace follows the process."""
    return passed(plan, trace=f"{Random(os.getpid()).getrandbits(64):016x}")


def needs_two_faults(plan: Plan, *, watch: Watch | None = None) -> Run:
    """Fails when n1 is cut off for 10 ms at least and anybody crashes after that, with two clients and three nodes."""
    cuts = [fault for fault in plan.faults if isinstance(fault, Partition) and fault.span >= 10_000]
    for cut in cuts:
        crashes = [fault for fault in plan.faults if isinstance(fault, Crash) and fault.at > cut.at]
        alone = any("n1" in side for side in cut.sides)
        if crashes and alone and plan.workload.clients >= 2 and plan.voters >= 3:
            at = crashes[0].at + 1_000
            if watch is not None:
                watch(Happening(at=cut.at, lane="n1", kind="fault", text="is cut off", flight=1))
                watch(Happening(at=at, lane="n1", kind="violation", text="I1: two leaders"))
            return passed(plan, outcome="failed", oracle="I1", problem="two leaders", span=at)
    return passed(plan)


def hash_of_a_text(plan: Plan, *, watch: Watch | None = None) -> Run:
    """Its trace follows the hash seed of the process."""
    return passed(plan, trace=f"{hash('text') & 0xFFFFFFFFFFFFFFFF:016x}")


def named_for_its_process(plan: Plan, *, watch: Watch | None = None) -> Run:
    """Covers a thing named for the process it ran in."""
    return passed(plan, coverage={f"process/{os.getpid()}": 1})
