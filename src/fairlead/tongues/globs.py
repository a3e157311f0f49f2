"""Wildcards: `*` is any text, `?` any one character."""
