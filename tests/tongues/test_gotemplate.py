"""Go templates with the functions of Sprig and Helm: what each gives, and the words for what is wrong, as Helm has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fairlead.tongues import yamls
from fairlead.tongues.gotemplate import (
    ExecError,
    FileMap,
    Function,
    Named,
    ParseError,
    Struct,
    Templates,
    VersionSet,
    Wanting,
)
from fairlead.tongues.gotemplate.encoding import as_go
from fairlead.tongues.gotemplate.running import WARNING

CASES = Path(__file__).parent / "cases"
VALUES: dict[str, Any] = {
    "s": "hello",
    "n": 3,
    "f": 1.5,
    "big": 12345678,
    "t": True,
    "z": 0,
    "e": "",
    "nil": None,
    "l": ["a", "b", "c"],
    "ln": [3, 1, 2],
    "lm": [{"a": 1}, {"a": 2}],
    "m": {"x": 1, "y": "two", "z": {"deep": [1, {"k": "v"}]}},
    "em": {},
    "el": [],
    "multi": "line1\nline2\n",
    "uni": "héllo wörld",
    "neg": -7,
    "dots": "a.b.c",
    "sp": "  pad  ",
    "y": "yes",
    "num": "42",
    "oct": "010",
}
MOMENT = 1_700_000_000 * 1_000_000_000


def data(files: dict[str, str]) -> dict[str, Any]:
    """What Helm hands to a template, as far as the cases look at it."""
    from fairlead.dialects.helm import contexts
    from fairlead.dialects.helm.charts import Chart
    from fairlead.render.packages import Capabilities, Context

    chart = Chart({"name": "chart", "version": "0.1.0", "apiVersion": "v2"})
    chart.files = {name: text.encode() for name, text in files.items() if not name.startswith("templates/")}
    shared = {
        "Release": contexts.release(Context("rel", "ns")),
        "Capabilities": contexts.capabilities(Capabilities("v1.20.0")),
    }
    ((_, scope),) = contexts.scopes(chart, as_go(VALUES), shared)
    return scope


def outcome(text: str, files: dict[str, str]) -> dict[str, str]:
    """What comes of a template, in the words that Helm prints."""
    name = "chart/templates/t.yaml"
    texts = {f"chart/{path}": body for path, body in files.items() if path.startswith("templates/")}
    try:
        templates = Templates.of({**texts, name: text})
        scope = data(files) | {"Template": {"Name": name, "BasePath": "chart/templates"}}
        return {"gives": templates.run(name, scope, templates.state(moment=MOMENT, seed=b"x"))}
    except ParseError as fault:
        said = str(fault)
        place = re.match(r"template: (.*?:\d+): ", said)
        assert place is not None
        return {"error": f"parse error at ({place[1]}): {said.rsplit(': ', 1)[-1]}"}
    except ExecError as fault:
        said = str(fault)
        warned = re.search(f"{WARNING[0]}(.*){WARNING[1]}", said, re.DOTALL)
        if warned is not None:
            return {"error": f"execution error at ({said.split(': ')[1]}): {warned[1]}"}
        return {"error": said}


@pytest.mark.parametrize("file", sorted(CASES.glob("gotemplate_*.yaml")), ids=lambda file: file.stem)
def test_templates_give_what_helm_gives(file: Path) -> None:
    cases = yamls.load(file.read_text())
    wrong = [
        (case["text"], expected, got)
        for case in cases
        if (got := outcome(case["text"], case.get("files", {})))
        != (expected := {key: case[key] for key in ("gives", "error") if key in case})
    ]
    assert len(cases) > 40
    assert wrong == []


def run(text: str, value: Any = None, **more: Any) -> str:
    templates = Templates.of({"t": text})
    return templates.run("t", value, templates.state(**more))


def test_the_moment_and_randomness_are_handed_in() -> None:
    text = '{{ now | date "2006-01-02" }} {{ randAlphaNum 8 }} {{ uuidv4 }} {{ randAlphaNum 8 }}'
    first = run(text, moment=MOMENT, seed=b"one")
    assert first == run(text, moment=MOMENT, seed=b"one")
    assert first != run(text, moment=MOMENT, seed=b"two")
    assert re.fullmatch(r"2023-11-14 \w{8} [0-9a-f-]{14}4[0-9a-f]{3}-[89ab][0-9a-f-]{16} \w{8}", first)
    with pytest.raises(Wanting, match="moment"):
        run("{{ now }}", moment=None)
    with pytest.raises(Wanting, match="seed"):
        run("{{ uuidv4 }}", seed=None)


def test_keys_and_certificates_fit_together() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    made = run(
        '{{ $ca := genCA "the-ca" 365 }}{{ $c := genSignedCert "web" (list "10.0.0.1") (list "web.example") 30 $ca }}'
        '{{ $ca.Cert }}@{{ $c.Cert }}@{{ $c.Key }}@{{ genPrivateKey "ecdsa" }}@{{ genPrivateKey "ed25519" }}'
        "@{{ (buildCustomCert (b64enc $c.Cert) (b64enc $c.Key)).Cert | eq $c.Cert }}",
        moment=MOMENT,
    ).split("@")
    authority, certificate = (x509.load_pem_x509_certificate(text.encode()) for text in made[:2])
    certificate.verify_directly_issued_by(authority)
    keys = [load_pem_private_key(text.encode(), None) for text in made[2:5]]
    assert keys[0].public_key() == certificate.public_key()
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 30
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["web.example"]
    assert made[5] == "true"


def test_passwords_are_hashed_as_web_servers_read_them() -> None:
    import bcrypt

    user, _, hashed = run('{{ htpasswd "me" "secret" }}').partition(":")
    assert user == "me"
    assert bcrypt.checkpw(b"secret", hashed.encode())
    sealed = run('{{ encryptAES "key" "text" }}')
    assert run("{{ decryptAES .k .t }}", {"k": "key", "t": sealed}) == "text"


def test_a_run_leaves_nothing_for_the_next() -> None:
    templates = Templates.of({"t": '{{ tpl .text . }}{{ if .again }}{{ include "late" . }}{{ end }}'})
    text = '{{ define "late" }}x{{ end }}{{ include "late" . }}'
    assert templates.run("t", {"text": text}, templates.state()) == "x"
    with pytest.raises(ExecError, match='no template "late" associated'):
        templates.run("t", {"text": text, "again": True}, templates.state())


def test_a_later_file_replaces_a_definition_of_an_earlier_one() -> None:
    templates = Templates.of(
        {"a": '{{ define "x" }}one{{ end }}', "b": '{{ define "x" }}two{{ end }}{{ include "x" . }}'}
    )
    assert templates.run("b", None, templates.state()) == "two"


def test_structs_methods_and_names_of_types() -> None:
    held = Struct(
        "k.Thing", {"Name": "n", "List": [1]}, {"Twice": Function(lambda text: text * 2, "s")}, pointer=True
    )
    scope = {
        "thing": held,
        "files": FileMap({"a": b"x"}),
        "set": VersionSet(["v1"]),
        "named": Named(a=1.0),
    }
    scope["files"].methods = scope["set"].methods = {}  # type: ignore[attr-defined]
    text = '{{ .thing.Name }} {{ .thing.Twice "ab" }} {{ "cd" | .thing.Twice }} {{ typeOf .thing }} {{ kindOf .thing }} {{ typeOf .named }}'
    assert run(text, scope) == "n abab cdcd *k.Thing ptr chartutil.Values"
    with pytest.raises(ExecError, match="can't evaluate field Nope in type"):
        run("{{ .thing.Nope }}", scope)
    with pytest.raises(ExecError, match="wrong number of args for Twice: want 1 got 2"):
        run('{{ .thing.Twice "a" "b" }}', scope)


def test_lookups_are_asked_of_whoever_runs() -> None:
    asked = []

    def lookup(*words: str) -> dict[str, Any]:
        asked.append(words)
        return {"data": {"a": "b"}}

    assert run('{{ (lookup "v1" "Secret" "ns" "x").data.a }}', lookup=lookup) == "b"
    assert asked == [("v1", "Secret", "ns", "x")]
    assert run('{{ lookup "v1" "Secret" "ns" "x" }}') == "map[]"
