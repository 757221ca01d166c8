"""The answers kept in runs against one dict of them: nothing that can be asked shows how they came to be kept."""

from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from raftlog.machine.answers import OVERHEAD, Answers, charge
from raftlog.machine.result import Kind, Result


@dataclass(frozen=True)
class Put:
    """One alone, so far above the floor."""

    above: int


@dataclass(frozen=True)
class Extend:
    """A run, so far above the highest."""

    gap: int
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Forget:
    """Confirm so many sequences."""

    count: int


@dataclass(frozen=True)
class Restored:
    """A replica that starts from the rows goes on in its place."""


Step: TypeAlias = Put | Extend | Forget | Restored
steps = st.lists(
    st.one_of(
        st.builds(Put, st.integers(0, 30)),
        st.builds(Extend, st.integers(0, 3), st.lists(st.integers(0, 9), min_size=1, max_size=12).map(tuple)),
        st.builds(Forget, st.one_of(st.integers(1, 40), st.just(1 << 60))),
        st.just(Restored()),
    ),
    max_size=40,
)


@given(steps)
def test_runs_and_single_answers_equal_one_dict(steps: list[Step]) -> None:
    answers, model, floor, top = Answers(), dict[int, Result](), 1, 0
    for number, step in enumerate(steps):
        match step:
            case Put(above):
                if floor + above not in model:
                    result = Result(Kind.OK, bytes(number))
                    assert answers.put(floor + above, result) == number + OVERHEAD
                    model[floor + above] = result
                    top = max(top, floor + above)
            case Extend(gap, sizes):
                first = max(top + 1, floor) + gap
                results = [Result(Kind.OK, bytes(size)) for size in sizes]
                answers.extend(first, list(results), charge(results))
                model |= dict(enumerate(results, first))
                top = first + len(results) - 1
            case Forget(count):
                gone = [model.pop(sequence) for sequence in list(model) if sequence < floor + count]
                assert answers.forget(floor, floor + count) == charge(gone)
                floor += count
            case Restored():
                again = Answers()
                again.restore(answers.rows())
                answers = again
        assert answers.rows() == sorted(model.items(), key=lambda row: row[0])
        assert answers.count == len(model)
        assert answers.size == sum(len(result.body) + 64 for result in model.values())
        assert answers.highest() == max(model, default=0)
        for sequence in range(max(floor - 3, 0), min(top, floor + 100) + 3):
            assert answers.get(sequence) is model.get(sequence)
