"""The leader's comparison of its followers' digests with its own: who differs, and what a quorum says."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from raftlog.core.digests import EVERY, Checkpoint, Difference, Digests
from raftlog.core.ids import Index, NodeId
from raftlog.core.quorum import Quorum


@dataclass(slots=True)
class Account:
    """What is known of one follower's state machine, compared with the leader's."""

    agreed: Index = 0
    """Up to here they are equal."""
    differs: Index | None = None
    """Here, after `agreed`, they were first seen to differ."""
    other: Checkpoint | None = None
    """A digest of it that differs: the newest of those that every node keeps for long, else any."""
    answer: Checkpoint | None = None
    """Its digest where the question is."""


class Comparison:
    """One leadership's.

    Followers report digests with their answers to heartbeats. Where one differs, its index becomes the question, which
    all are asked until it is settled: only digests at one index tell whether two followers that differ from the leader
    agree with each other. A quorum decides, and the leader has one vote like everybody else.

    Invariants: an account's `differs` and `other` lie beyond its `agreed`; there is a question only while somebody
    differs.
    """

    __slots__ = ("_accounts", "_node", "question")

    def __init__(self, node: NodeId) -> None:
        self._node = node
        self._accounts: dict[NodeId, Account] = {}
        self.question: Index | None = None
        """The index at which everybody's digest is wanted; None: nobody differs."""

    def heard(self, peer: NodeId, checkpoints: Sequence[Checkpoint], own: Digests) -> Difference | None:
        """A follower's digests, beside the leader's own; the difference, where this is the first sign of one."""
        account = self._accounts.setdefault(peer, Account())
        was = account.differs
        for at in checkpoints:
            self._compare(account, at, own)
        self._ask(own)
        if was is not None or account.differs is None:
            return None
        return Difference(peer, account.agreed + 1, account.differs)

    def keep(self, peers: Collection[NodeId]) -> None:
        """Whoever else was a member is none any more."""
        for gone in [peer for peer in self._accounts if peer not in peers]:
            del self._accounts[gone]

    def _compare(self, account: Account, at: Checkpoint, own: Digests) -> None:
        mine = own.at(at.index)
        if at.index == self.question:
            account.answer = at
        if mine == at.digest:
            account.agreed = max(account.agreed, at.index)
            if account.other is not None and account.other.index <= account.agreed:
                account.differs = account.other = None  # its state was replaced, or built anew
        elif mine is not None and at.index > account.agreed:
            account.differs = min(at.index, account.differs or at.index)
            if account.other is None or _rank(at) > _rank(account.other):
                account.other = at

    def _ask(self, own: Digests) -> None:
        """Keep to one question while it can be answered: one that moves on would be missed by whoever is behind."""
        others = [each.other for each in self._accounts.values() if each.other is not None]
        if self.question is not None and others and own.at(self.question) is not None:
            return
        self.question = max(others, key=_rank).index if others else None
        for account in self._accounts.values():
            known = account.other
            account.answer = known if known is not None and known.index == self.question else None

    def compare(self, own: Digests) -> Checkpoint | None:
        """What followers are to compare with, and to report."""
        return own.latest if self.question is None else own.checkpoint(self.question)

    def decided(self, quorum: Quorum, own: Digests) -> tuple[Checkpoint, ...]:
        """Digests that a quorum, this leader among it, agrees on: where the question is, or the newest ones.

        Of the newest, one that every node keeps for long comes too: a busy follower may not have the other any more.
        """
        newest = 0 if own.latest is None else own.latest.index
        agreed = quorum.committed(lambda node: newest if node == self._node else self._agreed(node))
        if self.question is not None:
            settled = own.checkpoint(self.question) if self.question <= agreed else None
            return () if settled is None else (settled,)
        found = (own.aligned(agreed), own.checkpoint(agreed))
        return tuple(dict.fromkeys(each for each in found if each is not None))

    def _agreed(self, node: NodeId) -> Index:
        return self._accounts[node].agreed if node in self._accounts else 0

    def overruled(self, quorum: Quorum, own: Digests) -> bool:
        """Whether a quorum agrees on another digest than the leader's: then it is the leader who is wrong."""
        if self.question is None:
            return False
        mine = own.at(self.question)
        said = {each.answer.digest for each in self._accounts.values() if each.answer is not None}
        return any(quorum.agrees(partial(self._says, digest)) for digest in sorted(said) if digest != mine)

    def _says(self, digest: int, node: NodeId) -> bool:
        account = self._accounts.get(node)
        return account is not None and account.answer is not None and account.answer.digest == digest

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Who differs from the leader as far as is known, in the order of ids."""
        return tuple(
            Difference(peer, account.agreed + 1, account.differs)
            for peer, account in self._accounts.items()
            if account.differs is not None
        )


def _rank(at: Checkpoint) -> tuple[bool, Index]:
    return at.index % EVERY == 0, at.index
