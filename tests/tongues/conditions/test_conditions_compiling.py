"""What compiled conditions say: operators by type, absent values, several values, transformers, and that sharing changes nothing."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.tongues import conditions
from fairlead.tongues.conditions import (
    And,
    BadCondition,
    Check,
    Exists,
    Field,
    FieldRef,
    Leaf,
    Many,
    NoSuchField,
    Not,
    Or,
    Tree,
    Type,
    UnknownField,
    Value,
    Values,
)  # fmt: skip

TYPES = {
    "text": Type.TEXT, "int": Type.INT, "bool": Type.BOOL, "port": Type.PORT, "double": Type.DOUBLE, "bytes": Type.BYTES,
    "ip": Type.ADDRESS, "net": Type.NETWORK,
}  # fmt: skip
KINDS = {"list": Many.LIST, "any": Many.ANY, "both": Many.BOTH}


def resolver(ref: FieldRef) -> Field:
    """`text.a`, `int.b`, and several: `list_text.a`, `any_text.a`, `both_ip.a`."""
    kind, _, name = ref.name.partition(".")
    many, _, single = kind.rpartition("_")
    if single not in TYPES or (ref.argument is not None and name != "arg"):
        raise UnknownField(f"nonexistent field {conditions.show_operand(ref)}")
    key = name if ref.argument is None else f"{name}{ref.argument}"
    return Field(TYPES[single], f"event.get({key!r})", KINDS.get(many, Many.ONE), computed=name != "plain")


def says(text: str, **event: object) -> bool:
    return conditions.compile(conditions.parse(text), resolver)(event)


V4, V6 = bytes([10, 1, 2, 3]), bytes.fromhex("fe80" + "0" * 26 + "01")


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("text.a = x", ["x"], ["y", "", None]),
        ("text.a != x", ["y", ""], ["x", None]),
        ("not text.a = x", ["y", None], ["x"]),
        ("not text.a != x", ["x", None], ["y"]),
        ("text.a exists", ["", "x"], [None]),
        ("not text.a exists", [None], [""]),
        ("text.a in (x, y)", ["x", "y"], ["z", None]),
        ("text.a in ()", [], ["", "x", None]),
        ("text.a in (x)", ["x"], ["xx", None]),
        ("text.a intersects (x, y)", ["x"], ["z", None]),
        ("text.a contains ell", ["hello"], ["help", None]),
        ("text.a icontains eLL", ["hELlo"], ["help", None]),
        ("text.a startswith he", ["hello"], ["ohe", None]),
        ("text.a endswith lo", ["hello"], ["los", None]),
        ("text.a glob '*/x?[!a-c]'", ["/a/b/xyz"], ["/xya", "xyz", None]),
        ("text.a glob '[[:digit:]]*'", ["5x"], ["x5", None]),
        (r"text.a glob 'a\\*b'", ["a*b"], ["axb", None]),
        ("text.a iglob 'AB*'", ["abc", "ABC"], ["cab", None]),
        ("text.a regex '[a-z]+[0-9]'", ["abc1"], ["abc12", "1abc1", "", None]),
        ("text.a regex '.*x.*'", ["axb", "x", "\udcffx"], ["ab", None]),
        (
            "text.a pmatch (/etc, /usr/*/bin)",
            ["/etc", "/etc/x", "/usr/a/bin/b"],
            ["/etcetera", "/usr/bin", "/", None],
        ),
        ("text.a pmatch (/)", ["/", "/x"], [None]),
        ("int.a < 0x10", [15, -1], [16, None]),
        ("int.a >= -5", [-5, 0], [-6, None]),
        ("int.a = 7", [7], [8, None]),
        ("int.a != 7", [8], [7, None]),
        ("int.a in (1, 2)", [1, 2], [3, None]),
        ("double.a > 1.5", [2.0], [1.5, None]),
        ("bool.a = true", [True], [False, None]),
        ("bool.a != true", [False], [True, None]),
        ("port.a = https", [443], [80, None]),
        ("port.a in (22, http)", [22, 80], [443, None]),
        ("ip.a = 10.1.2.3", [V4], [V6, bytes(4), None]),
        ("ip.a != 10.1.2.3", [V6, bytes(4)], [V4, None]),
        ("ip.a in (10.1.2.3, fe80::1)", [V4, V6], [bytes(4), bytes(16), None]),
        ("net.a = 10.0.0.0/8", [V4], [bytes(4), V6, None]),
        ("net.a != 10.0.0.0/8", [bytes(4), V6], [V4, None]),
        (
            "net.a in (10.1.2.3, fe80::/10, 0.0.0.0/32)",
            [V4, V6, bytes(4)],
            [bytes([10, 1, 2, 4]), bytes(16), None],
        ),
        ("bytes.a contains ab", [b"xabx"], [b"ba", None]),
        ("bytes.a bcontains cafe", [b"\0\xca\xfe"], [b"cafe", None]),
        ("bytes.a bstartswith 7f45", [b"\x7fELF"], [b"ELF\x7fE", None]),
        ("text.a = oneof (x, x, y)", ["y"], ["x", "z", None]),
        ("text.a contains oneof (x, y)", ["ax", "by"], ["xy", "z", None]),
        ("text.a contains anyof (x, y)", ["ax", "xy"], ["z", None]),
        ("text.a contains allof (x, y)", ["xy", "ybx"], ["x", "z", None]),
        ("text.a = anyof (x, y)", ["x", "y"], ["z", None]),
        ("text.a != allof (x, y)", ["z"], ["x", "y", None]),
        ("text.a startswith anyof (x, y)", ["xa", "ya"], ["ax", None]),
        ("text.a glob anyof (x*, *y)", ["xa", "ay"], ["a", None]),
        ("text.a regex allof ('a.*', '.*b')", ["ab", "axb"], ["a", "b", None]),
        ("text.a regex oneof ('a.*', '.*b')", ["ax", "xb"], ["ab", "c", None]),
        ("text.a contains anyof ()", [], ["", "x", None]),
        ("list_text.a in (x, y)", [["x"], ["x", "y"], ("y",)], [["x", "z"], [], None]),
        ("list_text.a in (x) or list_text.a in (y)", [["x"], ["y"]], [["x", "y"], [], None]),
        ("list_text.a intersects (x, y)", [["x", "z"]], [["z"], [], None]),
        ("not list_text.a intersects (x)", [["z"], [], None], [["x"]]),
        ("list_text.a exists", [["x"]], [[], None]),
        ("list_net.a in (10.0.0.0/8)", [[V4]], [[V4, V6], [], None]),
        ("list_net.a intersects (10.0.0.0/8)", [[V6, V4]], [[V6], [], None]),
        ("any_text.a = x", [["y", "x"]], [["y"], [], None]),
        ("any_text.a != x", [["y", "x"]], [["x"], [], None]),
        ("not any_text.a = x", [["y"], [], None], [["x", "y"]]),
        ("any_text.a in (x, y)", [["z", "x"]], [["z"], [], None]),
        ("any_text.a startswith x", [["z", "xa"]], [["z"], [], None]),
        ("any_text.a contains allof (x, y)", [["z", "axy"]], [["x", "y"], [], None]),
        ("both_ip.a = 10.1.2.3", [[V6, V4]], [[V6], [], None]),
        ("both_ip.a != 10.1.2.3", [[V6]], [[V6, V4], [], None]),
        ("both_net.a != 10.0.0.0/8", [[V6, bytes(4)]], [[V6, V4], [], None]),
        ("both_port.a < 1024", [[80, 5000]], [[5000], [], None]),
        ("tolower(text.a) = abc", ["ABC", "abc"], ["abd", None]),
        ("toupper(text.a) = 'ABCÄß'", ["abcÄß"], ["abcäß", None]),
        ("basename(text.a) = c", ["/a/b/c", "c"], ["/a/c/", None]),
        ("b64(text.a) = hello", ["aGVsbG8=", "aGVsbG8"], ["hello", "?", None]),
        ("b64(bytes.a) = hello", [b"aGVsbG8="], [b"?", None]),
        ("len(text.a) = 3", ["abc", "\udcffbc", "é1"], ["ab", None]),
        ("len(list_text.a) > 1", [["a", "b"]], [["a"], None]),
        ("tolower(list_text.a) intersects (x)", [["X"]], [["Y"], [], None]),
        ("join('-', list_text.a) = a-b", [["a", "b"]], [["a"], [], None]),
        ("join('-', (text.a, 'z')) = x-z", ["x"], ["y", None]),
        ("concat(text.a, ':', int.n) = x:5", ["x"], ["y", None]),
        ("toupper(basename(text.a)) = C", ["/c"], ["/d", None]),
        ("text.a = val(text.b)", ["bee"], ["b", None]),
        ("text.a contains val(text.b)", ["a bee"], ["be", None]),
        ("text.a icontains val(text.b)", ["a BEE"], ["be", None]),
        ("text.a glob val(text.g)", ["bee"], ["x", None]),
        ("text.a != val(text.missing)", [], ["x", None]),
        ("text.a in val(text.b)", ["bee"], ["b", None]),
        ("int.a > val(int.n)", [6], [5, None]),
        ("text.a = toupper(text.b)", ["BEE"], ["bee", None]),
        ("list_text.a in val(list_text.l)", [["b"], ["b", "c"]], [["b", "d"], [], None]),
        ("list_text.a intersects val(list_text.l)", [["b", "d"]], [["d"], [], None]),
        ("any_text.a = val(text.b)", [["x", "bee"]], [["x"], [], None]),
        ("text.a = val(any_text.l)", ["b", "c"], ["x", None]),
        ("any_text.a endswith val(any_text.l)", [["x", "ab"]], [["x"], [], None]),
        ("both_ip.a != val(ip.missing)", [], [[V4], [], None]),
        ("basename(any_text.a) = c", [["/a", "/b/c"]], [["/c/d"], [], None]),
        ("len(any_text.a) > 2", [["a", "abc"]], [["a"], [], None]),
        ("concat(any_text.a, '!') = x!", [["x", "y"]], [["y", "x"], [], None]),
        ("text.arg[0] exists", [], ["x"]),
    ],
)
def test_operators(text: str, yes: list[object], no: list[object]) -> None:
    judge = conditions.compile(conditions.parse(text), resolver)
    for value in yes:
        assert judge({"a": value, "b": "bee", "n": 5, "g": "b*e", "l": ["b", "c"]}) is True, value
    for value in no:
        assert judge({"a": value, "b": "bee", "n": 5, "g": "b*e", "l": ["b", "c"]}) is False, value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int.a contains 5", "'contains' operator not supported for numeric filters"),
        ("text.a bcontains 5", "'bcontains' operator not supported for string filters"),
        ("bool.a < 5", "'<' operator not supported for boolean filters"),
        ("ip.a startswith 1", "'startswith' operator not supported for ip address and network filters"),
        ("list_text.a = x", "'=' operator not supported for list filters"),
        ("int.a = x", "'x' is not a valid number"),
        ("int.a in (1, x)", "'x' is not a valid number"),
        ("bool.a = yes", "unrecognized boolean value yes"),
        ("ip.a = 1.2.3", "unrecognized IPv4 address 1.2.3"),
        ("net.a = 1.2.3.4/33", "invalid netmask 33"),
        ("port.a = nonsense", "unrecognized protocol nonsense"),
        ("bytes.a bcontains xy", "'bcontains' wants hexadecimal digits"),
        ("text.a regex '('", "invalid regex pattern"),
        ("text.a regex val(text.b)", "operator 'regex' doesn't support right-hand side fields"),
        ("text.plain = val(text.b)", "field 'text.plain' doesn't support right-hand side fields"),
        ("text.a = val(any_text.plain)", "field 'any_text.plain' can't be used as a right-hand side field"),
        (
            "text.a = val(int.b)",
            "field 'text.a' has type 'text' while the right-hand side field 'int.b' has incompatible type 'int'",
        ),
        (
            "tolower(int.a) = x",
            "type 'int' is not supported by 'tolower' transformer applied on field 'int.a'",
        ),
        ("len(int.a) = 1", "type 'int' is not supported by 'len' transformer"),
        ("join(text.a, list_text.a) = x", "transformer 'join' expects a string as its first argument"),
        ("concat(text.a) = x", "transformer 'concat' expects two or more arguments"),
    ],
)
def test_what_types_refuse(text: str, message: str) -> None:
    with pytest.raises(BadCondition) as caught:
        conditions.compile(conditions.parse(text), resolver)
    assert message in str(caught.value)


def test_an_unknown_field_is_named_with_its_place() -> None:
    with pytest.raises(NoSuchField) as caught:
        conditions.compile(conditions.parse("text.a = x and\n  tolower(proc.nonsense[1]) = y"), resolver)
    assert caught.value.field == "proc.nonsense[1]"
    assert (caught.value.line, caught.value.column) == (2, 11)


def test_each_field_is_asked_once_and_only_when_it_is_needed() -> None:
    asked: list[str] = []

    def counting(ref: FieldRef) -> Field:
        def get(event: dict[str, Any]) -> object:
            asked.append(ref.name)
            return event.get(ref.name)

        return Field(
            Type.TEXT,
            f"get_{ref.name.replace('.', '_')}(event)",
            names={f"get_{ref.name.replace('.', '_')}": get},
        )

    trees = {
        "one": conditions.parse("t.a = x and t.b startswith y and not (t.c contains q)"),
        "two": conditions.parse("(t.b = yes or t.c = q) and t.a = x"),
        "three": conditions.parse("not (t.c contains q) and t.b startswith y"),
    }
    judge = conditions.compile_all(trees, counting)
    assert judge({"t.a": "x", "t.b": "yes", "t.c": "c"}) == ["one", "two", "three"]
    assert sorted(asked) == ["t.a", "t.b", "t.c"]
    asked.clear()
    assert conditions.compile_all({"one": trees["one"]}, counting)({"t.a": "-"}) == []
    assert asked == ["t.a"]


@pytest.mark.parametrize("many", list(Many))
@pytest.mark.parametrize("sure", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "t.a in (x, y)",
        "t.a intersects (x)",
        "t.a in (x) or t.a in (y)",
        "t.a in (x) and t.a in (x, z)",
        "tolower(t.a) in (x)",
        "len(t.a) > 0",
        "t.a exists",
    ],
)
def test_code_of_fields_may_set_variables_of_its_own(text: str, many: Many, sure: bool) -> None:
    def walrus(ref: FieldRef) -> Field:
        return Field(Type.TEXT, f"((p := event[{ref.name!r}]) and (p := p) or None)", many, sure=sure)

    value = "x" if many is Many.ONE else ["x"]
    assert conditions.compile(conditions.parse(text), walrus)({"t.a": value}) is True


def test_deep_conditions_compile() -> None:
    text = "text.a = x"
    for number in range(95):
        text = f"(text.b = y{number} or int.n = {number} and {text})" if number % 2 else f"not ({text})"
    says(text, a="x")
    wide = conditions.parse(" or ".join(f"(text.a = x{n} and text.b contains y{n})" for n in range(3000)))
    assert conditions.compile(wide, resolver)({"a": "x2999", "b": "y2999"})


# A second reading of the same language, by walking the tree.


def reads(leaf: Leaf, event: dict[str, Any]) -> bool:
    assert leaf.field is not None
    value = event.get(leaf.field.name.partition(".")[2])
    if value is None:
        return False
    if isinstance(leaf, Exists):
        return True
    assert isinstance(leaf, Check)
    texts = leaf.values
    assert texts is not None
    results = [one(leaf.op, value, text) for text in texts]
    if leaf.mod == "allof":
        return bool(results) and all(results)
    return sum(results) == 1 if leaf.mod == "oneof" else any(results)


def one(op: str, value: Any, text: str) -> bool:
    match op:
        case "=" | "in" | "intersects":
            return bool(value == type(value)(text))
        case "!=":
            return bool(value != type(value)(text))
        case "<":
            return bool(value < int(text))
        case "contains":
            return text in value
        case "startswith":
            return bool(value.startswith(text))
        case "endswith":
            return bool(value.endswith(text))
        case "glob":
            return re.compile(fnmatch.translate(text)).match(value) is not None
    raise AssertionError(op)


def walk(tree: Tree, event: dict[str, Any]) -> bool:
    if isinstance(tree, Not):
        return not walk(tree.arg, event)
    if isinstance(tree, And):
        return all(walk(arg, event) for arg in tree.args)
    if isinstance(tree, Or):
        return any(walk(arg, event) for arg in tree.args)
    assert isinstance(tree, Check | Exists)
    return reads(tree, event)


WORDS = st.sampled_from(["", "a", "b", "ab", "ba", "abb"])
CONSTANT = st.builds(Value, WORDS, st.just(True))
CONSTANTS = st.lists(CONSTANT, max_size=3).map(tuple).map(Values)
TEXTS = st.sampled_from([FieldRef("text.a"), FieldRef("text.b")])
NUMBERS = st.builds(
    Check,
    st.just(FieldRef("int.n")),
    st.sampled_from(["=", "<", "!="]),
    st.sampled_from([Value("1"), Value("2")]),
)
TEXTUAL = ["=", "!=", "contains", "startswith", "endswith"]
LEAF = st.one_of(
    st.builds(Exists, TEXTS),
    st.builds(Check, TEXTS, st.sampled_from(TEXTUAL), CONSTANT),
    st.builds(
        Check, TEXTS, st.just("glob"), st.sampled_from(["*", "a*", "*b", "?b", "*b*", "[ab]"]).map(Value)
    ),
    st.builds(Check, TEXTS, st.sampled_from(["in", "intersects"]), CONSTANTS),
    st.builds(
        Check, TEXTS, st.sampled_from(TEXTUAL), CONSTANTS, st.sampled_from(["oneof", "anyof", "allof"])
    ),
    NUMBERS,
)
TREE: st.SearchStrategy[Tree] = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=4).map(lambda args: And(tuple(args))),
        st.lists(inner, min_size=2, max_size=4).map(lambda args: Or(tuple(args))),
    ),
    max_leaves=14,
)
EVENT = st.fixed_dictionaries(
    {"a": st.none() | WORDS, "b": st.none() | WORDS, "n": st.none() | st.integers(0, 3)}
)


@given(st.lists(TREE, min_size=1, max_size=4), st.lists(EVENT, min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_compiled_conditions_say_what_a_walk_over_the_tree_says(
    trees: list[Tree], events: list[dict[str, Any]]
) -> None:
    judge = conditions.compile_all(dict(enumerate(trees)), resolver)
    for event in events:
        expected = [number for number, tree in enumerate(trees) if walk(tree, event)]
        assert judge(event) == expected
        assert [
            number
            for number, tree in enumerate(trees)
            if conditions.compile(conditions.simplify(tree), resolver)(event)
        ] == expected


@given(TREE, EVENT, st.sets(st.sampled_from(["text.a", "int.n"])))
@settings(max_examples=200, deadline=None)
def test_a_tree_reduced_by_what_is_known_says_the_same(
    tree: Tree, event: dict[str, Any], known: set[str]
) -> None:
    def decide(leaf: Leaf) -> bool | None:
        return reads(leaf, event) if leaf.field is not None and leaf.field.name in known else None

    left = conditions.reduce(tree, decide)
    assert (left if isinstance(left, bool) else walk(left, event)) == walk(tree, event)


@given(TREE, EVENT, st.integers(1, 8))
@settings(max_examples=300, deadline=None)
def test_narrowing_never_loses_an_event(tree: Tree, event: dict[str, Any], most: int) -> None:
    def decide(leaf: Leaf, negated: bool) -> tuple[Leaf, bool] | None:
        return None if leaf.field == FieldRef("text.b") else (leaf, negated)

    clauses = conditions.narrow(conditions.simplify(tree), decide, most)
    assert len(clauses) <= most
    if walk(tree, event):
        assert any(all(reads(leaf, event) is not negated for leaf, negated in clause) for clause in clauses)


def test_what_narrowing_gives() -> None:
    def decide(leaf: Leaf, negated: bool) -> str | bool | None:
        if isinstance(leaf, Check) and leaf.field == FieldRef("evt.type"):
            return ("openat" in (leaf.values or ())) is not negated
        if isinstance(leaf, Check) and leaf.field == FieldRef("fd.name"):
            return f"{'not ' if negated else ''}{conditions.show(leaf)}"
        return None

    tree = conditions.parse(
        "evt.type in (open, openat) and (fd.name startswith /etc or fd.name = /x) and not fd.name endswith .so and not proc.name = a"
    )
    assert set(conditions.narrow(tree, decide)) == {
        ("not fd.name endswith .so", "fd.name startswith /etc"),
        ("not fd.name endswith .so", "fd.name = /x"),
    }
    assert conditions.narrow(conditions.parse("evt.type = execve and fd.name = x"), decide) == ()
    assert conditions.narrow(conditions.parse("evt.type = openat or fd.name = x"), decide) == ((),)


def test_simplifying_merges_what_is_asked_of_one_field() -> None:
    def simple(text: str) -> str:
        return conditions.show(conditions.simplify(conditions.parse(text), lambda _: True))

    assert simple("a.b = x or a.b in (y, x) or c.d = z") == 'a.b in ("x", "y") or c.d = z'
    assert (
        simple("a.b startswith x and c.d = y and not a.b = p and not a.b = q")
        == 'a.b startswith x and c.d = y and not a.b in ("p", "q")'
    )
    assert (
        simple("(a.b startswith x or (c.d = y or a.b startswith z))")
        == 'a.b startswith anyof ("x", "z") or c.d = y'
    )
    assert simple("not (not a.b = x)") == "a.b = x"
    assert simple("a.b = x and (a.b = x and c.d exists)") == "a.b = x and c.d exists"
