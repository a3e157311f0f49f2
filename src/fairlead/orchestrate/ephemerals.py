"""Ephemeral volumes: the claim that a pod's volume asks for, made for this pod and gone with it.

Source: k8s.io/kubernetes/pkg/controller/volume/ephemeral. A claim of that name that is somebody else's is never taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fairlead.orchestrate import lives, owning, proposing
from fairlead.orchestrate.steps import Controller, Refused, Step
from fairlead.words import Change, Ref, Resource, View

POD = ("", "Pod")
CLAIM = ("", "PersistentVolumeClaim")
COMPONENT = "ephemeral_volume"


def _reconcile(view: View, ref: Ref, now: datetime) -> Step:
    pod = view.get(*POD, ref.namespace, ref.name)
    if pod is None or not lives.is_active(pod):
        return Step()
    changes: list[Change] = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template is None:
            continue
        name = f"{ref.name}-{volume['name']}"
        claim = view.get(*CLAIM, ref.namespace, name)
        if claim is None:
            changes.append(
                proposing.create(_claim(pod, name, template), f"volume {volume['name']} of its pod")
            )
        elif (owning.controller_of(claim) or {}).get("uid") != pod["metadata"].get("uid"):
            text = f"PVC {ref.namespace}/{name} was not created for pod {ref.namespace}/{ref.name} (pod is not owner)"
            told = proposing.event(pod, "Warning", "ClaimCreationFailed", text, now, COMPONENT)
            if view.get("", "Event", told.ref.namespace, told.ref.name) is None:
                changes.append(told)
    return Step(tuple(changes))


def _claim(pod: Resource, name: str, template: Resource) -> Resource:
    given = template.get("metadata") or {}
    meta: dict[str, Any] = {
        "name": name,
        "namespace": pod["metadata"].get("namespace", ""),
        "ownerReferences": [owning.reference_to(pod)],
    }
    for key in ("labels", "annotations"):
        if given.get(key):
            meta[key] = dict(given[key])
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta,
        "spec": template.get("spec") or {},
    }


def _refused(view: View, ref: Ref, change: Change, refusal: Refused, now: datetime) -> Step:
    pod = view.get(*POD, ref.namespace, ref.name)
    if pod is None or change.verb != "create" or refusal.reason == "AlreadyExists":
        return Step()
    text = f"ephemeral volume: create PVC {change.ref.name}: {refusal.message}"
    return Step((proposing.event(pod, "Warning", "ClaimCreationFailed", text, now, COMPONENT),))


def _of_claim(view: View, claim: Resource) -> Iterable[Ref]:
    del view
    return owning.controller_ref(claim, *POD)


EPHEMERALS = Controller(
    name="ephemeralvolume", kind=POD, reconcile=_reconcile, watches={CLAIM: _of_claim}, refused=_refused
)
