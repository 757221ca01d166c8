"""Random walks through loss, duplication, reordering, crashes and slow disks, every invariant checked at every step."""

from collections import Counter

import pytest

from tests.cranked.walk import Walk

STEPS = 300
BATCHES = 10
SEEDS_PER_BATCH = 30


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_walk_breaks_an_invariant_and_every_walk_recovers(batch: int) -> None:
    decided, terms, events = 0, Counter[int](), Counter[str]()
    for seed in range(batch * SEEDS_PER_BATCH, (batch + 1) * SEEDS_PER_BATCH):
        walk = Walk(seed)
        try:
            walk.run(STEPS)
        except AssertionError as problem:
            replay = f"replay it with: python -m tests.cranked.walk {seed} {STEPS}"
            raise AssertionError(f"seed {seed}: {problem}\n{replay}") from problem
        decided += len(walk.cluster.checker.decided)
        events.update(type(event).__name__ for _, event in walk.cluster.events)
        events["snapshots"] += walk.cluster.checker.checks()["I13"]
        terms[walk.cluster.checker.highest_term] += 1
    # A walk in which nothing happens proves nothing.
    assert decided >= SEEDS_PER_BATCH * 20, f"only {decided} entries were decided in {SEEDS_PER_BATCH} walks"
    assert len(terms) >= 4, f"the walks saw few elections: {terms}"
    for rare in ("snapshots", "PeerImpaired", "Healed", "MembershipChanged", "LeftGroup", "TransferEnded"):
        assert events[rare], f"no walk of {SEEDS_PER_BATCH} saw one of: {rare}; {events}"
