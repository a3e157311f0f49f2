"""What is wrong with one value, in words, and what would be right: the forms that values can have, one function each.

A value in, the value as it holds and a fault out. What people are likely to have meant is told as a hint. Nothing secret is in a message.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fairlead.tongues import durations, quantities
from fairlead.tongues.paths import Path

if TYPE_CHECKING:
    from fairlead.render.values import ValuesType

Said: TypeAlias = tuple[str, str]
"""What is wrong, and a hint."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at a path: with its key or with its value. In a hint `{raw}` stands for the value as it was written."""

    path: Path
    message: str
    hint: str = ""
    about_key: bool = False
    hidden: bool = False
    missing: bool = False


def leaf(made: ValuesType, value: Any) -> tuple[Any, Said | None]:
    """Return a plain value as it holds (amounts given as numbers become texts), and what is wrong with it."""
    if made.enum:
        return value, _choice(made, value)
    fault = _SORTS[made.sort](made, value)
    if fault is not None:
        return None, fault
    if made.sort == "quantity":
        return value if isinstance(value, str) else json.dumps(value), None
    return value, None


def _choice(made: ValuesType, value: Any) -> Said | None:
    if any(type(one) is type(value) and one == value for one in made.enum):
        return None
    offered = ", ".join(plain(one) for one in made.enum)
    hint = ""
    texts = [one for one in made.enum if isinstance(one, str)]
    if isinstance(value, str):
        near = nearest(value, texts) or next((one for one in texts if one.lower() == value.lower()), "")
        hint = f"did you mean {near}?" if near else ""
    elif "{raw}" and texts and not isinstance(value, dict | list):
        hint = 'a text of that look has quotes: "{raw}"'
    return f"must be one of {offered}, is {shown(value)}", hint


def _text(made: ValuesType, value: Any) -> Said | None:
    if not isinstance(value, str):
        hint = "" if isinstance(value, dict | list) else 'put it in quotes: "{raw}"'
        return f"must be text, is {shown(value)}", hint
    return _length(made, value) or _pattern(made, value)


def _secret(made: ValuesType, value: Any) -> Said | None:
    if not isinstance(value, str):
        return f"must be text, is {kind(value)} (a secret, not shown)", "put it in quotes"
    if made.least is not None and len(value) < made.least:
        return f"must have at least {counted(made.least, 'character')}, has {len(value)}", ""
    if made.most is not None and len(value) > made.most:
        return f"must have at most {counted(made.most, 'character')}, has {len(value)}", ""
    if made.pattern and not fits(made.pattern, value):
        return f"must match {made.pattern} (a secret, not shown)", ""
    return None


def _length(made: ValuesType, value: str) -> Said | None:
    if made.least is not None and len(value) < made.least:
        if not value:
            return "must not be empty", ""
        return f"must have at least {counted(made.least, 'character')}, has {len(value)}: {shown(value)}", ""
    if made.most is not None and len(value) > made.most:
        return f"must have at most {counted(made.most, 'character')}, has {len(value)}: {shown(value)}", ""
    return None


def _pattern(made: ValuesType, value: str) -> Said | None:
    if made.pattern and not fits(made.pattern, value):
        example = f"such as {plain(made.examples[0])}" if made.examples else ""
        return f"must match {made.pattern}, is {shown(value)}", example
    return None


def _boolean(_made: ValuesType, value: Any) -> Said | None:
    if isinstance(value, bool):
        return None
    meant = ""
    if isinstance(value, str) and value.lower() in {"true", "yes", "on", "1", "enabled"}:
        meant = "write true, without quotes"
    elif isinstance(value, str) and value.lower() in {"false", "no", "off", "0", "disabled", ""}:
        meant = "write false, without quotes"
    elif value in {0, 1} if isinstance(value, int | float) else False:
        meant = "write true" if value else "write false"
    return f"must be true or false, is {shown(value)}", meant


def _integer(made: ValuesType, value: Any) -> Said | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"must be a whole number, is {shown(value)}", _numeric_hint(value, whole=True)
    return _range(made, value)


def _number(made: ValuesType, value: Any) -> Said | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"must be a number, is {shown(value)}", _numeric_hint(value, whole=False)
    return _range(made, value)


_LIKE_A_NUMBER = re.compile(r"[-+]?[0-9][0-9_,']*(\.[0-9]+)?\Z", re.ASCII)


def _numeric_hint(value: Any, *, whole: bool) -> str:
    if isinstance(value, str) and len(value) < 30 and (found := _LIKE_A_NUMBER.match(value.strip())):
        bare = re.sub(r"[_,']", "", value.strip()).removeprefix("+")
        if not whole or not found.group(1):
            return f"write {bare}, without quotes" if bare == value else f"write {bare}"
    if whole and isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return f"write {int(value)}"
    return ""


def _range(made: ValuesType, value: float) -> Said | None:
    least, most = made.minimum, made.maximum
    low = isinstance(least, int | float) and value < least
    high = isinstance(most, int | float) and value > most
    if low or high:
        if least is not None and most is not None:
            return f"must be from {least} to {most}, is {plain(value)}", ""
        return (
            f"must be at least {least}, is {plain(value)}"
            if low
            else f"must be at most {most}, is {plain(value)}",
            "",
        )
    if made.multiple_of and Fraction(str(value)) % Fraction(str(made.multiple_of)):
        return f"must be a multiple of {plain(made.multiple_of)}, is {plain(value)}", ""
    return None


def _port(made: ValuesType, value: Any) -> Said | None:
    wanted = "must be a port, a whole number from 1 to 65535"
    if isinstance(value, bool) or not isinstance(value, int):
        hint = _numeric_hint(value, whole=True)
        if not hint and isinstance(value, str) and ":" in value:
            hint = (
                f"only the port itself: {value.rpartition(':')[2]}"
                if value.rpartition(":")[2].isdigit()
                else ""
            )
        if not hint and isinstance(value, str) and value in _WELL_KNOWN:
            hint = f"write {_WELL_KNOWN[value]}"
        return f"{wanted}, is {shown(value)}", hint
    if not 1 <= value <= 65535:
        return f"{wanted}, is {value}", ""
    return _range(made, value)


_WELL_KNOWN: Final[Mapping[str, int]] = {
    "http": 80,
    "https": 443,
    "ssh": 22,
    "dns": 53,
    "postgres": 5432,
    "redis": 6379,
}

_AMOUNT = re.compile(r"\s*([-+]?[0-9]+(?:[.,][0-9]+)?)\s*([A-Za-z%]*)\s*\Z", re.ASCII)
_LARGE: Final[Mapping[str, int]] = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}


def _quantity(made: ValuesType, value: Any) -> Said | None:
    wanted = {
        "cpu": "must be an amount of CPU such as 2, 0.5 or 250m",
        "memory": "must be an amount of memory such as 512Mi or 2Gi",
        "storage": "must be an amount of storage such as 10Gi",
    }.get(made.measures, "must be an amount such as 2, 250m, 512Mi or 10G")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return f"{wanted}, is {shown(value)}", ""
    try:
        amount = quantities.parse(value)
    except ValueError:
        return f"{wanted}, is {shown(value)}", _amount_hint(str(value), made.measures)
    if amount < 0:
        return f"must not be negative, is {plain(value)}", ""
    if made.measures in {"memory", "storage"} and amount and amount.denominator != 1:
        meant = (
            _amount_hint(str(value).replace("m", "M"), made.measures)
            or f"write {str(value).replace('m', 'Mi')}"
        )
        return f"{wanted}, is {shown(value)}, a fraction of a byte", meant
    if made.measures == "cpu" and amount >= 1 << 20:
        return f"{wanted}, is {shown(value)}, which is {float(amount):.0f} cores", ""
    for bound, beyond, word in ((made.minimum, -1, "least"), (made.maximum, 1, "most")):
        if bound is not None:
            limit = quantities.parse(bound)
            if (amount - limit) * beyond > 0:
                return f"must be at {word} {bound}, is {plain(value)}", ""
    return None


def _amount_hint(text: str, measures: str) -> str:
    found = _AMOUNT.match(text)
    if found is None:
        return ""
    number, unit = found.group(1).replace(",", "."), found.group(2).lower()
    if unit in {"", "b", "byte", "bytes"}:
        return f"write {number}"
    if unit in {"core", "cores", "cpu", "cpus", "vcpu"}:
        return f"write {number}" if measures != "memory" else ""
    if unit in {"millicore", "millicores", "mcpu", "mcores"}:
        return f"write {number}m"
    if unit == "%":
        return "shares of something else cannot be written here"
    first = unit[0]
    if first not in _LARGE or unit[1:] not in {"", "b", "i", "ib", "byte", "bytes", "bit"}:
        return ""
    if unit == "m" and measures not in {"memory", "storage"}:
        return f"write {number}m"
    power = _LARGE[first]
    decimal, binary = ("k" if power == 1 else first.upper()), ("K" if power == 1 else first.upper()) + "i"
    if unit[1:2] == "i":
        return f"write {number}{binary}"
    return f"write {number}{decimal} ({_long(number, 1000**power)} bytes) or {number}{binary} ({_long(number, 1024**power)} bytes)"


def _long(number: str, times: int) -> str:
    return f"{int(Fraction(number) * times):,}"


_SPELT: Final[Mapping[str, str]] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds", "millis"), "ms"),
}
_DAYS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("d", "day", "days"), 24),
    **dict.fromkeys(("w", "week", "weeks"), 168),
}


def _duration(made: ValuesType, value: Any) -> Said | None:
    wanted = "must be a duration such as 30s, 5m or 1h30m"
    if not isinstance(value, str):
        seconds = isinstance(value, int | float) and not isinstance(value, bool)
        return f"{wanted}, is {shown(value)}", f"write {plain(value)}s for seconds" if seconds else ""
    try:
        nanoseconds = durations.parse(value)
    except ValueError:
        found = _AMOUNT.match(value)
        hint = ""
        if found is not None:
            number, unit = found.group(1), found.group(2).lower()
            if unit in _SPELT:
                hint = f"write {number}{_SPELT[unit]}"
            elif unit in _DAYS and number.isdigit():
                hint = f"write {int(number) * _DAYS[unit]}h"
            elif not unit:
                hint = f"write {number}s for seconds"
        return f"{wanted}, is {shown(value)}", hint
    if nanoseconds < 0:
        return f"must not be negative, is {value}", ""
    for bound, beyond, word in ((made.minimum, -1, "least"), (made.maximum, 1, "most")):
        if isinstance(bound, str) and (nanoseconds - durations.parse(bound)) * beyond > 0:
            return f"must be at {word} {bound}, is {value}", ""
    return None


_HOST = r"(?:localhost|[a-zA-Z0-9][a-zA-Z0-9-]*(?:\.[a-zA-Z0-9-]+)+(?::[0-9]+)?|[a-zA-Z0-9-]+:[0-9]+)"
_IMAGE = re.compile(
    rf"(?:{_HOST}/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?\Z"
)


def _image(made: ValuesType, value: Any) -> Said | None:
    wanted = "must be an image such as ghcr.io/team/app:1.2.3"
    if not isinstance(value, str):
        return f"{wanted}, is {shown(value)}", ""
    if len(value) < 500 and _IMAGE.match(value):
        return _pattern(made, value)
    hint = ""
    bare = value.strip()
    name, at, digest = bare.partition("@")
    if "://" in bare:
        hint = f"write {bare.partition('://')[2]}, without {bare.partition('://')[0]}://"
    elif bare != value:
        hint = f"write {bare}, without blanks around it"
    elif " " in bare:
        hint = (
            f"a tag follows a colon: {bare.replace(' ', ':', 1)}"
            if bare.count(" ") == 1
            else "an image has no blanks"
        )
    elif at and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        hint = f"a digest is sha256: and 64 hexadecimal digits, not {short(digest)}"
    elif not bare or bare.startswith(":"):
        hint = "the name of the image is missing"
    elif name.endswith(":"):
        hint = f"write a tag behind the colon, or {name[:-1]}"
    elif bare.lower() != bare and _IMAGE.match(bare.lower()):
        repository, colon, tag = name.rpartition(":")
        hint = f"names of images are lowercase: {repository.lower() + colon + tag if colon else name.lower()}"
    return f"{wanted}, is {shown(value)}", hint


_SORTS: Final[Mapping[str, Callable[[ValuesType, Any], Said | None]]] = {
    "text": _text,
    "secret_text": _secret,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "port": _port,
    "quantity": _quantity,
    "duration": _duration,
    "image_ref": _image,
    "choice": lambda _made, _value: None,
}


# How things are said


def kind(value: Any) -> str:
    """Return what sort of thing a value is: `a number`, `a list`."""
    if value is None:
        return "null"
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def shown(value: Any) -> str:
    """Return a value as messages name it: `the text "80"`, `the number 1.5`, `a list`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {json.dumps(short(value), ensure_ascii=False)}"
    if isinstance(value, int | float):
        return f"the number {short(str(value))}"
    if isinstance(value, list | dict) and not value:
        return f"an empty {'list' if isinstance(value, list) else 'mapping'}"
    return kind(value)


def plain(value: Any) -> str:
    """Return a value as one would write it in YAML, shortened."""
    return short(value) if isinstance(value, str) else short(json.dumps(value))


def short(text: str) -> str:
    """Return a text as a message can hold it."""
    line = text.replace("\n", "\\n") if "\n" in text and len(text) > 60 else text
    return line if len(line) <= 60 else line[:57] + "..."


def starlark(value: Any) -> str:
    """Return a plain value as Starlark writes it."""
    return {True: "True", False: "False"}[value] if isinstance(value, bool) else json.dumps(value)


def counted(count: int, thing: str) -> str:
    """Return `1 item`, `2 items`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the word that was probably meant, or ""."""
    known = list(words)
    squeezed = {_squeezed(one): one for one in reversed(known)}
    if _squeezed(word) in squeezed and word not in known:
        return squeezed[_squeezed(word)]
    found = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.72)
    return found[0] if found else ""


def _squeezed(word: str) -> str:
    """Return a word without what is easily mistaken: case, dashes, a plural's s."""
    return word.lower().replace("_", "").replace("-", "").rstrip("s")


def bad_pattern(pattern: str) -> str:
    """Return what is wrong with a regular expression (RE2's), or ""."""
    if not pattern:
        return ""
    from fairlead.tongues import regexes

    try:
        regexes.compile(pattern)
    except regexes.BadPattern as error:
        return str(error)
    return ""


def fits(pattern: str, text: str) -> bool:
    """Return whether the whole text matches the regular expression."""
    from fairlead.tongues import regexes

    return regexes.compile(pattern).fullmatch(text) is not None


def listing_hint(value: Any) -> str:
    """Return how a single thing becomes a list."""
    if isinstance(value, str) and "," in value:
        return (
            f"write [{', '.join(part.strip() for part in value.split(','))}]"
            if len(value) < 60
            else "write a list: [a, b]"
        )
    if isinstance(value, dict):
        return "put a dash before its first key"
    return f"write [{plain(value)}]" if isinstance(value, str | int | float) else ""


def mapping_hint(value: Any) -> str:
    """Return how pairs become a mapping."""
    if isinstance(value, str) and (found := re.fullmatch(r"([\w./-]+)\s*[=:]\s*(\S+)", value)):
        return f"write {found.group(1)}: {found.group(2)} on a line of its own, indented"
    if isinstance(value, list):
        return "write keys and values without dashes"
    return ""


def key_only(line: str) -> str:
    """Return a line of YAML with what is behind its first colon hidden."""
    head, colon, tail = line.partition(":")
    return f"{head}{colon} ****" if tail.strip() else line


def sounds_secret(name: str) -> bool:
    """Return whether a value of this name is likely to be nobody's business."""
    return re.search(r"(?i)pass|secret|token|credential|private|api.?key", name) is not None


def how_to_set(name: str, made: ValuesType) -> str:
    """Return how a missing value is given."""
    if made.secret:
        return f"set it in a values file, or with --set-file {name}=FILE"
    example = plain(made.examples[0]) if made.examples else "..."
    return f"set it in a values file, or with --set {name}={example}"
