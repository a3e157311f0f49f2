"""Layers of values as plain data, and where in their texts each value was written.

Reading is quick, as nearly all values are right; places are found only when a mistake has to be shown, by reading the text once more.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from fairlead.render import overrides
from fairlead.render.packages import Layer, Mistake
from fairlead.tongues import yamls
from fairlead.tongues.paths import Path, dotted
from fairlead.words import Where

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written: file, line and path; the column from 1 (0: unknown), the line itself, and the value as it stands there.

    `tree` is what the layer says that it was found in.
    """

    where: Where
    column: int = 0
    excerpt: str = ""
    raw: str = ""
    tree: Any = None


@dataclass(slots=True)
class Given:
    """What the layers say together, what of them cannot be read, and the places of it all."""

    values: dict[str, Any]
    mistakes: list[Mistake] = field(default_factory=list)
    layers: list[tuple[Layer, dict[str, Any]]] = field(default_factory=list)

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Return where the value at a path was written last, or what is nearest above it. `key`: where its key was."""
        for size in range(len(path), 0, -1):
            for layer, tree in reversed(self.layers):
                if _has(tree, path[:size]):
                    exact = size == len(path)
                    return _placed(layer, tree, path[:size], dotted(path), key=key and exact, exact=exact)
        return Place(Where("", 0, dotted(path)))


def read(layers: Sequence[Layer]) -> Given:
    """Return the values of all layers, merged. Nothing is raised: a layer that cannot be read is left out and told."""
    given = Given({})
    for layer in sorted(layers, key=lambda layer: overrides.ORDER.index(layer.sort)):
        if layer.sort == "file":
            tree = _file(layer, given.mistakes)
            given.values = overrides.overlaid(given.values, tree)
        else:
            tree = {}
            try:
                overrides.apply_set(tree, layer.text, layer.sort)
            except overrides.BadOverride as fault:
                given.mistakes.append(_bad_option(layer, str(fault)))
                continue
            merged = copy.deepcopy(given.values)
            try:
                overrides.apply_set(merged, layer.text, layer.sort)
            except overrides.BadOverride:
                merged = overrides.overlaid(given.values, tree)  # the type says what is wrong with it
            given.values = merged
        given.layers.append((layer, tree))
    return given


def _bad_option(layer: Layer, said: str) -> Mistake:
    hint = ""
    if "has no value" in said and "=" not in layer.text:
        hint = f"write {layer.name} {layer.text}=VALUE"
    elif "cannot end with ," in said:
        hint = "a comma in a value has a backslash before it: \\,"
    elif "must terminate" in said:
        hint = "a list is written {one,two}; mind your shell: put it in quotes"
    return Mistake(
        f"{layer.name} cannot be read: {said}",
        Where(layer.name),
        excerpt=f"{layer.name} {layer.text}",
        hint=hint,
    )


def _file(layer: Layer, mistakes: list[Mistake]) -> dict[str, Any]:
    try:
        found = yamls.load(layer.text)
    except yamls.BadYaml as fault:
        try:
            found = json.loads(layer.text)  # JSON may have tabs where YAML may not
        except (ValueError, RecursionError):
            mistakes.append(_bad_yaml(layer, fault))
            return {}
    if found is None:
        return {}
    if not isinstance(found, dict):
        kind = "a list" if isinstance(found, list) else "a single value"
        line = next(
            (number for number, text in enumerate(layer.text.splitlines(), 1) if text.strip("- \t")), 1
        )
        mistakes.append(
            Mistake(
                f"values are a mapping, and this is {kind}", Where(layer.name, line), hint="write name: value"
            )
        )
        return {}
    return found


def _bad_yaml(layer: Layer, fault: yamls.BadYaml) -> Mistake:
    lines = layer.text.splitlines()
    excerpt = lines[fault.line - 1] if 0 < fault.line <= len(lines) else ""
    hint = ""
    message = f"is not YAML: {fault.message}"
    if "\t" in excerpt[: len(excerpt) - len(excerpt.lstrip())] or "cannot start any token" in fault.message:
        hint = "indent with blanks: YAML has no tabs" if "\t" in excerpt else "put the value in quotes"
    elif "mapping values are not allowed" in fault.message:
        hint = "a text with a colon and a blank in it has quotes around it"
    elif "written twice" in fault.message:
        message, hint = fault.message, "keep one of them"
    elif "did not find expected key" in fault.message or "could not find expected" in fault.message:
        hint = "look at the indentation and the colons of the lines above"
    return Mistake(message, Where(layer.name, fault.line), fault.column, excerpt, hint)


def _has(tree: Any, path: Path) -> bool:
    for step in path:
        in_list = isinstance(tree, list) and isinstance(step, int) and step < len(tree)
        if not in_list and not (isinstance(tree, dict) and step in tree):
            return False
        tree = tree[step]
    return True


def _placed(layer: Layer, tree: Any, path: Path, shown: str, *, key: bool, exact: bool) -> Place:
    if layer.sort != "file":
        text = f"{layer.name} {layer.text}"
        return Place(Where(layer.name, 0, shown), 0, text, _raw_of(layer) if exact else "", tree)
    try:
        yamls.check_depth(layer.text)
        node = yaml.compose(layer.text, Loader=_LOADER)
    except (yaml.YAMLError, yamls.BadYaml, RecursionError):
        return Place(Where(layer.name, 0, shown), tree=tree)
    mark = node.start_mark if node is not None else None
    raw = ""
    for depth, step in enumerate(path):
        found = _inner(node, step)
        if found is None:
            break
        key_mark, node = found
        last = depth == len(path) - 1
        mark = key_mark if last and (key or not exact) else node.start_mark
        raw = node.value if last and exact and isinstance(node, yaml.ScalarNode) else ""
    lines = layer.text.splitlines()
    line = mark.line + 1 if mark is not None else 0
    excerpt = lines[line - 1] if 0 < line <= len(lines) else ""
    return Place(
        Where(layer.name, line, shown), mark.column + 1 if mark is not None else 0, excerpt, raw, tree
    )


def _raw_of(layer: Layer) -> str:
    return layer.text.partition("=")[2]


def _inner(node: Any, step: str | int) -> tuple[Any, Any] | None:
    """Return where a step of a path begins, and its node."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark, node.value[step]
    if isinstance(node, yaml.MappingNode):
        merged: list[Any] = []
        for key, value in node.value:
            if key.value == step or (isinstance(key, yaml.ScalarNode) and _spelt(key.value) == step):
                return key.start_mark, value
            if key.value == "<<":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
        for one in merged:
            found = _inner(one, step)
            if found is not None:
                return found
    return None


def _spelt(key: str) -> str:
    """Return a key as YAML reads it, for those that are numbers or booleans."""
    value = yamls.scalar(key)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def located(file: str, text: str, path: Path, *, key: bool = False) -> tuple[Where, int, str]:
    """Return where a path of a YAML text is written (or the nearest above it): the place, the column from 1, and the line itself."""
    try:
        yamls.check_depth(text)
        node = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, yamls.BadYaml, RecursionError):
        return Where(file, 0, dotted(path)), 0, ""
    mark = node.start_mark if node is not None else None
    for depth, step in enumerate(path):
        found = _inner(node, step)
        if found is None:
            break
        mark = found[0] if key and depth == len(path) - 1 else found[1].start_mark
        node = found[1]
    lines = text.splitlines()
    line = mark.line + 1 if mark is not None else 0
    excerpt = lines[line - 1] if 0 < line <= len(lines) else ""
    return Where(file, line, dotted(path)), mark.column + 1 if mark is not None else 0, excerpt
