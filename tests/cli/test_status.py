"""What `raftlog status` makes of the answers: a table, what is wrong with single nodes, a verdict on all."""

from io import StringIO

from rich.console import Console

from raftlog.admin import GroupStatus, StatusReply, Unreachable
from raftlog.cli.status import Answers, as_table, verdict


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


def replica(node: int, machine: str = "KeyValue", *, applied: int = 9, digest: int = 5) -> StatusReply:
    group = GroupStatus(term=1, leader=1, voters=[1, 2], machine=machine, applied=applied, digest=digest)
    return StatusReply(node_id=node, cluster_id=7, groups=[group])


def test_replicas_that_must_be_equal_and_are_not() -> None:
    assert verdict({"a:1": replica(1), "b:1": replica(2)}) is None
    assert verdict({"a:1": replica(1), "b:1": replica(2, applied=8, digest=4)}) is None
    machines = verdict({"a:1": replica(1), "b:1": replica(2, "Counter")})
    assert machines is not None
    assert "different machines, Counter and KeyValue" in machines
    states = verdict({"a:1": replica(1), "b:1": replica(2, digest=6)})
    assert states is not None
    assert "applied the log up to 9 differ" in states
