"""OPA's own compliance cases: query + modules + data + input -> bindings or an error, through fairlead's Rego.

The compiled plans in the cases are not used. A case is known by its file's path and its note.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conformance import Rates
from fairlead.tongues import rego
from fairlead.tongues.rego.values import in_order, order, show

NOW = 1_790_000_000_000_000_000
STEPS = 20_000_000


def cases(corpus: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each case with its name."""
    root = corpus / "opa"
    for path in sorted(root.rglob("*.json")):
        for place, case in enumerate(json.loads(path.read_text())["cases"]):
            yield f"{path.relative_to(root)}#{place} {case['note']}", case


def judge(case: dict[str, Any]) -> str:
    """Return "" when a case holds, else what was got and what was wanted."""
    wanted = case.get("want_error") or case.get("want_error_code")
    try:
        got = _answer(case)
    except (rego.BadModule, rego.Failed) as error:
        if "want_error" not in case and "want_error_code" not in case:
            return f"failed: {error}"
        if (
            case.get("want_error", "") not in str(error)
            or case.get("want_error_code", error.code) != error.code
        ):
            return f"failed with {error} ({error.code}), wanted {case.get('want_error')} ({case.get('want_error_code')})"
        return ""
    if wanted is not None:
        return f"got {got}, wanted the error {wanted}"
    expected = case["want_result"]
    if case.get("sort_bindings"):
        for bindings in expected:
            for name, value in bindings.items():
                if isinstance(value, list):
                    bindings[name] = in_order(value)
            # The suite sorts what it compares: arrays that were sets have no order of their own.
        for bindings in got:
            for name, value in bindings.items():
                if isinstance(value, list):
                    bindings[name] = in_order(value)
    got, expected = sorted(got, key=order), sorted(expected, key=order)
    return "" if show(got) == show(expected) else f"got {show(got)}, wanted {show(expected)}"


def _answer(case: dict[str, Any]) -> list[dict[str, Any]]:
    modules = {f"test-{place}.rego": text for place, text in enumerate(case.get("modules") or ())}
    program = rego.compile(modules)
    given: Any = case.get("input", rego.UNDEFINED)
    if "input_term" in case:
        given = rego.read_value(case["input_term"])
    found = program.prepare(case["query"])(
        given,
        case.get("data") or {},
        now_ns=NOW,
        strict=bool(case.get("strict_error")),
        budget=STEPS,
    )
    return [{name: rego.to_json(value) for name, value in bindings.items()} for bindings in found]


def run(corpus: Path) -> Rates:
    """Return how many cases hold."""
    rates = Rates("opa")
    for name, case in cases(corpus):
        said = judge(case)
        if said:
            rates.missed[name] = said
        else:
            rates.passed += 1
    return rates
