"""Falco's grammar: what it takes, what it refuses and where, and that printing and reading agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.tongues import conditions
from fairlead.tongues.conditions import (
    MODIFIERS,
    TRANSFORMERS,
    And,
    BadCondition,
    Call,
    Check,
    Exists,
    FieldRef,
    Group,
    Name,
    Not,
    Or,
    Tree,
    Value,
    Values,
)  # fmt: skip

NAME = FieldRef("proc.name")


def check(field: str, op: str, text: str, *, quoted: bool = False) -> Check:
    return Check(FieldRef(field), op, Value(text, quoted))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("proc.name=bash", check("proc.name", "=", "bash")),
        ("proc.name == bash", check("proc.name", "=", "bash")),
        ("proc.name!=<NA>", check("proc.name", "!=", "<NA>")),
        ("fd.name startswith /etc/", check("fd.name", "startswith", "/etc/")),
        ("fd.name glob '/home/*/.ssh/*'", check("fd.name", "glob", "/home/*/.ssh/*", quoted=True)),
        ("fd.name glob\n  /a*", check("fd.name", "glob", "/a*")),
        (r'proc.args contains "a \"b\" \\ c\n"', check("proc.args", "contains", 'a "b" \\ c\n', quoted=True)),
        (r"proc.args contains 'it\'s'", check("proc.args", "contains", "it's", quoted=True)),
        (r'proc.args contains "a\ b"', check("proc.args", "contains", "a\\b", quoted=True)),
        ("evt.rawres>=-5", check("evt.rawres", ">=", "-5")),
        ("evt.rawres < 0x1F", check("evt.rawres", "<", "0x1F")),
        ("proc.duration <= 5e+3", check("proc.duration", "<=", "5e+3")),
        ("proc.aname[2]=sshd", Check(FieldRef("proc.aname", "2"), "=", Value("sshd"))),
        ("container.mount.dest[/etc*] exists", Exists(FieldRef("container.mount.dest", "/etc*"))),
        ('jevt.value["/a b/c"] exists', Exists(FieldRef("jevt.value", "/a b/c"))),
        ("evt.rawarg.flags exists", Exists(FieldRef("evt.rawarg.flags"))),
        (
            "proc.name in (a, 'b c',d)",
            Check(NAME, "in", Values((Value("a"), Value("b c", quoted=True), Value("d")))),
        ),
        ("proc.name in(a)", Check(NAME, "in", Values((Value("a"),)))),
        ("proc.name in ()", Check(NAME, "in", Values(()))),
        ("proc.name in names", Check(NAME, "in", Value("names"))),
        (
            "fd.name pmatch (/etc, /usr/*/b)",
            Check(FieldRef("fd.name"), "pmatch", Values((Value("/etc"), Value("/usr/*/b")))),
        ),
        ("a.b intersects (c)", Check(FieldRef("a.b"), "intersects", Values((Value("c"),)))),
        (
            "proc.name startswith anyof (a, b)",
            Check(NAME, "startswith", Values((Value("a"), Value("b"))), "anyof"),
        ),
        ("proc.name != allof(a)", Check(NAME, "!=", Values((Value("a"),)), "allof")),
        ("proc.name = anyof", check("proc.name", "=", "anyof")),
        ("tolower(proc.name) = x", Check(Call("tolower", (NAME,)), "=", Value("x"))),
        (
            "toupper( tolower(proc.name) ) = X",
            Check(Call("toupper", (Call("tolower", (NAME,)),)), "=", Value("X")),
        ),
        ("proc.name = val(proc.pname)", Check(NAME, "=", FieldRef("proc.pname"))),
        (
            "proc.name = basename(proc.exepath)",
            Check(NAME, "=", Call("basename", (FieldRef("proc.exepath"),))),
        ),
        (
            'join(",", (proc.name, proc.pid)) = x',
            Check(
                Call("join", (Value(",", quoted=True), Group((NAME, FieldRef("proc.pid"))))), "=", Value("x")
            ),
        ),
        (
            "concat(proc.name, 5, 'x') = y",
            Check(Call("concat", (NAME, Value("5"), Value("x", quoted=True))), "=", Value("y")),
        ),
        ("spawned and not known", And((Name("spawned"), Not(Name("known"))))),
        ("not not known", Name("known")),
        ("not(known or seen)", Not(Or((Name("known"), Name("seen"))))),
        ("a or b and c or d", Or((Name("a"), And((Name("b"), Name("c"))), Name("d")))),
        ("(a or b) and(c)", And((Or((Name("a"), Name("b"))), Name("c")))),
        ("\t( a )\r\n", Name("a")),
    ],
)
def test_what_it_takes(text: str, tree: Tree) -> None:
    assert conditions.read(text) == tree
    assert conditions.read(conditions.show(tree)) == tree


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("", "expected a '(' token, a field check, or an identifier", (1, 1)),
        ("proc.name", "expected a valid check operator", (1, 10)),
        ("proc.name like x", "expected a valid check operator", (1, 11)),
        ("proc.name =", "expected a string value", (1, 12)),
        ("proc.name = (a)", "expected a string value", (1, 13)),
        ("proc.name contains(a)", "expected blank after 'contains'", (1, 19)),
        ("evt.res < abc", "expected a number value", (1, 11)),
        ("a and\n  (b or ", "expected a '(' token, a field check", (2, 9)),
        ("a and (b", "expected a ')' token", (1, 9)),
        ("a orb", "expected blank or '(' after 'or'", (1, 5)),
        ("a b", "unexpected token after 'a', expecting 'or', 'and'", (1, 3)),
        ("a or(b) and c", "unexpected token after ')', expecting 'or', 'and'", (1, 9)),
        ("proc.aname[ = x", "expected a valid field argument", (1, 12)),
        ("proc.aname[2 = x", "expected a ']' token", (1, 13)),
        ("proc.types[] = x", "expected a valid field argument", (1, 12)),
        ('proc.name = "abc', "expected a closing quote", (1, 13)),
        (r'proc.name = "\q"', r"unsupported string escape sequence: \q", (1, 14)),
        (r"""proc.name = "\'" """, "invalid \\' escape in \"-quoted string", (1, 14)),
        ("proc.name in (a, )", "expected a string value", (1, 18)),
        ("proc.name in (a b)", "expected a ')' token", (1, 17)),
        ("tolower(x) = a", "expected field transformer argument", (1, 9)),
        ("tolower(proc.name = a", "expected a ')' token closing the transformer", (1, 19)),
        ("proc.name = val(tolower(proc.name))", "expected a field within 'val' transformer", (1, 17)),
    ],
)
def test_what_it_refuses(text: str, message: str, place: tuple[int, int]) -> None:
    with pytest.raises(BadCondition) as caught:
        conditions.read(text)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == place


@pytest.mark.parametrize(
    "text",
    ["(" * 5000 + "a" + ")" * 5000, "not(" * 5000, "tolower(" * 5000, "a.b = tolower(" * 3 + "(" * 5000],
)
def test_what_is_too_deep_is_refused(text: str) -> None:
    with pytest.raises(BadCondition):
        conditions.read(text)


def test_many_nots_are_no_depth() -> None:
    assert conditions.read("not " * 10_001 + "a") == Not(Name("a"))


def test_macros_and_lists() -> None:
    tree = conditions.parse(
        "spawned and proc.name in (shells, zsh) and proc.pname = only",
        macros={"spawned": "evt.type in (exec_calls)", "unused": "nonsense("},
        lists={
            "shells": ["sh", "bash", "more"],
            "more": ['"a b"', "c d"],
            "exec_calls": ["execve"],
            "only": ["one"],
            "none": [],
        },
    )
    assert tree == conditions.read(
        'evt.type in (execve) and proc.name in (sh, bash, "a b", "c d", zsh) and proc.pname = one'
    )


def test_a_list_in_quotes_is_a_word() -> None:
    assert conditions.parse('a.b in ("shells")', lists={"shells": ["x"]}) == conditions.read(
        'a.b in ("shells")'
    )


@pytest.mark.parametrize(
    ("text", "message", "name"),
    [
        ("unheard", "undefined macro 'unheard' used in filter", ""),
        ("outer", "undefined macro 'unheard' used in filter", "outer"),
        ("first", "reference loop in macro first -> second -> first", "second"),
        ("broken", "expected a string value", "broken"),
        ("a.b = two", "list 'two' has 2 items where one value is wanted", ""),
        ("m20", "more than 50000 comparisons", ""),
    ],
)
def test_what_expansion_refuses(text: str, message: str, name: str) -> None:
    macros = {"outer": "unheard", "first": "a.b = c and second", "second": "not first", "broken": "a.b ="}
    macros |= {"m0": "a.b=c"} | {f"m{n}": f"m{n - 1} or (m{n - 1} and a.b=d)" for n in range(1, 21)}
    with pytest.raises(BadCondition) as caught:
        conditions.parse(text, macros, {"two": ["x", "y"]})
    assert message in caught.value.message
    if name:
        assert caught.value.name == name


def test_lists_that_contain_themselves_are_refused() -> None:
    with pytest.raises(BadCondition, match="contain themselves: a, b"):
        conditions.parse("a.b in (a)", lists={"a": ["b"], "b": ["a"]})


BARE = st.text(st.characters(codec="utf-8", exclude_characters=" \t\b\r\n\v\f()\"'=,\0"), min_size=1).filter(
    lambda text: not text.isspace()
)
PLAIN = st.text(st.characters(codec="utf-8"))
WORD = st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(
    lambda word: word not in {"not", "and", "or", "val", *TRANSFORMERS}
)
VALUE = st.one_of(st.builds(Value, PLAIN, st.just(True)), st.builds(Value, WORD))
FIELD = st.builds(
    FieldRef,
    st.builds("{}.{}".format, WORD, WORD),
    st.one_of(st.none(), st.from_regex(r"[0-9a-z/*]{1,4}", fullmatch=True), PLAIN),
)
LEFT = st.one_of(FIELD, st.builds(Call, st.sampled_from(["tolower", "len", "b64"]), st.tuples(FIELD)))
RIGHT = st.one_of(
    VALUE, FIELD, st.builds(Call, st.just("concat"), st.tuples(FIELD, st.builds(Value, PLAIN, st.just(True))))
)
VALUES = st.builds(Values, st.lists(VALUE, max_size=4).map(tuple))
TEXTUAL = st.sampled_from(["=", "!=", "contains", "startswith", "glob", "regex"])
LEAF = st.one_of(
    st.builds(Name, WORD),
    st.builds(Exists, LEFT),
    st.builds(Check, LEFT, TEXTUAL, RIGHT),
    st.builds(Check, LEFT, st.sampled_from(["in", "pmatch", "intersects"]), VALUES),
    st.builds(Check, LEFT, TEXTUAL, VALUES, st.sampled_from(MODIFIERS)),
    st.builds(
        Check, LEFT, st.sampled_from(["<", ">="]), st.integers(-9, 99).map(lambda number: Value(str(number)))
    ),
)
TREE: st.SearchStrategy[Tree] = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        inner.filter(lambda tree: not isinstance(tree, Not)).map(Not),
        st.lists(inner, min_size=2, max_size=4).map(lambda args: And(tuple(args))),
        st.lists(inner, min_size=2, max_size=4).map(lambda args: Or(tuple(args))),
    ),
    max_leaves=12,
)


@given(TREE)
@settings(max_examples=300, deadline=None)
def test_what_is_printed_reads_as_it_was(tree: Tree) -> None:
    assert conditions.read(conditions.show(tree)) == tree


PIECES = st.sampled_from(
    ["proc.name", "proc.aname[2]", " ", "=", "!=", "in", " in ", "(", ")", "a", '"', "'", "\\", ",", "and", " and ", " or ", "not ", "not(", "exists",
     "startswith ", "<", "5", "val(", "tolower(", "join(", "anyof", "[", "]", "\n", "é", "\0"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join)))
@settings(max_examples=500, deadline=None)
def test_garbage_is_read_or_refused(text: str) -> None:
    try:
        tree = conditions.read(text)
    except BadCondition as bad:
        assert bad.line >= 1  # noqa: PT017
        assert bad.column >= 1  # noqa: PT017
    else:
        assert conditions.read(conditions.show(tree)) == tree


@pytest.mark.corpus
def test_published_conditions_read_as_they_are_printed(corpus: Path) -> None:
    found = 0
    for path in sorted((corpus / "falco").glob("*.yaml")):
        for item in yaml.load(path.read_text(), Loader=yaml.CSafeLoader):
            if "condition" in item:
                tree = conditions.read(item["condition"])
                assert conditions.read(conditions.show(tree)) == tree
                found += 1
    assert found > 300
