"""Whole nodes take snapshots, compact, fetch and install them, lose some; a state that is wrong is found out."""

from collections.abc import Iterator
from typing import Any

import pytest

from jepsen_like.sim.faults import AnyFault, DamageSnapshot, DiskFull, Failpoint, Kill, Partition, Squall
from jepsen_like.sim.node import Simulation, run
from jepsen_like.sim.node.ledger import Ledger
from jepsen_like.sim.node.registers import Registers
from jepsen_like.sim.plan import Plan, Snapshotting
from raftlog.testing.network import Weather
from statemachines.kv import KeyValue
from tests.sim.node.scene import AT, SECOND, Seen, plan, play

OFTEN = Snapshotting(entries=10, keep=0, most=1, takes=(1_000,), part=512, rate=64 << 10)


def scene(*faults: AnyFault, seed: int = 1, size: int = 300, span: int = 9 * SECOND) -> Plan:
    return plan(*faults, seed=seed, size=size, span=span, snapshot=OFTEN)


def counts(seen: Seen, *events: str) -> list[int]:
    return [seen.run.coverage.get(f"event/{event}", 0) for event in events]


def test_logs_begin_later_behind_snapshots_and_who_was_away_is_fed_one_in_pieces() -> None:
    seen = play(scene(Partition(at=AT, sides=(("n3",), ("n1", "n2")), span=3 * SECOND)))
    taken, compacted, installed, pieces = counts(
        seen, "snapshot-taken", "log-compacted", "snapshot-installed", "snapshot-piece"
    )
    assert min(taken, compacted) > 5
    assert installed >= 1
    assert pieces > installed, "no snapshot had several pieces"
    for host in seen.simulation.world.hosts:
        assert host.ledger is not None
        assert host.ledger.durable.base.last.index > 0, f"{host.name} has its whole log"


def test_a_transfer_goes_on_after_its_connection_broke() -> None:
    away = Partition(at=AT, sides=(("n3",), ("n1", "n2")), span=3 * SECOND)
    breaks = Squall(at=AT + 3 * SECOND, weather=Weather(delay=(100, 400), breaks=0.3), span=6 * SECOND)
    seen = play(scene(away, breaks, span=10 * SECOND))
    assert seen.run.coverage.get("effect/transfer-broken", 0) >= 1
    assert counts(seen, "transfer-resumed") >= [1]


@pytest.mark.parametrize("how, place", [("flip", 0.0), ("zero", 0.3), ("lose", 0.6)])
def test_a_damaged_snapshot_is_replaced_by_the_one_before_and_the_log(how: str, place: float) -> None:
    seen = play(scene(DamageSnapshot(at=AT, node="n2", how=how, place=place, down=SECOND)))
    assert counts(seen, "snapshot-replaced") == [1]
    assert seen.run.coverage["effect/damage-mended"] == 1
    assert not seen.simulation.world.atlas.destroyed


def test_a_full_disk_puts_snapshots_off_and_nothing_else() -> None:
    seen = play(scene(DiskFull(at=AT, node="n1", span=3 * SECOND)))
    assert seen.run.coverage["effect/snapshot-not-written"] >= 1


POINTS = (
    "snapshot.part.before_write",
    "snapshot.before_parts_sync",
    "snapshot.before_rename",
    "snapshot.before_names_sync",
    "snapshot.after_names_sync",
    "snapshot.drop.before_parts",
    "wal.truncate.before_sync",
    "purge.before_names_sync",
)


def test_power_lost_at_every_step_of_a_snapshot_costs_nothing() -> None:
    def crashes() -> Iterator[AnyFault]:
        for at, point in enumerate(POINTS):
            node = f"n{at % 3 + 1}"
            yield Failpoint(at=AT + at * 700_000, node=node, arm=f"{point}=crash", down=300_000)

    seen = play(scene(*crashes(), size=2_000, span=12 * SECOND))
    struck = [point for point in POINTS if seen.run.coverage.get(f"failpoint/{point}/crash")]
    assert len(struck) >= 6, f"hardly any struck: {struck}"


# -- planted bugs


class Moody(KeyValue):
    """Every other machine of a run lacks its last key in its snapshots."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        Moody.made += 1
        self._forgets = Moody.made % 2 == 0

    def capture(self) -> object:
        captured: Any = super().capture()
        version, keys, items = captured
        return version, keys[: len(keys) - self._forgets], items


def test_a_snapshot_that_is_not_the_state_is_found_out() -> None:
    made = scene(span=4 * SECOND)
    story = Registers(made.workload)
    story.machine = Moody
    assert Simulation(made, story=story).run().oracle == "I13"


def test_a_snapshot_that_recovery_forgets_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Ledger.keep

    def one_ahead(ledger: Ledger, newest: object) -> None:
        keep(ledger, newest)  # type: ignore[arg-type]
        held = ledger.durable.snapshot
        if held is not None and held.meta.last.index > 30:
            later = type(held.meta.last)(held.meta.last.term, held.meta.last.index + 5)
            meta = type(held.meta)(later, held.meta.membership, held.meta.log_time)
            ledger.durable.snapshot = type(held)(meta, held.digest, held.state)

    monkeypatch.setattr(Ledger, "keep", one_ahead)
    made = scene(Kill(at=AT + SECOND, nodes=("n1", "n2", "n3"), down=200_000))
    assert run(made).oracle == "I11"
