"""The texts of faulty fields, and the checks of names, keys and numbers that many kinds share.

Each check returns what is wrong, in Kubernetes' words; nothing here knows a kind.
Sources: k8s.io/apimachinery/pkg/util/validation and .../validation/field.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeAlias

from fairlead.keep.errors import Cause
from fairlead.tongues import quantities, selectors

Causes: TypeAlias = list[Cause]
NameCheck: TypeAlias = Callable[[str], list[str]]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY = "[-._a-zA-Z0-9]+"
_label = re.compile(_LABEL).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch
_label_1035 = re.compile(_LABEL_1035).fullmatch
_key = re.compile(_KEY).fullmatch
_port_characters = re.compile("[-a-z0-9]+").fullmatch
_percent = re.compile("[0-9]+%").fullmatch

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    f"'{_LABEL_1035}')"
)
ENV_TEXT = "a valid environment variable name must consist only of printable ASCII characters other than '='"
KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    f"or 'key-name', regex used for validation is '{_KEY}')"
)
NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than 0"
PORT_RANGE = "must be between 1 and 65535, inclusive"
IMMUTABLE = "field is immutable"
PORT_NAME = (
    "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    "must contain at least one letter (a-z)",
    "must not contain consecutive hyphens",
    "must not begin or end with a hyphen",
)


class Verbatim(str):
    """A bad value whose text is already as Go prints it."""

    __slots__ = ()


def required(field: str, detail: str = "") -> Cause:
    """A field that must be there."""
    return Cause("FieldValueRequired", f"Required value: {detail}" if detail else "Required value", field)


def invalid(field: str, value: Any, detail: str = "") -> Cause:
    """A value that breaks a rule."""
    body = f"Invalid value: {printed(value)}"
    return Cause("FieldValueInvalid", f"{body}: {detail}" if detail else body, field)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    """A value that is not one of a set."""
    names = ", ".join(selectors.quote(name) for name in supported)
    text = f"Unsupported value: {printed(value)}" + (f": supported values: {names}" if names else "")
    return Cause("FieldValueNotSupported", text, field)


def duplicate(field: str, value: Any) -> Cause:
    """A value that is there already."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {printed(value)}", field)


def forbidden(field: str, detail: str) -> Cause:
    """A field that may not be set, or not like this."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", field)


def not_found(field: str, value: Any) -> Cause:
    """A value that refers to something that is not there."""
    return Cause("FieldValueNotFound", f"Not found: {printed(value)}", field)


def too_long(field: str, limit: int) -> Cause:
    """A value of too many bytes."""
    unit = "byte" if limit == 1 else "bytes"
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} {unit}", field)


def too_many(field: str, count: int, limit: int) -> Cause:
    """A list of too many items."""
    unit = "item" if limit == 1 else "items"
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {limit} {unit}", field)


def printed(value: Any) -> str:
    """Return a bad value as Go prints it in an error: strings quoted, maps and lists in Go's syntax."""
    if isinstance(value, Verbatim):
        return str(value)
    if value is None:
        return '"null"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return selectors.quote(value)
    if isinstance(value, Mapping) and all(isinstance(item, str) for item in value.values()):
        return go_map(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return f"[]string{{{', '.join(selectors.quote(item) for item in value)}}}"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def go_map(value: Mapping[str, str] | None) -> str:
    """Return a map of strings in Go's %#v syntax."""
    if value is None:
        return "map[string]string(nil)"
    pairs = (f"{selectors.quote(key)}:{selectors.quote(value[key])}" for key in sorted(value))
    return f"map[string]string{{{', '.join(pairs)}}}"


def go_selector(value: Mapping[str, Any]) -> Verbatim:
    """Return a LabelSelector in Go's %#v syntax, as errors about selectors show it."""
    expressions = value.get("matchExpressions")
    if expressions:
        shown = ", ".join(
            f"v1.LabelSelectorRequirement{{Key:{selectors.quote(one.get('key', ''))}, "
            f"Operator:{selectors.quote(one.get('operator', ''))}, "
            f"Values:{printed(one['values']) if one.get('values') else '[]string(nil)'}}}"
            for one in expressions
        )
        text = f"[]v1.LabelSelectorRequirement{{{shown}}}"
    else:
        text = "[]v1.LabelSelectorRequirement(nil)"
    return Verbatim(
        f"v1.LabelSelector{{MatchLabels:{go_map(value.get('matchLabels'))}, MatchExpressions:{text}}}"
    )


def go_int_or_string(value: str | int) -> Verbatim:
    """Return an IntOrString in Go's %#v syntax."""
    if isinstance(value, str):
        return Verbatim(f"intstr.IntOrString{{Type:1, IntVal:0, StrVal:{selectors.quote(value)}}}")
    return Verbatim(f'intstr.IntOrString{{Type:0, IntVal:{value}, StrVal:""}}')


@lru_cache(maxsize=4096)
def _subdomain_faults(name: str) -> tuple[str, ...]:
    faults = []
    if len(name) > 253:
        faults.append("must be no more than 253 characters")
    if not _subdomain(name):
        faults.append(SUBDOMAIN_TEXT)
    return tuple(faults)


def subdomain(name: str) -> list[str]:
    """Return what is wrong with a DNS-1123 subdomain."""
    return list(_subdomain_faults(name))


def label(name: str) -> list[str]:
    """Return what is wrong with a DNS-1123 label."""
    faults = []
    if len(name) > 63:
        faults.append("must be no more than 63 characters")
    if not _label(name):
        faults.append(LABEL_TEXT)
    return faults


def label_1035(name: str) -> list[str]:
    """Return what is wrong with a DNS-1035 label."""
    faults = []
    if len(name) > 63:
        faults.append("must be no more than 63 characters")
    if not _label_1035(name):
        faults.append(LABEL_1035_TEXT)
    return faults


def path_segment(name: str) -> list[str]:
    """Return what is wrong with a name that only has to fit into a URL's path."""
    if name in {".", ".."}:
        return [f"may not be '{name}'"]
    return [f"may not contain '{sign}'" for sign in ("/", "%") if sign in name]


def port_name(name: str) -> list[str]:
    """Return what is wrong with an IANA service name."""
    if not name or len(name) > 15:
        return ["must be no more than 15 characters"]
    faults = []
    if not _port_characters(name):
        faults.append(PORT_NAME[0])
    if not any("a" <= sign <= "z" for sign in name):
        faults.append(PORT_NAME[1])
    if "--" in name:
        faults.append(PORT_NAME[2])
    if name.startswith("-") or name.endswith("-"):
        faults.append(PORT_NAME[3])
    return faults


def env_name(name: str) -> list[str]:
    """Return what is wrong with the name of an environment variable (which is not empty)."""
    return [] if name.isascii() and name.isprintable() and "=" not in name else [ENV_TEXT]


def config_key(name: str) -> list[str]:
    """Return what is wrong with a key of a ConfigMap or Secret."""
    faults = ["must be no more than 253 characters"] if len(name) > 253 else []
    if not _key(name):
        faults.append(KEY_TEXT)
    return faults + _dots(name)


def _dots(name: str) -> list[str]:
    if name in {".", ".."}:
        return [f"must not be '{name}'"]
    return ["must not start with '..'"] if name.startswith("..") else []


def qualified(name: str) -> list[str]:
    """Return what is wrong with a qualified name such as `example.com/name`."""
    return selectors.key_faults(name)


def port(number: Any) -> list[str]:
    """Return what is wrong with a port's number."""
    return [] if isinstance(number, int) and 1 <= number <= 65535 else [PORT_RANGE]


def address(text: str, field: str) -> Causes:
    """Return what is wrong with an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return [invalid(field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    return []


def cidr(text: str, field: str) -> Causes:
    """Return what is wrong with a block of addresses."""
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        good = False
    else:
        good = "/" in text
    if good:
        return []
    return [invalid(field, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")]


def not_negative(value: Any, field: str) -> Causes:
    """Return a cause for a number under 0; an absent one is fine."""
    return [invalid(field, value, NOT_NEGATIVE)] if isinstance(value, int) and value < 0 else []


def positive_int_or_percent(value: Any, field: str) -> Causes:
    """Return what is wrong with a number that may be a percentage."""
    if isinstance(value, str):
        if not _percent(value):
            text = (
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
                "regex used for validation is '[0-9]+%')"
            )
            return [invalid(field, go_int_or_string(value), text)]
        return []
    return [invalid(field, value, NOT_NEGATIVE)] if isinstance(value, int) and value < 0 else []


def at_most_all(value: Any, field: str) -> Causes:
    """Return a cause for a percentage over 100."""
    if isinstance(value, str) and _percent(value) and int(value[:-1]) > 100:
        return [invalid(field, go_int_or_string(value), "must not be greater than 100%")]
    return []


def one_of(value: Any, field: str, supported: Iterable[str], *, optional: bool = False) -> Causes:
    """Return a cause for a text that is missing or not one of the supported ones, which are listed as given."""
    if not value:
        return [] if optional else [required(field)]
    names = list(supported)
    return [] if value in names else [not_supported(field, value, names)]


def same(new: Any, old: Any, field: str) -> Causes:
    """Return a cause where an immutable field was changed."""
    if new == old:
        return []
    shown = new
    if isinstance(new, Mapping) and ({"matchLabels", "matchExpressions"} & set(new)):
        shown = go_selector(new)
    return [invalid(field, shown, IMMUTABLE)]


def label_map(found: Mapping[str, str] | None, field: str) -> Causes:
    """Return what is wrong with a map of labels."""
    causes: Causes = []
    for key, value in (found or {}).items():
        if _good_label(key, value):
            continue
        causes += [invalid(field, key, fault) for fault in selectors.key_faults(key)]
        causes += [invalid(field, value, fault) for fault in selectors.value_faults(value)]
    return causes


@lru_cache(maxsize=4096)
def _good_label(key: str, value: str) -> bool:
    return not selectors.key_faults(key) and not selectors.value_faults(value)


@lru_cache(maxsize=4096)
def _good_key(key: str) -> bool:
    return not selectors.key_faults(key)


def annotation_map(found: Mapping[str, str] | None, field: str) -> Causes:
    """Return what is wrong with a map of annotations."""
    causes: Causes = []
    size = 0
    for key, value in (found or {}).items():
        size += len(key) + len(value)
        if not _good_key(key.lower()):
            causes += [invalid(field, key, fault) for fault in selectors.key_faults(key.lower())]
    if size > 65536 and sum(len(k.encode()) + len(v.encode()) for k, v in (found or {}).items()) > 262144:
        causes.append(too_long(field, 262144))
    return causes


def selector(found: Mapping[str, Any] | None, field: str) -> Causes:
    """Return what is wrong with a LabelSelector."""
    if not found:
        return []
    causes = label_map(found.get("matchLabels"), f"{field}.matchLabels")
    for index, one in enumerate(found.get("matchExpressions", ())):
        place = f"{field}.matchExpressions[{index}]"
        operator, values = one.get("operator", ""), one.get("values", [])
        if operator in {"In", "NotIn"}:
            if not values:
                causes.append(
                    required(f"{place}.values", "must be specified when `operator` is 'In' or 'NotIn'")
                )
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                causes.append(
                    forbidden(
                        f"{place}.values",
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                    )
                )
        else:
            causes.append(invalid(f"{place}.operator", operator, "not a valid selector operator"))
        key = one.get("key", "")
        causes += [invalid(f"{place}.key", key, fault) for fault in selectors.key_faults(key)]
        for at, value in enumerate(values):
            causes += [
                invalid(f"{place}.values[{at}]", value, fault) for fault in selectors.value_faults(value)
            ]
    return causes


@lru_cache(maxsize=4096)
def amount(text: str) -> Fraction:
    """Return the amount that a checked quantity says."""
    return quantities.parse(text)
