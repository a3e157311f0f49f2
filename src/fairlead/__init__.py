"""fairlead: the whole cloud-native platform in one Python program.

Rooms and floors are described in ARCHITECTURE.md; import-linter holds them. This module must never import a room.
"""

__version__ = "0.1.0"
