"""The client: finds the leader, retries what a session makes safe, batches; asyncio, and blocking on top of it."""

from raftlog.client.blocking import BlockingClient
from raftlog.client.calls import Calls, Proxy
from raftlog.client.client import Client
from raftlog.client.limits import Limits
from raftlog.client.outcome import Failed, Ok, Outcome, Unknown
from raftlog.client.pipeline import Pipeline
from raftlog.transport.client_frames import Level

__all__ = [
    "BlockingClient",
    "Calls",
    "Client",
    "Failed",
    "Level",
    "Limits",
    "Ok",
    "Outcome",
    "Pipeline",
    "Proxy",
    "Unknown",
]
