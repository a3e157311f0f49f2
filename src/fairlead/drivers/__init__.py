"""The only code that touches the world: one module or folder per outside thing.

A driver holds no rules: it does what it is told and reports what it sees.
"""
