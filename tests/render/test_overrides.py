"""Values from options and files, as Helm merges them."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.render import overrides
from fairlead.render.packages import Layer, Mistaken
from fairlead.tongues import yamls

CASES = yamls.load((Path(__file__).parent / "cases" / "overrides.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=[f"{case['option']} {case['text']}" for case in CASES])
def test_an_option_gives_what_helm_makes_of_it(case: dict[str, Any]) -> None:
    values = copy.deepcopy(case.get("over", {}))
    said = ""
    try:
        overrides.apply_set(values, case["text"], case["option"], lambda path: f"<file {path}>")
    except overrides.BadOverride as fault:
        said = str(fault)
    assert said == case.get("error", "")
    assert said or values == case["gives"]


def test_names_and_indexes_have_limits() -> None:
    with pytest.raises(overrides.BadOverride, match="greater than maximum supported nested level of 30"):
        overrides.apply_set({}, ".".join("a" * 32) + "=1")
    with pytest.raises(overrides.BadOverride, match="greater than maximum supported index of 65536"):
        overrides.apply_set({}, "a[65537]=1")
    values: dict[str, Any] = {}
    overrides.apply_set(values, ".".join("a" * 31) + "=1")
    overrides.apply_set(values, "b[65536]=1")
    assert len(values["b"]) == 65537


def test_layers_are_applied_by_sort_and_then_in_order() -> None:
    layers = [
        Layer("--set", "a.b=1,c=x", "set"),
        Layer("one.yaml", "a: {b: 5, d: [1, 2]}\nc: file\n"),
        Layer("two.yaml", "a: {d: null, e: 0.5}\n"),
        Layer("--set-json", 'a={"f":1}', "set-json"),
        Layer("--set-file", "g=path", "set-file"),
    ]
    assert overrides.merged(layers, {"path": "content"}.__getitem__) == {
        "a": {"f": 1, "b": 1},
        "c": "x",
        "g": "content",
    }


def test_every_layer_that_is_wrong_is_named() -> None:
    with pytest.raises(Mistaken) as caught:
        overrides.merged(
            [
                Layer("list.yaml", "- 1\n"),
                Layer("broken.yaml", "a: [\n"),
                Layer("--set", "a", "set"),
                Layer("--set-file", "a=gone", "set-file"),
            ]
        )
    texts = [str(mistake) for mistake in caught.value.mistakes]
    assert texts[0] == "list.yaml: failed to parse list.yaml: values are a mapping, and this is a list"
    assert texts[1].startswith("broken.yaml:2: failed to parse broken.yaml: ")
    assert texts[2] == '--set: failed parsing --set data: key "a" has no value'
    assert texts[3] == "--set-file: failed parsing --set-file data: open gone: no such file or directory"


def test_layers_are_never_changed_by_what_is_laid_over_them() -> None:
    under, over = {"a": {"b": 1}, "c": [1]}, {"a": {"d": [2]}, "e": {"f": 3}}
    result = overrides.overlaid(under, over)
    overrides.apply_set(result, "a.d[0]=9,e.f=9")
    assert over == {"a": {"d": [2]}, "e": {"f": 3}}
    assert under == {"a": {"b": 1}, "c": [1]}


def test_the_files_of_an_option_are_known_beforehand() -> None:
    assert overrides.files_named("a=one.txt,b.c[0]=two.txt") == ["one.txt", "two.txt"]


@given(st.text(alphabet="ab.,=[]{}\\01 ", max_size=30), st.sampled_from(["set", "set-string", "set-literal"]))
def test_any_text_is_taken_or_refused(text: str, sort: str) -> None:
    with contextlib.suppress(overrides.BadOverride):
        overrides.apply_set({}, text, sort)
