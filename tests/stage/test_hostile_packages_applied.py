"""What means harm on a cluster: names that are other requests, records that were tampered with, policies that forbid nothing, foreign objects."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import tempfile
import zlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fairlead.drivers.cluster import AsyncCluster
from fairlead.faces.cli.main import main

Run = Callable[..., tuple[int, str, str]]
T = TypeVar("T")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def run(
    control_plane: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Run a command against the control plane; it leaves nothing temporary and steers no terminal."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def command(verb: str, *words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([verb, *words, "--kubeconfig", str(control_plane.data / "kubeconfig")])
        told = capsys.readouterr()
        assert list(scratch.iterdir()) == []
        assert not CONTROL.search(told.out + told.err), repr(told)
        return code, told.out, told.err

    return command


def manifests(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "all.yaml").write_text(text)
    return str(folder)


def config(name: str, more: str = "") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n{more}"


def chart(folder: Path, template: str, notes: str = "") -> str:
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: x\nversion: 1.0.0\n")
    (folder / "templates" / "a.yaml").write_text(template)
    (folder / "templates" / "NOTES.txt").write_text(notes)
    return str(folder)


def asked(control_plane: Any, work: Callable[[AsyncCluster], Coroutine[Any, Any, T]]) -> T:
    """Do something on the cluster without any command."""

    async def whole() -> T:
        async with AsyncCluster(control_plane.access) as cluster:
            return await work(cluster)

    return asyncio.run(whole())


def configs(control_plane: Any, namespace: str) -> set[str]:
    async def work(cluster: AsyncCluster) -> set[str]:
        return {one["metadata"]["name"] for one in (await cluster.list("v1", "ConfigMap", namespace))[0]}

    return asked(control_plane, work)


UNFIT = {
    "a path": (config('"../secrets/x"'), "'../secrets/x' is no name that an object can have"),
    "a query": (config('"x?dryRun=All%2f"'), "is no name that an object can have"),
    "the folder above": (config('".."'), "'..' is no name that an object can have"),
    "orders": (config('"a\\e[2J"'), "is no name that an object can have"),
    "another API": (
        'apiVersion: "v1/../../apis/x\\e[2J"\nkind: Secret\nmetadata: {name: a}\n',
        "are no version of an API and no kind",
    ),
    "a kind with orders": (
        'apiVersion: v1\nkind: "Con\\e[2Jfig"\nmetadata: {name: a}\n',
        "are no version of an API and no kind",
    ),
    "a list for a name": (config("[1]"), "metadata.name are wanted, and are texts"),
    "a mapping for a namespace": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: {a: b}}\n",
        "metadata.namespace is no text",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_names_that_would_be_other_requests(run: Run, name: str, tmp_path: Path) -> None:
    template, says = UNFIT[name]
    code, out, err = run(
        "apply", chart(tmp_path / "p", template), "--name", "odd", "-n", "odd", "--create-namespace"
    )
    assert (code, out) == (2, "")
    assert says in err
    assert run("history", "odd", "-n", "odd")[0] == 1


@pytest.mark.parametrize("text", [ALIASES, "[" * 100_000, "\x00\x01", "a: b", config("a")])
def test_policies_that_cannot_be_read_forbid_nothing_and_so_nothing_is_applied(
    run: Run, text: str, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(text)
    where = (
        "--name",
        "judged",
        "-n",
        "hostile",
        "--create-namespace",
        "--policy",
        str(tmp_path / "policy.yaml"),
    )
    code, out, err = run("apply", manifests(tmp_path / "p", config("judged")), *where)
    assert (code, out) == (2, "")
    assert re.search(
        "policies that cannot be used: .*policy.yaml|there are no policies in .*policy.yaml", err
    )
    assert run("status", "judged", "-n", "hostile")[0] == 1


def test_notes_steer_no_terminal(run: Run, tmp_path: Path) -> None:
    package = chart(tmp_path / "p", config("noted"), "read \x1b[2J\x1b]0;x\x07\u202ethis")
    code, out, _ = run("apply", package, "--name", "noted", "-n", "noted", "--create-namespace")
    assert code == 0
    assert "read" in out


def tampered(control_plane: Any, name: str, change: Callable[[Any], Any], key: str = "outcome") -> bytes:
    """Change what a Secret of a record says: to JSON values, or to packed bytes. Return the packed bytes that it had."""

    async def work(cluster: AsyncCluster) -> bytes:
        secret = await cluster.get("v1", "Secret", "kept", name)
        packed = base64.b64decode(secret["data"][key])
        made = change(packed)
        data = made if isinstance(made, bytes) else zlib.compress(json.dumps(made).encode())
        secret["data"][key] = base64.b64encode(data).decode()
        await cluster.update(secret)
        return packed

    return asked(control_plane, work)


def said(packed: bytes) -> dict[str, Any]:
    """Return what is packed."""
    found: dict[str, Any] = json.loads(zlib.decompress(packed))
    return found


def twice(run: Run, folder: Path, name: str) -> None:
    """Apply an instance in two revisions."""
    for more in ("", "data: {a: b}\n"):
        code, _, err = run(
            "apply", manifests(folder, config(name, more)), "--name", name, "-n", "kept", "--create-namespace"
        )
        assert code == 0, err


def _always(packed: bytes) -> Callable[[Any], Any]:
    return lambda _: packed


HEADS: dict[str, Callable[[Any], Any]] = {
    "no record": lambda _: b"garbage",
    "a deep one": lambda _: zlib.compress(b"[" * 200_000),
    "a bomb": lambda _: zlib.compress(bytes(300 << 20)),
    "a list": lambda _: [],
    "no state": lambda found: {**said(found), "state": "x\x1b[2J"},
    "parts without number": lambda found: {**said(found), "chunks": 10**9},
    "another place": lambda found: {**said(found), "namespace": "kube-system"},
    "another number": lambda found: {**said(found), "revision": 7},
    "an inventory of something": lambda found: {**said(found), "inventory": [[1, 2]]},
}


def test_heads_of_records_that_were_tampered_with(run: Run, control_plane: Any, tmp_path: Path) -> None:
    twice(run, tmp_path / "p", "head")
    for change in HEADS.values():
        whole = tampered(control_plane, "fairlead.head.v2", change)
        for words in (("status",), ("delete", "--yes")):
            code, out, err = run(words[0], "head", *words[1:], "-n", "kept")
            assert (code, out) == (1, "")
            assert "Secret kept/fairlead.head.v2 holds" in err
            assert "delete that Secret" in err
        assert run("history", "head", "-n", "kept")[0] == 0
        tampered(control_plane, "fairlead.head.v2", _always(whole))
    assert "head" in run("list")[1]
    assert run("rollback", "head", "-n", "kept")[0] == 0


PARTS: dict[str, Callable[[Any], Any]] = {
    "a stage of texts": lambda _: {"stages": ["x"]},
    "objects that are none": lambda _: {"stages": [{"name": "a", "objects": [5, "x"]}]},
    "a name that is a path": lambda _: {"stages": [{"name": "a", "objects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "../x"}}]}]},
    "a check of nothing": lambda _: {"stages": [{"name": "a", "objects": [], "checks": [{"kind": "x"}]}]},
}  # fmt: skip


def test_parts_of_records_that_were_tampered_with(run: Run, control_plane: Any, tmp_path: Path) -> None:
    twice(run, tmp_path / "p", "part")
    before = configs(control_plane, "kept")
    for change in PARTS.values():
        tampered(control_plane, "fairlead.part.v1.0", change, "part")
        code, out, err = run("rollback", "part", "-n", "kept")
        assert (code in {1, 2}, out) == (True, ""), out
        assert (
            "Secret kept/fairlead.part.v1.0 holds no revision that can be read" in err
            or "is no name that an object can have" in err
        )
        assert configs(control_plane, "kept") == before
    assert run("delete", "part", "-n", "kept", "--yes")[0] == 0


def test_an_inventory_that_names_what_is_of_others_prunes_none_of_it(
    run: Run, control_plane: Any, tmp_path: Path
) -> None:
    async def others(cluster: AsyncCluster) -> None:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "others"}})
        for space, name in (("others", "theirs"), ("kept", "by-hand")):
            await cluster.create(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": space}}
            )

    twice(run, tmp_path / "p", "greedy")
    asked(control_plane, others)
    more = [
        ["others_theirs__ConfigMap", "v1"],
        ["kept_by-hand__ConfigMap", "v1"],
        ["_others__Namespace", "v1"],
    ]
    tampered(
        control_plane,
        "fairlead.greedy.v2",
        lambda found: {**said(found), "inventory": [*said(found)["inventory"], *more]},
    )
    code, out, err = run("delete", "greedy", "-n", "kept", "--yes")
    assert code == 0, err
    assert "3 kept" in out
    assert "greedy" not in configs(control_plane, "kept")
    assert "theirs" in configs(control_plane, "others")
    assert "by-hand" in configs(control_plane, "kept")


def test_a_chart_that_copies_secrets_is_told_of(run: Run, tmp_path: Path) -> None:
    template = config("leak", 'data: {s: {{ (lookup "v1" "Secret" "" "").items | len | quote }} }\n')
    code, _, err = run(
        "apply", chart(tmp_path / "p", template), "--name", "leak", "-n", "kept", "--create-namespace"
    )
    assert code == 0
    assert (
        err.splitlines()[0] == "note: the package looks at the Secrets in all namespaces, and can copy them"
    )
