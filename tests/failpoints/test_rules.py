"""Rules are read from text as they are meant, written back as they are read, and refused with words that help."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftlog.failpoints import ALL, BadRule, Crash, Delay, Fail, Rule, parse

POINT = "wal.append.after_sync"


@pytest.mark.parametrize(
    "text, rule",
    [
        ("crash", Rule(POINT, Crash())),
        ("error", Rule(POINT, Fail())),
        ("delay(50ms)", Rule(POINT, Delay(50_000))),
        ("delay(7us)", Rule(POINT, Delay(7))),
        ("delay(1.5s)", Rule(POINT, Delay(1_500_000))),
        ("error*1", Rule(POINT, Fail(), times=1)),
        ("3rd:crash", Rule(POINT, Crash(), first=3, times=1)),
        ("2nd:error*5", Rule(POINT, Fail(), first=2, times=5)),
        ("11th:error*always", Rule(POINT, Fail(), first=11)),
        ("25%:crash", Rule(POINT, Crash(), chance=0.25)),
        ("101st:0.5%:delay(0us)", Rule(POINT, Delay(0), first=101, times=1, chance=0.005)),
    ],
)
def test_a_rule_means_what_it_says(text: str, rule: Rule) -> None:
    assert parse(f" {POINT} = {text} ") == (rule,)


def test_several_rules_are_separated_by_semicolons_or_commas() -> None:
    rules = parse("wal.append.after_sync=crash; node.before_send=5%:error,bootstrap.before_rename=error*2;")
    assert [rule.name for rule in rules] == [
        "wal.append.after_sync",
        "node.before_send",
        "bootstrap.before_rename",
    ]
    assert parse("") == () == parse(" ; ")


@given(
    st.builds(
        Rule,
        st.sampled_from(sorted(ALL)),
        st.one_of(st.just(Crash()), st.just(Fail()), st.builds(Delay, st.integers(0, 10**9))),
        st.integers(1, 1000),
        st.none() | st.integers(1, 50),
        st.integers(1, 1000).map(lambda tenths: tenths / 1000),
    )
)
def test_a_rule_is_written_as_it_is_read(rule: Rule) -> None:
    assert parse(str(rule)) == (rule,), str(rule)


@pytest.mark.parametrize(
    "text, said",
    [
        ("wal.append.after_sinc=crash", "did you mean wal.append.after_sync"),
        ("nowhere=crash", "docs/failpoints.md lists them"),
        ("wal.append.after_sync", "not written as failpoint=action"),
        ("wal.append.after_sync=explode", "write crash, error or delay"),
        ("wal.append.after_sync=delay(5)", "write crash, error or delay"),
        ("wal.append.after_sync=3th:crash", "write 3rd"),
        ("wal.append.after_sync=0th:crash", "counted from 1"),
        ("wal.append.after_sync=error*0", "counted from 1"),
        ("wal.append.after_sync=0%:error", "a chance lies"),
        ("wal.append.after_sync=101%:error", "a chance lies"),
        ("wal.append.after_sync=crash;wal.append.after_sync=error", "has two rules"),
    ],
)
def test_what_is_no_rule_is_refused_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(BadRule, match=None) as refused:
        parse(text)
    assert said in str(refused.value)
