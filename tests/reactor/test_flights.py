"""What the kernel kept of a container that died becomes a record beside its pod, once, and in words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fairlead.diagnose.lastcalls import deaths, telling
from fairlead.keep.errors import Refusal
from fairlead.reactor import flights
from fairlead.reactor.flights import DEATHS, Died, Flights, Writer
from fairlead.reactor.identities import Identities
from fairlead.sense import records
from fairlead.sense.events import Container, Process, make_event

EPOCH = 1_700_000_000_000_000_000
ID = "ab" * 32


def raw(
    kind: int, error: int, text: str = "", *, time: int = 5, tgid: int = 7, peer: tuple[int, int, bytes] = (0, 0, b""), count: int = 1,
    comm: bytes = b"app", last: int = 0,
) -> bytes:  # fmt: skip
    family, port, addr = peer
    blob = text.encode("utf-8", "surrogateescape")
    return records.FLIGHT_STRUCT.pack(
        time, 9, tgid, tgid, kind, len(blob), error, count, 0, last or time, comm, family, port, addr, blob
    )


def test_the_kernel_s_entries_in_words() -> None:
    entries = flights.calls(
        [
            raw(257, 2, "/etc/app.yaml", time=10, last=3_000_000, count=3),
            raw(42, 111, peer=(2, 5432, b"\x0a\x60\x00\x07"), time=20),
            raw(42, 110, peer=(10, 53, b"\x20\x01" + bytes(13) + b"\x01"), time=21),
            raw(records.Kind.EXIT, 11, comm=b"worker", time=22),
            raw(257, 13, "/a\nb\udcff", time=23),
            b"short",
        ],
        machine="x86_64",
        epoch=EPOCH,
    )
    assert [(one["call"], one.get("path", one.get("peer", "")), one["error"], one["count"]) for one in entries] == [
        ("connect", "10.96.0.7:5432", "ECONNREFUSED", 1),
        ("connect", "[2001::1]:53", "ETIMEDOUT", 1),
        ("exit", "", "SIGSEGV", 1),
        ("openat", "/a\\nb\\xff", "EACCES", 1),
        ("openat", "/etc/app.yaml", "ENOENT", 3),
    ]  # fmt: skip
    assert entries[-1]["message"] == "No such file or directory"
    assert entries[-1]["lastTime"] > entries[-1]["time"]


@pytest.mark.parametrize(("status", "expected"), [(0, (0, "")), (256, (1, "")), (9, (137, "SIGKILL")), (0x8B, (139, "SIGSEGV"))])  # fmt: skip
def test_endings(status: int, expected: tuple[int, str]) -> None:
    assert flights.ending(status) == expected


class Machine:
    def path_of(self, _pid: int) -> tuple[int, str]:
        return 0, ""

    def walk(self) -> dict[int, str]:
        return {9: f"/docker/{ID}", 10: "/system.slice"}


def died(*entries: bytes, status: int = 256, first: int = 1, removed: bool = False, container: dict[str, Any] | None = None) -> list[Died]:  # fmt: skip
    async def go() -> list[Died]:
        identities = Identities([], Machine())
        identities.start()
        for name, value in (
            {"name": "web", "pod": "web-1", "pod_namespace": "shop"} | (container or {})
        ).items():
            setattr(identities[9], name, value)
        told: list[Died] = []
        dropped: list[int] = []

        async def tell(one: Died) -> None:
            told.append(one)

        seen = Flights(
            identities, lambda _: list(entries), dropped.append, tell, machine="x86_64", epoch=EPOCH
        )
        process = Process(7, 1)
        process.cgroup, process.name = 9, "app"
        if removed:
            seen.removed(9, EPOCH + 50)
            seen.removed(10, EPOCH + 50)
        else:
            for _ in range(2):
                seen.exited(make_event("exited", process, args=(0, 1, first), ret=status, time=EPOCH + 50))
            if first:
                seen.removed(9, EPOCH + 60)
        await seen.settle()
        await identities.close()
        assert dropped == ([9] if first or removed else [])
        return told

    return asyncio.run(go())


def test_a_death_is_told_once_with_what_failed() -> None:
    (one,) = died(raw(257, 2, "/etc/app/config.yaml", count=3), raw(records.Kind.EXIT, 256))
    assert one.container.id == ID
    assert (one.death["exitCode"], one.death["containerID"], one.death["pid"]) == (1, ID, 7)
    assert [call["call"] for call in one.death["calls"]] == ["openat"]
    (read,) = deaths({"deaths": [one.death]})
    assert [str(call) for _, call in telling(read)] == [
        "open /etc/app/config.yaml: ENOENT (No such file or directory), 3 times"
    ]


def test_deaths_that_are_not_told() -> None:
    assert died(status=0) == []
    assert died(first=0) == []  # some other process of the container exited
    assert died(container={"sandbox": True, "name": ""}) == []


def test_a_death_by_lack_of_memory_and_one_by_a_signal() -> None:
    (one,) = died(raw(records.Kind.OOM, 9, comm=b"tail"), status=9)
    assert (one.death["exitCode"], one.death["signal"]) == (137, "SIGKILL")
    assert one.death["outOfMemory"] == "the kernel killed tail (process 7) for memory"
    (one,) = died(raw(records.Kind.EXIT, 11, tgid=8, comm=b"worker"), raw(records.Kind.EXIT, 256))
    (read,) = deaths({"deaths": [one.death]})
    assert [str(call) for _, call in telling(read)] == ["worker was ended by SIGSEGV (Segmentation fault)"]


def test_where_no_first_process_was_seen_the_last_exit_counts() -> None:
    (one,) = died(
        raw(records.Kind.EXIT, 11, time=3), raw(records.Kind.EXIT, 512, time=9, tgid=8), removed=True
    )
    assert (one.death["exitCode"], one.death["pid"]) == (2, 8)
    assert died(removed=True) == []


class Api:
    """Holds objects by kind and name; enough of a cluster for the writer."""

    def __init__(self, **pod: Any) -> None:
        meta = {"name": "web-1", "namespace": "shop", "uid": "u1"} | pod
        self.objects: dict[tuple[str, str], Any] = {("Pod", "web-1"): {"metadata": meta}}
        self.conflicts = 0

    async def get(self, _version: str, kind: str, _namespace: str, name: str) -> Any:
        try:
            return self.objects[kind, name]
        except KeyError:
            raise Refusal(404, "NotFound", name) from None

    async def create(self, body: Any) -> Any:
        key = (body["kind"], body["metadata"]["name"])
        if key in self.objects:
            raise Refusal(409, "AlreadyExists", "there")
        body["metadata"]["resourceVersion"] = "1"
        self.objects[key] = body

    async def update(self, body: Any) -> Any:
        if self.conflicts:
            self.conflicts -= 1
            raise Refusal(409, "Conflict", "changed")
        self.objects[body["kind"], body["metadata"]["name"]] = body


def write(api: Api, *exits: int, uid: str = "u1") -> Any:
    async def go() -> None:
        writer = Writer(api, "one")  # type: ignore[arg-type]  # what it asks of a cluster is there
        container = Container(id=ID, name="web", pod="web-1", pod_namespace="shop", pod_uid=uid)
        for code in exits:
            await writer.write(Died(container, {"exitCode": code}))

    asyncio.run(go())
    return api.objects.get(("FlightRecord", "web-1-web"))


def test_the_last_deaths_are_kept_the_last_first() -> None:
    found = write(Api(), *range(1, DEATHS + 3))
    assert [one["exitCode"] for one in found["deaths"]] == [DEATHS + 2, DEATHS + 1, DEATHS]
    assert found["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "web-1", "uid": "u1"}
    ]
    assert (found["pod"], found["container"], found["node"]) == ("web-1", "web", "one")


def test_deaths_of_an_earlier_pod_of_that_name_are_not_this_one_s() -> None:
    api = Api()
    write(api, 1)
    api.objects["Pod", "web-1"]["metadata"]["uid"] = "u2"
    assert [one["exitCode"] for one in write(api, 2, uid="u2")["deaths"]] == [2]
    write(api, 3, uid="u1")
    assert [one["exitCode"] for one in write(api, uid="u2")["deaths"]] == [2]


def test_a_write_that_loses_a_race_is_tried_again_and_one_of_a_pod_that_is_going_is_not_made() -> None:
    api = Api()
    write(api, 1)
    api.conflicts = 2
    assert [one["exitCode"] for one in write(api, 2)["deaths"]] == [2, 1]
    assert write(Api(deletionTimestamp="2026-01-01T00:00:00Z"), 1) is None
    assert write(Api(annotations={"kubernetes.io/config.hash": "hash"}), 1, uid="hash") is not None


def test_names_stay_within_what_the_api_takes() -> None:
    assert flights.record_name("a", "b") == "a-b"
    long = flights.record_name("p" * 253, "c" * 63)
    assert len(long) <= 253
    assert long != flights.record_name("p" * 253, "d" * 63)
