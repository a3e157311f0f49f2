"""Kyverno's own functions: texts, patterns, numbers, encodings, times, lists.

Each gets the Moment and its arguments, and never asks the world beyond them. Errors are in Kyverno's words.
Source: kyverno/kyverno pkg/engine/jmespath/functions.go and time.go.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import json
import posixpath
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import yaml

from fairlead.tongues import durations, globs, regexes, yamls
from fairlead.tongues.jmespath import arithmetic, certificates, drawing, images, times, versions
from fairlead.tongues.jmespath.functions import LONGEST, STANDARD
from fairlead.tongues.jmespath.kinds import Failed, Function, Moment
from fairlead.tongues.jmespath.rendering import number, sprint

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_A_MATCH = 30
"""What one match costs, in elements looked at."""
_GROUP = re.compile(r"\$(?:\{(\w+)\}|(\w+)|(\$))", re.ASCII)


def _failed(name: str, message: str) -> Failed:
    return Failed(f"JMESPath function '{name}': {message}")


def _mistyped(name: str, index: int, wanted: str) -> Failed:
    return _failed(name, f"argument #{index} is not of type {wanted}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else number(value)


def _replace(_: Moment, text: str, old: str, new: str, times_: float) -> str:
    return _bounded(text, old, new, int(times_))


def _bounded(text: str, old: str, new: str, count: int) -> str:
    if len(new) * (text.count(old) or 1) > LONGEST:
        raise Failed("the text would be too long")
    return text.replace(old, new, count)


def _split(_: Moment, text: str, between: str) -> list[str]:
    return text.split(between) if between else list(text)


def _pattern(name: str, text: str) -> Any:
    try:
        return regexes.compile(text)
    except regexes.BadPattern as error:
        raise _failed(name, f"error parsing regexp: {error}") from None


def _regex_match(_: Moment, pattern: str, text: Any) -> bool:
    return _pattern("regex_match", pattern).search(_text(text)) is not None


def _regex_replace_all(moment: Moment, pattern: str, text: Any, new: Any) -> str:
    compiled = _pattern("regex_replace_all", pattern)
    template = _text(new)
    return _substitute(moment, compiled, _text(text), lambda match: _expand(match, template))


def _regex_replace_all_literal(moment: Moment, pattern: str, text: Any, new: Any) -> str:
    compiled = _pattern("regex_replace_all_literal", pattern)
    literal = _text(new)
    return _substitute(moment, compiled, _text(text), lambda _: literal)


def _substitute(moment: Moment, compiled: Any, text: str, make: Callable[[Any], str]) -> str:
    """Replace each match as Go does: an empty match right after another match is no match."""
    made: list[str] = []
    size = place = 0
    last_end = -1
    for match in compiled.finditer(text):
        start, end = match.span()
        if start == end == last_end:
            continue
        moment.spend(_A_MATCH)
        new = make(match)
        size += len(new)
        if size > LONGEST:
            raise Failed("the text would be too long")
        made += (text[place:start], new)
        place = last_end = end
    made.append(text[place:])
    return "".join(made)


def _expand(match: Any, template: str) -> str:
    """Fill in `$1`, `${1}` and `${name}` as Go's Regexp.Expand does; what is unknown is empty."""

    def fill(found: re.Match[str]) -> str:
        if found[3]:
            return "$"
        name = found[1] or found[2]
        try:
            return match.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, KeyError):
            return ""

    return _GROUP.sub(fill, template)


def _pattern_match(_: Moment, pattern: str, text: Any) -> bool:
    return globs.matches(pattern, _text(text))


def _label_match(_: Moment, wanted: dict[str, Any], labels: dict[str, Any]) -> bool:
    return all(key in labels and labels[key] == value for key, value in wanted.items())


def _to_boolean(_: Moment, text: str) -> bool:
    lower = text.lower()
    if lower not in {"true", "false"}:
        raise _failed("to_boolean", f"lowercase argument must be 'true' or 'false' (provided: '{text}')")
    return lower == "true"


def _base64_decode(_: Moment, text: str) -> str:
    plain = text.replace("\n", "").replace("\r", "")
    try:
        return base64.b64decode(plain, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        bad = re.search(r"[^A-Za-z0-9+/]|.{0}\Z", text)
        raise Failed(f"illegal base64 data at input byte {bad.start() if bad else 0}") from None


def _base64_encode(_: Moment, text: str) -> str:
    if len(text) > LONGEST // 2:
        raise Failed("the text would be too long")
    return base64.b64encode(text.encode()).decode()


def _path_canonicalize(_: Moment, path: str) -> str:
    if not path:
        return ""
    found = posixpath.normpath(path)
    return found[1:] if found.startswith("//") else found


def _truncate(_: Moment, text: str, length: float) -> str:
    return text[: max(int(length), 0)]


def _semver_compare(_: Moment, version: str, range_: str) -> bool:
    try:
        return versions.within(version, range_)
    except ValueError as error:
        raise Failed(str(error)) from None


def _parse_json(_: Moment, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Failed(f"invalid JSON: {error}") from None


def _parse_yaml(_: Moment, text: str) -> Any:
    if "&" in text and text.count("*") > 100:
        raise Failed("the YAML document repeats itself too often")
    try:
        yamls.check_depth(text)
        return _as_json(yaml.load(text, _Loader))  # noqa: S506  the loader is the safe one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Failed(f"yaml: {error}") from None


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {sprint(_as_json(key)): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _lookup(_: Moment, where: Any, key: Any) -> Any:
    if isinstance(where, dict):
        if not isinstance(key, str):
            raise _mistyped("lookup", 2, "String")
        return where.get(key)
    if isinstance(key, str):
        raise _mistyped("lookup", 2, "Number")
    if key != int(key):
        raise _failed("lookup", f"argument #2: expected an integer number but got: {number(key)}")
    return where[int(key)] if 0 <= key < len(where) else None


def _items(_: Moment, where: Any, key_name: str, value_name: str) -> list[dict[str, Any]]:
    if isinstance(where, dict):
        return [{key_name: key, value_name: where[key]} for key in sorted(where)]
    return [{key_name: index, value_name: value} for index, value in enumerate(where)]


def _object_from_lists(_: Moment, keys: list[Any], values: list[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for index, key in enumerate(keys):
        if key is None or isinstance(key, list | dict):
            raise _mistyped("object_from_lists", 1, "StringArray")
        made[sprint(key)] = values[index] if index < len(values) else None
    return made


def _hash(name: str) -> Callable[[Moment, str], str]:
    return lambda _, text: hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()


def _image_normalize(moment: Moment, text: str) -> str:
    try:
        return images.read(text, moment.registry).reference
    except ValueError as error:
        raise _failed("image_normalize", str(error)) from None


def _is_external_url(moment: Moment, url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError as error:
        raise _failed("is_external_url", str(error)) from None
    try:
        addresses = [str(ipaddress.ip_address(host))]
    except ValueError:
        if moment.resolve is None:
            raise _failed("is_external_url", f"lookup {host}: nobody here resolves names") from None
        addresses = moment.resolve(host)
    found = [ipaddress.ip_address(address) for address in addresses]
    return not any(address.is_loopback or _is_private(address) for address in found)


def _is_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(address.version == net.version and address in net for net in _PRIVATE)


_PRIVATE = tuple(
    ipaddress.ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


def _now(moment: Moment) -> str:
    return times.Time(moment.now.replace(microsecond=0)).text()


def _now_utc(moment: Moment) -> str:
    return times.Time(moment.now.astimezone(UTC).replace(microsecond=0)).text()


def _duration(text: str) -> int:
    try:
        return durations.parse(text)
    except ValueError as error:
        raise Failed(str(error)) from None


def _time_since(moment: Moment, layout: str, start: str, end: str) -> str:
    layout = layout or times.RFC3339
    first = times.parse(layout, start)
    last = times.parse(layout, end) if end else times.Time(moment.now, moment.now.microsecond * 1000)
    if not end:
        last = times.Time(moment.now.replace(microsecond=0), moment.now.microsecond * 1000)
    return durations.text(last.since(first))


def _time_add(_: Moment, start: str, duration: str) -> str:
    return times.rfc3339(start).plus(_duration(duration)).text()


def _time_after(_: Moment, one: str, other: str) -> bool:
    return times.rfc3339(one).since(times.rfc3339(other)) > 0


def _time_before(_: Moment, one: str, other: str) -> bool:
    return times.rfc3339(one).since(times.rfc3339(other)) < 0


def _time_between(moment: Moment, one: str, start: str, end: str) -> bool:
    return _time_after(moment, one, start) and _time_before(moment, one, end)


def _time_diff(_: Moment, start: str, end: str) -> str:
    first, last = times.rfc3339(start), times.rfc3339(end)
    return durations.text(last.since(first))


def _time_parse(_: Moment, layout: str, text: str) -> str:
    if re.fullmatch(r"[+-]?\d{1,18}", layout, re.ASCII):
        if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
            raise Failed(f"strconv.ParseInt: parsing {durations.quote(text)}: invalid syntax")
        try:
            return times.Time(datetime.fromtimestamp(int(text), UTC)).text()
        except (ValueError, OverflowError, OSError):
            raise Failed("the time is out of range") from None
    return times.parse(layout, text).text()


def _time_to_cron(_: Moment, text: str) -> str:
    found = times.rfc3339(text)
    at = found.at
    return f"{at.minute} {at.hour} {at.day} {at.month} {found.weekday()}"


def _time_truncate(_: Moment, text: str, duration: str) -> str:
    return times.rfc3339(text).truncated(_duration(duration)).text()


def _compare(_: Moment, left: str, right: str) -> int:
    a, b = left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    return (a > b) - (a < b)


_S = ("string",)
_N = ("number",)
_SN = ("string", "number")
_A = ("array",)
_O = ("object",)
_OA = ("object", "array")
_ANY = ("any",)

_TABLE: tuple[Function, ...] = (
    Function("compare", (_S, _S), _compare),
    Function("equal_fold", (_S, _S), lambda _, a, b: a.casefold() == b.casefold()),
    Function("replace", (_S, _S, _S, _N), _replace),
    Function("replace_all", (_S, _S, _S), lambda _, text, old, new: _bounded(text, old, new, -1)),
    Function("to_upper", (_S,), lambda _, text: text.upper()),
    Function("to_lower", (_S,), lambda _, text: text.lower()),
    Function("trim", (_S, _S), lambda _, text, cut: text.strip(cut) if cut else text),
    Function("trim_prefix", (_S, _S), lambda _, text, prefix: text.removeprefix(prefix)),
    Function("trim_suffix", (_S, _S), lambda _, text, suffix: text.removesuffix(suffix)),
    Function("split", (_S, _S), _split),
    Function("regex_replace_all", (_S, _SN, _SN), _regex_replace_all),
    Function("regex_replace_all_literal", (_S, _SN, _SN), _regex_replace_all_literal),
    Function("regex_match", (_S, _SN), _regex_match),
    Function("pattern_match", (_S, _SN), _pattern_match),
    Function("label_match", (_O, _O), _label_match),
    Function("to_boolean", (_S,), _to_boolean),
    Function("sum", (_A,), lambda _, values: arithmetic.total(values)),
    Function("round", (_N, _N), lambda _, value, places: arithmetic.rounded(value, places)),
    Function("base64_decode", (_S,), _base64_decode),
    Function("base64_encode", (_S,), _base64_encode),
    Function("path_canonicalize", (_S,), _path_canonicalize),
    Function("truncate", (_S, _N), _truncate),
    Function("semver_compare", (_S, _S), _semver_compare),
    Function("parse_json", (_S,), _parse_json),
    Function("parse_yaml", (_S,), _parse_yaml),
    Function("lookup", (_OA, _SN), _lookup),
    Function("items", (_OA, _S, _S), _items),
    Function("object_from_lists", (_A, _A), _object_from_lists),
    Function("random", (_S,), lambda moment, pattern: drawing.draw(pattern, moment)),
    Function("x509_decode", (_S,), lambda _, text: certificates.decode(text)),
    Function("image_normalize", (_S,), _image_normalize),
    Function("is_external_url", (_S,), _is_external_url),
    Function("md5", (_S,), _hash("md5")),
    Function("sha1", (_S,), _hash("sha1")),
    Function("sha256", (_S,), _hash("sha256")),
    Function("time_add", (_S, _S), _time_add),
    Function("time_after", (_S, _S), _time_after),
    Function("time_before", (_S, _S), _time_before),
    Function("time_between", (_S, _S, _S), _time_between),
    Function("time_diff", (_S, _S), _time_diff),
    Function("time_now", (), _now),
    Function("time_now_utc", (), _now_utc),
    Function("time_parse", (_S, _S), _time_parse),
    Function("time_since", (_S, _S, _S), _time_since),
    Function("time_to_cron", (_S,), _time_to_cron),
    Function("time_truncate", (_S, _S), _time_truncate),
    Function("time_utc", (_S,), lambda _, text: times.rfc3339(text).utc().text()),
)


def _operation(call: Callable[[Any, Any], Any]) -> Callable[[Moment, Any, Any], Any]:
    return lambda _, left, right: call(left, right)


KYVERNO: Mapping[str, Function] = {
    **STANDARD,
    **{function.name: function for function in _TABLE},
    **{name: Function(name, (_ANY, _ANY), _operation(call)) for name, call in arithmetic.OPERATIONS.items()},
}
"""The specification's functions and Kyverno's, by name. `sum` takes quantities and durations too."""
