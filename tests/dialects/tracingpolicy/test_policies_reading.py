"""Documents become policies; what is wrong in them is told by its path, and nothing raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.dialects.tracingpolicy import assembling, reading
from fairlead.words import Finding

Policy = Callable[..., dict[str, Any]]


def paths(findings: list[Finding] | tuple[Finding, ...], rule: str = "") -> set[str]:
    return {one.where.path for one in findings if not rule or one.rule == f"tracingpolicy.{rule}"}


@pytest.mark.parametrize(
    ("probe", "path"),
    [
        ({"call": "sys_write", "args": [{"index": 0, "type": "integer"}]}, ".spec.kprobes[0].args[0]"),
        ({"call": "sys_write", "args": [{"index": -1, "type": "int"}]}, ".spec.kprobes[0].args[0].index"),
        ({"call": "sys_write", "syscall": "yes"}, ".spec.kprobes[0].syscall"),
        ({"call": 7}, ".spec.kprobes[0].call"),
        ({}, ".spec.kprobes[0]"),
        ({"call": "list:none"}, ".spec.kprobes[0].call"),
        ({"call": "sys_write", "colour": 1}, ".spec.kprobes[0].colour"),
        ({"call": "sys_write", "message": "x" * 300}, ".spec.kprobes[0].message"),
        ({"call": "sys_write", "tags": ["t"] * 17}, ".spec.kprobes[0].tags"),
        ({"call": "sys_write", "returnArgAction": "Dance"}, ".spec.kprobes[0].returnArgAction"),
        (
            {"call": "sys_write", "selectors": [{"matchBinarys": []}]},
            ".spec.kprobes[0].selectors[0].matchBinarys",
        ),
    ],
)
def test_what_is_wrong_with_a_probe_is_told_by_path(policy: Policy, probe: dict[str, Any], path: str) -> None:
    _, findings = reading.read(policy({"kprobes": [probe]}))
    assert path in paths(findings)


SELECTORS: list[tuple[dict[str, Any], str]] = [
    ({"matchArgs": [{"index": 0, "operator": "Like", "values": ["1"]}]}, ".matchArgs[0].operator"),
    ({"matchArgs": [{"index": 5, "operator": "Equal", "values": ["1"]}]}, ".matchArgs[0]"),
    ({"matchArgs": [{"index": 0, "operator": "Equal", "values": ["one"]}]}, ".matchArgs[0]"),
    ({"matchArgs": [{"index": 0, "operator": "Equal", "values": []}]}, ".matchArgs[0]"),
    ({"matchArgs": [{"index": 0, "operator": "Prefix", "values": ["/etc"]}]}, ".matchArgs[0]"),
    ({"matchArgs": [{"index": 0, "operator": "InMap", "values": ["list:none"]}]}, ".matchArgs[0].values"),
    ({"matchArgs": [{"args": [9], "operator": "Equal", "values": ["1"]}]}, ".matchArgs[0]"),
    ({"matchReturnArgs": [{"index": 0, "operator": "Equal", "values": ["1"]}]}, ".matchReturnArgs[0]"),
    ({"matchPIDs": [{"operator": "Equal", "values": [1]}]}, ".matchPIDs[0].operator"),
    ({"matchPIDs": [{"operator": "In", "values": ["x"]}]}, ".matchPIDs[0].values"),
    ({"matchBinaries": [{"operator": "Equal", "values": ["/bin/sh"]}]}, ".matchBinaries[0].operator"),
    (
        {"matchBinaries": [{"operator": "Prefix", "values": ["/bin"], "followChildren": True}]},
        ".matchBinaries[0].followChildren",
    ),
    (
        {"matchNamespaces": [{"namespace": "Disk", "operator": "In", "values": ["1"]}]},
        ".matchNamespaces[0].namespace",
    ),
    (
        {"matchNamespaces": [{"namespace": "Pid", "operator": "In", "values": ["mine"]}]},
        ".matchNamespaces[0].values",
    ),
    ({"matchNamespaceChanges": [{"operator": "In", "values": ["Disk"]}]}, ".matchNamespaceChanges[0].values"),
    ({"matchCapabilities": [{"operator": "In", "values": ["CAP_FLY"]}]}, ".matchCapabilities[0].values"),
    (
        {"matchCapabilities": [{"type": "Bounding", "operator": "In", "values": ["CAP_CHOWN"]}]},
        ".matchCapabilities[0].type",
    ),
    (
        {"matchCurrentCred": [{"euid": [{"operator": "GT", "values": ["1"]}]}]},
        ".matchCurrentCred[0].euid[0].operator",
    ),
    (
        {"matchCurrentCred": [{"euid": [{"operator": "Equal", "values": ["root"]}]}]},
        ".matchCurrentCred[0].euid[0].values",
    ),
    (
        {"matchWorkloads": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}},
        ".matchWorkloads.podSelector",
    ),
    ({"matchWorkloads": {"hostSelector": {"matchLabels": {"a": "b"}}}}, ".matchWorkloads.hostSelector"),
    ({"matchActions": [{"action": "Explode"}]}, ".matchActions[0].action"),
    ({"matchActions": [{"action": "Signal"}]}, ".matchActions[0]"),
    ({"matchActions": [{"action": "GetUrl"}]}, ".matchActions[0]"),
    ({"matchActions": [{"action": "Sigkill", "rateLimit": "5"}]}, ".matchActions[0].rateLimit"),
    (
        {"matchActions": [{"action": "Post", "rateLimit": "5", "rateLimitScope": "planet"}]},
        ".matchActions[0].rateLimitScope",
    ),
    ({"macros": ["none"]}, ".macros"),
]


@pytest.mark.parametrize(("selector", "path"), SELECTORS, ids=[path for _, path in SELECTORS])
def test_a_selector_that_is_wrong_is_left_out_whole(
    policy: Policy, selector: dict[str, Any], path: str
) -> None:
    probe = {
        "call": "sys_write",
        "args": [{"index": 0, "type": "int"}],
        "selectors": [selector, {"matchActions": [{"action": "Sigkill"}]}],
    }
    read, findings = reading.read(policy({"kprobes": [probe]}))
    assert f".spec.kprobes[0].selectors[0]{path}" in paths(findings, "invalid")
    assert read is not None
    assert len(read.probes[0].selectors) == 1
    assert read.probes[0].broken  # so that the other selector kills nobody whom this one was to spare


def test_a_probe_of_which_no_selector_is_left_sees_nothing(policy: Policy) -> None:
    probe = {"call": "sys_write", "selectors": [{"matchPIDs": [{"operator": "Never", "values": [1]}]}]}
    read, _ = reading.read(policy({"kprobes": [probe]}))
    assert read is not None
    assert read.probes[0].calls == ()


@pytest.mark.parametrize(
    "content",
    [None, 7, [], {}, {"kind": "TracingPolicy"}, {"apiVersion": "v1", "kind": "Pod"}, {"apiVersion": 1, "kind": []},
     {"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy", "spec": []}],
)  # fmt: skip
def test_what_is_no_policy_is_told_and_not_raised(content: Any) -> None:
    _, findings = reading.read(content)
    assert findings


def test_macros_join_the_selector(policy: Policy) -> None:
    spec = {
        "selectorsMacros": {"shells": {"matchBinaries": [{"operator": "In", "values": ["/bin/sh"]}]}},
        "kprobes": [
            {
                "call": "sys_setuid",
                "selectors": [{"macros": ["shells"], "matchActions": [{"action": "NoPost"}]}],
            }
        ],
    }
    read, findings = reading.read(policy(spec))
    assert not findings
    assert read is not None
    assert read.probes[0].selectors[0].binaries[0].values == ("/bin/sh",)


def test_lists_stand_for_calls_and_values(policy: Policy) -> None:
    spec = {
        "lists": [
            {"name": "dups", "type": "syscalls", "values": ["sys_dup", "sys_dup2"]},
            {"name": "all", "type": "generated_syscalls"},
            {"name": "k", "type": "generated_ftrace", "pattern": "^ksys_"},
            {"name": "bad", "type": "generated_ftrace"},
            {"name": "worse", "type": "generated_ftrace", "pattern": "("},
        ],
        "kprobes": [{"call": "list:dups"}, {"call": "list:all"}, {"call": "list:k"}],
        "enforcers": [{"calls": ["list:dups"]}],
    }
    read, findings = reading.read(policy(spec))
    assert read is not None
    assert [probe.calls for probe in read.probes] == [
        ("sys_dup", "sys_dup2"),
        ("generated_syscalls:",),
        ("generated_ftrace:^ksys_",),
    ]
    assert read.enforced_calls == ("sys_dup", "sys_dup2")
    assert paths(findings) == {".spec.lists[3]", ".spec.lists[4].pattern"}


@pytest.mark.parametrize(
    ("text", "ms"), [("5", 5000), ("5s", 5000), ("2m", 120_000), ("1h", 3_600_000), (7, 7000)]
)
def test_rates_are_seconds_minutes_or_hours(policy: Policy, text: str | int, ms: int) -> None:
    spec = {
        "kprobes": [
            {"call": "sys_setuid", "selectors": [{"matchActions": [{"action": "Post", "rateLimit": text}]}]}
        ]
    }
    read, findings = reading.read(policy(spec))
    assert not findings
    assert read is not None
    assert read.probes[0].selectors[0].actions[0].rate_ms == ms


def test_options_are_known_or_told(policy: Policy) -> None:
    options = [
        {"name": "policy-mode", "value": "monitor"},
        {"name": "disable-kprobe-multi", "value": "1"},
        {"name": "go-faster", "value": "1"},
    ]
    read, findings = reading.read(policy({"options": options}))
    assert read is not None
    assert read.monitor
    assert paths(findings, "invalid") == {".spec.options[2].name"}
    assert paths(findings, "note") == {".spec.options[1]"}


def test_a_namespaced_policy_is_of_its_namespace(policy: Policy) -> None:
    read, findings = reading.read(
        policy({"hostSelector": {}}, kind="TracingPolicyNamespaced", namespace="shop")
    )
    assert read is not None
    assert read.key == "shop/tried"
    assert read.workloads.namespace == "shop"
    assert paths(findings) == {".spec.hostSelector"}


def test_two_policies_of_one_name_are_told(policy: Policy) -> None:
    one = policy({"kprobes": [{"call": "sys_setuid"}]})
    loaded = assembling.load([("a.yaml", one), ("b.yaml", one)], frozenset())
    assert len(loaded.policies) == 1
    assert any("another policy" in one.message for one in loaded.findings)


KEYS = st.sampled_from([
    "kprobes", "tracepoints", "uprobes", "usdts", "lsmhooks", "fentries", "lists", "options", "enforcers", "selectorsMacros", "podSelector",
    "containerSelector", "hostSelector", "call", "hook", "path", "symbols", "provider", "name", "subsystem", "event", "args", "index", "type",
    "returnArg", "return", "selectors", "matchArgs", "matchPIDs", "matchBinaries", "matchNamespaces", "matchNamespaceChanges",
    "matchCapabilities", "matchCapabilityChanges", "matchCurrentCred", "matchActions", "matchReturnArgs", "matchWorkloads", "operator",
    "values", "action", "rateLimit", "argError", "argSig", "followChildren", "isNamespacePID", "namespace", "macros", "syscall", "loader",
])  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 1 << 40), st.text(max_size=8), st.floats(allow_nan=True),
    st.sampled_from([
        "sys_write", "fd_install", "security_file_open", "tcp_connect", "bprm_check_security", "raw_syscalls", "sys_enter", "int", "file", "sock",
        "string", "cred", "Equal", "Prefix", "In", "NotIn", "DAddr", "Mask", "InRange", "1:5", "10.0.0.0/8", "host_ns", "Pid", "CAP_CHOWN",
        "Sigkill", "Override", "Post", "5m", "list:x", "generated_syscalls", "/etc/passwd",
    ]),
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    spec=st.dictionaries(KEYS, JSON, max_size=6),
    kind=st.sampled_from(["TracingPolicy", "TracingPolicyNamespaced"]),
    mad=JSON,
)
def test_nothing_in_a_document_raises(spec: dict[str, Any], kind: str, mad: Any) -> None:
    content = {"apiVersion": "cilium.io/v1alpha1", "kind": kind, "metadata": {"name": "mad"}, "spec": spec}
    assembling.load([("mad.yaml", content), ("madder.yaml", mad)], frozenset({"tracepoint"}))
    assembling.load([("mad.yaml", content)], frozenset({"kprobe", "lsm", "fentry", "uprobe", "fmod_ret"}))


def test_a_rate_that_is_none_limits_nothing(policy: Policy) -> None:
    spec = {
        "kprobes": [
            {
                "call": "sys_setuid",
                "selectors": [{"matchActions": [{"action": "Post", "rateLimit": "30/60s"}]}],
            }
        ]
    }
    read, findings = reading.read(policy(spec))
    assert paths(findings, "invalid") == {".spec.kprobes[0].selectors[0].matchActions[0].rateLimit"}
    assert read is not None
    assert read.probes[0].selectors[0].actions[0].rate_ms == 0
    assert not read.probes[0].broken


def test_older_words_are_understood(policy: Policy) -> None:
    probe = {
        "subsystem": "raw_syscalls",
        "event": "sys_enter",
        "args": [{"index": 4, "type": "syscall64"}],
        "selectors": [
            {
                "matchArgs": [{"index": 0, "operator": "InMap", "values": ["list:dups"]}],
                "matchActions": [{"action": "NotifyKiller", "argSig": 9}],
            }
        ],
    }
    spec = {
        "lists": [{"name": "dups", "type": "syscalls", "values": ["sys_dup"]}],
        "killers": [{"syscalls": ["list:dups"]}],
        "tracepoints": [probe],
    }
    read, findings = reading.read(policy(spec))
    assert not findings
    assert read is not None
    assert read.enforced_calls == ("sys_dup",)
    assert read.probes[0].selectors[0].args[0].args == (0,)
    assert read.probes[0].selectors[0].actions[0].kind == "NotifyEnforcer"
