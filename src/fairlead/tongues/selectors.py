"""Label selectors (text and objects) and field selectors, compiled to something that matches.

`parse` and `from_object` give an Expr; `Expr.matches` answers for a mapping of labels. What may be selected on, and
which objects are looked at, is none of this module's business.
Source: k8s.io/apimachinery/pkg/labels, pkg/fields and apis/meta/v1 LabelSelectorAsSelector, error texts included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

Op: TypeAlias = Literal["in", "notin", "=", "==", "!=", "gt", "lt", "exists", "!"]

_TOKENS: Final[Mapping[str, Op | Literal["(", ")", ","]]] = {
    "(": "(",
    ")": ")",
    ",": ",",
    "!": "!",
    "=": "=",
    "==": "==",
    "!=": "!=",
    ">": "gt",
    "<": "lt",
    "in": "in",
    "notin": "notin",
}
_SCAN = re.compile(r"[ \t\r\n]*(?:([=!(),<>]+)|([^=!(),<>\s\0]+))", re.ASCII)
_EXPECTED = "in, notin, =, ==, !=, gt, lt"
_END = ""

_NAME_CHARS = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_NAME_EXAMPLES = f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')"
_PREFIX_TEXT = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation "
    f"is '({_NAME})?')"
)
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_name = re.compile(_NAME).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; `values` are sorted and without duplicates."""

    key: str
    op: Op
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet the condition. An absent label meets `notin`, `!=` and `!`."""
        match self.op:
            case "=" | "==" | "in":
                return labels.get(self.key) in self.values
            case "!=" | "notin":
                return labels.get(self.key) not in self.values
            case "exists":
                return self.key in labels
            case "!":
                return self.key not in labels
        value = _integer(labels.get(self.key))
        limit = _integer(self.values[0])
        if value is None or limit is None:
            return False
        return value > limit if self.op == "gt" else value < limit

    def __str__(self) -> str:
        values = ",".join(self.values)
        match self.op:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.op} ({values})"
            case "gt":
                return f"{self.key}>{values}"
            case "lt":
                return f"{self.key}<{values}"
        return f"{self.key}{self.op}{values}"


@dataclass(frozen=True, slots=True)
class Expr:
    """All of the requirements together, sorted by key. No requirements match everything; `nothing` matches nothing."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether the labels (None counts as none) meet every requirement."""
        if self.nothing:
            return False
        labels = labels or {}
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether this selects everything."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Expr()
NOTHING = Expr(nothing=True)


def parse(text: str) -> Expr:
    """Return what a `labelSelector` parameter or `kubectl -l` says: `app=web,tier in (a,b),!old,size>3`.

    Raises ValueError with Kubernetes' text.
    """
    return _parse(text)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Expr:
    return Expr(_ordered(_Reader(text).requirements()))


def from_object(selector: Mapping[str, Any] | None) -> Expr:
    """Return what a LabelSelector object says. None selects nothing, an empty one everything.

    Raises ValueError with Kubernetes' text; a value of the wrong type counts as absent (schemas refuse it earlier).
    """
    if selector is None:
        return NOTHING
    plain = selector.get("matchLabels")
    found = [
        _requirement(key, "=", [value])
        for key, value in sorted(plain.items() if isinstance(plain, Mapping) else ())
        if isinstance(key, str) and isinstance(value, str)
    ]
    names: dict[str, Op] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    expressions = selector.get("matchExpressions")
    for expression in expressions if isinstance(expressions, list) else ():
        if not isinstance(expression, Mapping):
            continue
        operator, key, values = (expression.get(field) for field in ("operator", "key", "values"))
        if not isinstance(operator, str) or operator not in names:
            raise ValueError(
                f"{quote(operator if isinstance(operator, str) else '')} is not a valid label selector operator"
            )
        given = [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
        found.append(_requirement(key if isinstance(key, str) else "", names[operator], given))
    return Expr(_ordered(found))


def from_labels(labels: Mapping[str, str] | None) -> Expr:
    """Return what a plain map selects (a Service's selector): each label equal. An empty or absent one: everything."""
    return Expr(tuple(Requirement(key, "=", (value,)) for key, value in sorted((labels or {}).items())))


def parse_fields(text: str) -> tuple[tuple[str, Literal["=", "!="], str], ...]:
    r"""Return the terms of a `fieldSelector`: (path, operator, value) with `\`, `,` and `=` in values unescaped.

    Raises ValueError with Kubernetes' text. Which paths a kind knows is for the caller to say.
    """
    terms: list[tuple[str, Literal["=", "!="], str]] = []
    for part in sorted(re.findall(r"(?:[^,\\]|\\.|\\$)+", text, re.DOTALL)):
        split = re.search(r"!=|==|=", part)
        if split is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{part}'")
        operator: Literal["=", "!="] = "!=" if split[0] == "!=" else "="
        terms.append((part[: split.start()], operator, _unescape(part[split.end() :])))
    return tuple(terms)


def key_faults(key: str) -> list[str]:
    """Return what is wrong with a label key (a qualified name), in Kubernetes' words; nothing if it is valid."""
    prefix, slash, name = key.partition("/")
    if "/" in name:
        return [f"a qualified name {_NAME_CHARS} {_NAME_EXAMPLES}{_PREFIX_TEXT}"]
    faults = []
    if not slash:
        name = prefix
    elif not prefix:
        faults.append("prefix part must be non-empty")
    else:
        if len(prefix) > 253:
            faults.append("prefix part must be no more than 253 characters")
        if not _subdomain(prefix):
            faults.append(f"prefix part {_SUBDOMAIN_TEXT}")
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 characters")
    if not _name(name):
        faults.append(f"name part {_NAME_CHARS} {_NAME_EXAMPLES}")
    return faults


def value_faults(value: str) -> list[str]:
    """Return what is wrong with a label value, in Kubernetes' words; nothing if it is valid."""
    faults = []
    if len(value) > 63:
        faults.append("must be no more than 63 characters")
    if value and not _name(value):
        faults.append(_VALUE_TEXT)
    return faults


def quote(text: str) -> str:
    """Return the text as Go's %q prints it."""
    return json.dumps(text, ensure_ascii=False).replace("\u007f", "\\x7f")


class _Reader:
    """Recursive descent over the tokens; a token is (kind, literal), with kind "word" for names and values."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_scan(text))
        self._at = 0

    def requirements(self) -> Iterator[Requirement]:
        kind, literal = self._peek()
        if kind == _END:
            return
        if kind not in ("word", "!"):
            raise ValueError(f"found '{literal}', expected: !, identifier, or 'end of string'")
        while True:
            try:
                yield self._requirement()
            except ValueError as fault:
                raise ValueError(f"unable to parse requirement: {fault}") from None
            kind, literal = self._take()
            if kind == _END:
                return
            if kind != ",":
                raise ValueError(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._peek()
            if kind not in ("word", "!"):
                raise ValueError(f"found '{literal}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, literal = self._take()
        absent = kind == "!"
        if absent:
            kind, literal = self._take()
        if kind != "word":
            raise ValueError(f"found '{literal}', expected: identifier")
        faults = key_faults(literal)
        if faults:
            raise ValueError(f"<nil>: Invalid value: {quote(literal)}: {'; '.join(faults)}")
        if absent or self._peek()[0] in (_END, ","):
            return _requirement(literal, "!" if absent else "exists", ())
        operator, text = self._take(as_words=False)
        match operator:
            case "in" | "notin":
                return _requirement(literal, operator, self._values())
            case "=" | "==" | "!=" | "gt" | "lt":
                return _requirement(literal, operator, [self._exact_value()])
        raise ValueError(f"found '{text}', expected: {_EXPECTED}")

    def _exact_value(self) -> str:
        if self._peek()[0] in (_END, ","):
            return ""
        kind, literal = self._take()
        if kind != "word":
            raise ValueError(f"found '{literal}', expected: identifier")
        return literal

    def _values(self) -> set[str]:
        kind, literal = self._take()
        if kind != "(":
            raise ValueError(f"found '{literal}' expected: '('")
        kind, literal = self._peek()
        if kind == ")":
            self._take()
            return {""}
        if kind not in ("word", ","):
            raise ValueError(f"found '{literal}', expected: ',', ')' or identifier")
        values: set[str] = set()
        while True:
            kind, literal = self._take()
            following, text = self._peek()
            if kind == "word":
                values.add(literal)
                if following not in (",", ")"):
                    raise ValueError(f"found '{text}', expected: ',' or ')'")
            elif kind == ",":
                if not values or following in (",", ")"):
                    values.add("")
                if following == ",":
                    self._take()
            else:
                raise ValueError(f"found '{literal}', expected: ',', or identifier")
            if following == ")":
                self._take()
                return values

    def _peek(self) -> tuple[str, str]:
        kind, literal = self._tokens[self._at]
        return ("word" if kind in ("in", "notin") else kind), literal

    def _take(self, *, as_words: bool = True) -> tuple[str, str]:
        token = self._peek() if as_words else self._tokens[self._at]
        if self._at < len(self._tokens) - 1:
            self._at += 1
        return token


def _scan(text: str) -> Iterator[tuple[str, str]]:
    position, end = 0, len(text.rstrip(" \t\r\n"))
    while position < end:
        found = _SCAN.match(text, position)
        if found is None:
            raise ValueError(f"found {quote(text[position])}, expected: !, identifier, or 'end of string'")
        position = found.end()
        if found[2]:
            yield _TOKENS.get(found[2], "word"), found[2]
            continue
        symbols = found[1]
        while symbols:
            for size in (2, 1):
                if symbols[:size] in _TOKENS:
                    yield _TOKENS[symbols[:size]], symbols[:size]
                    symbols = symbols[size:]
                    break
    yield _END, ""


def _requirement(key: str, op: Op, values: Iterable[str]) -> Requirement:
    given = list(values)
    faults = []
    wrong = key_faults(key)
    if wrong:
        faults.append(f"key: Invalid value: {quote(key)}: {'; '.join(wrong)}")
    shown = f"[]string{{{', '.join(quote(value) for value in given)}}}"
    if op in ("in", "notin") and not given:
        faults.append(
            f"values: Invalid value: {shown}: for 'in', 'notin' operators, values set can't be empty"
        )
    if op in ("exists", "!") and given:
        faults.append(
            f"values: Invalid value: {shown}: values set must be empty for exists and does not exist"
        )
    if op in ("gt", "lt"):
        faults += [
            f"values[{index}]: Invalid value: {quote(value)}: "
            "for 'Gt', 'Lt' operators, the value must be an integer"
            for index, value in enumerate(given)
            if _integer(value) is None
        ]
    for index, value in enumerate(given):
        wrong = value_faults(value)
        if wrong:
            faults.append(f"values[{index}][{key}]: Invalid value: {quote(value)}: {'; '.join(wrong)}")
    if faults:
        unique = list(dict.fromkeys(faults))
        raise ValueError(unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")
    return Requirement(key, op, tuple(sorted(set(given))))


def _ordered(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    found: Sequence[Requirement] = list(requirements)
    return tuple(sorted(found, key=lambda requirement: requirement.key))


def _integer(text: str | None) -> int | None:
    """Read a signed 64-bit integer as Go's ParseInt does."""
    if text is None or len(text) > 40 or not _INTEGER.fullmatch(text):
        return None
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None


def _unescape(value: str) -> str:
    if not any(special in value for special in "\\,="):
        return value
    out, escaped = [], False
    for character in value:
        if escaped:
            if character not in "\\,=":
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{character}")
            out.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value: {ord(character)}")
        else:
            out.append(character)
    if escaped:
        raise ValueError("invalid field selector: invalid escape sequence: \\")
    return "".join(out)
