"""Talks to the node that runs a pod: logs and one-way commands, over HTTPS with the cluster's own authority.

Which container is meant, and the texts for those who name none or a wrong one, are Kubernetes' own.
Source: k8s.io/kubernetes pkg/registry/core/pod/strategy.go (LogLocation, streamLocation), apis/core/validation.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import orjson

from fairlead.drivers.pki import Pki
from fairlead.faces.kube.calls import Call
from fairlead.faces.kube.site import Site
from fairlead.keep.errors import Cause, Refusal, bad_request, internal, invalid, not_found, unavailable
from fairlead.words import Resource

if TYPE_CHECKING:
    import httpx  # 12 MB that only logs and commands need

CONNECT_SECONDS = 5.0
_LOG_OPTIONS = (
    "follow",
    "previous",
    "tailLines",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "limitBytes",
)
_HEAD = 5
"""Bytes before each piece of a command's output: the channel and the length."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a command's output. Channel 1 is stdout, 2 stderr, 3 the final Status."""

    channel: int
    data: bytes


class Nodes:
    """A client for the servers of all nodes."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._client: httpx.AsyncClient | None = None

    def _http(self) -> httpx.AsyncClient:
        import httpx

        if self._client is None:
            context = ssl.create_default_context(cafile=str(self._pki.ca))
            timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
            self._client = httpx.AsyncClient(verify=context, timeout=timeout, trust_env=False)
        return self._client

    async def close(self) -> None:
        """Drop all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    @contextlib.asynccontextmanager
    async def open(self, node: Resource, method: str, path: str) -> AsyncIterator[httpx.Response]:
        """Send a request to a node and hand out the answer, whose body is still to come.

        Raises the node's own Refusal, or 503 when the node cannot be reached.
        """
        import httpx

        name = node["metadata"]["name"]
        token, _ = self._pki.token_of("system:nodes")
        request = self._http().build_request(
            method,
            address(node) + path,
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            extensions={"sni_hostname": name},
        )
        try:
            response = await self._http().send(request, stream=True)
        except httpx.HTTPError as fault:
            raise unavailable(
                f"node {name} cannot be reached: {str(fault) or type(fault).__name__}"
            ) from fault
        try:
            if response.status_code >= 400:
                raise _refusal(name, response.status_code, await response.aread())
            yield response
        finally:
            await response.aclose()


def address(node: Resource) -> str:
    """Return the URL of a node's server. Raises the 503 Refusal while the node has not said where it is."""
    status = node.get("status") or {}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
    known = {one.get("type"): one.get("address") for one in status.get("addresses") or ()}
    host = known.get("InternalIP") or known.get("Hostname")
    if not port or not host:
        raise unavailable(f"node {node['metadata']['name']} has not said where it serves")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _refusal(node: str, code: int, body: bytes) -> Refusal:
    try:
        status = orjson.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return Refusal(
            code, str(status.get("reason") or ""), str(status.get("message") or ""), status.get("details")
        )
    text = body.decode(errors="replace").strip()[:500]
    if code in {400, 404}:
        return bad_request(text)
    return internal(f"node {node} answered {code}: {text}")


def pod_of(site: Site, namespace: str, name: str) -> Resource:
    """Return the pod; Refusal 404."""
    pod = site.find("", "pods", namespace, name)
    if pod is None:
        raise not_found("", "pods", name)
    return pod


def node_of(site: Site, pod: Resource) -> Resource | None:
    """Return the node that the pod was bound to, None while there is none. Refusal 404 for one that is gone."""
    name = (pod.get("spec") or {}).get("nodeName")
    if not name:
        return None
    node = site.find("", "nodes", "", name)
    if node is None:
        raise not_found("", "nodes", name)
    return node


def container_of(pod: Resource, asked: str) -> str:
    """Return the container that is meant; Refusal 400 where that is unclear or there is no such container."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    plain, init, ephemeral = (
        [one["name"] for one in spec.get(field) or ()]
        for field in ("containers", "initContainers", "ephemeralContainers")
    )
    if asked:
        if asked in {*plain, *init, *ephemeral}:
            return asked
        raise bad_request(f"container {asked} is not valid for pod {name}")
    if len(plain) == 1:
        return str(plain[0])
    text = f"a container name must be specified for pod {name}"
    if plain:
        text += f", choose one of: [{' '.join(plain)}]"
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    if ephemeral:
        text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
    raise bad_request(text)


def log_path(call: Call, pod: Resource) -> str:
    """Return the node's path for the log that a call asks for. Refusals: 400, 422."""
    _check_log_options(call, pod["metadata"]["name"])
    container = container_of(pod, call.get("container"))
    meta = pod["metadata"]
    options = {name: call.get(name) for name in _LOG_OPTIONS if call.get(name)}
    for name in ("follow", "previous", "timestamps"):
        if name in call.query:
            options[name] = "true" if call.flag(name) else "false"
    return f"/containerLogs/{_path(meta['namespace'], meta['name'], container)}?{urlencode(options)}"


def exec_path(pod: Resource, container: str, command: Sequence[str]) -> str:
    """Return the node's path for a command in a container."""
    meta = pod["metadata"]
    query = urlencode([("command", part) for part in command])
    return f"/exec/{_path(meta['namespace'], meta['name'], container)}?{query}"


def _path(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _check_log_options(call: Call, pod: str) -> None:
    causes: list[Cause] = []
    for name, lowest, text in (
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ):
        value = call.number(name)
        if value is not None and value < lowest:
            causes.append(Cause("FieldValueInvalid", f"Invalid value: {value}: {text}", name))
    if call.get("sinceSeconds") and call.get("sinceTime"):
        text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(Cause("FieldValueForbidden", text, ""))
    moment = call.get("sinceTime")
    if moment and not _is_time(moment):
        raise bad_request(
            f'parsing time "{moment}" as "2006-01-02T15:04:05Z07:00": cannot parse "{moment}" as "2006"'
        )
    stream = call.get("stream")
    if stream and stream != "All":
        text = f'Unsupported value: "{stream}": supported values: "All"'
        causes.append(Cause("FieldValueNotSupported", text, "stream"))
    if causes:
        raise invalid("", "PodLogOptions", pod, causes)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


async def pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[Piece]:
    """Return the pieces of a command's output from the node's stream of frames."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        while len(buffer) >= _HEAD:
            size = int.from_bytes(buffer[1:_HEAD], "big")
            if len(buffer) < _HEAD + size:
                break
            yield Piece(buffer[0], bytes(buffer[_HEAD : _HEAD + size]))
            del buffer[: _HEAD + size]


def failure(refusal: Refusal) -> bytes:
    """Return the Status for the error channel."""
    return orjson.dumps(refusal.status)
