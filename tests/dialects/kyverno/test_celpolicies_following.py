"""What GeneratingPolicies generated, later: triggers, sources, policies and the objects themselves change or go."""

from datetime import UTC, datetime
from typing import Any

from fairlead.dialects.kyverno.celpolicies_following import follow, labels_of, origin_of
from fairlead.dialects.kyverno.generating_following import Followed
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.words import Ref, Resource, Snapshot

NAMESPACE: Resource = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new", "uid": "n1"}}
SOURCE: Resource = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "pull", "namespace": "default", "uid": "s1"},
    "data": {"a": "b"},
}


def policy(**evaluation: Any) -> Resource:
    spec = {"evaluation": {key: {"enabled": value} for key, value in evaluation.items()}}
    return {
        "apiVersion": "policies.kyverno.io/v1",
        "kind": "GeneratingPolicy",
        "metadata": {"name": "p"},
        "spec": spec,
    }


MINE = Ref.of(policy())
MADE: Resource = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "pull",
        "namespace": "new",
        "uid": "g1",
        "labels": labels_of(MINE, Ref.of(NAMESPACE), SOURCE),
    },
    "data": {"a": "b"},
}
OTHER: Resource = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other", "namespace": "new"}}


def followed(before: Resource | None, after: Resource | None, *there: Resource) -> Followed:
    around = Surroundings(
        view=Snapshot(there), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue())
    )
    return follow(before, after, around)


def deleted(result: Followed) -> list[str]:
    assert all(change.verb == "delete" for change in result.changes)
    return [str(change.ref) for change in result.changes]


KEPT = policy(synchronize=True)


def test_labels_say_where_an_object_comes_from() -> None:
    origin = origin_of(MADE)
    assert origin is not None
    assert (origin.policy, origin.trigger, origin.source) == (MINE, Ref.of(NAMESPACE), Ref.of(SOURCE))
    assert origin_of(OTHER) is None


def test_what_a_trigger_brought_about_goes_with_it() -> None:
    assert deleted(followed(NAMESPACE, None, KEPT, MADE, OTHER)) == ["Secret new/pull"]
    assert followed(NAMESPACE, None, policy(), MADE) == Followed()
    assert followed(NAMESPACE, {**NAMESPACE, "x": 1}, KEPT, MADE) == Followed()


def test_a_clone_follows_its_source() -> None:
    assert deleted(followed(SOURCE, None, KEPT, MADE)) == ["Secret new/pull"]
    again = followed(SOURCE, {**SOURCE, "data": {}}, KEPT, MADE)
    assert [one.trigger for one in again.again] == [Ref.of(NAMESPACE)]
    assert not again.changes


def test_what_somebody_else_changes_is_brought_back() -> None:
    for after in (None, {**MADE, "data": {}}):
        again = followed(MADE, after, KEPT)
        assert [one.policy for one in again.again] == [MINE]
    assert followed(MADE, MADE, KEPT) == Followed()
    assert followed(MADE, None, policy()) == Followed()


def test_a_policy_takes_along_what_it_keeps_in_line() -> None:
    assert deleted(followed(KEPT, None, MADE, OTHER)) == ["Secret new/pull"]
    assert followed(policy(), None, MADE) == Followed()
    assert followed(policy(synchronize=True, orphanDownstreamOnPolicyDelete=True), None, MADE) == Followed()
    changed = {**KEPT, "spec": {**KEPT["spec"], "generate": []}}
    assert [one.trigger for one in followed(KEPT, changed, MADE).again] == [Ref.of(NAMESPACE)]
    assert followed(KEPT, KEPT, MADE) == Followed()
