"""Rules -> what the kernel is asked: which events they concern, the clauses at each hook, and what of a rule's condition is left for a kind.

A clause passes whenever its rule's condition would be true, and as little besides as the tests can say. Rules' clauses are laid together:
those that differ in one set only become one clause with the union, whose owner names all of them, a line each. Where there would be too many
at a hook, what merely posts is widened; what acts never is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fairlead.sense import arguments, narrowing, places
from fairlead.sense.events import Event, Process, make_event
from fairlead.sense.fieldcode import ALIASES, FS_PATHS
from fairlead.sense.fields import Fields
from fairlead.sense.plans import MOST_CLAUSES, MOST_TESTS, Clause, Hook, Op, Plan, Test, What
from fairlead.sense.rules import Rule
from fairlead.sense.syscalls import EVERY, call_of, hook_of
from fairlead.tongues import conditions
from fairlead.tongues.conditions.trees import And, Check, FieldRef, Leaf, Name, Not, Or, Tree

SEPARATOR = "\n"
"""Between the keys of the rules that own a clause together."""
BUFFER_LIMIT = 80
"""Bytes of a buffer that are read for evt.buffer, as many as Falco reads by default."""
WITHOUT_TYPE = (
    "exec", "open", "openat", "openat2", "creat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "link",
    "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat", "connect", "accept", "accept4", "bind", "listen", "socket", "setuid",
    "setgid", "setresuid", "setresgid", "setns", "unshare", "mount", "umount2", "ptrace", "bpf", "init_module", "finit_module", "userfaultfd",
    "chroot", "clone", "clone3", "fork", "vfork", "dup", "dup2", "dup3", "exited",
)  # fmt: skip
"""The events that a rule is asked about which names none."""
KERNEL_EVENTS = frozenset(
    {"signal", "oom", "module", "module_wanted", "sock_state", "sock_send", "skb_drop", "cgroup"}
)
ALWAYS = frozenset({"exec", "forked", "exited", "prevented"})
"""Kinds that come without a hook."""
FAILING = frozenset({"execve", "execveat"})
"""Calls of which only failures are seen by their own hook: success is an exec."""
_KEEPERS: Mapping[str, tuple[str, ...]] = {
    "proc.cwd": ("chdir", "fchdir"), "proc.sid": ("setsid",), "proc.sname": ("setsid",), "proc.sid.exe": ("setsid",),
    "proc.sid.exepath": ("setsid",), "proc.is_sid_leader": ("setsid",), "proc.tty": ("setsid",),
    **dict.fromkeys(("proc.vpgid", "proc.vpgid.name", "proc.vpgid.exe", "proc.vpgid.exepath", "proc.is_vpgid_leader", "proc.pgid",
                     "proc.pgid.name", "proc.pgid.exe", "proc.pgid.exepath", "proc.is_pgid_leader"), ("setsid", "setpgid")),
    **dict.fromkeys(("thread.cap_permitted", "thread.cap_effective", "thread.cap_inheritable"),
                    ("capset", "setuid", "setreuid", "setresuid")),
}  # fmt: skip
"""Fields that calls change between one exec and the next -> those calls, which are watched for the table of processes."""
_BY_KIND = frozenset({
    "evt.type", "syscall.type", "evt.type.is", "evt.category", "evt.io_dir", "evt.is_io", "evt.is_io_read", "evt.is_io_write", "evt.source",
    "evt.is_async", "evt.count",
})  # fmt: skip
_OPENED = frozenset({"evt.is_open_read", "evt.is_open_write", "evt.is_open_exec", "evt.is_open_create"})


def kinds_of(tree: Tree, fields: Fields, known: dict[str, Specialist] | None = None) -> tuple[str, ...]:
    """Return the kinds of events that the condition can be true of; WITHOUT_TYPE's where it names none."""
    named: dict[str, None] = {}
    for leaf in conditions.leaves(tree):
        if (
            isinstance(leaf, Check)
            and leaf.field is not None
            and leaf.field.name in {"evt.type", "syscall.type", "evt.type.is"}
        ):
            if leaf.field.name == "evt.type.is":
                texts: Sequence[str] = (leaf.field.argument or "",)
            elif leaf.op in {"=", "!=", "in"} and leaf.values is not None:
                texts = leaf.values
            else:
                texts = tuple(arguments.EVENTS)
            for text in texts:
                named.update(dict.fromkeys(ALIASES.get(text, (text,))))
    known = {} if known is None else known
    if specialise(tree, "no such event", fields, known) is not False:
        named.update(dict.fromkeys(WITHOUT_TYPE))
    return tuple(
        kind for kind in named if _is_kind(kind) and specialise(tree, kind, fields, known) is not False
    )


def _is_kind(kind: str) -> bool:
    return kind in EVERY or kind in KERNEL_EVENTS or kind in ALWAYS


def specialise(
    tree: Tree, kind: str, fields: Fields, known: dict[str, Specialist] | None = None
) -> Tree | bool:
    """Return what is left of a condition for events of one kind: True, False, or a tree without what the kind decides.

    `known` keeps what was decided of single comparisons from one call to the next.
    """
    known = {} if known is None else known
    one = known.get(kind)
    if one is None:
        one = known[kind] = Specialist(kind, fields.of_kind(kind))
    return one.tree(tree)


class Specialist:
    """Decides comparisons that depend on the kind alone."""

    def __init__(self, kind: str, fields: Fields) -> None:
        self._kind = kind
        self._fields = fields
        self._event: Event | None = None
        self._known: dict[Leaf, bool | None] = {}

    def tree(self, tree: Tree) -> Tree | bool:
        """Return what is left of a tree."""
        if isinstance(tree, Not):
            arg = self.tree(tree.arg)
            return not arg if isinstance(arg, bool) else Not(arg, tree.at)
        if isinstance(tree, And | Or):
            wanted = isinstance(tree, And)  # what the other parts do not need
            parts: list[Tree] = []
            for one in tree.args:
                part = self.tree(one)
                if part is (not wanted):
                    return not wanted
                if not isinstance(part, bool):
                    parts.append(part)
            if not parts:
                return wanted
            return parts[0] if len(parts) == 1 else type(tree)(tuple(parts), tree.at)
        if isinstance(tree, Name):
            return tree
        if tree not in self._known:
            self._known[tree] = self._leaf(tree)
        known = self._known[tree]
        return tree if known is None else known

    def _leaf(self, leaf: Leaf) -> bool | None:
        if isinstance(leaf, Check) and leaf.values is None:
            return None
        ref = leaf.field
        if ref is None:
            return None
        if isinstance(leaf, Check) and ref.name == "evt.num" and leaf.op == "=" and leaf.values == ("0",):
            return False
        if not self._decided(ref):
            return None
        if self._event is None:
            self._event = make_event(self._kind, Process(0))
        return bool(conditions.compile(leaf, self._fields)(self._event))

    def _decided(self, ref: FieldRef) -> bool:
        name, kind = ref.name, self._kind
        if name in _BY_KIND:
            return True
        if name in _OPENED:
            return kind not in places.OPENING or (
                kind == "creat" and name in {"evt.is_open_read", "evt.is_open_write"}
            )
        if name.startswith("fs.path."):
            return kind not in FS_PATHS
        if name.startswith(("evt.arg.", "evt.rawarg.")):
            return arguments.parameter(kind, name.split(".", 2)[2]) is None
        if name in {"evt.buffer", "evt.buflen"}:
            return not any(one.format == "data" for one in arguments.parameters(kind))
        if name.startswith("fd.") and name != "fd.name_changed":
            return (
                not (
                    call_of(kind).has_place
                    or kind in KERNEL_EVENTS
                    or kind in {"prevented", "forked", "exited"}
                )
                or kind == "exec"
            )
        return False


# ---- clauses


def clauses_of(tree: Tree | bool, kind: str, *, most: int = 24) -> tuple[tuple[Test, ...], ...]:
    """Return alternatives of tests: one passes whenever the specialised condition is true. ((),) is always, () never."""
    if tree is False:
        return ()
    atoms: tuple[tuple[narrowing.Alternatives, ...], ...] = ((),) if tree is True else _narrow(tree, kind)
    failing: tuple[narrowing.Alternatives, ...] = (
        (((Test(What.RET, Op.LT, (0,)),),),) if kind in FAILING else ()
    )
    found: dict[tuple[Test, ...], None] = {}
    for conjunction in atoms:
        for clause in _expanded((*failing, *conjunction), most):
            found[clause] = None
    if len(found) > most * 4:
        return failing[0] if failing else ((),)
    return tuple(found)


def _narrow(tree: Tree, kind: str) -> tuple[tuple[narrowing.Alternatives, ...], ...]:
    def decide(leaf: Leaf, negated: bool) -> narrowing.Alternatives | bool | None:
        found = narrowing.atom(leaf, kind, negated)
        return None if found is None else found or False

    return conditions.narrow(tree, decide)


def _expanded(conjunction: Sequence[narrowing.Alternatives], most: int) -> list[tuple[Test, ...]]:
    """Return a conjunction of alternatives as alternatives of conjunctions; what would make too many is left out, which widens."""
    clauses: list[tuple[Test, ...]] = [()]
    several = [one for one in conjunction if len(one) > 1 and _asks_texts(one)]
    best = max(several, key=_selectivity, default=None)
    for alternatives in sorted(conjunction, key=len):
        if alternatives in several and alternatives is not best:
            continue  # two names of a file times two: one text is enough
        product = [
            joined
            for one in clauses
            for other in alternatives
            if (joined := _conjoined(one, other)) is not None
        ]
        crowded = len(product) > 6 and alternatives in several and any(_asks_texts((one,)) for one in clauses)
        if crowded or len(product) > most or any(len(one) > MOST_TESTS for one in product):
            if len(alternatives) > 1:
                continue
            product = [one[:MOST_TESTS] for one in product]
        clauses = product
    return clauses


def _asks_texts(alternatives: narrowing.Alternatives) -> bool:
    return any(test.what is What.TEXT for clause in alternatives for test in clause)


def _selectivity(alternatives: narrowing.Alternatives) -> tuple[bool, int]:
    """How little of what happens the first alternative lets through: a long text is better than a short one, and seeking is dear."""
    test = alternatives[0][0]
    shortest = min((len(one) for one in test.values if isinstance(one, bytes)), default=0)
    return test.op is not Op.CONTAINS, shortest + (64 if test.op is Op.TEXT_IN else 0)


def _conjoined(one: tuple[Test, ...], other: tuple[Test, ...]) -> tuple[Test, ...] | None:
    """Return both together without doubles; None where they contradict each other over the return value's sign."""
    joined = tuple(dict.fromkeys((*one, *other)))
    fails = any(test.what is What.RET and test.op is Op.LT and test.values == (0,) for test in joined)
    if fails and any(_is_success(test) for test in joined):
        return None
    return joined


def _is_success(test: Test) -> bool:
    if test.what is not What.RET or not test.values or test.mask:
        return False
    least = min(int(one) for one in test.values)
    return (test.op in {Op.GE, Op.EQ, Op.INSET} and least >= 0) or (test.op is Op.GT and least >= -1)


_SETS = frozenset({Op.INSET, Op.TEXT_IN, Op.PREFIX, Op.SUFFIX, Op.NET, Op.ANYBITS})
_COSTS = {What.TEXT: 9, What.COMM: 6, What.EXE: 2, What.PEXE: 3}


def _cost(test: Test) -> tuple[int, int]:
    if test.what is What.TEXT:
        return 9, {Op.RELATIVE: 0, Op.PREFIX: 1, Op.TEXT_IN: 2, Op.SUFFIX: 3, Op.CONTAINS: 4}.get(test.op, 5)
    return _COSTS.get(
        test.what, 4 if test.what >= What.FAMILY else 0 if test.what in {What.RET, What.ARG} else 1
    ), 0


@dataclass(slots=True)
class _Gathered:
    """A clause on its way: its tests without the set that may grow, that set, and who owns it."""

    guard: tuple[Test, ...]
    key: tuple[Any, ...]
    members: dict[Any, None]
    test: Test | None
    owners: dict[str, None]

    def clause(self) -> Clause:
        tests = list(self.guard)
        if self.test is not None:
            values: tuple[Any, ...] = tuple(self.members)
            if self.test.op is Op.ANYBITS:
                values = (_either(values),)
            tests.append(replace(self.test, values=values))
        return Clause(tests=tuple(sorted(tests, key=_cost)), owner=SEPARATOR.join(self.owners))


def _either(values: Iterable[int]) -> int:
    found = 0
    for one in values:
        found |= one
    return found


def laid_together(wanted: Iterable[tuple[str, tuple[Test, ...]]]) -> list[Clause]:
    """Return clauses for (owner, tests) pairs: equal ones are one, and those that differ in one set of texts become one with both."""
    found: dict[tuple[Any, ...], _Gathered] = {}
    for owner, tests in wanted:
        growing = next(
            (
                one
                for one in sorted(tests, key=_cost, reverse=True)
                if one.op in _SETS and one.what is What.TEXT
            ),
            None,
        )
        guard = frozenset(one for one in tests if one is not growing)
        key = (
            (guard, None)
            if growing is None
            else (guard, growing.what, growing.index, growing.op, growing.mask)
        )
        one = found.get(key)
        if one is None:
            one = found[key] = _Gathered(
                tuple(each for each in tests if each is not growing), key, {}, growing, {}
            )
        one.owners[owner] = None
        if growing is not None:
            one.members.update(dict.fromkeys(growing.values))
    return [one.clause() for one in found.values()]


def narrowed(clauses: Sequence[Clause], most: int) -> list[Clause]:
    """Return at most so many: while there are more, the two guards that share most are widened to what they share."""
    found = list(clauses)
    while len(found) > most:
        # Drop one text test after the other from the clauses of the largest family: what remains merges.
        counts: dict[frozenset[Test], int] = {}
        for one in found:
            plain = frozenset(test for test in one.tests if test.what is not What.TEXT)
            counts[plain] = counts.get(plain, 0) + 1
        plain, count = max(counts.items(), key=lambda item: item[1])
        if count < 2:
            return [Clause(owner=SEPARATOR.join(dict.fromkeys(key for one in found for key in owners(one))))]
        mine = [
            one
            for one in found
            if frozenset(test for test in one.tests if test.what is not What.TEXT) == plain
        ]
        rest = [one for one in found if one not in mine]
        keys = dict.fromkeys(key for one in mine for key in owners(one))
        found = [*rest, Clause(tests=tuple(sorted(plain, key=_cost)), owner=SEPARATOR.join(keys))]
    return found


def owners(clause: Clause) -> tuple[str, ...]:
    """Return the keys of the rules that own a clause."""
    return tuple(clause.owner.split(SEPARATOR)) if clause.owner else ()


# ---- the plan


@dataclass(frozen=True, slots=True)
class Concern:
    """What a rule with a condition wants of one kind of events: what is left of the condition, and the alternatives that the kernel tests."""

    rule: Rule
    kind: str
    tree: Tree | bool
    clauses: tuple[tuple[Test, ...], ...]


def concerns(rule: Rule, fields: Fields, known: dict[str, Specialist] | None = None) -> list[Concern]:
    """Return what a rule with a condition wants, kind by kind. Raises BadCondition."""
    conditions.Weaver(fields).count(rule.condition)  # refuses what could not be compiled
    known = {} if known is None else known
    kinds = rule.kinds or kinds_of(rule.condition, fields, known)
    found = []
    for kind in kinds:
        tree = specialise(rule.condition, kind, fields, known)
        if tree is not False:
            found.append(Concern(rule, kind, tree, clauses_of(tree, kind)))
    return found


def plan_of(rules: Sequence[Rule], wanted: Sequence[Concern], *, recorder: bool = True) -> Plan:
    """Return the plan for rules whose conditions want this, and for what other rules ask for by their hooks, preventions and guards."""
    asked: dict[str, list[tuple[str, tuple[Test, ...]]]] = {}
    limits: dict[str, int] = {}
    keepers: set[str] = set()
    for one in wanted:
        if one.kind not in ALWAYS:
            asked.setdefault(one.kind, []).extend((one.rule.key, tests) for tests in one.clauses)
        for ref in conditions.fields(one.rule.condition):
            if ref.name in {"evt.buffer", "evt.buflen", "evt.arg.data", "evt.rawarg.data"}:
                limits[one.kind] = BUFFER_LIMIT
            if one.kind != "exec":
                keepers.update(_KEEPERS.get(ref.name, ()))
    own: dict[tuple[object, ...], list[Hook]] = {}
    for rule in rules:
        for hook in rule.hooks:
            own.setdefault(_place(hook), []).append(_owned(hook, rule.key))
    for kind in keepers - set(asked):
        asked[kind] = [("", (Test(What.RET, Op.GE, (0,)),))]
    hooks: list[Hook] = []
    for kind, pairs in asked.items():
        others = own.get(("syscall", kind, False), ())
        most = MOST_CLAUSES - sum(len(other.clauses) or 1 for other in others)
        clauses = narrowed(laid_together(pairs), max(8, most - 4))
        if kind in KERNEL_EVENTS:
            hooks.append(Hook(sort="kernel", name=kind, clauses=tuple(clauses)))
        else:
            hooks.append(hook_of(kind, clauses, limit=limits.get(kind, 0)))
    hooks += [hook for found in own.values() for hook in _joined(found)]
    return Plan(
        hooks=tuple(hooks),
        preventions=tuple(one for rule in rules for one in rule.preventions),
        guards=tuple(one for rule in rules for one in rule.guards),
        recorder=recorder,
    )


def _owned(hook: Hook, key: str) -> Hook:
    """Return the hook with every clause owned; one without clauses has one that passes everything."""
    clauses = hook.clauses or (Clause(),)
    return replace(hook, clauses=tuple(one if one.owner else replace(one, owner=key) for one in clauses))


def _place(hook: Hook) -> tuple[object, ...]:
    return (hook.sort, hook.name, hook.enter) if hook.sort in {"syscall", "kernel", "process"} else hook.key


def _joined(hooks: Sequence[Hook]) -> list[Hook]:
    """Return hooks of one place, those that read alike as one; clauses that only post and are equal have all their owners."""
    found: dict[tuple[object, ...], list[Hook]] = {}
    for hook in hooks:
        found.setdefault((*hook.key, hook.sizes, hook.limit), []).append(hook)
    joined = []
    for alike in found.values():
        clauses: dict[Clause, dict[str, None]] = {}
        for hook in alike:
            for clause in hook.clauses or (Clause(),):
                clauses.setdefault(replace(clause, owner=""), {}).update(dict.fromkeys(owners(clause)))
        joined.append(
            replace(
                alike[0],
                clauses=tuple(replace(one, owner=SEPARATOR.join(keys)) for one, keys in clauses.items()),
            )
        )
    return joined
