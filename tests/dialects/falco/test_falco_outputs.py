"""Outputs: fields in texts, Falco's line and its JSON."""

from __future__ import annotations

import json

import pytest

from fairlead.dialects import falco
from fairlead.dialects.falco import outputs
from fairlead.sense.events import Process, make_event
from fairlead.sense.rules import Detection
from fairlead.tongues.conditions import Field, FieldRef, Many, Type, UnknownField

VALUES: dict[str, tuple[Type, Many, object]] = {
    "proc.name": (Type.TEXT, Many.ONE, "bash"),
    "proc.args": (Type.TEXT, Many.ONE, "a\nb\udcff é"),
    "proc.aname[2]": (Type.TEXT, Many.ONE, "sshd"),
    "proc.aname": (Type.TEXT, Many.ANY, ["sh", "sshd"]),
    "proc.none": (Type.TEXT, Many.ONE, None),
    "evt.num": (Type.INT, Many.ONE, 7),
    "evt.flag": (Type.BOOL, Many.ONE, True),
    "evt.time": (Type.TEXT, Many.ONE, "12:00:00.000000000"),
    "evt.buffer": (Type.BYTES, Many.ONE, b"ab\0c"),
    "fd.sip": (Type.ADDRESS, Many.ONE, bytes([10, 0, 0, 1])),
    "fd.sip6": (Type.ADDRESS, Many.ONE, bytes(15) + b"\1"),
    "fd.list": (Type.TEXT, Many.LIST, ["x", "y"]),
    "fd.empty": (Type.TEXT, Many.LIST, []),
    "fd.ratio": (Type.DOUBLE, Many.ONE, 0.25),
}


def resolver(ref: FieldRef) -> Field:
    name = ref.name if ref.argument is None else f"{ref.name}[{ref.argument}]"
    if name not in VALUES:
        raise UnknownField(f"nonexistent field {name}")
    of, many, _ = VALUES[name]
    return Field(of, f"event[{name!r}]", many)


EVENT = {name: value for name, (_, _, value) in VALUES.items()}


@pytest.mark.parametrize(
    ("text", "message", "fields"),
    [
        ("plain", "plain", {}),
        ("*ran %proc.name", "ran bash", {"proc.name": "bash"}),
        (
            "%proc.name|%proc.aname[2]|%evt.num",
            "bash|sshd|7",
            {"proc.name": "bash", "proc.aname[2]": "sshd", "evt.num": 7},
        ),
        ("(%proc.name), %proc.name.", "(bash), bash.", {"proc.name": "bash"}),
        ("%proc.name.exe", "bash.exe", {"proc.name": "bash"}),
        ("none=%proc.none empty=%fd.empty", "none=<NA> empty=<NA>", {"proc.none": None, "fd.empty": None}),
        ("%6proc.name|%2proc.name|", "bash  |ba|", {"proc.name": "bash"}),
        (
            "%toupper(proc.name) %len(proc.name)",
            "BASH 4",
            {"toupper(proc.name)": "BASH", "len(proc.name)": 4},
        ),
        ("%fd.list %proc.aname", "(x,y) sh", {"fd.list": ["x", "y"], "proc.aname": "sh"}),
        (
            "%evt.flag %fd.sip %fd.sip6",
            "true 10.0.0.1 ::1",
            {"evt.flag": True, "fd.sip": "10.0.0.1", "fd.sip6": "::1"},
        ),
        ("%evt.buffer %fd.ratio", "ab.c 0.2", {"evt.buffer": "ab.c", "fd.ratio": 0.25}),
        ("%evt.time", "12:00:00.000000000", {"evt.time": 99}),
        ("%proc.args", "a\\nb\\xff é", {"proc.args": "a\nb\ufffd é"}),
    ],
)
def test_fields_in_texts(text: str, message: str, fields: dict[str, object]) -> None:
    output = outputs.read(text, resolver)
    assert output.message(EVENT) == message
    assert output.fields(EVENT, 99) == fields


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty formatting token"),
        ("*", "empty formatting token"),
        ("a%", "formatting cannot end with a %"),
        ("a%12", "formatting cannot end with a number"),
        ("100%% sure", "invalid formatting token % sure"),
        ("% proc.name", "invalid formatting token"),
        ("%nothing", "invalid formatting token nothing"),
        ("%no.such.field", "nonexistent field no.such.field"),
        ("%proc.aname[2", "expected a ']' token"),
        ("%tolower(evt.num)", "type 'int' is not supported by 'tolower'"),
    ],
)
def test_what_an_output_refuses(text: str, message: str) -> None:
    with pytest.raises(outputs.BadOutput) as caught:
        outputs.read(text, resolver)
    assert message in caught.value.message


def test_times() -> None:
    assert outputs.clock(1_700_000_000_000_000_042) == "22:13:20.000000042"
    assert outputs.clock(1_700_000_000_000_000_042, 3600) == "23:13:20.000000042"
    assert outputs.iso8601(1_700_000_000_000_000_042) == "2023-11-14T22:13:20.000000042Z"


RULE = """
- rule: Shell
  desc: d
  condition: evt.type=execve
  output: shell %proc.name ran (user=%user.uid pid=%proc.pid)
  priority: ERROR
  tags: [b, a]
"""


def detection(**how: bool) -> Detection:
    (rule,) = falco.load([("a.yaml", RULE)], **how).rules  # type: ignore[arg-type]
    process = Process(42, 1)
    process.name = "bash"
    process.uid = process.euid = 5
    return Detection(rule, make_event("execve", process, time=1_700_000_000_000_000_042))


def test_a_line_as_falco_writes_it() -> None:
    assert (
        falco.line(detection(suggested=False)) == "22:13:20.000000042: Error shell bash ran (user=5 pid=42)"
    )


def test_a_json_line_as_falco_writes_it() -> None:
    line = falco.json_line(detection(suggested=False), "node-1")
    assert line == (
        '{"hostname":"node-1","output":"22:13:20.000000042: Error shell bash ran (user=5 pid=42)",'
        '"output_fields":{"evt.time":1700000000000000042,"proc.name":"bash","proc.pid":42,"user.uid":5},'
        '"priority":"Error","rule":"Shell","source":"syscall","tags":["a","b"],"time":"2023-11-14T22:13:20.000000042Z"}'
    )


def test_the_fields_of_containers_are_suggested() -> None:
    found = detection()
    assert falco.line(found).endswith(
        "(user=5 pid=42) container_id=host container_name=host container_image_repository=<NA> container_image_tag=<NA> k8s_pod_name=<NA> k8s_ns_name=<NA>"
    )
    assert found.rule.message is not None
    assert found.rule.message(found.event) == "shell bash ran (user=5 pid=42)"
    fields = json.loads(falco.json_line(found, "node-1"))["output_fields"]
    assert fields["container.id"] == "host"
    assert fields["k8s.pod.name"] is None


def test_what_an_output_has_is_not_suggested_again() -> None:
    assert outputs.whole(["a %container.id", "b %container.info"], suggested=True) == (
        "a %container.id b container_name=%container.name container_image_repository=%container.image.repository "
        "container_image_tag=%container.image.tag k8s_pod_name=%k8s.pod.name k8s_ns_name=%k8s.ns.name"
    )
