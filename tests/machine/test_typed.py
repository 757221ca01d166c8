"""What a machine class may look like, and the sentence that refuses one that would not behave alike everywhere."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec
import pytest

from raftlog.core.ids import META_GROUP
from raftlog.machine.calls import decode_result, encode_call, is_query
from raftlog.machine.contract import Context
from raftlog.machine.errors import MachineError
from raftlog.machine.method import command, query
from raftlog.machine.result import Kind, Result
from raftlog.machine.typed import NOT_FITTING, Machine, machine_methods
from raftlog.machine.wire import MachineRefused

T = TypeVar("T")


class Tree(msgspec.Struct):
    children: "list[Tree]"


class Pair(NamedTuple):
    left: int
    right: set[str]


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Tag(msgspec.Struct):
    text: str


class Late(MachineError):
    by: float
    where: Point


def run(machine: Machine, body: bytes) -> Result:
    return machine.apply(body, Context(group=META_GROUP))


@pytest.mark.parametrize(
    "annotation,sentence",
    [
        (set[int], "is a set"),
        (frozenset[str], "is a set"),
        (dict[str, list[set[int]]], "is a set"),
        (Pair, "is a set"),
        (Any, "has no type of its own"),
        (object, "has no type of its own"),
        (list, "has no type of its own"),
        (T, "has no type of its own"),
        (msgspec.Raw, "has no type of its own"),
        (complex, "is no type that can be encoded"),
        (Callable[[], int], "is no type that can be encoded"),
        (memoryview, "would point into"),
        (Tree, "contains itself"),
        (Point | Tag, "cannot be encoded"),
        ("Missing", "cannot be resolved"),
    ],
)
def test_a_type_that_may_not_cross_the_log_is_refused_with_class_method_and_parameter(
    annotation: Any, sentence: str
) -> None:
    def method(self: object, item: Any) -> None: ...

    method.__annotations__["item"] = annotation
    where = "Shop.method" if "resolved" in sentence else "parameter 'item' of Shop.method"
    with pytest.raises(MachineRefused, match=f"{where}.*{sentence}"):
        type("Shop", (Machine,), {"method": command(method)})

    def answer(self: object) -> None: ...

    answer.__annotations__["return"] = annotation
    with pytest.raises(MachineRefused, match=f"Shop.answer.*{sentence}"):
        type("Shop", (Machine,), {"answer": query(answer)})

    with pytest.raises(MachineRefused, match=f"Shop.*{sentence}"):
        type("Shop", (Machine,), {"__annotations__": {"stock": annotation}})


def test_signatures_that_have_no_encoding_are_refused() -> None:
    def unannotated(self, item) -> None: ...  # type: ignore[no-untyped-def]
    def unanswered(self, item: int): ...  # type: ignore[no-untyped-def]
    def many(self: object, *items: int) -> None: ...
    def named(self: object, **items: int) -> None: ...
    def mutable(self: object, items: list[int] = []) -> None: ...  # noqa: B006
    def late(self: object, item: int, context: Context) -> None: ...
    async def waiting(self: object) -> None: ...
    def yielding(self: object) -> Iterator[int]:
        yield 1

    cases: list[tuple[Callable[..., Any], str]] = [
        (unannotated, "parameter 'item' of Shop.unannotated has no annotation"),
        (unanswered, "the result of Shop.unanswered has no annotation"),
        (many, "parameter 'items' of Shop.many takes any number"),
        (named, "parameter 'items' of Shop.named takes any number"),
        (mutable, "parameter 'items' of Shop.mutable has a mutable default"),
        (late, "parameter 'context' of Shop.late is the context, which must be the first"),
        (waiting, "Shop.waiting is a coroutine"),
        (yielding, "Shop.yielding is a coroutine or generator"),
    ]
    for function, sentence in cases:
        with pytest.raises(MachineRefused, match=sentence):
            type("Shop", (Machine,), {function.__name__: command(function)})


def test_a_query_takes_no_context() -> None:
    with pytest.raises(MachineRefused, match=r"Shop.read is a query and takes a context"):

        class Shop(Machine):
            @query
            def read(self, context: Context) -> int:
                return context.log_time


def test_names_are_given_once() -> None:
    with pytest.raises(MachineRefused, match=r"'put' names both Shop.put and Shop.store"):

        class Shop(Machine):
            @command
            def put(self) -> None: ...

            @command(aliases=["put"])
            def store(self) -> None: ...

    with pytest.raises(MachineRefused, match=r"Shop2.check is part of every machine"):

        class Shop2(Machine):
            @command
            def check(self) -> None: ...  # type: ignore[override]

    with pytest.raises(MachineRefused, match=r"Shop4.two has the same name or alias twice: two, two"):
        type("Shop4", (Machine,), {"two": command(aliases=["two"])(two)})

    with pytest.raises(MachineRefused, match="another name than its own"):
        type("Shop3", (Machine,), {"one": command(two)})


def two(self: object) -> None: ...


def test_errors_are_checked_too() -> None:
    class Vague(MachineError):
        tags: set[str]

    with pytest.raises(MachineRefused, match=r"Shop.put: field 'tags' of error Vague is a set"):

        class Shop(Machine):
            @command(errors=[Vague])
            def put(self) -> None: ...

    with pytest.raises(MachineRefused, match="is no subclass of MachineError"):

        class Shop2(Machine):
            @command(errors=[ValueError])  # type: ignore[list-item]
            def put(self) -> None: ...


def test_capture_write_and_restore_go_together() -> None:
    with pytest.raises(MachineRefused, match="Shop overrides capture only"):

        class Shop(Machine):
            def capture(self) -> object:
                return None


def test_state_is_what_is_annotated() -> None:
    class Shop(Machine):
        limit: ClassVar[int] = 3
        stock: dict[str, Point]
        open: bool = False
        till: float | None = None

        def __init__(self) -> None:
            self.stock = {}

    shop = Shop()
    shop.stock = {"b": Point(1), "a": Point(2, 3)}
    shop.open = True
    chunks = list(shop.write(shop.capture()))
    again = Shop()
    again.restore(chunks, 1)
    assert (again.stock, again.open, again.till) == (shop.stock, True, None)
    assert list(again.stock) == ["b", "a"]  # the order a machine could see is kept
    assert list(again.write(again.capture())) == chunks


def test_state_grows_with_the_class() -> None:
    class Old(Machine):
        a: int = 1
        b: int = 2

    class New(Machine):
        b: int = 20
        c: int = 30

    old, new = Old(), New()
    old.b = 5
    new.restore(old.write(old.capture()), 1)
    assert (new.b, new.c) == (5, 30)


def test_a_state_that_a_snapshot_would_lose_is_refused() -> None:
    class Shop(Machine):
        def __init__(self) -> None:
            self.cache = {"a": 1}

    with pytest.raises(MachineRefused, match=r"Shop.cache is set but not annotated"):
        Shop().capture()

    class Empty(Machine):
        stock: int

    with pytest.raises(MachineRefused, match=r"Empty.stock is annotated but never set"):
        Empty().capture()

    with pytest.raises(MachineRefused, match="attribute 'stock' of Shared has a mutable default"):

        class Shared(Machine):
            stock: list[int] = []  # noqa: RUF012


def test_a_large_state_is_written_in_chunks() -> None:
    class Store(Machine):
        blob: bytes = b""

    one, other = Store(), Store()
    one.blob = bytes(range(256)) * 4096
    chunks = list(one.write(one.capture()))
    assert len(chunks) > 3
    other.restore(iter(chunks), 1)
    assert other.blob == one.blob


class Every(Machine):
    """Values of many types, to and fro."""

    name = "every"
    last: str = ""

    @command(errors=[Late], aliases=["old_echo", "older_echo"])
    def echo(
        self, a: int, b: tuple[Point, ...], *, c: dict[str, bytes | None], d: float = 0.5
    ) -> list[Point]:
        self.last = f"{a} {len(b)} {sorted(c)} {d}"
        if d < 0:
            raise Late(d, Point(a))
        return [*b, Point(a)]

    @query
    def read(self) -> str:
        return self.last


def test_arguments_results_and_errors_come_back_as_they_went() -> None:
    every = Every()
    body = encode_call(Every.echo, 1, (Point(2, 3),), c={"x": b"y", "z": None})
    assert decode_result(Every.echo, run(every, body)) == [Point(2, 3), Point(1)]
    assert every.last == "1 1 ['x', 'z'] 0.5"
    with pytest.raises(Late) as raised:
        decode_result(Every.echo, run(every, encode_call(Every.echo, 7, (), c={}, d=-2.0)))
    assert (raised.value.by, raised.value.where) == (-2.0, Point(7))
    assert str(raised.value) == "Late(by=-2.0, where=Point(x=7, y=0))"


def test_an_alias_means_the_method() -> None:
    every = Every()
    body = encode_call(Every.echo, 1, (), c={})
    for alias in ("old_echo", "older_echo"):
        parts = msgspec.msgpack.decode(body)
        old = msgspec.msgpack.encode([alias, *parts[1:]])
        assert every.check(old) is None
        assert run(every, old) == run(every, body)


def test_a_trailing_parameter_with_a_default_may_be_missing_from_old_logs() -> None:
    every = Every()
    parts = msgspec.msgpack.decode(encode_call(Every.echo, 1, (), c={}, d=9.0))
    assert run(every, msgspec.msgpack.encode(parts[:-1])).kind is Kind.OK
    assert every.last.endswith("0.5")


def test_commands_and_queries_are_two_vocabularies() -> None:
    every = Every()
    assert run(every, encode_call(Every.read)) == NOT_FITTING
    assert every.query(encode_call(Every.echo, 1, (), c={})) == NOT_FITTING
    assert is_query(Every.read)
    assert not is_query(Every.echo)


def test_check_names_the_method_and_the_argument() -> None:
    every = Every()
    echo = ["echo", 1, [], {}, 0.5]

    def why(*parts: object, query: bool = False) -> str | None:
        return every.check(msgspec.msgpack.encode(parts), query=query)

    assert why(*echo) is None
    assert why("echo", "x", *echo[2:]) == "Every.echo(a, b, c, d): Expected `int`, got `str` - at `a`"
    assert why("echo", 1, [[1, 2], {"x": 1}], {}) is not None
    assert (why("echo", 1, [{"x": "?"}], {}) or "").endswith("Expected `int`, got `str` - at `b[0].x`")
    assert why("echo") == "Every.echo(a, b, c, d) got 0 arguments"
    assert why("sing") == "every has no command 'sing'; it has: echo, old_echo, older_echo"
    assert why("echo", query=True) == "every has no query 'echo'; it has: read"
    assert why() == "every has no command None; it has: echo, old_echo, older_echo"
    assert every.check(b"\xff\xff") == "every has no command None; it has: echo, old_echo, older_echo"


def test_nesting_that_could_overflow_one_stack_and_not_another_is_kept_out_of_the_log() -> None:
    every = Every()
    for depth in (950, 5_000, 100_000):
        deep = b"\x95\xa4echo\x01\x91\x81\xa1q" + b"\x91" * depth + b"\xc0" + b"\x80\x00"
        assert every.check(deep) == "every: the arguments are nested too deep"
    shallow = b"\x95\xa4echo\x01\x91\x82\xa1q" + b"\x91" * 50 + b"\xc0" + b"\xa1x\x01\x80\x00"
    assert every.check(shallow) is None
    assert run(every, shallow).kind is Kind.OK


def test_wrong_arguments_are_a_type_error_where_they_are_made() -> None:
    with pytest.raises(TypeError, match=r"Every.echo: "):
        encode_call(Every.echo, 1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Every.echo: "):
        encode_call(Every.echo, 1 << 70, (), c={})
    with pytest.raises(MachineRefused, match="does not belong to a subclass of Machine"):
        encode_call(command(two))


def test_methods_are_inherited_and_overridden() -> None:
    class Base(Machine):
        total: int = 0

        @command
        def add(self, n: int) -> int:
            self.total += n
            return self.total

        @command
        def drop(self) -> None:
            self.total = 0

    class Twice(Base):
        @command
        def add(self, n: int) -> int:
            return super().add(2 * n)

        drop = None  # type: ignore[assignment]

    twice = Twice()
    assert decode_result(Base.add, run(twice, encode_call(Base.add, 4))) == 8
    assert list(machine_methods(Twice)) == ["add"]
    assert run(twice, encode_call(Base.drop)) == NOT_FITTING
    assert decode_result(Base.add, run(Base(), encode_call(Twice.add, 4))) == 4


def test_dict_results_are_equal_whatever_the_order_of_insertion() -> None:
    class Tally(Machine):
        counts: dict[str, int]

        def __init__(self) -> None:
            self.counts = {}

        @command
        def count(self, names: list[str]) -> dict[str, int]:
            for name in names:
                self.counts[name] = self.counts.get(name, 0) + 1
            return self.counts

    one, other = (run(Tally(), encode_call(Tally.count, names)) for names in (["a", "b"], ["b", "a"]))
    assert one == other


def test_a_raw_machine_needs_its_five_methods() -> None:
    class Bare(Machine):
        def capture(self) -> object:
            return b""

        def write(self, view: Any) -> Iterator[bytes]:
            return iter(())

        def restore(self, chunks: Iterable[bytes], version: int) -> None:
            list(chunks)

    assert Bare().method_of(b"\x91\xa3any") == "Bare.any"
    assert Bare().method_of(b"?") == "Bare"
    assert Bare().apply(b"", Context(group=META_GROUP)) == NOT_FITTING
    assert (Bare().check(b"\x91\xa3any") or "").endswith("it has: none")
