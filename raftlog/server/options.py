"""What a server is told: where it keeps its log, where it listens, what it runs; checked before anything is touched."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raftlog.core.settings import Settings
from raftlog.failpoints import INERT, Failpoints
from raftlog.machine.contract import StateMachine
from raftlog.node.retention import Retention
from raftlog.server.address import Address
from raftlog.storage.disk import Disk
from raftlog.storage.identity import LONGEST_NAME
from raftlog.storage.local import LocalDisk
from raftlog.transport.tls import TlsFiles

_NAME = re.compile(r"\A[A-Za-z0-9._-]{1,64}\Z")

DiskFactory = Callable[[Path], Disk]
"""Opens (and locks) the data directory. Tests give disks that lose or refuse what a real one would not."""


class BadOptions(ValueError):
    """Options that do not go together, or that would not be safe; the sentence says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """One node.

    Invariant: unless `insecure` is set, a server without TLS listens on loopback only.
    """

    data_dir: Path
    """Belongs to this node alone; made when it is missing."""
    listen: Address = field(default=Address("127.0.0.1", 7001))
    """Port 0 takes a free one."""
    advertise: Address | None = None
    """Where clients and other nodes reach it; None: where it listens."""
    routes: Mapping[str, str] = field(default_factory=dict)
    """`host:port` to dial in place of one that another node advertises: the near end of a tunnel or a proxy."""
    name: str = ""
    """For people; empty: the data directory's name."""
    machine: type[StateMachine]
    tls: TlsFiles | None = None
    insecure: bool = False
    """Allow listening beyond loopback without TLS."""
    settings: Settings = field(default_factory=Settings)
    retention: Retention = field(default_factory=Retention)
    """When a snapshot is due, and what of the log is kept behind it."""
    drain_seconds: float = 5.0
    """How long a stop waits for what is in flight."""
    disk_factory: DiskFactory = LocalDisk
    failpoints: Failpoints = INERT
    """For tests: where this node is to crash, wait or fail. Never set by anything that comes over the network."""

    def __post_init__(self) -> None:
        if self.tls is None and not self.insecure and not self.listen.loopback:
            raise BadOptions(
                f"listening at {self.listen} without TLS would let anyone on the network read and write: give "
                "--tls-ca, --tls-cert and --tls-key, or --insecure if the network is trusted"
            )
        if self.listen.wildcard and self.advertise is None:
            raise BadOptions(
                f"nobody can dial {self.listen}: say with --advertise where clients and other nodes reach this node"
            )
        if self.advertise is not None and (self.advertise.wildcard or self.advertise.port == 0):
            raise BadOptions(f"nobody can dial {self.advertise}: advertise an address that others reach")
        if len(self.machine.name.encode()) > LONGEST_NAME:
            raise BadOptions(
                f"the machine's name {self.machine.name[:40]}... is longer than {LONGEST_NAME} bytes: shorten it"
            )
        if not _NAME.match(self.display_name):
            raise BadOptions(
                f"the name {self.display_name!r} is not usable: take 1 to 64 letters, digits, dots, dashes, underscores"
            )

    @property
    def display_name(self) -> str:
        """The node's name."""
        return self.name or self.data_dir.resolve().name
