"""Containers are made from images that were pushed to the platform's own registry."""

from __future__ import annotations

import json

import httpx
import pytest

from fairlead.drivers import images

from .conftest import BUSYBOX, Space, _images

pytestmark = [pytest.mark.root, pytest.mark.kubectl]


def test_a_pod_runs_an_image_that_was_pushed_here(space: Space) -> None:
    data = space.platform.data
    url = json.loads((data / "run" / "registry.json").read_text())["url"]
    [(layer, config)] = [(layer, config) for name, layer, config in _images() if name == BUSYBOX]
    packed, blobs = images.build([layer], config)
    account = ("fairlead", (data / "registry" / "password").read_text())
    with httpx.Client(base_url=f"http://{url}/v2/team/box", auth=account) as client:
        for digest, content in blobs.items():
            if digest != packed.manifest.digest:
                client.post("/blobs/uploads/", params={"digest": digest}, content=content).raise_for_status()
        kind = {"content-type": packed.manifest.media_type}
        client.put("/manifests/1.0.0", content=packed.manifest.data, headers=kind).raise_for_status()
    space.kubectl(
        "run",
        "pulled",
        f"--image={url}/team/box@{packed.manifest.digest}",
        "--restart=Never",
        "--",
        "sh",
        "-c",
        "echo hello",
    )
    space.platform.eventually(lambda: "hello" in space.run("logs", "pulled").stdout)
