"""validate.podSecurity: the Pod Security Standards, with what a rule or an exception leaves out of them.

Which checks there are is the engine's; here they are asked about a pod or a pod's template, and told in Kyverno's words.
Source: kyverno/kyverno pkg/pss, pkg/engine/handlers/validation/validate_pss.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fairlead.dialects.kyverno.contexts import Context
from fairlead.dialects.kyverno.validating import BadRule, Check, Said
from fairlead.judge import standards
from fairlead.tongues import globs
from fairlead.tongues.jmespath import sprint
from fairlead.tongues.paths import mapping
from fairlead.words import Resource

_TEMPLATED = frozenset(
    {"DaemonSet", "Deployment", "Job", "StatefulSet", "ReplicaSet", "ReplicationController"}
)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What is left out of a control: containers by their images, or, without images, the pod's own fields.

    With a `field`, only that field is left out, and only where its value is one of `values`.
    """

    control: str
    images: tuple[Callable[[str], bool], ...]
    field: str
    values: tuple[str, ...]

    def covers(self, violation: standards.Violation, field: standards.Field) -> bool:
        """Return whether the field is no violation any more."""
        if self.control != violation.control:
            return False
        if bool(self.images) != bool(field.container):
            return False
        if self.images and not any(fits(field.image) for fits in self.images):
            return False
        if not self.field:
            return True
        if self.field not in {field.pattern, field.path} and not _is_within(field.pattern, self.field):
            return False
        return any(_allows(value, field.value) for value in self.values)


def _is_within(pattern: str, field: str) -> bool:
    """Return whether a field named without its last index is the violation's: `...capabilities.add` for `...add[*]`."""
    return pattern.startswith((f"{field}[", f"{field}."))


def _allows(value: str, found: Any) -> bool:
    if isinstance(found, list | tuple | set | frozenset):
        return all(globs.matches(value, sprint(one)) for one in found)
    return globs.matches(value, "" if found is None else sprint(found))


def read_exclusions(document: Any, path: str) -> tuple[Exclusion, ...]:
    """Read a list of exclusions of a rule or a PolicyException. Raises BadRule."""
    if not document:
        return ()
    if not isinstance(document, list) or not all(isinstance(one, Mapping) for one in document):
        raise BadRule(path, "exclude must be a list of mappings")
    return tuple(_exclusion(one, f"{path}[{index}]") for index, one in enumerate(document))


def _exclusion(document: Mapping[str, Any], path: str) -> Exclusion:
    control = document.get("controlName")
    if not isinstance(control, str):
        raise BadRule(path, "controlName is required")
    images, values = document.get("images") or [], document.get("values") or []
    if not isinstance(images, list) or not isinstance(values, list):
        raise BadRule(path, "images and values must be lists")
    return Exclusion(
        control,
        tuple(globs.compile(str(image)) for image in images),
        str(document.get("restrictedField") or ""),
        tuple(map(str, values)),
    )


def spec_of(resource: Resource) -> tuple[Any, Any] | None:
    """Return the metadata and the spec of the pod that an object is or makes, None when it is nothing of the kind."""
    kind = resource.get("kind")
    if kind == "Pod":
        return mapping(resource, "metadata"), mapping(resource, "spec")
    if kind in _TEMPLATED:
        return mapping(resource, "spec", "template", "metadata"), mapping(
            resource, "spec", "template", "spec"
        )
    if kind == "CronJob":
        job = mapping(resource, "spec", "jobTemplate")
        return mapping(job, "spec", "template", "metadata"), mapping(job, "spec", "template", "spec")
    return None


def left(
    violations: Sequence[standards.Violation], exclusions: Sequence[Exclusion]
) -> list[standards.Violation]:
    """Return what is still violated when the exclusions are left out."""
    if not exclusions:
        return list(violations)
    found: list[standards.Violation] = []
    for one in violations:
        fields = tuple(
            field for field in one.fields if not any(exclusion.covers(one, field) for exclusion in exclusions)
        )
        if fields or (not one.fields and not any(_whole(exclusion, one) for exclusion in exclusions)):
            found.append(replace(one, fields=fields))
    return found


def _whole(exclusion: Exclusion, violation: standards.Violation) -> bool:
    return exclusion.control == violation.control and not exclusion.field


def compile_pod_security(document: Any, name: str, path: str) -> Callable[[Sequence[Exclusion]], Check]:
    """Return what makes the Check, given what exceptions leave out beside the rule itself. Raises BadRule."""
    if not isinstance(document, Mapping):
        raise BadRule(path, "podSecurity must be a mapping")
    level, version = str(document.get("level") or ""), str(document.get("version") or "latest")
    try:
        standards.check({}, {}, level, version)
    except ValueError as error:
        raise BadRule(path, f"failed to parse pod security api version: {error}") from None
    exclusions = read_exclusions(document.get("exclude"), f"{path}.exclude")
    passed = Said("pass", f"Validation rule '{name}' passed.")

    def make(more: Sequence[Exclusion]) -> Check:
        everything = (*exclusions, *more)

        def check(context: Context) -> Said:
            pod = context.shared.pod
            if pod is None:
                parts = spec_of(context.subject.present)
                if parts is None:
                    return Said(
                        "error", "Error while getting new resource: Could not find correct resource type"
                    )
                pod = context.shared.pod = standards.pod_of(*parts)
            violations = left(standards.examine(pod, level, version), everything)
            if not violations:
                return passed
            told = "), ".join(
                f"(Forbidden reason: {one.forbidden}, field error list: [{_errors(one)}]"
                for one in violations
            )
            message = (
                f"Validation rule '{name}' failed. It violates PodSecurity \"{level}:{version}\": {told})"
            )
            prefix = _prefix(context.subject.present)
            paths = tuple(
                dict.fromkeys(f"{prefix}.{field.path}" for one in violations for field in one.fields)
            )
            controls = ",".join(one.id for one in violations)
            properties = {"standard": level, "version": version, "controls": controls}
            return Said("fail", message, paths, f"what the Pod Security Standard {level} allows", properties)

        return check

    return make


def _prefix(resource: Resource) -> str:
    kind = resource.get("kind")
    if kind == "CronJob":
        return ".spec.jobTemplate.spec.template"
    return ".spec.template" if kind in _TEMPLATED else ""


def _errors(violation: standards.Violation) -> str:
    if not violation.fields:
        return violation.detail
    return ", ".join(
        f"{field.path}: Required value"
        if field.value is None
        else f"{field.path} is forbidden, don't set the BadValue: {sprint(field.value)}"
        for field in violation.fields
    )
