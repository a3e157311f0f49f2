"""One exchange with a registry: the right scheme, who is asking, redirects, further tries, and an end to waiting.

Must never send a login or a token to another host than it is for, plain HTTP to a host that is neither this machine nor named, or
read without a limit. Source: the distribution specification 1.1, RFC 9110.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx

from fairlead import __version__
from fairlead.diagnose.hiding import visible
from fairlead.drivers.oci.credentials import Credentials
from fairlead.drivers.oci.errors import BadDigest, Denied, NotFound, RegistryError, TooLarge, Unreachable
from fairlead.drivers.oci.headers import challenges, retry_after
from fairlead.drivers.oci.references import Reference, is_loopback
from fairlead.drivers.oci.tokens import Answer, Keyring, enter, merged_scopes, scope_of

AGENT: Final = f"fairlead/{__version__}"
LARGEST_ERROR: Final = 64 << 10
LARGEST_TOKEN: Final = 1 << 20
_REDIRECTS: Final = 8
_LONGEST_WAIT: Final = 60.0
_SLOWEST: Final = 1024
"""Bytes that have to come in each second, taken over `read_seconds`, so that a trickle counts as a stall."""
_SMALL: Final = 1 << 20
"""Bytes of a body that are sent in no time to speak of."""
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
TURNS: Final = frozenset({301, 302, 303, 307, 308})
"""Statuses that lead elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How to talk to registries. `plain_http` are hosts (with port) that are talked to without TLS, "*" for all; loopback always may be.

    `ca` is PEM that is trusted beside the system's authorities. `tries` counts the first one.
    """

    plain_http: Collection[str] = ()
    insecure: bool = False
    ca: str = ""
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    tries: int = 4
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    def context(self) -> ssl.SSLContext:
        """Return the TLS settings."""
        context = ssl.create_default_context()
        if self.ca:
            context.load_verify_locations(cadata=self.ca)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: its size, and a function that gives its pieces from the start each time it is called."""

    size: int
    pieces: Callable[[], AsyncIterator[bytes]]


class Wire:
    """Exchanges with many registries, over connections that are kept."""

    def __init__(self, credentials: Credentials, manners: Manners) -> None:
        self._credentials = credentials
        self.manners = manners
        self._client: httpx.AsyncClient | None = None
        self._schemes: dict[str, str] = {}
        self._rings: dict[str, Keyring] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            times = httpx.Timeout(self.manners.read_seconds, connect=self.manners.connect_seconds)
            here = ("all://localhost", "all://127.0.0.1", "all://[::1]")  # never by way of a proxy
            self._client = httpx.AsyncClient(
                verify=self.manners.context(),
                timeout=times,
                follow_redirects=False,
                headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
                mounts=dict.fromkeys(here),
            )
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _plain(self, host: str) -> bool:
        return "*" in self.manners.plain_http or host in self.manners.plain_http

    async def origin(self, ref: Reference) -> str:
        """Return `scheme://host` of the registry. This machine's own are asked whether they speak TLS. Raises Unreachable."""
        host = ref.api_host
        if host not in self._schemes:
            scheme = "https"
            if self._plain(ref.host) or self._plain(host):
                scheme = "http"
            elif ref.loopback:
                scheme = await self._feel(host, ref)
            self._schemes[host] = scheme
        return f"{self._schemes[host]}://{host}"

    async def _feel(self, host: str, ref: Reference) -> str:
        """Return the scheme that a registry of this machine speaks."""
        try:
            status, said = await self._probe(f"http://{host}/v2/", ref)
        except httpx.TimeoutException as error:
            raise Unreachable(
                f"{ref.url}: the registry cannot be reached: {_why(error, self.manners)}"
            ) from error
        except httpx.ConnectError:
            return "http"  # the exchange itself says what is wrong, after further tries
        except httpx.TransportError:
            pass  # it hung up: perhaps it speaks TLS only
        else:
            return "https" if status == 400 and b"HTTPS" in said else "http"
        try:
            await self._probe(f"https://{host}/v2/", ref)
        except httpx.TransportError as error:
            return "https" if _certificate(error) else "http"
        return "https"

    async def _probe(self, url: str, ref: Reference) -> tuple[int, bytes]:
        response = await self._http().send(self._http().build_request("GET", url), stream=True)
        try:
            return response.status_code, await self.read(response, LARGEST_ERROR, ref.url)
        except RegistryError:
            return response.status_code, b""
        finally:
            await response.aclose()

    @contextlib.asynccontextmanager
    async def exchange(
        self,
        method: str,
        url: str,
        ref: Reference,
        *,
        actions: str = "pull",
        also: str = "",
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        repeat: bool = True,
        accept: Collection[int] = (),
    ) -> AsyncIterator[httpx.Response]:
        """Send a request, as often as needed, and give the answer, whose body is not read yet.

        `url` is a path below the registry, or an address that the registry gave. Statuses other than 2xx and `accept` are raised. With
        `repeat` off, a request that broke off is not sent again, since the registry may have begun to work on it.
        """
        scopes = merged_scopes([scope_of(ref.repository, actions) if actions else "", also])
        answer: httpx.Response | None = None
        tried, waits = 0, 0
        while answer is None:
            tried += 1
            try:
                answer = await self._follow(method, url, ref, scopes, headers or {}, body, accept)
            except httpx.TransportError as error:
                waits += isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout)
                if not repeat or waits > 1 or tried >= self.manners.tries or _certificate(error):
                    raise self._unreachable(error, ref) from error
                await self.manners.pause(_backoff(tried))
                continue
            if (
                answer.status_code in _AGAIN
                and answer.status_code not in accept
                and tried < self.manners.tries
            ):
                if not repeat and answer.status_code != 429:
                    break
                wait = retry_after(answer.headers.get("retry-after", ""), time.time())
                await answer.aclose()
                if wait is not None and wait > _LONGEST_WAIT:
                    raise Unreachable(
                        f"{ref.url}: the registry wants to be asked again in {wait:.0f} s ({answer.status_code})"
                    )
                answer = None
                await self.manners.pause(_backoff(tried) if wait is None else wait)
        try:
            if not answer.is_success and answer.status_code not in accept:
                raise await self._refused(answer, ref)
            yield answer
        except httpx.TransportError as error:
            raise self._unreachable(error, ref) from error
        finally:
            await answer.aclose()

    async def _follow(
        self,
        method: str,
        url: str,
        ref: Reference,
        scopes: str,
        headers: Mapping[str, str],
        body: Body | None,
        accept: Collection[int],
    ) -> httpx.Response:
        """Send one request and follow where it leads, unless that is `accept`able as it is; the login stays with the registry."""
        home = await self.origin(ref)
        place = self.joined(home + "/", url, ref)
        seen: set[str] = set()
        challenged = 0
        while True:
            mine = _same(place, home)
            sent = dict(headers)
            if mine and (shown := await self._shown(ref, scopes)):
                sent["Authorization"] = shown
            answer = await self._send(method, place, sent, body)
            if answer.status_code == 401 and mine and challenged < 2:
                challenged += 1
                used = sent.get("Authorization", "")
                offered = challenges(answer.headers.get_list("www-authenticate"))
                said = await self._said(answer, ref)
                await answer.aclose()
                await self._enter(ref, scopes, offered, used, home.startswith("https:"), said)
                continue
            if (
                answer.status_code in accept
                or answer.status_code not in TURNS
                or "location" not in answer.headers
            ):
                return answer
            target = answer.headers["location"]
            await answer.aclose()
            if method not in {"GET", "HEAD"} and answer.status_code not in {307, 308}:
                raise RegistryError(f"{ref.url}: the registry redirects a {method} with {answer.status_code}")
            seen.add(place)
            place = self.joined(place, target, ref)
            if place in seen or len(seen) > _REDIRECTS:
                raise RegistryError(f"{ref.url}: the registry redirects in a circle")

    def joined(self, base: str, target: str, ref: Reference) -> str:
        """Return the address that a registry names, if it may be gone to. Raises RegistryError."""
        try:
            place = urljoin(base, target)
            parts = urlsplit(place)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise RegistryError(
                f"{ref.url}: the registry leads to {visible(target[:200])!r}, which is no address"
            ) from error
        if parts.scheme not in {"http", "https"} or not host:
            raise RegistryError(
                f"{ref.url}: the registry leads to {visible(target[:200])!r}, which is no address"
            )
        named = f"{host}:{port}" if port else host
        if parts.scheme == "http" and not (self._plain(named) or is_loopback(host) or _same(place, base)):
            raise RegistryError(
                f"{ref.url}: the registry leads to {named} without TLS; --plain-http allows that"
            )
        if is_loopback(host) and not is_loopback(urlsplit(base).hostname or ""):
            raise RegistryError(f"{ref.url}: the registry leads to {named}, which is this machine")
        return place

    async def _send(
        self, method: str, place: str, headers: dict[str, str], body: Body | None
    ) -> httpx.Response:
        content: Any = None
        if body is not None:
            headers = {**headers, "Content-Length": str(body.size)}
            content = body.pieces() if body.size else b""
        elif method in {"POST", "PUT", "PATCH"}:
            content = b""
        client = self._http()
        request = client.build_request(method, place, headers=headers, content=content)
        if body is not None and body.size > _SMALL:
            return await client.send(request, stream=True)
        try:
            async with asyncio.timeout(self.manners.connect_seconds + 2 * self.manners.read_seconds):
                return await client.send(request, stream=True)
        except TimeoutError as error:  # its head only trickles
            raise httpx.ReadTimeout("no answer in time", request=request) from error

    async def _shown(self, ref: Reference, scopes: str) -> str:
        ring = self._rings.get(ref.api_host)
        if ring is None:
            return ""
        login = await self._credentials.find(ref.host, ref.repository) if ring.scheme == "basic" else None
        return ring.header(scopes, login)

    async def _enter(
        self, ref: Reference, scopes: str, offered: list[Any], used: str, secure: bool, said: str
    ) -> None:
        """Answer a challenge, one task at a time for the same rights."""
        host = ref.api_host
        async with self._locks.setdefault((host, scopes), asyncio.Lock()):
            ring = self._rings.setdefault(host, Keyring())
            login = await self._credentials.find(ref.host, ref.repository)
            known = ring.header(scopes, login)
            if known and known != used:
                return  # somebody else has just got in
            if used.startswith("Basic"):
                who = login.username if login else "nobody"
                raise Denied(
                    f"{ref.url}: the registry does not accept the login of {who} ({said}); log in again: fairlead registry login {ref.host}"
                )
            ring.tokens.pop(scopes, None)
            await enter(ring, offered, scopes, login, ref.host, secure, self._ask)

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        """Send a request to an issuer of tokens; it may not lead elsewhere."""
        client, issuer = self._http(), urlsplit(url).hostname or ""
        tried = 0
        while True:
            tried += 1
            try:
                request = client.build_request(method, url, headers=dict(headers), content=content)
                async with asyncio.timeout(2 * self.manners.read_seconds):
                    response = await client.send(request, stream=True)
                    try:
                        if response.status_code in _AGAIN and tried < self.manners.tries:
                            wait = retry_after(response.headers.get("retry-after", ""), time.time())
                        else:
                            body = await self.read(response, LARGEST_TOKEN, f"{issuer}, which issues tokens")
                            return Answer(response.status_code, body)
                    finally:
                        await response.aclose()
            except (httpx.TransportError, TimeoutError) as error:
                if tried >= min(2, self.manners.tries):
                    raise Unreachable(
                        f"{issuer}, which issues tokens, cannot be reached: {_why(error)}"
                    ) from error
                wait = None
            await self.manners.pause(_backoff(tried) if wait is None else min(wait, _LONGEST_WAIT))

    async def pieces(self, response: httpx.Response, what: str) -> AsyncIterator[bytes]:
        """Yield a body as it comes, undecoded. Raises Unreachable where it stalls or only trickles."""
        window, count = time.monotonic(), 0
        async for piece in response.aiter_raw():
            count += len(piece)
            now = time.monotonic()
            if now - window >= self.manners.read_seconds:
                if count < _SLOWEST * (now - window):
                    raise Unreachable(f"{what}: the registry stalls: {count} bytes in {now - window:.0f} s")
                window, count = now, 0
            yield piece

    async def read(self, response: httpx.Response, limit: int, what: str) -> bytes:
        """Return a body of at most `limit` bytes. Raises TooLarge, Unreachable."""
        announced = response.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > limit:
            raise TooLarge(f"{what}: an answer of {announced} bytes, and at most {limit} are read")
        found = bytearray()
        async for piece in self.pieces(response, what):
            found += piece
            if len(found) > limit:
                raise TooLarge(f"{what}: an answer of more than the {limit} bytes that are read")
        return bytes(found)

    async def _said(self, response: httpx.Response, ref: Reference) -> str:
        """Return what a registry gives as its reason: status, code and message, fit to be shown."""
        try:
            text = await self.read(response, LARGEST_ERROR, ref.url)
        except (RegistryError, httpx.TransportError):
            text = b""
        return f"{response.status_code}{_reasons(text)}"

    async def _refused(self, response: httpx.Response, ref: Reference) -> RegistryError:
        said = await self._said(response, ref)
        status = response.status_code
        if status == 401:
            hint = f"log in: fairlead registry login {ref.host}"
            return Denied(f"{ref.url}: the registry wants to know who is asking ({said}); {hint}")
        if status == 403 or "DENIED" in said:
            return Denied(f"{ref.url}: the registry does not allow this ({said})")
        if status == 404:
            return NotFound(f"{ref.url}: not found ({said})")
        if status == 413:
            return TooLarge(f"{ref.url}: too large for the registry ({said})")
        if "DIGEST_INVALID" in said:
            return BadDigest(f"{ref.url}: the registry found another digest ({said})")
        if status in _AGAIN:
            return Unreachable(f"{ref.url}: the registry fails ({said})")
        return RegistryError(f"{ref.url}: the registry refused ({said})")

    def _unreachable(self, error: httpx.TransportError, ref: Reference) -> Unreachable:
        return Unreachable(f"{ref.url}: the registry cannot be reached: {_why(error, self.manners)}")


def _same(one: str, other: str) -> bool:
    """Return whether two addresses are of one origin."""
    a, b = urlsplit(one), urlsplit(other)
    ports = {"http": 80, "https": 443}
    return (a.scheme, a.hostname, a.port or ports.get(a.scheme)) == (
        b.scheme,
        b.hostname,
        b.port or ports.get(b.scheme),
    )


def _backoff(tried: int) -> float:
    return 0.25 * float(2 ** (tried - 1)) * random.uniform(0.75, 1.25)


def _certificate(trouble: BaseException) -> str:
    """Return what is wrong with a registry's certificate, "" where that is not the trouble."""
    error: BaseException | None = trouble
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ssl.SSLCertVerificationError):
            return str(error.verify_message)
        error = error.__cause__ or error.__context__
        seen += 1
    return ""


def _why(error: BaseException, manners: Manners | None = None) -> str:
    if wrong := _certificate(error):
        return f"its certificate is not accepted: {wrong}"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        seconds = f" for {manners.read_seconds:g} s" if manners else ""
        return f"it stalls: nothing came{seconds}"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return f"it broke off{': ' + visible(str(error)) if str(error) else ''}"
    return visible(str(error)) or type(error).__name__


def _reasons(text: bytes) -> str:
    """Return ` CODE: message` of the first errors of an answer."""
    try:
        errors = json.loads(text)["errors"]
        found = [
            f"{item.get('code') or 'UNKNOWN'}: {item.get('message') or ''}".rstrip(": ")
            for item in errors[:3]
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return f" {visible('; '.join(found))[:500]}" if found else ""
