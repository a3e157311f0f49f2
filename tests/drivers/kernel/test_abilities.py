"""What this kernel allows is found by trying, and nothing of the trials stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fairlead.drivers import kernel
from fairlead.drivers.kernel import cgroups, layouts, libbpf, probing
from fairlead.drivers.kernel.libbpf import Refused, loaded_programs
from fairlead.sense.plans import Arg


@pytest.mark.kernel
def test_everything_is_tried_and_nothing_stays() -> None:
    found = kernel.probe()
    names = [row.name for row in found.rows]
    assert len(names) == len(set(names))
    for row in found.rows:
        assert row.available != bool(row.why_not), row
        assert row.what
        assert (row.name in found) == row.available
        assert found.why_not(row.name) == row.why_not
    assert {"btf", "ring_buffer", "rawtracepoint"} <= found.names, "without these there is no sensor at all"
    assert {"kernel", "machine", "libbpf", "lockdown", "cgroups", "landlock_abi"} <= found.facts.keys()
    end = time.monotonic() + 10
    while "fl_probe" in loaded_programs().values():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.kernel
def test_what_the_kernel_says_is_told() -> None:
    with pytest.raises(Refused, match=r"has no no_such_function"):
        probing._btf_target("no_such_function", 24)
    with pytest.raises(Refused, match=r"R2 !read_ok"):
        probing._load(5, code=b"\xbf\x20\0\0\0\0\0\0\x95\0\0\0\0\0\0\0")  # r0 = r2, which holds nothing


def test_without_a_library_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    libbpf.library.cache_clear()
    monkeypatch.setattr(libbpf, "_sources", lambda: iter(["/no/such/library.so"]))
    try:
        with pytest.raises(Refused, match=r"no libbpf of 1\.0.*pip install pylibbpf"):
            libbpf.library()
    finally:
        libbpf.library.cache_clear()


def test_a_library_that_is_none_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    libbpf.library.cache_clear()
    sources = ["libc.so.6", *libbpf._sources()]
    monkeypatch.setattr(libbpf, "_sources", lambda: iter(sources))
    try:
        assert libbpf.version().startswith("v1")
    finally:
        libbpf.library.cache_clear()


def test_the_hierarchy_that_containers_are_in(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    assert cgroups.hierarchy(mounts) == cgroups.Hierarchy("", "/sys/fs/cgroup", 0)
    hybrid = tmp_path / "hybrid"
    hybrid.write_text(
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /c/pids cgroup rw,pids 0 0\ncgroup /c/memory cgroup rw,memory 0 0\n"
    )
    found = cgroups.hierarchy(hybrid)
    assert (found.controller, found.mount) == ("memory", "/c/memory")
    assert found.mode == "v1, by memory"


def test_cgroups_have_paths_and_ids() -> None:
    number, path = kernel.cgroup_of(os.getpid())
    if not number:
        pytest.skip("no cgroups are mounted here")
    assert kernel.cgroup_id(path) == number
    assert kernel.cgroup_path(number) == path
    assert kernel.cgroup_id("/no/such") == 0
    assert kernel.cgroup_path(1 << 60) == ""
    assert kernel.cgroup_of(1 << 30) == (0, "")


@pytest.mark.kernel
def test_the_fields_of_a_tracepoint() -> None:
    assert probing.has_tracepoint("sched", "sched_process_exit")
    assert not probing.has_tracepoint("sched", "no_such")
    found = layouts.fields("task", "task_rename")
    assert [one.name for one in found][:3] in (
        ["pid", "oldcomm", "newcomm"],
        ["oldcomm", "newcomm", "oom_score_adj"],
    )
    packed = layouts.layout("sched", "sched_process_exec", (Arg.STRING, Arg.INT))
    assert len(packed) == 24
    assert int.from_bytes(packed[:2], "little") == layouts.fields("sched", "sched_process_exec")[0].offset
    assert packed[3] & 2, "the file's name is told by its place"
    with pytest.raises(Refused, match="is not told"):
        layouts.fields("no", "such")


def test_raw_arguments_are_eight_bytes_each() -> None:
    packed = layouts.raw_layout((Arg.INT, Arg.NONE, Arg.INT))
    assert [tuple(packed[at : at + 4]) for at in range(0, 24, 4)] == [
        (0, 0, 8, 0), (8, 0, 0, 0), (16, 0, 8, 0), (24, 0, 0, 0), (32, 0, 0, 0), (40, 0, 0, 0),
    ]  # fmt: skip
