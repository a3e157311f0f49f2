"""What makes a StatefulSet's pod itself: its ordinal, its name, its labels and its own claims.

Source: k8s.io/kubernetes/pkg/controller/statefulset/stateful_set_utils.go. Builds and compares; proposes nothing but
the claims' Changes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fairlead.orchestrate import owning, proposing
from fairlead.orchestrate.revisions import LABEL
from fairlead.words import Change, Resource, View

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
CLAIM = ("", "PersistentVolumeClaim")
COMPONENT = "statefulset-controller"


def ordinal(owner: Resource, name: str) -> int | None:
    """Return the number at the end of a pod's name; None for a name that is not this owner's."""
    stem, _, number = name.rpartition("-")
    if stem != owner["metadata"]["name"] or not number.isdecimal():
        return None
    return int(number)


def start(owner: Resource) -> int:
    """Return the first ordinal."""
    return int((owner["spec"].get("ordinals") or {}).get("start") or 0)


def templates(owner: Resource) -> list[Resource]:
    """Return the claim templates."""
    return owner["spec"].get("volumeClaimTemplates") or []


def claim_name(owner: Resource, template: Resource, number: int) -> str:
    """Return `<template>-<set>-<ordinal>`."""
    return f"{template['metadata']['name']}-{owner['metadata']['name']}-{number}"


def build(owner: Resource, template: Resource, revision: str, number: int) -> Resource:
    """Return the pod of this ordinal after a template of the given revision."""
    name = f"{owner['metadata']['name']}-{number}"
    pod = owning.pod_from(template, owner, name)
    pod["metadata"]["labels"] = {
        **(pod["metadata"].get("labels") or {}),
        **_labels(name, number),
        LABEL: revision,
    }
    spec = pod["spec"]
    spec["hostname"] = name
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    volumes = _volumes(owner, number, spec.get("volumes") or [])
    if volumes:
        spec["volumes"] = volumes
    return pod


def _labels(name: str, number: int) -> dict[str, str]:
    return {POD_NAME: name, POD_INDEX: str(number)}


def _volumes(owner: Resource, number: int, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    own = [
        {
            "name": template["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(owner, template, number)},
        }
        for template in templates(owner)
    ]
    names = {volume["name"] for volume in own}
    return [*own, *(volume for volume in given if volume["name"] not in names)]


def restore(owner: Resource, pod: Resource) -> tuple[Change, ...]:
    """Return the change that gives a pod its identity's labels back, if they were taken from it."""
    number = ordinal(owner, pod["metadata"]["name"])
    wanted = _labels(pod["metadata"]["name"], number or 0)
    if wanted.items() <= owning.labels(pod).items():
        return ()
    return (proposing.patch(pod, {"metadata": {"labels": wanted}}, "the labels of its identity"),)


def claims(view: View, owner: Resource, number: int, now: datetime, *, tell: bool = True) -> list[Change]:
    """Return the changes that create the claims of an ordinal that are missing."""
    meta = owner["metadata"]
    namespace = meta.get("namespace", "")
    changes: list[Change] = []
    for template in templates(owner):
        name = claim_name(owner, template, number)
        if view.get(*CLAIM, namespace, name) is not None:
            continue
        given = template["metadata"]
        marks = {
            **(given.get("labels") or {}),
            **((owner["spec"].get("selector") or {}).get("matchLabels") or {}),
        }
        body: Resource = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace, "labels": marks},
            "spec": template.get("spec") or {},
        }
        if given.get("annotations"):
            body["metadata"]["annotations"] = given["annotations"]
        if _policy(owner, "whenDeleted") == "Delete":
            body["metadata"]["ownerReferences"] = [owning.reference_to(owner)]
        changes.append(proposing.create(body, f"pod {meta['name']}-{number} needs its claim"))
        if tell:
            pod = f"{meta['name']}-{number}"
            text = f"create Claim {name} Pod {pod} in StatefulSet {meta['name']} success"
            changes.append(proposing.event(owner, "Normal", "SuccessfulCreate", text, now, COMPONENT))
    return changes


def _policy(owner: Resource, moment: str) -> str:
    policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get(moment) or "Retain"


def retention(view: View, owner: Resource, pod: Resource, *, condemned: bool) -> list[Change]:
    """Return the changes of owner that make a pod's claims go with the set or with the pod, as the policy says."""
    number = ordinal(owner, pod["metadata"]["name"])
    namespace = owner["metadata"].get("namespace", "")
    by_set, by_pod = owner["metadata"].get("uid", ""), pod["metadata"].get("uid", "")
    wanted: list[dict[str, Any]] = []
    if condemned and _policy(owner, "whenScaled") == "Delete":
        wanted.append(
            {**owning.reference_to({"apiVersion": "v1", "kind": "Pod", **pod}), "controller": False}
        )
    elif _policy(owner, "whenDeleted") == "Delete":
        wanted.append(owning.reference_to(owner))
    changes: list[Change] = []
    for template in templates(owner):
        claim = view.get(*CLAIM, namespace, claim_name(owner, template, number or 0))
        if claim is None:
            continue
        old = claim["metadata"].get("ownerReferences") or []
        others = [reference for reference in old if reference["uid"] not in {by_set, by_pod}]
        mine = {reference["uid"] for reference in old} & {by_set, by_pod}
        if mine != {reference["uid"] for reference in wanted}:
            document = {"metadata": {"ownerReferences": [*others, *wanted]}}
            changes.append(proposing.patch(claim, document, "the claim retention policy", exact=True))
    return changes
