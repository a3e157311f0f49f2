"""Quotas and limit ranges that keep pods from being made, and the least change that lets them in.

What the API server said when it refused is the evidence; that a rollout to come will not fit is told from the quota's own count. In files
only what all of it together shows is told: a quota that is not there is not missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from fairlead.diagnose.analyzers.scheduling import quantity, shown
from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import Inventory, Template
from fairlead.diagnose.proposing import Edit, edit_template, patch
from fairlead.diagnose.references import Container
from fairlead.tongues import quantities
from fairlead.tongues.paths import Path, mapping, mappings, text, whole
from fairlead.words import Evidence, Fix, Ref, Resource, Severity

_USED_UP = re.compile(r"exceeded quota: ([^,]+), requested: (.+?), used: (.+?), limited: (\S+)")
_MUST = re.compile(r"failed quota: ([^:]+): must specify (.+?)(?: for:.*)?$")
_RANGE = re.compile(
    r"(maximum|minimum) (\S+) usage per (Container|Pod|PersistentVolumeClaim) is (\S+), but (limit|request) is ([^\s,.\]]+)"
)
_MODEST = {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "1Gi"}
"""What is asked for where nothing tells how much is used."""
_UNSCOPED = ("scopes", "scopeSelector")


def _amounts(said: str) -> dict[str, str]:
    """Return `requests.cpu=500m,pods=1` as a mapping."""
    return {
        key.strip(): value.strip()
        for part in said.split(",")
        for key, sign, value in (part.partition("="),)
        if sign
    }


def refused(
    inventory: Inventory, resource: Resource, top: Ref, message: str, evidence: Evidence
) -> Iterator[Fact]:
    """What a quota or limit range said when it refused a workload's pods; nothing if it was neither."""
    ref = Ref.of(resource)
    used_up, must = _USED_UP.search(message), _MUST.search(message)
    if used_up is not None:
        name = Ref("", "ResourceQuota", ref.namespace, used_up.group(1).strip())
        asked, used, limit = (_amounts(used_up.group(index)) for index in (2, 3, 4))
        told = (
            f"is used up: requested {used_up.group(2)}, used {used_up.group(3)}, limited {used_up.group(4)}"
        )
        over = [one for one in asked if _more(asked[one], limit.get(one))]
        yield Fact(
            rule="quota.exceeded",
            subject=name,
            message=inventory.quote(told, ref),
            cause=f"One pod of {top} alone asks for more {', '.join(over)} than the whole quota has."
            if over
            else "",
            evidence=(evidence, *_eaters(inventory, name, top, asked)),
            fixes=_raised(inventory, resource, name, asked, used),
            where=inventory.where(name, ("spec", "hard", next(iter(asked), ""))),
        )
    elif must is not None:
        name = Ref("", "ResourceQuota", ref.namespace, must.group(1).strip())
        wanted = [one.strip() for one in must.group(2).split(",")]
        fix = _specified(inventory, inventory.template_of(inventory.get(top) or {}), wanted)
        yield Fact(
            rule="quota.exceeded",
            subject=name,
            message=inventory.quote(f"lets in only pods that specify {must.group(2)}", ref),
            cause=f"The pods of {top} do not.",
            evidence=(evidence,),
            fixes=(fix,) if fix else (),
            where=inventory.where(name, ("spec", "hard")),
        )
    else:
        return
    yield Fact(
        rule="workload.waiting",
        subject=top,
        message="cannot create its pods",
        because=(("quota.exceeded", name, ""),),
    )


def _more(asked: str, limit: str | None) -> bool:
    left, right = quantity(asked), quantity(limit)
    return left is not None and right is not None and left > right


def _eaters(inventory: Inventory, quota: Ref, top: Ref, asked: Mapping[str, str]) -> Iterator[Evidence]:
    """Who has most of what was asked for."""
    resource = next(iter(asked), "")
    held: dict[Ref, Fraction] = {}
    for pod in inventory.of_kind("", "Pod", quota.namespace):
        if text(pod, "status", "phase") in {"Succeeded", "Failed"}:
            continue
        eater = Ref.of(inventory.top(pod))
        held[eater] = held.get(eater, Fraction(0)) + _share(mapping(pod, "spec"), resource)
    held.pop(top, None)
    best = max(held, key=lambda one: (held[one], one.name), default=None)
    if best is not None and held[best]:
        name = resource.rpartition(".")[2]
        yield Evidence("field", best, f"{best} has {shown(held[best], name)} of the {resource} that is used")


def _raised(
    inventory: Inventory, resource: Resource, name: Ref, asked: Mapping[str, str], used: Mapping[str, str]
) -> tuple[Fix, ...]:
    """The quota with room for the pods that are missing."""
    quota = inventory.get(name)
    if quota is None:
        return ()
    missing = max(1, _missing(resource))
    edits = []
    for key, each in asked.items():
        amount, now = quantity(each), quantity(used.get(key))
        if amount is None or now is None:
            return ()
        written = quantities.write(now + amount * missing, quantities.form_of(each))
        edits.append(Edit(("spec", "hard", key), written))
    title = "let " + (f"{missing} more pods" if missing > 1 else "one more pod") + f" into quota {name.name}"
    return (
        Fix(
            title=title,
            changes=(patch(quota, edits, title),),
            risk=f"Namespace {name.namespace} may then use more of the cluster than was agreed.",
        ),
    )


def _missing(resource: Resource) -> int:
    wanted = mapping(resource, "spec").get("replicas")
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        return 1
    return wanted - whole(resource, "status", "replicas")


def _specified(inventory: Inventory, template: Template | None, wanted: Sequence[str]) -> Fix | None:
    """Every container with the requests and limits that the quota asks to be written."""
    if template is None:
        return None
    edits = []
    guessed = False
    for container in template.containers():
        resources: dict[str, Any] = {
            field: dict(mapping(container.content, "resources", field)) for field in ("requests", "limits")
        }
        before = {field: dict(held) for field, held in resources.items()}
        for one in wanted:
            field, _, name = one.partition(".") if "." in one else ("requests", "", one)
            if field not in resources or name not in _MODEST or name in resources[field]:
                continue
            other = resources["limits" if field == "requests" else "requests"].get(name)
            guessed = guessed or other is None
            resources[field][name] = other or _MODEST[name]
        if resources != before:
            whole_of = {
                **mapping(container.content, "resources"),
                **{key: held for key, held in resources.items() if held},
            }
            edits.append(Edit((*container.path, "resources"), whole_of))
    if not edits:
        return None
    fix = edit_template(inventory, template, edits, f"specify {', '.join(wanted)}")
    if fix is None or not guessed:
        return fix
    risk = "The amounts are modest guesses: nothing tells what the containers use."
    return Fix(title=fix.title, changes=fix.changes, risk=" ".join(part for part in (fix.risk, risk) if part))


def out_of_range(inventory: Inventory, top: Ref, message: str) -> tuple[str, Path, Fix | None] | None:
    """Return what a limit range refused, where that is written, and the least change that fits; None if it was no limit range."""
    found = _RANGE.search(message)
    if found is None:
        return None
    bound, resource, what, edge, field, has = found.groups()
    told = f"a LimitRange refuses its pods: the {bound} of {resource} for each {what} is {edge}, and its {field} is {has}"
    template = inventory.template_of(inventory.get(top) or {})
    if template is None or what != "Container":
        return told, ("spec",), None
    guilty = [
        one
        for one in template.containers()
        if _same(mapping(one.content, "resources", f"{field}s").get(resource), has)
    ]
    if not guilty:
        return told, (*template.spec_path, "containers"), None
    edits = [edit for one in guilty for edit in _within(one, resource, field, edge, bound)]
    fix = edit_template(inventory, template, edits, f"{field} {resource} to {edge}")
    if fix is not None and bound == "maximum":
        risk = f"The container may need more than {edge} of {resource}."
        fix = Fix(
            title=fix.title, changes=fix.changes, risk=" ".join(part for part in (fix.risk, risk) if part)
        )
    return told, (*guilty[0].path, "resources", f"{field}s", resource), fix


def _same(value: object, other: str) -> bool:
    left, right = quantity(value), quantity(other)
    return left is not None and left == right


def _within(container: Container, resource: str, field: str, edge: str, bound: str) -> Iterator[Edit]:
    """Put one side to the edge, and the other with it where it would cross."""
    yield Edit((*container.path, "resources", f"{field}s", resource), edge)
    other = "requests" if field == "limit" else "limits"
    held = quantity(mapping(container.content, "resources", other).get(resource))
    to = quantity(edge)
    if held is None or to is None:
        return
    if (bound == "maximum" and other == "requests" and held > to) or (
        bound == "minimum" and other == "limits" and held < to
    ):
        yield Edit((*container.path, "resources", other, resource), edge)


# Before it happens


def _share(spec: Mapping[str, Any], key: str) -> Fraction:
    """Return what a quota counts of a resource (`requests.cpu`, `limits.memory`, `cpu`, `pods`) for one pod."""
    if key in {"pods", "count/pods"}:
        return Fraction(1)
    field, dot, name = key.partition(".")
    if not dot or field not in {"requests", "limits"}:
        field, name = "requests", key
    total, largest = Fraction(0), Fraction(0)
    for kind in ("containers", "initContainers"):
        for _, one in mappings(spec, kind):
            resources = mapping(one, "resources")
            said = mapping(resources, field).get(name)
            if said is None and field == "requests":
                said = mapping(resources, "limits").get(name)
            amount = quantity(said) or Fraction(0)
            if kind == "containers" or one.get("restartPolicy") == "Always":
                total += amount
            else:
                largest = max(largest, amount)
    return max(total, largest)


def _counted(quota: Resource) -> dict[str, Fraction]:
    """Return the resources of pods that a quota without scopes limits."""
    spec = mapping(quota, "spec")
    if any(spec.get(scope) for scope in _UNSCOPED):
        return {}
    found = {}
    for key, value in mapping(spec, "hard").items():
        name = key.rpartition(".")[2] if key.startswith(("requests.", "limits.")) else key
        amount = quantity(value)
        if amount is not None and name in {"cpu", "memory", "ephemeral-storage", "pods", "count/pods"}:
            found[key] = amount
    return found


def quota(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A quota in files that is too small for what stands beside it in them."""
    ref = Ref.of(resource)
    hard = _counted(resource)
    if inventory.live or not hard:
        return
    asked = dict.fromkeys(hard, Fraction(0))
    for template in inventory.templates_in(inventory.space(ref)):
        if template.ref.kind not in {
            "Deployment",
            "StatefulSet",
            "ReplicaSet",
            "ReplicationController",
            "Pod",
        }:
            continue
        count = 1 if template.ref.kind == "Pod" else whole(template.resource, "spec", "replicas", default=1)
        for key in asked:
            asked[key] += count * _share(template.spec, key)
    for key, limit in hard.items():
        if asked[key] <= limit:
            continue
        name = key.rpartition(".")[2]
        path = ("spec", "hard", key)
        yield Fact(
            rule="quota.small",
            subject=ref,
            detail=key,
            severity=Severity.WARNING,
            message=f"lets in {shown(limit, name)} of {key}, and what is in these files asks for {shown(asked[key], name)}",
            cause="The pods that come last will be refused.",
            evidence=(inventory.field(ref, path, f"{key}: {mapping(resource, 'spec', 'hard')[key]}"),),
            where=inventory.where(ref, path),
        )


def _rounded(value: object, of: int, *, up: bool) -> int | None:
    if value is None:
        value = "25%"
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit():
        part = Fraction(int(value[:-1]) * of, 100)
        return math.ceil(part) if up else math.floor(part)
    return None


def deployment(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A Deployment that is well, whose next rollout has to make a pod that its quota does not let in."""
    ref = Ref.of(resource)
    if not inventory.live or mapping(resource, "metadata").get("deletionTimestamp"):
        return
    spec = mapping(resource, "spec")
    wanted = whole(spec, "replicas", default=1)
    if (
        text(spec, "strategy", "type") == "Recreate"
        or not wanted
        or whole(resource, "status", "readyReplicas") < wanted
    ):
        return
    rolling = mapping(spec, "strategy", "rollingUpdate")
    if _rounded(rolling.get("maxUnavailable"), wanted, up=False) != 0:
        return
    template = inventory.template_of(resource)
    for one in inventory.of_kind("", "ResourceQuota", ref.namespace) if template is not None else ():
        for key, limit in _counted(one).items():
            used = quantity(mapping(one, "status", "used").get(key))
            each = _share(template.spec, key) if template is not None else Fraction(0)
            if used is None or not each or used + each <= limit:
                continue
            held, name = Ref.of(one), key.rpartition(".")[2]
            yield Fact(
                rule="quota.surge",
                subject=ref,
                detail=f"{held.name}/{key}",
                severity=Severity.INFO,
                message=f"cannot be rolled out as it is: its new pod would not fit into quota {held.name}",
                cause=f"A pod asks for {shown(each, name)} of {key}; {shown(limit - used, name) if limit > used else 'nothing'} of {shown(limit, name)} is left, and no old pod may go first.",
                evidence=(
                    inventory.field(
                        held, ("status", "used", key), f"used {key}: {mapping(one, 'status', 'used')[key]}"
                    ),
                ),
                where=inventory.where(held, ("spec", "hard", key)),
            )
            return


def limit_range(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """Containers in files that a limit range beside them in the files refuses."""
    ref = Ref.of(resource)
    if inventory.live:
        return
    for index, limit in mappings(resource, "spec", "limits"):
        if text(limit, "type") != "Container":
            continue
        for template in inventory.templates_in(inventory.space(ref)):
            for container in template.containers():
                yield from _beyond(inventory, ref, index, limit, template, container)


def _beyond(
    inventory: Inventory,
    ref: Ref,
    index: int,
    limit: Mapping[str, Any],
    template: Template,
    container: Container,
) -> Iterator[Fact]:
    for resource, edge in mapping(limit, "max").items():
        for field in ("limits", "requests"):
            has = mapping(container.content, "resources", field).get(resource)
            if not _more(str(has), edge) or has is None:
                continue
            edits = list(_within(container, resource, field[:-1], str(edge), "maximum"))
            fix = edit_template(inventory, template, edits, f"{field[:-1]} {resource} to {edge}")
            path = (*container.path, "resources", field, resource)
            yield Fact(
                rule="workload.refused",
                subject=template.ref,
                message=f"a LimitRange refuses its pods: the maximum of {resource} for each Container is {edge}, and its {field[:-1]} is {has}",
                evidence=(
                    inventory.field(template.ref, path, f"{resource}: {has}"),
                    inventory.field(
                        ref, ("spec", "limits", index, "max", resource), f"max {resource}: {edge}"
                    ),
                ),
                fixes=(fix,) if fix else (),
                where=inventory.where(template.ref, path),
            )
            return


UNITS = {
    ("", "ResourceQuota"): quota,
    ("", "LimitRange"): limit_range,
    ("apps", "Deployment"): deployment,
}
