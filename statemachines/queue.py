"""A queue: what goes in comes out once, in order; or stays until whoever took it says that the work is done."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import msgspec

from raftlog import Context, Machine, MachineError, command, query

MAX_TTL = 24 * 3600 * 1000
"""Milliseconds of the longest claim."""
MAX_ITEMS = 1_000_000

Ttl = Annotated[int, msgspec.Meta(ge=1, le=MAX_TTL)]


class Item(msgspec.Struct, frozen=True, array_like=True):
    """Something in the queue."""

    number: int
    """Its place in the order of coming in, from 1."""
    value: bytes


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """Something taken for a time."""

    number: int
    claim: int
    """What `done`, `extend` and `put_back` are told. Greater than that of every claim before."""
    ends: int
    """Log time at which others may claim the item, in microseconds since 1970."""
    value: bytes


class Full(MachineError):
    """The queue holds as much as it may; nothing was changed."""

    limit: int


class NotClaimed(MachineError):
    """That claim is over, by time or by its owner. Somebody else may have the item; nothing was changed."""

    claim: int


class Queue(Machine):
    """First in, first out. There are two ways of taking things out, which may be mixed.

    `dequeue` takes an item out for good, so it is delivered once at most: an answer that never arrives (`CallUnknown`)
    has taken its item along. The client's session makes that rare, for a lost answer is asked for again.

    `claim` takes an item for a time; `done` removes it. A claim that ends otherwise puts the item back where it came
    from, in front: it is delivered once at least. A claim whose time is over is noticed by the next command.

    Invariants: every number in `_values` is either in `_ready` or has one claim; `_ready` and `_ending` are heaps;
    `_ending` has every claim under way, and may have ended ones.
    """

    def __init__(self) -> None:
        self._values: dict[int, bytes] = {}
        self._ready: list[int] = []
        self._claims: dict[int, tuple[int, int]] = {}
        """claim -> item's number, end."""
        self._ending: list[tuple[int, int]] = []
        """(end, claim)."""
        self._numbers = 0
        self._claimed = 0

    @command(errors=(Full,))
    def enqueue(self, value: bytes) -> int:
        """Put a value in: its number."""
        if len(self._values) >= MAX_ITEMS:
            raise Full(MAX_ITEMS)
        self._numbers = number = self._numbers + 1
        self._values[number] = value
        heapq.heappush(self._ready, number)
        return number

    @command
    def dequeue(self, context: Context) -> Item | None:
        """Take the first item out, for good; None where there is none that is not claimed."""
        self._end_claims(context.log_time)
        if not self._ready:
            return None
        number = heapq.heappop(self._ready)
        return Item(number, self._values.pop(number))

    @command
    def claim(self, context: Context, ttl: Ttl) -> Claim | None:
        """Take the first item for `ttl` milliseconds; None where there is none that is not claimed."""
        self._end_claims(context.log_time)
        if not self._ready:
            return None
        number = heapq.heappop(self._ready)
        self._claimed = claim = self._claimed + 1
        ends = self._until(claim, number, context.log_time + ttl * 1000)
        return Claim(number, claim, ends, self._values[number])

    @command(errors=(NotClaimed,))
    def done(self, context: Context, claim: int) -> None:
        """Remove a claimed item from the queue."""
        number = self._under_way(claim, context.log_time)
        del self._claims[claim]
        del self._values[number]

    @command(errors=(NotClaimed,))
    def put_back(self, context: Context, claim: int) -> None:
        """End a claim without having done the work: the item is there for the next one who asks."""
        number = self._under_way(claim, context.log_time)
        del self._claims[claim]
        heapq.heappush(self._ready, number)

    @command(errors=(NotClaimed,))
    def extend(self, context: Context, claim: int, ttl: Ttl) -> int:
        """Keep a claimed item for `ttl` milliseconds from now on: the log time at which the claim ends."""
        number = self._under_way(claim, context.log_time)
        return self._until(claim, number, context.log_time + ttl * 1000)

    @query
    def size(self) -> int:
        """How many items there are, claimed ones included."""
        return len(self._values)

    @query
    def claimed(self) -> int:
        """How many of them are claimed, those included whose time is over and was not noticed yet."""
        return len(self._claims)

    def capture(self) -> object:
        """Copies of what is there, sharing the values: about 30 ms per million."""
        return self._numbers, self._claimed, self._values.copy(), sorted(self._claims.items())

    def write(self, view: Any) -> Iterator[bytes]:
        """The counters and the claims, then the items by number, in chunks of about 256 KiB."""
        numbers, claimed, values, claims = view
        yield msgspec.msgpack.encode((numbers, claimed, claims))
        chunk: list[tuple[int, bytes]] = []
        size = 0
        for number, value in sorted(values.items()):
            chunk.append((number, value))
            size += len(value) + 16
            if size >= _CHUNK:
                yield msgspec.msgpack.encode(chunk)
                chunk, size = [], 0
        yield msgspec.msgpack.encode(chunk)

    def restore(self, chunks: Iterable[bytes], version: int) -> None:
        """See `StateMachine.restore`."""
        parts = iter(chunks)
        self._numbers, self._claimed, claims = _decode_head(next(parts))
        for part in parts:
            self._values.update(_decode_items(part))
        self._claims = dict(claims)
        taken = {number for number, _ in self._claims.values()}
        self._ready = sorted(self._values.keys() - taken)
        self._ending = _by_end(self._claims)

    def _until(self, claim: int, number: int, ends: int) -> int:
        self._claims[claim] = (number, ends)
        heapq.heappush(self._ending, (ends, claim))
        if len(self._ending) > 2 * len(self._claims) + 64:  # claims that are extended again and again
            self._ending = _by_end(self._claims)
        return ends

    def _under_way(self, claim: int, time: int) -> int:
        """The number of a claimed item. Changes nothing: it may refuse."""
        number, ends = self._claims.get(claim, (0, 0))
        if time >= ends:
            raise NotClaimed(claim)
        return number

    def _end_claims(self, time: int) -> None:
        """Put back what was claimed until now or before."""
        while self._ending and self._ending[0][0] <= time:
            end, claim = heapq.heappop(self._ending)
            number, ends = self._claims.get(claim, (0, 0))
            if ends == end:  # else it was extended, or is over
                del self._claims[claim]
                heapq.heappush(self._ready, number)


def _by_end(claims: Mapping[int, tuple[int, int]]) -> list[tuple[int, int]]:
    return sorted((end, claim) for claim, (_, end) in claims.items())


_CHUNK = 1 << 18
_decode_head = msgspec.msgpack.Decoder(tuple[int, int, list[tuple[int, tuple[int, int]]]]).decode
_decode_items = msgspec.msgpack.Decoder(list[tuple[int, bytes]]).decode
