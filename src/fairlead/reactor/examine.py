"""Gathers what there is, from a cluster, from files or from files laid over a cluster, and has it examined.

What the examination asks for beside the objects (the ends of logs) is fetched in between. Holds no rules: what is wrong and why is told by the diagnose engine, what is not valid by keep. Changes nothing.
"""

from __future__ import annotations

import contextlib
import copy
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from fairlead.diagnose.examining import examine, findings_in, needs_in
from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.likening import nearest
from fairlead.dialects import manifests
from fairlead.dialects.manifests import Document, about_file
from fairlead.drivers.cluster import AsyncCluster
from fairlead.drivers.definitions import load
from fairlead.keep.errors import Refusal
from fairlead.keep.requests import Request
from fairlead.keep.worlds import World
from fairlead.reactor import gathering, trees
from fairlead.reactor.gathering import Told, answer
from fairlead.reactor.laying import overlay
from fairlead.reactor.practising import advise
from fairlead.reactor.unwrapping import CHART_FOLDERS, Unwrapped
from fairlead.words import Evidence, Finding, Ref, Severity, Snapshot, User, Where

KINDS: Sequence[tuple[str, str]] = (
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "PersistentVolume"),
    ("v1", "Node"),
    ("v1", "Namespace"),
    ("v1", "Event"),
    ("v1", "ReplicationController"),
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ControllerRevision"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "IngressClass"),
    ("storage.k8s.io/v1", "StorageClass"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
    ("node.k8s.io/v1", "RuntimeClass"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
)
"""What an examination looks at on a cluster, beside the custom resources that it defines."""

OPTIONAL: Sequence[tuple[str, str]] = (
    ("fairlead.dev/v1alpha1", "FlightRecord"),
    ("fairlead.dev/v1alpha1", "Detection"),
    ("apiregistration.k8s.io/v1", "APIService"),
    ("metrics.k8s.io/v1beta1", "NodeMetrics"),
    ("metrics.k8s.io/v1beta1", "PodMetrics"),
    ("gateway.networking.k8s.io/v1", "GatewayClass"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("gateway.networking.k8s.io/v1", "GRPCRoute"),
    ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"),
    ("wgpolicyk8s.io/v1alpha2", "PolicyReport"),
    ("wgpolicyk8s.io/v1alpha2", "ClusterPolicyReport"),
    ("resource.k8s.io/v1", "DeviceClass"),
    ("resource.k8s.io/v1", "ResourceClaim"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("operators.coreos.com/v1alpha1", "CatalogSource"),
    ("operators.coreos.com/v1alpha1", "ClusterServiceVersion"),
    ("operators.coreos.com/v1alpha1", "InstallPlan"),
    ("operators.coreos.com/v1alpha1", "Subscription"),
    ("operators.coreos.com/v1", "OperatorGroup"),
)
"""What a cluster may have or not: a group that is not served has nothing in it, which is no gap in what was seen."""


@dataclass(slots=True)
class Examined:
    """What an examination saw and found. `places` says where in the files an object was written."""

    findings: list[Finding]
    view: Snapshot
    scope: str
    unseen: frozenset[tuple[str, str]] = frozenset()
    places: Mapping[Ref, Document] = field(default_factory=dict)


async def gather(
    cluster: AsyncCluster,
    namespace: str = "",
    kinds: Sequence[tuple[str, str]] | None = None,
    *,
    told: Told | None = None,
) -> tuple[Snapshot, frozenset[tuple[str, str]]]:
    """Return everything of the kinds (in one namespace, where one is given), and the kinds that could not be listed.

    Without kinds it is all that an examination looks at, with the cluster's custom resources. Raises Unreachable, and Refusal where not
    even pods may be listed.
    """
    if kinds is not None:
        return await gathering.gather(cluster, namespace, kinds, told=told)
    return await gathering.gather(cluster, namespace, KINDS, OPTIONAL, customs=True, told=told)


async def examine_cluster(
    cluster: AsyncCluster,
    now: Callable[[], datetime],
    namespace: str = "",
    *,
    advice: bool = False,
    over: Sequence[Document] = (),
    told: Told | None = None,
) -> Examined:
    """Examine a live cluster, or one namespace of it with what stands outside namespaces.

    `over` are objects from files that are laid over the cluster's: what it would be if they were applied. `advice` asks for hygiene too.
    `told` hears how many kinds have answered, of how many. Raises Unreachable, and Refusal where not even pods may be listed.
    """
    with gathering.unswept():
        view, unseen = await gather(cluster, namespace, told=told)
        places = overlay(view, over, namespace or cluster.access.namespace)

        def locate(ref: Ref, path: str) -> Where:
            document = places.get(ref)
            return document.where(path) if document is not None else Where(path=path)

        inventory = Inventory(view, scope="live", now=now(), unseen=unseen, locate=locate)
        inventory.answers = await answer(cluster, needs_in(inventory))
        inventory.now = now()
        findings = findings_in(inventory, advice=advice)
    if advice:
        findings += advise(view, locate)
    return Examined(findings, view, "live", unseen, places)


# Files


def files_in(path: Path) -> list[Path]:
    """Return the manifests under a folder by their names, or the file itself whatever its name. Raises OSError.

    What Kustomize trees in the folder refer to belongs to it, also where it is no manifest or lies beside the folder.
    """
    if not path.is_dir():
        return [path]
    found = sorted(
        one
        for one in path.rglob("*")
        if one.suffix in manifests.READS
        and one.is_file()
        and not any(part.startswith(".") for part in one.relative_to(path).parts)
    )
    return sorted({*found, *trees.beside(found, path)})


def charts(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the files that belong to Helm charts, by the chart's folder: templates, values and what describes it."""
    paths = [PurePosixPath(name) for name in names]
    folders = sorted(
        (path.parent for path in paths if path.name == "Chart.yaml"), key=lambda folder: len(folder.parts)
    )
    found: dict[str, list[str]] = {}
    for path in paths:
        for folder in folders:
            if folder in path.parents:
                inner = path.relative_to(folder)
                if inner.parts[0] in CHART_FOLDERS or len(inner.parts) == 1:
                    found.setdefault(str(folder), []).append(str(path))
                break
    return found


def read_files(
    files: Mapping[str, str],
    *,
    built: bool = False,
    every: bool = False,
    packages: Unwrapped | None = None,
) -> tuple[list[Document], list[Finding]]:
    """Return the objects in texts by their file's name, and a Finding for all that could not be read as one.

    With `built` those of Kustomize trees are as they would be applied, otherwise as their files have them; with `every` all that overlays
    make of one object, where they differ. `packages` are those among the files, which are no manifests, and what they render.
    """
    documents: list[Document] = list(packages.documents) if packages is not None else []
    findings: list[Finding] = list(packages.findings) if packages is not None else []
    if packages is not None:
        files = {name: text for name, text in files.items() if not packages.holds(name)}
    in_charts = charts(files)
    passed = {name for names in in_charts.values() for name in names}
    for folder, names in in_charts.items():
        templates = sum(1 for name in names if "/templates/" in name)
        findings.append(
            about_file(
                "document.template",
                Severity.INFO,
                f"{folder}/Chart.yaml",
                f"is a Helm chart with {templates} templates, which are not rendered here: nothing in it is examined",
            )
        )
    tree_files = {name: text for name, text in files.items() if name not in passed}
    if built and (packages is None or packages.trees):
        found = trees.build(tree_files, every=every)
        documents += found.documents
        findings += found.findings
        passed |= found.parts
    else:
        passed |= trees.parts_of(tree_files)
    plain: list[Document] = []
    for name, text in files.items():
        if name not in passed:
            objects, more = manifests.read(name, text)
            plain += objects
            findings += more
    once = {(one.ref, one.file): one for one in reversed(documents)} if every else None
    written = (documents if once is None else list(once.values())) + plain
    return documents + plain, findings + manifests.doubles(written)


def examine_files(
    files: Mapping[str, str], now: datetime, *, advice: bool = False, packages: Unwrapped | None = None
) -> Examined:
    """Examine texts by their file's name, without a cluster: what an API server would refuse, and what cannot work.

    `advice` asks for hygiene too; `packages` are those among the files, rendered.
    """
    documents, findings = read_files(files, built=True, packages=packages)
    places: dict[Ref, Document] = {}
    for document in documents:
        places[document.ref] = document

    def locate(ref: Ref, path: str) -> Where:
        document = places.get(ref)
        return document.where(path) if document is not None else Where(path=path)

    view = Snapshot(document.content for document in documents)
    found = examine(view, scope="files", now=now, locate=locate, advice=advice)
    findings += found + _refused(documents, now, found)
    if advice:
        findings += advise(view, locate)
    findings.sort(key=lambda one: (one.severity != "critical", one.severity == "info"))
    return Examined(findings, view, "files", places=places)


def _refused(documents: Iterable[Document], now: datetime, known: Sequence[Finding]) -> list[Finding]:
    """Return a Finding for each object that the API server would not take, by creating it on an empty cluster."""
    world = World(load(), random.Random(0)).fork()
    request = Request(
        user=User(name="fairlead", groups=("system:masters",)),
        now=now,
        manager="fairlead",
        field_validation="Strict",
    )
    told = {one.subject for one in known if one.rule == "workload.selector"}
    findings = []
    for document in sorted(documents, key=_precedence):
        ref = document.ref
        kind = world.catalogue.kind(ref.group, ref.kind, document.content["apiVersion"].rpartition("/")[2])
        if kind is None or not kind.stored:
            findings += _unknown_kind(world, document)
            continue
        namespace = (ref.namespace or "default") if kind.namespaced else ""
        _have_namespace(world, namespace, request)
        body = copy.deepcopy(document.content)
        body.pop("status", None)
        if not kind.namespaced:
            body["metadata"].pop("namespace", None)
        try:
            world.create(kind, namespace, body, request)
        except Refusal as refusal:
            if refusal.code not in {400, 422}:  # refused for what is or is not beside it: unknown here
                continue
            if ref not in told:
                findings.append(_invalid(document, refusal))
    return findings


_ORDER = {
    "CustomResourceDefinition": 0,
    "Namespace": 1,
    "StorageClass": 2,
    "PriorityClass": 2,
    "ServiceAccount": 3,
}
_UNKNOWN_FIELD = re.compile(r'(?:unknown|duplicate) field "([^"]+)"')
_GO_FIELD = re.compile(r"Go struct field \w+\.(\S+) of type")


def _precedence(document: Document) -> int:
    return _ORDER.get(document.ref.kind, 9)


def _have_namespace(world: World, namespace: str, request: Request) -> None:
    kind = world.catalogue.kind("", "Namespace")
    if namespace and kind is not None and not world.has(kind, "", namespace):
        with contextlib.suppress(Refusal):
            world.create(
                kind, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, request
            )


def _unknown_kind(world: World, document: Document) -> list[Finding]:
    """Return what to say about a kind that no API server of ours serves: wrong for Kubernetes' own groups, else unknown."""
    ref = document.ref
    version = document.content["apiVersion"]
    own = {kind.group for kind in world.catalogue.all()} | {"extensions"}
    place = document.where(".kind")
    if ref.group not in own:
        message = f"is of a kind that is not known here ({version}): only its references are looked at"
        return [
            Finding(rule="object.foreign", severity=Severity.INFO, subject=ref, message=message, where=place)
        ]
    other = next((kind for kind in world.catalogue.all() if kind.kind == ref.kind), None)
    near = nearest(ref.kind, {kind.kind for kind in world.catalogue.all() if kind.group == ref.group})
    cause = (
        f"Kubernetes 1.32 serves it as {other.api_version}." if other else f"{near} is there." if near else ""
    )
    return [
        Finding(
            rule="object.kind",
            severity=Severity.CRITICAL,
            subject=ref,
            message=f'no matches for kind "{ref.kind}" in version "{version}"',
            cause=cause,
            where=place,
        )
    ]


def _invalid(document: Document, refusal: Refusal) -> Finding:
    """Return what the API server would say, with the place of the first fault."""
    causes = (refusal.details or {}).get("causes") or []
    fields = [
        (cause.get("field") or "", f"{cause.get('field') or ''}: {cause.get('message')}".removeprefix(": "))
        for cause in causes
    ]
    if not fields:
        said = refusal.message.partition("strict decoding error: ")[2] or refusal.message
        names = _UNKNOWN_FIELD.findall(said) or _GO_FIELD.findall(said)
        fields = [(name, text) for name, text in zip(names, said.split(", "), strict=False)] or [("", said)]
    ref = document.ref
    places = [document.where(f".{name}" if name else "") for name, _ in fields]
    first = fields[0][1].rpartition("json: ")[2]
    more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
    return Finding(
        rule="object.invalid",
        severity=Severity.CRITICAL,
        subject=ref,
        message=f"the API server would refuse it: {first}{more}",
        evidence=tuple(
            Evidence("field", ref, text, place) for (_, text), place in zip(fields[:8], places, strict=False)
        ),
        where=places[0],
    )


__all__ = [
    "KINDS",
    "OPTIONAL",
    "Examined",
    "answer",
    "charts",
    "examine_cluster",
    "examine_files",
    "files_in",
    "gather",
    "read_files",
]
