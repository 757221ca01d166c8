"""The middle of the story: the leader's process is killed, another node leads, the killed one comes back."""

import asyncio
from collections.abc import Awaitable, Callable

from raftlog.clock import Clock
from raftlog.core.ids import Micros, Term
from raftlog.mainjob.nodes import Nodes, View
from raftlog.mainjob.scene import Scene
from raftlog.mainjob.summary import Kill

_POLL = 0.05
"""Seconds between two looks at the nodes; they are other processes and give no event."""


class Watch:
    """Knows who leads, from looking several times a second, and says so when it changes."""

    def __init__(self, nodes: Nodes, scene: Scene) -> None:
        self._nodes = nodes
        self._scene = scene
        self.leader = ""
        """The last one seen; empty: none yet."""
        self.term: Term = 0
        self.views: dict[str, View] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_POLL)

    async def look(self) -> None:
        """Ask every node once."""
        self.views = await self._nodes.views()
        leading = [(view.term, name) for name, view in self.views.items() if view.leads]
        term, leader = max(leading, default=(self.term, ""))
        self._scene.lead(leader, term)
        if leader and (leader, term) != (self.leader, self.term):
            self._scene.say(f"{leader} leads term {term}")
            self.leader, self.term = leader, term

    async def until(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until what is seen fulfils a condition.

        Raises:
            TimeoutError: it did not within `seconds`; the text says what.
        """
        try:
            async with asyncio.timeout(seconds):
                while not holds():  # noqa: ASYNC110 - the watch looks at other processes, which give no event
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}") from None


class FailOverWatch:
    """Kills the leader when told, and follows what comes of it."""

    def __init__(self, nodes: Nodes, watch: Watch, scene: Scene, clock: Clock, *, patience: float) -> None:
        self._nodes = nodes
        self._watch = watch
        self._scene = scene
        self._clock = clock
        self._patience = patience
        self._resumed = asyncio.Event()
        self._struck = asyncio.Event()
        self.kill: Kill | None = None
        self.killed_at: Micros = 0
        self.successor = ""
        self.successor_term: Term = 0
        self.rejoined: Micros | None = None

    def strike(self, acknowledged: int) -> None:
        """SIGKILL the leader's process, now. What it had acknowledged by then must never be lost."""
        leader = self._watch.leader
        assert leader, "nobody has led yet, so nobody acknowledged anything"
        self.killed_at = self._clock.monotonic()
        pid = self._nodes.kill(leader)
        self.kill = Kill(node=leader, pid=pid, acknowledged=acknowledged, term=self._watch.term)
        self._scene.say(
            f"SIGKILL to {leader} (pid {pid}), which led term {self._watch.term}; writing goes on"
        )
        self._struck.set()

    async def follow(self, resumed: Callable[[], Awaitable[object]]) -> None:
        """From the kill to the return of the killed node; `resumed` waits for the first write after the kill."""
        await self._struck.wait()
        kill = self.kill
        assert kill is not None, "struck without a kill"
        await self._watch.until(
            lambda: self._watch.leader != "" and self._watch.term > kill.term,
            "another leader",
            self._patience,
        )
        self.successor, self.successor_term = self._watch.leader, self._watch.term
        await resumed()
        started = self._clock.monotonic()
        await self._nodes.start(kill.node)
        self._scene.say(f"{kill.node} is started again on its own data")
        await self._watch.until(lambda: self._is_back(kill.node), f"{kill.node} to catch up", self._patience)
        self.rejoined = self._clock.monotonic() - started
        self._scene.say(f"{kill.node} has caught up after {self.rejoined / 1e6:.1f} s")

    def _is_back(self, name: str) -> bool:
        """Whether a node has applied what the leader had committed when both were last asked."""
        views = self._watch.views
        leader = views.get(self._watch.leader)
        own = views.get(name)
        return leader is not None and own is not None and 0 < leader.committed <= own.applied
