"""The key-value store against a plain dict, and its corners one by one."""

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from raftlog.machine.applier import Applier
from raftlog.machine.calls import encode_call
from raftlog.machine.result import Kind
from statemachines import kv
from statemachines.kv import Item, KeyTooLong, KeyValue, Mismatch, Page, Versioned

keys = st.text(alphabet="ab\x00\ud7ff\U0010ffff", max_size=4)
values = st.binary(max_size=4)


class AgainstADict(RuleBasedStateMachine):
    """Every method beside the same on a dict of (value, version)."""

    def __init__(self) -> None:
        super().__init__()
        self.store = KeyValue()
        self.model: dict[str, Versioned] = {}
        self.writes = 0

    def note(self, key: str, value: bytes | None) -> int:
        """What a write or removal does to the model: its version."""
        if value is None and key not in self.model:
            return self.writes
        self.writes += 1
        if value is None:
            del self.model[key]
        else:
            self.model[key] = Versioned(value, self.writes)
        return self.writes

    @rule(key=keys, value=values)
    def put(self, key: str, value: bytes) -> None:
        assert self.store.put(key, value) == self.note(key, value)

    @rule(key=keys)
    def delete(self, key: str) -> None:
        assert self.store.delete(key) == (key in self.model)
        self.note(key, None)

    @rule(key=keys, expected=st.none() | values, value=st.none() | values, right=st.booleans())
    def compare_and_set(self, key: str, expected: bytes | None, value: bytes | None, right: bool) -> None:
        found = self.model.get(key)
        if right:
            expected = found.value if found else None
        if (found.value if found else None) == expected:
            assert self.store.compare_and_set(key, expected, value) == self.note(key, value)
        else:
            with pytest.raises(Mismatch) as raised:
                self.store.compare_and_set(key, expected, value)
            assert raised.value.version == (found.version if found else 0)

    @rule(key=keys, version=st.integers(0, 5), value=st.none() | values, right=st.booleans())
    def set_if_version(self, key: str, version: int, value: bytes | None, right: bool) -> None:
        at = self.model[key].version if key in self.model else 0
        version = at if right else version
        if version == at:
            assert self.store.set_if_version(key, version, value) == self.note(key, value)
        else:
            with pytest.raises(Mismatch) as raised:
                self.store.set_if_version(key, version, value)
            assert raised.value.version == at

    @rule(prefix=keys, limit=st.integers(1, 4))
    def scan(self, prefix: str, limit: int) -> None:
        seen: list[Item] = []
        after: str | None = None
        while True:
            page = self.store.scan(prefix, after=after, limit=limit)
            seen += page.items
            assert len(page.items) <= limit
            if (after := page.after) is None:
                break
            assert len(page.items) == limit
        expected = sorted(key for key in self.model if key.startswith(prefix))
        assert seen == [Item(key, self.model[key].value, self.model[key].version) for key in expected]
        assert self.store.count(prefix) == len(expected)

    @rule(prefix=keys, after=keys)
    def scan_after(self, prefix: str, after: str) -> None:
        page = self.store.scan(prefix, after=after)
        assert [item.key for item in page.items] == sorted(
            key for key in self.model if key.startswith(prefix) and key > after
        )

    @rule()
    def restored(self) -> None:
        view = self.store.capture()
        chunks = list(self.store.write(view))
        restored = KeyValue()
        restored.restore(iter(chunks), 1)
        assert list(restored.write(restored.capture())) == chunks
        self.store.put("after the capture", b"")
        assert list(self.store.write(view)) == chunks
        self.store = restored

    @invariant()
    def every_key_reads_as_in_the_model(self) -> None:
        for key in ("", "a", "b", "ab", *self.model):
            assert self.store.get(key) == self.model.get(key)


TestAgainstADict = AgainstADict.TestCase


def test_a_version_tells_two_writes_of_the_same_value_apart() -> None:
    store = KeyValue()
    first = store.put("k", b"same")
    store.put("k", b"other")
    assert store.put("k", b"same") > first
    with pytest.raises(Mismatch):
        store.set_if_version("k", first, b"lost update")


def test_keys_are_bounded_in_bytes_and_refused_before_anything_changes() -> None:
    store = KeyValue()
    store.put("k" * kv.MAX_KEY, b"")
    store.put("\N{GRINNING FACE}" * (kv.MAX_KEY // 4), b"")
    before = list(store.write(store.capture()))
    with pytest.raises(KeyTooLong) as raised:
        store.put("\N{GRINNING FACE}" * (kv.MAX_KEY // 4) + "k", b"")
    assert (raised.value.size, raised.value.limit) == (kv.MAX_KEY + 1, kv.MAX_KEY)
    with pytest.raises(KeyTooLong):
        store.compare_and_set("k" * (kv.MAX_KEY + 1), None, b"")
    assert list(store.write(store.capture())) == before


def test_a_page_ends_by_bytes_but_never_empty() -> None:
    store = KeyValue()
    for n in range(5):
        store.put(f"k{n}", bytes(kv.PAGE_BYTES // 2))
    store.put("large", bytes(kv.PAGE_BYTES * 2))
    sizes, after = [], None
    while True:
        page = store.scan(after=after)
        sizes.append(len(page.items))
        if (after := page.after) is None:
            break
    assert sizes == [2, 2, 2]


def test_a_scan_of_nothing_is_one_empty_page() -> None:
    assert KeyValue().scan("x") == Page((), None)


def test_a_limit_out_of_bounds_is_refused_before_it_is_asked() -> None:
    applier = Applier(KeyValue)
    for limit in (0, -1, 10_001, 1 << 63):
        refused = applier.check_query(1, 1, encode_call(KeyValue.scan, limit=limit))
        assert refused is not None
        assert refused.kind is Kind.BAD_COMMAND
        assert b"`limit`" in refused.body
    assert applier.check_query(1, 1, encode_call(KeyValue.scan, "a", limit=10_000)) is None


def test_what_is_in_the_log_stays_readable() -> None:
    """The exact bytes of format 1: a change here breaks logs and snapshots that exist."""
    assert encode_call(KeyValue.put, "k", b"v") == b"\x93\xa3put\xa1k\xc4\x01v"
    assert encode_call(KeyValue.delete, "k") == b"\x92\xa6delete\xa1k"
    assert (
        encode_call(KeyValue.compare_and_set, "k", None, b"v") == b"\x94\xafcompare_and_set\xa1k\xc0\xc4\x01v"
    )
    assert encode_call(KeyValue.set_if_version, "k", 0, None) == b"\x94\xaeset_if_version\xa1k\x00\xc0"
    assert encode_call(KeyValue.get, "k") == b"\x92\xa3get\xa1k"
    assert encode_call(KeyValue.scan, "k") == b"\x94\xa4scan\xa1k\xc0\xcd\x03\xe8"
    store = KeyValue()
    store.put("b", b"2")
    store.put("a", b"1")
    assert list(store.write(store.capture())) == [
        b"\x02",
        msgspec.msgpack.encode([("a", b"1", 2), ("b", b"2", 1)]),
    ]
