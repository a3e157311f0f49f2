"""How nodes, namespaces, events, settings, storage and rights are shown as table rows.

Source: kubernetes pkg/printers/internalversion, v1.32.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fairlead.keep.tables_texts import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Cells,
    Column,
    Layout,
    age,
    at,
    duration,
    integer,
    name_of,
    since,
)
from fairlead.words import Resource

_ROLE = "node-role.kubernetes.io/"


def _node(resource: Resource, now: datetime) -> Cells:
    spec, status = resource.get("spec") or {}, resource.get("status") or {}
    words = [
        "Ready" if found.get("status") == "True" else "NotReady"
        for found in status.get("conditions") or ()
        if found.get("type") == "Ready"
    ] or ["Unknown"]
    if spec.get("unschedulable"):
        words.append("SchedulingDisabled")
    labels = resource["metadata"].get("labels") or {}
    roles = {key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE)}
    if labels.get("kubernetes.io/role"):
        roles.add(labels["kubernetes.io/role"])
    addresses: dict[str, str] = {}
    for address in status.get("addresses") or ():
        addresses.setdefault(address.get("type") or "", address.get("address") or "")
    info = status.get("nodeInfo") or {}
    return (
        name_of(resource),
        ",".join(words),
        ",".join(sorted(roles - {""})) or NONE,
        age(resource, now),
        info.get("kubeletVersion") or "",
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    )


def _namespace(resource: Resource, now: datetime) -> Cells:
    return name_of(resource), at(resource, "status", "phase") or "", age(resource, now)


def _event(resource: Resource, now: datetime) -> Cells:
    about = resource.get("involvedObject") or resource.get("regarding") or {}
    source = resource.get("source") or resource.get("deprecatedSource") or {}
    begun = resource.get("firstTimestamp") or resource.get("deprecatedFirstTimestamp")
    ended = resource.get("lastTimestamp") or resource.get("deprecatedLastTimestamp")
    first = since(begun or resource.get("eventTime"), now)
    last = since(ended, now) if ended else first
    count = resource.get("count") or resource.get("deprecatedCount") or 1
    series = resource.get("series")
    if series:
        last, count = since(series.get("lastObservedTime"), now), series.get("count") or 0
    kind = (about.get("kind") or "").lower()
    places = [source.get("component"), source.get("host")]
    if not any(places):
        places = [resource.get("reportingComponent") or resource.get("reportingController")]
        places.append(resource.get("reportingInstance"))
    message = resource.get("message") or resource.get("note") or ""
    return (
        last,
        resource.get("type") or "",
        resource.get("reason") or "",
        f"{kind}/{about['name']}" if about.get("name") else kind,
        about.get("fieldPath") or "",
        ", ".join(place for place in places if place),
        message.strip(),
        first,
        count,
        name_of(resource),
    )


def _secret(resource: Resource, now: datetime) -> Cells:
    return name_of(resource), resource.get("type") or "", len(resource.get("data") or ()), age(resource, now)


def _config_map(resource: Resource, now: datetime) -> Cells:
    size = len(resource.get("data") or ()) + len(resource.get("binaryData") or ())
    return name_of(resource), size, age(resource, now)


def _service_account(resource: Resource, now: datetime) -> Cells:
    return name_of(resource), len(resource.get("secrets") or ()), age(resource, now)


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(modes: Any) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in (modes or ()))


def _storage_class(resource: Resource) -> str:
    beta = at(resource, "metadata", "annotations", "volume.beta.kubernetes.io/storage-class")
    return beta or at(resource, "spec", "storageClassName") or ""


def _phase(resource: Resource) -> str:
    if resource["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return at(resource, "status", "phase") or ""


def _volume(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    claim = spec.get("claimRef")
    return (
        name_of(resource),
        at(spec, "capacity", "storage") or "0",
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy") or "",
        _phase(resource),
        f"{claim.get('namespace') or ''}/{claim.get('name') or ''}" if claim else "",
        _storage_class(resource),
        spec.get("volumeAttributesClassName") or UNSET,
        at(resource, "status", "reason") or "",
        age(resource, now),
        spec.get("volumeMode") or UNSET,
    )


def _claim(resource: Resource, now: datetime) -> Cells:
    spec, status = resource.get("spec") or {}, resource.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return (
        name_of(resource),
        _phase(resource),
        spec.get("volumeName") or "",
        (at(status, "capacity", "storage") or "0") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        _storage_class(resource),
        spec.get("volumeAttributesClassName") or UNSET,
        age(resource, now),
        spec.get("volumeMode") or UNSET,
    )


def _class(resource: Resource, now: datetime) -> Cells:
    annotations = resource["metadata"].get("annotations") or {}
    default = any(
        annotations.get(f"storageclass.{beta}kubernetes.io/is-default-class") == "true"
        for beta in ("", "beta.")
    )
    return (
        f"{name_of(resource)} (default)" if default else name_of(resource),
        resource.get("provisioner") or "",
        resource.get("reclaimPolicy") or "Delete",
        resource.get("volumeBindingMode") or "Immediate",
        bool(resource.get("allowVolumeExpansion")),
        age(resource, now),
    )


def _attachment(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    return (
        name_of(resource),
        spec.get("attacher") or "",
        at(spec, "source", "persistentVolumeName") or "",
        spec.get("nodeName") or "",
        bool(at(resource, "status", "attached")),
        age(resource, now),
    )


def _csi_node(resource: Resource, now: datetime) -> Cells:
    return name_of(resource), len(at(resource, "spec", "drivers") or ()), age(resource, now)


def _csi_driver(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    audiences = [request.get("audience") or "" for request in spec.get("tokenRequests") or ()]
    attach = spec.get("attachRequired")
    return (
        name_of(resource),
        True if attach is None else attach,
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        ",".join(audiences) or UNSET,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or UNSET,
        age(resource, now),
    )


def _csi_capacity(resource: Resource, _now: datetime) -> Cells:
    return name_of(resource), resource.get("storageClassName") or "", resource.get("capacity") or UNSET


def _quota(resource: Resource, now: datetime) -> Cells:
    status = resource.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        text = f"{name}: {used.get(name, '0')}/{hard[name]}"
        (limits if name.startswith("limits.") else requests).append(text)
    return name_of(resource), ", ".join(requests), ", ".join(limits), age(resource, now)


def _priority(resource: Resource, now: datetime) -> Cells:
    return (
        name_of(resource),
        resource.get("value") or 0,
        bool(resource.get("globalDefault")),
        age(resource, now),
        resource.get("preemptionPolicy") or UNSET,
    )


def _runtime(resource: Resource, now: datetime) -> Cells:
    return name_of(resource), resource.get("handler") or "", age(resource, now)


def _lease(resource: Resource, now: datetime) -> Cells:
    return name_of(resource), at(resource, "spec", "holderIdentity") or "", age(resource, now)


def _binding(resource: Resource, now: datetime) -> Cells:
    role = resource.get("roleRef") or {}
    names: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in resource.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name") or ""
        if kind in names:
            names[kind].append(
                f"{subject.get('namespace') or ''}/{name}" if kind == "ServiceAccount" else name
            )
    return (
        name_of(resource),
        f"{role.get('kind') or ''}/{role.get('name') or ''}",
        age(resource, now),
        *(", ".join(found) for found in names.values()),
    )


def _signing(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    conditions = {found.get("type") for found in at(resource, "status", "conditions") or ()}
    words = [word for word in ("Denied", "Approved") if word in conditions][:1] or ["Pending"]
    if "Failed" in conditions:
        words.append("Failed")
    if at(resource, "status", "certificate"):
        words.append("Issued")
    return (
        name_of(resource),
        age(resource, now),
        spec.get("signerName") or NONE,
        spec.get("username") or "",
        NONE if seconds is None else duration(seconds),
        ",".join(words),
    )


def _webhooks(resource: Resource, now: datetime) -> Cells:
    return name_of(resource), len(resource.get("webhooks") or ()), age(resource, now)


def _policy(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    kind = spec.get("paramKind")
    return (
        name_of(resource),
        len(spec.get("validations") or ()),
        f"{kind.get('apiVersion') or ''}/{kind.get('kind') or ''}" if kind else UNSET,
        age(resource, now),
    )


def _policy_binding(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    parameters = spec.get("paramRef")
    text = UNSET
    if parameters:
        name = parameters.get("name") or "*"
        text = f"{parameters['namespace']}/{name}" if parameters.get("namespace") else name
    return name_of(resource), spec.get("policyName") or "", text, age(resource, now)


def _flow(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    dangling = "?"
    for found in at(resource, "status", "conditions") or ():
        if found.get("type") == "Dangling":
            dangling = found.get("status") or "?"
    return (
        name_of(resource),
        at(spec, "priorityLevelConfiguration", "name") or "",
        spec.get("matchingPrecedence") or 0,
        at(spec, "distinguisherMethod", "type") or NONE,
        age(resource, now),
        dangling,
    )


def _level(resource: Resource, now: datetime) -> Cells:
    spec = resource.get("spec") or {}
    limited = spec.get("limited") or spec.get("exempt") or {}
    queuing = at(limited, "limitResponse", "queuing") or {}
    shares = limited.get("nominalConcurrencyShares")
    return (
        name_of(resource),
        spec.get("type") or "",
        NONE if shares is None else shares,
        *(queuing.get(key) or NONE for key in ("queues", "handSize", "queueLengthLimit")),
        age(resource, now),
    )


def _component(resource: Resource, _now: datetime) -> Cells:
    for found in resource.get("conditions") or ():
        if found.get("type") == "Healthy":
            healthy = "Healthy" if found.get("status") == "True" else "Unhealthy"
            return name_of(resource), healthy, found.get("message") or "", found.get("error") or ""
    return name_of(resource), "Unknown", "", ""


_BINDING = Layout(
    (
        NAME,
        Column("Role", "The role whose rights are given."),
        AGE,
        Column("Users", "The users who are given them.", priority=1),
        Column("Groups", "The groups that are given them.", priority=1),
        Column("ServiceAccounts", "The service accounts that are given them.", priority=1),
    ),
    _binding,
)
_WEBHOOKS = Layout((NAME, integer("Webhooks", "How many webhooks are configured."), AGE), _webhooks)
_VOLUME_MODE = Column("VolumeMode", "Whether there is a filesystem on the volume.", priority=1)
_ATTRIBUTES = Column("VolumeAttributesClass", "The class of the volume's attributes.")
_EVENT = Layout(
    (
        Column("Last Seen", "How long ago it last happened."),
        Column("Type", "Normal or Warning."),
        Column("Reason", "What happened, in a word."),
        Column("Object", "The object that it happened to."),
        Column("Subobject", "The part of the object that it happened to.", priority=1),
        Column("Source", "Who says so.", priority=1),
        Column("Message", "What happened."),
        Column("First Seen", "How long ago it first happened.", priority=1),
        integer("Count", "How often it happened.", priority=1),
        Column("Name", NAME.description, format="name", priority=1),
    ),
    _event,
)

LAYOUTS: Mapping[tuple[str, str], Layout] = {
    ("", "Node"): Layout(
        (
            NAME,
            Column("Status", "Whether the node is ready, and whether pods may be put on it."),
            Column("Roles", "The node's roles, from its labels."),
            AGE,
            Column("Version", "The version of the node's agent."),
            Column("Internal-IP", "The node's address within the cluster.", priority=1),
            Column("External-IP", "The node's address outside of the cluster.", priority=1),
            Column("OS-Image", "The node's operating system.", priority=1),
            Column("Kernel-Version", "The node's kernel.", priority=1),
            Column("Container-Runtime", "What runs the node's containers.", priority=1),
        ),
        _node,
    ),
    ("", "Namespace"): Layout(
        (NAME, Column("Status", "Whether the namespace is active or going away."), AGE), _namespace
    ),
    ("", "Event"): _EVENT,
    ("events.k8s.io", "Event"): _EVENT,
    ("", "Secret"): Layout(
        (NAME, Column("Type", "What the secret is for."), integer("Data", "How many keys there are."), AGE),
        _secret,
    ),
    ("", "ConfigMap"): Layout((NAME, integer("Data", "How many keys there are."), AGE), _config_map),
    ("", "ServiceAccount"): Layout(
        (NAME, integer("Secrets", "How many secrets the account may use."), AGE), _service_account
    ),
    ("", "ComponentStatus"): Layout(
        (
            NAME,
            Column("Status", "Whether the component is healthy."),
            Column("Message", "What the component says."),
            Column("Error", "What is wrong with the component."),
        ),
        _component,
    ),
    ("", "PersistentVolume"): Layout(
        (
            NAME,
            Column("Capacity", "How much the volume holds."),
            Column("Access Modes", "How the volume can be mounted."),
            Column("Reclaim Policy", "What becomes of the volume when its claim goes."),
            Column("Status", "The state of the volume in a word."),
            Column("Claim", "The claim that the volume is bound to."),
            Column("StorageClass", "The class of the volume."),
            _ATTRIBUTES,
            Column("Reason", "Why the volume is in its state."),
            AGE,
            _VOLUME_MODE,
        ),
        _volume,
    ),
    ("", "PersistentVolumeClaim"): Layout(
        (
            NAME,
            Column("Status", "The state of the claim in a word."),
            Column("Volume", "The volume that the claim is bound to."),
            Column("Capacity", "How much the volume holds."),
            Column("Access Modes", "How the volume can be mounted."),
            Column("StorageClass", "The class that is asked for."),
            _ATTRIBUTES,
            AGE,
            _VOLUME_MODE,
        ),
        _claim,
    ),
    ("", "ResourceQuota"): Layout(
        (
            NAME,
            Column("Request", "What is used and what may be used of requests and counts."),
            Column("Limit", "What is used and what may be used of limits."),
            AGE,
        ),
        _quota,
    ),
    ("storage.k8s.io", "StorageClass"): Layout(
        (
            NAME,
            Column("Provisioner", "Who makes volumes of the class."),
            Column("ReclaimPolicy", "What becomes of a volume when its claim goes."),
            Column("VolumeBindingMode", "When a volume is made."),
            Column("AllowVolumeExpansion", "Whether volumes may grow.", "boolean"),
            AGE,
        ),
        _class,
    ),
    ("storage.k8s.io", "VolumeAttachment"): Layout(
        (
            NAME,
            Column("Attacher", "Who attaches the volume.", format="name"),
            Column("PV", "The volume."),
            Column("Node", "The node that the volume is attached to."),
            Column("Attached", "Whether the volume is attached.", "boolean"),
            AGE,
        ),
        _attachment,
    ),
    ("storage.k8s.io", "CSINode"): Layout(
        (NAME, integer("Drivers", "How many drivers the node has."), AGE), _csi_node
    ),
    ("storage.k8s.io", "CSIDriver"): Layout(
        (
            NAME,
            Column("AttachRequired", "Whether volumes must be attached first.", "boolean"),
            Column("PodInfoOnMount", "Whether the driver is told of the pod.", "boolean"),
            Column("StorageCapacity", "Whether the driver tells its capacity.", "boolean"),
            Column("TokenRequests", "The audiences of the tokens that the driver is given."),
            Column("RequiresRepublish", "Whether volumes are published again and again.", "boolean"),
            Column("Modes", "The kinds of volumes that the driver knows."),
            AGE,
        ),
        _csi_driver,
    ),
    ("storage.k8s.io", "CSIStorageCapacity"): Layout(
        (
            NAME,
            Column("StorageClassName", "The class that the capacity is of."),
            Column("Capacity", "How much is left."),
        ),
        _csi_capacity,
    ),
    ("scheduling.k8s.io", "PriorityClass"): Layout(
        (
            NAME,
            integer("Value", "The priority of pods of the class."),
            Column("Global-Default", "Whether pods without a class are of this one.", "boolean"),
            AGE,
            Column("PreemptionPolicy", "Whether pods of the class may drive out others."),
        ),
        _priority,
    ),
    ("node.k8s.io", "RuntimeClass"): Layout(
        (NAME, Column("Handler", "The runtime's name on the nodes."), AGE), _runtime
    ),
    ("coordination.k8s.io", "Lease"): Layout((NAME, Column("Holder", "Who holds the lease."), AGE), _lease),
    ("rbac.authorization.k8s.io", "RoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _BINDING,
    ("certificates.k8s.io", "CertificateSigningRequest"): Layout(
        (
            NAME,
            AGE,
            Column("SignerName", "Who is asked to sign."),
            Column("Requestor", "Who asks."),
            Column("RequestedDuration", "How long the certificate is to last."),
            Column("Condition", "The state of the request in a word."),
        ),
        _signing,
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): Layout(
        (
            NAME,
            integer("Validations", "How many validations the policy has."),
            Column("ParamKind", "The kind of the policy's parameters."),
            AGE,
        ),
        _policy,
    ),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): Layout(
        (
            NAME,
            Column("PolicyName", "The policy that is put in force."),
            Column("ParamRef", "The parameters that it is given."),
            AGE,
        ),
        _policy_binding,
    ),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): Layout(
        (
            NAME,
            Column("PriorityLevel", "The level of the requests that match."),
            integer("MatchingPrecedence", "Which schema is tried first: the one with the lowest."),
            Column("DistinguisherMethod", "What tells flows apart."),
            AGE,
            Column("MissingPL", "Whether there is no such level."),
        ),
        _flow,
    ),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): Layout(
        (
            NAME,
            Column("Type", "Whether the level is limited or exempt."),
            integer("NominalConcurrencyShares", "The level's share of the server."),
            integer("Queues", "How many queues there are."),
            integer("HandSize", "How many queues a flow is dealt."),
            integer("QueueLengthLimit", "How many requests a queue holds."),
            AGE,
        ),
        _level,
    ),
}
"""By (group, kind)."""
