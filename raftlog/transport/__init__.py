"""Frames between nodes, and between clients and nodes: the ports, their gRPC adapters and the codec.

Between nodes: `port.py` is what a node sees, `frames.py` and `codec.py` what it sends. `handshake.py` decides who may
speak, alike for every transport. `grpc_peer.py` is the port over gRPC: `grpc_sender.py` dials, with `outbox.py`,
`backoff.py` and `limits.py`; `grpc_receiver.py` is dialed. `events.py` is what people hear of it.

`bulk.py` is the port for pieces of snapshots, `grpc_bulk.py` that port over gRPC.

For clients: `link.py` is the port, `client_frames.py` what is said over it, `grpc_link.py` the dialer's adapter.

Their in-memory twins, over a simulated network, are in `raftlog.testing`.
"""
