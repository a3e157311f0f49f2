"""Falco's rules and attacks done otherwise than expected: other threads, other calls, other paths, real tools of the machine.

Each is a program of its own, known by a variable in its environment; what it writes lies in the test's folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from stage import Room
from stage.deeds import does
from stage.watching import Watch, around

from fairlead.dialects import falco
from fairlead.drivers import kernel
from fairlead.sense.events import Process
from fairlead.sense.fields import Fields

pytestmark = [pytest.mark.kernel, pytest.mark.corpus, pytest.mark.root]

FILES = ("falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")
SENSITIVE = "Read sensitive file untrusted"
TRAVERSAL = "Directory traversal monitored file read"
MEMORY = "Fileless execution via memfd_create"
UDP = "Unexpected UDP Traffic"
THREAD = "import threading; t = threading.Thread(target={0}); t.start(); t.join()"

Command = Sequence[str]


def python(text: str) -> Command:
    return (sys.executable, "-S", "-c", text)


def shell(text: str) -> Command:
    return ("bash", "-c", text)


# what is done, and the rule that must see it; {at} is the test's folder
ATTACKS: dict[str, tuple[Command, str]] = {
    "by another thread": (python(THREAD.format("lambda: open('/etc/shadow')")), SENSITIVE),
    "by a path from a directory": (
        python("import os; os.open('shadow', 0, dir_fd=os.open('/etc', os.O_PATH))"),
        SENSITIVE,
    ),
    "again by its descriptor": (
        python("import os; os.open(f'/proc/self/fd/{os.open(\"/etc/shadow\", os.O_PATH)}', 0)"),
        SENSITIVE,
    ),
    "through a link": (shell("ln -s /etc/shadow {at}/plain && cat {at}/plain"), SENSITIVE),
    "through a linked directory": (shell("ln -s /etc {at}/folder && cat {at}/folder/shadow"), SENSITIVE),
    "from where it is": (shell("cd /etc && exec cat ./shadow"), SENSITIVE),
    "by the loader": (
        shell("exec $(ls /lib64/ld-linux-* /lib/ld-linux-* 2>/dev/null | head -1) /bin/cat /etc/shadow"),
        SENSITIVE,
    ),
    "in a new root": (("chroot", "/", "cat", "/etc/shadow"), SENSITIVE),
    "by an orphan": (
        python(
            "import os, time\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: open('/etc/shadow')\nelse: os.wait()"
        ),
        SENSITIVE,
    ),
    "up and down": (shell("cd {at} && cat /tmp/../etc/../etc/passwd"), TRAVERSAL),
    "up and down to nothing": (
        python("import os; os.path.exists('x') or open('/tmp/../etc/../etc/absent')"),
        TRAVERSAL,
    ),
    "from memory by a path": (
        python(
            "import os; f = os.memfd_create('x'); os.write(f, open('/bin/true', 'rb').read()); os.execv(f'/proc/self/fd/{f}', ['x'])"
        ),
        MEMORY,
    ),
    "from memory by a descriptor": (
        python(
            "import os; f = os.memfd_create('x'); os.write(f, open('/bin/true', 'rb').read()); os.execve(f, ['x'], dict(os.environ))"
        ),
        MEMORY,
    ),
    "by a program under another name": (
        shell("cp /bin/bash {at}/httpd && exec {at}/httpd -c 'sh -c :; :'"),
        "Run shell untrusted",
    ),
    "by a link under another name": (
        shell("ln -s /bin/bash {at}/mysqld && {at}/mysqld -c 'ls; :'"),
        "DB program spawned process",
    ),
    "by a user of the system": (
        shell("cp /bin/bash {at}/login && exec setpriv --reuid=1 --regid=1 --clear-groups {at}/login -c :"),
        "System user interactive",
    ),
    "by a script": (
        shell("cp /bin/true /dev/shm/$$ && cd /dev/shm && ./$$; rm /dev/shm/$$"),
        "Execution from /dev/shm",
    ),
    "datagrams to 4 in 6": (
        python("import socket; socket.socket(10, 2).connect(('::ffff:192.0.2.9', 9999))"),
        UDP,
    ),
    "a mode by descriptor": (
        python("import os; f = os.open('{at}/tool', os.O_CREAT, 0o755); os.fchmod(f, 0o4755)"),
        "Set Setuid or Setgid bit",
    ),
    "a history given another name": (
        shell("cd {at} && echo > .bash_history && mv .bash_history other"),
        "Delete or rename shell history",
    ),
    "a settings file from elsewhere": (
        shell("cd {at} && touch x && cp x .bashrc"),
        "Modify Shell Configuration File",
    ),
}
HARMLESS: dict[str, Command] = {
    "another file": python(THREAD.format("lambda: open('/etc/passwd')")),
    "a link to another file": shell("ln -s /etc/passwd {at}/plain && cat {at}/plain"),
    "a program under its own name": shell("cp /bin/true {at}/service && exec {at}/service -c id"),
    "datagrams to oneself": python("import socket; socket.socket(2, 2).connect(('127.0.0.1', 9999))"),
    "a mode": shell("touch {at}/tool && chmod 755 {at}/tool"),
}


@pytest.fixture(scope="module")
def watch(corpus: Path) -> Iterator[Watch]:
    about, containers = around()
    loaded = falco.load(
        [(name, (corpus / "falco" / name).read_text()) for name in FILES], fields=Fields(about)
    )
    found = Watch([one for one in loaded.rules if one.enabled], about, containers)
    yield found
    found.close()


def is_of(process: Process | None, mark: bytes) -> bool:
    """Whether a process or one of its ancestors was started with this in its environment."""
    while process is not None:
        if mark in process.env_raw.split(b"\0"):
            return True
        process = process.parent
    return False


def seen(watch: Watch, name: str, command: Command, at: Path) -> set[str]:
    """Do it, and return the names of the rules that saw something."""
    tool = command[0]
    if shutil.which(tool) is None:
        pytest.skip(f"there is no {tool}")
    watch.settle()
    watch.detections.clear()
    env = {"ATTACK": name, "PATH": os.defpath + ":/usr/sbin:/sbin"}
    words = [word.replace("{at}", str(at)) for word in command]
    subprocess.run(words, env=env, cwd=at, capture_output=True, timeout=20, check=False)
    watch.settle()
    assert not watch.engine.errors
    mark = f"ATTACK={name}".encode()
    return {one.rule.name for one in watch.detections if is_of(one.event.process, mark)}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_seen(name: str, watch: Watch, tmp_path: Path) -> None:
    command, rule = ATTACKS[name]
    assert rule in seen(watch, name, command, tmp_path)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_is_not(name: str, watch: Watch, tmp_path: Path) -> None:
    assert not seen(watch, name, HARMLESS[name], tmp_path)


def test_capabilities_go_with_root(watch: Watch, tmp_path: Path) -> None:
    room = Room(tmp_path, Path(kernel.hierarchy().mount))
    try:
        watch.settle()
        watch.detections.clear()
        watch.here(room)
        does(("setuid", 1000), ("unshare", 0x10000000))(room)
        assert "Change namespace privileges via unshare" in {one.rule.name for one in watch.seen(room)}
    finally:
        watch.containers.pop(room.cgroup_id, None)
        room.close()
