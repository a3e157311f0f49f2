"""What is true: Kubernetes API semantics over resources.

Validate, default, patch, apply, select, page, watch, collect. Pure: every write is given its time, its user and its
randomness, and hands back the log entries that a driver must make durable. Must never open, send, wait or look at a clock.
"""
