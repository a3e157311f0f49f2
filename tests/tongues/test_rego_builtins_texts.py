"""Formats, templates, tokens, certificates, schemas and GraphQL trees, as OPA's built-ins give them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from fairlead.tongues.rego.builtins import BUILTINS, BuiltinError, Context
from fairlead.tongues.rego.values import from_plain, show

NOW = 1_790_000_000_000_000_000


def call(name: str, *operands: Any) -> Any:
    return BUILTINS[name].call(Context(now_ns=NOW), *map(from_plain, operands))


@pytest.mark.parametrize(
    ("template", "values", "wanted"),
    [
        ("%d|%5d|%-5d|%05d|%+d|% d", [1, 2, 3, 4, 5, 6], "1|    2|3    |00004|+5| 6"),
        ("%b %o %#o %x %X %#x %c %U %q", [5, 8, 8, 255, 255, 255, 65, 0x1F600, 65], "101 10 010 ff FF 0xff A U+1F600 'A'"),
        ("%.3d|%8.3d", [5, 5], "005|     005"),
        ("%d", [2**70], "1180591620717411303424"),
        ("%f %.2f %8.2f %e %g %v", [1.5, 3.14159, 2.5, 1e6 + 0.5, 0.1, 1234567.5], "1.500000 3.14     2.50 1.000000e+06 0.1 1.2345675e+06"),
        ("%s|%10s|%-10s|%.2s|%q|%x|% X", ["a", "b", "c", "def", 'g"\n', "hi", "hi"], 'a|         b|c         |de|"g\\"\\n"|6869|68 69'),
        ("%v %v %v %v", [None, True, ["a", {1}], {"k": 1.5}], 'null true ["a", {1}] {"k": 1.5}'),
        ("%d %s %f %t", ["x", 5, 5, "y"], "%!d(string=x) %!s(int=5) %!f(int=5) %!t(string=y)"),
        ("%d %d", [1], "1 %!d(MISSING)"),
        ("%d", [1, "b"], "1%!(EXTRA string=b)"),
        ("%[2]s %[1]s", ["a", "b"], "b a"),
        ("%[3]d", [1], "%!d(BADINDEX)"),
        ("%*d|%-*d|%.*f", [4, 1, 4, 2, 1, 3.25], "   1|2   |3.2"),
        ("100%% %", [], "100% %!(NOVERB)"),
        ("%T %T %T", [1, 1.5, "s"], "int float64 string"),
    ],
    ids=str,
)  # fmt: skip
def test_sprintf_speaks_go(template: str, values: list[Any], wanted: str) -> None:
    assert call("sprintf", template, values) == wanted


DATA: dict[str, Any] = {
    "n": 3,
    "f": 1.5,
    "s": "<x>",
    "l": ["a", "b"],
    "m": {"k": 1, "j": None},
    "t": True,
    "e": [],
}


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("{{.n}} {{.f}} {{.s}} {{.l}} {{.m}} {{.t}} {{.none}}", "3 1.5 <x> [a b] map[j:<nil> k:1] true <undefined>"),
        ("a {{- /* note */ -}} b {{- 1 }} {{ 2 -}} c", "ab1 2c"),
        ("{{if .e}}full{{else if .t}}t{{else}}no{{end}}", "t"),
        ("{{range $i, $x := .l}}{{$i}}={{$x}};{{end}}{{range .e}}{{else}}none{{end}}", "0=a;1=b;none"),
        ("{{range $k, $v := .m}}{{$k}},{{end}}{{range .l}}{{continue}}x{{end}}{{range 3}}{{.}}{{end}}", "j,k,012"),
        ("{{with $x := .m}}{{.k}}{{$x.k}}{{else}}none{{end}}{{with .e}}{{else}}none{{end}}", "11none"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ('{{.s | html}} {{js .s}} {{urlquery .s}} {{printf "%q" .s}} {{print 1 2 "x"}}', '&lt;x&gt; \\u003Cx\\u003E %3Cx%3E "<x>" 1 2x'),
        ("{{len .l}} {{index .l 1}} {{slice .s 1 2}} {{not .t}} {{and .t .n}} {{or .e .s}}", "2 b x false 3 <x>"),
        ('{{eq .s "<x>"}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1 2}} {{eq 1 2 1}}', "true true true true true false true"),
        ('{{define "T"}}[{{.}}]{{end}}{{template "T" .n}}{{block "B" .l}}{{len .}}{{end}}', "[3]2"),
        ("{{(index .l 0)}} {{`raw`}} {{'a'}} {{0x10}} {{1_000}}", "a raw 97 16 1000"),
    ],
)  # fmt: skip
def test_templates_are_go_templates(template: str, wanted: str) -> None:
    assert call("strings.render_template", template, DATA) == wanted


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{.n", "unclosed action"),
        ("{{if .n}}", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{nope 1}}", 'function "nope" not defined'),
        ("{{call .n}}", "call is not supported: the data hold no functions"),
        ("{{$x}}", 'undefined variable "$x"'),
        ("{{.s.k}}", "can't evaluate field k in type string"),
        ('{{template "x"}}', 'template "x" not defined'),
        ("{{break}}", "{{break}} outside {{range}}"),
        ("{{index .l 7}}", "error calling index: index out of range: 7"),
        ("{{1 2}}", "can't give argument to non-function"),
        ("{{len}}", "wrong number of args for a function"),
    ],
)
def test_templates_that_cannot_be_rendered(template: str, error: str) -> None:
    with pytest.raises(BuiltinError) as raised:
        call("strings.render_template", template, DATA)
    assert str(raised.value) == f"template: template: {error}"


def pem(key: Any) -> str:
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


def public(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return text.decode()


def certificate(name: str, key: Any, issuer: str, signer: Any, *extensions: Any, until: int = 400) -> str:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        subject_name=x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.COUNTRY_NAME, "SE")]
            if name == "leaf"
            else [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        ),
        public_key=key.public_key(),
        serial_number=7,
        not_valid_before=at,
        not_valid_after=at + timedelta(days=until),
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


KEYS = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
AUTHORITY = (x509.BasicConstraints(ca=True, path_length=None), True)
ROOT = certificate("root", KEYS[0], "root", KEYS[0], AUTHORITY)
BETWEEN = certificate(
    "between", KEYS[1], "root", KEYS[0], (x509.BasicConstraints(ca=True, path_length=0), True)
)


def leaf(*extensions: Any, signer: Any = KEYS[1], until: int = 400) -> str:
    names = x509.SubjectAlternativeName(
        [x509.DNSName("*.example.org"), x509.UniformResourceIdentifier("spiffe://a/b")]
    )
    return certificate("leaf", KEYS[2], "between", signer, (names, False), *extensions, until=until)


def test_a_certificate_shows_what_it_holds() -> None:
    (found,) = call("crypto.x509.parse_certificates", leaf())
    assert found["Subject"]["CommonName"] == "leaf"
    assert found["Subject"]["Country"] == ["SE"]
    assert found["DNSNames"] == ["*.example.org"]
    assert found["URIStrings"] == ["spiffe://a/b"]
    assert found["URIs"][0]["Host"] == "a"
    assert (found["SerialNumber"], found["Version"], found["SignatureAlgorithm"]) == (7, 3, 10)
    assert found["PublicKey"]["X"] == KEYS[2].public_key().public_numbers().x
    assert found["NotBefore"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("chain", "options", "wanted"),
    [
        ((ROOT, BETWEEN, leaf()), {}, True),
        ((ROOT, BETWEEN, leaf()), {"DNSName": "a.example.org"}, True),
        ((ROOT, BETWEEN, leaf()), {"DNSName": "a.b.example.org"}, False),
        ((ROOT, BETWEEN, leaf()), {"CurrentTime": NOW + 10**18}, False),
        ((ROOT, BETWEEN, leaf(until=2)), {}, False),
        ((ROOT, BETWEEN, leaf(signer=KEYS[0])), {}, False),
        ((ROOT, leaf()), {}, False),
        ((BETWEEN, leaf()), {}, True),
        ((ROOT, leaf(), leaf()), {}, False),
        ((ROOT, BETWEEN, leaf((x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")]), False))), {}, False),
        ((ROOT, BETWEEN, leaf((x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")]), False))), {"KeyUsages": ["KeyUsageClientAuth"]}, True),
        ((ROOT, BETWEEN, leaf((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True))), {}, False),
        (("nonsense",), {}, False),
    ],
)  # fmt: skip
def test_chains_are_verified(chain: tuple[str, ...], options: dict[str, Any], wanted: bool) -> None:
    found = call("crypto.x509.parse_and_verify_certificates_with_options", "".join(chain), options)
    assert found[0] is wanted
    assert len(found[1]) == (len(chain) if wanted else 0)
    if not options:
        assert call("crypto.x509.parse_and_verify_certificates", "".join(chain))[0] is wanted


def test_names_keep_to_the_constraints_above_them() -> None:
    only = x509.NameConstraints([x509.DNSName("example.com")], None)
    narrow = certificate("between", KEYS[1], "root", KEYS[0], AUTHORITY, (only, True))
    assert call("crypto.x509.parse_and_verify_certificates", ROOT + narrow + leaf())[0] is False
    wide = certificate(
        "between",
        KEYS[1],
        "root",
        KEYS[0],
        AUTHORITY,
        (x509.NameConstraints([x509.DNSName("example.org")], None), True),
    )
    assert call("crypto.x509.parse_and_verify_certificates", ROOT + wide + leaf())[0] is True


def test_key_pairs_belong_together() -> None:
    found = call("crypto.x509.parse_keypair", leaf() + BETWEEN, pem(KEYS[2]))
    assert len(found["Certificate"]) == 2
    assert found["PrivateKey"]["D"] == KEYS[2].private_numbers().private_value
    with pytest.raises(BuiltinError, match="private key does not match public key"):
        call("crypto.x509.parse_keypair", leaf(), pem(KEYS[0]))


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS512", "HS384", "EdDSA"])
def test_a_token_that_is_signed_verifies(algorithm: str) -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    keys: dict[str, Any] = {
        "ES256": call("crypto.x509.parse_rsa_private_key", pem(KEYS[0])),
        "RS256": call("crypto.x509.parse_rsa_private_key", pem(rsa_key)),
        "HS384": {"kty": "oct", "k": call("base64url.encode_no_pad", "secret")},
        "EdDSA": {"kty": "OKP", "crv": "Ed25519", "x": "wEZFfoAj1rFKTLOOmjJjVZlCHwksuvMb2I5y_hg70E8", "d": "9XI34uQzYUJfWhDZf_0nYsLMBRVu8a6dFsy60P8uugk"},
    }  # fmt: skip
    keys["PS512"] = keys["RS256"]
    payload = {"iss": "me", "aud": ["you"], "exp": NOW // 10**9 + 1, "nbf": 0}
    token = call("io.jwt.encode_sign", {"alg": algorithm, "typ": "JWT"}, payload, keys[algorithm])
    assert call("io.jwt.decode", token)[:2] == [{"alg": algorithm, "typ": "JWT"}, payload]
    trusted = (
        {"secret": "secret"}
        if algorithm == "HS384"
        else {"cert": BUILTINS["json.marshal"].call(Context(), keys[algorithm])}
    )
    fine = call("io.jwt.decode_verify", token, {**trusted, "aud": "you", "iss": "me", "alg": algorithm})
    assert fine == [True, {"alg": algorithm, "typ": "JWT"}, payload]
    for wrong in (
        {"aud": "other"},
        {"aud": "you", "iss": "x"},
        {"aud": "you", "time": NOW + 2 * 10**9},
        {"aud": "you", "alg": "none"},
    ):
        assert call("io.jwt.decode_verify", token, {**trusted, **wrong}) == [False, {}, {}]
    bent = token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB")
    assert call("io.jwt.decode_verify", bent, {**trusted, "aud": "you"})[0] is False
    name = f"io.jwt.verify_{algorithm.lower()}"
    assert call(name, token, "secret" if algorithm == "HS384" else trusted["cert"]) is True
    assert call(name, token, "other" if algorithm == "HS384" else public(KEYS[2])) is False


@pytest.mark.parametrize(
    ("schema", "document", "wanted"),
    [
        ({"type": "integer"}, '"a"', [("invalid_type", "(root)", "Invalid type. Expected: integer, given: string")]),
        ({"type": ["integer", "null"]}, "1.5", [("invalid_type", "(root)", "Invalid type. Expected: [integer,null], given: number")]),
        ({"required": ["a"], "properties": {"b": {"minimum": 3}}}, {"b": 2}, [("required", "(root)", "a is required"), ("number_gte", "b", "Must be greater than or equal to 3")]),
        ({"additionalProperties": False, "patternProperties": {"^x": {}}}, {"xa": 1, "b": 1}, [("additional_property_not_allowed", "(root)", "Additional property b is not allowed")]),
        ({"items": {"enum": ["a", 1]}}, ["a", 1.0, "c"], [("enum", "2", '2 must be one of the following: "a", 1')]),
        ({"uniqueItems": True, "maxItems": 1}, [1, 1.0], [("array_max_items", "(root)", "Array must have at most 1 items"), ("unique", "(root)", "array items[0,1] must be unique")]),
        ({"anyOf": [{"type": "array"}, {"type": "string"}]}, {}, [("number_any_of", "(root)", "Must validate at least one schema (anyOf)"), ("invalid_type", "(root)", "Invalid type. Expected: array, given: object")]),
        ({"oneOf": [{}, True]}, {}, [("number_one_of", "(root)", "Must validate one and only one schema (oneOf)")]),
        ({"not": {}}, {}, [("number_not", "(root)", "Must not validate the schema (not)")]),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, [("condition_then", "(root)", 'Must validate "then" as "if" was valid'), ("required", "(root)", "b is required")]),
        ({"properties": {"n": {"$ref": "#/definitions/n"}}, "definitions": {"n": {"exclusiveMaximum": 3, "multipleOf": 0.1}}}, {"n": 3}, [("number_lt", "n", "Must be less than 3")]),
        ({"properties": {"a": {"pattern": "^b", "minLength": 2, "format": "ipv4"}}}, {"a": "x"}, [("format", "a", "Does not match format 'ipv4'"), ("string_gte", "a", "String length must be greater than or equal to 2"), ("pattern", "a", "Does not match pattern '^b'")]),
        ({"dependencies": {"a": ["b"]}, "propertyNames": {"maxLength": 1}, "contains": {}}, {"a": 1}, [("missing_dependency", "(root)", "Has a dependency on b")]),
        ({"const": {"a": [1]}}, {"a": [1.0]}, []),
    ],
    ids=str,
)  # fmt: skip
def test_documents_are_matched(schema: Any, document: Any, wanted: list[tuple[str, str, str]]) -> None:
    fine, errors = call("json.match_schema", document, schema)
    assert [(error["type"], error["field"], error["desc"]) for error in errors] == wanted
    assert all(error["error"] == f"{error['field']}: {error['desc']}" for error in errors)
    assert fine is not bool(wanted)


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        ("{", "invalid JSON string"),
        (1, "wrong type, expected string or object"),
        ({"minLength": -1}, "minLength must be greater than or equal to 0"),
        ({"pattern": "("}, "pattern must be a valid regex"),
        ({"$ref": "http://example.org/x"}, "remote reference loading disabled: http://example.org/x"),
        ({"required": ["a", "a"]}, "required items must be unique"),
        ({"items": 3}, "Invalid type. Expected: schema/array of schemas, given: items"),
    ],
)
def test_schemas_are_checked(schema: Any, error: str) -> None:
    assert call("json.verify_schema", schema) == [False, f"jsonschema: {error}"]


SCHEMA = """
"A thing" type Query { thing(id: ID! = "1", like: [In!]): [Thing!]! @deprecated }
interface Thing implements Node { id: ID! } interface Node { id: ID! }
input In { a: Int = 3 } enum E { A B } union U = Query scalar S @specifiedBy(url: "u")
directive @d(a: Int) repeatable on FIELD | OBJECT
schema { query: Query } extend type Query @d { more: S }
"""
QUERY = 'query Q($a: [Int!]! = [1, 2]) { a: thing(id: "x", like: [{a: $b}]) @skip(if: true) { ...F ... on Thing { id } } } fragment F on Thing { id }'


def test_graphql_trees_go_there_and_back() -> None:
    tree = call("graphql.parse_schema", SCHEMA)
    assert sorted(tree) == ["Definitions", "Directives", "Extensions", "Schema"]
    assert tree["Definitions"][0]["Fields"][0]["Type"] == {
        "NamedType": "",
        "Elem": {"NamedType": "Thing", "NonNull": True},
        "NonNull": True,
    }
    assert call("graphql.schema_is_valid", tree) is call("graphql.schema_is_valid", SCHEMA) is True
    query = call("graphql.parse_query", QUERY)
    field = query["Operations"][0]["SelectionSet"][0]
    assert (field["Alias"], field["Name"]) == ("a", "thing")
    assert field["Arguments"][1]["Value"]["Children"][0]["Value"]["Children"][0]["Value"]["Raw"] == "b"
    again = "query { thing { id } more }"
    assert call("graphql.parse", again, SCHEMA) == [call("graphql.parse_query", again), tree]
    assert call("graphql.parse_and_verify", call("graphql.parse_query", again), tree)[0] is True
    assert call("graphql.parse_and_verify", "{ nothing }", SCHEMA) == [False, {}, {}]
    with pytest.raises(BuiltinError, match=r"in GraphQL string at location 1:3"):
        call("graphql.parse_query", "{ ?")
    assert show(call("graphql.is_valid", 1, SCHEMA)) == "false"
    assert call("graphql.schema_is_valid", {"Definitions": [{"Kind": "X"}]}) is False
