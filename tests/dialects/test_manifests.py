"""Manifests: what is read, where it was written, and what hostile text comes to."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dialects import manifests
from fairlead.dialects.manifests import Document


def read(text: str) -> tuple[list[Document], list[str]]:
    documents, findings = manifests.read("a.yaml", text)
    return documents, [f"{one.rule} {one.where} {one.message}" for one in findings]


def content(text: str) -> Any:
    documents, findings = manifests.parse("a.yaml", text)
    assert not findings, findings
    return documents[0].content


def test_every_field_knows_its_line() -> None:
    documents, findings = read(
        "# one\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n    - name: x\n"
        "      image: y\n---\n\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n"
    )
    assert not findings
    pod, config = documents
    assert [pod.line, config.line] == [3, 12]
    assert pod.where(".spec.containers[0].image").line == 9
    assert pod.where(".spec.containers[0].ports[3].name").line == 8, "the nearest that is written"
    assert str(config.where(".metadata.name")) == "a.yaml:15 .metadata.name"


def test_lists_are_unfolded() -> None:
    documents, findings = read(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: a}\n"
        "---\napiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata:\n    name: b\n"
    )
    assert not findings
    assert [str(one.ref) for one in documents] == ["Secret a", "ConfigMap b"]
    assert documents[0].where(".metadata.name").line == 6
    assert documents[1].content["apiVersion"] == "v1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, 2", "document.broken a.yaml:1"),
        ("a: b\n  c: d\n", "document.broken a.yaml:2 cannot be read at line 2, column 4"),
        ("a: *nobody\n", "document.broken a.yaml:1 cannot be read at line 1: the alias *nobody is not defined"),
        ("a: &x {b: *x}\n", "document.broken a.yaml:1 cannot be read at line 1: the alias *x refers to what contains it"),
        ("a: !python/object:os.system {}\n", "document.broken"),
        ("a: !!python/name:os.system x\n", "document.broken"),
        ("{a: {}, ? [b] : c}\n", "document.broken"),
        ("a: \x07\n", "document.broken"),
        ("[" * 5000, "document.unsafe a.yaml:1 cannot be read at line 1: nests deeper than 100 levels"),
        ("- " * 5000 + "a", "document.unsafe"),
        ("just words\n", "document.foreign"),
        ("replicas: 3\nimage: x\n", "document.foreign"),
        ("apiVersion: v2\nname: chart\nversion: 1.0.0\n", "document.foreign a.yaml describes a Helm chart"),
        ("kind: Pod\nmetadata: {name: a}\n", "document.incomplete a.yaml:1 has an object without apiVersion"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "document.incomplete a.yaml:1 has an object without kind"),
        ("apiVersion: v1\nkind: Pod\nspec: {}\n", "document.incomplete a.yaml:1 .metadata.name has a Pod without a name"),
        ("kind: {{ .Values.kind }}\nmetadata:\n{{- end }}\n", "document.template a.yaml:1 is a template"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place(text: str, expected: str) -> None:
    documents, findings = read(text)
    assert not documents
    assert len(findings) == 1
    assert findings[0].startswith(expected), findings[0]


def test_a_billion_laughs_end_early() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for index in range(1, 30):
        text += f"a{index}: &a{index} [{', '.join([f'*a{index - 1}'] * 10)}]\n"
    documents, findings = read(text)
    assert not documents
    assert "has more than 1,000,000 values" in findings[0]


def test_a_broken_document_does_not_sink_its_neighbours() -> None:
    documents, findings = read(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\na: [\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\n"
    )
    assert [str(one.ref) for one in documents] == ["Pod a", "Pod b"]
    assert len(findings) == 1


def test_scalars_mean_what_they_mean_to_kubectl() -> None:
    got = content(
        "{a: 0644, b: 0o17, c: 1e3, d: yes, e: 'yes', f: 12:30, g: 2024-01-01, h: ~, i: '', j: 1_000, k: 0x1F, l: 1.2.3, m: '0', n: .5, o: -7, p: +1}"
    )
    assert got == {
        "a": 420, "b": 15, "c": 1000.0, "d": True, "e": "yes", "f": "12:30", "g": "2024-01-01", "h": None, "i": "",
        "j": 1000, "k": 31, "l": "1.2.3", "m": "0", "n": 0.5, "o": -7, "p": 1,
    }  # fmt: skip


def test_merge_keys_and_anchors() -> None:
    got = content("base: &b {x: 1, y: 2}\none:\n  <<: *b\n  y: 3\ntwo: {<<: [*b, {z: 4}]}\n")
    assert got["one"] == {"x": 1, "y": 3}
    assert got["two"] == {"x": 1, "y": 2, "z": 4}


def test_a_key_that_is_said_twice() -> None:
    _, findings = read("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\n")
    assert findings == [
        "document.doubled a.yaml:5 .metadata.name says .metadata.name twice; the first is lost"
    ]


def test_json_with_tabs() -> None:
    documents, findings = read('{\n\t"apiVersion": "v1",\n\t"kind": "Pod",\n\t"metadata": {"name": "a"}\n}')
    assert not findings
    assert str(documents[0].ref) == "Pod a"


def test_one_object_written_twice() -> None:
    documents, _ = read(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n"
    )
    (found,) = manifests.doubles(documents)
    assert (found.rule, found.severity, found.where.line) == ("object.doubled", "warning", 5)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc-/.", min_size=1, max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.text("abcxyz", min_size=1), PLAIN, min_size=1))
def test_what_is_written_is_read_again(value: dict[str, Any]) -> None:
    assert content(manifests.write(value)) == value


@given(st.text())
def test_no_text_raises(text: str) -> None:
    manifests.read("a.yaml", text)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers() | st.booleans() | st.none(), min_size=1))
def test_plain_values_agree_with_another_reader(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value)
    assert content(text) == yaml.safe_load(text)
