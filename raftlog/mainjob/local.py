"""The main job's three processes, through `LocalCluster`."""

from raftlog.cluster import LocalCluster
from raftlog.mainjob.nodes import View


class LocalNodes:
    """Fulfils `Nodes` for a running `LocalCluster`."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster

    @property
    def addresses(self) -> dict[str, str]:
        """See `Nodes.addresses`."""
        return dict(zip(self._cluster.names, self._cluster.addresses, strict=True))

    async def views(self) -> dict[str, View]:
        """See `Nodes.views`."""
        found: dict[str, View] = {}
        for name, status in zip(self._cluster.names, await self._cluster.statuses(), strict=True):
            for group in status.groups if status is not None else ():
                if group.group == 0:
                    leads = group.role == "leader"
                    found[name] = View(leads, group.term, group.committed, group.applied, group.digest)
        return found

    def kill(self, name: str) -> int:
        """See `Nodes.kill`."""
        node = self._cluster.names.index(name)
        pid = self._cluster.pids[node]
        assert pid is not None, f"{name} was to be killed and is not running"
        self._cluster.kill(node)
        return pid

    async def start(self, name: str) -> None:
        """See `Nodes.start`."""
        await self._cluster.restart(self._cluster.names.index(name))
