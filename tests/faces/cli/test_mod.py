"""`fairlead mod`: a new module is right, what is wrong with one is told, and what is written stays as it is when written again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fairlead.faces.cli.main import main
from fairlead.reactor.rendering_vendoring import read_lock

ROOT = Path(__file__).resolve().parents[3]
CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: wheels.example.com
  uid: x
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}", keep: "1"}
spec:
  group: example.com
  names: {kind: Wheel, plural: wheels, singular: wheel, listKind: WheelList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [spokes]
            properties:
              spokes: {type: integer, minimum: 3}
status: {storedVersions: [v1]}
"""


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["mod", "init", "shop", "--dir", str(tmp_path / "shop")]) == 0
    capsys.readouterr()
    return tmp_path / "shop"


def run(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> tuple[str, str]:
    found = main(["mod", *map(str, words)])
    said = capsys.readouterr()
    assert found == code, said.out + said.err
    return said.out, said.err


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_new_module_is_right(capsys: pytest.CaptureFixture[str], shop: Path) -> None:
    assert run(capsys, "vet", shop, "-q")[0] == f"{shop}: right (3 builds, 3 objects, 5 notes)\n"
    assert run(capsys, "test", shop)[0].endswith("3 of 3 tests passed\n")
    assert run(capsys, "fmt", shop, "--check")[0] == "1 file: nothing to change\n"
    assert run(capsys, "docs", shop, "--check")[0] == ""
    assert "| `replicas` | whole number, 0 to 100 | `2` |" in (shop / "README.md").read_text()
    assert json.loads((shop / "values.schema.json").read_text())["title"] == "shop"


def test_a_new_library_is_right(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(capsys, "init", "lab", "--library", "--dir", tmp_path / "lab")
    assert run(capsys, "vet", tmp_path / "lab")[0] == f"{tmp_path}/lab: right (0 builds, 0 objects)\n"
    assert run(capsys, "fmt", tmp_path / "lab", "--check")[0] == "1 file: nothing to change\n"


def test_nothing_is_written_over(capsys: pytest.CaptureFixture[str], shop: Path) -> None:
    (shop / "module.star").write_text("mine")
    assert "is there already" in run(capsys, "init", "shop", "--dir", shop, code=1)[1]
    assert (shop / "module.star").read_text() == "mine"
    assert "for example: my-shop" in run(capsys, "init", "My Shop", code=2)[1]


def test_vet_tells_mistakes_in_code(capsys: pytest.CaptureFixture[str], shop: Path) -> None:
    edit(shop / "module.star", "replicas = values.replicas", "replica = values.replicas")
    out, err = run(capsys, "vet", shop, code=1)
    assert "DeploymentSpec has no field `replica`" in err
    assert f"--> {shop}/module.star:" in err
    assert "did you mean `replicas`?" in err
    assert out == f"{shop}: 1 mistake (0 builds, 0 objects)\n"


def test_vet_tells_what_does_not_parse(capsys: pytest.CaptureFixture[str], shop: Path) -> None:
    edit(shop / "module.star", "def build(context, values):", "def build(context values):")
    assert f"{shop}/module.star:" in run(capsys, "vet", shop, code=1)[1]


def test_vet_tells_of_values_that_are_declared_wrongly(
    capsys: pytest.CaptureFixture[str], shop: Path
) -> None:
    edit(shop / "module.star", "port = port(8080,", 'port = port("8080",')
    err = run(capsys, "vet", shop, code=1)[1]
    assert "Values.port: the default must be a port, a whole number from 1 to 65535, is the text" in err
    assert f"--> {shop}/module.star:15" in err


def test_vet_tells_what_an_api_server_would_refuse(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 99999}]}\n"
    )
    out, err = run(capsys, "vet", tmp_path, "-q", code=1)
    assert "must be between 1 and 65535" in err
    assert "mistake" in out


def test_vet_notes_what_could_be_better(capsys: pytest.CaptureFixture[str], shop: Path) -> None:
    edit(shop / "module.star", '"How many pods there are", ', "")
    edit(
        shop / "module.star",
        "def service(context, values):\n",
        "def service(context, values):\n    unused = 1\n",
    )
    err = run(capsys, "vet", shop)[1]
    assert "note: " in err
    assert "Values.replicas: says nothing of what it means" in err
    assert 'Unused assignment of "unused"' in err
    assert run(capsys, "vet", shop, "--strict", "-q", code=1)


def test_vet_as_json(capsys: pytest.CaptureFixture[str], shop: Path) -> None:
    found = json.loads(run(capsys, "vet", shop, "-o", "json")[0])
    assert (found["mistakes"], found["builds"], found["objects"]) == ([], 3, 3)


def test_a_test_that_fails_says_why(capsys: pytest.CaptureFixture[str], shop: Path) -> None:
    edit(shop / "tests/values.yaml", ".spec.replicas: 2", ".spec.replicas: 3")
    edit(shop / "tests/values.yaml", "fails: must be a port", "fails: must be polite")
    out, _ = run(capsys, "test", shop, code=1)
    assert (
        f"FAILED defaults\n  {shop}/tests/values.yaml:3\n  Deployment/shop .spec.replicas is 2, expected 3\n"
        in out
    )
    assert 'nothing says "must be polite": service.port must be a port, a whole number from 1 to 65535' in out
    assert out.endswith("1 of 3 tests passed\n")
    assert run(capsys, "test", shop, "-k", "scales")[0] == "ok scales and moves\n1 of 1 test passed\n"
    assert "there are: defaults" in run(capsys, "test", shop, "-k", "nothing", code=2)[1]


def test_snapshots_are_written_and_held_against(capsys: pytest.CaptureFixture[str], shop: Path) -> None:
    (shop / "tests/all.yaml").write_text("snapshot: true\n")
    snapshot = shop / "tests/snapshots/all.yaml"
    assert (
        "there is no snapshot tests/snapshots/all.yaml; --update writes it"
        in run(capsys, "test", shop, "-k", "all", code=1)[0]
    )
    assert (
        run(capsys, "test", shop, "-k", "all", "--update")[0]
        == "ok all\n1 of 1 test passed, 1 snapshot written\n"
    )
    assert snapshot.read_text().startswith("---\n# stage config\napiVersion: v1\n")
    run(capsys, "test", shop)
    edit(shop / "module.star", "replicas = integer(2", "replicas = integer(4")
    out, _ = run(capsys, "test", shop, "-k", "all", code=1)
    assert "  -  replicas: 2\n  +  replicas: 4\n" in out
    run(capsys, "vet", shop, "-q")


def test_fmt(capsys: pytest.CaptureFixture[str], shop: Path) -> None:
    path = shop / "more.star"
    path.write_text("x={'a':1}\n")
    (shop / "vendor/lib").mkdir(parents=True)
    (shop / "vendor/lib/library.star").write_text("y=1\n")
    assert run(capsys, "fmt", shop, "--check", code=1)[0] == f"{path}: would be written otherwise\n"
    assert run(capsys, "fmt", shop)[0] == f"{path}: formatted\n"
    assert path.read_text() == 'x = {"a": 1}\n'
    path.write_text("x = (\n")
    assert f"{path}:1:5: is no Starlark: nothing closes this (" in run(capsys, "fmt", path, code=1)[1]
    assert "there is no such file" in run(capsys, "fmt", shop / "none.star", code=2)[1]


def test_docs(capsys: pytest.CaptureFixture[str], shop: Path) -> None:
    edit(shop / "module.star", "How many pods there are", "The number of pods")
    err = run(capsys, "docs", shop, "--check", code=1)[1]
    assert err.splitlines() == [
        f"{shop}/{name}: out of date; fairlead mod docs writes it"
        for name in ("README.md", "values.schema.json")
    ]
    run(capsys, "docs", shop)
    assert "The number of pods" in (shop / "README.md").read_text()
    assert run(capsys, "docs", shop)[0] == "all is up to date\n"
    assert run(capsys, "docs", shop, "--print")[0].startswith("| value | type | default | meaning |")


def test_the_example_is_right_and_documented(capsys: pytest.CaptureFixture[str]) -> None:
    podinfo = ROOT / "examples" / "modules" / "podinfo"
    run(capsys, "docs", podinfo, "--check")
    run(capsys, "vet", podinfo, "-q")
    run(capsys, "test", podinfo)


def test_definitions_are_vendored_and_typed(
    capsys: pytest.CaptureFixture[str], shop: Path, tmp_path: Path
) -> None:
    crd = tmp_path / "crd.yaml"
    crd.write_text(CRD)
    assert run(capsys, "vendor", "crd", crd, shop)[0] == "schemas/wheels.example.com.yaml: written\n"
    kept = (shop / "schemas/wheels.example.com.yaml").read_text()
    assert "uid" not in kept
    assert "last-applied" not in kept
    assert "status:" not in kept
    star = shop / "module.star"
    star.write_text(
        'load("@crd/example.com/v1", "Wheel")\n\ndef build(context, values):\n    return [stage("w", [Wheel(metadata = {"name": "a"}, spec = {"spokes": 2})])]\n'
    )
    assert "spokes" in run(capsys, "vet", shop, "-q", code=1)[1]
    (tmp_path / "none.yaml").write_text("a: 1\n")
    assert (
        "has no CustomResourceDefinition"
        in run(capsys, "vendor", "crd", tmp_path / "none.yaml", shop, code=1)[1]
    )
    assert "is no module" in run(capsys, "vendor", "crd", crd, tmp_path, code=2)[1]
    assert "say where the definitions are" in run(capsys, "vendor", "crd", code=2)[1]


def test_dependencies_are_vendored_and_locked(
    capsys: pytest.CaptureFixture[str], shop: Path, tmp_path: Path
) -> None:
    lab, layout = tmp_path / "lab", f"layout:{tmp_path}/registry"
    run(capsys, "init", "lab", "--library", "--dir", lab)
    run(capsys, "push", lab, layout)
    with (shop / "module.yaml").open("a") as file:
        file.write(f"  dependencies:\n  - name: lab\n    source: {layout}\n    version: 0.1.0\n")
    edit(
        shop / "module.star",
        'ports = [ContainerPort(name = "http", containerPort = values.port)]',
        "ports = [web_port(values.port)]",
    )
    edit(
        shop / "module.star",
        'load("@kubernetes/meta/v1"',
        'load("@lab", "web_port")\nload("@kubernetes/meta/v1"',
    )
    err = run(capsys, "vet", shop, "-q", code=1)[1]
    assert "is not here" in err
    assert "fairlead mod vendor" in err
    out, _ = run(capsys, "vendor", shop)
    assert out.startswith(f"vendor/lab: {layout} 0.1.0 sha256:")
    run(capsys, "vet", shop, "-q")
    lock = shop / "vendor/vendor.lock.yaml"
    digest = read_lock(lock.read_text())["lab"]["digest"]
    lock.write_text(lock.read_text().replace(digest, "sha256:" + "0" * 64))
    said = run(capsys, "vendor", shop, code=1)[1]
    assert f"is {digest} now, and was sha256:000" in said
    run(capsys, "vendor", shop, "--update")
    assert read_lock(lock.read_text())["lab"]["digest"] == digest


@pytest.mark.parametrize(
    "words", [["vet", "/nowhere"], ["test", "/nowhere"], ["docs", "/nowhere"], ["vendor", "/nowhere"]]
)
def test_what_is_not_there(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    run(capsys, *words, code=2)


def test_code_that_breaks_the_parser_breaks_nothing_else(
    capsys: pytest.CaptureFixture[str], shop: Path
) -> None:
    path = shop / "deep.star"
    path.write_text("x = " + "-" * 100_000 + "1\n")
    assert "the module cannot be read: it nests too deeply" in run(capsys, "vet", shop, code=1)[1]
    path.write_text("x = [1 for _ in range(1 << 40)]\n")
    edit(shop / "module.star", "load(", 'load("deep.star", "x")\nload(')
    assert "error: " in run(capsys, "docs", shop, code=1)[1]
