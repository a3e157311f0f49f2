"""One HTTP request to a service that a policy asks: bounded in time and size, JSON or text back.

Never retries, and follows no redirects: who is asked is what the policy names.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

LARGEST = 4 * 1024 * 1024
"""Bytes of an answer that are read at most."""


class AskError(Exception):
    """There is no answer; the text says why."""


async def ask(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    ca: str = "",
    server_name: str = "",
    seconds: float = 10.0,
) -> Any:
    """Return what a service answers: JSON where it is JSON, else text. `ca` is PEM ("" trusts the system's). Raises AskError."""
    sent = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
    read = await fetch(
        url, method=method, body=body, headers=sent, ca=ca, server_name=server_name, seconds=seconds
    )
    try:
        return json.loads(read)
    except ValueError:
        return read.decode(errors="replace")


async def fetch(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    ca: str = "",
    server_name: str = "",
    seconds: float = 10.0,
    limit: int = LARGEST,
) -> bytes:
    """Return the bytes of an answer, at most `limit` of them. Raises AskError."""
    try:
        context = ssl.create_default_context(cadata=ca or None)
        extensions = {"sni_hostname": server_name} if server_name else {}
        async with (
            httpx.AsyncClient(verify=context, timeout=seconds, trust_env=False) as client,
            client.stream(method, url, content=body, headers=headers, extensions=extensions) as response,
        ):
            read = bytearray()
            async for chunk in response.aiter_bytes():
                read += chunk
                if len(read) > limit:
                    raise AskError(f"{url}: the answer is larger than {limit} bytes")
            if response.status_code >= 400:
                raise AskError(
                    f"{url}: HTTP {response.status_code}: {read[:500].decode(errors='replace').strip()}"
                )
    except httpx.TimeoutException as error:
        raise AskError(f"{url}: no answer within {seconds:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, ssl.SSLError) as error:
        raise AskError(f"{url}: {str(error).strip() or type(error).__name__}") from error
    return bytes(read)
