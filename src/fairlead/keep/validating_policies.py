"""What Kubernetes refuses in roles, quotas, limits, priorities and admission.

Reads defaulted objects, changes nothing.
Sources: kubernetes/pkg/apis/{rbac,core,scheduling,admissionregistration}/validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.keep import validating_values as v
from fairlead.keep.validating_values import Causes
from fairlead.tongues import selectors
from fairlead.words import Resource

_RBAC = "rbac.authorization.k8s.io"
_QUOTA = frozenset(
    {
        "configmaps", "cpu", "ephemeral-storage", "limits.cpu", "limits.ephemeral-storage", "limits.memory", "memory",
        "persistentvolumeclaims", "pods", "replicationcontrollers", "requests.cpu", "requests.ephemeral-storage",
        "requests.memory", "requests.storage", "resourcequotas", "secrets", "services", "services.loadbalancers",
        "services.nodeports", "storage",
    }
)  # fmt: skip
_COUNTED = frozenset(
    {
        "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets",
        "services", "services.loadbalancers", "services.nodeports",
    }
)  # fmt: skip
_SCOPES = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
)
_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")


def role(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a Role."""
    causes: Causes = []
    for index, rule in enumerate(obj.get("rules") or ()):
        causes += _rule(rule, f"rules[{index}]", namespaced=True)
    return causes


def cluster_role(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a ClusterRole."""
    causes: Causes = []
    for index, rule in enumerate(obj.get("rules") or ()):
        causes += _rule(rule, f"rules[{index}]", namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        found = aggregation.get("clusterRoleSelectors", ())
        place = "aggregationRule.clusterRoleSelectors"
        if not found:
            causes.append(
                v.required(place, "at least one clusterRoleSelector required if aggregationRule is non-nil")
            )
        for index, one in enumerate(found):
            causes += v.selector(one, f"{place}[{index}]")
    return causes


def _rule(rule: Mapping[str, Any], field: str, *, namespaced: bool) -> Causes:
    causes: Causes = []
    if not rule.get("verbs"):
        causes.append(v.required(f"{field}.verbs", "verbs must contain at least one value"))
    paths = rule.get("nonResourceURLs")
    if paths:
        if namespaced:
            text = "namespaced rules cannot apply to non-resource URLs"
            causes.append(v.invalid(f"{field}.nonResourceURLs", paths, text))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            causes.append(v.invalid(f"{field}.nonResourceURLs", paths, text))
        return causes
    if not rule.get("apiGroups"):
        causes.append(v.required(f"{field}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        causes.append(v.required(f"{field}.resources", "resource rules must supply at least one resource"))
    return causes


def role_binding(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a RoleBinding."""
    return _binding(obj, old, ("ClusterRole", "Role"), namespaced=True)


def cluster_role_binding(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a ClusterRoleBinding."""
    return _binding(obj, old, ("ClusterRole",), namespaced=False)


def _binding(obj: Resource, old: Resource | None, kinds: tuple[str, ...], *, namespaced: bool) -> Causes:
    causes: Causes = []
    reference = obj.get("roleRef", {})
    group, kind, name = (reference.get(key, "") for key in ("apiGroup", "kind", "name"))
    if group != _RBAC:
        causes.append(v.not_supported("roleRef.apiGroup", group, (_RBAC,)))
    if kind not in kinds:
        causes.append(v.not_supported("roleRef.kind", kind, kinds))
    if not name:
        causes.append(v.required("roleRef.name"))
    else:
        causes += [v.invalid("roleRef.name", name, fault) for fault in v.path_segment(name)]
    for index, subject in enumerate(obj.get("subjects", ())):
        causes += _subject(subject, f"subjects[{index}]", namespaced=namespaced)
    if old is not None and old.get("roleRef") != reference:
        quoted = (selectors.quote(text) for text in (group, kind, name))
        shown = "rbac.RoleRef{{APIGroup:{}, Kind:{}, Name:{}}}".format(*quoted)
        causes.append(v.invalid("roleRef", v.Verbatim(shown), "cannot change roleRef"))
    return causes


def _subject(subject: Mapping[str, Any], field: str, *, namespaced: bool) -> Causes:
    causes: Causes = []
    name, kind, group = (subject.get(key, "") for key in ("name", "kind", "apiGroup"))
    if not name:
        causes.append(v.required(f"{field}.name"))
    if kind == "ServiceAccount":
        if name:
            causes += [v.invalid(f"{field}.name", name, fault) for fault in v.subdomain(name)]
        if group:
            causes.append(v.not_supported(f"{field}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            causes.append(v.required(f"{field}.namespace"))
    elif kind in {"User", "Group"}:
        if group != _RBAC:
            causes.append(v.not_supported(f"{field}.apiGroup", group, (_RBAC,)))
    else:
        causes.append(v.not_supported(f"{field}.kind", kind, ("Group", "ServiceAccount", "User")))
    return causes


def resource_quota(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a ResourceQuota."""
    spec = obj.get("spec", {})
    causes: Causes = []
    for name, text in spec.get("hard", {}).items():
        place = f"spec.hard[{name}]"
        faults = v.qualified(name)
        causes += [v.invalid(place, name, fault) for fault in faults]
        known = name in _QUOTA or name.startswith(("hugepages-", "requests.hugepages-"))
        if not faults and "/" not in name and not known:
            causes.append(v.invalid(place, name, "must be a standard resource for quota"))
        amount = v.amount(text)
        if amount < 0:
            causes.append(v.invalid(place, text, v.NOT_NEGATIVE))
        if (name in _COUNTED or name.startswith("count/")) and amount.denominator != 1:
            causes.append(v.invalid(place, text, "must be an integer"))
    for index, scope in enumerate(spec.get("scopes", ())):
        if scope not in _SCOPES:
            causes.append(v.invalid(f"spec.scopes[{index}]", scope, "unsupported scope"))
    for index, one in enumerate(spec.get("scopeSelector", {}).get("matchExpressions", ())):
        place = f"spec.scopeSelector.matchExpressions[{index}]"
        operator, values = one.get("operator", ""), one.get("values", ())
        if one.get("scopeName") not in _SCOPES:
            causes.append(v.invalid(f"{place}.scopeName", one.get("scopeName", ""), "unsupported scope"))
        if operator in {"In", "NotIn"}:
            if not values:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                causes.append(v.required(f"{place}.values", text))
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                causes.append(v.invalid(f"{place}.values", list(values), text))
        else:
            causes.append(v.invalid(f"{place}.operator", operator, "not a valid selector operator"))
    if old is not None and set(spec.get("scopes", ())) != set(old.get("spec", {}).get("scopes", ())):
        causes.append(v.invalid("spec.scopes", list(spec.get("scopes", ())), v.IMMUTABLE))
    return causes


def limit_range(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a LimitRange."""
    causes: Causes = []
    seen: set[str] = set()
    for index, limit in enumerate(obj.get("spec", {}).get("limits", ())):
        place = f"spec.limits[{index}]"
        kind = limit.get("type", "")
        if kind not in _LIMIT_TYPES:
            faults = v.qualified(kind)
            causes += [v.invalid(f"{place}.type", kind, fault) for fault in faults]
            if not faults and "/" not in kind:
                text = "must be a standard limit type or fully qualified"
                causes.append(v.invalid(f"{place}.type", kind, text))
        if kind in seen:
            causes.append(v.duplicate(f"{place}.type", kind))
        seen.add(kind)
        if kind == "Pod":
            for name in ("default", "defaultRequest"):
                if limit.get(name):
                    text = "may not be specified when `type` is 'Pod'"
                    causes.append(v.forbidden(f"{place}.{name}", text))
        if kind == "PersistentVolumeClaim" and not (
            "storage" in limit.get("min", {}) or "storage" in limit.get("max", {})
        ):
            text = "either minimum or maximum storage value is required, but neither was provided"
            causes.append(v.required(f"{place}.limits", text))
        causes += _bounds(limit, place)
    return causes


def _bounds(limit: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    lists = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")
    for name in sorted({key for one in lists for key in limit.get(one, {})}):
        least, most, default, request, ratio = (limit.get(one, {}).get(name) for one in lists)
        for low, high, place, text in (
            (least, most, "min", "min value {} is greater than max value {}"),
            (least, request, "defaultRequest", "min value {} is greater than default request value {}"),
            (request, most, "defaultRequest", "default request value {} is greater than max value {}"),
            (
                request,
                default,
                "defaultRequest",
                "default request value {} is greater than default limit value {}",
            ),
            (least, default, "default", "min value {} is greater than default value {}"),
            (default, most, "default", "default value {} is greater than max value {}"),
        ):
            if low is not None and high is not None and v.amount(low) > v.amount(high):
                shown = limit[place][name]
                causes.append(v.invalid(f"{field}.{place}[{name}]", shown, text.format(low, high)))
        if ratio is not None:
            place = f"{field}.maxLimitRequestRatio[{name}]"
            if v.amount(ratio) < 1:
                causes.append(v.invalid(place, ratio, f"ratio {ratio} is less than 1"))
    return causes


def priority_class(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a PriorityClass."""
    causes: Causes = []
    name, value = obj.get("metadata", {}).get("name", ""), obj.get("value", 0)
    system = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
    if name.startswith("system-"):
        if system.get(name) != value:
            text = (
                "priority class names with 'system-' prefix are reserved for system use only. error: "
                f"{name} is not a known system priority class"
            )
            causes.append(v.forbidden("metadata.name", text))
    elif value > 1000000000:
        text = "maximum allowed value of a user defined priority is 1000000000"
        causes.append(v.forbidden("value", text))
    policy = obj.get("preemptionPolicy")
    causes += v.one_of(policy, "preemptionPolicy", ("Never", "PreemptLowerPriority"), optional=True)
    if old is not None:
        if old.get("value", 0) != value:
            causes.append(v.forbidden("value", "may not be changed in an update."))
        causes += v.same(policy, old.get("preemptionPolicy"), "preemptionPolicy")
    return causes


def webhooks(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a webhook configuration of either sort."""
    causes: Causes = []
    names: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks", ())):
        place = f"webhooks[{index}]"
        name = hook.get("name", "")
        if not name:
            causes.append(v.required(f"{place}.name"))
        else:
            faults = v.subdomain(name)
            causes += [v.invalid(f"{place}.name", name, fault) for fault in faults]
            if not faults and name.count(".") < 2:
                text = "should be a domain with at least three segments separated by dots"
                causes.append(v.invalid(f"{place}.name", name, text))
        if name in names:
            causes.append(v.duplicate(f"{place}.name", name))
        names.add(name)
        for at, rule in enumerate(hook.get("rules", ())):
            causes += _operations(rule, f"{place}.rules[{at}]")
        causes += v.one_of(
            hook.get("failurePolicy"), f"{place}.failurePolicy", ("Fail", "Ignore"), optional=True
        )
        matches = ("Equivalent", "Exact")
        causes += v.one_of(hook.get("matchPolicy"), f"{place}.matchPolicy", matches, optional=True)
        effects = hook.get("sideEffects")
        if not effects:
            causes.append(v.required(f"{place}.sideEffects", "must specify one of None, NoneOnDryRun"))
        else:
            causes += v.one_of(effects, f"{place}.sideEffects", ("None", "NoneOnDryRun"))
        seconds = hook.get("timeoutSeconds", 10)
        if not 1 <= seconds <= 30:
            text = "the timeout value must be between 1 and 30 seconds"
            causes.append(v.invalid(f"{place}.timeoutSeconds", seconds, text))
        versions = hook.get("admissionReviewVersions", ())
        if not versions:
            causes.append(v.required(f"{place}.admissionReviewVersions", "must specify one of v1, v1beta1"))
        elif not {"v1", "v1beta1"} & set(versions):
            text = "must include at least one of v1, v1beta1"
            causes.append(v.invalid(f"{place}.admissionReviewVersions", list(versions), text))
        for one in ("namespaceSelector", "objectSelector"):
            causes += v.selector(hook.get(one), f"{place}.{one}")
        causes += client_config(hook.get("clientConfig", {}), f"{place}.clientConfig")
    return causes


def client_config(config: Mapping[str, Any], field: str) -> Causes:
    """Return what is wrong with the way in which a webhook is called."""
    address, service = config.get("url"), config.get("service")
    if (address is None) == (service is None):
        return [v.required(field, "exactly one of url or service is required")]
    if address is not None:
        if not address.startswith("https://"):
            text = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
            scheme = address.partition("://")[0] if "://" in address else ""
            return [v.invalid(f"{field}.url", scheme, text)]
        return []
    causes: Causes = [
        v.required(f"{field}.service.{name}", f"service {name} is required")
        for name in ("name", "namespace")
        if not (service or {}).get(name)
    ]
    return causes


def _operations(rule: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    known = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
    for name in ("operations", "apiGroups", "apiVersions", "resources"):
        found = rule.get(name, ())
        if not found:
            causes.append(v.required(f"{field}.{name}"))
        elif "*" in found and len(found) > 1:
            text = (
                "if '*' is present, must not specify other "
                + {
                    "operations": "operations",
                    "apiGroups": "API groups",
                    "apiVersions": "API versions",
                    "resources": "resources",
                }[name]
            )
            causes.append(v.invalid(f"{field}.{name}", list(found), text))
    for index, operation in enumerate(rule.get("operations", ())):
        if operation not in known:
            causes.append(v.not_supported(f"{field}.operations[{index}]", operation, known))
    scope = rule.get("scope")
    if scope is not None and scope not in {"*", "Cluster", "Namespaced"}:
        causes.append(v.not_supported(f"{field}.scope", scope, ("*", "Cluster", "Namespaced")))
    return causes


def admission_policy(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a ValidatingAdmissionPolicy, but for its expressions."""
    spec = obj.get("spec", {})
    causes: Causes = []
    causes += v.one_of(spec.get("failurePolicy"), "spec.failurePolicy", ("Fail", "Ignore"), optional=True)
    matching = spec.get("matchConstraints")
    if matching is None:
        causes.append(v.required("spec.matchConstraints"))
    else:
        causes += _matching(matching, "spec.matchConstraints", rules=True)
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        text = "validations or auditAnnotations must contain at least one item"
        causes += [v.required("spec.validations", text), v.required("spec.auditAnnotations", text)]
    for index, one in enumerate(spec.get("validations", ())):
        if not one.get("expression", "").strip():
            causes.append(v.required(f"spec.validations[{index}].expression", "expression is not specified"))
    return causes


def _matching(found: Mapping[str, Any], field: str, *, rules: bool) -> Causes:
    causes: Causes = []
    if rules and not found.get("resourceRules"):
        causes.append(v.required(f"{field}.resourceRules"))
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(found.get(name, ())):
            causes += _operations(rule, f"{field}.{name}[{index}]")
    for name in ("namespaceSelector", "objectSelector"):
        causes += v.selector(found.get(name), f"{field}.{name}")
    return causes


def admission_binding(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a ValidatingAdmissionPolicyBinding."""
    spec = obj.get("spec", {})
    causes: Causes = []
    if not spec.get("policyName"):
        causes.append(v.required("spec.policyName"))
    actions = spec.get("validationActions", ())
    if not actions:
        causes.append(v.required("spec.validationActions", "at least one validation action is required"))
    for index, action in enumerate(actions):
        known = ("Audit", "Deny", "Warn")
        if action not in known:
            causes.append(v.not_supported(f"spec.validationActions[{index}]", action, known))
    if {"Deny", "Warn"} <= set(actions):
        text = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"
        causes.append(v.invalid("spec.validationActions", list(actions), text))
    if "matchResources" in spec:
        causes += _matching(spec["matchResources"], "spec.matchResources", rules=False)
    return causes
