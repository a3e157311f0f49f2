"""Continuous diagnosis and healing on a real cluster: what to apply so that it runs there."""
