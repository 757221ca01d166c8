"""The `raftlog` command. Start with `app` for its frame, `exits` for its exit codes; docs/cli.md shows its use."""

import os

# gRPC's own log repeats on standard error, in its words, what we say in ours. It is asked for when grpc is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from raftlog.cli.app import main

__all__ = ["main"]
