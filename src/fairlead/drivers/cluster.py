"""A client for any Kubernetes API: list, watch, get, create, patch and delete over HTTPS.

What the API refuses is raised as `keep.errors.Refusal` with the server's own Status; what never reached an API is
`Unreachable`. This module must never decide what to write, and never hold more than one object of a watch in memory.
Source: kubernetes.io/docs/reference/using-api/api-concepts, and kubeconfig's v1 format.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
import subprocess
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx
import orjson
import yaml

from fairlead.drivers.nameless import nameless_file
from fairlead.keep.errors import Refusal
from fairlead.keep.listing import PageExpired
from fairlead.words import Resource

PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
PAGE = 500
"""Objects a list asks for at a time."""
PLUGIN_SECONDS = 60
"""How long a credential plugin may take."""
WATCH_SECONDS = 290
"""How long one watch request lives before it is renewed from where it ended."""


METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
"""What asks for an object's metadata instead of the object."""


class Unreachable(Exception):
    """The API could not be talked to, or did not answer as an API does; the text says how."""


class BadKubeconfig(Exception):
    """A kubeconfig that cannot be used; the text names the file and the part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where an API is and who is asking: one context of a kubeconfig."""

    server: str
    token: str = ""
    ca: str = ""
    """PEM; "" trusts the system's authorities."""
    client_cert: str = ""
    client_key: str = ""
    insecure: bool = False
    server_name: str = ""
    namespace: str = "default"
    username: str = ""
    password: str = ""
    token_file: str = ""
    """Where the token is renewed: it is read again and again, as a pod's own must be."""

    def ssl_context(self) -> ssl.SSLContext:
        """Return the TLS settings: the cluster's authority only, where the kubeconfig names one."""
        context = ssl.create_default_context(cadata=self.ca or None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_cert and self.client_key:
            with nameless_file(self.client_cert + "\n" + self.client_key) as name:
                context.load_cert_chain(name)  # the ssl module reads key pairs from files only
        return context

    def headers(self) -> dict[str, str]:
        """Return the headers that carry the credentials."""
        headers = {"Accept": "application/json", "User-Agent": "fairlead"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        elif self.username:
            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        return headers


def read_kubeconfig(path: Path, context: str = "") -> Access:
    """Return the access that a kubeconfig's context gives ("" is its current one). Raises BadKubeconfig."""
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise BadKubeconfig(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise BadKubeconfig(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise BadKubeconfig(f"{path}: not a kubeconfig")
    wanted = context or document.get("current-context") or ""
    chosen = _named(document, "contexts", "context", wanted, path)
    cluster = _named(document, "clusters", "cluster", chosen.get("cluster") or "", path)
    user = _named(document, "users", "user", chosen.get("user") or "", path) if chosen.get("user") else {}
    if user.get("auth-provider"):
        raise BadKubeconfig(
            f"{path}: auth-provider is not supported: Kubernetes has removed it, use an exec plugin"
        )

    def text(section: Mapping[str, Any], key: str) -> str:
        data = section.get(f"{key}-data")
        try:
            if data:
                return base64.b64decode(data).decode()
            return (path.parent / section[key]).read_text() if section.get(key) else ""
        except (OSError, ValueError) as error:
            raise BadKubeconfig(f"{path}: {key}: {error}") from error

    credential = _from_plugin(user["exec"], cluster, path) if user.get("exec") else {}
    token = user.get("token") or credential.get("token") or ""
    if not token and user.get("tokenFile"):
        try:
            token = (path.parent / user["tokenFile"]).read_text().strip()
        except OSError as error:
            raise BadKubeconfig(f"{path}: tokenFile: {error.strerror}") from error
    if not cluster.get("server"):
        raise BadKubeconfig(f"{path}: cluster {chosen.get('cluster')!r} has no server")
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        token=token,
        ca=text(cluster, "certificate-authority"),
        client_cert=text(user, "client-certificate") or credential.get("clientCertificateData") or "",
        client_key=text(user, "client-key") or credential.get("clientKeyData") or "",
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=cluster.get("tls-server-name") or "",
        namespace=chosen.get("namespace") or "default",
        username=user.get("username") or "",
        password=user.get("password") or "",
    )


def _from_plugin(plugin: Mapping[str, Any], cluster: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Ask a credential plugin for a token or a certificate. Raises BadKubeconfig with what the plugin said.

    Source: client.authentication.k8s.io ExecCredential.
    """
    command = str(plugin.get("command") or "")
    if "/" in command:
        command = str(path.parent / command)
    info: dict[str, Any] = {
        "apiVersion": plugin.get("apiVersion") or "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    if plugin.get("provideClusterInfo"):
        known = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data")
        info["spec"]["cluster"] = {key: cluster[key] for key in known if key in cluster}
    extra = {str(one["name"]): str(one["value"]) for one in plugin.get("env") or ()}
    try:
        ran = subprocess.run(
            [command, *map(str, plugin.get("args") or ())],
            env={**os.environ, **extra, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PLUGIN_SECONDS,
            check=False,
        )
    except OSError as error:
        hint = str(plugin.get("installHint") or "").strip()
        raise BadKubeconfig(
            f"{path}: the credential plugin {command!r} cannot be run: {error.strerror} {hint}".strip()
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BadKubeconfig(
            f"{path}: the credential plugin {command!r} did not answer in {PLUGIN_SECONDS} s"
        ) from error
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise BadKubeconfig(f"{path}: the credential plugin {command!r} ended with {ran.returncode}: {said}")
    try:
        status = json.loads(ran.stdout)["status"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadKubeconfig(f"{path}: the credential plugin {command!r} gave no ExecCredential") from error
    return {str(key): str(value) for key, value in (status or {}).items()}


def _named(document: Mapping[str, Any], plural: str, singular: str, name: str, path: Path) -> dict[str, Any]:
    for entry in document.get(plural) or ():
        if entry.get("name") == name:
            return dict(entry.get(singular) or {})
    raise BadKubeconfig(f"{path}: no {singular} {name!r}" if name else f"{path}: no current-context")


ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds the credentials of its service account."""
TOKEN_SECONDS = 60.0
"""How long a token that was read from a file is used."""


def in_cluster(folder: Path = ACCOUNT) -> Access:
    """Return a pod's own access to its cluster. Raises BadKubeconfig where this is no pod."""
    host, port = (
        os.environ.get("KUBERNETES_SERVICE_HOST", ""),
        os.environ.get("KUBERNETES_SERVICE_PORT", "443"),
    )
    if not host:
        raise BadKubeconfig("this is no pod of a cluster: KUBERNETES_SERVICE_HOST is not set")
    try:
        ca = (folder / "ca.crt").read_text()
        space = folder / "namespace"
        namespace = space.read_text().strip() if space.exists() else ""
        (folder / "token").read_text()
    except OSError as error:
        raise BadKubeconfig(f"{error.filename}: {error.strerror}") from error
    return Access(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca=ca,
        token_file=str(folder / "token"),
        namespace=namespace or "default",
    )


class _TokenFile(httpx.Auth):
    """Sends the token that a file holds, which somebody else renews."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._token, self._until = "", 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx.Auth."""
        if time.monotonic() >= self._until:
            with contextlib.suppress(OSError):  # the old one may still do
                self._token = self._path.read_text().strip()
            self._until = time.monotonic() + TOKEN_SECONDS
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def base_path(api_version: str) -> str:
    """Return `/api/v1` or `/apis/<group>/<version>`."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def refusal(response: httpx.Response) -> Refusal:
    """Return the Refusal that an answer of 400 or more carries, made up from the code where it has no Status."""
    try:
        status = json.loads(response.content)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return _refusal(status, response.status_code)
    text = response.text.strip() or response.reason_phrase
    return Refusal(response.status_code, "", text)


def _refusal(status: Mapping[str, Any], code: int = 500) -> Refusal:
    token = (status.get("metadata") or {}).get("continue")
    if token:
        return PageExpired(token)
    return Refusal(
        int(status.get("code") or code),
        status.get("reason") or "",
        status.get("message") or "",
        status.get("details"),
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """One step of following a kind. `SYNCED` comes after every full list, and carries no object."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "SYNCED"]
    object: Resource


class AsyncCluster:
    """A Kubernetes API for one event loop; close it, or use it as a context.

    Every method raises Refusal for what the API refuses and Unreachable for what did not get through.
    """

    def __init__(self, access: Access, *, timeout: float = 30.0) -> None:
        self.access = access
        self._http = httpx.AsyncClient(
            base_url=access.server,
            headers=access.headers(),
            verify=access.ssl_context(),
            timeout=httpx.Timeout(timeout, connect=10.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            trust_env=False,
            auth=_TokenFile(access.token_file) if access.token_file else None,
        )
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    @classmethod
    def from_kubeconfig(cls, path: Path, context: str = "") -> AsyncCluster:
        """Return a client for a kubeconfig's context ("" is its current one). Raises BadKubeconfig."""
        return cls(read_kubeconfig(path, context))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> httpx.Response:
        """Send one request and return its answer, whatever the answer is worth below 400."""
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            response = await self._http.request(
                method,
                path,
                params={key: value for key, value in (params or {}).items() if value not in (None, "")},
                content=content,
                headers={"Content-Type": content_type} if content is not None else None,
                extensions=self._extensions(),
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"{self.access.server}: {str(error).strip() or type(error).__name__}"
            ) from error
        if response.status_code >= 400:
            raise refusal(response)
        return response

    def _extensions(self) -> dict[str, Any]:
        return {"sni_hostname": self.access.server_name} if self.access.server_name else {}

    def learn(self, api_version: str, kind: str, plural: str, namespaced: bool) -> None:
        """Take a kind's name in URLs as known, so that discovery need not be asked for it."""
        self._plurals.setdefault((api_version, kind), (plural, namespaced))

    async def path(
        self, api_version: str, kind: str, namespace: str = "", name: str = "", subresource: str = ""
    ) -> str:
        """Return the URL path of a kind, or of one object of it. Asks discovery once for each API version."""
        if (api_version, kind) not in self._plurals:
            document = (await self.raw("GET", base_path(api_version))).json()
            for resource in document.get("resources") or ():
                if "/" not in resource["name"]:
                    entry = (resource["name"], bool(resource.get("namespaced")))
                    self._plurals.setdefault((api_version, resource["kind"]), entry)
        try:
            plural, namespaced = self._plurals[api_version, kind]
        except KeyError:
            message = f'no matches for kind "{kind}" in version "{api_version}"'
            raise Refusal(404, "NotFound", message) from None
        for part in (namespace, name):  # neither may lead anywhere else
            if part in {".", ".."} or "/" in part:
                raise Refusal(400, "BadRequest", f"{part[:64]!r} is no name of an object")
        place = f"/namespaces/{quote(namespace)}" if namespaced and namespace else ""
        parts = [part for part in (name, subresource) if part]
        return base_path(api_version) + place + f"/{plural}" + "".join(f"/{quote(part)}" for part in parts)

    async def get(
        self, api_version: str, kind: str, namespace: str, name: str, subresource: str = ""
    ) -> Resource:
        """Return one object."""
        path = await self.path(api_version, kind, namespace, name, subresource)
        return _object(await self.raw("GET", path))

    async def list(
        self, api_version: str, kind: str, namespace: str = "", *, labels: str = "", fields: str = "", cap: int = 0,
    ) -> tuple[list[Resource], str]:  # fmt: skip
        """Return all objects that match, page by page, and the resourceVersion to watch from ("" where `cap` ended it)."""
        path = await self.path(api_version, kind, namespace)
        items: list[Resource] = []
        token = ""
        while True:
            params = {"labelSelector": labels, "fieldSelector": fields, "limit": PAGE, "continue": token}
            page = _object(await self.raw("GET", path, params=params))
            for item in page.get("items") or ():
                item.setdefault("apiVersion", api_version)
                item.setdefault("kind", kind)
                items.append(item)
            meta = page.get("metadata") or {}
            token = meta.get("continue") or ""
            if not token:
                return items, str(meta.get("resourceVersion") or "")
            if cap and len(items) >= cap:
                return items, ""

    async def create(
        self, body: Resource, *, subresource: str = "", name: str = "", manager: str = "fairlead"
    ) -> Resource:
        """Create an object, or POST to a subresource of the object `name`; returns the answer."""
        namespace = (body.get("metadata") or {}).get("namespace") or ""
        if not subresource:
            path = await self.path(body["apiVersion"], body["kind"], namespace)
        else:
            parent = {"TokenRequest": ("v1", "ServiceAccount"), "Eviction": ("v1", "Pod")}[body["kind"]]
            path = await self.path(*parent, namespace, name, subresource)
        return _object(await self.raw("POST", path, params={"fieldManager": manager}, body=body))

    async def update(self, body: Resource, *, subresource: str = "", manager: str = "fairlead") -> Resource:
        """Replace an object by name; its resourceVersion, where set, must still be the current one."""
        meta = body["metadata"]
        path = await self.path(
            body["apiVersion"], body["kind"], meta.get("namespace") or "", meta["name"], subresource
        )
        return _object(await self.raw("PUT", path, params={"fieldManager": manager}, body=body))

    async def patch(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        name: str,
        patch: Any,
        *,
        how: Literal["json", "merge", "strategic", "apply"] = "merge",
        subresource: str = "",
        manager: str = "fairlead",
        force: bool = False,
    ) -> Resource:
        """Patch an object or its subresource; `how` says what the document is."""
        path = await self.path(api_version, kind, namespace, name, subresource)
        params = {"fieldManager": manager, "force": "true" if force else ""}
        response = await self.raw("PATCH", path, params=params, body=patch, content_type=PATCH_TYPES[how])
        return _object(response)

    async def delete(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        name: str,
        *,
        grace_seconds: int | None = None,
        uid: str = "",
        propagation: str = "",
    ) -> Resource:
        """Delete an object; with `uid`, only if it is still that one."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid:
            options["preconditions"] = {"uid": uid}
        if propagation:
            options["propagationPolicy"] = propagation
        path = await self.path(api_version, kind, namespace, name)
        return _object(await self.raw("DELETE", path, body=options))

    async def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        *,
        since: str,
        labels: str = "",
        fields: str = "",
        slim: bool = False,
    ) -> AsyncGenerator[tuple[str, Resource], None]:
        """Yield (type, object) of one watch request until the server ends it; bookmarks included.

        `slim` asks for the objects' metadata only, which a server may overlook. Raises Refusal(410) when `since` is too old.
        """
        path = await self.path(api_version, kind, namespace)
        params = {
            "watch": "true",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
            "labelSelector": labels,
            "fieldSelector": fields,
        }
        try:
            async with self._http.stream(
                "GET",
                path,
                params={key: value for key, value in params.items() if value},
                headers={"Accept": METADATA} if slim else None,
                timeout=httpx.Timeout(10.0, read=WATCH_SECONDS + 30.0),
                extensions=self._extensions(),
            ) as response:
                if response.status_code >= 400:
                    await response.aread()
                    raise refusal(response)
                async for line in lines(response.aiter_bytes()):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _refusal(event["object"])
                    yield event["type"], event["object"]
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(
                f"{self.access.server}: {str(error).strip() or type(error).__name__}"
            ) from error

    async def follow(
        self, api_version: str, kind: str, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[Seen, None]:
        """Yield every object and then every change of it, for ever.

        Broken watches resume where they ended; when the server has forgotten that point (410), everything is listed
        again and what vanished meanwhile is reported as DELETED. Faults are waited out, up to 10 seconds at a time;
        only a refusal that waiting cannot cure (401, 403, 404) is raised.
        """
        known: dict[str, Resource] = {}
        since = ""
        delay = 0.2
        while True:
            try:
                if not since:
                    items, since = await self.list(api_version, kind, namespace, labels=labels, fields=fields)
                    listed = {_key(item): item for item in items}
                    for key in [key for key in known if key not in listed]:
                        yield Seen("DELETED", known.pop(key))
                    for key, item in listed.items():
                        if _version(known.get(key)) != _version(item):
                            yield Seen("MODIFIED" if key in known else "ADDED", item)
                        known[key] = _stub(item)
                    yield Seen("SYNCED", {})
                delay = 0.2
                events = self.watch(api_version, kind, namespace, since=since, labels=labels, fields=fields)
                async with contextlib.aclosing(events):
                    async for change, item in events:
                        since = _version(item) or since
                        delay = 0.2
                        if change == "DELETED":
                            known.pop(_key(item), None)
                            yield Seen("DELETED", item)
                        elif change in {"ADDED", "MODIFIED"}:
                            known[_key(item)] = _stub(item)
                            yield Seen("ADDED" if change == "ADDED" else "MODIFIED", item)
                continue
            except Refusal as error:
                if error.code == 410:
                    since = ""
                elif error.code in {401, 403, 404}:
                    raise
            except Unreachable:
                pass
            await asyncio.sleep(delay)
            delay = min(delay * 2, 10.0)


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    r"""Split a stream at b"\n" and nowhere else: JSON may hold other line separators unescaped."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def _object(response: httpx.Response) -> Resource:
    try:
        body = orjson.loads(response.content)
    except ValueError as error:
        raise Unreachable(f"{response.request.url}: the answer is not JSON") from error
    if not isinstance(body, dict):
        raise Unreachable(f"{response.request.url}: the answer is not an object")
    return body


def _key(item: Resource) -> str:
    return str(
        item["metadata"].get("uid") or f"{item['metadata'].get('namespace')}/{item['metadata']['name']}"
    )


def _version(item: Resource | None) -> str:
    return str(item["metadata"].get("resourceVersion") or "") if item else ""


def _stub(item: Resource) -> Resource:
    """What a DELETED event needs of an object whose end was missed."""
    meta = item["metadata"]
    kept = {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion") if key in meta}
    return {"apiVersion": item.get("apiVersion", ""), "kind": item.get("kind", ""), "metadata": kept}
