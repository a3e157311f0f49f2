"""The reference of a module's values: a table in Markdown, kept between two marks of a README.

Made from the type alone. A secret's default is not in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from fairlead.render.schemas import default_of
from fairlead.render.values import UNSET, ValuesType
from fairlead.render.values_checks import counted

BEGIN: Final = "<!-- values: begin (fairlead mod docs) -->"
END: Final = "<!-- values: end -->"
Row = tuple[str, str, str, str]
"""Name, type, default and meaning, each as Markdown."""

_SORTS: Final = {"text": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "quantity": "amount",
                 "port": "port", "duration": "duration", "secret_text": "secret text", "image_ref": "image", "anything": "anything"}  # fmt: skip


def rows(made: ValuesType) -> list[Row]:
    """Return a row for each value: groups are gone into, items of lists are `name[]`, values of mappings `name.*`."""
    return list(_rows(made, ""))


def _rows(made: ValuesType, path: str) -> Iterator[Row]:
    for name, one in made.fields.items():
        at = f"{path}.{name}" if path else name
        if one.sort == "group" and not one.nullable:
            yield from _rows(one, at)
            continue
        yield f"`{at}`", type_of(one), _default(one), _meaning(one)
        if one.sort == "group":
            yield from _rows(one, at)
        elif one.of is not None and one.of.sort == "group":
            yield from _rows(one.of, f"{at}[]" if one.sort == "listing" else f"{at}.*")


def type_of(made: ValuesType) -> str:
    """Return what a value may be, in words: `whole number, 1 to 10`."""
    said = _kind(made)
    if made.nullable:
        said += ", or null"
    return said


def _kind(made: ValuesType) -> str:
    if made.enum:
        return "one of " + ", ".join(_code(one) for one in made.enum)
    if made.sort == "listing":
        inner = _plural(made.of)
        bounds = _within(made.least, made.most, "item")
        return (
            f"list{inner}"
            + (f", {bounds}" if bounds else "")
            + (f", unique by `{made.unique}`" if isinstance(made.unique, str) else "")
        )
    if made.sort == "mapping":
        return f"mapping{_plural(made.of)}"
    if made.sort == "group":
        return "group"
    said = {"cpu": "amount of CPU", "memory": "amount of memory", "storage": "amount of storage"}.get(
        made.measures
    ) or _SORTS[made.sort]
    if made.minimum is not None and made.maximum is not None:
        said += f", {made.minimum} to {made.maximum}"
    elif made.minimum is not None:
        said += f", at least {made.minimum}"
    elif made.maximum is not None:
        said += f", at most {made.maximum}"
    if made.multiple_of:
        said += f", a multiple of {made.multiple_of}"
    if bounds := _within(made.least, made.most, "character"):
        said += f", {bounds}"
    if made.pattern:
        said += f", `{made.pattern}`"
    return said


def _plural(made: ValuesType | None) -> str:
    return "" if made is None or made.sort in {"group", "anything"} else f" of {_kind(made)}"


def _within(least: int | None, most: int | None, thing: str) -> str:
    if least is not None and most is not None:
        return f"{least} to {counted(most, thing)}"
    if least is not None:
        return f"at least {counted(least, thing)}"
    return f"at most {counted(most, thing)}" if most is not None else ""


def _default(made: ValuesType) -> str:
    if made.required:
        return "**required**"
    found = default_of(made)
    if found is UNSET or found is None:
        return ""
    return "(set)" if made.secret else _code(found)


def _meaning(made: ValuesType) -> str:
    said = made.doc
    if made.examples and not made.secret:
        said = (
            (said.rstrip(".") + ". " if said else "")
            + "For example "
            + ", ".join(_code(one) for one in made.examples)
            + "."
        )
    if made.deprecated:
        said = f"**Deprecated**: {made.deprecated}. {said}".strip()
    return said


def _code(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}"


def table(found: Iterable[Row]) -> str:
    """Return rows as a table in Markdown."""
    lines = ["| value | type | default | meaning |", "| --- | --- | --- | --- |"]
    for row in found:
        cells = (re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def reference(made: ValuesType) -> str:
    """Return the table of all values of a module."""
    found = rows(made)
    return table(found) if found else "The module has no values.\n"


def placed(text: str, made_reference: str) -> str:
    """Return a README with the reference between its marks; without marks it gets a section of its own at the end."""
    block = f"{BEGIN}\n{made_reference}{END}"
    begin = text.find(BEGIN)
    end = text.find(END, begin)
    if begin >= 0 and end >= 0:
        return text[:begin] + block + text[end + len(END) :]
    head = text.rstrip()
    return f"{head}\n\n## Values\n\n{block}\n" if head else f"## Values\n\n{block}\n"
