"""Every operator of matchArgs, on the types that take it: what meets it and what does not, in Python and in the kernel's clauses alike."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from fairlead.dialects.tracingpolicy import argtypes, operators
from fairlead.sense.events import File, Process, Sock, make_event


def number(
    kind: str, *calls: tuple[str, list[str], int, bool]
) -> list[tuple[str, str, list[str], int, bool]]:
    return [(kind, *one) for one in calls]


NUMBERS = [
    *number(
        "int",
        ("Equal", ["1", "0x10"], 16, True), ("Equal", ["1"], 2, False), ("Equal", ["-1"], 0xFFFFFFFF, True), ("Equal", ["0xffffffff"], -1, True),
        ("Equal", ["010"], 8, True), ("NotEqual", ["1", "2"], 3, True), ("NotEqual", ["1", "2"], 2, False), ("GT", ["5"], 6, True),
        ("GT", ["5"], 5, False), ("GT", ["5"], -1, False), ("GT", ["-5"], -4, True), ("GT", ["-5"], 3, True), ("GT", ["-5"], -6, False),
        ("GreaterThan", ["5"], 6, True), ("LT", ["5"], 4, True), ("LT", ["5"], -9, True), ("LT", ["5"], 5, False), ("LT", ["-5"], 1, False),
        ("LessThan", ["-5"], -6, True), ("Mask", ["1", "0x200"], 0x201, True), ("Mask", ["1", "0x200"], 0x200, True), ("Mask", ["1"], 2, False),
        ("InRange", ["1:5"], 5, True), ("InRange", ["1:5"], 6, False), ("InRange", ["-2:2"], -1, True), ("InRange", ["-2:2"], 3, False),
        ("NotInRange", ["1:5"], 6, True), ("NotInRange", ["1:5"], 1, False), ("NotInRange", ["1:5"], -1, True), ("InMap", ["7", "10:12"], 11, True),
        ("InMap", ["7", "10:12"], 9, False), ("NotInMap", ["7"], 8, True), ("NotInMap", ["7"], 7, False),
    ),
    *number("uint32", ("GT", ["5"], 0xFFFFFFFF, True), ("LT", ["5"], 0xFFFFFFFF, False), ("Equal", ["4294967295"], -1, True)),
    *number("uint64", ("GT", ["5"], 1 << 63, True), ("Equal", ["0xffffffffffffffff"], -1, True), ("InRange", ["0:10"], 1 << 40, False)),
    *number("int64", ("LT", ["0"], -(1 << 40), True), ("Equal", ["-2"], -2, True), ("GT", ["0"], -1, False)),
    *number("uint8", ("Equal", ["255"], 0x1FF, True), ("GT", ["200"], 0x0FF, True)),
    *number("int8", ("Equal", ["-1"], 0xFF, True), ("LT", ["0"], 0x80, True)),
    *number("int16", ("Equal", ["-2"], 0xFFFE, True)),
    *number("uint16", ("InRange", ["65530:65535"], 0xFFFF, True)),
    *number("size_t", ("GT", ["4096"], 5000, True), ("LT", ["4096"], 4096, False)),
    *number("bpf_cmd", ("Equal", ["5"], 5, True), ("NotEqual", ["5"], 5, False)),
    *number("capability", ("Equal", ["21"], 21, True), ("Equal", ["21"], 12, False)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "operator", "values", "value", "met"), NUMBERS)
def test_numbers(
    bench: Any, cat: Process, kind: str, operator: str, values: list[str], value: int, met: bool
) -> None:
    loaded = bench.probe(
        call="sys_kill",
        args=[{"index": 1, "type": kind}],
        selectors=[{"matchArgs": [{"index": 1, "operator": operator, "values": values}]}],
    )
    assert not loaded.findings
    event = make_event("kill", cat, args=[0, value], flags=1)
    assert bool(bench.judge(loaded.rules[0], event)) is met


TEXTS = [
    ("Equal", ["/etc/passwd", "/etc/shadow"], "/etc/shadow", True), ("Equal", ["/etc/passwd"], "/etc/passwd2", False),
    ("Equal", ["/etc/passwd\\0"], "/etc/passwd", True), ("Equal", ["/etc/passwd\0"], "/etc/passwd", True), ("NotEqual", ["/a"], "/b", True),
    ("NotEqual", ["/a", "/b"], "/b", False), ("Prefix", ["/etc", "/usr"], "/usr/bin", True), ("Prefix", ["/etc"], "/var/etc", False),
    ("NotPrefix", ["/etc"], "/var", True), ("NotPrefix", ["/etc"], "/etc/x", False), ("Postfix", [".key", ".pem"], "/a/b.pem", True),
    ("Postfix", [".pem"], "/a/b.pem2", False), ("NotPostfix", [".pem"], "/a", True), ("NotPostfix", [".pem"], "/a.pem", False),
    ("Prefix", ["/" + "x" * 200], "/" + "x" * 210, True), ("Prefix", ["/" + "x" * 200], "/" + "x" * 150, False),
    ("SubString", ["ell", "zzz"], "hello", True), ("SubString", ["ELL"], "hello", False), ("SubStringIgnCase", ["ELL"], "hello", True),
    ("SubStringIgnCase", ["x"], "hello", False),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "values", "text", "met"), TEXTS)
def test_texts(bench: Any, cat: Process, operator: str, values: list[str], text: str, met: bool) -> None:
    loaded = bench.probe(
        call="sys_symlink",
        args=[{"index": 0, "type": "string"}],
        selectors=[{"matchArgs": [{"index": 0, "operator": operator, "values": values}]}],
    )
    assert not [one for one in loaded.findings if one.severity != "info"]
    assert bool(bench.judge(loaded.rules[0], make_event("symlink", cat, texts=[text, "/there"]))) is met


@pytest.mark.parametrize(
    ("operator", "values", "text", "met"), [one for one in TEXTS if "SubString" not in one[0]]
)
@pytest.mark.parametrize("kind", ["file", "path", "kiocb", "dentry"])
def test_files(
    bench: Any, cat: Process, kind: str, operator: str, values: list[str], text: str, met: bool
) -> None:
    loaded = bench.probe(
        call="security_file_open",
        args=[{"index": 0, "type": kind}],
        selectors=[{"matchArgs": [{"index": 0, "operator": operator, "values": values}]}],
    )
    rule = loaded.rules[0]
    assert (
        bool(
            bench.judge(
                rule, make_event("openat", cat, ret=3, texts=[text, "x", "/"], file=File(mode=0o100644))
            )
        )
        is met
    )
    assert not bench.judge(rule, make_event("openat", cat, ret=-2, texts=["", "x", "/"]))


@pytest.mark.parametrize(
    ("operator", "values", "mode", "met"),
    [
        ("FileType", ["reg"], 0o100644, True), ("FileType", ["reg", "dir"], 0o040755, True), ("FileType", ["pipe"], 0o100644, False),
        ("FileType", ["sock"], 0o140000, True), ("FileType", ["link"], 0o120777, True), ("FileType", ["block"], 0o060600, True),
        ("FileType", ["char"], 0o020600, True), ("NotFileType", ["fifo"], 0o100644, True), ("NotFileType", ["fifo", "chr"], 0o010600, False),
    ],
)  # fmt: skip
def test_file_types(bench: Any, cat: Process, operator: str, values: list[str], mode: int, met: bool) -> None:
    loaded = bench.probe(
        call="security_file_permission", args=[{"index": 0, "type": "file"}],
        selectors=[{"matchArgs": [{"index": 0, "operator": operator, "values": values}]}],
    )  # fmt: skip
    assert (
        bool(bench.judge(loaded.rules[0], make_event("read", cat, ret=1, texts=["/x"], file=File(mode=mode))))
        is met
    )


def sock(
    local: str = "10.0.0.5",
    remote: str = "192.0.2.7",
    lport: int = 40000,
    rport: int = 443,
    proto: int = 6,
    state: int = 2,
) -> Sock:
    one, other = ipaddress.ip_address(local), ipaddress.ip_address(remote)
    family = 2 if one.version == 4 else 10
    return Sock(
        family, 1, proto, state, lport, rport, 5, one.packed.ljust(16, b"\0"), other.packed.ljust(16, b"\0")
    )


V6 = sock("fd00::5", "2001:db8::7")
SOCKETS: list[tuple[str, list[str], Sock, bool]] = [
    ("SAddr", ["10.0.0.0/8"], sock(), True), ("SAddr", ["10.0.0.6"], sock(), False), ("SAddr", ["fd00::/8"], V6, True),
    ("NotSAddr", ["10.0.0.0/8"], sock(), False), ("NotSAddr", ["127.0.0.0/8", "::1"], sock(), True), ("NotSAddr", ["10.0.0.0/8"], V6, True),
    ("DAddr", ["192.0.2.7", "::1"], sock(), True), ("DAddr", ["192.0.2.0/29"], sock(), True), ("DAddr", ["192.0.2.0/30"], sock(), False),
    ("DAddr", ["127.0.0.1/8"], sock(remote="127.9.9.9"), True), ("DAddr", ["2001:db8::/32"], V6, True), ("NotDAddr", ["127.0.0.0/8"], sock(), True),
    ("NotDAddr", ["192.0.2.7"], sock(), False), ("NotDAddr", ["127.0.0.0/8"], V6, True), ("SPort", ["40000"], sock(), True),
    ("SPort", ["1:1023", "39999:40001"], sock(), True), ("SPort", ["80"], sock(), False), ("NotSPort", ["80"], sock(), True),
    ("NotSPort", ["40000"], sock(), False), ("DPort", ["443", "80"], sock(), True), ("DPort", ["8080:8090"], sock(), False),
    ("NotDPort", ["443"], sock(), False), ("NotDPort", ["80:90"], sock(), True), ("SPortPriv", [], sock(), False),
    ("SPortPriv", [], sock(lport=1023), True), ("NotSPortPriv", [], sock(), True), ("NotSPortPriv", [], sock(lport=22), False),
    ("DPortPriv", [], sock(), True), ("DPortPriv", [], sock(rport=1024), False), ("NotDPortPriv", [], sock(), False),
    ("NotDPortPriv", [], sock(rport=8080), True), ("Protocol", ["IPPROTO_TCP"], sock(), True), ("Protocol", ["17"], sock(), False),
    ("Protocol", ["IPPROTO_UDP"], sock(proto=17), True), ("Family", ["AF_INET"], sock(), True), ("Family", ["AF_INET6", "1"], sock(), False),
    ("Family", ["10"], V6, True), ("State", ["TCP_SYN_SENT"], sock(), True), ("State", ["1"], sock(), False),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "values", "seen", "met"), SOCKETS)
def test_sockets(bench: Any, cat: Process, operator: str, values: list[str], seen: Sock, met: bool) -> None:
    selector = {"matchArgs": [{"index": 0, "operator": operator, **({"values": values} if values else {})}]}
    loaded = bench.probe(call="tcp_connect", args=[{"index": 0, "type": "sock"}], selectors=[selector])
    assert {one.rule for one in loaded.findings} == {"tracingpolicy.lost"}
    rule = loaded.rules[0]
    assert bool(bench.judge(rule, make_event("sock_state", cat, args=[7, 2], sock=seen))) is met
    assert not bench.judge(rule, make_event("sock_state", cat, args=[2, 1], sock=seen))


@pytest.mark.parametrize(
    ("operator", "values", "met"),
    [("SAddr", ["192.0.2.7"], True), ("SAddr", ["10.0.0.5"], False), ("SPort", ["443"], True), ("SPort", ["40000"], False),
     ("SPortPriv", [], True), ("Family", ["AF_INET"], True), ("NotSAddr", ["192.0.2.0/24"], False)],
)  # fmt: skip
def test_the_address_of_connect_is_the_other_end(
    bench: Any, cat: Process, operator: str, values: list[str], met: bool
) -> None:
    loaded = bench.probe(
        "lsmhooks", hook="socket_connect", args=[{"index": 1, "type": "sockaddr"}],
        selectors=[{"matchArgs": [{"index": 1, "operator": operator, "values": values}]}],
    )  # fmt: skip
    assert bool(bench.judge(loaded.rules[0], make_event("connect", cat, sock=sock()))) is met


def test_the_address_of_bind_is_the_own_end(bench: Any, cat: Process) -> None:
    loaded = bench.probe(
        call="sys_bind",
        args=[{"index": 1, "type": "sockaddr"}],
        selectors=[{"matchArgs": [{"index": 1, "operator": "SPort", "values": ["40000"]}]}],
    )
    assert bench.judge(loaded.rules[0], make_event("bind", cat, sock=sock()))


def test_a_sockaddr_has_no_other_end(bench: Any) -> None:
    loaded = bench.probe(
        call="sys_connect",
        args=[{"index": 1, "type": "sockaddr"}],
        selectors=[{"matchArgs": [{"index": 1, "operator": "DAddr", "values": ["::1"]}]}],
    )
    assert not loaded.rules
    assert [one.where.path for one in loaded.findings] == [".spec.kprobes[0].selectors[0].matchArgs[0]"]


@pytest.mark.parametrize(
    ("values", "call", "met"), [(["list:dups"], 33, True), (["list:dups"], 39, False), (["39"], 39, True)]
)
def test_system_calls_in_a_map(
    bench: Any, policy: Any, cat: Process, values: list[str], call: int, met: bool
) -> None:
    spec = {
        "lists": [{"name": "dups", "type": "syscalls", "values": ["sys_dup", "sys_dup2"]}],
        "tracepoints": [
            {"subsystem": "raw_syscalls", "event": "sys_enter", "args": [{"index": 4, "type": "syscall64"}],
             "selectors": [{"matchArgs": [{"index": 4, "operator": "InMap", "values": values}]}]}
        ],
    }  # fmt: skip
    loaded = bench.load(policy(spec))
    assert not loaded.findings
    event = make_event("tracepoint", cat, args=[call])
    assert bool(bench.judge(loaded.rules[0], event)) is met


def test_args_names_the_place_in_the_list(bench: Any, cat: Process) -> None:
    args = [{"index": 1, "type": "int"}, {"index": 0, "type": "int"}]
    selector = {"matchArgs": [{"index": 0, "args": [1], "operator": "Equal", "values": ["0xc0ffee"]}]}
    loaded = bench.probe(call="sys_kill", args=args, selectors=[selector])
    assert bench.judge(loaded.rules[0], make_event("kill", cat, args=[0xC0FFEE, 9], flags=1))
    assert not bench.judge(loaded.rules[0], make_event("kill", cat, args=[9, 0xC0FFEE], flags=1))


def test_capabilities_gained_compares_two_arguments(bench: Any) -> None:
    args = [{"index": 0, "type": "kernel_cap_t"}, {"index": 1, "type": "kernel_cap_t"}]
    good = bench.probe(
        call="security_capset",
        args=args,
        selectors=[{"matchArgs": [{"args": [0, 1], "operator": "CapabilitiesGained"}]}],
    )
    assert {one.rule for one in good.findings if "selectors" in one.where.path} == {
        "tracingpolicy.unsupported"
    }
    bad = bench.probe(
        call="security_capset",
        args=args,
        selectors=[{"matchArgs": [{"args": [0], "operator": "CapabilitiesGained"}]}],
    )
    assert {one.rule for one in bad.findings if "selectors" in one.where.path} == {"tracingpolicy.invalid"}


def test_every_operator_is_known_by_its_name_and_some_by_others() -> None:
    assert (
        len(operators.OPERATORS) == 33
    )  # with In and NotIn of other filters, and CelExpr, which is not taken
    assert operators.canonical("NotSportPriv") == "NotSPortPriv"
    assert operators.canonical("lt") == "LT"
    assert operators.canonical("CelExpr") is None


def test_every_type_says_what_it_is() -> None:
    assert len(argtypes.TYPES) >= 45
    for name, kind in argtypes.TYPES.items():
        assert kind.form == "nothing" or kind.field, name
        assert (kind.form == "unreadable") == bool(kind.why), name
