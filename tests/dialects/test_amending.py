"""Changed manifests keep everything that the change is not about."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.dialects.manifests import Unamendable, amend, parse

POD = """\
# the shop's front
apiVersion: v1
kind: Pod
metadata:
  name: web   # the one and only
  labels: {app: "web"}
spec:
  containers:
    # first the server
    - name: server
      image: "nginx:1.27"  # pinned

      args: [a, b]
    - image: sidecar:1
      name: sidecar
      securityContext:
  # where it may run
  nodeSelector:
    disk: ssd
"""


def put(document: Any, path: str, value: Any) -> Any:
    """Return a copy with a value at a JSON pointer."""
    after = copy.deepcopy(document)
    *steps, last = path.split("/")[1:]
    here = after
    for step in steps:
        here = here[int(step)] if isinstance(here, list) else here[step]
    if isinstance(here, list):
        here.insert(int(last), value) if last != "-" else here.append(value)
    else:
        here[last] = value
    return after


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("/spec/containers/0/image", "nginx:1.28", ["      image: nginx:1.28  # pinned"]),
        ("/metadata/name", "shop", ["  name: shop   # the one and only"]),
        ("/metadata/labels/tier", "front", ['  labels: {app: "web", tier: front}']),
        ("/spec/hostNetwork", False, ["  hostNetwork: false"]),
        ("/spec/containers/1/securityContext", {"runAsNonRoot": True},
         ["      securityContext:", "        runAsNonRoot: true"]),
        ("/spec/containers/0/securityContext", {"capabilities": {"drop": ["ALL"]}},
         ["      securityContext:", "        capabilities:", "          drop:", "          - ALL"]),
        ("/spec/containers/-", {"name": "third", "image": "x"}, ["    - name: third", "      image: x"]),
        ("/spec/containers/0/args/-", "c", ["      args: [a, b, c]"]),
        ("/spec/nodeSelector", {}, ["  nodeSelector: {}"]),
        ("/metadata/annotations", {"a": "yes"}, ["  annotations:", "    a: 'yes'"]),
    ],
)  # fmt: skip
def test_a_change_touches_its_own_lines_only(path: str, value: Any, changed: list[str]) -> None:
    before = parse("", POD)[0][0].content
    after = put(before, path, value)
    verb = (
        "replace" if path in {"/spec/containers/0/image", "/metadata/name", "/spec/nodeSelector"} else "add"
    )
    text = amend(POD, 2, after, [{"op": verb, "path": path, "value": value}])
    old, new = POD.split("\n"), text.split("\n")
    assert [line for line in new if line not in old] == [line for line in changed if line not in old]
    assert all(line in new for line in changed)
    comments = [line[line.index("#") :] for line in old if "#" in line]
    assert all(comment in text for comment in comments)


def test_removal_takes_the_lines_of_the_entry() -> None:
    document = parse("", POD)[0][0].content
    after = copy.deepcopy(document)
    del after["spec"]["containers"][1]["image"]
    del after["spec"]["containers"][0]["args"]
    text = amend(
        POD, 2, after,
        [{"op": "remove", "path": "/spec/containers/1/image"}, {"op": "remove", "path": "/spec/containers/0/args"}],
    )  # fmt: skip
    assert "    - name: sidecar\n" in text
    assert "args" not in text
    assert "# first the server" in text


def test_only_the_document_at_the_line_changes() -> None:
    text = "a: 1\n---\n# two\na: 1\n---\na: 1\n"
    assert amend(text, 4, {"a": 2}, [{"op": "replace", "path": "/a", "value": 2}]) == (
        "a: 1\n---\n# two\na: 2\n---\na: 1\n"
    )


def test_json_stays_json() -> None:
    text = json.dumps({"kind": "Pod", "spec": {"containers": [{"name": "a"}]}}, indent=2)
    after = {"kind": "Pod", "spec": {"containers": [{"name": "a", "image": "b"}], "hostPID": False}}
    changed = amend(
        text, 1, after,
        [{"op": "add", "path": "/spec/containers/0/image", "value": "b"},
         {"op": "add", "path": "/spec/hostPID", "value": False}],
    )  # fmt: skip
    assert parse("", changed)[0][0].content == after


def test_shared_values_are_not_changed_behind_a_back() -> None:
    text = "a: &x {b: 1}\nc: *x\n"
    with pytest.raises(Unamendable):
        amend(text, 1, {"a": {"b": 2}, "c": {"b": 1}}, [{"op": "replace", "path": "/a/b", "value": 2}])


KEYS = st.sampled_from(["a", "b", "name", "x/y"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab: #-'\n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=3), KEYS, VALUES, st.booleans())
def test_what_comes_back_says_what_was_meant_or_nothing(
    before: Any, key: str, value: Any, indented: bool
) -> None:
    import yaml

    text = yaml.safe_dump(before, default_flow_style=None if indented else False, sort_keys=False)
    after = {**before, key: value}
    verb = "replace" if key in before else "add"
    try:
        changed = amend(text, 1, after, [{"op": verb, "path": "/" + key.replace("/", "~1"), "value": value}])
    except Unamendable:
        return
    assert parse("", changed)[0][0].content == after
