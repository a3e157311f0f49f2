"""JSON Schema as checks of objects use it, compiled once: a schema in, a function from a value to its faults out.

The vocabularies of validation and application of drafts 7 and 2019-09, and Polaris's `resourceMinimum` and `resourceMaximum`. A keyword that is
not known is refused when the schema is compiled. References lead to the same schema only.
Source: json-schema.org/draft/2019-09.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from fairlead.tongues import quantities, regexes
from fairlead.tongues.paths import Path

DEEPEST: Final = 60
"""Schemas that may be nested in each other, by references too."""
LARGEST: Final = 20_000
"""Schemas that one may consist of."""

Fault: TypeAlias = tuple[Path, str]
"""A place in the value and what is wrong there."""
Check: TypeAlias = Callable[[Any], list[Fault]]
"""Return what is wrong with a value: nothing, where it is valid."""
_Test: TypeAlias = Callable[[Any, Path, int], Iterator[Fault]]


class BadSchema(ValueError):
    """A schema that is not one, or that uses what is not supported; the message says where."""


_SILENT: Final = frozenset({
    "$schema", "$id", "$comment", "$anchor", "$defs", "definitions", "title", "description", "default", "examples",
    "deprecated", "readOnly", "writeOnly", "format", "then", "else", "additionalItems", "minContains", "maxContains",
})  # fmt: skip
"""Keywords that say nothing of a value by themselves."""


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _numeric(value) and value == value // 1,
    "null": lambda value: value is None,
    "number": _numeric,
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
}


def compile(schema: Any) -> Check:  # noqa: A001  as in the standard library
    """Return the function that checks a value. Raises BadSchema."""
    try:
        test = _Compiler(schema).schema(schema, "", 0)
    except (TypeError, AttributeError) as error:  # a keyword's value is of another type than it must be
        raise BadSchema(f"this is no schema: {error}") from error
    return lambda value: list(test(value, (), 0))


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal as JSON: true is not 1."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


class _Compiler:
    """Compiles one schema and what it refers to; remembers what was compiled, so that references may be circular."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.count = 0
        self.known: dict[str, _Test] = {}

    def schema(self, schema: Any, at: str, depth: int) -> _Test:
        self.count += 1
        if depth > DEEPEST or self.count > LARGEST:
            raise BadSchema(f"{at or 'the schema'} is nested too deeply or too large")
        if schema is True:
            return _anything
        if schema is False:
            return _nothing
        if not isinstance(schema, dict):
            raise BadSchema(f"{at or 'the schema'} is no schema")
        tests: list[_Test] = []
        for key, value in schema.items():
            make = _KEYWORDS.get(key)
            if make is not None:
                tests.append(make(self, value, schema, f"{at}.{key}", depth + 1))
            elif key not in _SILENT:
                raise BadSchema(f"{at}.{key} is not supported")
        if not tests:
            return _anything
        if len(tests) == 1:
            return tests[0]

        def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
            for one in tests:
                yield from one(value, path, depth)

        return test

    def many(self, schemas: Any, at: str, depth: int) -> list[_Test]:
        if not isinstance(schemas, list) or not schemas:
            raise BadSchema(f"{at} is no list of schemas")
        return [self.schema(one, f"{at}[{index}]", depth) for index, one in enumerate(schemas)]

    def named(self, schemas: Any, at: str, depth: int) -> dict[str, _Test]:
        if schemas is None:  # written without anything below it
            return {}
        if not isinstance(schemas, dict):
            raise BadSchema(f"{at} is no mapping of schemas")
        return {str(name): self.schema(one, f"{at}.{name}", depth) for name, one in schemas.items()}

    def reference(self, target: Any, at: str) -> _Test:
        if not isinstance(target, str) or not target.startswith("#"):
            raise BadSchema(f"{at} leads out of the schema")
        if target not in self.known:
            found = self.root
            for step in target[1:].split("/")[1:]:
                name = step.replace("~1", "/").replace("~0", "~")
                found = found.get(name) if isinstance(found, dict) else None
            if found is None:
                raise BadSchema(f"{at} leads nowhere")
            self.known[target] = _anything  # until it is compiled: it may refer to itself
            self.known[target] = self.schema(found, at, 0)
        known = self.known

        def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
            if depth > DEEPEST:
                raise BadSchema(f"{at} goes round in circles")
            yield from known[target](value, path, depth + 1)

        return test


def _anything(_: Any, __: Path, ___: int) -> Iterator[Fault]:
    yield from ()


def _nothing(_: Any, path: Path, __: int) -> Iterator[Fault]:
    yield path, "nothing is allowed here"


def _fine(test: _Test, value: Any, path: Path, depth: int) -> bool:
    return next(test(value, path, depth), None) is None


def _type(_: _Compiler, wanted: Any, __: Any, at: str, ___: int) -> _Test:
    names = wanted if isinstance(wanted, list) else [wanted]
    if not names or any(name not in _TYPES for name in names):
        raise BadSchema(f"{at}: {wanted!r} is no type")
    tests = [_TYPES[name] for name in names]

    def test(value: Any, path: Path, _: int) -> Iterator[Fault]:
        if not any(one(value) for one in tests):
            yield path, f"is not of type {' or '.join(names)}"

    return test


def _enum(_: _Compiler, wanted: Any, __: Any, at: str, ___: int) -> _Test:
    if not isinstance(wanted, list):
        raise BadSchema(f"{at} is no list")

    def test(value: Any, path: Path, _: int) -> Iterator[Fault]:
        if not any(_same(value, one) for one in wanted):
            yield path, f"is none of {', '.join(map(str, wanted))}"

    return test


def _const(_: _Compiler, wanted: Any, __: Any, ___: str, ____: int) -> _Test:
    def test(value: Any, path: Path, _: int) -> Iterator[Fault]:
        if not _same(value, wanted):
            yield path, f"is not {wanted!r}"

    return test


def _required(_: _Compiler, wanted: Any, __: Any, at: str, ___: int) -> _Test:
    if wanted is None:
        return _anything
    if not isinstance(wanted, list):
        raise BadSchema(f"{at} is no list")

    def test(value: Any, path: Path, _: int) -> Iterator[Fault]:
        if isinstance(value, dict):
            for name in wanted:
                if name not in value:
                    yield path, f"{name} is missing"

    return test


def _properties(compiler: _Compiler, wanted: Any, _: Any, at: str, depth: int) -> _Test:
    tests = compiler.named(wanted, at, depth)

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        if isinstance(value, dict):
            for name, one in tests.items():
                if name in value:
                    yield from one(value[name], (*path, name), depth)

    return test


def _patterns(compiler: _Compiler, wanted: Any, _: Any, at: str, depth: int) -> _Test:
    tests = [(_pattern_of(name, at), one) for name, one in compiler.named(wanted, at, depth).items()]

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        if isinstance(value, dict):
            for name, inner in value.items():
                for matches, one in tests:
                    if matches(str(name)):
                        yield from one(inner, (*path, name), depth)

    return test


def _additional(compiler: _Compiler, wanted: Any, schema: Any, at: str, depth: int) -> _Test:
    one = compiler.schema(wanted, at, depth)
    known = set(schema.get("properties") or ())
    patterns = [_pattern_of(name, at) for name in schema.get("patternProperties") or ()]

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name not in known and not any(matches(str(name)) for matches in patterns):
                    yield from one(inner, (*path, name), depth)

    return test


def _names(compiler: _Compiler, wanted: Any, _: Any, at: str, depth: int) -> _Test:
    one = compiler.schema(wanted, at, depth)

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        if isinstance(value, dict):
            for name in value:
                if not _fine(one, name, (*path, name), depth):
                    yield (*path, name), "has a name that is not allowed"

    return test


def _items(compiler: _Compiler, wanted: Any, schema: Any, at: str, depth: int) -> _Test:
    if isinstance(wanted, list):
        tests = compiler.many(wanted, at, depth)
        rest = compiler.schema(schema.get("additionalItems", True), f"{at}(more)", depth)
    else:
        tests, rest = [], compiler.schema(wanted, at, depth)

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        if isinstance(value, list):
            for index, inner in enumerate(value):
                yield from (tests[index] if index < len(tests) else rest)(inner, (*path, index), depth)

    return test


def _contains(compiler: _Compiler, wanted: Any, schema: Any, at: str, depth: int) -> _Test:
    one = compiler.schema(wanted, at, depth)
    least, most = schema.get("minContains", 1), schema.get("maxContains")

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        if isinstance(value, list):
            count = sum(_fine(one, inner, (*path, index), depth) for index, inner in enumerate(value))
            if count < least or (most is not None and count > most):
                yield (
                    path,
                    "does not contain what it must" if count < least else "contains too much of something",
                )

    return test


def _all(compiler: _Compiler, wanted: Any, _: Any, at: str, depth: int) -> _Test:
    tests = compiler.many(wanted, at, depth)

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        for one in tests:
            yield from one(value, path, depth)

    return test


def _any(compiler: _Compiler, wanted: Any, _: Any, at: str, depth: int) -> _Test:
    tests = compiler.many(wanted, at, depth)

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        if not any(_fine(one, value, path, depth) for one in tests):
            # the alternative that goes furthest is most likely the one that was meant
            yield max((list(one(value, path, depth)) for one in tests), key=lambda said: len(said[0][0]))[0]

    return test


def _one(compiler: _Compiler, wanted: Any, _: Any, at: str, depth: int) -> _Test:
    tests = compiler.many(wanted, at, depth)

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        count = sum(_fine(one, value, path, depth) for one in tests)
        if count != 1:
            yield path, "is none of what it may be" if not count else "is more than one of what it may be"

    return test


def _not(compiler: _Compiler, wanted: Any, _: Any, at: str, depth: int) -> _Test:
    one = compiler.schema(wanted, at, depth)

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        if _fine(one, value, path, depth):
            yield path, "is what it must not be"

    return test


def _if(compiler: _Compiler, wanted: Any, schema: Any, at: str, depth: int) -> _Test:
    when = compiler.schema(wanted, at, depth)
    then = compiler.schema(schema.get("then", True), f"{at}.then", depth)
    other = compiler.schema(schema.get("else", True), f"{at}.else", depth)

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        yield from (then if _fine(when, value, path, depth) else other)(value, path, depth)

    return test


def _ref(compiler: _Compiler, wanted: Any, _: Any, at: str, __: int) -> _Test:
    return compiler.reference(wanted, at)


def _dependent(compiler: _Compiler, wanted: Any, _: Any, at: str, depth: int) -> _Test:
    tests = compiler.named(wanted, at, depth)

    def test(value: Any, path: Path, depth: int) -> Iterator[Fault]:
        if isinstance(value, dict):
            for name, one in tests.items():
                if name in value:
                    yield from one(value, path, depth)

    return test


def _needing(_: _Compiler, wanted: Any, __: Any, at: str, ___: int) -> _Test:
    if not isinstance(wanted, dict):
        raise BadSchema(f"{at} is no mapping")

    def test(value: Any, path: Path, _: int) -> Iterator[Fault]:
        if isinstance(value, dict):
            for name, others in wanted.items():
                for other in others if name in value and isinstance(others, list) else ():
                    if other not in value:
                        yield path, f"{other} is missing beside {name}"

    return test


def _pattern_of(pattern: Any, at: str) -> Callable[[str], bool]:
    try:
        return regexes.finder(str(pattern))
    except regexes.BadPattern as error:
        raise BadSchema(f"{at}: {error}") from error


def _pattern(_: _Compiler, wanted: Any, __: Any, at: str, ___: int) -> _Test:
    matches = _pattern_of(wanted, at)

    def test(value: Any, path: Path, _: int) -> Iterator[Fault]:
        if isinstance(value, str) and not matches(value):
            yield path, f"does not match {wanted}"

    return test


def _bound(
    concerns: Callable[[Any], bool],
    measure: Callable[[Any], Any],
    holds: Callable[[Any, Any], bool],
    said: str,
) -> Any:
    """Make the keyword that compares some measure of a value with a number."""

    def make(_: _Compiler, wanted: Any, __: Any, at: str, ___: int) -> _Test:
        if not _numeric(wanted):
            raise BadSchema(f"{at} is no number")

        def test(value: Any, path: Path, _: int) -> Iterator[Fault]:
            if concerns(value) and not holds(measure(value), wanted):
                yield path, said.format(wanted)

        return test

    return make


def _unique(_: _Compiler, wanted: Any, __: Any, ___: str, ____: int) -> _Test:
    def test(value: Any, path: Path, _: int) -> Iterator[Fault]:
        if wanted is True and isinstance(value, list):
            for index, one in enumerate(value[:1000]):
                if any(_same(one, other) for other in value[:index]):
                    yield (*path, index), "is there twice"

    return test


def _quantity(least: bool) -> Any:
    """Make Polaris's keyword that compares an amount of a resource."""

    def make(_: _Compiler, wanted: Any, __: Any, at: str, ___: int) -> _Test:
        try:
            bound = quantities.parse(wanted if isinstance(wanted, str) else str(wanted))
        except ValueError as error:
            raise BadSchema(f"{at}: {error}") from error

        def test(value: Any, path: Path, _: int) -> Iterator[Fault]:
            if not isinstance(value, str) and not _numeric(value):
                yield path, "is no amount"
                return
            try:
                amount = quantities.parse(value)
            except ValueError:
                yield path, f"{value!r} is no amount"
                return
            if amount < bound if least else amount > bound:
                yield path, f"{value} is {'less' if least else 'more'} than {wanted}"

        return test

    return make


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _itself(value: Any) -> Any:
    return value


def _at_least(value: Any, bound: Any) -> bool:
    return bool(value >= bound)


def _at_most(value: Any, bound: Any) -> bool:
    return bool(value <= bound)


_KEYWORDS: Final[Mapping[str, Callable[[_Compiler, Any, Any, str, int], _Test]]] = {
    "$ref": _ref,
    "additionalProperties": _additional,
    "allOf": _all,
    "anyOf": _any,
    "const": _const,
    "contains": _contains,
    "dependentRequired": _needing,
    "dependentSchemas": _dependent,
    "enum": _enum,
    "exclusiveMaximum": _bound(_numeric, _itself, lambda value, bound: value < bound, "is not less than {}"),
    "exclusiveMinimum": _bound(_numeric, _itself, lambda value, bound: value > bound, "is not more than {}"),
    "if": _if,
    "items": _items,
    "maxItems": _bound(_is_list, len, _at_most, "has more than {} items"),
    "maxLength": _bound(_is_text, len, _at_most, "is longer than {}"),
    "maxProperties": _bound(_is_mapping, len, _at_most, "has more than {} entries"),
    "maximum": _bound(_numeric, _itself, _at_most, "is more than {}"),
    "minItems": _bound(_is_list, len, _at_least, "has fewer than {} items"),
    "minLength": _bound(_is_text, len, _at_least, "is shorter than {}"),
    "minProperties": _bound(_is_mapping, len, _at_least, "has fewer than {} entries"),
    "minimum": _bound(_numeric, _itself, _at_least, "is less than {}"),
    "multipleOf": _bound(
        _numeric, _itself, lambda value, bound: bound != 0 and value % bound == 0, "is no multiple of {}"
    ),
    "not": _not,
    "oneOf": _one,
    "pattern": _pattern,
    "patternProperties": _patterns,
    "properties": _properties,
    "propertyNames": _names,
    "required": _required,
    "resourceMaximum": _quantity(least=False),
    "resourceMinimum": _quantity(least=True),
    "type": _type,
    "uniqueItems": _unique,
}
