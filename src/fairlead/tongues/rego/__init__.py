"""Rego, v0 and v1: modules -> a compiled program; query(program, input, data). Knows nothing of who asks."""
