"""jsPolicy: JsPolicy and JsPolicyBundle, whose rules are JavaScript.

Reads the documents, holds what the language offers to a policy (allow, deny, warn, mutate, get, list, create ...), and says what the
program's answer means. Runs no program: that is a worker's, asked for by a Need. What a program creates, updates or
removes comes back as Changes, for the reactor to carry out.
Source: jspolicy.com's documentation, policy.jspolicy.com/v1beta1.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fairlead.judge.constraints import Constraints, ResourceRule, read_selector
from fairlead.judge.expressions_requests import request_of
from fairlead.judge.guests import guest_need
from fairlead.judge.policies import Action, Assembled, Judged, Outcome, Policy, Rule
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Surroundings
from fairlead.words import Change, Finding, Page, Ref, Resource

GROUP = "policy.jspolicy.com"
RANK = 50
_LARGEST = 16 * 1024 * 1024
"""Bytes that a bundle may have once it is unpacked."""
_ACTIONS: Mapping[str, frozenset[Action]] = {
    "deny": frozenset({"deny"}),
    "warn": frozenset({"warn"}),
    "dry": frozenset({"audit"}),
}
_LOGGED = 10
_VERBS: Mapping[str, Literal["create", "update", "delete"]] = {
    "create": "create",
    "update": "update",
    "remove": "delete",
}

PRELUDE = """\
var exports = {}, __response = {}, __ended = false;
var __ask = (name, ...given) => {
  const said = JSON.parse(__host(name, JSON.stringify(given)));
  if (said.error) throw {reason: said.error.reason, message: said.error.message,
    toString() { return this.reason + ": " + this.message; }};
  return said.value;
};
var __end = (fields) => {
  if (!__ended) { Object.assign(__response, fields); __ended = true; }
  throw __Ended;
};
var __Ended = {toString: () => "the policy has ended"};
var exit = () => __end({}), allow = exit;
var deny = (message, reason, code) => __end({deny: true, message, reason, code});
var mutate = (object) => __end({patched: object});
var requeue = (message) => __end({reschedule: true, message});
var warn = (message) => { if (!__ended) (__response.warnings ||= []).push(String(message)); };
var print = (...given) => { __host("print", JSON.stringify(
  given.map((one) => typeof one === "string" ? one : JSON.stringify(one) ?? "undefined"))); };
var console = {log: print, info: print, warn: print, error: print, debug: print};
var get = (kind, apiVersion, name, options) => __ask("get", kind, apiVersion, name, options) ?? undefined;
var list = (kind, apiVersion, options) => __ask("list", kind, apiVersion, options);
var create = (object) => __ask("create", object);
var update = (object) => __ask("update", object);
var remove = (object) => __ask("remove", object);
var atob = (text) => __ask("atob", text), btoa = (text) => __ask("btoa", text);
var env = () => undefined, sleep = () => undefined;
var fetchSync = (url) => __ask("fetch", url);
var readFileSync = (path) => __ask("read", path);
"""
"""What every program finds around it. `__host(name, arguments as JSON)` answers {"value":...} or {"error": {reason, message}}."""


@dataclass(frozen=True, slots=True)
class _Model:
    source: Source
    constraints: Constraints
    kind: str
    actions: frozenset[Action]
    program: str
    open: bool
    again: bool
    timeout: float
    logged: int


@dataclass(frozen=True, slots=True)
class _Bundle:
    name: str
    program: str


def policy(source: Source) -> tuple[list[Any], list[Finding]]:
    """Read a JsPolicy. Its program may come with a JsPolicyBundle of the same name instead."""
    page = source.page()
    page.take("metadata")
    spec = page.page("spec")
    findings: list[Finding] = []
    kind = str(spec.take("type", "Validating"))
    violation = str(spec.take("violationPolicy", "Deny"))
    for key, value, known in (
        ("type", kind, ("Validating", "Mutating", "Controller")),
        ("violationPolicy", violation, ("Deny", "Warn", "Dry")),
    ):
        if value.lower() not in {one.lower() for one in known}:
            findings.append(
                broken(source, f".spec.{key}", f'.spec.{key}: "{value}" is none of {", ".join(known)}')
            )
            return [], findings
    if spec.take("dependencies", {}):
        message = (
            ".spec.dependencies: npm modules are not installed here; bring a JsPolicyBundle that holds them"
        )
        findings.append(broken(source, ".spec.dependencies", message))
    model = _Model(
        source=source,
        constraints=Constraints(
            (_rule(spec),),
            (),
            read_selector(spec, "namespaceSelector", source, findings),
            read_selector(spec, "objectSelector", source, findings),
            spec.take("matchPolicy", "Equivalent") == "Exact",
        ),
        kind=kind.capitalize(),
        actions=_ACTIONS[violation.lower()],
        program=str(spec.take("javascript", "")),
        open=spec.take("failurePolicy", "Fail") == "Ignore",
        again=spec.take("reinvocationPolicy", "Never") == "IfNeeded",
        timeout=float(spec.take("timeoutSeconds", 10)),
        logged=0 if spec.take("auditPolicy", "Log") == "Skip" else int(spec.take("auditLogSize", _LOGGED)),
    )
    spec.take("auditLogSize")
    return [model], findings + unsupported(page, source)


def _rule(spec: Page) -> ResourceRule:
    def texts(key: str) -> list[str]:
        value = spec.take(key, [])
        return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []

    resources = tuple((name, part) for name, _, part in (one.partition("/") for one in texts("resources")))
    return ResourceRule(
        frozenset(texts("apiGroups") or ["*"]),
        frozenset(texts("apiVersions") or ["*"]),
        resources,
        frozenset(texts("operations")),
        frozenset(),
        str(spec.take("scope", "*")),
    )


def bundle(source: Source) -> tuple[list[Any], list[Finding]]:
    """Read a JsPolicyBundle: the program of the policy of the same name, gzipped and in base64."""
    page = source.page()
    page.take("metadata")
    packed = page.page("spec").take("bundle", "")
    try:
        program = _unpacked(packed)
    except (binascii.Error, zlib.error, ValueError, TypeError) as error:
        return [], [broken(source, ".spec.bundle", f".spec.bundle cannot be unpacked: {error}")]
    return [_Bundle(source.ref.name, program)], unsupported(page, source)


def _unpacked(packed: str) -> str:
    unpacking = zlib.decompressobj(wbits=31)
    program = unpacking.decompress(base64.b64decode(packed, validate=True), _LARGEST)
    if unpacking.unconsumed_tail:
        raise ValueError(f"it is larger than {_LARGEST >> 20} MiB")
    return program.decode()


READS: Mapping[tuple[str, str], Callable[[Source], tuple[list[Any], list[Finding]]]] = {
    (GROUP, "JsPolicy"): policy,
    (GROUP, "JsPolicyBundle"): bundle,
    (GROUP, "JsPolicyViolations"): lambda _: ([], []),  # what is written back
}


def assemble(models: Sequence[Any]) -> Assembled:
    """Join policies and their bundles. A bundle is what runs, if there is one."""
    bundles = {one.name: one.program for one in models if isinstance(one, _Bundle)}
    policies, findings = [], []
    for model in models:
        if isinstance(model, _Model):
            program = bundles.get(model.source.ref.name) or model.program
            if program:
                policies.append(_policy(model, program))
            else:
                message = "there is neither .spec.javascript nor a JsPolicyBundle of this name"
                findings.append(broken(model.source, ".spec.javascript", message))
    return Assembled(tuple(policies), tuple(findings))


def _policy(model: _Model, program: str) -> Policy:
    ref = model.source.ref
    controller = model.kind == "Controller"
    rule = Rule(
        name="",
        phase={"Mutating": "mutate", "Validating": "validate", "Controller": "generate"}[model.kind],  # type: ignore[arg-type]  # three of the phases
        concerns=model.constraints.concerns,
        run=lambda subject, around: _judge(model, program, subject, around),
    )
    return Policy(
        source=ref,
        name=ref.name,
        dialect="jspolicy",
        rules=(rule,),
        where=model.source.locate(""),
        rank=RANK,
        again="if-needed" if model.again else "never",
        open=model.open,
        background=not controller,
        refusal=lambda _, denying: _refusal(ref.name, denying),
        timeout=model.timeout,
    )


def _judge(model: _Model, program: str, subject: Subject, around: Surroundings) -> Outcome | None:
    seen = model.constraints.match(subject, around)
    if seen is None:
        return None
    ref = model.source.ref
    request = request_of(seen, whole=True)
    need = guest_need(ref, "javascript", program, ref.name, {"request": request}, seconds=model.timeout)
    answer = around.ask(need)
    said = answer["response"]
    changes = tuple(_change(ref, one) for one in answer.get("changes") or ())
    warnings = tuple(str(one) for one in said.get("warnings") or ())
    if said.get("deny"):
        message, code = str(said.get("message") or ""), said.get("code")
        if "warn" in model.actions:
            warnings = (*warnings, message)
        return Outcome(
            result="fail",
            message=message,
            reason=str(said.get("reason") or ""),
            code=code if isinstance(code, int) and code > 0 else 403,
            actions=frozenset({"audit"}) if model.kind == "Controller" else model.actions,
            warnings=warnings,
            changes=changes,
        )
    if said.get("reschedule"):
        message = str(said.get("message") or "")
        return Outcome(
            result="skip", message=message, warnings=warnings, changes=changes, properties={"requeue": True}
        )
    patched = said.get("patched")
    changed: Resource | None = patched if model.kind == "Mutating" and isinstance(patched, dict) else None
    return Outcome(result="pass", object=changed, warnings=warnings, changes=changes, actions=model.actions)


def _change(policy_: Ref, one: Mapping[str, Any]) -> Change:
    """Return what a program did as a proposal: {"verb": "create"|"update"|"remove", "object": ...}."""
    resource = one["object"]
    verb = _VERBS[one["verb"]]
    meta = resource.get("metadata") or {}
    return Change(
        verb=verb,
        ref=Ref.of(resource),
        api_version=resource.get("apiVersion") or "",
        body=None if verb == "delete" else resource,
        why=f"JsPolicy {policy_.name}",
        if_version=(meta.get("resourceVersion") or "") if verb == "update" else "",
    )


def _refusal(name: str, denying: Sequence[Judged]) -> str:
    texts = "; ".join(one.outcome.message for one in denying)
    return f'admission webhook "{name}" denied the request: {texts}'


def violations(
    name: str, judged: Sequence[tuple[Subject, Judged]], stamp: str, *, size: int = _LOGGED
) -> Resource:
    """Return the JsPolicyViolations of a policy: its newest violations, at most `size`. `stamp` is RFC 3339."""
    entries = [
        {
            "action": _action(one.outcome),
            "code": one.outcome.code,
            "reason": one.outcome.reason or "Forbidden",
            "message": one.outcome.message,
            "requestInfo": {
                "name": subject.name,
                "namespace": subject.namespace,
                "kind": subject.target.kind,
                "apiVersion": subject.present.get("apiVersion", ""),
                "operation": subject.target.operation,
            },
            "userInfo": {"username": subject.user.name, "uid": subject.user.uid},
            "timestamp": stamp,
        }
        for subject, one in judged
        if one.outcome.result == "fail"
    ]
    return {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "JsPolicyViolations",
        "metadata": {"name": name},
        "status": {"violations": entries[-size:]},
    }


def _action(outcome: Outcome) -> str:
    return "Deny" if "deny" in outcome.actions else "Warn" if "warn" in outcome.actions else "Dry"


def status(
    policy_: Resource, _judged: Sequence[Any], findings: Sequence[Finding], _now: datetime
) -> Resource:
    """Return the status of a JsPolicy: whether its program is in force, and what is wrong with the document."""
    generation = (policy_.get("metadata") or {}).get("generation")
    said = {
        "phase": "Failed" if any(one.rule == "policy.broken" for one in findings) else "Synced",
        "reason": "Invalid" if findings else "",
        "message": "; ".join(dict.fromkeys(one.message for one in findings)),
    }
    return {**said, "observedGeneration": generation} if generation is not None else said


WRITES: Mapping[Any, Callable[..., Resource]] = {
    "JsPolicyViolations": violations,
    (GROUP, "JsPolicy"): status,
}
"""What is written back: an object by its kind, a status by the group and kind of its document."""
