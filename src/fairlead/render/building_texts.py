"""What the prelude asks Python for: texts that have to be read by more than their characters, amounts, encodings and hashes.

Pure functions of plain data, called from Starlark; a fault is told as `[message, hint]`, with an empty message where there is none.
Must never read anything but what it is given.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from fractions import Fraction
from typing import Any, Final

import orjson

from fairlead.tongues import cron, durations, quantities, regexes, yamls

Fault = list[str]
_FINE: Final[Fault] = ["", ""]

_UNITS: Final = {
    "kb": "k", "kib": "Ki", "ki": "Ki", "mb": "M", "mib": "Mi", "mi": "Mi", "gb": "G", "gib": "Gi", "gi": "Gi", "g": "G",
    "tb": "T", "tib": "Ti", "ti": "Ti", "t": "T", "cpu": "", "cpus": "", "core": "", "cores": "", "mcpu": "m", "millicores": "m", "b": "",
}  # fmt: skip
_AMOUNT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", re.ASCII)

_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_HASH_LENGTH: Final = 10
_LONGEST: Final = 100
"""Characters of a word that is compared with others."""


def quoted(text: str, most: int = 60) -> str:
    """Return a text in quotes, cut where it is long."""
    return json.dumps(text if len(text) <= most else text[: most - 3] + "...", ensure_ascii=False)


def nearest(word: str, words: Iterable[str]) -> str:
    """Return which of the words was probably meant, or ""."""
    if len(word) > _LONGEST:
        return ""
    known = list(words)
    lower = {one.lower().replace("_", "").replace("-", ""): one for one in reversed(known)}
    same = lower.get(word.lower().replace("_", "").replace("-", ""))
    if same is not None:
        return same
    found = difflib.get_close_matches(word, known, 1, 0.7)
    if not found and word:
        plain = [one for one in known if one.rstrip("s") == word.rstrip("s")]
        return plain[0] if plain else ""
    return found[0] if found else ""


def quantity_fault(text: str) -> Fault:
    """Tell what is wrong with an amount, and which one was probably meant."""
    try:
        amount = quantities.parse(text)
    except ValueError:
        found = _AMOUNT.fullmatch(text)
        hint = ""
        if found is not None:
            number, unit = found.groups()
            right = (
                unit
                if unit in {"m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"}
                else _UNITS.get(unit.lower())
            )
            if right is not None:
                hint = f'did you mean "{number}{right}"?'
                if right in {"M", "G", "k", "T"} and unit.lower().endswith("b"):
                    binary = {"k": "Ki"}.get(right, f"{right}i")
                    hint = f'did you mean "{number}{binary}" (of 1024) or "{number}{right}" (of 1000)?'
        return [f'must be an amount such as "100m" or "64Mi", is the text {quoted(text)}', hint]
    if amount < 0:
        return [f"must not be negative, is {quoted(text)}", ""]
    return _FINE


def image_fault(text: str) -> Fault:
    """Tell what is wrong with the reference of an image; one without a tag or a digest is wrong, as it means another image every day."""
    name, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        return [
            f'has the digest {quoted(digest, 80)}, which is none: "sha256:" and 64 hexadecimal digits are',
            "",
        ]
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, tag = name, ""
    elif not _TAG.fullmatch(tag):
        return [f"has the tag {quoted(tag)}, which is none: letters, digits, _, . and - are", ""]
    if not _NAME.fullmatch(path):
        meant = re.sub(r"\A(?:https?|oci|docker)://", "", path).lower()
        hint = f'did you mean "{meant}{text.removeprefix(path)}"?' if _NAME.fullmatch(meant) else ""
        return [f"must name an image, is {quoted(text)}", hint]
    if not tag and not at:
        return [
            f"has neither tag nor digest: {quoted(text)} is another image whenever it is pushed anew",
            f'write a version, such as "{path}:1.2.3"',
        ]
    return _FINE


def image_of(repository: str, tag: str, digest: str) -> list[str]:
    """Return [reference] made of its parts, or which part is wrong, what is wrong with it, and a hint."""
    name, at, own = repository.partition("@")
    path, colon, own_tag = name.rpartition(":")
    if not colon or "/" in own_tag:
        path, own_tag = name, ""
    for field, mine, given in (("tag", own_tag, tag), ("digest", own if at else "", digest)):
        if mine and given and mine != given:
            return [
                field,
                f"the repository {quoted(repository)} has the {field} {quoted(mine)} already, and is given {quoted(given)}",
                "write it once",
            ]
    tag, digest = tag or own_tag, digest or own
    whole = path + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    message, hint = image_fault(whole)
    if message:
        field = "digest" if "the digest" in message else "tag" if "tag" in message else "repository"
        return [field, f"the image {message}", hint]
    return [whole, "", ""]


def text_fault(sort: str, text: str) -> Fault:
    """Tell what is wrong with a text of one of the sorts that take reading: cron, ip, cidr, duration and the like."""
    return _READERS[sort](text)


def _cron(text: str) -> Fault:
    if "TZ=" in text:
        return ["has a time zone, which belongs into `timeZone`", ""]
    try:
        cron.parse(text)
    except ValueError as error:
        return [f"is {quoted(text)}, which is no schedule: {error}", 'five fields are, such as "0 3 * * *"']
    return _FINE


def _ip(text: str) -> Fault:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return [f"must be an IP address, is {quoted(text)}", ""]
    return _FINE


def _cidr(text: str) -> Fault:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        hint = ""
        with suppress(ValueError):
            hint = f'did you mean "{ipaddress.ip_network(text, strict=False)}"?'
        return [f'must be a network such as "10.0.0.0/8", is {quoted(text)}', hint]
    return _FINE


def _base64(text: str) -> Fault:
    try:
        base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return [
            "must be encoded in base64",
            "write stringData, or base64.encode(...), or make it with secret()",
        ]
    return _FINE


def _duration(text: str) -> Fault:
    try:
        durations.parse(text)
    except ValueError:
        digits = text.strip()
        hint = f'did you mean "{digits}s"?' if digits.isdigit() else ""
        return [f'must be a duration such as "1m30s", is {quoted(text)}', hint]
    return _FINE


def _time(text: str) -> Fault:
    return (
        _FINE
        if _TIME.fullmatch(text)
        else [f'must be a time such as "2026-01-31T12:00:00Z", is {quoted(text)}', ""]
    )


def _time_zone(text: str) -> Fault:
    return (
        _FINE
        if re.fullmatch(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", text, re.ASCII) and text != "Local"
        else [f'must be a time zone such as "Europe/Vienna", is {quoted(text)}', ""]
    )


_READERS: Final[dict[str, Callable[[str], Fault]]] = {
    "cron": _cron,
    "ip": _ip,
    "cidr": _cidr,
    "base64": _base64,
    "duration": _duration,
    "time": _time,
    "time-zone": _time_zone,
}


def cel_fault(text: str) -> str:
    """Return what is wrong with an expression in CEL over an object, or ""."""
    from fairlead.tongues import cel

    try:
        cel.Environment(
            variables=("self", "object", "apiVersion", "kind", "metadata", "spec", "status", "data"),
            libraries=cel.kubernetes.LIBRARIES,
        ).compile(text, check=False)
    except cel.BadExpression as error:
        first = str(error).splitlines()[0]
        return re.sub(r"\AERROR: <input>:\d+:(\d+): ", r"at character \1: ", first).partition(" expecting {")[
            0
        ]
    return ""


def matches(pattern: str, text: str) -> bool:
    """Tell whether a schema's pattern is found in a text; a pattern that cannot be read is left to the cluster."""
    try:
        return regexes.finder(pattern)(text)
    except regexes.BadPattern:
        return True


def content_hash(text: str) -> str:
    """Return ten letters that stand for a content: for names, without vowels, so that no words come of it."""
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:12], "big")
    letters = "bcdfghjklmnpqrstvwxz2456789"
    out = ""
    for _ in range(_HASH_LENGTH):
        number, rest = divmod(number, len(letters))
        out += letters[rest]
    return out


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        raise ValueError("base64.decode: the text is not base64 of a text") from None


def _seconds(text: str) -> float | int:
    nanoseconds = durations.parse(text)
    whole, rest = divmod(nanoseconds, durations.SECOND)
    return whole if not rest else nanoseconds / durations.SECOND


def _times(text: str, factor: float) -> str:
    amount = quantities.parse(text) * Fraction(str(factor))
    return quantities.write(amount, quantities.form_of(text))


def _amounts(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, which says of texts that are no amounts that they are none."""

    def call(*given: Any) -> Any:
        try:
            return function(*given)
        except ValueError:
            texts = [str(one) for each in given for one in (each if isinstance(each, list) else [each])]
            wrong = next((one for one in texts if not _is_amount(one)), "")
            raise ValueError(f'{quoted(wrong)} is no amount such as "100m" or "64Mi"') from None

    return call


def _is_amount(text: str) -> bool:
    try:
        quantities.parse(text)
    except ValueError:
        return False
    return True


CALLS: Final[dict[str, Callable[..., Any]]] = {
    "quantity_fault": quantity_fault,
    "image_fault": image_fault,
    "image_of": image_of,
    "text_fault": text_fault,
    "cel_fault": cel_fault,
    "matches": matches,
    "content_hash": content_hash,
    "sha256_hex": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "base64_encoded": lambda text: base64.b64encode(text.encode()).decode(),
    "base64_decoded": _decoded,
    "yaml_text": lambda text: yamls.dump(orjson.loads(text)),
    "compare_quantities": _amounts(quantities.compare),
    "quantity_total": _amounts(lambda amounts: quantities.total(*amounts)),
    "quantity_times": _amounts(_times),
    "quantity_whole": _amounts(lambda text: quantities.whole(quantities.parse(text))),
    "duration_seconds": _seconds,
}
"""What Starlark calls by these names."""
