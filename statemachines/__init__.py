"""Ready-made programs on the log; they import only the public names of raftlog."""
