"""Native modules: a manifest (`module.yaml`), typed values and a build in Starlark (`module.star`) -> stages of objects.

`render` is the renderer; `described` reads what a module says of itself without building it. Everything that is wrong and can be told at once
is told at once, each with its line. Must never depend on anything but the package, the values, the context and the answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from fairlead.render import building_objects, building_words, modules_manifest, values
from fairlead.render.building import TOO_MANY, Building, kubernetes
from fairlead.render.modules_manifest import MANIFEST, Manifest, version_of
from fairlead.render.packages import (
    Answers,
    Check,
    Context,
    Lacking,
    Layer,
    Mistake,
    Mistaken,
    Package,
    Rendered,
    Stage,
)
from fairlead.tongues import starlark, yamls
from fairlead.words import Finding, Need, Ref, Severity, Where

CODE: Final = "module.star"
LIBRARY: Final = "library.star"
"""What `load("@name")` of a dependency means where no file is named."""

_GROUP: Final = re.compile(rb"""["']?group["']?:\s*["']?([A-Za-z0-9.-]+)""")

MOST_OBJECTS: Final = 20_000
LARGEST_OBJECT: Final = 1_500_000
"""Bytes of one object as JSON: what etcd takes, with room for what the cluster adds."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a module says of itself: its manifest, and its values as the tree that `render.values` reads (None: it has none)."""

    manifest: Manifest
    values: Any
    notes: tuple[str, ...] = ()


def render(
    package: Package,
    layers: Sequence[Layer],
    context: Context,
    answers: Answers,
    *,
    definitions: Mapping[str, Any],
    budget: starlark.Budget | None = None,
) -> Rendered:
    """Render a native module with Kubernetes' definitions at hand. Raises Mistaken, and Lacking for dependencies that are not vendored."""
    module = _Module(package, answers, definitions, budget)
    manifest = module.manifest
    if manifest.library:
        raise Mistaken(
            Mistake(
                "the module is a library: it has no build of its own",
                Where(module.file(MANIFEST)),
                hint="load it from another module, as one of its dependencies",
            )
        )
    modules_manifest.runs_on(manifest, context.capabilities.version, module.file(MANIFEST))
    tree = module.open()
    if not module.unit.has("build"):
        raise Mistaken(
            Mistake(
                "there is no build",
                Where(module.file(CODE)),
                hint="write: def build(context, values): return [stage(...), ...]",
            )
        )
    if tree is None:
        settled: dict[str, Any] = values.settle(values.type_of({"type": "group", "fields": {}}), layers)
        findings: list[Finding] = []
    else:
        made = values.type_of(tree, Where(module.file(CODE)))
        settled = values.settle(made, layers)
        findings = [
            _finding("module.deprecated", f"the value is deprecated: {said}", where)
            for where, said in values.deprecations(made, layers)
        ]
    stages = module.build(_context(manifest, context), settled, tree)
    objects: list[building_objects.Made] = []
    for stage in stages:
        for item, untyped in zip(stage["objects"], stage["untyped"], strict=True):
            objects.append(
                building_objects.made(item, stage["name"], len(objects), context.namespace, untyped=untyped)
            )
    module.refuse(building_objects.mistakes(objects, module.placed))
    module.refuse(module.too_large(objects))
    if len(objects) > MOST_OBJECTS:
        raise Mistaken(
            Mistake(
                f"the module makes {len(objects)} objects, more than {MOST_OBJECTS}", Where(module.file(CODE))
            )
        )
    findings += [
        _finding(
            "module.untyped",
            f"the package has no definition of {made.object.get('apiVersion')} {made.object.get('kind')}: its fields are not checked here",
            module.placed(made.number, "").where,
            Ref(*made.key),
        )
        for made in _first_of_kind(objects)
    ]
    findings += [_finding("module.print", note, Where(module.file(CODE))) for note in module.told.notes]
    return Rendered(
        sort="module",
        package=manifest.name,
        version=manifest.version,
        stages=tuple(_placed(stages, module) if context.places else map(_stage, stages)),
        findings=tuple(findings),
        images=tuple(sorted(building_objects.images(objects))),
        values=settled,
    )


def described(
    package: Package,
    answers: Answers,
    *,
    definitions: Mapping[str, Any],
    budget: starlark.Budget | None = None,
) -> Described:
    """Return what a module says of itself. Raises Mistaken and Lacking as `render` does."""
    module = _Module(package, answers, definitions, budget)
    return Described(module.manifest, module.open(), tuple(module.told.notes))


class _Module:
    """A package while it is evaluated: its files with those of its dependencies."""

    def __init__(
        self,
        package: Package,
        answers: Answers,
        definitions: Mapping[str, Any],
        budget: starlark.Budget | None,
    ) -> None:
        prefix = f"{package.target}/" if package.target else ""
        files = {
            name.removeprefix(prefix): data for name, data in package.files.items() if name.startswith(prefix)
        }
        self._prefix = prefix
        self.manifest = modules_manifest.read(files, prefix)
        for name in (CODE,) if not self.manifest.library else ():
            if name not in files:
                raise Mistaken(Mistake(f"the module has no {name}", Where(self.file(name))))
        files, folders = _with_dependencies(files, self.manifest, answers)
        self._budget = budget or starlark.Budget()
        broken = [name for name, data in files.items() if name.endswith(".star") and not _is_text(data)]
        if broken:
            raise Mistaken(
                *(Mistake("the file is no text in UTF-8", Where(self.file(name))) for name in broken)
            )
        custom, mistakes = _custom(files)
        if mistakes:
            raise Mistaken(*mistakes)
        entry = CODE if CODE in files else LIBRARY
        if entry not in files:
            raise Mistaken(Mistake(f"the library has no {LIBRARY}", Where(self.file(LIBRARY))))
        self._building = Building(
            kubernetes(definitions),
            files,
            entry=entry,
            dependencies=folders,
            custom=custom,
            budget=self._budget,
        )
        self.told = self._building.told
        self.unit: starlark.Unit

    def file(self, name: str) -> str:
        """Return what messages call a file of the module."""
        return f"{self._prefix}{name}"

    def open(self) -> Any:
        """Evaluate the module's file; return the description of its values. Raises Mistaken."""
        try:
            self.unit = self._building.open()
            tree = self._building.values()
        except starlark.Failed as error:
            raise self._failed(error) from None
        self.refuse(())
        return tree

    def build(
        self, context: Mapping[str, Any], settled: Mapping[str, Any], tree: Any
    ) -> list[dict[str, Any]]:
        """Run the build. Raises Mistaken."""
        try:
            stages = self._building.build(context, settled, tree)
        except starlark.Failed as error:
            raise self._failed(error) from None
        self.refuse(())
        return stages

    def placed(self, number: int, message: str, hint: str = "", keys: Sequence[str | int] = ()) -> Mistake:
        """Return a mistake at the call that made an object, by its number."""
        return self.told.mistake(message, hint, starlark.frames(self._building.stack(number)), keys)

    def too_large(self, objects: Sequence[building_objects.Made]) -> list[Mistake]:
        """Return what is wrong with objects that no cluster would keep."""
        if self._building.size <= LARGEST_OBJECT:
            return []
        return [
            self.placed(
                made.number,
                f"the object has {size} bytes, more than the {LARGEST_OBJECT} that a cluster keeps",
            )
            for made in objects
            if (size := len(orjson.dumps(made.object))) > LARGEST_OBJECT
        ]

    def refuse(self, more: Sequence[Mistake]) -> None:
        """Raise Mistaken if anything was told, or is told now."""
        mistakes = [*self.told.mistakes, *more]
        if mistakes:
            raise Mistaken(*(self._placed(mistake) for mistake in mistakes))

    def _failed(self, error: starlark.Failed) -> Mistaken:
        places = self.told.places
        own = [frame for frame in error.trail if not frame.file.startswith("@")]
        file, line, column = error.file, error.line, error.column
        if file.startswith("@"):
            file, line, column = (own[-1].file, own[-1].line, 0) if own else (*self.told.fallback, 0)
            own = own[:-1]
        message, hint = building_words.said(error.message)
        told = Mistake(
            message,
            Where(file, line),
            column,
            places.line(file, line),
            hint,
            trail=tuple(Where(frame.file, frame.line) for frame in own),
        )
        if TOO_MANY in error.message:
            told = Mistake(TOO_MANY)
        if error.reason == "error" and self.told.mistakes:
            return Mistaken(*(self._placed(mistake) for mistake in (*self.told.mistakes, told)))
        return Mistaken(*(self._placed(mistake) for mistake in (told, *self.told.mistakes)))

    def _placed(self, mistake: Mistake) -> Mistake:
        """Return a mistake with the package's own folder before its files."""
        if not self._prefix or not mistake.where.file:
            return mistake
        return Mistake(
            mistake.message,
            Where(self.file(mistake.where.file), mistake.where.line, mistake.where.path),
            mistake.column,
            mistake.excerpt,
            mistake.hint,
            tuple(Where(self.file(where.file), where.line, where.path) for where in mistake.trail),
        )


# --- what the package holds


def _with_dependencies(
    files: dict[str, bytes], own: Manifest, answers: Answers
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files with those of dependencies below `vendor/`, and the folder of each. Raises Lacking for what is not there."""
    folders: dict[str, str] = {}
    needs = []
    merged = dict(files)
    for one in own.dependencies:
        folder = f"vendor/{one.name}"
        folders[one.name] = folder
        if any(name.startswith(f"{folder}/") for name in files):
            continue
        detail = tuple(
            (key, value) for key, value in (("version", one.version), ("digest", one.digest)) if value
        )
        need = Need("package.files", Ref("", "", "", one.source), detail)
        found = answers.get(need)
        if found is None:
            needs.append(need)
        else:
            merged.update({f"{folder}/{name}": data for name, data in found.items()})
    if needs:
        raise Lacking(*needs)
    return merged, folders


def _custom(files: Mapping[str, bytes]) -> tuple[list[Mapping[str, Any]], list[Mistake]]:
    """Return the CustomResourceDefinitions among the files below `schemas/`, here and in dependencies, that code speaks of."""
    out: list[Mapping[str, Any]] = []
    mistakes = []
    code = b"\n".join(data for name, data in files.items() if name.endswith(".star"))
    for name in sorted(files):
        parts = name.split("/")
        if "schemas" not in parts[:-1] or not name.endswith((".yaml", ".yml", ".json")):
            continue
        groups = set(_GROUP.findall(files[name]))
        if groups and not any(group in code for group in groups):
            continue  # reading YAML is the slow part, and no code speaks of these
        try:
            documents = yamls.load_all(files[name].decode())
        except (yamls.BadYaml, UnicodeDecodeError) as error:
            mistakes.append(Mistake(f"the schemas cannot be read: {error}", Where(name)))
            continue
        out += [item for item in _each(documents) if item.get("kind") == "CustomResourceDefinition"]
    return out, mistakes


def _each(documents: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        if isinstance(document, dict):
            if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
                yield from _each(document["items"])
            else:
                yield document


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# --- what goes in and comes out


def _context(own: Manifest, context: Context) -> dict[str, Any]:
    return {
        "name": context.name,
        "namespace": context.namespace,
        "revision": context.revision,
        "moment": context.moment,
        "module": own.name,
        "version": own.version,
        "kubernetes": list(version_of(context.capabilities.version)),
        "kubernetes_version": context.capabilities.version,
        "serves": sorted(context.capabilities.serves),
    }


def _stage(stage: Mapping[str, Any]) -> Stage:
    more: dict[str, Any] = {}
    if stage["moments"] is not None:
        more["moments"] = frozenset(stage["moments"])
    return Stage(
        stage["name"],
        tuple(stage["objects"]),
        checks=tuple(Check(**check) for check in stage["checks"]),
        one_off=bool(stage["one_off"]),
        cleanup=frozenset(stage["cleanup"]),
        wait=bool(stage["wait"]),
        **more,
    )


def _placed(stages: Sequence[Mapping[str, Any]], module: _Module) -> Iterator[Stage]:
    """Yield the stages with the calls that made their objects, which are numbered through all of them."""
    number = 0
    for stage in map(_stage, stages):
        end = number + len(stage.objects)
        yield replace(stage, places=tuple(module.placed(at, "").where for at in range(number, end)))
        number = end


def _first_of_kind(objects: Sequence[building_objects.Made]) -> Iterator[building_objects.Made]:
    seen = set()
    for made in objects:
        key = (made.object["apiVersion"], made.object["kind"])
        if made.untyped and key not in seen:
            seen.add(key)
            yield made


def _finding(rule: str, message: str, where: Where, subject: Ref | None = None) -> Finding:
    return Finding(
        rule=rule,
        severity=Severity.INFO if rule == "module.print" else Severity.WARNING,
        subject=subject or Ref("", "", "", ""),
        message=message,
        where=where,
    )
