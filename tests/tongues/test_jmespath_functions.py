"""Kyverno's functions: what they give, what they refuse, and that time and chance are handed in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from fairlead.tongues import jmespath
from fairlead.tongues.jmespath import Failed, Moment
from fairlead.tongues.jmespath.images import read


def run(text: str, data: Any = None, moment: Moment | None = None) -> Any:
    return jmespath.compile(text)({} if data is None else data, moment)


GIVES = [
    ("compare('a', 'b')", -1),
    ("compare('b', 'a')", 1),
    ("compare('a', 'a')", 0),
    ("equal_fold('Go', 'gO')", True),
    ("replace('aaa', 'a', 'b', `2`)", "bba"),
    ("replace('aaa', 'a', 'b', `-1`)", "bbb"),
    ("replace_all('a.b.c', '.', '-')", "a-b-c"),
    ("to_upper('aB1')", "AB1"),
    ("to_lower('aB1')", "ab1"),
    ("trim('--x-', '-')", "x"),
    ("trim('x', '')", "x"),
    ("trim_prefix('vv1', 'v')", "v1"),
    ("trim_suffix('1vv', 'v')", "1v"),
    ("split('a,b', ',')", ["a", "b"]),
    ("split('ab', '')", ["a", "b"]),
    ("split('', ',')", [""]),
    ("regex_match('^[a-z]+$', 'abc')", True),
    ("regex_match('12.*', `123`)", True),
    ("regex_match('^b', 'ab')", False),
    ("regex_replace_all('([Hh]e|G)l', 'Hello', '${1}p')", "Heplo"),
    ("regex_replace_all('(a)(b)', 'abab', '$2$1')", "baba"),
    ("regex_replace_all('a', 'banana', '$$')", "b$n$n$"),
    ("regex_replace_all('x*', 'abc', '-')", "-a-b-c-"),
    ("regex_replace_all('a(?P<n>.)', 'ax', '<${n}>')", "<x>"),
    ("regex_replace_all_literal('a', 'banana', '$1')", "b$1n$1n$1"),
    ("pattern_match('a*c?', 'abbcd')", True),
    ("pattern_match('a?', 'a')", False),
    ("pattern_match('12*', `123`)", True),
    ('label_match(`{"a": "b"}`, `{"a": "b", "c": "d"}`)', True),
    ('label_match(`{"a": "x"}`, `{"a": "b"}`)', False),
    ("to_boolean('True')", True),
    ("to_boolean('fAlse')", False),
    ("base64_encode('Hello, world!')", "SGVsbG8sIHdvcmxkIQ=="),
    ("base64_decode('SGVsbG8sIHdvcmxkIQ==')", "Hello, world!"),
    ("path_canonicalize('///')", "/"),
    ("path_canonicalize('/run/../etc//x/')", "/etc/x"),
    ("path_canonicalize('/../..')", "/"),
    ("path_canonicalize('')", ""),
    ("truncate('Lorem ipsum', `5`)", "Lorem"),
    ("truncate('Lorem', `2.6`)", "Lo"),
    ("truncate('Lorem', `-1`)", ""),
    ("semver_compare('4.1.3', '>=4.1.x')", True),
    ("semver_compare('4.1.3', '!4.x.x')", False),
    ("semver_compare('1.8.6', '>1.0.0 <2.0.0')", True),
    ("semver_compare('2.1.5', '<2.0.0 || >=3.0.0')", False),
    ("semver_compare('1.0.0-rc.1', '<1.0.0')", True),
    ("semver_compare('1.0.0-rc.2', '>1.0.0-rc.1')", True),
    ("semver_compare('no', '>=1.0.0')", False),
    ("semver_compare('1.2.9', '1.2.x')", True),
    ("semver_compare('1.3.0', '> 1.2.x')", True),
    ("semver_compare('1.2.9', '<=1.2.x')", True),
    ("parse_json('{\"a\": [1, 2.5]}').a", [1, 2.5]),
    ("parse_yaml('a: [1, x]\nb: ~')", {"a": [1, "x"], "b": None}),
    ("parse_yaml('1: 2020-01-01')", {"1": "2020-01-01"}),
    ("lookup(`{\"k\": 1}`, 'k')", 1),
    ("lookup(`{\"k\": 1}`, 'x')", None),
    ("lookup(`[5, 6]`, `1`)", 6),
    ("lookup(`[5, 6]`, `-1`)", None),
    ("items(`{\"b\": 1, \"a\": 2}`, 'k', 'v')", [{"k": "a", "v": 2}, {"k": "b", "v": 1}]),
    ("items(`[7]`, 'k', 'v')", [{"k": 0, "v": 7}]),
    ('object_from_lists(`["a", "b"]`, `[1]`)', {"a": 1, "b": None}),
    ("md5('a')", "0cc175b9c0f1b6a831c399e269772661"),
    ("sha1('a')", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
    ("sha256('a')", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    ("image_normalize('nginx')", "docker.io/nginx:latest"),
    ("image_normalize('ghcr.io/a/b@sha256:" + "0" * 64 + "')", "ghcr.io/a/b@sha256:" + "0" * 64),
    ("is_external_url('https://10.0.0.1/x')", False),
    ("is_external_url('https://8.8.8.8')", True),
    ("is_external_url('http://[::1]:80/')", False),
    ("round(`2.345`, `2`)", 2.35),
    ("round(`-0.5`, `0`)", -1),
    # sums of numbers, quantities and durations
    ("add(`1`, `2`)", 3),
    ("add('12Ki', '13Ki')", "25Ki"),
    ("add('12Ki', '13')", "12301"),
    ("add('12s', '13s')", "25s"),
    ("sum(`[1, 2, 3]`)", 6),
    ("sum(['1Gi', '512Mi'])", "1536Mi"),
    ("sum(['1h', '90s'])", "1h1m30s"),
    ("subtract('12Ki', '13')", "12275"),
    ("subtract('12s', '13s')", "-1s"),
    ("subtract(`1`, `2.5`)", -1.5),
    ("multiply(`2.5`, '12Ki')", "30Ki"),
    ("multiply(`2.5`, '40s')", "1m40s"),
    ("multiply('12Ki', `2`)", "24Ki"),
    ("multiply(`2.5`, `2.5`)", 6.25),
    ("divide('12Ki', '2Ki')", 6),
    ("divide('12Ki', '200')", 61.44),
    ("divide('12Ki', `3`)", "4Ki"),
    ("divide('12s', '5s')", 2.4),
    ("divide('12s', `3`)", "4s"),
    ("divide(`7`, `2`)", 3.5),
    ("modulo('12Ki', '5Ki')", "2Ki"),
    ("modulo('13s', '2s')", "1s"),
    ("modulo(`-13`, `5`)", -3),
    # times
    ("time_since('', '2021-01-02T15:04:05-07:00', '2021-01-10T03:14:05-07:00')", "180h10m0s"),
    (
        "time_since('Mon Jan _2 15:04:05 MST 2006', 'Mon Jan 02 15:04:05 MST 2021', 'Mon Jan 10 03:14:16 MST 2021')",
        "180h10m11s",
    ),
    ("time_to_cron('2023-02-02T15:04:05Z')", "4 15 2 2 4"),
    ("time_to_cron(time_utc('2023-02-02T15:04:05-07:00'))", "4 22 2 2 4"),
    ("time_add('2021-01-02T15:04:05-07:00', '3h')", "2021-01-02T18:04:05-07:00"),
    (
        "time_parse('Mon Jan 02 15:04:05 -0700 2006', 'Sat Jan 02 15:04:05 -0700 2021')",
        "2021-01-02T15:04:05-07:00",
    ),
    ("time_parse('1702691171', '1702691171')", "2023-12-16T01:46:11Z"),
    ("time_parse('2006-01-02 03:04PM', '2021-05-06 11:30PM')", "2021-05-06T23:30:00Z"),
    ("time_parse('02/01/06 15h04', '31/12/99 23h59')", "1999-12-31T23:59:00Z"),
    ("time_parse('2006-01-02T15:04:05.000Z', '2021-05-06T01:02:03.250Z')", "2021-05-06T01:02:03Z"),
    ("time_parse('January 2, 2006', 'March 5, 2024')", "2024-03-05T00:00:00Z"),
    ("time_utc('2023-02-02T15:04:05-07:00')", "2023-02-02T22:04:05Z"),
    ("time_diff('2021-01-02T15:04:05Z', '2021-01-02T15:04:04.5Z')", "-500ms"),
    ("time_before('2021-01-02T15:04:05-07:00', '2021-01-02T16:04:05-07:00')", True),
    ("time_after('2021-01-02T15:04:05-07:00', '2021-01-02T15:04:05-07:00')", False),
    ("time_between('2021-01-02T17:00:00Z', '2021-01-02T15:00:00Z', '2021-01-02T18:00:00Z')", True),
    ("time_between('2021-01-02T15:00:00Z', '2021-01-02T15:00:00Z', '2021-01-02T18:00:00Z')", False),
    ("time_truncate('2021-01-02T17:04:05Z', '1h')", "2021-01-02T17:00:00Z"),
]


@pytest.mark.parametrize(("text", "value"), GIVES, ids=[text for text, _ in GIVES])
def test_a_function_gives(text: str, value: Any) -> None:
    assert run(text) == value


FAILS = [
    ("add('12', '13s')", "Types mismatch"),
    ("add(`12`, '13Ki')", "Types mismatch"),
    ("add('x', `1`)", "invalid operands"),
    ("add(`true`, `1`)", "invalid operands"),
    ("sum(`[]`)", "at least one element in the array is required"),
    ("sum(['12Ki', '13s'])", "JMESPath function 'sum': Types mismatch"),
    ("multiply('1Ki', '1Ki')", "Types mismatch"),
    ("divide(`1`, `0`)", "Zero divisor passed"),
    ("divide('4s', '0s')", "Zero divisor passed"),
    ("divide(`14`, '5s')", "Types mismatch"),
    ("modulo(`1.5`, `1`)", r"Non-integer argument\(s\) passed for modulo"),
    ("modulo('4', '0')", "Zero divisor passed"),
    ("round(`1`, `1.5`)", "Non-integer"),
    ("round(`1`, `-1`)", "out of bounds"),
    ("to_boolean('yes')", "lowercase argument must be 'true' or 'false' \\(provided: 'yes'\\)"),
    ("lookup(`{}`, `1`)", "argument #2 is not of type String"),
    ("lookup(`[]`, 'a')", "argument #2 is not of type Number"),
    ("lookup(`[]`, `1.5`)", "argument #2: expected an integer number but got: 1.5"),
    ("object_from_lists(`[null]`, `[]`)", "argument #1 is not of type StringArray"),
    ("regex_match('(', 'x')", "JMESPath function 'regex_match': error parsing regexp"),
    ("base64_decode('%%')", "illegal base64 data"),
    ("parse_json('{')", "invalid JSON"),
    ("parse_yaml('a: [')", "yaml"),
    ("semver_compare('1.0.0', 'x y')", "could not parse Range"),
    ("time_utc('yesterday')", 'parsing time "yesterday"'),
    ("time_parse('2006-01-02', '2021-02-31')", "day out of range"),
    ("time_parse('Jan 2006', 'May 2021x')", "extra text"),
    ("time_add('2021-01-02T15:04:05Z', '1d')", "unknown unit"),
    ("time_add('9999-12-31T23:59:59Z', '1000h')", "out of range"),
    ("image_normalize('A:b:c')", "bad image"),
    ("is_external_url('https://example.com')", "lookup example.com"),
    ("random('')", "no pattern provided"),
    ("random('[z-a]')", "invalid character class range"),
    ("random('a{20000}')", "invalid repeat count"),
    ("random('(a')", "unexpected end"),
    ("x509_decode('x')", "failed to decode PEM block"),
    ("replace_all('x', 'x', trim(`1`, 'x'))", "invalid type"),
]


@pytest.mark.parametrize(("text", "message"), FAILS, ids=[text for text, _ in FAILS])
def test_a_function_refuses(text: str, message: str) -> None:
    with pytest.raises(Failed, match=message):
        run(text)


def test_the_time_is_the_moments() -> None:
    moment = Moment(datetime(2024, 5, 6, 7, 8, 9, 500_000, tzinfo=timezone(timedelta(hours=2))))
    assert run("time_now()", moment=moment) == "2024-05-06T07:08:09+02:00"
    assert run("time_now_utc()", moment=moment) == "2024-05-06T05:08:09Z"
    assert run("time_since('', '2024-05-06T05:08:09Z', '')", moment=moment) == "500ms"


@pytest.mark.parametrize(
    "pattern",
    [
        "[a-z0-9]{6}",
        "(foo|ba[rz])-\\d+",
        "x?y*z+",
        "[^a-y]{3}",
        "\\w{2,4}",
        "[[:alpha:]]{5}",
        "a.c",
        "^abc$",
        "(?:a|b){3}",
        "\\.\\n",
    ],
)
def test_random_texts_match_their_pattern_and_follow_the_seed(pattern: str) -> None:
    texts = [run("random(p)", {"p": pattern}, Moment(seed=seed)) for seed in range(20)]
    plain = pattern.replace("[[:alpha:]]", "[A-Za-z]")
    assert all(re.fullmatch(plain, text, re.DOTALL) for text in texts)
    assert texts == [run("random(p)", {"p": pattern}, Moment(seed=seed)) for seed in range(20)]


def test_a_moment_draws_differently_each_time() -> None:
    moment = Moment(seed=("any", "thing"))
    assert len({run("random('[a-z]{12}')", moment=moment) for _ in range(5)}) == 5


def test_names_are_resolved_by_whoever_can() -> None:
    outside = Moment(
        resolve=lambda host: {"example.com": ["93.184.216.34"], "in.local": ["8.8.8.8", "10.1.2.3"]}[host]
    )
    assert run("is_external_url('https://example.com/x')", moment=outside) is True
    assert run("is_external_url('https://in.local')", moment=outside) is False


def certificate(key: Any) -> str:
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "web"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Acme"),
        ]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2024, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2034, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("web.shop")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


def test_a_certificate_is_shown_as_go_shows_it() -> None:
    key = rsa.generate_private_key(65537, 2048)
    shown = run("x509_decode(c)", {"c": certificate(key)})
    assert shown["Subject"]["CommonName"] == "web"
    assert shown["Subject"]["Organization"] == ["Acme"]
    assert shown["DNSNames"] == ["web.shop"]
    assert shown["NotAfter"] == "2034-01-01T00:00:00Z"
    assert shown["PublicKey"] == {"N": str(key.public_key().public_numbers().n), "E": 65537}
    assert (shown["SerialNumber"], shown["IsCA"], shown["Version"], shown["SignatureAlgorithm"]) == (
        7,
        True,
        3,
        4,
    )


def test_a_request_for_a_certificate_is_shown_too() -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "web")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    shown = run("x509_decode(c)", {"c": request.public_bytes(Encoding.PEM).decode()})
    assert shown["Subject"]["CommonName"] == "web"


def test_a_key_that_is_not_rsas_is_refused() -> None:
    with pytest.raises(Failed, match="certificate should use rsa algorithm"):
        run("x509_decode(c)", {"c": certificate(ec.generate_private_key(ec.SECP256R1()))})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("nginx", ("docker.io", "nginx", "nginx", "latest", "")),
        ("library/nginx:1.25", ("docker.io", "library/nginx", "nginx", "1.25", "")),
        ("ghcr.io/a/b/c:v1", ("ghcr.io", "a/b/c", "c", "v1", "")),
        ("localhost/x", ("localhost", "x", "x", "latest", "")),
        ("reg:5000/x:1", ("reg:5000", "x", "x", "1", "")),
        ("x@sha256:" + "a" * 64, ("docker.io", "x", "x", "", "sha256:" + "a" * 64)),
        ("q.io/x:1@sha256:" + "a" * 64, ("q.io", "x", "x", "1", "sha256:" + "a" * 64)),
    ],
)
def test_an_image_is_taken_apart(text: str, parts: tuple[str, ...]) -> None:
    image = read(text)
    assert (image.registry, image.path, image.name, image.tag, image.digest) == parts


@pytest.mark.parametrize("text", ["", "a/UPPER", "a b", "x:", "x@sha256:1", "-x", "a" * 2000])
def test_what_is_no_image_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bad image"):
        read(text)
