"""The parameters of events under Falco's names: evt.arg.flags, evt.arg.path and so on; how each is read and printed. Decides nothing.

One line an event in PARAMETERS, in the order in which Falco prints them: `name=source.format`. The source is the index of an
argument, `ret`, `place` (the file), `sock`, `process`, or the name of an argument that is a text; formats are the functions of FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fairlead.sense import flagwords, places
from fairlead.sense.events import Event, Process, text_of
from fairlead.sense.syscalls import call_of

PARAMETERS = """
accept fd=ret.fd tuple=sock.tuple
accept4 fd=ret.fd tuple=sock.tuple flags=3.hex
access res=ret.errno name=filename.path mode=1.access
bind res=ret.errno addr=sock.local fd=0.fd
bpf fd=ret.fd cmd=0.bpf res_or_fd=ret.errno
brk res=ret.address addr=0.hex
capset res=ret.errno
chdir res=ret.errno path=filename.text
chmod res=ret.errno filename=filename.path mode=1.mode
chown res=ret.errno path=filename.path uid=1.uid gid=2.gid
chroot res=ret.errno path=filename.path
clone res=ret.pid exe=process.exe args=process.args tid=process.tid pid=process.pid ptid=process.ppid cwd=process.cwd comm=process.comm flags=0.clone uid=process.uid gid=process.gid
clone3 res=ret.pid exe=process.exe args=process.args tid=process.tid pid=process.pid ptid=process.ppid cwd=process.cwd comm=process.comm uid=process.uid gid=process.gid
close res=ret.errno fd=0.fd
connect res=ret.errno tuple=sock.tuple fd=0.fd addr=sock.remote
copy_file_range res=ret.errno fdout=2.fd offout=3.dec fdin=0.fd offin=1.dec len=4.dec
creat fd=ret.fd name=pathname.path mode=1.oct dev=place.dev ino=place.ino
delete_module res=ret.errno name=name_user.text flags=1.delete_module
dup res=ret.fd oldfd=0.fd
dup2 res=ret.fd oldfd=0.fd newfd=1.fd
dup3 res=ret.fd oldfd=0.fd newfd=1.fd flags=2.open
epoll_create res=ret.errno size=0.dec
epoll_create1 res=ret.errno flags=0.epoll
eventfd res=ret.fd initval=0.dec
eventfd2 res=ret.fd initval=0.dec flags=1.open
execve res=ret.errno exe=process.exe args=process.args tid=process.tid pid=process.pid ptid=process.ppid cwd=process.cwd comm=process.comm env=process.env tty=process.tty pgid=process.pgid loginuid=process.loginuid flags=process.exe_flags cap_inheritable=process.cap_inheritable cap_permitted=process.cap_permitted cap_effective=process.cap_effective exe_ino=process.exe_ino exe_ino_ctime=process.exe_ctime exe_ino_mtime=process.exe_mtime uid=process.uid trusted_exepath=process.exepath filename=filename.path
execveat res=ret.errno exe=process.exe args=process.args tid=process.tid pid=process.pid ptid=process.ppid cwd=process.cwd comm=process.comm env=process.env tty=process.tty pgid=process.pgid loginuid=process.loginuid flags=process.exe_flags cap_inheritable=process.cap_inheritable cap_permitted=process.cap_permitted cap_effective=process.cap_effective exe_ino=process.exe_ino exe_ino_ctime=process.exe_ctime exe_ino_mtime=process.exe_mtime uid=process.uid trusted_exepath=process.exepath dirfd=0.fd pathname=filename.path
fchdir res=ret.errno fd=0.fd
fchmod res=ret.errno fd=0.fd mode=1.mode
fchmodat res=ret.errno dirfd=0.fd filename=filename.path mode=2.mode
fchmodat2 res=ret.errno dirfd=0.fd filename=filename.path mode=2.mode flags=3.fchownat
fchown res=ret.errno fd=0.fd uid=1.uid gid=2.gid
fchownat res=ret.errno dirfd=0.fd pathname=filename.path uid=2.uid gid=3.gid flags=4.fchownat
fcntl res=ret.errno fd=0.fd cmd=1.fcntl
finit_module res=ret.errno fd=0.fd uargs=uargs.text flags=2.module_init
flock res=ret.errno fd=0.fd operation=1.flock
fork res=ret.pid exe=process.exe args=process.args tid=process.tid pid=process.pid ptid=process.ppid cwd=process.cwd comm=process.comm uid=process.uid gid=process.gid
fsconfig res=ret.errno fd=0.fd cmd=1.fsconfig key=_key.text aux=4.dec
fstat res=ret.errno fd=0.fd
futex res=ret.errno addr=0.hex op=1.hex val=2.dec
getcwd res=ret.errno path=buf.text
getdents res=ret.errno fd=0.fd
getdents64 res=ret.errno fd=0.fd
getegid egid=ret.gid
geteuid euid=ret.uid
getgid gid=ret.gid
getrlimit res=ret.errno resource=0.rlimit
getsockopt res=ret.errno fd=0.fd level=1.level optname=2.option optlen=4.hex
getuid uid=ret.uid
init_module res=ret.errno len=1.dec uargs=uargs.text
inotify_init res=ret.fd
inotify_init1 res=ret.fd flags=0.open
io_uring_enter res=ret.errno fd=0.fd to_submit=1.dec min_complete=2.dec flags=3.uring
io_uring_register res=ret.errno fd=0.fd opcode=1.dec arg=2.hex nr_args=3.dec
io_uring_setup res=ret.errno entries=0.dec
ioctl res=ret.errno fd=0.fd request=1.hex argument=2.hex
kill res=ret.errno pid=0.pid sig=1.signal
lchown res=ret.errno path=filename.path uid=1.uid gid=2.gid
link res=ret.errno oldpath=oldname.path newpath=newname.path
linkat res=ret.errno olddir=0.fd oldpath=oldname.path newdir=2.fd newpath=newname.path flags=4.linkat
listen res=ret.errno fd=0.fd backlog=1.dec
lseek res=ret.errno fd=0.fd offset=1.dec whence=2.whence
lstat res=ret.errno path=filename.path
memfd_create fd=ret.fd name=uname.text flags=1.memfd
mkdir res=ret.errno path=pathname.path mode=1.hex
mkdirat res=ret.errno dirfd=0.fd path=pathname.path mode=2.hex
mknod res=ret.errno path=filename.path mode=1.node dev=2.dec
mknodat res=ret.errno dirfd=0.fd path=filename.path mode=2.node dev=3.dec
mlock res=ret.errno addr=0.hex len=1.dec
mlock2 res=ret.errno addr=0.hex len=1.dec flags=2.mlock2
mlockall res=ret.errno flags=0.mlockall
mmap res=ret.address addr=0.hex length=1.dec prot=2.prot flags=3.mmap fd=4.fd offset=5.dec
mount res=ret.errno dev=dev_name.text dir=dir_name.path type=type.text flags=3.mount
mprotect res=ret.errno addr=0.hex length=1.dec prot=2.prot
munlock res=ret.errno addr=0.hex len=1.dec
munlockall res=ret.errno
munmap res=ret.errno addr=0.hex length=1.dec
nanosleep res=ret.errno
newfstatat res=ret.errno dirfd=0.fd path=filename.path flags=3.hex
open fd=ret.fd name=filename.path flags=1.open mode=2.oct dev=place.dev ino=place.ino
open_by_handle_at fd=ret.fd mountfd=0.fd flags=2.open path=place.path dev=place.dev ino=place.ino
openat fd=ret.fd dirfd=0.fd name=filename.path flags=2.open mode=3.oct dev=place.dev ino=place.ino
openat2 fd=ret.fd dirfd=0.fd name=filename.path flags=how.how_flags mode=how.how_mode resolve=how.how_resolve dev=place.dev ino=place.ino
pidfd_getfd fd=ret.fd pid_fd=0.fd target_fd=1.dec flags=2.dec
pidfd_open fd=ret.fd pid=0.pid flags=1.pidfd
pipe res=ret.errno fd1=fildes.first_fd fd2=fildes.second_fd
pipe2 res=ret.errno fd1=fildes.first_fd fd2=fildes.second_fd flags=1.open
prctl res=ret.errno option=0.prctl arg2_int=1.dec
pread64 res=ret.errno data=buf.data fd=0.fd size=2.dec pos=3.dec
preadv res=ret.errno data=vec.data fd=0.fd pos=3.dec
prlimit64 res=ret.errno pid=0.pid resource=1.rlimit
process_vm_readv res=ret.errno pid=0.pid
process_vm_writev res=ret.errno pid=0.pid
procexit status=0.exit_status ret=0.exit_code sig=0.exit_signal core=0.exit_core
ptrace res=ret.errno addr=2.hex data=3.hex request=0.ptrace pid=1.pid
pwrite64 res=ret.errno data=buf.data fd=0.fd size=2.dec pos=3.dec
pwritev res=ret.errno data=vec.data fd=0.fd pos=3.dec
quotactl res=ret.errno special=special.text cmd=0.hex id=2.dec
read res=ret.errno data=buf.data fd=0.fd size=2.dec
readv res=ret.errno data=vec.data fd=0.fd
recvfrom res=ret.errno data=ubuf.data tuple=sock.tuple fd=0.fd size=2.dec
recvmmsg res=ret.errno fd=0.fd
recvmsg res=ret.errno size=ret.errno data=msg.data tuple=sock.tuple fd=0.fd
rename res=ret.errno oldpath=oldname.path newpath=newname.path
renameat res=ret.errno olddirfd=0.fd oldpath=oldname.path newdirfd=2.fd newpath=newname.path
renameat2 res=ret.errno olddirfd=0.fd oldpath=oldname.path newdirfd=2.fd newpath=newname.path flags=4.renameat2
rmdir res=ret.errno path=pathname.path
seccomp res=ret.errno op=0.dec flags=1.hex
sendfile res=ret.errno out_fd=0.fd in_fd=1.fd size=3.dec
sendmmsg res=ret.errno fd=0.fd
sendmsg res=ret.errno data=msg.data fd=0.fd size=ret.errno tuple=sock.tuple
sendto res=ret.errno data=buff.data fd=0.fd size=2.dec tuple=sock.tuple
setgid res=ret.errno gid=0.gid
setns res=ret.errno fd=0.fd nstype=1.clone
setpgid res=ret.errno pid=0.pid pgid=1.pid
setregid res=ret.errno rgid=0.gid egid=1.gid
setresgid res=ret.errno rgid=0.gid egid=1.gid sgid=2.gid
setresuid res=ret.errno ruid=0.uid euid=1.uid suid=2.uid
setreuid res=ret.errno ruid=0.uid euid=1.uid
setrlimit res=ret.errno resource=0.rlimit
setsid res=ret.pid
setsockopt res=ret.errno fd=0.fd level=1.level optname=2.option optlen=4.dec
setuid res=ret.errno uid=0.uid
shutdown res=ret.errno fd=0.fd how=1.shutdown
signaldeliver spid=process.pid dpid=1.pid sig=0.signal
signalfd res=ret.fd fd=0.fd
signalfd4 res=ret.fd fd=0.fd flags=3.open
socket fd=ret.fd domain=0.family type=1.socket_type proto=2.dec
socketpair res=ret.errno fd1=usockvec.first_fd fd2=usockvec.second_fd domain=0.family type=1.socket_type proto=2.dec
splice res=ret.errno fd_in=0.fd fd_out=2.fd size=4.dec flags=5.splice
stat res=ret.errno path=filename.path
symlink res=ret.errno target=oldname.text linkpath=newname.path
symlinkat res=ret.errno target=oldname.text linkdirfd=1.fd linkpath=newname.path
tgkill res=ret.errno pid=0.pid tid=1.pid sig=2.signal
timerfd_create res=ret.fd clockid=0.dec flags=1.open
tkill res=ret.errno tid=0.pid sig=1.signal
umount2 res=ret.errno name=name.path flags=1.umount
unlink res=ret.errno path=pathname.path
unlinkat res=ret.errno dirfd=0.fd name=pathname.path flags=2.unlinkat
unshare res=ret.errno flags=0.clone
userfaultfd res=ret.errno flags=0.open
vfork res=ret.pid exe=process.exe args=process.args tid=process.tid pid=process.pid ptid=process.ppid cwd=process.cwd comm=process.comm uid=process.uid gid=process.gid
write res=ret.errno data=buf.data fd=0.fd size=2.dec
writev res=ret.errno data=vec.data fd=0.fd
"""

Shown: TypeAlias = "tuple[str, str]"
"""A value as Falco prints it (`3`), and what it stands for (`<f>/etc/passwd`), "" where that is nothing."""
Accounts: TypeAlias = Callable[[int, Process], str]


@dataclass(frozen=True, slots=True)
class Names:
    """Who asks for what a number is called: users and groups, by number and the process whose container counts."""

    user: Accounts
    group: Accounts


def _signed(value: int, bits: int = 64) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _error(value: int) -> Shown:
    return str(value), flagwords.error_name(value) if value < 0 else ""


def _descriptor(event: Event, value: int) -> Shown:
    """A descriptor and, where it is the one that the event is about, what is behind it."""
    fd = _signed(value, 32)
    if fd == -100:
        return str(fd), "AT_FDCWD"
    if fd < 0:
        return str(fd), flagwords.error_name(fd)
    if fd == places.number(event):
        found = places.names(event)
        char = places.typechar(event)
        if found and char:
            return str(fd), f"<{char}>{found[0]}"
    return str(fd), ""


_WORDS: Mapping[str, Callable[[int], str]] = {
    "open": flagwords.open_flags,
    "bpf": lambda value: flagwords.BPF.get(value, ""),
    "family": lambda value: flagwords.FAMILIES.get(value, ""),
    "shutdown": lambda value: flagwords.SHUTDOWN.get(value, ""),
    "whence": lambda value: flagwords.WHENCE.get(value, ""),
    "rlimit": lambda value: flagwords.RLIMITS.get(value, "RLIMIT_UNKNOWN"),
    "fcntl": lambda value: flagwords.FCNTL.get(value, "UNKNOWN"),
    "ptrace": lambda value: flagwords.PTRACE.get(value, "PTRACE_UNKNOWN"),
    "prctl": lambda value: flagwords.PRCTL.get(value, ""),
    "fsconfig": lambda value: flagwords.FSCONFIG.get(value, ""),
    "level": lambda value: flagwords.SOCKET_LEVELS.get(value, "UNKNOWN"),
    "option": lambda value: flagwords.SOCKET_OPTIONS.get(value, "UNKNOWN"),
    "signal": flagwords.signal_name,
    "node": lambda value: "|".join(
        one for one in (flagwords.words(flagwords.MODE, value & 0o7777), flagwords.NODE_TYPES.get(value & 0o170000, "")) if one
    ),
}  # fmt: skip
FLAGS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "access": flagwords.ACCESS, "clone": flagwords.CLONE, "delete_module": flagwords.DELETE_MODULE, "epoll": flagwords.EPOLL_CREATE,
    "fchownat": flagwords.FCHOWNAT, "flock": flagwords.FLOCK, "linkat": flagwords.LINKAT, "memfd": flagwords.MEMFD, "mlock2": flagwords.MLOCK2,
    "mlockall": flagwords.MLOCKALL, "mmap": flagwords.MMAP, "mode": flagwords.MODE, "module_init": flagwords.MODULE_INIT,
    "mount": flagwords.MOUNT, "pidfd": flagwords.PIDFD, "prot": flagwords.PROT, "renameat2": flagwords.RENAMEAT2, "splice": flagwords.SPLICE,
    "umount": flagwords.UMOUNT, "unlinkat": flagwords.UNLINKAT, "uring": flagwords.URING_ENTER,
}  # fmt: skip
ENUMERATIONS: Mapping[str, Mapping[int, str]] = {
    "bpf": flagwords.BPF, "family": flagwords.FAMILIES, "shutdown": flagwords.SHUTDOWN, "whence": flagwords.WHENCE, "rlimit": flagwords.RLIMITS,
    "fcntl": flagwords.FCNTL, "ptrace": flagwords.PTRACE, "prctl": flagwords.PRCTL, "fsconfig": flagwords.FSCONFIG,
    "level": flagwords.SOCKET_LEVELS, "option": flagwords.SOCKET_OPTIONS,
}  # fmt: skip
"""Formats of one value among many: its number and its name."""
_OCTAL = frozenset({"mode", "node", "oct"})
_DECIMAL = frozenset(
    {"bpf", "family", "whence", "rlimit", "fcntl", "ptrace", "level", "option", "signal", "fsconfig", "prctl"}
)


def _exe_flags(process: Process) -> int:
    return (
        (1 if process.exe_writable else 0) | (2 if process.exe_upper else 0) | (4 if process.exe_memfd else 0)
    )


_OF_PROCESS: Mapping[str, Callable[[Event], Shown]] = {
    "exe": lambda event: (event.process.exe_name, ""),
    "exepath": lambda event: (event.process.exe, ""),
    "args": lambda event: (" ".join(event.process.args[1:]), ""),
    "tid": lambda event: (str(event.tid), event.process.name),
    "pid": lambda event: (str(event.pid), event.process.name),
    "ppid": lambda event: (str(event.process.ppid), event.process.parent.name if event.process.parent else ""),
    "cwd": lambda event: (event.process.cwd, ""),
    "comm": lambda event: (event.process.name, ""),
    "env": lambda event: (" ".join(event.process.env), ""),
    "tty": lambda event: (str(event.process.tty), ""),
    "pgid": lambda event: (str(event.process.pgid), ""),
    "loginuid": lambda event: (str(_signed(event.process.loginuid, 32)), ""),
    "exe_flags": lambda event: (
        str(_exe_flags(event.process)), flagwords.words(flagwords.EXECVE, _exe_flags(event.process)),
    ),
    "cap_inheritable": lambda event: (str(event.process.caps[2]), ""),
    "cap_permitted": lambda event: (str(event.process.caps[1]), ""),
    "cap_effective": lambda event: (str(event.process.caps[0]), ""),
    "exe_ino": lambda event: (str(event.process.exe_ino), ""),
    "exe_ctime": lambda event: (str(event.process.exe_ctime), ""),
    "exe_mtime": lambda event: (str(event.process.exe_mtime), ""),
}  # fmt: skip
_EXIT: Mapping[str, Callable[[int], int]] = {
    "exit_status": lambda raw: raw,
    "exit_code": lambda raw: raw >> 8 & 0xFF,
    "exit_signal": lambda raw: raw & 0x7F,
    "exit_core": lambda raw: raw >> 7 & 1,
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an event: its name, where it comes from and its format."""

    name: str
    source: str
    format: str


def _read(line: str) -> tuple[str, tuple[Parameter, ...]]:
    event, *pieces = line.split()
    found = []
    for piece in pieces:
        name, _, rest = piece.partition("=")
        source, _, form = rest.partition(".")
        found.append(Parameter(name, source, form))
    return event, tuple(found)


EVENTS: Mapping[str, tuple[Parameter, ...]] = dict(_read(line) for line in PARAMETERS.strip().splitlines())
"""Falco's parameters by the event's kind; exec goes by execve and exited by procexit."""
_LIKE = {"exec": "execve", "exited": "procexit", "signal": "signaldeliver"}
NAMES: frozenset[str] = frozenset(one.name for found in EVENTS.values() for one in found)
"""Every name that evt.arg may be asked for."""


def parameters(kind: str) -> tuple[Parameter, ...]:
    """Return the parameters of an event's kind; a call that Falco has no table for has its arguments as numbers."""
    name = _LIKE.get(kind, kind)
    found = EVENTS.get(name)
    if found is None:
        call = call_of(name)
        found = (
            Parameter("res", "ret", "errno"),
            *(Parameter(one, str(at), "dec") for at, one in enumerate(call.names)),
        )
    return found


def parameter(kind: str, name: str) -> Parameter | None:
    """Return a kind's parameter by its name or its index, None where it has none such."""
    found = parameters(kind)
    if name.isdigit():
        return found[int(name)] if int(name) < len(found) else None
    return next((one for one in found if one.name == name), None)


def show(event: Event, of: Parameter, names: Names) -> Shown | None:
    """Return a parameter as Falco prints it, and what it stands for; None where it is absent."""
    source, form = of.source, of.format
    if source == "process":
        if form in {"uid", "gid"}:
            number = event.uid if form == "uid" else event.gid
            return str(number), (names.user if form == "uid" else names.group)(number, event.process)
        return _OF_PROCESS[form](event)
    if source == "ret" or source.isdigit():
        value = event.ret if source == "ret" else event.args[int(source)]
        return _number(event, value, form, names)
    if source == "place":
        return _place(event, form)
    if source == "sock":
        return _sock(event, form)
    return _text(event, source, form)


def _number(event: Event, value: int, form: str, names: Names) -> Shown | None:
    if form == "fd":
        return _descriptor(event, value)
    if form == "errno":
        return _error(_signed(value))
    if form in {"uid", "gid"}:
        number = _signed(value, 32)
        return str(number), (names.user if form == "uid" else names.group)(
            number, event.process
        ) if number >= 0 else ""
    if form == "pid":
        return str(_signed(value, 32)), ""
    if form.startswith("exit_"):
        number = _EXIT[form](event.ret)
        return str(number), flagwords.signal_name(number) if form == "exit_signal" and number else ""
    if form == "address":
        return f"{value & 0xFFFFFFFFFFFFFFFF:X}", ""
    if form == "hex":
        return f"{value:X}", ""
    if form == "oct":
        return f"{value & 0xFFFF:o}" if value else "0", ""
    if form == "dec":
        return str(_signed(value)), ""
    if form == "socket_type":
        return str(value & 0xFFFFFFFF), ""
    value &= 0xFFFFFFFF
    known = _WORDS.get(form)
    said = known(value) if known else flagwords.words(FLAGS[form], value) if form in FLAGS else ""
    if form in _OCTAL:
        return f"{value:o}", said
    if known or form in FLAGS:
        return str(value) if form in _DECIMAL else f"{value:X}", said
    return str(value), ""


def _place(event: Event, form: str) -> Shown | None:
    if form == "path":
        found = places.names(event)
        return (found[0], "") if found else None
    file = event.file
    if file is None:
        return None
    return (f"{file.dev:X}", "") if form == "dev" else (str(file.ino), "")


def _sock(event: Event, form: str) -> Shown | None:
    sock = event.sock
    if sock is None:
        return None
    if form == "tuple":
        return places.socket_name(event), ""
    if sock.family == 1:
        return places.socket_name(event), ""
    return (f"{sock.local}:{sock.lport}" if form == "local" else f"{sock.remote}:{sock.rport}"), ""


def _text(event: Event, source: str, form: str) -> Shown | None:
    if form.startswith("how_"):
        value = {
            "how_flags": places.open_flags,
            "how_mode": places.open_mode,
            "how_resolve": places.open_resolve,
        }[form](event)
        if form == "how_mode":
            return f"{value:o}", ""
        return f"{value:X}", flagwords.open_flags(value) if form == "how_flags" else flagwords.words(
            flagwords.RESOLVE, value
        )
    if form == "path":
        passed = places.text(event, source)
        if not passed:
            return None
        full = places.path(event, source)
        return passed, full if full != passed else ""
    raw = data(event, source)
    if form in {"first_fd", "second_fd"}:
        piece = raw[:4] if form == "first_fd" else raw[4:8]
        return (str(int.from_bytes(piece, "little", signed=True)), "") if len(piece) == 4 else None
    if source not in places.positions(event):
        return None
    return text_of(raw), ""


def data(event: Event, source: str) -> bytes:
    """Return the bytes of an argument that is a text or a buffer."""
    at = places.positions(event).get(source)
    return b"" if at is None else event.blobs[at]


def buffer(event: Event) -> bytes | None:
    """Return the data that was read or written (evt.buffer), None for other events."""
    found = next((one for one in parameters(event.kind) if one.format == "data"), None)
    return None if found is None or found.source not in places.positions(event) else data(event, found.source)


def printed(event: Event, names: Names) -> str:
    """Return all parameters as Falco prints evt.args: `fd=3(<f>/etc/passwd) dirfd=-100(AT_FDCWD) ... flags=1(O_RDONLY)`."""
    found = []
    for one in parameters(event.kind):
        shown = show(event, one, names)
        if shown is None:
            found.append(f"{one.name}=<NA>")
        else:
            value, stands_for = shown
            found.append(f"{one.name}={value}({stands_for})" if stands_for else f"{one.name}={value}")
    return " ".join(found)
