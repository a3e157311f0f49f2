"""Typed values of a module: what its author declared, and what its users give, brought together and checked to the last leaf.

The author's `Values` arrives as a tree of plain mappings (`type_of` says which words it may have); users' values as layers. `settle` merges
the layers, fills in defaults and returns plain data that fits the type, or raises `Mistaken` with every mistake at once, each with its
file and line. A value that is a secret is in no message.

Layers are merged as Helm merges them: mappings by key, anything else is replaced. An explicit null takes back what lower layers said, so
that the default holds again; only where the type is nullable it is a value. In a mapping whose default has keys, null removes such a key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead.render import values_checks as checks
from fairlead.render.packages import NOWHERE, Layer, Mistake, Mistaken
from fairlead.render.values_reading import Given, read
from fairlead.tongues.paths import Path, dotted
from fairlead.words import Where

SORTS: Final = ("text", "integer", "number", "boolean", "choice", "listing", "mapping", "group", "quantity", "port",
                "duration", "secret_text", "image_ref", "anything")  # fmt: skip
"""The sorts of values. `port` is an integer, `quantity`, `duration`, `secret_text` and `image_ref` are texts of a form."""

WORDS: Final = frozenset(
    {"type", "doc", "default", "required", "nullable", "deprecated", "examples", "minimum", "maximum", "multiple_of", "pattern",
     "min_length", "max_length", "min_items", "max_items", "unique", "enum", "of", "keys", "fields", "open", "measures", "where"}
)  # fmt: skip
"""What a type may say. `unique` of a listing is true, or the field by which items differ; `keys` of a mapping a pattern of its keys;
`open` of a group lets other keys pass; `measures` of a quantity is cpu, memory or storage; `where` is the line that declares it."""

_ALIASES: Final = {"string": "text", "str": "text", "int": "integer", "float": "number", "bool": "boolean", "list": "listing",
                   "map": "mapping", "record": "group", "secret": "secret_text", "image": "image_ref", "any": "anything",
                   "enum": "choice"}  # fmt: skip


class _Unset:
    """Nobody says anything here."""

    def __repr__(self) -> str:
        return "unset"


UNSET: Final = _Unset()


@dataclass(frozen=True, slots=True)
class ValuesType:
    """What a value may be. `default` is UNSET where there is none; a group's is made of its fields'."""

    sort: str
    doc: str = ""
    default: Any = UNSET
    required: bool = False
    nullable: bool = False
    deprecated: str = ""
    examples: tuple[Any, ...] = ()
    minimum: float | str | None = None
    maximum: float | str | None = None
    multiple_of: float | None = None
    pattern: str = ""
    least: int | None = None
    most: int | None = None
    unique: bool | str = False
    enum: tuple[Any, ...] = ()
    of: ValuesType | None = None
    keys: str = ""
    fields: Mapping[str, ValuesType] = field(default_factory=dict)
    open: bool = False
    measures: str = ""
    where: Where = Where()  # noqa: RUF009  it is frozen

    @property
    def secret(self) -> bool:
        """Whether the value itself may be shown to nobody."""
        return self.sort == "secret_text"


# The author's side


def type_of(tree: Any, where: Where = NOWHERE) -> ValuesType:
    """Return the type that a tree of plain mappings declares. Raises Mistaken with all that is wrong with the declaration.

    `{"type": "group", "fields": {"replicas": {"type": "integer", "default": 2, "minimum": 1, "doc": "how many pods"}}}`; see WORDS.
    """
    mistakes: list[Mistake] = []
    made = _declared(tree, (), where, mistakes)
    if not mistakes and made.sort != "group":
        mistakes.append(
            Mistake(
                f"Values must be a group of values, is a {made.sort}",
                where,
                hint="write group(name = ..., ...)",
            )
        )
    if not mistakes:
        _try_defaults(made, (), mistakes)
    if mistakes:
        raise Mistaken(*mistakes)
    return made


def _declared(tree: Any, path: Path, where: Where, mistakes: list[Mistake]) -> ValuesType:
    if not isinstance(tree, Mapping) or not isinstance(tree.get("type"), str):
        mistakes.append(
            Mistake(
                f"a type of values is due, such as text() or integer(), is {checks.shown(tree)}",
                Where(where.file, where.line, _named(path)),
                hint=_literal_hint(tree),
            )
        )
        return ValuesType("anything")
    place = _place(tree.get("where"), where)
    here = Where(place.file, place.line, _named(path))
    said = str(tree["type"])
    sort = _ALIASES.get(said, said)
    if sort not in SORTS:
        near = checks.nearest(sort, SORTS)
        mistakes.append(
            Mistake(f"there is no type {sort}", here, hint=f"did you mean {near}?" if near else "")
        )
        return ValuesType("anything")
    for word in map(str, tree):
        if word not in WORDS:
            near = checks.nearest(word, WORDS)
            mistakes.append(
                Mistake(f"{sort} takes no {word}", here, hint=f"did you mean {near}?" if near else "")
            )
    inner = tree.get("of")
    fields = tree.get("fields") or {}
    if not isinstance(fields, Mapping):
        mistakes.append(Mistake("the fields of a group are a mapping", here))
        fields = {}
    enum = tree.get("enum") or ()
    if sort == "choice" and not enum:
        mistakes.append(
            Mistake("a choice has something to choose from", here, hint='write choice("one", "two")')
        )
    pattern = tree.get("pattern") or ""
    for text in (pattern, tree.get("keys") or ""):
        fault = checks.bad_pattern(text)
        if fault:
            mistakes.append(Mistake(f'"{text}" is no regular expression: {fault}', here))
            pattern = ""
    return ValuesType(
        sort,
        doc=" ".join(str(tree.get("doc") or "").split()),
        default=tree["default"] if tree.get("default") is not None else UNSET,
        required=bool(tree.get("required")),
        nullable=bool(tree.get("nullable")),
        deprecated=str(tree.get("deprecated") or ""),
        examples=tuple(tree.get("examples") or ()),
        minimum=tree.get("minimum"),
        maximum=tree.get("maximum"),
        multiple_of=tree.get("multiple_of"),
        pattern=pattern,
        least=tree.get("min_length", tree.get("min_items")),
        most=tree.get("max_length", tree.get("max_items")),
        unique=tree.get("unique") or False,
        enum=tuple(enum),
        of=_declared(inner, (*path, "[]" if sort == "listing" else "*"), place, mistakes)
        if inner is not None
        else None,
        keys=tree.get("keys") or "",
        fields={
            str(name): _declared(one, (*path, str(name)), place, mistakes) for name, one in fields.items()
        },
        open=bool(tree.get("open")),
        measures=str(tree.get("measures") or ""),
        where=place,
    )


def _place(said: Any, otherwise: Where) -> Where:
    """Return `module.star:12` or ["module.star", 12] as a place."""
    if isinstance(said, str) and said.rpartition(":")[2].isdigit():
        file, _, line = said.rpartition(":")
        return Where(file, int(line))
    if isinstance(said, list | tuple) and len(said) == 2 and isinstance(said[1], int):
        return Where(str(said[0]), said[1])
    return otherwise


def _named(path: Path) -> str:
    return "Values" + dotted(path).replace("['[]']", "[]").replace("['*']", ".*")


def _literal_hint(found: Any) -> str:
    made = {str: "text", bool: "boolean", int: "integer", float: "number"}.get(type(found))
    return f"write {made}(default = {checks.starlark(found)})" if made else ""


def _try_defaults(made: ValuesType, path: Path, mistakes: list[Mistake]) -> None:
    """Note defaults and examples that do not fit their own type."""
    here = Where(made.where.file, made.where.line, _named(path))
    for what, value in [("default", made.default), *(("example", one) for one in made.examples)]:
        if value is UNSET or (value is None and made.nullable):
            continue
        faults: list[checks.Fault] = []
        _Settling(faults).value(made, value, path, filling=False)
        mistakes += [
            Mistake(
                f"the {what} {fault.message}",
                Where(here.file, here.line, _named(fault.path)),
                hint=fault.hint,
            )
            for fault in faults
        ]
    if made.required and made.default is not UNSET:
        mistakes.append(Mistake("is required and has a default: it can only be one of both", here))
    for name, one in made.fields.items():
        _try_defaults(one, (*path, name), mistakes)
    if made.of is not None:
        _try_defaults(made.of, (*path, "[]" if made.sort == "listing" else "*"), mistakes)


# The user's side


def settle(made: ValuesType, layers: Sequence[Layer]) -> dict[str, Any]:
    """Return the values that hold: the layers' over the defaults, every one checked. Raises Mistaken with all that is wrong.

    Every field of every group is there; what nobody sets and has no default is None.
    """
    given = read(layers)
    faults: list[checks.Fault] = []
    settled = _Settling(faults).value(made, given.values, ())
    told = [_told(fault, made, given) for fault in faults if not (fault.missing and given.mistakes)]
    mistakes = [*given.mistakes, *sorted(told, key=lambda one: (one.where.file, one.where.line))]
    if mistakes:
        raise Mistaken(*mistakes)
    assert isinstance(settled, dict)
    return settled


def deprecations(made: ValuesType, layers: Sequence[Layer]) -> list[tuple[Where, str]]:
    """Return where layers set values that are deprecated, and what their types say of it."""
    given = read(layers)
    found = []
    for path, one in _walk(made, given.values, ()):
        if one.deprecated:
            found.append((given.place(path).where, one.deprecated))
    return found


def secrets(made: ValuesType, values: Any) -> list[str]:
    """Return the texts among these values that are secrets, for whoever must keep them out of what is shown."""
    return [
        value
        for path, one in _walk(made, values, ())
        if one.secret and (value := _at(values, path)) and isinstance(value, str)
    ]


def _walk(made: ValuesType, value: Any, path: Path) -> Iterator[tuple[Path, ValuesType]]:
    """Yield each place in the values that has a type, with that type."""
    if value is None:
        return
    yield path, made
    if made.sort == "group" and isinstance(value, dict):
        for name, one in made.fields.items():
            if name in value:
                yield from _walk(one, value[name], (*path, name))
    elif made.of is not None and isinstance(value, dict | list):
        steps: Any = value.items() if isinstance(value, dict) else enumerate(value)
        for step, item in steps:
            yield from _walk(made.of, item, (*path, step))


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _told(fault: checks.Fault, made: ValuesType, given: Given) -> Mistake:
    """Return a fault with the place that it was written at, and nothing secret in what is shown of that place."""
    place = given.place(fault.path, key=fault.about_key)
    hidden = [
        str(value)
        for path, one in _walk(made, place.tree, ())
        if one.secret and not isinstance(value := _at(place.tree, path), dict | list)
    ]
    excerpt = place.excerpt
    if fault.hidden:
        excerpt = (
            excerpt[: max(place.column - 1, 0)] + "****" if not fault.about_key else checks.key_only(excerpt)
        )
    for value in sorted(hidden, key=len, reverse=True):
        excerpt = excerpt.replace(value, "****")
    hint = (
        fault.hint.replace("{raw}", place.raw.replace('"', '\\"'))
        if place.raw
        else fault.hint.replace("{raw}", "...")
    )
    return Mistake(fault.message, place.where, place.column, excerpt, hint)


class _Settling:
    """Goes down a type and a value together; what is wrong is noted, and what is right returned."""

    def __init__(self, faults: list[checks.Fault]) -> None:
        self._faults = faults

    def value(self, made: ValuesType, value: Any, path: Path, *, filling: bool = True) -> Any:
        """Return the value as it holds, defaults filled in. `filling=False` checks a default, in which required fields may be missing."""
        if value is None and made.nullable:
            return None
        if value is UNSET or value is None:
            return self._nothing(made, path, filling=filling)
        if made.sort == "group":
            return self._group(made, value, path, filling=filling)
        if made.sort == "mapping":
            return self._mapping(made, value, path, filling=filling)
        if made.sort == "listing":
            return self._listing(made, value, path, filling=filling)
        if made.sort == "anything":
            return _overlaid(made.default, value) if filling and isinstance(made.default, dict) else value
        result, fault = checks.leaf(made, value)
        if fault is not None:
            self._note(path, *fault, hidden=made.secret)
        return result

    def _note(
        self, path: Path, message: str, hint: str = "", *, about_key: bool = False, hidden: bool = False
    ) -> None:
        self._faults.append(checks.Fault(path, message, hint, about_key, hidden))

    def _nothing(self, made: ValuesType, path: Path, *, filling: bool) -> Any:
        if made.default is not UNSET:
            return self.value(made, made.default, path, filling=filling) if filling else made.default
        if made.required and filling:
            means = f" ({made.doc})" if made.doc else ""
            name = dotted(path).lstrip(".")
            hint = checks.how_to_set(name, made)
            self._faults.append(
                checks.Fault(path, f"is required, and nothing sets it{means}", hint, missing=True)
            )
            return None
        if made.sort == "group" and not made.nullable:
            return self._group(made, {}, path, filling=filling)
        if made.sort in {"mapping", "listing"} and not made.nullable:
            return {} if made.sort == "mapping" else []
        return None

    def _group(self, made: ValuesType, value: Any, path: Path, *, filling: bool) -> Any:
        if not isinstance(value, dict):
            names = ", ".join(made.fields)
            self._note(
                path,
                f"must be a mapping, is {checks.shown(value)}",
                f"its values are {names}" if names else "",
            )
            return None
        if filling and isinstance(made.default, dict) and value is not made.default:
            value = _overlaid(made.default, value)
        for name in value:
            if name not in made.fields and not made.open:
                self._unknown(made, name, path)
        result = {
            name: self.value(one, value.get(name, UNSET), (*path, name), filling=filling)
            for name, one in made.fields.items()
        }
        if made.open:
            result.update({name: item for name, item in value.items() if name not in made.fields})
        return result

    def _unknown(self, made: ValuesType, name: str, path: Path) -> None:
        near = checks.nearest(name, made.fields)
        if near:
            hint = f"did you mean {near}?"
        elif found := _elsewhere(made, name):
            hint = f"did you mean {dotted((*path, *found)).lstrip('.')}?"
        elif len(made.fields) <= 12:
            hint = f"there is {', '.join(made.fields)}" if made.fields else "this group has no values"
        else:
            hint = f"there are {len(made.fields)} others; the package's README tells of them"
        hidden = bool(near and made.fields[near].secret) or checks.sounds_secret(name)
        self._note(
            (*path, name), f'there is no value "{checks.short(name)}"', hint, about_key=True, hidden=hidden
        )

    def _mapping(self, made: ValuesType, value: Any, path: Path, *, filling: bool) -> Any:
        if not isinstance(value, dict):
            self._note(path, f"must be a mapping, is {checks.shown(value)}", checks.mapping_hint(value))
            return None
        if filling and isinstance(made.default, dict) and value is not made.default:
            value = _overlaid(made.default, value)
        result = {}
        for name, item in value.items():
            if made.keys and not checks.fits(made.keys, name):
                self._note(
                    (*path, name), f'the key "{checks.short(name)}" must match {made.keys}', about_key=True
                )
            if item is None and (made.of is None or not made.of.nullable):
                continue
            result[name] = (
                item if made.of is None else self.value(made.of, item, (*path, name), filling=filling)
            )
        self._count(made, len(result), path)
        return result

    def _listing(self, made: ValuesType, value: Any, path: Path, *, filling: bool) -> Any:
        if not isinstance(value, list):
            self._note(path, f"must be a list, is {checks.shown(value)}", checks.listing_hint(value))
            return None
        result = []
        for index, item in enumerate(value):
            at = (*path, index)
            if item is None and made.of is not None and not made.of.nullable:
                self._note(
                    at,
                    "is null, and a list has no use for that",
                    "remove the line, or write a value behind the dash",
                )
                continue
            result.append(item if made.of is None else self.value(made.of, item, at, filling=filling))
        self._count(made, len(value), path)
        if made.unique:
            self._differ(made, value, path)
        return result

    def _count(self, made: ValuesType, count: int, path: Path) -> None:
        things = "item" if made.sort == "listing" else "key"
        if made.least is not None and count < made.least:
            self._note(path, f"must have at least {checks.counted(made.least, things)}, has {count}")
        if made.most is not None and count > made.most:
            self._note(path, f"must have at most {checks.counted(made.most, things)}, has {count}")

    def _differ(self, made: ValuesType, value: Sequence[Any], path: Path) -> None:
        """Note items that are the same, or have the same name, as one before them."""
        seen: dict[str, int] = {}
        secret = made.of is not None and made.of.secret
        for index, item in enumerate(value):
            own = item.get(made.unique) if isinstance(made.unique, str) and isinstance(item, dict) else item
            if own is None:
                continue
            first = seen.setdefault(repr(own), index)
            if first == index:
                continue
            if isinstance(made.unique, str):
                at = (*path, index, made.unique)
                self._note(
                    at,
                    f"{checks.shown(own)} is taken: item {first} has the same {made.unique}",
                    "each must be unique here",
                )
            else:
                said = "a secret" if secret else checks.shown(own)
                self._note((*path, index), f"{said} is item {first} already", "remove one")


def _overlaid(under: Mapping[str, Any], over: Mapping[str, Any] | Any) -> Any:
    """Return a mapping over another; null removes a key that the lower one has."""
    if not isinstance(over, dict):
        return over
    result = dict(under)
    for key, value in over.items():
        here = result.get(key)
        if value is None and key in under:
            result.pop(key)
        elif isinstance(here, dict) and isinstance(value, dict):
            result[key] = _overlaid(here, value)
        else:
            result[key] = value
    return result


def _elsewhere(made: ValuesType, name: str) -> Path | None:
    """Return where below a group there is a value of this name, if in one place only."""
    found: list[Path] = []

    def look(one: ValuesType, path: Path) -> None:
        for inner, below in one.fields.items():
            if inner == name:
                found.append((*path, inner))
            look(below, (*path, inner))

    look(made, ())
    return found[0] if len(found) == 1 else None
