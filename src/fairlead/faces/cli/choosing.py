"""Which findings a person asked for: kinds and names as kubectl takes them, a namespace, labels, how grave they are.

Chooses among findings and nothing else: everything is examined whatever is asked, as a cause may lie elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.faces.cli.problems import Problem
from fairlead.tongues.paths import mapping, mappings, strings, text
from fairlead.words import Finding, Ref, Severity, Snapshot

if TYPE_CHECKING:
    from fairlead.tongues.selectors import Expr

SEVERITIES = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One kind that was asked for, and a name of it or "" for all."""

    group: str
    kind: str
    name: str = ""

    def fits(self, ref: Ref) -> bool:
        """Say whether the object is one of these."""
        return (ref.group, ref.kind) == (self.group, self.kind) and self.name in {"", ref.name}

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for; the empty one is everything."""

    kinds: Sequence[Wanted] = ()
    namespace: str = ""
    selector: Expr | None = None
    severity: Severity = Severity.INFO

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return bool(self.kinds or self.selector or self.namespace or self.severity != Severity.INFO)

    def takes(self, finding: Finding, view: Snapshot) -> bool:
        """Say whether the finding concerns what was asked for, by its subject or a symptom."""
        if SEVERITIES.index(finding.severity) > SEVERITIES.index(self.severity):
            return False
        return any(
            self._concerns(ref, view) for ref in (finding.subject, *(one.subject for one in finding.symptoms))
        )

    def _concerns(self, ref: Ref, view: Snapshot) -> bool:
        if self.kinds and not any(
            one.fits(whose) for whose in (ref, *owners_of(view, ref)) for one in self.kinds
        ):
            return False
        if self.namespace and ref.namespace not in {self.namespace, ""}:
            return False
        if self.selector is None:
            return True
        found = view.get(ref.group, ref.kind, ref.namespace, ref.name)
        return found is not None and self.selector.matches(strings(found, "metadata", "labels"))

    def absent(self, view: Snapshot, findings: Iterable[Finding]) -> list[Wanted]:
        """Return what was asked for by name and is neither there nor spoken of."""
        spoken = {
            ref for one in findings for ref in (one.subject, *(symptom.subject for symptom in one.symptoms))
        }
        return [
            one
            for one in self.kinds
            if one.name
            and not any(one.fits(ref) for ref in spoken)
            and not any(
                text(item, "metadata", "name") == one.name
                and self.namespace in {"", text(item, "metadata", "namespace")}
                for item in view.list(one.group, one.kind)
            )
        ]


def choose(
    words: Sequence[str],
    view: Snapshot,
    *,
    namespace: str = "",
    labels: str = "",
    severity: str = "",
) -> Choice:
    """Return what the words and options ask for. Raises Problem for a kind that nobody knows and a selector that is none."""
    from fairlead.tongues.selectors import parse

    try:
        selector = parse(labels) if labels else None
    except ValueError as error:
        raise Problem(f"-l {labels}: {error}", code=2) from error
    return Choice(
        kinds=list(_wanted(words, _Names(view))) if words else (),
        namespace=namespace,
        selector=selector,
        severity=Severity(severity) if severity else Severity.INFO,
    )


def _wanted(words: Sequence[str], names: _Names) -> Iterable[Wanted]:
    """Yield what `deploy,svc`, `deploy/web svc/api` or `deploy web api` ask for."""
    if any("/" in word for word in words):
        for word in words:
            sort, slash, name = word.partition("/")
            if not slash or not sort or not name or "/" in name:
                raise Problem(
                    f"{word} is no KIND/NAME", "either kinds (deploy,svc), or KIND/NAME each time", code=2
                )
            for group, kind in names.find(sort):
                yield Wanted(group, kind, name)
        return
    sorts, *rest = words
    for sort in sorts.split(","):
        for group, kind in names.find(sort):
            for name in rest or [""]:
                yield Wanted(group, kind, name)


class _Names:
    """The kinds by everything that they are called."""

    def __init__(self, view: Snapshot) -> None:
        from fairlead.keep.kinds import Catalogue
        from fairlead.reactor.kindnames import guess

        self._kinds: dict[str, dict[tuple[str, str], None]] = {}
        for one in Catalogue().all():
            if one.stored:
                called = (one.plural, one.singular, *one.short_names)
                self._add(one.group, one.kind, called, one.categories)
        for definition in view.list("apiextensions.k8s.io", "CustomResourceDefinition"):
            called_so = mapping(definition, "spec", "names")
            shorts = called_so.get("shortNames")
            called = (
                text(called_so, "plural"),
                text(called_so, "singular"),
                *(shorts if isinstance(shorts, list) else ()),
            )
            self._add(text(definition, "spec", "group"), text(called_so, "kind"), map(str, called))
        for group, kind in view.kinds():
            self._add(group, kind, (guess(kind), kind.lower()))

    def _add(self, group: str, kind: str, called: Iterable[str], categories: Sequence[str] = ()) -> None:
        for name in {kind.lower(), *called} - {""}:
            self._kinds.setdefault(name, {})[group, kind] = None
            self._kinds.setdefault(f"{name}.{group}", {})[group, kind] = None
        for name in categories:
            self._kinds.setdefault(name, {})[group, kind] = None

    def find(self, word: str) -> Iterable[tuple[str, str]]:
        """Return the (group, kind) that a word such as `deploy`, `Deployment` or `deployments.apps` means. Raises Problem."""
        found = self._kinds.get(word.lower())
        if found:
            return found
        from fairlead.diagnose.likening import nearest

        near = nearest(word.lower(), self._kinds)
        raise Problem(
            f"there is no kind {word!r} here",
            f"is {near} meant?" if near else "kinds are named as kubectl has them: deploy,svc or deploy/web",
            code=2,
        )


def owners_of(view: Snapshot, ref: Ref) -> Iterable[Ref]:
    """Yield the controllers above an object, nearest first."""
    item = view.get(ref.group, ref.kind, ref.namespace, ref.name)
    for _ in range(8):
        owner = next(
            (
                one
                for _, one in mappings(item, "metadata", "ownerReferences")
                if one.get("controller") is True
            ),
            None,
        )
        if owner is None:
            return
        above = Ref(
            text(owner, "apiVersion").rpartition("/")[0],
            text(owner, "kind"),
            ref.namespace,
            text(owner, "name"),
        )
        yield above
        item = view.get(above.group, above.kind, above.namespace, above.name)


def kind_named(word: str) -> str:
    """Return the kind that a word such as `deploy` means, or the word itself where it is of nobody's naming."""
    try:
        found = list(_Names(Snapshot()).find(word))
    except Problem:
        return word
    return found[0][1] if len({kind for _, kind in found}) == 1 else word
