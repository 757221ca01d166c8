"""The client service of a node: streams of frames and unary calls, over the Requests port."""

from raftlog.machine.typed import Machine
from raftlog.service.conversation import Conversation
from raftlog.service.limits import Limits
from raftlog.service.requests import Requests
from raftlog.service.unary import answer_call
from raftlog.transport.link import Link


class Service:
    """Serves any number of clients. It keeps nothing between them: all it knows is in the node and on their streams."""

    def __init__(
        self, requests: Requests, *, limits: Limits | None = None, machine: type[Machine] | None = None
    ) -> None:
        """`machine` is the class whose methods unary calls may name; without it they send encoded bodies."""
        self._requests = requests
        self._limits = limits or Limits()
        self._machine = machine

    async def serve_link(self, link: Link) -> None:
        """Serve one client's stream to its end, then close it.

        A client that goes away mid-call changes nothing for what it sent: that is decided and applied, and its answers
        are dropped. Cancel this to stop serving; the caller then ends the link.

        Raises:
            BadFrame: the client does not speak the protocol. End the link with INVALID_ARGUMENT and the sentence.
        """
        await Conversation(self._requests, link, self._limits).run()

    async def call(self, request: bytes) -> bytes:
        """Answer a pb.CallRequest with a pb.CallReply.

        When the caller goes away first, the command may still happen.

        Raises:
            CallRefused: the request makes no sense; nothing was done.
        """
        return await answer_call(self._requests, self._machine, self._limits, request)
