from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fairlead.orchestrate.routing import Net, endpoints, missing_jumps, removal, rules
from fairlead.words import Resource

NET = Net(key="0a1b2c3d", bridge="fl0a1b2c3d", subnet="10.244.3.0/24", gateway="10.244.3.1", bridged=True)
P = "FAIRLEAD-0a1b2c3d"

SERVICE_RULES = f"""\
*nat
:{P}-SVC - [0:0]
:{P}-HOST - [0:0]
:{P}-POST - [0:0]
"""
POST = f"""\
-A {P}-POST -s 10.244.3.0/24 ! -d 10.244.3.0/24 ! -o fl0a1b2c3d -j MASQUERADE
-A {P}-POST -s 127.0.0.0/8 -o fl0a1b2c3d -j MASQUERADE
"""
FILTER = f"""\
COMMIT
*filter
:{P}-IN - [0:0]
:{P}-FWD - [0:0]
:{P}-OUT - [0:0]
-A {P}-IN -i fl0a1b2c3d -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A {P}-IN -i fl0a1b2c3d -m conntrack --ctstate DNAT -j ACCEPT
-A {P}-IN -i fl0a1b2c3d -d 10.244.3.1/32 -p udp -m udp --dport 53 -j ACCEPT
-A {P}-IN -i fl0a1b2c3d -d 10.244.3.1/32 -p tcp -m tcp --dport 53 -j ACCEPT
"""
END = f"""\
-A {P}-FWD -i fl0a1b2c3d -j ACCEPT
-A {P}-FWD -o fl0a1b2c3d -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT
COMMIT
"""


def service(name: str = "web", ports: list[Resource] | None = None, **spec: Any) -> Resource:
    fields = {
        "clusterIP": "10.96.0.10",
        "type": "ClusterIP",
        "ports": ports or [{"name": "http", "port": 80}],
    }
    return {"metadata": {"namespace": "shop", "name": name}, "spec": fields | spec}


def piece(
    *addresses: str, name: str = "web", port: int = 8080, port_name: str = "http", **fields: Any
) -> Resource:
    meta = {"namespace": "shop", "name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}}
    return {
        "metadata": meta,
        "addressType": "IPv4",
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    } | fields


def svc(*lines: str) -> str:
    return "".join(f"-A {P}-SVC {line}\n" for line in lines)


def own(*addresses: str) -> str:
    return "".join(
        f"-A {P}-POST -s {a}/32 -d {a}/32 -m conntrack --ctstate DNAT -j MASQUERADE\n" for a in addresses
    )


def test_no_services() -> None:
    assert rules(NET, [], []) == SERVICE_RULES + POST + FILTER + END


def test_three_pods_share_the_connections_evenly() -> None:
    text = rules(NET, [service()], [piece("10.244.3.10", "10.244.3.9"), piece("10.244.3.9", "10.244.3.11")])
    to = '-d 10.96.0.10/32 -p tcp -m tcp --dport 80 -m comment --comment "shop/web:http"'
    assert (
        text
        == SERVICE_RULES
        + svc(
            f"{to} -m statistic --mode random --probability 0.3333333333 -j DNAT --to-destination 10.244.3.9:8080",
            f"{to} -m statistic --mode random --probability 0.5000000000 -j DNAT --to-destination 10.244.3.10:8080",
            f"{to} -j DNAT --to-destination 10.244.3.11:8080",
        )
        + POST
        + own("10.244.3.9", "10.244.3.10", "10.244.3.11")
        + FILTER
        + END
    )


def test_a_bridge_that_the_filter_does_not_see() -> None:
    text = rules(dataclasses.replace(NET, bridged=False), [service()], [piece("10.244.3.9")])
    masquerade = f"-A {P}-POST -s 10.244.3.0/24 -d 10.244.3.0/24 -m conntrack --ctstate DNAT -j MASQUERADE\n"
    assert POST + masquerade + FILTER in text


def test_a_service_without_endpoints_refuses() -> None:
    text = rules(NET, [service(ports=[{"port": 80, "nodePort": 30080}], type="NodePort")], [])
    label = '-m comment --comment "shop/web:80 has no endpoints" -j REJECT'
    local = f"-p tcp -m tcp --dport 30080 -m addrtype --dst-type LOCAL {label}"
    assert (
        text
        == SERVICE_RULES
        + POST
        + FILTER
        + (
            f"-A {P}-FWD -d 10.96.0.10/32 -p tcp -m tcp --dport 80 {label}\n"
            f"-A {P}-OUT -d 10.96.0.10/32 -p tcp -m tcp --dport 80 {label}\n"
            f"-A {P}-IN -d 127.0.0.0/8 {local}\n"
            f"-A {P}-IN -d 10.244.3.1/32 {local}\n"
        )
        + END
    )


def test_the_apis_own_service_leads_to_the_api_unless_slices_say_otherwise() -> None:
    api = service("kubernetes", clusterIP="10.96.0.1")
    api["metadata"]["namespace"] = "default"
    net = dataclasses.replace(NET, api=("127.0.0.1", 6443))
    assert "-d 10.96.0.1/32 -p tcp -m tcp --dport 80" in rules(net, [api], [])
    assert rules(net, [api], []).count("127.0.0.1") == 1
    assert "REJECT" in rules(NET, [api], [])
    own = piece("192.0.2.7", name="kubernetes", port=443)
    own["metadata"]["namespace"] = "default"
    assert "--to-destination 192.0.2.7:443" in rules(net, [api], [own])
    assert "127.0.0.1" not in rules(net, [api], [own])


def test_a_node_port_is_open_on_loopback_and_to_pods() -> None:
    ports = [{"name": "http", "port": 80, "nodePort": 30080}]
    text = rules(NET, [service(ports=ports, type="NodePort")], [piece("10.244.3.9")])
    rest = '-m comment --comment "shop/web:http" -j DNAT --to-destination 10.244.3.9:8080'
    local = f"-p tcp -m tcp --dport 30080 -m addrtype --dst-type LOCAL {rest}"
    expected = svc(
        f"-d 10.96.0.10/32 -p tcp -m tcp --dport 80 {rest}",
        f"-d 127.0.0.0/8 {local}",
        f"-d 10.244.3.1/32 {local}",
    )
    assert expected in text


def test_clients_that_stay_at_one_pod() -> None:
    config = {"clientIP": {"timeoutSeconds": 60}}
    one = service(sessionAffinity="ClientIP", sessionAffinityConfig=config)
    text = rules(NET, [one], [piece("10.244.3.9", "10.244.3.10")])
    to = '-d 10.96.0.10/32 -p tcp -m tcp --dport 80 -m comment --comment "shop/web:http"'
    name = "-m recent --name FL0a1b2c3d-10.244.3"
    stay, mark = "--rcheck --seconds 60 --reap --rsource", "--set --rsource"
    chance = "-m statistic --mode random --probability 0.5000000000"
    assert (
        svc(
            f"{to} {name}.9-8080 {stay} -j DNAT --to-destination 10.244.3.9:8080",
            f"{to} {name}.10-8080 {stay} -j DNAT --to-destination 10.244.3.10:8080",
            f"{to} {chance} {name}.9-8080 {mark} -j DNAT --to-destination 10.244.3.9:8080",
            f"{to} {name}.10-8080 {mark} -j DNAT --to-destination 10.244.3.10:8080",
        )
        in text
    )


def test_protocols_and_several_ports() -> None:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    both = piece("10.244.3.9") | {
        "ports": [
            {"name": "dns", "port": 5353, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 5354, "protocol": "TCP"},
        ]
    }
    text = rules(NET, [service(ports=ports)], [both])
    assert "-p udp -m udp --dport 53" in text
    assert "10.244.3.9:5353" in text
    assert "10.244.3.9:5354" in text
    assert text.count("-j DNAT") == 2


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "None"},
        {"clusterIP": ""},
        {"type": "ExternalName", "externalName": "example.org"},
        {"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"]},
    ],
)
def test_services_without_an_ipv4_address_have_no_rules(spec: Resource) -> None:
    assert rules(NET, [service(**spec)], []) == rules(NET, [], [])


def pod(name: str, address: str, host_port: int, **port: Any) -> Resource:
    ports = [{"containerPort": 8080, "hostPort": host_port} | port]
    return {
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"containers": [{"ports": ports}]},
        "status": {"podIP": address, "phase": "Running"},
    }


def test_host_ports() -> None:
    over = pod("over", "10.244.3.5", 82)
    over["status"]["phase"] = "Succeeded"
    of_host = pod("host", "192.0.2.2", 83)
    of_host["spec"]["hostNetwork"] = True
    one = pod("one", "10.244.3.6", 80, hostIP="192.0.2.2", protocol="UDP")
    text = rules(NET, [], [], [pod("web", "10.244.3.7", 81), one, over, of_host, pod("new", "", 84)])
    local = "-m addrtype --dst-type LOCAL -m comment --comment"
    assert [line for line in text.splitlines() if "DNAT --to" in line] == [
        f'-A {P}-HOST -d 192.0.2.2/32 -p udp -m udp --dport 80 {local} "shop/one" -j DNAT --to-destination 10.244.3.6:8080',
        f'-A {P}-HOST -p tcp -m tcp --dport 81 {local} "shop/web" -j DNAT --to-destination 10.244.3.7:8080',
    ]


def conditions(address: str, **fields: bool) -> Resource:
    return {"addresses": [address], "conditions": fields}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([{"addresses": ["1.0.0.1"]}], ["1.0.0.1"]),
        ([conditions("1.0.0.1", ready=False)], []),
        (
            [
                conditions("1.0.0.1", ready=True),
                conditions("1.0.0.2", ready=False, serving=True, terminating=True),
            ],
            ["1.0.0.1"],
        ),
        ([conditions("1.0.0.2", ready=False, serving=True, terminating=True)], ["1.0.0.2"]),
        ([conditions("1.0.0.2", ready=False, serving=False, terminating=True)], []),
    ],
)
def test_which_endpoints_count(given: list[Resource], expected: list[str]) -> None:
    found = endpoints(service(), {"name": "http", "port": 80}, [piece(endpoints=given)])
    assert [address for address, _ in found] == expected


def test_endpoints_of_others_do_not_count() -> None:
    other = piece("1.0.0.1")
    other["metadata"]["namespace"] = "elsewhere"
    found = endpoints(
        service(),
        {"name": "http", "port": 80},
        [
            other,
            piece("1.0.0.2", name="api"),
            piece("1.0.0.3", port_name="admin"),
            piece("fd00::1", addressType="IPv6"),
        ],
    )
    assert found == []


SAVED = f"""\
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:{P}-SVC - [0:0]
:FAIRLEAD-ffffffff-SVC - [0:0]
-A PREROUTING -i fl0a1b2c3d -j {P}-SVC
-A PREROUTING -j FAIRLEAD-ffffffff-SVC
-A PREROUTING -j DOCKER
-A {P}-SVC -d 10.96.0.10/32 -j DNAT --to-destination 10.244.3.9:8080
COMMIT
*filter
:INPUT ACCEPT [0:0]
-A INPUT -j {P}-IN
COMMIT
"""


def test_jumps_that_are_missing_are_added_before_all_others() -> None:
    assert missing_jumps(NET, SAVED) == (
        f"*nat\n-I POSTROUTING 1 -j {P}-POST\n-I OUTPUT 1 -j {P}-HOST\n-I OUTPUT 1 -j {P}-SVC\n"
        f"-I PREROUTING 1 -j {P}-HOST\nCOMMIT\n"
        f"*filter\n-I OUTPUT 1 -j {P}-OUT\n-I FORWARD 1 -j {P}-FWD\nCOMMIT\n"
    )
    there = "".join(
        f"*{table}\n" + "".join(f"-A {chain} {rule}\n" for its, chain, rule in NET.jumps if its == table)
        for table in ("nat", "filter")
    )
    assert missing_jumps(NET, there) == ""


def test_removal_takes_ours_and_leaves_the_rest() -> None:
    assert removal("0a1b2c3d", SAVED) == (
        f"*nat\n:{P}-SVC - [0:0]\n-D PREROUTING -i fl0a1b2c3d -j {P}-SVC\n-X {P}-SVC\nCOMMIT\n"
        f"*filter\n-D INPUT -j {P}-IN\nCOMMIT\n"
    )
    assert removal("12345678", SAVED) == ""


def test_chain_names_fit() -> None:
    assert all(len(rule.split()[-1]) <= 28 for _, _, rule in NET.jumps)
