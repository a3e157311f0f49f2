"""The scenarios are well-formed: every file can be read, says what is expected, and names rules that there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from drills import FOLDER
from drills.comparing import Result, totals
from drills.reading import BadScenario, Scenario, Surroundings, names, read, space_of
from drills.seeing import holds, ill

from fairlead.diagnose.rules import RULES

EVERY = names(FOLDER)


@pytest.fixture(scope="module")
def scenarios() -> dict[str, Scenario]:
    return {name: read(FOLDER, name) for name in EVERY}


@pytest.mark.parametrize("name", EVERY)
def test_a_scenario_can_be_read_and_its_rules_exist(name: str) -> None:
    scenario = read(FOLDER, name)
    assert scenario.roots
    assert [root.rule for root in scenario.roots if root.rule not in RULES] == []
    assert len(space_of(name)) <= 63


def test_names_and_titles_tell_them_apart(scenarios: dict[str, Scenario]) -> None:
    assert len({space_of(name) for name in scenarios}) == len(scenarios)
    assert len({one.title for one in scenarios.values()}) == len(scenarios)


HEAD = "title: x\nshows: [{of: Pod a, phase: Pending}]\nexpect: [{at: Pod a, rule: pod.stuck, fix: y}]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: x\n", "says no shows"),
        (HEAD + "colour: red\n", "words that nobody knows: colour"),
        (HEAD + "change: [{break: Pod a}]\n", "a change is one of"),
        (HEAD + "change: [{patch: Pod a, merge: {}, json: []}]\n", "a patch is one of"),
        (HEAD + "change: [{delete: Widget a}]\n", "give its apiVersion"),
        (HEAD + "change: [{delete: Pod}]\n", "is not a kind and a name"),
        (HEAD.replace("fix: y", "fix: y, none: z"), "either a fix"),
        (HEAD.replace("phase", "colour"), "words that nobody knows"),
        (HEAD + "---\n{kind: Pod}\n", "a manifest has no apiVersion"),
        (HEAD + "---\n- a\n", "not mappings"),
        (HEAD + "app: none\n", "none.yaml"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "one.yaml").write_text(text)
    with pytest.raises(BadScenario, match=said):
        read(tmp_path, "one")


def test_names_are_filled_in_and_manifests_placed(tmp_path: Path) -> None:
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {node: $NODE, space: $NS}}}"
    (tmp_path / "one.yaml").write_text(
        f"{HEAD}---\n{pod}\n---\n{{apiVersion: v1, kind: Node, metadata: {{name: b}}}}\n"
    )
    scenario = read(tmp_path, "one", Surroundings("host"))
    assert scenario.manifests[0]["metadata"] == {
        "name": "a",
        "namespace": "drill-one",
        "labels": {"node": "host", "space": "drill-one"},
    }
    assert "namespace" not in scenario.manifests[1]["metadata"]


POD = {
    "kind": "Pod",
    "metadata": {"name": "api-1", "namespace": "x", "labels": {}},
    "status": {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
        "containerStatuses": [
            {
                "restartCount": 2,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"reason": "Error"}},
            }
        ],
    },
}
NOTE = {
    "metadata": {"name": "e"},
    "involvedObject": {"kind": "Pod", "name": "api-1"},
    "reason": "BackOff",
    "message": "it fails",
}


@pytest.mark.parametrize(
    ("words", "held"),
    [
        ("waiting: CrashLoopBackOff, restarts: 2", True),
        ("waiting: [ErrImagePull, CrashLoopBackOff]", True),
        ("waiting: CrashLoopBackOff, restarts: 3", False),
        ("terminated: Error", True),
        ("condition: PodScheduled=False/Unschedulable", True),
        ("condition: PodScheduled=False", True),
        ("condition: PodScheduled=True", False),
        ("event: BackOff, says: fails", True),
        ("event: BackOff, says: succeeds", False),
        ("phase: Pending", True),
        ("path: status.containerStatuses.0.restartCount, is: 2", True),
        ("path: status.containerStatuses.1.restartCount", True),
        ("gone: true", False),
    ],
)
def test_what_shows(tmp_path: Path, words: str, held: bool) -> None:
    text = (
        f"title: x\nshows: [{{of: Pod api-*, {words}}}]\nexpect: [{{at: Pod a, rule: pod.stuck, fix: y}}]\n"
    )
    (tmp_path / "one.yaml").write_text(text)
    assert holds(read(tmp_path, "one").shows[0], {"Pod": [POD], "Event": [NOTE]}) is held


def test_what_is_ill() -> None:
    meta = {"name": "api", "generation": 2}
    status = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    well = {"kind": "Deployment", "metadata": meta, "spec": {"replicas": 1}, "status": status}
    assert ill({"Deployment": [well]}) == []
    assert ill({"Deployment": [{**well, "status": {**status, "replicas": 2}}]}) == [
        "Deployment api: 1 of 1 ready"
    ]
    service = {"kind": "Service", "metadata": {"name": "api"}, "spec": {"selector": {"app": "api"}}}
    assert ill({"Service": [service]}) == ["Service api: no endpoints"]
    ends = {
        "metadata": {"name": "s", "labels": {"kubernetes.io/service-name": "api"}},
        "endpoints": [{"conditions": {"ready": True}}],
    }
    assert ill({"Service": [service], "EndpointSlice": [ends]}) == []


def test_what_it_comes_to() -> None:
    good = Result("a", "a", roots=1, found=1, seconds=[0.5], fixable=True, fixed=True)
    false = Result("b", "b", roots=1, found=1, seconds=[0.1], false=["x"])
    assert totals([good]).hold
    assert not totals([good, false]).hold
    assert not totals([good, Result("c", "c", roots=2, found=1, seconds=[9.0])]).hold
    assert totals([good, false]).median == 0.3
