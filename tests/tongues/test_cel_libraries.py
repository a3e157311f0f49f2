"""The libraries that Kubernetes gives its expressions, by what they give and how they fail."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.tongues import cel

ENVIRONMENT = cel.Environment({"x": "dyn", **cel.kubernetes.AUTHORIZER_TYPES}, cel.kubernetes.LIBRARIES)
LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"


@pytest.mark.parametrize(
    "text",
    [
        # quantities
        "quantity('1.5Gi').isGreaterThan(quantity('1G'))",
        "quantity('200M').compareTo(quantity('0.2G')) == 0",
        "quantity('50k').add(20).sub(quantity('100k')).sub(-50000) == quantity('20')",
        "quantity('50k').asInteger() == 50000 && !quantity('0.5').isInteger()",
        "quantity('50k').asApproximateFloat() == 50000.0 && quantity('-1').sign() == -1",
        "isQuantity('1.3Gi') && !isQuantity('1,3G') && !isQuantity('200K')",
        "type(quantity('1')) == kubernetes.Quantity",
        # urls
        "url('https://user@[::1]:80/a b?c=d&c=e').getHostname() == '::1'",
        "url('https://example.com:80/').getPort() == '80' && url('/path').getScheme() == ''",
        "url('https://example.com/a b').getEscapedPath() == '/a%20b'",
        "url('https://example.com/?k=a&k=b&l=c').getQuery() == {'k': ['a', 'b'], 'l': ['c']}",
        "isURL('https://example.com') && !isURL('../relative') && !isURL('https://a:b')",
        # versions
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-alpha.1').isLessThan(semver('1.0.0'))",
        "semver('v01.2', true).compareTo(semver('1.2.0')) == 0 && semver('1.2.3').minor() == 2",
        "isSemver('1.0.0') && !isSemver('v1.0.0') && isSemver('v1.0', true) && !isSemver('hello')",
        "semver('1.0.0-2').isLessThan(semver('1.0.0-10')) && semver('1.0.0-10').isLessThan(semver('1.0.0-a'))",
        # addresses
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR('10.0.0.0/8')",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('::1/128').prefixLength() == 128",
        "ip('::1').family() == 6 && ip('127.0.0.1').isLoopback() && !ip.isCanonical('2001:DB8::68')",
        "isIP('1.2.3.4') && !isIP('01.2.3.4') && !isCIDR('1.2.3.4') && isCIDR('1.2.3.4/0')",
        "ip('8.8.8.8').isGlobalUnicast() && !ip('224.0.0.1').isGlobalUnicast()",
        # lists and sets
        "[1, 2, 3].isSorted() && ![2, 1].isSorted() && [1.5, 2.0].sum() == 3.5",
        "['b', 'a'].min() == 'a' && [1, 3, 2].max() == 3 && [1, 2, 1].lastIndexOf(1) == 2",
        "[duration('1m'), duration('1s')].sum() == duration('61s')",
        "sets.contains([1, 2, 3], [2, 3]) && sets.intersects([1], [1, 2]) && sets.equivalent([1, 1], [1])",
        "[1, 2, 2, 3].distinct() == [1, 2, 3] && [[1], [2, 3]].flatten() == [1, 2, 3] && lists.range(3) == [0, 1, 2]",
        "[1, 2, 3, 4].slice(1, 3) == [2, 3] && [3, 1, 2].sort() == [1, 2, 3] && [1, 2].reverse() == [2, 1]",
        # texts
        "'Hello'.lowerAscii() == 'hello' && ' a '.trim() == 'a' && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.indexOf('a', 2) == 5 && 'tacocat'.charAt(3) == 'o'",
        "['a', 'b'].join('-') == 'a-b' && 'hello'.replace('l', 'L', 1) == 'heLlo' && 'abc'.reverse() == 'cba'",
        "'%s has %d, %.2f, %x, %b, %e'.format(['a', 3, 1.005, 255, 5, 1234.5]) == 'a has 3, 1.00, ff, 101, 1.234500e+03'",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
        "'abc 123'.find('[0-9]+') == '123' && 'a1b2c3'.findAll('[0-9]', 2) == ['1', '2'] && 'a'.find('b') == ''",
        # numbers
        "math.greatest(1, 2.5, 3u) == 3 && math.least([4, -1]) == -1 && math.abs(-3) == 3 && math.sign(-0.5) == -1.0",
        "math.ceil(1.2) == 2.0 && math.round(-1.5) == -2.0 && math.bitAnd(12, 10) == 8 && math.bitShiftLeft(1, 4) == 16",
        # two variables
        "{'a': 1, 'b': 2}.all(k, v, k != '' && v > 0) && [1, 2].exists(i, v, i == 1 && v == 2)",
        "[1, 2, 3].transformList(i, v, i > 0, i * v) == [2, 6] && {'a': 1}.transformMap(k, v, k + string(v)) == {'a': 'a1'}",
        "['a', 'b'].transformMapEntry(i, v, {v: i}) == {'a': 0, 'b': 1}",
        # encodings and patches
        "base64.encode(b'hi') == 'aGk=' && base64.decode('aGk') == b'hi' && jsonpatch.escapeKey('a~/b') == 'a~0~1b'",
        # formats
        "!format.dns1123Label().validate('my-name').hasValue() && format.uuid().validate('x').hasValue()",
        "format.named('dns1123Subdomain').hasValue() && !format.named('nope').hasValue()",
        "format.qualifiedName().validate('a/b/c').hasValue() && !format.qualifiedName().validate('example.com/x').hasValue()",
        "!format.dns1123LabelPrefix().validate('my-').hasValue() && format.dns1123Label().validate('my-').hasValue()",
        "!format.labelValue().validate('').hasValue() && !format.date().validate('2021-01-01').hasValue()",
        "!format.datetime().validate('2021-01-01T00:00:00Z').hasValue() && format.byte().validate('a').hasValue()",
        # optionals
        "x.?a.orValue(0) == 1 && !x.?b.hasValue() && x[?'a'].value() == 1 && x.?b.or(optional.of(2)).value() == 2",
        "[optional.of(1), optional.none()].unwrapOpt() == [1] && optional.ofNonZeroValue(0) == optional.none()",
        "optional.of({'a': [5]}).a[0].value() == 5 && optional.of(2).optFlatMap(y, optional.of(y + 1)).value() == 3",
        "x.?a.orValue(1 / 0) == 1",
    ],
)  # fmt: skip
def test_what_holds(text: str) -> None:
    program = ENVIRONMENT.compile(text)
    assert str(program.type) == "bool"
    assert program({"x": {"a": 1}}) is True
    assert program({"x": {"a": 1}}, 1_000_000) is True


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("quantity('Three')", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ("quantity('1.5').asInteger()", "cannot convert value to integer"),
        ("url('nope')", 'URL parse error during conversion from string: parse "nope": invalid URI for request'),
        ("ip('1.2.3')", 'IP Address "1.2.3" parse error during conversion from string'),
        ("cidr('1.2.3.4')", 'network address parse error during conversion from string: "1.2.3.4"'),
        ("semver('1')", "No Major.Minor.Patch elements found"),
        ("[].min()", "min called on empty list"),
        ("'abc'.charAt(4)", "index out of range: 4"),
        ("'abc'.substring(2, 1)", "invalid substring range. start: 2, end: 1"),
        ("'a'.find('(')", "Illegal regex: missing ): ("),
        ("'%d'.format([])", "index 0 out of range"),
        ("base64.decode('*')", "illegal base64 data at input byte 0"),
        ("authorizer.path(' ')", "path must not be empty"),
        ("authorizer.group('').resource('')", "resource must not be empty"),
        ("math.bitShiftLeft(1, -1)", "math.bitShiftLeft() negative offset: -1"),
        ("[1, 2].slice(1, 3)", "cannot slice(1, 3), list is length 2"),
    ],
)  # fmt: skip
def test_what_fails(text: str, wanted: str) -> None:
    with pytest.raises(cel.Failed) as found:
        ENVIRONMENT.compile(text)({"authorizer": cel.kubernetes.Authorizer(refuse)})
    assert str(found.value) == wanted


def refuse(**_: Any) -> tuple[bool, str]:
    return False, "no"


def test_formats_say_what_is_wrong() -> None:
    program = ENVIRONMENT.compile("format.dns1123Label().validate('A').value()")
    assert program({}) == [LABEL]


def test_the_authorizer_is_asked() -> None:
    asked: list[dict[str, Any]] = []

    def ask(**question: Any) -> tuple[bool, str]:
        asked.append(question)
        return question["verb"] == "create", "because"

    authorizer = cel.kubernetes.Authorizer(ask)
    bindings = {
        "authorizer": authorizer,
        "authorizer.requestResource": authorizer.resource("apps", "deployments", "", "shop", "web"),
    }
    text = "authorizer.group('apps').resource('deployments').subresource('scale').namespace('shop').name('web').check('create')"
    assert ENVIRONMENT.compile(f"{text}.allowed() && {text}.reason() == 'because'")(bindings) is True
    assert asked[0] == {
        "verb": "create", "group": "apps", "resource": "deployments", "subresource": "scale", "namespace": "shop", "name": "web",
        "path": "", "labels": "", "fields": "", "service_account": None,
    }  # fmt: skip
    assert ENVIRONMENT.compile("authorizer.requestResource.check('delete').allowed()")(bindings) is False
    assert asked[-1]["name"] == "web"
    account = "authorizer.serviceAccount('shop', 'bot').path('/healthz').check('get').allowed()"
    assert ENVIRONMENT.compile(account)(bindings) is False
    assert (asked[-1]["path"], asked[-1]["service_account"]) == ("/healthz", ("shop", "bot"))
    selecting = "authorizer.group('').resource('pods').labelSelector('a=b').fieldSelector('c=d').check('list').allowed()"
    ENVIRONMENT.compile(selecting)(bindings)
    assert (asked[-1]["labels"], asked[-1]["fields"]) == ("a=b", "c=d")


def test_two_checks_fit_the_budget_of_an_expression_and_three_do_not() -> None:
    bindings = {"authorizer": cel.kubernetes.Authorizer(lambda **_: (True, ""))}
    check = "authorizer.group('').resource('pods').check('get').allowed()"
    assert ENVIRONMENT.compile(" && ".join([check] * 2))(bindings, 1_000_000) is True
    with pytest.raises(cel.TooCostly):
        ENVIRONMENT.compile(" && ".join([check] * 3))(bindings, 1_000_000)


def test_an_authorizer_that_fails_is_a_decision_too() -> None:
    def fails(**_: Any) -> tuple[bool, str]:
        raise cel.Failed("down")

    bindings = {"authorizer": cel.kubernetes.Authorizer(fails)}
    check = "authorizer.path('/x').check('get')"
    assert (
        ENVIRONMENT.compile(f"{check}.errored() && {check}.error() == 'down' && !{check}.allowed()")(bindings)
        is True
    )


def test_literals_that_can_only_fail_are_refused_before_they_run() -> None:
    for text, message in (
        ("duration('1 hour')", "invalid duration argument"),
        ("timestamp('yesterday')", "invalid timestamp argument"),
        ("x.matches('(')", "invalid matches argument"),
    ):
        with pytest.raises(cel.BadExpression) as found:
            ENVIRONMENT.compile(text)
        assert found.value.message == message
