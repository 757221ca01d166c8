"""The queue before a stream: order, bounds, and nothing that outlives its stream."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftlog.core.ids import NodeId
from raftlog.testing.loop import run
from raftlog.transport.backoff import Backoff
from raftlog.transport.events import Reporter
from raftlog.transport.limits import FRAME_OVERHEAD, Limits
from raftlog.transport.outbox import Outbox, OutboxClosed
from raftlog.transport.port import Lane

LIMIT = 1_000


@given(st.lists(st.one_of(st.integers(0, 400), st.sampled_from(["take", "close", "open"])), max_size=60))
def test_the_outbox_is_a_bounded_queue(steps: list[int | str]) -> None:
    async def main() -> None:
        outbox, model, is_open, put = Outbox(LIMIT), deque[bytes](), False, 0
        for step in steps:
            match step:
                case int(size):
                    put += 1
                    frame = put.to_bytes(4, "big") + bytes(size)
                    charged = sum(len(one) + FRAME_OVERHEAD for one in model)
                    fits = is_open and charged + len(frame) + FRAME_OVERHEAD <= LIMIT
                    assert outbox.put(frame) is fits
                    model.extend([frame] if fits else [])
                case "take" if model:
                    taken = await outbox.take(300)
                    assert taken == [model.popleft() for _ in taken]
                    assert len(taken) == 1 or sum(map(len, taken)) <= 300
                case "close":
                    outbox.close()
                    model.clear()
                    is_open = False
                case "open" if not is_open:
                    outbox.open()
                    is_open = True
                case _:
                    pass
            assert outbox.queued_bytes == sum(len(one) + FRAME_OVERHEAD for one in model) <= LIMIT

    run(main())


def test_whoever_waits_for_frames_learns_that_the_stream_is_gone() -> None:
    async def main() -> None:
        outbox = Outbox(LIMIT)
        outbox.open()
        outbox.put(b"dropped with the stream")
        outbox.close()
        with pytest.raises(OutboxClosed):
            await outbox.take(10)
        assert outbox.dropped == 1

    run(main())


def test_delays_double_to_a_second_and_start_over_after_a_success() -> None:
    backoff = Backoff()
    assert [backoff.next() for _ in range(7)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.reset()
    assert backoff.next() == 0.05


def test_a_sentence_is_told_once_per_lane_until_another_one_is() -> None:
    told: list[tuple[str, object]] = []
    reporter = Reporter(lambda text, fields: told.append((text, fields["lane"])))
    peer = NodeId(1)
    for text in ("down", "down", "up", "down", "down"):
        for lane in Lane:
            reporter.tell(peer, lane, text)
    assert told == [(text, lane.value) for text in ("down", "up", "down") for lane in Lane]


def test_one_thing_in_many_words_is_told_once() -> None:
    told: list[str] = []
    reporter = Reporter(lambda text, fields: told.append(text))
    for text, thing in [("refused", "away"), ("timed out", "away"), ("connected", ""), ("timed out", "away")]:
        reporter.tell(NodeId(1), Lane.BULK, text, thing=thing)
    assert told == ["refused", "connected", "timed out"]


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    told: list[str] = []
    reporter = Reporter(lambda text, fields: told.append(text))
    for stranger in range(5_000):
        reporter.tell(NodeId(stranger), Lane.URGENT, "refused")
    assert len(told) == 5_000
    assert len(reporter._last) <= 1_024


@pytest.mark.parametrize("wrong", [{"message_bytes": 1 << 10}, {"bulk_bytes": 1 << 10}])
def test_limits_that_do_not_nest_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        Limits(**wrong)


def test_the_largest_frame_fits_into_a_message_and_into_the_bulk_queue() -> None:
    limits = Limits()
    assert limits.frame_bytes + FRAME_OVERHEAD <= limits.queue_bytes(Lane.BULK)
    assert limits.frame_bytes + 1024 <= limits.message_bytes
