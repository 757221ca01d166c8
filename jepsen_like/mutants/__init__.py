"""Bugs planted on purpose: whether the oracles see each of them, and how soon."""
