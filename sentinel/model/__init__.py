"""Frozen values and pure transitions: what a task, a worker, a session and a lock are. No I/O."""
