"""`fairlead serve admission` as a process: it starts, answers, goes on for a while when told to stop, and says what is wrong."""

from __future__ import annotations

import json
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.faces.cli.main import main

JAVASCRIPT = """\
apiVersion: policy.jspolicy.com/v1beta1
kind: JsPolicy
metadata: {name: %s.example.com}
spec:
  operations: [CREATE]
  resources: [%s]
  timeoutSeconds: 2
  javascript: |
    %s
"""


@contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command until the context ends; gives the process and its URL."""
    command = [sys.executable, "-m", "fairlead.faces.cli.main", "serve", "admission", "--port", "0", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"serving (https://\S+)", line):
                yield process, found[1]
                break
        else:
            pytest.fail("".join(lines))
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def asked(name: str, kind: str, plural: str) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "1",
            "kind": {"group": "", "version": "v1", "kind": kind},
            "resource": {"group": "", "version": "v1", "resource": plural},
            "name": name,
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "jane"},
            "object": {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}},
        },
    }


def test_it_serves_scripts_in_workers_and_stops_gently(tmp_path: Path) -> None:
    texts = [
        JAVASCRIPT % ("named", "pods", 'if (request.name == "bad") deny("bad is a bad name")'),
        JAVASCRIPT % ("endless", "configmaps", "while (true) {}"),
    ]
    (tmp_path / "policies.yaml").write_text("---\n".join(texts))
    certificates = tmp_path / "certs"
    words = ("-p", str(tmp_path / "policies.yaml"), "--cert-dir", str(certificates), "--drain", "1")
    with serving(*words) as (process, url):
        trust = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        with httpx.Client(base_url=url, verify=trust, timeout=30, trust_env=False) as http:

            def ask(name: str, kind: str, plural: str) -> dict[str, Any]:
                answer = http.post("/validate?timeout=10s", json=asked(name, kind, plural))
                assert answer.status_code == 200, answer.text
                return dict(answer.json()["response"])

            assert ask("good", "Pod", "pods")["allowed"]
            denied = ask("bad", "Pod", "pods")
            assert "bad is a bad name" in denied["status"]["message"]
            endless = ask("one", "ConfigMap", "configmaps")
            assert not endless["allowed"]
            assert "endless.example.com" in json.dumps(endless) or "did not end" in json.dumps(endless)
            assert ask("good", "Pod", "pods")["allowed"]

            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            assert http.get("/readyz").status_code == 503
            assert ask("good", "Pod", "pods")["allowed"]
        assert process.wait(20) == 0


def test_what_is_wrong_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (tmp_path / "p.yaml").write_text("{}")
    policy = ["-p", str(tmp_path / "p.yaml")]
    (tmp_path / "broken").write_text("nothing")
    cases: list[tuple[list[str], int, str]] = [
        (["-p", str(tmp_path / "absent")], 2, "no such file"),
        ([*policy, "--address", "here"], 2, "not an address"),
        ([*policy, "--tls-cert", "a"], 2, "belong together"),
        ([*policy, "--tls-cert", "a", "--tls-key", "b", "--cert-dir", "c"], 2, "choose one"),
        ([*policy, "--tls-cert", str(tmp_path / "broken"), "--tls-key", str(tmp_path / "broken")], 1, "cannot be used"),
        ([*policy, "--tls-cert", str(tmp_path / "no"), "--tls-key", str(tmp_path / "no")], 1, "No such file"),
        (["--in-cluster"], 2, "no pod of a cluster"),
        (["--kubeconfig", str(tmp_path / "none")], 2, "No such file"),
        (["--in-cluster", "--context", "x"], 2, "a cluster already"),
        ([*policy, "--port", "70000"], 1, "not a port"),
    ]  # fmt: skip
    for words, code, said in cases:
        assert main(["serve", "admission", *words]) == code, words
        told = capsys.readouterr().err
        assert said in told, (words, told)
        assert "Traceback" not in told
