"""Match constraints: which requests a policy is about."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.judge.constraints import Constraints, read_constraints
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Surroundings
from fairlead.reactor.kindnames import KindNames, catalogue_of
from fairlead.words import Page, Snapshot, Where

SOURCE = Source({"apiVersion": "x/v1", "kind": "P", "metadata": {"name": "p"}})
ANY: dict[str, Any] = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
GADGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"kind": "Gadget", "plural": "gadgets"},
        "scope": "Namespaced",
        "versions": [{"name": "v1"}, {"name": "v2"}],
    },
}


def constraints(**content: Any) -> Constraints:
    made, findings = read_constraints(Page(content, Where(path=".spec.matchConstraints")), SOURCE)
    assert not findings
    return made


def rule(**changes: Any) -> dict[str, Any]:
    return {**ANY, **changes}


def subject(
    plural: str = "pods",
    group: str = "",
    version: str = "v1",
    operation: Any = "CREATE",
    part: str = "",
    namespace: str = "shop",
    name: str = "web",
    labels: dict[str, str] | None = None,
    old: dict[str, str] | None = None,
) -> Subject:
    def made(these: dict[str, str] | None) -> dict[str, Any] | None:
        return None if these is None else {"apiVersion": version, "metadata": {"name": name, "labels": these}}

    return Subject(
        target=Target(group, version, "Gadget" if group == "example.com" else "K", plural, part, operation),
        name=name,
        namespace=namespace,
        object=made(labels if labels is not None or old is not None else {}),
        old=made(old),
    )


def matches(made: Constraints, seen: Subject, *objects: dict[str, Any]) -> bool:
    around = Surroundings(
        view=Snapshot(objects),
        now=datetime(2026, 1, 1, tzinfo=UTC),
        kinds=KindNames(catalogue_of([GADGETS])),
    )
    concerned = made.concerns(seen.target)
    matched = made.match(seen, around) is not None
    assert concerned or not matched
    return matched


@pytest.mark.parametrize(
    ("resources", "plural", "part", "expected"),
    [
        (["pods"], "pods", "", True),
        (["pods"], "pods", "status", False),
        (["pods/*"], "pods", "status", True),
        (["pods/status"], "pods", "status", True),
        (["*"], "pods", "", True),
        (["*"], "pods", "status", False),
        (["*/*"], "pods", "status", True),
        (["*/scale"], "pods", "status", False),
        (["services", "pods"], "pods", "", True),
        ([], "pods", "", False),
    ],
)
def test_resources(resources: list[str], plural: str, part: str, expected: bool) -> None:
    made = constraints(resourceRules=[rule(resources=resources)])
    assert matches(made, subject(plural, part=part)) is expected


def test_groups_versions_operations_and_names() -> None:
    made = constraints(
        resourceRules=[
            rule(apiGroups=["apps"], apiVersions=["v1"], operations=["UPDATE"], resourceNames=["web"])
        ]
    )
    assert matches(made, subject(group="apps", operation="UPDATE"))
    assert not matches(made, subject(group="", operation="UPDATE"))
    assert not matches(made, subject(group="apps", operation="CREATE"))
    assert not matches(made, subject(group="apps", version="v2", operation="UPDATE"))
    assert not matches(made, subject(group="apps", operation="UPDATE", name="db"))


def test_scopes() -> None:
    namespaced, cluster = (constraints(resourceRules=[rule(scope=one)]) for one in ("Namespaced", "Cluster"))
    assert matches(namespaced, subject())
    assert not matches(namespaced, subject("nodes", namespace=""))
    assert not matches(namespaced, subject("namespaces", namespace="web"))
    assert matches(cluster, subject("namespaces", namespace="web"))
    assert matches(cluster, subject("nodes", namespace=""))
    assert not matches(cluster, subject())


def test_what_is_excluded_is_not_meant() -> None:
    made = constraints(
        resourceRules=[ANY], excludeResourceRules=[rule(resources=["pods"], resourceNames=["web"])]
    )
    assert made.concerns(subject().target)
    assert not matches(made, subject())
    assert matches(made, subject(name="db"))
    wholly = constraints(resourceRules=[ANY], excludeResourceRules=[rule(resources=["pods"])])
    assert not wholly.concerns(subject().target)


def test_objects_are_chosen_by_what_they_are_or_were() -> None:
    made = constraints(resourceRules=[ANY], objectSelector={"matchLabels": {"a": "b"}})
    assert matches(made, subject(labels={"a": "b"}))
    assert not matches(made, subject(labels={"a": "c"}))
    assert matches(made, subject(labels={}, old={"a": "b"}, operation="UPDATE"))
    assert matches(made, subject(old={"a": "b"}, operation="DELETE"))


def test_namespaces_are_chosen_by_their_labels() -> None:
    made = constraints(resourceRules=[ANY], namespaceSelector={"matchLabels": {"tier": "gold"}})
    gold = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"tier": "gold"}}}
    assert matches(made, subject(), gold)
    assert not matches(made, subject(), {**gold, "metadata": {"name": "shop"}})
    assert matches(made, subject("nodes", namespace=""))
    assert matches(made, subject("namespaces", namespace="web", labels={"tier": "gold"}))
    with pytest.raises(LookupError, match="not found"):
        matches(made, subject())


def test_another_version_of_a_custom_kind_is_seen_as_the_one_named() -> None:
    made = constraints(resourceRules=[rule(apiGroups=["example.com"], apiVersions=["v1"])])
    around = Surroundings(
        view=Snapshot(), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(catalogue_of([GADGETS]))
    )
    served = around.kinds.version("example.com", "Gadget")
    named = constraints(resourceRules=[rule(apiGroups=["example.com"], apiVersions=[served])])
    other = "v2" if served == "v1" else "v1"
    seen = named.match(subject("gadgets", group="example.com", version=other), around)
    assert seen is not None
    assert seen.object is not None
    assert seen.object["apiVersion"] == f"example.com/{served}"
    assert seen.target.version == served
    exact = constraints(
        resourceRules=[rule(apiGroups=["example.com"], apiVersions=[served])], matchPolicy="Exact"
    )
    assert exact.match(subject("gadgets", group="example.com", version=other), around) is None
    assert made.concerns(subject("gadgets", group="example.com", version="v2").target)


def test_a_selector_that_is_none_selects_nothing_and_says_so() -> None:
    content = {
        "resourceRules": [ANY],
        "objectSelector": {"matchExpressions": [{"key": "a", "operator": "Maybe"}]},
    }
    made, findings = read_constraints(Page(content, Where(path=".spec.m")), SOURCE)
    assert [one.message for one in findings] == [
        '.spec.m.objectSelector: "Maybe" is not a valid label selector operator'
    ]
    assert not matches(made, subject())
