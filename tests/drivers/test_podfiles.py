"""Directories of pods: volumes that change at once, messages, and links that lead nowhere they should not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fairlead.drivers.podfiles import PodFiles, VolumeFailed, known_uids, log_folders
from fairlead.orchestrate.podvolumes import Empty, File, Files, Host


@pytest.fixture
def home(tmp_path: Path) -> PodFiles:
    files = PodFiles(tmp_path, "u1", "shop", "web-1")
    files.prepare()
    return files


def written(**files: str) -> Files:
    return Files(
        name="v", files={name.replace("__", "/"): File(text.encode(), 0o640) for name, text in files.items()}
    )


def content(path: Path) -> dict[str, str]:
    return {
        str(each.relative_to(path)): each.read_text()
        for each in sorted(path.rglob("*"))
        if each.is_file() and ".." not in each.relative_to(path).parts[0][:2]
    }


def test_files_lie_behind_one_link(home: PodFiles) -> None:
    path = home.set_up(written(a="1", d__b="2"))
    assert content(path)["a"] == "1"
    assert (path / "d" / "b").read_text() == "2"
    assert (path / "a").stat().st_mode & 0o777 == 0o640
    assert (path / "..data").is_symlink()
    assert (path / "a").readlink() == Path("..data/a")


def test_a_change_swaps_all_files_at_once(home: PodFiles) -> None:
    path = home.set_up(written(a="1", b="1"))
    before = (path / "..data").readlink()
    assert home.set_up(written(a="1", b="1")) == path
    assert (path / "..data").readlink() == before
    home.set_up(written(a="2", c="2"))
    assert (path / "..data").readlink() != before
    assert content(path) == {"a": "2", "c": "2"}
    assert not (path / before).exists()
    assert [each.name for each in path.iterdir() if each.is_symlink() and not each.exists()] == []


def test_empty_directories_keep_what_is_in_them(home: PodFiles) -> None:
    path = home.set_up(Empty(name="e"))
    assert path.stat().st_mode & 0o777 == 0o777
    (path / "x").write_text("1")
    assert home.set_up(Empty(name="e")) == path
    assert (path / "x").read_text() == "1"


@pytest.mark.root
def test_memory_volumes_are_bounded_and_go_with_the_pod(home: PodFiles) -> None:
    path = home.set_up(Empty(name="m", memory=True, size=1 << 16))
    assert path.is_mount()
    with pytest.raises(OSError, match="No space left"):
        (path / "x").write_bytes(bytes(1 << 20))
    home.remove()
    assert not path.exists()


@pytest.mark.parametrize(
    ("kind", "made", "text"),
    [
        ("Directory", False, "is not a directory"),
        ("File", False, "is not a file"),
        ("Socket", False, "is not a socket file"),
        ("CharDevice", False, "is not a character device"),
        ("BlockDevice", False, "is not a block device"),
        ("DirectoryOrCreate", True, ""),
        ("FileOrCreate", True, ""),
    ],
)
def test_host_paths_are_checked(home: PodFiles, tmp_path: Path, kind: str, made: bool, text: str) -> None:
    path = tmp_path / "there"
    plan = Host(name="h", path=str(path), type=kind)
    if made:
        assert home.set_up(plan) == path
        assert path.exists()
        return
    with pytest.raises(VolumeFailed) as caught:
        home.set_up(plan)
    assert str(caught.value) == f"hostPath type check failed: {path} {text}"


def test_a_file_is_no_directory(home: PodFiles, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VolumeFailed, match="is not a directory"):
        home.set_up(Host(name="h", path=str(tmp_path / "file"), type="DirectoryOrCreate"))


def test_sub_paths_stay_inside(home: PodFiles, tmp_path: Path) -> None:
    path = home.set_up(Empty(name="e"))
    assert home.sub_path(path, "a/b").is_dir()
    (path / "out").symlink_to(tmp_path)
    (path / "up").symlink_to("../..")
    for way in ("out", "out/x", "up/hosts"):
        with pytest.raises(VolumeFailed, match="leads out of its volume"):
            home.sub_path(path, way)
    assert not (tmp_path / "x").exists()


def test_one_file_of_a_config_volume(home: PodFiles) -> None:
    path = home.set_up(written(a="1"))
    assert home.sub_path(path, "a").read_text() == "1"


def test_last_words(home: PodFiles, tmp_path: Path) -> None:
    path = home.end_file("web", 0)
    assert home.end_message("web", 0) == ""
    path.write_text("x" * 5000)
    assert len(home.end_message("web", 0)) == 4096
    path.unlink()
    (tmp_path / "secret").write_text("not yours")
    path.symlink_to(tmp_path / "secret")
    assert home.end_message("web", 0) == ""
    path.unlink()
    os.mkfifo(path)
    assert home.end_message("web", 0) == ""


def test_hosts_keep_their_inode(home: PodFiles) -> None:
    path = home.hosts("a\n")
    before = path.stat().st_ino
    assert home.hosts("b\n").stat().st_ino == before
    assert path.read_text() == "b\n"


def test_everything_goes_with_the_pod(home: PodFiles, tmp_path: Path) -> None:
    home.set_up(written(a="1"))
    (home.logs / "web").mkdir()
    (home.logs / "web" / "0.log").touch()
    (home.logs / "web" / "0.log.20260101").touch()
    (home.logs / "web" / "1.log").touch()
    home.forget_run("web", 0)
    assert [each.name for each in (home.logs / "web").iterdir()] == ["1.log"]
    assert known_uids(tmp_path) == {"u1"}
    assert log_folders(tmp_path) == {"u1": home.logs}
    home.remove()
    assert (known_uids(tmp_path), log_folders(tmp_path)) == (set(), {})


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root gives files away")
def test_files_belong_to_the_pod_s_group(home: PodFiles) -> None:
    path = home.set_up(Files(name="v", files={"a": File(b"1", 0o600)}, group=4242))
    found = (path / "a").stat()
    assert (found.st_gid, found.st_mode & 0o777) == (4242, 0o640)
    shared = home.set_up(Empty(name="e", group=4242)).stat()
    assert (shared.st_gid, shared.st_mode & 0o7777) == (4242, 0o2777)
