"""`python -m raftlog.replay`: started by a node, with a job on standard input; not for people."""

from raftlog.replay.worker import main

main()
