"""Pod Security admission: namespaces say by labels which of the Pod Security Standards their pods must meet.

Always on, as in Kubernetes, where it is a part of the API server: `assemble` gives its policy also when there is no document. A
PodSecurityConfiguration sets the defaults and exempts namespaces, users and runtime classes. Must never judge by anything but
the standards. Source: k8s.io/pod-security-admission/admission and api, texts included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from fairlead.judge.policies import NOWHERE, Assembled, Judged, Outcome, Policy, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.standards import LEVELS, BadVersion, Violation, check, minor, reasons, told
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.words import Finding, Page, Ref, Resource

ALWAYS: Final = True
"""This dialect has policies without any document."""

PREFIX: Final = "pod-security.kubernetes.io/"
"""What the labels, and the audit annotations, begin with."""

_MODES = ("enforce", "audit", "warn")
_MOST_PODS = 3000
_TEMPLATES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "ReplicationController"): ("spec", "template"),
    ("", "PodTemplate"): ("template",),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("batch", "Job"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
_IGNORED = frozenset(
    {"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status", "resize"}
)
_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"


class Bar(NamedTuple):
    """A level and the version of its meaning: `restricted:v1.30`."""

    level: str = "privileged"
    version: str = "latest"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


class Bars(NamedTuple):
    """What holds in a namespace, by mode."""

    enforce: Bar = Bar()
    audit: Bar = Bar()
    warn: Bar = Bar()


NO_BARS: Final = Bars()


@dataclass(frozen=True, slots=True)
class Settings:
    """The defaults for namespaces without labels, and who is exempt."""

    defaults: Bars = NO_BARS
    namespaces: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


def _stricter(level: str, than: str) -> bool:
    return LEVELS.index(level) > LEVELS.index(than)


def bars_of(labels: Any, defaults: Bars = NO_BARS) -> tuple[Bars, list[str]]:
    """Return what a namespace's labels ask for, and what is wrong with them.

    A level that nobody knows is taken for `restricted` where it is enforced, and for `privileged` elsewhere.
    """
    if not isinstance(labels, Mapping):
        return defaults, []
    found: dict[str, Bar] = {}
    faults: list[str] = []
    valid: set[str] = set()
    for mode in _MODES:
        level, version = getattr(defaults, mode)
        key = PREFIX + mode
        if key in labels:
            level = str(labels[key])
            if level in LEVELS:
                valid.add(mode)
            else:
                faults.append(_fault(key, level, f"must be one of {', '.join(LEVELS)}"))
                level = "restricted" if mode == "enforce" else "privileged"
        if f"{key}-version" in labels:
            version = str(labels[f"{key}-version"])
            try:
                minor(version)
            except BadVersion as error:
                faults.append(_fault(f"{key}-version", version, str(error)))
                version = "latest"
        found[mode] = Bar(level, version)
    enforce, warn = found["enforce"], found["warn"]
    if "enforce" in valid and f"{PREFIX}warn" not in labels and _stricter(enforce.level, warn.level):
        version = warn.version if f"{PREFIX}warn-version" in labels else enforce.version
        found["warn"] = Bar(enforce.level, version)
    return Bars(**found), faults


def _fault(key: str, value: str, text: str) -> str:
    return f'metadata.labels[{key}]: Invalid value: "{value}": {text}'


def _space(subject: Subject, around: Surroundings) -> Resource:
    found = subject.space
    if found is None and subject.namespace:
        found = around.view.get("", "Namespace", "", subject.namespace)
    return found or {}


def _labels(object_: Resource | None) -> Any:
    return ((object_ or {}).get("metadata") or {}).get("labels")


class _Judge:
    """The three rules, with their settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def exemption(self, subject: Subject) -> Outcome | None:
        if subject.namespace in self.settings.namespaces:
            return _exempt("namespace")
        if subject.user.name and subject.user.name in self.settings.users:
            return _exempt("user")
        return None

    def pods(self, subject: Subject, around: Surroundings) -> Outcome | None:
        """Judge a pod: what is enforced refuses it."""
        object_ = subject.object
        if object_ is None or subject.target.subresource in _IGNORED:
            return None
        bars, faults = bars_of(_labels(_space(subject, around)), self.settings.defaults)
        spared = self.exemption(subject)
        if spared is not None:
            return spared
        if not faults and all(bar.level == "privileged" for bar in bars):
            return None
        if subject.target.operation == "UPDATE" and subject.old and not _significant(object_, subject.old):
            return None
        return self.evaluate(subject, bars, faults, object_.get("metadata"), object_.get("spec"), True)

    def controllers(self, subject: Subject, around: Surroundings) -> Outcome | None:
        """Judge a pod template: nothing is refused, as its pods will be."""
        if subject.object is None or subject.target.subresource:
            return None
        bars, faults = bars_of(_labels(_space(subject, around)), self.settings.defaults)
        spared = self.exemption(subject)
        if spared is not None:
            return spared
        if not faults and bars.warn.level == bars.audit.level == "privileged":
            return None
        template: Any = subject.object
        for step in _TEMPLATES[subject.target.group, subject.target.kind]:
            template = template.get(step) if isinstance(template, Mapping) else None
        if not isinstance(template, Mapping):
            return None
        return self.evaluate(subject, bars, faults, template.get("metadata"), template.get("spec"), False)

    def evaluate(
        self, subject: Subject, bars: Bars, faults: list[str], meta: Any, spec: Any, enforce: bool
    ) -> Outcome | None:
        """Judge a pod or a template by all modes."""
        runtime = spec.get("runtimeClassName") if isinstance(spec, Mapping) else None
        if isinstance(runtime, str) and runtime in self.settings.runtime_classes:
            return _exempt("runtimeClass")
        audit = {f"{PREFIX}error": f"Failed to parse policy: {_all(faults)}"} if faults else {}
        found: dict[Bar, list[Violation]] = {}

        def violations(bar: Bar) -> list[Violation]:
            if bar not in found:
                found[bar] = check(meta, spec, bar.level, bar.version)
            return found[bar]

        denied: list[Violation] = []
        if enforce:
            audit[f"{PREFIX}enforce-policy"] = str(bars.enforce)
            denied = violations(bars.enforce)
        if violations(bars.audit):
            audit[f"{PREFIX}audit-violations"] = _would(bars.audit, violations(bars.audit))
        if denied:
            message = f'violates PodSecurity "{bars.enforce}": {told(denied)}'
            return _failed(subject, message, denied, frozenset({"deny"}), audit=audit)
        warned = violations(bars.warn)
        if warned:
            text = _would(bars.warn, warned)
            return _failed(subject, text, warned, frozenset({"warn"}), (text,), audit)
        if violations(bars.audit):
            text = _would(bars.audit, violations(bars.audit))
            return _failed(subject, text, violations(bars.audit), frozenset({"audit"}), audit=audit)
        return Outcome(result="pass", audit=audit)

    def namespaces(self, subject: Subject, around: Surroundings) -> Outcome | None:
        """Judge a namespace: its labels must be valid, and a stricter level warns of the pods that are there."""
        if subject.object is None or subject.target.subresource:
            return None
        bars, faults = bars_of(_labels(subject.object), self.settings.defaults)
        before = subject.old if subject.target.operation == "UPDATE" else None
        if before is None:
            return _invalid(faults) if faults else None
        old, old_faults = bars_of(_labels(before), self.settings.defaults)
        if faults and faults != old_faults:
            return _invalid(faults)
        new = bars.enforce
        relaxed = new.version == old.enforce.version and not _stricter(new.level, old.enforce.level)
        if new == old.enforce or new.level == "privileged" or relaxed:
            return None
        if subject.name in self.settings.namespaces:
            return _exempt("namespace")
        warnings = tuple(self.existing(subject.name, new, around.view.list("", "Pod", subject.name)))
        return Outcome(result="warn" if warnings else "pass", message="; ".join(warnings), warnings=warnings)

    def existing(self, namespace: str, bar: Bar, pods: Sequence[Resource]) -> Iterator[str]:
        """Yield the warnings about pods that would not be admitted any more."""
        groups: dict[str, list[str]] = {}
        for pod in pods[:_MOST_PODS]:
            spec = pod.get("spec") or {}
            if spec.get("runtimeClassName") in self.settings.runtime_classes:
                continue
            found = check(pod.get("metadata"), spec, bar.level, bar.version)
            if found:
                groups.setdefault(reasons(found), []).append(str((pod.get("metadata") or {}).get("name")))
        if len(pods) > _MOST_PODS:
            yield (
                f"new PodSecurity enforce level only checked against the first {_MOST_PODS} of {len(pods)} "
                "existing pods"
            )
        if groups:
            yield f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{bar}"'
        yield from sorted(f"{_counted(names)}: {text}" for text, names in groups.items())


def _counted(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    others = "1 other pod" if len(names) == 2 else f"{len(names) - 1} other pods"
    return f"{min(names)} (and {others})"


def _would(bar: Bar, violations: Iterable[Violation]) -> str:
    return f'would violate PodSecurity "{bar}": {told(violations)}'


def _all(faults: Sequence[str]) -> str:
    return faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"


def _exempt(why: str) -> Outcome:
    return Outcome(
        result="skip", message=f"exempt by its {why}", audit={f"{PREFIX}exempt": why}, actions=frozenset()
    )


def _invalid(faults: Sequence[str]) -> Outcome:
    return Outcome(result="fail", message=_all(faults), reason="Invalid", code=422)


def _failed(
    subject: Subject,
    message: str,
    violations: Sequence[Violation],
    actions: frozenset[Any],
    warnings: tuple[str, ...] = (),
    audit: Mapping[str, str] | None = None,
) -> Outcome:
    steps = _TEMPLATES.get((subject.target.group, subject.target.kind), ())
    prefix = "".join(f".{step}" for step in steps)
    return Outcome(
        result="fail",
        message=message,
        actions=actions,
        paths=tuple(f"{prefix}.{field.path}" for one in violations for field in one.fields),
        warnings=warnings,
        audit=audit or {},
        properties={"controls": ", ".join(dict.fromkeys(one.control for one in violations))},
        reason="Forbidden",
        code=403,
    )


def _significant(pod: Resource, old: Resource) -> bool:
    """Whether an update changes what the standards look at. Most of a pod cannot be changed at all."""
    notes, old_notes = ((one.get("metadata") or {}).get("annotations") or {} for one in (pod, old))
    if notes.get(_SECCOMP) != old_notes.get(_SECCOMP):
        return True
    spec, old_spec = (one.get("spec") or {} for one in (pod, old))
    for group in ("containers", "initContainers"):
        if len(spec.get(group) or ()) != len(old_spec.get(group) or ()):
            return True
    for group in ("containers", "initContainers", "ephemeralContainers"):
        before = {one.get("name"): one for one in old_spec.get(group) or ()}
        for one in spec.get(group) or ():
            name = one.get("name")
            key = f"{_SECCOMP_CONTAINER}{name}"
            if name not in before or one.get("image") != before[name].get("image"):
                return True
            if notes.get(key) != old_notes.get(key):
                return True
    return False


def refusal(subject: Subject, denying: Sequence[Judged]) -> str:
    """Word the denial as the API server does: `pods "web" is forbidden: violates PodSecurity ...`."""
    meta = subject.present.get("metadata") or {}
    name = meta.get("name") or meta.get("generateName") or subject.name
    texts = "; ".join(one.outcome.message for one in denying)
    if any(one.outcome.code == 422 for one in denying):
        return f'{subject.target.kind} "{name}" is invalid: {texts}'
    plural = subject.target.plural + (f".{subject.target.group}" if subject.target.group else "")
    return f'{plural} "{name}" is forbidden: {texts}' if name else f"{plural} is forbidden: {texts}"


def _asked(target: Target) -> bool:
    return target.operation in {"CREATE", "UPDATE"}


NO_SETTINGS: Final = Settings()


def policy_of(settings: Settings = NO_SETTINGS, source: Source | None = None) -> Policy:
    """Return the policy of Pod Security admission."""
    judge = _Judge(settings)
    name = "pod-security"
    return Policy(
        source=source.ref if source else Ref("pod-security.admission.config.k8s.io", "", "", name),
        name=name,
        dialect="podsecurity",
        where=source.locate("") if source else NOWHERE,
        refusal=refusal,
        title="Pod Security admission",
        category="Pod Security Standards",
        rules=(
            Rule(
                name="pods",
                phase="validate",
                concerns=lambda target: (
                    (target.group, target.kind) == ("", "Pod")
                    and target.subresource not in _IGNORED
                    and _asked(target)
                ),
                run=judge.pods,
            ),
            Rule(
                name="controllers",
                phase="validate",
                concerns=lambda target: (
                    (target.group, target.kind) in _TEMPLATES and not target.subresource and _asked(target)
                ),
                run=judge.controllers,
            ),
            Rule(
                name="namespaces",
                phase="validate",
                concerns=lambda target: (
                    (target.group, target.kind) == ("", "Namespace")
                    and not target.subresource
                    and _asked(target)
                ),
                run=judge.namespaces,
            ),
        ),
    )


@dataclass(frozen=True, slots=True)
class Configuration:
    """A PodSecurityConfiguration that was read."""

    source: Source
    settings: Settings


def _texts(page: Page, key: str) -> frozenset[str]:
    listed = page.take(key, [])
    return (
        frozenset(one for one in listed if isinstance(one, str)) if isinstance(listed, list) else frozenset()
    )


def configuration(source: Source) -> tuple[list[Configuration], list[Finding]]:
    """Read a PodSecurityConfiguration: defaults and exemptions."""
    page = source.page()
    page.take("metadata")
    given = page.page("defaults")
    labels: dict[str, Any] = {}
    for mode in _MODES:
        for key in (mode, f"{mode}-version"):
            value = given.take(key)
            if value is not None:
                labels[PREFIX + key] = value
    bars, faults = bars_of(labels)
    findings = [broken(source, ".defaults", fault) for fault in faults]
    if f"{PREFIX}warn" not in labels:
        bars = bars._replace(warn=Bar("privileged", bars.warn.version))
    spared = page.page("exemptions")
    settings = Settings(
        bars, _texts(spared, "namespaces"), _texts(spared, "usernames"), _texts(spared, "runtimeClasses")
    )
    return [Configuration(source, settings)], findings + unsupported(page, source)


def assemble(models: Sequence[Configuration]) -> Assembled:
    """Return the one policy, by the last configuration if there is any."""
    policy = policy_of(models[-1].settings, models[-1].source) if models else policy_of()
    return Assembled((policy,), wanted=frozenset({("", "Namespace"), ("", "Pod")}))


READS: Mapping[tuple[str, str], Callable[[Source], tuple[list[Configuration], list[Finding]]]] = {
    ("pod-security.admission.config.k8s.io", "PodSecurityConfiguration"): configuration,
}
WRITES: Mapping[Any, Any] = {}
