"""Substitution says what Flux' says, and names every variable that nothing sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.render.substituting import Unfit, substitute, substitute_documents, variables

KNOWN = {"a": "abcABC123ABCabc", "path": "/home/bo/x.tar.gz", "empty": "", "low": "élan", "one": "1"}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("nothing", "nothing"),
        ("${one}", "1"),
        ("$one and $ and $", "$one and $ and $"),
        ("$${one} $$ ${one}", "${one} $ 1"),
        ("$${x=${one}}", "${x=1}"),
        ("${#a}", "15"),
        ("${#empty}", "0"),
        ("${low^} ${low^^} ${a,} ${a,,}", "Élan ÉLAN abcABC123ABCabc abcabc123abcabc"),
        ("${a:3}", "ABC123ABCabc"),
        ("${a:3:3}", "ABC"),
        ("${a:0}|${a:-3}", "abcABC123ABCabc|abcABC123ABCabc"),
        ("${a: -3}", "abc"),
        ("${a:1:-1}", "bcABC123ABCab"),
        ("${a:99}|${a:99:1}|${a:x}", "||abcABC123ABCabc"),
        ("${none:=x}|${none:-x}|${none=x}|${none-x}", "x|x|x|x"),
        ("${empty:=x}|${empty:-x}|${empty-x}", "x|x|"),
        ("${one:=x}", "1"),
        ("${none:=}", ""),
        ("${none:=a ${one} b}", "a 1 b"),
        ("${none:=pre-${other:-${one}}-post}", "pre-1-post"),
        ("${path#*/}|${path##*/}", "home/bo/x.tar.gz|x.tar.gz"),
        ("${path%.*}|${path%%.*}", "/home/bo/x.tar|/home/bo/x"),
        ("${path#nothing}", "/home/bo/x.tar.gz"),
        ("${a/abc/X}|${a//abc/X}|${a/#abc/X}|${a/%abc/X}", "XABC123ABCabc|XABC123ABCX|XABC123ABCabc|abcABC123ABCX"),
        ("${one/#/pre-}|${one/%/-post}", "pre-1|1-post"),
        ("${path//\\//-}", "-home-bo-x.tar.gz"),
        ("${path/.tar/}", "/home/bo/x.gz"),
        ("${a/${one}/-}", "abcABC-23ABCabc"),
        ("\\${one}", "\\1"),
    ],
)  # fmt: skip
def test_each_function(text: str, made: str) -> None:
    assert substitute(text, KNOWN) == (made, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\nb: ${x}", "2:4 nothing sets ${x}"),
        ("${x^^}", "1:1 nothing sets ${x}"),
        ("${#x}", "1:1 nothing sets ${x}"),
        ("${one", '1:1 "${one" cannot be read: no closing brace'),
        ("${one:=x", '1:1 "${one:=x" cannot be read: no closing brace'),
        ("${{ github }}", '1:1 "${{ github }}" cannot be read: the name of a variable is due'),
        ("${}", '1:1 "${}" cannot be read: the name of a variable is due'),
        ("${one!}", '1:1 "${one!}" cannot be read: "!" is no operator'),
        ("${one/x}", '1:1 "${one/x}" cannot be read: ${name/old/new} has two parts'),
        ("${a" + ":=${a" * 30 + "}" * 31, '1:1 "${a:=${a:=${a:=${a:=${a:=${a:=" cannot be read: it nests more than 20 deep'),
    ],
)  # fmt: skip
def test_each_fault(text: str, said: str) -> None:
    _, faults = substitute(text, KNOWN)
    assert [f"{one.line}:{one.column} {one.message}" for one in faults][:1] == [said]
    assert all(one.hint for one in faults)


def test_every_fault_is_told() -> None:
    assert len(substitute("${x} ${y} ${one} ${z", KNOWN)[1]) == 3


def test_an_object_may_decline() -> None:
    text = (
        "a: ${one}\n---\nmetadata:\n  annotations:\n    kustomize.toolkit.fluxcd.io/substitute: disabled\nb: ${nope}\n"
        "---\nmetadata:\n  labels: {kustomize.toolkit.fluxcd.io/substitute: disabled}\nb: ${nope}\n---\nc: ${two}\n"
    )
    made, faults = substitute_documents(text, KNOWN)
    assert made == text.replace("a: ${one}", "a: 1").replace("c: ${two}", "c: ")
    assert [one.line for one in faults] == [12]


def test_values_become_variables() -> None:
    assert variables({"a": 1, "b": True, "c": "x y", "d": None, "e": 1.5}) == {
        "a": "1",
        "b": "true",
        "c": "x y",
        "e": "1.5",
    }
    unfit: tuple[dict[str, object], ...] = ({"a": {}}, {"a": []}, {"a.b": 1})
    for bad in unfit:
        with pytest.raises(Unfit):
            variables(bad)


@given(st.text(alphabet="${}ab:=#%/-^,\\*[ \n", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    substitute(text, {"a": "b"})
