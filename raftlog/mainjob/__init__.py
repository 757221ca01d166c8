"""The main job: three nodes index the running Python's own files, lose their leader, and lose no write.

`python -m raftlog.mainjob` runs it. Read `job.py` for the story, `corpus.py` for what is written, `ledger.py` for the
account that is kept of every write, `verdict.py` for what counts as success.
"""
