"""containerd as a process of ours: starts it with its own configuration, adopts one that outlived us, ends it cleanly.

Must never touch a containerd that it did not start: the process is known by the path of its configuration file.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fairlead.drivers.containers.pause import MACHINES
from fairlead.drivers.containers.places import Places, choose_subnet
from fairlead.drivers.images import architecture

_CNI: Final = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
_PLUGINS: Final = ("bridge", "host-local", "loopback")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SYS_RESOURCE: Final = 24
_STOP_SECONDS: Final = 15


class ContainersUnavailable(Exception):
    """Containers cannot run here; the text says why and what would help."""


def missing() -> str:
    """Return why containers cannot run on this machine, in one sentence, or "" when they can."""
    if not Path("/proc/self/ns/net").exists():
        return "containers need Linux"
    if os.geteuid() != 0:
        return "containers need root: start fairlead as root, or run pods with runtimeClassName wasm"
    if architecture() not in MACHINES:
        return f"containers need one of {', '.join(MACHINES)}, this machine is {architecture()}"
    packages = []
    for program, package in (("containerd", "containerd"), ("runc", "runc")):
        if shutil.which(program, path=_PATH) is None:
            packages.append(package)
    if _plugins() is None:
        packages.append("containernetworking-plugins")
    if packages:
        return f"containers need {' and '.join(packages)}: apt-get install {' '.join(packages)}"
    return ""


def _plugins() -> Path | None:
    for directory in _CNI:
        if all(os.access(directory / plugin, os.X_OK) for plugin in _PLUGINS):
            return directory
    return None


def _has_sys_resource() -> bool:
    """Tell whether this process may lower an OOM score; without CAP_SYS_RESOURCE runc must not try."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _SYS_RESOURCE & 1)
    return False


def _overlay_works(directory: Path) -> bool:
    """Try an overlay mount in the directory: it fails on some file systems, an overlay itself among them."""
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        places = {name: Path(scratch, name) for name in ("lower", "upper", "work", "merged")}
        for place in places.values():
            place.mkdir()
        options = f"lowerdir={places['lower']},upperdir={places['upper']},workdir={places['work']}"
        if "," in scratch or ":" in scratch:
            return False  # the options cannot name such a path
        target = os.fsencode(places["merged"])
        if libc.mount(b"overlay", target, b"overlay", 0, options.encode()) != 0:
            return False
        libc.umount2(target, 0)
        return True


def _mtu() -> int:
    """Return the MTU of the interface of the default route, so that what pods send fits on its way out."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == fields[7] == "00000000":
            return int(Path("/sys/class/net", fields[0], "mtu").read_text())
    return 1500


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Write tables of strings, numbers, booleans and lists of strings; JSON's forms of these are TOML's too."""
    out = []
    for table, values in tables.items():
        out.append(f"[{table}]" if table else "")
        out.extend(f"{key} = {json.dumps(value)}" for key, value in values.items())
        out.append("")
    return "\n".join(out).lstrip()


def configuration(places: Places, plugins: Path, *, snapshotter: str, restrict_oom: bool, pause: str) -> str:
    """Return containerd's configuration (version 2, as containerd 1.6 and 1.7 read it)."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    unused = ("aufs", "btrfs", "devmapper", "zfs")
    return _toml(
        {
            "": {
                "version": 2,
                "root": str(places.root),
                "state": str(places.state),
                "disabled_plugins": [
                    *(f"io.containerd.snapshotter.v1.{name}" for name in unused),
                    "io.containerd.internal.v1.opt",
                    "io.containerd.internal.v1.restart",
                    "io.containerd.tracing.processor.v1.otlp",
                    "io.containerd.internal.v1.tracing",
                ],
            },
            "debug": {"level": "warn"},
            "grpc": {"address": str(places.socket), "uid": 0, "gid": 0},
            'plugins."io.containerd.monitor.v1.cgroups"': {"no_prometheus": True},
            cri: {
                "sandbox_image": pause,
                "restrict_oom_score_adj": restrict_oom,
                "netns_mounts_under_state_dir": True,
                "tolerate_missing_hugetlb_controller": True,
                "stream_server_address": "127.0.0.1",
                "stream_server_port": "0",
            },
            f"{cri}.cni": {"bin_dir": str(plugins), "conf_dir": str(places.cni), "max_conf_num": 1},
            f"{cri}.containerd": {"snapshotter": snapshotter, "default_runtime_name": "runc"},
            f"{cri}.containerd.runtimes.runc": {"runtime_type": "io.containerd.runc.v2"},
            f"{cri}.containerd.runtimes.runc.options": {
                "SystemdCgroup": False,
                "Root": str(places.run / "runc"),
            },
        }
    )


def network_configuration(places: Places, subnet: ipaddress.IPv4Network, mtu: int) -> str:
    """Return the CNI configuration: one bridge, addresses from the subnet, its first address the pods' gateway.

    Nothing here touches the packet filter (`ipMasq` is off): those rules are drivers/network.py's, in chains of our own.
    """
    bridge = {
        "type": "bridge",
        "bridge": places.bridge,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "mtu": mtu,
        "ipam": {
            "type": "host-local",
            "dataDir": str(places.run / "addresses"),
            "ranges": [[{"subnet": str(subnet), "gateway": str(subnet.network_address + 1)}]],
        },
    }
    return json.dumps({"cniVersion": "1.0.0", "name": places.network, "plugins": [bridge]}, indent=2) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def find(places: Places) -> int:
    """Return the process id of this data directory's containerd, or 0."""
    marker = os.fsencode(places.config)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if len(words) > 2 and words[0].endswith(b"containerd") and marker in words:
                return int(entry.name)
    return 0


def start(places: Places, log: Path, pause: str) -> tuple[int, ipaddress.IPv4Network]:
    """Start containerd unless it already runs; return its process id and the pods' subnet. Does not wait for it.

    It goes on when we end: its containers must outlive us. Raises ContainersUnavailable.
    """
    reason = missing()
    plugins = _plugins()
    if reason or plugins is None:
        raise ContainersUnavailable(reason)
    try:
        places.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        places.run.mkdir(mode=0o711, parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        subnet = choose_subnet(places)
        _write(places.cni / "10-fairlead.conflist", network_configuration(places, subnet, _mtu()))
        pid = find(places)
        if pid:
            return pid, subnet
        text = configuration(
            places,
            plugins,
            snapshotter="overlayfs" if _overlay_works(places.home) else "native",
            restrict_oom=not _has_sys_resource(),
            pause=pause,
        )
        _write(places.config, text)
        with log.open("ab") as out:
            process = subprocess.Popen(
                ["containerd", "--config", str(places.config)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                env={"PATH": _PATH} | {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")},
                start_new_session=True,
            )
    except (OSError, RuntimeError) as error:
        raise ContainersUnavailable(f"containerd cannot start: {error}") from error
    _children[process.pid] = process
    return process.pid, subnet


_children: dict[int, subprocess.Popen[bytes]] = {}


def is_child(pid: int) -> bool:
    """Tell whether this very process started that containerd."""
    return pid in _children


def alive(pid: int) -> bool:
    """Tell whether containerd still runs; reaps it when it was our child and is no more."""
    if child := _children.get(pid):
        if child.poll() is None:
            return True
        del _children[pid]
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def last_words(log: Path) -> str:
    """Return the last error that containerd logged, or its last line, for a text that says why it ended."""
    try:
        lines = log.read_bytes()[-20_000:].decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    bad = [line for line in lines if "level=fatal" in line or line.startswith("containerd: ")]
    return (bad or lines or [""])[-1]


async def end(pid: int) -> None:
    """End containerd: politely, and after a while by force. Its containers go on."""
    if not alive(pid):
        return
    for way in (signal.SIGTERM, signal.SIGKILL):
        os.kill(pid, way)
        for _ in range(_STOP_SECONDS * 50):
            if not alive(pid):
                return
            await asyncio.sleep(0.02)
