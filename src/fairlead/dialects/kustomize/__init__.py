"""Kustomize trees: rendered as `kubectl kustomize` does, by an engine of our own.

`render` builds the kustomization in a package's target directory. Objects come in the order in which the tree names them, or as its
`sortOptions` say. Nothing foreign is run: what needs a program, a container or a chart is refused, and what lies at an address is asked for
as a Need. Source: sigs.k8s.io/kustomize/api.
"""

from __future__ import annotations

from typing import Any, Final

from fairlead.dialects.kustomize import generating, references, transforming, variables
from fairlead.dialects.kustomize.accumulating import Build, Collected, Kustomization
from fairlead.dialects.kustomize.items import Item, Items, Origin
from fairlead.dialects.kustomize.reading import check
from fairlead.dialects.kustomize.roots import NAMES, Root, Tree, clean
from fairlead.dialects.kustomize.scalars import Unprintable, plain
from fairlead.render.packages import Answers, Context, Mistake, Mistaken, Package, Rendered, Stage, Values
from fairlead.tongues import yamls
from fairlead.words import Finding, Ref, Severity, Where

ORIGIN: Final = "config.kubernetes.io/origin"
TRANSFORMATIONS: Final = "alpha.config.kubernetes.io/transformations"
LOCAL: Final = "config.kubernetes.io/local-config"
MANAGED: Final = "app.kubernetes.io/managed-by"

__all__ = ["NAMES", "build", "render"]


def render(package: Package, values: Values, context: Context, answers: Answers) -> Rendered:  # noqa: ARG001  a tree knows no instance
    """Return the objects of the tree in a package's target directory, as one stage. Raises Mistaken and Lacking."""
    if values:
        first = values[0].name
        raise Mistaken(
            Mistake(
                f"a Kustomize tree takes no values, but {first} gives some",
                Where(package.where),
                hint="write an overlay: a kustomization.yaml that names this tree as a resource and patches it",
            )
        )
    items, findings, _ = build(package, answers)
    objects = tuple(item.data for item in items)
    return Rendered(
        sort="kustomization",
        package=package.where.rstrip("/").rpartition("/")[2],
        stages=(Stage("all", objects),),
        findings=tuple(findings),
    )


def build(package: Package, answers: Answers) -> tuple[list[Item], list[Finding], set[str]]:
    """Return the items of a tree, finished, each with the file that it came from; what there is to say; and the files that were used.

    Raises Mistaken and Lacking.
    """
    tree = Tree(package.files, answers)
    try:
        return (*_build(Root(tree, clean(package.target))), tree.used)
    except Mistaken as mistaken:
        from fairlead.dialects.kustomize.locating import located  # only where something is wrong

        raise Mistaken(*(located(one, tree.files) for one in mistaken.mistakes)) from None
    except RecursionError:
        raise Mistaken(Mistake("is nested too deeply", Where(package.where))) from None


def _build(root: Root) -> tuple[list[Item], list[Finding]]:
    shared = Build()
    top = Kustomization.read(root, shared)
    if top.metadata:
        top.origin = Origin()
    top.use_schema(top=True)
    found = top.collect(Collected(Items(shared.schemas)))
    items = found.items
    generating.add_hashes(items)
    references.fix(items, found.configuration.references)
    unused = variables.resolve(items, found.variables, found.configuration.variables, top.file)
    for item in items:
        check(item.data, item.file)
    items.keep([item for item in items if item.texts("annotations").get(LOCAL, "false") == "false"])
    if "sortOptions" in top.said:
        transforming.sort(top.said["sortOptions"], top.file)(items)
    if "managedByLabel" in top.metadata:
        for item in items:
            item.meta().setdefault("labels", {})[MANAGED] = "kustomize-fairlead"
    for item in items:
        _finish(item, top.metadata)
    return items.list, [*_deprecated(shared), *_unused(unused, top.file)]


def _finish(item: Item, metadata: Any) -> None:
    annotations = item.texts("annotations")
    if item.origin is not None and "originAnnotations" in metadata:
        annotations[ORIGIN] = yamls.dump(item.origin.document())
    else:
        annotations.pop(ORIGIN, None)
    if item.transformations and "transformerAnnotations" in metadata:
        annotations[TRANSFORMATIONS] = yamls.dump([one.document() for one in item.transformations])
    else:
        annotations.pop(TRANSFORMATIONS, None)
    item.set_texts("annotations", annotations)
    try:
        item.data = plain(item.data)
    except Unprintable as fault:
        raise Mistaken(Mistake(f"{item.kind} {item.name}: {fault}", Where(item.file))) from None


def _deprecated(shared: Build) -> list[Finding]:
    return [
        _finding(
            "kustomization.deprecated", file, f".{old}", f"'{old}' is deprecated. Please use '{new}' instead"
        )
        for file, old, new in dict.fromkeys(shared.deprecated)
    ]


def _unused(names: list[str], file: str) -> list[Finding]:
    if not names:
        return []
    message = f"well-defined vars that were never replaced: {', '.join(names)}"
    return [_finding("kustomization.variable", file, ".vars", message)]


def _finding(rule: str, file: str, path: str, message: str) -> Finding:
    return Finding(
        rule=rule,
        severity=Severity.INFO,
        subject=Ref("", "File", "", file),
        message=message,
        where=Where(file, 0, path),
    )
