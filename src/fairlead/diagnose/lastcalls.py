"""What a container's processes asked of the kernel in vain before it ended, and which of it tells why.

Reads FlightRecords (fairlead.dev), which the sensor writes when a container dies. Most failed calls are how programs look for things
that need not be there: libraries, locales, modules, settings of the user. What is left over is chosen by what was asked for, how it was
refused, how often, and how shortly before the end. No program is known by its name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import log2
from typing import Any

from fairlead.diagnose.inventories import Inventory, moment
from fairlead.tongues.paths import mappings, text, whole
from fairlead.words import Ref, Resource

GROUP, KIND = "fairlead.dev", "FlightRecord"
SHOWN = 3
"""Calls that are told at most."""
TELLING = 45
"""The least score of a call that is told."""
_BESIDE = 25
"""What says so much less than the most telling call is not told beside it."""
EXPLAINING = 60
"""The least score of a call that is taken for the cause where nothing else is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that failed: which, about what, how, and how often in a row. `last` is when it failed last.

    With the name `exit` it is a process of the container that a signal ended, which is the error then.
    """

    name: str
    error: str
    said: str = ""
    path: str = ""
    peer: str = ""
    count: int = 1
    comm: str = ""
    pid: int = 0
    last: datetime | None = None
    places: int = 1
    """In how many directories the same name was looked for."""

    def __str__(self) -> str:
        """For people: `open /etc/app.yaml: ENOENT (No such file or directory), 3 times`."""
        if self.name == "exit":
            return f"{self.comm or 'a process'} was ended by {self.error}" + (
                f" ({self.said})" if self.said else ""
            )
        what = " ".join(part for part in (_VERBS.get(self.name, self.name), self.path or self.peer) if part)
        how = f"{self.error} ({self.said})" if self.said else self.error
        times = f", {self.count} times" if self.count > 1 else ""
        where = f", in {self.places} places" if self.places > 1 else ""
        return f"{what}: {how}{where}{times}"


_VERBS = {
    "openat": "open", "openat2": "open", "creat": "open", "execve": "exec", "execveat": "exec", "newfstatat": "stat", "statx": "stat",
    "lstat": "stat", "faccessat": "access", "faccessat2": "access", "mkdirat": "mkdir", "unlinkat": "unlink", "renameat": "rename",
    "renameat2": "rename", "readlinkat": "readlink", "fchmodat": "chmod", "fchownat": "chown", "symlinkat": "symlink",
    "linkat": "link", "accept4": "accept", "sendto": "send", "sendmsg": "send", "clone3": "clone",
}  # fmt: skip
"""Calls that are other calls with more arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How a container ended, as the kernel saw it. `signal` is a name such as SIGSEGV, or ""."""

    at: datetime | None
    container_id: str = ""
    code: int = 0
    signal: str = ""
    oom: str = ""
    """Who was killed for memory, in words, or ""."""
    pid: int = 0
    comm: str = ""
    calls: tuple[Call, ...] = ()


def deaths(record: Resource) -> list[Death]:
    """Return the deaths that a FlightRecord tells of, the last first. What is not as expected is left out."""
    found = []
    for _, one in mappings(record, "deaths"):
        calls = tuple(_call(call) for _, call in mappings(one, "calls"))
        found.append(
            Death(
                at=moment(one.get("time")),
                container_id=text(one, "containerID"),
                code=whole(one, "exitCode"),
                signal=text(one, "signal"),
                oom=text(one, "outOfMemory"),
                pid=whole(one, "pid"),
                comm=text(one, "command"),
                calls=tuple(call for call in calls if call.name),
            )
        )
    return found


def _call(content: Mapping[str, Any]) -> Call:
    return Call(
        name=text(content, "call"),
        error=text(content, "error"),
        said=text(content, "message"),
        path=text(content, "path"),
        peer=text(content, "peer"),
        count=max(1, whole(content, "count", default=1)),
        comm=text(content, "command"),
        pid=whole(content, "pid"),
        last=moment(content.get("lastTime")) or moment(content.get("time")),
    )


def last_death(inventory: Inventory, pod: Ref, container: str, status: Mapping[str, Any]) -> Death | None:
    """Return what is recorded of a container's last end, None where nothing is.

    `status` is the container's own, of the pod: a record of an earlier run of it is not taken for this one.
    """
    ids = [
        text(status, field, "terminated", "containerID").rpartition("//")[2]
        for field in ("state", "lastState")
    ]
    wanted = next((one for one in ids if one), "")
    for record in inventory.at("record", (pod.namespace, pod.name, container)):
        owner = next((text(one, "uid") for _, one in mappings(record, "metadata", "ownerReferences")), "")
        if owner and pod.uid and owner != pod.uid:
            continue
        found = deaths(record)
        if wanted and any(one.container_id for one in found):
            found = [one for one in found if one.container_id == wanted]
        if found:
            return found[0]
    return None


def telling(death: Death) -> list[tuple[int, Call]]:
    """Return the calls that say most about why a container ended, with their scores: the most telling first, few of them."""
    scored = [(_score(call, death), call) for call in _joined(death.calls, death)]
    best = max((score for score, _ in scored), default=0)
    scored = [one for one in scored if one[0] >= max(TELLING, best - _BESIDE)]
    scored.sort(key=lambda one: (-one[0], -_seconds(one[1].last)))
    return scored[:SHOWN]


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at is not None else 0.0


# --- the same thing, looked for in several places


def _joined(calls: Iterable[Call], death: Death) -> Iterator[Call]:
    """Yield the calls, each search for one name along a path (of libraries, of commands) as one call."""
    searches: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        base = posixpath.basename(call.path)
        search = ""
        if call.error == "ENOENT" and base:
            if call.name in {"execve", "execveat"} and posixpath.dirname(call.path) in _BINARIES:
                search = "exec"
            elif _LIBRARY.search(call.path):
                search = "library"
        if search:
            searches.setdefault((search, base), []).append(call)
        else:
            yield call
    for (search, base), them in searches.items():
        last = max(them, key=lambda one: _seconds(one.last))
        if len(them) > 1:
            last = replace(last, path=base, places=len(them), count=1)
        if search == "library" and death.code != 127:
            continue  # it was found elsewhere, or the loader would have given up with 127
        yield last


_BINARIES = frozenset(
    {"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/usr/games", "/usr/local/games", "/go/bin",
     "/usr/local/go/bin"}
)  # fmt: skip
_LIBRARY = re.compile(r"\.so(?:\.\d+)*$")

# --- how telling

_GRAVE: Mapping[str, int] = {
    "EADDRINUSE": 90, "ENOSPC": 90, "EDQUOT": 90, "EMFILE": 88, "ENFILE": 88, "EROFS": 80, "ENOMEM": 75, "ENOEXEC": 85,
    "EACCES": 72, "EPERM": 68, "ECONNREFUSED": 72, "ETIMEDOUT": 72, "EHOSTUNREACH": 72, "ENETUNREACH": 60, "ECONNRESET": 60,
    "EIO": 85, "ESTALE": 75, "ELOOP": 70, "ENOTDIR": 60, "EISDIR": 62, "ENAMETOOLONG": 62, "ETXTBSY": 72, "ENODEV": 62, "ENXIO": 55,
    "EADDRNOTAVAIL": 62, "ENOLCK": 65, "EUSERS": 60, "EFBIG": 65, "EEXIST": 25, "EAGAIN": 30, "ENOENT": 50, "ENOSYS": 40,
    "EBUSY": 55, "ENOTEMPTY": 45, "EAFNOSUPPORT": 40, "EXDEV": 35, "EINVAL": 35,
}  # fmt: skip
"""How much a failure says, whatever it was about; anything else says little."""
_FORKS = frozenset({"fork", "vfork", "clone", "clone3"})
_MEMORY = frozenset({"mmap", "brk", "mremap", "mprotect", "mlock", "mlockall"})

_NOISE: Sequence[tuple[re.Pattern[str], int]] = tuple(
    (re.compile(pattern), loss)
    for pattern, loss in (
        # the loader and the C library
        (r"^/etc/ld[.-]|/ld\.so\.|^/etc/suid-debug$|^/etc/ld-musl", 100),
        (r"/glibc-hwcaps/|/tls/|^/(?:usr/)?(?:local/)?lib(?:32|64|x32)?/[^/]*$", 60),
        (r"/locale/|/locale-archive|/gconv|\.mo$|/LC_[A-Z]+(?:/|$)|/i18n/", 100),
        (r"^/usr/share/zoneinfo|^/etc/localtime$|^/etc/TZ$|/tzdata", 60),
        (r"/nscd/|^/etc/(?:nsswitch|host|gai|resolv)\.conf$|^/etc/(?:hosts|netgroup|networks|protocols|services)$", 60),
        (r"/(?:systemd|dbus|avahi-daemon|sssd)/|^/dev/log$|^/run/user/", 50),
        (r"terminfo|/termcap$|^/dev/(?:tty|pts|console)|/inputrc$", 100),
        (r"^/etc/(?:passwd|group|shadow|gshadow|sub[ug]id)$", 45),
        # what programs look at to learn about the machine
        (r"^/proc/|^/sys/", 45),
        (r"/hsperfdata_|\.hotspotrc$|/transparent_hugepage/", 100),
        # languages that look for modules
        (r"pyvenv\.cfg$|__pycache__|/site-packages|/dist-packages|\.pth$|\.py[cdo]$|\._pth$|/python\d*\.zip", 70),
        (r"/python3?(?:\.\d+)?(?:/|$)|/lib-dynload|\.cpython-|\.abi3\.so|pybuilddir\.txt$|sitecustomize|usercustomize", 60),
        (r"/node_modules(?:/|$)|package(?:-lock)?\.json$|/\.yarnrc|/\.npmrc$|/\.node_|/tsconfig\.json$", 50),
        (r"/(?:site_ruby|vendor_ruby|gems|rubygems)/|/\.gemrc$|\.rb$|\.gemspec$", 50),
        (r"/perl5?/|\.pmc?$|\.ph$", 60),
        (r"/php(?:/|\d)|php[^/]*\.ini$|/conf\.d/[^/]*\.ini$", 40),
        (r"/(?:go\.mod|go\.work|\.git|\.hg|\.svn)$|/\.git/", 40),
        # certificates and crypto are looked for wherever some system keeps them
        (r"openssl[^/]*\.cnf$|/ssl/(?:certs|cert\.pem|ca-bundle)|/pki/|ca-certificates|/ca-bundle|/crypto-policies", 40),
        # what a user may have set
        (r"/\.(?:ba|z|k|c)?sh(?:rc|env)|/\.(?:profile|bash_\w+|zprofile|zlogin|login|netrc|curlrc|wgetrc|vimrc|gitconfig|pgpass|my\.cnf)$", 55),
        (r"^/etc/(?:profile|bash\.bashrc|bashrc|zsh|skel|environment|motd|issue)", 55),
        (r"/\.(?:config|cache|local)/", 20),
        (r"/core(?:\.\d+)?$|\.(?:swp|tmp|bak|orig|rpmsave)$|~$", 25),
    )
)  # fmt: skip
"""Kinds of paths that programs look for without needing them, and what a miss of one is worth less for that."""
_SETTINGS = re.compile(
    r"\.(?:ya?ml|json|toml|conf|cfg|cnf|config|ini|properties|env|xml|hcl|tfvars|pem|crt|cer|key|p12|jks|pfx|keystore|token|"
    r"sql|db|sqlite3?|sock|socket|pid|lock|jar|war|wasm|tmpl|tpl|csv|license|lic)$"
)
"""Endings of files that somebody has to provide."""
_MOUNTED = re.compile(
    r"^/(?:var/)?run/secrets/|^/(?:config|configs|conf|secrets?|data|certs?|etc/config|etc/secrets?)(?:/|$)|^/mnt/|^/vault/|^/workspace"
)
"""Where clusters mount what belongs to a workload."""
_APPLICATION = re.compile(
    r"^/(?:app|srv|opt|home|root|usr/src|var/lib|var/www|code|deploy|site|service)(?:/|$)"
)
_SYSTEM = re.compile(r"^/(?:usr/(?:lib|share|include|libexec)|lib\w*|boot|media)(?:/|$)")
_DEVICE = re.compile(
    r"^/dev/(?:fuse|kvm|net/tun|nvidia|dri|infiniband|vhost|sd|nvme|video|ttyUSB|ttyS|snd|kfd|loop)"
)
_RECENT: Sequence[tuple[timedelta, int]] = (
    (timedelta(milliseconds=200), 22), (timedelta(seconds=2), 16), (timedelta(seconds=15), 9), (timedelta(minutes=2), 0),
)  # fmt: skip
"""What it adds to have failed so shortly before the end; what failed long before says less."""
_LONG_AGO = -20


def _score(call: Call, death: Death) -> int:
    score = _GRAVE.get(call.error, 20)
    if call.name == "exit":
        score = 70
    elif call.name in {"execve", "execveat"}:
        score = _exec_score(call, death, score)
    elif call.peer or call.name in {"connect", "bind"}:
        score = _network_score(call, score)
    elif call.path:
        score = _path_score(call, score)
    elif call.name in _FORKS:
        score = 80 if call.error in {"EAGAIN", "ENOMEM"} else score
    elif call.name in _MEMORY:
        score = {"ENOMEM": 75, "EACCES": 60, "EPERM": 60}.get(call.error, 20)
    elif call.name == "ioctl":
        score = 10
    if call.count > 1:
        score += min(15, round(4 * log2(call.count)))
    if call.last is not None and death.at is not None:
        before = death.at - call.last
        score += next((plus for limit, plus in _RECENT if before <= limit), _LONG_AGO)
    if call.pid and call.pid == death.pid:
        score += 5
    return score


def _exec_score(call: Call, death: Death, score: int) -> int:
    """A command that is not there is what ended a shell's script with 127; one that may not be run, with 126."""
    if call.error == "ENOENT":
        return 70 if death.code == 127 else 45
    return score + (10 if death.code == 126 else 0)


def _network_score(call: Call, score: int) -> int:
    if call.path:  # a unix socket
        return _path_score(call, max(score, 50) if call.error in {"ENOENT", "ECONNREFUSED"} else score)
    if call.name == "bind":
        return 90 if call.error in {"EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "EPERM"} else score
    host, _, port = call.peer.rpartition(":")
    if call.error in {"ENETUNREACH", "EADDRNOTAVAIL"} and host.startswith("["):
        return 15  # a machine without IPv6, asked for it first
    if call.error == "EINPROGRESS":
        return 0
    return score - (20 if port == "53" else 0)


def _path_score(call: Call, score: int) -> int:
    path = call.path
    for pattern, loss in _NOISE:
        if pattern.search(path):
            return (
                score - loss
                if call.error in {"ENOENT", "ENOTDIR", "EACCES", "ENXIO", "EINVAL"}
                else score - loss // 3
            )
    if call.error not in {"ENOENT", "ENOTDIR", "EACCES", "EPERM"}:
        return score
    looks = call.name in {
        "stat",
        "lstat",
        "newfstatat",
        "statx",
        "access",
        "faccessat",
        "faccessat2",
        "readlink",
        "readlinkat",
    }
    if call.error == "ENOENT" and looks:
        score -= 12  # to look whether something is there is not to need it
    if call.error == "ENOENT" and call.name in {"unlink", "unlinkat", "rmdir"}:
        return 10  # what is to go is gone
    if _SETTINGS.search(path):
        score += 12
    if _MOUNTED.search(path):
        score += 12
    elif _APPLICATION.search(path) or _DEVICE.search(path):
        score += 8
    elif _SYSTEM.search(path):
        score -= 25
    elif path.startswith("/etc/") and path.count("/") > 2:
        score += 8
    if posixpath.basename(path).startswith(".") and call.error == "ENOENT":
        score -= 15
    return score
