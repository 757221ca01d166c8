"""The text notation of stories: `n1` a node, `3@2` entry 3 of term 2, `1.5s` a span of time, and messages by kind."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

from raftlog.core.change import AddLearner, Change, Demote, Describe, Promote, Remove, Replace
from raftlog.core.durable import HardState
from raftlog.core.entry import Entry, EntryKind, seal
from raftlog.core.ids import EntryId, GroupId, Index, Micros, NodeId, Term
from raftlog.core.membership import Member, Membership, decode_membership, encode_membership
from raftlog.core.message import (
    AppendAccepted,
    AppendRejected,
    AppendRequest,
    Heartbeat,
    HeartbeatAck,
    Message,
    NotAMember,
    PreVoteRequest,
    PreVoteResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotOffer,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)

KINDS: dict[str, type[Message]] = {
    "pre-vote": PreVoteRequest,
    "pre-vote-answer": PreVoteResponse,
    "vote": VoteRequest,
    "vote-answer": VoteResponse,
    "append": AppendRequest,
    "accepted": AppendAccepted,
    "rejected": AppendRejected,
    "heartbeat": Heartbeat,
    "heartbeat-ack": HeartbeatAck,
    "read-request": ReadIndexRequest,
    "read-answer": ReadIndexResponse,
    "offer": SnapshotOffer,
    "timeout-now": TimeoutNow,
    "not-a-member": NotAMember,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


class _Head(Protocol):
    def __call__(self, type_: type[Message], **rest: object) -> Message: ...


_UNITS: dict[str, Micros] = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000}


# -- nodes, positions, spans of time


def node_text(node: NodeId | None) -> str:
    """`n1`; `nobody` for None."""
    return "nobody" if node is None else f"n{node}"


def node(text: str) -> NodeId:
    """The node that `n1` names."""
    if not re.fullmatch(r"n[1-9]\d*", text):
        raise ValueError(f"{text!r} is not a node: write n1, n2, ...")
    return NodeId(int(text[1:]))


def nodes(text: str) -> tuple[NodeId, ...]:
    """The nodes of `n1,n3` or of `n1..n3`, sorted."""
    if ".." in text:
        first, last = (node(end) for end in text.split(".."))
        return tuple(NodeId(id) for id in range(first, last + 1))
    return tuple(sorted(node(name) for name in text.split(",") if name))


def position(text: str) -> EntryId:
    """The position that `3@2` (entry 3 of term 2) names."""
    index, at, term = text.partition("@")
    if not (index.isdigit() and at and term.isdigit()):
        raise ValueError(f"{text!r} is not a position: write index@term")
    return EntryId(int(term), int(index))


def span(text: str) -> Micros:
    """Microseconds of `250ms`, `1.5s`, `10min`."""
    match = re.fullmatch(r"([\d.]+)(us|ms|s|min|h)", text)
    if match is None:
        raise ValueError(f"{text!r} is not a span of time: write 250ms, 1.5s, 10min")
    return int(Fraction(match[1]) * _UNITS[match[2]])


def span_text(micros: Micros) -> str:
    """`1.5s` or `250ms`."""
    return f"{micros / 1_000_000:g}s" if micros >= 1_000_000 else f"{micros / 1_000:g}ms"


# -- memberships and entries


def changes(words: Sequence[str]) -> list[Change]:
    """The changes of `add=n4`, `add-voter=n4` (when it is ready), `promote=n4`, `demote=n2`, `remove=n2`,
    `replace=n2:n4`, `replace-later=n2:n4` (when n4 is ready) and `describe=n2:host`.
    """
    return [_change(*word.partition("=")[::2]) for word in words]


def _change(verb: str, who: str) -> Change:
    first, _, second = who.partition(":")
    this = node(first)
    match verb:
        case "add" | "add-voter":
            return AddLearner(Member(this, first, "", "", verb == "add-voter"))
        case "promote":
            return Promote(this)
        case "demote":
            return Demote(this)
        case "remove":
            return Remove(this)
        case "replace":
            return Replace(this, Member(node(second), second, "", ""))
        case "replace-later":
            return AddLearner(Member(node(second), second, "", "", True, this))
        case "describe":
            return Describe(Member(this, first, second, second))
        case _:
            raise ValueError(f"{verb!r} is no change: write add=n4, promote=n4, remove=n2, ...")


def membership(words: Sequence[str]) -> Membership:
    """The membership of `voters=n1,n2`, `outgoing=...`, `learners=...` and `demoted=...`."""
    groups = dict(word.split("=", 1) for word in words)
    if unknown := sorted(groups.keys() - {"voters", "outgoing", "learners", "demoted"}):
        raise ValueError(f"unknown in a membership: {', '.join(unknown)}")
    voters, outgoing, learners = (nodes(groups.get(name, "")) for name in ("voters", "outgoing", "learners"))
    members = tuple(Member(id, f"n{id}", "", "") for id in sorted({*voters, *outgoing, *learners}))
    return Membership(voters, outgoing, learners, members, nodes(groups.get("demoted", "")))


def membership_text(value: Membership) -> str:
    """The notation of a membership."""
    groups = (
        ("voters", value.voters),
        ("outgoing", value.outgoing),
        ("learners", value.learners),
        ("demoted", value.demoted),
    )
    return ";".join(f"{name}={','.join(map(node_text, ids))}" for name, ids in groups if ids)


def entry(text: str, group: GroupId) -> Entry:
    """The entry of `3@2` (its payload follows from that), `3@2=x`, `3@2=no-op` or `3@2:voters=n1,n2;learners=n3`."""
    match = re.fullmatch(r"(\d+@\d+)(?:=(.*)|:(.*))?", text)
    if match is None:
        raise ValueError(f"{text!r} is not an entry: write 3@2, 3@2=x, 3@2=no-op or 3@2:voters=n1,n2")
    at, log_time = position(match[1]), position(match[1]).index
    kind, payload = EntryKind.COMMANDS, (match[2] or match[1]).encode()
    if match[2] == "no-op":
        kind, payload = EntryKind.NO_OP, b""
    elif match[3] is not None:
        kind, payload = EntryKind.MEMBERSHIP, encode_membership(membership(match[3].split(";")))
    return seal(group=group, at=at, kind=kind, log_time=log_time, payload=payload)


def entry_text(value: Entry) -> str:
    """The notation of an entry."""
    match value.kind:
        case EntryKind.NO_OP:
            return f"{value.id}=no-op"
        case EntryKind.MEMBERSHIP:
            return f"{value.id}:{membership_text(decode_membership(value.payload))}"
        case EntryKind.COMMANDS | EntryKind.TRUNCATION_MARK:
            text = value.payload.decode(errors="replace") if len(value.payload) <= 24 else "..."
            return str(value.id) if text == str(value.id) else f"{value.id}={text}"


def hard_text(hard: HardState) -> str:
    """`term 2 vote n1`."""
    vote = "" if hard.vote is None else f" vote {node_text(hard.vote)}"
    return f"term {hard.term}{vote}"


# -- messages


def message_text(message: Message) -> str:
    """`n1@2 -> n2 append after 3@1: 4@2=x, commit 3`."""
    head = f"{node_text(message.sender)}@{message.term} -> {node_text(message.to)} {_NAMES[type(message)]}"
    return f"{head} {_rest_text(message)}"


def _rest_text(message: Message) -> str:
    match message:
        case PreVoteRequest():
            return f"last {message.last}"
        case VoteRequest():
            return f"last {message.last}{', handed over' * message.transfer}"
        case PreVoteResponse():
            return f"for term {message.proposed_term}: {_granted(message.granted)}"
        case VoteResponse():
            return _granted(message.granted)
        case AppendRequest():
            entries = _entries_text(message.entries)
            return f"after {message.prev}: {entries}, commit {message.commit}"
        case AppendAccepted():
            return f"up to {message.match}"
        case AppendRejected():
            return f"at {message.prev}, has {message.hint}"
        case Heartbeat():
            return f"round {message.round}, commit {message.commit}"
        case HeartbeatAck():
            return f"round {message.round}, applied {message.applied}{', full' if message.full else ''}"
        case ReadIndexRequest():
            return str(message.id.counter)
        case ReadIndexResponse():
            return f"{message.id.counter}: {'refused' if message.index is None else message.index}"
        case SnapshotOffer():
            return f"state at {message.last}"
        case TimeoutNow():
            return f"round {message.round}"
        case NotAMember():
            return f"decided {message.decided}"


def _granted(granted: bool) -> str:
    return "yes" if granted else "no"


def _entries_text(entries: Sequence[Entry]) -> str:
    if len(entries) > 8:
        return f"{entries[0].id} to {entries[-1].id}"
    return " ".join(map(entry_text, entries)) or "nothing"


def forged(kind: str, sender: NodeId, to: NodeId, group: GroupId, fields: dict[str, str]) -> Message:
    """A message as a story writes it: the kind, and fields such as `term=3 prev=4@2 entries=5@3,6@3 commit=9`."""
    term = _number(fields, "term")

    def head(type_: type[Message], **rest: object) -> Message:
        return type_(group=group, sender=sender, to=to, term=term, **rest)  # type: ignore[arg-type]

    made = _forge(kind, group, fields, head)
    if fields:
        raise ValueError(f"a {kind} has no {', '.join(sorted(fields))}")
    return made


def _forge(kind: str, group: GroupId, fields: dict[str, str], head: _Head) -> Message:
    match kind:
        case "pre-vote":
            return head(PreVoteRequest, last=position(fields.pop("last")))
        case "vote":
            handed = fields.pop("transfer", "no") == "yes"
            return head(VoteRequest, last=position(fields.pop("last")), transfer=handed)
        case "pre-vote-answer":
            proposed, granted = _number(fields, "for"), fields.pop("granted") == "yes"
            return head(PreVoteResponse, proposed_term=proposed, granted=granted)
        case "vote-answer":
            return head(VoteResponse, granted=fields.pop("granted") == "yes")
        case "append":
            texts = fields.pop("entries", "").split("|")
            entries = tuple(entry(text, group) for text in texts if text)
            if damage := fields.pop("damaged", ""):
                entries = tuple(_damaged(made) if str(made.id) == damage else made for made in entries)
            return head(
                AppendRequest,
                prev=position(fields.pop("prev")),
                entries=entries,
                commit=_number(fields, "commit"),
            )
        case "accepted":
            return head(AppendAccepted, match=_number(fields, "match"))
        case "rejected":
            prev, hint = position(fields.pop("prev")), position(fields.pop("hint"))
            return head(AppendRejected, prev=prev, hint=hint)
        case "heartbeat":
            round_, commit = _number(fields, "round"), _number(fields, "commit")
            return head(Heartbeat, round=round_, commit=commit, vote_span=span(fields.pop("span", "1s")))
        case "heartbeat-ack":
            return head(HeartbeatAck, round=_number(fields, "round"), applied=0, digest=0)
        case "offer":
            return head(SnapshotOffer, last=position(fields.pop("last")))
        case "timeout-now":
            return head(TimeoutNow, round=_number(fields, "round"))
        case "not-a-member":
            return head(NotAMember, decided=position(fields.pop("decided")))
        case _:
            raise ValueError(f"cannot forge a {kind!r}")


def _damaged(made: Entry) -> Entry:
    return Entry(made.group, made.index, made.term, made.kind, made.log_time, made.checksum ^ 1, made.payload)


def _number(fields: dict[str, str], name: str) -> Index | Term:
    return int(fields.pop(name))
