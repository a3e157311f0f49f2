"""The catalogue of kinds."""

from fairlead.drivers import definitions
from fairlead.keep.kinds import BUILT_IN, Catalogue, Kind, subresource
from fairlead.keep.nodes import Definitions

WIDGET = Kind("example.com", "v1", "Widget", "widgets", short_names=("w",))


def test_every_built_in_kind_has_a_definition() -> None:
    found = Definitions(definitions.load())
    missing = [kind for kind in BUILT_IN if not found.name(kind.group, kind.version, kind.kind)]
    assert missing == []


def test_no_two_kinds_share_a_place_or_a_short_name() -> None:
    places = [(kind.group, kind.version, kind.plural) for kind in BUILT_IN]
    assert len(set(places)) == len(places)
    shorts = [
        short
        for kind in BUILT_IN
        if kind.group not in {"events.k8s.io", "autoscaling"}
        for short in kind.short_names
    ]
    assert len(set(shorts)) == len(shorts)


def test_singulars_and_list_kinds_follow_the_kind() -> None:
    deployment = Catalogue().served("apps", "v1", "deployments")
    assert deployment is not None
    assert (deployment.singular, deployment.list_kind, deployment.api_version) == (
        "deployment",
        "DeploymentList",
        "apps/v1",
    )


def test_a_kind_without_a_version_is_the_preferred_one() -> None:
    found = Catalogue().kind("autoscaling", "HorizontalPodAutoscaler")
    assert found is not None
    assert found.version == "v2"
    assert Catalogue().kind("autoscaling", "HorizontalPodAutoscaler", "v3") is None


def test_versions_and_moved_groups_share_their_storage() -> None:
    catalogue = Catalogue()
    old, new = catalogue.served("", "v1", "events"), catalogue.served("events.k8s.io", "v1", "events")
    assert old is not None
    assert new is not None
    assert old.storage == new.storage == ("", "events")


def test_what_is_only_a_request_is_not_stored() -> None:
    unstored = {kind.kind for kind in BUILT_IN if not kind.stored}
    assert unstored == {
        "Binding",
        "LocalSubjectAccessReview",
        "SelfSubjectAccessReview",
        "SelfSubjectReview",
        "SelfSubjectRulesReview",
        "SubjectAccessReview",
        "TokenReview",
    }


def test_adding_replaces_and_removing_forgets() -> None:
    catalogue = Catalogue([WIDGET])
    longer = Kind("example.com", "v1", "Widget", "widgets", short_names=("wi",))
    copy = catalogue.copy()
    catalogue.add(longer)
    assert catalogue.served("example.com", "v1", "widgets") is longer
    assert catalogue.kind("example.com", "Widget") is longer
    catalogue.remove(longer)
    catalogue.remove(longer)
    assert catalogue.kind("example.com", "Widget") is None
    assert catalogue.all() == ()
    assert copy.all() == (WIDGET,)


def test_subresources_speak_their_own_kinds() -> None:
    catalogue = Catalogue()
    pod, deployment = catalogue.kind("", "Pod"), catalogue.kind("apps", "Deployment")
    assert pod is not None
    assert deployment is not None
    assert (subresource(pod, "eviction").group, subresource(pod, "eviction").kind) == ("policy", "Eviction")
    assert subresource(deployment, "scale").kind == "Scale"
    assert subresource(deployment, "status").kind == "Deployment"
    assert sorted(subresource(pod, "proxy").verbs) == ["create", "delete", "get", "patch", "update"]
