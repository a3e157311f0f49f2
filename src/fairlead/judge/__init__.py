"""Judges: a resource or a request, and policies, give a verdict, findings and changes.

Pure: time, answers and the view of what is there are handed in. What one resource shows alone is judged here; what needs
several to be seen is `diagnose`'s.
"""
