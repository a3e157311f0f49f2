"""Requests to cloud providers, signed: AWS' signature, version 4. Nothing is sent.

Source: AWS' documentation of Signature Version 4; OPA's messages.
"""

from __future__ import annotations

import hashlib
import hmac
import urllib.parse
from typing import Any

from fairlead.tongues.rego.values import show

from .encodings import marshal
from .kinds import Builtin, BuiltinError, Context, OperandError, an_object, encode, number, table, wrong
from .layouts import Moment, write
from .requests import checked, listed

_CONFIG = ("aws_access_key", "aws_region", "aws_secret_access_key", "aws_service")
_REQUEST = ("method", "url")
_UNSIGNED = {"authorization", "user-agent", "x-amzn-trace-id"}


def _code(key: bytes, said: str) -> bytes:
    return hmac.digest(key, encode(said), "sha256")


def sign(_: Context, request: Any, config: Any, at: Any) -> dict[Any, Any]:
    """Return the request with the headers that sign it."""
    asked, settings = an_object(request, 1), an_object(config, 1)
    missing = [name for name in _CONFIG if name not in settings]
    if missing:
        raise OperandError(f"operand 2 missing required AWS config parameters(s): {listed(missing)}")
    invalid = [name for name in _CONFIG if type(settings[name]) is not str]
    if invalid:
        raise OperandError(
            f"operand 2 invalid values for required AWS config parameters(s): {listed(invalid)}"
        )
    moment = number(at, 1)
    if type(moment) is not int or not 0 <= moment < 1 << 63:
        raise OperandError("operand 3 could not convert time_ns value into a unix timestamp")
    checked(asked)
    headers = asked.get("headers", {})
    if type(headers) is not dict:
        raise wrong(0, headers, "object")
    invalid = [name for name in _REQUEST if type(asked[name]) is not str]
    if invalid:
        raise OperandError(f"operand 1 invalid values for required request parameters(s): {listed(invalid)}")
    unsigned = settings.get("disable_payload_signing", False)
    if type(unsigned) is not bool:
        raise OperandError("operand 2 invalid value for 'disable_payload_signing' in AWS config")
    given = {
        name: value if type(value) is str else "" for name, value in headers.items() if type(name) is str
    }
    signed = _signed(asked, given, settings, moment, unsigned=unsigned)
    return {**asked, "headers": {**given, **signed}}


def _body(asked: dict[Any, Any]) -> bytes:
    if "raw_body" in asked:
        raw = asked["raw_body"]
        return encode(raw) if type(raw) is str else b""
    return encode(marshal(asked["body"])) if "body" in asked else b""


def _signed(
    asked: dict[Any, Any], given: dict[str, str], settings: dict[Any, Any], at: int, *, unsigned: bool
) -> dict[str, str]:
    """Return the headers that the signature adds."""
    try:
        url = urllib.parse.urlsplit(asked["url"])
    except ValueError as error:
        raise BuiltinError(f"parse {show(asked['url'])}: {error}") from None
    day, second = (write(Moment(at), layout) for layout in ("20060102", "20060102T150405Z"))
    service, region = settings["aws_service"], settings["aws_region"]
    digest = "UNSIGNED-PAYLOAD" if unsigned else hashlib.sha256(_body(asked)).hexdigest()
    added = {"host": url.netloc.rpartition("@")[2], "x-amz-date": second}
    if service in {"s3", "glacier"} or unsigned:
        added["x-amz-content-sha256"] = digest
    session = settings.get("aws_session_token")
    if type(session) is str and session:
        added["x-amz-security-token"] = session
    covered = dict(added)
    covered.update((name.lower(), value) for name, value in given.items() if name.lower() not in _UNSIGNED)
    names = sorted(covered)
    path = (
        urllib.parse.quote(urllib.parse.unquote(url.path), safe="/~!$&'()*+,;=:@")
        if "%" not in url.path
        else url.path
    )
    lines = [
        asked["method"],
        path,
        url.query,
        *(f"{name}:{covered[name]}" for name in names),
        "",
        ";".join(names),
        digest,
    ]
    canonical = hashlib.sha256(encode("\n".join(lines))).hexdigest()
    scope = f"{day}/{region}/{service}/aws4_request"
    key = encode(f"AWS4{settings['aws_secret_access_key']}")
    for part in (day, region, service, "aws4_request"):
        key = _code(key, part)
    signature = _code(key, f"AWS4-HMAC-SHA256\n{second}\n{scope}\n{canonical}").hex()
    added["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={settings['aws_access_key']}/{scope},"
        f"SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return added


BUILTINS = table(Builtin("providers.aws.sign_req", 3, sign))
