"""Outputs of rules: `%field`, `%field[argument]`, `%tolower(field)` in a text -> lines as Falco writes them, in words and in JSON.

Reads an event's fields and a time that it is given; knows no clock and writes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fairlead.sense.events import printable, safe_json
from fairlead.tongues import conditions
from fairlead.tongues.conditions import (
    BadCondition,
    Call,
    FieldRef,
    Getter,
    Many,
    NoSuchField,
    Resolver,
    Type,
)
from fairlead.tongues.conditions.matching import shown

_WIDTH = re.compile(r"[0-9]+")
_TIMES = frozenset({"evt.time", "evt.time.s", "evt.time.iso8601", "evt.datetime", "evt.datetime.s"})
"""Fields that are a number of nanoseconds in JSON, whatever they are in words."""

SUGGESTED = (
    "container_id=%container.id container_name=%container.name container_image_repository=%container.image.repository "
    "container_image_tag=%container.image.tag k8s_pod_name=%k8s.pod.name k8s_ns_name=%k8s.ns.name"
)
"""What Falco's container plugin has appended to the output of every rule over system calls."""


class BadOutput(ValueError):
    """An output that cannot be: the message says why, `index` where in the text. `unknown` names the field that nobody knows, or is ""."""

    def __init__(self, message: str, index: int, unknown: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.index = index
        self.unknown = unknown


@dataclass(frozen=True, slots=True)
class Token:
    """A field in an output: its own text (`proc.aname[2]`), how to get it, and the width that it is cut or filled to (0: its own)."""

    name: str
    getter: Getter
    width: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """An output text, read. Whether it has a `*` in front makes no difference: Falco puts one there itself."""

    text: str
    tokens: tuple[str | Token, ...]

    def message(self, event: Any) -> str:
        """Return the text with its fields filled in; `<NA>` where a value is absent."""
        return "".join(token if isinstance(token, str) else _in_words(token, event) for token in self.tokens)

    def fields(self, event: Any, time: int) -> dict[str, Any]:
        """Return the values of its fields as JSON has them: null where a value is absent, and times in nanoseconds."""
        return {
            token.name: time if token.name in _TIMES else _in_json(token.getter, event)
            for token in self.tokens
            if isinstance(token, Token)
        }


def read(text: str, resolver: Resolver) -> Output:
    """Return the output that a text is. Raises BadOutput."""
    text = text.strip()
    body = text.removeprefix("*")
    offset = len(text) - len(body)
    if not body:
        raise BadOutput("empty formatting token", 0)
    tokens: list[str | Token] = []
    start = 0
    while True:
        at = body.find("%", start)
        if at < 0:
            break
        if at > start:
            tokens.append(body[start:at])
        token, start = _token(body, at, resolver, offset)
        tokens.append(token)
    if start < len(body):
        tokens.append(body[start:])
    return Output(text, tuple(tokens))


def _token(body: str, at: int, resolver: Resolver, offset: int) -> tuple[Token, int]:
    """The field after a percent sign, and where it ends."""
    if at == len(body) - 1:
        raise BadOutput("invalid formatting syntax: formatting cannot end with a %", at + offset)
    width = _WIDTH.match(body, at + 1)
    begin = width.end() if width else at + 1
    if begin == len(body):
        raise BadOutput("invalid formatting syntax: formatting cannot end with a number", at + offset)
    try:
        found = conditions.leading_reference(body, begin)
    except BadCondition as wrong:
        raise BadOutput(
            f"invalid formatting token {body[begin : begin + 40]}: {wrong.message}", at + offset
        ) from None
    if found is None:
        raise BadOutput(f"invalid formatting token {body[begin : begin + 40]}", at + offset)
    ref, end = found
    cells = int(width.group()) if width else 0
    first: NoSuchField | None = None
    while True:
        try:
            return Token(conditions.show_operand(ref), conditions.getter(ref, resolver), cells), end
        except NoSuchField as wrong:
            first = first or wrong
            # A name may be followed by a dot and a word that belong to the sentence.
            if isinstance(ref, Call) or ref.argument is not None or ref.name.count(".") < 2:
                said = f"invalid formatting token {first.field}: {first.message}"
                raise BadOutput(said, at + offset, first.field) from None
            shorter = ref.name.rpartition(".")[0]
            end -= len(ref.name) - len(shorter)
            ref = FieldRef(shorter, None, ref.at)
        except BadCondition as wrong:
            raise BadOutput(
                f"invalid formatting token {body[begin : begin + 40]}: {wrong.message}", at + offset
            ) from None


def _in_words(token: Token, event: Any) -> str:
    value = _value(token.getter, event)
    if value is None:
        text = "<NA>"
    elif token.getter.many is Many.LIST:
        text = "(" + ",".join(printable(shown(one, token.getter.type)) for one in value) + ")"
    else:
        text = printable(shown(value, token.getter.type))
    return text[: token.width].ljust(token.width) if token.width else text


def _value(getter: Getter, event: Any) -> Any:
    """A field's value; None where it is absent; of one that is compared by any of several values, the first."""
    value = getter.get(event)
    if getter.many is Many.ONE:
        return value
    if not value:
        return None
    return value if getter.many is Many.LIST else value[0]


def _in_json(getter: Getter, event: Any) -> Any:
    value = _value(getter, event)
    if value is None or getter.many is not Many.LIST:
        return _one_in_json(value, getter.type)
    return [_one_in_json(one, getter.type) for one in value]


def _one_in_json(value: Any, of: Type) -> Any:
    if value is None or of in {Type.INT, Type.PORT, Type.BOOL, Type.DOUBLE}:
        return value
    text = shown(value, of)
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def clock(time: int, zone: int = 0) -> str:
    """Return a time (ns since the epoch) as HH:MM:SS.nnnnnnnnn, `zone` seconds east of Greenwich."""
    seconds = (time // 1_000_000_000 + zone) % 86_400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{time % 1_000_000_000:09}"


def iso8601(time: int) -> str:
    """Return a time (ns since the epoch) as YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time // 1_000_000_000)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time % 1_000_000_000:09}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What Falco's own outputs say of a rule. It is the `detail` of a sense.rules.Rule."""

    rule: str
    priority: str
    source: str
    tags: tuple[str, ...]
    output: Output
    exception_fields: tuple[str, ...] = ()
    capture: bool = False
    capture_duration: int = 0

    def line(self, event: Any, time: int, zone: int = 0) -> str:
        """Return Falco's line: `HH:MM:SS.nnnnnnnnn: Priority text`. `time` is ns since the epoch."""
        return f"{clock(time, zone)}: {self.priority} {self.output.message(event)}"

    def record(self, event: Any, time: int, hostname: str, zone: int = 0) -> dict[str, Any]:
        """Return Falco's JSON object, its keys in Falco's order."""
        fields = {**self.output.fields(event, time), "evt.time": time}
        return {
            "hostname": hostname,
            "output": self.line(event, time, zone),
            "output_fields": dict(sorted(fields.items())),
            "priority": self.priority,
            "rule": self.rule,
            "source": self.source,
            "tags": sorted(self.tags),
            "time": iso8601(time),
        }

    def json(self, event: Any, time: int, hostname: str, zone: int = 0) -> str:
        """Return the same as one line."""
        told = self.record(event, time, hostname, zone)
        return safe_json(json.dumps(told, separators=(",", ":"), ensure_ascii=False))


def whole(texts: Sequence[str], *, suggested: bool) -> str:
    """Return an output as its pieces make it: appended ones after a blank, `%container.info` dropped, what plugins suggest and it lacks behind it."""
    text = " ".join(one.strip() for one in texts)
    text = text.replace("%container.info", "").rstrip()
    if suggested:
        text = " ".join([text, *(one for one in SUGGESTED.split() if one.partition("=")[2] not in text)])
    return text
