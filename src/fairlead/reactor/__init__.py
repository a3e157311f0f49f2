"""Turns events into changes: one file per loop, the only place where engines meet drivers. It holds no rules of its own."""
