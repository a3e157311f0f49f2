"""Kubeconfigs whose credentials come from a plugin, and what is said when it fails."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.drivers.cluster import BadKubeconfig, read_kubeconfig


def kubeconfig(folder: Path, script: str, **more: Any) -> Path:
    plugin = folder / "plugin"
    plugin.write_text(f"#!/bin/sh\n{script}\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./plugin",
        "interactiveMode": "Never",
        **more,
    }
    path = folder / "config"
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "a",
                "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443/"}}],
                "users": [{"name": "u", "user": {"exec": command}}],
            }
        )
    )
    return path


def test_a_plugin_gives_a_token(tmp_path: Path) -> None:
    answer = json.dumps({"kind": "ExecCredential", "status": {"token": "TOKEN"}}).replace("TOKEN", "$WORD-$1")
    path = kubeconfig(
        tmp_path, f"cat <<END\n{answer}\nEND", args=["two"], env=[{"name": "WORD", "value": "one"}]
    )
    access = read_kubeconfig(path)
    assert access.token == "one-two"
    assert access.server == "https://127.0.0.1:6443"


def test_a_plugin_is_told_about_the_cluster_if_it_wants(tmp_path: Path) -> None:
    script = f'echo "$KUBERNETES_EXEC_INFO" > {tmp_path}/told; echo \'{{"status": {{"token": "x"}}}}\''
    read_kubeconfig(kubeconfig(tmp_path, script, provideClusterInfo=True))
    told = json.loads((tmp_path / "told").read_text())
    assert told["spec"] == {"interactive": False, "cluster": {"server": "https://127.0.0.1:6443/"}}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'log in first' >&2; exit 3", "ended with 3: log in first"),
        ("echo nonsense", "gave no ExecCredential"),
        ("echo '[]'", "gave no ExecCredential"),
    ],
)
def test_a_plugin_that_fails(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(BadKubeconfig, match=said):
        read_kubeconfig(kubeconfig(tmp_path, script))


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "", command="no-such-plugin", installHint="get it somewhere")
    with pytest.raises(BadKubeconfig, match="cannot be run: No such file or directory get it somewhere"):
        read_kubeconfig(path)
