"""Items -> lists, macros and rules as they stand after all files were read: appended to, overridden, redefined. Parses no condition."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.dialects.falco import versions
from fairlead.dialects.falco.documents import Item, Text, Wrong, finding, items, unknown
from fairlead.dialects.falco.exceptions import RuleException, append, read
from fairlead.words import Finding, Severity, Where

PRIORITIES = ("Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug")
SYSCALL = "syscall"
_IDENTIFIER = re.compile(r"[a-zA-Z]+[a-zA-Z0-9_]*")
_BARE = re.compile(r"[^()\"'\s=,]+")
_APPENDABLE = ("condition", "output", "desc", "tags", "exceptions")
_REPLACEABLE = (
    *_APPENDABLE,
    "priority",
    "enabled",
    "warn_evttypes",
    "skip-if-unknown-filter",
    "capture",
    "capture_duration",
)


def priority_of(text: str) -> str | None:
    """Return the priority as Falco writes it, None when it is none."""
    if text.lower() == "info":
        return "Informational"
    return next((name for name in PRIORITIES if name.lower() == text.lower()), None)


@dataclass(slots=True)
class Part:
    """A piece of a condition: its text and, where it was written, the scalar that it is."""

    text: str
    scalar: Text | None = None
    where: Where = field(default_factory=Where)


@dataclass(slots=True)
class Condition:
    """The text of a condition, in pieces that may come from several files."""

    parts: list[Part]

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(part.text for part in self.parts)

    def add(self, scalar: Text) -> None:
        """Append a piece, as an `append` does."""
        self.parts += [Part(" "), Part(scalar.value, scalar, scalar.where)]

    def where(self, line: int, column: int) -> Where:
        """Return the place in its file of a place in the text."""
        text = self.text
        index = sum(len(one) for one in text.splitlines(keepends=True)[: line - 1]) + column - 1
        found = self.parts[0]
        for part in self.parts:
            if part.where.file or part.scalar is not None:
                found = part
            if index < len(part.text):
                break
            index -= len(part.text)
        if found.scalar is None:
            return found.where
        return Where(found.where.file, found.scalar.line(min(index, len(found.text))), found.where.path)


def condition(scalar: Text) -> Condition:
    """Return the condition that one text is."""
    return Condition([Part(scalar.value, scalar, scalar.where)])


@dataclass(slots=True)
class ListInfo:
    """A list. `index` is when it was first defined, `visibility` when it was last changed."""

    name: str
    items: list[Text]
    where: Where
    index: int = 0
    visibility: int = 0


@dataclass(slots=True)
class MacroInfo:
    """A macro. It sees the macros that were defined before it was last changed."""

    name: str
    condition: Condition
    where: Where
    index: int = 0
    visibility: int = 0


@dataclass(slots=True)
class RuleInfo:
    """A rule."""

    name: str
    condition: Condition
    output: list[Text]
    desc: str
    priority: str
    where: Where
    source: str = SYSCALL
    enabled: bool = True
    warn_evttypes: bool = True
    skip_unknown: bool = False
    capture: bool = False
    capture_duration: int = 0
    tags: list[str] = field(default_factory=list)
    exceptions: list[RuleException] = field(default_factory=list)


@dataclass(slots=True)
class Collected:
    """What all files together say."""

    lists: dict[str, ListInfo] = field(default_factory=dict)
    macros: dict[str, MacroInfo] = field(default_factory=dict)
    rules: dict[str, RuleInfo] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    _moment: int = 0

    def take(self, file: str, source: str) -> None:
        """Add a file. What is wrong in it becomes findings; a file for a newer engine is left out as a whole."""
        for item in items(file, source, self.findings):
            try:
                if not self._take(item):
                    return
            except Wrong as wrong:
                kind, name = _subject(item)
                self.findings.append(finding("item", wrong.message, wrong.where, kind=kind, name=name))
            else:
                self.findings.extend(unknown(where) for where in item.left())

    def _take(self, item: Item) -> bool:
        if "required_engine_version" in item:
            try:
                versions.engine(item)
            except Wrong as wrong:
                self.findings.append(finding("engine", wrong.message, wrong.where))
                return False
        elif "required_plugin_versions" in item:
            versions.plugins(item, self.findings)
        elif "list" in item:
            self._list(item)
        elif "macro" in item:
            self._macro(item)
        elif "rule" in item:
            self._rule(item)
        else:
            self._warn("item", "Unknown top level item", item.where)
            item.ignore()
        return True

    def _warn(
        self,
        rule: str,
        message: str,
        where: Where,
        kind: str = "RulesFile",
        name: str = "",
        severity: Severity = Severity.WARNING,
    ) -> None:
        self.findings.append(finding(rule, message, where, severity=severity, kind=kind, name=name))

    def _now(self) -> int:
        self._moment += 1
        return self._moment

    def _appends(self, item: Item, key: str, kind: str, name: str) -> bool:
        """Whether a list or macro is to be appended to, by `append` or `override`."""
        appended = self._append_flag(item, kind, name)
        overrides = _overrides(item, (key,), (key,))
        if appended and overrides:
            raise Wrong(_BOTH, item.at("append"))
        return appended or overrides.get(key) == "append"

    def _append_flag(self, item: Item, kind: str, name: str) -> bool:
        appended = item.flag("append", default=False)
        if appended:
            said = "'append' key is deprecated. Add an 'append' entry (e.g. 'condition: append') under 'override' instead."
            self._warn("deprecated", said, item.at("append"), kind, name, Severity.INFO)
        return appended

    def _list(self, item: Item) -> None:
        name = item.text("list").value
        if not _BARE.fullmatch(name):
            said = (
                "List has an invalid name. List names should match a regular expression: [^()\"'[:space:]=,]+"
            )
            self._warn("name", said, item.at("list"), "List", name)
        texts = item.texts("items")
        if texts is None:
            raise Wrong("Item has no mapping for key 'items'", item.where)
        appends = self._appends(item, "items", "List", name)
        before = self.lists.get(name)
        now = self._now()
        if appends:
            if before is None:
                raise Wrong(
                    "List uses 'append' or 'override.items: append' but no list by that name already exists",
                    item.where,
                )
            before.items.extend(texts)
            before.visibility = now
        else:
            self._again(before, item, "List", name)
            self.lists[name] = ListInfo(name, texts, item.where, before.index if before else now, now)

    def _macro(self, item: Item) -> None:
        name = item.text("macro").value
        if not _IDENTIFIER.fullmatch(name):
            said = "Macro has an invalid name. Macro names should match a regular expression: [a-zA-Z]+[a-zA-Z0-9_]*"
            self._warn("name", said, item.at("macro"), "Macro", name)
        text = item.text("condition")
        appends = self._appends(item, "condition", "Macro", name)
        before = self.macros.get(name)
        now = self._now()
        if appends:
            if before is None:
                raise Wrong(
                    "Macro uses 'append' or 'override.condition: append' but no macro by that name already exists",
                    item.where,
                )
            before.condition.add(text)
            before.visibility = now
        else:
            self._again(before, item, "Macro", name)
            self.macros[name] = MacroInfo(
                name, condition(text), item.where, before.index if before else now, now
            )

    def _again(
        self, before: ListInfo | MacroInfo | RuleInfo | None, item: Item, kind: str, name: str
    ) -> None:
        """Tell of what is defined twice in one file: the later counts."""
        if before is not None and before.where.file == item.where.file:
            said = (
                f"{kind} '{name}' is defined twice; this definition replaces that of line {before.where.line}"
            )
            self._warn("twice", said, item.where, kind, name, Severity.INFO)

    def _rule(self, item: Item) -> None:
        name = item.text("rule").value
        appended = self._append_flag(item, "Rule", name)
        overrides = _overrides(item, _APPENDABLE, _REPLACEABLE)
        if appended and overrides:
            raise Wrong(_BOTH, item.at("append"))
        if overrides:
            self._override(item, name, overrides)
        elif appended:
            self._append(item, name, [key for key in ("condition", "exceptions") if key in item])
        elif not any(key in item for key in ("condition", "output", "desc", "priority")):
            self._enable(item, name)
        else:
            self._define(item, name)

    def _enable(self, item: Item, name: str) -> None:
        item.text("enabled")
        said = (
            "The standalone 'enabled' key usage is deprecated. The correct approach requires also a 'replace' entry under the 'override' key "
            "(i.e. 'enabled: replace')."
        )
        enabled = item.flag("enabled", default=True)
        before = self.rules.get(name)
        if before is None:
            raise Wrong("Rule has 'enabled' key but no rule by that name already exists", item.where)
        self._warn("deprecated", said, item.at("enabled"), "Rule", name, Severity.INFO)
        before.enabled = enabled

    def _define(self, item: Item, name: str) -> None:
        before = self.rules.get(name)
        rule = RuleInfo(
            name=name, condition=condition(item.text("condition")), output=[item.text("output")], desc=item.text("desc").value,
            priority=_priority(item), where=item.where,
        )  # fmt: skip
        source = item.maybe("source")
        rule.source = source.value if source else SYSCALL
        rule.enabled = item.flag("enabled", default=True)
        rule.warn_evttypes = item.flag("warn_evttypes", default=True)
        rule.skip_unknown = item.flag("skip-if-unknown-filter", default=False)
        rule.capture = item.flag("capture", default=False)
        rule.capture_duration = _number(item, "capture_duration")
        rule.tags = [tag.value for tag in item.texts("tags") or []]
        rule.exceptions = read(item, self.findings, name, appending=False)
        if before is not None and before.source != rule.source:
            raise Wrong("Rule has been re-defined with a different source", item.where)
        self._again(before, item, "Rule", name)
        self.rules[name] = rule

    def _override(self, item: Item, name: str, overrides: Mapping[str, str]) -> None:
        for key in _REPLACEABLE:
            if key in item and key not in overrides:
                raise Wrong(
                    f"Unexpected key '{key}': no corresponding entry under 'override' is defined.",
                    item.at(key),
                )
        for key, how in overrides.items():
            if key not in item:
                raise Wrong(
                    f"An {how} override for '{key}' was specified but '{key}' is not defined",
                    item.at("override"),
                )
        self._append(item, name, [key for key, how in overrides.items() if how == "append"])
        self._replace(item, name, [key for key, how in overrides.items() if how == "replace"])

    def _append(self, item: Item, name: str, keys: Sequence[str]) -> None:
        before = self.rules.get(name)
        if before is None and (keys or "override" not in item):
            raise Wrong(
                "Rule uses 'append' or 'override.<key>: append' but no rule by that name already exists",
                item.where,
            )
        if not keys:
            if "override" not in item:
                raise Wrong("Appended rule must have exceptions or condition property", item.where)
            return
        assert before is not None
        exceptions = read(item, self.findings, name, appending=True) if "exceptions" in keys else []
        if exceptions:
            before.exceptions = append(before.exceptions, exceptions)
        if "condition" in keys:
            before.condition.add(item.text("condition"))
        if "output" in keys:
            before.output.append(item.text("output"))
        if "desc" in keys:
            before.desc += " " + item.text("desc").value
        if "tags" in keys:
            before.tags += [tag.value for tag in item.texts("tags") or [] if tag.value not in before.tags]

    def _replace(self, item: Item, name: str, keys: Collection[str]) -> None:
        if not keys:
            return
        before = self.rules.get(name)
        if before is None:
            raise Wrong(
                "An 'override.<key>: replace' to a rule was requested but no rule by that name already exists",
                item.where,
            )
        exceptions = (
            read(item, self.findings, name, appending=False) if "exceptions" in keys else before.exceptions
        )
        before.priority = _priority(item) if "priority" in keys else before.priority
        before.enabled = item.flag("enabled", default=True) if "enabled" in keys else before.enabled
        before.exceptions = exceptions
        if "condition" in keys:
            before.condition = condition(item.text("condition"))
        if "output" in keys:
            before.output = [item.text("output")]
        if "desc" in keys:
            before.desc = item.text("desc").value
        if "tags" in keys:
            before.tags = [tag.value for tag in item.texts("tags") or []]
        if "warn_evttypes" in keys:
            before.warn_evttypes = item.flag("warn_evttypes", default=True)
        if "skip-if-unknown-filter" in keys:
            before.skip_unknown = item.flag("skip-if-unknown-filter", default=False)
        if "capture" in keys:
            before.capture = item.flag("capture", default=False)
        if "capture_duration" in keys:
            before.capture_duration = _number(item, "capture_duration")


_BOTH = "Keys 'override' and 'append: true' cannot be used together. Add an 'append' entry (e.g. 'condition: append') under 'override' instead."


def _subject(item: Item) -> tuple[str, str]:
    """The kind and name of what an item is about, as far as they can be told."""
    for key, kind in (("list", "List"), ("macro", "Macro"), ("rule", "Rule")):
        if key in item:
            try:
                return kind, item.text(key).value
            except Wrong:
                return kind, ""
    return "RulesFile", ""


def _overrides(item: Item, appendable: Collection[str], replaceable: Collection[str]) -> dict[str, str]:
    """What `override` says: key -> append or replace. Raises Wrong."""
    found = {}
    for key, text in (item.mapping("override") or {}).items():
        allowed = {"append": appendable, "replace": replaceable}
        if text.value not in allowed:
            ways = " ".join(way for way, keys in allowed.items() if key in keys)
            said = f"Invalid override operation for key '{key}': '{text.value}'. Allowed values are: {ways}"
            raise Wrong(said, text.where)
        if key not in allowed[text.value]:
            said = (
                f"Key '{key}' cannot be appended to, use 'replace' instead"
                if text.value == "append"
                else f"Key '{key}' cannot be replaced"
            )
            raise Wrong(said, text.where)
        found[key] = text.value
    return found


def _priority(item: Item) -> str:
    text = item.text("priority")
    found = priority_of(text.value)
    if found is None:
        raise Wrong("Invalid priority", text.where)
    return found


def _number(item: Item, key: str) -> int:
    text = item.maybe(key)
    if text is None:
        return 0
    if not (text.value.isascii() and text.value.isdigit()):
        raise Wrong("Can't decode YAML scalar value", text.where)
    return int(text.value)
