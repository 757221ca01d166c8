"""What a node offers to clients and operators: frames and unary calls in, requests to the node out."""

from raftlog.service.admin import (
    Administration,
    AdminService,
    AlreadyInitialised,
    GroupStatus,
    NodeStatus,
    PeerProgress,
)
from raftlog.service.limits import Limits
from raftlog.service.requests import Requests
from raftlog.service.service import Service
from raftlog.service.snapshots import SnapshotService
from raftlog.service.unary import CallRefused, Code

__all__ = [
    "AdminService",
    "Administration",
    "AlreadyInitialised",
    "CallRefused",
    "Code",
    "GroupStatus",
    "Limits",
    "NodeStatus",
    "PeerProgress",
    "Requests",
    "Service",
    "SnapshotService",
]
