"""GraphQL's syntax trees, as policies see them, written as text again. Raises KeyError or TypeError over what is no tree."""

from __future__ import annotations

import json
from typing import Any


def _quoted(value: str) -> str:
    return json.dumps(value)


def _value(value: dict[str, Any]) -> str:
    kind, raw = value["Kind"], value.get("Raw", "")
    children = value.get("Children", [])
    if kind == 0:
        return f"${raw}"
    if kind in {3, 4}:
        return _quoted(raw)
    if kind == 8:
        return f"[{' '.join(_value(child['Value']) for child in children)}]"
    if kind == 9:
        inside = " ".join(f"{child['Name']}: {_value(child['Value'])}" for child in children)
        return f"{{{inside}}}"
    return str(raw)


def _type(kind: dict[str, Any]) -> str:
    name = f"[{_type(kind['Elem'])}]" if kind.get("Elem") else kind["NamedType"]
    return f"{name}!" if kind.get("NonNull") else name


def _arguments(arguments: list[Any]) -> str:
    if not arguments:
        return ""
    listed = [f"{one['Name']}: {_value(one['Value'])}" for one in arguments]
    return f"({', '.join(listed)})"


def _directives(directives: list[Any]) -> str:
    return "".join(f" @{one['Name']}{_arguments(one.get('Arguments', []))}" for one in directives)


def _tail(node: dict[str, Any]) -> str:
    return _directives(node.get("Directives", []))


def _selections(selections: list[Any]) -> str:
    return f" {{ {' '.join(_selection(one) for one in selections)} }}" if selections else ""


def _selection(node: dict[str, Any]) -> str:
    rest = _tail(node) + _selections(node.get("SelectionSet", []))
    if "Alias" in node:
        return f"{node['Alias']}: {node['Name']}{_arguments(node.get('Arguments', []))}{rest}"
    if node.get("Name"):
        return f"...{node['Name']}{rest}"
    condition = f" on {node['TypeCondition']}" if node.get("TypeCondition") else ""
    return f"...{condition}{rest}"


def _variables(variables: list[Any]) -> str:
    if not variables:
        return ""
    listed = [
        f"${one['Variable']}: {_type(one['Type'])}"
        + (f" = {_value(one['DefaultValue'])}" if one.get("DefaultValue") else "")
        + _tail(one)
        for one in variables
    ]
    return f"({', '.join(listed)})"


def query_text(tree: dict[str, Any]) -> str:
    """Return the text of a query document's tree."""
    pieces = [
        f"{node['Operation']} {node.get('Name', '')}{_variables(node.get('VariableDefinitions', []))}"
        f"{_tail(node)}{_selections(node.get('SelectionSet', []))}"
        for node in tree.get("Operations", [])
    ]
    pieces += [
        f"fragment {node['Name']} on {node['TypeCondition']}{_tail(node)}{_selections(node.get('SelectionSet', []))}"
        for node in tree.get("Fragments", [])
    ]
    return "\n".join(pieces)


def _said(node: dict[str, Any]) -> str:
    return f"{_quoted(node['Description'])} " if node.get("Description") else ""


def _field(node: dict[str, Any]) -> str:
    arguments = node.get("Arguments", [])
    inside = f"({' '.join(_field(one) for one in arguments)})" if arguments else ""
    default = f" = {_value(node['DefaultValue'])}" if node.get("DefaultValue") else ""
    return f"{_said(node)}{node['Name']}{inside}: {_type(node['Type'])}{default}{_tail(node)}"


_WORDS = {
    "SCALAR": "scalar",
    "OBJECT": "type",
    "INTERFACE": "interface",
    "UNION": "union",
    "ENUM": "enum",
    "INPUT_OBJECT": "input",
}


def _definition(node: dict[str, Any], before: str = "") -> str:
    line = f"{_said(node) if not before else ''}{before}{_WORDS[node['Kind']]} {node['Name']}"
    if node.get("Interfaces"):
        line += f" implements {' & '.join(node['Interfaces'])}"
    line += _tail(node)
    if node.get("Types"):
        line += f" = {' | '.join(node['Types'])}"
    values = [f"{_said(one)}{one['Name']}{_tail(one)}" for one in node.get("EnumValues", [])]
    fields = [_field(one) for one in node.get("Fields", [])] or values
    return f"{line} {{ {' '.join(fields)} }}" if fields else line


def _schema(node: dict[str, Any], before: str = "") -> str:
    roots = " ".join(f"{one['Operation']}: {one['Type']}" for one in node.get("OperationTypes", []))
    return (
        f"{_said(node) if not before else ''}{before}schema{_tail(node)}{f' {{ {roots} }}' if roots else ''}"
    )


def _directive(node: dict[str, Any]) -> str:
    arguments = node.get("Arguments", [])
    inside = f"({' '.join(_field(one) for one in arguments)})" if arguments else ""
    again = " repeatable" if node.get("IsRepeatable") else ""
    return f"{_said(node)}directive @{node['Name']}{inside}{again} on {' | '.join(node['Locations'])}"


def schema_text(tree: dict[str, Any]) -> str:
    """Return the text of a schema document's tree."""
    pieces = [_schema(node) for node in tree.get("Schema", [])]
    pieces += [_directive(node) for node in tree.get("Directives", [])]
    pieces += [_definition(node) for node in tree.get("Definitions", [])]
    pieces += [_schema(node, "extend ") for node in tree.get("SchemaExtension", [])]
    pieces += [_definition(node, "extend ") for node in tree.get("Extensions", [])]
    return "\n".join(pieces)
