"""Each fault does to whole nodes what it says, for as long as it says: seen from outside, in what happens."""

from itertools import pairwise

import pytest

from jepsen_like.sim import links
from jepsen_like.sim.faults import (
    LEADER,
    AnyFault,
    Campaign,
    Crash,
    Damage,
    DiskFails,
    DiskFull,
    DiskSlow,
    DiskStall,
    Drift,
    Failpoint,
    Hang,
    Kill,
    OneWay,
    Partition,
    Pause,
    Ring,
    SlowLink,
    Squall,
    Stop,
    WallJump,
    Wipe,
)
from raftlog.testing.network import Weather
from tests.sim.node.scene import AT, SECOND, plan, play

LONG = 2 * SECOND
END = AT + LONG
NAMES = ("n1", "n2", "n3")


def struck(seen_text: str) -> str:
    """The node that `leader` was when the fault struck: its text is the kind and the name."""
    return seen_text.split()[1].strip(":")


@pytest.mark.parametrize(
    "fault,cut",
    [
        (
            Partition(at=AT, sides=(("n1",), ("n2", "n3")), span=LONG),
            [*links.between([("n1",), ("n2", "n3")])],
        ),
        (
            Partition(at=AT, sides=(("n1", "c1"), ("n2", "n3")), span=LONG),
            [*links.between([("n1", "c1"), ("n2", "n3")])],
        ),
        (OneWay(at=AT, origins=("n1",), targets=("n2", "n3"), span=LONG), [("n1", "n2"), ("n1", "n3")]),
    ],
    ids=["partition", "client on a side", "one-way"],
)
def test_nothing_passes_where_the_way_is_cut_and_everything_elsewhere(
    fault: AnyFault, cut: list[links.Link]
) -> None:
    seen = play(plan(fault))
    for origin, target in cut:
        assert not seen.between(AT, END, "arrive", lane=target, peer=origin), f"{origin} reaches {target}"
    after = [seen.between(END, END + SECOND, "arrive", lane=target, peer=origin) for origin, target in cut]
    assert any(after), "it never healed"
    assert seen.run.coverage["effect/lost-at-a-cut"] > 0


def test_ways_stay_cut_until_the_last_fault_that_cuts_them_is_over() -> None:
    short = Partition(at=AT, sides=((LEADER,), NAMES), span=SECOND)
    long = OneWay(at=AT + 1_000, origins=(LEADER,), targets=NAMES, span=LONG)
    seen = play(plan(short, long))
    name = seen.first("fault", "one-way").text.split()[1].partition("-")[0]
    others = [other for other in NAMES if other != name]
    for other in others:
        assert not seen.between(AT + 1_000, END + 1_000, "arrive", lane=other, peer=name)
    back = [each for each in seen.between(AT, END, "arrive", lane=name) if each.peer in others]
    assert back, "the other way is open again, and nothing came"
    assert min(each.at for each in back) > AT + SECOND


def test_a_ring_of_three_keeps_its_ends_apart_and_both_talk_to_the_middle() -> None:
    seen = play(plan(Ring(at=AT, nodes=(LEADER, *NAMES), span=LONG)))
    ends = seen.first("fault", "ring").text.split()[1].split("-/->")
    (middle,) = {*NAMES} - {*ends}
    one, other = ends
    assert not seen.between(AT, END, "arrive", lane=one, peer=other)
    assert not seen.between(AT, END, "arrive", lane=other, peer=one)
    for end in ends:
        assert seen.between(AT, END, "arrive", lane=middle, peer=end)
        assert seen.between(AT, END, "arrive", lane=end, peer=middle)


def test_a_paused_node_does_nothing_at_all_and_the_others_go_on() -> None:
    seen = play(plan(Pause(at=AT, nodes=(LEADER,), span=LONG)))
    name = struck(seen.first("fault", "pause").text)
    for kind in ("send", "arrive", "disk", "role"):
        assert not seen.between(AT, END, kind, lane=name), f"{name} stands still, and there is {kind}"
    assert [each for each in seen.between(AT, END, "role") if "leader in term" in each.text], (
        "nobody took over"
    )
    assert seen.between(END, END + SECOND, "arrive", lane=name), (
        "what was sent to it meanwhile is read afterwards"
    )
    assert seen.run.coverage["effect/stood-still"] == 1


def test_a_hung_node_reads_nothing_while_its_own_timers_and_disk_go_on() -> None:
    seen = play(plan(Hang(at=AT, nodes=("n2",), span=LONG)))
    assert not seen.between(AT, END, "arrive", lane="n2")
    assert seen.between(AT, END, "send", lane="n2"), "its own timers have stopped"
    assert seen.run.coverage["effect/waited"] == 1


def test_a_slow_link_is_slow_one_way() -> None:
    delay = 50_000
    slow = [SlowLink(at=AT, origin=LEADER, target=name, delay=delay, span=LONG) for name in NAMES]
    seen = play(plan(*slow))
    assert (seen.run.faults, seen.run.skipped) == ({"slow-link": 2}, {"slow-link": 1}), "not to itself"
    name = struck(seen.first("fault", "slow-link").text)
    sent = {each.flight: each.at for each in seen.happenings if each.kind == "send"}
    arrived = [
        each for each in seen.between(AT + 2 * delay, END, "arrive") if {each.lane, each.peer} < {*NAMES}
    ]
    there = [each.at - sent[each.flight] for each in arrived if each.peer == name]
    back = [each.at - sent[each.flight] for each in arrived if each.lane == name]
    assert len(there) > 20 < len(back)
    assert min(there) >= delay > max(back)


def test_a_squall_is_weather_for_a_while() -> None:
    storm = Weather(delay=(1_000, 5_000), loss=0.3, duplicate=0.3)
    seen = play(plan(Squall(at=AT, weather=storm, span=LONG)))
    assert len(seen.between(AT, END, "lost")) > 20
    assert not seen.between(0, AT, "lost")
    assert not seen.between(END + 100_000, END + SECOND, "lost")
    assert seen.run.coverage["effect/doubled"] > 20


@pytest.mark.parametrize("kind", [Crash, Kill, Stop])
def test_processes_end_and_start_again(kind: type[Crash] | type[Kill] | type[Stop]) -> None:
    fault = kind(at=AT, nodes=("n2",), down=LONG)
    seen = play(plan(fault))
    assert seen.run.restarts == 1
    ended = seen.first("crash", "has ended").at if kind is Stop else AT
    (back,) = seen.between(AT, END + 2 * SECOND, "start", lane="n2")
    assert back.at == ended + LONG
    assert not seen.between(ended, back.at, "send", lane="n2")


def test_power_lost_everywhere_at_once_loses_nothing_that_was_promised() -> None:
    crashes = (Crash(at=step * SECOND, nodes=NAMES, down=200_000) for step in range(4, 24, 4))
    seen = play(plan(*crashes, span=24 * SECOND, sync=(20_000,)))
    assert seen.run.restarts == 15
    assert seen.run.coverage["effect/lost-writes"] > 0, "a power failure that loses nothing shows nothing"


def test_a_wiped_node_is_a_stranger_and_stays_out() -> None:
    seen = play(plan(Wipe(at=AT, node="n3", down=SECOND), Wipe(at=AT + 1, node="n1", down=SECOND)))
    assert (seen.run.faults, seen.run.skipped) == ({"wipe": 1}, {"wipe": 1}), "the atlas allows one of three"
    assert seen.run.coverage["effect/stranger"] == 1
    assert not seen.between(AT, seen.run.span, "send", lane="n3")


@pytest.mark.parametrize("how", ["flip", "zero", "misdirect"])
def test_a_damaged_node_comes_back_impaired_and_is_healed_by_the_others(how: str) -> None:
    seen = play(plan(Damage(at=AT, node="n1", how=how, place=0.4, down=SECOND)))
    counts = seen.run.coverage
    assert (counts["effect/damage-impairs"], counts["event/impaired-healed"]) == (1, 1)
    healed = seen.first("heal", "has again all it ever promised")
    started = next(each for each in seen.happenings if each.kind == "start" and each.at > AT)
    votes = seen.between(AT, healed.at, "send", lane="n1")
    assert started.at < healed.at
    assert not [each for each in votes if each.text.startswith(("vote", "pre-vote"))], (
        "an impaired node votes"
    )
    assert not seen.simulation.world.atlas.destroyed


def test_a_stalled_disk_syncs_nothing_and_costs_a_leader_its_office() -> None:
    seen = play(plan(DiskStall(at=AT, node=LEADER, span=LONG)))
    name = struck(seen.first("fault", "disk-stall").text)
    assert not [each for each in seen.between(AT, END, "disk", lane=name) if "has synced 0" in each.text]
    assert seen.run.leader_changes >= 1
    assert seen.run.coverage["effect/stalled-sync"] == 1


def test_a_slow_disk_takes_its_time() -> None:
    latency = 30_000
    seen = play(plan(DiskSlow(at=AT, node="n2", latency=latency, span=LONG)))
    synced = [
        each.at for each in seen.between(AT, END, "disk", lane="n2") if each.text.startswith("has synced 0")
    ]
    assert len(synced) > 10
    assert min(after - before for before, after in pairwise(synced[1:])) >= latency


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_disk_that_fails_once_ends_its_node_which_comes_back(operation: str) -> None:
    seen = play(plan(DiskFails(at=AT, node="n1", operation=operation, down=SECOND)))
    assert seen.run.coverage["effect/io-error"] == 1
    assert seen.run.restarts == 1
    ended = seen.first("crash", "ends by itself")
    assert seen.between(ended.at, END + SECOND, "start", lane="n1")[0].at == ended.at + SECOND


def test_a_full_disk_takes_no_new_segment() -> None:
    seen = play(plan(DiskFull(at=AT, node="n1", span=LONG), size=2_000))
    assert not [each for each in seen.between(AT, END, "disk", lane="n1") if each.text.startswith("makes")]
    assert [each for each in seen.between(AT, END, "disk", lane="n2") if each.text.startswith("makes")]
    assert seen.run.coverage["effect/no-space"] > 0


def test_clocks_run_wrong_and_jump() -> None:
    jump = -3_600 * SECOND
    seen = play(plan(Drift(at=AT, node="n1", ppm=5_000, span=LONG), WallJump(at=AT, node="n2", by=jump)))
    one, two, three = (host.clock for host in seen.simulation.world.hosts)
    assert one.monotonic() - three.monotonic() == LONG * 5_000 // 1_000_000
    assert one.wall() - three.wall() == LONG * 5_000 // 1_000_000
    assert (two.monotonic() - three.monotonic(), two.wall() - three.wall()) == (0, jump)


def test_a_node_campaigns_when_told_to() -> None:
    seen = play(plan(*(Campaign(at=AT + step, node=name) for step, name in enumerate(NAMES))))
    asked = [each for each in seen.between(AT - 1, AT + 10, "role") if "was told to campaign" in each.text]
    assert len(asked) == 2, "all but the leader ask"


def test_power_is_lost_at_a_failpoint() -> None:
    fault = Failpoint(at=AT, node=LEADER, arm="wal.append.after_sync=2nd:crash", down=SECOND)
    seen = play(plan(fault))
    crash = seen.first("crash", "loses power at wal.append.after_sync")
    assert seen.run.coverage["failpoint/wal.append.after_sync/crash"] == 1
    assert seen.between(crash.at, END, "start", lane=crash.lane)[0].at == crash.at + SECOND
    assert seen.run.restarts == 1


def test_failpoints_of_moment_0_strike_while_the_disks_are_initialised() -> None:
    points = ("bootstrap.before_rename", "bootstrap.before_identity", "identity.before_names_sync")
    faults = [
        Failpoint(at=0, node=name, arm=f"{point}=crash", down=SECOND)
        for name, point in zip(NAMES, points, strict=True)
    ]
    seen = play(plan(*faults, span=4 * SECOND))
    for point in points:
        assert seen.run.coverage[f"failpoint/{point}/crash"] == 1


def test_a_fault_for_a_leader_is_skipped_where_nobody_leads() -> None:
    seen = play(plan(Kill(at=10, nodes=(LEADER,), down=SECOND), Pause(at=20, nodes=(LEADER,), span=SECOND)))
    assert (seen.run.faults, seen.run.skipped) == ({}, {"kill": 1, "pause": 1})
