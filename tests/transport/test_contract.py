"""Both transports keep the contract; the twin keeps it in several weathers."""

import pytest

from raftlog.testing.network import Weather
from tests.transport.contract import STORIES, Story
from tests.transport.worlds import tell_in_simulation, tell_over_grpc

told = pytest.mark.parametrize("story", STORIES, ids=[story.__name__ for story in STORIES])


@pytest.mark.real
@told
def test_grpc(story: Story) -> None:
    tell_over_grpc(story)


@told
@pytest.mark.parametrize("seed", range(5))
def test_twin(story: Story, seed: int) -> None:
    tell_in_simulation(story, seed=seed, weather=Weather(delay=(1, 50_000)))
