"""Falco's fields on events made by hand: files, sockets, processes, containers, parameters."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.sense import fields as sense_fields
from fairlead.sense.arguments import EVENTS, parameters
from fairlead.sense.events import CONTAINED, Container, Event, File, Mount, Process, Sock, make_event
from fairlead.sense.fieldcode import Account, Around, matches
from fairlead.sense.fields import TABLE, UNSUPPORTED, Fields
from fairlead.sense.syscalls import CALLS, EVERY, NUMBERS, call_of, hook_of, number_of, texts
from fairlead.tongues.conditions import FieldRef, UnknownField, reference

INIT = Process(1)
SHELL = Process(40)
MAIN = Process(50, 5_000)


@pytest.fixture(autouse=True)
def processes() -> None:
    INIT.name, INIT.args = "systemd", ["/sbin/init"]
    SHELL.name, SHELL.args, SHELL.exe, SHELL.parent, SHELL.vpid = "bash", ["-bash"], "/usr/bin/bash", INIT, 40
    MAIN.name, MAIN.args, MAIN.exe, MAIN.parent, MAIN.cwd = (
        "cat",
        ["/bin/cat", "-n", "a b"],
        "/usr/bin/cat",
        SHELL,
        "/srv",
    )
    MAIN.started, MAIN.loginuid, MAIN.caps, MAIN.env = (
        1_000,
        1000,
        (1 << 21 | 1, 1, 0, 0, 0),
        ["PATH=/bin", "A=b=c"],
    )
    MAIN.container, MAIN.exe_flags, MAIN.tty = None, 0, 34816


AROUND = Around(
    users={("", 1000): Account("alice", "/home/alice", "/bin/sh"), ("c" * 64, 33): Account("www-data")},
    hosts={bytes([10, 96, 0, 1]): ("kubernetes.default.svc.cluster.local",)},
    hostname="node1",
)
FIELDS = Fields(AROUND)


def field_of(text: str) -> FieldRef:
    found = reference(text)
    assert isinstance(found, FieldRef)
    return found


def get(text: str, event: Event) -> Any:
    value = FIELDS.getter(field_of(text))(event)
    return list(value) if isinstance(value, tuple) else value


def opened(passed: str, resolved: str, flags: int = 0, ret: int = 3, base: str = "", **more: Any) -> Event:
    return make_event(
        "openat", MAIN, args=[0xFFFFFF9C, 0x7FFF, flags, 0o644], ret=ret, texts=[resolved, passed, base],
        file=more.pop("file", File(ino=9, dev=0x100003, mode=0o100644)) if ret >= 0 else None, **more,
    )  # fmt: skip


def v4(text: str) -> bytes:
    return bytes(map(int, text.split("."))) + bytes(12)


def socket(
    kind: str, local: str = "10.0.0.5:40000", remote: str = "93.184.216.34:443", ret: int = 0, **more: Any
) -> Event:
    (here, port), (there, their) = local.rsplit(":", 1), remote.rsplit(":", 1)
    sock = Sock(
        2,
        more.pop("type", 1),
        more.pop("proto", 6),
        more.pop("state", 1),
        int(port),
        int(their),
        3,
        v4(here),
        v4(there),
    )
    return make_event(kind, MAIN, args=[3, 0, 16], ret=ret, sock=sock, **more)


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (opened("/etc/shadow", "/etc/shadow"), ["/etc/shadow"]),
        (opened("/var/run/x", "/run/x"), ["/var/run/x", "/run/x"]),
        (opened("../etc/x", "/etc/x", base="/usr"), ["/etc/x"]),
        (opened("/a/../etc/x", "/etc/x"), ["/etc/x"]),
        (opened("../etc/x", "", ret=-2, base="/usr/lib"), ["/usr/etc/x"]),
        (opened("/a//b/./c/", "", ret=-2), ["/a/b/c"]),
        (opened("x", "", ret=-13), ["x"]),
        (opened("", "", ret=-14), []),
        (opened("/proc/self/exe", "/usr/bin/cat"), ["/proc/self/exe", "/usr/bin/cat"]),
    ],
)  # fmt: skip
def test_the_names_of_opened_files(event: Event, names: list[str]) -> None:
    assert get("fd.name", event) == names


def test_an_opened_file() -> None:
    event = opened("../etc/cron.d/x", "/etc/cron.d/x", 0o1101, base="/usr")
    expected = {
        "evt.type": "openat", "evt.dir": "<", "evt.res": "SUCCESS", "evt.rawres": 3, "evt.failed": False, "fd.num": 3, "fd.type": "file",
        "fd.typechar": "f", "fd.directory": ["/etc/cron.d"], "fd.filename": ["x"], "fd.nameraw": "../etc/cron.d/x", "fd.ino": 9,
        "fd.dev.major": 1, "fd.dev.minor": 3, "evt.is_open_write": True, "evt.is_open_read": False, "evt.is_open_exec": False,
        "evt.arg.flags": "O_TRUNC|O_CREAT|O_WRONLY", "evt.arg[name]": "/etc/cron.d/x", "evt.arg.fd": "<f>/etc/cron.d/x", "evt.rawarg.flags": 0o1101,
        "evt.args": "fd=3(<f>/etc/cron.d/x) dirfd=-100(AT_FDCWD) name=../etc/cron.d/x(/etc/cron.d/x) flags=241(O_TRUNC|O_CREAT|O_WRONLY)"
                    " mode=644 dev=100003 ino=9",
        "fs.path.name": "/etc/cron.d/x", "fs.path.nameraw": "../etc/cron.d/x", "container.id": "host", "container.image.repository": None,
        "k8s.pod.name": None,
    }  # fmt: skip
    assert {name: get(name, event) for name in expected} == expected


def test_what_failed_has_a_name_and_no_descriptor() -> None:
    event = opened("/etc/nothing", "", ret=-2)
    assert [get(name, event) for name in ("fd.num", "fd.typechar", "evt.res", "evt.failed")] == [
        -1,
        "f",
        "ENOENT",
        True,
    ]
    assert get("fd.typechar", opened("/etc", "/etc", 0o200000, file=File(mode=0o040755))) == "d"


@pytest.mark.parametrize(
    ("event", "name", "server", "client", "local_port"),
    [
        (socket("connect"), "10.0.0.5:40000->93.184.216.34:443", 443, 40000, 40000),
        (socket("accept", "10.0.0.5:80", "10.0.0.9:50000", 4), "10.0.0.9:50000->10.0.0.5:80", 80, 50000, 80),
        (socket("write", "10.0.0.5:80", "10.0.0.9:50000", 4), "10.0.0.9:50000->10.0.0.5:80", 80, 50000, 80),
        (socket("listen", "0.0.0.0:80", "0.0.0.0:0", state=10), "0.0.0.0:80", 80, None, 80),
    ],
)  # fmt: skip
def test_the_ends_of_connections(
    event: Event, name: str, server: int, client: int | None, local_port: int
) -> None:
    assert get("fd.name", event) == [name]
    assert [get(f"fd.{one}port", event) for one in "scl"] == [server, client, local_port]
    assert get("fd.l4proto", event) == "tcp"
    assert get("fd.typechar", event) == "4"


def test_addresses_are_shown_in_words() -> None:
    event = socket("connect")
    assert FIELDS.shown(FieldRef("fd.sip"))(event) == "93.184.216.34"
    assert FIELDS.shown(FieldRef("fd.cip"))(event) == "10.0.0.5"
    assert FIELDS.shown(FieldRef("fd.name"))(event) == "10.0.0.5:40000->93.184.216.34:443"
    assert get("fd.sip.name", socket("connect", remote="10.96.0.1:443")) == [
        "kubernetes.default.svc.cluster.local"
    ]
    mapped = Sock(
        10, 1, 6, 1, 5, 80, 3, bytes(10) + b"\xff\xff\x0a\0\0\x05", bytes(10) + b"\xff\xff\x0a\0\0\x09"
    )
    assert get("fd.sip", make_event("connect", MAIN, sock=mapped)) == bytes([10, 0, 0, 9])
    assert get("fd.typechar", make_event("connect", MAIN, sock=mapped)) == "4"


def test_unix_sockets_go_by_their_path() -> None:
    event = make_event("connect", MAIN, args=[3], sock=Sock(1, 1), texts=["/run/docker.sock"])
    assert get("fd.name", event) == ["/run/docker.sock"]
    assert [get(name, event) for name in ("fd.type", "fd.typechar", "fd.sockfamily", "fd.l4proto")] == [
        "unix",
        "u",
        "unix",
        None,
    ]
    assert get("fd.name", make_event("connect", MAIN, sock=Sock(1, 1), texts=["\0abstract"])) == ["@abstract"]


def test_sending_to_the_same_changes_no_name() -> None:
    first = socket("sendto", type=2, proto=17, state=7, serial=1)
    again = socket("sendto", type=2, proto=17, state=7, serial=2)
    other = socket("sendto", remote="1.1.1.1:53", type=2, proto=17, state=7, serial=3)
    MAIN.notes = None
    assert [get("fd.name_changed", one) for one in (first, again, other)] == [True, False, True]
    assert get("fd.connected", first) is False


def test_a_process() -> None:
    event = make_event("exec", MAIN, time=5_000, uid=1000)
    expected = {
        "evt.type": "execve", "proc.name": "cat", "proc.exe": "/bin/cat", "proc.exepath": "/usr/bin/cat", "proc.args": "-n a b",
        "proc.cmdline": "cat -n a b", "proc.exeline": "/bin/cat -n a b", "proc.pname": "bash", "proc.pcmdline": "bash", "proc.aname[2]": "systemd",
        "proc.aname[3]": None, "proc.aname": ["bash", "systemd"], "proc.aname[0]": "cat", "proc.cwd": "/srv/", "proc.duration": 4_000,
        "proc.env[A]": "b=c", "proc.env": "PATH=/bin A=b=c", "proc.tty": 34816, "proc.cmdnargs": 2, "user.name": "alice", "user.uid": 1000,
        "user.homedir": "/home/alice", "user.loginname": "alice", "user.loginuid": 1000, "group.name": "root", "evt.hostname": "node1",
        "thread.cap_effective": "CAP_CHOWN CAP_SYS_ADMIN", "thread.cap_permitted": "CAP_CHOWN", "proc.is_exe_upper_layer": False,
        "evt.arg.flags": "0", "evt.arg.exe": "/bin/cat", "evt.arg.pid": "cat",
    }  # fmt: skip
    assert {name: get(name, event) for name in expected} == expected
    MAIN.exe_flags, MAIN.exe = 1 | 2, "/memfd:x (deleted)"
    assert get("proc.exepath", event) == "memfd:x"
    assert get("evt.arg.flags", event) == "EXE_UPPER_LAYER|EXE_FROM_MEMFD"
    MAIN.loginuid = 0xFFFFFFFF
    assert [get(name, event) for name in ("user.loginuid", "user.loginname")] == [-1, "<NA>"]


def test_a_container_and_its_pod() -> None:
    MAIN.container = Container(
        id="c" * 64, name="web", image="docker.io/library/nginx:1", repository="docker.io/library/nginx", tag="1", privileged=True,
        runtime="containerd", mounts=(Mount("/proc", "/host/proc", "ro", rw=False), Mount("/", "/rootfs")), pod="web-1", pod_namespace="shop",
        pod_labels={"app": "web"}, workload="web", workload_kind="Deployment", probes=(("liveness", "cat -n a b"),),
    )  # fmt: skip
    event = make_event("exec", MAIN, flags=CONTAINED, uid=33)
    expected = {
        "container.id": "c" * 12, "container.name": "web", "container.image.repository": "docker.io/library/nginx", "container.image.tag": "1",
        "container.privileged": True, "container.type": "containerd", "container.mount.dest[/proc*]": "/host/proc",
        "container.mount.dest[/etc]": "N/A", "container.mount.rdwr[0]": "false", "container.mount.source[/rootfs]": "/",
        "container.mounts": "/proc:/host/proc:ro:false:,/:/rootfs::true:", "k8s.pod.name": "web-1", "k8s.ns.name": "shop",
        "k8s.pod.label[app]": "web", "k8s.deployment.name": "web", "k8s.rs.name": None, "user.name": "www-data",
        "proc.is_container_liveness_probe": True, "proc.is_container_healthcheck": False,
    }  # fmt: skip
    assert {name: get(name, event) for name in expected} == expected
    assert get("user.name", make_event("exec", MAIN, uid=7)) == "<NA>"


@pytest.mark.parametrize(
    ("kind", "name", "args", "found", "wanted"),
    [
        ("ptrace", "request", [16], [], "PTRACE_ATTACH"),
        ("socket", "domain", [17], [], "AF_PACKET"),
        ("chmod", "mode", [0, 0o4755], ["/x"], "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID"),
        ("chmod", "filename", [0, 0o4755], ["x", "/srv"], "/srv/x"),
        ("setuid", "uid", [1000], [], "alice"),
        ("setuid", "uid", [55], [], "<NA>"),
        ("bpf", "cmd", [5], [], "BPF_PROG_LOAD"),
        ("symlinkat", "target", [], ["../etc/shadow", "l", "/tmp"], "../etc/shadow"),
        ("symlinkat", "linkpath", [], ["/etc/shadow", "l", "/tmp"], "/tmp/l"),
        ("renameat2", "newpath", [0, 0, 0, 0, 1], ["a", "/b", "c", "/d"], "/d/c"),
        ("renameat2", "flags", [0, 0, 0, 0, 1], [], "RENAME_NOREPLACE"),
        ("unlinkat", "flags", [0, 0, 0x200], [], "AT_REMOVEDIR"),
        ("mount", "flags", [0, 0, 0, 4096], [], "BIND"),
        ("kill", "sig", [5, 9], [], "SIGKILL"),
        ("unshare", "flags", [0x10000000], [], "CLONE_NEWUSER"),
        ("mprotect", "prot", [1, 2, 5], [], "PROT_READ|PROT_EXEC"),
        ("connect", "nosuch", [], [], None),
    ],
)  # fmt: skip
def test_parameters(kind: str, name: str, args: list[int], found: list[str], wanted: str | None) -> None:
    if wanted is None:
        with pytest.raises(UnknownField):
            get(f"evt.arg.{name}", make_event(kind, MAIN))
        return
    assert get(f"evt.arg.{name}", make_event(kind, MAIN, args=args, texts=found)) == wanted


def test_an_exit() -> None:
    event = make_event("exited", MAIN, ret=9 | 128)
    assert get("evt.type", event) == "procexit"
    assert get("evt.args", event) == "status=137 ret=0 sig=9(SIGKILL) core=1"


def test_a_hook_that_reads_less_moves_its_texts() -> None:
    hook = hook_of("renameat2", without=["oldname"])
    assert texts(hook) == ("newname", "newname@")
    event = make_event("renameat2", MAIN, texts=["c", "/d"], hook=hook)
    assert get("evt.arg.newpath", event) == "/d/c"
    assert get("evt.arg.oldpath", event) is None


@pytest.mark.parametrize("name", sorted(TABLE))
def test_no_field_raises_over_any_event(name: str) -> None:
    wanted = TABLE[name].argument
    refs = [FieldRef(name, "1" if wanted.startswith("index") else "x")] if wanted else []
    refs += [FieldRef(name)] if not wanted or wanted.endswith("?") else []
    for kind in (
        "openat",
        "exec",
        "connect",
        "exited",
        "forked",
        "sock_state",
        "kprobe",
        "no such kind",
        "write",
        "mount",
    ):
        for event in (
            make_event(kind, MAIN),
            make_event(kind, Process(0), ret=-1, sock=Sock(1)),
            make_event(kind, Process(9), file=File()),
        ):
            for ref in refs:
                FIELDS.getter(ref)(event)
                FIELDS.shown(ref)(event)
                Fields(AROUND).of_kind(kind).getter(ref)(event)


def test_what_is_not_there_says_so() -> None:
    for name, why in UNSUPPORTED.items():
        with pytest.raises(UnknownField, match=why[:20]):
            FIELDS(FieldRef(name))
    for text in ("proc.nothing", "proc.aname[x]", "proc.name[1]", "container.mount"):
        with pytest.raises(UnknownField):
            FIELDS(field_of(text))
    assert not set(UNSUPPORTED) & set(TABLE)
    assert len(sense_fields.docs()) == len(TABLE)


def test_the_tables_of_calls_fit_together() -> None:
    assert number_of("openat") == 257
    assert number_of("openat", "aarch64") == 56
    assert number_of("open", "aarch64") is None
    assert set(CALLS) <= EVERY
    assert all(len(table) > 300 for table in NUMBERS.values())
    for kind in EVENTS:
        call = call_of(kind)
        for one in parameters(kind):
            if one.source.isdigit() and kind not in {"procexit", "signaldeliver"}:
                assert int(one.source) < 6
            elif one.source not in {"ret", "place", "sock", "process", "0", "1"}:
                assert one.source in call.positions, (kind, one)


def test_globs_of_mounts() -> None:
    assert matches("/proc*", "/proc/x")
    assert matches("*sock", "/a/b.sock")
    assert matches("/a?c", "/abc")
    assert not matches("/etc", "/etc2")
    assert not matches("a*b*c", "aXbX")
    assert matches("*" * 50 + "x", "y" * 1000 + "x")
