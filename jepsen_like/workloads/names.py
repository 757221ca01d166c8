"""Every workload by its name on the command line."""

from collections.abc import Callable, Mapping

from jepsen_like.workloads.appends import Appends
from jepsen_like.workloads.banks import Banks
from jepsen_like.workloads.counters import Counters
from jepsen_like.workloads.locks import FencedLocks
from jepsen_like.workloads.queues import Queues
from jepsen_like.workloads.registers import Registers
from jepsen_like.workloads.sets import Sets
from jepsen_like.workloads.workload import Workload

WORKLOADS: Mapping[str, Callable[[], Workload]] = {
    "register": Registers,
    "set": Sets,
    "list-append": Appends,
    "bank": Banks,
    "lock": FencedLocks,
    "queue": Queues,
    "counter": Counters,
}
