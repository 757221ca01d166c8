"""The collector's short turns: what is old is frozen, young cycles go, and nothing walks a large state again."""

import asyncio
import gc
from collections.abc import Mapping

from raftlog.node.collecting import YOUNG, Collector


class Cycle:
    """Holds itself."""

    alive = 0

    def __init__(self) -> None:
        self.me = self
        Cycle.alive += 1

    def __del__(self) -> None:
        Cycle.alive -= 1


class Walks:
    """Which generations were collected."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, phase: str, what: Mapping[str, int]) -> None:
        if phase == "start":
            self.seen.append(what["generation"])

    def __enter__(self) -> "Walks":
        gc.callbacks.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self)


def portion() -> list[list[int]]:
    """As many containers as make the second generation be walked once."""
    start = gc.get_count()[2]
    made: list[list[int]] = []
    while gc.get_count()[2] == start:
        made.append([])
    return made


def test_the_oldest_generation_is_never_walked_by_itself_and_the_old_is_frozen() -> None:
    async def story() -> None:
        async with Collector():
            with Walks() as walks:
                state = [portion() for _ in range(3)]
                assert 2 not in walks.seen
                Collector.turn()
                assert 2 not in walks.seen, "three portions are too many to be walked"
            assert gc.get_freeze_count() > sum(map(len, state))
            assert gc.get_count()[2] == 0

    asyncio.run(story())


def test_one_portion_is_collected_before_it_is_frozen() -> None:
    async def story() -> None:
        async with Collector():
            Cycle()
            assert Cycle.alive == 1
            state = portion()  # the young generations have it by now
            Collector.turn()
            assert Cycle.alive == 0
            frozen = gc.get_freeze_count()
            assert frozen > len(state) > YOUNG[0]
            with Walks() as walks:
                Collector.turn()
                assert walks.seen == [], "nothing new has grown old"

    asyncio.run(story())


def test_everything_is_as_before_afterwards() -> None:
    before = gc.get_threshold()

    async def story() -> None:
        async with Collector():
            assert gc.get_threshold()[:2] == YOUNG

    asyncio.run(story())
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
