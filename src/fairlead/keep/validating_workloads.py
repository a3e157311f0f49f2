"""What Kubernetes refuses in workloads: what runs pods, scales them or guards them.

Reads defaulted objects, changes nothing. Sources: kubernetes/pkg/apis/{apps,batch,autoscaling,policy}/validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairlead.keep import validating_values as v
from fairlead.keep.validating_pods import template
from fairlead.keep.validating_values import Causes
from fairlead.tongues import cron, selectors
from fairlead.words import Resource

_STATEFUL_TEXT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_STATEFUL_FREE = frozenset(
    {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    }
)
_METRICS = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}


def deployment(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a Deployment."""
    spec = obj.get("spec", {})
    causes = v.not_negative(spec.get("replicas"), "spec.replicas")
    causes += _selected(spec, "spec", "empty selector is invalid for deployment")
    strategy = spec.get("strategy", {})
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate":
        if rolling is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            causes.append(v.forbidden("spec.strategy.rollingUpdate", text))
    elif strategy.get("type") == "RollingUpdate":
        causes += _rolling(rolling or {}, "spec.strategy.rollingUpdate")
    else:
        shown = v.Verbatim(
            f"apps.DeploymentStrategy{{Type:{v.printed(strategy.get('type', ''))}, "
            "RollingUpdate:(*apps.RollingUpdateDeployment)(nil)}"
        )
        causes.append(v.not_supported("spec.strategy", shown, ("Recreate", "RollingUpdate")))
    for name in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        causes += v.not_negative(spec.get(name), f"spec.{name}")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and 0 <= deadline <= spec.get("minReadySeconds", 0):
        text = "must be greater than minReadySeconds"
        causes.append(v.invalid("spec.progressDeadlineSeconds", deadline, text))
    return causes + _same_selector(spec, old)


def replica_set(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a ReplicaSet."""
    spec = obj.get("spec", {})
    causes = v.not_negative(spec.get("replicas"), "spec.replicas")
    causes += v.not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    causes += _selected(spec, "spec", "empty selector is invalid for deployment")
    return causes + _same_selector(spec, old)


def replication_controller(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a ReplicationController."""
    spec = obj.get("spec", {})
    causes = v.not_negative(spec.get("minReadySeconds"), "spec.minReadySeconds")
    causes += v.not_negative(spec.get("replicas"), "spec.replicas")
    chosen = spec.get("selector")
    if not chosen:
        causes.append(v.required("spec.selector"))
    if "template" not in spec:
        return [*causes, v.required("spec.template")]
    found = spec["template"].get("metadata", {}).get("labels", {})
    if chosen and any(found.get(key) != value for key, value in chosen.items()):
        causes.append(_mismatch(found, "spec.template.metadata.labels"))
    causes += template(spec["template"], "spec.template")
    return causes + _restarts_always(spec["template"], "spec.template", "ReplicationController")


def daemon_set(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a DaemonSet."""
    spec = obj.get("spec", {})
    causes = _selected(spec, "spec", "empty selector is invalid for daemonset")
    for name in ("minReadySeconds", "revisionHistoryLimit"):
        causes += v.not_negative(spec.get(name), f"spec.{name}")
    strategy = spec.get("updateStrategy", {})
    if strategy.get("type") == "RollingUpdate":
        rolling = strategy.get("rollingUpdate", {})
        place = "spec.updateStrategy.rollingUpdate"
        for name in ("maxUnavailable", "maxSurge"):
            causes += v.positive_int_or_percent(rolling.get(name), f"{place}.{name}")
            causes += v.at_most_all(rolling.get(name), f"{place}.{name}")
        surge, unavailable = (
            rolling.get(name, 0) not in {0, "0%"} for name in ("maxSurge", "maxUnavailable")
        )
        if surge and unavailable:
            shown = v.go_int_or_string(rolling["maxSurge"])
            text = "may not be set when maxUnavailable is non-zero"
            causes.append(v.invalid(f"{place}.maxSurge", shown, text))
        elif not surge and not unavailable:
            causes.append(v.required(f"{place}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    elif strategy.get("type") != "OnDelete":
        supported = ("RollingUpdate", "OnDelete")
        causes.append(v.not_supported("spec.updateStrategy.type", strategy.get("type", ""), supported))
    return causes + _same_selector(spec, old)


def stateful_set(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a StatefulSet."""
    spec = obj.get("spec", {})
    if old is not None:
        before = old.get("spec", {})
        names = {*spec, *before} - _STATEFUL_FREE
        causes: Causes = []
        if any(spec.get(name) != before.get(name) for name in names):
            causes.append(v.forbidden("spec", _STATEFUL_TEXT))
        return causes + _stateful_spec(spec)
    return _stateful_spec(spec)


def _stateful_spec(spec: Mapping[str, Any]) -> Causes:
    causes: Causes = []
    policy = spec.get("podManagementPolicy")
    if not policy:
        causes.append(v.required("spec.podManagementPolicy"))
    elif policy not in {"OrderedReady", "Parallel"}:
        text = "must be 'OrderedReady' or 'Parallel'"
        causes.append(v.invalid("spec.podManagementPolicy", policy, text))
    strategy = spec.get("updateStrategy", {})
    rolling = strategy.get("rollingUpdate")
    kind = strategy.get("type")
    if not kind:
        causes.append(v.required("spec.updateStrategy"))
    elif kind == "OnDelete":
        if rolling is not None:
            text = "only allowed for updateStrategy 'RollingUpdate'"
            causes.append(v.invalid("spec.updateStrategy.rollingUpdate", rolling, text))
    elif kind == "RollingUpdate":
        partition = (rolling or {}).get("partition")
        causes += v.not_negative(partition, "spec.updateStrategy.rollingUpdate.partition")
    else:
        text = "must be 'RollingUpdate' or 'OnDelete'"
        causes.append(v.invalid("spec.updateStrategy", strategy, text))
    retention = spec.get("persistentVolumeClaimRetentionPolicy", {})
    for name in ("whenDeleted", "whenScaled"):
        if retention.get(name, "Retain") not in {"Retain", "Delete"}:
            place = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
            causes.append(v.not_supported(place, retention[name], ("Retain", "Delete")))
    for name in ("replicas", "minReadySeconds"):
        causes += v.not_negative(spec.get(name), f"spec.{name}")
    causes += v.not_negative(spec.get("ordinals", {}).get("start"), "spec.ordinals.start")
    claims = [
        {"name": claim.get("metadata", {}).get("name"), "persistentVolumeClaim": {"claimName": "claim"}}
        for claim in spec.get("volumeClaimTemplates", ())
    ]
    return causes + _selected(spec, "spec", "empty selector is invalid for statefulset", claims)


def _selected(
    spec: Mapping[str, Any], field: str, empty: str, claims: list[dict[str, Any]] | None = None
) -> Causes:
    """The selector, the template, and that the one selects the other."""
    causes: Causes = []
    chosen = spec.get("selector")
    found = spec.get("template", {})
    labels = found.get("metadata", {}).get("labels", {})
    if chosen is None:
        causes.append(v.required(f"{field}.selector"))
        causes.append(_mismatch(labels, f"{field}.template.metadata.labels"))
    else:
        faults = v.selector(chosen, f"{field}.selector")
        causes += faults
        if not chosen.get("matchLabels") and not chosen.get("matchExpressions"):
            causes.append(v.invalid(f"{field}.selector", v.go_selector(chosen), empty))
        elif not faults and not selectors.from_object(chosen).matches(labels):
            causes.append(_mismatch(labels, f"{field}.template.metadata.labels"))
    if claims:
        claimed = {claim["name"] for claim in claims}
        body = dict(found.get("spec", {}))
        body["volumes"] = [x for x in body.get("volumes", ()) if x.get("name") not in claimed] + claims
        found = {**found, "spec": body}
    causes += template(found, f"{field}.template")
    return causes + _restarts_always(found, f"{field}.template", "ReplicaSet")


def _mismatch(labels: Mapping[str, str], field: str) -> Any:
    text = "`selector` does not match template `labels`"
    return v.invalid(field, v.Verbatim(v.go_map(labels or None)), text)


def _restarts_always(found: Mapping[str, Any], field: str, owner: str) -> Causes:
    causes: Causes = []
    spec = found.get("spec", {})
    policy = spec.get("restartPolicy", "Always")
    if policy != "Always" and policy in {"OnFailure", "Never"}:
        causes.append(v.not_supported(f"{field}.spec.restartPolicy", policy, ("Always",)))
    if "activeDeadlineSeconds" in spec:
        text = f"activeDeadlineSeconds in {owner} is not Supported"
        causes.append(v.forbidden(f"{field}.spec.activeDeadlineSeconds", text))
    return causes


def _same_selector(spec: Mapping[str, Any], old: Resource | None) -> Causes:
    if old is None:
        return []
    return v.same(spec.get("selector"), old.get("spec", {}).get("selector"), "spec.selector")


def _rolling(rolling: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    causes += v.positive_int_or_percent(unavailable, f"{field}.maxUnavailable")
    causes += v.positive_int_or_percent(surge, f"{field}.maxSurge")
    if unavailable in {0, "0%"} and surge in {0, "0%"}:
        shown = v.go_int_or_string(unavailable)
        causes.append(v.invalid(f"{field}.maxUnavailable", shown, "may not be 0 when `maxSurge` is 0"))
    return causes + v.at_most_all(unavailable, f"{field}.maxUnavailable")


def job(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a Job."""
    spec = obj.get("spec", {})
    causes = _job_spec(spec, "spec")
    chosen = spec.get("selector")
    labels = spec.get("template", {}).get("metadata", {}).get("labels", {})
    if chosen is None:
        if spec.get("manualSelector") or obj.get("metadata", {}).get("uid"):
            causes.append(v.required("spec.selector"))
    else:
        faults = v.selector(chosen, "spec.selector")
        causes += faults
        if not faults and not selectors.from_object(chosen).matches(labels):
            causes.append(_mismatch(labels, "spec.template.metadata.labels"))
        generated = chosen.get("matchLabels", {})
        uid = obj.get("metadata", {}).get("uid")
        ours = {"batch.kubernetes.io/controller-uid": uid}
        if (
            old is None
            and uid
            and not spec.get("manualSelector")
            and generated not in (ours, {"controller-uid": uid})
        ):
            causes.append(v.invalid("spec.selector", v.go_selector(chosen), "`selector` not auto-generated"))
    if old is not None:
        causes += _job_update(spec, old.get("spec", {}))
    return causes


def _job_spec(spec: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    for name in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
    ):
        causes += v.not_negative(spec.get(name), f"{field}.{name}")
    for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
        causes += v.not_negative(spec.get(name), f"{field}.{name}")
        if name in spec and spec.get("completionMode") != "Indexed":
            causes.append(v.invalid(f"{field}.{name}", spec[name], "requires indexed completion mode"))
    mode = spec.get("completionMode")
    if mode is not None and mode not in {"Indexed", "NonIndexed"}:
        causes.append(v.not_supported(f"{field}.completionMode", mode, ("Indexed", "NonIndexed")))
    if mode == "Indexed":
        if "completions" not in spec:
            causes.append(v.required(f"{field}.completions", "when completion mode is Indexed"))
        if spec.get("parallelism", 0) > 100000:
            text = "must be less than or equal to 100000 when completion mode is Indexed"
            causes.append(v.invalid(f"{field}.parallelism", spec["parallelism"], text))
    replace = spec.get("podReplacementPolicy")
    if replace is not None and replace not in {"Failed", "TerminatingOrFailed"}:
        supported = ("Failed", "TerminatingOrFailed")
        causes.append(v.not_supported(f"{field}.podReplacementPolicy", replace, supported))
    if "podFailurePolicy" in spec:
        causes += _failure_policy(spec, f"{field}.podFailurePolicy")
    causes += template(spec.get("template"), f"{field}.template")
    policy = spec.get("template", {}).get("spec", {}).get("restartPolicy")
    if policy not in {"OnFailure", "Never"}:
        text = 'valid values: "OnFailure", "Never"'
        causes.append(v.required(f"{field}.template.spec.restartPolicy", text))
    elif "podFailurePolicy" in spec and policy != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        causes.append(v.invalid(f"{field}.template.spec.restartPolicy", policy, text))
    return causes


def _failure_policy(spec: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    for index, rule in enumerate(spec["podFailurePolicy"].get("rules", ())):
        place = f"{field}.rules[{index}]"
        actions = ("Count", "FailIndex", "FailJob", "Ignore")
        if not rule.get("action"):
            causes.append(
                v.required(f"{place}.action", 'valid values: "Count", "FailIndex", "FailJob", "Ignore"')
            )
        elif rule["action"] not in actions:
            causes.append(v.not_supported(f"{place}.action", rule["action"], actions))
        codes = rule.get("onExitCodes")
        if codes is None and not rule.get("onPodConditions"):
            text = "specifying one of OnExitCodes and OnPodConditions is required"
            causes.append(v.invalid(place, rule, text))
        if codes is not None:
            if rule.get("onPodConditions"):
                text = "specifying both OnExitCodes and OnPodConditions is not supported"
                causes.append(v.invalid(place, rule, text))
            if codes.get("operator") not in {"In", "NotIn"}:
                causes.append(
                    v.not_supported(
                        f"{place}.onExitCodes.operator", codes.get("operator", ""), ("In", "NotIn")
                    )
                )
            if not codes.get("values"):
                causes.append(v.invalid(f"{place}.onExitCodes.values", [], "at least one value is required"))
    return causes


def _job_update(spec: Mapping[str, Any], old: Mapping[str, Any]) -> Causes:
    causes: Causes = []
    elastic = (
        spec.get("completionMode") == "Indexed"
        and spec.get("completions") == spec.get("parallelism")
        and old.get("completions") == old.get("parallelism")
    )
    if not elastic:
        causes += v.same(spec.get("completions"), old.get("completions"), "spec.completions")
    causes += v.same(spec.get("selector"), old.get("selector"), "spec.selector")
    new_template, old_template = _comparable(spec, old), old.get("template", {})
    causes += v.same(new_template, old_template, "spec.template")
    for name in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        causes += v.same(spec.get(name), old.get(name), f"spec.{name}")
    return causes


def _comparable(spec: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the new template with what a suspended Job may still change put back."""
    new, was = dict(spec.get("template", {})), old.get("template", {})
    if not old.get("suspend"):
        return new
    new["metadata"] = was.get("metadata", {})
    body, before = dict(new.get("spec", {})), was.get("spec", {})
    for name in ("nodeSelector", "tolerations", "schedulingGates", "affinity"):
        body.pop(name, None)
        if name in before:
            body[name] = before[name]
    new["spec"] = body
    return new


def cron_job(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a CronJob."""
    spec = obj.get("spec", {})
    causes: Causes = []
    name = obj.get("metadata", {}).get("name", "")
    if old is None and len(name) > 52:
        causes.append(v.invalid("metadata.name", name, "must be no more than 52 characters"))
    schedule = spec.get("schedule", "")
    if not schedule:
        causes.append(v.required("spec.schedule"))
    else:
        causes += _schedule(schedule, spec.get("timeZone"))
    zone = spec.get("timeZone")
    if zone is not None:
        causes += _time_zone(zone)
    causes += v.not_negative(spec.get("startingDeadlineSeconds"), "spec.startingDeadlineSeconds")
    policies = ("Allow", "Forbid", "Replace")
    causes += v.one_of(spec.get("concurrencyPolicy"), "spec.concurrencyPolicy", policies)
    for limit in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        causes += v.not_negative(spec.get(limit), f"spec.{limit}")
    inner = spec.get("jobTemplate", {}).get("spec", {})
    place = "spec.jobTemplate.spec"
    causes += _job_spec(inner, place)
    if "selector" in inner:
        text = "`selector` will be auto-generated"
        causes.append(v.invalid(f"{place}.selector", v.go_selector(inner["selector"]), text))
    if inner.get("manualSelector"):
        causes.append(v.not_supported(f"{place}.manualSelector", True, ("nil", "false")))
    return causes


def _schedule(schedule: str, zone: str | None) -> Causes:
    if "TZ" in schedule:
        text = "cannot use TZ or CRON_TZ in schedule"
        if zone is not None:
            text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        else:
            text += ", use timeZone field instead"
        return [v.invalid("spec.schedule", schedule, text)]
    fault = cron_fault(schedule)
    return [v.invalid("spec.schedule", schedule, fault)] if fault else []


def cron_fault(schedule: str) -> str:
    """Return what is wrong with a schedule of five fields or a descriptor, or ""."""
    try:
        cron.parse(schedule)
    except ValueError as error:
        return str(error)
    return ""


def _time_zone(zone: str) -> Causes:
    text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
    if not zone:
        return [v.invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        return [v.invalid("spec.timeZone", zone, text)]
    try:
        cron.zone(zone)
    except ValueError as error:
        return [v.invalid("spec.timeZone", zone, str(error))]
    return []


def disruption_budget(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a PodDisruptionBudget."""
    spec = obj.get("spec", {})
    causes: Causes = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        text = "minAvailable and maxUnavailable cannot be both set"
        causes.append(v.invalid("spec", spec, text))
    for name in ("minAvailable", "maxUnavailable"):
        causes += v.positive_int_or_percent(spec.get(name), f"spec.{name}")
        causes += v.at_most_all(spec.get(name), f"spec.{name}")
    causes += v.selector(spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in {"AlwaysAllow", "IfHealthyBudget"}:
        supported = ("AlwaysAllow", "IfHealthyBudget")
        causes.append(v.not_supported("spec.unhealthyPodEvictionPolicy", policy, supported))
    return causes


def autoscaler(obj: Resource, _old: Resource | None) -> Causes:
    """Return what is wrong with a HorizontalPodAutoscaler, in v1 or v2."""
    spec = obj.get("spec", {})
    causes: Causes = []
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if least < 1:
        causes.append(v.invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        causes.append(v.invalid("spec.maxReplicas", most, v.POSITIVE))
    if most < least:
        causes.append(v.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    target = spec.get("scaleTargetRef", {})
    for name in ("kind", "name"):
        value = target.get(name, "")
        if not value:
            causes.append(v.required(f"spec.scaleTargetRef.{name}"))
        else:
            place = f"spec.scaleTargetRef.{name}"
            causes += [v.invalid(place, value, fault) for fault in v.path_segment(value)]
    usage = spec.get("targetCPUUtilizationPercentage")
    if usage is not None and usage < 1:
        causes.append(v.invalid("spec.targetCPUUtilizationPercentage", usage, v.POSITIVE))
    for index, metric in enumerate(spec.get("metrics", ())):
        causes += _metric(metric, f"spec.metrics[{index}]")
    for name, rules in spec.get("behavior", {}).items():
        causes += _scaling(rules, f"spec.behavior.{name}")
    return causes


def _metric(metric: Mapping[str, Any], field: str) -> Causes:
    kind = metric.get("type", "")
    if not kind:
        return [v.required(f"{field}.type", "must specify a metric source type")]
    if kind not in _METRICS:
        return [v.not_supported(f"{field}.type", kind, tuple(_METRICS))]
    expected = _METRICS[kind]
    place = f"{field}.{expected}"
    if expected not in metric:
        return [v.required(place, "must populate information for the given metric source")]
    causes: Causes = [
        v.forbidden(f"{field}.{other}", "must populate the given metric source only")
        for other in _METRICS.values()
        if other != expected and other in metric
    ]
    source = metric[expected]
    if kind in {"Resource", "ContainerResource"} and not source.get("name"):
        causes.append(v.required(f"{place}.name", "must specify a resource name"))
    if kind == "ContainerResource" and not source.get("container"):
        causes.append(v.required(f"{place}.container", "must specify a container"))
    if kind in {"Pods", "Object", "External"} and not source.get("metric", {}).get("name"):
        causes.append(v.required(f"{place}.metric.name", "must specify a metric name"))
    target = source.get("target", {})
    kinds = ("AverageValue", "Utilization", "Value")
    if not target.get("type"):
        causes.append(v.required(f"{place}.target.type", "must specify a metric target type"))
    elif target["type"] not in kinds:
        causes.append(
            v.invalid(
                f"{place}.target.type", target["type"], "must be either Utilization, Value, or AverageValue"
            )
        )
    usage = target.get("averageUtilization")
    if usage is not None and usage < 1:
        causes.append(v.invalid(f"{place}.target.averageUtilization", usage, v.POSITIVE))
    for name in ("value", "averageValue"):
        if name in target and v.amount(target[name]) <= 0:
            causes.append(v.invalid(f"{place}.target.{name}", v.Verbatim(target[name]), "must be positive"))
    if kind in {"Resource", "ContainerResource"} and usage is None and "averageValue" not in target:
        text = "must set either a target raw value or a target utilization"
        causes.append(v.required(f"{place}.target.averageUtilization", text))
    return causes


def _scaling(rules: Mapping[str, Any], field: str) -> Causes:
    causes: Causes = []
    window = rules.get("stabilizationWindowSeconds")
    causes += v.not_negative(window, f"{field}.stabilizationWindowSeconds")
    if window is not None and window > 3600:
        text = "must be less than or equal to 3600"
        causes.append(v.invalid(f"{field}.stabilizationWindowSeconds", window, text))
    if rules.get("selectPolicy", "Max") not in {"Max", "Min", "Disabled"}:
        causes.append(
            v.not_supported(f"{field}.selectPolicy", rules["selectPolicy"], ("Disabled", "Max", "Min"))
        )
    for index, policy in enumerate(rules.get("policies", ())):
        place = f"{field}.policies[{index}]"
        if policy.get("type") not in {"Pods", "Percent"}:
            causes.append(v.not_supported(f"{place}.type", policy.get("type", ""), ("Percent", "Pods")))
        if policy.get("value", 0) <= 0:
            causes.append(v.invalid(f"{place}.value", policy.get("value", 0), v.POSITIVE))
        seconds = policy.get("periodSeconds", 0)
        if seconds <= 0:
            causes.append(v.invalid(f"{place}.periodSeconds", seconds, v.POSITIVE))
        elif seconds > 1800:
            text = "must be less than or equal to 1800"
            causes.append(v.invalid(f"{place}.periodSeconds", seconds, text))
    return causes


def controller_revision(obj: Resource, old: Resource | None) -> Causes:
    """Return what is wrong with a ControllerRevision."""
    causes: Causes = []
    if obj.get("data") is None:
        causes.append(v.required("data", "data is mandatory"))
    causes += v.not_negative(obj.get("revision"), "revision")
    return causes + (v.same(obj.get("data"), old.get("data"), "data") if old is not None else [])
