"""The responder to fanotify's permission events: a process of its own. Its other half is drivers/kernel/guarding.py.

It must import little and nothing late: whatever it would open while files are guarded may be one of them.
"""
