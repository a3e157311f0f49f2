"""Packages that mean harm, as whole commands meet them: each is refused in words, nothing is written, nothing is left, and the next works."""

from __future__ import annotations

import io
import os
import re
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.oci import folders
from fairlead.drivers.oci.archives import write_layer
from fairlead.drivers.oci.errors import RegistryError
from fairlead.faces.cli.main import main

Run = Callable[..., tuple[int, str, str]]
Files = dict[str, str]

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
DEEP = "[" * 100_000
ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
DESCRIBED = "apiVersion: fairlead.dev/v1alpha1\nkind: Module\nmetadata: {name: web}\nspec: {version: 1.0.0}\n"
BUILD = "def build(context, values):\n    return []\n"


def module(code: str = BUILD, **more: str) -> Files:
    return {"module.yaml": DESCRIBED, "module.star": code, **more}


def chart(template: str = MAP, **more: str) -> Files:
    return {"Chart.yaml": "apiVersion: v2\nname: x\nversion: 1.0.0\n", "templates/a.yaml": template, **more}


def tree(fields: str, **more: str) -> Files:
    return {
        "kustomization.yaml": f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n{fields}\n",
        "a.yaml": MAP,
        **more,
    }


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in a folder of its own; whatever becomes of it, nothing temporary and no process is left."""
    scratch, home = tmp_path / "scratch", tmp_path / "home"
    for one in (scratch, home):
        one.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("FAIRLEAD_DATA_DIR", str(home / "none"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(words))
        said = capsys.readouterr()
        assert list(scratch.iterdir()) == []
        assert list(home.iterdir()) == []
        assert not CONTROL.search(said.err), repr(said.err)
        return code, said.out, said.err

    return command


def written(folder: Path, files: Files) -> str:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return str(folder)


REFUSED: dict[str, tuple[tuple[str, ...], Files, str]] = {
    "a chart that includes itself": (
        ("render",),
        chart('{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}'),
        r"unable to execute template\n +--> x/templates/a.yaml",
    ),
    "a chart that reads the environment": (("render",), chart(MAP + 'data: {a: {{ env "HOME" }} }'), 'function "env" not defined'),
    "a chart whose values double": (
        ("render",),
        chart(**{"values.yaml": ALIASES}),
        "more than 1000000 values once its aliases are expanded",
    ),
    "a chart whose schema is a file of the machine": (
        ("render",),
        chart(**{"values.yaml": "a: x", "values.schema.json": '{"$ref": "file:///etc/passwd"}'}),
        "leads out of the schema",
    ),
    "a chart that fails with orders for a terminal": (("render",), chart('{{ fail "\\x1b[2Jhello\\x07" }}'), "hello\ufffd"),
    "values that are deep": (("render", "-f", "values.yaml"), chart(**{"../values.yaml": DEEP}), "too deeply|levels deep"),
    "a tree that contains itself": (("render",), tree("resources: [.]"), "cycle detected"),
    "a tree of a file of the machine": (("render",), tree("secretGenerator: [{name: x, files: [/etc/passwd]}]"), "doesn't exist"),
    "a tree that runs a program": (
        ("render",),
        tree(
            "generators: [g.yaml]",
            **{"g.yaml": "apiVersion: x/v1\nkind: G\nmetadata:\n  name: g\n  annotations: {config.kubernetes.io/function: 'exec: {path: sh}'}\n"},
        ),
        "external plugins disabled",
    ),
    "a tree whose charts are the whole machine": (
        ("render",),
        tree("helmGlobals: {chartHome: /}\nhelmCharts: [{name: x}]"),
        "--enable-helm",
    ),
    "a tree that is deep": (("render",), tree(f"resources: {DEEP}"), "levels deep|YAML"),
    "manifests that are deep": (("render",), {"a.yaml": DEEP}, "nests deeper than 100 levels"),
    "manifests that double": (("render",), {"a.yaml": ALIASES}, "more than 1,000,000 values"),
    "manifests that make objects of Python": (
        ("render",),
        {"a.yaml": f"{MAP}data: !!python/object/apply:os.system ['id']\n"},
        "means nothing to Kubernetes",
    ),
    "manifests in a namespace that is a mapping": (
        ("render",),
        {"a.yaml": MAP.replace("name: a", "name: a, namespace: {a: b}")},
        r"a namespace is a text\n +--> .*a.yaml:3",
    ),
    "manifests that are no Unicode": (
        ("render",),
        {"a.json": '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a\\ud800"}}'},
        "something that is no JSON",
    ),
    "patterns without number": (
        ("render",),
        {"a.yaml": MAP, ".fairleadignore": "\n".join(f"*x{n}*y*" for n in range(2000))},
        r"more than 1,000 patterns\n +--> .*\.fairleadignore:1001",
    ),
    "a pattern without end": (("render",), {"a.yaml": MAP, ".fairleadignore": "*a" * 1000}, "a pattern of more than 1,000 characters"),
    "folders in folders": (("render",), {"a.yaml": MAP, "/".join("d" * 60) + "/b.yaml": MAP}, "more than 40 deep"),
    "a module that loads what is outside": (
        ("render",),
        module(f'load("../../etc/passwd", "x")\n{BUILD}'),
        r"leads out of the package\n +--> .*module.star:1:6",
    ),
    "a module that is deep": (("render",), module(f"x = {'-' * 100_000}1\n{BUILD}"), "nests too deeply"),
    "a module of that sort, vetted": (("mod", "vet"), module(f"x = {'-' * 100_000}1\n{BUILD}"), "nests too deeply"),
    "tests that are deep": (("mod", "test"), module(**{"tests/a.yaml": DEEP}), "nested more than 100 levels deep"),
    "tests that double": (("mod", "test"), module(**{"tests/a.yaml": ALIASES}), "once its aliases are expanded"),
    "a module whose version steers a terminal": (
        ("mod", "push"),
        {"module.yaml": DESCRIBED.replace("1.0.0", '"\\e[2J"'), "module.star": BUILD},
        "no semantic version",
    ),
    "a bundle that waits for itself": (
        ("bundle", "vet", "-f"),
        {"shop.yaml": "apiVersion: fairlead.dev/v1alpha1\nkind: Bundle\nmetadata: {name: shop}\nspec:\n  instances:\n"
                      "  - {name: a, source: ., dependsOn: [b]}\n  - {name: b, source: ., dependsOn: [a]}\n"},
        "these wait for each other: a -> b -> a",
    ),
    "a bundle that is deep": (("bundle", "vet", "-f"), {"shop.yaml": DEEP}, "nests deeper than 100 levels"),
}  # fmt: skip


def children() -> set[int]:
    """The processes that this one has begun, but for the one that it forks renderings from."""
    found = {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }
    return {pid for pid in found if b"rendering.template" not in Path(f"/proc/{pid}/cmdline").read_bytes()}


@pytest.mark.parametrize("name", REFUSED)
def test_what_means_harm_is_refused(
    run: Run, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, files, says = REFUSED[name]
    folder = tmp_path / "work" / "package"
    folder.mkdir(parents=True)
    written(folder, files)
    monkeypatch.chdir(folder.parent)
    there, before = sorted(folder.parent.rglob("*")), children()
    more = {"push": ("layout:out",)}.get(words[-1], ())
    code, out, err = run(*words, "package/shop.yaml" if words[0] == "bundle" else "package", *more)
    assert code in {1, 2}
    assert words[0] == "mod" or out == ""
    assert re.search(says, err), err
    assert len(err) < 3000, "it is short"
    assert sorted(folder.parent.rglob("*")) == there
    assert children() <= before
    assert run("render", written(tmp_path / "good", {"a.yaml": MAP}))[0] == 0


ODD = "\x1b[2J\x1b]0;x\x07"


@pytest.mark.parametrize(
    "words", [("--show", "notes"), ("--show", "images"), ("-o", "name"), ("-o", "table"), ()]
)
def test_what_a_package_says_steers_no_terminal(run: Run, words: tuple[str, ...], tmp_path: Path) -> None:
    pod = 'apiVersion: v1\nkind: Pod\nmetadata: {name: "a\\e[2J\\a"}\nspec: {containers: [{name: a, image: "b\\e[2J\\a"}]}\n'
    code, out, _ = run(
        "render", written(tmp_path / "p", chart(pod, **{"templates/NOTES.txt": f"read {ODD} this"})), *words
    )
    assert code == 0
    assert not CONTROL.search(out), repr(out)


def test_pipes_in_a_layout_are_not_waited_for(run: Run, tmp_path: Path) -> None:
    folder = written(tmp_path / "m", module())
    target = f"layout:{tmp_path / 'out'}"
    assert run("mod", "push", folder, target)[0] == 0
    assert run("render", f"{target}:1.0.0")[0] == 0
    for path in [*(tmp_path / "out" / "blobs" / "sha256").iterdir(), tmp_path / "out" / "index.json"]:
        body = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        code, out, err = run("render", f"{target}:1.0.0")
        assert (code, out, "there is no" in err) == (2, "", True) or body == b"{}" or b'"kind"' in body, err
        path.unlink()
        path.write_bytes(body)
    assert run("render", f"{target}:1.0.0")[0] == 0


@pytest.mark.parametrize("turn", ["link", "pipe", "folder", "gone", "longer"])
def test_what_takes_a_files_place_while_it_is_packed_is_not_packed(turn: str, tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "m"
    secret.write_text("0123456789")
    folder.mkdir()
    (folder / "a").write_text("9876543210")
    found = folders.read_folder(folder, lambda _path, _is_folder: False)
    (folder / "a").unlink()
    turns: dict[str, Callable[[], Any]] = {
        "link": lambda: (folder / "a").symlink_to(secret),
        "pipe": lambda: os.mkfifo(folder / "a"),
        "folder": (folder / "a").mkdir,
        "gone": list,
        "longer": lambda: (folder / "a").symlink_to("/dev/zero"),
    }
    turns[turn]()
    with pytest.raises(RegistryError):
        write_layer(tmp_path / "layer", found.files, "text/plain")


def test_an_archive_within_an_archive_within_an_archive(run: Run, tmp_path: Path) -> None:
    inner = b""
    for number in range(40, 0, -1):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:gz") as tar:
            parts = {f"c{number}/Chart.yaml": f"apiVersion: v2\nname: c{number}\nversion: 1.0.0\n".encode()}
            for name, body in {**parts, **({f"c{number}/charts/c.tgz": inner} if inner else {})}.items():
                info = tarfile.TarInfo(name)
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))
        inner = made.getvalue()
    folder = written(tmp_path / "c", chart(**{"charts/x": ""}))
    (tmp_path / "c" / "charts" / "c1.tgz").write_bytes(inner)
    code, out, err = run("render", folder)
    assert (code, out) == (1, "")
    assert len(err) < 4000
