"""`fairlead artifact` and the shipping half of `fairlead mod`, on a local layout: what is printed, written and refused."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fairlead.faces.cli import modshipping
from fairlead.faces.cli.main import main
from fairlead.faces.cli.problems import Problem

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fairlead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in a folder of its own, without anybody's logins; the code, and what was printed."""
    monkeypatch.chdir(tmp_path)
    for name in ("DOCKER_CONFIG", "HOME", "XDG_CONFIG_HOME", "FAIRLEAD_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = shipped(list(words[1:])) if words[0] == "mod" else main(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def shipped(words: list[str]) -> int:
    """Run an action of `fairlead mod` that ships."""
    parser = argparse.ArgumentParser()
    modshipping.declare(parser.add_subparsers(required=True))
    args = parser.parse_args(words)
    try:
        code: int = args.run(args)
    except Problem as problem:
        import sys

        print(f"{problem}\n{problem.hint}", file=sys.stderr)
        return problem.code
    return code


def module(folder: Path, version: str = "1.2.3") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "module.yaml").write_text(
        f"apiVersion: fairlead.dev/v1alpha1\nkind: Module\nmetadata: {{name: web}}\nspec: {{version: {version}, description: A web.}}\n"
    )
    (folder / "module.star").write_text("def build(context, values):\n    return []\n")
    (folder / ".fairleadignore").write_text("*.md\n/secret/\n")
    (folder / "README.md").write_text("not packed")
    (folder / "secret").mkdir(exist_ok=True)
    (folder / "secret" / "key").write_text("k")
    return folder


def test_a_module_is_pushed_listed_tagged_and_pulled(fairlead: Run, tmp_path: Path) -> None:
    module(tmp_path / "web")
    (tmp_path / "web" / "link").symlink_to("README.md")
    code, out, err = fairlead("mod", "push", "web", "layout:store", "--latest", "-a", "k=v=w", "-o", "json")
    assert code == 0
    assert "link is left out" in err
    pushed = json.loads(out)
    assert set(pushed) == {"url", "repository", "version", "kind", "digest"}
    assert (pushed["version"], pushed["kind"]) == ("1.2.3", "module")
    assert (
        json.loads(fairlead("mod", "push", "web", "layout:store", "-a", "k=v=w", "-o", "json")[1]) == pushed
    )
    (tmp_path / "web" / "more").touch()
    code, _, err = fairlead("mod", "push", "web", "layout:store")
    assert (code, "is there with other content" in err) == (1, True)
    assert fairlead("mod", "digest", "layout:store:1.2.3")[1].strip() == pushed["digest"]
    (tmp_path / "web" / "more").unlink()
    module(tmp_path / "web", "1.10.0")
    assert fairlead("mod", "push", "web", "layout:store")[0] == 0
    code, out, _ = fairlead("mod", "list", "layout:store", "--with-digest")
    assert [line.split()[0] for line in out.splitlines()] == ["VERSION", "latest", "1.10.0", "1.2.3"]
    assert pushed["digest"] in out
    assert fairlead("mod", "digest", "layout:store:latest")[1].strip() == pushed["digest"]
    assert fairlead("mod", "tag", "layout:store:1.10.0")[0] == 0
    assert fairlead("mod", "digest", "layout:store")[1].strip() != pushed["digest"]
    code, _, err = fairlead("mod", "tag", "layout:store:1.10.0", "1.2.3")
    assert (code, "stays what it is" in err) == (1, True)
    code, out, _ = fairlead("mod", "pull", "layout:store", "-v", "^1.0 <1.5", "-o", "pulled")
    assert (code, pushed["digest"] in out) == (0, True)
    assert sorted(path.name for path in (tmp_path / "pulled").rglob("*")) == [
        ".fairleadignore",
        "module.star",
        "module.yaml",
    ]
    code, _, err = fairlead("mod", "pull", "layout:store", "-v", "^2", "-o", "none")
    assert (code, "there is no version in ^2; the newest are 1.10.0, 1.2.3" in err) == (1, True)
    assert not (tmp_path / "none").exists()


def test_a_layout_within_the_folder_is_not_part_of_it(fairlead: Run, tmp_path: Path) -> None:
    module(tmp_path / "web")
    first = fairlead("mod", "push", "web", "layout:web/offline", "-o", "json")
    assert first[0] == 0
    assert fairlead("mod", "push", "web", "layout:web/offline", "-o", "json") == first


def test_what_a_published_module_is_can_be_looked_at(fairlead: Run, tmp_path: Path) -> None:
    fairlead("mod", "push", str(module(tmp_path / "web")), "layout:store")
    code, out, _ = fairlead("mod", "inspect", "layout:store", "-o", "json")
    assert code == 0
    found = json.loads(out)
    assert (found["version"], found["kind"]) == ("1.2.3", "module")
    assert found["config"]["metadata"] == {"name": "web"}
    assert found["annotations"] == {
        "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
        "org.opencontainers.image.description": "A web.",
        "org.opencontainers.image.title": "web",
        "org.opencontainers.image.version": "1.2.3",
    }
    assert (
        json.loads(fairlead("mod", "inspect", "layout:store", "manifest", "-o", "json")[1])["schemaVersion"]
        == 2
    )
    assert "org.opencontainers.image.title: web" in fairlead("mod", "inspect", "layout:store")[1]
    assert (
        json.loads(fairlead("artifact", "inspect", "layout:store:1.2.3", "config", "-o", "json")[1])["kind"]
        == "Module"
    )


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("push", "web", "layout:s", "-v", "v1.0.0"), 2, "1.0.0 would be one"),
        (("push", "web", "layout:s", "-v", "1.0.0"), 1, "says 1.2.3"),
        (("push", "web", "layout:s:1.2.3"), 2, "the version is the tag"),
        (("push", "web", "https://x/y"), 2, "begins with oci://"),
        (
            ("push", "empty", "layout:s", "-v", "1.0.0"),
            1,
            "neither module.yaml nor timoni.cue nor Chart.yaml",
        ),
        (("push", "absent", "layout:s", "-v", "1.0.0"), 1, "no such folder"),
        (("push", "timoni", "layout:s"), 2, "--version 1.2.3"),
        (("push", "web", "layout:s", "-a", "novalue"), 2, "key=value"),
        (("push", "web", "layout:s", "--key", "k"), 2, "are for --sign"),
        (("push", "nameless", "layout:s"), 1, "metadata.name is None"),
        (("pull", "layout:absent", "-o", "out"), 1, "not an OCI layout"),
        (("pull", "layout:s", "-v", ">=soon", "-o", "out"), 2, "no range"),
        (("pull", "layout:s:1.0.0", "-v", "^1", "-o", "out"), 2, "give one of them"),
        (("tag", "layout:s"), 2, "name the version"),
    ],
)
def test_what_is_wrong_is_told(
    words: tuple[str, ...], code: int, says: str, fairlead: Run, tmp_path: Path
) -> None:
    module(tmp_path / "web")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").touch()
    (tmp_path / "timoni").mkdir()
    (tmp_path / "timoni" / "timoni.cue").touch()
    (tmp_path / "nameless").mkdir()
    (tmp_path / "nameless" / "module.yaml").write_text("spec: {version: 1.0.0}\n")
    got, _, err = fairlead("mod", *words)
    assert says in err
    assert got == code
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "out").exists()


def test_charts_and_timoni_modules_keep_their_layouts(fairlead: Run, tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(
        "apiVersion: v2\nname: web\nversion: 0.1.0+build.1\nhome: https://web.example.com\n"
    )
    (chart / "templates" / "a.yaml").write_text("a: 1\n")
    code, out, _ = fairlead("mod", "push", "chart", "layout:charts", "-o", "yaml")
    assert code == 0
    assert "version: 0.1.0+build.1" in out
    assert fairlead("artifact", "list", "layout:charts")[1].split() == ["TAG", "0.1.0_build.1"]
    assert fairlead("mod", "pull", "layout:charts", "-v", "0.1.0+build.1", "-o", "out")[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Chart.yaml", "templates"]
    found = json.loads(fairlead("artifact", "inspect", "layout:charts", "-o", "json")[1])
    assert found["kind"] == "chart"
    assert found["annotations"]["org.opencontainers.image.url"] == "https://web.example.com"
    timoni = tmp_path / "timoni"
    (timoni / "cue.mod").mkdir(parents=True)
    (timoni / "timoni.cue").write_text("package main\n")
    (timoni / "cue.mod" / "module.cue").write_text('module: "x"\n')
    assert fairlead("mod", "push", "timoni", "layout:cues", "-v", "1.0.0", "--latest")[0] == 0
    assert (
        fairlead("artifact", "pull", "layout:cues", "-o", "vendored", "--content-type", "module/vendor")[0]
        == 0
    )
    assert [path.name for path in (tmp_path / "vendored").rglob("*") if path.is_file()] == ["module.cue"]


def test_any_content_is_pushed_and_pulled(fairlead: Run, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "data.bin").write_bytes(b"\0\1")
    code, out, _ = fairlead("artifact", "push", "report.json", "data.bin:application/x-data", "layout:store:v", "--artifact-type", "application/vnd.report", "-o", "json")  # fmt: skip
    assert code == 0
    digest = json.loads(out)["digest"]
    assert fairlead("artifact", "pull", f"layout:store@{digest}", "-o", "got")[0] == 0
    assert (tmp_path / "got" / "data.bin").read_bytes() == b"\0\1"
    assert "application/x-data  2 B" in fairlead("artifact", "inspect", "layout:store:v")[1]
    code, _, err = fairlead("artifact", "pull", "layout:store:v", "-o", "got")
    assert (code, "--force" in err) == (1, True)
    assert fairlead("artifact", "copy", "layout:store:v", "layout:other", "--referrers")[0] == 0
    assert fairlead("artifact", "digest", "layout:other:v")[1].strip() == digest
    assert fairlead("artifact", "tag", "layout:other:v", "1.0.0", "w")[0] == 0
    assert fairlead("artifact", "list", "layout:other", "--filter-semver", "^1")[1].split() == [
        "TAG",
        "1.0.0",
    ]
    assert (
        fairlead("artifact", "list", "layout:other", "--filter-regex", "^[vw]$", "-o", "json")[1].count("tag")
        == 2
    )
    assert fairlead("artifact", "delete", "layout:other:w")[0] == 0
    assert fairlead("artifact", "digest", "layout:other:w")[0] == 1
    for words, says in (
        (("push", "absent", "layout:x:1"), "no such file"),
        (("push", ".", "report.json", "layout:x:1"), "a folder is pushed alone"),
        (("push", "report.json", f"layout:store@{digest}"), "the digest comes from the content"),
        (("list", "layout:other", "--filter-semver", "soon"), "no range"),
        (("delete", "layout:other"), "whole repository"),
        (("digest", "oci://ghcr.io/Org/App"), "in lower case: org/app"),
    ):
        code, _, err = fairlead("artifact", *words)
        assert says in err
        assert code in {1, 2}


def test_what_must_be_signed_and_is_not_is_not_unpacked(fairlead: Run, tmp_path: Path) -> None:
    from fairlead.drivers.signatures.keys import generate, public_of

    (tmp_path / "key.pub").write_text(public_of(generate("ecdsa-p256")).pem)
    fairlead("mod", "push", str(module(tmp_path / "web")), "layout:store")
    code, _, err = fairlead("mod", "pull", "layout:store", "-o", "out", "--verify-key", "key.pub")
    assert code == 1
    assert "nothing of it was unpacked" in err
    assert not (tmp_path / "out").exists()


def test_a_module_is_signed_when_it_is_pushed(
    fairlead: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_KEY_PASSWORD", "")
    assert fairlead("sign", "generate-key")[0] == 0
    code, out, _ = fairlead("mod", "push", str(module(tmp_path / "web")), "layout:store", "--sign", "--key", "fairlead.key", "-o", "json")  # fmt: skip
    assert code == 0
    assert len(json.loads(out)["signatures"]) == 1
    assert (
        fairlead("mod", "pull", "layout:store", "-v", "1.2.3", "-o", "out", "--verify-key", "fairlead.pub")[0]
        == 0
    )
    assert (tmp_path / "out" / "module.yaml").exists()
