"""Writes a fix into the files that its objects came from, instead of into a cluster.

Only the lines that a change is about are touched (dialects/manifests/amending), and every patch is guarded as it is on a cluster: where
the file says something else than what the fix tests for, nothing is written. Reads and writes texts; what becomes of them is the caller's.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.diagnose.proposing import bare
from fairlead.dialects.manifests import Document, Unamendable, amend
from fairlead.tongues import jsonpatch
from fairlead.tongues.paths import pointed
from fairlead.words import Change, Finding, Fix, Ref, Resource, Severity


@dataclass(slots=True)
class Patched:
    """What the files would say: texts by name, only those that change; `left` says what could not be written, and why."""

    before: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether all of the fix is in the files."""
        return bool(self.texts) and not self.left

    def diff(self, names: Mapping[str, str] | None = None) -> str:
        """Return one patch for `git apply` or `patch -p1`; `names` are the files' names in the repository."""
        found: list[str] = []
        for file, text in self.texts.items():
            name = (names or {}).get(file, file).lstrip("/")
            found += difflib.unified_diff(
                _lines(self.before[file]), _lines(text), f"a/{name}", f"b/{name}", lineterm="\n"
            )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in found
        )


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def write(
    fix: Fix,
    texts: Mapping[str, str],
    documents: Iterable[Document],
    originals: Mapping[Ref, Resource] | None = None,
    rendered: Iterable[Document] = (),
) -> Patched:
    """Return the files with a fix written into them.

    `texts` are the files by name and `documents` the objects read from them; `originals` are the objects as the cluster has them, for fixes
    that make one anew. `rendered` are objects that templates make: what they say is not written anywhere, and is left to the author. A pod that is deleted so that its controller makes it again leaves no trace in files.
    """
    places = {document.ref: document for document in documents}
    templates = {document.ref: document for document in rendered}
    patched = Patched()
    made = {change.ref for change in fix.changes if change.verb == "create"}
    placed = [
        (change, _place(change.ref, places))
        for change in fix.changes
        if not (change.verb == "delete" and (change.ref in made or change.ref.kind == "Pod"))
    ]
    # From the end of a file, so that the lines above stay where they are.
    for change, document in sorted(placed, key=lambda pair: -(pair[1].line if pair[1] else 0)):
        template = _place(change.ref, templates) if document is None else None
        if template is not None:
            patched.left.append(
                f"{change.ref}: it is rendered from {template.where('')}: change that, or the values; what is rendered is not patched"
            )
            continue
        try:
            _write(change, document, texts, patched, (originals or {}).get(change.ref))
        except Unamendable as error:
            patched.left.append(f"{change.ref}: {error}")
    return patched


def _write(
    change: Change,
    document: Document | None,
    texts: Mapping[str, str],
    patched: Patched,
    original: Resource | None,
) -> None:
    if document is None:
        raise Unamendable("it is not written in these files as a plain manifest")
    if document.file not in texts:
        raise Unamendable(f"{document.file} cannot be changed")
    file, operations = document.file, _operations(change, original)
    try:
        after = jsonpatch.apply(copy.deepcopy(document.content), operations)
    except jsonpatch.Unpatchable as error:
        raise Unamendable(f"the file says something else than the cluster: {error}") from error
    plain = jsonpatch.diff(document.content, after)
    if not plain:
        return
    text = amend(patched.texts.get(file, texts[file]), document.line, after, plain)
    patched.before.setdefault(file, texts[file])
    patched.texts[file] = text


def _place(ref: Ref, places: Mapping[Ref, Document]) -> Document | None:
    """Return where an object is written; files often leave the namespace open."""
    return places.get(ref) or places.get(Ref(ref.group, ref.kind, "", ref.name))


def _operations(change: Change, original: Resource | None) -> list[dict[str, Any]]:
    """Return a change as JSON Patch operations, each guarded by a test of what it replaces. Raises Unamendable."""
    if change.verb == "patch" and change.patch == "json":
        return list(change.body)
    if change.verb in {"create", "update"} and original is not None:
        old = bare(original)
        found: list[dict[str, Any]] = []
        for operation in jsonpatch.diff(old, bare(change.body)):
            if operation["op"] != "add":
                found.append({**operation, "op": "test", "value": pointed(old, operation["path"])})
            found.append(operation)
        return found
    what = {
        "create": "makes a new object, which has no file yet",
        "delete": "takes an object away: do so by hand",
    }
    raise Unamendable(
        f"the fix {what.get(change.verb, f'is a {change.patch} patch, which has no place in a file')}"
    )


def proof(
    before: Sequence[Finding], after: Sequence[Finding], finding: Finding
) -> list[tuple[str, bool, str]]:
    """Return what examining the patched files says: (what was looked at, whether it holds, detail)."""
    left = {one.id for one in after}
    known = {one.id for one in before}
    new = [one for one in after if one.id not in known and one.severity != Severity.INFO]
    gone = finding.id not in left
    return [
        ("the cause is gone", gone, "" if gone else finding.message),
        ("nothing new is wrong", not new, "; ".join(f"{one.subject}: {one.message}" for one in new[:3])),
    ]
