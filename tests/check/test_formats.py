"""Formats: what is read, what is written back, and what is refused with a sentence."""

import io
from random import Random
from typing import Any

import pytest

from jepsen_like.check import (
    Event,
    EventType,
    History,
    Keyword,
    Unreadable,
    edn,
    read_edn,
    read_edn_history,
    read_jepsen_log,
    read_jsonl,
    read_kv_edn,
    write_edn,
    write_jsonl,
)


def _value(text: str) -> Any:
    return read_edn(text)[0][1]


@pytest.mark.parametrize(
    "text, value",
    [
        ("nil", None),
        ("true", True),
        ("-12", -12),
        ("12N", 12),
        ("1.5e3", 1500.0),
        ('"a\\n\\"\\u0041"', 'a\n"A'),
        (r"\newline", "\n"),
        (r"\a", "a"),
        (":a/b", Keyword("a/b")),
        ("[1, [2 []] ; three\n 3]", [1, [2, []], 3]),
        ("(1 2)", [1, 2]),
        ("#{1 [2 3]}", frozenset({1, (2, 3)})),
        ("{:a 1 [1 2] 3}", {"a": 1, (1, 2): 3}),
        ("[1 #_ #_ 2 3 4]", [1, 4]),
        ('#inst "2020-01-01"', "2020-01-01"),
        ("#jepsen.history.Op{:index 3}", {"index": 3}),
        ("timed-out", "timed-out"),
    ],
)
def test_edn_values(text: str, value: Any) -> None:
    assert _value(text) == value
    assert type(_value(text)) is type(value)


@pytest.mark.parametrize(
    "text, place",
    [
        ("[1 2", "line 1"),
        ("\n\n{:a 1", "line 3"),
        ("]", "line 1"),
        ("[1 2}", "line 1"),
        ('"open', "line 1"),
        ("{:a}", "line 1"),
        ("[" * 200, "line 1"),
        ("1x", "line 1"),
        ("{:a #@}", "line 1"),
        ('"\\q"', "line 1"),
        ("9" * 5000, "line 1"),
        ("\x01", "line 1"),
    ],
)
def test_edn_refuses_and_names_the_line(text: str, place: str) -> None:
    with pytest.raises(Unreadable, match="expected") as refused:
        read_edn(text)
    assert refused.value.place == place


def test_edn_written_is_edn_read() -> None:
    random = Random(5)
    for _ in range(300):
        value = _random_value(random, 4)
        assert _value(edn(value)) == value, edn(value)


def _random_value(random: Random, depth: int) -> Any:
    kind = random.randrange(9 if depth else 6)
    match kind:
        case 0:
            return random.choice([None, True, False])
        case 1 | 2:
            return random.randrange(-(10**6), 10**6)
        case 3:
            return random.choice(["", "a b", 'q"\\\n\t', "ü"])
        case 4:
            return Keyword(random.choice("abc"))
        case 5:
            return random.randrange(100) / 4
        case 6:
            return [_random_value(random, depth - 1) for _ in range(random.randrange(4))]
        case 7:
            return {str(n): _random_value(random, depth - 1) for n in range(random.randrange(3))}
        case _:
            return frozenset(random.randrange(10) for _ in range(3))


HISTORY = History(
    [
        Event(EventType.INVOKE, 0, "write", [1, "x"], 10, 0),
        Event(EventType.INFO, "nemesis", "kill", None, 11, 1),
        Event(EventType.INVOKE, 1, "get", None, 12, 2, "k"),
        Event(EventType.FAIL, 1, "get", None, 12, 3, "k", "timeout"),
        Event(EventType.OK, 0, "write", {"a": None}, 12, 4),
    ]
)


def test_jsonl_and_edn_give_back_what_they_were_given() -> None:
    file = io.BytesIO()
    write_jsonl(HISTORY, file)
    assert read_jsonl(file.getvalue().splitlines()).events == HISTORY.events
    file = io.BytesIO()
    write_edn(HISTORY, file)
    assert read_edn_history(file.getvalue()).events == HISTORY.events


def test_edn_counts_places_in_a_vector_and_lines_without_one() -> None:
    maps = [
        "{:process 0, :type :invoke, :f :read, :value nil}",
        "; a remark",
        "{:process 0 :type :ok :f :read :value #{1}}",
    ]
    lines = read_edn_history("\n".join(maps).encode())
    assert [event.index for event in lines] == [0, 2]
    vector = read_edn_history(("\n\n[" + "\n\n".join(maps) + "]").encode())
    assert [event.index for event in vector] == [0, 1]
    assert vector.events[1].value == frozenset({1})


def test_jepsen_logs_are_one_register_between_noise() -> None:
    log = (
        b"INFO  jepsen.core - Worker 0 starting\n"
        b"2015-01-01 INFO  jepsen.util - 3\t:invoke\t:cas\t[1 2]\n"
        b"INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n"
        b"INFO  jepsen.util - 3\t:fail\t:cas\t[1 2]\r\n"
        b"INFO  jepsen.util - 4\t:invoke\t:cas\t[1 2]\n"
        b"INFO  jepsen.util - 4\t:fail\t:cas\t:timed-out\n"
        b"INFO  jepsen.util - 3\t:invoke\t:read\tnil\n"
        b"INFO  jepsen.util - 3\t:fail\t:read\t:timed-out\n"
    )
    events = read_jepsen_log(log).events
    assert [(event.index, event.type.value, event.value) for event in events] == [
        (1, "invoke", [1, 2]),
        (3, "ok", False),
        (4, "invoke", [1, 2]),
        (5, "info", False),
        (6, "invoke", None),
        (7, "fail", Keyword("timed-out")),
    ]


@pytest.mark.parametrize(
    "read, content, place",
    [
        (read_edn_history, b"[1]", "element 0"),
        (read_edn_history, b"\n{:process 0 :type :begin :f :read}", "line 2"),
        (read_edn_history, b"{:process 0 :type :ok}", "line 1"),
        (read_edn_history, b"{:process 1.5 :type :ok :f :read}", "line 1"),
        (read_edn_history, b"{:process 1 :type :ok :f :read :time :noon}", "line 1"),
        (read_edn_history, b"\n\xff\xfe", "line 2"),
        (read_edn_history, b"{}\0", "line 1"),
        (read_kv_edn, b"{:process 0 :type :invoke :f :get :value nil}", "line 1"),
        (read_jepsen_log, b"only noise\n", "line 1"),
        (read_jepsen_log, b"INFO  jepsen.util - 4\t:invoke\t:cas\t[0 3\n", "line 1"),
        (read_jepsen_log, b"INFO  jepsen.util - 4\t:ok\t:read\t:timed-out\n", "line 1"),
        (lambda content: read_jsonl(content.split(b"\n")), b'\n{"process": 0', "line 2"),
        (lambda content: read_jsonl(content.split(b"\n")), b"[]", "line 1"),
        (lambda content: read_jsonl(content.split(b"\n")), b"[" * 100_000, "line 1"),
        (lambda content: read_jsonl(content.split(b"\n")), b"\xff", "line 1"),
    ],
)
def test_what_is_no_history_is_refused_with_its_place(read: Any, content: bytes, place: str) -> None:
    with pytest.raises(Unreadable, match="expected") as refused:
        read(content)
    assert refused.value.place == place
    assert len(str(refused.value)) < 300
