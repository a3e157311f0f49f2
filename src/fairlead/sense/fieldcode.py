"""The functions that the sources of fields call, and what they must be told besides the event: users, groups, names of hosts.

Nothing here raises over an event: what is not there is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fairlead.sense import arguments, flagwords, places
from fairlead.sense.events import AF_INET, Container, Event, Process
from fairlead.sense.processes import Processes

_EXECUTABLE = 0o111
_O_CREAT, _O_TMPFILE = 0o100, 0o20000000
_S_IFMT, _S_IFREG = 0o170000, 0o100000
UNKNOWN = "<NA>"
"""What Falco calls a user or an image that nobody knows."""
HOST = "host"


class Account(NamedTuple):
    """A user: name, home directory, shell."""

    name: str
    home: str = ""
    shell: str = ""


@dataclass(slots=True)
class Around:
    """What events do not tell. The reactor fills the mappings and may change them at any time.

    `users` and `groups` go by (id of the container, "" for the host; number). `hosts` are packed addresses (4 or 16 bytes) -> the names, among
    those that rules compare with, that stand for them. `booted` is ns since the epoch.
    """

    processes: Processes = field(default_factory=Processes)
    users: Mapping[tuple[str, int], Account] = field(default_factory=dict)
    groups: Mapping[tuple[str, int], str] = field(default_factory=dict)
    hosts: Mapping[bytes, Sequence[str]] = field(default_factory=dict)
    hostname: str = ""
    started: int = 0  # ns since the epoch: the first event's time, for evt.reltime


class Helpers:
    """The functions, each under the name that the sources use."""

    def __init__(self, around: Around) -> None:
        self.around = around
        self._said = arguments.Names(self.user_name_of, self.group_name_of)

    def names(self) -> dict[str, Any]:
        """Return name -> function, for generated code."""
        own = {
            name: getattr(self, name)
            for name in dir(self)
            if not name.startswith("_") and name not in {"names", "around"}
        }
        return {
            **own,
            "around": self.around,
            "service": service,
            "ends": places.ends,
            "directory": directory,
            "names_of": places.names, "raw_name": places.raw_name, "fd_number": places.number, "fd_typechar": places.typechar,
            "connected": places.connected, "name_changed": places.name_changed, "open_flags": places.open_flags, "buffer": arguments.buffer,
            "capabilities": flagwords.capabilities, "error_name": flagwords.error_name, "IO_READS": IO_READS, "IO_WRITES": IO_WRITES,
            "TYPES": TYPES, "CATEGORIES": CATEGORIES, "FD_TYPES": places.TYPES,
        }  # fmt: skip

    # ---- processes

    def locate(self, event: Event) -> Container | None:
        """Return the container that the event happened in."""
        process = event.process
        return process.container or self.around.processes.locate(process)

    def container_id(self, event: Event) -> str:
        """Return the short id of the container, or host."""
        found = event.process.container or self.around.processes.locate(event.process)
        return found.id[:12] if found is not None else HOST

    @staticmethod
    def ancestor_names(event: Event) -> list[str]:
        """Return the names of all ancestors, the parent first."""
        found = []
        one = event.process.parent
        deep = 0
        while one is not None and deep < 256:
            found.append(one.name)
            one = one.parent
            deep += 1
        return found

    @staticmethod
    def ancestor_values(event: Event, what: str) -> list[Any]:
        """Return an attribute of all ancestors, the parent first."""
        return [getattr(one, what) for one in event.process.ancestors()]

    def session(self, event: Event) -> Process | None:
        """Return the leader of the session."""
        return self.around.processes.leader_of_session(event.process)

    def group(self, event: Event) -> Process | None:
        """Return the leader of the process group."""
        return self.around.processes.leader_of_group(event.process)

    @staticmethod
    def variable(process: Process | None, name: str) -> str | None:
        """Return the value of an environment variable of a process."""
        if process is None:
            return None
        start = f"{name}="
        return next((one[len(start) :] for one in process.env if one.startswith(start)), None)

    @staticmethod
    def ancestor_variables(event: Event, name: str) -> list[str]:
        """Return the values of an environment variable among the ancestors."""
        found = (Helpers.variable(one, name) for one in event.process.ancestors())
        return [one for one in found if one is not None]

    @staticmethod
    def exe_path(process: Process | None) -> str | None:
        """Return the path of the executable as Falco writes it: that of a memfd without slash and `(deleted)`."""
        if process is None or not process.exe:
            return None
        path = process.exe
        if path.startswith(("/memfd:", "memfd:")):
            return path.removeprefix("/").removesuffix(" (deleted)")
        return path

    @staticmethod
    def healthcheck(event: Event, what: str) -> bool:
        """Return whether the process is a probe of its container: health, liveness or readiness."""
        found = event.process.container
        return found is not None and any(
            sort == what and event.process.cmdline == line for sort, line in found.probes
        )

    @staticmethod
    def pidns_start(event: Event) -> int | None:
        """Return when the first process of the pid namespace was started, as far as it is among the ancestors."""
        for one in (event.process, *event.process.ancestors()):
            if one.vpid == 1:
                return one.started or None
        return None

    @staticmethod
    def login_shell(event: Event) -> int | None:
        """Return the id of the eldest shell among the process and its ancestors."""
        found = [one.pid for one in (event.process, *event.process.ancestors()) if one.name in SHELLS]
        return found[-1] if found else None

    @staticmethod
    def since(later: int, sooner: int) -> int | None:
        """Return the ns between, None where one is not known."""
        return later - sooner if later and sooner else None

    # ---- users

    def user_name_of(self, uid: int, process: Process) -> str:
        """Return a user's name in the process' container, `root` for 0 and <NA> where nobody knows it."""
        known = self.account(uid, process)
        return known.name if known is not None else "root" if uid == 0 else UNKNOWN

    def account(self, uid: int, process: Process) -> Account | None:
        """Return what is known of a user."""
        container = process.container
        return self.around.users.get((container.id if container is not None else "", uid))

    def user_name(self, event: Event) -> str:
        """Return the name of the event's user."""
        return self.user_name_of(event.uid, event.process)

    def login_name(self, event: Event) -> str:
        """Return the name of the user who logged in."""
        uid = event.process.loginuid
        return UNKNOWN if uid == 0xFFFFFFFF else self.user_name_of(uid, event.process)

    def group_name_of(self, gid: int, process: Process) -> str:
        """Return a group's name in the process' container."""
        container = process.container
        known = self.around.groups.get((container.id if container is not None else "", gid))
        return known if known is not None else "root" if gid == 0 else UNKNOWN

    def group_name(self, event: Event) -> str:
        """Return the name of the event's group."""
        return self.group_name_of(event.gid, event.process)

    # ---- events

    @staticmethod
    def time_text(time: int, form: str, digits: int = 9) -> str:
        """Return a time (ns since the epoch, UTC) in a form of strftime, with so many digits of a second behind it."""
        seconds, rest = divmod(time, 1_000_000_000)
        text = datetime.fromtimestamp(seconds, UTC).strftime(form)
        return f"{text}.{rest:09d}" if digits else text

    def iso_time(self, time: int) -> str:
        """Return a time as ISO 8601 says, with nanoseconds."""
        return f"{self.time_text(time, '%Y-%m-%dT%H:%M:%S')}+0000"

    def relative_time(self, event: Event) -> int:
        """Return ns since the first event."""
        if not self.around.started:
            self.around.started = event.time
        return max(0, event.time - self.around.started)

    @staticmethod
    def result(event: Event) -> str:
        """Return SUCCESS or the error's name."""
        ret = event.ret
        return "SUCCESS" if ret >= 0 else flagwords.error_name(ret)

    @staticmethod
    def is_open(event: Event, wanted: int) -> bool:
        """Return whether a file was opened for reading (1) or writing (2)."""
        if event.kind not in places.OPENING or event.kind == "creat":
            return False
        mode = places.open_flags(event) & 3
        return mode != 1 if wanted == 1 else mode in {1, 2}

    @staticmethod
    def is_open_exec(event: Event) -> bool:
        """Return whether a file was made that may be executed."""
        if event.kind not in places.OPENING:
            return False
        flags = places.open_flags(event)
        making = flags & _O_CREAT or flags & _O_TMPFILE == _O_TMPFILE
        return bool(making and places.open_mode(event) & _EXECUTABLE)

    @staticmethod
    def is_open_create(event: Event) -> bool:
        """Return whether a file was to be made if it was not there."""
        return event.kind in places.OPENING and event.ret >= 0 and bool(places.open_flags(event) & _O_CREAT)

    def all_args(self, event: Event) -> str:
        """Return evt.args."""
        return arguments.printed(event, self._said)

    def parameter(self, event: Event, name: str) -> str | None:
        """Return evt.arg: what the parameter stands for, else itself."""
        of = arguments.parameter(event.kind, name)
        shown = arguments.show(event, of, self._said) if of is not None else None
        return None if shown is None else shown[1] or shown[0]

    def raw_parameter(self, event: Event, name: str) -> str | None:
        """Return evt.rawarg: the parameter itself."""
        of = arguments.parameter(event.kind, name)
        shown = arguments.show(event, of, self._said) if of is not None else None
        return None if shown is None else shown[0]

    def raw_number(self, event: Event, name: str) -> int | None:
        """Return evt.rawarg as a number."""
        of = arguments.parameter(event.kind, name)
        shown = arguments.show(event, of, self._said) if of is not None else None
        if shown is None or of is None:
            return None
        try:
            return int(shown[0], 8 if of.format in OCTAL else 16 if of.format not in DECIMAL else 10)
        except ValueError:
            return None

    # ---- descriptors

    @staticmethod
    def directories(event: Event) -> list[str]:
        """Return the directory of each name of the file."""
        if places.typechar(event) not in {"f", "d"}:
            return []
        return [directory(one) for one in places.names(event)]

    @staticmethod
    def filenames(event: Event) -> list[str]:
        """Return the last part of each name of the file."""
        if places.typechar(event) not in {"f", "d"}:
            return []
        return [one.rpartition("/")[2] for one in places.names(event)]

    @staticmethod
    def end(event: Event, which: str) -> Any:
        """Return the address or port of an end: cip, sip, lip, rip, cport ..."""
        ends = places.ends(event)
        if ends is None:
            return None
        if which == "lip":
            return ends.server if ends.local_is_server else ends.client
        if which == "rip":
            return ends.client if ends.local_is_server else ends.server
        if which == "lport":
            return (ends.server_port if ends.local_is_server else ends.client_port) or None
        if which == "rport":
            return (ends.client_port if ends.local_is_server else ends.server_port) or None
        if which == "cip":
            return ends.client
        if which == "sip":
            return ends.server
        return (ends.client_port if which == "cport" else ends.server_port) or None

    @staticmethod
    def both_addresses(event: Event) -> list[bytes]:
        """Return the addresses of both ends."""
        ends = places.ends(event)
        if ends is None:
            return []
        client, _, server, _, _ = ends
        if client is None or server is None:
            return [one for one in (client, server) if one is not None]
        return [client, server]

    @staticmethod
    def both_ports(event: Event) -> list[int]:
        """Return the ports of both ends."""
        ends = places.ends(event)
        if ends is None:
            return []
        _, client, _, server, _ = ends
        return [client, server] if client and server else [one for one in (client, server) if one]

    def host_names(self, event: Event, which: str) -> list[str]:
        """Return the names that stand for the address of an end."""
        found = self.around.hosts.get(self.end(event, which))
        return list(found) if found else []

    def address_text(self, event: Event, which: str) -> str | None:
        """Return the address of an end in words, for printing."""
        sock = event.sock
        found = self.end(event, which)
        if found is None or sock is None:
            return None
        return (
            sock.local if found == (sock.laddr[:4] if sock.family == AF_INET else sock.laddr) else sock.remote
        )

    @staticmethod
    def l4proto(event: Event) -> str | None:
        """Return tcp, udp, icmp or raw."""
        sock = event.sock
        return None if sock is None else places.protocol(sock)

    @staticmethod
    def sockfamily(event: Event) -> str | None:
        """Return ip or unix."""
        sock = event.sock
        return None if sock is None else places.family_name(sock)

    @staticmethod
    def is_server(event: Event) -> bool | None:
        """Return whether this end is the server."""
        ends = places.ends(event)
        return None if ends is None else bool(ends.local_is_server)

    @staticmethod
    def file_number(event: Event, which: str) -> int | None:
        """Return dev, its major or minor, or ino of the file."""
        file = event.file
        if file is None:
            return None
        if which == "ino":
            return file.ino
        return file.dev if which == "dev" else file.dev >> 20 if which == "major" else file.dev & 0xFFFFF

    @staticmethod
    def fs_path(event: Event, which: str, raw: bool = False) -> str | None:
        """Return fs.path.name, source or target of a call that works on paths."""
        argument = FS_PATHS.get(event.kind, {}).get(which)
        if argument is None:
            return None
        found = (
            places.text(event, argument)
            if raw or (argument == "oldname" and event.kind.startswith("symlink"))
            else places.path(event, argument)
        )
        return found or None

    # ---- containers

    @staticmethod
    def mounts_text(container: Container | None) -> str | None:
        """Return all mounts: `source:dest:mode:rw:propagation`, joined by commas."""
        if container is None:
            return None
        return ",".join(mount_text(one) for one in container.mounts)

    @staticmethod
    def mount(container: Container | None, which: str, wanted: str, what: str) -> str | None:
        """Return a part of the mount whose source or dest is wanted (a glob, or an index), N/A where there is none."""
        if container is None:
            return None
        found = None
        if wanted.isdigit():
            found = container.mounts[int(wanted)] if int(wanted) < len(container.mounts) else None
        else:
            found = next(
                (
                    one
                    for one in container.mounts
                    if matches(wanted, one.dest if which == "dest" else one.source)
                ),
                None,
            )
        if found is None:
            return "N/A"
        if what == "all":
            return mount_text(found)
        return ("true" if found.rw else "false") if what == "rdwr" else str(getattr(found, what))

    @staticmethod
    def label(labels: Mapping[str, str] | None, name: str) -> str | None:
        """Return a label's value."""
        return None if labels is None else labels.get(name)

    @staticmethod
    def labels_text(labels: Mapping[str, str] | None) -> str | None:
        """Return all labels: `name:value`, joined by commas."""
        return None if not labels else ", ".join(f"{name}:{labels[name]}" for name in sorted(labels))

    @staticmethod
    def probe(container: Container | None, what: str) -> str | None:
        """Return the command line of a probe, NONE where the container has none."""
        if container is None:
            return None
        return next((line for sort, line in container.probes if sort == what), "NONE")

    def pod(self, event: Event) -> Container | None:
        """Return the container if it belongs to a pod."""
        found = self.locate(event)
        return found if found is not None and found.pod else None


def directory(path: str) -> str:
    """Return the directory of a path as Falco does: / of what lies in the root."""
    head = path.rpartition("/")[0]
    return head or ("/" if path.startswith("/") else ".")


def mount_text(mount: Any) -> str:
    """Return a mount in Falco's form."""
    return f"{mount.source}:{mount.dest}:{mount.mode}:{'true' if mount.rw else 'false'}:{mount.propagation}"


def service(port: int | None) -> str | None:
    """Return the name of a well-known port, else its number as text."""
    return None if port is None else SERVICES.get(port, str(port))


def matches(pattern: str, text: str) -> bool:
    """Return whether a text matches a glob of * and ?; all else stands for itself."""
    if not any(one in pattern for one in "*?"):
        return pattern == text
    at = star = mark = 0
    star = -1
    index = 0
    while index < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, mark = at, index
            at += 1
        elif at < len(pattern) and pattern[at] in {"?", text[index]}:
            at += 1
            index += 1
        elif star >= 0:
            mark += 1
            at, index = star + 1, mark
        else:
            return False
    return pattern[at:].strip("*") == ""


TYPES: Mapping[str, str] = {
    "exec": "execve", "exited": "procexit", "signal": "signaldeliver", "pread64": "pread", "pwrite64": "pwrite", "prlimit64": "prlimit",
}  # fmt: skip
"""Falco's name of an event where it is not the kind."""
ALIASES: Mapping[str, tuple[str, ...]] = {
    "execve": ("exec", "execve"), "execveat": ("execveat",), "procexit": ("exited",), "signaldeliver": ("signal",), "pread": ("pread64",),
    "pwrite": ("pwrite64",), "prlimit": ("prlimit64",), "umount": ("umount2",), "umount2": ("umount2",),
}  # fmt: skip
"""Falco's name -> our kinds, where they differ."""

FS_PATHS: Mapping[str, Mapping[str, str]] = {
    **{
        kind: {"name": "filename"}
        for kind in ("open", "openat", "openat2", "chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat", "chroot", "mknod", "mknodat",
                     "stat", "lstat", "newfstatat", "chdir", "access")
    },
    **{kind: {"name": "pathname"} for kind in ("creat", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat")},
    **{kind: {"source": "oldname", "target": "newname"} for kind in ("rename", "renameat", "renameat2")},
    **{kind: {"source": "oldname", "target": "newname"} for kind in ("link", "linkat")},
    **{kind: {"source": "newname", "target": "oldname"} for kind in ("symlink", "symlinkat")},
    "mount": {"source": "dev_name", "target": "dir_name"}, "umount2": {"name": "name"},
}  # fmt: skip
"""The paths of calls that work on paths, as fs.path.* tells of them; a link's source is the link, as in Falco, its target what it leads to."""
IO_READS = frozenset("read readv pread64 preadv preadv2 recvfrom recvmsg recvmmsg".split())  # noqa: SIM905  words
IO_WRITES = frozenset("write writev pwrite64 pwritev pwritev2 sendto sendmsg sendmmsg sendfile".split())  # noqa: SIM905  words
CATEGORIES: Mapping[str, str] = {
    **dict.fromkeys(places.OPENING, "file"), **dict.fromkeys(IO_READS, "IO read"), **dict.fromkeys(IO_WRITES, "IO write"),
    **dict.fromkeys(("socket", "connect", "bind", "listen", "accept", "accept4", "shutdown", "getsockopt", "setsockopt"), "net"),
    **dict.fromkeys(("exec", "execve", "execveat", "clone", "clone3", "fork", "vfork", "exited", "setns", "unshare", "ptrace", "setsid",
                     "setpgid", "chroot", "prlimit64"), "process"),
    **dict.fromkeys(("setuid", "setgid", "setresuid", "setresgid", "getuid", "geteuid", "getgid", "getegid", "quotactl"), "user"),
    **dict.fromkeys(("kill", "tkill", "tgkill", "signalfd", "signalfd4", "signal"), "signal"),
    **dict.fromkeys(("mmap", "munmap", "mprotect", "brk", "mlock", "munlock", "mlockall", "munlockall"), "memory"),
    **dict.fromkeys(("chdir", "fchdir", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat",
                     "symlink", "symlinkat", "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "mount", "umount2", "stat", "lstat",
                     "fstat", "getcwd", "getdents64", "flock", "access", "lseek", "copy_file_range"), "file"),
    **dict.fromkeys(("pipe", "pipe2", "eventfd", "eventfd2", "futex", "inotify_init", "inotify_init1", "socketpair"), "ipc"),
    **dict.fromkeys(("close", "dup", "dup2", "dup3", "fcntl", "ioctl", "splice", "io_uring_enter"), "IO other"),
}  # fmt: skip
SHELLS = frozenset({"ash", "bash", "csh", "ksh", "sh", "tcsh", "zsh", "dash"})
SERVICES: Mapping[int, str] = {
    20: "ftp-data", 21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 53: "domain", 80: "http", 110: "pop3", 111: "sunrpc", 123: "ntp", 143: "imap2",
    161: "snmp", 179: "bgp", 194: "irc", 389: "ldap", 443: "https", 445: "microsoft-ds", 465: "submissions", 514: "shell", 587: "submission",
    636: "ldaps", 873: "rsync", 993: "imaps", 995: "pop3s", 1433: "ms-sql-s", 2049: "nfs", 3306: "mysql", 3389: "ms-wbt-server",
    5432: "postgresql", 5672: "amqp", 6379: "redis", 8080: "http-alt", 11211: "memcached",
}  # fmt: skip
OCTAL = frozenset({"mode", "node", "oct", "how_mode"})
DECIMAL = frozenset({
    "fd", "errno", "uid", "gid", "pid", "dec", "socket_type", "bpf", "family", "whence", "rlimit", "fcntl", "ptrace", "level", "option",
    "signal", "fsconfig", "prctl", "exit_status", "exit_code", "exit_signal", "exit_core", "ino", "first_fd", "second_fd", "tid", "ppid", "tty",
    "pgid", "loginuid", "exe_ino", "exe_ctime", "exe_mtime", "shutdown",
})  # fmt: skip
TEXTUAL = frozenset(
    {
        "path",
        "text",
        "data",
        "tuple",
        "local",
        "remote",
        "exe",
        "exepath",
        "args",
        "cwd",
        "comm",
        "env",
        "open_path",
    }
)
