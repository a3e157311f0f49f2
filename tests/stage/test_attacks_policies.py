"""Policies and attacks done otherwise than expected: copies within the kernel, writes to sockets, flags beside types, functions behind calls."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stage.watching import Watch, around

from fairlead.dialects.tracingpolicy.assembling import load
from fairlead.dialects.tracingpolicy.filters import Host
from fairlead.drivers import kernel, procfs

pytestmark = [pytest.mark.kernel, pytest.mark.root]

FAR = "192.0.2.9"
COPY = "import os; a, b = os.open('{a}', 0), os.open('{b}', os.O_CREAT | os.O_WRONLY)\nos."
UDP = f"import os, socket; s = socket.socket(2, 2); s.connect(('{FAR}', 0))\n"


def probe(
    call: str, args: dict[int, str], *tests: tuple[int, str, str], syscall: bool = False
) -> dict[str, Any]:
    return {
        "call": call,
        "syscall": syscall,
        "args": [{"index": index, "type": kind} for index, kind in args.items()],
        "selectors": [
            {"matchArgs": [{"index": at, "operator": op, "values": [value]} for at, op, value in tests]}
        ],
    }


def permission(right: str) -> dict[str, Any]:
    return probe(
        "security_file_permission", {0: "file", 1: "int"}, (0, "Prefix", "{at}/kept/"), (1, "Equal", right)
    )


POLICIES: dict[str, dict[str, Any]] = {
    "read": permission("4"),
    "written": permission("2"),
    "raw": probe("security_socket_create", {0: "int32", 1: "int32"}, (1, "Equal", "3")),
    "datagrams": probe("udp_sendmsg", {0: "sock", 2: "int"}, (0, "DPort", "9053")),
    "sent": probe("security_socket_sendmsg", {0: "socket", 2: "int"}, (0, "DPort", "9054")),
    "root": probe("__sys_setuid", {0: "int"}, (0, "Equal", "0")),
    "script": probe("security_bprm_check", {0: "linux_binprm"}, (0, "Equal", "{at}/run")),
    "packets": probe("__sys_socket", {0: "int", 1: "int", 2: "int"}, (0, "Equal", "17")),
}
# what is done, which policies see it; all others must not
ATTACKS: dict[str, tuple[str, set[str]]] = {
    "copied out by sendfile": (COPY.format(a="{at}/kept/f", b="{at}/out") + "sendfile(b, a, 0, 4)", {"read"}),
    "copied in by sendfile": (
        COPY.format(a="{at}/free", b="{at}/kept/g") + "sendfile(b, a, 0, 4)",
        {"written"},
    ),
    "copied out at once": (COPY.format(a="{at}/kept/f", b="{at}/out") + "copy_file_range(a, b, 4)", {"read"}),
    "copied in at once": (
        COPY.format(a="{at}/free", b="{at}/kept/g") + "copy_file_range(a, b, 4)",
        {"written"},
    ),
    "copied elsewhere": (COPY.format(a="{at}/free", b="{at}/out") + "copy_file_range(a, b, 4)", set()),
    "copied by splice": (
        "import os; a = os.open('{at}/free', 0); b = os.open('{at}/kept/g', 65); r, w = os.pipe()\nos.splice(a, w, 4); os.splice(r, b, 4)",
        {"written"},
    ),
    "read into vectors": ("import os; os.preadv(os.open('{at}/kept/f', 0), [bytearray(2)] * 2, 0)", {"read"}),
    "a raw socket with a flag": ("import socket; socket.socket(2, 3, 1)", {"raw"}),
    "a plain socket with a flag": ("import socket; socket.socket(2, 1, 0)", set()),
    "a socket of packets": ("import socket; socket.socket(17, 3, 0)", {"raw", "packets"}),
    "written to a socket": (UDP.replace(", 0)", ", 9053)") + "os.write(s.fileno(), b'x')", {"datagrams"}),
    "vectors written to a socket": (
        UDP.replace(", 0)", ", 9054)") + "os.writev(s.fileno(), [b'x'])",
        {"sent"},
    ),
    "written to another": (UDP.replace(", 0)", ", 9055)") + "os.write(s.fileno(), b'x')", set()),
    "a script": ("import os; os.execv('{at}/run', ['x', 'y'])", {"script"}),
    "a script from where it is": ("import os; os.chdir('{at}'); os.execv('./run', ['x'])", {"script"}),
    "another script": ("import os; os.execv('{at}/walk', ['{at}/run'])", set()),
    "root again": ("import os; os.setuid(0)", {"root"}),
    "root no more": ("import os; os.setuid(1)", set()),
}


def told(value: Any, at: str) -> Any:
    """Return a document with the folder in it."""
    if isinstance(value, dict):
        return {key: told(each, at) for key, each in value.items()}
    if isinstance(value, list):
        return [told(each, at) for each in value]
    return value.replace("{at}", at) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Watch, str]]:
    at = str(tmp_path_factory.mktemp("policies"))
    Path(at, "kept").mkdir()
    for name in ("free", "kept/f"):
        Path(at, name).write_text("text")
    for name in ("run", "walk"):
        Path(at, name).write_text("#!/bin/sh -e\n")
        Path(at, name).chmod(0o755)
    documents = [
        {
            "apiVersion": "cilium.io/v1alpha1",
            "kind": "TracingPolicy",
            "metadata": {"name": name},
            "spec": {"kprobes": [told(one, at)]},
        }
        for name, one in POLICIES.items()
    ]
    # Where there are kprobes the functions themselves are hooked; here it is about what serves in their place.
    abilities = kernel.probe().names - {"kprobe", "fentry", "lsm"}
    host = Host(namespaces=procfs.namespaces(os.getpid()), machine=platform.machine())
    loaded = load([("attacks.yaml", one) for one in documents], abilities, host)
    assert len(loaded.rules) == len(POLICIES)
    about, containers = around()
    watch = Watch(loaded.rules, about, containers)
    yield watch, at
    watch.close()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_seen(name: str, stage: tuple[Watch, str]) -> None:
    watch, at = stage
    text, wanted = ATTACKS[name]
    watch.settle()
    watch.detections.clear()
    command = [sys.executable, "-I", "-S", "-c", text.replace("{at}", at)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        _, error = process.communicate(timeout=20)
    assert not error, error.decode()
    watch.settle()
    mine = [one for one in watch.detections if one.event.pid == process.pid]
    assert {one.rule.detail.name for one in mine} == wanted
