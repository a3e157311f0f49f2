"""What every cluster begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.keep.bootstrapping import advertise
from fairlead.tongues import selectors

if TYPE_CHECKING:
    from tests.keep.conftest import Cluster


def test_the_api_tells_where_it_is(cluster: Cluster) -> None:
    cluster.rest(advertise(cluster.world, cluster.now, "127.0.0.1", 6443))
    slice_ = cluster.get("endpointslices.discovery.k8s.io", "kubernetes")
    assert slice_["endpoints"] == [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
    assert slice_["metadata"]["labels"] == {"kubernetes.io/service-name": "kubernetes"}
    before = slice_["metadata"]["resourceVersion"]
    cluster.rest(advertise(cluster.world, cluster.now, "127.0.0.1", 6443))
    again = cluster.get("endpointslices.discovery.k8s.io", "kubernetes")
    assert again["metadata"]["resourceVersion"] == before
    cluster.rest(advertise(cluster.world, cluster.now, "::1", 7443))
    slice_ = cluster.get("endpointslices.discovery.k8s.io", "kubernetes")
    assert (slice_["addressType"], slice_["ports"][0]["port"]) == ("IPv6", 7443)
    found = cluster.get("endpoints", "kubernetes")
    assert found["subsets"] == [
        {"addresses": [{"ip": "::1"}], "ports": [{"name": "https", "port": 7443, "protocol": "TCP"}]}
    ]


def test_the_aggregated_roles_begin_as_their_controller_would_leave_them(cluster: Cluster) -> None:
    kind = "clusterroles.rbac.authorization.k8s.io"
    for name in ("view", "edit", "admin"):
        role = cluster.get(kind, name)
        gathered = []
        for wanted in role["aggregationRule"]["clusterRoleSelectors"]:
            chosen = selectors.from_object(wanted)
            for other in cluster.names(kind):
                one = cluster.get(kind, other)
                if other != name and chosen.matches(one["metadata"]["labels"]):
                    gathered += [rule for rule in one["rules"] if rule not in gathered]
        assert role["rules"] == gathered, name
