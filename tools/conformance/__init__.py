"""How much of other people's test suites holds here: one module a suite, each with `run(corpus) -> Rates`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Rates:
    """The result of one suite. `missed` maps a case's name to what was got and what was wanted; `skipped` to the reason."""

    suite: str
    passed: int = 0
    missed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The number of cases that count."""
        return self.passed + len(self.missed)

    @property
    def rate(self) -> float:
        """The share that passed, 0 to 1 (1 when there are no cases)."""
        return self.passed / self.total if self.total else 1.0
