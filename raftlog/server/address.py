"""`host:port`, taken apart and checked before a socket or a resolver sees it."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Self

_SHAPE = re.compile(r"\A(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})\Z")


class BadAddress(ValueError):
    """Text that is no `host:port`."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens. `str()` gives the form gRPC takes; an IPv6 host is written in brackets there."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port` or `[ipv6]:port`.

        Raises:
            BadAddress: it is neither.
        """
        found = _SHAPE.match(text)
        if found is None or int(found["port"]) > 65_535:
            raise BadAddress(f"{text!r} is no address: write host:port, such as 127.0.0.1:7001 or [::1]:7001")
        return cls(found["ipv6"] or found["host"], int(found["port"]))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it. A name is trusted to be `localhost` only, whatever it resolves to."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def wildcard(self) -> bool:
        """Whether it stands for every interface, so that nobody can dial it."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False


def why_not_bound(address: Address) -> str:
    """What the operating system says about listening at `address`, after something else failed to without a reason."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        return f"the host is unknown ({error.strerror})"
    family, kind, protocol, _, where = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
            probe.listen()
        except OSError as error:
            return error.strerror or str(error)
    return "no reason is known"
