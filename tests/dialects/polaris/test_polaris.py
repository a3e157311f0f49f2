"""Polaris's configuration: golden cases of checks in JSON schema, severities, exemptions, and documents that are wrong or hostile."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dialects.polaris import assemble, check_of, configuration, is_configuration, schemas, templates
from fairlead.dialects.polaris.checks import judged
from fairlead.judge.judging import judge
from fairlead.judge.mending import mend
from fairlead.judge.policies import Book, Judged
from fairlead.judge.reading import Source
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Finding, Page, Ref, Resource, Snapshot

CASES = list(yaml.safe_load_all((Path(__file__).parent / "cases" / "checks.yaml").read_text()))


def around(*objects: Resource) -> Surroundings:
    return Surroundings(
        view=Snapshot(objects), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue())
    )


def made_of(short: dict[str, Any]) -> Resource:
    if "object" in short:
        whole: Resource = short["object"]
        return whole
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": short["pod"]}


def each(sort: str) -> Iterator[Any]:
    for case in CASES:
        for index, short in enumerate(case.get(sort, ())):
            yield pytest.param(case["check"], short, id=f"{case['case']}: {sort} {index}")


def said(check: dict[str, Any], short: dict[str, Any]) -> Any:
    made, findings = check_of("mine", Page(check), Source(check), "")
    assert made is not None, findings
    resource = made_of(short)
    if not made.concerns(Ref.of(resource).group, Ref.of(resource).kind):
        return None
    return judged(made, subject_of(resource, ""), around(resource, *short.get("beside", ())))


@pytest.mark.parametrize(("check", "short"), list(each("fails")))
def test_what_a_check_forbids_is_told(check: dict[str, Any], short: dict[str, Any]) -> None:
    outcome = said(check, short)
    assert outcome.result == "fail"
    assert short.get("message", "") in outcome.message
    assert short.get("at") in {None, outcome.paths[0]}


@pytest.mark.parametrize(("check", "short"), list(each("passes")))
def test_what_a_check_allows_passes(check: dict[str, Any], short: dict[str, Any]) -> None:
    outcome = said(check, short)
    assert outcome is None or outcome.result == "pass"


@pytest.mark.parametrize("case", [case for case in CASES if "broken" in case], ids=lambda case: case["case"])
def test_what_cannot_be_used_says_why(case: dict[str, Any]) -> None:
    made, (finding,) = check_of("mine", Page(case["check"]), Source(case["check"]), ".customChecks.mine")
    assert made is None
    assert finding.rule == "policy.broken"
    assert case["broken"] in finding.message
    assert finding.where.path.startswith(".customChecks.mine")


CONFIGURATION = """
checks:
  hostNetworkSet: warning
  hostPIDSet: ignore
  rolePodExecAttach: danger
  missingNetworkPolicy: warning
  tagged: danger
customChecks:
  tagged:
    failureMessage: no tag
    target: Container
    schema: {properties: {image: {pattern: ":"}}}
    mutations: [{op: add, path: /image, value: "web:1"}]
exemptions:
  - {namespace: infra, controllerNames: [agent], rules: [hostNetworkSet]}
  - {controllerNames: [free]}
"""


def read(text: str, **more: Any) -> tuple[Book, list[Finding]]:
    content = {**yaml.safe_load(textwrap.dedent(text)), **more}
    assert is_configuration(content)
    models, findings = configuration(Source(content))
    assembled = assemble(models, {"missingNetworkPolicy"})
    return Book(assembled.policies), [*findings, *assembled.findings]


def pod(name: str = "web", namespace: str = "shop", **meta: Any) -> Resource:
    spec = {"hostNetwork": True, "hostPID": True, "containers": [{"name": "web", "image": "web"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, **meta},
        "spec": spec,
    }


def outcomes(book: Book, resource: Resource) -> dict[str, str]:
    found: list[Judged] = judge(subject_of(resource, "pods"), book, around(resource))
    return {one.policy.name: one.outcome.result for one in found}


def test_severities_and_checks_of_one_s_own() -> None:
    book, findings = read(CONFIGURATION)
    assert findings == []
    assert {one.name: (one.severity, one.scored) for one in book.policies} == {
        "hostNetworkSet": ("medium", False),
        "rolePodExecAttach": ("high", True),
        "tagged": ("high", True),
    }
    assert outcomes(book, pod()) == {"hostNetworkSet": "fail", "tagged": "fail"}
    rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "a"},
        "rules": rules,
    }
    assert outcomes(book, role) == {"rolePodExecAttach": "fail"}
    assert outcomes(book, {**role, "kind": "ClusterRole"}) == {}


def test_exemptions() -> None:
    book, _ = read(CONFIGURATION)
    assert outcomes(book, pod("agent-1", "infra"))["hostNetworkSet"] == "skip"
    assert outcomes(book, pod("agent-1", "shop"))["hostNetworkSet"] == "fail"
    assert set(outcomes(book, pod("free-1")).values()) == {"skip"}
    note: dict[str, Any] = {"annotations": {"polaris.fairwinds.com/tagged-exempt": "true"}}
    assert outcomes(book, pod(**note)) == {"hostNetworkSet": "fail", "tagged": "skip"}
    book, _ = read(CONFIGURATION, disallowAnnotationExemptions=True)
    assert outcomes(book, pod(**note))["tagged"] == "fail"
    book, _ = read(CONFIGURATION, disallowConfigExemptions=True)
    assert outcomes(book, pod("agent-1", "infra"))["hostNetworkSet"] == "fail"


def test_a_mutation_mends() -> None:
    book, _ = read("{checks: {tagged: danger}}", customChecks=yaml.safe_load(CONFIGURATION)["customChecks"])
    resource = pod()
    mended = mend(subject_of(resource, "pods"), book, around(resource))
    assert mended.object["spec"]["containers"][0]["image"] == "web:1"
    assert not mended.left


def test_what_is_not_understood_is_told_with_its_place() -> None:
    _, findings = read(
        """
        checks: {hostNetworkSet: dangerous, nothingLikeIt: warning}
        customChecks:
          unweighed: {target: Pod, schema: {}}
          mending: {target: Pod, schema: {}, mutations: [{op: remove, path: /a}], color: red}
        exemptions: [{containerNames: [a]}]
        displayName: x
        """
    )
    assert {one.where.path: one.message.split(":")[0] for one in findings} == {
        ".checks.hostNetworkSet": "'dangerous' is none of danger, warning, ignore",
        ".checks.nothingLikeIt": "no check is called nothingLikeIt",
        ".customChecks.mending": "has no severity under `checks`, so it is not judged",
        ".customChecks.mending.color": ".customChecks.mending.color is not supported",
        ".customChecks.mending.mutations[0]": ".customChecks.mending.mutations[0] is not supported",
        ".customChecks.unweighed": "has no severity under `checks`, so it is not judged",
        ".displayName": ".displayName is not supported",
        ".exemptions[0].containerNames": ".exemptions[0].containerNames is not supported",
    }


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("a {{- 1 -}} b", "a1b"),
        ("{{/* nothing */}}x", "x"),
        ('{{ .a.b }} {{ .none.more }} {{ "}}" }}', "1 <no value> }}"),
        ("{{ range $i, $one := .list }}{{ $i }}{{ $one }};{{ end }}", "0x;1y;"),
        ("{{ range .none }}a{{ else }}b{{ end }}", "b"),
        ("{{ range $k, $v := .a }}{{ $k }}={{ $v }}{{ end }}", "b=1"),
        ("{{ with .a }}{{ .b }}{{ $.list }}{{ else }}n{{ end }}", "1[x y]"),
        ("{{ if eq .a.b 2 1 }}yes{{ else if .none }}maybe{{ else }}no{{ end }}", "yes"),
        ('{{ if and (ne .name "x") (not (hasPrefix .name "system:")) }}y{{ end }}', "y"),
        ('{{ printf "%s-%d %q" .name 3 "z" | print }}', 'web-3 "z"'),
        ('{{ index .a "b" }}{{ len .list }}{{ or .none "d" }}{{ (index .more 0).x }}', "12d7"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
        ("{{ .a }}{{ true }}{{ gt 2 1 }}", "map[b:1]truetrue"),
    ],
)
def test_templates_are_go_s(template: str, text: str) -> None:
    data = {"a": {"b": 1}, "list": ["x", "y"], "name": "web", "more": [{"x": 7}]}
    assert templates.compile(template)(data) == text


@pytest.mark.parametrize("template", ["{{", "{{ end }}", "{{ if }}x{{ end }}", "{{ if .a }}x", "{{ .a b }}", "{{ (.a }}", "{{ $x }}", "{{ 1 | 2 }}", "{{ 'x' }}", '{{ index .a 1 2 }}{{ printf "%x" 1 }}'])  # fmt: skip
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(templates.BadTemplate):
        templates.compile(template)({"a": {}})


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": ["string", "null"]}, None, 1),
        ({"type": "integer"}, 2.0, 2.5),
        ({"enum": [1, "a"]}, 1, True),
        ({"const": {"a": [1]}}, {"a": [1]}, {"a": [2]}),
        ({"additionalProperties": False, "properties": {"a": True}, "patternProperties": {"^x": {}}}, {"a": 1, "xy": 2}, {"b": 1}),
        ({"propertyNames": {"pattern": "^a"}}, {"ab": 1}, {"b": 1}),
        ({"items": [{"type": "string"}], "additionalItems": False}, ["a"], ["a", 1]),
        ({"contains": {"const": 1}, "maxContains": 1}, [1, 2], [1, 1]),
        ({"oneOf": [{"minimum": 2}, {"maximum": 5}]}, 1, 3),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}}, {"c": 1}, {"a": 1}),
        ({"uniqueItems": True}, [1, True, "1"], [{"a": 1}, {"a": 1}]),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1, "b": 2}, {"a": 1}),
        ({"dependentSchemas": {"a": {"minProperties": 2}}}, {"b": 1}, {"a": 1}),
        ({"exclusiveMinimum": 1, "multipleOf": 2}, 4, 3),
        ({"minLength": 2, "maxLength": 3, "pattern": "(?i)^AB"}, "abc", "a"),
        ({"$ref": "#/definitions/tree", "definitions": {"tree": {"properties": {"down": {"$ref": "#/definitions/tree"}, "n": {"type": "number"}}}}}, {"down": {"n": 1}}, {"down": {"down": {"n": "x"}}}),
        ({"resourceMinimum": "1Gi"}, "2Gi", "x"),
        (True, 1, None),
    ],
)  # fmt: skip
def test_schemas(schema: Any, good: Any, bad: Any) -> None:
    check = schemas.compile(schema)
    assert check(good) == []
    assert schema is True or check(bad)


def test_a_schema_without_end_is_refused() -> None:
    deep: Any = {}
    for _ in range(200):
        deep = {"not": deep}
    with pytest.raises(schemas.BadSchema, match="too deeply"):
        schemas.compile(deep)
    check = schemas.compile({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}})
    with pytest.raises(schemas.BadSchema, match="circles"):
        check(1)


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.sampled_from(["", "danger", "Container", "{{ .a }}", "{{", "object"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["checks", "customChecks", "exemptions", "schema", "schemaString", "target", "mutations", "op", "path",
                             "properties", "type", "not", "anyOf", "items", "$ref", "required", "controllers", "include", "rules",
                             "additionalSchemas", "hostIPCSet", "a"]), inner, max_size=5)
    ),
    max_leaves=20,
)  # fmt: skip


@given(junk)
def test_no_configuration_makes_the_reader_raise(content: Any) -> None:
    whole = {"checks": {"a": "danger"}, "customChecks": {"a": content if isinstance(content, dict) else {}}}
    for one in (content, whole):
        if is_configuration(one):
            models, _ = configuration(Source(one))
            book = Book(assemble(models).policies)
            judge(subject_of(pod(), "pods"), book, around())
