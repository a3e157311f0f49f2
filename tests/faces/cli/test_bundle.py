"""`fairlead bundle` on two real control planes: order, exports, encrypted values, and what happens when something fails."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.conftest import ControlPlane
from tests.drivers.test_sops import encrypted

from fairlead.drivers.cluster import AsyncCluster
from fairlead.faces.cli.main import main
from fairlead.keep.errors import Refusal
from fairlead.words import Resource

BUNDLE = """
apiVersion: fairlead.dev/v1alpha1
kind: Bundle
metadata: {name: shop}
spec:
  environment: [REGION]
  clusters:
    - {name: staging, group: test, context: one}
    - {name: production, group: live, context: two}
  values:
    - name: domain
      object: {apiVersion: v1, kind: ConfigMap, namespace: default, name: site}
      value: object.data.domain
  instances:
    - name: web
      source: ./web
      namespace: default
      values: {url: "http://${instances.db.host}.${values.domain}:${instances.db.port}/${env.REGION}/${cluster.name}"}
    - name: db
      source: ./db
      namespace: default
      valuesFiles: [secrets.sops.yaml]
      exports:
        - {name: host, object: {apiVersion: v1, kind: Service, name: db}, value: object.metadata.name}
        - {name: port, object: {apiVersion: v1, kind: Service, name: db}, value: "object.spec.ports[0].port"}
"""
WEB = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {url: '${url}'}\n"
DB = """\
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {ports: [{port: 5432}], selector: {app: db}}
---
apiVersion: v1
kind: Secret
metadata: {name: db}
stringData: {password: "${password}"}
"""
KEY = pyrage.x25519.Identity.generate()


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ControlPlane]]:
    made = []
    for name in ("one", "two"):
        plane = ControlPlane(tmp_path_factory.mktemp(name), ("--no-audit",))
        plane.start()
        made.append(plane)
    yield made
    for plane in made:
        plane.stop()


async def _get(plane: ControlPlane, kind: str, name: str) -> Resource | None:
    async with AsyncCluster.from_kubeconfig(plane.data / "kubeconfig") as cluster:
        try:
            return await cluster.get("v1", kind, "default", name)
        except Refusal as refusal:
            if refusal.code != 404:
                raise
            return None


def got(plane: ControlPlane, kind: str, name: str) -> Resource | None:
    return asyncio.run(_get(plane, kind, name))


async def _site(plane: ControlPlane, domain: str) -> None:
    async with AsyncCluster.from_kubeconfig(plane.data / "kubeconfig") as cluster:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "site", "namespace": "default"}}
        await cluster.create({**body, "data": {"domain": domain}})


@pytest.fixture(scope="module")
def folder(planes: list[ControlPlane], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with its packages, and a kubeconfig that knows both clusters."""
    here = tmp_path_factory.mktemp("bundle")
    for name, text in (("web/web.yaml", WEB), ("db/db.yaml", DB), ("shop.yaml", BUNDLE)):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text(text)
    (here / "secrets.sops.yaml").write_text(
        yaml.safe_dump(encrypted({"password": "hush"}, key=KEY), sort_keys=False)
    )
    merged: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [],
        "users": [],
        "contexts": [],
    }
    for name, plane in zip(("one", "two"), planes, strict=True):
        own = yaml.safe_load((plane.data / "kubeconfig").read_text())
        merged["clusters"].append({"name": name, "cluster": own["clusters"][0]["cluster"]})
        merged["users"].append({"name": name, "user": own["users"][0]["user"]})
        merged["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
        asyncio.run(_site(plane, f"{name}.example"))
    (here / "kubeconfig").write_text(yaml.safe_dump(merged))
    return here


Bundle = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bundle(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Bundle:
    monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
    monkeypatch.setenv("SOPS_AGE_KEY", str(KEY))
    monkeypatch.setenv("REGION", "eu")

    def run(action: str, *words: str, file: str = "shop.yaml") -> tuple[int, str, str]:
        code = main(["bundle", action, "-f", str(folder / file), *words])
        out = capfd.readouterr()
        return code, out.out, out.err

    return run


def test_all_clusters_in_order_each_with_its_own_values(bundle: Bundle, planes: list[ControlPlane]) -> None:
    code, out, err = bundle("apply")
    assert code == 0, out + err
    assert err.index("cluster staging:") < err.index("cluster production:")
    assert out.index("default/db revision 1 is deployed") < out.index("default/web revision 1 is deployed")
    for plane, name, domain in zip(planes, ("staging", "production"), ("one", "two"), strict=True):
        found, secret = got(plane, "ConfigMap", "web"), got(plane, "Secret", "db")
        assert found is not None
        assert found["data"] == {"url": f"http://db.{domain}.example:5432/eu/{name}"}
        assert secret is not None
        assert base64.b64decode(secret["data"]["password"]) == b"hush"
    assert "hush" not in out + err
    assert bundle("diff")[:2] == (0, "nothing differs\n")
    code, out, _ = bundle("status", "-o", "json")
    assert code == 0
    rows = json.loads(out)["instances"]
    assert [(row["cluster"], row["name"], row["state"]) for row in rows] == [
        ("staging", "db", "deployed"), ("staging", "web", "deployed"),
        ("production", "db", "deployed"), ("production", "web", "deployed"),
    ]  # fmt: skip
    assert bundle("apply", "-o", "json")[0] == 0


LATE = """
apiVersion: fairlead.dev/v1alpha1
kind: Bundle
metadata: {name: late}
spec:
  clusters: [{name: staging, context: one}, {name: production, context: two}]
  instances:
    - {name: first, source: ./first, namespace: default}
    - {name: second, source: ./second, namespace: default, dependsOn: [first]}
    - {name: third, source: ./third, namespace: default, dependsOn: [second]}
"""


def test_a_failure_stops_everything_that_comes_later(
    bundle: Bundle, folder: Path, planes: list[ControlPlane]
) -> None:
    (folder / "late.yaml").write_text(LATE)
    for name, text in (("first", "data: {a: b}"), ("second", "dta: {a: b}"), ("third", "data: {a: b}")):
        (folder / name).mkdir()
        meta = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n{text}\n"
        (folder / name / f"{name}.yaml").write_text(meta)
    code, out, err = bundle("apply", file="late.yaml")
    assert code == 1, out + err
    assert "stopped at default/second: what comes later is left as it is" in err
    assert "cluster production:" not in err
    found = [got(planes[0], "ConfigMap", name) is not None for name in ("first", "second", "third")]
    assert found == [True, False, False]
    assert bundle("delete", "--cluster", "staging", file="late.yaml")[0] == 0


def test_one_cluster_or_group_is_meant(bundle: Bundle) -> None:
    code, out, _ = bundle("build", "--cluster-group", "live")
    assert code == 0
    assert [each["kind"] for each in yaml.safe_load_all(out)] == ["Service", "Secret", "ConfigMap"]
    assert "/production" in out
    assert "/staging" not in out
    code, _, err = bundle("build", "--cluster", "nowhere")
    assert (code, "it has these: staging, production" in err) == (2, True)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("[REGION]", "[REGION, ABSENT]", "the bundle wants $ABSENT, which is not set in the environment"),
        ("name: site}", "name: nosite}", "ConfigMap default/nosite is not there, so 'domain' has no value"),
        (
            "object.data.domain",
            "object.data.none",
            "ConfigMap default/site: ${object.data.none}: no such key: none",
        ),
        ("secrets.sops.yaml", "none.yaml", "none.yaml: No such file or directory"),
        ("${env.REGION}", "${env.NONE}", "${env.NONE}: no such key: NONE"),
        ("context: one", "context: three", "cluster staging: "),
        ("./db", "./nothing", "nothing"),
        ("kind: Bundle", "kind: Bundle\nextra: 1", ".extra: there is no such field in a bundle"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_applied(
    bundle: Bundle, folder: Path, before: str, after: str, told: str
) -> None:
    assert before in BUNDLE
    (folder / "bad.yaml").write_text(BUNDLE.replace(before, after, 1))
    code, out, err = bundle("build", file="bad.yaml")
    assert code == 2
    assert not out
    assert told in err


def test_without_the_key_nothing_is_applied(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOPS_AGE_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nonexistent")
    code, _, err = bundle("diff")
    assert code == 2
    assert "secrets.sops.yaml: there is no age key to decrypt it with" in err


def test_artifacts_of_members_may_name_ranges_and_have_to_be_signed_where_that_is_demanded(
    bundle: Bundle, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "chart" / "templates").mkdir(parents=True)
    (folder / "chart" / "templates" / "web.yaml").write_text(WEB.replace("${url}", "u"))
    layout = f"layout:{folder}/store"
    for version in ("1.0.0", "1.3.0", "2.0.0"):
        chart = f"apiVersion: v2\nname: chart\nversion: {version}\n"
        (folder / "chart" / "Chart.yaml").write_text(chart)
        assert main(["mod", "push", str(folder / "chart"), layout, "-v", version]) == 0
    capfd.readouterr()
    (folder / "signed.yaml").write_text(
        "apiVersion: fairlead.dev/v1alpha1\nkind: Bundle\nmetadata: {name: shop}\nspec:\n"
        "  clusters: [{name: staging, context: one}]\n"
        f"  instances: [{{name: web, namespace: default, source: '{layout}', version: ^1}}]\n"
    )
    code, out, err = bundle("build", file="signed.yaml")
    assert code == 0, err
    assert "name: web" in out
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    (folder / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for action in ("build", "diff", "apply"):
        code, out, err = bundle(action, "--verify-key", str(folder / "key.pem"), file="signed.yaml")
        assert code == 2, out + err
        assert "sign" in err
        assert "signed.yaml:6" in err


def test_everything_is_deleted_the_last_first(bundle: Bundle, planes: list[ControlPlane]) -> None:
    code, out, _ = bundle("delete")
    assert code == 0
    assert out.index("default/web is deleted") < out.index("default/db is deleted")
    assert [got(plane, "Service", "db") for plane in planes] == [None, None]
    assert bundle("status")[0] == 1
