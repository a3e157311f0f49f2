"""Selectors by process, namespace, capability, credential and workload; their order; rates; and what a record tells that Python does not know."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.dialects.tracingpolicy import filters
from fairlead.sense.events import Container, Process, make_event

HOME_PID, HOME_MNT, HOME_USER = 4026531833, 4026531832, 4026531839


def contained(parent: Process, pid: int = 900, vpid: int = 7, exe: str = "/bin/sh") -> Process:
    process = Process(pid, pid * 1000)
    process.exe, process.parent, process.vpid = exe, parent, vpid
    process.ns = tuple(one + 1000 for one in parent.ns)
    process.contained = True
    return process


PIDS: list[tuple[dict[str, Any], str, bool]] = [
    ({"operator": "In", "values": [71]}, "cat", True), ({"operator": "In", "values": [70]}, "cat", False),
    ({"operator": "NotIn", "values": [70]}, "cat", True), ({"operator": "NotIn", "values": [71]}, "cat", False),
    ({"operator": "In", "values": [70], "followForks": True}, "cat", True), ({"operator": "In", "values": [99], "followForks": True}, "cat", False),
    ({"operator": "NotIn", "values": [1], "followForks": True}, "cat", False), ({"operator": "NotIn", "values": [99], "followForks": True}, "cat", True),
    ({"operator": "NotIn", "values": [1], "isNamespacePID": True}, "cat", True), ({"operator": "In", "values": [0], "isNamespacePID": True}, "cat", True),
    ({"operator": "NotIn", "values": [0], "isNamespacePID": True}, "cat", False), ({"operator": "In", "values": [7], "isNamespacePID": True}, "inside", True),
    ({"operator": "In", "values": [900], "isNamespacePID": True}, "inside", False),
    ({"operator": "NotIn", "values": [0, 1], "isNamespacePID": True}, "inside", True),
    ({"operator": "NotIn", "values": [1], "isNamespacePID": True, "followForks": True}, "inside", True),
    ({"operator": "NotIn", "values": [0], "isNamespacePID": True, "followForks": True}, "inside", True),
    ({"operator": "NotIn", "values": [1], "isNamespacePID": True, "followForks": True}, "cat", False),
    ({"operator": "NotIn", "values": [1], "isNamespacePID": True, "followForks": True}, "child", False),
    ({"operator": "In", "values": [1], "isNamespacePID": True, "followForks": True}, "child", True),
]  # fmt: skip


@pytest.mark.parametrize(("selector", "who", "met"), PIDS)
def test_process_ids(bench: Any, cat: Process, selector: dict[str, Any], who: str, met: bool) -> None:
    first = contained(cat, 800, 1)
    child = contained(first, 801, 2)
    child.ns = first.ns
    process = {"cat": cat, "inside": contained(cat), "child": child}[who]
    loaded = bench.probe(call="sys_setuid", selectors=[{"matchPIDs": [selector]}])
    assert not loaded.findings
    assert bool(bench.judge(loaded.rules[0], make_event("setuid", process, flags=1))) is met


BINARIES: list[tuple[str, dict[str, Any], bool]] = [
    ("matchBinaries", {"operator": "In", "values": ["/usr/bin/cat", "/x"]}, True), ("matchBinaries", {"operator": "In", "values": ["cat"]}, False),
    ("matchBinaries", {"operator": "NotIn", "values": ["/usr/bin/cat"]}, False), ("matchBinaries", {"operator": "NotIn", "values": ["/x"]}, True),
    ("matchBinaries", {"operator": "Prefix", "values": ["/usr/"]}, True), ("matchBinaries", {"operator": "NotPrefix", "values": ["/usr/"]}, False),
    ("matchBinaries", {"operator": "Postfix", "values": ["/cat"]}, True), ("matchBinaries", {"operator": "NotPostfix", "values": ["/dog"]}, True),
    ("matchBinaries", {"operator": "In", "values": ["/usr/bin/bash"]}, False),
    ("matchBinaries", {"operator": "In", "values": ["/usr/bin/bash"], "followChildren": True}, True),
    ("matchBinaries", {"operator": "In", "values": ["/usr/bin/cat"], "followChildren": True}, True),
    ("matchBinaries", {"operator": "NotIn", "values": ["/sbin/init"], "followChildren": True}, False),
    ("matchBinaries", {"operator": "NotIn", "values": ["/x"], "followChildren": True}, True),
    ("matchBinaries", {"operator": "In", "values": []}, True),
    ("matchParentBinaries", {"operator": "In", "values": ["/usr/bin/bash"]}, True),
    ("matchParentBinaries", {"operator": "In", "values": ["/usr/bin/cat"]}, False),
    ("matchParentBinaries", {"operator": "In", "values": ["/sbin/init"]}, False),
    ("matchParentBinaries", {"operator": "In", "values": ["/sbin/init"], "followChildren": True}, True),
]  # fmt: skip


@pytest.mark.parametrize(("which", "selector", "met"), BINARIES)
def test_binaries(bench: Any, cat: Process, which: str, selector: dict[str, Any], met: bool) -> None:
    loaded = bench.probe(call="sys_setuid", selectors=[{which: [selector]}])
    assert not loaded.findings
    assert bool(bench.judge(loaded.rules[0], make_event("setuid", cat, flags=1))) is met


@pytest.mark.parametrize(
    ("namespaces", "inside", "met"),
    [
        ([{"namespace": "Pid", "operator": "In", "values": ["host_ns"]}], False, True),
        ([{"namespace": "Pid", "operator": "In", "values": ["host_ns"]}], True, False),
        ([{"namespace": "Pid", "operator": "NotIn", "values": ["host_ns"]}], True, True),
        ([{"namespace": "Mnt", "operator": "In", "values": ["7", str(HOME_MNT)]}], False, True),
        ([{"namespace": "Mnt", "operator": "NotIn", "values": ["7", "8"]}], False, True),
        ([{"namespace": "Pid", "operator": "In", "values": ["host_ns"]}, {"namespace": "Net", "operator": "NotIn", "values": ["host_ns"]}], False, False),
    ],
)  # fmt: skip
def test_namespaces(
    bench: Any, cat: Process, namespaces: list[dict[str, Any]], inside: bool, met: bool
) -> None:
    loaded = bench.probe(call="sys_setuid", selectors=[{"matchNamespaces": namespaces}])
    assert not loaded.findings
    process = contained(cat) if inside else cat
    assert bool(bench.judge(loaded.rules[0], make_event("setuid", process, flags=1))) is met


def test_where_the_kernel_knows_better_its_word_counts(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        call="sys_setuid",
        selectors=[{"matchNamespaces": [{"namespace": "Pid", "operator": "NotIn", "values": ["host_ns"]}]}],
    )
    rule = loaded.rules[0]
    hook = rule.hooks[0]
    moved = make_event(
        "setuid", cat, flags=1, hook=hook, clauses=1
    )  # Python still believes it to be on the host
    assert rule.residue is not None
    assert rule.residue(moved)


@pytest.mark.parametrize(
    ("selector", "caps", "met"),
    [
        ({"type": "Effective", "operator": "In", "values": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}, (1 << 21, 0, 0, 0, 0), True),
        ({"operator": "In", "values": ["CAP_CHOWN"]}, (1 << 21, 0, 0, 0, 0), False),
        ({"type": "Permitted", "operator": "NotIn", "values": ["CAP_NET_RAW"]}, (0, 1 << 13, 0, 0, 0), False),
        ({"type": "Inheritable", "operator": "NotIn", "values": ["CAP_NET_RAW"]}, (0, 1 << 13, 0, 0, 0), True),
        ({"operator": "In", "values": ["CAP_CHOWN"], "isNamespaceCapability": True}, (1, 0, 0, 0, 0), False),
    ],
)  # fmt: skip
def test_capabilities(
    bench: Any, cat: Process, selector: dict[str, Any], caps: tuple[int, int, int, int, int], met: bool
) -> None:
    cat.caps = caps
    loaded = bench.probe(call="sys_setuid", selectors=[{"matchCapabilities": [selector]}])
    assert not loaded.findings
    assert bool(bench.judge(loaded.rules[0], make_event("setuid", cat, flags=1))) is met


@pytest.mark.parametrize(
    ("selector", "met"),
    [
        ({"euid": [{"operator": "Equal", "values": ["0:999", "1000"]}]}, True), ({"euid": [{"operator": "Equal", "values": ["0"]}]}, False),
        ({"euid": [{"operator": "NotEqual", "values": ["0"]}]}, True), ({"uid": [{"operator": "Equal", "values": ["5"]}]}, True),
        ({"uid": [{"operator": "NotEqual", "values": ["1:9"]}]}, False),
    ],
)  # fmt: skip
def test_credentials(bench: Any, cat: Process, selector: dict[str, Any], met: bool) -> None:
    cat.uid, cat.euid = 5, 1000
    loaded = bench.probe(call="sys_setuid", selectors=[{"matchCurrentCred": [selector]}])
    assert not loaded.findings
    assert bool(bench.judge(loaded.rules[0], make_event("setuid", cat, flags=1))) is met


def test_a_change_of_namespaces_is_told_once(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        call="sys_setuid", selectors=[{"matchNamespaceChanges": [{"operator": "In", "values": ["Mnt"]}]}]
    )
    rule = loaded.rules[0]
    assert [one.rule for one in loaded.findings] == ["tracingpolicy.lost"]
    assert rule.residue is not None
    assert not rule.residue(bench.passed(rule, make_event("setuid", cat, flags=1)))
    exec_ns = cat.ns
    cat.ns = (*exec_ns[:2], 77, *exec_ns[3:])
    event = bench.passed(rule, make_event("setuid", cat, flags=1))  # the kernel sees another mount namespace,
    cat.ns = exec_ns  # of which Python has not heard
    assert rule.residue(event)
    assert not rule.residue(event)


def test_a_change_of_capabilities_is_told(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        call="sys_setuid",
        selectors=[{"matchCapabilityChanges": [{"operator": "In", "values": ["CAP_SETUID", "CAP_CHOWN"]}]}],
    )
    rule = loaded.rules[0]
    assert rule.residue is not None
    cat.caps = (1 << 7, 0, 0, 0, 0)
    event = bench.passed(rule, make_event("setuid", cat, flags=1))
    assert not rule.residue(event)
    cat.caps = (0, 0, 0, 0, 0)
    assert rule.residue(event)


def pod(
    cat: Process, namespace: str, labels: dict[str, str], name: str = "web", cgroup: int = 50
) -> tuple[Process, Container]:
    container = Container(
        id="c" * 64, name=name, pod="web-1", pod_namespace=namespace, pod_labels=labels, image="web:1"
    )
    process = contained(cat)
    process.container, process.cgroup = container, cgroup
    return process, container


WORKLOADS: list[tuple[dict[str, Any], bool, bool]] = [
    ({}, True, True), ({"podSelector": {}}, True, False), ({"hostSelector": {}}, False, True), ({"hostSelector": {}, "podSelector": {}}, True, True),
    ({"podSelector": {"matchLabels": {"app": "web"}}}, True, False), ({"podSelector": {"matchLabels": {"app": "db"}}}, False, False),
    ({"podSelector": {"matchExpressions": [{"key": "k8s:io.kubernetes.pod.namespace", "operator": "In", "values": ["shop"]}]}}, True, False),
    ({"podSelector": {"matchLabels": {"app": "web"}}, "containerSelector": {"matchLabels": {"name": "side"}}}, False, False),
    ({"containerSelector": {"matchExpressions": [{"key": "name", "operator": "In", "values": ["web"]}]}}, True, False),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "in_pod", "on_host"), WORKLOADS)
@pytest.mark.parametrize("each", [False, True], ids=["of the policy", "of a selector"])
def test_workloads(
    bench: Any, policy: Any, cat: Process, spec: dict[str, Any], in_pod: bool, on_host: bool, each: bool
) -> None:
    process, _ = pod(cat, "shop", {"app": "web"})
    probe = {"call": "sys_setuid", "selectors": [{"matchWorkloads": spec} if each else {}]}
    loaded = bench.load(policy({"kprobes": [probe], **({} if each else spec)}))
    assert not loaded.findings
    rule = loaded.rules[0]
    assert bool(bench.judge(rule, make_event("setuid", process, flags=1))) is in_pod
    assert bool(bench.judge(rule, make_event("setuid", cat, flags=1))) is on_host


@pytest.mark.parametrize(("namespace", "met"), [("shop", True), ("bank", False)])
def test_a_namespaced_policy_sees_its_own_pods(
    bench: Any, policy: Any, cat: Process, namespace: str, met: bool
) -> None:
    process, _ = pod(cat, namespace, {})
    loaded = bench.load(
        policy({"kprobes": [{"call": "sys_setuid"}]}, kind="TracingPolicyNamespaced", namespace="shop")
    )
    assert bool(bench.judge(loaded.rules[0], make_event("setuid", process, flags=1))) is met
    assert not bench.judge(loaded.rules[0], make_event("setuid", cat, flags=1))


def test_a_kill_for_chosen_pods_names_their_cgroups(bench: Any, policy: Any, cat: Process) -> None:
    process, container = pod(cat, "shop", {"app": "web"}, cgroup=50)
    spec = {
        "podSelector": {"matchLabels": {"app": "web"}},
        "kprobes": [{"call": "sys_setuid", "selectors": [{"matchActions": [{"action": "Sigkill"}]}]}],
    }
    there = bench.load(
        policy(spec), host=filters.Host(namespaces=bench.host.namespaces, containers={50: container})
    )
    [killing] = [clause for clause in there.rules[0].hooks[0].clauses if clause.signal]
    assert [(test.what.name, test.values) for test in killing.tests] == [("CGROUP", (50,))]
    assert bench.judge(there.rules[0], make_event("setuid", process, flags=1))
    nobody = bench.load(policy(spec))
    assert not [clause for hook in nobody.rules[0].hooks for clause in hook.clauses if clause.signal]
    assert {one.rule for one in nobody.findings} == {"tracingpolicy.refused"}


def test_the_first_selector_that_is_met_decides(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        call="sys_kill", args=[{"index": 1, "type": "int"}],
        selectors=[
            {"matchArgs": [{"index": 1, "operator": "Equal", "values": ["9"]}], "matchActions": [{"action": "NoPost"}]},
            {"matchArgs": [{"index": 1, "operator": "LT", "values": ["20"]}]},
        ],
    )  # fmt: skip
    rule = loaded.rules[0]
    assert not bench.judge(rule, make_event("kill", cat, args=[1, 9], flags=1))
    assert bench.judge(rule, make_event("kill", cat, args=[1, 10], flags=1))
    assert not bench.judge(rule, make_event("kill", cat, args=[1, 20], flags=1))


def test_the_returned_value_is_tested_at_the_return(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        call="sys_openat", **{"return": True}, args=[{"index": 1, "type": "string"}], returnArg={"index": 0, "type": "int"},
        selectors=[{"matchArgs": [{"index": 1, "operator": "Equal", "values": ["/etc/shadow"]}], "matchReturnArgs": [{"operator": "Equal", "values": ["-13"]}]}],
    )  # fmt: skip
    rule = loaded.rules[0]
    assert bench.judge(rule, make_event("openat", cat, ret=-13, texts=["", "/etc/shadow"]))
    assert not bench.judge(rule, make_event("openat", cat, ret=3, texts=["/etc/shadow", "/etc/shadow"]))


@pytest.mark.parametrize(
    ("scope", "tids", "told"),
    [
        ("thread", [71, 71, 72], 2),
        ("process", [71, 72, 73], 1),
        ("global", [71, 72, 73], 1),
        ("", [71, 71, 71], 1),
    ],
)
def test_rates(bench: Any, cat: Process, scope: str, tids: list[int], told: int) -> None:
    action = {"action": "Post", "rateLimit": "1m", **({"rateLimitScope": scope} if scope else {})}
    loaded = bench.probe(
        call="sys_kill", args=[{"index": 1, "type": "int"}], selectors=[{"matchActions": [action]}]
    )
    rule = loaded.rules[0]
    assert rule.residue is not None
    minute = 60_000_000_000
    said = [
        rule.residue(make_event("kill", cat, args=[0, 9], flags=1, tid=tid, time=minute + at))
        for at, tid in enumerate(tids)
    ]
    assert sum(map(bool, said)) == told
    assert rule.residue(
        make_event("kill", cat, args=[0, 10], flags=1, time=minute)
    )  # another argument is another event
    assert rule.residue(make_event("kill", cat, args=[0, 9], flags=1, tid=71, time=2 * minute + 5))
