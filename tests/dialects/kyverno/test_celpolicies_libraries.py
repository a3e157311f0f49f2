"""Kyverno's CEL libraries, one expression a case."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.dialects.kyverno.cellibraries import ENVIRONMENT, bindings_of
from fairlead.judge.subjects import Subject, subject_of
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.tongues import cel
from fairlead.words import Snapshot

DIGEST = "sha256:" + "ab" * 32
OBJECTS: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "x", "labels": {"l": "1"}},
    },
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "y"}},
]
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "x"},
    "spec": {
        "containers": [{"name": "m", "image": "nginx"}],
        "initContainers": [{"name": "i", "image": "busybox:1"}],
        "volumes": [{"name": "v", "image": {"reference": "quay.io/data:2"}}, {"name": "w"}],
    },
}


def around() -> Surroundings:
    return Surroundings(
        view=Snapshot(OBJECTS),
        now=datetime(2026, 3, 4, 5, 6, 7, 890_123, tzinfo=UTC),
        kinds=KindNames(Catalogue()),
    )


def evaluate(text: str, subject: Subject | None = None, space: str = "") -> Any:
    seen = bindings_of(subject or subject_of(POD, "pods"), around(), space)
    return cel.to_json(ENVIRONMENT.compile(text)(seen))


@pytest.mark.parametrize(
    "text",
    [
        "image('nginx').registry() == 'index.docker.io' && image('nginx').repository() == 'library/nginx'",
        "image('nginx').tag() == 'latest' && image('nginx').identifier() == 'latest'",
        "parseImageReference('ghcr.io/a/b:1.2').registry() == 'ghcr.io'",
        "parseImageReference('ghcr.io/a/b:1.2').repository() == 'a/b'",
        "parseImageReference('localhost:5000/ab').registry() == 'localhost:5000'",
        f"image('a/b@{DIGEST}').digest() == '{DIGEST}' && image('a/b@{DIGEST}').containsDigest()",
        f"image('a/b:1@{DIGEST}').tag() == '' && image('a/b:1@{DIGEST}').identifierWithSeparator() == ':1@{DIGEST}'",
        "image('a/b:1').identifierWithSeparator() == ':1' && !image('a/b').containsDigest()",
        "image('nginx') == image('docker.io/library/nginx:latest')",
        "isImage('nginx:1') && !isImage('NGINX:1') && !isImage('a:b:c') && !isImage('') && !isImage('x')",
        "images.containers == ['nginx'] && images.initContainers == ['busybox:1']",
        "images.ephemeralContainers == [] && images.imageVolumes == ['quay.io/data:2']",
        "resource.Get('v1', 'configmaps', 'x', 'a').metadata.name == 'a'",
        "resource.List('v1', 'configmaps', '').items.size() == 2",
        "resource.List('v1', 'configmaps', '', {'l': '1'}).items.map(i, i.metadata.name) == ['a']",
        "resource.List('v1', 'configmaps', 'y').kind == 'ConfigMapList'",
        "resource.List(resource.ToGVR('v1', 'ConfigMap'), 'x').items[0].metadata.name == 'a'",
        "resource.Get(resource.ToGVR('v1', 'ConfigMap'), 'y', 'b').kind == 'ConfigMap'",
        "json.unmarshal('{\"a\": [1, 2.5, null]}').a == [dyn(1), 2.5, null]",
        "json.marshal({'b': [1]}) == '{\"b\":[1]}'",
        "yaml.parse('a: [x, 1]\\nb: {c: true}').b.c",
        "yaml.parse('when: 2026-01-01').when == '2026-01-01'",
        "sha256('a') == 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'",
        "hash.sha1('a') == '86f7e437faa5a7fce15d1ddcb9eaeaea377667b8' && md5('a') == hash.md5('a')",
        "parseServiceAccount('system:serviceaccount:ns:bot') == {'Namespace': 'ns', 'Name': 'bot'}",
        "user.parseServiceAccount('eve').Name == ''",
        "math.round(2.345, 2) == 2.35 && math.round(-2.5, 0) == -3.0",
        "time.now() == timestamp('2026-03-04T05:06:07.890123Z') && now() == time.now()",
        "time.truncate(time.now(), duration('1h')) == timestamp('2026-03-04T05:00:00Z')",
        "time.toCron(timestamp('2026-03-04T05:06:07Z')) == '6 5 4 3 3'",
        "listObjToMap([{'k': 'a'}], [{'v': 1}], 'k', 'v') == {'a': 1}",
        "transform.listObjToMap([{'k': 'a'}], [{'v': 1}], 'k', 'v').a == 1",
        "random().matches('^[0-9a-z]{8}$') && random('[A-C]{3}x').matches('^[A-C]{3}x$') && random.random().size() == 8",
        "gzip.decompress(gzip.compress('hello')) == 'hello'",
        "quantity('1Gi').isGreaterThan(quantity('1G')) && semver('1.2.3').major() == 1",
        "request.object.kind == 'Pod' && request.operation == 'CREATE'",
        "exceptions.allowedImages == [] && exceptions.allowedValues == []",
        "globalContext.Get('nothing', '') == null && globalContext.get('nothing') == null",
    ],
)
def test_holds(text: str) -> None:
    assert evaluate(text) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "resource.Get('v1', 'configmaps', 'x', 'z').kind",
            'failed to get resource: configmaps "z" not found',
        ),
        ("resource.Get('v2', 'gadgets', 'x', 'z').kind", 'failed to get resource: gadgets "z" not found'),
        (
            "resource.List('g/v2', 'gadgets', 'x').kind",
            "failed to list resource: gadgets.g resource not found",
        ),
        (
            "json.unmarshal('{').a",
            "failed to unmarshal json: Expecting property name enclosed in double quotes",
        ),
        ("yaml.parse('a: [').a", "failed to parse yaml: "),
        ("image('A:b').tag()", "could not parse reference: A:b"),
        ("x509.decode('no').Issuer", "failed to decode PEM block"),
        ("random('[')", "error parsing regexp"),
        (
            "listObjToMap([{'k': 'a'}], [], 'k', 'v').a",
            "listObjToMap must take lists of equal length. list1: 1, list2: 0",
        ),
        (
            "listObjToMap([{'k': 1}], [{'v': 1}], 'k', 'v').a",
            "the passed key name cannot be handled as a string",
        ),
        ("gzip.decompress(b'no')", "gzip: "),
    ],
)
def test_fails_with_its_reason(text: str, message: str) -> None:
    with pytest.raises(cel.Failed) as caught:
        evaluate(text)
    assert message in str(caught.value)


def test_a_namespaced_policy_sees_its_own_namespace_only() -> None:
    assert evaluate("resource.List('v1', 'configmaps').items.map(i, i.metadata.name)", space="y") == ["b"]
    assert evaluate("resource.Get('v1', 'configmaps', 'b').kind", space="y") == "ConfigMap"
    for text in ("resource.List('v1', 'configmaps', 'x')", "resource.Get('v1', 'configmaps', 'x', 'a')"):
        with pytest.raises(cel.Failed, match="namespace x is not the policy's"):
            evaluate(text, space="y")


def test_what_only_the_world_knows_is_lacking() -> None:
    for text, what in (
        ("image.GetMetadata('a:1').config", "image.data"),
        ("http.Client('CA').Get('https://x/', {'A': 'b'})", "http"),
        (
            "resource.Post('authorization.k8s.io/v1', 'selfsubjectaccessreviews', {'spec': dyn({})})",
            "kubernetes.post",
        ),
    ):
        with pytest.raises(Lacking) as caught:
            evaluate(f"{text} == 1 || true")
        (need,) = caught.value.needs
        assert need.what == what


def test_unknown_names_are_refused_when_compiling() -> None:
    with pytest.raises(cel.BadExpression, match="undeclared reference to 'nobody'"):
        ENVIRONMENT.compile("nobody.knows")
