"""A fixed run of ten seconds: calls every half second, none of which succeeds while the leader is down."""

from pathlib import Path

import msgspec

from jepsen_like.check import History, Verdict, write_jsonl
from jepsen_like.cluster.trial import Figures, Outcome, Report, Struck, Trial
from jepsen_like.sim.faults import LEADER, Drift, Kill, WallJump
from jepsen_like.workloads.workload import Judged

BEGAN = 5_000_000_000
STRUCK = (
    Struck(fault=Kill(at=3_000_000, nodes=(LEADER,), down=2_000_000), targets=("n2",), began=3.0, ended=5.0),
    Struck(fault=WallJump(at=6_000_000, node="n1", by=-3_600_000_000), targets=("n1",), began=6.0, ended=6.0),
    Struck(
        fault=Drift(at=7_000_000, node="n3", ppm=200_000, span=2_000_000),
        targets=("n3",),
        began=7.0,
        ended=9.0,
    ),
    Struck(fault=Kill(at=8_000_000, nodes=(LEADER,), down=1), targets=(), began=8.0),
)


def history() -> History:
    """Process 1 asks at 0.0, 0.5, ... 9.5 s. It hears `ok` after 10 ms, but for 3.0 (unknown, 1 s) and 4.0 (failed)."""
    found, process = History(), 1
    for number in range(20):
        asked = BEGAN + number * 500_000_000
        if asked == BEGAN + 3_500_000_000:
            continue
        found.invoke(process, "write", number, key="<key>", time=asked)
        match number:
            case 6:
                found.info(process, time=asked + 1_000_000_000, error="timed out")
                process += 1
            case 8 | 9:
                found.fail(process, time=asked + 1_000_000, error="no leader")
            case _:
                found.ok(process, number, time=asked + 10_000_000)
    return found


def report(outcome: Outcome = "passed", *, seed: int = 7, broken: str = "") -> Report:
    """What belongs to it."""
    verdict = Verdict.INVALID if outcome == "failed" else Verdict.VALID
    return Report(
        trial=Trial(workload="register", schedule="mix", seed=seed, seconds=10, broken=broken),
        outcome=outcome,
        judged=(Judged("kv", verdict, ("read <1> & saw 2",) if outcome == "failed" else ()),),
        figures=Figures(
            ok=17, failed=2, unknown=1, longest_gap=2.5, recovered_after=0.04, median_ms=10.0, p99_ms=10.0
        ),
        struck=STRUCK,
        problems=("only 17 operations succeeded, not 40",) if outcome == "invalid" else (),
        began=BEGAN,
        healed=9.5,
    )


def left(folder: Path, run: Report) -> None:
    """What such a run leaves behind."""
    folder.mkdir(parents=True)
    with (folder / "history.jsonl").open("wb") as file:
        write_jsonl(history(), file)
    (folder / "report.json").write_bytes(msgspec.json.encode(run))
    (folder / "n1.log").write_text("serving\n")
    (folder / "n1").mkdir()
