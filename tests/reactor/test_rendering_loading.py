"""Packages are loaded from folders, files, archives and standard input, and nothing outside of them is."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from fairlead.reactor import rendering_loading
from fairlead.reactor.rendering import sort_of
from fairlead.reactor.rendering_ignoring import BadPattern, ignoring
from fairlead.reactor.rendering_loading import load_source
from fairlead.render.packages import Mistaken

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def archive(*members: tuple[str, bytes | None, str]) -> bytes:
    """Return a .tar.gz of (name, body, link): a body makes a file, a link one that leads there."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name, body, link in members:
            info = tarfile.TarInfo(name)
            if body is None:
                info.type, info.linkname = tarfile.SYMTYPE, link
                made.addfile(info)
            else:
                info.size = len(body)
                made.addfile(info, io.BytesIO(body))
    return out.getvalue()


def refused(text: str) -> str:
    with pytest.raises(Mistaken) as caught:
        load_source(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("files", "sort"),
    [
        ({"module.yaml", "module.star", "Chart.yaml"}, "module"),
        ({"module.yaml", "library.star"}, "module"),
        ({"timoni.cue", "values.cue"}, "timoni"),
        ({"Chart.yaml", "kustomization.yaml"}, "chart"),
        ({"Kustomization", "a.yaml"}, "kustomization"),
        ({"deep/a.json"}, "manifests"),
        ({"README.md"}, None),
    ],
)
def test_the_sort_is_seen(files: set[str], sort: str | None) -> None:
    assert sort_of(dict.fromkeys(files, b"")) == sort
    assert sort_of({f"in/{name}": b"" for name in files}, "in") == sort


def test_a_folder_of_manifests_is_its_manifests(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"a.yaml": CONFIG, "b/c.yml": CONFIG, "README.md": "x", ".hidden.yaml": "x", ".git/d.yaml": "x"},
    )
    source = load_source(str(tmp_path))
    assert (source.sort, set(source.package.files)) == ("manifests", {"a.yaml", "b/c.yml"})
    assert set(load_source(str(tmp_path / "a.yaml")).package.files) == {"a.yaml"}


def test_the_file_that_describes_a_package_stands_for_it(tmp_path: Path) -> None:
    write(tmp_path, {"Chart.yaml": "name: a", "templates/a.yaml": CONFIG})
    assert load_source(str(tmp_path / "Chart.yaml")).package.files.keys() == {
        "Chart.yaml",
        "templates/a.yaml",
    }


def test_standard_input(tmp_path: Path) -> None:
    assert load_source("-", stdin=io.BytesIO(CONFIG.encode())).package.files == {
        "stdin.yaml": CONFIG.encode()
    }
    packed = archive(("shop/Chart.yaml", b"name: shop", ""), ("shop/values.yaml", b"", ""))
    assert load_source("-", stdin=io.BytesIO(packed)).sort == "chart"
    path = tmp_path / "shop-1.tgz"
    path.write_bytes(packed)
    assert load_source(str(path)).package.files.keys() == {"Chart.yaml", "values.yaml"}


def test_an_ignore_file_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.reactor.rendering_ignoring.MOST_COMPARED", 3)
    write(tmp_path, {".fairleadignore": "a\nb\n", "one.yaml": "", "two.yaml": ""})
    assert refused(str(tmp_path)) == f"{tmp_path}/.fairleadignore: 2 patterns are too many for so many files"


def test_ignored_files_do_not_belong(tmp_path: Path) -> None:
    write(tmp_path, {"module.yaml": "", "module.star": "", "a.tgz": "x", "doc/b.md": "x", "doc/keep.md": "x", ".git/config": "x",
                     ".fairleadignore": "# no archives\n*.tgz\ndoc/*\n!doc/keep.md\n"})  # fmt: skip
    assert load_source(str(tmp_path)).package.files.keys() == {
        "module.yaml",
        "module.star",
        "doc/keep.md",
        ".fairleadignore",
    }
    (tmp_path / ".fairleadignore").write_text("a\n[x\n")
    assert refused(str(tmp_path)).startswith(f'{tmp_path}/.fairleadignore:2: "[x" opens a [')


@pytest.mark.parametrize(
    ("text", "path", "folder", "helm", "out"),
    [
        ("*.log", "a/b.log", False, False, True),
        ("/*.log", "a/b.log", False, False, False),
        ("build/", "build", True, False, True),
        ("build/", "build", False, False, False),
        ("a/**/z", "a/b/c/z", False, False, True),
        ("a/**", "a/b", False, False, True),
        ("**/x", "q/x", False, False, True),
        ("*.log\n!keep.log", "keep.log", False, False, False),
        ("\\#x", "#x", False, False, True),
        ("[ab].c", "b.c", False, False, True),
        ("[!ab].c", "b.c", False, False, False),
        ("a?c", "abc", False, True, True),
        (".git", ".git", True, True, True),
    ],
)
def test_patterns_mean_what_git_and_helm_mean(
    text: str, path: str, folder: bool, helm: bool, out: bool
) -> None:
    assert ignoring(text, helm=helm)(path, folder) is out


def test_helm_has_no_double_stars() -> None:
    with pytest.raises(BadPattern, match="double-star"):
        ignoring("a\n**/b", helm=True)


def test_links_lead_nowhere_else(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"secret": "x", "dir/a": "x"})
    root = write(tmp_path / "m", {"module.yaml": "", "module.star": "", "real/a.txt": "hello"})
    (root / "inner.txt").symlink_to("real/a.txt")
    (root / "loop").symlink_to(".")
    files = load_source(str(root)).package.files
    assert files["inner.txt"] == b"hello"
    assert not any(name.startswith("loop/loop") for name in files)
    (root / "outer").symlink_to(outside / "secret")
    assert "outer is a link that leads out of the package" in refused(str(root))
    (root / "outer").unlink()
    (root / "outer").symlink_to(outside / "dir")
    assert "leads out" in refused(str(root))
    (root / "outer").unlink()
    (root / "broken").symlink_to("nothing")
    assert "broken is a link to nothing" in refused(str(root))


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    root = write(tmp_path, {"module.yaml": "", "module.star": ""})
    os.mkfifo(root / "pipe")
    assert "pipe is neither a file nor a folder" in refused(str(root))
    assert "is neither a file nor a directory" in refused("/dev/null")


def test_there_is_an_end_to_size_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path, {"module.yaml": "", "module.star": "x" * 100})
    monkeypatch.setattr(rendering_loading, "LARGEST_PACKAGE", 50)
    assert "is larger than 0 MiB" in refused(str(root))
    monkeypatch.setattr(rendering_loading, "LARGEST_PACKAGE", 1000)
    monkeypatch.setattr(rendering_loading, "MOST_FILES", 1)
    assert "has more than 1 files" in refused(str(root))
    monkeypatch.setattr(rendering_loading, "LARGEST_FILE", 10)
    assert "is larger than" in refused(str(root))


@pytest.mark.parametrize(
    "members",
    [
        [("../a", b"x", "")],
        [("/etc/passwd", b"x", "")],
        [("a/../../b", b"x", "")],
        [("a", None, "/etc/passwd")],
        [("module.yaml", b"", ""), ("module.yaml", b"", "")],
    ],
)
def test_archives_do_not_lead_out(tmp_path: Path, members: list[tuple[str, bytes | None, str]]) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(archive(*members))
    assert str(path) in refused(str(path))


def test_an_archive_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(b"\x1f\x8bnonsense")
    assert str(path) in refused(str(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/nowhere/at/all", "/nowhere/at/all: there is no such file or directory"),
        ("https://example.com/a.tgz", "a package cannot be loaded over https"),
        ("\0", "cannot be read: not a path"),
    ],
)
def test_what_is_not_there(text: str, said: str) -> None:
    assert said in refused(text)


def test_a_folder_with_nothing_to_render(tmp_path: Path) -> None:
    assert "there is nothing to render; a package has a module.yaml" in refused(str(tmp_path))
    write(tmp_path, {"module.yaml": ""})
    assert "has a module.yaml but no module.star" in refused(str(tmp_path))


def test_a_kustomize_tree_is_what_it_refers_to(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "base/kustomization.yaml": "resources: [a.yaml]\nconfigMapGenerator:\n- name: c\n  files: [key=conf/x.ini]\n  envs: [e.env]\n",
            "base/a.yaml": CONFIG,
            "base/conf/x.ini": "x",
            "base/e.env": "A=b",
            "base/unused.yaml": "x",
            "over/prod/kustomization.yaml": "resources: [../../base, https://example.com/r]\npatches:\n- path: p.yaml\ntransformers: [t.yaml]\n",
            "over/prod/p.yaml": CONFIG,
            "over/prod/t.yaml": "kind: PatchTransformer\npath: deep.yaml\n",
            "over/prod/deep.yaml": CONFIG,
            "secret.txt": "x",
        },
    )
    source = load_source(str(tmp_path / "over/prod"))
    assert source.package.target == "over/prod"
    assert set(source.package.files) == {
        "base/kustomization.yaml", "base/a.yaml", "base/conf/x.ini", "base/e.env",
        "over/prod/kustomization.yaml", "over/prod/p.yaml", "over/prod/t.yaml", "over/prod/deep.yaml",
    }  # fmt: skip


def test_a_kustomize_tree_reads_no_files_outside_its_roots(tmp_path: Path) -> None:
    write(tmp_path, {"secret.yaml": "x", "in/kustomization.yaml": "resources: [../secret.yaml, link.yaml]\n"})
    (tmp_path / "in/link.yaml").symlink_to("../secret.yaml")
    source = load_source(str(tmp_path / "in"))
    assert set(source.package.files) == {"kustomization.yaml"}
    assert source.package.target == ""
