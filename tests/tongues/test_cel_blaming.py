"""Why an expression is false: where in the object, and what would pass there."""

from functools import partial
from typing import Any

import pytest

from fairlead.tongues import cel
from fairlead.tongues.cel import kubernetes
from fairlead.tongues.cel import types as kinds
from fairlead.tongues.cel.blaming import MOST, blame
from fairlead.tongues.paths import dotted

POD: dict[str, Any] = {
    "metadata": {"name": "web", "labels": {"app": "web", "a.b/c": "d"}},
    "spec": {
        "replicas": 7,
        "hostNetwork": True,
        "containers": [
            {"name": "a", "image": "corp/a:1", "ports": [{"hostPort": 80}, {}]},
            {"name": "b", "image": "nginx", "securityContext": {"privileged": True}},
        ],
        "initContainers": [{"name": "i", "image": "busybox:latest"}],
    },
}
ENVIRONMENT = cel.Environment(variables=("object", "oldObject", "params"), libraries=kubernetes.LIBRARIES)


def places(text: str, variables: dict[str, str] | None = None) -> list[tuple[str, str]]:
    types: dict[str, cel.Type] = {}
    programs: dict[str, cel.Program | None] = {}
    environment = ENVIRONMENT.extend(variables={"variables": kinds.message("v", types)})
    bindings: dict[str, Any] = {"object": POD, "oldObject": None, "params": {"max": 5}}
    lazies: dict[str, Any] = {}
    bindings["variables"] = cel.Fields(lazies)
    for name, one in (variables or {}).items():
        program = environment.compile(one)
        programs[name] = program
        types = {**types, name: program.type}
        environment = environment.extend(variables={"variables": kinds.message("v", types)})
        lazies[name] = cel.Lazy(partial(program, bindings))
    program = environment.compile(text)
    assert program(bindings) is False
    return [(dotted(one.path), one.wanted) for one in blame(program, bindings, programs)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("object.spec.replicas <= 5", [(".spec.replicas", "at most 5")]),
        ("5 >= object.spec.replicas", [(".spec.replicas", "at most 5")]),
        ("!(object.spec.replicas > params.max)", [(".spec.replicas", "at most 5")]),
        ("object.metadata.name == 'db'", [(".metadata.name", "'db'")]),
        ("object.metadata.name != 'web'", [(".metadata.name", "anything but 'web'")]),
        ("object.metadata.name in ['a', 'b']", [(".metadata.name", "one of 'a', 'b'")]),
        ("!(object.metadata.name in ['web'])", [(".metadata.name", "none of 'web'")]),
        ("object.metadata.labels['a.b/c'] == 'e'", [(".metadata.labels['a.b/c']", "'e'")]),
        ("'team' in object.metadata.labels", [(".metadata.labels.team", "a value")]),
        ("'x' in object.spec.containers.map(c, c.name)", [(".spec.containers", "")]),
        ("has(object.spec.nodeName)", [(".spec.nodeName", "a value")]),
        ("!has(object.spec.hostNetwork)", [(".spec.hostNetwork", "nothing")]),
        ("!object.spec.hostNetwork", [(".spec.hostNetwork", "false")]),
        ("object.spec.?hostNetwork.orValue(false) == false", [(".spec.hostNetwork", "false")]),
        ("!object.spec.?hostNetwork.hasValue()", [(".spec.hostNetwork", "nothing")]),
        ("object.metadata.name.startsWith('db')", [(".metadata.name", "text that starts with 'db'")]),
        ("!object.metadata.name.contains('e')", [(".metadata.name", "text that does not contain 'e'")]),
        ("object.metadata.name.matches('^d')", [(".metadata.name", "text that matches '^d'")]),
        ("size(object.spec.containers) == 1", [(".spec.containers", "a size of 1")]),
        ("object.spec.containers.size() < 2", [(".spec.containers", "a size of less than 2")]),
        ("object.metadata.name == 'web' && object.spec.replicas == 1", [(".spec.replicas", "1")]),
        (
            "object.metadata.name == 'db' || object.spec.replicas == 1",
            [(".metadata.name", "'db'"), (".spec.replicas", "1")],
        ),
        ("has(object.spec.x) ? true : object.spec.replicas == 1", [(".spec.replicas", "1")]),
        (
            "object.spec.containers.all(c, c.image.startsWith('corp/'))",
            [(".spec.containers[1].image", "text that starts with 'corp/'")],
        ),
        (
            "!object.spec.containers.exists(c, c.?securityContext.?privileged.orValue(false))",
            [(".spec.containers[1].securityContext.privileged", "false")],
        ),
        (
            "object.spec.containers.all(c, c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0))",
            [(".spec.containers[0].ports[0].hostPort", "0")],
        ),
        ("object.spec.containers.exists(c, c.name == 'z')", [(".spec.containers", "")]),
        (
            "(object.spec.containers + object.spec.?initContainers.orValue([])).all(c, !c.image.endsWith(':latest'))",
            [(".spec.initContainers[0].image", "text that does not end with ':latest'")],
        ),
        (
            "object.spec.containers.filter(c, c.name != 'a').all(c, c.image == 'x')",
            [(".spec.containers[1].image", "'x'")],
        ),
        (
            "object.spec.containers.map(c, c.image).all(i, i.contains('corp'))",
            [(".spec.containers[1].image", "text that contains 'corp'")],
        ),
        ("object.metadata.labels.all(k, k == 'app')", [(".metadata.labels['a.b/c']", "")]),
        ("object.metadata.labels.all(k, v, v == 'web')", [(".metadata.labels['a.b/c']", "'web'")]),
        ("object.metadata.name == object.metadata.labels.app + 'x'", [(".metadata.name", "'webx'")]),
        ("object.spec.replicas == object.spec.containers[0].ports.size()", [(".spec.replicas", "2")]),
        ("false", []),
        ("params.max == 6", []),
    ],
)
def test_places(text: str, expected: list[tuple[str, str]]) -> None:
    assert places(text) == expected


def test_variables_are_followed() -> None:
    variables = {
        "all": "object.spec.containers + object.spec.?initContainers.orValue([])",
        "good": "variables.all.all(c, c.image.startsWith('corp/'))",
        "most": "params.max",
    }
    found = [
        (".spec.containers[1].image", "text that starts with 'corp/'"),
        (".spec.initContainers[0].image", "text that starts with 'corp/'"),
    ]
    assert places("variables.good", variables) == found
    assert places("variables.all.all(c, c.image.startsWith('corp/'))", variables) == found
    assert places("object.spec.replicas <= variables.most", variables) == [(".spec.replicas", "at most 5")]


def test_a_guess_never_breaks_and_never_grows() -> None:
    many = {"spec": {"items": [{"n": n} for n in range(1000)]}}
    program = ENVIRONMENT.compile("object.spec.items.all(i, i.n < 0 || i.missing)")
    assert len(blame(program, {"object": many})) <= MOST
    assert blame(program, {}) == []
    nested = "object.spec.items"
    for name in "abcd":
        nested += f".all({name}, object.spec.items"
    program = ENVIRONMENT.compile(nested + ".all(z, z.n >= 0)" + ")" * 4)
    assert blame(program, {"object": many}) == []
