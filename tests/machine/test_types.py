"""What a type checker knows of a call: `make check` proves it, for an unused ignore is an error under mypy strict."""

from typing import assert_type

from raftlog.core.ids import META_GROUP
from raftlog.machine.calls import decode_result, encode_call
from raftlog.machine.contract import Context
from raftlog.machine.errors import MachineError
from raftlog.machine.method import command, query
from raftlog.machine.result import Kind, Result
from raftlog.machine.typed import Machine


class Spent(MachineError):
    left: int


class Purse(Machine):
    """Has one method of every form."""

    coins: int = 0

    @command
    def add(self, coins: int) -> int:
        self.coins += coins
        return self.coins

    @command(errors=[Spent])
    def spend(self, coins: int, *, reason: str = "") -> list[str]:
        if coins > self.coins:
            raise Spent(self.coins)
        self.coins -= coins
        return [reason]

    @command
    def toss(self, context: Context, times: int) -> tuple[bool, ...]:
        return tuple(context.random.random() < 0.5 for _ in range(times))

    @command(aliases=("zero",))
    def empty(self, context: Context) -> None:
        self.coins = 0

    @query
    def count(self) -> int:
        return self.coins


def test_a_call_takes_exactly_the_parameters_of_its_method() -> None:
    assert encode_call(Purse.add, 3) == encode_call(Purse.add, coins=3) == b"\x92\xa3add\x03"
    encode_call(Purse.spend, 1, reason="tea")
    encode_call(Purse.toss, 2)
    encode_call(Purse.empty)


def wrong_calls_are_refused_by_the_type_checker() -> None:
    """Never run: every line is an error that mypy must report, or the ignore would be unused."""
    encode_call(Purse.add, "3")  # type: ignore[arg-type]
    encode_call(Purse.add)  # type: ignore[call-arg]
    encode_call(Purse.add, 1, 2)  # type: ignore[call-arg]
    encode_call(Purse.toss, "a")  # type: ignore[arg-type]
    encode_call(Purse.toss, Context(group=META_GROUP), 2)  # type: ignore[arg-type, call-arg]
    encode_call(Purse.restore)  # type: ignore[arg-type]
    Purse().toss(2)  # type: ignore[arg-type, call-arg]


def test_a_result_has_exactly_the_type_of_its_method() -> None:
    assert_type(decode_result(Purse.add, Result(Kind.OK, b"\x03")), int)
    assert_type(decode_result(Purse.spend, Result(Kind.OK, b"\x91\xa0")), list[str])
    assert_type(decode_result(Purse.toss, Result(Kind.OK, b"\x90")), tuple[bool, ...])
    assert_type(decode_result(Purse.count, Result(Kind.OK, b"\x00")), int)
    decode_result(Purse.empty, Result(Kind.OK, b"\xc0"))


def test_on_an_instance_methods_are_called_as_written() -> None:
    purse = Purse()
    assert_type(purse.add(3), int)
    assert_type(purse.spend(1, reason="tea"), list[str])
    assert len(assert_type(purse.toss(Context(group=META_GROUP), 2), tuple[bool, ...])) == 2
    assert assert_type(purse.count(), int) == 2
    assert_type(Spent(3).left, int)
