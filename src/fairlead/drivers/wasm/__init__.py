"""WASI guests as containers: one confined worker process for each, without root and without a container runtime.

Says what is there and does what it is told; restarts, probes and order are decided above.
"""
