"""What Kubernetes refuses in pods and pod templates.

Reads defaulted objects, changes nothing. What depends on other objects (quotas, service accounts) is admission's.
Source: kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from fairlead.keep import validating_values as v
from fairlead.keep.validating_containers import container_list, resources_of
from fairlead.keep.validating_security import pod_security
from fairlead.keep.validating_values import Causes
from fairlead.keep.validating_volumes import volume_list
from fairlead.tongues import selectors
from fairlead.words import Resource

Spec = Mapping[str, Any]

_UPDATE_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_NODE_OPERATORS = ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")


def pod(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a Pod, and with the way it changes."""
    spec = obj.get("spec", {})
    causes = pod_spec(spec, "spec")
    if old is not None and spec != old.get("spec", {}):
        causes += _update(spec, old.get("spec", {}))
    return causes


def template(found: Mapping[str, Any] | None, field: str) -> Causes:
    """Return what is wrong with a pod template."""
    found = found or {}
    metadata = found.get("metadata", {})
    causes = v.label_map(metadata.get("labels"), f"{field}.labels")
    causes += v.annotation_map(metadata.get("annotations"), f"{field}.annotations")
    causes += pod_spec(found.get("spec", {}), f"{field}.spec")
    if found.get("spec", {}).get("ephemeralContainers"):
        causes.append(
            v.forbidden(
                f"{field}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"
            )
        )
    return causes


def pod_spec(spec: Spec, field: str) -> Causes:
    """Return what is wrong with a PodSpec."""
    volumes = spec.get("volumes", ())
    causes = volume_list(volumes, f"{field}.volumes")
    causes += container_list(spec, field)
    causes += v.one_of(spec.get("restartPolicy"), f"{field}.restartPolicy", ("Always", "OnFailure", "Never"))
    causes += _dns(spec, field)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        causes.append(v.required(f"{field}.terminationGracePeriodSeconds"))
    elif grace < 0:
        causes.append(v.invalid(f"{field}.terminationGracePeriodSeconds", grace, v.NOT_NEGATIVE))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        text = "must be between 1 and 2147483647, inclusive"
        causes.append(v.invalid(f"{field}.activeDeadlineSeconds", deadline, text))
    if spec.get("nodeSelector"):
        causes += v.label_map(spec["nodeSelector"], f"{field}.nodeSelector")
    causes += pod_security(spec, field)
    for name, check in (
        ("serviceAccountName", v.subdomain),
        ("nodeName", v.subdomain),
        ("priorityClassName", v.subdomain),
        ("runtimeClassName", v.subdomain),
        ("hostname", v.label),
        ("subdomain", v.label),
    ):
        value = spec.get(name)
        if value:
            causes += [v.invalid(f"{field}.{name}", value, fault) for fault in check(value)]
    if "affinity" in spec:
        causes += _affinity(spec["affinity"], f"{field}.affinity")
    for index, one in enumerate(spec.get("tolerations", ())):
        causes += _toleration(one, f"{field}.tolerations[{index}]")
    for index, one in enumerate(spec.get("hostAliases", ())):
        causes += v.address(one.get("ip", ""), f"{field}.hostAliases[{index}].ip")
        for name in one.get("hostnames", ()):
            causes += [
                v.invalid(f"{field}.hostAliases[{index}].hostnames", name, f) for f in v.subdomain(name)
            ]
    causes += _spread(spec.get("topologySpreadConstraints", ()), f"{field}.topologySpreadConstraints")
    gates: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates", ())):
        name = gate.get("name", "")
        place = f"{field}.schedulingGates[{index}]"
        causes += [v.invalid(place, name, fault) for fault in v.qualified(name)]
        if name in gates:
            causes.append(v.duplicate(place, name))
        gates.add(name)
    for index, gate in enumerate(spec.get("readinessGates", ())):
        place, name = f"{field}.readinessGates[{index}].conditionType", gate.get("conditionType", "")
        causes += [v.invalid(place, name, fault) for fault in v.qualified(name)]
    if "os" in spec:
        name = spec["os"].get("name", "")
        if not name:
            causes.append(v.required(f"{field}.os.name", "cannot be empty"))
        elif name not in {"linux", "windows"}:
            causes.append(v.not_supported(f"{field}.os", name, ("linux", "windows")))
    causes += _claims(spec.get("resourceClaims", ()), f"{field}.resourceClaims")
    if spec.get("overhead"):
        causes += resources_of({"limits": spec["overhead"]}, f"{field}.overhead", nested=False)
    return causes


def _claims(claims: Any, field: str) -> Causes:
    causes: Causes = []
    names: set[str] = set()
    for index, claim in enumerate(claims):
        place, name = f"{field}[{index}]", claim.get("name", "")
        if not name:
            causes.append(v.required(f"{place}.name"))
        elif name in names:
            causes.append(v.duplicate(f"{place}.name", name))
        else:
            causes += [v.invalid(f"{place}.name", name, fault) for fault in v.label(name)]
        names.add(name)
        given = [one for one in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(one)]
        if not given:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            causes.append(v.required(place, text))
        elif len(given) > 1:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            causes.append(v.invalid(place, claim, text))
    return causes


def _dns(spec: Spec, field: str) -> Causes:
    policy = spec.get("dnsPolicy")
    causes = v.one_of(
        policy, f"{field}.dnsPolicy", ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
    )
    config = spec.get("dnsConfig", {})
    servers = config.get("nameservers", ())
    place = f"{field}.dnsConfig"
    if policy == "None" and not servers:
        detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        if "dnsConfig" not in spec:
            causes.append(v.required(place, "must provide `dnsConfig` when `dnsPolicy` is None"))
        else:
            causes.append(v.required(f"{place}.nameservers", detail))
    if len(servers) > 3:
        text = "must not have more than 3 nameservers"
        causes.append(v.invalid(f"{place}.nameservers", list(servers), text))
    for index, server in enumerate(servers):
        causes += v.address(server, f"{place}.nameservers[{index}]")
    for index, option in enumerate(config.get("options", ())):
        if not option.get("name"):
            causes.append(v.required(f"{place}.options[{index}]", "must not be empty"))
    return causes


def _toleration(one: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    key, operator, value, effect = (one.get(name, "") for name in ("key", "operator", "value", "effect"))
    if key:
        causes += [v.invalid(f"{field}.key", key, fault) for fault in v.qualified(key)]
    elif operator != "Exists":
        text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        causes.append(v.invalid(f"{field}.operator", operator, text))
    if "tolerationSeconds" in one and effect != "NoExecute":
        text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        causes.append(v.invalid(f"{field}.effect", effect, text))
    if operator in {"", "Equal"}:
        causes += [v.invalid(f"{field}.operator", value, fault) for fault in selectors.value_faults(value)]
    elif operator == "Exists":
        if value:
            text = "value must be empty when `operator` is 'Exists'"
            causes.append(v.invalid(f"{field}.operator", value, text))
    else:
        causes.append(v.not_supported(f"{field}.operator", operator, ("Equal", "Exists")))
    if effect and effect not in _EFFECTS:
        causes.append(v.not_supported(f"{field}.effect", effect, _EFFECTS))
    return causes


def _spread(constraints: Any, field: str) -> Causes:
    causes: Causes = []
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(constraints):
        place = f"{field}[{index}]"
        skew = one.get("maxSkew", 0)
        if skew <= 0:
            causes.append(v.invalid(f"{place}.maxSkew", skew, v.POSITIVE))
        key = one.get("topologyKey", "")
        if not key:
            causes.append(v.required(f"{place}.topologyKey", "can not be empty"))
        else:
            causes += [v.invalid(f"{place}.topologyKey", key, fault) for fault in v.qualified(key)]
        when = one.get("whenUnsatisfiable", "")
        if when not in {"DoNotSchedule", "ScheduleAnyway"}:
            supported = ("DoNotSchedule", "ScheduleAnyway")
            causes.append(v.not_supported(f"{place}.whenUnsatisfiable", when, supported))
        if (key, when) in seen:
            causes.append(v.duplicate(f"{place}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {when}}}"))
        seen.add((key, when))
        domains = one.get("minDomains")
        if domains is not None:
            if domains <= 0:
                causes.append(v.invalid(f"{place}.minDomains", domains, v.POSITIVE))
            if when != "DoNotSchedule":
                text = f'can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "{when}"'
                causes.append(v.invalid(f"{place}.minDomains", domains, text))
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if name in one and one[name] not in {"Honor", "Ignore"}:
                causes.append(v.not_supported(f"{place}.{name}", one[name], ("Honor", "Ignore")))
        causes += v.selector(one.get("labelSelector"), f"{place}.labelSelector")
    return causes


def _affinity(affinity: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    node = affinity.get("nodeAffinity", {})
    place = f"{field}.nodeAffinity"
    wanted = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if wanted is not None:
        causes += node_selector(wanted, f"{place}.requiredDuringSchedulingIgnoredDuringExecution")
    for index, one in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution", ())):
        here = f"{place}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
        if not 1 <= one.get("weight", 0) <= 100:
            causes.append(v.invalid(f"{here}.weight", one.get("weight", 0), "must be in the range 1-100"))
        causes += _node_term(one.get("preference", {}), f"{here}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(kind, {})
        for index, term in enumerate(found.get("requiredDuringSchedulingIgnoredDuringExecution", ())):
            causes += _pod_term(
                term, f"{field}.{kind}.requiredDuringSchedulingIgnoredDuringExecution[{index}]"
            )
        for index, one in enumerate(found.get("preferredDuringSchedulingIgnoredDuringExecution", ())):
            here = f"{field}.{kind}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
            if not 1 <= one.get("weight", 0) <= 100:
                causes.append(v.invalid(f"{here}.weight", one.get("weight", 0), "must be in the range 1-100"))
            causes += _pod_term(one.get("podAffinityTerm", {}), f"{here}.podAffinityTerm")
    return causes


def node_selector(wanted: Mapping[str, Any], field: str) -> Causes:
    """Return what is wrong with a NodeSelector."""
    terms = wanted.get("nodeSelectorTerms", ())
    if not terms:
        return [v.required(f"{field}.nodeSelectorTerms", "must have at least one node selector term")]
    causes: Causes = []
    for index, term in enumerate(terms):
        causes += _node_term(term, f"{field}.nodeSelectorTerms[{index}]")
    return causes


def _node_term(term: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    for index, one in enumerate(term.get("matchExpressions", ())):
        place = f"{field}.matchExpressions[{index}]"
        operator, values = one.get("operator", ""), one.get("values", ())
        if operator in {"In", "NotIn"} and not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            causes.append(v.required(f"{place}.values", text))
        elif operator in {"Exists", "DoesNotExist"} and values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(v.forbidden(f"{place}.values", text))
        elif operator in {"Gt", "Lt"} and len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            causes.append(v.required(f"{place}.values", text))
        elif operator not in _NODE_OPERATORS:
            causes.append(v.invalid(f"{place}.operator", operator, "not a valid selector operator"))
        causes += [v.invalid(f"{place}.key", one.get("key", ""), f) for f in v.qualified(one.get("key", ""))]
    for index, one in enumerate(term.get("matchFields", ())):
        place = f"{field}.matchFields[{index}]"
        if one.get("operator") not in {"In", "NotIn"}:
            causes.append(
                v.invalid(f"{place}.operator", one.get("operator", ""), "not a valid selector operator")
            )
        elif len(one.get("values", ())) != 1:
            text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            causes.append(v.required(f"{place}.values", text))
        if one.get("key") != "metadata.name":
            causes.append(v.invalid(f"{place}.key", one.get("key", ""), "not a valid field selector key"))
    return causes


def _pod_term(term: Mapping[str, Any], field: str) -> Causes:
    causes = v.selector(term.get("labelSelector"), f"{field}.labelSelector")
    causes += v.selector(term.get("namespaceSelector"), f"{field}.namespaceSelector")
    for name in term.get("namespaces", ()):
        causes += [v.invalid(f"{field}.namespaces", name, fault) for fault in v.label(name)]
    key = term.get("topologyKey", "")
    if not key:
        causes.append(v.required(f"{field}.topologyKey", "can not be empty"))
    else:
        causes += [v.invalid(f"{field}.topologyKey", key, fault) for fault in v.qualified(key)]
    return causes


def _update(spec: Spec, old: Spec) -> Causes:
    causes: Causes = []
    for name in ("containers", "initContainers"):
        if len(spec.get(name, ())) != len(old.get(name, ())):
            text = f"pod updates may not add or remove {'containers' if name == 'containers' else 'init containers'}"
            return [v.forbidden(f"spec.{name}", text)]
    deadline, before = spec.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if before is not None and deadline is None:
        causes.append(
            v.invalid(
                "spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value"
            )
        )
    elif before is not None and deadline is not None and deadline > before:
        text = "must be less than or equal to previous value"
        causes.append(v.invalid("spec.activeDeadlineSeconds", deadline, text))
    tolerations = spec.get("tolerations", [])
    for one in old.get("tolerations", ()):
        if not any(_same_toleration(one, now) for now in tolerations):
            text = "existing toleration can not be modified except its tolerationSeconds"
            causes.append(v.forbidden("spec.tolerations", text))
            break
    munged = copy.deepcopy(dict(spec))
    for name in ("containers", "initContainers"):
        for new, was in zip(munged.get(name, ()), old.get(name, ()), strict=True):
            new["image"] = was.get("image", "")
    for name in ("activeDeadlineSeconds", "tolerations"):
        munged.pop(name, None)
        if name in old:
            munged[name] = old[name]
    if old.get("terminationGracePeriodSeconds", 0) < 0 and munged.get("terminationGracePeriodSeconds") == 1:
        munged["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    causes += _gates(munged, old)
    comparable = {k: x for k, x in munged.items() if x not in ("", [], {}, None)}
    was_comparable = {k: x for k, x in old.items() if x not in ("", [], {}, None)}
    if comparable != was_comparable:
        lines = "\n".join(_differences(was_comparable, comparable, ""))
        causes.append(v.forbidden("spec", f"{_UPDATE_TEXT}\n{lines}"))
    return causes


def _gates(munged: dict[str, Any], old: Spec) -> Causes:
    """Take out of the comparison what a gated pod may still change: its gates, and its node selection, narrowed."""
    before, now = old.get("schedulingGates", []), munged.get("schedulingGates", [])
    names = {gate.get("name") for gate in before}
    added = sorted(str(gate.get("name")) for gate in now if gate.get("name") not in names)
    munged.pop("schedulingGates", None)
    if "schedulingGates" in old:
        munged["schedulingGates"] = old["schedulingGates"]
    if added:
        text = f"only deletion is allowed, but found new scheduling gates '{', '.join(added)}'"
        return [v.forbidden("spec.schedulingGates", text)]
    if before:
        kept = all(munged.get("nodeSelector", {}).get(k) == x for k, x in old.get("nodeSelector", {}).items())
        if not kept:
            text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            return [v.invalid("spec.nodeSelector", munged.get("nodeSelector", {}), text)]
        for name in ("nodeSelector", "affinity"):
            munged.pop(name, None)
            if name in old:
                munged[name] = old[name]
    return []


def _same_toleration(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return all(old.get(name, "") == new.get(name, "") for name in ("key", "operator", "value", "effect"))


def _differences(old: Any, new: Any, path: str) -> list[str]:
    """Return lines that say what changed, at most a dozen."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines: list[str] = []
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                lines += _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return lines[:12]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        lines = []
        for index, (was, now) in enumerate(zip(old, new, strict=True)):
            if was != now:
                lines += _differences(was, now, f"{path}[{index}]")
        return lines[:12]
    removed = [f"- {path}: {v.printed(old)}"] if old is not None else []
    added = [f"+ {path}: {v.printed(new)}"] if new is not None else []
    return removed + added
