"""Builds that are known to be wrong, made of the right one by taking something out: a harness must catch each of them.

They exist in the process of a node under test, or in the clients, that are told to be so, and nowhere else.
"""

from collections.abc import Callable, Mapping
from typing import Any

from raftlog.core.reads import Reads, Round
from raftlog.core.roles.leader import Leader


def _unproven_reads() -> None:
    """A leader answers reads without asking a quorum, and stays in office without one: what etcd 0.4.1 did."""
    confirmed: Callable[..., list[Round]] = Reads.confirmed

    def all_of(self: Reads, agrees: Callable[[int], bool]) -> list[Round]:
        return confirmed(self, lambda number: True)

    def always(self: Leader, node: int) -> bool:
        return True

    _replace(Reads, "confirmed", all_of)
    _replace(Leader, "_in_contact", always)


def _replace(owner: type, name: str, by: Callable[..., Any]) -> None:
    assert callable(getattr(owner, name, None)), f"{owner.__name__} has no {name} any more: mend this build"
    setattr(owner, name, by)


NODES: Mapping[str, Callable[[], None]] = {"unproven-reads": _unproven_reads}
"""What a node process does to itself before it starts."""
DISKS: Mapping[str, str] = {"no-sync": "unsynced"}
"""The disks that nodes are given."""
CLIENTS = ("no-session",)
"""Clients without a session, which send again what nobody answered."""
BUILDS = (*NODES, *DISKS, *CLIENTS)
"""Every broken build by its name."""
