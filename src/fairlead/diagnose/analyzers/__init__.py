"""What is asked of objects: one module a field, each with tables of (kind, function) that diagnose/examining.py joins.

UNITS tell what is broken or will be, ADVICE what could be better, NEEDS what is worth fetching. They read the world through the Inventory
alone, and each other only for what they share.
"""
