"""What logs say was refused to service accounts."""

from __future__ import annotations

from fairlead.diagnose.denials import Denial, denials
from fairlead.words import Ref

ACCOUNT = Ref("", "ServiceAccount", "shop", "op")


def only(log: str) -> Denial:
    ((denial, _),) = denials(log)
    return denial


def test_a_list_in_a_namespace() -> None:
    log = 'E1 pods is forbidden: User "system:serviceaccount:shop:op" cannot list resource "pods" in API group "" in the namespace "shop"'
    assert only(log) == Denial(ACCOUNT, "list", "", "pods", "shop", "", "")
    assert only(log).what == "list pods"


def test_one_object_of_a_group_in_escaped_quotes() -> None:
    log = (
        '{"msg":"leases.coordination.k8s.io \\"a\\" is forbidden: User \\"system:serviceaccount:shop:op\\" cannot get resource '
        '\\"leases\\" in API group \\"coordination.k8s.io\\" in the namespace \\"ops\\""}'
    )
    assert only(log) == Denial(ACCOUNT, "get", "coordination.k8s.io", "leases", "ops", "a", "")
    assert only(log).key == ("rights.missing", ACCOUNT, "get leases.coordination.k8s.io@ops")


def test_the_whole_cluster_and_a_path() -> None:
    log = 'nodes is forbidden: User "system:serviceaccount:shop:op" cannot watch resource "nodes" in API group "" at the cluster scope'
    assert only(log).where == ""
    assert only(log).place == "in the whole cluster"
    log = 'forbidden: User "system:serviceaccount:shop:op" cannot get path "/metrics"'
    assert only(log).path == "/metrics"


def test_each_is_told_once_and_others_are_let_be() -> None:
    line = 'pods is forbidden: User "system:serviceaccount:shop:op" cannot list resource "pods" in API group "" in the namespace "shop"'
    assert len(denials(f"{line}\n{line}\n")) == 1
    assert denials('pods is forbidden: User "jane" cannot list resource "pods" in API group ""') == []
    assert denials("403 forbidden") == []
