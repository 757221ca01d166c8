"""`python -m bench.profiled FILE MODULE ARGUMENT...` runs a module with its main thread under cProfile.

The clock is the thread's own processor time, so that waiting for messages and disks counts nothing.
"""

import cProfile
import runpy
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def profiled(file: str) -> Iterator[None]:
    """Profile what runs inside; the statistics go to `file`, also when it ends with an exception."""
    profile = cProfile.Profile(time.thread_time)
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        profile.dump_stats(file)


if __name__ == "__main__":
    where, module = sys.argv[1:3]
    del sys.argv[1:3]
    with profiled(where):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
