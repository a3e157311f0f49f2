"""What every reader of policies needs: findings for what is unsupported or wrong in a document.

Words only; reading itself is the dialects' work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fairlead.words import Finding, Page, Ref, Resource, Severity, Where


@dataclass(frozen=True, slots=True)
class Source:
    """One document of a policy format. `locate` gives the place (file, line) of a path in it, such as `.spec.rules[0]`."""

    content: Resource
    locate: Callable[[str], Where] = lambda path: Where(path=path)

    @property
    def ref(self) -> Ref:
        """The object's name; what in it is of the wrong type counts as absent."""
        meta = self.content.get("metadata")
        named = meta if isinstance(meta, dict) else {}
        return Ref.of(
            {
                **{key: _text(self.content.get(key)) for key in ("apiVersion", "kind")},
                "metadata": {
                    key: _text(named.get(key)) for key in ("name", "generateName", "namespace", "uid")
                },
            }
        )

    def page(self) -> Page:
        """Return a cursor over the document, with apiVersion, kind and status taken."""
        page = Page(self.content, Where(self.locate("").file))
        for key in ("apiVersion", "kind", "status"):
            page.take(key)
        return page


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def unsupported(page: Page, source: Source) -> list[Finding]:
    """Return a Finding for each field of the document that nobody took."""
    return [
        Finding(
            rule="policy.unsupported",
            severity=Severity.WARNING,
            subject=source.ref,
            message=f"{place.path} is not supported: the policy is judged as if it were not there",
            where=source.locate(place.path),
        )
        for place in page.left()
    ]


def broken(source: Source, path: str, message: str) -> Finding:
    """Return the Finding that a policy, or a part of one, cannot be used as it is written."""
    return Finding(
        rule="policy.broken",
        severity=Severity.CRITICAL,
        subject=source.ref,
        message=message,
        where=source.locate(path),
    )
