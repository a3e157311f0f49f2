"""What is generated from a type: a schema that editors take, and a table for people."""

from __future__ import annotations

from pathlib import Path

from fairlead.render.references import BEGIN, END, placed, reference, rows
from fairlead.render.schemas import default_of, schema
from fairlead.render.values import settle, type_of
from fairlead.tongues import yamls

TYPE = type_of(yamls.load((Path(__file__).parent / "cases" / "typed_errors_values.yaml").read_text())["type"])


def test_a_schema_says_what_the_type_says() -> None:
    made = schema(TYPE, "shop", "A shop.")
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert made["title"] == "shop"
    assert made["required"] == ["host"]
    assert made["additionalProperties"] is False
    fields = made["properties"]
    assert fields["replicas"] == {
        "type": "integer", "minimum": 1, "maximum": 10, "default": 2, "description": "how many pods there are",
    }  # fmt: skip
    assert fields["level"] == {"enum": ["debug", "info", "error"], "default": "info"}
    assert fields["country"]["pattern"] == "^(?:[a-z]{2})$"
    assert fields["password"] == {"type": "string", "minLength": 8, "writeOnly": True}
    assert fields["labels"]["propertyNames"] == {"pattern": "^(?:[a-z./-]+)$"}
    assert fields["hosts"] == {
        "type": "array", "items": {"type": "string"}, "maxItems": 3, "uniqueItems": True, "default": [],
    }  # fmt: skip
    assert fields["ports"]["items"]["required"] == ["name", "number"]
    assert fields["web"]["properties"]["port"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 65535,
        "default": 8080,
    }


def test_what_may_be_null_says_so() -> None:
    made = type_of(
        {
            "type": "group",
            "fields": {
                "a": {"type": "text", "nullable": True},
                "b": {"type": "choice", "enum": ["x"], "nullable": True},
            },
        }
    )
    assert schema(made)["properties"] == {"a": {"type": ["string", "null"]}, "b": {"enum": ["x", None]}}


def test_the_defaults_are_those_that_hold() -> None:
    made = type_of(
        {
            "type": "group",
            "fields": {
                "a": {
                    "type": "group",
                    "fields": {"b": {"type": "integer", "default": 1}, "c": {"type": "listing"}},
                }
            },
        }
    )
    assert default_of(made) == settle(made, []) == {"a": {"b": 1, "c": []}}


def test_the_reference_has_a_row_for_each_value() -> None:
    found = {row[0]: row[1:] for row in rows(TYPE)}
    assert found["`replicas`"] == ("whole number, 1 to 10", "`2`", "how many pods there are")
    assert found["`host`"] == (
        "text",
        "**required**",
        "where the shop is reached. For example `shop.example.com`.",
    )
    assert found["`level`"] == ("one of `debug`, `info`, `error`", "`info`", "")
    assert found["`web.memory`"] == ("amount of memory, 16Mi to 4Gi", "`64Mi`", "")
    assert found["`ports`"] == ("list, unique by `name`", "`[]`", "")
    assert found["`ports[].number`"] == ("port", "**required**", "")
    assert found["`password`"] == ("secret text, at least 8 characters", "", "")
    assert found["`labels`"][0] == "mapping of text"


def test_a_readme_keeps_what_is_around_the_reference() -> None:
    table = reference(TYPE)
    once = placed("# Shop\n\nHello.\n", table)
    assert once.startswith("# Shop\n\nHello.\n\n## Values\n\n" + BEGIN)
    assert placed(once, table) == once
    assert placed(f"a\n{BEGIN}\nold\n{END}\nb\n", "new\n") == f"a\n{BEGIN}\nnew\n{END}\nb\n"


def test_a_cell_stays_a_cell() -> None:
    made = type_of(
        {"type": "group", "fields": {"a": {"type": "text", "default": "x|`y`", "doc": "one\n two | three"}}}
    )
    assert reference(made).splitlines()[-1] == r"| `a` | text | `` x\|`y` `` | one two \| three |"
