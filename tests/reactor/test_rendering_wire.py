"""A rendering as bytes comes back as it was, and what is no rendering does not come back at all."""

from __future__ import annotations

import orjson
import pytest

from fairlead.reactor import rendering_wire as wire
from fairlead.render.packages import (
    Capabilities,
    Check,
    Context,
    Lacking,
    Layer,
    Mistake,
    Mistaken,
    Package,
    Rendered,
    Stage,
)
from fairlead.words import Evidence, Finding, Need, Ref, Severity, Where

NEED = Need("package.files", Ref("", "", "", "oci://x/y"), (("version", "1"),))
OBJECT = Need("cluster.object", Ref("", "ConfigMap", "n", "c"))
RENDERED = Rendered(
    sort="module",
    package="p",
    version="1.2.3",
    stages=(
        Stage("a", ({"kind": "A", "n": [1, None, True]},), (Check("v1", "Pod", current="true"),), one_off=True, cleanup=frozenset({"before"})),
        Stage("b", (), moments=frozenset({"test"})),
    ),
    findings=(Finding(rule="r", severity=Severity.INFO, subject=OBJECT.about, message="m", evidence=(Evidence("field", OBJECT.about, "t", Where("f", 1, ".a")),)),),
    images=("a:1",),
    values={"a": {"b": None}},
)  # fmt: skip


def test_a_question_comes_back() -> None:
    package = Package({"a": b"\x00\xff", "b": b""}, "where", "target")
    layers = [Layer("f.yaml", "a: 1"), Layer("--set", "a=2", "set")]
    context = Context(
        "n", revision=3, moment="upgrade", capabilities=Capabilities("v1.31.0", frozenset({"v1"}))
    )
    answers = {NEED: {"z": b"1", "y": b"\n"}, OBJECT: None}
    found = wire.asked(wire.request("chart", package, layers, context, answers))
    assert found == ("chart", package, tuple(layers), context, answers)


def test_an_answer_comes_back() -> None:
    assert wire.heard(wire.said(RENDERED)) == RENDERED


def test_mistakes_and_needs_come_back() -> None:
    mistakes = (Mistake("m", Where("f", 1, ".a"), 2, "line", "hint", (Where("g", 3),)), Mistake("n"))
    with pytest.raises(Mistaken) as mistaken:
        wire.heard(wire.said(Mistaken(*mistakes)))
    assert mistaken.value.mistakes == mistakes
    with pytest.raises(Lacking) as lacking:
        wire.heard(wire.said(Lacking(NEED, OBJECT)))
    assert lacking.value.needs == (NEED, OBJECT)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"broken": "it fell"},
        {"rendered": {"sort": "virus"}},
        {"rendered": {"sort": "module", "stages": [{"name": 1, "objects": []}]}},
        {"rendered": {"sort": "module", "more": 1}},
        {"rendered": {"sort": "module", "stages": "x"}},
        {"rendered": {"sort": "module", "findings": [{"rule": "r", "severity": "dire"}]}},
        {"mistaken": [1]},
        {"lacking": [{"what": "x"}]},
    ],
)
def test_what_is_no_answer_is_refused(header: object) -> None:
    head = orjson.dumps(header)
    with pytest.raises(wire.BadAnswer):
        wire.heard(len(head).to_bytes(8, "big") + head)


@pytest.mark.parametrize("data", [b"", b"x", b"\xff" * 20, (3).to_bytes(8, "big") + b"{}}"])
def test_bytes_that_are_no_frame(data: bytes) -> None:
    with pytest.raises(wire.BadAnswer):
        wire.heard(data)
