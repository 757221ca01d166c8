"""Entries and their codecs: every flipped bit is seen, and what was encoded comes back."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftlog.core.entry import Command, Entry, EntryKind, decode_commands, encode_commands, seal
from raftlog.core.ids import EntryId, GroupId, NodeId
from raftlog.core.membership import Member, Membership, decode_membership, encode_membership

U64 = st.integers(0, (1 << 64) - 1)
U32 = st.integers(0, (1 << 32) - 1)
WRONG = r"membership|voter and learner"
BITS = {"group": 64, "index": 64, "term": 64, "log_time": 64, "checksum": 64}


def _entry(payload: bytes = b"some payload") -> Entry:
    return seal(
        group=GroupId(7), at=EntryId(3, 11), kind=EntryKind.COMMANDS, log_time=1_000_001, payload=payload
    )


def test_every_flipped_bit_is_seen() -> None:
    entry = _entry()
    assert entry.intact()
    for name, bits in BITS.items():
        for bit in range(bits):
            changed = msgspec.structs.replace(entry, **{name: getattr(entry, name) ^ 1 << bit})
            assert not changed.intact(), f"bit {bit} of {name}"
    for kind in EntryKind:
        assert msgspec.structs.replace(entry, kind=kind).intact() == (kind is entry.kind), kind
    for bit in range(8 * len(entry.payload)):
        payload = bytearray(entry.payload)
        payload[bit // 8] ^= 1 << bit % 8
        assert not msgspec.structs.replace(entry, payload=bytes(payload)).intact(), (
            f"bit {bit} of the payload"
        )


@given(U64, U64, U64, st.sampled_from(EntryKind), U64, st.binary(max_size=64))
def test_what_is_sealed_is_intact(
    group: int, index: int, term: int, kind: EntryKind, time: int, payload: bytes
) -> None:
    made = seal(group=GroupId(group), at=EntryId(term, index), kind=kind, log_time=time, payload=payload)
    assert made.intact()
    assert made.id == EntryId(term, index)
    assert made.size == len(payload) + 64
    shifted = msgspec.structs.replace(made, payload=made.payload + b"\0")
    assert not shifted.intact(), "a longer payload"


COMMAND = st.builds(
    Command,
    client_id=U64,
    sequence=U64,
    answered_below=U64,
    machine=U32,
    machine_version=U32,
    body=st.binary(max_size=32),
)


@given(st.lists(COMMAND, max_size=5))
def test_commands_come_back(commands: list[Command]) -> None:
    assert decode_commands(encode_commands(commands)) == tuple(commands)


@given(st.binary(max_size=64))
def test_bytes_that_are_no_commands_are_a_value_error(payload: bytes) -> None:
    try:
        commands = decode_commands(payload)
    except ValueError:
        return
    assert decode_commands(encode_commands(commands)) == commands


U64_IDS = U64.map(NodeId)


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    """Any membership that keeps its invariants."""
    ids = sorted(draw(st.sets(U64, max_size=7)))
    roles = {id: draw(st.sampled_from(("voter", "outgoing", "both", "learner", "none"))) for id in ids}
    text = st.sampled_from(("", "n1", "knoten-ä:7001"))
    return Membership(
        voters=tuple(NodeId(id) for id in ids if roles[id] in ("voter", "both")),
        outgoing=tuple(NodeId(id) for id in ids if roles[id] in ("outgoing", "both")),
        learners=tuple(NodeId(id) for id in ids if roles[id] == "learner"),
        members=tuple(
            Member(
                NodeId(id), draw(text), draw(text), draw(text), draw(st.booleans()), draw(st.none() | U64_IDS)
            )
            for id in ids
        ),
        demoted=tuple(NodeId(id) for id in ids if roles[id] == "outgoing" and draw(st.booleans())),
    )


@settings(max_examples=40)
@given(memberships())
def test_a_membership_comes_back(membership: Membership) -> None:
    again = decode_membership(encode_membership(membership))
    assert again == membership
    assert encode_membership(again) == encode_membership(membership)
    assert again.ids == tuple(sorted(again.ids))
    for id in again.ids:
        named = again.member(id)
        assert named is not None
        assert named.id == id
        assert again.may_vote(id) == (id in again.quorum.voters)


def test_a_membership_written_before_changes_were_known_is_read() -> None:
    raw = [[1, 2], [], [3], [[id, f"n{id}", "p:1", "c:1"] for id in (1, 2, 3)]]
    read = decode_membership(msgspec.msgpack.encode(raw))
    assert (read.voters, read.learners, read.demoted) == ((1, 2), (3,), ())
    assert read.members[2] == Member(NodeId(3), "n3", "p:1", "c:1", promote_when_ready=False, replaces=None)


@given(st.binary(max_size=64))
def test_bytes_that_are_no_membership_are_a_value_error(payload: bytes) -> None:
    try:
        membership = decode_membership(payload)
    except ValueError:
        return
    assert decode_membership(encode_membership(membership)) == membership


def _members(*ids: int) -> tuple[Member, ...]:
    return tuple(Member(NodeId(id), f"n{id}", "", "") for id in ids)


@pytest.mark.parametrize(
    "fields",
    [
        {"voters": (2, 1), "members": _members(1, 2)},
        {"voters": (1, 1), "members": _members(1)},
        {"voters": (1, 2), "members": _members(1)},
        {"voters": (1,), "learners": (1,), "members": _members(1)},
        {"outgoing": (1,), "learners": (1,), "members": _members(1)},
        {"voters": (1,), "demoted": (1,), "members": _members(1)},
        {"voters": (1,), "outgoing": (1, 2), "demoted": (1,), "members": _members(1, 2)},
        {"members": _members(2, 1)},
    ],
)
def test_a_membership_that_breaks_its_invariants_cannot_be_made_or_decoded(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=WRONG):
        Membership(**fields)  # type: ignore[arg-type]
    raw = [fields.get(name, ()) for name in ("voters", "outgoing", "learners", "members", "demoted")]
    with pytest.raises(ValueError, match=WRONG):
        decode_membership(msgspec.msgpack.encode(raw))
