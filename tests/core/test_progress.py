"""Progress and reads against slow versions: a follower over a lossy link, and a list of reads."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from raftlog.core.ids import Boot, NodeId, RequestId
from raftlog.core.progress import Mode, Progress
from raftlog.core.reads import ReadRequest, Reads

SEEDS = 200
MAX_INFLIGHT = 3


@dataclass(frozen=True)
class Sent:
    """An append of entries after `prev` up to `last`; entries are `(index, term)` and one byte each."""

    prev: int
    last: int


@dataclass(frozen=True)
class Answer:
    """`match` of an acceptance, or `prev` and `agrees` of a rejection."""

    match: int | None
    prev: int = 0
    agrees: int = 0


class LossyPair:
    """A leader's Progress and the follower it describes, as plain lists of terms, over a link that does anything."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.leader = sorted(self.random.choices(range(1, 4), k=8))
        self.agreed = self.random.randrange(6)
        self.follower = self.leader[: self.agreed] + self.random.choices([0], k=self.random.randrange(4))
        self.progress = Progress(len(self.leader) + 1, 0)
        self.now = 0
        self.to_follower: list[Sent] = []
        self.to_leader: list[Answer] = []

    def step(self) -> None:
        """Something happens."""
        choice = self.random.randrange(8)
        self.now += self.random.randrange(60)
        match choice:
            case 0:
                self.leader.append(4)
            case 1 | 2:
                self.send()
            case 3 | 4:
                self.arrive(self.to_follower, self.receive)
            case 5 | 6:
                self.arrive(self.to_leader, self.answered)
            case _:
                if self.progress.stalled(self.now, 100):
                    self.to_follower.append(Sent(self.progress.next_index - 1, self.progress.next_index - 1))
        self.check()

    def arrive(self, link: "list[Sent] | list[Answer]", take: Callable[..., None]) -> None:
        """Lose, double or reorder."""
        if not link:
            return
        at = self.random.randrange(len(link))
        message = link[at]
        if self.random.random() < 0.8:
            del link[at]
        if self.random.random() < 0.8:
            take(message)

    def send(self) -> None:
        """What the leader may send now, one entry at a time."""
        progress = self.progress
        if progress.next_index <= len(self.leader) and progress.may_send(MAX_INFLIGHT):
            first = progress.next_index
            self.to_follower.append(Sent(first - 1, first))
            progress.sent(first, 1, self.now)

    def receive(self, sent: Sent) -> None:
        """The follower's part: paper 5.3, with a hint."""
        mine = self.follower[sent.prev - 1] if 0 < sent.prev <= len(self.follower) else None
        if sent.prev and mine != self.leader[sent.prev - 1]:
            hint = min(len(self.follower), sent.prev)
            while hint and self.follower[hint - 1] != self.leader[hint - 1]:
                hint -= 1
            self.to_leader.append(
                Answer(None, sent.prev, self.random.randrange(hint, max(sent.prev, hint + 1)))
            )
            return
        for index in range(sent.prev + 1, sent.last + 1):
            if index > len(self.follower) or self.follower[index - 1] != self.leader[index - 1]:
                self.follower = [*self.follower[: index - 1], self.leader[index - 1]]
        self.to_leader.append(Answer(sent.last))

    def answered(self, answer: Answer) -> None:
        """The leader's part."""
        if answer.match is None:
            self.progress.rejected(answer.prev, answer.agrees)
        else:
            self.progress.accepted(answer.match, self.now)

    def check(self) -> None:
        """I9, and what the class says of itself."""
        progress = self.progress
        assert progress.match_index < progress.next_index, progress
        assert self.follower[: progress.match_index] == self.leader[: progress.match_index], progress
        assert progress.inflight_bytes == sum(size for _, size in progress.inflight), progress
        assert not progress.inflight or progress.mode is Mode.REPLICATE, progress
        assert progress.inflight_bytes <= MAX_INFLIGHT, progress
        assert progress.next_index <= len(self.leader) + 1, progress

    def settle(self) -> None:
        """A link that loses nothing any more: everything arrives, heartbeats keep being answered."""
        for _ in range(100):
            while self.progress.next_index <= len(self.leader) and self.progress.may_send(MAX_INFLIGHT):
                self.send()
            self.now += 100
            if self.progress.stalled(self.now, 100):
                self.to_follower.append(Sent(self.progress.next_index - 1, self.progress.next_index - 1))
            while self.to_follower:
                self.receive(self.to_follower.pop(0))
            while self.to_leader:
                self.answered(self.to_leader.pop(0))
            self.check()


def test_progress_keeps_its_invariants_over_a_lossy_link() -> None:
    for seed in range(SEEDS):
        pair = LossyPair(seed)
        try:
            matches = [0]
            for _ in range(120):
                pair.step()
                matches.append(pair.progress.match_index)
            assert matches == sorted(matches), "match_index falls"
            pair.settle()
            assert pair.progress.match_index == len(pair.leader), "it never catches up"
        except AssertionError as problem:
            raise AssertionError(f"LossyPair({seed}): {problem}") from problem


def test_modes_and_what_they_allow() -> None:
    probing = Progress(5, 0)
    assert probing.may_send(10)
    probing.sent(6, 2, 0)
    assert not probing.may_send(10), "one probe at a time"

    following = Progress(5, 0)
    assert following.accepted(6, 1)
    assert following.mode is Mode.REPLICATE
    following.sent(8, 10, 1)
    assert not following.may_send(10), "the window is full"

    following.needs_snapshot()
    assert not following.may_send(10)
    assert following.inflight_bytes == 0


@given(st.lists(st.one_of(st.just("add"), st.just("begin"), st.integers(0, 12)), max_size=40))
def test_a_read_is_released_once_by_a_round_that_began_after_it(steps: list[str | int]) -> None:
    reads, number, count = Reads(), 0, 0
    waiting: list[int] = []
    rounds: list[tuple[int, int, list[int]]] = []
    released: set[int] = set()
    for commit, step in enumerate(steps):
        if step == "add":
            count += 1
            reads.add(ReadRequest(NodeId(1), RequestId(Boot(1), count)))
            waiting.append(count)
        elif step == "begin":
            number += 1
            reads.begin(number, commit)
            rounds.append((number, commit, waiting))
            waiting = []
        else:
            reached = int(step)
            done = reads.confirmed(reached.__ge__)
            expected = [round_ for round_ in rounds if round_[0] <= reached]
            rounds = [round_ for round_ in rounds if round_[0] > reached]
            got = [(one.number, one.index, [request.id.counter for request in one.requests]) for one in done]
            assert got == expected
            for _, _, ids in got:
                assert not released & set(ids)
                released |= set(ids)
        assert reads.waiting == bool(waiting)
    left = [request.id.counter for request in reads.abandon()]
    assert left == [id for _, _, ids in rounds for id in ids] + waiting
    assert not reads.waiting
    assert reads.abandon() == []
