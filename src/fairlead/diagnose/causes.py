"""Facts, what explains what, and the few roots that explain everything.

A Fact is something that is not as it should be, about one object. It names the facts that would explain it, if they hold.

    ConfigMap absent  <-  Pod cannot start  <-  Deployment has no ready pods
                                            <-  Service has no endpoints  <-  Ingress leads nowhere

The rules, by which the answer is the smallest set of roots:

1. Explanations are alternatives: one that holds is enough. A Key names one fact; a Ref names any other fact about that object, apart from
   notes (severity info), which explain only where they are named.
2. A fact that nothing explains is a root. Facts that explain each other in a ring have one root: the gravest, then the most certain of
   them; it is at most likely, since the ring does not say where it began. A root becomes one Finding.
3. A weak fact is normal for a while. It is never a root, and holds only as a symptom: what no root leads to is not told, and explains nothing.
4. A supposed fact was not seen: it is a guess at what several facts have in common (a registry or a name service that is down). It is
   believed only if it explains at least two facts that nothing else explains, directly or through other suppositions, or if something
   that holds explains it. Of several guesses the one that explains most comes first, then the nearest, then the most certain, until no two
   facts are left for one. Those that are not believed are forgotten.
5. What several roots explain hangs under the nearest of them, at equal distance under the most certain, then the gravest. There is a chain
   of explanations from the root to every symptom; each says which object it follows from.
6. A root is as grave as the gravest thing that hangs under it.
7. Facts of one name are one fact: its words are those of the gravest of them, its evidence and explanations those of all.

The order in which facts come decides nothing. Nothing here knows any rule by its name.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, TypeAlias

from fairlead.diagnose.hiding import visible
from fairlead.words import Confidence, Evidence, Finding, Fix, Ref, Severity, Symptom, Where

Key: TypeAlias = tuple[str, Ref, str]
"""Names a fact: its rule, its subject, and a detail that tells apart several of one rule about one subject."""

_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
_SURE: Mapping[Confidence, int] = {"certain": 0, "likely": 1, "possible": 2}
_EVIDENCE_LIMIT = 8
_SUPPORT = 2
"""So many facts that nothing else explains make a supposition believed."""
_NOWHERE = Where()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that is wrong. `because` holds Keys of facts, or Refs for any other fact about that object but notes (info).

    `weak` marks what is normal for a while and is worth a word only as a symptom: it never becomes a root.
    `supposed` marks what was not seen: it is believed only where it explains what nothing else does.
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
    supposed: bool = False

    @property
    def key(self) -> Key:
        """The name of this fact."""
        return (self.rule, self.subject, self.detail)

    @property
    def told_of(self) -> Ref:
        """The object that people are told of."""
        return self.blame or self.subject


def _precedence(fact: Fact) -> tuple[object, ...]:
    """Return what decides which of several facts of one name has the word."""
    texts = tuple((item.kind, item.text, str(item.subject), str(item.where)) for item in fact.evidence)
    return (
        _RANK[fact.severity], fact.supposed, fact.weak, fact.vague, not fact.fixes, _SURE[fact.confidence], fact.message, fact.cause,
        str(fact.where), str(fact.blame), texts, tuple(fix.title for fix in fact.fixes),
    )  # fmt: skip


def _folded(facts: Sequence[Fact]) -> Fact:
    """Return facts of one name as one."""
    if len(facts) == 1:
        return facts[0]
    facts = sorted(facts, key=_precedence)
    first = facts[0]
    return replace(
        first,
        confidence=min((one.confidence for one in facts), key=_SURE.__getitem__),
        evidence=tuple(dict.fromkeys(item for one in facts for item in one.evidence)),
        because=tuple(dict.fromkeys(cause for one in facts for cause in one.because)),
        fixes=next((one.fixes for one in facts if one.fixes), ()),
        weak=all(one.weak for one in facts),
        vague=all(one.vague for one in facts),
        supposed=all(one.supposed for one in facts),
        blame=first.blame if len({one.blame for one in facts}) == 1 else None,
    )


def _place(key: Key) -> tuple[str, str, str, str, str, str]:
    rule, ref, detail = key
    return (rule, ref.namespace, ref.kind, ref.name, detail, ref.group)


def roots(facts: Iterable[Fact]) -> list[Finding]:
    """Return one Finding per root, the gravest first, each with what hangs under it as its symptoms."""
    named: dict[Key, list[Fact]] = {}
    for fact in facts:
        named.setdefault(fact.key, []).append(fact)
    return sorted(_Web({key: _folded(same) for key, same in named.items()}).findings(), key=in_order)


Order: TypeAlias = tuple[int, str, str, str, str, str, tuple[str, ...]]


def in_order(finding: Finding) -> Order:
    """Return what findings are sorted by: the gravest first, then by what they are about, their rule, their place and their words."""
    s = finding.subject
    said = (finding.message, finding.cause, finding.confidence, *(one.text for one in finding.evidence))
    return (
        _RANK[finding.severity],
        s.namespace,
        s.kind,
        s.name,
        finding.rule,
        finding.where.path,
        (*said, *(f"{one.subject} {one.message}" for one in finding.symptoms)),
    )


class _Web:
    """Some facts and all explanations between them. Facts are numbered in the order of their names."""

    def __init__(self, facts: Mapping[Key, Fact]) -> None:
        keys = sorted(facts, key=_place)
        self._facts = [facts[key] for key in keys]
        numbers = {key: number for number, key in enumerate(keys)}
        about: dict[Ref, list[int]] = {}
        for number, fact in enumerate(self._facts):
            if fact.severity is not Severity.INFO:
                about.setdefault(fact.subject, []).append(number)
        self._causes: list[list[int]] = []
        self._effects: list[list[int]] = [[] for _ in keys]
        for number, fact in enumerate(self._facts):
            found: set[int] = set()
            for because in fact.because:
                if isinstance(because, Ref):
                    found.update(about.get(because, ()))
                elif because in numbers:
                    found.add(numbers[because])
            found.discard(number)
            self._causes.append(sorted(found))
            for cause in self._causes[-1]:
                self._effects[cause].append(number)
        self._holds = [not fact.supposed for fact in self._facts]

    def findings(self) -> Iterator[Finding]:
        """Return one Finding for each root, in no order."""
        while self._suppose():
            pass
        self._settle()
        rings = self._rings()
        heads = self._heads(rings)
        below = self._hung(sorted(heads, key=self._claim))
        for head, alone in heads.items():
            yield self._finding(head, below.get(head, []), alone=alone)

    def _claim(self, number: int) -> tuple[int, int, int]:
        """Return what decides which root has what several are as near to."""
        fact = self._facts[number]
        return (_SURE[fact.confidence], _RANK[fact.severity], number)

    # Which facts hold

    def _settle(self) -> None:
        """Let go of weak facts that nothing strong leads to."""
        seen = [number for number, fact in enumerate(self._facts) if self._holds[number] and not fact.weak]
        reached = set(seen)
        for number in seen:
            for effect in self._effects[number]:
                if effect not in reached and self._holds[effect]:
                    reached.add(effect)
                    seen.append(effect)
        self._holds = [number in reached for number in range(len(self._facts))]

    def _suppose(self) -> bool:
        """Believe what explains enough of what nothing explains yet; say whether anything was added."""
        guesses = [
            number for number, holds in enumerate(self._holds) if not holds and self._facts[number].supposed
        ]
        if not guesses:
            return False
        before = self._holds
        self._settle()
        rings = self._rings()
        ring_of = {number: index for index, ring in enumerate(rings) for number in ring}
        loose = {ring_of[number] for number in self._heads(rings)}
        settled, self._holds = self._holds, before
        support: dict[int, dict[int, int]] = {}
        for guess in guesses:
            far = self._supported(guess, ring_of, loose)
            if far:
                support[guess] = far
        chosen = {guess for guess in support if any(settled[cause] for cause in self._causes[guess])}
        left = loose - {ring for guess in chosen for ring in support[guess]}
        while support:
            gains = {guess: [far[ring] for ring in far.keys() & left] for guess, far in support.items()}
            best = min(
                gains,
                key=lambda guess: (-len(gains[guess]), sum(gains[guess]), *self._claim(guess)),
            )
            if len(gains[best]) < _SUPPORT:
                break
            chosen.add(best)
            left -= support.pop(best).keys()
        for guess in chosen:
            self._holds[guess] = True
        return bool(chosen)

    def _supported(self, guess: int, ring_of: Mapping[int, int], loose: set[int]) -> dict[int, int]:
        """Return the rings without a cause that a guess would explain, through guesses only, and how far away each is."""
        far: dict[int, int] = {}
        seen = {guess: 0}
        queue = [guess]
        for number in queue:
            for effect in self._effects[number]:
                if effect in seen:
                    continue
                seen[effect] = seen[number] + 1
                ring = ring_of.get(effect)
                if ring in loose and ring is not None:
                    far.setdefault(ring, seen[effect])
                elif not self._holds[effect] and self._facts[effect].supposed:
                    queue.append(effect)
        return far

    # Rings, heads and what hangs below them

    def _rings(self) -> list[list[int]]:
        """Return the strongly connected sets of facts that hold, each before all that lead to it (Tarjan's algorithm)."""
        index: dict[int, int] = {}
        low: dict[int, int] = {}
        stack: list[int] = []
        on_stack: set[int] = set()
        rings: list[list[int]] = []
        for start, holds in enumerate(self._holds):
            if not holds or start in index:
                continue
            work: list[tuple[int, Iterator[int]]] = [(start, iter(self._effects[start]))]
            index[start] = low[start] = len(index)
            stack.append(start)
            on_stack.add(start)
            while work:
                number, effects = work[-1]
                for effect in effects:
                    if not self._holds[effect]:
                        continue
                    if effect not in index:
                        index[effect] = low[effect] = len(index)
                        stack.append(effect)
                        on_stack.add(effect)
                        work.append((effect, iter(self._effects[effect])))
                        break
                    if effect in on_stack:
                        low[number] = min(low[number], index[effect])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[number])
                    if low[number] == index[number]:
                        at = _index(stack, number)
                        ring = stack[at:]
                        del stack[at:]
                        on_stack.difference_update(ring)
                        rings.append(ring)
        return rings

    def _heads(self, rings: Sequence[Sequence[int]]) -> dict[int, bool]:
        """Return the root of each ring that nothing outside explains, and whether it is all of its ring."""
        heads: dict[int, bool] = {}
        for ring in rings:
            members = set(ring)
            if any(
                self._holds[cause] and cause not in members
                for number in ring
                for cause in self._causes[number]
            ):
                continue
            strong = [number for number in ring if not self._facts[number].weak]
            if strong:
                head = min(
                    strong,
                    key=lambda one: (
                        _RANK[self._facts[one].severity],
                        _SURE[self._facts[one].confidence],
                        self._facts[one].vague,
                        one,
                    ),
                )
                heads[head] = len(strong) == 1
        return heads

    def _hung(self, heads: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
        """Return what hangs under each root, nearest first: pairs of a fact and the one it directly follows from."""
        owner = {head: head for head in heads}
        below: dict[int, list[tuple[int, int]]] = {}
        queue = list(heads)
        for number in queue:
            for effect in self._effects[number]:
                if self._holds[effect] and effect not in owner:
                    owner[effect] = owner[number]
                    below.setdefault(owner[number], []).append((effect, number))
                    queue.append(effect)
        return below

    def _finding(self, head: int, below: Sequence[tuple[int, int]], *, alone: bool) -> Finding:
        root = self._facts[head]
        subject = root.told_of
        evidence = list(root.evidence)
        follows: dict[Ref, Ref] = {subject: subject}
        parent = dict(below)
        for number, cause in below:  # nearest first: what an object follows from is always nearer
            suffers = self._facts[number].told_of
            if suffers not in follows:
                while self._facts[cause].told_of == suffers:
                    cause = parent[cause]  # noqa: PLW2901
                follows[suffers] = self._facts[cause].told_of
        symptoms: dict[Ref, Symptom] = {}
        heard: set[tuple[str, str]] = set()
        for number, _ in sorted(below, key=lambda pair: self._facts[pair[0]].vague):
            fact = self._facts[number]
            for item in fact.evidence:  # one witness of each sort is enough
                if (fact.rule, item.kind) not in heard:
                    heard.add((fact.rule, item.kind))
                    evidence.append(item)
            suffers = fact.told_of
            if suffers != subject:
                symptoms.setdefault(
                    suffers, Symptom(suffers, visible(fact.message), fact.rule, follows[suffers])
                )
            elif not fact.evidence:
                evidence.append(Evidence("condition", subject, fact.message))
        return Finding(
            rule=root.rule,
            severity=min((self._facts[one].severity for one in (head, *parent)), key=_RANK.__getitem__),
            subject=subject,
            message=visible(root.message),
            cause=visible(root.cause),
            evidence=_telling(evidence),
            symptoms=tuple(symptoms[one] for one in follows if one in symptoms),
            fixes=root.fixes,
            where=root.where,
            confidence=root.confidence if alone or root.confidence != "certain" else "likely",
        )


def _index(stack: Sequence[int], number: int) -> int:
    """Return where a number stands on the stack, looked for from its top."""
    at = len(stack) - 1
    while stack[at] != number:
        at -= 1
    return at


def _telling(evidence: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Return each text once (many pods say the same), up to a limit."""
    texts: dict[tuple[str, str], Evidence] = {}
    for item in evidence:
        clear = visible(item.text)
        texts.setdefault((item.kind, clear), item if clear == item.text else replace(item, text=clear))
    return tuple(texts.values())[:_EVIDENCE_LIMIT]


_first = itemgetter(0)


@dataclass(slots=True)
class _Knot:
    """Facts that hang together, and the findings that they make."""

    keys: set[Key] = field(default_factory=set)
    findings: list[tuple[Order, Finding]] = field(default_factory=list)


class Ledger:
    """What each asker told last, and the findings of it all; only what hangs together with a change is worked out again."""

    def __init__(self) -> None:
        self._told: dict[Hashable, tuple[Fact, ...]] = {}
        self._facts: dict[Key, list[Fact]] = {}
        self._about: dict[Ref, set[Key]] = {}
        self._named: dict[Key | Ref, set[Key]] = {}
        self._knots: dict[Key, _Knot] = {}
        self._changed: set[Key] = set()

    def tell(self, asker: Hashable, facts: Sequence[Fact]) -> None:
        """Take the facts in place of what the asker told before."""
        before, after = self._told.get(asker, ()), tuple(facts)
        if before == after:
            return
        if after:
            self._told[asker] = after
        else:
            self._told.pop(asker, None)
        for fact in before:
            same = self._facts[fact.key]
            same[:] = [one for one in same if one is not fact]
            self._unlink(fact, same)
        for fact in after:
            self._facts.setdefault(fact.key, []).append(fact)
            self._about.setdefault(fact.subject, set()).add(fact.key)
            for because in fact.because:
                self._named.setdefault(because, set()).add(fact.key)
        self._changed.update(fact.key for fact in before)
        self._changed.update(fact.key for fact in after)

    def _unlink(self, fact: Fact, same: Sequence[Fact]) -> None:
        key = fact.key
        if not same:
            del self._facts[key]
            self._drop(self._about, fact.subject, key)
        kept = {because for one in same for because in one.because}
        for because in fact.because:
            if because not in kept:
                self._drop(self._named, because, key)

    @staticmethod
    def _drop(index: dict[Any, set[Key]], at: Key | Ref, key: Key) -> None:
        held = index.get(at)
        if held is not None:
            held.discard(key)
            if not held:
                del index[at]

    def _beside(self, key: Key) -> Iterator[Key]:
        """Each fact that may explain this one, or be explained by it."""
        for fact in self._facts[key]:
            for because in fact.because:
                if isinstance(because, Ref):
                    yield from self._about.get(because, ())
                elif because in self._facts:
                    yield because
        yield from self._named.get(key, ())
        yield from self._named.get(key[1], ())

    def findings(self) -> list[Finding]:
        """Return one Finding per root, the gravest first."""
        todo: set[Key] = set()
        for key in self._changed:
            todo.add(key)
            knot = self._knots.get(key)
            if knot is not None:
                todo |= knot.keys
        for key in todo:
            self._knots.pop(key, None)
        self._changed.clear()
        while todo:
            start = todo.pop()
            if start in self._facts:
                self._tie(start, todo)
        found = {id(knot): knot for knot in self._knots.values()}
        return [
            one for _, one in sorted((pair for knot in found.values() for pair in knot.findings), key=_first)
        ]

    def _tie(self, start: Key, todo: set[Key]) -> None:
        knot = _Knot({start})
        queue = [start]
        for key in queue:
            for other in self._beside(key):
                if other not in knot.keys:
                    knot.keys.add(other)
                    queue.append(other)
        todo -= knot.keys
        web = _Web({key: _folded(self._facts[key]) for key in queue})
        knot.findings = [(in_order(one), one) for one in web.findings()]
        for key in queue:
            self._knots[key] = knot
