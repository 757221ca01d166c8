"""Commands on their way: waiting for an entry, then waiting for that entry to be applied."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from raftlog.core.entry import MAX_COMMANDS, Command
from raftlog.core.ids import EntryId, Index, NodeId, Term
from raftlog.machine.result import Result

Done = Callable[[Sequence[Result]], None]
"""Takes one result per command, in order; called exactly once."""

COMMAND_OVERHEAD = 64
"""Bytes a command is charged with besides its body."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Commands that came together and are answered together."""

    commands: Sequence[Command]
    size: int
    done: Done
    origin: NodeId | None = None
    """The node that forwarded them; None: a client of ours. What was forwarded once is not forwarded again."""

    def refuse(self, result: Result) -> None:
        """Give every command the same answer."""
        self.done([result] * len(self.commands))


def batches(commands: Sequence[Command], done: Done, origin: NodeId | None, max_bytes: int) -> list[Batch]:
    """One batch, or several when the commands are too many or too large for one entry; `done` is still called once."""
    size = sum(len(command.body) for command in commands) + COMMAND_OVERHEAD * len(commands)
    if size <= max_bytes and len(commands) <= MAX_COMMANDS:
        return [Batch(commands, size, done, origin)]
    parts = list(_split(commands, max_bytes))
    gather = _Gather(len(parts), done)
    return [Batch(part, bytes_, gather.part(at), origin) for at, (part, bytes_) in enumerate(parts)]


def _split(commands: Sequence[Command], max_bytes: int) -> Iterator[tuple[Sequence[Command], int]]:
    start = size = 0
    for at, command in enumerate(commands):
        cost = len(command.body) + COMMAND_OVERHEAD
        if at > start and (size + cost > max_bytes or at - start >= MAX_COMMANDS):
            yield commands[start:at], size
            start, size = at, 0
        size += cost
    yield commands[start:], size


class _Gather:
    """Puts the answers of several parts together."""

    def __init__(self, parts: int, done: Done) -> None:
        self._parts: list[Sequence[Result] | None] = [None] * parts
        self._missing = parts
        self._done = done

    def part(self, at: int) -> Done:
        def take(results: Sequence[Result]) -> None:
            assert self._parts[at] is None, f"part {at} was answered twice"
            self._parts[at] = results
            self._missing -= 1
            if not self._missing:
                self._done([result for part in self._parts for result in part or ()])

        return take


class Queue:
    """Batches that wait to become an entry, bounded in bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._batches: deque[Batch] = deque()
        self._max_bytes = max_bytes
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._batches)

    def put(self, parts: Sequence[Batch]) -> bool:
        """Take all parts, or none when they do not fit; an empty queue takes anything."""
        size = sum(part.size for part in parts)
        if self._batches and self.size + size > self._max_bytes:
            return False
        self._batches.extend(parts)
        self.size += size
        return True

    def take(self, max_bytes: int) -> list[Batch]:
        """Enough batches for one entry: at least one, then as many as fit."""
        taken: list[Batch] = []
        size = count = 0
        while self._batches:
            head = self._batches[0]
            if taken and (size + head.size > max_bytes or count + len(head.commands) > MAX_COMMANDS):
                break
            taken.append(self._batches.popleft())
            size += head.size
            count += len(head.commands)
        self.size -= size
        return taken


@dataclass(frozen=True, slots=True)
class InLog:
    """Batches whose commands, one after the other, make up an entry of this leader."""

    term: Term
    commands: Sequence[Command]
    batches: Sequence[Batch]

    def answer(self, results: Sequence[Result]) -> None:
        """Hand out the entry's results."""
        assert len(results) == len(self.commands), f"{len(results)} results for {len(self.commands)} commands"
        if len(self.batches) == 1:
            self.batches[0].done(results)
            return
        start = 0
        for batch in self.batches:
            end = start + len(batch.commands)
            batch.done(results[start:end])
            start = end

    def answer_all(self, result: Result) -> None:
        """Give every command the same answer."""
        for batch in self.batches:
            batch.refuse(result)


class Proposals:
    """Entries this node created as leader and has not applied, by index.

    Invariant: `commands` is the number of commands in all of them.
    """

    def __init__(self) -> None:
        self._in_log: dict[Index, InLog] = {}
        self.commands = 0

    def __len__(self) -> int:
        return len(self._in_log)

    def add(self, id: EntryId, commands: Sequence[Command], parts: Sequence[Batch]) -> None:
        """Remember who waits for the entry."""
        assert id.index not in self._in_log, f"two proposals at {id}"
        self._in_log[id.index] = InLog(id.term, commands, parts)
        self.commands += len(commands)

    def peek(self, index: Index) -> InLog | None:
        """Who waits for the entry at `index`, left in place."""
        return self._in_log.get(index)

    def take(self, index: Index) -> InLog | None:
        """Who waits for the entry at `index`; whether it is still theirs shows by the term."""
        waiting = self._in_log.pop(index, None)
        if waiting is not None:
            self.commands -= len(waiting.commands)
        return waiting

    def abandon(self) -> list[InLog]:
        """Everyone who waits, in order; nobody does afterwards."""
        waiting = [self._in_log[index] for index in sorted(self._in_log)]
        self._in_log.clear()
        self.commands = 0
        return waiting
