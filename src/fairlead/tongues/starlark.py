"""Starlark: Python's syntax without the world. Text in, values out, with the place of whatever goes wrong."""
