"""From an empty folder to a signed package that runs, and back: every command is killed on the way, and the next one completes its work.

The commands reach the API and the registry through gates that kill them at a chosen request (tools/stage/tolls.py).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stage.tolls import Toll, writes
from stage.touring import Person, children_of
from tests.reactor.conftest import Platform

from fairlead.converge.revisions import decode, is_record
from fairlead.drivers import images
from fairlead.drivers.cluster import AsyncCluster
from fairlead.drivers.containers.daemon import missing

pytestmark = [pytest.mark.root, pytest.mark.kubectl]

HTTPD = images.Config(
    entrypoint=("/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/usr/share/nginx/html"),
    env={"PATH": "/bin"},
    user="65534",
)
DIGESTS = """
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: images-by-digest}
spec:
  rules:
  - name: digest
    match: {any: [{resources: {kinds: [Pod], namespaces: [shop]}}]}
    validate:
      failureAction: Enforce
      message: images are named by digest here
      pattern: {spec: {containers: [{image: "*@sha256:*"}]}}
"""
TRUST = """
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: modules-are-signed}
spec:
  images: [{glob: "HOST/modules/**"}]
  authorities:
  - name: shop
    signatureFormat: bundle
    key: {data: KEY}
"""
FOUR = """
load("@kubernetes/v1", "Service", "ServicePort", "ServiceSpec")
load("@kubernetes/meta/v1", "ObjectMeta")

Values = group(
    word = text("one", "What the first says"),
    last = text("x", "What the last is called"),
)

def config(name, word):
    return config_map(name, {"word": word}, immutable = False, hashed_name = False)

def build(context, values):
    service = Service(metadata = ObjectMeta(name = "s"), spec = ServiceSpec(selector = {"app": "s"}, ports = [ServicePort(port = 80)]))
    return [
        stage("first", [config("a", values.word), service]),
        stage("second", [config("b", "always"), config("last-" + values.last, values.word)]),
    ]
"""
SPEC = ("selector", "type", "template", "replicas")
KINDS = (
    ("apps/v1", "Deployment"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "Secret"),
    ("coordination.k8s.io/v1", "Lease"),
)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, kubectl_program: str) -> Iterator[Person]:
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("tour")
    platform = Platform(folder / "data", kubectl_program)
    platform.up("--no-sensor", "--no-platform")
    try:
        one = Person(folder, folder / "data")
        with one.api, one.registry:
            yield one
    finally:
        platform.down()


def kubectl(person: Person, *words: str, text: str | None = None) -> str:
    done = Platform(person.data, "kubectl").run(*words, text=text)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def is_write_of(kind: str, *methods: str) -> Callable[[str, str], bool]:
    """A choice of the requests that write objects of a kind, or one that is named whole."""
    return lambda method, path: (
        writes(method, path) and f"/{kind}" in f"{path.partition('?')[0]}$" and method in methods
    )


# --- the tour


def test_from_an_empty_folder_to_a_package_that_runs_and_is_gone(person: Person) -> None:
    made_and_vetted(person)
    key = pushed_signed_and_verified(person)
    address = refused_until_it_is_right(person, key)
    applied(person, address)
    failed_and_taken_back(person, address)
    drifted(person, address)
    pruned(person, address)
    deleted(person)


def made_and_vetted(person: Person) -> None:
    begun = lambda _: any(person.folder.iterdir())  # noqa: E731  one line says it
    if person.killed_when(begun, "mod", "init", "shop"):
        assert "shop: a new module" in person.run("mod", "init", "shop")
    assert [path.name for path in person.folder.iterdir()] == ["shop"]
    assert "is there already" in person.run("mod", "init", "shop", ends=1)
    files = sorted(str(path) for path in person.folder.rglob("*"))
    person.killed_when(children_of, "mod", "vet", "shop")
    assert "shop: right" in person.run("mod", "vet", "shop")
    assert "3 of 3 tests passed" in person.run("mod", "test", "shop")
    assert sorted(str(path) for path in person.folder.rglob("*")) == files
    assert person.left() == []


def pushed_signed_and_verified(person: Person) -> str:
    """Push with a signature, killed at one request after another. Return where the public key lies."""
    person.run("sign", "generate-key")
    address = f"oci://{person.registry.host}/modules/shop"
    push = ("mod", "push", "shop", address, "--sign", "--key", "fairlead.key")
    told = ""
    for at in itertools.count(1):
        died, told = person.killed(person.registry, at, *push)
        if not died:
            break
        if at == 3:
            verify_fails(person, address)
    assert at > 4, told
    assert "signatures:" in told
    assert "0.1.0" in person.run("mod", "list", address)
    died, _ = person.killed(
        person.registry, 2, "verify", f"{address}:0.1.0", "--key", "fairlead.pub", chosen=lambda *_: True
    )
    assert died
    assert "✔" in person.run("verify", f"{address}:0.1.0", "--key", "fairlead.pub")
    assert person.left() == []
    return str(person.folder / "fairlead.pub")


def verify_fails(person: Person, address: str) -> None:
    """What was only pushed in part is not there, or is not signed: it is never taken for whole."""
    said = person.run("verify", f"{address}:0.1.0", "--key", "fairlead.pub", ends=1)
    assert re.search("not signed|not found|there is no|unknown", said), said


def refused_until_it_is_right(person: Person, key: str) -> str:
    """Unsigned, and not as the cluster's policies want: refused, and nothing is written. Return the address of what is right."""
    host = person.registry.host
    (person.data / "trust").mkdir()
    trust = TRUST.replace("HOST", host).replace("KEY", json.dumps(Path(key).read_text()))
    (person.data / "trust/modules.yaml").write_text(trust)
    kubectl(person, "apply", "-f", "-", text=DIGESTS)
    kubectl(person, "create", "namespace", "shop")

    person.run("mod", "push", "shop", f"oci://{host}/modules/other")
    said = person.run("apply", f"oci://{host}/modules/other:0.1.0", "--name", "shop", "-n", "shop", ends=2)
    assert "the policy modules-are-signed refuses it" in said
    said = person.run("apply", f"oci://{host}/modules/shop:0.1.0", "--name", "shop", "-n", "shop", ends=1)
    assert "images are named by digest here" in said
    assert "shop/shop was not applied" in said
    assert stored(person, "shop") == {}

    digest = person.push_image("team/web", HTTPD)
    code = (person.folder / "shop/module.star").read_text()
    code = code.replace(
        "image(values.image.repository, values.image.tag)",
        f'image("{person.real}/team/web", digest = "{digest}")',
    )
    (person.folder / "shop/module.star").write_text(code)
    manifest = (person.folder / "shop/module.yaml").read_text()
    (person.folder / "shop/module.yaml").write_text(manifest.replace("0.1.0", "0.2.0"))
    person.run("mod", "vet", "shop")
    person.run("mod", "push", "shop", f"oci://{host}/modules/shop", "--sign", "--key", "fairlead.key")
    return f"oci://{host}/modules/shop:0.2.0"


def applied(person: Person, address: str) -> None:
    command = ("apply", address, "--name", "shop", "-n", "shop", "--set", "replicas=1", "--timeout", "60s")
    assert person.killed(person.api, 1, *command, chosen=is_write_of("secrets/fairlead.shop.v1$", "PATCH"))[0]
    said = person.run("status", "shop", "-n", "shop", ends=1)
    assert "revision 1 pending" in said
    assert "was interrupted: the same apply goes on with it" in said
    assert person.killed(person.api, 1, *command, chosen=is_write_of("services/", "PATCH"))[0]
    said = person.run(*command)
    assert "going on with revision 1, which was interrupted" in said
    assert "shop/shop revision 1 is deployed" in said
    assert "unchanged" in person.run(*command)


def failed_and_taken_back(person: Person, address: str) -> None:
    before = stored(person, "shop")
    command = (
        "apply", address, "--name", "shop", "-n", "shop", "--set", "replicas=1", "--set", "port=9999",
        "--timeout", "2s", "--rollback-on-failure",
    )  # fmt: skip
    assert person.killed(person.api, 1, *command, chosen=is_write_of("deployments/", "PATCH"))[0]
    died, said = person.killed(
        person.api, 1, *command, chosen=is_write_of("secrets/fairlead.shop.v3$", "PATCH")
    )
    assert died, said  # when it had begun to go back
    assert "going on with revision 2, which was interrupted" in said
    assert "going back to revision 1" in said
    said = person.run(*command, ends=1)
    assert "has failed and was rolled back: stage app: Deployment shop/shop is not healthy after 2 s" in said
    assert stored(person, "shop") == before
    assert person.run("diff", "--name", "shop", "-n", "shop")


def drifted(person: Person, address: str) -> None:
    before = stored(person, "shop")
    kubectl(
        person,
        "-n",
        "shop",
        "patch",
        "service",
        "shop",
        "--type=merge",
        "-p",
        '{"spec":{"selector":{"app.kubernetes.io/name":"x"}}}',
    )
    said = person.run("diff", "--name", "shop", "-n", "shop", ends=1)
    assert "Service shop/shop" in said
    assert "app.kubernetes.io/name" in said
    assert "x -> shop" in said
    command = ("apply", address, "--name", "shop", "-n", "shop", "--set", "replicas=1", "--force-conflicts")
    person.killed(person.api, 1, *command, chosen=is_write_of("services/", "PATCH"))
    person.run(*command)
    assert "nothing differs" in person.run("diff", "--name", "shop", "-n", "shop")
    assert stored(person, "shop") == before


def pruned(person: Person, address: str) -> None:
    old = [name for name in stored(person, "shop") if name.startswith("ConfigMap")]
    command = (
        "apply", address, "--name", "shop", "-n", "shop", "--set", "replicas=1", "--set", "greeting=Bye!", "--timeout", "60s",
    )  # fmt: skip
    died, said = person.killed(
        person.api, 1, *command, chosen=is_write_of("configmaps/", "DELETE"), early=True
    )
    assert died, said
    assert set(old) < set(stored(person, "shop", settled=False))
    assert "pruned" in person.run(*command)
    assert not set(old) & set(stored(person, "shop"))
    assert person.left() == []


def deleted(person: Person) -> None:
    command = ("delete", "shop", "-n", "shop", "--yes", "--timeout", "60s")
    assert person.killed(person.api, 1, *command, chosen=is_write_of("", "DELETE"))[0]
    assert "shop/shop is deleted" in person.run(*command)
    assert stored(person, "shop") == {}


# --- at every request


def test_an_apply_that_is_killed_at_any_request_is_completed_by_the_next(person: Person) -> None:
    source = four(person)

    def half(begin: int) -> int:
        """Kill at every second request, in a namespace and through a gate of its own; return at which there was none any more."""
        space = f"four-{begin}"
        kubectl(person, "create", "namespace", space)
        config = str(person.folder.parent / "home" / space)
        values = (("word=one", "last=x"), ("word=two", "last=y"))
        commands = [
            (
                "apply",
                source,
                "--name",
                "four",
                "-n",
                space,
                "--kubeconfig",
                config,
                "--set",
                word,
                "--set",
                last,
            )
            for word, last in values
        ]
        wanted = []
        with person.gate(space) as gate:
            for command in commands:
                person.run(*command)
                wanted.append(stored(person, space))
                assert len([name for name in wanted[-1] if name.startswith(("ConfigMap", "Service"))]) == 4
            for turn, at in enumerate(itertools.count(begin, 2)):
                died, said = person.killed(gate, at, *commands[turn % 2])
                if died:
                    said = person.run(*commands[turn % 2])
                assert f"{space}/four revision" in said
                assert stored(person, space) == wanted[turn % 2], at
                if not died:
                    return at
        raise AssertionError

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(half, (1, 2)))
    assert min(ends) > 8
    assert person.left() == []


def test_servers_that_are_killed_come_back_and_the_work_is_completed(person: Person) -> None:
    source = four(person)
    kubectl(person, "create", "namespace", "five")
    address = f"oci://{person.registry.host}/team/five"

    def kill(name: str) -> Callable[[], None]:
        return lambda: os.kill(Platform(person.data, "").pid(name), signal.SIGKILL)

    def meets(gate: Toll, server: str, chosen: Callable[[str, str], bool], *command: str) -> None:
        gate.set(1, kill(server), chosen, early=True)
        first = person.start(*command)
        said, _ = first.communicate(timeout=90)
        assert gate.struck, said
        gate.set(0, lambda: None)
        assert "Traceback" not in said, said
        if first.returncode:
            assert "fairlead: error: " in said
            person.run(*command)

    meets(person.registry, "registry", lambda method, _: method == "PUT", "mod", "push", source, address)
    assert "1.0.0" in person.run("mod", "list", address)
    command = ("apply", f"{address}:1.0.0", "--name", "five", "-n", "five")
    meets(person.api, "control-plane", is_write_of("services/", "PATCH"), *command)
    assert "is unchanged" in person.run(*command)
    assert len([name for name in stored(person, "five") if name.startswith(("ConfigMap", "Service"))]) == 4
    assert person.left() == []


def four(person: Person) -> str:
    """A module of four objects in two stages; one of them is called as the values say."""
    folder = person.folder / "four"
    folder.mkdir(exist_ok=True)
    (folder / "module.yaml").write_text(
        "apiVersion: fairlead.dev/v1alpha1\nkind: Module\nmetadata: {name: four}\nspec: {version: 1.0.0}\n"
    )
    (folder / "module.star").write_text(FOUR)
    return "./four"


def stored(person: Person, namespace: str, *, settled: bool = True) -> dict[str, Any]:
    """What of an instance is in a namespace, apart from what every run makes anew. What is `settled` has nothing half-done."""

    async def read() -> dict[str, list[Any]]:
        async with AsyncCluster.from_kubeconfig(person.data / "kubeconfig") as cluster:
            return {kind: (await cluster.list(version, kind, namespace))[0] for version, kind in KINDS}

    found, records, locks = {}, [], []
    for kind, items in asyncio.run(read()).items():
        for one in items:
            meta = one["metadata"]
            if kind == "Lease":
                locks.append(meta["name"])
            elif is_record(one):
                records.append(decode(one))
            elif "fairlead.dev/instance" in meta.get("labels", {}):
                spec = {key: (one.get("spec") or {}).get(key) for key in SPEC}
                found[f"{kind} {meta['name']}"] = (meta["labels"], one.get("data"), spec)
    if settled:
        assert locks == []
        records.sort(key=lambda record: record.number)
        assert not {one.state for one in records[:-1]} & {"deployed", "pending", "deleting"}
        for last in records[-1:]:
            assert last.state == "deployed"
            assert sorted(f"{one.ref.kind} {one.ref.name}" for one in last.inventory) == sorted(found)
    return found
