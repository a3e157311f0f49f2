"""YAML detectors: events made of others, the lists they share, and what is said of what is wrong."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from fairlead.dialects import tracee
from fairlead.sense.events import CONTAINED, Container, Event, Process, make_event
from fairlead.sense.rules import Detection, Rule
from fairlead.words import Severity

TOOL = """
id: own-1
produced_event:
  name: tool_run
  version: 1.0.0
  description: a tool ran
  tags: [execution]
  fields:
    - {name: binary, type: string}
requirements:
  min_tracee_version: 0.0.0
  events:
    - name: sched_process_exec
      data_filters:
        - pathname=/usr/bin/nc
        - pathname=*/ncat
auto_populate: {detected_from: true}
output:
  fields:
    - {name: binary, expression: getData("pathname")}
"""
INSIDE = """
id: own-2
produced_event:
  name: tool_in_container
  version: 1.0.0
  fields:
    - {name: binary, type: string}
    - {name: container, type: string}
requirements:
  events:
    - name: tool_run
      scope_filters: [container]
threat:
  name: Tool in a container
  severity: high
  description: A tool ran in a container
  mitre:
    technique: {id: T1059, name: Command and Scripting Interpreter}
    tactic: {name: Execution}
auto_populate: {threat: true, detected_from: true}
output:
  fields:
    - {name: binary, expression: data.binary}
    - {name: container, expression: workload.container.id}
"""
BOX = Container(id="ab" * 32, name="web", image="nginx:1", pod="web-1", pod_namespace="shop", started=50)


def ran(path: str, *, inside: bool = False, **told: Any) -> Event:
    process = Process(100, 1)
    process.name = process.title = path.rpartition("/")[2]
    process.exe = path
    process.args = [path, "-l"]
    process.known = True
    process.vpid = 3 if inside else 100
    process.container = BOX if inside else None
    for key, value in told.items():
        setattr(process, key, value)
    return make_event("exec", process, texts=(path, "/"), flags=CONTAINED if inside else 0, time=10**18)


def one(text: str, *more: str) -> Rule:
    loaded = tracee.load([("d.yaml", text), *((f"m{at}", each) for at, each in enumerate(more))])
    assert [str(each.message) for each in loaded.findings] == []
    return loaded.rules[0]


def found(rule: Rule, event: Event) -> Any:
    assert rule.residue is not None
    return rule.residue(event)


def test_a_detector_makes_an_event_with_fields_of_its_own() -> None:
    rule = one(TOOL)
    assert rule.kinds == ("exec",)
    assert not rule.findings
    assert found(rule, ran("/usr/bin/nc")) == {"binary": "/usr/bin/nc"}
    assert found(rule, ran("/opt/ncat")) == {"binary": "/opt/ncat"}
    assert not found(rule, ran("/usr/bin/ls"))


def test_a_detector_stands_on_another_wherever_it_is_written() -> None:
    loaded = tracee.load([("2.yaml", INSIDE), ("1.yaml", TOOL)])
    assert [each.message for each in loaded.findings] == []
    rules = {each.name: each for each in loaded.rules}
    rule = rules["tool_in_container"]
    assert (rule.severity, rule.priority, rule.findings) == (Severity.CRITICAL, "high", True)
    assert found(rule, ran("/usr/bin/nc", inside=True)) == {"binary": "/usr/bin/nc", "container": BOX.id}
    assert not found(rule, ran("/usr/bin/nc"))
    assert rule.message is not None
    assert rule.message(ran("/usr/bin/nc", inside=True)).startswith(
        "Tool in a container: nc (pid 100) in web: binary /usr/bin/nc"
    )


def test_a_policy_that_names_a_detector_narrows_it_and_has_it_alone() -> None:
    text = "name: p\nscope: [comm=nc]\nrules:\n- event: tool_run\n  filters: ['data.binary=/usr/*']\n"
    loaded = tracee.load([("1.yaml", TOOL), ("p.yaml", text)])
    assert [each.message for each in loaded.findings] == []
    (rule,) = loaded.rules
    assert rule.key == "tracee/p/tool_run"
    assert found(rule, ran("/usr/bin/nc"))
    assert not found(rule, ran("/opt/ncat"))


def test_the_form_of_kubernetes_and_the_older_names_are_read() -> None:
    spec = textwrap.indent(TOOL, "  ")
    crd = f"apiVersion: tracee.aquasec.com/v1beta1\nkind: Detector\nmetadata: {{name: d}}\nspec:{spec}"
    assert found(one(crd), ran("/usr/bin/nc"))
    older = (
        TOOL.replace("data_filters", "filters")
        .replace("- pathname", "- data.pathname")
        .replace(
            'fields:\n    - {name: binary, expression: getData("pathname")}',
            "extract_fields:\n    - {name: binary, source: data.pathname}",
        )
    )
    assert found(one(older), ran("/usr/bin/nc")) == {"binary": "/usr/bin/nc"}


CONDITIONS: list[tuple[str, bool]] = [
    ('getData("pathname").startsWith("/usr")', True),
    ('hasData("argv") && size(getData("argv")) == 2', True),
    ('hasData("nope")', False),
    ('getData("nope").startsWith("x")', False),
    ('workload.container.id != ""', False),
    ('workload.process.thread.name == "nc" && workload.process.host_pid == 100u', True),
    ('basename(getData("pathname")) in TOOLS', True),
    ('basename(dirname(getData("pathname"))) == "bin"', True),
    (
        'lower(upper(trim(" a "))) == "a" && replace("aa", "a", "b") == "bb" && join(split("a,b", ","), "+") == "a+b"',
        True,
    ),
    ('process.get(workload.process.unique_id).exe == "/usr/bin/nc"', True),
    ('process.getAncestry(workload.process.unique_id, 5).exists(one, one.name == "sh")', False),
    ('container.get("x") == null', True),
    ('syscall.getId("openat") == 257 && syscall.getName(257) == "openat"', True),
    ('event.name == "sched_process_exec" && timestamp > timestamp("2001-01-01T00:00:00Z")', True),
    ("1/0 == 1", False),
]


@pytest.mark.parametrize(("condition", "said"), CONDITIONS)
def test_conditions(condition: str, said: bool) -> None:
    lists = "name: TOOLS\ntype: string_list\nvalues: [nc, socat]\n"
    rule = one(TOOL + f"conditions:\n  - '{condition}'\n", lists)
    assert bool(found(rule, ran("/usr/bin/nc"))) is said


@pytest.mark.parametrize(
    ("expression", "optional", "said"),
    [
        ("workload.container.id", True, {}),
        ("workload.process.pid.value", False, {"binary": 100}),
        ("workload.process.executable.path", False, {"binary": "/usr/bin/nc"}),
        ("timestamp", False, {"binary": 10**18}),
        ("name", False, {"binary": "sched_process_exec"}),
        ('getData("nope")', True, {}),
        ('getData("nope")', False, None),
        ("workload.k8s.pod.name", False, None),
        ('string(size(getData("argv")))', False, {"binary": "2"}),
    ],
)
def test_outputs(expression: str, optional: bool, said: dict[str, Any] | None) -> None:
    text = TOOL.replace(
        'expression: getData("pathname")', f"expression: '{expression}', optional: {str(optional).lower()}"
    )
    assert found(one(text), ran("/usr/bin/nc")) == said


WRONG: list[tuple[str, str, str, str]] = [
    ("id: own-1", "id: ''", ".id", "detector ID is required"),
    ("name: tool_run", "name: ''", ".produced_event.name", "produced_event.name is required"),
    ("name: tool_run", "name: openat", ".produced_event.name", "event openat exists already"),
    ("version: 1.0.0", "version: one", ".produced_event.version", "invalid version 'one'"),
    ("type: string", "type: map", ".produced_event.fields[0].type", "invalid field type 'map'"),
    (
        "name: sched_process_exec",
        "name: nothing",
        ".requirements.events[0].name",
        "event nothing is not valid",
    ),
    (
        "name: sched_process_exec",
        "name: tool_run",
        ".requirements.events[0].name",
        "event tool_run is not valid",
    ),
    ("name: sched_process_exec", "name: sched_switch", ".requirements.events[0].name", "cannot be seen here"),
    (
        "pathname=/usr/bin/nc",
        "nope=/usr/bin/nc",
        ".requirements.events[0].data_filters[0]",
        "does not have data nope",
    ),
    ('getData("pathname")', "getData(", ".output.fields[0].expression", "ERROR"),
    (
        'getData("pathname")',
        "kernel.getSymbolAddress('x')",
        ".output.fields[0].expression",
        "symbols are not read",
    ),
    ("name: binary, expression", "name: other, expression", ".output.fields[0].name", "not declared"),
    (
        "min_tracee_version: 0.0.0",
        "architectures: [arm64]",
        ".requirements.architectures",
        "it is not for x86_64",
    ),
    (
        "min_tracee_version: 0.0.0",
        "enrichments: [magic]",
        ".requirements.enrichments[0]",
        "unknown enrichment",
    ),
    (
        "auto_populate:",
        "threat: {severity: huge}\nauto_populate:",
        ".threat.severity",
        "invalid severity 'huge'",
    ),
]


@pytest.mark.parametrize(("old", "new", "path", "said"), WRONG)
def test_what_is_wrong_is_said_with_its_place(old: str, new: str, path: str, said: str) -> None:
    assert old in TOOL
    loaded = tracee.load([("d.yaml", TOOL.replace(old, new, 1))])
    assert [(each.where.path, said in each.message) for each in loaded.findings] == [(path, True)]
    assert not loaded.rules


def test_what_is_only_unsupported_is_told_and_used() -> None:
    text = TOOL.replace("min_tracee_version: 0.0.0", "min_tracee_version: 9.0.0").replace(
        "id: own-1", "id: own-1\ncolour: red"
    )
    loaded = tracee.load([("d.yaml", text)])
    assert [(each.rule, each.where.path, each.where.line) for each in loaded.findings] == [
        ("policy.unsupported", ".requirements.min_tracee_version", 12),
        ("policy.unsupported", ".colour", 3),
    ]
    assert len(loaded.rules) == 1


@pytest.mark.parametrize(
    "text", ["type: string_list\nname: low\nvalues: [a]", "type: string_list\nname: UP\nvalues: [1]"]
)
def test_lists_that_are_none(text: str) -> None:
    loaded = tracee.load([("l", text)])
    assert len(loaded.findings) == 1
    assert not loaded.lists


def test_a_detection_is_written_as_tracee_writes_it() -> None:
    loaded = tracee.load([("2.yaml", INSIDE), ("1.yaml", TOOL)])
    rule = next(each for each in loaded.rules if each.name == "tool_in_container")
    event = ran("/usr/bin/nc", inside=True)
    written = tracee.event(Detection(rule, event, found(rule, event)), "box")
    assert written["eventName"] == "tool_in_container"
    assert (written["processId"], written["hostProcessId"], written["hostName"]) == (3, 100, "box")
    assert written["container"] == {"id": BOX.id, "name": "web", "image": "nginx:1"}
    assert written["kubernetes"] == {"podName": "web-1", "podNamespace": "shop"}
    assert written["contextFlags"] == {"containerStarted": True, "isCompat": False}
    assert [each["name"] for each in written["args"]] == ["triggeredBy", "binary", "container"]
    assert written["args"][0]["value"]["name"] == "tool_run"
    assert written["metadata"]["Properties"]["external_id"] == "T1059"
    assert written["argsNum"] == 3


def test_a_plain_event_is_written_with_words_for_its_numbers() -> None:
    text = "name: p\nscope: [global]\nrules:\n- event: openat\n"
    (rule,) = tracee.load([("p", text)]).rules
    process = Process(5, 1)
    process.name, process.vpid = "s\udcff", 5
    event = make_event(
        "openat", process, args=(0xFFFFFF9C, 1, 0o101, 0o644), ret=-13, texts=("", "/x\n", ""), time=7
    )
    written = tracee.event(Detection(rule, event, found(rule, event)))
    assert written["args"] == [
        {"name": "dirfd", "type": "int", "value": -100},
        {"name": "pathname", "type": "const char*", "value": "/x\\n"},
        {"name": "flags", "type": "string", "value": "O_WRONLY|O_CREAT"},
        {"name": "mode", "type": "string", "value": "S_IRUSR|S_IWUSR|S_IRGRP|S_IROTH"},
    ]
    assert (written["timestamp"], written["returnValue"], written["eventId"]) == (7, -13, "257")
    assert (written["processName"], written["matchedPolicies"]) == ("s\\xff", ["p"])
