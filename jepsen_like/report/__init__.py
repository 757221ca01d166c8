"""What people see of runs: summaries, traces as text, timelines as HTML."""
