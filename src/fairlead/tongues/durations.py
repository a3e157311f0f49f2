"""Durations as Go writes them (`1h30m`): text <-> nanoseconds."""
