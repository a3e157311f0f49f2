"""Asks a container whether it is well: an HTTP request, a TCP connection, a gRPC health check, or a command inside it.

Says what came back in the words that kubelet's Events have; what the answers mean is decided in orchestrate/probes.
Source: k8s.io/kubernetes/pkg/probe/{http,tcp,grpc,exec}.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx

from fairlead.orchestrate.probes import Action, Answer, Exec, Grpc, Http, Tcp
from fairlead.orchestrate.runtimes import ExecResult, RuntimeFailed

RunCommand = Callable[[Sequence[str], float], Awaitable[ExecResult]]
"""Runs a command in the container; the second argument is the time it may take, in seconds."""

_BODY_LIMIT = 10 << 10


class Prober:
    """One client for all probes of a node: connections are never kept, certificates never checked, as kubelet does it."""

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(
            verify=False,  # noqa: S501  a probe asks whether somebody answers, not who
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"User-Agent": "kube-probe/1.32", "Accept": "*/*", "Connection": "close"},
        )

    async def close(self) -> None:
        """Drop all connections."""
        await self._http.aclose()

    async def ask(self, action: Action, address: str, timeout: float, run: RunCommand) -> Answer:  # noqa: ASYNC109  handed to the runtime
        """Make one probe of a container at an address. Never raises over what the container does."""
        if isinstance(action, Exec):
            return await _exec(action, timeout, run)
        host = address if isinstance(action, Grpc) else action.host or address
        if not host:
            return Answer(
                ok=False, output="the pod has no address: Wasm guests have no network", unsupported=True
            )
        if isinstance(action, Grpc):
            return await _grpc(action, host, timeout)
        if isinstance(action, Tcp):
            return await _tcp(host, action.port, timeout)
        return await self._get(action, host, timeout)

    async def _get(self, action: Http, host: str, timeout: float) -> Answer:  # noqa: ASYNC109  handed to the client
        shown = f"[{host}]" if ":" in host else host
        url = f"{action.scheme}://{shown}:{action.port}{action.path}"
        try:
            async with (
                asyncio.timeout(timeout),
                self._http.stream("GET", url, headers=list(action.headers), timeout=timeout) as response,
            ):
                body = b""
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) >= _BODY_LIMIT:
                        break
        except (TimeoutError, httpx.TimeoutException):
            text = f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
            return Answer(ok=False, output=text)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(ok=False, output=f'Get "{url}": {_why(error, host, action.port)}')
        if 200 <= response.status_code < 400:
            return Answer(ok=True, output=body.decode(errors="replace"))
        return Answer(ok=False, output=f"HTTP probe failed with statuscode: {response.status_code}")


def _why(error: Exception, host: str, port: int) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return _tls(cause)
        if isinstance(cause, OSError) and cause.errno is not None:
            return _dial(cause, host, port)
        cause = cause.__cause__ or cause.__context__
    return str(error).strip() or type(error).__name__


_PLAIN = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
"""What OpenSSL says of an answer that is no TLS."""


def _tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLEOFError):
        return "EOF"
    if error.reason in _PLAIN:
        return "http: server gave HTTP response to HTTPS client"
    return f"remote error: tls: {(error.reason or str(error)).replace('_', ' ').lower()}"


def _dial(error: OSError, host: str, port: int) -> str:
    number = error.errno or 0
    said = os.strerror(number) if number in errno.errorcode else str(error)
    return f"dial tcp {host}:{port}: connect: {said.lower()}"


async def _tcp(host: str, port: int, timeout: float) -> Answer:  # noqa: ASYNC109  the probe's own
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Answer(ok=False, output=f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Answer(ok=False, output=_dial(error, host, port))
    writer.close()
    return Answer(ok=True)


async def _exec(action: Exec, timeout: float, run: RunCommand) -> Answer:  # noqa: ASYNC109  handed to the runtime
    try:
        done = await run(action.command, timeout)
    except TimeoutError:
        return Answer(ok=False, output=f"command timed out: {action.command} timed out after {timeout:g}s")
    except RuntimeFailed as error:
        return Answer(ok=False, output=str(error), errored=True, unsupported="not supported" in str(error))
    output = (done.stdout + done.stderr).decode(errors="replace")
    return Answer(ok=done.exit_code == 0, output=output)


async def _grpc(action: Grpc, host: str, timeout: float) -> Answer:  # noqa: ASYNC109  the probe's own
    """Ask the health service of a port. Its request is a name in field 1, its answer a number in field 1."""
    try:
        import grpc
        import grpc.aio
    except ImportError:
        return Answer(ok=False, output="gRPC probes need the package grpcio", unsupported=True)
    name = action.service.encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    place = f"[{host}]:{action.port}" if ":" in host else f"{host}:{action.port}"
    if len(name) > 127:
        return Answer(ok=False, output=f"the service's name is too long: {action.service}", errored=True)
    async with grpc.aio.insecure_channel(place, options=(("grpc.enable_http_proxy", 0),)) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes
        )
        try:
            said = await check(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return Answer(ok=False, output=_grpc_failure(error, place, timeout, grpc.StatusCode))
    number = said[1] if said[:1] == b"\x08" and len(said) > 1 else 0
    status = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}.get(number, str(number))
    if status == "SERVING":
        return Answer(ok=True, output="service healthy")
    return Answer(ok=False, output=f'service unhealthy (responded with "{status}")')


def _grpc_failure(error: Any, place: str, seconds: float, codes: Any) -> str:
    """Say what went wrong as kubelet does. Source: k8s.io/kubernetes/pkg/probe/grpc."""
    code, detail = error.code(), error.details() or ""
    if code in {codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED}:
        return (
            f'timeout: failed to connect service "{place}" within {seconds:g}s: context deadline exceeded'
            if code == codes.UNAVAILABLE
            else f"timeout: health rpc did not complete within {seconds:g}s"
        )
    if code == codes.UNIMPLEMENTED:
        return (
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
            f"{detail}"
        )
    return f"error: health rpc probe failed: {detail}"
