"""In-memory twins of the ports, virtual time, and a simulated network: whole nodes in one process under one seed."""
