"""`fairlead image` as a user runs it, without a node: guests can be managed, containers say what they need."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wasmtime

from fairlead.drivers import images
from fairlead.faces.cli.main import main

GUEST = '(module (memory (export "memory") 1) (func (export "_start")))'


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    layer = {"/main.wasm": images.File(bytes(wasmtime.wat2wasm(GUEST)))}
    images.build_archive(
        tmp_path / "guest.tar", "shop/guest:1", [layer], images.Config(entrypoint=("/main.wasm",))
    )
    return tmp_path / "guest.tar"


def run(data: Path, *words: str) -> int:
    return main(["image", "--data-dir", str(data), *words])


def test_in_listed_and_out(tmp_path: Path, guest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    assert run(data, "import", str(guest)) == 0
    assert "imported docker.io/shop/guest:1" in capsys.readouterr().out
    assert run(data, "ls", "-o", "json") == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert (listed["names"], listed["runtime"]) == (["docker.io/shop/guest:1"], "wasm")
    assert run(data, "ls") == 0
    assert "docker.io/shop/guest:1" in capsys.readouterr().out
    assert run(data, "rm", "shop/guest:1") == 0
    assert run(data, "rm", "shop/guest:1") == 1
    assert "no such image: shop/guest:1" in capsys.readouterr().err


def test_a_name_of_ones_own(tmp_path: Path, guest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    assert run(data, "import", str(guest), "--name", "other:2") == 0
    assert "docker.io/library/other:2" in capsys.readouterr().out
    assert run(data, "import", str(guest), str(guest), "--name", "other:2") == 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _path: None, "No such file"),
        (lambda path: path.write_bytes(b"\x00" * 2000), "not an image"),
        (lambda path: path.mkdir(), "not an image"),
    ],
    ids=["missing", "garbage", "empty folder"],
)
def test_what_is_no_image_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, said: str
) -> None:
    path = tmp_path / "thing"
    assert callable(make)
    make(path)
    assert run(tmp_path / "data", "import", str(path)) == 1
    told = capsys.readouterr().err
    assert said in told
    assert str(path) in told


def test_a_container_image_needs_containers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "box.tar"
    layer = {"/bin/sh": images.File(b"#!")}
    images.build_archive(path, "box:1", [layer], images.Config(entrypoint=("/bin/sh",)))
    assert run(tmp_path / "data", "import", str(path)) == 1
    told = capsys.readouterr().err
    assert "no containers run here" in told
    assert "fairlead up" in told
