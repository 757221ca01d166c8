"""When a learner counts as caught up: by the time that its rounds take, not by how little it lacks."""

from raftlog.core.catchup import CatchUp

SECOND = 1_000_000


def test_a_learner_that_keeps_pace_is_ready_after_a_prompt_round() -> None:
    learner = CatchUp(target=100, began=0)
    assert not learner.caught_up(99, SECOND // 2, SECOND)
    learner.reached(100, 140, 3 * SECOND, SECOND)
    assert not learner.caught_up(100, 3 * SECOND, SECOND), "the first round took three timeouts"
    learner.reached(139, 150, 3 * SECOND + 1, SECOND)
    assert not learner.caught_up(139, 3 * SECOND + 1, SECOND), "the round is not over"
    learner.reached(140, 150, 3 * SECOND + 2, SECOND)
    assert learner.caught_up(140, 3 * SECOND + 2, SECOND)
    assert learner.target == 150


def test_one_that_falls_behind_is_not_ready_any_more() -> None:
    learner = CatchUp(target=10, began=0)
    learner.reached(10, 500, SECOND // 10, SECOND)
    assert learner.caught_up(10, SECOND, SECOND)
    assert not learner.caught_up(499, 2 * SECOND, SECOND), "this round is late"
    learner.reached(500, 500, 2 * SECOND, SECOND)
    assert not learner.caught_up(500, 2 * SECOND, SECOND), "and was late when it ended"
    learner.reached(500, 500, 2 * SECOND + 1, SECOND)
    assert learner.caught_up(500, 90 * SECOND, SECOND), (
        "nobody writes: it lacks nothing, however long that lasts"
    )


def test_the_target_never_falls() -> None:
    learner = CatchUp(target=10, began=0)
    learner.reached(12, 3, 1, SECOND)
    assert learner.target == 10
