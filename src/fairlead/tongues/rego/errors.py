"""How Rego fails: modules that are no good (found before anything runs) and evaluations that fail.

Codes and messages are OPA's, so that a user who knows the one recognises the other. Must never be raised for anything but
the text, the program or the evaluation itself.
"""

from __future__ import annotations

from collections.abc import Sequence


class BadModule(Exception):
    """A module (or query) that cannot be used: `code: message` at file, line and column (1-based; 0 when unknown)."""

    def __init__(
        self, message: str, file: str = "", line: int = 0, column: int = 0, code: str = "rego_parse_error"
    ) -> None:
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.code = code
        super().__init__(str(self))

    @property
    def errors(self) -> Sequence[BadModule]:
        """Every error there is: this one."""
        return (self,)

    def __str__(self) -> str:
        where = (
            f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        )
        return f"{where}{self.code}: {self.message}"


class BadModules(BadModule):
    """Several errors at once; the first one's place stands for all."""

    def __init__(self, errors: Sequence[BadModule]) -> None:
        self._errors = tuple(errors)
        first = self._errors[0]
        super().__init__(first.message, first.file, first.line, first.column, first.code)

    @property
    def errors(self) -> Sequence[BadModule]:
        """Every error, in order of their places."""
        return self._errors

    def __str__(self) -> str:
        if len(self._errors) == 1:
            return str(self._errors[0])
        return f"{len(self._errors)} errors occurred:\n" + "\n".join(map(str, self._errors))


class Failed(Exception):
    """An evaluation that failed, with OPA's code; `file:line: code: message` where the place is known."""

    def __init__(self, code: str, message: str, file: str = "", line: int = 0) -> None:
        self.code = code
        self.message = message
        self.file = file
        self.line = line
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else ""
        return f"{where}{self.code}: {self.message}"


class TooCostly(Failed):
    """An evaluation that was stopped because it took more steps than it may."""

    def __init__(self, steps: int) -> None:
        super().__init__("eval_cancel_error", f"stopped: the evaluation took more than {steps} steps")


class TooLarge(Failed):
    """A value has more parts than any honest one: a few lines of policy can describe one that fills every memory."""

    def __init__(self, most: int) -> None:
        super().__init__("eval_internal_error", f"a value has more than {most} parts")
