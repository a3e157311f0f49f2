"""Writes to parts of an object: status, scale, finalize, approval, ephemeral containers, and a pod's binding and eviction.

Each becomes an ordinary update or delete of the object itself. Reviews, tokens, logs and streams are not writes and not
here.
Source: k8s.io/kubernetes pkg/registry/core/pod/storage (BindingREST, EvictionREST), namespace/storage (FinalizeREST).
"""

from __future__ import annotations

from typing import Any

from fairlead.keep import applying, deleting, guarding, misfits
from fairlead.keep.entries import Entry, Outcome, Stored, encode
from fairlead.keep.errors import Refusal, bad_request, conflict, internal, method_not_allowed, no_such_path
from fairlead.keep.gating import Lens, Operation
from fairlead.keep.kinds import Kind
from fairlead.keep.requests import Request
from fairlead.keep.scaling import SCALE, Paths, parent_fields, rescaled, scale_fields, scale_of
from fairlead.keep.writing import Writer, patched, same_kind, stamp
from fairlead.tongues import selectors
from fairlead.words import PatchType, Resource

_BUDGETS = ("policy", "poddisruptionbudgets")
_PARTS = frozenset({"approval", "ephemeralcontainers", "finalize", "resize"})
PODS = ("", "pods")


def update(
    writer: Writer,
    kind: Kind,
    namespace: str,
    name: str,
    body: Resource,
    request: Request,
    subresource: str,
    paths: Paths | None,
) -> Outcome:
    """Replace what a subresource shows: status, scale, finalize, approval, ephemeralcontainers or resize."""
    _known(kind, subresource)
    if subresource == "scale":
        found = writer.find(kind, namespace, name)
        scale, warnings = _decoded(writer, body, request)
        return _rescale(writer, kind, found, scale, request, paths, warnings)
    if subresource in _PARTS:
        found = writer.find(kind, namespace, name)
        obj, warnings = writer.schemas.check(kind, body, request.field_validation)
        given = (obj.get("metadata") or {}).get("resourceVersion") or ""
        if given not in {"", "0", str(found.rv)}:
            raise conflict(kind.group, kind.plural, name)
        return _replace_part(writer, kind, found, obj, request, subresource, warnings)
    return writer.update(kind, namespace, name, body, request, subresource)


def patch(
    writer: Writer,
    kind: Kind,
    namespace: str,
    name: str,
    document: Any,
    patch_type: PatchType,
    request: Request,
    subresource: str,
    paths: Paths | None,
) -> Outcome:
    """Patch what a subresource shows."""
    _known(kind, subresource)
    if subresource == "scale":
        found = writer.find(kind, namespace, name)
        scale = scale_of(writer.live(kind, found), paths)
        if patch_type == "apply":
            return _apply_scale(writer, kind, found, document, request, paths)
        wanted = patched(scale, document, patch_type, lambda: writer.schemas.node(SCALE))
        try:
            wanted, warnings = _decoded(writer, wanted, request)
        except Refusal as refusal:
            raise misfits.misfit(refusal, SCALE, document, patch_type, wanted) from None
        return _rescale(writer, kind, found, wanted, request, paths, warnings)
    if subresource in _PARTS:
        found = writer.find(kind, namespace, name)
        if patch_type == "apply":
            raise Refusal(
                415, "UnsupportedMediaType", f"server-side apply of {subresource} is not supported yet"
            )
        obj, warnings = writer.fitted(kind, found, document, patch_type, request)
        return _replace_part(writer, kind, found, obj, request, subresource, warnings)
    return writer.patch(kind, namespace, name, document, patch_type, request, subresource)


def create(
    writer: Writer, kind: Kind, namespace: str, name: str, body: Resource, request: Request, subresource: str
) -> Outcome:
    """Carry out a POST to a pod's binding or eviction."""
    if kind.storage == PODS and subresource == "binding":
        return bind(writer, kind, namespace, name, body, request)
    if kind.storage == PODS and subresource == "eviction":
        return evict(writer, kind, namespace, name, body, request)
    if subresource in kind.subresources:
        raise method_not_allowed()
    raise no_such_path()


def _known(kind: Kind, subresource: str) -> None:
    if subresource not in kind.subresources and not (kind.storage == PODS and subresource == "resize"):
        raise no_such_path()


def _decoded(writer: Writer, scale: Any, request: Request) -> tuple[Resource, list[str]]:
    """Return a Scale that a client sent, decoded, with warnings."""
    obj, warnings = writer.schemas.check(SCALE, scale, request.field_validation)
    same_kind(SCALE, obj)
    return obj, warnings


def _rescale(
    writer: Writer,
    kind: Kind,
    found: Stored,
    scale: Resource,
    request: Request,
    paths: Paths | None,
    warnings: list[str],
) -> Outcome:
    given = (scale.get("metadata") or {}).get("resourceVersion") or ""
    if given not in {"", "0", str(found.rv)}:
        raise conflict(kind.group, kind.plural, found.name)
    uid = (scale.get("metadata") or {}).get("uid") or ""
    if uid not in {"", found.uid}:
        raise conflict(
            kind.group,
            kind.plural,
            found.name,
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {found.uid}",
        )
    old = writer.live(kind, found)
    outcome = writer.replace(
        kind,
        found,
        old,
        rescaled(writer.live(kind, found), scale, paths),
        request,
        "scale",
        warnings,
        lens=_lens(paths),
    )
    shown = scale_of(outcome.object, paths)
    return Outcome(shown, encode(shown), outcome.entries, outcome.warnings)


def _apply_scale(
    writer: Writer, kind: Kind, found: Stored, applied: Any, request: Request, paths: Paths | None
) -> Outcome:
    """Apply a Scale: who owns its replicas owns the object's, and the other way round."""
    old = writer.live(kind, found)
    scale = scale_of(old, paths)
    scale["metadata"]["managedFields"] = scale_fields(old, paths)
    if not isinstance(applied, dict):
        raise bad_request("error decoding YAML: the patch is not an object")
    applied, warnings = _decoded(writer, applied, request)
    new = applying.apply(
        scale,
        applied,
        writer.schemas.node(SCALE),
        request.manager,
        SCALE.api_version,
        request.now,
        request.force,
        subresource="scale",
        reset=("status",),
    )
    obj = rescaled(writer.live(kind, found), new, paths)
    entries = parent_fields(old, new["metadata"].get("managedFields") or [], kind.api_version, paths)
    obj["metadata"]["managedFields"] = entries
    outcome = writer.replace(kind, found, old, obj, request, "scale", warnings, own=False, lens=_lens(paths))
    shown = scale_of(outcome.object, paths)
    return Outcome(shown, encode(shown), outcome.entries, outcome.warnings)


def _lens(paths: Paths | None) -> Lens:
    return Lens(SCALE, lambda obj: scale_of(obj, paths), lambda obj, scale: rescaled(obj, scale, paths))


def connect(
    writer: Writer,
    kind: Kind,
    namespace: str,
    name: str,
    options: Resource,
    request: Request,
    subresource: str,
) -> Outcome:
    """Let a connection to an object (exec, attach, portforward, proxy) pass the gate. Stages nothing."""
    writer.find(kind, namespace, name)
    warnings = _gated(writer, kind, namespace, name, options, request, subresource)
    return Outcome(options, encode(options), warnings=tuple(warnings))


def _gated(
    writer: Writer, kind: Kind, namespace: str, name: str, body: Resource, request: Request, subresource: str
) -> list[str]:
    """Ask the gate about a request that is no write of an object: a Binding, an Eviction, a connection."""
    if writer.gate is None or not writer.gate.closed:
        return []
    group, _, version = str(body.get("apiVersion") or "v1").rpartition("/")
    spoken = Kind(group, version, str(body["kind"]), "")
    operation: Operation = "CONNECT" if body["kind"].endswith("Options") else "CREATE"
    passage = guarding.passage(
        writer, operation, kind, namespace, name, body, None, request, subresource, spoken
    )
    writer.gate.mutate(passage)
    writer.gate.validate(passage)
    return passage.warnings


def _replace_part(
    writer: Writer,
    kind: Kind,
    found: Stored,
    given: Resource,
    request: Request,
    subresource: str,
    warnings: list[str],
) -> Outcome:
    """Take from the given object only what the subresource is for."""
    old, new = writer.live(kind, found), writer.live(kind, found)
    match subresource:
        case "finalize":
            finalizers = (given.get("spec") or {}).get("finalizers") or []
            new.setdefault("spec", {})["finalizers"] = finalizers
            meta = given.get("metadata") or {}
            if "finalizers" in meta:
                new["metadata"]["finalizers"] = meta["finalizers"]
            if not finalizers:
                new["spec"].pop("finalizers")
        case "ephemeralcontainers":
            wanted = (given.get("spec") or {}).get("ephemeralContainers") or []
            new["spec"]["ephemeralContainers"] = wanted
        case "resize":
            wanted = {item.get("name"): item for item in (given.get("spec") or {}).get("containers") or ()}
            for container in new["spec"]["containers"]:
                resources = wanted.get(container["name"], {}).get("resources")
                if resources is not None:
                    container["resources"] = resources
        case "approval":
            status = new.setdefault("status", {})
            status["conditions"] = (given.get("status") or {}).get("conditions") or []
    return writer.replace(kind, found, old, new, request, subresource, warnings)


def bind(writer: Writer, kind: Kind, namespace: str, name: str, body: Resource, request: Request) -> Outcome:
    """Put a pod on the node that a Binding names. The answer is a Status (201)."""
    target = body.get("target") or {}
    node = target.get("name") or ""
    if target.get("kind") not in {None, "", "Node"}:
        raise bad_request(f"invalid target kind {target['kind']}: only Node is supported")
    if not node:
        raise bad_request("target.name: Required value")
    found = writer.find(kind, namespace, name)
    pod = writer.live(kind, found)
    meta = body.get("metadata") or {}
    asked = {"apiVersion": "v1", "kind": "Binding", **body}
    warnings = _gated(writer, kind, namespace, name, asked, request, "binding")
    if meta.get("uid") and meta["uid"] != found.uid:
        raise conflict(
            "",
            "pods",
            name,
            f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {found.uid}",
        )
    if pod["metadata"].get("deletionTimestamp"):
        raise conflict("", "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        raise conflict(
            "", "pods/binding", name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
        )
    if pod["spec"].get("schedulingGates"):
        raise conflict("", "pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")
    pod["spec"]["nodeName"] = node
    annotations = meta.get("annotations")
    if annotations:
        pod["metadata"].setdefault("annotations", {}).update(annotations)
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    conditions[:] = [condition for condition in conditions if condition.get("type") != "PodScheduled"]
    conditions.append(
        {
            "type": "PodScheduled",
            "status": "True",
            "lastTransitionTime": stamp(request.now),
        }
    )
    status: Resource = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    if request.dry_run:
        return Outcome(status, encode(status), (), tuple(warnings), created=True)
    entry = writer.stage("MODIFIED", kind, pod, found)
    return Outcome(status, encode(status), (entry,), tuple(warnings), created=True)


def evict(writer: Writer, kind: Kind, namespace: str, name: str, body: Resource, request: Request) -> Outcome:
    """Delete a pod unless a PodDisruptionBudget forbids it just now (429)."""
    found = writer.find(kind, namespace, name)
    asked = {"apiVersion": "policy/v1", "kind": "Eviction", **body}
    warnings = _gated(writer, kind, namespace, name, asked, request, "eviction")
    options = dict(body.get("deleteOptions") or {})
    dry_run = request.dry_run or bool(options.get("dryRun"))
    pod = writer.live(kind, found)
    entries: list[Entry] = []
    phase = (pod.get("status") or {}).get("phase")
    if phase not in {"Succeeded", "Failed", "Pending"} and not pod["metadata"].get("deletionTimestamp"):
        budgets = _budgets(writer, namespace, found)
        if len(budgets) > 1:
            raise internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            )
        for kept, budget in budgets:
            if _spared(budget, pod):
                continue
            _spend(budget, name, request)
            if not dry_run:
                entries.append(writer.store.stage("MODIFIED", _BUDGETS, budget, kept))
    outcome = deleting.delete(writer, kind, namespace, name, options, request, gated=False)
    status: Resource = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    return Outcome(status, encode(status), (*entries, *outcome.entries), tuple(warnings), created=True)


def _budgets(writer: Writer, namespace: str, pod: Stored) -> list[tuple[Stored, Resource]]:
    found = []
    for stored in writer.store.head.items(_BUDGETS, namespace):
        budget = stored.object
        selector = (budget.get("spec") or {}).get("selector")
        if selector is not None and selectors.from_object(selector).matches(pod.labels):
            found.append((stored, budget))
    return found


def _spared(budget: Resource, pod: Resource) -> bool:
    """Whether a pod that is not ready anyway may go without asking the budget."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
    if ready:
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    healthy, desired = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
    return bool(healthy >= desired > 0)


def _spend(budget: Resource, pod: str, request: Request) -> None:
    name = budget["metadata"]["name"]
    status = budget.setdefault("status", {})
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", 10)
    if (status.get("disruptionsAllowed") or 0) <= 0:
        raise _too_many(
            f"The disruption budget {name} needs {status.get('desiredHealthy') or 0} healthy pods and has "
            f"{status.get('currentHealthy') or 0} currently"
        )
    status["disruptionsAllowed"] -= 1
    status.setdefault("disruptedPods", {})[pod] = stamp(request.now)


def _too_many(cause: str, retry: int = 0) -> Refusal:
    details: dict[str, Any] = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    if retry:
        details["retryAfterSeconds"] = retry
    return Refusal(
        429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.", details
    )
