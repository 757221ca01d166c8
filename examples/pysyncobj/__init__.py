"""The runner of `python -m jepsen_like real` pointed at PySyncObj; README.md says how, and what it showed."""
