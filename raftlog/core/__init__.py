"""The consensus algorithm as a pure function of its inputs.

Nothing in this package does I/O, reads a clock, draws from a global generator, starts a thread, awaits or logs.
A command's way through it: `Raft.propose` seals it into an `Entry` of the leader's `Log`; the next `Ready` names the
entry to persist and the `AppendRequest`s to send; followers step those, persist, and answer `AppendAccepted`; once a
majority's durable match covers the entry, the leader commits it and `Ready.apply` names it for the state machine.

Read `raft.py` for the inputs, `ready.py` for the outputs, `roles/` for the three roles, and `log.py`, `progress.py`,
`reads.py` for what they own.
"""
