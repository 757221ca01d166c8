"""The counter at the ends of 64 bits."""

import pytest

from raftlog import check_machine, encode_call
from statemachines.counter import MOST, Counter, OutOfRange


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_beyond_64_bits_is_refused_and_can_be_undone(sign: int) -> None:
    counter = Counter()
    assert counter.add(sign * MOST) == sign * MOST
    with pytest.raises(OutOfRange) as raised:
        counter.add(sign)
    assert raised.value.value == counter.read() == sign * MOST
    assert counter.add(-sign) == sign * (MOST - 1)


def test_a_counter_at_its_end_can_still_be_snapshotted() -> None:
    check_machine(Counter, [encode_call(Counter.add, MOST), encode_call(Counter.add, MOST)], hash_seeds=())
