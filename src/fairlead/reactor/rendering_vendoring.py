"""What a module keeps of others: its dependencies under vendor/, with a lock of their digests, and definitions of kinds under schemas/.

Fetches; the caller writes. A tag that has come to stand for something else is told, and never taken unasked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fairlead.drivers.oci.versions import is_range
from fairlead.reactor.rendering_fetching import is_tagged, open_source
from fairlead.render.packages import Mistake, Mistaken
from fairlead.tongues import yamls
from fairlead.words import Where

if TYPE_CHECKING:
    from fairlead.drivers.oci.stores import Store
    from fairlead.reactor.rendering_fetching import Accept
    from fairlead.render.modules_manifest import Dependency

LOCK: Final = "vendor/vendor.lock.yaml"
LARGEST: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Vendored:
    """A dependency that was fetched: its files, and what its name stood for."""

    name: str
    source: str
    version: str
    digest: str
    files: Mapping[str, bytes]


async def dependencies(
    wanted: Iterable[Dependency],
    lock: Mapping[str, Mapping[str, str]],
    *,
    update: bool = False,
    store: Store | None = None,
    accept: Accept | None = None,
) -> list[Vendored]:
    """Fetch dependencies. Raises Mistaken for all that cannot be had, and for digests that are not the ones that module.yaml or the lock say."""
    found: list[Vendored] = []
    mistakes: list[Mistake] = []
    for index, one in enumerate(wanted):
        where = Where("module.yaml", 0, f".spec.dependencies[{index}]")
        known = lock.get(one.name) or {}
        same = known.get("source") == one.source and known.get("version", "") == one.version
        locked = str(known.get("digest") or "") if same and not update else ""
        version = "" if is_tagged(one.source) else one.version
        # of a range, what was locked stays until an update is wanted; a version that is another now is told of
        pinned = one.digest or (locked if is_range(version) else "")
        try:
            source = await open_source(one.source, store=store, accept=accept, digest=pinned, version=version)
        except Mistaken as mistaken:
            mistakes += mistaken.mistakes
            continue
        if locked and source.digest and source.digest != locked:
            mistakes.append(
                Mistake(
                    f"{one.source}{version and f':{version}'} is {source.digest} now, and was {locked} when it was vendored", where,
                    hint="somebody has moved the tag: look at what changed, then say --update",
                )
            )  # fmt: skip
            continue
        found.append(Vendored(one.name, one.source, one.version, source.digest, source.package.files))
    if mistakes:
        raise Mistaken(*mistakes)
    return found


def lock_text(found: Iterable[Vendored]) -> str:
    """Return the lock file: what each name stood for."""
    entries = {
        one.name: {"source": one.source, "version": one.version, "digest": one.digest} for one in found
    }
    return "# what is under vendor/; written by fairlead mod vendor\n" + yamls.dump({"dependencies": entries})


def read_lock(text: str) -> dict[str, dict[str, str]]:
    """Return what a lock file says; nothing for one that cannot be read."""
    try:
        found = yamls.load(text)
    except yamls.BadYaml:
        return {}
    entries = found.get("dependencies") if isinstance(found, dict) else None
    return (
        {name: one for name, one in entries.items() if isinstance(one, dict)}
        if isinstance(entries, dict)
        else {}
    )


def definitions(text: str, where: str) -> dict[str, str]:
    """Return each CustomResourceDefinition of a text as a file, by its name under schemas/. Raises Mistaken where there are none."""
    try:
        documents = yamls.load_all(text)
    except yamls.BadYaml as error:
        raise Mistaken(Mistake(f"is not YAML: {error.message}", Where(where, error.line))) from error
    files = {}
    for item in _each(documents):
        name = str((item.get("metadata") or {}).get("name") or "")
        if item.get("kind") == "CustomResourceDefinition" and re.fullmatch(
            r"[a-z0-9][a-z0-9.-]{0,252}", name
        ):
            files[f"schemas/{name}.yaml"] = yamls.dump(_lean(item))
    if not files:
        raise Mistaken(Mistake("has no CustomResourceDefinition", Where(where)))
    return files


def _each(documents: Iterable[Any]) -> Iterable[dict[str, Any]]:
    for document in documents:
        if isinstance(document, dict):
            if str(document.get("kind") or "").endswith("List") and isinstance(document.get("items"), list):
                yield from _each(document["items"])
            else:
                yield document


def _lean(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition without what a cluster adds to it."""
    meta = item.get("metadata") or {}
    notes = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if not key.startswith("kubectl.kubernetes.io/")
    }
    kept = {"name": meta.get("name"), **({"annotations": notes} if notes else {})}
    return {
        "apiVersion": item.get("apiVersion"),
        "kind": item["kind"],
        "metadata": kept,
        "spec": item.get("spec"),
    }


async def download(url: str) -> str:
    """Return the text at an address. Raises Mistaken."""
    from fairlead.drivers.asking import AskError, fetch

    try:
        return (await fetch(url, seconds=30.0, limit=LARGEST)).decode()
    except (AskError, UnicodeDecodeError) as error:
        raise Mistaken(
            Mistake(
                str(error).removeprefix(f"{url}: "), Where(url), hint="fetch it yourself, and name the file"
            )
        ) from error
