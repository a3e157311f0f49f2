"""Exceptions of rules: `fields`, `comps` and `values` in all their forms -> what is added to a rule's condition. Parses no condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fairlead.dialects.falco.documents import Entry, Item, Wrong, finding, unknown
from fairlead.tongues.conditions.trees import LIST_OPERATORS, MODIFIERS, OPERATORS, TEXT_OPERATORS
from fairlead.words import Finding, Severity, Where

_COMPS = frozenset(
    {*OPERATORS, "==", "exists", *(f"{op} {mod}" for op in (*TEXT_OPERATORS, "==") for mod in MODIFIERS)}
)


@dataclass(frozen=True, slots=True)
class RuleException:
    """One exception. With `fields` a list there are as many `comps` and, in each row of `values`, as many values."""

    name: str
    where: Where
    fields: Entry | None = None
    comps: Entry | None = None
    values: tuple[Entry, ...] = field(default=())


def read(item: Item, findings: list[Finding], rule: str, *, appending: bool) -> list[RuleException]:
    """Return the exceptions of a rule's item. Raises Wrong."""
    found: list[RuleException] = []
    for page in item.items("exceptions", "Rule exceptions") or []:
        name = page.text("name").value
        fields, comps, values = page.entry("fields"), page.entry("comps"), page.entry("values")
        findings.extend(unknown(where) for where in page.left())
        if any(before.name == name for before in found):
            said = f"Multiple definitions of exception '{name}' in the same rule"
            findings.append(
                finding("exception", said, page.where, severity=Severity.WARNING, kind="Rule", name=rule)
            )
        if values is not None and not values.listed:
            raise Wrong("Rule exception values must be a sequence", values.where)
        if values is None and appending:
            said = "Overriding/appending exception with no values"
            findings.append(
                finding("exception", said, page.where, severity=Severity.WARNING, kind="Rule", name=rule)
            )
        one = RuleException(name, page.where, fields, comps, values.parts if values is not None else ())
        if not appending:
            if fields is None:
                raise Wrong("Rule exception item must have fields property with a list of fields", page.where)
            one = _checked(one)
        found.append(one)
    return found


def append(before: Sequence[RuleException], added: Sequence[RuleException]) -> list[RuleException]:
    """Return the exceptions of a rule with others appended: values to those of the same name. Raises Wrong."""
    found = list(before)
    for one in added:
        index = next((index for index, other in enumerate(found) if other.name == one.name), None)
        if index is None:
            if one.fields is None:
                raise Wrong("Rule exception must have fields property with a list of fields", one.where)
            if not one.values:
                raise Wrong("Rule exception must have values property with a list of values", one.where)
            found.append(_checked(one))
            continue
        if one.fields is not None:
            raise Wrong(
                "Can not append exception fields to existing exception, only values", one.fields.where
            )
        if one.comps is not None:
            raise Wrong("Can not append exception comps to existing exception, only values", one.comps.where)
        found[index] = replace(found[index], values=(*found[index].values, *one.values))
    return found


def _checked(one: RuleException) -> RuleException:
    """The exception with its comparisons filled in, if its parts fit each other. Raises Wrong."""
    fields, comps = one.fields, one.comps
    assert fields is not None
    if not fields.listed:
        comps = comps or Entry(fields.where, "in")
        if comps.listed:
            raise Wrong("Fields and comps must both be strings", comps.where)
        if comps.text not in LIST_OPERATORS:
            raise Wrong(
                "When fields is a single value, comps must be one of (in, pmatch, intersects)", comps.where
            )
        return replace(one, comps=comps)
    comps = comps or Entry(
        fields.where, "", tuple(Entry(part.where, "=") for part in fields.parts), listed=True
    )
    if not comps.listed or len(comps.parts) != len(fields.parts):
        raise Wrong("Fields and comps lists must have equal length", comps.where)
    for part in comps.parts:
        if part.text not in _COMPS:
            raise Wrong(f"'{part.text}' is not a supported comparison operator", part.where)
    return replace(one, comps=comps)


def texts(exceptions: Sequence[RuleException]) -> list[tuple[str, Where]]:
    """Return what is to be added to the condition in parentheses, a text for each exception that has values. Raises Wrong."""
    found = []
    for one in exceptions:
        text = _several(one) if one.fields is not None and one.fields.listed else _single(one)
        if text:
            found.append((f" and not {text}", one.where))
    return found


def _single(one: RuleException) -> str:
    assert one.fields is not None
    assert one.comps is not None
    for value in one.values:
        if value.listed:
            raise Wrong("Expected values array to contain a list of strings", value.where)
    values = ", ".join(_quoted(value.text) for value in one.values)
    return f"({one.fields.text} {one.comps.text} ({values}))" if values else ""


def _several(one: RuleException) -> str:
    assert one.fields is not None
    assert one.comps is not None
    rows = []
    for row in one.values:
        if not row.listed or len(row.parts) != len(one.fields.parts):
            raise Wrong("Fields and values lists must have equal length", row.where)
        cells = zip(one.fields.parts, one.comps.parts, row.parts, strict=True)
        rows.append(
            "(" + " and ".join(_comparison(name.text, comp.text, value) for name, comp, value in cells) + ")"
        )
    return f"({' or '.join(rows)})" if rows else ""


def _comparison(name: str, comp: str, value: Entry) -> str:
    if comp == "exists":
        return f"{name} exists"
    if value.listed:
        return f"{name} {comp} ({', '.join(_quoted(part.text) for part in value.parts)})"
    if comp in LIST_OPERATORS or comp.rpartition(" ")[2] in MODIFIERS:
        return f"{name} {comp} {value.text if value.text.startswith('(') else f'({value.text})'}"
    return f"{name} {comp} {_quoted(value.text)}"


def _quoted(text: str) -> str:
    """A value with a blank in it, in quotes unless it has some."""
    return f'"{text}"' if " " in text and text[0] not in "\"'" else text
