"""Reading through one node means that node: a hint to another is not followed."""

import asyncio

import pytest

from raftlog.mainjob.replicated import Pinned
from raftlog.transport.link import Link, LinkBroken


class Asked:
    """A dialer that remembers."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    async def dial(self, address: str) -> Link:
        self.addresses.append(address)
        raise LinkBroken("nobody is there")

    async def close(self) -> None:
        self.addresses.append("closed")


def test_a_pinned_dialer_reaches_its_one_address_only() -> None:
    async def story() -> list[str]:
        asked = Asked()
        pinned = Pinned(asked, "n1:1")
        with pytest.raises(LinkBroken, match="nobody"):
            await pinned.dial("n1:1")
        with pytest.raises(LinkBroken, match="n2:1 is not asked"):
            await pinned.dial("n2:1")
        await pinned.close()
        return asked.addresses

    assert asyncio.run(story()) == ["n1:1", "closed"]
