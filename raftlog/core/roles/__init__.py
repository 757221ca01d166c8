"""Follower, candidate and leader: each owns its own fields and asks for a change of role by returning one."""
