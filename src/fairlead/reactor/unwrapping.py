"""Packages among files that are looked at: found, rendered, and their objects with the place in the package that made them.

Native modules, Timoni modules and Helm charts are rendered as somebody would who gives them no values but those that are handed in. What
cannot be rendered is told of once, and everything else is still looked at. Kustomize trees are built by `reactor/trees.py`, from the texts.
Renders in the worker for what is foreign; changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from fairlead.dialects.manifests import Document, about_file
from fairlead.reactor.kindnames import catalogue_of
from fairlead.reactor.rendering import Fetch, Source, render_source, sort_of
from fairlead.reactor.rendering_loading import default_name, load_source
from fairlead.render.packages import Capabilities, Context, Layer, Mistake, Mistaken, Rendered, Sort
from fairlead.tongues import yamls
from fairlead.words import Finding, Need, Ref, Resource, Severity, Where

DESCRIBES: Final[Mapping[Sort, str]] = {
    "module": "module.yaml",
    "timoni": "timoni.cue",
    "chart": "Chart.yaml",
}
"""The sorts that are rendered here, and the file of each that findings about the package as a whole name."""

CHART_FOLDERS: Final = frozenset({"templates", "charts", "crds", "ci"})
"""Folders of a chart that are its own; others beside them may hold anything, such as a Kustomize tree."""
_SEED: Final = "0" * 64
"""Passwords that templates make are the same each time, so that findings keep their names."""
_LONGEST_NAME: Final = 53


@dataclass(frozen=True, slots=True)
class Giving:
    """What packages are rendered with: values, a namespace ("" for `default`), what the cluster can do (None: unknown), and who fetches."""

    layers: tuple[Layer, ...] = ()
    namespace: str = ""
    capabilities: Capabilities | None = None
    fetch: Fetch | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A package that was found, and what loads it. `prefix` comes before its files where messages name them: `charts/web/`, or ""."""

    sort: Sort
    prefix: str
    load: Callable[[], Source]

    @property
    def file(self) -> str:
        """The file that describes the package."""
        return f"{self.prefix}{DESCRIBES[self.sort]}"

    def holds(self, name: str) -> bool:
        """Return whether a file, by its name, is the package's and so no manifest."""
        if not name.startswith(self.prefix):
            return False
        top, slash, _ = name.removeprefix(self.prefix).partition("/")
        return self.sort != "chart" or not slash or top in CHART_FOLDERS


@dataclass(slots=True)
class Unwrapped:
    """What the packages among some files hold: objects, what there is to say, and the packages themselves.

    Without `trees` Kustomize trees among the files are not built either.
    """

    documents: list[Document] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    packages: tuple[Found, ...] = ()
    trees: bool = True

    def holds(self, name: str) -> bool:
        """Return whether a file belongs to one of the packages."""
        return any(one.holds(name) for one in self.packages)

    def bare(self) -> Unwrapped:
        """Return the packages without what they render."""
        return Unwrapped(packages=self.packages, trees=self.trees)

    @property
    def telling(self) -> tuple[Found, ...]:
        """The packages that have objects."""
        files = {document.file for document in self.documents}
        return tuple(one for one in self.packages if any(file.startswith(one.prefix) for file in files))


def find(folder: Path) -> Iterator[Found]:
    """Yield the packages in a folder and below it, but none that lie within another. Raises OSError where it cannot be listed."""

    def refuse(error: OSError) -> None:
        raise error

    for at, inner, files in os.walk(folder, onerror=refuse):
        sort = sort_of(dict.fromkeys(files, b""))
        hidden = {name for name in inner if name.startswith(".")}
        inner[:] = sorted(set(inner) - hidden - (CHART_FOLDERS if sort == "chart" else set()))
        if sort is not None and sort in DESCRIBES:
            name = Path(at).as_posix()
            yield Found(sort, "" if name == "." else f"{name.rstrip('/')}/", partial(load_source, name))
            if sort != "chart":
                inner[:] = []  # everything below a module is the module's


def among(names: Iterable[str], files: Callable[[str], Source], lead: str = "") -> Iterator[Found]:
    """Yield the packages among files known by their names alone; `files` gives one by its folder. `lead` comes before all names in messages."""
    folders: dict[str, dict[str, bytes]] = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        folders.setdefault(folder, {})[last] = b""
    taken: list[Found] = []
    for folder in sorted(folders, key=lambda one: (one.count("/") if one else -1, one)):
        sort = sort_of(folders[folder])
        prefix = f"{lead}{folder}/" if folder else lead
        if sort is None or sort not in DESCRIBES:
            continue
        found = Found(sort, prefix, partial(files, folder))
        if not any(one.holds(found.file) for one in taken):
            taken.append(found)
            yield found


def of_source(source: Source) -> tuple[Found | None, dict[str, str]]:
    """Return a package that was loaded already, or the texts of a Kustomize tree or of manifests by names below where it came from."""
    prefix = f"{source.where.rstrip('/')}/"
    if source.sort in DESCRIBES:
        return Found(source.sort, prefix, lambda: source), {}
    texts = {}
    for path, body in source.package.files.items():
        try:
            texts[f"{prefix}{path}"] = body.decode()
        except UnicodeDecodeError:
            continue  # no manifest
    return None, texts


def unrendered(packages: Sequence[Found]) -> Unwrapped:
    """Return packages as they are: nothing of what they would render is known."""
    said = [
        about_file("document.template", Severity.INFO, one.file, "is not rendered: nothing in it is examined")
        for one in packages
    ]
    return Unwrapped(findings=said, packages=tuple(packages), trees=False)


def unwrap(packages: Sequence[Found], giving: Giving) -> Unwrapped:
    """Render packages, one after the other. Never raises over what they hold."""
    made = Unwrapped(packages=tuple(packages))
    for one in packages:
        try:
            source = one.load()
            if _is_library(source):
                made.findings.append(
                    about_file(
                        "package.library",
                        Severity.INFO,
                        one.file,
                        "is a library: other packages build with it, and it has no objects of its own",
                    )
                )
                continue
            rendered = _rendered(source, giving)
        except Mistaken as mistaken:
            made.findings.append(_failed(one, mistaken, giving))
            continue
        _take(made, one, source, rendered, giving)
    return made


def _rendered(source: Source, giving: Giving) -> Rendered:
    layers = giving.layers
    name = re.sub(r"[^a-z0-9-]+", "-", default_name(source).lower()).strip("-")[:_LONGEST_NAME].strip("-")
    able = giving.capabilities or Capabilities()
    context = Context(name or "instance", giving.namespace or "default", capabilities=able, places=True)

    def fetch(needs: Sequence[Need]) -> Mapping[Need, Any]:
        fixed: dict[Need, Any] = {need: _SEED for need in needs if need.what == "render.seed"}
        rest = [need for need in needs if need not in fixed]
        return {**fixed, **(giving.fetch(rest) if giving.fetch is not None and rest else {})}

    return render_source(source, layers, context, fetch=fetch)


def _is_library(source: Source) -> bool:
    """Return whether a package has nothing to render by itself. What cannot be read is the renderer's to tell."""
    at = f"{source.package.target}/" if source.package.target else ""
    body = source.package.files.get(f"{at}{DESCRIBES[source.sort]}", b"")
    if source.sort == "timoni":
        return False
    try:
        said = yamls.load(body.decode())
    except (yamls.BadYaml, UnicodeDecodeError):
        return False
    if not isinstance(said, dict):
        return False
    if source.sort == "chart":
        return said.get("type") == "library"
    spec = said.get("spec")
    return isinstance(spec, dict) and spec.get("library") is True


def _failed(one: Found, mistaken: Mistaken, giving: Giving) -> Finding:
    first: Mistake = mistaken.mistakes[0]
    where = _place(first.where, one, giving)
    more = len(mistaken.mistakes) - 1
    message = f"cannot be rendered: {first.message}" + (f"; {first.hint}" if first.hint else "")
    return about_file(
        "package.render",
        Severity.WARNING,
        where.file,
        message + (f" (and {more} more)" if more else ""),
        line=where.line,
        path=where.path,
        cause="None of its objects are looked at.",
    )


def _take(made: Unwrapped, one: Found, source: Source, rendered: Rendered, giving: Giving) -> None:
    """Add what a rendering holds: the objects of all stages, hooks and tests too, since a cluster gets them as well."""
    texts: dict[str, str] = {}
    items: list[tuple[Resource, Where]] = []
    seen: set[bytes] = set()
    for stage in rendered.stages:
        for number, item in enumerate(stage.objects):
            written = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
            if written not in seen:  # a hook of several events is in a stage for each
                seen.add(written)
                where = stage.places[number] if number < len(stage.places) else Where()
                items.append((item, where))
    _settle([item for item, _ in items], giving.namespace)
    for item, where in items:
        place = _place(where, one, giving, source.package.files)
        if not place.line and source.sort == "chart":
            place = replace(
                place, line=_line(place.file.removeprefix(one.prefix), item.get("kind"), source, texts)
            )
        made.documents.append(Document(item, place.file, place.line))
    made.findings += [
        replace(said, where=_place(said.where, one, giving, source.package.files))
        for said in rendered.findings
    ]


def _place(where: Where, one: Found, giving: Giving, files: Mapping[str, bytes] | None = None) -> Where:
    """Return a place within the package as the user would open it. Helm's own names of files begin with the chart's name."""
    file = where.file
    if file.startswith("--") or file in {"", ".", one.prefix.rstrip("/")}:
        return Where(one.file, 0, where.path)  # an option, or the package as a whole
    if (one.prefix and file.startswith(one.prefix)) or file in {layer.name for layer in giving.layers}:
        return where
    if one.sort == "chart" and file not in (files or {}):
        top, slash, rest = file.partition("/")
        if slash and top not in CHART_FOLDERS:
            file = rest
    return replace(where, file=f"{one.prefix}{file}")


def _line(path: str, kind: Any, source: Source, texts: dict[str, str]) -> int:
    """Return the line of a template that says a kind, where just one does."""
    if path not in texts:
        texts[path] = source.package.files.get(path, b"").decode(errors="replace")
    found = list(
        re.finditer(rf"^kind:[ \t]*[\"']?{re.escape(str(kind))}[\"']?[ \t\r]*$", texts[path], re.MULTILINE)
    )
    return texts[path].count("\n", 0, found[0].start()) + 1 if len(found) == 1 else 0


def _settle(items: Sequence[Resource], namespace: str) -> None:
    """Name the namespace of the objects that leave it open, where it was asked for or others of the package name it.

    Whoever applies a package puts all of it into one namespace: a Service with a namespace finds pods without one.
    """
    spaces = {(item.get("metadata") or {}).get("namespace") for item in items}
    wanted = namespace or ("default" if "default" in spaces else "")
    if not wanted or None not in spaces:
        return
    catalogue = catalogue_of(items)
    for item in items:
        ref = Ref.of(item)
        kind = catalogue.kind(ref.group, ref.kind)
        if not ref.namespace and kind is not None and kind.namespaced:
            item.setdefault("metadata", {})["namespace"] = wanted
