"""Checkers of histories: what clients saw against what they were promised. Needs no other part of this project."""

from jepsen_like.check.history import (
    UNKNOWN,
    Event,
    EventType,
    History,
    Malformed,
    Operation,
    Unknown,
    Value,
)
from jepsen_like.check.jsonl import read_jsonl, write_jsonl
from jepsen_like.check.linearizable import Impossible, LegalPrefix, Linearizability, check_linearizable
from jepsen_like.check.model import ILLEGAL, Illegal, Model, SequentialModel, State
from jepsen_like.check.models import (
    MODELS,
    CasRegister,
    Counter,
    GrowSet,
    KeyValue,
    Misused,
    MultiRegister,
    Mutex,
    Queue,
    Register,
)
from jepsen_like.check.unreadable import Unreadable
from jepsen_like.check.verdict import Verdict

__all__ = [
    "ILLEGAL",
    "MODELS",
    "UNKNOWN",
    "CasRegister",
    "Counter",
    "Event",
    "EventType",
    "GrowSet",
    "History",
    "Illegal",
    "Impossible",
    "KeyValue",
    "LegalPrefix",
    "Linearizability",
    "Malformed",
    "Misused",
    "Model",
    "MultiRegister",
    "Mutex",
    "Operation",
    "Queue",
    "Register",
    "SequentialModel",
    "State",
    "Unknown",
    "Unreadable",
    "Value",
    "Verdict",
    "check_linearizable",
    "read_jsonl",
    "write_jsonl",
]
