"""Checkers of histories: what clients saw against what they were promised. Needs no other part of this project."""

from jepsen_like.check.bank import check_bank
from jepsen_like.check.counter import check_counter
from jepsen_like.check.edn import Keyword, edn, read_edn
from jepsen_like.check.fenced_lock import check_fenced_lock
from jepsen_like.check.finding import Anomaly, Finding
from jepsen_like.check.formats import FORMATS, read_edn_history, read_jepsen_log, read_kv_edn, write_edn
from jepsen_like.check.gathering import Counter, GrowSet, Queue
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
from jepsen_like.check.misused import Misused
from jepsen_like.check.model import ILLEGAL, Illegal, Model, SequentialModel, State
from jepsen_like.check.models import MODELS, CasRegister, KeyValue, MultiRegister, Mutex, Register
from jepsen_like.check.picture import picture
from jepsen_like.check.set_full import check_set_full
from jepsen_like.check.total_queue import check_total_queue
from jepsen_like.check.transactions import CONSISTENCY, check_list_append
from jepsen_like.check.unique_ids import check_unique_ids
from jepsen_like.check.unreadable import Unreadable
from jepsen_like.check.verdict import Verdict
from jepsen_like.check.watch import Batch, Change, Stream, check_watch

__all__ = [
    "CONSISTENCY",
    "FORMATS",
    "ILLEGAL",
    "MODELS",
    "UNKNOWN",
    "Anomaly",
    "Batch",
    "CasRegister",
    "Change",
    "Counter",
    "Event",
    "EventType",
    "Finding",
    "GrowSet",
    "History",
    "Illegal",
    "Impossible",
    "KeyValue",
    "Keyword",
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
    "Stream",
    "Unknown",
    "Unreadable",
    "Value",
    "Verdict",
    "check_bank",
    "check_counter",
    "check_fenced_lock",
    "check_linearizable",
    "check_list_append",
    "check_set_full",
    "check_total_queue",
    "check_unique_ids",
    "check_watch",
    "edn",
    "picture",
    "read_edn",
    "read_edn_history",
    "read_jepsen_log",
    "read_jsonl",
    "read_kv_edn",
    "write_edn",
    "write_jsonl",
]
