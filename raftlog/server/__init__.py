"""A node behind a port: `Server` for any asyncio program, `run` for a process of its own.

Start with `server`; `options` is what it is told, `rpc` and `health` are its gRPC ends, `process` is what a process
adds: signals, the log on standard error, an exit code.
"""

from raftlog.server.address import Address, BadAddress
from raftlog.server.machine_spec import BadMachine, load_machine
from raftlog.server.options import BadOptions, ServeOptions
from raftlog.server.server import CannotServe, Server

__all__ = [
    "Address",
    "BadAddress",
    "BadMachine",
    "BadOptions",
    "CannotServe",
    "ServeOptions",
    "Server",
    "load_machine",
]
