"""The engine: events in, detections out. Rules of one kind of events become one function; which of them are asked the kernel has said already.

A record's clause bits name the rules that may concern it, so only those are asked: for each set of rules that occurs, one function
is made of their conditions, with everything that they share computed once. A rule that raises is an error of that rule, and counted.
It acts on nothing and keeps no events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from fairlead.sense import planning, sieving
from fairlead.sense.decoding import Batch, Decoder
from fairlead.sense.events import CLAUSES, SLOT, Event
from fairlead.sense.fieldcode import Around
from fairlead.sense.fields import Fields
from fairlead.sense.places import PATH_OF, names
from fairlead.sense.plans import Hook, Plan
from fairlead.sense.rules import Detection, Rule, RuleError
from fairlead.tongues import conditions
from fairlead.words import Finding, Ref, Severity

MOST_SETS = 512
"""Sets of rules that a function is made for; further ones are asked rule by rule."""
WORTH = 64
"""Events that a set of rules must have met until a function is made for it: to make one takes as long as to judge thousands of events."""
MOST_SEEN = 65_536
"""Pairs of a slot and its bits whose rules are remembered."""

_Judge: TypeAlias = Callable[[Event], list[Rule]]


@dataclass(slots=True)
class _Asked:
    """Whom an event concerns: a function for the rules with conditions, the same for files with one name, and the rules with residues only."""

    function: _Judge | None
    single: _Judge | None
    plain: tuple[Rule, ...]


class Judged(NamedTuple):
    """An event and what the rules said of it."""

    event: Event
    detections: tuple[Detection, ...]


@dataclass(slots=True)
class _OfKind:
    """What is asked of events of one kind: rules with what is left of their conditions, and rules without."""

    trees: dict[Rule, conditions.Tree] = field(default_factory=dict)
    always: list[Rule] = field(default_factory=list)  # their condition comes to nothing but the kind
    plain: list[Rule] = field(default_factory=list)  # no condition


class Engine:
    """Judges events by rules. `around` tells what events do not; its table of processes is the decoder's.

    `plan` is what the kernel must be asked; `findings` tells of rules that cannot be judged at all, `errors` of those that raised.
    Rules that are not enabled are left out.
    """

    def __init__(
        self, rules: Iterable[Rule], around: Around | None = None, *, machine: str = "x86_64"
    ) -> None:
        self.around = around or Around()
        self.fields = Fields(self.around)
        self.rules: tuple[Rule, ...] = tuple(rule for rule in rules if rule.enabled)
        self.findings: list[Finding] = []
        self.errors: dict[str, RuleError] = {}
        self.judged = 0
        self.decoder = Decoder(self.around.processes, machine=machine)
        self._kinds: dict[str, _OfKind] = {}
        self._everywhere: list[Rule] = []
        self._concerns: list[planning.Concern] = []
        self._by_key = {rule.key: rule for rule in self.rules}
        self._hooked: frozenset[str] = frozenset(rule.key for rule in self.rules if rule.hooks)
        known: dict[str, planning.Specialist] = {}
        for rule in self.rules:
            self._take(rule, known)
        self.plan: Plan = planning.plan_of(self.rules, self._concerns)
        self._slots: dict[int, tuple[tuple[str, ...], ...]] = {}
        self._asked: dict[tuple[str, int, int], _Asked] = {}
        self._made: dict[tuple[str, bool, frozenset[str]], _Judge] = {}
        self._may_make = True  # one function in each `feed`, so that no event waits for several
        self.place(dict(enumerate(self.plan.hooks, 1)))

    def _take(self, rule: Rule, known: dict[str, planning.Specialist]) -> None:
        if rule.condition is not None:
            try:
                found = planning.concerns(rule, self.fields, known)
            except conditions.BadCondition as wrong:
                self._refuse(rule, str(wrong))
                return
            if not found:
                self._refuse(
                    rule, "no event that can be seen here is of a type that the rule asks for", Severity.INFO
                )
            self._concerns += found
            for one in found:
                of = self._kinds.setdefault(one.kind, _OfKind())
                if isinstance(one.tree, bool):
                    of.always.append(rule)
                else:
                    of.trees[rule] = one.tree
            return
        if "*" in rule.kinds:
            self._everywhere.append(rule)
        for kind in rule.kinds:
            self._kinds.setdefault(kind, _OfKind()).plain.append(rule)

    def _refuse(self, rule: Rule, why: str, severity: Severity = Severity.WARNING) -> None:
        self.findings.append(
            Finding(
                rule="sense.rule", severity=severity, subject=Ref("fairlead.dev", "Rule", "", rule.name),
                message=f"{rule.key} is not judged: {why}", where=rule.where,
            )
        )  # fmt: skip

    def place(self, slots: Mapping[int, Hook]) -> None:
        """Be told which hook the records of a slot come from, as the driver placed them; before the first batch."""
        self.decoder.hooks = slots
        self._slots = {
            slot: tuple(planning.owners(clause) for clause in hook.clauses) for slot, hook in slots.items()
        }
        self._asked = {}

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts' names that conditions compare addresses with; the reactor resolves them into Around.hosts."""
        found: dict[str, None] = {}
        for rule in self.rules:
            for leaf in conditions.leaves(rule.condition) if rule.condition is not None else ():
                if (
                    isinstance(leaf, conditions.Check)
                    and leaf.field is not None
                    and leaf.field.name in HOSTS
                    and leaf.values
                ):
                    found.update(dict.fromkeys(leaf.values))
        return tuple(found)

    # ---- judging

    def feed(self, batches: Iterable[Batch | Sequence[bytes]], until: int | None = None) -> Iterator[Judged]:
        """Decode batches and judge each event, eldest first. See Decoder.feed for `until`. The iterator must be used up."""
        self._may_make = True
        new, judge = tuple.__new__, self.judge  # the constructor of a named tuple takes twice as long
        for event in self.decoder.feed(batches, until):
            yield new(Judged, (event, judge(event)))

    def judge_all(self, events: Iterable[Event]) -> Iterator[Detection]:
        """Judge events, and yield what was detected."""
        for event in events:
            yield from self.judge(event)

    def judge(self, event: Event) -> tuple[Detection, ...]:
        """Return what the rules say of one event."""
        raw = event.raw
        key = (event.kind, raw[SLOT], raw[CLAUSES])
        asked = self._asked.get(key)
        if asked is None:
            asked = self._find(event, key)
        self.judged += 1
        function, plain = asked.function, asked.plain
        if asked.single is not None and len(names(event)) == 1:
            function = asked.single
        if function is None and not plain:
            return ()
        yes: list[Rule] = []
        if function is not None:
            try:
                yes = function(event)
            except Exception:  # noqa: BLE001  a rule fails alone
                yes = self._one_by_one(event)
            if not yes and not plain:
                return ()
        found: list[Detection] = []
        for rule in yes:
            self._conclude(rule, event, found)
        for rule in plain:
            self._conclude(rule, event, found)
        return tuple(found)

    def _conclude(self, rule: Rule, event: Event, found: list[Detection]) -> None:
        """Ask a rule's residue, and add a detection."""
        data: object = True
        if rule.residue is not None:
            try:
                data = rule.residue(event)
            except Exception as error:  # noqa: BLE001  a rule fails alone
                self._fail(rule, error, event)
                return
            if not data:
                return
        found.append(Detection(rule, event, None if data is True else data, self._bits(rule, event)))

    def _bits(self, rule: Rule, event: Event) -> tuple[int, ...]:
        """The indexes, among the rule's own clauses in its own hook, of those that passed."""
        if rule.key not in self._hooked:
            return ()
        owners = self._slots.get(event.raw[SLOT], ())
        bits = event.raw[CLAUSES]
        return tuple(at for at, keys in enumerate(owners) if bits >> at & 1 and rule.key in keys)

    def _find(self, event: Event, key: tuple[str, int, int]) -> _Asked:
        """Work out whom an event of this kind, slot and bits concerns."""
        kind, slot, bits = key
        owners = self._slots.get(slot)
        hook = self.decoder.hooks.get(slot)
        if hook is None or (event.hook is None and hook.name != kind):
            owners = None
        named: frozenset[str] | None = None
        if owners and (bits or kind in planning.ALWAYS):  # those come also when no clause passed
            named = frozenset(one for at, keys in enumerate(owners) if bits >> at & 1 for one in keys)
        asked = self._ask(kind, named, hook)
        if len(self._asked) >= MOST_SEEN:
            self._asked.clear()
        self._asked[key] = asked
        return asked

    def _ask(self, kind: str, named: frozenset[str] | None, hook: Hook | None) -> _Asked:
        of = self._kinds.get(kind, _NOTHING)
        plain = [*of.always, *of.plain, *self._everywhere]
        trees = of.trees
        if named is not None:
            if kind not in planning.ALWAYS:  # conditions have no clauses there
                trees = {rule: tree for rule, tree in of.trees.items() if rule.key in named}
                plain = [rule for rule in plain if rule.condition is None or rule.key in named]
            plain += [rule for rule in self._owning(named) if rule not in plain and rule.condition is None]
        elif hook is not None:
            place = (hook.sort, hook.name, hook.enter)
            plain += [
                rule
                for rule in self.rules
                if rule not in plain and any((one.sort, one.name, one.enter) == place for one in rule.hooks)
            ]
        asked = _Asked(None, None, tuple(plain))
        if trees:
            asked.function = self._early(asked, kind, trees, single=False)
            asked.single = self._early(asked, kind, trees, single=True) if kind in PATH_OF else None
        return asked

    def _early(
        self, asked: _Asked, kind: str, trees: Mapping[Rule, conditions.Tree], *, single: bool
    ) -> _Judge:
        """Return a function for some rules of a kind which is that of all the kind's rules until one of its own is worth making."""
        every = self._kinds[kind].trees
        if len(trees) == len(every) or self._key(kind, trees, single=single) in self._made:
            return self._function(kind, trees, single=single)
        keys = frozenset(rule.key for rule in trees)
        whole: _Judge | None = None
        left = WORTH

        def early(event: Event) -> list[Rule]:
            nonlocal whole, left
            left -= 1
            if left > 0 or not self._may_make:
                if whole is None:
                    whole = self._function(kind, every, single=single)
                return [rule for rule in whole(event) if rule.key in keys]
            self._may_make = False
            own = self._function(kind, trees, single=single)
            if single:
                asked.single = own
            else:
                asked.function = own
            return own(event)

        return early

    def prepare(self) -> None:
        """Make the functions that many events will need now, and not when the first of them waits for its judgement."""
        for kind, of in self._kinds.items():
            if of.trees and kind not in RARE:
                self._function(kind, of.trees)
                if kind in PATH_OF:
                    self._function(kind, of.trees, single=True)

    def _owning(self, named: frozenset[str]) -> list[Rule]:
        return [rule for key in named if key in self._hooked and (rule := self._by_key.get(key)) is not None]

    @staticmethod
    def _key(
        kind: str, trees: Mapping[Rule, conditions.Tree], *, single: bool
    ) -> tuple[str, bool, frozenset[str]]:
        return (kind, single, frozenset(rule.key for rule in trees))

    def _function(self, kind: str, trees: Mapping[Rule, conditions.Tree], *, single: bool = False) -> _Judge:
        """The function for some rules of a kind: made when it is first asked for, and kept."""
        key = self._key(kind, trees, single=single)
        known = self._made.get(key)
        if known is None:
            if len(self._made) >= MOST_SETS:
                trees = self._kinds[kind].trees
                key = self._key(kind, trees, single=single)
                known = self._made.get(key)
            if known is None:
                known = self._made[key] = self._compile(kind, trees, single=single)
        return known

    def _compile(self, kind: str, trees: Mapping[Rule, conditions.Tree], *, single: bool) -> _Judge:
        return conditions.compile_all(dict(trees), self.fields.of_kind(kind, single=single))

    def _one_by_one(self, event: Event) -> list[Rule]:
        """Ask every rule of the kind by itself, after one of them raised."""
        yes = []
        for rule, tree in self._kinds[event.kind].trees.items():
            try:
                function = self._function(event.kind, {rule: tree})
                if function(event):
                    yes.append(rule)
            except Exception as error:  # noqa: BLE001  a rule fails alone
                self._fail(rule, error, event)
        return yes

    def _fail(self, rule: Rule, error: Exception, event: Event) -> None:
        known = self.errors.get(rule.key)
        if known is None:
            self.errors[rule.key] = RuleError(rule, f"{type(error).__name__}: {error}", 1, event.time)
        else:
            known.count += 1
            known.last = event.time

    # ---- without a kernel

    def sieve(self, event: Event) -> bool:
        """Set an event's slot and clause bits as the kernel's part would have; return whether it would have been sent at all.

        For records that were taken under another plan. Events that come without a hook always pass.
        """
        for slot, hook in self.decoder.hooks.items():
            if (
                hook.name == event.kind
                and hook.sort in {"syscall", "kernel"}
                and hook.enter is event.entering
            ):
                bits = sieving.passed(hook, event)
                if not bits and hook.clauses:
                    return False
                raw: list[Any] = list(event.raw)
                raw[SLOT], raw[CLAUSES] = slot, bits
                event.raw = tuple(raw)
                event.hook = hook
                return True
        return event.kind in planning.ALWAYS


RARE = frozenset({"execveat", "openat2"})
"""Kinds of which there are few events: their functions are made when one comes."""
HOSTS = frozenset({"fd.cip.name", "fd.sip.name", "fd.lip.name", "fd.rip.name"})
_NOTHING = _OfKind()
