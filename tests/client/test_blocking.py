"""The blocking client: many threads, one loop thread, a clean end."""

import threading
from random import Random

import pytest

from raftlog.client import BlockingClient, Failed, Level, Ok
from raftlog.machine.result import Kind
from raftlog.transport.link import Link
from tests.client.cluster import Cluster, Register, Taken


class LocalDialer:
    """A cluster that lives on the client's own loop."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.closed = False

    async def dial(self, address: str) -> Link:
        """See `Dialer.dial`."""
        return await self.cluster.dial(address)

    async def close(self) -> None:
        """See `Dialer.close`."""
        await self.cluster.__aexit__()
        self.closed = True


class Dialers:
    """Keeps the dialer it made."""

    def __init__(self) -> None:
        self.made: list[LocalDialer] = []

    def __call__(self) -> LocalDialer:
        self.made.append(LocalDialer())
        return self.made[-1]


def test_every_method_blocks_until_its_outcome() -> None:
    dialers = Dialers()
    with BlockingClient(["a"], dialer=dialers, random=Random(1)) as client:
        place: int = client.call(Register.add, "x")
        assert place == 1
        assert client.outcome(Register.has, "x") == Ok(True)
        with pytest.raises(Taken):
            client.call(Register.add, "taken")
        assert client.call_many(Register.add, [("y",), ("z",)]) == [Ok(2), Ok(3)]
        assert client.options(level=Level.LOCAL).call(Register.count) == 3
        assert client.execute(Register.add.call.encode("w")).kind is Kind.OK
        assert client.read(Register.count.call.encode()).body == b"\x04"
    assert dialers.made[0].closed


def test_many_threads_share_one_client() -> None:
    threads = 8
    with BlockingClient(["a"], dialer=Dialers(), random=Random(1)) as client:
        places: list[int] = []

        def work(number: int) -> None:
            places.extend(client.call(Register.add, f"{number} {turn}") for turn in range(25))

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sorted(places) == list(range(1, threads * 25 + 1))


def test_it_says_how_to_use_it_before_and_after() -> None:
    client = BlockingClient(["a"], dialer=Dialers(), random=Random(1))
    with pytest.raises(RuntimeError, match="has not been entered"):
        client.call(Register.count)
    with client:
        assert client.call(Register.count) == 0
    with pytest.raises(RuntimeError, match="is closed"):
        client.call(Register.count)


def test_what_cannot_start_says_why_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with (
        pytest.raises(ValueError, match="at least one node"),
        BlockingClient([], dialer=Dialers(), random=Random(1)),
    ):
        pass
    assert threading.active_count() == before


def test_an_error_in_the_block_reaches_the_caller_as_it_is() -> None:
    with pytest.raises(Failed), BlockingClient(["nobody"], dialer=Dialers(), random=Random(1)) as client:
        client.options(deadline=0.05).call(Register.count)
