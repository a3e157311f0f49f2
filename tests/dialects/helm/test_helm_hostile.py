"""Charts of somebody who means harm: archives that lead out, burst or lie, schemas and values without end."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib

import pytest

from fairlead.dialects import helm
from fairlead.dialects.helm import archives, charts, schemas
from fairlead.render.packages import Context, Layer, Mistaken, Package

INNER = {
    "in/Chart.yaml": b"apiVersion: v2\nname: in\nversion: 1.0.0\n",
    "in/templates/a.yaml": b"kind: A\napiVersion: v1\n",
}


def archive(files: dict[str, bytes], *more: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz", format=form) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in more:
            tar.addfile(info)
    return body.getvalue()


def entry(name: str, sort: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = sort, target
    return info


def outer(data: bytes) -> Package:
    return Package(
        {"Chart.yaml": b"apiVersion: v2\nname: out\nversion: 1.0.0\n", "charts/in-1.0.0.tgz": data}
    )


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_charts_lie_in_charts_as_archives(form: int) -> None:
    long = "in/templates/" + "d/" * 30 + "b" * 90 + ".yaml" if form != tarfile.USTAR_FORMAT else "in/x"
    data = archive({**INNER, long: b""}, entry("in/templates", tarfile.DIRTYPE), form=form)
    found = archives.unpack(data)
    assert set(found) == {name.removeprefix("in/") for name in (*INNER, long)}
    assert [item["kind"] for item in helm.render(outer(data), (), Context("rel"), {}).objects] == ["A"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (archive({**INNER, "in/../../x": b""}), "chart illegally references parent directory"),
        (archive({**INNER, "in//etc/x": b""}), "chart illegally contains absolute paths"),
        (archive({**INNER, "in\\..\\..\\x": b""}), "chart illegally references parent directory"),
        (archive({**INNER, "x": b""}), "content outside the base directory"),
        (archive({"Chart.yaml": b""}), "chart yaml not in base directory"),
        (archive({**INNER, "in/c:/x": b""}), "illegally named files"),
        (
            archive(INNER, entry("in/l", tarfile.SYMTYPE, "/etc/passwd")),
            '"in/l" is a link; links are not unpacked',
        ),
        (archive(INNER, entry("in/l", tarfile.LNKTYPE, "in/Chart.yaml")), "is a link"),
        (archive(INNER, entry("in/d", tarfile.CHRTYPE)), '"in/d" is no file'),
        (archive({**INNER, "in/big": bytes(6 << 20)}), "is larger than the maximum file size"),
        (gzip.compress(bytes(101 << 20), 9), "decompressed chart is larger than the maximum size"),
        (archive(INNER)[:-30], "gzip"),
        (b"no archive", "gzip: invalid header"),
        (gzip.compress(b"x" * 600), "archive/tar: invalid tar header|cut off"),
        (gzip.compress(b""), "no files in chart archive"),
    ],
)
def test_archives_that_must_not_be_unpacked_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(Mistaken, match=message):
        helm.render(outer(data), (), Context("rel"), {})


def test_charts_inside_charts_have_an_end() -> None:
    data = archive(INNER)
    for _ in range(charts.DEEPEST + 2):
        data = archive({**INNER, "in/charts/in.tgz": data})
    with pytest.raises(Mistaken, match="charts inside charts, more than"):
        helm.render(outer(data), (), Context("rel"), {})


@pytest.mark.parametrize(
    "schema",
    [
        '{"$ref": "#"}',
        '{"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"anyOf": [{"$ref": "#/$defs/x"}]}}}',
        '{"$ref": "https://example.com/schema.json"}',
        '{"$ref": "#/nothing"}',
        '{"pattern": "("}',
        '{"properties": {"a": {"pattern": "["}}}',
        '{"properties": 5}',
        "[1]",
        "{",
        '{"minProperties": "x"}',
    ],
)
def test_schemas_that_make_no_sense_are_told(schema: str) -> None:
    package = Package(
        {"Chart.yaml": b"apiVersion: v2\nname: out\nversion: 1.0.0\n", "values.schema.json": schema.encode()}
    )
    if schema == '{"pattern": "("}':
        assert helm.render(package, (), Context("rel"), {}).stages == ()
        return
    with pytest.raises(Mistaken, match=r"values\.schema\.json"):
        helm.render(package, (Layer("v.yaml", "a: text\n"),), Context("rel"), {})


def test_a_schema_never_backtracks() -> None:
    assert schemas.check(b'{"pattern": "^(a+)+$"}', "a" * 50_000 + "b")


def test_a_small_archive_that_bursts_is_never_held() -> None:
    bomb = zlib.compress(bytes(200 << 20), 9, 31)
    assert len(bomb) < 1 << 20
    with pytest.raises(archives.BadArchive, match="larger than the maximum size"):
        archives.unpack(bomb)
