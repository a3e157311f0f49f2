"""The objects that bpf/ compiles to: what they hold is what bpf/programs.h says, in sizes of bpf/records.h, and the same bytes anywhere."""

from __future__ import annotations

import importlib.util
import re
import shutil
import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
BPF = ROOT / "bpf"
ARCHITECTURES = ("x86_64", "arm64")
SIZES = {
    "fl_head": 88, "fl_file": 64, "fl_sock": 64, "fl_call": 200, "fl_named": 440, "fl_exec": 328, "fl_hook": 28,
    "fl_test": 24, "fl_clause": 208, "fl_flight": 288, "fl_settings": 40, "fl_number": 16, "fl_word": 16,
    "fl_prefix": 128, "fl_network": 24, "fl_rate": 16, "fl_proc": 32, "fl_flight_key": 16, "fl_flight_head": 16,
    "fl_layout": 24,
}  # fmt: skip
BTF_STRUCT, BTF_FUNC, BTF_VAR = 4, 12, 14

BTF_EXTRA = {
    1: (4, 0),
    3: (12, 0),
    4: (0, 12),
    5: (0, 12),
    6: (0, 8),
    13: (0, 8),
    14: (4, 0),
    15: (0, 12),
    17: (4, 0),
    19: (0, 12),
}
"""What follows a type's twelve bytes, by its kind: always, and for each member."""


def hook() -> ModuleType:
    """Return hatch_build.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = hook()
needs_compiler = pytest.mark.skipif(
    BUILD.compiler() is None, reason="no compiler: neither ziglang nor clang is here"
)


def sections(data: bytes) -> dict[str, bytes]:
    """Return an ELF object's sections (64 bits, little endian) by name."""
    assert data[:6] == b"\x7fELF\x02\x01"
    (start,) = struct.unpack_from("<Q", data, 40)
    size, count, names_at = struct.unpack_from("<HHH", data, 58)
    rows = [struct.unpack_from("<IIQQQQ", data, start + size * i) for i in range(count)]
    names = data[rows[names_at][4] : rows[names_at][4] + rows[names_at][5]]
    return {
        names[name : names.index(b"\0", name)].decode(): data[at : at + length]
        for name, _, _, _, at, length in rows
    }


def btf(data: bytes) -> list[tuple[int, str, int]]:
    """Return kind, name and size of each type in a .BTF section (Documentation/bpf/btf.rst)."""
    (header,) = struct.unpack_from("<I", data, 4)
    types_at, types_size, names_at, _ = struct.unpack_from("<IIII", data, 8)
    at, end, names = header + types_at, header + types_at + types_size, header + names_at
    found: list[tuple[int, str, int]] = []
    while at < end:
        name, info, size = struct.unpack_from("<III", data, at)
        kind, members = info >> 24 & 31, info & 0xFFFF
        text = data[names + name : data.index(b"\0", names + name)].decode()
        found.append((kind, text, size))
        fixed, each = BTF_EXTRA.get(kind, (0, 0))
        at += 12 + fixed + each * members
    return found


def table(title: str) -> dict[str, list[str]]:
    """Return the rows of a table in programs.h: name -> the columns after it."""
    text = (BPF / "programs.h").read_text()
    body = text.split(f"// ---- {title} ", 1)[1].split("\n//\n", 1)[0]
    rows = [re.split(r"\s{2,}", line.removeprefix("// ").strip()) for line in body.splitlines()[2:]]
    return {row[0]: row[1:] for row in rows if re.fullmatch(r"[a-z_]+", row[0]) and len(row) > 1}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources in another place, built there."""
    if BUILD.compiler() is None:
        pytest.skip("no compiler: neither ziglang nor clang is here")
    root = tmp_path_factory.mktemp("elsewhere") / "checkout"
    shutil.copytree(BPF, root / "bpf")
    said = BUILD.build(root)
    assert len(said) == len(ARCHITECTURES) * len(BUILD.NAMES), said
    built: Path = root / BUILD.OBJECTS
    return built


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_programs_and_maps_are_those_of_the_page(objects: Path, arch: str) -> None:
    parts = sections((objects / arch / "sensor.bpf.o").read_bytes())
    types = btf(parts[".BTF"])
    functions = {name for kind, name, _ in types if kind == BTF_FUNC}
    programs = table("programs of sensor.bpf.o")
    assert len(programs) > 20
    for name, (section, *_) in programs.items():
        assert name in functions, name
        assert section in parts, section
    variables = {name for kind, name, _ in types if kind == BTF_VAR}
    maps = table("maps")
    assert len(maps) > 20
    assert set(maps) <= variables
    assert variables - set(maps) == {"LICENSE", "__bpf_usdt_specs", "__bpf_usdt_ip_to_spec_id"}


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", ["probes", "prevent"])
def test_the_other_objects_declare_the_same_maps(objects: Path, arch: str, name: str) -> None:
    types = btf(sections((objects / arch / f"{name}.bpf.o").read_bytes())[".BTF"])
    assert set(table("maps")) <= {called for kind, called, _ in types if kind == BTF_VAR}


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_records_have_the_sizes_that_the_reader_knows(objects: Path, arch: str) -> None:
    types = btf(sections((objects / arch / "sensor.bpf.o").read_bytes())[".BTF"])
    sizes = {name: size for kind, name, size in types if kind == BTF_STRUCT and name in SIZES}
    assert sizes == {name: SIZES[name] for name in sizes}
    assert {"fl_head", "fl_call", "fl_exec", "fl_hook", "fl_clause", "fl_flight", "fl_settings"} <= set(sizes)


def test_the_same_sources_give_the_same_bytes_and_no_place_of_this_machine(objects: Path) -> None:
    here = ROOT / BUILD.OBJECTS
    BUILD.build()
    for arch in ARCHITECTURES:
        for name in BUILD.NAMES:
            data = (objects / arch / f"{name}.bpf.o").read_bytes()
            assert data == (here / arch / f"{name}.bpf.o").read_bytes(), (arch, name)
            assert str(objects.parents[4]).encode() not in data
            assert str(ROOT).encode() not in data


def test_what_is_up_to_date_is_not_compiled_again(objects: Path) -> None:
    root = objects.parents[4]
    assert BUILD.build(root) == []
    header = root / "bpf" / "records.h"
    before = header.read_text()
    (root / "bpf" / "probes.bpf.c").write_text((BPF / "probes.bpf.c").read_text() + "\n// more\n")
    try:
        said = BUILD.build(root)
        assert len(said) == len(ARCHITECTURES)
        assert all("probes" in line for line in said)
        header.write_text(before + "\n#error no\n")
        with pytest.raises(BUILD.NotCompiled, match="no"):
            BUILD.build(root)
    finally:
        header.write_text(before)


def test_without_a_compiler_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(BPF, tmp_path / "bpf")
    monkeypatch.setattr(BUILD, "compiler", lambda: None)
    said = BUILD.build(tmp_path)
    assert len(said) == len(ARCHITECTURES) * len(BUILD.NAMES)
    assert all("no compiler" in line and "will not run" in line for line in said)
    there = tmp_path / BUILD.OBJECTS / "x86_64" / "sensor.bpf.o"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"as it came")
    assert sum("left as it is" in line for line in BUILD.build(tmp_path)) == 1
    assert there.read_bytes() == b"as it came"


@needs_compiler
def test_the_hook_compiles_where_the_package_is(tmp_path: Path) -> None:
    shutil.copytree(BPF, tmp_path / "bpf")
    told: list[str] = []

    class App:
        display_info = staticmethod(told.append)

    instance: Any = object.__new__(BUILD.CustomBuildHook)
    for name, value in {"root": str(tmp_path), "app": App()}.items():
        setattr(type(instance), name, value)
    instance.initialize("editable", {})
    assert (tmp_path / BUILD.OBJECTS / "arm64" / "prevent.bpf.o").exists()
    assert len(told) == len(ARCHITECTURES) * len(BUILD.NAMES)
