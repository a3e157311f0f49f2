"""Every reference that an object makes to another, as an edge with the place it is written at.

Reading only: whether the target exists is for others to say. Relations that select by labels are edges too, but are
resolved by the inventory, since they name no object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.diagnose.hosts import Spoken, arguments, named, setting, unveiled
from fairlead.tongues.paths import Path, mapping, mappings, strings, text, whole, words
from fairlead.words import Ref, Resource

TEMPLATES: Mapping[tuple[str, str], Path] = {
    ("", "Pod"): (),
    ("", "ReplicationController"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
    ("batch", "Job"): ("spec", "template"),
}
"""Where each kind that makes pods keeps the pod. Other kinds that have containers under `.spec.template.spec` count too."""

_MAKERS = frozenset(kind for _, kind in TEMPLATES)

CLUSTER_SCOPED = frozenset(
    {
        ("", "Namespace"),
        ("", "Node"),
        ("", "PersistentVolume"),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("apiregistration.k8s.io", "APIService"),
        ("gateway.networking.k8s.io", "GatewayClass"),
        ("networking.k8s.io", "IngressClass"),
        ("node.k8s.io", "RuntimeClass"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("resource.k8s.io", "DeviceClass"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("scheduling.k8s.io", "PriorityClass"),
        ("storage.k8s.io", "CSIDriver"),
        ("storage.k8s.io", "StorageClass"),
    }
)
"""The kinds that live outside namespaces, as far as references point at them."""


ROOT_CA = "kube-root-ca.crt"
"""The ConfigMap that every cluster keeps in every namespace by itself; like the default service account, never missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`source` names `target` at `path`; `key` is the one key of it that is needed, "" for all of it.

    `relation` is one of owner, config, secret, claim, account, priority, runtime, image, node, pull-secret, class, volume,
    scales, role, backend, tls, webhook, governs, address, bound. `container` is the container that asks, where one does.
    An address is a host in a text that stands for a Service if it is in the cluster at all; `key` is the setting's name, `port` 0 where
    none is told. The target of a short name lies in the namespace of who uses the text.
    """

    source: Ref
    relation: str
    target: Ref
    path: Path
    key: str = ""
    optional: bool = False
    container: str = ""
    port: str | int = ""


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod spec, with its path in the object that holds it. `role` is init, sidecar or main."""

    name: str
    role: str
    content: dict[str, Any]
    path: Path


def done(resource: Resource) -> bool:
    """Say whether a Job is complete, or a pod has succeeded: what it was made from is not needed any more."""
    if resource.get("kind") == "Pod":
        return text(resource, "status", "phase") == "Succeeded"
    return resource.get("kind") == "Job" and any(
        item.get("type") == "Complete" and item.get("status") == "True"
        for _, item in mappings(resource, "status", "conditions")
    )


def template_path(resource: Resource) -> Path | None:
    """Return where the object keeps a pod (its metadata and spec), or None if it makes no pods."""
    version, kind = resource.get("apiVersion") or "", resource.get("kind") or ""
    known = TEMPLATES.get((version.rpartition("/")[0], kind)) if kind in _MAKERS else None
    if known is not None:
        return known
    spec = resource.get("spec")
    if isinstance(spec, dict) and "template" in spec and mappings(spec, "template", "spec", "containers"):
        return ("spec", "template")
    return None


def containers(spec: Mapping[str, Any], path: Path) -> Iterator[Container]:
    """Each container of a pod spec that lies at the path: init containers first, in their order."""
    for field in ("initContainers", "containers"):
        for index, content in mappings(spec, field):
            role = "main" if field == "containers" else "init"
            if role == "init" and content.get("restartPolicy") == "Always":
                role = "sidecar"
            yield Container(text(content, "name"), role, content, (*path, field, index))


def _env(source: Ref, container: Container) -> Iterator[Edge]:
    space = source.namespace
    for index, entry in mappings(container.content, "env"):
        for field, kind, relation in (
            ("configMapKeyRef", "ConfigMap", "config"),
            ("secretKeyRef", "Secret", "secret"),
        ):
            ref = mapping(entry, "valueFrom", field)
            if text(ref, "name"):
                yield Edge(
                    source=source,
                    relation=relation,
                    target=Ref("", kind, space, ref["name"]),
                    path=(*container.path, "env", index, "valueFrom", field),
                    key=text(ref, "key"),
                    optional=ref.get("optional") is True,
                    container=container.name,
                )
    for index, entry in mappings(container.content, "envFrom"):
        for field, kind, relation in (
            ("configMapRef", "ConfigMap", "config"),
            ("secretRef", "Secret", "secret"),
        ):
            ref = mapping(entry, field)
            if text(ref, "name"):
                yield Edge(
                    source=source,
                    relation=relation,
                    target=Ref("", kind, space, ref["name"]),
                    path=(*container.path, "envFrom", index, field),
                    optional=ref.get("optional") is True,
                    container=container.name,
                )


def _volume_source(
    source: Ref, content: Mapping[str, Any], path: Path, *, optional: bool = False
) -> Iterator[Edge]:
    """Edges of a volume's or a projected volume's ConfigMap and Secret, one for each item that names a key."""
    for field, kind, relation, name_field in (
        ("configMap", "ConfigMap", "config", "name"),
        (
            "secret",
            "Secret",
            "secret",
            "secretName" if "secretName" in mapping(content, "secret") else "name",
        ),
    ):
        ref = mapping(content, field)
        name = text(ref, name_field)
        if not name or (kind, name) == ("ConfigMap", ROOT_CA):
            continue
        target = Ref("", kind, source.namespace, name)
        lenient = optional or ref.get("optional") is True
        yield Edge(source=source, relation=relation, target=target, path=(*path, field), optional=lenient)
        for index, item in mappings(ref, "items"):
            yield Edge(
                source=source,
                relation=relation,
                target=target,
                path=(*path, field, "items", index),
                key=text(item, "key"),
                optional=lenient,
            )


def _volumes(source: Ref, spec: Mapping[str, Any], path: Path) -> Iterator[Edge]:
    for index, volume in mappings(spec, "volumes"):
        here = (*path, "volumes", index)
        yield from _volume_source(source, volume, here)
        for inner, projected in mappings(volume, "projected", "sources"):
            yield from _volume_source(source, projected, (*here, "projected", "sources", inner))
        for sort, content in volume.items():
            for field in ("secretRef", "nodePublishSecretRef"):
                if text(content, field, "name"):
                    yield Edge(
                        source=source,
                        relation="secret",
                        target=Ref("", "Secret", source.namespace, content[field]["name"]),
                        path=(*here, sort, field),
                        optional=True,
                    )
        claim = text(volume, "persistentVolumeClaim", "claimName")
        if claim:
            yield Edge(
                source=source,
                relation="claim",
                target=Ref("", "PersistentVolumeClaim", source.namespace, claim),
                path=(*here, "persistentVolumeClaim", "claimName"),
            )


def pod_edges(source: Ref, spec: Mapping[str, Any], path: Path) -> Iterator[Edge]:
    """Each reference that a pod spec makes; `path` is where the spec lies in the source object."""
    for container in containers(spec, path):
        image = text(container.content, "image")
        if image:
            yield Edge(
                source=source,
                relation="image",
                target=Ref("", "Image", "", image),
                path=(*container.path, "image"),
                container=container.name,
            )
        yield from _env(source, container)
    yield from _volumes(source, spec, path)
    account = text(spec, "serviceAccountName") or text(spec, "serviceAccount")
    if account and account != "default":
        yield Edge(
            source=source,
            relation="account",
            target=Ref("", "ServiceAccount", source.namespace, account),
            path=(*path, "serviceAccountName"),
        )
    for field, relation, group, kind in (
        ("priorityClassName", "priority", "scheduling.k8s.io", "PriorityClass"),
        ("runtimeClassName", "runtime", "node.k8s.io", "RuntimeClass"),
        ("nodeName", "node", "", "Node"),
    ):
        name = text(spec, field)
        if name:
            yield Edge(
                source=source, relation=relation, target=Ref(group, kind, "", name), path=(*path, field)
            )
    for index, entry in mappings(spec, "imagePullSecrets"):
        if text(entry, "name"):
            yield Edge(
                source=source,
                relation="pull-secret",
                target=Ref("", "Secret", source.namespace, entry["name"]),
                path=(*path, "imagePullSecrets", index, "name"),
                optional=True,
            )


def _spoken_of(source: Ref, one: Spoken, path: Path, key: str, container: str = "") -> Iterator[Edge]:
    for target in named(one.host, source.namespace):
        yield Edge(
            source=source,
            relation="address",
            target=Ref("", "Service", target.namespace, target.service),
            path=path,
            key=key,
            container=container,
            port=one.port,
        )


def _addresses(source: Ref, spec: Mapping[str, Any], path: Path) -> Iterator[Edge]:
    """The hosts that containers are told: in their variables, and in their commands and arguments."""
    for container in containers(spec, path):
        for index, entry in mappings(container.content, "env"):
            name = text(entry, "name")
            for one in setting(name, text(entry, "value")):
                yield from _spoken_of(
                    source, one, (*container.path, "env", index, "value"), name, container.name
                )
        line = [*words(container.content, "command"), *words(container.content, "args")]
        first = len(words(container.content, "command"))
        for index, option, one in arguments(line):
            field, at = ("command", index) if index < first else ("args", index - first)
            yield from _spoken_of(source, one, (*container.path, field, at), option, container.name)


def _settings(source: Ref, resource: Resource) -> Iterator[Edge]:
    """The hosts in the settings of a ConfigMap or Secret, and in the files of a ConfigMap."""
    secret = source.kind == "Secret"
    for field in ("data", "stringData") if secret else ("data",):
        for key, value in strings(resource, field).items():
            plain = unveiled(key, value) if secret and field == "data" else value
            for one in setting(key, plain):
                yield from _spoken_of(source, one, (field, key), key)


def _ingress(source: Ref, resource: Resource) -> Iterator[Edge]:
    places: list[tuple[Mapping[str, Any], Path]] = [
        (mapping(resource, "spec", "defaultBackend", "service"), ("spec", "defaultBackend", "service"))
    ]
    for index, rule in mappings(resource, "spec", "rules"):
        for inner, entry in mappings(rule, "http", "paths"):
            path: Path = ("spec", "rules", index, "http", "paths", inner, "backend", "service")
            places.append((mapping(entry, "backend", "service"), path))
    for service, path in places:
        if text(service, "name"):
            port = mapping(service, "port")
            yield Edge(
                source=source,
                relation="backend",
                target=Ref("", "Service", source.namespace, service["name"]),
                path=path,
                port=text(port, "name") or whole(port, "number") or "",
            )
    for index, entry in mappings(resource, "spec", "tls"):
        if text(entry, "secretName"):
            yield Edge(
                source=source,
                relation="tls",
                target=Ref("", "Secret", source.namespace, entry["secretName"]),
                path=("spec", "tls", index, "secretName"),
            )
    name = text(resource, "spec", "ingressClassName")
    if name:
        yield Edge(
            source=source,
            relation="class",
            target=Ref("networking.k8s.io", "IngressClass", "", name),
            path=("spec", "ingressClassName"),
        )


_GATEWAY = "gateway.networking.k8s.io"
ROUTES = ("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute")
"""The kinds of routes of the Gateway API."""


def _named(source: Ref, ref: Mapping[str, Any], group: str, kind: str) -> Ref:
    """Return what a reference of the Gateway API names, with the group and kind that it has by default."""
    said = ref.get("group")
    return Ref(
        said if isinstance(said, str) else group,
        text(ref, "kind") or kind,
        text(ref, "namespace") or source.namespace,
        text(ref, "name"),
    )


def _gateway(source: Ref, resource: Resource) -> Iterator[Edge]:
    name = text(resource, "spec", "gatewayClassName")
    if name:
        yield Edge(
            source=source,
            relation="class",
            target=Ref(_GATEWAY, "GatewayClass", "", name),
            path=("spec", "gatewayClassName"),
        )
    for index, listener in mappings(resource, "spec", "listeners"):
        for inner, ref in mappings(listener, "tls", "certificateRefs"):
            if text(ref, "name"):
                path: Path = ("spec", "listeners", index, "tls", "certificateRefs", inner)
                yield Edge(source=source, relation="tls", target=_named(source, ref, "", "Secret"), path=path)


def _route(source: Ref, resource: Resource) -> Iterator[Edge]:
    for index, ref in mappings(resource, "spec", "parentRefs"):
        if text(ref, "name"):
            yield Edge(
                source=source,
                relation="parent",
                target=_named(source, ref, _GATEWAY, "Gateway"),
                path=("spec", "parentRefs", index),
                key=text(ref, "sectionName"),
                port=whole(ref, "port") or "",
            )
    for index, rule in mappings(resource, "spec", "rules"):
        here: Path = ("spec", "rules", index)
        places = [(one, (*here, "backendRefs", inner)) for inner, one in mappings(rule, "backendRefs")]
        places += [
            (
                mapping(one, "requestMirror", "backendRef"),
                (*here, "filters", inner, "requestMirror", "backendRef"),
            )
            for inner, one in mappings(rule, "filters")
        ]
        for ref, path in places:
            if text(ref, "name"):
                yield Edge(
                    source=source,
                    relation="backend",
                    target=_named(source, ref, "", "Service"),
                    path=path,
                    port=whole(ref, "port") or "",
                )


def _called(path: Path) -> Callable[[Ref, Resource], Iterator[Edge]]:
    """Return the reader of the one Service that the API server calls for an object."""

    def read(source: Ref, resource: Resource) -> Iterator[Edge]:
        service = mapping(resource, *path)
        if text(service, "name"):
            yield Edge(
                source=source,
                relation="webhook",
                target=Ref("", "Service", text(service, "namespace"), service["name"]),
                path=path,
            )

    return read


def _claim(source: Ref, resource: Resource) -> Iterator[Edge]:
    for field, kind, group, relation in (
        ("storageClassName", "StorageClass", "storage.k8s.io", "class"),
        ("volumeName", "PersistentVolume", "", "volume"),
    ):
        name = text(resource, "spec", field)
        if name:
            yield Edge(
                source=source, relation=relation, target=Ref(group, kind, "", name), path=("spec", field)
            )


def _autoscaler(source: Ref, resource: Resource) -> Iterator[Edge]:
    target = mapping(resource, "spec", "scaleTargetRef")
    if text(target, "kind") and text(target, "name"):
        group = text(target, "apiVersion").rpartition("/")[0]
        yield Edge(
            source=source,
            relation="scales",
            target=Ref(group, target["kind"], source.namespace, target["name"]),
            path=("spec", "scaleTargetRef"),
        )


def scaled(resource: Resource) -> Ref:
    """Return what a KEDA ScaledObject scales: a Deployment, unless it says otherwise."""
    target = mapping(resource, "spec", "scaleTargetRef")
    version = text(target, "apiVersion") or "apps/v1"
    return Ref(
        version.rpartition("/")[0],
        text(target, "kind") or "Deployment",
        Ref.of(resource).namespace,
        text(target, "name"),
    )


def _scaled_object(source: Ref, resource: Resource) -> Iterator[Edge]:
    target = scaled(resource)
    if target.name:
        yield Edge(source=source, relation="scales", target=target, path=("spec", "scaleTargetRef"))


def _stateful(source: Ref, resource: Resource) -> Iterator[Edge]:
    name = text(resource, "spec", "serviceName")
    if name:
        yield Edge(
            source=source,
            relation="governs",
            target=Ref("", "Service", source.namespace, name),
            path=("spec", "serviceName"),
        )


def _webhooks(source: Ref, resource: Resource) -> Iterator[Edge]:
    for index, hook in mappings(resource, "webhooks"):
        service = mapping(hook, "clientConfig", "service")
        if text(service, "name"):
            yield Edge(
                source=source,
                relation="webhook",
                target=Ref("", "Service", text(service, "namespace"), service["name"]),
                path=("webhooks", index, "clientConfig", "service"),
            )


def _binding(source: Ref, resource: Resource) -> Iterator[Edge]:
    role = mapping(resource, "roleRef")
    if text(role, "name"):
        space = source.namespace if role.get("kind") == "Role" else ""
        target = Ref("rbac.authorization.k8s.io", text(role, "kind"), space, role["name"])
        yield Edge(source=source, relation="role", target=target, path=("roleRef",))
    for index, subject in mappings(resource, "subjects"):
        if subject.get("kind") == "ServiceAccount" and text(subject, "name"):
            space = text(subject, "namespace") or source.namespace
            yield Edge(
                source=source,
                relation="account",
                target=Ref("", "ServiceAccount", space, subject["name"]),
                path=("subjects", index),
            )


def _account(source: Ref, resource: Resource) -> Iterator[Edge]:
    """The Secrets of a ServiceAccount; that it may do without them is for others to judge."""
    for field, relation in (("secrets", "secret"), ("imagePullSecrets", "pull-secret")):
        for index, entry in mappings(resource, field):
            if text(entry, "name"):
                yield Edge(
                    source=source,
                    relation=relation,
                    target=Ref("", "Secret", source.namespace, entry["name"]),
                    path=(field, index, "name"),
                    optional=True,
                )


def _volume(source: Ref, resource: Resource) -> Iterator[Edge]:
    """The claim that a volume is kept for, and the Secrets that its driver is given."""
    claim = mapping(resource, "spec", "claimRef")
    if text(claim, "name"):
        yield Edge(
            source=source,
            relation="bound",
            target=Ref("", "PersistentVolumeClaim", text(claim, "namespace"), claim["name"]),
            path=("spec", "claimRef"),
        )
    for field, content in mapping(resource, "spec", "csi").items():
        if field.endswith("SecretRef") and text(content, "name"):
            yield Edge(
                source=source,
                relation="secret",
                target=Ref("", "Secret", text(content, "namespace"), content["name"]),
                path=("spec", "csi", field),
                optional=True,
            )


def _provisioning(source: Ref, resource: Resource) -> Iterator[Edge]:
    """The Secrets that a StorageClass hands to its driver, where it names them without a placeholder."""
    parameters = strings(resource, "parameters")
    for field, name in parameters.items():
        if field.endswith("secret-name") and "$" not in name:
            space = parameters.get(f"{field.removesuffix('name')}namespace", "")
            if space and "$" not in space:
                yield Edge(
                    source=source,
                    relation="secret",
                    target=Ref("", "Secret", space, name),
                    path=("parameters", field),
                    optional=True,
                )


_READERS: Mapping[tuple[str, str], Callable[[Ref, Resource], Iterator[Edge]]] = {
    ("networking.k8s.io", "Ingress"): _ingress,
    ("", "ConfigMap"): _settings,
    ("", "Secret"): _settings,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "ServiceAccount"): _account,
    ("storage.k8s.io", "StorageClass"): _provisioning,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("keda.sh", "ScaledObject"): _scaled_object,
    ("apps", "StatefulSet"): _stateful,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhooks,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _webhooks,
    ("apiregistration.k8s.io", "APIService"): _called(("spec", "service")),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _called(
        ("spec", "conversion", "webhook", "clientConfig", "service")
    ),
    (_GATEWAY, "Gateway"): _gateway,
    **{(_GATEWAY, kind): _route for kind in ROUTES},
    ("rbac.authorization.k8s.io", "RoleBinding"): _binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _binding,
}


def edges(resource: Resource) -> Iterator[Edge]:
    """Each reference that the object makes, in the order in which it is written."""
    source = Ref.of(resource)
    for index, owner in mappings(resource, "metadata", "ownerReferences"):
        group = text(owner, "apiVersion").rpartition("/")[0]
        kind = text(owner, "kind")
        space = "" if (group, kind) in CLUSTER_SCOPED else source.namespace
        yield Edge(
            source=source,
            relation="owner",
            target=Ref(group, kind, space, text(owner, "name"), text(owner, "uid")),
            path=("metadata", "ownerReferences", index),
        )
    path = template_path(resource)
    if path is not None:
        yield from pod_edges(source, mapping(resource, *path, "spec"), (*path, "spec"))
        yield from _addresses(source, mapping(resource, *path, "spec"), (*path, "spec"))
    reader = _READERS.get((source.group, source.kind))
    if reader is not None:
        yield from reader(source, resource)
