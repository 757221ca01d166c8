"""Walks a path again, given as the texts of its actions."""

from collections.abc import Iterable

from jepsen_like.sim.explore.action import Action
from jepsen_like.sim.explore.scope import Scope
from jepsen_like.sim.explore.search import Finding
from jepsen_like.sim.explore.space import Broken, Space, World


class NoSuchAction(ValueError):
    """A path has an action that cannot happen there."""


def replay(scope: Scope, texts: Iterable[str]) -> Finding | None:
    """What the path leads to: the law that it breaks, or None when every action of it went well.

    Raises:
        NoSuchAction: the world at that point does not offer the action; names it and what could happen instead.
    """
    space = Space(scope)
    world, path = space.start(), list[Action]()
    for text in texts:
        try:
            action, world = _taken(space, world, text)
            path.append(action)
        except Broken as broken:
            path.append(space.action(broken.code))
            return Finding(broken.violation.oracle, broken.violation.problem, tuple(path))
    return None


def _taken(space: Space, world: World, text: str) -> tuple[Action, World]:
    offered: list[str] = []
    for code, after in space.successors(world):
        action = space.action(code)
        if str(action) == text:
            return action, after
        offered.append(str(action))
    raise NoSuchAction(f"{text!r} cannot happen here; what can: {', '.join(offered) or 'nothing'}")
