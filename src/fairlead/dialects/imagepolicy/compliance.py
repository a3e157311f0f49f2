"""What an attestation, or all that was verified, has to comply with: Rego, judged here, or CUE, asked for.

Rego is asked for `data.sigstore.isCompliant`: true, or objects with `result`, `error` and `warning`. CUE is evaluated by whoever answers the
Need `cue.vet`, where CUE is installed. What cannot be judged does not comply. Source: sigstore/policy-controller pkg/webhook/policy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.tongues import rego
from fairlead.words import Need, Ref

BUDGET: Final = 10_000_000
"""Steps that a policy may take."""
_QUERY: Final = "isCompliant = data.sigstore.isCompliant"

Judge: TypeAlias = Callable[[Any, Surroundings], str]
"""(document, around) -> "" for what complies, else why it does not. Raises Lacking."""


@dataclass(frozen=True, slots=True)
class Compliance:
    """A policy that was compiled. `fault`: it cannot be used, and nothing complies."""

    judge: Judge
    fault: str = ""


def compile_policy(kind: str, text: str) -> Compliance:
    """Return the policy of a `type` and `data`."""
    if kind not in {"rego", "cue"}:
        return _unusable(f"type {kind!r} is unsupported; cue and rego are")
    if not text.strip():
        return _unusable("data: missing")
    return _rego(text) if kind == "rego" else _cue(text)


def _unusable(why: str) -> Compliance:
    return Compliance(lambda _, __: f"the policy cannot be judged: {why}", why)


def _rego(text: str) -> Compliance:
    try:
        program = rego.compile({"sigstore.rego": text}, version="v0")
    except rego.BadModule as error:
        return _unusable(f"data: {error}")

    def judge(document: Any, around: Surroundings) -> str:
        now = int(around.now.timestamp() * 1_000_000_000)
        try:
            found = program.query(
                "data.sigstore.isCompliant", document, {}, budget=BUDGET, now_ns=now, seed=around.seed
            )
            said = None if found is rego.UNDEFINED else rego.to_json(found)
        except (rego.Failed, rego.TooCostly, RecursionError) as error:
            return f"policy is not compliant for query '{_QUERY}': {str(error) or 'nested too deeply'}"
        if said is True:
            return ""
        return _said(said) if isinstance(said, list) else f"policy is not compliant for query '{_QUERY}'"

    return Compliance(judge)


def _said(found: list[Any]) -> str:
    said = f"policy is not compliant for query '{_QUERY}'"
    for one in found:
        if not isinstance(one, Mapping):
            return f"{said}: unexpected result type"
        if one.get("result") is True:
            return f"warning: {one['warning']}" if one.get("warning") else ""
        said = f"policy is not compliant for query '{_QUERY}' with errors: {one.get('error', '')}"
    return said


def _cue(text: str) -> Compliance:
    def judge(document: Any, around: Surroundings) -> str:
        given = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        need = Need("cue.vet", Ref("", "", "", "policy.cue"), (("policy", text), ("document", given)))
        try:
            said = around.ask(need)
        except Lacking:
            raise
        except Exception as error:  # noqa: BLE001  whatever the one who was asked gave as the reason
            return f"the policy cannot be judged: {error}"
        return str(said.get("error", "")) if isinstance(said, Mapping) else "the policy cannot be judged"

    return Compliance(judge)
