"""Real processes over real sockets and real disks, and the faults done to them.

`cluster.Cluster` starts nodes and reaches them; `nemesis` does the faults of `jepsen_like.sim.faults` to it.
"""
