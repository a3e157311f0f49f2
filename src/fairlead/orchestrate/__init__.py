"""The built-in controllers and the scheduler, each a pure function: what is there -> changes.

Must never look at a clock, keep state between calls, or carry out a change itself.
"""
