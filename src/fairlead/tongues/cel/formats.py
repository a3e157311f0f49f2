"""Named formats: `format.dns1123Label().validate('My-Name')` gives what is wrong, or nothing.

The texts are Kubernetes' own. Source: k8s.io/apiserver/pkg/cel/library/format.go, k8s.io/apimachinery/pkg/util/validation.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from fairlead.tongues.cel import times, urls
from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.values import NONE, Optional

FORMAT = t.opaque("kubernetes.NamedFormat")
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def _pattern(text: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{one}', " for one in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


_LABEL_TEXT = _pattern(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_TEXT = _pattern(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_LABEL_1035_TEXT = _pattern(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_NAME_TEXT = _pattern(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _NAME.replace("([A-Za-z0-9][-A-Za-z0-9_.]*)?", "([A-Za-z0-9][-A-Za-z0-9_.]*)?"),
    "MyName",
    "my.name",
    "123-abc",
)
_VALUE_TEXT = _pattern(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _VALUE,
    "MyValue",
    "my_value",
    "12345",
)


def _checked(pattern: str, most: int, text: str, *, prefix: bool = False) -> Callable[[str], list[str]]:
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> list[str]:
        if prefix and value.endswith("-"):
            value = f"{value[:-1]}a"
        found = (
            []
            if len(value.encode("utf-8", "surrogatepass")) <= most
            else [f"must be no more than {most} characters"]
        )
        return found if compiled.fullmatch(value) else [*found, text]

    return check


_label = _checked(_LABEL, 63, _LABEL_TEXT)
_subdomain = _checked(_SUBDOMAIN, 253, _SUBDOMAIN_TEXT)


def _qualified(value: str) -> list[str]:
    parts = value.split("/")
    found: list[str] = []
    name = parts[-1]
    if len(parts) > 2:
        return [
            _NAME_TEXT.replace("must consist", "a qualified name must consist", 1)
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    if len(parts) == 2:
        if not parts[0]:
            found.append("prefix part must be non-empty")
        else:
            found += [f"prefix part {one}" for one in _subdomain(parts[0])]
    if not name:
        found.append("name part must be non-empty")
    elif len(name) > 63:
        found.append("name part must be no more than 63 characters")
    if not re.fullmatch(_NAME, name, re.ASCII):
        found.append(f"name part {_NAME_TEXT}")
    return found


def _uri(value: str) -> list[str]:
    try:
        urls.parse(value)
    except Failed as error:
        return [str(error).removeprefix("URL parse error during conversion from string: ")]
    return []


def _byte(value: str) -> list[str]:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return ["invalid base64"]
    return [] if value else ["invalid base64"]


def _date(value: str) -> list[str]:
    try:
        date.fromisoformat(value)
    except ValueError:
        return ["invalid date"]
    return [] if len(value) == 10 else ["invalid date"]


def _datetime(value: str) -> list[str]:
    try:
        times.read(value)
    except Failed:
        return ["invalid datetime"]
    return []


class Format:
    """A named check of texts; `size` is how long an expression for it would be, which sets its cost."""

    __slots__ = ("check", "name", "size")
    cel_type = FORMAT

    def __init__(self, name: str, check: Callable[[str], list[str]], size: int) -> None:
        self.name = name
        self.check = check
        self.size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


FORMATS: dict[str, Format] = {
    "dns1123Label": Format("DNS1123Label", _label, 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", _subdomain, 60),
    "dns1035Label": Format("DNS1035Label", _checked(_LABEL_1035, 63, _LABEL_1035_TEXT), 30),
    "qualifiedName": Format("QualifiedName", _qualified, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", _checked(_LABEL, 63, _LABEL_TEXT, prefix=True), 30),
    "dns1123SubdomainPrefix": Format(
        "DNS1123SubdomainPrefix", _checked(_SUBDOMAIN, 253, _SUBDOMAIN_TEXT, prefix=True), 60
    ),
    "dns1035LabelPrefix": Format(
        "DNS1035LabelPrefix", _checked(_LABEL_1035, 63, _LABEL_1035_TEXT, prefix=True), 30
    ),
    "labelValue": Format("LabelValue", _checked(_VALUE, 63, _VALUE_TEXT), 40),
    "uri": Format("URI", _uri, 1200),
    "uuid": Format(
        "uuid", lambda value: [] if _UUID.fullmatch(value) else ["does not match the UUID format"], 90
    ),
    "byte": Format("byte", _byte, 80),
    "date": Format("date", _date, 100),
    "datetime": Format("datetime", _datetime, 100),
}


def _validate(one: Format, value: str) -> Optional:
    found = one.check(value)
    return Optional(found) if found else NONE


def _named(name: str) -> Optional:
    return Optional(FORMATS[name]) if name in FORMATS else NONE


def _cost(args: Sequence[Any], _: Any) -> int:
    size = args[0].size if isinstance(args[0], Format) else 1
    return -(-(len(args[1]) + 1) // 10) * -(-size // 4)


def _given(one: Format) -> Callable[[], Format]:
    return lambda: one


LIBRARY = Library(
    "format",
    functions={
        "format.named(string) optional(kubernetes.NamedFormat)": _named,
        ".validate(kubernetes.NamedFormat, string) optional(list(string))": _validate,
        **{f"format.{name}() kubernetes.NamedFormat": _given(one) for name, one in FORMATS.items()},
    },
    constants={"kubernetes.NamedFormat": FORMAT},
    costs={"validate": _cost},
)
