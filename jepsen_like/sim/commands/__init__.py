"""Subcommands over the simulator: campaigns, replays, shrinking, ledgers."""
