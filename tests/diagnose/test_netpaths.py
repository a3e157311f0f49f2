"""NetworkPolicies against their specification: one line a case, what is there and whether the path is open."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fairlead.diagnose.inventories import Inventory
from fairlead.diagnose.netpaths import OUTSIDE, End, allowed, opens_outwards
from fairlead.words import Resource, Snapshot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WEB = {"podSelector": {"matchLabels": {"app": "web"}}}
API = {"podSelector": {"matchLabels": {"app": "api"}}}
ALL: dict[str, Any] = {"podSelector": {}}
HTTP: dict[tuple[str, str | int], int] = {
    ("TCP", "http"): 8080,
    ("TCP", 8080): 8080,
    ("UDP", "dns"): 53,
    ("UDP", 53): 53,
}


def inventory(*specs: dict[str, Any], extra: tuple[Resource, ...] = (), scope: Any = "live") -> Inventory:
    policies = [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"p{at}", "namespace": spec.pop("namespace", "shop")},
            "spec": spec,
        }
        for at, spec in enumerate([dict(one) for one in specs])
    ]
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in (("shop", {"team": "a"}), ("bank", {"team": "b"}))
    ]
    return Inventory(Snapshot([*policies, *spaces, *extra]), scope=scope, now=NOW)


def pod(app: str, namespace: str = "shop", address: str = "", *, hosted: bool = False, **labels: str) -> End:
    return End(namespace, {"app": app, **labels}, address, hosted, HTTP)


def into(
    *sources: dict[str, Any], ports: Any = None, of: dict[str, Any] = WEB, **more: Any
) -> dict[str, Any]:
    rule: dict[str, Any] = {}
    if sources:
        rule["from"] = list(sources)
    if ports is not None:
        rule["ports"] = ports
    return {**of, "ingress": [rule], **more}


def out(*targets: dict[str, Any], ports: Any = None, of: dict[str, Any] = API, **more: Any) -> dict[str, Any]:
    rule: dict[str, Any] = {}
    if targets:
        rule["to"] = list(targets)
    if ports is not None:
        rule["ports"] = ports
    return {**of, "policyTypes": ["Egress"], "egress": [rule], **more}


BLOCK = {"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.2.0/24"]}}
B = {"namespaceSelector": {"matchLabels": {"team": "b"}}}
NAMED = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "bank"}}}

CASES: list[tuple[str, list[dict[str, Any]], dict[str, Any], bool | None]] = [
    ("no policy", [], {}, True),
    ("one that selects others", [{"podSelector": {"matchLabels": {"app": "db"}}}], {}, True),
    ("one of another namespace", [{**ALL, "namespace": "bank"}], {}, True),
    ("deny all: no rules, types left open", [ALL], {}, False),
    ("types left open mean ingress alone", [{**API}], {}, True),
    ("rules for egress add egress", [{**API, "egress": []}], {}, True),
    ("rules for egress add egress, if there are some", [{**API, "egress": [{"to": [B]}]}], {}, False),
    ("egress told without rules denies all", [{**API, "policyTypes": ["Egress"]}], {}, False),
    ("types told without egress: its rules do not count", [{**API, "policyTypes": ["Ingress"], "egress": [{"to": [B]}]}], {}, True),
    ("an empty rule lets all through", [into()], {}, True),
    ("empty lists are as absent ones", [{**WEB, "ingress": [{"from": [], "ports": []}]}], {}, True),
    ("by label", [into(API)], {}, True),
    ("by another label", [into({"podSelector": {"matchLabels": {"app": "apx"}}})], {}, False),
    ("all pods of the namespace", [into(ALL)], {}, True),
    ("all pods of the namespace are not those of others", [into(ALL)], {"source": pod("api", "bank")}, False),
    ("by expression", [into({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "x"]}]}})], {}, True),
    ("all namespaces", [into({"namespaceSelector": {}})], {"source": pod("api", "bank")}, True),
    ("a namespace by label", [into(B)], {"source": pod("api", "bank")}, True),
    ("a namespace by label, not this one", [into(B)], {}, False),
    ("a namespace by its name", [into(NAMED)], {"source": pod("api", "bank")}, True),
    ("a namespace and a pod in one peer: both", [into({**B, **API})], {"source": pod("job", "bank")}, False),
    ("a namespace and a pod in two peers: one is enough", [into(B, API)], {"source": pod("job", "bank")}, True),
    ("a namespace that was not seen, by a label", [into(B)], {"source": pod("api", "elsewhere")}, None),
    ("a namespace that was not seen, by its name", [into(NAMED)], {"source": pod("api", "elsewhere")}, False),
    ("a peer without anything is nobody", [into({})], {}, False),
    ("a port by number", [into(API, ports=[{"port": 8080}])], {}, True),
    ("another port", [into(API, ports=[{"port": 80}])], {}, False),
    ("another protocol", [into(API, ports=[{"port": 8080, "protocol": "UDP"}])], {}, False),
    ("a protocol without a port: all its ports", [into(API, ports=[{"protocol": "TCP"}])], {}, True),
    ("a port by name", [into(API, ports=[{"port": "http"}])], {}, True),
    ("a port by a name that the pods do not have", [into(API, ports=[{"port": "web"}])], {}, False),
    ("a range of ports", [into(API, ports=[{"port": 8000, "endPort": 8100}])], {}, True),
    ("a range that ends before", [into(API, ports=[{"port": 8000, "endPort": 8079}])], {}, False),
    ("one of several ports", [into(API, ports=[{"port": 80}, {"port": 8080}])], {}, True),
    ("one of several rules", [{**WEB, "ingress": [{"from": [B]}, {"from": [API]}]}], {}, True),
    ("policies add up", [ALL, into(API)], {}, True),
    ("port and peer must be in one rule", [{**WEB, "ingress": [{"from": [B], "ports": [{"port": 8080}]}, {"from": [API], "ports": [{"port": 1}]}]}], {}, False),
    ("egress to the target", [out(WEB)], {}, True),
    ("egress to another", [out(B)], {}, False),
    ("egress to a port by the target's name for it", [out(WEB, ports=[{"port": "http"}])], {}, True),
    ("egress to the Service's port is not to the pods'", [out(WEB, ports=[{"port": 80}])], {}, False),
    ("both ends must let it through", [out(WEB), ALL], {}, False),
    ("both ends let it through", [out(WEB), into(API)], {}, True),
    ("an address block, and an unknown address", [into(BLOCK)], {}, None),
    ("an address block covers a pod: networks differ", [into(BLOCK)], {"source": pod("api", address="10.1.1.1")}, None),
    ("an address block leaves it out", [into(BLOCK)], {"source": pod("api", address="10.1.2.9")}, False),
    ("an address block is of elsewhere", [into(BLOCK)], {"source": pod("api", address="10.2.0.1")}, False),
    ("an address outside is covered", [out(BLOCK)], {"target": End("", None, "10.1.1.1")}, True),
    ("an address outside is left out", [out(BLOCK)], {"target": End("", None, "10.1.2.1")}, False),
    ("an address block for IPv6", [into({"ipBlock": {"cidr": "fd00::/8"}})], {"source": pod("api", address="10.1.1.1")}, False),
    ("a source on the node's network", [into(API)], {"source": pod("api", hosted=True)}, None),
    ("a target on the node's network", [ALL], {"target": pod("web", hosted=True)}, None),
    ("what is no pod matches no selector", [into(ALL)], {"source": OUTSIDE}, False),
    ("what is no pod passes an open rule", [into()], {"source": OUTSIDE}, True),
    ("UDP", [into(API, ports=[{"port": "dns", "protocol": "UDP"}])], {"port": 53, "protocol": "UDP"}, True),
    ("a target port by name", [into(API, ports=[{"port": 8080}])], {"port": "http"}, True),
    ("a target port by a name that nobody has", [ALL], {"port": "nope"}, None),
    ("a selector that is none", [into({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}})], {}, False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("specs", "path", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_paths(specs: list[dict[str, Any]], path: dict[str, Any], expected: bool | None) -> None:
    ends: dict[str, Any] = {"source": pod("api"), "target": pod("web"), "port": 8080, **path}
    verdict = allowed(inventory(*specs), **ends)
    assert verdict.open is expected
    assert bool(verdict.policies) is (expected is False)


def test_who_says_no_is_named() -> None:
    verdict = allowed(inventory(ALL, out(B), into(B)), pod("api"), pod("web"), 8080)
    assert (verdict.direction, [one.name for one in verdict.policies]) == ("egress", ["p1"])
    verdict = allowed(inventory(ALL, into(B)), pod("api"), pod("web"), 8080)
    assert (verdict.direction, [one.name for one in verdict.policies]) == ("ingress", ["p0", "p1"])


def test_other_sorts_of_policies_make_a_cut_unknown() -> None:
    other = {
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNetworkPolicy",
        "metadata": {"name": "c", "namespace": "shop"},
    }
    assert allowed(inventory(ALL, extra=(other,)), pod("api"), pod("web"), 8080).open is None


def test_a_policy_that_is_being_deleted_does_not_count() -> None:
    there = inventory(ALL)
    there.of_kind("networking.k8s.io", "NetworkPolicy")[0]["metadata"]["deletionTimestamp"] = (
        "2026-01-01T00:00:00Z"
    )
    assert allowed(there, pod("api"), pod("web"), 8080).open is True


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ([], True),
        ([ALL], False),
        ([into(API)], False),
        ([into()], True),
        ([into(ports=[{"port": 8080}])], True),
        ([into(ports=[{"port": 80}])], False),
        ([into(B)], True),
        ([into({"ipBlock": {"cidr": "0.0.0.0/0"}})], True),
    ],
)
def test_what_comes_from_outside_the_namespace(specs: list[dict[str, Any]], expected: bool | None) -> None:
    assert opens_outwards(inventory(*specs), pod("web"), 8080)[0] is expected
