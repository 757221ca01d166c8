"""The `raftlog` command. Start with `app` for its frame, `exits` for its exit codes; docs/cli.md shows its use."""

from raftlog.cli.app import main

__all__ = ["main"]
