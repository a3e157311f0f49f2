"""The Model Context Protocol: the diagnosis for assistants, read-only unless somebody said otherwise.

`tools` are what an assistant may call, `serving` the two transports. The protocol itself is the mcp package's, an optional extra.
"""
