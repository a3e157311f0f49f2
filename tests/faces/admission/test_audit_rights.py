"""`fairlead serve audit` with no more rights than `fairlead install audit` gives it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import ControlPlane

from fairlead.drivers.cluster import AsyncCluster
from fairlead.drivers.pki import kubeconfig
from fairlead.faces.admission.manifests import AUDIT, Wishes, audit_manifests
from fairlead.keep.errors import Refusal

from .conftest import pod, policy

SPACE = "guard"


def test_its_own_rights_are_enough(control_plane: ControlPlane, tmp_path: Path) -> None:
    async def prepared() -> str:
        async with AsyncCluster(control_plane.access) as cluster:
            for one in audit_manifests(Wishes(image="fairlead", namespace=SPACE), [("*", "*")]):
                try:
                    await cluster.create(one)
                except Refusal as refusal:  # the control plane brings the definitions of reports itself
                    if one["kind"] != "CustomResourceDefinition" or refusal.reason != "AlreadyExists":
                        raise
            await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
            await cluster.create(pod())
            await cluster.create(policy("tags", "bad"))
            asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                     "metadata": {"namespace": SPACE}, "spec": {"expirationSeconds": 3600}}  # fmt: skip
            token = (await cluster.create(asked, subresource="token", name=AUDIT))["status"]["token"]
            return str(token)

    access = control_plane.access
    config = kubeconfig(
        server=access.server, ca=access.ca.encode(), user=AUDIT, token=asyncio.run(prepared())
    )
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "fairlead.faces.cli.main", "serve", "audit", "--kubeconfig", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    told = []
    try:
        for line in process.stderr:
            told.append(line)
            if "auditing https://" in line:
                break
        process.send_signal(signal.SIGTERM)
        told.append(process.stderr.read())
        assert process.wait(20) == 0, "".join(told)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    text = "".join(told)
    assert "auditing https://" in text
    assert "cannot be" not in text, text
    assert "Traceback" not in text, text
