"""One log, kept identical and durable on several machines, and the programs that read it.

To call a service: `Client`, `BlockingClient`, `Ok`, `Outcome`, `Level` (see docs/client.md).
To write a machine: `Machine`, `command`, `query`, `Context`, `MachineError` (see docs/machines.md).
To test one: `check_machine`.
"""

from raftlog.client import BlockingClient, Client, Level, Ok, Outcome
from raftlog.machine.calls import (
    AnswerGone,
    BadCommand,
    CallError,
    CallFailed,
    CallUnknown,
    MachineFault,
    OutOfOrder,
    SessionExpired,
    Skipped,
    decode_result,
    encode_call,
)
from raftlog.machine.check import CheckFailed, check_machine
from raftlog.machine.contract import Context, StateMachine
from raftlog.machine.errors import MachineError
from raftlog.machine.method import Method, command, query
from raftlog.machine.result import Kind, Result
from raftlog.machine.typed import Machine
from raftlog.machine.wire import MachineRefused

__all__ = [
    "AnswerGone",
    "BadCommand",
    "BlockingClient",
    "CallError",
    "CallFailed",
    "CallUnknown",
    "CheckFailed",
    "Client",
    "Context",
    "Kind",
    "Level",
    "Machine",
    "MachineError",
    "MachineFault",
    "MachineRefused",
    "Method",
    "Ok",
    "OutOfOrder",
    "Outcome",
    "Result",
    "SessionExpired",
    "Skipped",
    "StateMachine",
    "check_machine",
    "command",
    "decode_result",
    "encode_call",
    "query",
]

__version__ = "0.1.0"
