"""Continuous diagnosis on a real platform, as its users meet it: kubectl get findings, and fixes that a policy wants."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.kubectl, pytest.mark.slow]


class Chat(BaseHTTPRequestHandler):
    """A receiver of messages that is ill first, then slow, then well."""

    heard: list[dict[str, Any]] = []  # noqa: RUF012  the server makes one of these for each request
    asked = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked += 1
        if self.asked == 2:
            time.sleep(1)
        code = 500 if self.asked == 1 else 200
        self.send_response(code)
        self.end_headers()
        if code == 200:
            self.heard.append(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def chat(space: Any) -> Iterator[type[Chat]]:
    """A receiver that the platform's file names."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = space.platform.data / "heal" / "receivers.yaml"
    file.parent.mkdir()
    url = f"http://127.0.0.1:{server.server_address[1]}/services/hidden-part"
    file.write_text(json.dumps([{"url": url, "namespaces": [space.name]}]))
    yield Chat
    file.unlink()
    server.shutdown()
    server.server_close()


def deployment(space: Any, name: str, config: str) -> dict[str, Any]:
    one = space.container("sleep 1000", envFrom=[{"configMapRef": {"name": config}}])
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [one]},
        },
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def finding(space: Any, rule: str, state: str = "active") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = json.loads(space.kubectl("get", "findings", "-o", "json"))["items"]
        return next(
            (one for one in found if one["finding"]["rule"] == rule and one["status"]["state"] == state), None
        )

    return space.platform.eventually(look)  # type: ignore[no-any-return]  # what look finds


def test_a_broken_application_is_seen_told_and_healed(space: Any, chat: type[Chat]) -> None:
    assert "platform" in space.platform.fairlead("status").stdout
    space.kubectl("create", "configmap", "web-settings", "--from-literal=mode=fast")
    space.apply(deployment(space, "web", "web-setings"))
    found = finding(space, "config.missing")
    assert found["finding"]["subject"]["name"] == "web"
    table = space.platform.kubectl("get", "findings", "-A")
    assert re.search(
        rf"{space.name} +{found['metadata']['name']} +\w+ +config.missing +Deployment/web +ConfigMap web-setings does not exist.* active",
        table,
    ), table
    space.was_told("web", "ConfigMissing", "web-setings does not exist")
    policy = {
        "apiVersion": "fairlead.dev/v1alpha1",
        "kind": "HealPolicy",
        "metadata": {"name": space.name},
        "spec": {"mode": "auto", "rules": ["config.*"], "namespaces": [space.name], "patience": "60s"},
    }
    space.apply(policy)
    try:
        healed = finding(space, "config.missing", "resolved")
        assert healed["status"]["healing"]["outcome"] == "healthy", healed["status"]
        assert healed["status"]["healing"]["policy"] == space.name
        config = space.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]
        assert config == {"configMapRef": {"name": "web-settings"}}
        space.was_told("web", "Healed", "healthy")
        space.platform.eventually(lambda: any("resolved" in one["title"] for one in told(chat)))
        assert any(
            re.fullmatch(rf"(critical|warning): Deployment {space.name}/web", one["title"])
            for one in told(chat)
        ), told(chat)
        assert any("healthy" in one["title"] for one in told(chat)), told(chat)
        assert chat.asked > len(chat.heard), "one was not taken, and came again"
        log = (space.platform.data / "logs" / "platform.log").read_text()
        assert "127.0.0.1 was not told, and is told again later: it answered 500" in log
        assert "hidden-part" not in log
    finally:
        space.kubectl("delete", "healpolicy", space.name)


def told(chat: type[Chat]) -> list[dict[str, Any]]:
    return [attachment for one in chat.heard for attachment in one["attachments"]]


def test_the_diagnosis_has_the_rights_that_it_needs_and_no_others(space: Any) -> None:
    config = str(space.platform.data / "platform.kubeconfig")

    def can(*words: str) -> bool:
        done = space.platform.run("--kubeconfig", config, "auth", "can-i", *words)
        return bool(done.stdout.strip().startswith("yes"))

    assert can("list", "secrets", "-A")
    assert can("get", "pods", "--subresource=log", "-n", space.name)
    assert can("patch", "deployments", "-n", space.name)
    for words in (
        ("create", "secrets"),
        ("patch", "secrets"),
        ("create", "clusterroles"),
        ("create", "pods", "--subresource=exec"),
        ("patch", "healpolicies"),
    ):
        assert not can(*words, "-n", space.name), words
