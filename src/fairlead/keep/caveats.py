"""What a client is warned of when it stores an object that has less effect here than on a full Kubernetes.

Nothing is refused or changed: the object is kept as it is, and the warning says what does not happen yet. A line here
goes away together with what it excuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fairlead.keep.entries import Storage
from fairlead.words import Resource

_ADMISSION = "admissionregistration.k8s.io"
_STORED = "is stored, but has no effect yet"
_ALWAYS: Mapping[Storage, str] = {
    (_ADMISSION, "validatingwebhookconfigurations"): "its webhooks are not called",
    (_ADMISSION, "mutatingwebhookconfigurations"): "its webhooks are not called",
    ("networking.k8s.io", "networkpolicies"): "traffic is not filtered",
    ("flowcontrol.apiserver.k8s.io", "flowschemas"): "requests are not classified or queued",
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"): "requests are not classified or queued",
    ("certificates.k8s.io", "certificatesigningrequests"): "there is no signer",
}


def _api_service(obj: Resource) -> str:
    return "requests are not passed on to its service" if (obj.get("spec") or {}).get("service") else ""


_SOMETIMES: Mapping[Storage, Callable[[Resource], str]] = {
    ("apiregistration.k8s.io", "apiservices"): _api_service,
}


def caveats(storage: Storage, obj: Resource, old: Resource | None) -> list[str]:
    """Return the warnings for a write of the object: on create, and when what they are about has changed."""
    name = f"{obj['kind']} {obj['metadata'].get('name') or ''}".strip()
    why = _ALWAYS.get(storage)
    if why is not None:
        if (
            old is not None
            and old.get("spec") == obj.get("spec")
            and old.get("webhooks") == obj.get("webhooks")
        ):
            return []
        return [f"{name} {_STORED}: {why}"]
    judge = _SOMETIMES.get(storage)
    text = judge(obj) if judge is not None else ""
    if not text or (old is not None and judge is not None and judge(old) == text):
        return []
    return [f"{name} {_STORED}: {text}" if storage[0] else f"{name}: {text}"]
