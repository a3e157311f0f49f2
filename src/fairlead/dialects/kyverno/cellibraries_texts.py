"""Small helpers of Kyverno's CEL: JSON, YAML, hashes, certificates, service accounts, times, lists, compression.

Pure functions of their arguments. Source: kyverno/sdk cel/libs.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from fairlead.tongues import cel, yamls
from fairlead.tongues.cel import types
from fairlead.tongues.jmespath import Failed, certificates, to_json

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LONGEST = 16 * 1024 * 1024
_ACCOUNT = "system:serviceaccount:"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO = -62_135_596_800 * 1_000_000_000
"""Go's zero time, which truncation counts from, in nanoseconds since the epoch."""


class Json:
    """The variable `json`."""

    __slots__ = ()
    cel_type = types.opaque("kyverno.Json")

    def unmarshal(self, text: Any) -> Any:
        """Return what a JSON text says."""
        if not isinstance(text, (str, bytes)):
            raise cel.Failed("json: the argument must be a string")
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise cel.Failed(f"failed to unmarshal json: {error}") from None

    def marshal(self, value: Any) -> str:
        """Return a value as JSON text."""
        return to_json(cel.to_json(value))


class Yaml:
    """The variable `yaml`."""

    __slots__ = ()
    cel_type = types.opaque("kyverno.Yaml")

    def parse(self, text: str) -> Any:
        """Return what a YAML text says, as JSON would."""
        try:
            yamls.check_depth(text)
            return _plain(yaml.load(text, _LOADER))  # noqa: S506  a SafeLoader
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise cel.Failed(f"failed to parse yaml: {error}") from None


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > 100:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _hash(name: str) -> Any:
    def digest(text: str) -> str:
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    return digest


def _decode(text: str) -> Any:
    try:
        return certificates.decode(text)
    except Failed as error:
        raise cel.Failed(str(error)) from None


def _account(user: str) -> dict[str, str]:
    """Return a service account's Namespace and Name, empty for any other user."""
    if not user.startswith(_ACCOUNT):
        return {"Namespace": "", "Name": ""}
    namespace, colon, name = user.removeprefix(_ACCOUNT).partition(":")
    return {"Namespace": namespace, "Name": name} if colon else {"Namespace": "", "Name": ""}


def _truncate(moment: Any, span: Any) -> Any:
    if span.ns <= 0:
        return moment
    return cel.Timestamp(moment.ns - (moment.ns - _ZERO) % span.ns)


def _cron(moment: Any) -> str:
    at = _EPOCH + timedelta(seconds=moment.ns // 1_000_000_000)
    return f"{at.minute} {at.hour} {at.day} {at.month} {at.isoweekday() % 7}"


def _round(value: float, places: int) -> float:
    """Round half away from zero, as Go does."""
    shift = 10.0**places
    scaled = value * shift
    if not math.isfinite(scaled):
        return value
    return math.copysign(math.floor(abs(scaled) + 0.5), scaled) / shift


def _list_to_map(keys: list[Any], values: list[Any], key: str, value: str) -> dict[str, Any]:
    if len(keys) != len(values):
        raise cel.Failed(
            f"listObjToMap must take lists of equal length. list1: {len(keys)}, list2: {len(values)}"
        )
    found = {}
    for left, right in zip(keys, values, strict=True):
        name = left.get(key) if isinstance(left, dict) else None
        if not isinstance(name, str):
            raise cel.Failed("the passed key name cannot be handled as a string in the key object list")
        if not isinstance(right, dict):
            raise cel.Failed("object cannot be handled as a map string to any in the value object list")
        found[name] = right.get(value)
    return found


def _compress(text: str) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(text.encode()) + packer.flush()


def _decompress(data: bytes) -> str:
    try:
        unpacker = zlib.decompressobj(wbits=31)
        found = unpacker.decompress(data, _LONGEST)
        if unpacker.unconsumed_tail:
            raise cel.Failed("gzip: the text is too long")
        return found.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise cel.Failed(f"gzip: {error}") from None


_LIST = "list(dyn), list(dyn), string, string"
_HASHES = {
    f"{prefix}{name}(string) string": _hash(name)
    for prefix in ("", "hash.")
    for name in ("sha1", "sha256", "md5")
}
TEXTS = cel.Library(
    "kyverno.texts",
    functions={
        **_HASHES,
        ".unmarshal(kyverno.Json, dyn) dyn": Json.unmarshal,
        ".Unmarshal(kyverno.Json, dyn) dyn": Json.unmarshal,
        ".marshal(kyverno.Json, dyn) string": Json.marshal,
        ".Marshal(kyverno.Json, dyn) string": Json.marshal,
        ".parse(kyverno.Yaml, string) dyn": Yaml.parse,
        ".Parse(kyverno.Yaml, string) dyn": Yaml.parse,
        "x509.decode(string) dyn": _decode,
        "parseServiceAccount(string) map(string, string)": _account,
        "user.parseServiceAccount(string) map(string, string)": _account,
        "time.truncate(timestamp, duration) timestamp": _truncate,
        "time.toCron(timestamp) string": _cron,
        "math.round(double, int) double": _round,
        f"listObjToMap({_LIST}) map(string, dyn)": _list_to_map,
        f"transform.listObjToMap({_LIST}) map(string, dyn)": _list_to_map,
        "gzip.compress(string) bytes": _compress,
        "gzip.decompress(bytes) string": _decompress,
    },
)
