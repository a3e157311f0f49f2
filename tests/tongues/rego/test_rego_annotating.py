"""METADATA comments: which rule, document and package they belong to, what the two functions give, and bad ones."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.tongues import rego

MODULE = """# METADATA
# title: the package
# custom:
#   levels: [1, 2]
package a.b

# METADATA
# title: the document
# scope: document
# authors:
# - Ann Other <ann@example.com>
# - name: Bob

# METADATA
# title: the rule
# organizations: [one, two]
# related_resources:
# - https://example.com/x
# - ref: https://example.com/y
#   description: more
p contains rego.metadata.chain()

q := rego.metadata.rule()

# METADATA
# entrypoint: true
# schemas:
# - input: schema.thing
# - input.x: {type: string}
s := [link.annotations.scope | some link in rego.metadata.chain(); link.annotations]

t if {
	false
} else := count(rego.metadata.chain())
"""
ABOVE = """# METADATA
# scope: subpackages
# title: all of a
package a
"""


def test_the_chain_goes_from_the_rule_outwards() -> None:
    program = rego.compile({"b.rego": MODULE, "a.rego": ABOVE})
    found: Any = rego.to_json(program.query("data.a.b"))
    ((rule, document, package, above),) = found["p"]
    assert rule == {
        "annotations": {
            "scope": "rule",
            "title": "the rule",
            "organizations": ["one", "two"],
            "related_resources": [
                {"ref": "https://example.com/x"},
                {"ref": "https://example.com/y", "description": "more"},
            ],
        },
        "path": ["a", "b", "p"],
    }
    authors = [{"name": "Ann Other", "email": "ann@example.com"}, {"name": "Bob"}]
    assert document["annotations"] == {"scope": "document", "title": "the document", "authors": authors}
    assert package == {
        "annotations": {"scope": "package", "title": "the package", "custom": {"levels": [1, 2]}},
        "path": ["a", "b"],
    }
    assert above == {"annotations": {"scope": "subpackages", "title": "all of a"}, "path": ["a"]}
    assert found["q"] == {}
    assert found["s"] == ["document", "package", "subpackages"]
    assert found["t"] == 3


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ("# METADATA\n# title: [1]", "cannot unmarshal !!seq into string"),
        ("# METADATA\n# custom: 3", "cannot unmarshal !!int `3` into map[string]interface {}"),
        ("# METADATA\n# scope: foo", "invalid annotation scope 'foo'"),
        ("# METADATA\n# scope: package", "annotation scope 'package' must be applied to package (have rule)"),
        ("# METADATA", "expected METADATA block, found whitespace"),
        ("# METADATA\n# authors: ['']", "invalid author definition : author is an empty string"),
        ("# METADATA\n# authors: [{x: y}]", "'name' and/or 'email' values required in object"),
        ("# METADATA\n# related_resources: [{a: b}]", "definition map[a:b]: 'ref' value required in object"),
        (
            "# METADATA\n# entrypoint: true\n# scope: rule",
            "entrypoint applied to non-document or package scope",
        ),
        ("# METADATA\n# schemas: [{input: foo}]", "invalid schema reference"),
    ],
)
def test_a_bad_block_is_refused_where_somebody_asks(block: str, told: str) -> None:
    with pytest.raises(rego.BadModule) as refused:
        rego.compile({"t.rego": f"package t\n{block}\np := 1\nq := rego.metadata.rule()\n"})
    assert told in str(refused.value)
    program = rego.compile({"t.rego": f"package t\n{block}\np := 1\n"})
    assert program.query("data.t.p") == 1


def test_a_document_is_annotated_once() -> None:
    block = "# METADATA\n# scope: document\np := 1\n"
    with pytest.raises(rego.BadModule, match=r"document annotation redeclared: t\.rego:2"):
        rego.compile({"t.rego": f"package t\n{block}{block}q := rego.metadata.chain()\n"})
