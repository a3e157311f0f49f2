"""What should be and what is, in; an ordered plan of changes, health, inventory and what to prune, out.

Pure: the reactor reads the cluster, carries the plan out and writes records. Must never decide by what time it is or by what it
cannot see: time and objects are handed in.
"""
