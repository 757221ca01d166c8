"""Backups: the state of a live cluster in one file, and a new cluster made of it.

Start with `format`: what is in the file. `asking` has a node take a snapshot, `taking` fetches the snapshots of a
cluster into a file, `checking` reads one, `restoring` makes a node's directory of it.
"""
