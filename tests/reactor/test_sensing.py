"""The pump on records made by hand, and what stands around it: rules told apart, metrics, policies' status, and a machine that allows nothing."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fairlead.dialects.tracingpolicy.placing import Told
from fairlead.drivers.cluster import Seen
from fairlead.keep.errors import Refusal
from fairlead.reactor import sense, sensing_metrics, sensing_rules
from fairlead.reactor.sensing import Sensing
from fairlead.reactor.sensing_policies import Folder, Policies, status_of
from fairlead.reactor.sensing_serving import Options as Serving
from fairlead.reactor.sensing_serving import Sensor, audit_sighting, sighting_of
from fairlead.reactor.sensing_steps import Options, Source, Step
from fairlead.sense import records
from fairlead.sense.events import Container, Process, make_event
from fairlead.sense.plans import Hook, Plan
from fairlead.sense.rules import Detection, Rule
from fairlead.words import Finding, Ref, Severity, Where

ID = "cd" * 32
FALCO = """
- rule: Any exec
  desc: x
  condition: evt.type = execve and proc.name = tool
  output: "%proc.name by %proc.pname in %container.id"
  priority: ERROR
"""
AUDIT = """
- rule: Secrets read
  desc: x
  condition: ka.verb = get and ka.target.resource = secrets
  output: "%ka.user.name read %ka.target.name"
  priority: WARNING
  source: k8s_audit
"""
POLICY: dict[str, Any] = {
    "apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy", "metadata": {"name": "connects"},
    "spec": {"kprobes": [{"call": "tcp_connect", "syscall": False, "args": [{"index": 0, "type": "sock"}]}]},
}  # fmt: skip
TRACEE = """
apiVersion: tracee.aquasec.com/v1beta1
kind: Policy
metadata: {name: first}
spec: {scope: [global], rules: [{event: execve}]}
"""


# --- rules


@pytest.mark.parametrize(
    ("text", "whose"),
    [
        (FALCO, "falco"),
        ("- rule: broken\n  condition: [\n", "falco"),
        (json.dumps(POLICY), "tracingpolicy"),
        (json.dumps({"kind": "List", "apiVersion": "v1", "items": [POLICY]}), "tracingpolicy"),
        ("kind: TracingPolicy\nspec: {\n", "tracingpolicy"),
        (TRACEE, "tracee"),
        ("apiVersion: v1\nkind: Pod\n", ""),
        ("just words", ""),
        ("", ""),
    ],
)
def test_whose_rules_a_text_holds(text: str, whose: str) -> None:
    assert sensing_rules.sort(text)[0] == whose


def test_rules_of_all_dialects_are_read_together_and_what_is_wrong_is_told_with_its_place() -> None:
    files = [
        ("a.yaml", FALCO), ("b.yaml", AUDIT), ("c.yaml", TRACEE), ("d.yaml", json.dumps(POLICY)), ("e.yaml", "kind: Pod\n"),
        ("f.yaml", "kind: TracingPolicy\nspec: {\n"), ("g.yaml", "- rule: Bad\n  desc: x\n  condition: nope = 1\n  output: x\n  priority: INFO\n"),
    ]  # fmt: skip
    found = sensing_rules.load(
        files, sensing_rules.Surroundings(abilities=frozenset({"tracepoint", "btf", "tp_btf"}))
    )
    assert {rule.dialect for rule in found.rules} >= {"falco", "tracee"}
    assert found.auditor is not None
    assert list(found.policies) == ["connects"]
    told = {one.where.file for one in found.findings if one.severity is not Severity.INFO}
    assert {"e.yaml", "f.yaml", "g.yaml"} <= told
    assert sensing_rules.load([]).auditor is None


def test_files_are_read_in_order_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("b")
    (tmp_path / "a.yml").write_text("a")
    (tmp_path / "c.txt").write_text("c")
    (tmp_path / "d.yaml").write_bytes(b"\xff\xfe")
    files, findings = sensing_rules.read([tmp_path, tmp_path / "none.yaml"])
    assert [text for _, text in files] == ["a", "b"]
    assert [one.where.file.rpartition("/")[2] for one in findings] == ["d.yaml", "none.yaml"]


def test_a_folder_is_looked_at_again(tmp_path: Path) -> None:
    folder = Folder([tmp_path / "rules.d"])
    assert not folder.look()
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d" / "a.yaml").write_text("x")
    assert folder.look()
    assert not folder.look()
    (tmp_path / "rules.d" / "a.yaml").write_text("xy")
    assert folder.look()
    (tmp_path / "rules.d" / "a.yaml").unlink()
    assert folder.look()


# --- policies of a cluster


def test_the_status_of_a_policy() -> None:
    seen = Told(".spec.kprobes[0]", "tcp_connect", "sys_exit_connect", "", "some")
    unseen = Told(".spec.kprobes[1]", "x", "", "", "there is no such function")
    assert status_of([], [seen]) == {
        "state": "enabled",
        "hooks": [{"path": ".spec.kprobes[0]", "function": "tcp_connect", "seenBy": "sys_exit_connect", "lost": "some"}],
    }  # fmt: skip
    assert status_of([], [unseen])["state"] == "unseen"
    about = Ref("cilium.io", "TracingPolicy", "", "p")
    wrong = Finding(
        rule="r", severity=Severity.CRITICAL, subject=about, message="is wrong", where=Where(path=".spec")
    )
    note = Finding(rule="r", severity=Severity.INFO, subject=about, message="differs")
    status = status_of([wrong, note], [seen])
    assert (status["state"], status["errors"], status["notes"]) == ("error", [".spec: is wrong"], ["differs"])


class Api:
    """Tells of one policy, then of a change, then of its end; takes statuses."""

    def __init__(self) -> None:
        self.patches: list[Any] = []

    async def follow(self, _version: str, kind: str) -> Any:
        if kind != "TracingPolicy":
            raise Refusal(404, "NotFound", "no such kind")
        yield Seen("ADDED", POLICY)
        yield Seen("SYNCED", {})
        yield Seen("MODIFIED", {**POLICY, "status": {"state": "enabled"}})
        await asyncio.Event().wait()

    async def patch(
        self, _version: str, kind: str, namespace: str, name: str, patch: Any, subresource: str = ""
    ) -> None:
        self.patches.append((kind, namespace, name, patch, subresource))


def test_policies_are_followed_and_a_status_is_written_once() -> None:
    async def go() -> None:
        api, changes = Api(), []
        policies = Policies(api, "one", lambda: changes.append(1))  # type: ignore[arg-type]  # enough of a cluster
        task = asyncio.create_task(policies.run())
        for one in policies.synced.values():
            await asyncio.wait_for(one.wait(), 5)
        await asyncio.sleep(0)
        assert [one["metadata"]["name"] for one in policies.documents] == ["connects"]
        assert changes == [1]  # a new status is no change
        await policies.tell([], {"connects": []})
        await policies.tell([], {"connects": []})
        assert len(api.patches) == 1
        kind, _, name, patch, part = api.patches[0]
        assert (kind, name, part) == ("TracingPolicy", "connects", "status")
        assert patch["status"]["nodes"]["one"] == {
            "state": "enabled",
            "hooks": None,
            "errors": None,
            "notes": None,
        }
        task.cancel()

    asyncio.run(go())


# --- the pump, on records made by hand


class Kernel:
    """A source of what a test hands it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.placed: Sequence[Any] = [
            SimpleNamespace(hook=Hook(sort="kprobe", name="f"), how="", lost="there is none")
        ]
        self.slots: dict[int, Hook] = dict(enumerate(plan.hooks, 1))
        self.remarks: Sequence[str] = []
        self.batches: list[Any] = []
        self.dropped = 0
        self.closed = False
        self.flights: dict[int, list[bytes]] = {}
        self.spared: set[int] = set()

    def fileno(self) -> int:
        return -1

    def read(self) -> Sequence[Any]:
        found, self.batches = self.batches, []
        return found

    def counters(self) -> Mapping[str, Any]:
        return {"calls": SimpleNamespace(seen=9, sent=9 - self.dropped, dropped=self.dropped, rated=0)}

    def flight(self, cgroup_id: int) -> Sequence[bytes]:
        return self.flights.get(cgroup_id, [])

    def drop_flight(self, cgroup_id: int) -> None:
        self.flights.pop(cgroup_id, None)

    def update(self, plan: Plan) -> None:
        self.plan, self.slots = plan, dict(enumerate(plan.hooks, 1))

    def spare(self, pid: int) -> None:
        self.spared.add(pid)

    def hold(self, owner: str = "") -> Any:
        return owner

    def close(self) -> None:
        self.closed = True


def call(kind: int, pid: int, *args: int, ret: int = 0, time: int = 1, comm: bytes = b"tool", cgroup: int = 77, lens: tuple[int, ...] = (0, 0, 0, 0)) -> bytes:  # fmt: skip
    six = [*args, *[0] * (6 - len(args))]
    return records.CALL_STRUCT.pack(
        time, pid * 10, cgroup, 0, ret, pid, pid, kind, 0, 0, 0, 0, comm, *lens, *six, bytes(64)
    )


def executed(pid: int, parent: int, *, time: int) -> bytes:
    texts = [b"/bin/tool", b"/", b"tool\0now", b""]
    head = call(records.Kind.EXEC, pid, time=time, lens=tuple(len(one) for one in texts))
    body = records.EXEC_STRUCT.pack(
        parent * 10, *[0] * 5, *[0] * 3, parent, pid, *[0] * 6, *[0] * 10, *range(10), *[0] * 4, *[0] * 3
    )
    return head + body + b"".join(texts)


def cgroup_made(path: bytes, number: int, *, time: int) -> Any:
    raw = call(records.Kind.CGROUP, 1, 1, number, time=time, lens=(len(path), 0, 0, 0)) + path.ljust(
        240, b"\0"
    )
    return SimpleNamespace(ring="named", records=np.frombuffer(raw, records.NAMED))


def sensed(fill: Callable[[Kernel], None], **options: Any) -> tuple[Step, Sensing, Kernel]:
    made: list[Kernel] = []

    def open_source(plan: Plan) -> Source:
        made.append(Kernel(plan))
        return made[-1]

    async def go() -> tuple[Step, Sensing]:
        sensing = Sensing(Options(open_source=open_source, identify=False, **options))
        started = await sensing.start()
        assert any("f is not seen: there is none" in one.message for one in started.findings)
        fill(made[0])
        step = await sensing.step()
        await asyncio.sleep(0.2)
        later = await sensing.step()
        step.died += later.died
        sensing.spare(5)
        await sensing.stop()
        return step, sensing

    step, sensing = asyncio.run(go())
    assert made[0].closed
    assert made[0].spared == {5}
    return step, sensing, made[0]


def test_events_are_judged_in_their_order_and_a_new_container_is_named() -> None:
    def fill(kernel: Kernel) -> None:
        boot = 1000
        exits = call(records.Kind.EXIT, 500, 0, 1, 1, ret=256, time=boot + 9)
        kernel.flights[77] = [
            records.FLIGHT_STRUCT.pack(1, 77, 500, 500, 257, 6, 2, 1, 0, 1, b"tool", 0, 0, b"", b"/x.yml")
        ]
        kernel.batches = [
            SimpleNamespace(ring="calls", records=np.frombuffer(exits, records.CALL)),
            SimpleNamespace(ring="long", records=[executed(500, 400, time=boot + 5)]),
            cgroup_made(f"/docker/{ID}".encode(), 77, time=boot + 1),
        ]

    step, sensing, _ = sensed(fill, always=True)
    assert [event.kind for event in step.events] == ["cgroup", "exec", "exited"]
    process = step.events[1].process
    assert (process.name, process.exe, process.args, process.exit_code) == (
        "tool",
        "/bin/tool",
        ["tool", "now"],
        256,
    )
    assert process.container is not None
    assert process.container.id == ID
    assert [
        (one.container.id, one.death["exitCode"], one.death["calls"][0]["path"]) for one in step.died
    ] == [(ID, 1, "/x.yml")]
    text = sensing.metrics.text()
    assert "fairlead_sense_events_total 3" in text
    assert 'fairlead_sense_kernel_events_total{class="calls",what="seen"} 9' in text


def test_what_was_lost_is_a_finding() -> None:
    def fill(kernel: Kernel) -> None:
        kernel.dropped = 4

    step, _, _ = sensed(fill)
    assert step.dropped == {"calls": 4}
    assert [(one.rule, one.subject.kind) for one in step.findings] == [("sense.dropped", "Node")]
    assert "4 events of the class calls were lost" in step.findings[0].message


def test_a_detection_is_told_about_its_pod_or_the_node() -> None:
    rule = Rule(
        key="falco/x",
        dialect="falco",
        name="x",
        message=lambda event: f"{event.process.name}\n!",
        tags=("t",),
    )
    init, process = Process(1), Process(7)
    init.name, process.name, process.parent = "init", "sh", init
    event = make_event("execve", process, time=5)
    told = sighting_of(Detection(rule, event), "one")
    assert (told.subject, told.message, told.processes, told.at) == (
        Ref("", "Node", "", "one"),
        "sh\\n!",
        "init(1) > sh(7)",
        5,
    )
    process.container = Container(id=ID, name="web", pod="p", pod_namespace="shop", pod_uid="u")
    told = sighting_of(Detection(rule, event), "one")
    assert (told.subject, told.container) == (Ref("", "Pod", "shop", "p"), "web")
    broken = Rule(key="falco/y", dialect="falco", name="y", message=lambda _event: str(1 // 0))
    assert "cannot be made" in sighting_of(Detection(broken, event), "one").message


def test_audit_events_are_told_about_what_they_are_about() -> None:
    auditor = sensing_rules.load([("a.yaml", AUDIT)]).auditor
    assert auditor is not None
    from fairlead.dialects.falco import Audited

    event = {"auditID": "1", "verb": "get", "user": {"username": "ann"}, "objectRef": {"resource": "secrets", "namespace": "shop", "name": "key"}}  # fmt: skip
    (found,) = auditor.judge(Audited(event, 5, 1))
    told = audit_sighting(found)
    assert (str(told.subject), told.message, told.dialect) == ("Secret shop/key", "ann read key", "falco")


# --- metrics


def test_metrics_are_served_to_a_scraper() -> None:
    async def ask(port: int, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer

    async def go() -> None:
        metrics = sensing_metrics.Metrics(lambda: {"a_gauge": ("What it is.", 2.5)})
        rule = Rule(key="k", dialect="falco", name='a "b"\n')
        metrics.detected(Detection(rule, make_event("x", Process(1))))
        metrics.reads.add(0.004)
        server = await sensing_metrics.serve(metrics, 0)
        port = server.sockets[0].getsockname()[1]
        answer = (await ask(port, b"GET /metrics?x HTTP/1.1\r\nHost: x\r\n\r\n")).decode()
        assert answer.startswith("HTTP/1.1 200 OK")
        assert (
            'fairlead_sense_detections_total{dialect="falco",rule="a \\"b\\"\\n",severity="warning"} 1'
            in answer
        )
        assert 'fairlead_sense_read_seconds_bucket{le="0.005"} 1' in answer
        assert "a_gauge 2.5" in answer
        assert (await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")).endswith(b"ok\n")
        assert b" 404 " in await ask(port, b"GET / HTTP/1.1\r\n\r\n")
        assert b" 405 " in await ask(port, b"POST /metrics HTTP/1.1\r\n\r\n")
        assert await ask(port, b"\x00" * 20_000) == b""
        server.close()

    asyncio.run(go())


# --- a machine that allows nothing


def test_without_root_it_says_why_and_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert sense.main(["--data-dir", str(tmp_path)]) == sense.NOT_HERE
    record = json.loads((tmp_path / "run" / "sensor.json").read_text())
    assert record == {"pid": 0, "watches": "", "without": ["the sensor: watching the kernel needs root"]}


def test_a_sensor_without_a_cluster_watches_all_the_same(tmp_path: Path) -> None:
    async def look() -> None:
        sensor = Sensor(Serving(rules=(tmp_path,), data_dir=tmp_path))
        assert sensor.watches() == "processes and failed calls"
        assert sensor.without() == []
        names = [name for name, loop in sensor._loops() if loop.close() is None]
        assert names == ["reader", "rules", "audit"]
        await sensor.sensing.stop()

    asyncio.run(look())
