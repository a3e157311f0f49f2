"""The transformers that set fields: names, namespaces, labels, annotations, images, replicas, values; and the order of objects.

Each is a function of its settings that returns a function of the items, which it changes in place. Both raise Mistaken.
Source: sigs.k8s.io/kustomize/api/internal/builtins and api/filters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from fairlead.dialects.kustomize import defaults
from fairlead.dialects.kustomize.fieldspecs import FieldSpec, Specs, Unfit, Visitor, follow, split, visit
from fairlead.dialects.kustomize.items import CLUSTER, Id, Item, Items
from fairlead.dialects.kustomize.patching import Transformer, refuse
from fairlead.dialects.kustomize.scalars import entered, hollow, nothing, text
from fairlead.dialects.kustomize.schemas import Schemas
from fairlead.dialects.kustomize.selecting import BadSelector, Selector

_UNNAMED: Final = ("CustomResourceDefinition", "Namespace")
_ROLE_BINDINGS: Final = frozenset({"RoleBinding", "ClusterRoleBinding"})
_SUBJECTS: Final = ("defaultOnly", "none", "allServiceAccounts")


def affix(prefix: str, suffix: str, specs: Specs) -> Transformer:
    """Put a prefix before and a suffix after names."""

    def run(items: Items) -> None:
        schemas = items.schemas
        for item in items:
            first = item.original(schemas)
            if first.kind in _UNNAMED or (
                first.kind == "APIService" and first.group == "apiregistration.k8s.io"
            ):
                continue
            for spec in specs:
                if not spec.selects(first.api_version, first.kind):
                    continue
                if spec.path == "metadata/name":
                    if prefix:
                        item.prefixes.append(prefix)
                    if suffix:
                        item.suffixes.append(suffix)
                    if prefix or suffix:
                        item.remember(schemas)
                visit(item, spec, put, str)
        items.touched()

    def put(holder: Any, key: Any) -> None:
        _scalar(holder, key)
        before = holder[key]
        holder[key] = f"{prefix}{'' if nothing(before) and not text(before) else text(before)}{suffix}"

    return run


def namespace(
    name: str, specs: Specs, file: str, *, unset_only: bool = False, subjects: str = ""
) -> Transformer:
    """Put objects into a namespace, and the subjects of role bindings with them: those named default, all, or none."""
    mode = subjects or "defaultOnly"
    if mode not in _SUBJECTS:
        refuse(
            f'invalid value "{mode}" for setRoleBindingSubjects: must be one of "{_SUBJECTS[0]}", "{_SUBJECTS[1]}" or "{_SUBJECTS[2]}"',
            file,
        )

    def put(holder: Any, key: Any) -> None:
        _scalar(holder, key)
        if not unset_only or hollow(holder[key]):
            holder[key] = name

    def run(items: Items) -> None:
        schemas = items.schemas
        ids = Counter(item.id(schemas) for item in items if item.data)
        visitor = Visitor(spec for spec in specs if spec.path != "metadata/namespace")
        for item in items:
            if not item.data or item.from_chart:
                continue
            before = item.id(schemas)
            item.remember(schemas)
            place(item, schemas)
            for spec in visitor.specs(item):
                if spec.path == "metadata/name" and item.api_version != "v1":
                    continue
                if spec.path == "subjects/namespace" and item.kind in _ROLE_BINDINGS:
                    continue
                follow(item, spec, put, str)
            after = item.id(schemas)
            if after != before:
                ids[before] -= 1
                ids[after] += 1
            if ids[after] != 1:
                refuse(
                    f"namespace transformation produces ID conflict: {after} is there {ids[after]} times",
                    item.file,
                    hint=f"two objects of the same name would come into the namespace {name}",
                )
        items.touched()

    def place(item: Item, schemas: Schemas) -> None:
        if not schemas.cluster_scoped(item.api_version, item.kind):
            visit(item, _NAMESPACE, put, str)
        if item.kind in _ROLE_BINDINGS and mode != "none":
            wanted = ("name", "default") if mode == "defaultOnly" else ("kind", "ServiceAccount")
            found = item.data.get("subjects")
            if found is not None and type(found) is not list and not nothing(found):
                refuse("subjects must be a list", item.file, ".subjects")
            for subject in found if type(found) is list else ():
                if type(subject) is dict and text(subject.get(wanted[0], "")) == wanted[1]:
                    subject.setdefault("namespace", "")
                    put(subject, "namespace")

    return run


_NAMESPACE: Final = FieldSpec("metadata/namespace", create=True)


def entries(values: Mapping[str, str], specs: Specs) -> Transformer:
    """Set labels or annotations."""
    ordered = [(key, entered(values[key])) for key in sorted(values, key=str.encode)]

    def run(items: Items) -> None:
        if not ordered:
            return
        visitor = Visitor(specs)
        for item in items:
            if item.data:
                _enter(item, visitor, ordered)

    return run


def _enter(item: Item, visitor: Visitor, entered: list[tuple[str, str]]) -> None:
    added: dict[str, list[tuple[Any, Any]]] = {}

    def put(holder: Any, key: Any) -> None:
        found = holder[key]
        if type(found) is not dict:
            if not nothing(found):
                raise Unfit(f"wrong node kind: expected MappingNode at {key}")
            return
        for name, value in entered:
            if name in found:
                item.put(found, name, value)
            else:
                found[name] = value
                added.setdefault(name, []).append((found, name))

    visitor.visit(item, put, dict)
    for places in added.values():
        if len(places) > 1:
            for holder, name in places:
                item.shared[id(holder), name] = places


def replicas(name: str, count: int, specs: Specs, file: str, path: str = "") -> Transformer:
    """Set how many replicas the object of a name has."""

    def put(holder: Any, key: Any) -> None:
        _scalar(holder, key)
        holder[key] = count

    def run(items: Items) -> None:
        found = False
        named = [
            (
                item,
                tuple({one[:2] for one in (*item.former_ids(), item.id(items.schemas)) if one.name == name}),
            )
            for item in items
            if item.data
        ]
        for spec in specs:
            for item, kinds in named:
                if any(spec.selects(*kind) for kind in kinds):
                    found = True
                    visit(item, spec, put, lambda: 0)
        if not found:
            kinds_shown = ", ".join(spec.kind for spec in specs)
            refuse(
                f"resource with name {name} does not match a config with the following GVK [{kinds_shown}]",
                file,
                path,
            )

    return run


_DIGESTED: Final = r"(:[a-zA-Z0-9_.{}-]*)?(@[a-zA-Z0-9]+([.+_-][a-zA-Z0-9]+)*:[a-zA-Z0-9_.{}-]*)?$"
_SIMPLE = re.compile(r"[\w/:-]+\Z")


@lru_cache(maxsize=256)
def _image_matcher(name: str) -> Callable[[str], Any]:
    """Return what tells whether an image is the one that is named; the name may be an expression."""
    if _SIMPLE.match(name):
        return re.compile(f"^{name}{_DIGESTED}").match
    from fairlead.tongues import regexes  # only where a tree needs expressions

    try:
        return regexes.finder(f"^{name}{_DIGESTED}")
    except regexes.BadPattern:
        return lambda _: False


def split_image(image: str) -> tuple[str, str, str]:
    """Return the name, the tag and the digest of an image."""
    slash = max(image.find("/"), 0)
    colon, at = image.find(":", slash), image.find("@", slash)
    if colon < 0 and at < 0:
        return image, "", ""
    if at >= 0 and (at < colon or colon < 0):
        return image[:at], "", image[at + 1 :]
    if at >= 0:
        return image[:colon], image[colon + 1 : at], image[at + 1 :]
    return image[:colon], image[colon + 1 :], ""


def image(settings: Mapping[str, Any], specs: Specs) -> Transformer:
    """Give images of a name another name, tag or digest."""
    matches = _image_matcher(settings.get("name", ""))
    new_name, new_tag = settings.get("newName", ""), settings.get("newTag", "")
    digest, suffix = settings.get("digest", ""), settings.get("tagSuffix", "")

    @lru_cache(maxsize=1024)
    def changed(value: str) -> str:
        if not matches(value):
            return value
        name, tag, known = split_image(value)
        if new_tag:
            tag, known = new_tag, digest
        elif digest:
            tag, known = "", digest
        elif suffix:
            tag, known = tag + suffix, ""
        return f"{new_name or name}{':' if tag else ''}{tag}{'@' if known else ''}{known}"

    def put(holder: Any, key: Any) -> None:
        _scalar(holder, key)
        if nothing(holder[key]):
            return
        before = text(holder[key])
        after = changed(before)
        if after != before:
            holder[key] = after

    def containers(value: Any) -> None:
        stack = [value]
        while stack:
            one = stack.pop()
            if type(one) is list:
                stack += one
            elif type(one) is dict:
                for key, below in one.items():
                    if type(below) is list and key in {"containers", "initContainers"}:
                        _images(below)
                    if type(below) is dict or type(below) is list:
                        stack.append(below)

    def _images(listed: list[Any]) -> None:
        for container in listed:
            if type(container) is dict and "image" in container:
                put(container, "image")
            elif type(container) is not dict and not nothing(container):
                raise Unfit("wrong node kind: expected MappingNode")

    def run(items: Items) -> None:
        visitor = Visitor(specs)
        for item in items:
            if item.data and item.kind != "CustomResourceDefinition":
                try:
                    containers(item.data)
                except Unfit as unfit:
                    refuse(f"images of {item.kind} {item.name}: {unfit}", item.file)
                visitor.visit(item, put)

    return run


def value_add(value: str, targets: Iterable[Mapping[str, Any]], file: str) -> Transformer:
    """Add a value to fields, or as one part of the file paths that they hold."""
    listed = list(targets)
    if not listed:
        refuse("must specify at least one target", file)
    chosen: list[tuple[Selector | None, str, int]] = []
    for at, target in enumerate(listed):
        path, position = target.get("fieldPath", ""), target.get("filePathPosition", 0)
        if not path:
            refuse("fieldPath cannot be empty", file, f".targets[{at}]")
        if position < 0:
            refuse(f"value of FilePathPosition ({position}) cannot be negative", file, f".targets[{at}]")
        try:
            selector = Selector(target["selector"]) if "selector" in target else None
        except BadSelector as fault:
            refuse(str(fault), file, f".targets[{at}]")
        chosen.append((selector, path, position))

    def add(item: Item, path: str, position: int) -> None:
        names = split(path)
        holder: Any = item.data
        for name in names[:-1]:
            if type(holder) is not dict:
                refuse(f"{path} leads nowhere in {item.kind} {item.name}", file)
            if nothing(holder.get(name)):
                holder[name] = {}
            holder = holder[name]
        if type(holder) is not dict or type(holder.get(names[-1])) in {dict, list}:
            refuse(f"{path} is no scalar of {item.kind} {item.name}", file)
        before = holder.get(names[-1])
        said = "" if nothing(before) else text(before)
        holder[names[-1]] = _inserted(said, position - 1, value) if position else value

    def run(items: Items) -> None:
        for selector, path, position in chosen:
            for item in items if selector is None else selector.select(items, items.schemas):
                if path == "metadata/namespace":
                    if not items.schemas.cluster_scoped(item.api_version, item.kind):
                        item.move(value)
                else:
                    add(item, path, position)
        items.touched()

    return run


def _inserted(path: str, position: int, part: str) -> str:
    """Return a file path with one more part before the one at a position, or at the end."""
    if not part:
        return path
    parts = path.split("/")
    if path in {"", "/"}:
        return f"{path}{part}"
    rooted = parts[0] == ""
    names = [one for one in parts if one]
    names.insert(position, part)
    joined = "/".join(names)
    trailing = "/" if path.endswith("/") else ""
    return f"{'/' if rooted else ''}{joined}{trailing}"


def sort(options: Mapping[str, Any], file: str) -> Transformer:
    """Put objects in the order that `sortOptions` asks for."""
    order, legacy = options.get("order", ""), options.get("legacySortOptions")
    if order not in {"fifo", "legacy"}:
        refuse("the field 'sortOptions.order' must be one of [fifo, legacy]", file, ".sortOptions.order")
    if order == "fifo":
        if legacy is not None:
            refuse(
                "the field 'sortOptions.legacySortOptions' is set but the selected sort order is 'fifo', not 'legacy'",
                file,
                ".sortOptions",
            )
        return lambda _: None
    first = defaults.FIRST if legacy is None else legacy.get("orderFirst", ())
    last = defaults.LAST if legacy is None else legacy.get("orderLast", ())
    ranks = {
        **{kind: at - len(first) for at, kind in enumerate(first)},
        **{kind: at + 1 for at, kind in enumerate(last)},
    }

    def key(pair: tuple[Id, Item]) -> tuple[int, str, str]:
        found, item = pair
        group, version, kind = found.group or "~G", found.version or "~V", found.kind or "~K"
        name = f"{item.namespace or '~X'}|{found.name or '~N'}"
        if kind == "Namespace" and group == "~G":
            group = ""  # the core group's come first
        return ranks.get(found.kind, 0), f"{group}_{version}_{kind}", name

    def run(items: Items) -> None:
        pairs = sorted(((item.id(items.schemas), item) for item in items), key=key)
        items.list = [item for _, item in pairs]

    return run


def _scalar(holder: Any, key: Any) -> None:
    if type(holder[key]) in {dict, list}:
        raise Unfit(f"wrong node kind: expected ScalarNode at {key}")


__all__ = [
    "CLUSTER",
    "affix",
    "entries",
    "image",
    "namespace",
    "replicas",
    "sort",
    "split_image",
    "value_add",
]
