"""The state machine contract: commands, queries, time, sessions and snapshots."""
