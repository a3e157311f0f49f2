"""Lists, macros and rules as collected -> rules for the engine: names resolved, fields and outputs checked, each failing alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fairlead.dialects.falco import exceptions, outputs
from fairlead.dialects.falco.collecting import (
    PRIORITIES,
    SYSCALL,
    Collected,
    Condition,
    MacroInfo,
    Part,
    RuleInfo,
)
from fairlead.dialects.falco.documents import Wrong, finding
from fairlead.sense import arguments, syscalls
from fairlead.tongues import conditions
from fairlead.tongues.conditions import (
    And,
    BadCondition,
    Check,
    Name,
    Not,
    Or,
    Resolver,
    Tree,
    UnknownField,
    Value,
    Values,
    Weaver,
)  # fmt: skip
from fairlead.words import Finding, Severity, Where

SEVERITIES = {
    "Emergency": Severity.CRITICAL, "Alert": Severity.CRITICAL, "Critical": Severity.CRITICAL, "Error": Severity.WARNING,
    "Warning": Severity.WARNING, "Notice": Severity.INFO, "Informational": Severity.INFO, "Debug": Severity.INFO,
}  # fmt: skip
"""How much a rule's findings matter, by its priority."""

MANY_KINDS = 100
META_EVENTS = frozenset(
    [
        "accept",
        "asyncevent",
        "clone",
        "container",
        "cpu_hotplug",
        "drop",
        "fork",
        "group_added",
        "group_deleted",
        "infra",
        "k8s",
        "mesos",
        "notification",
        "page_fault",
        "pluginevent",
        "procexit",
        "procinfo",
        "scapevent",
        "signaldeliver",
        "switch",
        "syscall",
        "tracer",
        "user_added",
        "user_deleted",
        "vfork",
        "eventfd",
        "fcntl64",
        "fstat",
        "fstat64",
        "fstatat64",
        "getegid",
        "getrlimit",
        "inotify_init",
        "llseek",
        "lstat",
        "lstat64",
        "mmap2",
        "olduname",
        "pread",
        "prlimit",
        "pwrite",
        "sendfile64",
        "setresgid32",
        "setresuid32",
        "signalfd",
        "socketcall",
        "stat64",
        "stat",
        "truncate64",
        "ugetrlimit",
        "umount",
        "umount2",
        "waitpid",
    ]
)
"""What Falco calls events that are no system calls of 64-bit machines, or calls by an older name."""

_MOST_MACROS_DEEP = 100
_MOST_ITEMS = 200_000
_STRIDE = 1 << 24
"""Lines that each text has for itself, so that a place in an expanded tree says which text it is in."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A rule that can run: its condition without names, what its outputs say, and its own output without what is appended to every one."""

    info: RuleInfo
    tree: Tree
    model: outputs.Model
    plain: outputs.Output
    enabled: bool


@dataclass(slots=True)
class Compiler:
    """Compiles what was collected. `sources` are the resolvers of fields by the rules' source."""

    collected: Collected
    sources: Mapping[str, Resolver]
    minimum: str = "Debug"
    suggested: bool = True
    findings: list[Finding] = field(default_factory=list)
    _lists: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    _macros: dict[str, Tree] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    _used: set[str] = field(default_factory=set)
    _open: list[str] = field(default_factory=list)
    _texts: list[Condition] = field(default_factory=list)

    def rules(self) -> list[Ready]:
        """Return the rules that can run; what is wrong is in `findings`."""
        self._expand_lists()
        for macro in sorted(self.collected.macros.values(), key=lambda one: one.index):
            self._macro(macro, macro.visibility)
        found = [one for rule in self.collected.rules.values() if (one := self._rule(rule)) is not None]
        self._tell_unused()
        return found

    def _add(
        self,
        rule: str,
        message: str,
        where: Where,
        kind: str,
        name: str,
        severity: Severity = Severity.CRITICAL,
    ) -> None:
        self.findings.append(finding(rule, message, where, severity=severity, kind=kind, name=name))

    def _first_line(self, text: Condition) -> int:
        """Take note of a text, and return the number that its first line has in trees."""
        self._texts.append(text)
        return (len(self._texts) - 1) * _STRIDE + 1

    def _where(self, wrong: BadCondition) -> Where:
        """Return the place in its file of a place in a tree."""
        index, line = divmod(wrong.line - 1, _STRIDE)
        return self._texts[index].where(line + 1, wrong.column)

    def _expand_lists(self) -> None:
        for one in sorted(self.collected.lists.values(), key=lambda info: info.index):
            self._list(one.name, [])

    def _list(self, name: str, within: list[str]) -> tuple[Value, ...]:
        """The values of a list, those of lists that it names among them: of those that were there when it was last changed."""
        if name in self._lists:
            return self._lists[name]
        info = self.collected.lists[name]
        values: list[Value] = []
        for item in info.items:
            inner = self.collected.lists.get(item.value)
            if (
                inner is not None
                and inner.index < info.visibility
                and inner.name not in (*within, name)
                and len(within) < _MOST_MACROS_DEEP
            ):
                self._used.add(f"list {inner.name}")
                values.extend(self._list(inner.name, [*within, name]))
                continue
            line = self._first_line(Condition([Part(item.value, item, item.where)]))
            try:
                values.extend(
                    Value(one.text, quoted=True, at=one.at) for one in conditions.items(item.value, line)
                )
            except BadCondition as wrong:
                self._add(
                    "list",
                    f"item {item.value!r}: {wrong.message}",
                    Where(item.where.file, item.line(0), item.where.path),
                    "List",
                    name,
                )
        if len(values) > _MOST_ITEMS:
            self._add("list", f"a list of more than {_MOST_ITEMS} items", info.where, "List", name)
            values = []
        found = self._lists[name] = tuple(values)
        return found

    def _macro(self, info: MacroInfo, visibility: int) -> Tree | None:
        """The macro's tree, None when it is wrong. Told of once."""
        if info.name in self._macros:
            return self._macros[info.name]
        if info.name in self._broken:
            return None
        self._open.append(info.name)
        try:
            tree = self._tree(info.condition, visibility)
        except BadCondition as wrong:
            self._broken.add(info.name)
            self._add("condition", wrong.message, self._where(wrong), "Macro", info.name)
            return None
        finally:
            self._open.pop()
        self._macros[info.name] = tree
        return tree

    def _tree(self, condition: Condition, visibility: int | None) -> Tree:
        """The tree of a condition, with its lists and the macros that it sees replaced. Raises BadCondition."""
        tree = conditions.read(condition.text, self._first_line(condition))
        for leaf in conditions.leaves(tree):
            if isinstance(leaf, Check) and isinstance(leaf.right, Value | Values):
                values = leaf.right.items if isinstance(leaf.right, Values) else (leaf.right,)
                self._used.update(f"list {value.text}" for value in values if not value.quoted)

        def macro(name: Name) -> Tree:
            info = self.collected.macros.get(name.name)
            if info is None or (visibility is not None and info.index >= visibility):
                raise BadCondition(f"Undefined macro '{name.name}' used in filter.", *name.at)
            if name.name in self._open:
                raise BadCondition(f"reference loop in macro '{name.name}'", *name.at)
            if len(self._open) > _MOST_MACROS_DEEP:
                raise BadCondition(f"macros nested deeper than {_MOST_MACROS_DEEP} levels", *name.at)
            self._used.add(f"macro {name.name}")
            found = self._macro(info, info.visibility)
            if found is None:
                raise BadCondition(f"macro '{name.name}' is wrong", *name.at)
            return found

        return conditions.expand(tree, macro, self._lists)

    def _rule(self, info: RuleInfo) -> Ready | None:
        resolver = self.sources.get(info.source)
        if resolver is None:
            self._add(
                "source",
                f"Unknown source {info.source}, skipping",
                info.where,
                "Rule",
                info.name,
                Severity.WARNING,
            )
            return None
        try:
            plain, output = self._output(info, resolver)
            whole = _with_exceptions(info)
            try:
                tree = self._tree(whole, None)
                if self._tell_unknown(info, tree, resolver):
                    return None
                Weaver(resolver).count(tree)
            except BadCondition as wrong:
                raise Wrong(wrong.message, self._where(wrong)) from None
        except _Unknown as unknown:
            self._add("field", unknown.message, unknown.where, "Rule", info.name, _unknown_severity(info))
            return None
        except Wrong as wrong:
            self._add("rule", wrong.message, wrong.where, "Rule", info.name)
            return None
        self._warn(info, tree)
        names = tuple(sorted({name for one in info.exceptions for name in _fields(one)}))
        model = outputs.Model(
            rule=info.name, priority=info.priority, source=info.source, tags=tuple(info.tags), output=output,
            exception_fields=names, capture=info.capture, capture_duration=info.capture_duration,
        )  # fmt: skip
        loud = PRIORITIES.index(info.priority) <= PRIORITIES.index(self.minimum)
        return Ready(info, tree, model, plain, info.enabled and loud)

    def _tell_unknown(self, info: RuleInfo, tree: Tree, resolver: Resolver) -> bool:
        """Tell of each field in a condition that nobody knows."""
        told: dict[str, BadCondition] = {}
        for ref in conditions.fields(tree):
            try:
                resolver(ref)
            except UnknownField as unknown:
                shown = conditions.show_operand(ref)
                told.setdefault(shown, BadCondition(f"unknown field '{shown}': {unknown}", *ref.at))
        for wrong in told.values():
            self._add("field", wrong.message, self._where(wrong), "Rule", info.name, _unknown_severity(info))
        return bool(told)

    def _output(self, info: RuleInfo, resolver: Resolver) -> tuple[outputs.Output, outputs.Output]:
        """The rule's output, as it was written and as it is said. Raises Wrong, _Unknown."""
        texts = [text.value for text in info.output]
        if any("%container.info" in text for text in texts):
            said = "%container.info is deprecated: the fields of containers are added to every output"
            self._add("deprecated", said, info.output[0].where, "Rule", info.name, Severity.INFO)
        try:
            plain = outputs.read(outputs.whole(texts, suggested=False), resolver)
            more = self.suggested and info.source == SYSCALL
            return plain, outputs.read(outputs.whole(texts, suggested=True), resolver) if more else plain
        except outputs.BadOutput as wrong:
            text = info.output[0]
            where = Where(text.where.file, text.line(min(wrong.index, len(text.value))), text.where.path)
            raise (_Unknown if wrong.unknown else Wrong)(wrong.message, where) from None

    def _warn(self, info: RuleInfo, tree: Tree) -> None:
        for leaf in conditions.leaves(tree):
            if (
                not isinstance(leaf, Check)
                or leaf.op not in {"=", "!=", "in", "intersects", "pmatch"}
                or leaf.field is None
            ):
                continue
            if leaf.field.name.startswith(("ka.", "jevt.")) and "<NA>" in (leaf.values or ()):
                said = (
                    f"comparing '{leaf.field.name}' with <NA> never says whether it is there; 'exists' does"
                )
                self._add("absent", said, info.where, "Rule", info.name, Severity.WARNING)
            if info.source == SYSCALL and _is_type(leaf):
                self._tell_of_kinds(info, leaf)
        if info.source == SYSCALL and info.warn_evttypes:
            names = kinds(tree)
            if names is None or len(names) > MANY_KINDS:
                said = "Rule matches too many evt.type values. This has a significant performance penalty."
                self._add("kinds", said, info.where, "Rule", info.name, Severity.WARNING)

    def _tell_of_kinds(self, info: RuleInfo, leaf: Check) -> None:
        """Tell of the names of events that nobody knows: a comparison with them is never true."""
        for name in leaf.values or ():
            if name not in syscalls.EVERY and name not in arguments.EVENTS and name not in META_EVENTS:
                said = f"unknown event type '{name}': no event is called so"
                self._add(
                    "kinds",
                    said,
                    self._where(BadCondition("", *leaf.at)),
                    "Rule",
                    info.name,
                    Severity.WARNING,
                )

    def _tell_unused(self) -> None:
        for kind, infos in (("List", self.collected.lists), ("Macro", self.collected.macros)):
            for info in infos.values():
                if f"{kind.lower()} {info.name}" not in self._used:
                    self._add(
                        "unused",
                        f"{kind} not referred to by any other rule/macro",
                        info.where,
                        kind,
                        info.name,
                        Severity.INFO,
                    )


def _unknown_severity(info: RuleInfo) -> Severity:
    return Severity.INFO if info.skip_unknown else Severity.CRITICAL


class _Unknown(Wrong):
    """A field that nobody knows."""


def _fields(one: exceptions.RuleException) -> Iterable[str]:
    if one.fields is None or not one.values:
        return ()
    return [part.text for part in one.fields.parts] if one.fields.listed else [one.fields.text]


def _with_exceptions(info: RuleInfo) -> Condition:
    """The rule's condition and its exceptions. Raises Wrong."""
    if not info.exceptions:
        return info.condition
    added = [Part(text, None, where) for text, where in exceptions.texts(info.exceptions)]
    return Condition([Part("("), *info.condition.parts, Part(")"), *added])


def kinds(tree: Tree) -> frozenset[str] | None:
    """Return the values of evt.type that a condition can be true of; None where that is all of them, or all but some."""
    names, all_but = _kinds(tree)
    return None if all_but else names


def _kinds(tree: Tree) -> tuple[frozenset[str], bool]:
    """The names, and whether it is all but these."""
    if isinstance(tree, Not):
        if not any(_is_type(leaf) for leaf in conditions.leaves(tree.arg)):
            return frozenset(), True
        return _inverted(tree.arg)
    if isinstance(tree, And | Or):
        parts = [_kinds(arg) for arg in tree.args]
        return _met(parts) if isinstance(tree, And) else _either(parts)
    if (
        isinstance(tree, Check)
        and _is_type(tree)
        and tree.values is not None
        and tree.op in {"=", "in", "intersects", "!="}
    ):
        return frozenset(tree.values), tree.op == "!="
    return frozenset(), True


def _inverted(tree: Tree) -> tuple[frozenset[str], bool]:
    """What the opposite of a tree can be true of: a comparison with something else says nothing."""
    if isinstance(tree, Not):
        return _kinds(tree.arg)
    if isinstance(tree, And | Or):
        parts = [_inverted(arg) for arg in tree.args]
        return _either(parts) if isinstance(tree, And) else _met(parts)
    if _is_type(tree):
        names, all_but = _kinds(tree)
        return names, not all_but
    return frozenset(), True


def _met(parts: list[tuple[frozenset[str], bool]]) -> tuple[frozenset[str], bool]:
    some = [names for names, all_but in parts if not all_but]
    without = frozenset().union(*(names for names, all_but in parts if all_but))
    if not some:
        return without, True
    return frozenset.intersection(*some) - without, False


def _either(parts: list[tuple[frozenset[str], bool]]) -> tuple[frozenset[str], bool]:
    some = frozenset().union(*(names for names, all_but in parts if not all_but))
    without = [names for names, all_but in parts if all_but]
    if not without:
        return some, False
    return frozenset.intersection(*without) - some, True


def _is_type(tree: Tree) -> bool:
    return (
        isinstance(tree, Check)
        and tree.field is not None
        and tree.field.argument is None
        and tree.field.name in {"evt.type", "syscall.type"}
    )
