"""Replacements: a value from a field of one object into fields of others.

A field keeps its type: a number stays one, whatever it is replaced with, and a text stays a text. A path may lead into a text that is
itself YAML or JSON. Source: sigs.k8s.io/kustomize/api/filters/replacement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import yaml

from fairlead.dialects.kustomize.fields import REPLACEMENT, Many, Reader
from fairlead.dialects.kustomize.generating import go_json
from fairlead.dialects.kustomize.items import CLUSTER, Id, Item, Items
from fairlead.dialects.kustomize.merging import GONE
from fairlead.dialects.kustomize.patching import Transformer, refuse
from fairlead.dialects.kustomize.paths import FRESH, Astray, Sort, look_up, places, split
from fairlead.dialects.kustomize.reading import settings as read_settings
from fairlead.dialects.kustomize.roots import Refused, Root
from fairlead.dialects.kustomize.scalars import (
    Misfit,
    Null,
    Stamp,
    copied,
    is_text,
    nothing,
    plain,
    resource_scalar,
    text,
)
from fairlead.dialects.kustomize.selecting import BadSelector, Selector
from fairlead.render.packages import Mistaken
from fairlead.tongues import yamls

_DEFAULT = "metadata.name"


def replacements(listed: list[Mapping[str, Any]], root: Root, file: str) -> Transformer:
    """Return what a list of `replacements` does, with those read that are in files of their own. Raises Mistaken."""
    found: list[tuple[Mapping[str, Any], str, str]] = []
    for at, one in enumerate(listed):
        path = f".replacements[{at}]"
        if not one.get("path"):
            found.append((one, file, path))
            continue
        if "source" in one or one.get("targets"):
            refuse("cannot specify both path and inline replacement", file, path)
        found += [(read, root.file(one["path"]), "") for read in _read(one["path"], root, file, path)]
    steps = [_Replacement(*one) for one in found]

    def run(items: Items) -> None:
        for step in steps:
            step.run(items)
        items.touched()

    return run


def _read(named: str, root: Root, file: str, path: str) -> list[Mapping[str, Any]]:
    try:
        document = read_settings(root.load(named), root.file(named))
    except Refused as refused:
        refuse(refused.message, file, path, refused.hint)
    if type(document) is dict:
        document = [document]
    if type(document) is not list:
        refuse("unsupported replacement type encountered within replacement path", root.file(named))
    reader = Reader(root.file(named), strict=False)
    found: list[Mapping[str, Any]] = reader.read(document, Many(REPLACEMENT))
    if reader.mistakes:
        raise Mistaken(*reader.mistakes)
    return found


class _Replacement:
    def __init__(self, settings: Mapping[str, Any], file: str, path: str) -> None:
        self._file, self._path = file, path
        self._source: Mapping[str, Any] | None = settings.get("source")
        self._value: str | None = settings.get("sourceValue")
        if (self._source is None and self._value is None) or "targets" not in settings:
            self._refuse("replacements must specify a source and at least one target")
        if self._source is not None and self._value is not None:
            self._refuse("value and resource selectors are mutually exclusive")
        self._targets = [_Target(one, file, path) for one in settings["targets"]]

    def run(self, items: Items) -> None:
        """Find the value and put it where it belongs."""
        value = self._found(items)
        for target in self._targets:
            target.run(items, value)

    def _found(self, items: Items) -> Callable[[], Any]:
        """Return what gives the value: it is read again for each target, since one of them may be the source itself."""
        source = self._source
        if source is None:
            fixed = resource_scalar(self._value) if self._value else ""
            return lambda: fixed
        chosen = [item for item in items if item.data and _is_source(item, source)]
        said = _shown(source)
        if len(chosen) > 1:
            self._refuse(f"multiple matches for selector {said}", "name its namespace, group or version too")
        if not chosen:
            self._refuse(f"nothing selected by {said}")
        path = source.get("fieldPath") or _DEFAULT
        try:
            value = look_up(chosen[0].data, split(path))
        except Astray as astray:
            self._refuse(f"error looking up replacement source: {astray}")
        if value is GONE or nothing(value) or (type(value) in {dict, list} and not value):
            self._refuse(f"fieldPath `{path}` is missing for replacement source {said}")
        options = source.get("options", {})
        delimiter, index = options.get("delimiter", ""), options.get("index", 0)
        if not delimiter:
            found = list(places({"": chosen[0].data}, "", split(path), None)) if self._plain(path) else []
            if len(found) == 1:
                holder, key = found[0]
                return lambda: holder[key]
            return lambda: value
        if type(value) in {dict, list}:
            self._refuse("delimiter option can only be used with scalar nodes")
        parts = text(value).split(delimiter)
        if not 0 <= index < len(parts):
            self._refuse(f"options.index {index} is out of bounds for value {text(value)}")
        part = parts[index] if is_text(value) else resource_scalar(parts[index])
        return lambda: part

    @staticmethod
    def _plain(path: str) -> bool:
        """Whether a path consists of names and indices."""
        return not any(name == "-" or name.startswith("[") or name != name.strip() for name in split(path))

    def _refuse(self, message: str, hint: str = "") -> NoReturn:
        refuse(message, self._file, self._path, hint)


def _is_source(item: Item, source: Mapping[str, Any]) -> bool:
    name, namespace = source.get("name", ""), source.get("namespace", "")
    wanted = (source.get("group", ""), source.get("version", ""), source.get("kind", ""))
    for identity, written in _identities(item):
        if name and identity.name != name:
            continue
        if namespace and (written or "default") != (namespace or "default"):
            continue
        if all(
            not one or one == there
            for one, there in zip(wanted, (identity.group, identity.version, identity.kind), strict=True)
        ):
            return True
    return False


def _identities(item: Item) -> list[tuple[Id, str]]:
    """Return what an item is and was called, each with the namespace that is written."""
    now = Id(item.api_version, item.kind, item.namespace, item.name)
    return [(one, one.namespace) for one in (now, *item.former_ids())]


def _shown(source: Mapping[str, Any]) -> str:
    version = source.get("version", "")
    identity = Id(
        f"{source['group']}/{version}" if source.get("group") else version,
        source.get("kind", ""),
        source.get("namespace", "") or CLUSTER,
        source.get("name", ""),
    )
    path = source.get("fieldPath", "")
    return f"{identity}:{path}" if path else str(identity)


class _Target:
    def __init__(self, settings: Mapping[str, Any], file: str, path: str) -> None:
        self._file, self._path = file, path
        if "select" not in settings:
            refuse("target must specify resources to select", file, path)
        self._paths = settings.get("fieldPaths") or [_DEFAULT]
        options = settings.get("options", {})
        self._create = bool(options.get("create"))
        self._delimiter, self._index = options.get("delimiter", ""), options.get("index", 0)
        try:
            self._select = Selector(settings["select"])
            self._reject = [Selector(one) for one in settings.get("reject", ())]
        except BadSelector as fault:
            refuse(str(fault), file, path)

    def run(self, items: Items, value: Callable[[], Any]) -> None:
        """Put the value into the fields of what is selected."""
        for item in items:
            if not item.data or not self._select.matches_marks(item):
                continue
            if any(one.marks and one.matches_marks(item) for one in self._reject):
                continue
            identities = _identities(item)
            if any(
                one.names_something and any(one.matches_written(*pair) for pair in identities)
                for one in self._reject
            ):
                continue
            if any(self._select.matches_written(*pair) for pair in identities):
                for path in self._paths:
                    self._put(item, path, value())

    def _put(self, item: Item, path: str, value: Any) -> None:
        names = split(path)
        sort: Sort | None = None
        if self._create:
            sort = "mapping" if type(value) is dict else "list" if type(value) is list else "scalar"
        try:
            if self._in_text(item.data, names, value, sort):
                return
            found = list(places({"": item.data}, "", names, sort))
        except Astray as astray:
            refuse(f"{self._missing(path)}: {astray} ({item.kind} {item.name})", self._file, self._path)
        if not found:
            refuse(f"{self._missing(path)} ({item.kind} {item.name})", self._file, self._path)
        for holder, key in found:
            try:
                item.put(holder, key, self._replaced(holder[key], value))
            except Astray as astray:
                refuse(f"{path} of {item.kind} {item.name}: {astray}", self._file, self._path)

    def _missing(self, path: str) -> str:
        return f'unable to find {"or create " if self._create else ""}field "{path}" in replacement target'

    def _replaced(self, before: Any, value: Any) -> Any:
        scalar = type(before) not in {dict, list}
        if self._delimiter:
            if not scalar:
                raise Astray("delimiter option can only be used with scalar nodes")
            parts = ("" if before is FRESH else text(before)).split(self._delimiter)
            if self._index < 0:
                parts.insert(0, text(value))
            elif self._index >= len(parts):
                parts.append(text(value))
            else:
                parts[self._index] = text(value)
            return _retyped(before, self._delimiter.join(parts))
        if scalar:
            return _retyped(before, text(value))
        return copied(value)

    def _in_text(self, data: Any, names: list[str], value: Any, create: Sort | None) -> bool:
        """Replace within a text that is YAML or JSON, if the path leads into one."""
        for at in range(1, len(names)):
            try:
                said = look_up(data, names[:at])
            except Astray:
                continue
            if said is GONE or nothing(said) or type(said) in {dict, list}:
                continue
            source = text(said)
            try:
                changed = self._text(source, names[at:], value, create)
            except (Astray, yamls.BadYaml, yaml.YAMLError, ValueError):
                return False
            if changed is None:
                return False
            for holder, key in places({"": data}, "", names[:at], None):
                holder[key] = changed
            return True
        return False

    def _text(self, source: str, names: list[str], value: Any, create: Sort | None) -> str | None:
        parsed = {"": next(iter(yamls.load_all(source, resource_scalar)), None)}
        found = list(places(parsed, "", names, create))
        if not found:
            return None
        spots = [_trail(parsed[""], holder, key) for holder, key in found]
        befores = [holder[key] for holder, key in found]
        for holder, key in found:
            holder[key] = self._replaced(holder[key], value)
        if source.strip()[:1] in {"{", "["}:
            document = plain(parsed[""])
            return _indented(document) if "\n" in source and "  " in source else go_json(document)
        afters = [holder[key] for holder, key in found]
        edited = _edited(source, list(zip(spots, befores, afters, strict=True)))
        return edited if edited is not None else yamls.dump(plain(parsed[""])).strip()


def _retyped(before: Any, said: str) -> Any:
    """Return a text as a value of the type that was there."""
    if before is FRESH:
        return resource_scalar(said)
    if is_text(before):
        return said
    if type(before) is Misfit:
        return Misfit(said, before.why)
    found = resource_scalar(said)
    kinds = (bool, int, float, Stamp) if not nothing(before) else ()
    same = nothing(found) if nothing(before) else _kind(found, kinds) is _kind(before, kinds)
    if not same:
        return Misfit(said, f"cannot stand where {text(before)!r} is, which is no text")
    return found


def _kind(value: Any, kinds: tuple[type, ...]) -> type:
    return next((kind for kind in kinds if isinstance(value, kind)), Null)


def _indented(document: Any) -> str:
    compact = go_json(document)
    return json.dumps(json.loads(compact), indent=2, ensure_ascii=False).translate(
        {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}
    )


def _trail(value: Any, holder: Any, key: Any) -> list[Any] | None:
    """Return the keys and indices from a value to a place in it."""
    stack: list[tuple[Any, list[Any]]] = [(value, [])]
    while stack:
        one, trail = stack.pop()
        if one is holder:
            return [*trail, key]
        if type(one) is dict:
            stack.extend((below, [*trail, name]) for name, below in one.items())
        elif type(one) is list:
            stack.extend((below, [*trail, at]) for at, below in enumerate(one))
    return None


def _edited(source: str, changes: list[tuple[list[Any] | None, Any, Any]]) -> str | None:
    """Return YAML with scalars replaced where they stand, so that all else stays as it was written; None: that cannot be done."""
    top = yaml.compose(source, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    edits: list[tuple[int, int, str]] = []
    for trail, before, after in changes:
        if trail is None or before is FRESH or type(before) in {dict, list} or type(after) in {dict, list}:
            return None
        node: Any = top
        for step in trail:
            if isinstance(node, yaml.SequenceNode):
                node = node.value[step]
            else:
                node = next((below for name, below in node.value if name.value == step), None)
            if node is None:
                return None
        style = node.style or ""
        said = text(after)
        if style in {"|", ">"} or "\n" in said:
            return None
        if style == "'":
            shown = "'" + said.replace("'", "''") + "'"
        elif style == '"':
            shown = json.dumps(said, ensure_ascii=False)
        else:
            shown = yamls.dump(plain(after)).strip().removesuffix("\n...")
        edits.append((node.start_mark.index, node.end_mark.index, shown))
    for start, end, shown in sorted(edits, reverse=True):
        source = source[:start] + shown + source[end:]
    return source.strip()
