"""Bundles: what a document says, in which order, and what its expressions become."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.converge import bundles
from fairlead.tongues import yamls
from fairlead.words import Where

SHOP = """
apiVersion: fairlead.dev/v1alpha1
kind: Bundle
metadata: {name: shop}
spec:
  environment: [REGION, {name: TIER, default: small}]
  values:
    - name: password
      object: {apiVersion: v1, kind: Secret, namespace: infra, name: db}
      value: string(base64.decode(object.data.password))
  clusters:
    - {name: staging, group: test, context: kind-staging}
    - {name: production, group: live, context: eks}
  instances:
    - name: web
      source: oci://127.0.0.1:5000/modules/web
      version: ^1.2
      namespace: shop
      values:
        host: ${instances.db.host}
        port: ${instances.db.port}
        url: "http://${instances.db.host}:${instances.db.port}/${env.REGION}"
        replicas: '${cluster.group == "live" ? 3 : 1}'
        raw: $${not.mine}
        map: '${{"a": "}"}}'
    - name: db
      source: ./db
      namespace: shop
      valuesFiles: [secrets.sops.yaml]
      values: {password: "${values.password}"}
      exports:
        - {name: host, object: {apiVersion: v1, kind: Service, name: db}, value: object.metadata.name}
        - {name: port, object: {apiVersion: v1, kind: Service, name: db}, value: "object.spec.ports[0].port"}
"""


def read(text: str) -> bundles.Bundle:
    return bundles.read(yamls.load(text), lambda path: Where("bundle.yaml", 0, path))


def faults(text: str) -> list[str]:
    with pytest.raises(bundles.BadBundle) as caught:
        read(text)
    return [str(fault) for fault in caught.value.faults]


def test_who_is_needed_comes_first_also_where_only_an_expression_says_so() -> None:
    bundle = read(SHOP)
    assert [each.name for each in bundle.members] == ["db", "web"]
    assert bundle.members[1].after == ("db",)
    assert [(each.name, each.context) for each in bundle.clusters] == [
        ("staging", "kind-staging"),
        ("production", "eks"),
    ]
    assert bundle.environment == {"REGION": None, "TIER": "small"}
    assert str(bundle.members[0].exports[0].ref) == "Service shop/db"
    assert bundle.members[0].files == ("secrets.sops.yaml",)


def test_an_expression_alone_has_its_own_type_and_among_text_is_text() -> None:
    [_, web] = read(SHOP).members
    facts: dict[str, Any] = {
        "env": {"REGION": "eu"},
        "cluster": {"name": "production", "group": "live"},
        "values": {},
        "instances": {"db": {"host": "db", "port": 5432}},
    }
    assert bundles.settle(web.values, facts, web.where) == {
        "host": "db",
        "port": 5432,
        "url": "http://db:5432/eu",
        "replicas": 3,
        "raw": "${not.mine}",
        "map": {"a": "}"},
    }


def test_a_value_is_read_from_an_object_or_is_its_default() -> None:
    [password] = read(SHOP).readings
    assert bundles.taken(password, {"data": {"password": "c2VjcmV0"}}) == "secret"
    with pytest.raises(bundles.BadBundle) as caught:
        bundles.taken(password, None)
    assert (
        str(caught.value)
        == "bundle.yaml .spec.values[0]: Secret infra/db is not there, so 'password' has no value"
    )
    with pytest.raises(bundles.BadBundle, match="no such key: password"):
        bundles.taken(password, {"data": {}})
    spare = read(
        SHOP.replace("decode(object.data.password))", "decode(object.data.password))\n      default: none")
    ).readings[0]
    assert bundles.taken(spare, None) == "none"


def test_every_expression_that_fails_is_told_with_its_place_and_no_value() -> None:
    facts: dict[str, Any] = {"env": {}, "cluster": {}, "values": {"secret": "hush"}, "instances": {}}
    tree = {"a": ["${env.MISSING}"], "b": "${values.secret.size() + 'x'}"}
    with pytest.raises(bundles.BadBundle) as caught:
        bundles.settle(tree, facts, Where("bundle.yaml", 3, ".values"))
    first, second = (str(fault) for fault in caught.value.faults)
    assert first == "bundle.yaml:3 .values.a[0]: ${env.MISSING}: no such key: MISSING"
    assert second.startswith("bundle.yaml:3 .values.b: ${values.secret.size() + 'x'}: ")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "kind: Bundle",
            "kind: Bundel",
            ".apiVersion: a bundle has apiVersion fairlead.dev/v1alpha1 and kind Bundle",
        ),
        (
            "name: shop}",
            "name: Shop!}",
            ".metadata.name: 'Shop!' is no name: small letters, digits and -, at most 63",
        ),
        ("      source: ./db\n", "", ".spec.instances[1].source: it is missing"),
        ("source: ./db", "source: [a]", '.spec.instances[1].source: it must be a text, and is ["a"]'),
        (
            "source: ./db",
            "source: ./db\n      url: x",
            ".spec.instances[1].url: there is no such field in a bundle",
        ),
        (
            "name: db\n      source",
            "name: web\n      source",
            ".spec.instances: there are two of the name 'web'",
        ),
        (
            "source: ./db",
            "source: ./db\n      dependsOn: [cache]",
            ".spec.instances[1]: it needs 'cache', which is no other instance of this bundle",
        ),
        (
            "source: ./db",
            "source: ./db\n      dependsOn: [web]",
            ".spec.instances[0]: these wait for each other: web -> db -> web",
        ),
        (
            "source: ./db",
            "source: ./db\n      digest: sha256:12",
            ".spec.instances[1].digest: 'sha256:12' is not a digest: sha256: and 64 hexadecimal digits",
        ),
        (
            "${values.password}",
            "${values.password",
            ".spec.instances[1].values: ${ is never closed in '${values.password'; write $${ for the text itself",
        ),
        (
            "[REGION,",
            "[REGION, {name: X},",
            ".spec.environment[1]: a variable is its name, or {name: NAME, default: text}",
        ),
    ],
)
def test_what_is_wrong_with_a_bundle(before: str, after: str, message: str) -> None:
    assert before in SHOP
    assert f"bundle.yaml {message}" in faults(SHOP.replace(before, after, 1))


@pytest.mark.parametrize(
    ("bad", "told"), [("${values.", "Syntax error"), ("${secrets.x}", "undeclared reference")]
)
def test_expressions_are_compiled_when_the_bundle_is_read(bad: str, told: str) -> None:
    [fault] = faults(SHOP.replace("$${not.mine}", f"'{bad}}}'" if not bad.endswith("}") else f"'{bad}'"))
    assert told in fault
