"""What the command line says when it cannot go on: one line of what, one of what to do. Never a traceback."""

from __future__ import annotations


class Problem(Exception):
    """Ends the command. `hint` is a way forward; `code` the exit code."""

    def __init__(self, message: str, hint: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code
