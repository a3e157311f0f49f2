"""Rule files as text -> items with the places of everything in them. Understands YAML, not rules; never raises over content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from fairlead.words import Finding, Ref, Severity, Where

GROUP = "falco.org"
_TRUE = frozenset({"true", "yes", "on", "y"})
_FALSE = frozenset({"false", "no", "off", "n"})
MOST_NESTED = 50
_NULL = frozenset({"", "~", "null", "Null", "NULL"})


class Wrong(ValueError):
    """What makes an item useless: the message, and where."""

    def __init__(self, message: str, where: Where) -> None:
        super().__init__(message)
        self.message = message
        self.where = where


def finding(
    rule: str,
    message: str,
    where: Where,
    *,
    severity: Severity = Severity.CRITICAL,
    kind: str = "RulesFile",
    name: str = "",
) -> Finding:
    """Return a Finding about a rule file, or about the rule, macro or list of that `kind` and `name` in it."""
    subject = Ref(GROUP, kind, "", name or where.file)
    return Finding(rule=f"falco.{rule}", severity=severity, subject=subject, message=message, where=where)


def unknown(where: Where) -> Finding:
    """Return the finding for a key that nobody took."""
    key = where.path.rpartition(".")[2]
    return finding("unsupported", f"the key '{key}' is not supported", where, severity=Severity.WARNING)


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar: its value, and where it stands. `source` is the whole file, `start` where the scalar begins in it, `block` whether a header line comes first."""

    value: str
    where: Where
    source: str = field(default="", repr=False)
    start: int = 0
    style: str = ""

    def line(self, index: int) -> int:
        """Return the line of the file that a character of the value is on: folding changes blanks and nothing else."""
        wanted = sum(not char.isspace() for char in self.value[:index])
        at = self.start
        if self.style in {"|", ">"}:
            at = self.source.find("\n", at) + 1
        elif self.style:
            at += 1
        while at < len(self.source):
            if not self.source[at].isspace():
                if wanted == 0:
                    break
                wanted -= 1
            at += 1
        return self.source.count("\n", 0, at) + 1


class Item:
    """A cursor over a mapping that remembers what was taken; `left` gives what nobody took."""

    def __init__(self, node: yaml.MappingNode, path: str, page: Page) -> None:
        self.where = page.where(node, path)
        self._page = page
        self._path = path
        self._nodes: dict[str, yaml.Node] = {}
        self._keys: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                self._nodes[key.value] = value
                self._keys[key.value] = key
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._nodes

    def at(self, key: str) -> Where:
        """Return where a key stands."""
        node = self._keys.get(key)
        return self._page.where(node, f"{self._path}.{key}") if node is not None else self.where

    def text(self, key: str) -> Text:
        """Return the text under a key. Raises Wrong when it is absent, empty or no scalar."""
        found = self.maybe(key)
        if found is None:
            raise Wrong(f"Item has no mapping for key '{key}'", self.where)
        return found

    def maybe(self, key: str) -> Text | None:
        """Return the text under a key, or None where there is no such key. Raises Wrong when it is empty or no scalar."""
        self._taken.add(key)
        node = self._nodes.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode):
            raise Wrong("Value is not a scalar value", self.at(key))
        if not node.style and node.value in _NULL:
            raise Wrong(f"Mapping for key '{key}' is empty", self.at(key))
        if not node.value:
            raise Wrong("Value must be non-empty", self.at(key))
        return self._page.text(node, f"{self._path}.{key}")

    def flag(self, key: str, default: bool) -> bool:
        """Return the boolean under a key. Raises Wrong when it is none."""
        found = self.maybe(key)
        if found is None:
            return default
        if found.value.lower() not in _TRUE | _FALSE:
            raise Wrong("Can't decode YAML scalar value", self.at(key))
        return found.value.lower() in _TRUE

    def texts(self, key: str) -> list[Text] | None:
        """Return the texts of the list under a key, or None where there is no such key. Raises Wrong when it is something else."""
        self._taken.add(key)
        node = self._nodes.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.SequenceNode):
            raise Wrong("Value is not a sequence", self.at(key))
        found = []
        for index, value in enumerate(node.value):
            path = f"{self._path}.{key}[{index}]"
            if not isinstance(value, yaml.ScalarNode) or (not value.style and value.value in _NULL):
                raise Wrong("sequence value is not scalar", self._page.where(value, path))
            found.append(self._page.text(value, path))
        return found

    def items(self, key: str, sort: str) -> list[Item] | None:
        """Return a cursor for each mapping of the list under a key; None where there is no such key or nothing under it.

        Raises Wrong, in words about `sort`.
        """
        self._taken.add(key)
        node = self._nodes.get(key)
        if node is None or (isinstance(node, yaml.ScalarNode) and not node.style and node.value in _NULL):
            return None
        if not isinstance(node, yaml.SequenceNode):
            raise Wrong(f"{sort} must be a sequence", self.at(key))
        found = []
        for index, value in enumerate(node.value):
            path = f"{self._path}.{key}[{index}]"
            if not isinstance(value, yaml.MappingNode):
                raise Wrong(f"{sort}: every entry must be a mapping", self._page.where(value, path))
            found.append(Item(value, path, self._page))
        return found

    def mapping(self, key: str) -> dict[str, Text] | None:
        """Return the texts of the mapping under a key, or None where there is no such key. Raises Wrong when it is something else."""
        self._taken.add(key)
        node = self._nodes.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.MappingNode):
            raise Wrong("Value is not a mapping", self.at(key))
        found = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode) or not isinstance(value, yaml.ScalarNode):
                raise Wrong("Value is not a mapping of texts", self.at(key))
            found[name.value] = self._page.text(value, f"{self._path}.{key}.{name.value}")
        return found

    def entry(self, key: str) -> Entry | None:
        """Return the text, or the list of texts and lists, under a key; None where there is no such key. Raises Wrong."""
        self._taken.add(key)
        node = self._nodes.get(key)
        return None if node is None else self._entry(node, f"{self._path}.{key}", 0)

    def _entry(self, node: yaml.Node, path: str, depth: int) -> Entry:
        where = self._page.where(node, path)
        if isinstance(node, yaml.ScalarNode):
            if not node.value:
                raise Wrong("Value must be non-empty", where)
            return Entry(where, node.value)
        if not isinstance(node, yaml.SequenceNode) or depth > 3:
            raise Wrong("Could not decode scalar value", where)
        parts = tuple(
            self._entry(value, f"{path}[{index}]", depth + 1) for index, value in enumerate(node.value)
        )
        return Entry(where, "", parts, listed=True)

    def ignore(self) -> None:
        """Take all that is left, unread."""
        self._taken.update(self._nodes)

    def left(self) -> list[Where]:
        """Return the place of each key that nobody took."""
        return [self.at(key) for key in self._nodes if key not in self._taken]


@dataclass(frozen=True, slots=True)
class Entry:
    """A text, or (`listed`) a list of entries: fields, comparisons and values of an exception."""

    where: Where
    text: str = ""
    parts: tuple[Entry, ...] = ()
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One file, as places in it are told."""

    file: str
    source: str
    starts: tuple[int, ...]

    def where(self, node: yaml.Node, path: str) -> Where:
        """Return the place of a node."""
        return Where(self.file, node.start_mark.line + 1, path)

    def text(self, node: yaml.ScalarNode, path: str) -> Text:
        """Return the text of a scalar."""
        mark = node.start_mark
        return Text(
            node.value,
            self.where(node, path),
            self.source,
            self.starts[mark.line] + mark.column,
            node.style or "",
        )


def items(file: str, source: str, findings: list[Finding]) -> Iterator[Item]:
    """Every item of a rule file, of all its documents. What is no YAML, or no list of mappings, becomes a finding."""
    starts = [0]
    starts += [index + 1 for index, char in enumerate(source) if char == "\n"]
    page = Page(file, source, tuple(starts))
    try:
        for number, node in enumerate(_compose(source)):
            yield from _document(node, f"{{{number}}}" if number else "", page, findings)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        said = f"not YAML: {error.problem or error.context}"
        findings.append(finding("yaml", said, Where(file, mark.line + 1 if mark else 0)))
    except (yaml.YAMLError, ValueError) as error:
        findings.append(finding("yaml", f"not YAML: {error}", Where(file)))


def _compose(source: str) -> Iterator[yaml.Node]:
    """The documents of a text as nodes. PyYAML's own composer is not used: deep nesting makes it overrun the stack."""
    stack: list[yaml.Node] = []
    keys: list[yaml.Node | None] = []
    anchors: dict[str, yaml.Node] = {}
    for event in yaml.parse(source, Loader=yaml.CSafeLoader):
        node: yaml.Node | None = None
        start: Any = event.start_mark
        end: Any = event.end_mark
        if isinstance(event, yaml.DocumentStartEvent):
            anchors = {}
        elif isinstance(event, yaml.ScalarEvent):
            node = yaml.ScalarNode(event.tag or "", event.value, start, end, style=event.style)
        elif isinstance(event, yaml.AliasEvent):
            node = anchors.get(event.anchor or "")
            if node is None:
                raise yaml.MarkedYAMLError(None, None, f"found undefined alias {event.anchor!r}", start)
        elif isinstance(event, yaml.CollectionStartEvent):
            sort = yaml.SequenceNode if isinstance(event, yaml.SequenceStartEvent) else yaml.MappingNode
            stack.append(sort(event.tag or "", [], start, end))
            keys.append(None)
            if len(stack) > MOST_NESTED:
                raise yaml.MarkedYAMLError(None, None, f"nested deeper than {MOST_NESTED} levels", start)
            if event.anchor:
                anchors[event.anchor] = stack[-1]
            continue
        elif isinstance(event, yaml.CollectionEndEvent):
            node = stack.pop()
            keys.pop()
        if node is None:
            continue
        if isinstance(event, yaml.ScalarEvent) and event.anchor:
            anchors[event.anchor] = node
        if not stack:
            yield node
        elif isinstance(stack[-1], yaml.SequenceNode):
            stack[-1].value.append(node)
        else:
            key = keys[-1]
            keys[-1] = node if key is None else None
            if key is not None:
                stack[-1].value.append((key, node))


def _document(node: yaml.Node | None, path: str, page: Page, findings: list[Finding]) -> Iterator[Item]:
    if node is None or (isinstance(node, yaml.ScalarNode) and node.value in _NULL):
        return
    if not isinstance(node, yaml.SequenceNode):
        said = (
            "Rules content is not yaml array of objects"
            if isinstance(node, yaml.MappingNode)
            else "Rules content is not yaml"
        )
        findings.append(finding("yaml", said, page.where(node, path)))
        return
    for index, value in enumerate(node.value):
        here = f"{path}[{index}]"
        if isinstance(value, yaml.MappingNode):
            yield Item(value, here, page)
        elif not (isinstance(value, yaml.ScalarNode) and value.value in _NULL):
            said = "Unexpected element type. Each element should be a yaml associative array."
            findings.append(finding("item", said, page.where(value, here)))
