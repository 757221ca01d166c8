"""The client's side: every kind of result has one meaning, and JSON arguments are checked like encoded ones."""

import msgspec
import pytest

from raftlog.machine.calls import (
    AnswerGone,
    ArgumentsRefused,
    BadCommand,
    CallError,
    CallFailed,
    CallUnknown,
    MachineFault,
    OutOfOrder,
    SessionExpired,
    Skipped,
    decode_result,
    encode_call,
    encode_json,
    method_named,
    result_json,
    version_of,
)
from raftlog.machine.method import command
from raftlog.machine.result import Kind, Result, refusal
from raftlog.machine.sessions import Sessions
from statemachines.counter import Counter
from statemachines.kv import Item, KeyValue, Mismatch, Page

MEANINGS = [
    (Result(Kind.FAULT), MachineFault, "Counter.add: the machine broke while running it"),
    (refusal(Kind.BAD_COMMAND, "no such method"), BadCommand, "Counter.add: no such method"),
    (Result(Kind.SESSION_EXPIRED), SessionExpired, "Counter.add: its session is gone"),
    (Result(Kind.ANSWER_GONE), AnswerGone, "Counter.add: its answer is no longer kept"),
    (Result(Kind.OUT_OF_ORDER, msgspec.msgpack.encode(7)), OutOfOrder, "Counter.add: .* sequence 7"),
    (Result(Kind.SKIPPED), Skipped, "Counter.add: operators voted it out"),
    (
        refusal(Kind.FAILED, "not the leader", leader="b:1", retry_after=5),
        CallFailed,
        "Counter.add: not the leader",
    ),
    (refusal(Kind.UNKNOWN, "the leader is gone"), CallUnknown, "Counter.add: the leader is gone"),
]


@pytest.mark.parametrize(
    "result,error,sentence", MEANINGS, ids=[result.kind.name for result, _, _ in MEANINGS]
)
def test_what_is_no_value_raises_by_its_kind(result: Result, error: type[CallError], sentence: str) -> None:
    with pytest.raises(error, match=sentence) as raised:
        decode_result(Counter.add, result)
    assert type(raised.value) is error
    with pytest.raises(error, match=sentence):
        result_json(Counter, "add", result)


def test_every_kind_has_a_meaning() -> None:
    assert {result.kind for result, _, _ in MEANINGS} | {Kind.OK, Kind.ERROR} == set(Kind)


def test_whether_it_happened_is_in_the_class() -> None:
    for definite in (BadCommand, OutOfOrder, Skipped):
        assert issubclass(definite, CallFailed)
    for doubtful in (SessionExpired, AnswerGone):
        assert issubclass(doubtful, CallUnknown)
    assert not issubclass(MachineFault, CallFailed | CallUnknown)


def test_a_refusal_keeps_its_advice() -> None:
    with pytest.raises(CallFailed) as raised:
        decode_result(Counter.add, refusal(Kind.FAILED, "not the leader", leader="b:1", retry_after=5))
    assert (raised.value.refusal.leader, raised.value.refusal.retry_after) == ("b:1", 5)


def test_a_body_that_does_not_fit_the_annotation_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Expected `int`"):
        decode_result(Counter.add, Result(Kind.OK, b"\xa1x"))
    with pytest.raises(ValueError, match="Invalid value 'Strange'"):
        decode_result(KeyValue.set_if_version, Result(Kind.ERROR, msgspec.msgpack.encode(["Strange"])))


def test_json_arguments_make_the_same_bytes() -> None:
    assert encode_json(Counter, "add", "[3]") == encode_call(Counter.add, 3)
    assert (
        encode_json(Counter, "read", "") == encode_json(Counter, "read", " [ ] ") == encode_call(Counter.read)
    )
    assert encode_json(KeyValue, "put", ' ["k", "dg=="] ') == encode_call(KeyValue.put, "k", b"v")
    assert encode_json(KeyValue, "scan", '["a"]') == encode_call(KeyValue.scan, "a")
    assert encode_json(Sessions, "open", "[true]") == encode_call(Sessions.open, ordered=True)


@pytest.mark.parametrize(
    "name,arguments,sentence",
    [
        ("sub", "[1]", "Counter has no method 'sub'; it has: add, read"),
        ("add", "[]", "Counter.add(amount) got 0 arguments"),
        ("add", "[1, 2]", "Counter.add(amount) got 2 arguments"),
        ("add", '["x"]', "Counter.add(amount): Expected `int`, got `str` - at `amount`"),
        ("add", '{"amount": 1}', "Counter.add: the arguments are a JSON array, such as [<amount>]"),
        ("add", "[1", "Counter.add(amount): Input data was truncated"),
        ("add", "[1]]", "Counter.add(amount): JSON is malformed: trailing characters"),
        ("add", "[" * 100_000, "Counter.add(amount): Expected `int`, got `array` - at `amount`"),
    ],
)
def test_json_arguments_that_do_not_fit_are_refused_in_one_sentence(
    name: str, arguments: str, sentence: str
) -> None:
    with pytest.raises(ArgumentsRefused) as raised:
        encode_json(Counter, name, arguments)
    assert str(raised.value) == sentence


def test_results_as_json() -> None:
    assert result_json(Counter, "add", Result(Kind.OK, b"\x03")) == "3"
    page = Page((Item("k", b"v", 1),), None)
    assert (
        result_json(KeyValue, "scan", Result(Kind.OK, msgspec.msgpack.encode(page)))
        == '[[["k","dg==",1]],null]'
    )
    mismatch = Result(Kind.ERROR, msgspec.msgpack.encode(["Mismatch", 4]))
    assert result_json(KeyValue, "set_if_version", mismatch) == '{"error":"Mismatch","version":4}'
    with pytest.raises(Mismatch):
        decode_result(KeyValue.set_if_version, mismatch)


def test_a_call_carries_the_version_of_the_class_that_defines_it() -> None:
    class Grown(Counter):
        version = 3

        @command
        def double(self) -> int:
            return self.add(self.value)

    assert (version_of(Grown.double), version_of(Grown.add), version_of(Counter.add)) == (3, 1, 1)


def test_methods_are_found_by_name() -> None:
    assert method_named(KeyValue, "get") is KeyValue.get
    assert repr(KeyValue.get) == "<QueryMethod KeyValue.get>"
