from __future__ import annotations

from typing import Any

import pytest

from fairlead.orchestrate.names import Names
from fairlead.words import Resource, Snapshot


def service(name: str, namespace: str = "shop", **spec: Any) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    }


def piece(name: str, *endpoints: Resource) -> Resource:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "shop",
            "name": f"{name}-x",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "pg", "port": 5432, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


PORTS = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
NAMES = Names(
    Snapshot(
        [
            service("web", clusterIP="10.96.0.10", ports=PORTS),
            service("db", clusterIP="None", ports=[{"name": "pg", "port": 5432}]),
            service("empty", clusterIP="None"),
            service("outside", type="ExternalName", externalName="Example.org."),
            piece(
                "db",
                {"addresses": ["10.244.0.5"], "hostname": "db-0"},
                {"addresses": ["10.244.0.6"], "conditions": {"ready": True}},
                {"addresses": ["10.244.0.7"], "hostname": "db-2", "conditions": {"ready": False}},
            ),
        ]
    )
)
C = "cluster.local"


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (f"web.shop.svc.{C}", "A", ["10.96.0.10"]),
        (f"web.shop.svc.{C}", "AAAA", []),
        (f"web.shop.svc.{C}", "ANY", ["10.96.0.10"]),
        (f"db.shop.svc.{C}", "A", ["10.244.0.5", "10.244.0.6"]),
        (f"db-0.db.shop.svc.{C}", "A", ["10.244.0.5"]),
        (f"10-244-0-6.db.shop.svc.{C}", "A", ["10.244.0.6"]),
        (f"db-2.db.shop.svc.{C}", "A", None),
        (f"empty.shop.svc.{C}", "A", []),
        (f"_http._tcp.web.shop.svc.{C}", "SRV", [f"0 100 80 web.shop.svc.{C}"]),
        (f"_dns._udp.web.shop.svc.{C}", "SRV", [f"0 100 53 web.shop.svc.{C}"]),
        (f"_dns._tcp.web.shop.svc.{C}", "SRV", None),
        (f"_http._tcp.web.shop.svc.{C}", "A", []),
        (
            f"_pg._tcp.db.shop.svc.{C}",
            "SRV",
            [f"0 100 5432 db-0.db.shop.svc.{C}", f"0 100 5432 10-244-0-6.db.shop.svc.{C}"],
        ),
        (f"outside.shop.svc.{C}", "A", ["example.org"]),
        (f"outside.shop.svc.{C}", "CNAME", ["example.org"]),
        (f"x.outside.shop.svc.{C}", "A", None),
        ("10.0.96.10.in-addr.arpa", "PTR", [f"web.shop.svc.{C}"]),
        ("5.0.244.10.in-addr.arpa", "PTR", [f"db-0.db.shop.svc.{C}"]),
        (f"10-244-0-9.shop.pod.{C}", "A", ["10.244.0.9"]),
        (f"10-244-0-999.shop.pod.{C}", "A", None),
        (f"dns-version.{C}", "TXT", ["1.1.0"]),
        (f"shop.svc.{C}", "A", []),
        (f"svc.{C}", "A", []),
        (f"nowhere.svc.{C}", "A", None),
        (f"nothing.shop.svc.{C}", "A", None),
        (f"web.other.svc.{C}", "A", None),
        (f"x.web.shop.svc.{C}", "A", None),
        (f"nothing.{C}", "A", None),
    ],
)
def test_what_names_mean(name: str, kind: str, expected: list[str] | None) -> None:
    """None stands for a name that does not exist, an empty list for one without such records."""
    answer = NAMES.answer(name.replace("10.0.96.10.in", "10.0.96.10.in"), kind)
    assert answer is not None
    assert answer.exists == (expected is not None)
    assert sorted(record.value for record in answer.records) == sorted(expected or [])
    assert all(record.name == name for record in answer.records)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("example.org", "A"), ("1.2.0.192.in-addr.arpa", "PTR"), ("notcluster.local", "A"), ("", "NS")],
)
def test_names_of_others_are_not_ours(name: str, kind: str) -> None:
    assert NAMES.answer(name, kind) is None


def test_what_stands_behind_a_record_comes_with_it() -> None:
    answer = NAMES.answer(f"_pg._tcp.db.shop.svc.{C}", "SRV")
    assert answer is not None
    assert [(record.name.partition(".")[0], record.value) for record in answer.extra] == [
        ("db-0", "10.244.0.5"),
        ("10-244-0-6", "10.244.0.6"),
    ]
    alias = NAMES.answer(f"outside.shop.svc.{C}", "A")
    assert alias is not None
    assert alias.outside == "example.org"


def test_before_anything_is_known() -> None:
    assert not Names(Snapshot()).known()
    assert NAMES.known()
