"""Kubewarden: AdmissionPolicy, ClusterAdmissionPolicy and their groups, whose rules are WebAssembly modules.

Reads the documents, and says what a module is to be asked and what its answer means, in each of the ways that modules speak (waPC,
WASI, OPA, Gatekeeper). Runs no module: that is a worker's, asked for by a Need. Settings are validated before the first request.
Source: docs.kubewarden.io, policies.kubewarden.io/v1 and the policy specification.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeAlias

from fairlead.judge.constraints import Constraints, read_selector, resource_rule
from fairlead.judge.expressions import Expressions, Unmet, compile_expressions
from fairlead.judge.expressions_requests import request_of
from fairlead.judge.guests import guest_need
from fairlead.judge.policies import Action, Assembled, Judged, Outcome, Policy, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.tongues import cel, jsonpatch
from fairlead.words import Finding, Need, Page, Ref, Resource

GROUP = "policies.kubewarden.io"
RANK = 40
_CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(\s*\)")

Mode: TypeAlias = Literal["kubewarden-wapc", "wasi", "opa", "gatekeeper"]
"""How a module speaks: what its metadata calls executionMode."""


@dataclass(frozen=True, slots=True)
class Member:
    """One module with its settings."""

    name: str
    module: str
    settings: Mapping[str, Any]
    reads: frozenset[tuple[str, str]]
    seconds: float

    def needs(self, about: Ref, subject: Subject) -> tuple[Need, Need]:
        """Return what is to be asked: whether the settings are valid, and what the module says of the request."""
        request = request_of(subject, whole=True)
        return (
            guest_need(
                about, "wasm", self.module, "validate_settings", dict(self.settings), seconds=self.seconds
            ),
            guest_need(
                about,
                "wasm",
                self.module,
                "validate",
                {"request": request, "settings": dict(self.settings)},
                seconds=self.seconds,
                reads=self.reads,
            ),
        )

    def judge(self, about: Ref, subject: Subject, around: Surroundings) -> Mapping[str, Any]:
        """Return the module's response: `accepted`, `message`, `code`, `mutated_object`, `warnings`, `audit_annotations`."""
        needs = self.needs(about, subject)
        lacking = [need for need in needs if need not in around.answers]
        if lacking:
            raise Lacking(*lacking)
        settings, response = (around.ask(need) for need in needs)
        if not settings.get("valid"):
            raise ValueError(
                f"the settings are not valid: {settings.get('message') or 'the module does not say why'}"
            )
        if not isinstance(response, Mapping) or "accepted" not in response:
            raise ValueError("the module's answer is no validation response")
        return response


@dataclass(frozen=True, slots=True)
class _Model:
    """A document as read: what it is about and which modules judge it."""

    source: Source
    space: str
    constraints: Constraints
    conditions: Expressions
    members: tuple[Member, ...]
    mutating: bool
    monitor: bool
    open: bool
    background: bool
    timeout: float
    message: str = ""
    formula: cel.Program | None = None

    @property
    def webhook(self) -> str:
        """The name by which Kubewarden registers the policy."""
        ref = self.source.ref
        group = "group-" if self.formula is not None else ""
        scope = (
            f"namespaced-{group}{ref.namespace}" if self.space else f"clusterwide-{group}".removesuffix("-")
        )
        return f"{scope}-{ref.name}.kubewarden.admission"


def policy(source: Source) -> tuple[list[_Model], list[Finding]]:
    """Read an AdmissionPolicy or ClusterAdmissionPolicy."""
    return _read(source, _single)


def group(source: Source) -> tuple[list[_Model], list[Finding]]:
    """Read an AdmissionPolicyGroup or ClusterAdmissionPolicyGroup."""
    return _read(source, _several)


_Members: TypeAlias = Callable[[Page, Source, list[Finding]], tuple[tuple[Member, ...], cel.Program | None]]


def _read(source: Source, members_of: _Members) -> tuple[list[_Model], list[Finding]]:
    page = source.page()
    page.take("metadata")
    spec = page.page("spec")
    findings: list[Finding] = []
    spec.take("policyServer")  # which server runs it: here there is one
    spec.take("sideEffects")
    conditions, said = compile_expressions(source, conditions=spec.pages("matchConditions"))
    findings += said
    members, formula = members_of(spec, source, findings)
    constraints = Constraints(
        tuple(resource_rule(one) for one in spec.pages("rules")),
        (),
        read_selector(spec, "namespaceSelector", source, findings),
        read_selector(spec, "objectSelector", source, findings),
        spec.take("matchPolicy", "Equivalent") == "Exact",
    )
    if not constraints.rules:
        findings.append(broken(source, ".spec.rules", ".spec.rules: a policy without rules is never asked"))
        return [], findings
    cluster = source.ref.kind.startswith("Cluster")
    model = _Model(
        source=source,
        space="" if cluster else source.ref.namespace or "default",
        constraints=constraints,
        conditions=conditions,
        members=members,
        mutating=bool(spec.take("mutating", False)),
        monitor=spec.take("mode", "protect") == "monitor",
        open=spec.take("failurePolicy", "Fail") == "Ignore",
        background=bool(spec.take("backgroundAudit", True)),
        timeout=float(spec.take("timeoutSeconds", 10)),
        message=str(spec.take("message", "")),
        formula=formula,
    )
    findings += unsupported(page, source)
    return ([model] if members else []), findings


def _member(name: str, page: Page, source: Source, findings: list[Finding]) -> Member | None:
    module = page.take("module")
    settings = page.take("settings", {})
    if not isinstance(module, str) or not module:
        findings.append(
            broken(source, f"{page.where.path}.module", f"{page.where.path}.module: no module is named")
        )
        return None
    if not isinstance(settings, Mapping):
        findings.append(
            broken(source, f"{page.where.path}.settings", f"{page.where.path}.settings: must be a mapping")
        )
        return None
    reads = [
        (str(one.take("apiVersion", "")), str(one.take("kind", "")))
        for one in page.pages("contextAwareResources")
    ]
    seconds = float(page.take("timeoutEvalSeconds", 2))
    return Member(name, module, settings, frozenset(reads), seconds)


def _single(
    spec: Page, source: Source, findings: list[Finding]
) -> tuple[tuple[Member, ...], cel.Program | None]:
    member = _member(source.ref.name, spec, source, findings)
    return ((member,) if member else ()), None


def _several(
    spec: Page, source: Source, findings: list[Finding]
) -> tuple[tuple[Member, ...], cel.Program | None]:
    listed = spec.page("policies")
    found = [_member(name, listed.page(name), source, findings) for name in listed.keys()]  # noqa: SIM118  a cursor, no mapping
    members = tuple(one for one in found if one is not None)
    names = {one.name for one in members}
    text = str(spec.take("expression", ""))
    unknown = [name for name in _CALL.findall(text) if name not in names]
    if unknown:
        findings.append(
            broken(source, ".spec.expression", f".spec.expression: there is no policy {unknown[0]}")
        )
        return (), None
    try:
        formula = cel.Environment(variables=tuple(names)).compile(_CALL.sub(r"\1", text))
    except cel.BadExpression as error:
        findings.append(broken(source, ".spec.expression", f".spec.expression: {error}"))
        return (), None
    return members, formula


READS: Mapping[tuple[str, str], Callable[[Source], tuple[list[_Model], list[Finding]]]] = {
    (GROUP, "AdmissionPolicy"): policy,
    (GROUP, "ClusterAdmissionPolicy"): policy,
    (GROUP, "AdmissionPolicyGroup"): group,
    (GROUP, "ClusterAdmissionPolicyGroup"): group,
}


def assemble(models: Sequence[_Model]) -> Assembled:
    """Make engine policies of the documents."""
    wanted = {
        (api_version.rpartition("/")[0], kind)
        for model in models
        for member in model.members
        for api_version, kind in member.reads
    }
    return Assembled(tuple(_policy(model) for model in models), wanted=frozenset(wanted))


def _policy(model: _Model) -> Policy:
    ref = model.source.ref
    rule = Rule(
        name="",
        phase="mutate" if model.mutating else "validate",
        concerns=model.constraints.concerns,
        run=lambda subject, around: _judge(model, subject, around),
    )
    return Policy(
        source=ref,
        name=f"{ref.namespace}/{ref.name}" if model.space else ref.name,
        dialect="kubewarden",
        rules=(rule,),
        where=model.source.locate(""),
        rank=RANK,
        open=model.open,
        background=model.background,
        refusal=lambda _, denying: _refusal(model.webhook, denying),
        timeout=model.timeout,
    )


def _judge(model: _Model, subject: Subject, around: Surroundings) -> Outcome | None:
    if model.space and subject.namespace != model.space:
        return None
    seen = model.constraints.match(subject, around)
    if seen is None:
        return None
    actions: frozenset[Action] = frozenset({"audit"} if model.monitor else {"deny"})
    try:
        if model.conditions.conditions and not model.conditions.matches(
            model.conditions.bindings(seen, around)
        ):
            return None
        if model.formula is not None:
            return _together(model, model.formula, seen, around, actions)
        said = model.members[0].judge(model.source.ref, seen, around)
    except (ValueError, Unmet, cel.Failed) as error:
        return Outcome(result="error", message=str(error), actions=actions)
    return _outcome(model, said, seen, actions)


def _outcome(model: _Model, said: Mapping[str, Any], subject: Subject, actions: frozenset[Action]) -> Outcome:
    warnings = tuple(str(one) for one in said.get("warnings") or ())
    audit = {
        f"{model.source.ref.name}/{key}": str(value)
        for key, value in (said.get("audit_annotations") or {}).items()
    }
    if not said["accepted"]:
        message, code = str(said.get("message") or ""), said.get("code")
        return Outcome(result="fail", message=message, code=code if isinstance(code, int) else 0, actions=actions,
                       warnings=warnings, audit=audit)  # fmt: skip
    mutated = said.get("mutated_object")
    if not model.mutating and mutated is not None and mutated != subject.object:
        message = "the policy changed the request although it is not set to be mutating"
        return Outcome(result="fail", message=message, actions=actions, warnings=warnings, audit=audit)
    changed: Resource | None = mutated if isinstance(mutated, dict) and not model.monitor else None
    return Outcome(result="pass", object=changed, warnings=warnings, audit=audit, actions=actions)


def _together(
    model: _Model, formula: cel.Program, subject: Subject, around: Surroundings, actions: frozenset[Action]
) -> Outcome:
    """Judge a group: each member is asked only if the expression needs it."""
    refused: dict[str, str] = {}

    def ask(member: Member) -> bool:
        said = member.judge(model.source.ref, subject, around)
        if not said["accepted"]:
            refused[member.name] = str(said.get("message") or "")
        elif said.get("mutated_object", subject.object) not in (None, subject.object):
            raise ValueError(f"{member.name}: mutation is not allowed inside of policy groups")
        return bool(said["accepted"])

    bindings = {member.name: cel.Lazy(partial(ask, member)) for member in model.members}
    if formula(bindings) is True:
        return Outcome(result="pass", actions=actions)
    causes = {f"spec.policies.{name}": text for name, text in refused.items()}
    return Outcome(result="fail", message=model.message, actions=actions, properties=causes)


def _refusal(webhook: str, denying: Sequence[Judged]) -> str:
    texts = [one.outcome.message for one in denying]
    return f'admission webhook "{webhook}" denied the request: {"; ".join(texts)}'


def asked(mode: Mode, operation: str, payload: Any) -> tuple[str, Any]:
    """Return the call that a module of this mode understands for `validate` or `validate_settings`: its name, and the payload.

    For OPA and Gatekeeper the payload is {"input":..., "data":...}; those modules have no settings to validate ("").
    """
    if mode in {"kubewarden-wapc", "wasi"}:
        return (operation if mode == "kubewarden-wapc" else operation.replace("_", "-")), payload
    if operation != "validate":
        return "", None
    if mode == "opa":
        return "evaluate", {"input": {"request": payload["request"]}, "data": payload["settings"]}
    return "evaluate", {
        "input": {"parameters": payload["settings"], "review": payload["request"]},
        "data": {},
    }


def answered(mode: Mode, operation: str, payload: Any, answer: Any) -> Any:
    """Return a module's answer as a settings or validation response. Raises ValueError for what is none."""
    if mode in {"kubewarden-wapc", "wasi"}:
        if (
            mode == "kubewarden-wapc"
            and operation == "validate"
            and isinstance(answer, dict)
            and "accepted" not in answer
        ):
            raise ValueError("the module's answer is no validation response")
        return answer
    if operation != "validate":
        return {"valid": True}
    result = (
        answer[0].get("result")
        if isinstance(answer, list) and answer and isinstance(answer[0], dict)
        else answer
    )
    if mode == "gatekeeper":
        if not isinstance(result, list):
            raise ValueError("the module's answer is no list of violations")
        messages = [str(one.get("msg", "")) for one in result if isinstance(one, dict)]
        return {"accepted": not result, "message": ", ".join(messages)}
    response = result.get("response") if isinstance(result, dict) else None
    if not isinstance(response, dict) or "allowed" not in response:
        raise ValueError("the module's answer is no AdmissionReview")
    said: dict[str, Any] = {"accepted": bool(response["allowed"])}
    status = response.get("status") or {}
    said |= {key: status[key] for key in ("message", "code") if key in status}
    patch = response.get("patch")
    if patch:
        said["mutated_object"] = _patched(payload["request"]["object"], patch)
    return said


def _patched(resource: Resource, patch: Any) -> Resource:
    import base64
    import json

    operations = json.loads(base64.b64decode(patch)) if isinstance(patch, str) else patch
    changed: Resource = jsonpatch.apply(resource, operations)
    return changed


def status(
    document: Resource, _judged: Sequence[Any], findings: Sequence[Finding], now: datetime
) -> Resource:
    """Return the status of a policy: whether it is active, and what is wrong with the document. Times that still hold are kept."""
    state = "False" if any(one.rule == "policy.broken" for one in findings) else "True"
    conditions = (document.get("status") or {}).get("conditions") or ()
    was: Mapping[str, Any] = next((one for one in conditions if one.get("type") == "PolicyActive"), {})
    kept = was.get("lastTransitionTime") if was.get("status") == state else None
    condition = {
        "type": "PolicyActive",
        "status": state,
        "reason": "PolicyInvalid" if state == "False" else "PolicyActive",
        "message": "; ".join(dict.fromkeys(one.message for one in findings)),
        "lastTransitionTime": kept or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {"policyStatus": "active" if state == "True" else "pending", "conditions": [condition]}


WRITES: Mapping[tuple[str, str], Callable[..., Any]] = {
    (GROUP, kind): status
    for kind in (
        "AdmissionPolicy",
        "AdmissionPolicyGroup",
        "ClusterAdmissionPolicy",
        "ClusterAdmissionPolicyGroup",
    )
}
"""What writes the status of each kind. Outcomes are written as PolicyReports, as every dialect's are."""
