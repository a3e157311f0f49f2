"""What every namespace has: the service account `default`, and the certificate authority's ConfigMap.

Source: k8s.io/kubernetes/pkg/controller/serviceaccount, pkg/controller/certificates/rootcacertpublisher. The
certificate's text is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from fairlead.orchestrate import owning, proposing
from fairlead.orchestrate.steps import Controller, Step
from fairlead.words import Ref, Resource, View

NAMESPACE = ("", "Namespace")
ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
DESCRIPTION = {
    "kubernetes.io/description": (
        "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
        "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
        "Kubernetes clusters."
    )
}


def _lives(view: View, name: str) -> bool:
    namespace = view.get(*NAMESPACE, "", name)
    return namespace is not None and not owning.is_deleted(namespace)


def _account(view: View, ref: Ref, now: datetime) -> Step:
    del now
    if not _lives(view, ref.name) or view.get("", "ServiceAccount", ref.name, ACCOUNT) is not None:
        return Step()
    body = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": ref.name},
    }
    return Step((proposing.create(body, "every namespace has a default service account"),))


def _space_of(name: str, view: View, resource: Resource) -> Iterable[Ref]:
    del view
    meta = resource["metadata"]
    return [Ref(*NAMESPACE, "", meta.get("namespace", ""))] if meta["name"] == name else []


SERVICE_ACCOUNTS = Controller(
    name="serviceaccount",
    kind=NAMESPACE,
    reconcile=_account,
    watches={("", "ServiceAccount"): lambda view, resource: _space_of(ACCOUNT, view, resource)},
)


def root_ca(certificate: str) -> Controller:
    """Return the controller that keeps this certificate authority (PEM text) in every namespace."""
    data = {"ca.crt": certificate}

    def reconcile(view: View, ref: Ref, now: datetime) -> Step:
        del now
        if not _lives(view, ref.name):
            return Step()
        old = view.get("", "ConfigMap", ref.name, ROOT_CA)
        meta = {"name": ROOT_CA, "namespace": ref.name, "annotations": dict(DESCRIPTION)}
        if old is None:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(data)}
            return Step((proposing.create(body, "every namespace has the certificate authority"),))
        document = proposing.difference(old.get("data") or {}, data)
        if not document:
            return Step()
        return Step((proposing.patch(old, {"data": document}, "not the certificate authority"),))

    return Controller(
        name="rootca",
        kind=NAMESPACE,
        reconcile=reconcile,
        watches={("", "ConfigMap"): lambda view, resource: _space_of(ROOT_CA, view, resource)},
    )
