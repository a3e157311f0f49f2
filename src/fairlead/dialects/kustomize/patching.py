"""Patches: strategic merge or JSON 6902, from a file or written in place, for the objects that they name or that a target selects.

Source: sigs.k8s.io/kustomize/api/internal/builtins (PatchTransformer, PatchStrategicMergeTransformer, PatchJson6902Transformer).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from fairlead.dialects.kustomize.items import Item, Items
from fairlead.dialects.kustomize.merging import Unmergeable, merge
from fairlead.dialects.kustomize.reading import NoResource, decoded, read
from fairlead.dialects.kustomize.roots import Refused, Root
from fairlead.dialects.kustomize.scalars import Unprintable, copied, nothing, plain, settings_scalar, text
from fairlead.dialects.kustomize.selecting import BadSelector, Selector
from fairlead.render.packages import Mistake, Mistaken
from fairlead.tongues import yamls
from fairlead.words import Where

Transformer = Callable[[Items], None]


def refuse(message: str, file: str, path: str = "", hint: str = "") -> NoReturn:
    """Raise the mistake."""
    raise Mistaken(Mistake(message, Where(file, 0, path), hint=hint))


def patch(settings: Mapping[str, Any], root: Root, file: str, path: str) -> Transformer:
    """Return what one entry of `patches` does. Raises Mistaken."""
    inline = settings.get("patch", "").strip()
    named = settings.get("path", "")
    if not inline and not named:
        refuse("must specify one of patch and path", file, path)
    if inline and named:
        refuse("patch and path can't be set at the same time", file, path)
    text, source = (inline, file) if inline else _loaded(root, named, file, path)
    merges, operations = _strategic(text, source), _operations(text)
    if merges and operations:
        refuse("illegally qualifies as both an SM and JSON patch", source, path)
    if merges is None and operations is None:
        refuse(
            "unable to parse SM or JSON patch",
            source,
            path,
            "a patch is an object with apiVersion, kind and metadata.name, or a list of JSON 6902 operations",
        )
    target = settings.get("target")
    chosen = _selector(target, file, f"{path}.target") if target is not None else None
    if merges is not None:
        options = settings.get("options", {})
        for one in merges:
            one.change_name = one.change_name or options.get("allowNameChange", False)
            one.change_kind = one.change_kind or options.get("allowKindChange", False)
        return lambda items: _merge_all(items, merges, chosen, source, path)
    assert operations is not None
    if not operations:
        return lambda _: None
    if chosen is None:
        refuse("must specify a target for a JSON patch", file, path, "add a target with kind and name")
    return lambda items: _operate(items, operations, chosen, source, path, remember=True)


def strategic(
    paths: Sequence[str], inline: str, root: Root, file: str, path: str = ".patchesStrategicMerge"
) -> Transformer:
    """Return what `patchesStrategicMerge` does: each entry is a file or a patch itself. Raises Mistaken."""
    if not paths and not inline:
        refuse("empty file path and empty patch content", file, path)
    found: list[Item] = []
    for at, one in enumerate([*paths, *([inline] if inline else [])]):
        patches = _strategic(one, file)
        if patches is None:
            if at == len(paths):
                refuse("holds no strategic merge patch", file, f"{path}[{at}]")
            said, source = _loaded(root, one, file, f"{path}[{at}]")
            try:
                patches = read(said, source)
            except NoResource as fault:
                raise Mistaken(Mistake(fault.message, Where(source, fault.line), fault.column)) from None
        found += patches
    if not found:
        refuse(f"patch appears to be empty; files={list(paths)}", file, path)

    def run(items: Items) -> None:
        for one in found:
            target = items.one_called(one.original(items.schemas), one.file)
            apply(items, [target], one, normalize=True)

    return run


def operations(settings: Mapping[str, Any], root: Root, file: str, path: str) -> Transformer:
    """Return what one entry of `patchesJson6902` does. Raises Mistaken."""
    target = settings.get("target")
    if not isinstance(target, dict) or not target.get("name"):
        refuse("must specify the target name", file, path)
    inline, named = settings.get("patch", ""), settings.get("path", "")
    if not inline and not named:
        refuse("empty file path and empty jsonOp", file, path)
    if inline and named:
        refuse("must specify a file path or jsonOp, not both", file, path)
    text, source = (inline, file) if inline else _loaded(root, named, file, path)
    found = _operations(text)
    if found is None:
        refuse("is no list of JSON 6902 operations", source, "" if named else path)
    if not found:
        refuse("patch appears to be empty", source, "" if named else path)
    chosen = _selector(target, file, f"{path}.target")
    return lambda items: _operate(items, found, chosen, source, path, remember=False)


def apply(items: Items, targets: Sequence[Item], one: Item, *, normalize: bool) -> None:
    """Merge a patch into items. With `normalize` its labels and annotations are read as texts first. Raises Mistaken."""
    changes = one.change_name or one.change_kind
    moved = False
    for target in targets:
        mine = one.copy()
        if normalize:
            mine.set_texts("labels", mine.texts("labels"))
            mine.set_texts("annotations", mine.texts("annotations"))
            if target.api_version:
                mine.data["apiVersion"] = target.api_version
        name, namespace, kind = target.name, target.namespace, target.kind
        if changes:
            target.remember(items.schemas)
        loses = _loses_annotations(mine.data)
        try:
            target.data = merge(target.data, mine.data, items.schemas, target.put)
        except Unmergeable as fault:
            refuse(f"cannot be merged into {kind} {name}: {fault}", one.file)
        if target.data is None:
            moved = True
            continue
        if loses:
            target.forget()
        if not one.change_kind:
            target.data["kind"] = kind
        if not one.change_name:
            target.rename(name)
        target.move(namespace)
        moved = moved or changes
    if moved:
        if normalize:
            items.keep([item for item in items if item.data])
        else:
            items.touched()


def _loses_annotations(patch: Mapping[str, Any]) -> bool:
    """Whether a patch removes or replaces all annotations."""
    meta = patch.get("metadata")
    for part in (meta, meta.get("annotations", {}) if type(meta) is dict else {}):
        if nothing(part) or (type(part) is dict and text(part.get("$patch", "")) in {"delete", "replace"}):
            return True
    return False


def _merge_all(items: Items, merges: Sequence[Item], chosen: Selector | None, source: str, path: str) -> None:
    if chosen is None:
        for one in merges:
            wanted = one.original(items.schemas)
            try:
                target = items.one_called(wanted, source)
            except Mistaken as mistaken:
                fault = mistaken.mistakes[0]
                message = f'no resource matches strategic merge patch "{wanted}": {fault.message}'
                raise Mistaken(Mistake(message, Where(source, 0, path), hint=fault.hint)) from None
            apply(items, [target], one, normalize=False)
        return
    if len(merges) > 1:
        refuse(
            "Multiple Strategic-Merge Patches in one `patches` entry is not allowed to set `patches.target` field",
            source,
            path,
            "write one entry for each patch",
        )
    if merges:
        apply(items, chosen.select(items, items.schemas), merges[0], normalize=True)


def _operate(
    items: Items, operations: list[Any], chosen: Selector, source: str, path: str, *, remember: bool
) -> None:
    from fairlead.tongues import jsonpatch  # only where a tree has such patches

    run = jsonpatch.compile(operations)
    for item in chosen.select(items, items.schemas):
        if remember:
            item.remember(items.schemas)
        try:
            found = run(_annotated(item))
        except (jsonpatch.Unpatchable, Unprintable) as fault:
            refuse(f"cannot be applied to {item.kind} {item.name}: {fault}", source, path)
        if type(found) is not dict:
            refuse(f"leaves of {item.kind} {item.name} no object", source, path)
        item.data = copied(found)
        item.shared = {}
        _read_marks(item)
    items.touched()


_ORIGIN: Final = "config.kubernetes.io/origin"
_TRANSFORMATIONS: Final = "alpha.config.kubernetes.io/transformations"


def _annotated(item: Item) -> Any:
    """Return an item's data as operations find it: what is known of it counts as annotations, which they may add to or replace."""
    data = plain(item.data)
    meta = data.get("metadata")
    if type(meta) is not dict or not (item.former or item.hashed or item.behavior or item.origin):
        return data
    annotations = meta.get("annotations")
    if type(annotations) is not dict:
        if annotations is not None:
            return data
        annotations = meta["annotations"] = {}
    if item.origin is not None:
        annotations[_ORIGIN] = ""
    if item.transformations:
        annotations[_TRANSFORMATIONS] = ""
    return data


def _read_marks(item: Item) -> None:
    """Forget the origin of an item whose annotations operations have replaced."""
    meta = item.data.get("metadata")
    annotations = meta.get("annotations") if type(meta) is dict else None
    annotations = annotations if type(annotations) is dict else {}
    if annotations.pop(_ORIGIN, None) is None:
        item.origin = None
    if annotations.pop(_TRANSFORMATIONS, None) is None:
        item.transformations = []


def _selector(document: Mapping[str, Any], file: str, path: str) -> Selector:
    try:
        return Selector(document)
    except BadSelector as fault:
        refuse(str(fault), file, path)


def _loaded(root: Root, named: str, file: str, path: str) -> tuple[str, str]:
    try:
        return decoded(root.load(named), root.file(named)), root.file(named)
    except Refused as refused:
        refuse(
            f"failed to get the patch file from path({named}): {refused.message}", file, path, refused.hint
        )


def _strategic(text: str, source: str) -> list[Item] | None:
    """Return the patches of a text, or None where it holds anything else."""
    try:
        return read(text, source)
    except NoResource:
        return None


def _operations(text: str) -> list[Any] | None:
    """Return the JSON 6902 operations of a text, or None where it holds anything else."""
    if not text:
        return None
    try:
        found = json.loads(text) if text.startswith("[") else _first(text)
    except (ValueError, RecursionError):
        return None
    if found is None:
        return []
    if type(found) is not list or any(type(one) is not dict for one in found):
        return None
    return found


def _first(text: str) -> Any:
    found = yamls.load_all(text, settings_scalar, repeats=True)
    return found[0] if found else None
