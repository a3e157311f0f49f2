"""Built-ins called by themselves: what OPA's own cases do not cover, and what hostile operands may not do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.tongues.rego.builtins import BUILTINS, BuiltinError, Context
from fairlead.tongues.rego.values import UNDEFINED, from_plain, show

NOW = 1_670_006_453_141_828_752
NOTHING = "undefined"


def call(name: str, *operands: Any, context: Context | None = None) -> Any:
    found = BUILTINS[name].call(context or Context(now_ns=NOW), *map(from_plain, operands))
    return NOTHING if found is UNDEFINED else found


def told(name: str, *operands: Any) -> str:
    try:
        found = call(name, *operands)
    except BuiltinError as error:
        return f"{error.code.removeprefix('eval_').removesuffix('_error')}: {error}"
    return found if found is NOTHING else show(found)


@pytest.mark.parametrize(
    ("name", "operands", "wanted"),
    [
        ("plus", (0.1, 0.2), "0.3"),
        ("plus", (2**64, 1), "18446744073709551617"),
        ("minus", ({1, 2}, {2}), "{1}"),
        ("minus", ({1}, "a"), "type: operand 2 must be number but got string"),
        ("mul", (1.5, 2), "3"),
        ("div", (1, 4), "0.25"),
        ("div", (6, 3), "2"),
        ("rem", (-7, 3), "-1"),
        ("rem", (5.5, 2), "builtin: modulo on floating-point number"),
        ("round", (-2.5,), "-3"),
        ("ceil", (1.1,), "2"),
        ("floor", (-1.1,), "-2"),
        ("abs", ("x",), "type: operand 1 must be number but got string"),
        ("bits.xor", (6, 3), "5"),
        ("bits.negate", (0,), "-1"),
        ("bits.and", ("a", 1), "type: operand 1 must be integer but got string"),
        ("numbers.range", (3, 1), "[3, 2, 1]"),
        ("to_number", (" 1",), 'builtin: strconv.ParseFloat: parsing " 1": invalid syntax'),
        ("to_number", ("0x10",), 'builtin: strconv.ParseFloat: parsing "0x10": invalid syntax'),
        ("format_int", (255.9, 16), '"ff"'),
        ("format_int", (1, 7), "type: operand 2 must be one of {2, 8, 10, 16}"),
        ("sum", ([0.1, 0.2, 1],), "1.3"),
        ("product", ({2, 3},), "6"),
        ("max", ([1, "a", None],), '"a"'),
        ("min", ([],), NOTHING),
        ("all", ([True, True],), "true"),
        ("any", ({False},), "false"),
        ("sort", ([{"a": 1}, "b", 1, None, True],), '[null, true, 1, "b", {"a": 1}]'),
        ("internal.member_2", (1, [True, 1.0]), "true"),
        ("internal.member_2", (True, [1]), "false"),
        ("internal.member_3", ("a", 1, {"a": 1}), "true"),
        ("array.slice", ([1, 2, 3], 1, 2), "[2]"),
        ("union", ({frozenset({1}), frozenset({2})},), "{1, 2}"),
        ("intersection", (set(),), "set()"),
        ("cast_array", ({2, 1},), "[1, 2]"),
        ("cast_string", (1,), "type: operand 1 must be string but got number"),
        ("object.get", ({"a": [{"b": 1}]}, ["a", 0, "b"], None), "1"),
        ("object.get", ({"a": [1]}, ["a", 1.5], "none"), '"none"'),
        ("object.keys", ({1: 2, "a": 3},), '{1, "a"}'),
        ("object.subset", ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}), "true"),
        ("object.subset", ([1, 2, 3], [2, 3]), "true"),
        ("object.subset", ([1, 2, 3], [1, 3]), "false"),
        ("object.subset", ([1, 2, 3], {1, 3}), "true"),
        (
            "object.subset",
            ({1}, [1]),
            "type: both arguments object.subset must be of the same type or array and set",
        ),
        ("json.patch", ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}]), '{"a": [1, 2]}'),
        ("json.patch", ({"a": [1]}, [{"op": "remove", "path": "/a/1"}]), NOTHING),
        ("json.patch", ({"a": 1}, [{"op": "test", "path": "/a", "value": 2}]), NOTHING),
        ("json.patch", ({"a": 1}, [{"op": "copy", "from": "/a", "path": "/b~1c"}]), '{"a": 1, "b/c": 1}'),
        ("json.patch", ([1, 2], [{"op": "replace", "path": "01", "value": 3}]), NOTHING),
        ("json.patch", (1, [{"op": "replace", "path": "", "value": 3}]), "3"),
        ("walk", ({"a": [{2}]},), '[[[], {"a": [{2}]}], [["a"], [{2}]], [["a", 0], {2}], [["a", 0, 2], 2]]'),
        ("graph.reachable", ({"a": ["b", "x"], "b": None}, ["a"]), '{"a", "b"}'),
        ("graph.reachable_paths", ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, {"a"}), '{["a", "b", "d"], ["a", "c", "d"]}'),
    ],
    ids=str,
)  # fmt: skip
def test_numbers_collections_and_objects(name: str, operands: tuple[Any, ...], wanted: str) -> None:
    found = told(name, *operands) if name != "walk" else show(list(call(name, *operands)))
    assert found == wanted


@pytest.mark.parametrize(
    ("name", "operands", "wanted"),
    [
        ("concat", (",", {"b", "a"}), '"a,b"'),
        ("concat", (",", ["a", 1]), "type: operand 2 must be array of strings but got array containing number"),
        ("indexof_n", ("aaa", "aa"), "[0, 1]"),
        ("indexof", ("a", ""), "builtin: empty search character"),
        ("substring", ("åäö", 1, -1), '"äö"'),
        ("replace", ("abc", "", "-"), '"-a-b-c-"'),
        ("strings.replace_n", ({"a": "1", "ab": "2"}, "abc"), '"1bc"'),
        ("strings.replace_n", ({"": "-", "b": "2"}, "abc"), '"-a-2-c-"'),
        ("strings.reverse", ("åb",), '"bå"'),
        ("lower", ("ÄİÅ",), '"äiå"'),
        ("upper", ("straße",), '"STRAßE"'),
        ("trim_left", ("..a..", "."), '"a.."'),
        ("trim_space", ("\u00a0a\u2003",), '"a"'),
        ("trim", ("a", ""), '"a"'),
        ("regex.find_n", ("a*", "baac", -1), '["", "aa", ""]'),
        ("regex.find_n", ("a", "aaa", 2), '["a", "a"]'),
        ("regex.split", (",+", "a,,b,"), '["a", "b", ""]'),
        ("regex.replace", ("ab", "(?P<x>a)(b)", "$2${x}$9$$"), '"ba$"'),
        ("regex.match", ("a(", "a"), "builtin: error parsing regexp: missing closing ): `a(`"),
        ("regex.is_valid", ("(?=a)",), "false"),
        ("regex.template_match", ("a<[0-9]+>b", "a12b", "<", ">"), "true"),
        ("regex.template_match", ("a<b", "a", "<", ">"), 'builtin: unbalanced braces in "a<b"'),
        ("regex.globs_match", ("a.*b", "[a-c]+b"), "true"),
        ("regex.globs_match", ("a+", "b+"), "false"),
        ("glob.match", ("a*c", ["/"], "a/c"), "false"),
        ("glob.match", ("a**c", ["/"], "a/b/c"), "true"),
        ("glob.match", ("{a,b{c,d}}?", None, "bdx"), "true"),
        ("glob.match", ("[!a-c]\\*", None, "d*"), "true"),
        ("glob.match", ("*", [], "a.b"), "false"),
        ("glob.match", ("{a", None, "a"), "builtin: unexpected end of input"),
        ("glob.match", ("a", ["ab"], "a"), "type: operand 2 must be array of runes but got array containing string"),
        ("base64.decode", ("aGk",), "builtin: illegal base64 data at input byte 0"),
        ("base64.decode", ("aG\nk=",), '"hi"'),
        ("base64url.decode", ("_-8",), '"\udcff\udcef"'),
        ("base64.is_valid", ("a===",), "false"),
        ("hex.decode", ("abc",), "builtin: encoding/hex: odd length hex string"),
        ("urlquery.decode", ("%zz",), 'builtin: invalid URL escape "%zz"'),
        ("urlquery.encode", ("ä b/~",), '"%C3%A4+b%2F~"'),
        ("urlquery.encode_object", ({"b": {"y", "x"}, "a": "1"},), '"a=1&b=x&b=y"'),
        ("json.marshal", ({"b": {2, 1}, "a": "<>&\u2028"},), '"{\\"a\\":\\"\\\\u003c\\\\u003e\\\\u0026\\\\u2028\\",\\"b\\":[1,2]}"'),
        ("json.unmarshal", ('{"a":1.0,"a":1e2}',), '{"a": 100}'),
        ("json.unmarshal", ("{",), "builtin: unexpected end of JSON input"),
        ("json.unmarshal", ("NaN",), "builtin: invalid character 'N' looking for beginning of value"),
        ("json.unmarshal", ('["\\ud800"]',), '["\ufffd"]'),
        ("yaml.unmarshal", ("a: yes\nb: 010\nc: 2020-01-01\nd: 1:30\n1: ~",), '{"1": null, "a": true, "b": 8, "c": "2020-01-01", "d": "1:30"}'),
        ("yaml.unmarshal", ("a: &x {b: 1}\nc:\n  <<: *x\n  d: !!str 1",), '{"a": {"b": 1}, "c": {"b": 1, "d": "1"}}'),
        ("yaml.unmarshal", ("&a [*a]",), "builtin: yaml: anchor value contains itself"),
        ("yaml.marshal", ({"x10": "on", "x9": ["a\nb"], "n": 1.5},), '"\\"n\\": 1.5\\nx9:\\n- |-\\n  a\\n  b\\nx10: \\"on\\"\\n"'),
        ("units.parse", ("0.5Mi",), "524288"),
        ("units.parse", ("100m",), "0.1"),
        ("units.parse", ("1q",), "builtin: units.parse: unit q not recognized"),
        ("units.parse_bytes", ("1.5kb",), "1500"),
        ("units.parse_bytes", ("kb",), "builtin: units.parse_bytes: no byte amount provided"),
        ("semver.compare", ("1.0.0-rc.1", "1.0.0-beta.11"), "1"),
        ("semver.compare", ("1.0", "1.0.0"), 'builtin: operand 1: string "1.0" is not a valid SemVer'),
        ("uuid.parse", ("nope",), NOTHING),
        ("uuid.parse", ("urn:uuid:00000000-0000-4000-8000-000000000000",), '{"variant": "RFC4122", "version": 4}'),
        ("net.cidr_contains", ("10.0.0.0/8", "::ffff:10.1.1.1"), "true"),
        ("net.cidr_contains", ("10.0.0.0/8", "x"), "builtin: not a valid textual representation of an IP address or CIDR: x"),
        ("net.cidr_is_valid", ("10.0.0.0/255.0.0.0",), "false"),
        ("net.cidr_merge", (["10.0.0.0/25", "10.0.0.128/25", "2001:db8::/33", "2001:db8:8000::/33"],), '{"10.0.0.0/24", "2001:db8::/32"}'),
        ("net.cidr_contains_matches", ({"a": "10.0.0.0/8"}, [["10.1.1.1", "x"]]), '{["a", 0]}'),
        ("net.lookup_ip_addr", ("example.org",), "builtin: lookup example.org: names are not looked up here: policies have no network"),
        ("http.send", ({"method": "get", "url": "http://x/"},), "builtin: requests to http://x/ are not sent: policies have no network here"),
        ("http.send", ({"method": "get"},), 'type: operand 1 missing required request parameters(s): {"url"}'),
        ("crypto.sha256", ("a",), '"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"'),
        ("crypto.hmac.equal", ("a", "b"), "false"),
        ("time.parse_duration_ns", ("1d",), 'builtin: time: unknown unit "d" in duration "1d"'),
        ("time.now_ns", (), str(NOW)),
    ],
    ids=str,
)  # fmt: skip
def test_texts(name: str, operands: tuple[Any, ...], wanted: str) -> None:
    assert told(name, *operands) == wanted


@pytest.mark.parametrize(
    ("layout", "text", "wanted"),
    [
        ("2006-01-02T15:04:05Z07:00", "2017-06-02T19:00:00-07:00", "1496455200000000000"),
        ("RFC3339", "2017-06-02T19:00:00.123Z", "1496430000123000000"),
        ("Jan _2 2006 3:04PM", "Feb  4 2010 9:00PM", "1265317200000000000"),
        ("02 Jan 06 15:04 MST", "02 Jan 06 15:04 GMT+2", "1136207040000000000"),
        ("2006-002", "2020-366", "1609372800000000000"),
        ("2006-01-02", "2021-02-29", 'builtin: parsing time "2021-02-29": day out of range'),
        ("2006-01-02", "2021-1-02", 'builtin: parsing time "2021-1-02" as "2006-01-02": cannot parse "1-02" as "01"'),
        ("2006-01-02", "2021-01-02x", 'builtin: parsing time "2021-01-02x": extra text: "x"'),
        ("2006", "9999", "builtin: time outside of valid range"),
    ],
)  # fmt: skip
def test_times_are_read_by_layouts(layout: str, text: str, wanted: str) -> None:
    assert told("time.parse_ns", layout, text) == wanted


@pytest.mark.parametrize(
    ("operand", "wanted"),
    [
        (NOW, '"2022-12-02T18:40:53.141828752Z"'),
        ([NOW, "America/New_York", "Monday, January 2 2006 3:4:5.000 pm MST -07:00"], '"Friday, December 2 2022 1:40:53.141 pm EST -05:00"'),
        ([NOW, "Europe/Stockholm", "__2 002 06 Z0700 .999"], '"336 336 22 +0100 .141"'),
        ([NOW, "nowhere"], "builtin: unknown time zone nowhere"),
        ([NOW, "../etc/passwd"], "builtin: unknown time zone ../etc/passwd"),
        ("now", "type: operand 1 must be either number (ns) or [number (ns), string (tz)] but got string"),
        (2**63, "builtin: timestamp too big"),
    ],
)  # fmt: skip
def test_times_are_written_by_layouts(operand: Any, wanted: str) -> None:
    assert told("time.format", operand) == wanted


def test_calendars() -> None:
    start = call("time.parse_rfc3339_ns", "2024-01-31T12:00:00Z")
    assert call("time.date", call("time.add_date", start, 0, 1, 0)) == [2024, 3, 2]
    assert call("time.date", call("time.add_date", start, 0, -2, -1)) == [2023, 11, 30]
    before_summer = call("time.parse_rfc3339_ns", "2024-03-30T12:00:00+01:00")
    there = [call("time.add_date", [before_summer, "Europe/Stockholm"], 0, 0, 1), "Europe/Stockholm"]
    assert call("time.clock", there) == [12, 0, 0]
    assert call("time.diff", start, call("time.parse_rfc3339_ns", "2025-03-01T11:00:00Z")) == [
        1,
        1,
        0,
        23,
        0,
        0,
    ]


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_time_that_is_written_reads_the_same(moment: int) -> None:
    assert call("time.parse_rfc3339_ns", call("time.format", moment)) == moment


def test_chance_comes_from_the_seed() -> None:
    one, other = Context(seed=1), Context(seed=2)
    assert call("uuid.rfc4122", "k", context=one) == call("uuid.rfc4122", "k", context=Context(seed=1))
    assert call("uuid.rfc4122", "k", context=one) != call("uuid.rfc4122", "k", context=other)
    assert call("uuid.rfc4122", "k", context=one) != call("uuid.rfc4122", "l", context=one)
    assert call("uuid.parse", call("uuid.rfc4122", "k"))["version"] == 4
    assert {call("rand.intn", "k", -10, context=Context(seed=n)) for n in range(200)} == set(range(10))


def test_printing_and_tracing_are_collected() -> None:
    context = Context()
    assert call("internal.print", ["a", {1}, set(), {"x"}], context=context) is True
    assert call("trace", "note", context=context) is True
    assert context.printed == ["a 1 <undefined> x", "note"]


def test_every_built_in_says_its_own_name_and_arity() -> None:
    assert all(name == found.name for name, found in BUILTINS.items())
    assert len(BUILTINS) > 190
    assert "json.patch" in BUILTINS
    assert "json.nothing" not in BUILTINS


@given(st.sampled_from(sorted(BUILTINS)), st.data())
def test_no_operand_is_a_fault_of_a_built_in(name: str, data: st.DataObject) -> None:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9)
    )
    values = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    )
    operands = [from_plain(data.draw(values)) for _ in range(BUILTINS[name].arity)]
    try:
        found = BUILTINS[name].call(Context(now_ns=NOW), *operands)
        if BUILTINS[name].relation:
            list(found)
    except BuiltinError as error:
        assert str(error)  # noqa: PT017


MUCH = "a" * (1 << 20)


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("numbers.range", (0, 10**12)),
        ("numbers.range_step", (0, 10**30, 7)),
        ("bits.lsh", (1, 10**9)),
        ("mul", (2**13_000, 2**13_000)),
        ("replace", (MUCH, "a", "b" * 1000)),
        ("replace", (MUCH, "", "b" * 1000)),
        ("strings.replace_n", ({"a": "b" * 1000}, MUCH)),
        ("regex.replace", (MUCH, "a", "$0" * 1000)),
        ("sprintf", ("%999999d" * 100, [1] * 100)),
        ("sprintf", ("%[1]s" * 100, [MUCH])),
        ("net.cidr_expand", ("10.0.0.0/8",)),
        ("net.cidr_expand", ("2001:db8::/1",)),
        ("strings.render_template", ("{{range $i, $x := .l}}{{range $.l}}{{$.t}}{{end}}{{end}}", {"l": [0] * 100, "t": MUCH})),
        ("strings.render_template", ("{{" * 100_000, {})),
        ("strings.render_template", ('{{define "a"}}{{template "a"}}{{end}}{{template "a"}}', {})),
        ("strings.render_template", ("{{" + "(" * 5000, {})),
        ("json.unmarshal", ("[" * 1_000_000,)),
        ("json.unmarshal", ("1" * 1_000_000,)),
        ("yaml.unmarshal", ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),)),
        ("yaml.unmarshal", ("[" * 3000,)),
        ("graph.reachable_paths", ({str(n): [str(m) for m in range(30)] for n in range(30)}, ["0"])),
        ("regex.globs_match", ("a*" * 5000, "a*" * 5000)),
        ("time.parse_ns", ("2006" * 5000, "2006" * 5000)),
        ("json.match_schema", ({"a": 1}, {"$ref": "#"})),
        ("json.verify_schema", ("[" * 5000,)),
        ("graphql.parse_query", ("{a" * 30_000,)),
        ("units.parse", ("1e999999",)),
        ("time.add_date", (0, 10**15, 0, 0)),
        ("base64.decode", ("=" * 2_000_000,)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_hostile_operands_are_refused(name: str, operands: tuple[Any, ...]) -> None:
    if name == "json.verify_schema":
        assert call(name, *operands)[0] is False
        return
    with pytest.raises(BuiltinError):
        call(name, *operands)
