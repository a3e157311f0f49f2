"""Policies: what they watch for, what of that the kernel is asked, and what is said of what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.dialects import tracee
from fairlead.dialects.tracee.events import of_set, sorts
from fairlead.sense import sieving
from fairlead.sense.events import AF_INET, CONTAINED, Container, Event, File, Process, Sock, make_event
from fairlead.sense.plans import MOST_TESTS, Op, What
from fairlead.sense.rules import Rule


def policy(*rules: str, scope: str = "global", name: str = "here") -> str:
    """A policy of rules written `event: filter; filter`."""
    lines = [
        "apiVersion: tracee.aquasec.com/v1beta1",
        "kind: Policy",
        f"metadata: {{name: {name}}}",
        "spec:",
        "  scope:",
    ]
    lines += [f"    - {one.strip()}" for one in scope.split(";")]
    lines.append("  rules:")
    for one in rules:
        event, _, filters = one.partition(": ")
        lines.append(f"    - event: {event}")
        if filters:
            lines.append("      filters:")
            lines += [f"        - {each.strip()}" for each in filters.split(";")]
    return "\n".join(lines)


def load(*rules: str, scope: str = "global", **told: Any) -> tracee.Loaded:
    return tracee.load([("p.yaml", policy(*rules, scope=scope))], **told)


def only(*rules: str, scope: str = "global", **told: Any) -> Rule:
    loaded = load(*rules, scope=scope, **told)
    assert [str(one.message) for one in loaded.findings] == []
    (rule,) = loaded.rules
    return rule


def process(pid: int = 100, name: str = "sh", **told: Any) -> Process:
    made = Process(pid, 1)
    made.name = made.title = name
    made.exe = f"/usr/bin/{name}"
    made.known = True
    for key, value in told.items():
        setattr(made, key, value)
    return made


BOX = Container(id="ab" * 32, name="web", image="nginx:1", pod="web-1", pod_namespace="shop", started=50)


def opened(
    path: str = "/etc/passwd",
    flags: int = 0,
    *,
    who: Process | None = None,
    ret: int = 3,
    inside: bool = False,
    **told: Any,
) -> Event:
    return make_event(
        "openat", who or process(), args=(0xFFFFFF9C, 1, flags), ret=ret, texts=(path if ret >= 0 else "", path, ""),
        file=File(ino=7, dev=8, mode=0o100644, oflags=flags) if ret >= 0 else None, flags=CONTAINED if inside else 0, **told,
    )  # fmt: skip


def says(rule: Rule, event: Event) -> bool:
    assert rule.residue is not None
    return bool(rule.residue(event))


INSIDE = process(container=BOX, contained=True, vpid=3)

CASES: list[tuple[str, str, Event, Event]] = [
    ("security_file_open: data.pathname=/etc/*", "global", opened(), opened("/tmp/x")),
    ("security_file_open: args.pathname=/etc/passwd", "global", opened(), opened("/etc/passwd", ret=-2)),
    ("security_file_open: data.flags=O_RDWR", "global", opened(flags=2), opened(flags=1)),
    ("security_file_open: data.inode=7", "global", opened(), make_event("close", process())),
    ("security_file_open: uid=0", "global", opened(), opened(uid=5)),
    ("openat: retval<0", "global", opened(ret=-13), opened()),
    ("openat: retval!=0", "global", opened(), opened(ret=0)),
    ("openat: data.flags=O_WRONLY|O_CREAT", "global", opened(flags=0o101), opened(flags=0o100)),
    ("openat: data.flags=65", "global", opened(flags=65), opened(flags=64)),
    ("openat: data.dirfd=-100", "global", opened(), make_event("openat", process(), args=(5,))),
    ("openat: comm=sh", "global", opened(), opened(who=process(name="bash"))),
    ("openat", "comm=sh,zsh", opened(), opened(who=process(name="bash"))),
    ("openat", "comm!=bash", opened(), opened(who=process(name="bash"))),
    ("openat", "uid>=1000; uid<2000", opened(uid=1500), opened(uid=2000)),
    ("openat", "pid=100", opened(), opened(who=process(101))),
    ("openat", "container", opened(who=INSIDE, inside=True), opened()),
    ("openat", "not-container", opened(), opened(who=INSIDE, inside=True)),
    ("openat", "container=abab", opened(who=INSIDE, inside=True), opened()),
    ("openat: containerName=web", "global", opened(who=INSIDE, inside=True), opened()),
    ("openat: podNamespace=shop; podName=web-*", "global", opened(who=INSIDE, inside=True), opened()),
    ("openat: container", "global", opened(who=INSIDE, inside=True), opened()),
    ("openat: container=started", "global", opened(who=INSIDE, inside=True), opened(who=process(name="runc:[2:INIT]", container=BOX, vpid=1), inside=True)),
    ("openat: host", "global", opened(), opened(who=INSIDE, inside=True)),
    ("openat", "executable=/usr/bin/sh", opened(), opened(who=process(name="bash"))),
    ("openat", "exec=host:/usr/bin/sh", opened(), opened(who=process(container=BOX, vpid=3), inside=True)),
    ("openat", "bin=77:/usr/bin/sh", opened(who=process(ns=(0, 0, 77, 0, 0, 0, 0, 0, 0, 0))), opened(who=process(ns=(0, 0, 78, 0, 0, 0, 0, 0, 0, 0)))),
    ("openat", "executable!=/usr/bin/sh", opened(who=process(name="bash")), opened()),
    ("openat", "mntns=77", opened(who=process(ns=(0, 0, 77, 0, 0, 0, 0, 0, 0, 0))), opened()),
    ("openat", "tree=5", opened(who=process(parent=process(5))), opened(who=process(parent=process(6)))),
    ("openat", "tree=5; tree!=100", opened(who=process(101, parent=process(5))), opened(who=process(100, parent=process(5)))),
    ("sched_process_exec: data.pathname=*/nc", "global", make_event("exec", process(name="nc"), texts=("/usr/bin/nc",)), make_event("exec", process(), texts=("/bin/sh",))),
    ("sched_process_exit: data.exit_code=3", "global", make_event("exited", process(exit_code=0x300)), make_event("exited", process())),
    ("sched_process_fork", "global", make_event("forked", process()), make_event("exec", process())),
    ("security_inode_rename: data.new_path=/etc/*", "global", make_event("renameat2", process(), texts=("a", "/tmp", "b", "/etc")), make_event("renameat2", process(), texts=("a", "/tmp", "b", "/tmp"))),
    ("security_inode_unlink: data.pathname=/etc/x", "global", make_event("unlinkat", process(), texts=("x", "/etc")), make_event("unlinkat", process(), texts=("x", "/tmp"))),
    ("ptrace: data.request=PTRACE_TRACEME", "global", make_event("ptrace", process(), args=(0,)), make_event("ptrace", process(), args=(16,))),
    ("security_socket_connect: data.remote_addr=*sin_addr:10.0.0.1*", "global",
     make_event("connect", process(), args=(3,), sock=Sock(family=AF_INET, type=1, rport=80, raddr=bytes([10, 0, 0, 1]) + bytes(12))),
     make_event("connect", process(), args=(3,), sock=Sock(family=AF_INET, type=1, rport=80, raddr=bytes([10, 0, 0, 2]) + bytes(12)))),
    ("net_tcp_connect: data.dst_port=443", "global",
     make_event("connect", process(), args=(3,), sock=Sock(family=AF_INET, type=1, rport=443)), make_event("connect", process(), args=(3,), sock=Sock(family=AF_INET, type=2, rport=443))),
    ("security_socket_create: data.family=AF_INET", "global", make_event("socket", process(), args=(2, 1, 0), ret=3), make_event("socket", process(), args=(1, 1, 0), ret=3)),
    ("magic_write: data.pathname=/tmp*", "global",
     make_event("write", process(), ret=4, args=(3, 1, 4), texts=("/tmp/x", b"abcd"), file=File(mode=0o100600)), make_event("write", process(), ret=4, args=(3, 1, 4), texts=("/tmp/x", b"abcd"), file=File(mode=0o10600))),
    ("container_create", "global", make_event("cgroup", process(), args=(1, 9, 0), texts=(f"/kubepods/cri-containerd-{'0f' * 32}.scope",)), make_event("cgroup", process(), args=(1, 9, 0), texts=("/system.slice/x.scope",))),
    ("execve: retval<0", "global", make_event("execve", process(), ret=-2, texts=("/nope",)), make_event("execve", process(), ret=0)),
    ("process_execute_failed: data.path=/nope", "global", make_event("execve", process(), ret=-2, texts=("/nope",)), make_event("execve", process(), ret=-2, texts=("/other",))),
    ("chmod_common: data.mode=S_IFREG*", "global", make_event("fchmod", process(), args=(3, 0o100644), texts=("/x",)), make_event("fchmod", process(), args=(3, 0o644), texts=("/x",))),
    ("security_sb_mount: data.dev_name=/dev/*", "global", make_event("mount", process(), texts=("/dev/sda", "/mnt", "", "ext4")), make_event("mount", process(), texts=("none", "/mnt", "", "proc"))),
    ("sudoers_modification: data.path=/etc/sudoers", "global", opened("/etc/sudoers", 1), opened("/etc/sudoers.d/x", 1)),
    ("sudoers_modification", "container", opened("/etc/sudoers", 1, who=INSIDE, inside=True), opened("/etc/sudoers", 1)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "scope", "yes", "no"), CASES, ids=[f"{at}-{case[0]}" for at, case in enumerate(CASES)]
)
def test_a_rule_says_yes_and_no(rule: str, scope: str, yes: Event, no: Event) -> None:
    made = only(rule, scope=scope)
    assert says(made, yes)
    assert not says(made, no)
    hooks = [hook for hook in made.hooks if hook.name == yes.kind]
    assert yes.kind in made.kinds or any(sieving.passed(hook, yes) for hook in hooks)
    for hook in made.hooks:
        assert hook.clauses
        assert all(one.owner == made.key and len(one.tests) <= MOST_TESTS for one in hook.clauses)


def test_the_kernel_is_asked_for_what_it_can_decide() -> None:
    rule = only("openat: data.pathname=/etc/*,/boot; data.mode=420; retval<0; comm=sh", scope="uid=5")
    (hook,) = rule.hooks
    assert [{(test.what, test.op) for test in clause.tests} for clause in hook.clauses] == [
        {(What.RET, Op.LT), (What.UID, Op.EQ), (What.COMM, Op.TEXT_IN), (What.TEXT, kind), (What.ARG, Op.EQ)}
        for kind in (Op.TEXT_IN, Op.PREFIX)
    ]
    (named,) = only("ptrace: data.request=PTRACE_POKETEXT").hooks
    assert named.clauses[0].tests[0].values == (4,)


def test_signatures_are_findings_and_plain_events_are_not() -> None:
    loaded = load("openat", "fileless_execution")
    assert [(one.findings, one.priority) for one in loaded.rules] == [(False, "info"), (True, "high")]
    assert loaded.rules[1].tags[0] == "TRC-105"


def test_what_is_new_began_after_the_sensor() -> None:
    late, early = opened(who=process(started=60)), opened(who=process(started=40))
    rule = only("openat", scope="pid=new", begun=50)
    assert (says(rule, late), says(rule, early)) == (True, False)
    rule = only("openat", scope="container=new", begun=40)
    assert says(rule, opened(who=INSIDE, inside=True))
    rule = only("openat", scope="container=new", begun=60)
    assert not says(rule, opened(who=INSIDE, inside=True))


def test_whom_a_policy_follows_it_follows_through_exec() -> None:
    rule = only("openat", scope="comm=bash; follow")
    shell = process(5, "bash")
    child = process(6, "ls", parent=shell)
    assert says(rule, opened(who=child))
    shell.name = "something"
    assert says(rule, opened(who=child))
    assert says(rule, opened(who=process(7, "cat", parent=child)))
    assert not says(rule, opened(who=process(8, "cat", parent=process(9, "zsh"))))
    assert rule.hooks[0].clauses[0].tests == ()


def test_sets_and_stars_and_tags_name_many() -> None:
    loaded = load("tag=fs_dir_ops")
    assert {one.name for one in loaded.rules} == set(of_set("fs_dir_ops"))
    assert {one.name for one in load("security_socket_*").rules} == {
        name for name in sorts() if name.startswith("security_socket_")
    }
    assert {one.name for one in load("proc_life").rules} >= {"execve", "exit_group"}
    severe = {one.name for one in load("threat.severity>=high").rules}
    assert {"stdio_over_socket", "disk_mount"} <= severe
    assert "ld_preload" not in severe
    assert {one.name for one in load("threat.mitre.technique=T1620").rules} == {"fileless_execution"}
    assert "openat" not in {one.name for one in load("open*", "-openat").rules}


WRONG: list[tuple[str, str, str, str]] = [
    ("nothing_like_it", "global", ".spec.rules[0].event", "event nothing_like_it is not valid"),
    ("openat: data.nope=1", "global", ".spec.rules[0].filters[0]", "event openat does not have data nope"),
    ("openat: data.pathname", "global", ".spec.rules[0].filters[0]", ""),
    ("openat: data.pathname<3", "global", ".spec.rules[0].filters[0]", "unsupported operator: <"),
    ("openat: retval=x", "global", ".spec.rules[0].filters[0]", "invalid filter value: 'x'"),
    ("openat: nope=3", "global", ".spec.rules[0].filters[0]", "invalid scope field: nope"),
    ("openat", "nope=3", ".spec.scope[0]", "scope nope is not valid"),
    ("openat", "global; uid=1", ".spec.scope[0]", "global scope must be unique"),
    ("openat", "mntns<3", ".spec.scope[0]", "invalid filter expression"),
    ("openat", "executable=sh", ".spec.scope[0]", "invalid filter value: 'sh'"),
    ("sched_switch", "global", ".spec.rules[0].event", "sched_switch cannot be seen here"),
    ("net_packet_dns", "global", ".spec.rules[0].event", "net_packet_dns cannot be seen here"),
    ("proc_fops_hooking", "global", ".spec.rules[0].event", "neither may be read here"),
    ("openat: hostName=x", "global", ".spec.rules[0].filters[0]", "UTS namespace"),
    ("openat", "uts=x", ".spec.scope[0]", "UTS namespace"),
    ("security_file_open: data.ctime=3", "global", ".spec.rules[0].filters[0]", "last change"),
]


@pytest.mark.parametrize(("rule", "scope", "path", "said"), WRONG)
def test_what_is_wrong_is_said_with_its_place(rule: str, scope: str, path: str, said: str) -> None:
    loaded = load(rule, scope=scope)
    (finding,) = loaded.findings
    assert (finding.where.file, finding.where.path) == ("p.yaml", path)
    assert finding.where.line > 0
    assert said in finding.message
    assert not [one for one in loaded.rules if one.enabled]


def test_one_wrong_rule_does_not_stop_the_others() -> None:
    loaded = load("nothing_like_it", "openat", "openat")
    assert [one.name for one in loaded.rules] == ["openat"]
    assert [one.message for one in loaded.findings] == [
        "policy here, event nothing_like_it is not valid", "policy here, event openat is duplicated",
    ]  # fmt: skip


def test_the_older_forms_are_read() -> None:
    plain = "name: old one\ndescription: words\nscope: [global]\ndefaultActions: [log]\nrules:\n- event: close\n  filters: ['retval!=0']\n"
    crd = plain.replace("name: old one\ndescription: words\n", "").replace("\n", "\n  ")
    crd = f"apiVersion: aquasecurity.github.io/v1beta1\nkind: TraceePolicy\nmetadata: {{name: older, annotations: {{description: d}}}}\nspec:\n  {crd}"
    loaded = tracee.load([("a", plain), ("b", crd)])
    assert [one.message for one in loaded.findings] == []
    assert [one.key for one in loaded.rules] == ["tracee/old one/close", "tracee/older/close"]
    assert [one.description for one in loaded.rules] == ["words", "d"]


def test_fields_that_nobody_knows_and_actions_are_told() -> None:
    text = policy("openat").replace(
        "spec:", "spec:\n  colour: red\n  defaultActions: [shout, 'webhook:http://x']"
    )
    found = [(one.rule, one.where.path) for one in tracee.load([("p", text)]).findings]
    assert found == [
        ("policy.broken", ".spec.defaultActions[0]"),
        ("policy.unsupported", ".spec.defaultActions[1]"),
        ("policy.unsupported", ".spec.colour"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: [", "3", "- 1", "kind: Pod", "apiVersion: tracee.aquasec.com/v1beta1\nkind: Policy\nspec: 3", "name: x\nscope: 3\nrules: 4",
        "apiVersion: tracee.aquasec.com/v1beta1\nkind: Policy\nmetadata: {name: X Y}\nspec: {scope: [global], rules: [{event: open}]}",
        "name: x\nscope: [global]\nrules: [{event: {}}]", "&a [*a]", "x" * (1024 * 1024 + 1),
    ],
)  # fmt: skip
def test_garbage_is_told_and_raises_nothing(text: str) -> None:
    loaded = tracee.load([("g.yaml", text), ("p.yaml", policy("openat"))])
    assert [one for one in loaded.findings if one.where.file == "g.yaml"]
    assert [one.key for one in loaded.rules] == ["tracee/here/openat"]


def test_two_policies_of_one_name_are_one_too_many() -> None:
    loaded = tracee.load([("a", policy("openat")), ("b", policy("openat"))])
    assert len(loaded.rules) == 1
    assert [one.where.file for one in loaded.findings] == ["b"]


@pytest.mark.parametrize("name", sorted(sorts()))
def test_every_event_makes_a_rule_or_says_why_not(name: str) -> None:
    loaded = load(name)
    if sorts()[name].why_not:
        assert len(loaded.findings) == 1
        return
    assert [one.message for one in loaded.findings] == []
    (rule,) = loaded.rules
    assert rule.hooks or rule.kinds
    for kind in (*rule.kinds, *(hook.name for hook in rule.hooks)):
        event = make_event(kind, process(), ret=0, texts=("/a", "/b", "c", "/d"), file=File(), sock=None)
        assert rule.message is not None
        found = rule.residue(event) if rule.residue else None
        if found:
            assert rule.message(event)
