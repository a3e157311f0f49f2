"""Archives: made to the same bytes each time, and unpacked without trust."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.drivers.oci.archives import Content, gzip_pieces, tar_pieces, write_layer
from fairlead.drivers.oci.descriptors import digest_of
from fairlead.drivers.oci.errors import RegistryError, TooLarge, Unpackable
from fairlead.drivers.oci.unpacking import USUAL, Limits, file_name, unpacked


def entry(
    name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "", **more: object
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data) if kind == tarfile.REGTYPE else 0
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def archive(entries: Iterable[tuple[tarfile.TarInfo, bytes]], form: Any = tarfile.PAX_FORMAT) -> bytes:
    made = b""
    for info, data in entries:
        made += info.tobuf(form, encoding="utf-8", errors="surrogateescape")
        if info.isreg():
            made += data + bytes(-len(data) % 512)
    return gzip.compress(made + bytes(1024))


def opened(data: bytes, limits: Limits = USUAL) -> dict[str, bytes]:
    return {name: member.data for name, member in unpacked(io.BytesIO(data), "it", limits).items()}


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([entry("/etc/passwd")], "'/etc/passwd' is an absolute path"),
        ([entry("../x")], "leads out"),
        ([entry("a/../../x")], "leads out"),
        ([entry("a/./x")], "not a plain path"),
        ([entry("a//x")], "not a plain path"),
        ([entry("C:/x")], "absolute path on another system"),
        ([entry("a\\x")], "no path should have"),
        ([entry("a\x1b[2Jx")], "no path should have"),
        ([entry("link", kind=tarfile.SYMTYPE, link="target")], "link is a symbolic link"),
        ([entry("a"), entry("b", kind=tarfile.LNKTYPE, link="a")], "b is a hard link"),
        ([entry("d", kind=tarfile.CHRTYPE)], "a device"),
        ([entry("d", kind=tarfile.BLKTYPE)], "a device"),
        ([entry("p", kind=tarfile.FIFOTYPE)], "a pipe"),
        ([entry("s", kind=tarfile.GNUTYPE_SPARSE)], "a sparse file"),
        ([entry("?", kind=b"Z")], "unknown type"),
        ([entry("a"), entry("./a")], "a is there twice"),
        ([entry("a"), entry("a/b")], "below a, which is a file"),
        ([entry("a/b"), entry("a")], "a is there twice"),
        ([entry("a", kind=tarfile.DIRTYPE), entry("a")], "a is there twice"),
        ([entry("x" * 300)], "more than 255 bytes"),
        ([entry("x/" * 600)], "more than 1024 characters"),
        ([entry("b\udcff")], "not UTF-8"),
        ([entry("a", pax_headers={"GNU.sparse.major": "1"})], "sparse"),
        ([entry("a", pax_headers={"strange": "1"})], "unknown pax extension 'strange'"),
        ([entry(".")], "names no file"),
    ],
)  # fmt: skip
def test_what_must_not_be_unpacked_is_named(entries: list[tuple[tarfile.TarInfo, bytes]], says: str) -> None:
    form = tarfile.GNU_FORMAT if "\udcff" in entries[0][0].name else tarfile.PAX_FORMAT
    with pytest.raises(Unpackable) as caught:
        opened(archive(entries, form))
    assert says in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_too_much_of_anything_is_refused() -> None:
    limits = Limits(total=100_000, files=3, file=60_000)
    with pytest.raises(TooLarge, match="more than 3 entries"):
        opened(archive([entry(str(number)) for number in range(4)]), limits)
    with pytest.raises(TooLarge, match="a has 60001 bytes"):
        opened(archive([entry("a", os.urandom(60_001))]), limits)
    with pytest.raises(TooLarge, match="b makes it more than"):
        opened(archive([entry("a", os.urandom(60_000)), entry("b", os.urandom(60_000))]), limits)
    bomb = b"".join(gzip_pieces(tar_pieces({"bomb": Content(bytes(50 << 20))})))
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge, match="as only a bomb does"):
        opened(bomb)
    with pytest.raises(TooLarge, match="more than 100000 bytes"):
        opened(gzip.compress(bytes(2 << 20)), Limits(total=100_000, files=3, ratio=100_000))
    claims = entry("a", b"x")
    claims[0].size = 1 << 40
    with pytest.raises(TooLarge, match="has 1099511627776 bytes"):
        opened(gzip.compress(claims[0].tobuf(tarfile.GNU_FORMAT) + b"x"))
    words = entry("a", pax_headers={"comment": "x" * 100_000})
    with pytest.raises(TooLarge, match="too much said"):
        opened(archive([words]))


def test_broken_archives_are_no_archives() -> None:
    good = archive([entry("a", b"hello")])
    plain = gzip.decompress(good)
    for bad in (
        b"",
        b"no gzip",
        good[:-9],
        gzip.compress(plain[:700]),
        gzip.compress(b"x" * 512),
        gzip.compress(b"\0" * 100),
    ):
        if bad == b"":
            assert opened(bad) == {}
            continue
        with pytest.raises(RegistryError):
            opened(bad)
    with pytest.raises(Unpackable, match="after the end"):
        opened(gzip.compress(plain + b"\0" * 512 + b"evil"))
    with pytest.raises(RegistryError):
        opened(good + b"trailing")
    assert opened(gzip.compress(plain[:600]) + gzip.compress(plain[600:])) == {"a": b"hello"}


def test_archives_of_other_tools_are_read(tmp_path: Path) -> None:
    long = "d/" * 60 + "n\u00e4me"
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        made = archive(
            [
                entry("./", kind=tarfile.DIRTYPE),
                entry("dir", kind=tarfile.DIRTYPE),
                entry("dir/run", b"#!/bin/sh", mode=0o755),
                entry(long if form != tarfile.USTAR_FORMAT else "d/short", b"deep"),
            ],
            form,
        )
        found = unpacked(io.BytesIO(made), "it")
        assert len(found) == 2
        assert found["dir/run"].executable
    commented = archive(
        [entry("a", pax_headers={"comment": "c", "mtime": "1.5", "SCHILY.xattr.user.x": "y"})]
    )
    assert opened(commented) == {"a": b"x"}


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "b.sh"
    source.write_text("hello")
    one = {"b": Content(source, executable=True), "a/\u00fc": Content(b"x")}
    two = {"a/\u00fc": Content(b"x"), "b": Content(b"hello", executable=True)}
    first = write_layer(tmp_path / "1", one, "t")
    os.utime(source, (1, 1))
    second = write_layer(tmp_path / "2", two, "t")
    assert first.descriptor == second.descriptor
    assert first.diff_id == second.diff_id
    data = (tmp_path / "1").read_bytes()
    assert data[4:8] == b"\0\0\0\0"
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
    assert first.diff_id == digest_of(gzip.decompress(data))
    assert opened(data) == {"a/\u00fc": b"x", "b": b"hello"}


NAMES = st.lists(st.text("abz09._-\u00fc", min_size=1, max_size=60), min_size=1, max_size=3).map("/".join)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, st.binary(max_size=700), max_size=5))
def test_what_is_packed_is_unpacked_unless_it_is_refused(files: dict[str, bytes]) -> None:
    try:
        data = b"".join(gzip_pieces(tar_pieces({name: Content(body) for name, body in files.items()})))
        assert opened(data) == files
    except RegistryError:
        below = any(other.startswith(f"{name}/") for name in files for other in files)
        assert below or any(part in {"..", "."} for name in files for part in name.split("/"))


@settings(max_examples=80)
@given(st.integers(0, 2047), st.integers(0, 255), st.booleans())
def test_a_changed_byte_gives_files_that_stay_inside_or_an_error(
    position: int, value: int, sum_right: bool
) -> None:
    plain = bytearray(
        zlib.decompress(archive([entry("a/b", b"hello"), entry("\u00e4" * 60, b"y" * 600)]), 31)
    )
    plain[position % len(plain)] = value
    if sum_right:
        for start in range(0, len(plain) - 1024, 512):
            head = plain[start : start + 512]
            if head[257:262] == b"ustar":
                total = sum(head[:148]) + 256 + sum(head[156:])
                plain[start + 148 : start + 156] = b"%06o\0 " % total
    try:
        found = opened(gzip.compress(bytes(plain), 1))
    except RegistryError:
        return
    assert all(not name.startswith("/") and ".." not in name.split("/") for name in found)


def test_a_title_names_a_file_and_no_path() -> None:
    assert file_name("report.json", "it") == "report.json"
    for bad in ("../x", "a/b", "/x", "", ".", "..", "a\nb"):
        with pytest.raises(Unpackable):
            file_name(bad, "it")
