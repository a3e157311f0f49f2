"""Where images are, for rules that ask about them: registries, with the secrets that a request pulls with, and what they say.

One client for each set of credentials, a few at most. Also answers Kubewarden's questions about images. Holds no rules; a secret's content is
never part of an answer or of a text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fairlead.drivers.oci.clients import Client
from fairlead.drivers.oci.credentials import Credentials, Login
from fairlead.drivers.oci.descriptors import Manifest
from fairlead.drivers.oci.errors import RegistryError
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.stores import Store
from fairlead.drivers.signatures.roots import Root
from fairlead.judge.signatures import AuthorityAsked, verification_need
from fairlead.reactor.admit import Unanswered
from fairlead.reactor.verifying import Verifier
from fairlead.tongues.paths import mapping
from fairlead.words import Need, Resource, View

_CLIENTS: Final = 8
_WASM: Final = "application/vnd.wasm.content.layer.v1+wasm"
_GITHUB: Final = "https://token.actions.githubusercontent.com"

Accept = Callable[[Store, Reference, str], Awaitable[object]]
"""(store, name, digest): raises where an artifact may not be used."""


class Images:
    """Answers Needs about images: `image.verification`, `image.data` and `cue.vet`. Close it when done.

    `view` is where secrets are looked up; `logins` are files of credentials that come first, such as the platform's own registry's;
    `store` stands for all registries, where given.
    """

    def __init__(
        self,
        view: Callable[[], View | None] = lambda: None,
        *,
        logins: Sequence[Path] = (),
        usual: Root | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        store: Store | None = None,
        accept: Accept | None = None,
    ) -> None:
        self._view, self._logins, self._store, self._accept = view, tuple(logins), store, accept
        self._clients: OrderedDict[str, Client] = OrderedDict()
        self.verifier = Verifier(self._reach, clock, usual)

    async def __call__(self, need: Need, seconds: float) -> Any:
        """Answer a Need."""
        provider = self.verifier.providers().get(need.what)
        if provider is None:
            raise Unanswered(f"{need.what} of {need.about.name} cannot be had here")
        return await provider(need, seconds)

    async def close(self) -> None:
        """Close the connections."""
        clients, self._clients = self._clients, OrderedDict()
        for client in clients.values():
            await client.close()

    async def _reach(self, credentials: Mapping[str, Any]) -> Store:
        if self._store is not None:
            return self._store
        fixed = self._logins_of(credentials)
        told = [
            (host, one.username, one.password, one.identity_token, one.registry_token)
            for host, one in sorted(fixed.items())
        ]
        key = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = Client(
                Credentials(first=[one for one in self._logins if one.is_file()], fixed=fixed)
            )
            if len(self._clients) > _CLIENTS:
                _, oldest = self._clients.popitem(last=False)
                await oldest.close()
        self._clients.move_to_end(key)
        return client

    def _logins_of(self, credentials: Mapping[str, Any]) -> dict[str, Login]:
        """Return the logins of secrets, each named `namespace/name`. Raises Unanswered for one that is not there or of another sort."""
        found: dict[str, Login] = {}
        listed = credentials.get("secrets")
        view = self._view()
        for name in listed if isinstance(listed, list) else ():
            namespace, _, last = str(name).partition("/")
            secret = view.get("", "Secret", namespace, last) if view is not None else None
            if secret is None:
                continue  # as the kubelet has it: what is not there is not used, and the registry decides
            found |= logins(secret)
        return found

    # --- what Kubewarden's guests ask

    async def kubewarden(self, operation: str, asked: Any) -> Any:
        """Answer a guest's `oci` call. Raises Unanswered. Source: kubewarden/policy-sdk-rust src/host_capabilities."""
        version, _, name = operation.partition("/")
        if name == "verify" and version in {"v1", "v2"}:
            return await self._verified(asked)
        if not isinstance(asked, str):
            asked = mapping(asked).get("image")
        if not isinstance(asked, str):
            raise Unanswered(f"oci {operation}: the name of an image is wanted")
        if name == "manifest_digest":
            found = await self(Need("image.verification", _about(asked), (("what", "digest"),)), 0)
            return {"digest": found["digest"]}
        if name == "oci_manifest":
            store, ref = await self._reach({}), _parsed(asked)
            try:
                return json.loads((await store.manifest(ref))[1])
            except RegistryError as error:
                raise Unanswered(str(error)) from error
        if name == "oci_manifest_config":
            data = await self(Need("image.data", _about(asked)), 0)
            return {"manifest": data["manifest"], "digest": data["digest"], "config": data["configData"]}
        raise Unanswered(f"oci {operation} is not offered here")

    async def _verified(self, asked: Any) -> dict[str, Any]:
        """Verify as a guest asks: every key, identity or certificate that it lists must have signed."""
        image, authorities = _authorities(asked)
        answer = await self(verification_need(image, authorities), 0)
        found = [mapping(one) for one in mapping(answer).get("found") or ()]
        if not authorities or len(found) != len(authorities):
            raise Unanswered(f"{image}: nobody is named who should have signed it")
        for one in found:
            if not one.get("proven"):
                raise Unanswered(f"{image} is not trusted: {one.get('error') or 'not signed'}")
        return {"is_trusted": True, "digest": answer["digest"]}

    # --- modules

    async def module(self, address: str, limit: int) -> bytes:
        """Return the WebAssembly module of an artifact (`registry://host/repository:tag`). Raises Unanswered."""
        ref = _parsed(address.removeprefix("registry://"))
        store = await self._reach({})
        try:
            descriptor, body = await store.manifest(ref)
            pinned = ref.at(descriptor.digest)
            if self._accept is not None:
                await self._accept(store, ref, descriptor.digest)
            manifest = Manifest.read(body, descriptor.media_type, str(ref))
            layers = [one for one in manifest.layers if one.media_type == _WASM] or list(manifest.layers)
            if len(layers) != 1:
                raise Unanswered(
                    f"{address}: is no policy: it has {len(layers)} layers, and one of WebAssembly is wanted"
                )
            return await store.blob(pinned, layers[0], limit)
        except RegistryError as error:
            raise Unanswered(str(error)) from error


def logins(secret: Resource) -> dict[str, Login]:
    """Return the logins of a pull secret by host: kubernetes.io/dockerconfigjson or dockercfg. What cannot be read is passed over."""
    data = mapping(secret, "data")
    for key in (".dockerconfigjson", ".dockercfg"):
        try:
            document = json.loads(base64.b64decode(str(data[key]))) if key in data else None
        except (ValueError, RecursionError, binascii.Error):
            continue
        auths = mapping(document, "auths") if key == ".dockerconfigjson" else mapping(document)
        found = {_host(str(host)): _login(mapping(one)) for host, one in auths.items()}
        if found:
            return {host: one for host, one in found.items() if host and one is not None}
    return {}


def _host(key: str) -> str:
    host = key.removeprefix("https://").removeprefix("http://").partition("/")[0].lower()
    return "docker.io" if host in {"index.docker.io", "registry-1.docker.io"} else host


def _login(entry: Mapping[str, Any]) -> Login | None:
    name, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if not name and entry.get("auth"):
        try:
            name, _, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
    return Login(name, password) if name else None


def _about(image: str) -> Any:
    from fairlead.words import Ref

    return Ref("", "", "", image)


def _parsed(image: str) -> Reference:
    try:
        return Reference.parse(image)
    except RegistryError as error:
        raise Unanswered(str(error)) from error


def _authorities(asked: Any) -> tuple[str, list[AuthorityAsked]]:
    """Return the image and who must have signed it, of any form in which guests ask: tagged within, tagged without, or by their fields."""
    body = mapping(asked)
    if len(body) == 1 and isinstance(next(iter(body.values())), Mapping):
        body = mapping(next(iter(body.values())))
    image = str(body.get("image") or "")
    notes = {str(key): str(value) for key, value in mapping(body, "annotations").items()}
    made: list[AuthorityAsked] = []

    def add(**parts: Any) -> None:
        made.append({"name": f"{len(made)}", "annotations": notes, "log": "require", **parts})  # type: ignore[typeddict-item]  # the parts are its fields

    for pem in body.get("pub_keys") or ():
        add(keys=[{"pem": str(pem), "hash": ""}], log="check")
    for one in body.get("keyless") or ():
        add(
            identities=[
                {
                    "subject": str(mapping(one).get("subject") or ""),
                    "issuer": str(mapping(one).get("issuer") or ""),
                }
            ]
        )
    for one in body.get("keyless_prefix") or ():
        said = mapping(one)
        add(
            identities=[
                {
                    "subject": str(said.get("url_prefix") or ""),
                    "issuer": str(said.get("issuer") or ""),
                    "prefix": True,
                }
            ]
        )
    if body.get("owner"):
        path = "/".join(str(part) for part in (body["owner"], body.get("repo")) if part)
        add(identities=[{"subject": f"https://github.com/{path}", "issuer": _GITHUB, "prefix": True}])
    if body.get("certificate"):
        chain = body.get("certificate_chain") or ()
        add(
            leaf=_pem(body["certificate"]),
            chain="\n".join(_pem(one) for one in chain),
            log="require" if body.get("require_rekor_bundle") else "check",
        )
    return image, made


def _pem(found: Any) -> str:
    return bytes(found).decode(errors="replace") if isinstance(found, list) else str(found)
