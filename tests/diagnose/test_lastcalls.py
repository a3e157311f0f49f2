"""Which failed call tells why a container ended: one of the program's own wants, not what every program looks for in vain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.diagnose.lastcalls import EXPLAINING, Call, Death, deaths, telling

END = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
NOISE = [
    "/etc/ld.so.preload",
    "/etc/ld.so.nohwcap",
    "/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libc.so.6",
    "/usr/lib/locale/locale-archive",
    "/usr/share/locale/en_US/LC_MESSAGES/libc.mo",
    "/etc/localtime",
    "/var/run/nscd/socket",
    "/etc/terminfo/x/xterm",
    "/proc/sys/vm/overcommit_memory",
    "/sys/fs/cgroup/cpu.max",
    "/usr/lib/python3.12/site-packages/yaml/__init__.cpython-312.so",
    "/usr/local/lib/python3.12/sitecustomize.py",
    "/app/pyvenv.cfg",
    "/app/node_modules/express/package.json",
    "/usr/lib/ruby/gems/3.2.0/specifications/x.gemspec",
    "/usr/share/perl5/strict.pmc",
    "/usr/lib/ssl/openssl.cnf",
    "/root/.bashrc",
    "/root/.npmrc",
    "/tmp/hsperfdata_root/1",
    "/dev/tty",
    "/etc/profile.d/x.sh",
]


def call(name: str = "openat", before: float = 0.01, **more: Any) -> Call:
    content: dict[str, Any] = {"name": name, "error": "ENOENT", "last": END - timedelta(seconds=before)}
    return Call(**content | more)


def said(*calls: Call, **end: Any) -> list[str]:
    return [str(one) for _, one in telling(Death(at=END, calls=calls, **{"code": 1} | end))]


@pytest.mark.parametrize("path", NOISE)
def test_what_is_looked_for_in_vain_everywhere_is_not_told(path: str) -> None:
    assert said(call(path=path, count=4)) == []


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (call(path="/etc/app/config.yaml"), "open /etc/app/config.yaml: ENOENT"),
        (call(path="config/settings.toml"), "open config/settings.toml: ENOENT"),
        (call("open", path="/run/secrets/db-password"), "open /run/secrets/db-password: ENOENT"),
        (call(path="/var/lib/app/data.db", error="EACCES", said="Permission denied"),
         "open /var/lib/app/data.db: EACCES (Permission denied)"),
        (call(path="/data/out.log", error="EROFS"), "open /data/out.log: EROFS"),
        (call("mkdirat", path="/var/cache/app", error="EACCES"), "mkdir /var/cache/app: EACCES"),
        (call("connect", peer="10.96.0.7:5432", error="ECONNREFUSED", count=5), "connect 10.96.0.7:5432: ECONNREFUSED, 5 times"),
        (call("connect", path="/var/run/docker.sock"), "connect /var/run/docker.sock: ENOENT"),
        (call("bind", peer="0.0.0.0:80", error="EACCES"), "bind 0.0.0.0:80: EACCES"),
        (call("bind", peer="0.0.0.0:8080", error="EADDRINUSE"), "bind 0.0.0.0:8080: EADDRINUSE"),
        (call("clone", error="EAGAIN"), "clone: EAGAIN"),
        (call("mmap", error="ENOMEM"), "mmap: ENOMEM"),
        (call("write", error="ENOSPC"), "write: ENOSPC"),
        (call("mount", path="/mnt", error="EPERM"), "mount /mnt: EPERM"),
        (call(path="/dev/fuse"), "open /dev/fuse: ENOENT"),
        (call("execve", path="/entrypoint.sh", error="EACCES"), "exec /entrypoint.sh: EACCES"),
    ],
)  # fmt: skip
def test_what_a_program_wanted_is_told_and_may_be_the_cause(one: Call, text: str) -> None:
    noise = [call(path=path) for path in NOISE]
    assert said(*noise, one) == [text]
    assert telling(Death(at=END, code=1, calls=(one,)))[0][0] >= EXPLAINING


def test_the_nearest_to_the_end_and_the_most_repeated_come_first() -> None:
    far = call(path="/etc/app/a.yaml", before=600)
    near = call(path="/etc/app/b.yaml", before=0.05)
    often = call(path="/etc/app/c.yaml", before=0.05, count=30)
    assert said(far, near, often) == [
        "open /etc/app/c.yaml: ENOENT, 30 times",
        "open /etc/app/b.yaml: ENOENT",
    ]


def test_a_search_along_a_path_is_one_call() -> None:
    search = [call("execve", path=f"{place}/migrate") for place in ("/usr/local/bin", "/usr/bin", "/bin")]
    assert said(*search, code=127) == ["exec migrate: ENOENT, in 3 places"]
    libraries = [call(path=f"/usr/{place}/libpq.so.5") for place in ("lib", "local/lib")]
    assert said(*libraries) == []
    found = [replace(one, path=one.path.replace("/usr/", "/opt/")) for one in libraries]
    assert said(*found, code=127) == ["open libpq.so.5: ENOENT, in 2 places"]


def test_a_machine_without_ipv6_is_not_blamed() -> None:
    assert said(call("connect", peer="[2001:db8::1]:443", error="ENETUNREACH")) == []
    assert said(call("unlink", path="/app/old.sock")) == []
    assert said(call("ioctl", error="ENOTTY")) == []


@pytest.mark.parametrize(
    "deaths_", [None, 7, [None], [{}], [{"calls": [None, {}, {"call": 3}]}], [{"time": 7, "calls": {}}], [{"exitCode": "x"}]]
)  # fmt: skip
def test_records_may_hold_anything(deaths_: Any) -> None:
    for one in deaths({"deaths": deaths_}):
        assert telling(one) == []
