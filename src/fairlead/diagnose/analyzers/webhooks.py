"""Webhooks that the API server cannot call: admission, and conversion of custom resources.

Where such a webhook must agree (failurePolicy Fail, and conversion always), whatever it guards is refused while it is away. What keeps its
pods down is the cause, where that is known; here stands what is wrong between the API server and them: the Service, its port, the
authority that is trusted, and a webhook that keeps its own pods from being made.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fairlead.diagnose.analyzers.certificates import contents, covers, names, read, signed_by
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import Inventory, Template, ready
from fairlead.diagnose.likening import nearest
from fairlead.diagnose.netpaths import NAME_LABEL, in_space
from fairlead.diagnose.proposing import Edit, delete, patch
from fairlead.diagnose.references import pod_edges
from fairlead.diagnose.states import created
from fairlead.tongues.paths import Path, find, mapping, mappings, strings, text, words
from fairlead.tongues.selectors import from_object
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_ADMISSION = "admissionregistration.k8s.io"
_RULES = ("webhook.service", "webhook.port", "webhook.authority", "webhook.deadlock", "webhook.down")


def faults(config: Ref, hook: str) -> Iterator[Key]:
    """Yield the names of the facts that would explain why a webhook does not answer."""
    for rule in _RULES:
        yield (rule, config, hook)


@dataclass(frozen=True, slots=True)
class _Hook:
    """One call of the API server's: which object asks for it and where, its name, and whether it must be answered."""

    ref: Ref
    resource: Resource
    path: Path
    name: str
    content: Mapping[str, Any]
    client: Mapping[str, Any]
    client_path: Path
    must: bool

    @property
    def service(self) -> Ref:
        """The Service that is called; without a name where a URL is."""
        said = mapping(self.client, "service")
        return Ref("", "Service", text(said, "namespace"), text(said, "name"))

    @property
    def port(self) -> int:
        """The Service's port that is called."""
        port = mapping(self.client, "service").get("port")
        return port if isinstance(port, int) else 443

    @property
    def severity(self) -> Severity:
        """What it means when it does not answer."""
        return Severity.CRITICAL if self.must else Severity.WARNING

    @property
    def meaning(self) -> str:
        """What happens while it does not answer."""
        if self.ref.kind == "CustomResourceDefinition":
            return "Objects of this kind cannot be read or written in another version than the stored one."
        return (
            "Whatever it guards is refused."
            if self.must
            else "What it guards is let through unseen (failurePolicy Ignore)."
        )


def admission(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What is wrong with the webhooks of an admission configuration."""
    ref = Ref.of(resource)
    for index, hook in mappings(resource, "webhooks"):
        path: Path = ("webhooks", index)
        must = (text(hook, "failurePolicy") or "Fail") == "Fail"
        yield from _look(inventory, _Hook(ref, resource, path, text(hook, "name"), hook, mapping(hook, "clientConfig"),
                                          (*path, "clientConfig"), must))  # fmt: skip


def conversion(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What is wrong with the conversion webhook of a CustomResourceDefinition that serves several versions."""
    if text(resource, "spec", "conversion", "strategy") != "Webhook":
        return
    served = [one for _, one in mappings(resource, "spec", "versions") if one.get("served") is True]
    path: Path = ("spec", "conversion", "webhook", "clientConfig")
    hook = mapping(resource, "spec", "conversion", "webhook")
    must = len(served) > 1
    yield from _look(
        inventory,
        _Hook(
            Ref.of(resource), resource, path[:-1], "conversion", hook, mapping(resource, *path), path, must
        ),
    )


def _look(inventory: Inventory, hook: _Hook) -> Iterator[Fact]:
    if not hook.service.name:
        return
    service = inventory.get(hook.service)
    if service is None:
        yield from _absent(inventory, hook)
        return
    yield from _port(inventory, hook, service)
    if not inventory.live or text(service, "spec", "type") == "ExternalName":
        return
    selector = strings(service, "spec", "selector")
    if selector:
        templates = inventory.described(selector, hook.service)
        members = inventory.selected(selector, hook.service)
        if not any(ready(one.pod) for one in members):
            deadlocked = not members and [
                one for one in templates if _wanted(inventory, one) and _matches(inventory, hook, one)
            ]
            if deadlocked:
                yield _deadlock(inventory, hook, deadlocked[0])
            else:
                yield _fact(inventory, hook, "webhook.down", f"cannot be called: Service {hook.service.name} has no ready pods", "",
                            (*hook.client_path, "service"), because=(hook.service, ("service.idle", hook.service, ""), *(one.ref for one in members)),
                            weak=any(_young(inventory, one.pod) for one in members))  # fmt: skip
        yield from _authority(inventory, hook, templates)
    else:
        yield from _authority(inventory, hook, [])


def _fact(
    inventory: Inventory,
    hook: _Hook,
    rule: str,
    message: str,
    cause: str,
    path: Path,
    *,
    evidence: tuple[Evidence, ...] = (),
    fix: Fix | None = None,
    because: tuple[Key | Ref, ...] = (),
    likely: bool = False,
    weak: bool = False,
) -> Fact:
    said = mapping(hook.client, "service")
    called = f"{text(said, 'namespace')}/{text(said, 'name')}:{hook.port}"
    policy = (
        ""
        if hook.ref.kind == "CustomResourceDefinition"
        else f", failurePolicy {'Fail' if hook.must else 'Ignore'}"
    )
    what = f"webhook {hook.name}" if hook.name != "conversion" else "its conversion webhook"
    return Fact(
        rule=rule,
        subject=hook.ref,
        detail=hook.name,
        severity=hook.severity,
        message=f"{what} {message}",
        cause=f"{cause} {hook.meaning}".strip(),
        evidence=(
            inventory.field(hook.ref, (*hook.client_path, "service"), f"calls {called}{policy}"),
            *evidence,
        ),
        fixes=(fix,) if fix else (),
        where=inventory.where(hook.ref, path if find(hook.resource, path) is not None else hook.path),
        confidence="likely" if likely else "certain",
        because=because,
        weak=weak,
    )


def _young(inventory: Inventory, resource: Resource) -> bool:
    """Say whether an object was made so lately that it need not be ready yet."""
    at = created(resource)
    return at is not None and not inventory.past(at, timedelta(minutes=1))


def _absent(inventory: Inventory, hook: _Hook) -> Iterator[Fact]:
    target = hook.service
    home = Ref("", "Namespace", "", target.namespace)
    there = inventory.get(home) is not None
    near = nearest(target.name, inventory.names(target, target), loose=inventory.live)
    whole = (
        inventory.seen_all("", "Namespace")
        and inventory.get(Ref("", "Namespace", "", "kube-system")) is not None
    )
    sure = inventory.seen_all("", "Service") and (there or whole)
    if not sure and near is None:
        return
    path = (*hook.client_path, "service", "name")
    fix = None
    if near is not None:
        title = f"call Service {near}"
        fix = Fix(
            title=title,
            changes=(patch(hook.resource, [Edit(path, near)], title),),
            risk="Takes effect at once.",
        )
    elif sure and not there and hook.ref.group == _ADMISSION:
        others = {
            Ref("", "Service", text(one, "clientConfig", "service", "namespace"), "")
            for _, one in mappings(hook.resource, "webhooks")
        }
        if others == {Ref("", "Service", target.namespace, "")}:
            title = f"delete {hook.ref.kind} {hook.ref.name}"
            fix = Fix(title=title, changes=(delete(hook.resource, title),),
                      risk="What the webhook checked or changed is not checked or changed any more; as it is, nothing gets through.")  # fmt: skip
    said = "does not exist" if sure else "is not among these files"
    cause = f"Service {near} is there: probably that one is meant." if near else ""
    if sure and not there:
        cause = f"Namespace {target.namespace} does not exist: the webhook was left behind."
    yield _fact(inventory, hook, "webhook.service", f"calls Service {target.namespace}/{target.name}, which {said}", cause, path,
                fix=fix, likely=not sure)  # fmt: skip


def _port(inventory: Inventory, hook: _Hook, service: Resource) -> Iterator[Fact]:
    ports = [one["port"] for _, one in mappings(service, "spec", "ports") if isinstance(one.get("port"), int)]
    if not ports or hook.port in ports or text(service, "spec", "type") == "ExternalName":
        return
    path = (*hook.client_path, "service", "port")
    fix = None
    if len(ports) == 1:
        title = f"call port {ports[0]}"
        fix = Fix(
            title=title,
            changes=(patch(hook.resource, [Edit(path, ports[0])], title),),
            risk="Takes effect at once.",
        )
    told = "" if find(hook.resource, path) is not None else " (the default)"
    yield _fact(inventory, hook, "webhook.port", f"calls port {hook.port}{told} of Service {hook.service.name}, which has no such port",
                f"The Service has {', '.join(map(str, ports))}.", path, fix=fix)  # fmt: skip


def _wanted(inventory: Inventory, template: Template) -> bool:
    """Say whether the template should have pods by now."""
    return mapping(template.resource, "spec").get("replicas") != 0 and not _young(
        inventory, template.resource
    )


def _matches(inventory: Inventory, hook: _Hook, template: Template) -> bool:
    """Say whether the webhook must agree to the pods of a template: then it keeps itself from being made."""
    if not hook.must or hook.ref.group != _ADMISSION:
        return False
    pods = any(
        {"", "*"} & set(words(rule, "apiGroups"))
        and {"pods", "*", "*/*"} & set(words(rule, "resources"))
        and {"CREATE", "*"} & set(words(rule, "operations"))
        and text(rule, "scope") != "Cluster"
        for _, rule in mappings(hook.content, "rules")
    )
    if not pods or mappings(hook.content, "matchConditions"):
        return False
    spaces = mapping(hook.content, "namespaceSelector")
    if in_space(inventory, spaces, inventory.space(template.ref)) is not True:
        return False
    try:
        return from_object(mapping(hook.content, "objectSelector")).matches(template.labels)
    except (ValueError, AttributeError, TypeError):
        return False


def _deadlock(inventory: Inventory, hook: _Hook, template: Template) -> Fact:
    space = inventory.space(template.ref)
    held = find(hook.content, ("namespaceSelector", "matchExpressions"))
    path = (*hook.path, "namespaceSelector")
    selector = dict(mapping(hook.content, "namespaceSelector"))
    selector["matchExpressions"] = [
        *(held if isinstance(held, list) else []),
        {"key": NAME_LABEL, "operator": "NotIn", "values": [space]},
    ]
    title = f"leave namespace {space} out of webhook {hook.name}"
    return _fact(
        inventory,
        hook,
        "webhook.deadlock",
        "keeps its own pods from being made",
        f"{template.ref.kind} {template.ref.name}, which answers it, has no pods, and the webhook must agree to each of them.",
        path,
        evidence=(inventory.field(template.ref, ("spec", "replicas"), f"{template.ref.kind} {template.ref.name} has no pods"),),
        fix=Fix(title=title, changes=(patch(hook.resource, [Edit(path, selector)], title),),
                risk=f"What is made in namespace {space} is not seen by the webhook any more."),
    )  # fmt: skip


# Whom the API server trusts


def _authority(inventory: Inventory, hook: _Hook, templates: list[Template]) -> Iterator[Fact]:
    path = (*hook.client_path, "caBundle")
    bundle = _decoded(text(hook.client, "caBundle"))
    if not bundle.strip():
        if _injected(hook.resource):
            yield _fact(inventory, hook, "webhook.authority", "names no authority (caBundle) that the API server could trust",
                        "Its annotation asks that one be filled in, and nobody has.", path)  # fmt: skip
        return
    authorities = read(bundle)
    if not authorities:
        yield _fact(
            inventory,
            hook,
            "webhook.authority",
            "names an authority (caBundle) that is no certificate",
            "",
            path,
        )
        return
    last = max(one.not_valid_after_utc for one in authorities)
    if inventory.past(last, timedelta()):
        yield _fact(inventory, hook, "webhook.authority", "trusts an authority (caBundle) that has expired",
                    f"It was valid until {last:%Y-%m-%d %H:%M} UTC.", path)  # fmt: skip
        return
    host = f"{hook.service.name}.{hook.service.namespace}.svc"
    served = [
        one for one in _served(inventory, templates) if any(covers(name, host) for name in names(one[1][0]))
    ]
    if len(served) == 1 and inventory.past(served[0][1][0].not_valid_after_utc, timedelta()):
        secret = served[0][0]
        yield _fact(inventory, hook, "webhook.authority", "answers with a certificate that has expired",
                    f"It lies in Secret {secret.name}.", path, because=(("certificate.expired", secret, ""),))  # fmt: skip
    elif len(served) == 1 and not signed_by(served[0][1][0], served[0][1], bundle):
        secret = served[0][0]
        yield _fact(inventory, hook, "webhook.authority", f"trusts another authority (caBundle) than the one that signed the certificate in Secret {secret.name}",
                    f"That certificate was signed by {served[0][1][0].issuer.rfc4514_string()}.", path,
                    evidence=(inventory.field(secret, ("data", "tls.crt"), f"certificate for {host}"),), likely=True)  # fmt: skip


def _injected(resource: Resource) -> bool:
    return any("inject-ca" in key for key in strings(resource, "metadata", "annotations"))


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return value


def _served(inventory: Inventory, templates: list[Template]) -> list[tuple[Ref, Any]]:
    """The certificates in Secrets that the pods behind the webhook get."""
    found: dict[Ref, Any] = {}
    for template in templates:
        for edge in pod_edges(template.ref, template.spec, template.spec_path):
            secret = inventory.get(edge.target) if edge.relation == "secret" else None
            chain = read(contents(secret).get("tls.crt", "")) if secret is not None else ()
            if chain:
                found[edge.target] = chain
    return list(found.items())


UNITS = {
    (_ADMISSION, "ValidatingWebhookConfiguration"): admission,
    (_ADMISSION, "MutatingWebhookConfiguration"): admission,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): conversion,
}
