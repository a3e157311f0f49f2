"""The kinds of policy formats that the embedded cluster knows from its first start: one small table of CustomResourceDefinitions.

The schemas keep every field: what a document says is its dialect's to understand. A definition that is there already is left as it is,
whoever made it. Nothing here reads a policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from fairlead.keep.entries import Entry, Outcome
from fairlead.keep.requests import Request
from fairlead.keep.worlds import World
from fairlead.words import Resource, User

MANAGER = "fairlead"
USER = User(name="system:apiserver", groups=("system:masters", "system:authenticated"))

_Column = tuple[str, str, str]
_AGE: _Column = ("Age", "date", ".metadata.creationTimestamp")
_READY: _Column = ("Ready", "string", '.status.conditions[?(@.type == "Ready")].status')


class Row(NamedTuple):
    """One kind: the first of `versions` is the one that is stored. `columns` are kubectl's: name, type, JSON path."""

    group: str
    versions: str
    kind: str
    plural: str
    short: str = ""
    namespaced: bool = False
    columns: Sequence[_Column] = (_AGE,)
    category: str = ""
    preserve: bool = True


_POLICY: Sequence[_Column] = (
    ("Admission", "boolean", ".spec.admission"),
    ("Background", "boolean", ".spec.background"),
    _READY,
    _AGE,
    ("Failure Policy", "string", ".spec.failurePolicy"),
    ("Message", "string", '.status.conditions[?(@.type == "Ready")].message'),
)
_CEL_POLICY: Sequence[_Column] = (_AGE, ("Ready", "string", ".status.conditionStatus.ready"))
_CLEANUP: Sequence[_Column] = (("Schedule", "string", ".spec.schedule"), _AGE)
_REPORT: Sequence[_Column] = (
    ("Kind", "string", ".scope.kind"),
    ("Name", "string", ".scope.name"),
    ("Pass", "integer", ".summary.pass"),
    ("Fail", "integer", ".summary.fail"),
    ("Warn", "integer", ".summary.warn"),
    ("Error", "integer", ".summary.error"),
    ("Skip", "integer", ".summary.skip"),
    _AGE,
)
_KUBEWARDEN: Sequence[_Column] = (
    ("Mode", "string", ".spec.mode"),
    ("Mutating", "boolean", ".spec.mutating"),
    ("Status", "string", ".status.policyStatus"),
    _AGE,
)
_JSPOLICY: Sequence[_Column] = (
    ("Type", "string", ".spec.type"),
    ("Phase", "string", ".status.phase"),
    ("Reason", "string", ".status.reason"),
    _AGE,
)
_NEWER = "policies.kyverno.io"
_NEWER_VERSIONS = "v1 v1beta1 v1alpha1"

KINDS: Sequence[Row] = (
    Row("kyverno.io", "v1 v2beta1", "ClusterPolicy", "clusterpolicies", "cpol", False, _POLICY, "kyverno"),
    Row("kyverno.io", "v1 v2beta1", "Policy", "policies", "pol", True, _POLICY, "kyverno"),
    Row("kyverno.io", "v2 v2beta1 v2alpha1", "ClusterCleanupPolicy", "clustercleanuppolicies", "ccleanpol", False, _CLEANUP, "kyverno"),
    Row("kyverno.io", "v2 v2beta1 v2alpha1", "CleanupPolicy", "cleanuppolicies", "cleanpol", True, _CLEANUP, "kyverno"),
    Row("kyverno.io", "v2 v2beta1", "PolicyException", "policyexceptions", "polex", True, (_AGE,), "kyverno"),
    Row("kyverno.io", "v2alpha1 v2beta1", "GlobalContextEntry", "globalcontextentries", "gctxentry", False, (_AGE,), "kyverno"),
    Row("kyverno.io", "v2 v1beta1", "UpdateRequest", "updaterequests", "ur", True, (_AGE,), "kyverno"),
    *(
        Row(_NEWER, _NEWER_VERSIONS, kind, plural, short, namespaced, _CEL_POLICY, "kyverno")
        for kind, plural, short, namespaced in (
            ("ValidatingPolicy", "validatingpolicies", "vpol", False),
            ("NamespacedValidatingPolicy", "namespacedvalidatingpolicies", "nvpol", True),
            ("MutatingPolicy", "mutatingpolicies", "mpol", False),
            ("NamespacedMutatingPolicy", "namespacedmutatingpolicies", "nmpol", True),
            ("GeneratingPolicy", "generatingpolicies", "gpol", False),
            ("NamespacedGeneratingPolicy", "namespacedgeneratingpolicies", "ngpol", True),
            ("DeletingPolicy", "deletingpolicies", "dpol", False),
            ("NamespacedDeletingPolicy", "namespaceddeletingpolicies", "ndpol", True),
            ("ImageValidatingPolicy", "imagevalidatingpolicies", "ivpol", False),
            ("NamespacedImageValidatingPolicy", "namespacedimagevalidatingpolicies", "nivpol", True),
            ("PolicyException", "policyexceptions", "celpolex", True),
        )
    ),
    Row("templates.gatekeeper.sh", "v1 v1beta1 v1alpha1", "ConstraintTemplate", "constrainttemplates"),
    Row("config.gatekeeper.sh", "v1alpha1", "Config", "configs", "", True),
    Row("externaldata.gatekeeper.sh", "v1beta1 v1alpha1", "Provider", "providers"),
    Row("syncset.gatekeeper.sh", "v1alpha1", "SyncSet", "syncsets"),
    Row("expansion.gatekeeper.sh", "v1beta1 v1alpha1", "ExpansionTemplate", "expansiontemplate"),
    *(
        Row("mutations.gatekeeper.sh", "v1 v1beta1 v1alpha1", kind, plural)
        for kind, plural in (
            ("Assign", "assign"),
            ("AssignMetadata", "assignmetadata"),
            ("ModifySet", "modifyset"),
        )
    ),
    Row("mutations.gatekeeper.sh", "v1alpha1", "AssignImage", "assignimage"),
    *(
        Row("policies.kubewarden.io", "v1 v1alpha2", kind, plural, "", namespaced, _KUBEWARDEN)
        for kind, plural, namespaced in (
            ("ClusterAdmissionPolicy", "clusteradmissionpolicies", False),
            ("ClusterAdmissionPolicyGroup", "clusteradmissionpolicygroups", False),
            ("AdmissionPolicy", "admissionpolicies", True),
            ("AdmissionPolicyGroup", "admissionpolicygroups", True),
            ("PolicyServer", "policyservers", False),
        )
    ),
    Row("policy.jspolicy.com", "v1beta1", "JsPolicy", "jspolicies", "jsp", False, _JSPOLICY),
    Row("policy.jspolicy.com", "v1beta1", "JsPolicyBundle", "jspolicybundles"),
    Row("policy.jspolicy.com", "v1beta1", "JsPolicyViolations", "jspolicyviolations"),
    Row("policy.sigstore.dev", "v1beta1 v1alpha1", "ClusterImagePolicy", "clusterimagepolicies", "cip", False, (_READY, _AGE)),
    Row("policy.sigstore.dev", "v1alpha1", "TrustRoot", "trustroots", "", False, (_READY, _AGE)),
    Row("wgpolicyk8s.io", "v1alpha2", "PolicyReport", "policyreports", "polr", True, _REPORT),
    Row("wgpolicyk8s.io", "v1alpha2", "ClusterPolicyReport", "clusterpolicyreports", "cpolr", False, _REPORT),
)  # fmt: skip


def definition(row: Row) -> Resource:
    """Return the CustomResourceDefinition of a kind."""
    names: dict[str, Any] = {
        "kind": row.kind,
        "listKind": f"{row.kind}List",
        "plural": row.plural,
        "singular": row.kind.lower(),
    }
    if row.short:
        names["shortNames"] = [row.short]
    if row.category:
        names["categories"] = [row.category]
    columns = [{"name": name, "type": type_, "jsonPath": path} for name, type_, path in row.columns]
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    subresources: Resource = {} if row.group == "wgpolicyk8s.io" else {"subresources": {"status": {}}}
    versions = [
        {
            "name": version,
            "served": True,
            "storage": index == 0,
            "schema": {"openAPIV3Schema": schema},
            "additionalPrinterColumns": columns,
            **subresources,
        }
        for index, version in enumerate(row.versions.split())
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{row.plural}.{row.group}",
            "labels": {"app.kubernetes.io/managed-by": "fairlead"},
        },
        "spec": {
            "group": row.group,
            "names": names,
            "scope": "Namespaced" if row.namespaced else "Cluster",
            "versions": versions,
        },
    }


def install(world: World, now: datetime, rows: Iterable[Row] = KINDS) -> Outcome:
    """Create the definitions that are missing, in one step."""
    kind = world.catalogue.kind("apiextensions.k8s.io", "CustomResourceDefinition")
    assert kind is not None
    request = Request(user=USER, now=now, manager=MANAGER)
    entries: list[Entry] = []
    for row in rows:
        if not world.has(kind, "", f"{row.plural}.{row.group}"):
            entries += world.create(kind, "", definition(row), request).entries
    return Outcome({}, b"{}", tuple(entries))


def storages() -> Mapping[tuple[str, str], Row]:
    """Return the rows by (group, kind)."""
    return {(row.group, row.kind): row for row in KINDS}
