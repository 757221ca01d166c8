"""Frames between nodes, and between clients and nodes: the ports, their gRPC adapters and the codec."""
