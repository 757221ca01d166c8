"""One log, kept identical and durable on several machines, and the programs that read it."""

__version__ = "0.1.0"
