"""Which engine and which plugins rule files may ask for. Compares numbers; loads nothing."""

from __future__ import annotations

import re
from typing import NamedTuple

from fairlead.dialects.falco.documents import Item, Wrong, finding, unknown
from fairlead.words import Finding, Severity

_SEMVER = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(?:[-+][0-9A-Za-z.+-]*)?")


class Version(NamedTuple):
    """major.minor.patch."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def serves(self, wanted: Version) -> bool:
        """Return whether who has this version has what that one asks for: the same major, nothing older."""
        return self.major == wanted.major and self >= wanted


ENGINE = Version(0, 80, 0)
"""The version of Falco's engine up to which rules are taken: the language of 0.57 in full, and room for files that merely ask for more."""

PLUGINS = {name: Version(0, 99, 0) for name in ("container", "json", "k8saudit")}
"""Plugins of Falco whose fields are here."""


def parse(text: str) -> Version | None:
    """Return the version, None when the text is none."""
    found = _SEMVER.fullmatch(text)
    return Version(*(int(part) for part in found.groups())) if found else None


def engine(item: Item) -> None:
    """Read `required_engine_version`: an old number (13 is 0.13.0) or a version. Raises Wrong when this engine is too old."""
    text = item.text("required_engine_version")
    wanted = (
        Version(0, int(text.value), 0) if text.value.isascii() and text.value.isdigit() else parse(text.value)
    )
    if wanted is None:
        raise Wrong(
            f"Unable to parse engine version '{text.value}' as a semver string. Expected \"x.y.z\" semver format.",
            text.where,
        )
    if not ENGINE.serves(wanted):
        raise Wrong(f"Rules require engine version {wanted}, but engine version is {ENGINE}", text.where)


def plugins(item: Item, findings: list[Finding]) -> None:
    """Read `required_plugin_versions`: each entry or one of its alternatives must be here; what is not becomes a finding. Raises Wrong."""
    for entry in item.items("required_plugin_versions", "Value of required_plugin_versions") or []:
        wanted = [
            _one(entry),
            *(
                _one(other)
                for other in entry.items("alternatives", "Value of plugin version alternatives") or []
            ),
        ]
        names = [name for name, _ in wanted]
        if len(set(names)) < len(names):
            raise Wrong(
                f"Defined multiple alternative version requirements for plugin '{names[0]}'", entry.where
            )
        if not any(name in PLUGINS and PLUGINS[name].serves(version) for name, version in wanted):
            asked = " or ".join(f"{name} {version}" for name, version in wanted)
            findings.append(
                finding(
                    "plugin",
                    f"Plugin requirement not satisfied: {asked}",
                    entry.where,
                    severity=Severity.WARNING,
                )
            )
        findings.extend(unknown(where) for where in entry.left())


def _one(entry: Item) -> tuple[str, Version]:
    name, text = entry.text("name"), entry.text("version")
    version = parse(text.value)
    if version is None:
        raise Wrong(f"Invalid required version '{text.value}' for plugin '{name.value}'", text.where)
    return name.value, version
