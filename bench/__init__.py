"""Benchmarks: the replicated log against a bare pipeline without Raft, and both against the machine's floor.

    workload.py    what is asked: one caller, many callers, bulk batches; the same for everything measured
    load.py        the load generator, a process of its own
    figures.py     what was measured, and the medians and ratios of it
    yardstick.py   the bare pipeline: yardstick_wire, _file, _machine, _node and _client are its parts
    cluster.py     three real nodes of raftlog and the real client
    floor.py       what the disk, gRPC and the codec cost alone
    profiling.py   where the time goes, per process
    report.py      the tables

Run `python -m bench --help`. No figure is a test: whatever the ratio, the exit code is 0.
"""
