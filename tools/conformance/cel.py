"""CEL: Google's conformance suite, each expression with its bindings -> a value, a type, or an error.

The files that matter to Kubernetes are those that are about the language and not about protocol buffers: everything but
`NOT_COUNTED`. A case passes when the value is the same and of the same type, when the deduced type is the same, or when there is
an error where one is wanted (its text is the implementation's own affair; this one's are Kubernetes').
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from conformance import Rates
from conformance.messages import LIBRARY as MESSAGES
from conformance.messages import WELL_KNOWN, message_type, read_message
from fairlead.tongues import cel
from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.macros import BLOCKS

NOT_COUNTED = {
    "proto2": "protocol buffer messages, which Kubernetes' expressions never see",
    "proto2_ext": "extensions of protocol buffer messages",
    "proto3": "protocol buffer messages",
    "enums": "enumerations of protocol buffers",
    "wrappers": "fields of protocol buffer messages that wrap values",
}
"""The files whose cases do not count, each with the reason; they are run all the same, see `others`."""

_LIBRARIES = (
    *(one for one in cel.kubernetes.LIBRARIES if not one.homogeneous),
    MESSAGES,
    Library("blocks", macros=BLOCKS),
)
_PRIMITIVES = {
    "BOOL": t.BOOL,
    "INT64": t.INT,
    "UINT64": t.UINT,
    "DOUBLE": t.DOUBLE,
    "STRING": t.STRING,
    "BYTES": t.BYTES,
}
_KNOWN = {"TIMESTAMP": t.TIMESTAMP, "DURATION": t.DURATION, "ANY": t.ANY}


def run(corpus: Path) -> Rates:
    """Return the rate of the files that matter."""
    return _rates(corpus, "cel", counted=True)


def others(corpus: Path) -> Rates:
    """Return the rate of the files that do not count."""
    return _rates(corpus, "cel, protocol buffers", counted=False)


def _rates(corpus: Path, suite: str, *, counted: bool) -> Rates:
    rates = Rates(suite)
    for name, case in _cases(corpus):
        if (name.partition("/")[0] not in NOT_COUNTED) is not counted:
            continue
        said = judge(case)
        if said is None:
            rates.passed += 1
        else:
            rates.missed[name] = said
    return rates


def _cases(corpus: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in sorted((corpus / "cel").glob("*.json")):
        for section in json.loads(path.read_text())["section"]:
            for case in section.get("test", ()):
                yield f"{path.stem}/{section['name']}/{case['name']}", case


def judge(case: Mapping[str, Any]) -> str | None:
    """Return what is wrong with how a case comes out, or None."""
    wanted = case.get("typed_result", {}).get("result") or case.get("value", {"bool_value": True})
    fails = "eval_error" in case or "any_eval_errors" in case
    try:
        environment = _environment(case)
        program = environment.compile(case["expr"], check=not case.get("disable_check"))
        deduced = case.get("typed_result", {}).get("deduced_type")
        if deduced is not None and program.type != _type(deduced):
            return f"type {program.type}, wanted {_type(deduced)}"
        if case.get("check_only"):
            return None
        got = program({name: read(one["value"]) for name, one in case.get("bindings", {}).items()})
    except (KeyError, AttributeError) as error:
        return f"a type that is not known here: {error!r}"
    except (cel.BadExpression, cel.Failed) as error:
        return None if fails else f"error {str(error).splitlines()[0]}, wanted {wanted}"
    if fails:
        return f"{got!r}, wanted an error"
    try:
        return None if same(got, read(wanted)) else f"{got!r}, wanted {wanted}"
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return f"{got!r}, wanted a value of a type that is not known here: {error!r}"


def _environment(case: Mapping[str, Any]) -> cel.Environment:
    variables: dict[str, t.Type] = {}
    functions: dict[str, Any] = {}
    for one in case.get("type_env", ()):
        if "ident" in one:
            variables[one["name"]] = _type(one["ident"]["type"])
        for overload in one.get("function", {}).get("overloads", ()):
            params = ", ".join(_written(_type(param)) for param in overload.get("params", ()))
            dot = "." if overload.get("is_instance_function") else ""
            functions[f"{dot}{one['name']}({params}) {_written(_type(overload['result_type']))}"] = (
                lambda *_: None
            )
    return cel.Environment(
        variables,
        (*_LIBRARIES, Library("declared", functions=functions)),
        container=case.get("container", ""),
    )


def _written(kind: t.Type) -> str:
    name = "optional" if kind.name == "optional_type" else kind.name
    return f"{name}({', '.join(map(_written, kind.params))})" if kind.params else name


def _type(said: Mapping[str, Any]) -> t.Type:
    (name, value), *_ = said.items()
    if name == "primitive":
        return _PRIMITIVES[value]
    if name == "well_known":
        return _KNOWN[value]
    if name == "wrapper":
        return t.wrapper(_PRIMITIVES[value])
    if name == "null":
        return t.NULL
    if name == "list_type":
        return t.list_of(_type(value.get("elem_type", {"dyn": {}})))
    if name == "map_type":
        return t.map_of(_type(value["key_type"]), _type(value["value_type"]))
    if name == "abstract_type":
        return t.opaque(value["name"], *map(_type, value.get("parameter_types", ())))
    if name == "type":
        return t.type_of_type(_type(value)) if value else t.type_of_type(t.DYN)
    if name == "type_param":
        return t.variable(value)
    if name == "message_type":
        return WELL_KNOWN.get(value) or message_type(value)
    return t.DYN


def read(said: Mapping[str, Any]) -> Any:
    """Return the value that the suite writes down."""
    (name, value), *_ = said.items()
    if name == "int64_value":
        return int(value)
    if name == "uint64_value":
        return cel.Uint(int(value))
    if name == "double_value":
        return float(value)
    if name == "bytes_value":
        return base64.b64decode(value)
    if name == "list_value":
        return [read(one) for one in value.get("values", ())]
    if name == "map_value":
        return {read(one["key"]): read(one["value"]) for one in value.get("entries", ())}
    if name == "type_value":
        return t.Type(value)
    if name == "enum_value":
        return int(value["value"])
    if name == "object_value":
        return read_message(value)
    return value


def same(got: Any, wanted: Any) -> bool:
    """Return whether two values are the same and of the same types."""
    if isinstance(got, t.Type) and isinstance(wanted, t.Type):
        return got.name == wanted.name
    if got.__class__ is not wanted.__class__:
        return False
    if isinstance(got, list):
        return len(got) == len(wanted) and all(map(same, got, wanted))
    if isinstance(got, dict):
        return len(got) == len(wanted) and all(
            any(same(key, other) and same(value, wanted[other]) for other in wanted)
            for key, value in got.items()
        )
    if isinstance(got, float) and math.isnan(got):
        return math.isnan(wanted)
    return bool(got == wanted)
