"""Resources and events -> causes -> fixes.

What needs several resources to be seen is judged here. Absent facts are unknown, never wrong. Must never fetch, wait,
look at a clock or change anything: it declares what it needs and proposes changes.
"""
