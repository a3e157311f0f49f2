"""`fairlead render`: every sort of package, every form of output, and what is said of what is wrong."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from fairlead.faces.cli.main import main
from fairlead.faces.cli.outputs import differences, write
from fairlead.render.packages import Stage
from fairlead.tongues import yamls

MODULE = {
    "module.yaml": "apiVersion: fairlead.dev/v1alpha1\nkind: Module\nmetadata: {name: shop}\nspec: {version: 1.0.0}\n",
    "module.star": """\
load("@kubernetes/v1", "Pod", "PodSpec", "Container")

Values = group(
    tag = text("1.0", "the version"),
    port = port(80, "the port"),
    token = secret_text("", "a token"),
)

def build(context, values):
    pod = Pod(
        metadata = {"name": context.name},
        spec = PodSpec(containers = [Container(name = "app", image = image("example.com/shop", values.tag))]),
    )
    return [
        stage("config", [config_map("shop", {"port": str(values.port)}, hashed_name = False)]),
        stage("app", [pod]),
        test(Pod(metadata = {"name": "test"}, spec = PodSpec(restartPolicy = "Never", containers = [Container(name = "t", image = "busybox:1")]))),
    ]
""",
}
CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  region: ${region}\n"


def made(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.fixture
def shop(tmp_path: Path) -> str:
    return made(tmp_path / "shop", MODULE)


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    found = main(["render", *words])
    said = capsys.readouterr()
    assert found == code, said.err
    return said.out, said.err


def test_a_module(capsys: pytest.CaptureFixture[str], shop: str) -> None:
    out, err = run(capsys, shop, "--set", "port=8080", "--name", "web")
    config, pod = yamls.load_all(out)
    assert config["data"] == {"port": "8080"}
    assert pod["metadata"]["name"] == "web"
    assert err == ""


SORTS: dict[str, dict[str, str]] = {
    "chart": {
        "Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
        "values.yaml": "port: 80\n",
        "templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  port: {{ .Values.port | quote }}\n",
    },
    "tree": {
        "kustomization.yaml": "resources: [a.yaml]\nnamePrefix: pre-\n",
        "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {port: '80'}\n",
    },
    "plain": {"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {port: '80'}\n"},
}  # fmt: skip


@pytest.mark.parametrize("sort", SORTS)
def test_every_sort_is_rendered_alike(capsys: pytest.CaptureFixture[str], tmp_path: Path, sort: str) -> None:
    out, _ = run(capsys, made(tmp_path, SORTS[sort]), "--name", "shop")
    found = yamls.load(out)
    assert found["metadata"]["name"] == ("pre-shop" if sort == "tree" else "shop")
    assert found["data"] == {"port": "80"}


def test_an_archive_and_standard_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path / "shop", SORTS["chart"])
    path = tmp_path / "shop.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "shop")
    out, _ = run(capsys, str(path), "--set", "port=1")
    assert yamls.load(out)["data"] == {"port": "1"}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CONFIG.encode())))
    out, _ = run(capsys, "-", "--set", "region=eu")
    assert yamls.load(out)["data"] == {"region": "eu"}


def test_the_forms_of_output(capsys: pytest.CaptureFixture[str], shop: str) -> None:
    assert run(capsys, shop, "-o", "name")[0] == "configmap/shop\npod/shop\n"
    found = json.loads(run(capsys, shop, "-o", "json")[0])
    assert (found["kind"], len(found["items"])) == ("List", 2)
    table = run(capsys, shop, "-o", "table", "--include-tests")[0]
    assert [line.split() for line in table.splitlines()] == [
        ["STAGE", "KIND", "NAMESPACE", "NAME"],
        ["config", "ConfigMap", "shop"],
        ["app", "Pod", "shop"],
        ["test", "Pod", "test"],
    ]


def test_one_stage(capsys: pytest.CaptureFixture[str], shop: str) -> None:
    assert run(capsys, shop, "--stage", "app", "-o", "name")[0] == "pod/shop\n"
    assert main(["render", shop, "--stage", "db"]) == 2
    assert "the stages are: config, app, test" in capsys.readouterr().err


def test_what_else_can_be_shown(capsys: pytest.CaptureFixture[str], shop: str) -> None:
    assert run(capsys, shop, "--show", "images")[0] == "example.com/shop:1.0\n"
    assert yamls.load(run(capsys, shop, "--show", "values")[0]) == {"tag": "1.0", "port": 80, "token": ""}
    assert run(capsys, shop, "--show", "stages", "-o", "table")[0].splitlines()[3].split() == [
        "test",
        "test",
        "(once)",
        "1",
        "0",
    ]
    assert run(capsys, shop, "--show", "notes")[0] == "the package has no notes\n"


def test_files(capsys: pytest.CaptureFixture[str], shop: str, tmp_path: Path) -> None:
    out, _ = run(capsys, shop, "--output-dir", str(tmp_path / "out"))
    assert [Path(line).relative_to(tmp_path / "out").as_posix() for line in out.splitlines()] == [
        "01-config/configmap-shop.yaml",
        "02-app/pod-shop.yaml",
    ]
    assert yamls.load((tmp_path / "out/02-app/pod-shop.yaml").read_text())["kind"] == "Pod"


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    objects = tuple(
        {"kind": "../K", "metadata": {"name": name}} for name in ("../../x", "/etc/x", "", "..", "a\0b")
    )
    paths = write([Stage("../s", objects)], str(tmp_path / "out"))
    assert len(paths) == len(set(paths)) == 5
    assert all(Path(path).resolve().parent == tmp_path / "out" for path in paths)


def test_mistakes_in_values_are_shown_in_their_lines(
    capsys: pytest.CaptureFixture[str], shop: str, tmp_path: Path
) -> None:
    values = tmp_path / "v.yaml"
    values.write_text('tag: 1.10\nport: "80"  # web\n')
    _, err = run(capsys, shop, "-f", str(values), "--set", "prot=1", code=1)
    assert (
        err
        == f"""\
error: prot: there is no value "prot"
  --> --set
  | --set prot=1
  hint: did you mean port?

error: tag: must be text, is the number 1.1
  --> {values}:1:6
  1 | tag: 1.10
    |      ^^^^
  hint: put it in quotes: "1.10"

error: port: must be a port, a whole number from 1 to 65535, is the text "80"
  --> {values}:2:7
  2 | port: "80"  # web
    |       ^^^^
  hint: write 80, without quotes
"""
    )


def test_mistakes_in_code_are_shown_in_their_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = MODULE["module.star"].replace('image = image("example.com/shop", values.tag)', 'imag = "a:1"')
    _, err = run(capsys, made(tmp_path / "shop", {**MODULE, "module.star": code}), code=1)
    assert "Container has no field `imag`" in err
    assert f"--> {tmp_path}/shop/module.star:12:" in err
    assert "did you mean `image`?" in err


def test_no_secret_is_shown(capsys: pytest.CaptureFixture[str], shop: str, tmp_path: Path) -> None:
    values = tmp_path / "v.yaml"
    values.write_text("{token: hunter2, port: x}\n")
    _, err = run(capsys, shop, "-f", str(values), code=1)
    assert "hunter2" not in err
    assert "****" in err


def test_variables_in_manifests(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = made(tmp_path / "m", {"a.yaml": CONFIG})
    assert "${region}" in run(capsys, path)[0]
    _, err = run(capsys, path, "--substitute", code=1)
    assert err.splitlines()[:4] == [
        "error: nothing sets ${region}",
        f"  --> {path}/a.yaml:6:11",
        "  6 |   region: ${region}",
        "    |           ^^^^^^^^^",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/nowhere"], "there is no such file or directory"),
        ([".", "-f", "/nowhere"], "--values /nowhere: there is no such file"),
        ([".", "--set-file", "x"], "it takes NAME=FILE"),
    ],
)
def test_a_wrong_command(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert said in run(capsys, *words, code=2)[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "Not_a_name"], "'Not_a_name' is no name for an instance"),
        (["-n", "a/b"], "'a/b' is no name for a namespace"),
        (["--kube-version", "new"], "--kube-version new: it looks like 1.31"),
        (["--diff", "yesterday"], "--diff yesterday: it is cluster, revision or revision:N"),
    ],
)
def test_wrong_words(capsys: pytest.CaptureFixture[str], shop: str, words: list[str], said: str) -> None:
    assert said in run(capsys, shop, *words, code=2)[1]


def test_a_difference_shows_no_secret() -> None:
    before = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"a": "b2xk", "b": "c2FtZQ=="},
    }
    after = {**before, "data": {"a": "bmV3", "b": "c2FtZQ=="}}
    lines = differences([before], [after], "revision 1", "rendered")
    assert lines[:2] == ["--- Secret s (revision 1)", "+++ Secret s (rendered)"]
    assert not any(value in line for line in lines for value in ("b2xk", "bmV3", "c2FtZQ=="))
    assert any(line.startswith("-") and "a:" in line for line in lines)
    assert differences([before], [before], "a", "b") == []


@pytest.fixture
def pushed(shop: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["mod", "push", shop, f"layout:{tmp_path}/registry"]) == 0
    capsys.readouterr()
    return f"layout:{tmp_path}/registry:1.0.0"


def test_a_module_in_a_registry(capsys: pytest.CaptureFixture[str], pushed: str, shop: str) -> None:
    assert run(capsys, pushed, "--name", "shop")[0] == run(capsys, shop)[0]
    err = run(capsys, pushed.replace("1.0.0", "9.9.9"), code=2)[1]
    assert err.startswith("error: ")
    assert "9.9.9" in err


def test_what_is_not_signed_is_not_unpacked(
    capsys: pytest.CaptureFixture[str], pushed: str, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    key = tmp_path / "key.pem"
    key.write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    out, err = run(capsys, pushed, "--verify-key", str(key), code=2)
    assert out == ""
    assert "sign" in err
    assert "nothing of it was unpacked" in err


def test_dependencies_are_fetched_only_where_that_is_allowed(
    capsys: pytest.CaptureFixture[str], pushed: str, tmp_path: Path
) -> None:
    user = made(tmp_path / "user", MODULE)
    wanted = f"spec: {{version: 1.0.0, dependencies: [{{name: shop, source: '{pushed}'}}]}}"
    (tmp_path / "user/module.yaml").write_text(
        MODULE["module.yaml"].replace("spec: {version: 1.0.0}", wanted)
    )
    code = (tmp_path / "user/module.star").read_text()
    (tmp_path / "user/module.star").write_text(f'load("@shop/module.star", _theirs = "Values")\n{code}')
    err = run(capsys, user, code=1)[1]
    assert "is needed and not here" in err
    assert "--allow-fetch" in err
    run(capsys, user, "--allow-fetch")
