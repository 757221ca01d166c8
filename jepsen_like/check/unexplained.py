"""Answers that nothing can explain: refuted by looking at single operations, without a search.

A search refutes a history only by trying everything, which takes long where many operations were never answered. Most
wrong answers are plainer: a value that nobody wrote, or one that was surely overwritten.
"""

from jepsen_like.check.model import ILLEGAL
from jepsen_like.check.scene import Scene


def unexplained(scene: Scene) -> int | None:
    """The rank of the first observer to return that no order can explain, or None. None proves nothing.

    An observer with a goal takes effect in one state only. The last operation with a landing before it, or else the
    initial state, must lead there. So it is refuted if every operation that leads there returned before another one
    with a landing began, and that one returned before the observer began.
    """
    landed: list[int] = []  # ranks of movers with a landing that have returned
    for rank in range(len(scene.returns)):
        if scene.landings[rank] is not ILLEGAL:
            landed.append(rank)
        elif scene.goals[rank] is not ILLEGAL and _is_refuted(scene, rank, landed):
            return rank
    return None


def _is_refuted(scene: Scene, rank: int, landed: list[int]) -> bool:
    goal, leads = scene.goals[rank], scene.model.leads
    if any(
        scene.landings[mover] is not ILLEGAL and leads(scene.landings[mover], goal)
        for mover in scene.movers[rank]
    ):
        return False
    began = scene.returns[rank].invoked
    overwritten_since = -1  # when the latest began of those that surely took effect before the observer
    latest = -1  # when the last returned that leads to the goal; the initial state did before everything
    explained = leads(scene.model.initial, goal)
    for mover in reversed(landed):
        operation = scene.returns[mover]
        assert operation.returned is not None, f"an answered operation returned nowhere: {operation}"
        if leads(scene.landings[mover], goal):
            latest, explained = operation.returned, True
            break
        if operation.returned < began:
            overwritten_since = max(overwritten_since, operation.invoked)
    if explained and overwritten_since <= latest:
        return False
    return not _unanswered_explains(scene, rank)


def _unanswered_explains(scene: Scene, rank: int) -> bool:
    goal, leads = scene.goals[rank], scene.model.leads
    landings = scene.unanswered_landings[: scene.waiting[rank]]
    return any(landing is not ILLEGAL and leads(landing, goal) for landing in landings)
