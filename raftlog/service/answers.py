"""Answers on their way out: runs of results, packed into frames that keep to a size."""

from collections.abc import Iterator, Sequence

import msgspec

from raftlog.machine.result import Kind, Result, refusal
from raftlog.transport.client_frames import NodeFrame, Run, encode_node_frame, encode_runs

_OVERHEAD = 32
"""More than a result and the start of a run take besides the body."""


def pack(frame: NodeFrame, runs: Sequence[Run], limit: int) -> Iterator[bytes]:
    """Frames like `frame` with all of the runs' results, none larger than `limit` bytes.

    An answer that is larger itself cannot be sent: what happened, happened, so it becomes `UNKNOWN` with that sentence.
    """
    replies = encode_runs(runs)  # measured as a whole: looking at each result costs as much as encoding all
    if len(replies) <= limit - _OVERHEAD:
        yield encode_node_frame(msgspec.structs.replace(frame, replies=replies))
        return
    for part in _split(runs, limit - 2 * _OVERHEAD):
        yield encode_node_frame(msgspec.structs.replace(frame, replies=encode_runs(part)))


def too_large(kind: Kind, size: int, limit: int) -> Result:
    """The refusal of an answer that fits into no frame."""
    return refusal(kind, f"the answer has {size} bytes, over the limit of {limit}: ask for less at once")


def _split(runs: Sequence[Run], limit: int) -> Iterator[list[Run]]:
    part: list[Run] = []
    size = 0
    for first, results in runs:
        start = 0
        fitting: list[Result] = []
        for position, result in enumerate(results):
            if len(result.body) + _OVERHEAD > limit:
                result = too_large(Kind.UNKNOWN, len(result.body), limit)
            if size + len(result.body) + _OVERHEAD > limit:
                yield [*part, (first + start, fitting)] if fitting else part
                part, size, start, fitting = [], 0, position, []
            fitting.append(result)
            size += len(result.body) + _OVERHEAD
        if fitting:
            part.append((first + start, fitting))
    if part:
        yield part
