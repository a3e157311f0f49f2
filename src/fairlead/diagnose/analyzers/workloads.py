"""What makes pods and does not get them, or not as many as it should: refusals, Jobs, rollouts, selectors.

A workload that waits for its pods is a symptom of what ails the pods. What the API server refused (quota, admission, a
missing service account) is told from the controller's own words, since no pod exists to be looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from fairlead.diagnose.analyzers import levels, quotas
from fairlead.diagnose.analyzers.jobs import outdated
from fairlead.diagnose.analyzers.webhooks import faults
from fairlead.diagnose.causes import Fact, Key
from fairlead.diagnose.inventories import ANY_MAKER, Inventory
from fairlead.diagnose.proposing import Edit, patch
from fairlead.diagnose.references import TEMPLATES, edges
from fairlead.tongues.paths import Path, find, mapping, mappings, strings, text, whole
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_HOOK = re.compile(r'admission webhook "([^"]+)" denied the request')
_CALL = re.compile(r'failed calling webhook "([^"]+)"')
_ACCOUNT = re.compile(r'serviceaccount "([^"]+)" not found')
_DEPLOYMENT = ("apps", "Deployment")


def _selector(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A selector that does not match its own template: the API server refuses the object."""
    template = inventory.template_of(resource)
    if template is None:
        return
    if template.ref.kind in {"Pod", "Job", "CronJob"} or template.ref.kind not in {
        kind for _, kind in TEMPLATES
    }:
        return
    wanted = strings(template.resource, "spec", "selector", "matchLabels")
    if template.ref.kind == "ReplicationController":
        wanted = strings(template.resource, "spec", "selector")
    wrong = {key: value for key, value in wanted.items() if template.labels.get(key) != value}
    if not wrong:
        return
    key, value = next(iter(wrong.items()))
    path = (*template.path, "metadata", "labels")
    has = template.labels.get(key)
    fix = None
    if find(template.resource, path) is not None and not inventory.live:
        title = f"label the pods {key}={value}"
        fix = Fix(title=title, changes=(patch(template.resource, [Edit((*path, key), value)], title),))
    yield Fact(
        rule="workload.selector",
        subject=template.ref,
        message=f"selects pods labelled {key}={value}, but its own template makes them "
        + (f"with {key}={has}" if has is not None else f"without {key}"),
        cause="The API server refuses such an object.",
        evidence=(inventory.field(template.ref, path, str(has) if has is not None else "no such label"),),
        fixes=(fix,) if fix else (),
        where=inventory.where(template.ref, (*path, key) if has is not None else path),
    )


def _short(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A workload with fewer ready pods than it wants: only ever a symptom."""
    ref = Ref.of(resource)
    status, spec = mapping(resource, "status"), mapping(resource, "spec")
    if ref.kind in {"CronJob", "Job"} or inventory.owner(resource) is not None:
        return
    if ref.kind == "DaemonSet":
        wanted, have = whole(status, "desiredNumberScheduled"), whole(status, "numberReady")
    else:
        wanted, have = whole(spec, "replicas", default=1), whole(status, "readyReplicas")
    stuck = any(
        item.get("type") == "Progressing" and item.get("reason") == "ProgressDeadlineExceeded"
        for _, item in mappings(status, "conditions")
    )
    if have >= wanted and not stuck:
        return
    if have >= wanted:
        said = f"its rollout is stuck ({whole(status, 'updatedReplicas')} of {wanted} updated)"
    else:
        said = f"{have} of {wanted} pods ready" + (", the rollout is stuck" if stuck else "")
    because: list[Key | Ref] = [member.ref for member in inventory.crew(ref)]
    because.append(ref)
    yield Fact(rule="workload.short", subject=ref, message=said, because=tuple(because), weak=not stuck)


def _refused(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """The API server will not let the controller make the pods."""
    ref = Ref.of(resource)
    said, evidence = _refusal(inventory, resource)
    if not said or evidence is None:
        return
    top = Ref.of(inventory.top(resource))
    quoted = inventory.quote(said, ref)
    told = list(quotas.refused(inventory, resource, top, said, evidence))
    if told:
        yield from told
        return
    account = _ACCOUNT.search(said)
    if account is not None:
        target = Ref("", "ServiceAccount", ref.namespace, account.group(1).rpartition("/")[2])
        yield Fact(rule="workload.waiting", subject=top, message=f"cannot create its pods: ServiceAccount {target.name} not found",
                   evidence=(evidence,), because=(("account.missing", target, ""),))  # fmt: skip
        return
    hook, call = _HOOK.search(said), _CALL.search(said)
    if call is not None:
        subject = _webhook(inventory, call.group(1)) or top
        yield Fact(rule="webhook.failing", subject=subject, detail=call.group(1),
                   message=f"webhook {call.group(1)} does not answer, and what it guards is refused", cause=quoted, evidence=(evidence,),
                   because=(*_service_of(inventory, subject), *faults(subject, call.group(1)),
                            *(("path.cut", subject, str(one)) for one in _service_of(inventory, subject))))  # fmt: skip
        if subject != top:
            yield Fact(rule="workload.waiting", subject=top, message="cannot create its pods",
                       because=(("webhook.failing", subject, call.group(1)),))  # fmt: skip
        return
    where: Path = ("spec",)
    fix = None
    mendable = levels.refused(inventory, top, said) or quotas.out_of_range(inventory, top, said)
    if hook is not None:
        message = f"webhook {hook.group(1)} refuses its pods"
    elif mendable is not None:
        message, where, fix = mendable
    else:
        message = "its pods are refused"
    yield Fact(
        rule="workload.refused",
        subject=top,
        message=message,
        cause=quoted,
        evidence=(evidence,),
        fixes=(fix,) if fix else (),
        where=inventory.where(top, where),
    )


def _refusal(inventory: Inventory, resource: Resource) -> tuple[str, Evidence | None]:
    """Return what the controller was told when it last failed to make a pod, if that still holds."""
    ref = Ref.of(resource)
    for _, item in mappings(resource, "status", "conditions"):
        if item.get("type") == "ReplicaFailure" and item.get("status") == "True":
            said = text(item, "message")
            return said, Evidence("condition", ref, f"ReplicaFailure: {inventory.quote(said, ref)}")
    if ref.kind not in {"StatefulSet", "DaemonSet", "Job", "CronJob"}:
        return "", None
    notes = inventory.events(ref, "FailedCreate")
    if not notes:
        return "", None
    made = inventory.events(ref, "SuccessfulCreate")
    last = notes[-1]
    if made and made[-1].last and last.last and made[-1].last >= last.last:
        return "", None
    return last.message, inventory.noted(ref, last)


def _webhook(inventory: Inventory, name: str) -> Ref | None:
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        for one in inventory.of_kind("admissionregistration.k8s.io", kind):
            if any(hook.get("name") == name for _, hook in mappings(one, "webhooks")):
                return Ref.of(one)
    return None


def _service_of(inventory: Inventory, ref: Ref) -> tuple[Ref, ...]:
    return tuple(edge.target for edge in edges(inventory.get(ref) or {}) if edge.relation == "webhook")


def _condition(resource: Resource, kind: str) -> dict[str, Any]:
    for _, item in mappings(resource, "status", "conditions"):
        if item.get("type") == kind and item.get("status") == "True":
            return item
    return {}


def _job(inventory: Inventory, job: Resource) -> Iterator[Fact]:
    if not _asked(inventory, job):
        return
    ref = Ref.of(job)
    members = inventory.below(ref)
    because: tuple[Key | Ref, ...] = tuple(member.ref for member in members)
    failed = _condition(job, "Failed") or _condition(job, "FailureTarget")
    if not failed:
        if members and not _condition(job, "Complete"):
            yield Fact(rule="job.waiting", subject=ref, message="not done yet", because=because, weak=True)
        return
    if outdated(inventory, job):
        return
    reason = text(failed, "reason")
    said = {
        "BackoffLimitExceeded": f"failed for good after {mapping(job, 'spec').get('backoffLimit', 6)} retries",
        "DeadlineExceeded": f"was ended at its deadline of {mapping(job, 'spec').get('activeDeadlineSeconds')}s",
        "PodFailurePolicy": "failed for good by its pod failure policy",
    }.get(reason, f"failed: {reason}" if reason else "failed")
    message = text(failed, "message")
    evidence = Evidence("condition", ref, f"Failed: {reason}: {inventory.quote(message, ref)}")
    yield Fact(
        rule="job.failed",
        subject=ref,
        message=said,
        cause="" if members else "Its pods are gone, and their logs with them.",
        evidence=(evidence,),
        because=because if reason != "DeadlineExceeded" or because else (),
    )


def _autoscaler(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    ref = Ref.of(resource)
    for edge in edges(resource):
        if edge.relation != "scales":
            continue
        known = (edge.target.group, edge.target.kind) in TEMPLATES
        if known and inventory.missing(edge.target):
            yield Fact(
                rule="autoscaler.target",
                subject=ref,
                severity=Severity.WARNING,
                message=f"scales {edge.target.kind} {edge.target.name}, which does not exist",
                evidence=(inventory.field(ref, edge.path, str(edge.target)),),
                where=inventory.where(ref, edge.path),
            )


def _asked(inventory: Inventory, resource: Resource) -> bool:
    return inventory.live and not mapping(resource, "metadata").get("deletionTimestamp")


def _workload(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What is seen of an object that makes pods: why it gets none, or too few."""
    if _asked(inventory, resource):
        yield from _refused(inventory, resource)
        yield from _short(inventory, resource)


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {
    ANY_MAKER: _selector,
    **{kind: _workload for kind in TEMPLATES if kind not in {("", "Pod"), ("batch", "Job")}},
    ("batch", "Job"): lambda inventory, job: chain(_job(inventory, job), _workload(inventory, job)),
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
}
