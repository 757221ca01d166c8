"""What a node may hold in memory, added up."""

from raftlog.core.settings import Settings
from raftlog.node.limits import Limits
from raftlog.service.limits import Limits as ServiceLimits
from raftlog.transport.limits import Limits as TransportLimits
from raftlog.transport.port import Lane

MEBI = 1 << 20


def test_all_queues_of_a_node_of_three_stay_under_a_stated_sum() -> None:
    transport, service = TransportLimits(), ServiceLimits()
    peers = 2
    group = Limits().total(Settings(), peers=peers)
    wire = peers * sum(transport.queue_bytes(lane) for lane in Lane)
    clients = 4 * (service.inflight_bytes + 2 * service.frame_bytes)
    assert group <= 112 * MEBI, "stated in ARCHITECTURE.md, limits: raise it there too"
    assert wire <= 48 * MEBI
    assert clients <= 4 * 24 * MEBI


def test_limits_nest() -> None:
    limits, settings, transport = Limits(), Settings(), TransportLimits()
    assert limits.entry_target <= settings.max_append
    assert limits.command < transport.frame_bytes
    assert settings.max_append < transport.frame_bytes
    assert limits.command <= ServiceLimits().command_bytes
