"""The end of a namespace: delete what is in it, say what is left, and let go of it when it is empty.

Source: k8s.io/kubernetes/pkg/controller/namespace/deletion. Must never touch a namespace that nobody deleted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from fairlead.orchestrate import conditions, owning, proposing
from fairlead.orchestrate.steps import ANY, Controller, Step
from fairlead.words import Change, Ref, Resource, View

KIND = ("", "Namespace")
FINALIZER = "kubernetes"
BATCH = 200
"""The most objects that one Step deletes."""


def plural(kind: str) -> str:
    """Return the usual plural of a kind, in lower case: it serves messages only."""
    word = kind.lower()
    if word.endswith("endpoints"):
        return word
    if word.endswith(("s", "x", "ch")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    space = view.get(*KIND, "", ref.name)
    if space is None or not owning.is_deleted(space):
        return Step()
    finalizers = (space.get("spec") or {}).get("finalizers") or []
    if FINALIZER not in finalizers:
        return Step()
    content = [
        resource for kind in sorted(view.kinds()) for resource in view.list(*kind, ref.name) if kind != KIND
    ]
    doomed = [resource for resource in content if not owning.is_deleted(resource)]
    changes: list[Change] = [
        proposing.delete(resource, "its namespace is being deleted", {"propagationPolicy": "Background"})
        for resource in doomed[:BATCH]
    ]
    status = {
        **(space.get("status") or {}),
        "phase": "Terminating",
        "conditions": _conditions(space, content, now),
    }
    changes += proposing.status(space, status)
    if not content:
        left = [entry for entry in finalizers if entry != FINALIZER]
        body = {**space, "spec": {**space["spec"], "finalizers": left}}
        body["metadata"] = {
            key: value for key, value in space["metadata"].items() if key != "resourceVersion"
        }
        changes.append(
            Change(
                verb="update",
                ref=Ref.of(space),
                api_version="v1",
                body=body,
                subresource="finalize",
                why="the namespace is empty",
                if_uid=space["metadata"].get("uid", ""),
            )
        )
    return Step(tuple(changes))


def _conditions(space: Resource, content: list[Resource], now: datetime) -> list[conditions.Condition]:
    left: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for resource in content:
        group = resource["apiVersion"].rpartition("/")[0]
        left[f"{plural(resource['kind'])}.{group}"] += 1
        held.update(resource["metadata"].get("finalizers") or ())
    found = [
        (
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
    ]
    if left:
        text = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(left.items()))
        found.append(
            (
                "NamespaceContentRemaining",
                "True",
                "SomeResourcesRemain",
                f"Some resources are remaining: {text}",
            )
        )
    else:
        found.append(
            ("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed")
        )
    if held:
        text = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
        message = f"Some content in the namespace has finalizers remaining: {text}"
        found.append(("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", message))
    else:
        message = "All content-preserving finalizers finished"
        found.append(("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", message))
    result = (space.get("status") or {}).get("conditions") or []
    for kind, status, reason, message in found:
        result = conditions.put(result, conditions.make(kind, status, reason, message, now))
    return result


def _space_of(view: View, resource: Resource) -> Iterable[Ref]:
    name = resource["metadata"].get("namespace")
    space = view.get(*KIND, "", name) if name else None
    return [Ref.of(space)] if space is not None and owning.is_deleted(space) else []


NAMESPACES = Controller(name="namespace", kind=KIND, reconcile=_reconcile, watches={ANY: _space_of})
