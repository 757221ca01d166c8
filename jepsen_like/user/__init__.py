"""The laboratory for users: their own machines on simulated clusters. Take the names from `jepsen_like` itself."""
