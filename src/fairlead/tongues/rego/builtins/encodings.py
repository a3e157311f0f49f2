"""Texts for other systems: base64, hex, URL queries, JSON.

Bytes that are no UTF-8 survive within strings (see `kinds.decode`). Errors are worded as Go's decoders word them.
"""

from __future__ import annotations

import binascii
import json
import math
import re
import urllib.parse
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fairlead.tongues.rego.values import json_text, number, show, sorted_items, to_json

from .kinds import (
    LONGEST_NUMBER,
    Builtin,
    BuiltinError,
    Context,
    OperandError,
    an_object,
    bounded,
    decode,
    encode,
    short,
    table,
    text,
    wrong,
)

_STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL = _STANDARD[:62] + "-_"
_LONGEST_EXAMINED = 1 << 20
_LONGEST_JSON = 16 << 20
_LONE = re.compile("[\ud800-\udfff]")


def clean(value: str) -> str:
    """Return the text with what is no Unicode replaced by U+FFFD, as Go's decoders and printers see it."""
    return value if value.isascii() else _LONE.sub("\ufffd", value)


def base64_decode(value: str, alphabet: str = _STANDARD) -> bytes:
    """Return what base64 text stands for; line ends in it do not matter. Raises BuiltinError as Go words it."""
    raw = encode(value)
    plain = raw.translate(None, b"\r\n")
    if alphabet is _URL:
        if b"+" in plain or b"/" in plain:
            return _by_quantum(raw, alphabet)
        plain = plain.translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return binascii.a2b_base64(plain, strict_mode=True)
    except binascii.Error:
        return _by_quantum(raw, alphabet)


def _by_quantum(raw: bytes, alphabet: str) -> bytes:
    """Decode four characters at a time, to tell where the text goes wrong."""
    if len(raw) > _LONGEST_EXAMINED:
        raise BuiltinError("illegal base64 data")
    values = {ord(sign): place for place, sign in enumerate(alphabet)}
    out = bytearray()
    size = len(raw)
    place = 0
    while place < size:
        bits = count = 0
        while count < 4:
            if place == size:
                if not count:
                    return bytes(out)
                raise _illegal(place - count)
            byte = raw[place]
            place += 1
            if byte in values:
                bits = bits << 6 | values[byte]
                count += 1
            elif byte not in b"\r\n":
                break
        if count == 4:
            out += bits.to_bytes(3)
            continue
        if raw[place - 1] != ord("=") or count < 2:
            raise _illegal(place - 1)
        if count == 2:
            place = _after_lines(raw, place)
            if place == size:
                raise _illegal(size)
            if raw[place] != ord("="):
                raise _illegal(place - 1)
            place += 1
        place = _after_lines(raw, place)
        if place < size:
            raise _illegal(place)
        out += (bits << 6 * (4 - count)).to_bytes(3)[: count - 1]
    return bytes(out)


def _after_lines(raw: bytes, place: int) -> int:
    while place < len(raw) and raw[place] in b"\r\n":
        place += 1
    return place


def _illegal(place: int) -> BuiltinError:
    return BuiltinError(f"illegal base64 data at input byte {place}")


def base64url_decode(value: str) -> bytes:
    """Return what URL-safe base64 stands for, with or without its padding."""
    if not value.endswith("="):
        missing = {0: "", 2: "==", 3: "="}.get(len(encode(value)) % 4)
        if missing is None:
            raise BuiltinError(f"illegal base64url string: {value}")
        value += missing
    return base64_decode(value, _URL)


def base64_encode(value: bytes) -> str:
    """Return bytes as base64 text."""
    return binascii.b2a_base64(value, newline=False).decode()


def base64url_encode(value: bytes) -> str:
    """Return bytes as URL-safe base64 text."""
    return base64_encode(value).replace("+", "-").replace("/", "_")


def _valid_base64(_: Context, value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        base64_decode(value)
    except BuiltinError:
        return False
    return True


def hex_decode(_: Context, value: Any) -> str:
    """Return what pairs of hexadecimal digits stand for."""
    found = text(value, 1)
    strange = re.search("[^0-9a-fA-F]", found)
    if strange is not None:
        code = encode(found)[strange.start()]
        sign = (
            f"'{chr(code)}'"
            if 0x20 <= code < 0x7F
            else f"'{chr(code)}'"
            if code >= 0xA1
            else f"'\\x{code:02x}'"
        )
        raise BuiltinError(f"encoding/hex: invalid byte: U+{code:04X} {sign}")
    if len(found) % 2:
        raise BuiltinError("encoding/hex: odd length hex string")
    return decode(bytes.fromhex(found))


def query_escape(value: str) -> str:
    """Return the text as it stands in a URL's query."""
    short(len(value) * 3)
    return urllib.parse.quote_plus(encode(value), safe="")


_ESCAPE = re.compile("%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)


def query_unescape(value: str) -> str:
    """Return the text that stands in a URL's query."""
    strange = _ESCAPE.search(value)
    if strange is not None:
        raise BuiltinError(f"invalid URL escape {json.dumps(strange[0], ensure_ascii=False)}")
    return decode(urllib.parse.unquote_to_bytes(encode(value.replace("+", " "))))


def encode_object(_: Context, value: Any) -> str:
    """Return a URL's query with the object's strings, keys sorted."""
    pairs: list[str] = []
    for name, inner in sorted(to_json(an_object(value, 1)).items()):
        values = inner if type(inner) is list else [inner]
        for one in values:
            if type(one) is not str:
                raise OperandError("operand 1 values must be string, array[string], or set[string]")
            pairs.append(f"{query_escape(name)}={query_escape(one)}")
    return "&".join(pairs)


def decode_object(_: Context, value: Any) -> dict[str, list[str]]:
    """Return a URL's query as an object of arrays of strings."""
    found: dict[str, list[str]] = {}
    query = text(value, 1)
    bounded(query.count("&"))
    for pair in query.split("&"):
        if ";" in pair:
            raise BuiltinError("invalid semicolon separator in query")
        if pair:
            name, _equals, inner = pair.partition("=")
            found.setdefault(query_unescape(name), []).append(query_unescape(inner))
    return found


_IN_JSON = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)


def marshal(value: Any) -> str:
    """Return a value as Go's JSON text: compact, keys sorted, with `<`, `>` and `&` escaped."""
    return clean(json_text(value)).translate(_IN_JSON)


def marshal_with_options(_: Context, value: Any, options: Any) -> str:
    """Return a value as JSON text, with line ends, an indent and a prefix when asked for."""
    indent, prefix, pretty, asked = "\t", "", False, None
    for name, option in sorted_items(an_object(options, 2)):
        if type(name) is not str:
            raise OperandError(
                f"operand 2 failed to stringify key {show(name)} at index 0: {wrong(0, name, 'string')}"
            )
        if name in {"prefix", "indent"}:
            if type(option) is not str:
                raise OperandError(
                    f"operand 2 key {show(name)} failed cast to string: {wrong(0, option, 'string')}"
                )
            pretty = True
            prefix, indent = (option, indent) if name == "prefix" else (prefix, option)
        elif name == "pretty":
            if type(option) is not bool:
                raise OperandError(f"operand 2 key {show(name)} failed cast to bool")
            asked = option
        else:
            raise OperandError(f"operand 2 object contained unknown key {show(name)}")
    if not (pretty if asked is None else asked):
        return marshal(value)
    pieces: list[str] = [prefix]
    _indented(to_json(value), f"\n{prefix}", indent, pieces, [0])
    return "".join(pieces)


def _indented(value: Any, line: str, indent: str, pieces: list[str], size: list[int]) -> None:
    """Add the JSON text of a value over several lines."""
    if type(value) not in {list, dict} or not value:
        pieces.append(marshal(value))
        size[0] = short(size[0] + len(pieces[-1]))
        return
    inner = line + indent
    named = sorted(value.items()) if type(value) is dict else [("", element) for element in value]
    pieces.append("{" if type(value) is dict else "[")
    for place, (name, element) in enumerate(named):
        pieces.append(f"{',' if place else ''}{inner}")
        size[0] = short(size[0] + len(pieces[-1]))
        if type(value) is dict:
            pieces.append(f"{marshal(name)}: ")
        _indented(element, inner, indent, pieces, size)
    pieces.append(line + ("}" if type(value) is dict else "]"))


_COMPLAINTS = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after array element",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
}


def _whole(digits: str) -> int:
    return int(digits) if len(digits) < 4000 else _long(digits)


def _long(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER // 4:
        raise BuiltinError("the number is too large")
    return int(Decimal(digits))


def _parts(digits: str) -> int | float:
    found = float(digits)
    if math.isinf(found):
        exact = Decimal(digits)
        if exact.adjusted() > LONGEST_NUMBER // 4:
            raise BuiltinError("the number is too large")
        return int(exact)
    return number(found)


def _never(name: str) -> Any:
    raise BuiltinError(f"invalid character '{name[0]}' looking for beginning of value")


def unmarshal(value: str) -> Any:
    """Return the value that JSON text stands for. Raises BuiltinError as Go's decoder words it."""
    bounded(len(value), _LONGEST_JSON, "characters of JSON")
    try:
        found = json.loads(clean(value), parse_int=_whole, parse_float=_parts, parse_constant=_never)
    except json.JSONDecodeError as error:
        rest = value[error.pos : error.pos + 1]
        said = _COMPLAINTS.get(error.msg, "looking for beginning of value")
        if not rest or error.msg.startswith("Unterminated"):
            raise BuiltinError("unexpected end of JSON input") from None
        raise BuiltinError(f"invalid character {_character(rest)} {said}") from None
    except RecursionError:
        raise BuiltinError("exceeded max depth") from None
    return _paired(found) if "\\u" in value else found


def _character(sign: str) -> str:
    return {"'": "'\\''", '"': "'\"'"}.get(sign) or (
        f"'{sign}'" if sign.isprintable() else f"'\\x{ord(sign):02x}'"
    )


def _paired(value: Any) -> Any:
    """Replace halves of characters that JSON escapes may leave."""
    if type(value) is str:
        return clean(value)
    if type(value) is list:
        return [_paired(element) for element in value]
    if type(value) is dict:
        return {clean(name): _paired(element) for name, element in value.items()}
    return value


def _valid_json(_: Context, value: Any) -> bool:
    if type(value) is not str:
        return False
    try:
        unmarshal(value)
    except BuiltinError:
        return False
    return True


def _text_to_text(change: Callable[[str], str]) -> Callable[..., str]:
    return lambda _, value: change(text(value, 1))


BUILTINS = table(
    Builtin("base64.encode", 1, _text_to_text(lambda value: base64_encode(encode(value)))),
    Builtin("base64.decode", 1, _text_to_text(lambda value: decode(base64_decode(value)))),
    Builtin("base64.is_valid", 1, _valid_base64),
    Builtin("base64url.encode", 1, _text_to_text(lambda value: base64url_encode(encode(value)))),
    Builtin(
        "base64url.encode_no_pad", 1, _text_to_text(lambda value: base64url_encode(encode(value)).rstrip("="))
    ),
    Builtin("base64url.decode", 1, _text_to_text(lambda value: decode(base64url_decode(value)))),
    Builtin("hex.encode", 1, _text_to_text(lambda value: encode(value).hex())),
    Builtin("hex.decode", 1, hex_decode),
    Builtin("urlquery.encode", 1, _text_to_text(query_escape)),
    Builtin("urlquery.decode", 1, _text_to_text(query_unescape)),
    Builtin("urlquery.encode_object", 1, encode_object),
    Builtin("urlquery.decode_object", 1, decode_object),
    Builtin("json.marshal", 1, lambda _, value: marshal(value)),
    Builtin("json.marshal_with_options", 2, marshal_with_options),
    Builtin("json.unmarshal", 1, lambda _, value: unmarshal(text(value, 1))),
    Builtin("json.is_valid", 1, _valid_json),
)
