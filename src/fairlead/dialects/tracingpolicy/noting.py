"""How the readers of this dialect note what is wrong, lost or merely different: Findings about one policy, each with its path.

It judges nothing; a value of the wrong type is noted and counts as absent.
"""

from __future__ import annotations

from fairlead.words import Finding, Page, Ref, Severity, Where


class Notes:
    """The findings about one policy. `faults` are those over which a part of the policy was left out."""

    def __init__(self, ref: Ref) -> None:
        self.ref = ref
        self.findings: list[Finding] = []
        self.faults: list[Finding] = []

    def _add(self, rule: str, severity: Severity, where: Where, message: str) -> Finding:
        finding = Finding(
            rule=f"tracingpolicy.{rule}", severity=severity, subject=self.ref, message=message, where=where
        )
        self.findings.append(finding)
        return finding

    def wrong(self, where: Where, message: str) -> None:
        """Note what Tetragon itself would refuse."""
        self.faults.append(self._add("invalid", Severity.WARNING, where, message))

    def odd(self, where: Where, message: str) -> None:
        """Note what Tetragon itself would refuse, and what can be left out without hitting anybody."""
        self._add("invalid", Severity.WARNING, where, message)

    def unable(self, where: Where, message: str) -> None:
        """Note what is right, and not possible here, so that a part of the policy was left out."""
        self.faults.append(self._add("unsupported", Severity.WARNING, where, message))

    def lost(self, where: Where, message: str) -> None:
        """Note what is missing in events, or is done without, while the rest goes on."""
        self._add("lost", Severity.WARNING, where, message)

    def refused(self, where: Where, message: str) -> None:
        """Note an action that will not be carried out; the probe goes on in monitoring."""
        self._add("refused", Severity.WARNING, where, message)

    def told(self, where: Where, message: str) -> None:
        """Note what differs and costs nothing."""
        self._add("note", Severity.INFO, where, message)

    def unknown(self, where: Where) -> None:
        """Note a field that nobody took."""
        self._add(
            "unknown",
            Severity.WARNING,
            where,
            "there is no such field, or it has a wrong type: it is not used",
        )

    def text(self, page: Page, key: str) -> str:
        """Return the text under the key, "" where there is none."""
        value = page.take(key, "")
        if isinstance(value, str):
            return value
        self.wrong(_below(page, key), f"{key} must be a text")
        return ""

    def flag(self, page: Page, key: str, default: bool = False) -> bool:
        """Return the boolean under the key."""
        value = page.take(key, default)
        if isinstance(value, bool):
            return value
        self.wrong(_below(page, key), f"{key} must be true or false")
        return default

    def number(self, page: Page, key: str, default: int = 0, least: int = 0) -> int:
        """Return the whole number under the key."""
        value = page.take(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 64:
            return value
        self.wrong(_below(page, key), f"{key} must be a whole number" + (" from 0" if least == 0 else ""))
        return default

    def numbers(self, page: Page, key: str) -> tuple[int, ...]:
        """Return the whole numbers under the key."""
        value = page.take(key, [])
        if isinstance(value, list) and all(
            isinstance(one, int) and not isinstance(one, bool) for one in value
        ):
            return tuple(value)
        self.wrong(_below(page, key), f"{key} must be a list of whole numbers")
        return ()

    def values(self, page: Page, key: str = "values") -> tuple[str, ...]:
        """Return the texts under the key; plain numbers count as texts, as YAML reads them unquoted."""
        value = page.take(key, [])
        if isinstance(value, list) and all(
            isinstance(one, str | int) and not isinstance(one, bool) for one in value
        ):
            return tuple(str(one) for one in value)
        self.wrong(_below(page, key), f"{key} must be a list of texts")
        return ()


def _below(page: Page, key: str) -> Where:
    return Where(page.where.file, page.where.line, f"{page.where.path}.{key}")
