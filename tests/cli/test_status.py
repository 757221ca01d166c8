"""The table of `raftlog status`: what is wrong with a node stands below it, in words."""

from io import StringIO

from rich.console import Console

from raftlog.admin import StatusReply, Unreachable
from raftlog.cli.status import Answers, as_table


def shown(answers: Answers) -> list[str]:
    console = Console(file=StringIO(), width=200)
    with console.capture() as capture:
        console.print(as_table(answers))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_what_is_wrong_with_a_node_is_said_below_the_table() -> None:
    lines = shown(
        {
            "a:1": StatusReply(node_id=1, name="n1", client_address="a:1", impairments=["its disk is full"]),
            "b:1": StatusReply(node_id=2, name="n2", client_address="b:1"),
            "c:1": Unreachable("c:1", "Connection refused"),
        }
    )
    assert len(lines) == 1 + 3 + 2
    assert lines[-2:] == ["n1: its disk is full", "no node answers at c:1: Connection refused"]
