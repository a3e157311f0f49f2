"""The HTTP side of the registry: routes, ranges, uploads and errors of the distribution specification 1.1.

An RSGI application: files are sent by the server itself, and uploads are written as they come, so that memory stays flat. Source:
https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, quote, unquote

from granian._granian import (
    RSGIProtocolClosed as ProtocolClosed,
)  # granian.rsgi does not export them by its types
from granian._granian import RSGIProtocolError as ProtocolError

from fairlead.drivers.blobs import LARGEST_MANIFEST, BlobError, Blobs, Upload, checked
from fairlead.faces.registry.tokens import SERVICE, Guard, basic

log = logging.getLogger("fairlead.registry")

_NAME: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_ROUTE = re.compile(
    rf"/v2/(?P<name>{_NAME})/(?:blobs/uploads/(?P<upload>[^/]*)|(?P<what>blobs|manifests|referrers)/(?P<which>[^/]+)|tags/(?P<list>list))"
)
_LONGEST_NAME: Final = 255
_PIECE: Final = 1 << 20
_MOST_FORM: Final = 64 << 10
_PAGE: Final = 1000
_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_STATUS: Final[Mapping[str, int]] = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 416,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "DENIED": 403,
    "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 404,
    "MANIFEST_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404,
    "SIZE_INVALID": 413,
    "TOOMANYREQUESTS": 429,
    "UNAUTHORIZED": 401,
    "UNSUPPORTED": 405,
}
Headers = list[tuple[str, str]]


class Call:
    """One request, and the way to answer it."""

    def __init__(self, scope: Any, proto: Any) -> None:
        self.method: str = scope.method
        self.path = unquote(scope.path)
        self.query = {key: values[0] for key, values in parse_qs(scope.query_string).items()}
        self.scopes = parse_qs(scope.query_string).get("scope", [])
        self.headers = scope.headers
        self.scheme: str = scope.scheme
        self.host: str = scope.authority or scope.headers.get("host") or ""
        self.proto = proto

    def header(self, name: str) -> str:
        """Return a header's value, "" when it is not there."""
        return self.headers.get(name) or ""

    async def body(self, most: int) -> bytes:
        """Return the request's body. Raises SIZE_INVALID for a longer one."""
        with suppress(ValueError):
            if int(self.header("content-length") or 0) > most:
                raise BlobError("SIZE_INVALID", f"the body is larger than {most} bytes")
        found = bytearray()
        async for chunk in self.proto:
            found += chunk
            if len(found) > most:
                raise BlobError("SIZE_INVALID", f"the body is larger than {most} bytes")
        return bytes(found)

    def send(self, status: int, headers: Headers | None = None, body: bytes = b"") -> None:
        """Answer. A HEAD request gets the headers only."""
        if self.method == "HEAD" or not body:
            self.proto.response_empty(status, headers or [])
        else:
            self.proto.response_bytes(status, headers or [], body)

    def send_json(
        self, status: int, content: Any, headers: Headers | None = None, media: str = "application/json"
    ) -> None:
        """Answer with a document."""
        body = json.dumps(content).encode()
        self.send(
            status, [("content-type", media), ("content-length", str(len(body))), *(headers or [])], body
        )


Serve = Callable[[Call, str, str], Awaitable[None]]


class App:
    """The registry's RSGI application. `hosts` are the names it may be called by; None: any (a TLS certificate says them then)."""

    def __init__(self, blobs: Blobs, guard: Guard, hosts: frozenset[str] | None) -> None:
        self.blobs, self.guard, self._hosts = blobs, guard, hosts
        self._routes: Mapping[tuple[str, str], tuple[str, Serve]] = {
            ("blobs", "GET"): ("pull", self._get_blob),
            ("blobs", "HEAD"): ("pull", self._get_blob),
            ("blobs", "DELETE"): ("delete", self._delete_blob),
            ("manifests", "GET"): ("pull", self._get_manifest),
            ("manifests", "HEAD"): ("pull", self._get_manifest),
            ("manifests", "PUT"): ("push", self._put_manifest),
            ("manifests", "DELETE"): ("delete", self._delete_manifest),
            ("referrers", "GET"): ("pull", self._referrers),
            ("tags", "GET"): ("pull", self._tags),
            ("uploads", "POST"): ("push", self._begin),
            ("uploads", "GET"): ("push", self._progress),
            ("uploads", "PATCH"): ("push", self._append),
            ("uploads", "PUT"): ("push", self._finish),
            ("uploads", "DELETE"): ("push", self._abort),
        }

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        """Serve one request."""
        if scope.proto != "http":
            return
        call = Call(scope, proto)
        try:
            await self._serve(call)
        except BlobError as fault:
            _refuse(call, _STATUS.get(fault.code, 500), fault.code, fault.message)
        except OSError as fault:
            full = fault.errno in {errno.ENOSPC, errno.EDQUOT}
            log.exception("%s %s failed", call.method, call.path)
            _refuse(
                call,
                507 if full else 500,
                "UNKNOWN",
                "the registry's disk is full" if full else "the registry's disk failed",
            )
        except (ProtocolClosed, ProtocolError):
            return  # the client went away
        except Exception as fault:
            log.exception("%s %s failed", call.method, call.path)
            _refuse(call, 500, "UNKNOWN", type(fault).__name__)

    async def _serve(self, call: Call) -> None:
        if self._hosts is not None and call.host.rpartition(":")[0].strip("[]") not in self._hosts:
            # A web page that has its name resolved to loopback must not read what others pushed.
            _refuse(call, 421, "DENIED", "this registry is not called by that name")
            return
        if call.path == "/token":
            await self._token(call)
            return
        if call.path in {"/v2", "/v2/"}:
            if self._authorized(call, "registry", "", "pull", ""):
                call.send_json(200, {})
            return
        if call.path == "/v2/_catalog" and call.method == "GET":
            if self.guard.public or self._authorized(call, "registry", "catalog", "*", "registry:catalog:*"):
                self._page(call, "repositories", self.blobs.repositories(), {}, "/v2/_catalog")
            return
        match = _ROUTE.fullmatch(call.path)
        if match is None or len(match["name"]) > _LONGEST_NAME:
            _refuse(
                call,
                404,
                "NAME_INVALID",
                "the path is none of the distribution specification's, or the name is not allowed",
            )
            return
        what = match["what"] or ("tags" if match["list"] else "uploads")
        found = self._routes.get((what, call.method))
        if found is None:
            raise BlobError("UNSUPPORTED", f"{call.method} is not supported here")
        action, serve = found
        wanted = "pull,push" if action == "push" else action
        if self._authorized(
            call, "repository", match["name"], action, f"repository:{match['name']}:{wanted}"
        ):
            await serve(call, match["name"], match["which"] or match["upload"] or "")

    # Who may

    def _authorized(self, call: Call, kind: str, name: str, action: str, scope: str) -> bool:
        """Say whether the caller may; if not, tell it where to get a token."""
        authorization = call.header("authorization")
        if self.guard.allows(authorization, kind, name, action):
            return True
        realm = f'Bearer realm="{call.scheme}://{call.host}/token",service="{SERVICE}"'
        challenge = f'{realm},scope="{scope}"' if scope else realm
        if authorization.lower().startswith("bearer") and scope:
            challenge += ',error="insufficient_scope"'
        _refuse(call, 401, "UNAUTHORIZED", "log in: this needs an account", [("www-authenticate", challenge)])
        return False

    async def _token(self, call: Call) -> None:
        scopes, user, password = call.scopes, *basic(call.header("authorization"))
        if call.method == "POST":
            form = dict(parse_qsl((await call.body(_MOST_FORM)).decode("utf-8", "replace")))
            user, password = form.get("username", user), form.get("password", password)
            if form.get("grant_type") == "refresh_token":
                user, password = basic(f"Basic {form.get('refresh_token', '')}")
            scopes = form.get("scope", "").split()
        elif call.method != "GET":
            raise BlobError("UNSUPPORTED", f"{call.method} is not supported here")
        known = bool(user or password) and self.guard.knows(user, password)
        if (user or password) and not known:
            _refuse(call, 401, "UNAUTHORIZED", "the user or the password is wrong")
            return
        asked = [scope for text in scopes for scope in text.split()]
        call.send_json(200, self.guard.token(asked, known=known), [("cache-control", "no-store")])

    # Blobs

    async def _get_blob(self, call: Call, name: str, digest: str) -> None:
        path = self.blobs.path(name, digest, hold=call.method == "HEAD")
        size = path.stat().st_size
        headers = [
            ("content-type", "application/octet-stream"),
            ("docker-content-digest", digest),
            ("accept-ranges", "bytes"),
            ("etag", f'"{digest}"'),
        ]
        if call.method == "HEAD":
            call.send(200, [*headers, ("content-length", str(size))])
            return
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.header("range").strip())
        if asked is None or asked[0] == "bytes=-":
            if not size:
                call.send(200, headers)
            else:
                call.proto.response_file(200, [*headers, ("content-length", str(size))], str(path))
            return
        begin = int(asked[1]) if asked[1] else max(size - int(asked[2]), 0)
        end = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
        if begin > end:
            _refuse(
                call,
                416,
                "SIZE_INVALID",
                f"the blob has {size} bytes",
                [("content-range", f"bytes */{size}")],
            )
            return
        headers += [
            ("content-range", f"bytes {begin}-{end}/{size}"),
            ("content-length", str(end - begin + 1)),
        ]
        call.proto.response_file_range(206, headers, str(path), begin, end + 1)

    async def _delete_blob(self, call: Call, name: str, digest: str) -> None:
        self.blobs.drop_blob(name, digest)
        call.send(202)

    # Uploads

    async def _begin(self, call: Call, name: str, which: str) -> None:
        if which:
            raise BlobError("UNSUPPORTED", "POST begins an upload, and takes no name of one")
        mounted, source = call.query.get("mount"), call.query.get("from", "")
        if (
            mounted
            and source
            and self.guard.allows(call.header("authorization"), "repository", source, "pull")
        ) and self.blobs.mount(name, mounted, source):
            self._created(call, f"/v2/{name}/blobs/{mounted}", mounted)
            return
        digest = call.query.get("digest")
        if digest:
            checked(digest)
        upload = self.blobs.begin(name)
        if digest:
            await self._receive(call, upload)
            await self._conclude(call, upload, digest)
        else:
            self._accepted(call, upload)

    async def _progress(self, call: Call, name: str, which: str) -> None:
        upload = self.blobs.upload(name, which)
        self._accepted(call, upload, 204)

    async def _append(self, call: Call, name: str, which: str) -> None:
        upload = self.blobs.upload(name, which)
        self._check_range(call, upload)
        await self._receive(call, upload)
        self._accepted(call, upload)

    async def _finish(self, call: Call, name: str, which: str) -> None:
        upload = self.blobs.upload(name, which)
        digest = checked(call.query.get("digest"))
        self._check_range(call, upload)
        await self._receive(call, upload)
        await self._conclude(call, upload, digest)

    async def _abort(self, call: Call, name: str, which: str) -> None:
        upload = self.blobs.upload(name, which)
        if upload.busy:
            raise BlobError("TOOMANYREQUESTS", "another request is writing to this upload")
        self.blobs.abort(upload)
        call.send(204)

    async def _receive(self, call: Call, upload: Upload) -> None:
        """Write the body to the upload. What came before a cut stays, to be gone on with."""
        if upload.busy:
            raise BlobError("TOOMANYREQUESTS", "another request is writing to this upload")
        upload.busy = True
        held = bytearray()
        try:
            async for chunk in call.proto:
                held += chunk
                if len(held) >= _PIECE:
                    await asyncio.to_thread(upload.write, bytes(held))
                    held.clear()
        finally:
            if held:
                await asyncio.to_thread(upload.write, bytes(held))
            upload.busy = False

    async def _conclude(self, call: Call, upload: Upload, digest: str) -> None:
        upload.busy = True
        try:
            await asyncio.to_thread(self.blobs.finish, upload, digest)
        finally:
            upload.busy = False
        self.blobs.keep(upload, digest)
        self._created(call, f"/v2/{upload.repository}/blobs/{digest}", digest)

    @staticmethod
    def _check_range(call: Call, upload: Upload) -> None:
        asked = re.fullmatch(r"(?:bytes[ =])?(\d+)-(\d+)(?:/.*)?", call.header("content-range").strip())
        if asked and int(asked[1]) != upload.size:
            raise BlobError("BLOB_UPLOAD_INVALID", f"the upload has {upload.size} bytes: go on from there")

    @staticmethod
    def _accepted(call: Call, upload: Upload, status: int = 202) -> None:
        headers = [
            ("location", f"/v2/{upload.repository}/blobs/uploads/{upload.name}"),
            ("docker-upload-uuid", upload.name),
            ("range", f"0-{max(upload.size - 1, 0)}"),
        ]
        call.send(status, headers)

    @staticmethod
    def _created(call: Call, location: str, digest: str, more: Headers | None = None) -> None:
        call.send(201, [("location", location), ("docker-content-digest", digest), *(more or [])])

    # Manifests

    async def _get_manifest(self, call: Call, name: str, reference: str) -> None:
        found = self.blobs.get(name, reference)
        headers = [
            ("content-type", found.media_type),
            ("docker-content-digest", found.digest),
            ("etag", f'"{found.digest}"'),
            ("content-length", str(len(found.body))),
        ]
        call.send(200, headers, found.body)

    async def _put_manifest(self, call: Call, name: str, reference: str) -> None:
        if ":" not in reference and not _TAG.fullmatch(reference):
            raise BlobError(
                "MANIFEST_INVALID",
                f"{reference[:200]!r} is not a tag: letters, digits, '.', '_' and '-', at most 128",
            )
        media_type = call.header("content-type").partition(";")[0].strip()
        if not media_type:
            raise BlobError("MANIFEST_INVALID", "the request has no Content-Type")
        body = await call.body(LARGEST_MANIFEST)
        made = self.blobs.put(name, reference, media_type, body)
        more = [("oci-subject", made.subject)] if made.subject else []
        self._created(call, f"/v2/{name}/manifests/{made.digest}", made.digest, more)

    async def _delete_manifest(self, call: Call, name: str, reference: str) -> None:
        self.blobs.delete(name, reference)
        call.send(202)

    async def _referrers(self, call: Call, name: str, digest: str) -> None:
        found = [manifest.descriptor() for manifest in self.blobs.referrers(name, digest)]
        headers: Headers = []
        wanted = call.query.get("artifactType")
        if wanted:
            found = [entry for entry in found if entry.get("artifactType") == wanted]
            headers = [("oci-filters-applied", "artifactType")]
        call.send_json(200, {"schemaVersion": 2, "mediaType": _INDEX, "manifests": found}, headers, _INDEX)

    async def _tags(self, call: Call, name: str, _: str) -> None:
        self._page(call, "tags", self.blobs.tags(name), {"name": name}, f"/v2/{name}/tags/list")

    @staticmethod
    def _page(call: Call, key: str, entries: list[str], more: dict[str, str], path: str) -> None:
        last, text = call.query.get("last", ""), call.query.get("n", "")
        count = int(text) if text.isdigit() and len(text) < 7 else _PAGE
        rest = [entry for entry in entries if entry > last]
        headers: Headers = []
        if 0 < count < len(rest):
            headers = [("link", f'<{path}?last={quote(rest[count - 1], safe="")}&n={count}>; rel="next"')]
        call.send_json(200, {**more, key: rest[:count]}, headers)


def _refuse(call: Call, status: int, code: str, message: str, headers: Headers | None = None) -> None:
    call.send_json(status, {"errors": [{"code": code, "message": message}]}, headers)
