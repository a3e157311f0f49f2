"""kustomization.yaml: which files and folders make up a set of manifests.

Only the list of resources is understood so far. Every other field changes the objects and is reported by its path, so that
nobody takes the files as they stand for what would be applied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fairlead.words import Finding, Page, Ref, Resource, Severity, Where

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""The file names that kustomize looks for."""


@dataclass(frozen=True, slots=True)
class Kustomization:
    """The files, folders and addresses that a kustomization is made of, as written, relative to its folder.

    `parts` are files that are no objects by themselves: patches and settings of transformers.
    """

    resources: tuple[str, ...]
    parts: tuple[str, ...] = ()


_PARTS = ("patches", "patchesStrategicMerge", "patchesJson6902", "replacements", "transformers", "generators",
          "configurations", "validators")  # fmt: skip


def kustomization(page: Page) -> Kustomization:
    """Take what is understood from the document."""
    page.take("apiVersion")
    page.take("kind")
    page.take("metadata")
    names: list[str] = []
    for key in ("resources", "bases"):  # bases is the older name for folders
        listed = page.take(key, [])
        if isinstance(listed, list):
            names += [one for one in listed if isinstance(one, str)]
    return Kustomization(tuple(dict.fromkeys(names)))


def parts(content: Resource) -> tuple[str, ...]:
    """Return the files that the unsupported fields name: they change objects, and are none."""
    found: list[str] = []
    for key in _PARTS:
        listed = content.get(key)
        for one in listed if isinstance(listed, list) else []:
            path = one.get("path") if isinstance(one, dict) else one
            if isinstance(path, str) and "\n" not in path:
                found.append(path)
    return tuple(found)


READS: Mapping[tuple[str, str], Callable[[Page], Kustomization]] = {
    ("kustomize.config.k8s.io", "Kustomization"): kustomization,
}

WRITES: Mapping[type, Callable[[Kustomization], str]] = {}


def read(content: Resource, file: str, locate: Callable[[str], Where]) -> tuple[Kustomization, list[Finding]]:
    """Return the kustomization and a Finding for each field that is not supported yet.

    `locate` turns a path in the document into its place. apiVersion and kind may be absent.
    """
    page = Page(content, Where(file))
    model = replace(kustomization(page), parts=parts(content))
    findings = [
        Finding(
            rule="kustomization.field",
            severity=Severity.INFO,
            subject=Ref("", "File", "", file),
            message=f"{place.path} is not supported yet: the objects are examined as if it were not there",
            where=locate(place.path),
        )
        for place in page.left()
    ]
    return model, findings
