"""What clients do to a cluster while faults are done to it, and what they must see; one module for each."""
