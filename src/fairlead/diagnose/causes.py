"""Facts, what explains what, and the few roots that explain everything.

A Fact is something that is not as it should be, about one object. It names the facts that would explain it, if they hold;
a fact that nothing explains is a root. Roots become Findings; what they explain hangs under them as symptoms.

    ConfigMap absent  <-  Pod cannot start  <-  Deployment has no ready pods
                                            <-  Service has no endpoints  <-  Ingress leads nowhere

Explanations are alternatives: one that holds is enough. Nothing here knows any rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from fairlead.words import Confidence, Evidence, Finding, Fix, Ref, Severity, Symptom, Where

Key: TypeAlias = tuple[str, Ref, str]
"""Names a fact: its rule, its subject, and a detail that tells apart several of one rule about one subject."""

_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
_EVIDENCE_LIMIT = 8
_NOWHERE = Where()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that is wrong. `because` holds Keys of facts, or Refs for any other fact about that object but notes (info).

    `weak` marks what is normal for a while and is worth a word only as a symptom: it never becomes a root.
    `blame` is the object that a Finding should name instead of the subject: the only one that refers to what is absent.
    """

    rule: str
    subject: Ref
    message: str
    detail: str = ""
    severity: Severity = Severity.CRITICAL
    cause: str = ""
    evidence: tuple[Evidence, ...] = ()
    fixes: tuple[Fix, ...] = ()
    where: Where = _NOWHERE
    confidence: Confidence = "certain"
    because: tuple[Key | Ref, ...] = ()
    weak: bool = False
    vague: bool = False
    """Whether any other symptom says more about the same object."""
    blame: Ref | None = None

    @property
    def key(self) -> Key:
        """The name of this fact."""
        return (self.rule, self.subject, self.detail)


def _merged(facts: Iterable[Fact]) -> dict[Key, Fact]:
    """Fold facts of the same name: what the first says, with the evidence and the explanations of all."""
    folded: dict[Key, Fact] = {}
    for fact in facts:
        first = folded.get(fact.key)
        if first is None:
            folded[fact.key] = fact
            continue
        folded[fact.key] = replace(
            first,
            severity=min(first.severity, fact.severity, key=_RANK.__getitem__),
            evidence=tuple(dict.fromkeys(first.evidence + fact.evidence)),
            because=tuple(dict.fromkeys(first.because + fact.because)),
            fixes=first.fixes or fact.fixes,
            weak=first.weak and fact.weak,
        )
    return folded


def _explanations(facts: dict[Key, Fact]) -> dict[Key, list[Key]]:
    """For each fact, those that explain it and hold."""
    about: dict[Ref, list[Key]] = {}
    for key, fact in facts.items():
        about.setdefault(fact.subject, []).append(key)
    explained: dict[Key, list[Key]] = {}
    for key, fact in facts.items():
        found: dict[Key, None] = {}
        for because in fact.because:
            if isinstance(because, Ref):  # a note about an object explains nothing, unless it is named
                said = (one for one in about.get(because, ()) if facts[one].severity is not Severity.INFO)
                found.update(dict.fromkeys(said))
            elif because in facts:
                found[because] = None
        found.pop(key, None)
        explained[key] = list(found)
    return explained


def roots(facts: Iterable[Fact]) -> list[Finding]:
    """Return one Finding per root, the gravest first, each with everything it explains as its symptoms."""
    known = _merged(facts)
    explanations = _explanations(known)
    effects: dict[Key, list[Key]] = {key: [] for key in known}
    for key, causes in explanations.items():
        for cause in causes:
            effects[cause].append(key)
    starts = [key for key in known if not explanations[key]]
    chains = {key: _reach(key, effects) for key in starts}
    reached = {key for chain in chains.values() for key in chain}
    # A ring of facts that explain each other has no start: take the gravest of it.
    for key in sorted(known, key=lambda key: _RANK[known[key].severity]):
        if key not in reached:
            chains[key] = _reach(key, effects)
            reached.update(chains[key])
    findings = [
        _finding(known[start], [known[key] for key in chain[1:]])
        for start, chain in chains.items()
        if not known[start].weak
    ]
    return sorted(findings, key=_order)


def _reach(start: Key, effects: dict[Key, list[Key]]) -> list[Key]:
    """Return the fact and everything it explains, nearest first."""
    seen = {start: None}
    queue = [start]
    for key in queue:
        for effect in effects[key]:
            if effect not in seen:
                seen[effect] = None
                queue.append(effect)
    return queue


def _finding(root: Fact, explained: Sequence[Fact]) -> Finding:
    subject = root.blame or root.subject
    evidence = list(root.evidence)
    heard: set[tuple[str, str]] = set()
    symptoms: dict[Ref, Symptom] = {}
    severity = root.severity
    for fact in sorted(explained, key=lambda fact: fact.vague):
        if _RANK[fact.severity] < _RANK[severity]:
            severity = fact.severity
        for item in fact.evidence:  # one witness of each sort is enough
            if (fact.rule, item.kind) not in heard:
                heard.add((fact.rule, item.kind))
                evidence.append(item)
        suffers = fact.blame or fact.subject
        if suffers != subject:
            symptoms.setdefault(suffers, Symptom(suffers, fact.message))
        elif not fact.evidence:
            evidence.append(Evidence("condition", subject, fact.message))
    return Finding(
        rule=root.rule,
        severity=severity,
        subject=subject,
        message=root.message,
        cause=root.cause,
        evidence=_telling(evidence),
        symptoms=tuple(symptoms.values()),
        fixes=root.fixes,
        where=root.where,
        confidence=root.confidence,
    )


def _telling(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return each text once (many pods say the same), up to a limit."""
    texts: dict[tuple[str, str], Evidence] = {}
    for item in evidence:
        texts.setdefault((item.kind, item.text), item)
    return tuple(texts.values())[:_EVIDENCE_LIMIT]


def _order(finding: Finding) -> tuple[int, str, str, str, str]:
    s = finding.subject
    return (_RANK[finding.severity], s.namespace, s.kind, s.name, finding.rule)
