"""The mirror and the original: records.py must say what bpf/records.h says."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from enum import IntEnum
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from fairlead.sense import plans, records

HEADER = Path(__file__).resolve().parents[2] / "bpf" / "records.h"
STRUCTS = {
    "fl_head": records.HEAD,
    "fl_file": records.FILE,
    "fl_sock": records.SOCK,
    "fl_call": records.CALL,
    "fl_named": records.NAMED,
    "fl_exec": records.EXEC,
    "fl_flight": records.FLIGHT,
}
PLACES = {"file": "place.file", "sock": "place.sock"}


def compiler() -> list[str]:
    if find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-target", "bpfel-freestanding"]
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("neither ziglang nor clang is here")
    return [clang, "-target", "bpfel"]


def member(struct_name: str, field: str) -> str:
    """The C name of a field: the head of a call is not flat there."""
    if struct_name in {"fl_call", "fl_named"}:
        inner = "" if struct_name == "fl_call" else "call."
        if field in (records.HEAD.names or ()):
            return f"{inner}head.{field}"
        if field != "text":
            return inner + PLACES.get(field, field)
    return field


def test_sizes_and_offsets_are_the_header_s(tmp_path: Path) -> None:
    claims = []
    for name, layout in STRUCTS.items():
        claims.append(f'_Static_assert(sizeof(struct {name}) == {layout.itemsize}, "{name}");')
        for field, (form, offset, *_) in (layout.fields or {}).items():
            place = member(name, field)
            claims.extend(
                (
                    f'_Static_assert(__builtin_offsetof(struct {name}, {place}) == {offset}, "{name}.{place}");',
                    f'_Static_assert(sizeof(((struct {name} *)0)->{place}) == {form.itemsize}, "{name}.{place} size");',
                )
            )
    source = tmp_path / "claims.c"
    source.write_text(f'#include "{HEADER}"\n' + "\n".join(claims) + "\n")
    done = subprocess.run(
        [*compiler(), "-c", str(source), "-o", str(tmp_path / "claims.o")],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def enumerated(name: str) -> dict[str, int]:
    """The members of an enum of the header."""
    body = re.search(rf"enum {name} \{{(.*?)\}};", HEADER.read_text(), re.DOTALL)
    assert body, name
    found: dict[str, int] = {}
    after = 0
    for one in re.sub(r"//[^\n]*", "", body[1]).split(","):
        if not one.strip():
            continue
        label, _, value = one.partition("=")
        after = int(value) if value.strip() else after
        found[label.strip()] = after
        after += 1
    return found


@pytest.mark.parametrize(
    ("name", "prefix", "mirror"),
    [
        ("fl_kind", "FL_", records.Kind),
        ("fl_flag", "FL_", records.Flag),
        ("fl_exe", "FL_EXE_", records.Exe),
        ("fl_class", "FL_C_", records.Class),
        ("fl_hook_sort", "FL_", records.HookSort),
        ("fl_arg", "FL_", plans.Arg),
        ("fl_what", "FL_W_", plans.What),
        ("fl_op", "FL_", plans.Op),
    ],
)
def test_numbers_are_the_header_s(name: str, prefix: str, mirror: type[IntEnum]) -> None:
    theirs = {key.removeprefix(prefix): value for key, value in enumerated(name).items()}
    theirs.pop("FL_CLASSES", None)
    theirs.pop("CLASSES", None)
    assert theirs == {one.name: int(one) for one in mirror}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FL_FLIGHT", records.FLIGHTS),
        ("FL_NAMED_TEXT", records.NAMED_TEXT),
        ("FL_LONG_TEXT", records.LONG_TEXT),
        ("FL_SLOTS", records.SLOTS),
        ("FL_CLAUSES", records.CLAUSES),
        ("FL_TESTS", records.TESTS),
        ("FL_CLAUSES", plans.MOST_CLAUSES),
        ("FL_TESTS", plans.MOST_TESTS),
    ],
)
def test_limits_are_the_header_s(name: str, value: int) -> None:
    found = re.search(rf"#define {name} (\d+)", HEADER.read_text())
    assert found
    assert int(found[1]) == value


@pytest.mark.parametrize(
    ("packed", "layout"),
    [
        (records.HEAD_STRUCT, records.HEAD),
        (records.CALL_STRUCT, records.CALL),
        (records.EXEC_STRUCT, records.EXEC),
        (records.FILE_STRUCT, records.FILE),
        (records.SOCK_STRUCT, records.SOCK),
        (records.FLIGHT_STRUCT, records.FLIGHT),
    ],
)
def test_struct_and_numpy_agree(packed: struct.Struct, layout: np.dtype[np.void]) -> None:
    assert packed.size == layout.itemsize


def test_a_call_s_fields_are_where_struct_reads_them() -> None:
    one = records.CALL_STRUCT.pack(
        1, 2, 3, 4, -5, 6, 7, 8, 9, 10, 11, 12, b"a name", 0, 0, 0, 0, 21, 22, 23, 24, 25, 26,
        records.FILE_STRUCT.pack(31, 32, 33, 34, 35, 36, 37, 38),
    )  # fmt: skip
    call = records.call_of(one)
    assert [call[name].item() for name in ("time", "start", "cgroup", "clauses", "ret", "tgid", "tid")] == [
        1, 2, 3, 4, -5, 6, 7,
    ]  # fmt: skip
    assert [call[name].item() for name in ("kind", "slot", "flags", "uid", "gid")] == [8, 9, 10, 11, 12]
    assert call["comm"] == b"a name"
    assert call["args"].tolist() == [21, 22, 23, 24, 25, 26]
    assert call["file"]["ino"] == 31
    assert call["file"]["oflags"] == 38


def test_texts_follow_the_call_or_the_exec_part() -> None:
    head = [0] * 12 + [b""]
    head[7] = records.Kind.EXEC
    call = records.CALL_STRUCT.pack(*head, 2, 0, 3, 1, *[0] * 6, b"")
    parts = records.EXEC_STRUCT.pack(*range(1, 45))
    record = call + parts + b"aacccd"
    assert records.texts_of(record) == (b"aa", b"", b"ccc", b"d")
    assert records.exec_of(record)["argc"] == 44
    assert records.exec_of(record)["parent_start"] == 1
    head[7] = 59
    assert records.texts_of(records.CALL_STRUCT.pack(*head, 0, 1, 0, 0, *[0] * 6, b"") + b"\xff") == (
        b"", b"\xff", b"", b"",
    )  # fmt: skip


def test_a_cut_record_gives_what_is_there() -> None:
    call = records.CALL_STRUCT.pack(*[0] * 12, b"", 10, 5, 0, 0, *[0] * 6, b"")
    assert records.texts_of(call + b"abc") == (b"abc", b"", b"", b"")
