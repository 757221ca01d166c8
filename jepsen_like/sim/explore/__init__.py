"""Every behaviour of a few nodes within stated bounds, breadth first, by the core's real code."""
