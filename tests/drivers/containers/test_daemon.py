from __future__ import annotations

import ipaddress
import json
import os
import tomllib
from pathlib import Path

import pytest

from fairlead.drivers.containers import daemon, places
from fairlead.drivers.containers.places import Places


def test_every_place_follows_from_the_data_directory() -> None:
    one, two = Places.of(Path("/var/lib/one")), Places.of(Path("/var/lib/two"))
    assert one == Places.of(Path("/var/lib/../lib/one"))
    for attribute in ("run", "home", "socket", "bridge", "network", "cgroup"):
        assert getattr(one, attribute) != getattr(two, attribute)
    assert len(one.bridge) <= 15
    assert len(str(Places.of(Path("/" + "x" * 300)).socket)) < 100


def test_the_configuration_is_toml_and_names_only_our_places() -> None:
    its = Places.of(Path('/data/with "quotes" and \\'))
    text = daemon.configuration(
        its, Path("/usr/lib/cni"), snapshotter="native", restrict_oom=True, pause="p:1"
    )
    read = tomllib.loads(text)
    assert read["version"] == 2
    assert read["root"] == str(its.root)
    assert read["grpc"]["address"] == str(its.socket)
    cri = read["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["restrict_oom_score_adj"] is True
    assert cri["sandbox_image"] == "p:1"
    assert cri["containerd"]["snapshotter"] == "native"
    assert cri["cni"] == {"bin_dir": "/usr/lib/cni", "conf_dir": str(its.cni), "max_conf_num": 1}
    assert cri["containerd"]["runtimes"]["runc"]["options"]["Root"].startswith(str(its.run))


def test_the_network_has_one_bridge_with_the_first_address() -> None:
    its = Places.of(Path("/data"))
    read = json.loads(daemon.network_configuration(its, ipaddress.IPv4Network("10.244.9.0/24"), 1400))
    (bridge,) = read["plugins"]
    assert bridge["bridge"] == its.bridge
    assert bridge["ipMasq"] is False
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.9.0/24", "gateway": "10.244.9.1"}]]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ipaddress.IPv4Network]:
    """A machine whose routes the test sets."""
    routes: list[ipaddress.IPv4Network] = []
    monkeypatch.setattr(places, "_RUN", tmp_path / "run")
    monkeypatch.setattr(places, "_routes", lambda: routes)
    return routes


def test_subnets_are_kept_and_never_shared(tmp_path: Path, machine: list[ipaddress.IPv4Network]) -> None:
    one, two = Places.of(tmp_path / "one"), Places.of(tmp_path / "two")
    first, second = places.choose_subnet(one), places.choose_subnet(two)
    assert not first.overlaps(second)
    assert places.choose_subnet(one) == first
    (one.run / "subnet").unlink()  # a machine that was started again
    assert places.choose_subnet(one) == first
    (one.run / "subnet").unlink()
    machine.append(first)
    assert not places.choose_subnet(one).overlaps(first)


def test_a_machine_whose_usual_network_is_taken(tmp_path: Path, machine: list[ipaddress.IPv4Network]) -> None:
    machine.append(ipaddress.IPv4Network("10.0.0.0/8"))
    assert places.choose_subnet(Places.of(tmp_path)).overlaps(ipaddress.IPv4Network("172.30.0.0/16"))
    machine.append(ipaddress.IPv4Network("172.16.0.0/12"))
    with pytest.raises(RuntimeError, match="no free network"):
        places.choose_subnet(Places.of(tmp_path / "other"))


def test_the_shared_directory_goes_with_the_last(
    tmp_path: Path, machine: list[ipaddress.IPv4Network]
) -> None:
    one = Places.of(tmp_path / "one")
    places.choose_subnet(one)
    places.release()
    assert (tmp_path / "run" / "lock").exists()
    (one.run / "subnet").unlink()
    one.run.rmdir()
    places.release()
    assert not (tmp_path / "run").exists()
    places.release()


def test_routes_are_read_from_the_kernels_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n"
        "eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
    )
    monkeypatch.setattr(places, "Path", lambda _path: table)
    assert list(places._routes()) == [ipaddress.IPv4Network("192.0.2.0/24")]


def test_what_is_missing_is_said_with_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if Path("/proc/self/ns/net").exists():
        assert "containers need root" in daemon.missing()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(daemon.shutil, "which", lambda *_args, **_named: None)  # type: ignore[attr-defined]
    monkeypatch.setattr(daemon, "_plugins", lambda: None)
    if Path("/proc/self/ns/net").exists():
        assert daemon.missing().endswith("apt-get install containerd runc containernetworking-plugins")


def test_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert daemon.last_words(log) == ""
    log.write_text("one\ncontainerd: it is all over\ntwo\n")
    assert daemon.last_words(log) == "containerd: it is all over"
