"""`fairlead render` beside a cluster: what differs from it, and from a revision of the instance; what a chart looks up there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import ControlPlane

from fairlead.faces.cli.main import main

OBJECTS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {size: "${size}"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {key: "${key}"}
"""


def test_differences(control_plane: ControlPlane, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(OBJECTS)
    where = ["--name", "shop", "--kubeconfig", str(control_plane.data / "kubeconfig")]
    one = ["--set-string", "size=1,key=first-key"]

    def render(*words: str, code: int) -> str:
        assert main(["render", str(path), *where, *words]) == code
        said = capsys.readouterr()
        assert "-key" not in said.out.replace("--key", "")
        return said.out

    assert "create" in render(*one, "--diff", code=1)
    assert main(["apply", str(path), *where, *one, "--no-wait", "--yes"]) == 0
    capsys.readouterr()
    assert render(*one, "--diff", code=0) == "default/shop: nothing differs\n"
    assert render(*one, "--diff", "revision", code=0) == "default/shop: nothing differs from revision 1\n"
    two = ["--set-string", "size=2,key=second-key"]
    found = render(*two, "--diff", code=1)
    assert "ConfigMap default/conf" in found
    assert "size" in found
    lines = render(*two, "--diff", "revision:1", code=1).splitlines()
    assert "--- ConfigMap default/conf (revision 1)" in lines
    assert '-  size: "1"' in lines
    assert '+  size: "2"' in lines
    assert any(line.startswith("+  key:") for line in lines)
    assert main(["render", str(path), *where, *one, "--diff", "revision:9"]) == 1
    assert "9" in capsys.readouterr().err
