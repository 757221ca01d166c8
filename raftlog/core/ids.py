"""Names for who, where and when: node and group ids, terms, indexes and entry positions."""

from typing import NewType, TypeAlias

import msgspec

NodeId = NewType("NodeId", int)
"""A node: a random u64 made with its data directory and never reused. Always iterated in sorted order."""

GroupId = NewType("GroupId", int)
"""One replicated log of the many a process may carry (u64). Group 0 always exists."""

ClusterId = NewType("ClusterId", int)
"""The cluster a node was initialised into (random u64, never 0)."""

Boot = NewType("Boot", int)
"""One process start of a node (random u64); tells a stale stream or answer from a fresh one."""

Term: TypeAlias = int
"""Raft's logical clock. 0 before the first election."""

Index: TypeAlias = int
"""Position in the log. The first entry has index 1; 0 is the empty prefix."""

Micros: TypeAlias = int
"""Microseconds: of a monotonic clock that counts suspended time, or since the Unix epoch where it says `wall`."""

META_GROUP = GroupId(0)


class EntryId(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """Position of an entry, ordered term first: that order is Raft's "at least as up to date" (paper 5.4.1)."""

    term: Term
    index: Index

    def __str__(self) -> str:
        return f"{self.index}@{self.term}"


NOTHING = EntryId(0, 0)
"""The position before the first entry: what an empty log ends with."""


class RequestId(msgspec.Struct, frozen=True, order=True, array_like=True):
    """Names one request of one process start, so that an answer meant for an earlier boot releases nothing."""

    boot: Boot
    counter: int

    def __str__(self) -> str:
        return f"{self.boot:x}.{self.counter}"
