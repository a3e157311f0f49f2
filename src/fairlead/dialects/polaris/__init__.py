"""The Polaris dialect: its configuration file in, policies out: which of its checks matter how much, checks of one's own, and exemptions.

Polaris's own checks are the judge's practices. A configuration has neither apiVersion nor kind: `is_configuration` tells it. Never raises over
a document's content; what is not understood becomes a finding with its path. Source: polaris.docs.fairwinds.com/customization.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from fairlead.dialects.polaris.checks import CONTAINER, POD_SPEC, Check, Maker, judged, maker_of
from fairlead.dialects.polaris.schemas import BadSchema
from fairlead.dialects.polaris.templates import BadTemplate
from fairlead.judge.policies import Action, Assembled, Outcome, Policy, Rule, Run
from fairlead.judge.practices import BY_POLARIS, Practice, Weight, spared_from
from fairlead.judge.practices import policies as compiled
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.tongues.paths import Path
from fairlead.words import Finding, Page, Severity

SEVERITIES: Final = ("danger", "warning", "ignore")
_KINDS: Final = {
    "clusterrolePodExecAttach": "ClusterRole",
    "clusterrolebindingClusterAdmin": "ClusterRoleBinding",
    "rolePodExecAttach": "Role",
    "rolebindingClusterAdminClusterRole": "RoleBinding",
}
"""Checks of Polaris's that are one practice here, each about one of its kinds."""
_WORDS: Final = {"danger": "high", "warning": "medium"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """What spares objects: those of a namespace ("": any) whose names begin so (none: any), from some checks (none: all)."""

    namespace: str = ""
    names: tuple[str, ...] = ()
    rules: frozenset[str] = frozenset()

    def spares(self, subject: Subject, check: str) -> bool:
        """Whether it spares a subject from a check."""
        return (
            (not self.rules or check in self.rules)
            and self.namespace in {"", subject.namespace}
            and (not self.names or subject.name.startswith(self.names))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A configuration that was read: severities by check, checks of one's own, exemptions, and whether annotations spare too."""

    source: Source
    severities: Mapping[str, str]
    own: Mapping[str, Check]
    exemptions: tuple[Exemption, ...] = ()
    annotations: bool = True


def is_configuration(content: Any) -> bool:
    """Whether a document is Polaris's configuration: no Kubernetes object, and with checks."""
    return (
        isinstance(content, dict)
        and "kind" not in content
        and (isinstance(content.get("checks"), dict) or isinstance(content.get("customChecks"), dict))
    )


def configuration(source: Source) -> tuple[list[Configuration], list[Finding]]:
    """Read a configuration."""
    page = Page(source.content)
    findings: list[Finding] = []
    severities: dict[str, str] = {}
    listed = page.page("checks")
    names = listed.keys()
    for name in names:
        said = listed.take(name)
        if said in SEVERITIES:
            severities[name] = said
        else:
            findings.append(broken(source, f".checks.{name}", f"{said!r} is none of {', '.join(SEVERITIES)}"))
    own: dict[str, Check] = {}
    custom = page.page("customChecks")
    names = custom.keys()
    for name in names:
        made, more = check_of(name, custom.page(name), source, f".customChecks.{name}")
        findings += more
        if made is not None:
            own[name] = made
    exemptions = [_exemption(one) for one in page.pages("exemptions")]
    closed, by_file, by_note = (
        page.take(key) is True
        for key in ("disallowExemptions", "disallowConfigExemptions", "disallowAnnotationExemptions")
    )
    page.take("mutations")  # which checks mend; here `--fix` says so
    findings += unsupported(page, source)
    read = Configuration(
        source=source,
        severities=severities,
        own=own,
        exemptions=() if closed or by_file else tuple(exemptions),
        annotations=not (closed or by_note),
    )
    return [read], findings


def _exemption(page: Page) -> Exemption:
    return Exemption(
        namespace=str(page.take("namespace", "")),
        names=tuple(page.texts("controllerNames")),
        rules=frozenset(page.texts("rules")),
    )


def check_of(name: str, page: Page, source: Source, at: str) -> tuple[Check | None, list[Finding]]:
    """Read a check of one's own; None where it cannot be used, and a finding says why."""
    page.take("id")
    page.take("successMessage")
    failure = str(
        page.take("failureMessage", "") or page.take("FailureMessage", "") or f"the check {name} fails"
    )
    target = str(page.take("target", ""))
    if not target:
        return None, [broken(source, at, "says no target")]
    within = page.take("schemaTarget", "")
    if within and (target, within) != (CONTAINER, POD_SPEC):
        return None, [
            broken(source, f"{at}.schemaTarget", f"{within} is not supported for the target {target}")
        ]
    workloads, containers = page.page("controllers"), page.page("containers")
    lists = {"initContainer", "container"}
    looked = (set(containers.texts("include")) or lists) - set(containers.texts("exclude"))
    remedies, findings = _remedies(page, source, at)
    try:
        made = Check(
            id=name,
            target=target,
            schema=_schema(page.take("schemaString"), page.take("jsonSchema"), page.take("schema")),
            beside=_beside(page.take("additionalSchemas"), page.take("additionalSchemaStrings")),
            failure=failure,
            category=str(page.take("category", "")),
            of_pod=bool(within),
            only=frozenset(workloads.texts("include")),
            without=frozenset(workloads.texts("exclude")),
            init="initContainer" in looked,
            ordinary="container" in looked,
            remedies=remedies,
        )
    except (BadSchema, BadTemplate) as error:
        return None, [broken(source, at, str(error))]
    return made, findings


def _schema(*written: Any) -> Maker:
    return maker_of(next((one for one in written if one is not None), True))


def _beside(*written: Any) -> dict[str, Maker]:
    found: dict[str, Maker] = {}
    for one in written:
        if isinstance(one, dict):
            found |= {str(kind): maker_of(schema) for kind, schema in one.items()}
    return found


def _remedies(page: Page, source: Source, at: str) -> tuple[tuple[tuple[Path, Any], ...], list[Finding]]:
    """Read mutations: values to put. What takes away, or is for every item of a list, is not supported."""
    remedies: list[tuple[Path, Any]] = []
    findings: list[Finding] = []
    for index, one in enumerate(page.pages("mutations")):
        verb, path = one.take("op"), str(one.take("path", ""))
        value = one.take("value")
        one.take("comment")
        steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:])
        if (
            verb in ("add", "replace")
            and steps
            and not any(step in {"*", "-"} or step.isdigit() for step in steps)
        ):
            remedies.append((steps, value))
        else:
            place = f"{at}.mutations[{index}]"
            findings.append(
                Finding(
                    rule="policy.unsupported",
                    severity=Severity.WARNING,
                    subject=source.ref,
                    message=f"{place} is not supported: what the check finds is told, and left to a person to mend",
                    where=source.locate(place),
                )
            )
    return tuple(remedies), findings


def assemble(models: Sequence[Configuration], elsewhere: Collection[str] = ()) -> Assembled:
    """Return the policies of configurations: one for each check that is not ignored.

    `elsewhere` are Polaris's checks that others than the judge tell of (those of several objects): they are no policies, and known.
    """
    policies: list[Policy] = []
    findings: list[Finding] = []
    wanted: set[tuple[str, str]] = set()
    for model in models:
        for name, severity in model.severities.items():
            if severity == "ignore":
                continue
            if name in model.own:
                policies.append(_own_policy(model, model.own[name], severity))
                wanted |= {
                    (kind.rpartition("/")[0], kind.rpartition("/")[2]) for kind in model.own[name].beside
                }
            elif name in BY_POLARIS:
                policies += [_built_in(model, name, one, severity) for one in BY_POLARIS[name]]
                wanted |= {("", "ServiceAccount"), ("autoscaling", "HorizontalPodAutoscaler")}
            elif name not in elsewhere:
                findings.append(broken(model.source, f".checks.{name}", f"no check is called {name}"))
        findings += [
            broken(
                model.source, f".customChecks.{name}", "has no severity under `checks`, so it is not judged"
            )
            for name in model.own
            if name not in model.severities
        ]
    return Assembled(tuple(policies), tuple(findings), frozenset(wanted))


def _built_in(model: Configuration, name: str, practice: Practice, severity: str) -> Policy:
    weight: Weight = "danger" if severity == "danger" else "warning"
    only = _KINDS.get(name)
    kinds = tuple(pair for pair in practice.kinds if only in {None, pair[1]})
    (policy,) = compiled((replace(practice, weight=weight, kinds=kinds),))
    (rule,) = policy.rules
    run = _exempting(model, name, rule.run)
    return replace(
        policy, name=name, source=model.source.ref, dialect="polaris", rules=(replace(rule, run=run),)
    )


def _own_policy(model: Configuration, check: Check, severity: str) -> Policy:
    deny = severity == "danger"
    actions: frozenset[Action] = frozenset({"deny"} if deny else {"warn"})

    def run(subject: Subject, around: Surroundings) -> Outcome | None:
        found = judged(check, subject, around)
        if found is None or found.result != "fail":
            return found
        return replace(found, actions=actions)

    return Policy(
        source=model.source.ref,
        name=check.id,
        dialect="polaris",
        where=model.source.locate(f".customChecks.{check.id}"),
        rules=(
            Rule(
                name="",
                phase="validate",
                concerns=partial(_concerns, check),
                run=_exempting(model, check.id, run),
            ),
        ),
        title=check.failure,
        category=check.category,
        severity=_WORDS[severity],
        scored=deny,
        open=True,
    )


def _concerns(check: Check, target: Target) -> bool:
    return not target.subresource and check.concerns(target.group, target.kind)


def _exempting(model: Configuration, name: str, run: Run) -> Run:
    """Return the function that says of what is exempt that it is."""

    def exempting(subject: Subject, around: Surroundings) -> Any:
        said = run(subject, around)
        if not isinstance(said, Outcome) or said.result != "fail":
            return said
        if any(one.spares(subject, name) for one in model.exemptions):
            return Outcome(result="skip", message="exempt by the configuration", actions=frozenset())
        if model.annotations and spared_from(subject.present, name, (name,)):
            return Outcome(result="skip", message="exempt by an annotation", actions=frozenset())
        return said

    return exempting


READS: Mapping[tuple[str, str], Callable[[Source], tuple[list[Configuration], list[Finding]]]] = {}
"""Nothing is found by its kind: a configuration has none."""
WRITES: Mapping[Any, Any] = {}

__all__ = [
    "READS",
    "SEVERITIES",
    "WRITES",
    "Configuration",
    "Exemption",
    "assemble",
    "check_of",
    "configuration",
    "is_configuration",
]
