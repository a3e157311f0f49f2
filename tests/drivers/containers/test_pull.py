"""Pulls from a registry of the test's own, over plain HTTP on a loopback address."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fairlead.drivers.images import MANIFEST, Config, File, build
from fairlead.orchestrate.runtimes import PullFailed

from .conftest import Live

pytestmark = pytest.mark.root
IMAGE, BLOBS = build([{"/x": File(b"pulled")}], Config(user="7"))
SECRET = "Basic " + base64.b64encode(b"me:secret").decode()


class Registry(BaseHTTPRequestHandler):
    """The reading half of the distribution protocol: `open/...` for everyone, `closed/...` with a password."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        _, _, repository, _, what, reference = self.path.split("/", 5)
        digest = IMAGE.manifest.digest if reference == "1" else reference
        if repository == "closed" and self.headers.get("Authorization") != SECRET:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = BLOBS.get(digest)
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        if data is not None:
            self.send_header("Docker-Content-Digest", digest)
            self.send_header("Content-Type", MANIFEST if what == "manifests" else "application/octet-stream")
        self.end_headers()
        if data is not None and self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "auth"),
    [
        ("open/app:1", None),
        ("closed/app:1", {"username": "me", "password": "secret"}),
        ("closed/app:1", {"auth": base64.b64encode(b"me:secret").decode()}),
        (f"open/app@{IMAGE.manifest.digest}", None),
    ],
)
def test_an_image_is_pulled(live: Live, registry: str, name: str, auth: dict[str, str] | None) -> None:
    full = f"{registry}/{name}"
    assert live.do(live.runtime.pull(full, auth)) == IMAGE.config.digest
    seen = live.do(live.runtime.find_image(full))
    assert seen is not None
    assert (seen.id, seen.user) == (IMAGE.config.digest, "7")
    assert any(IMAGE.manifest.digest in item for item in seen.names)
    assert live.do(live.runtime.remove_image(seen.id))
    assert live.do(live.runtime.find_image(full)) is None


@pytest.mark.parametrize(
    ("name", "auth", "text"),
    [
        (
            "open/app:2",
            None,
            r"rpc error: code = NotFound desc = failed to pull and unpack image .*: not found$",
        ),
        (
            "closed/app:1",
            None,
            "failed to pull and unpack image .*: failed to authorize|401 Unauthorized|authorization failed",
        ),
        ("closed/app:1", {"username": "me", "password": "wrong"}, "authorization failed|401 Unauthorized"),
    ],
)
def test_what_cannot_be_pulled(
    live: Live, registry: str, name: str, auth: dict[str, str] | None, text: str
) -> None:
    with pytest.raises(PullFailed, match=text):
        live.do(live.runtime.pull(f"{registry}/{name}", auth))
