"""The pushed-down part never says no to what the residue says yes to: random conditions, random events."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.sense import planning, sieving
from fairlead.sense.events import CONTAINED, Container, Event, File, Process, Sock, make_event
from fairlead.sense.fields import Around, Fields
from fairlead.sense.judging import Engine
from fairlead.sense.plans import MOST_CLAUSES, Clause, Hook, Op, Test, What
from fairlead.sense.rules import Rule
from fairlead.sense.syscalls import call_of, hook_of
from fairlead.tongues import conditions

FIELDS = Fields(Around())
OPENS = ("open", "openat", "openat2", "creat")
KINDS = (
    *OPENS, "connect", "accept", "bind", "listen", "sendto", "dup", "fchmod", "chmod", "unlinkat", "renameat2", "mkdir", "symlinkat", "linkat",
    "socket", "ptrace", "setuid", "mount", "bpf", "execve", "open_by_handle_at",
)  # fmt: skip
WORDS = ["etc", "shadow", ".ssh", "a", "id_rsa", "var", "log", "..", ".", "", "b.log", "etcetera"]
PARTS = st.sampled_from(WORDS)
PATHS = st.builds(
    lambda start, parts: start + "/".join(parts),
    st.sampled_from(["/", "", "./", "../", "/etc/"]),
    st.lists(PARTS, max_size=5),
)
RESOLVED = st.builds(
    lambda parts: "/" + "/".join(parts),
    st.lists(st.sampled_from([one for one in WORDS if one.strip(".")]), max_size=4),
)
CONSTANTS = [
    "/",
    "/etc",
    "/etc/",
    "/etc/shadow",
    "/etc/sh",
    "/var/log",
    "shadow",
    "/.ssh/",
    "id_rsa",
    "log",
    "a",
    "../",
    "/a",
    ".",
    "h/a",
    "b.log",
]
GLOBS = ["/etc/*", "*/.ssh/*", "*log", "/e?c/*", "*../*", "/etc/shadow", "*"]
ADDRESSES = ["10.0.0.1", "127.0.0.1", "93.184.216.34", "0.0.0.0", "::1", "2001:db8::5"]
NETWORKS = ["10.0.0.0/8", "127.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "93.184.216.34"]


def quoted(text: str) -> str:
    return f'"{text}"'


def some(values: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3).map(
        lambda found: "(" + ", ".join(map(quoted, found)) + ")"
    )


def compared(fields: list[str], operators: list[str], values: list[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda field, op, value: f"{field} {op} {value}",
        st.sampled_from(fields),
        st.sampled_from(operators),
        st.sampled_from(values).map(quoted),
    )


def counted(fields: list[str], operators: list[str], values: list[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda field, op, value: f"{field} {op} {value}",
        st.sampled_from(fields),
        st.sampled_from(operators),
        st.sampled_from(values),
    )


PATHED = ["fd.name", "fd.nameraw", "fd.directory", "fd.filename", "evt.arg.name", "evt.arg.path", "evt.arg.oldpath", "evt.arg.newpath",
          "evt.arg.filename", "evt.arg.target", "evt.arg.linkpath", "evt.arg.dir"]  # fmt: skip
LEAVES = st.one_of(
    compared(PATHED, ["=", "!=", "startswith", "endswith", "contains", "icontains"], CONSTANTS),
    compared(PATHED, ["glob"], GLOBS),
    st.builds(lambda field, values: f"{field} in {values}", st.sampled_from(PATHED), some(CONSTANTS)),
    st.builds(lambda field, values: f"{field} pmatch {values}", st.sampled_from(PATHED), some(["/etc", "/var/log", "/", "/etc/*"])),
    counted(["fd.num", "evt.rawres", "user.uid", "group.gid"], ["=", "!=", "<", "<=", ">", ">="], ["-1", "0", "1", "3", "1000", "-2"]),
    st.builds(lambda values: f"evt.rawres in {values}", some(["0", "1", "-2", "3"])),
    compared(["evt.res"], ["=", "!=", "startswith"], ["SUCCESS", "ENOENT", "E", "EINPROGRESS", "-1"]),
    st.builds(lambda values: f"evt.res in {values}", some(["SUCCESS", "ENOENT", "EACCES"])),
    compared(["evt.is_open_read", "evt.is_open_write", "evt.is_open_exec", "evt.is_open_create", "evt.failed"], ["=", "!="], ["true", "false"]),
    compared(["evt.arg.flags"], ["contains", "=", "startswith"], ["O_TRUNC", "O_CREAT", "O_", "RDWR", "AT_REMOVEDIR", "0", "RENAME"]),
    compared(["evt.arg.mode"], ["contains"], ["S_ISUID", "S_IX", "7", "S_IRUSR"]),
    compared(["evt.arg.request", "evt.arg.domain", "evt.arg.cmd"], ["contains", "=", "startswith", "endswith"],
             ["PTRACE_ATTACH", "AF_INET", "AF_PACKET", "BPF_PROG_LOAD", "5", "PTRACE", "X"]),
    compared(["fd.typechar"], ["=", "!="], ["f", "d", "4", "6", "u"]),
    compared(["fd.type"], ["=", "!="], ["file", "ipv4", "ipv6", "unix"]),
    compared(["fd.l4proto"], ["=", "!="], ["tcp", "udp"]),
    compared(["fd.sockfamily"], ["="], ["ip", "unix"]),
    counted(["fd.port", "fd.sport", "fd.cport", "fd.lport", "fd.rport"], ["=", "!=", "<", ">=", ">"], ["80", "443", "40000", "0"]),
    compared(["fd.ip", "fd.sip", "fd.cip", "fd.lip", "fd.rip"], ["=", "!="], ADDRESSES),
    compared(["fd.net", "fd.snet", "fd.cnet", "fd.lnet", "fd.rnet"], ["=", "!="], NETWORKS),
    st.builds(lambda field, values: f"{field} in {values}", st.sampled_from(["fd.net", "fd.snet", "fd.lnet"]), some(NETWORKS)),
    compared(["container.id", "container.name", "container.image.repository", "k8s.ns.name"], ["=", "!=", "startswith", "contains"],
             ["host", "nginx", "cccccccccccc", "h", "shop"]),
    st.builds(lambda values: f"container.id in {values}", some(["host", "cccccccccccc"])),
    compared(["proc.name"], ["=", "!="], ["bash", "nc"]),
    st.builds(lambda values: f"evt.type in {values}", some(list(KINDS))),
    st.just("fd.name exists"),
)  # fmt: skip
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda found: "(" + " and ".join(found) + ")"),
        st.lists(inner, min_size=2, max_size=3).map(lambda found: "(" + " or ".join(found) + ")"),
        inner.map(lambda one: f"not ({one})"),
    ),
    max_leaves=6,
)
RAW_ADDRESSES = st.sampled_from(
    [bytes(16), bytes([10, 0, 0, 1]) + bytes(12), bytes([127, 0, 0, 1]) + bytes(12), bytes([93, 184, 216, 34]) + bytes(12),
     bytes(15) + b"\1", bytes.fromhex("20010db8") + bytes(11) + b"\5", bytes(10) + b"\xff\xff" + bytes([10, 0, 0, 1])]
)  # fmt: skip
SOCKS = st.builds(
    Sock, family=st.sampled_from([1, 2, 10, 16]), type=st.sampled_from([1, 2, 3]), proto=st.sampled_from([0, 1, 6, 17]),
    state=st.sampled_from([1, 7, 10]), lport=st.sampled_from([0, 80, 443, 40000]), rport=st.sampled_from([0, 80, 443, 40000]),
    laddr=RAW_ADDRESSES, raddr=RAW_ADDRESSES, fd=st.just(3), netns=st.just(1),
)  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(KINDS))
    call = call_of(kind)
    process = Process(7)
    process.name = draw(st.sampled_from(["bash", "nc", "cat"]))
    flags = 0
    if draw(st.booleans()):
        process.container = Container(
            id="c" * 64, name="web", repository="nginx", pod="web-1", pod_namespace="shop"
        )
        flags = CONTAINED
    elif draw(st.booleans()):
        flags = CONTAINED
    ret = draw(st.sampled_from([-2, -13, -115, 0, 1, 3])) if kind != "execve" else -2
    texts = [""] * 4
    for name, at in call.positions.items():
        if name == "place":
            texts[at] = draw(RESOLVED) if ret >= 0 else ""
        elif name.endswith("@"):
            texts[at] = "" if texts[at - 1].startswith("/") else draw(RESOLVED)
        else:
            texts[at] = draw(PATHS)
    args = [
        draw(
            st.sampled_from(
                [
                    0,
                    1,
                    2,
                    3,
                    4,
                    5,
                    10,
                    16,
                    17,
                    0o100,
                    0o101,
                    0o1102,
                    0o2755,
                    0o4755,
                    0o644,
                    0xFFFFFF9C,
                    0x200,
                    1000,
                ]
            )
        )
        for _ in range(6)
    ]
    sock = file = None
    if call.has_place or kind in {"connect", "bind"}:
        if kind in OPENS or kind == "open_by_handle_at":
            file = (
                draw(st.sampled_from([None, File(mode=0o100644), File(mode=0o040755)])) if ret >= 0 else None
            )
        elif kind in {"fchmod", "dup"} and draw(st.booleans()):
            file = File(mode=0o100644)
        else:
            sock = draw(SOCKS)
            texts = (
                ["/run/x.sock" if sock.family == 1 else "", *texts[1:]]
                if "place" in call.positions
                else texts
            )
    return make_event(
        kind,
        process,
        args=args,
        ret=ret,
        texts=texts,
        sock=sock,
        file=file,
        flags=flags,
        uid=draw(st.sampled_from([0, 1000])),
    )


@settings(max_examples=600, deadline=None)
@given(CONDITIONS, events())
def test_clauses_never_say_less_than_the_condition(text: str, event: Event) -> None:
    tree = conditions.parse(text)
    wanted = conditions.compile(tree, FIELDS)(event)
    left = planning.specialise(tree, event.kind, FIELDS)
    if left is False:
        assert not wanted
        return
    if not isinstance(left, bool):
        assert conditions.compile(left, FIELDS.of_kind(event.kind))(event) == wanted
    if wanted:
        clauses = planning.clauses_of(left, event.kind)
        assert any(sieving.passes(Clause(tests=tests), event) for tests in clauses), clauses


@settings(max_examples=30, deadline=None)
@given(st.lists(CONDITIONS, min_size=1, max_size=12), st.lists(events(), min_size=1, max_size=12))
def test_an_engine_detects_through_its_plan_what_its_rules_are_true_of(
    texts: list[str], seen: list[Event]
) -> None:
    trees = [conditions.parse(text) for text in texts]
    rules = [Rule(key=f"r{at}", dialect="t", name=str(at), condition=tree) for at, tree in enumerate(trees)]
    engine = Engine(rules)
    assert all(len(hook.clauses) <= MOST_CLAUSES for hook in engine.plan.hooks)
    plain = [conditions.compile(tree, FIELDS) for tree in trees]
    for event in seen:
        kinds = {one.rule.key for one in engine._concerns if one.kind == event.kind}
        wanted = {f"r{at}" for at, judge in enumerate(plain) if f"r{at}" in kinds and judge(event)}
        event.names_memo, event.ends_memo = None, False
        found = {one.rule.key for one in engine.judge(event)} if engine.sieve(event) else set()
        assert found == wanted
    assert not engine.errors


def kinds(text: str) -> set[str]:
    return set(planning.kinds_of(conditions.parse(text), FIELDS))


def test_the_kinds_of_a_condition() -> None:
    assert kinds("evt.type in (open, openat) and fd.name = /x") == {"open", "openat"}
    assert kinds("evt.type = execve and proc.name = x") == {"exec", "execve"}
    assert kinds("evt.type in (open, creat) and evt.is_open_write = true") == {"open"}
    assert kinds("evt.type = nosuchcall") == set()
    assert kinds("not evt.type = open and evt.type in (open, connect)") == {"connect"}
    assert kinds("evt.num = 0 and evt.type = open") == set()
    assert "connect" in kinds("proc.name = nc")
    assert "connect" not in kinds("proc.name = nc and evt.arg.newpath contains x")


def test_what_is_pushed_down_is_sharp_where_it_can_be() -> None:
    tree = conditions.parse(
        "evt.type = openat and evt.is_open_write = true and fd.num >= 0 and fd.name startswith /etc and user.uid != 0"
    )
    left = planning.specialise(tree, "openat", FIELDS)
    clauses = planning.clauses_of(left, "openat")
    assert {frozenset(one) for one in clauses} == {
        frozenset({Test(What.ARG, Op.NE, (0,), 2, 3), Test(What.RET, Op.GE, (0,)), Test(What.UID, Op.NE, (0,)), Test(What.TEXT, Op.PREFIX, (b"/etc",), at)})
        for at in (0, 1)
    }  # fmt: skip


def test_rules_share_clauses_and_each_is_still_asked_for_itself() -> None:
    texts = {
        "a": "evt.type = openat and fd.num >= 0 and fd.name = /a",
        "b": "evt.type = openat and fd.num >= 0 and fd.name = /b",
    }
    engine = Engine(
        [
            Rule(key=key, dialect="t", name=key, condition=conditions.parse(text))
            for key, text in texts.items()
        ]
    )
    (hook,) = engine.plan.hooks
    assert [planning.owners(one) for one in hook.clauses] == [("a", "b"), ("a", "b")]
    event = make_event("openat", Process(1), ret=3, texts=["/b", "/b"])
    assert engine.sieve(event)
    assert [one.rule.key for one in engine.judge(event)] == ["b"]
    assert not engine.sieve(make_event("openat", Process(1), ret=3, texts=["/c", "/c"]))


def test_fields_that_change_bring_the_calls_that_change_them() -> None:
    tree = conditions.parse(
        "evt.type = unshare and not thread.cap_permitted contains CAP_SYS_ADMIN and proc.cwd = /x/"
    )
    engine = Engine([Rule(key="a", dialect="t", name="a", condition=tree)])
    uids = {"setuid", "setreuid", "setresuid"}
    assert {hook.name for hook in engine.plan.hooks} == {"unshare", "capset", *uids, "chdir", "fchdir"}


def test_buffers_are_read_when_a_rule_wants_them() -> None:
    engine = Engine(
        [
            Rule(
                key="a",
                dialect="t",
                name="a",
                condition=conditions.parse("evt.type = recvfrom and evt.buffer bcontains cafe"),
            )
        ]
    )
    (hook,) = engine.plan.hooks
    assert hook.limit == planning.BUFFER_LIMIT
    event = make_event(
        "recvfrom", Process(1), ret=4, texts=["", b"\0\xca\xfe\0"], hook=hook, slot=1, clauses=1
    )
    assert [one.rule.key for one in engine.judge(event)] == ["a"]


def test_a_rule_that_raises_fails_alone() -> None:
    def breaks(event: Event) -> bool:
        raise ValueError(event.kind)

    engine = Engine(
        [
            Rule(key="bad", dialect="t", name="bad", kinds=("connect",), residue=breaks),
            Rule(
                key="good", dialect="t", name="good", kinds=("*",), residue=lambda event: {"pid": event.pid}
            ),
            Rule(
                key="mine",
                dialect="t",
                name="mine",
                hooks=(hook_of("connect", [Clause(tests=(Test(What.RET, Op.LT, (0,)),), owner="mine")]),),
            ),
        ]
    )
    event = make_event("connect", Process(5), ret=-1)
    assert engine.sieve(event)
    found = {one.rule.key: one for one in engine.judge(event)}
    assert set(found) == {"good", "mine"}
    assert found["good"].data == {"pid": 5}
    assert found["mine"].clauses == (0,)
    assert engine.errors["bad"].count == 1
    assert not engine.sieve(make_event("connect", Process(5), ret=0))


def test_a_condition_that_cannot_be_is_told() -> None:
    bad = Rule(
        key="bad", dialect="t", name="bad", condition=conditions.parse("evt.type = open and no.such = 1")
    )
    engine = Engine([bad, Rule(key="off", dialect="t", name="off", kinds=("*",), enabled=False)])
    assert [one.message for one in engine.findings if "bad" in one.message]
    assert not engine.plan.hooks


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_planned_for_without_a_type(kind: str) -> None:
    assert planning.clauses_of(planning.specialise(conditions.parse("proc.name = x"), kind, FIELDS), kind)


def test_conditions_on_exec_are_asked_whatever_clauses_act_there() -> None:
    kill = Clause(tests=(Test(What.UID, Op.EQ, (0,)),), signal=9)
    engine = Engine(
        [
            Rule(
                key="seen",
                dialect="t",
                name="seen",
                condition=conditions.parse("evt.type = execve and proc.name = nc"),
            ),
            Rule(
                key="kill",
                dialect="t",
                name="kill",
                hooks=(Hook(sort="process", name="exec", clauses=(kill,)),),
            ),
        ]
    )
    process = Process(3)
    process.name = "nc"
    exec_hook = next(hook for hook in engine.plan.hooks if hook.sort == "process")
    assert exec_hook.clauses[0].owner == "kill"
    engine.place({0: exec_hook, 1: engine.plan.hooks[0]})
    assert {one.rule.key for one in engine.judge(make_event("exec", process, clauses=1))} == {"seen", "kill"}
    assert {one.rule.key for one in engine.judge(make_event("exec", process))} == {"seen"}


def test_a_path_match_sees_relative_and_doubled_paths() -> None:
    for text, passed in (
        ('fd.nameraw pmatch ("/etc")', "etc/x"),
        ('fd.nameraw pmatch ("/etc")', "//etc/x"),
        ('fd.name pmatch ("/etc/")', "/etc"),
    ):
        tree = conditions.parse(text)
        event = make_event("open", Process(1), ret=-2, texts=["", passed, ""])
        assert conditions.compile(tree, FIELDS)(event)
        assert any(sieving.passes(Clause(tests=one), event) for one in planning.clauses_of(tree, "open"))
