"""Changes a manifest's text and keeps its comments, order and quoting: only the lines that a change is about are touched.

Each change is made at the place of its node in the text, and what comes of it is read again and compared with what was meant: a text
that would say anything else is never returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from fairlead.dialects.manifests.reading import parse, write
from fairlead.words import Resource

_STEP = 2


class Unamendable(Exception):
    """The text cannot be changed in place; the message says why."""


def amend(text: str, line: int, after: Resource, operations: Sequence[Mapping[str, Any]]) -> str:
    """Return the file's text with one document changed.

    `line` is a 1-based line within the document, `operations` are JSON Patch operations (add, replace, remove) that turn it
    into `after`. Raises Unamendable where the document is written in a way that cannot be changed in place.
    """
    start, end = _chunk(text, line)
    chunk = text[start:end]
    for operation in operations:
        chunk = _apply(chunk, operation)
    documents, _ = parse("", chunk)
    if [one.content for one in documents] != [after]:
        raise Unamendable("the document is written in a way that cannot be changed in place")
    return text[:start] + chunk + text[end:]


def _chunk(text: str, line: int) -> tuple[int, int]:
    """Return where the document around a line starts and ends, without its separators."""
    lines = text.splitlines(keepends=True)
    marks = [
        index for index, one in enumerate(lines) if one.startswith("---") and one[3:].strip()[:1] in {"", "#"}
    ]
    first = max((mark + 1 for mark in marks if mark < line - 1 or mark == line - 1), default=0)
    last = min((mark for mark in marks if mark >= line), default=len(lines))
    return sum(map(len, lines[:first])), sum(map(len, lines[:last]))


def _apply(chunk: str, operation: Mapping[str, Any]) -> str:
    root = _compose(chunk)
    steps = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    if not steps:
        raise Unamendable("the whole document would be replaced")
    parent = root
    for step in steps[:-1]:
        parent = _child(parent, step)
    editor = _Editor(chunk)
    verb, step = operation["op"], steps[-1]
    if verb == "remove":
        return editor.remove(parent, step)
    if isinstance(parent, yaml.MappingNode):
        if verb == "replace" or _entry(parent, step) is not None:
            return editor.replace(parent, _child(parent, step), operation["value"])
        return editor.add(parent, step, operation["value"])
    if isinstance(parent, yaml.SequenceNode):
        if verb == "replace":
            return editor.replace(parent, _child(parent, step), operation["value"])
        return editor.insert(parent, step, operation["value"])
    raise Unamendable(f"nothing can be put at {operation['path']}")


def _compose(chunk: str) -> yaml.Node:
    try:
        loader = yaml.SafeLoader(chunk)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise Unamendable(str(error)) from error
    if node is None:
        raise Unamendable("the document is empty")
    return node


def _entry(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    found = None
    for pair in node.value:
        if pair[0].tag.endswith(":merge"):
            raise Unamendable("the document merges mappings by `<<`")
        if pair[0].value == key:
            found = pair
    return found


def _child(node: yaml.Node, step: str) -> yaml.Node:
    if isinstance(node, yaml.MappingNode):
        entry = _entry(node, step)
        if entry is not None:
            return entry[1]
    elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
        return node.value[int(step)]  # type: ignore[no-any-return]  # yaml's nodes are untyped inside
    raise Unamendable(f"{step} is not written in the document")


class _Editor:
    """Makes one change to a chunk of text at the places of its nodes."""

    def __init__(self, chunk: str) -> None:
        self.chunk = chunk

    def replace(self, parent: yaml.CollectionNode, node: yaml.Node, value: Any) -> str:
        """Put a value where another is."""
        self._no_alias(node)
        start, end = node.start_mark.index, self._end(node)
        if not isinstance(value, dict | list) or not value or parent.flow_style:
            flow = _flow(value)
            head = self.chunk[:start]
            if isinstance(parent, yaml.MappingNode) and head.rstrip(" ").endswith(":\n"):
                head = head.rstrip()  # what was a block below its key goes beside it
            gap = " " if head and head[-1] not in " \t[{\n" else ""
            return head + gap + flow + self.chunk[end:]
        if isinstance(parent, yaml.SequenceNode):
            block = _block(value, node.start_mark.column).lstrip()
            return self.chunk[:start] + block + self.chunk[end:]
        indent = _column(parent) + _STEP
        head = self.chunk[:start].rstrip(" ")
        if not head.endswith("\n"):
            head += "\n"
        elif start != end:  # a block that begins on its own line: its indentation is written before it
            head = self.chunk[: self._line_start(start)]
        return head + _block(value, indent) + self.chunk[end:]

    def add(self, parent: yaml.MappingNode, key: str, value: Any) -> str:
        """Add an entry at the end of a mapping."""
        if parent.flow_style:
            return self._add_flow(parent, f"{_flow(key)}: {_flow(value)}")
        indent = _column(parent)
        entry = _block({key: value}, indent)
        return self._after(self._end(parent), entry)

    def insert(self, parent: yaml.SequenceNode, step: str, value: Any) -> str:
        """Add an item to a list, before the index or at its end."""
        index = len(parent.value) if step == "-" else int(step)
        if parent.flow_style:
            if index < len(parent.value):
                at = parent.value[index].start_mark.index
                return f"{self.chunk[:at]}{_flow(value)}, {self.chunk[at:]}"
            return self._add_flow(parent, _flow(value))
        indent = parent.start_mark.column
        item = " " * indent + "- " + _block(value, indent + _STEP).lstrip()
        if index < len(parent.value):
            at = self._line_start(parent.value[index].start_mark.index)
            return f"{self.chunk[:at]}{item}\n{self.chunk[at:]}"
        return self._after(self._end(parent), item)

    def remove(self, parent: yaml.Node, step: str) -> str:
        """Take an entry or item out, with the comment at the end of its line."""
        child = _child(parent, step)
        assert isinstance(parent, yaml.CollectionNode)
        if isinstance(parent, yaml.MappingNode):
            entry = _entry(parent, step)
            assert entry is not None
            start = entry[0].start_mark.index
            siblings = [pair[0] for pair in parent.value]
            position = siblings.index(entry[0])
        else:
            start = child.start_mark.index
            siblings = list(parent.value)
            position = siblings.index(child)
        end = self._end(child)
        if parent.flow_style:
            if position + 1 < len(siblings):
                return self.chunk[:start] + self.chunk[siblings[position + 1].start_mark.index :]
            if position:
                start = self.chunk.rindex(",", 0, start)
            return self.chunk[:start] + self.chunk[end:]
        if len(siblings) == 1:
            empty = "{}" if isinstance(parent, yaml.MappingNode) else "[]"
            return self.chunk[: parent.start_mark.index] + empty + self.chunk[self._end(parent) :]
        line_start, line_end = self._line_start(start), self._line_end(end)
        if isinstance(parent, yaml.MappingNode) and self.chunk[line_start:start].strip():
            # the first key of a list item shares the line with its dash: the next key moves up
            following = siblings[position + 1].start_mark.index
            return self.chunk[:start] + self.chunk[following:]
        return self.chunk[:line_start] + self.chunk[line_end:]

    def _add_flow(self, parent: yaml.Node, text: str) -> str:
        close = parent.end_mark.index - 1
        if not parent.value:
            return self.chunk[:close].rstrip() + text + self.chunk[close:]
        at = self._end(parent.value[-1][1] if isinstance(parent, yaml.MappingNode) else parent.value[-1])
        between = ", "
        first = parent.value[0][0] if isinstance(parent, yaml.MappingNode) else parent.value[0]
        if "\n" in self.chunk[parent.start_mark.index : first.start_mark.index]:
            between = ",\n" + " " * first.start_mark.column
        return self.chunk[:at] + between + text + self.chunk[at:]

    def _after(self, at: int, block: str) -> str:
        """Put lines after the line on which a node ends."""
        end = self._line_end(at)
        head = self.chunk[:end]
        return head + ("" if head.endswith("\n") else "\n") + block + "\n" + self.chunk[end:]

    def _end(self, node: yaml.Node) -> int:
        """Return where a node's own text ends, without the blank lines and comments that follow it."""
        if isinstance(node, yaml.MappingNode) and not node.flow_style:
            return self._end(node.value[-1][1])
        if isinstance(node, yaml.SequenceNode) and not node.flow_style:
            return self._end(node.value[-1])
        end: int = node.end_mark.index
        if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
            while self.chunk[node.start_mark.index : end].endswith("\n"):
                end -= 1
        return end

    def _no_alias(self, node: yaml.Node) -> None:
        before = self.chunk[self._line_start(node.start_mark.index) : node.start_mark.index]
        if "&" in before or "*" in before.partition(":")[2]:
            raise Unamendable("the document shares values by anchors")

    def _line_start(self, at: int) -> int:
        return self.chunk.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        found = self.chunk.find("\n", at)
        return len(self.chunk) if found < 0 else found + 1


def _column(node: yaml.Node) -> int:
    """Return the column of a block mapping's keys."""
    column: int = node.value[0][0].start_mark.column if node.value else node.start_mark.column
    return column


def _flow(value: Any) -> str:
    """Return a value on one line."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=1 << 20, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...").strip()


def _block(value: Any, indent: int) -> str:
    """Return a value as indented lines, without a line break at the end."""
    if not isinstance(value, dict | list) or not value:
        return " " * indent + _flow(value)
    lines = write(value).rstrip("\n").split("\n") if isinstance(value, dict) else _items(value)
    return "\n".join(" " * indent + line if line else line for line in lines)


def _items(values: list[Any]) -> list[str]:
    lines: list[str] = []
    for value in values:
        inner = _block(value, _STEP).split("\n")
        lines += ["- " + inner[0].lstrip(), *inner[1:]]
    return lines
