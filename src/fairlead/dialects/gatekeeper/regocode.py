"""The Rego of a template: read, checked as Gatekeeper does, compiled once, and asked for its violations.

Knows nothing of constraints. Source: github.com/open-policy-agent/frameworks constraint/pkg/client/drivers/rego and
pkg/regorewriter, error texts included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fairlead.dialects.gatekeeper.narrowing import narrow
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.tongues import rego
from fairlead.tongues.rego import syntax
from fairlead.tongues.rego.builtins.kinds import Builtin, BuiltinError, Context, an_object
from fairlead.tongues.rego.syntax import nodes
from fairlead.words import Need, Ref

FORBIDDEN: Final = frozenset({"http.send", "net.lookup_ip_addr", "opa.runtime", "rego.parse_module", "trace"})
"""Built-ins that no template may call: they reach out of the evaluation."""

EXTERNAL: Final = "external_data"
"""Gatekeeper's own built-in: asks a Provider."""

BUDGET: Final = 5_000_000
"""How many steps one evaluation may take."""

_AROUND: Final = object()

_IMPORTS = (("data", "lib"), ("data", "inventory"), ("future", "keywords"), ("rego", "v1"))


class Violation(NamedTuple):
    """What a template says: the message and its details."""

    message: str
    details: Any


class Fault(NamedTuple):
    """Something wrong with a module: which one (-1: the template's own, else the library's index), and where in it."""

    module: int
    line: int
    column: int
    message: str


class Unusable(Exception):
    """A template's Rego cannot be used."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = tuple(faults)


Evaluate = Callable[[Mapping[str, Any], Mapping[str, Any], Surroundings], list[Violation]]
"""(input, data, around) -> violations, sorted by message. Raises rego.Failed, Lacking."""


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    """Compiled Rego. `looks_up` is whether it asks for data.inventory."""

    evaluate: Evaluate
    looks_up: bool


def _data_path(node: Any) -> tuple[str, ...] | None:
    """Return how a reference to data begins: `data.inventory.cluster` is ("inventory", "cluster")."""
    if isinstance(node, syntax.Var) and node.name == "data":
        return ()
    if not (isinstance(node, syntax.Ref) and isinstance(node.head, syntax.Var) and node.head.name == "data"):
        return None
    found = []
    for step in node.path:
        if not (isinstance(step, syntax.Scalar) and isinstance(step.value, str)):
            break
        found.append(step.value)
    return tuple(found)


def _names_a_part(node: Any) -> bool:
    return isinstance(node, syntax.Ref) and isinstance(node.head, syntax.Var) and node.head.name == "data"


def _fault(index: int, at: syntax.At, message: str) -> Fault:
    return Fault(index, at[0], at[1], message)


def _faults(module: syntax.Module, index: int) -> Iterator[Fault]:
    for one in module.imports:
        told = ".".join(one.path)
        if one.path[:1] == ("input",):
            yield _fault(index, one.at, f"cannot import input: {told}")
        elif not any(one.path[: len(allowed)] == allowed for allowed in _IMPORTS):
            yield _fault(index, one.at, f"bad import: {told}")
    heads = {id(node.head) for node in nodes(module.rules) if _names_a_part(node)}
    for node in nodes(module.rules):
        path = _data_path(node)
        if path is not None and id(node) not in heads and path[:1] not in {("inventory",), ("lib",)}:
            told = ".".join(("data", *path))
            yield _fault(index, node.at, f"check refs failed on module: disallowed ref {told}")
        if isinstance(node, syntax.Call):
            if node.name in FORBIDDEN:
                yield Fault(
                    index, *node.at, f"undefined function {node.name}: templates must not reach the network"
                )
            called = tuple(node.name.split("."))
            if called[:1] == ("data",) and called[1:2] not in {("lib",), ("inventory",)}:
                yield _fault(index, node.at, f"check refs failed on module: disallowed ref {node.name}")


def _looks_up(modules: Sequence[syntax.Module]) -> bool:
    for module in modules:
        if any(one.path[:2] == ("data", "inventory") for one in module.imports):
            return True
        for node in nodes(module.rules):
            path = _data_path(node)
            if path is not None and path[:1] in {("inventory",), ()}:
                return True
    return False


def _parsed(text: str, index: int, version: str) -> tuple[syntax.Module | None, list[Fault]]:
    file = "template" if index < 0 else f"libs[{index}]"
    try:
        return rego.parse(text, file=f"{file}.rego", version=version), []
    except rego.BadModule as error:
        return None, [
            Fault(index, one.line, one.column, f"{one.code}: {one.message}") for one in error.errors
        ]


def compile_code(text: str, libs: Sequence[str], version: str = "v0") -> Code:
    """Compile a template's module and libraries. Raises Unusable."""
    faults: list[Fault] = []
    modules: list[syntax.Module] = []
    for index, source in enumerate([text, *libs], start=-1):
        module, found = _parsed(source, index, version)
        faults += found
        if module is not None:
            modules.append(module)
    if faults:
        raise Unusable(faults)
    entry = modules[0]
    names = {rule.ref[0].name for rule in entry.rules if rule.ref and isinstance(rule.ref[0], syntax.Var)}
    if "violation" not in names:
        faults.append(Fault(-1, 1, 1, "invalid rego: missing required rules: [violation]"))
    for index, module in enumerate(modules[1:]):
        if module.package[:1] != ("lib",) or len(module.package) < 2:
            told = ".".join(("data", *module.package))
            faults.append(_fault(index, module.at, f"path {told} not found in lib prefixes"))
    for index, module in enumerate(modules, start=-1):
        faults += _faults(module, index)
    if faults:
        raise Unusable(faults)
    looks_up = _looks_up(modules)
    narrow(entry)
    entry.package = ("template",)
    for rule in entry.rules:
        _repackage(rule)
    return Code(_evaluator(modules, version), looks_up)


def _repackage(rule: syntax.Rule | None) -> None:
    while rule is not None:
        rule.package = ("template",)
        rule = rule.otherwise


def _evaluator(modules: Sequence[syntax.Module], version: str) -> Evaluate:
    files = {module.file: module for module in modules}
    indices = {module.file: index for index, module in enumerate(modules, start=-1)}
    try:
        program = rego.compile(files, version=version, builtins=_BUILTINS)
    except rego.BadModule as error:
        raise Unusable(
            [
                Fault(indices.get(one.file, -1), one.line, one.column, f"{one.code}: {one.message}")
                for one in error.errors
            ]
        ) from None
    query = program.query

    def evaluate(input_: Mapping[str, Any], data: Mapping[str, Any], around: Surroundings) -> list[Violation]:
        context = Context(int(around.now.timestamp() * 1e9), around.seed, {_AROUND: around})
        found = query("data.template.violation", input_, data, budget=BUDGET, context=context)
        return violations(found) if found else []

    return evaluate


def violations(found: Any) -> list[Violation]:
    """Return what the rule `violation` gave as messages and details; what has no message says nothing."""
    said: list[Violation] = []
    for one in found:
        if isinstance(one, dict) and "msg" in one:
            message = one["msg"]
            if not isinstance(message, str):
                raise rego.Failed("eval_type_error", "the message of a violation must be a string")
            said.append(Violation(message, rego.to_json(one["details"]) if "details" in one else {}))
    if len(said) > 1:
        said.sort(key=lambda one: one.message)
    return said


def need_of(provider: str, keys: Sequence[str]) -> Need:
    """Return the question to a Provider; the answer is a mapping from each key to its value, or an Exception."""
    about = Ref("externaldata.gatekeeper.sh", "Provider", "", provider)
    return Need("externaldata", about, tuple(("key", key) for key in keys))


def _external_data(context: Context, request: Any) -> Any:
    """Ask a Provider for the values of keys, as Gatekeeper's built-in does: responses, errors, status_code, system_error."""
    asked = an_object(request, 1)
    provider, keys = asked.get("provider"), asked.get("keys")
    if not isinstance(provider, str) or not isinstance(keys, list):
        raise BuiltinError("external_data needs a provider and keys")
    around: Surroundings = context.memo[_AROUND]
    answer = {"responses": [], "errors": [], "status_code": 200, "system_error": ""}
    try:
        given = around.ask(need_of(provider, [str(key) for key in keys]))
    except Lacking:
        raise
    except Exception as error:  # noqa: BLE001  whatever kept the provider from answering
        return {**answer, "status_code": 500, "system_error": str(error)}
    known = given if isinstance(given, Mapping) else {}
    found = [[key, known[key]] for key in keys if key in known]
    missing = [[key, "the provider gave no value"] for key in keys if key not in known]
    return {**answer, "responses": found, "errors": missing}


_BUILTINS: Final = {
    EXTERNAL: Builtin(EXTERNAL, 1, _external_data, nondeterministic=True),
    "print": Builtin("print", 1, lambda _context, _values: True, void=True),
}
