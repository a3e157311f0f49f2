"""What `resolve` and `source: current_task` mean, as far as an event tells: a path through the kernel's structures -> a value. A table.

Kernel structures are not walked here; the paths that policies use most are answered from what the event and the table of processes know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

from fairlead.dialects.tracingpolicy.argtypes import Type, number_of
from fairlead.dialects.tracingpolicy.policies import Argument
from fairlead.dialects.tracingpolicy.seeing import FileValue, Subject
from fairlead.sense.events import Event, Process

Get = Callable[[Event], Any]


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _of(generation: int, get: Callable[[Process], Any]) -> Get:
    def value(event: Event) -> Any:
        process = event.process.ancestor(generation)
        return None if process is None else get(process)

    return value


def _ids() -> dict[str, Callable[[Process], Any]]:
    names = ("uid", "gid", "euid", "egid", "suid", "sgid", "fsuid", "fsgid")
    return {f"cred.{name}.val": attrgetter(name) for name in names}


_PROCESS: Final[Mapping[str, Callable[[Process], Any]]] = {
    "pid": lambda process: process.pid,
    "tgid": lambda process: process.pid,
    "comm": lambda process: process.title or process.name,
    "loginuid.val": lambda process: process.loginuid,
    "sessionid": lambda process: process.audit_session,
    "mm.exe_file.f_path.dentry.d_name.name": lambda process: _last(process.exe),
    "fs.pwd.dentry.d_name.name": lambda process: _last(process.cwd),
    "nsproxy.pid_ns_for_children.ns.inum": lambda process: process.ns[4],
    "nsproxy.mnt_ns.ns.inum": lambda process: process.ns[2],
    "nsproxy.net_ns.ns.inum": lambda process: process.ns[5],
    **_ids(),
}
_PARENTS: Final = ("real_parent.", "parent.")


def _task(path: str) -> Get | None:
    """Return how a path from a task is answered, parents included."""
    generation = 0
    while path.startswith(_PARENTS):
        path = path.partition(".")[2]
        generation += 1
    path = path.replace("real_cred.", "cred.")
    if path == "pid" and not generation:
        return lambda event: event.tid
    if path == "comm" and not generation:
        return lambda event: event.comm
    found = _PROCESS.get(path)
    return None if found is None else _of(generation, found)


_FILE: Final[Mapping[str, Callable[[Event, FileValue], Any]]] = {
    "f_path.dentry.d_name.name": lambda _, value: _last(value.path),
    "dentry.d_name.name": lambda _, value: _last(value.path),
    "d_name.name": lambda _, value: _last(value.path),
    "f_path.dentry.d_parent.d_name.name": lambda _, value: _last(value.path.rpartition("/")[0]),
    "d_parent.d_name.name": lambda _, value: _last(value.path.rpartition("/")[0]),
    "f_inode.i_mode": lambda _, value: value.mode,
    "f_inode.i_ino": lambda event, _: event.file.ino if event.file else None,
    "f_inode.i_nlink": lambda event, _: event.file.nlink if event.file else None,
    "f_inode.i_sb.s_magic": lambda event, _: event.file.magic if event.file else None,
    "f_flags": lambda event, _: event.file.oflags if event.file else None,
}
_PROGRAM: Final[Mapping[str, Callable[[Process], Any]]] = {
    "filename": lambda process: process.exe,
    "interp": lambda process: process.exe,
    "argc": lambda process: len(process.args),
    "file.f_path.dentry.d_name.name": lambda process: _last(process.exe),
    "file.f_inode.i_mode": lambda process: process.exe_mode,
    "file.f_inode.i_ino": lambda process: process.exe_ino,
    "file.f_inode.i_nlink": lambda process: process.exe_nlink,
}


def _program(path: str) -> Get | None:
    """Return how a path from a linux_binprm is answered."""
    found = _PROGRAM.get(path)
    if found is not None:
        return _of(0, found)
    return _task(path.removeprefix("mm.owner.")) if path.startswith("mm.owner.") else None


def known(argument: Argument) -> bool:
    """Whether what an argument asks for by resolve or source can be told, on some hook."""
    if argument.source:
        return argument.source == "current_task" and _task(argument.resolve) is not None
    path = argument.resolve
    return path in _FILE or _program(path) is not None


def subject(argument: Argument, kind: Type, base: Subject | None) -> Subject | None:
    """Return how a resolved argument is had; `base` is the argument that the path starts from, as it is seen (None for tasks)."""
    get: Get | None
    if argument.source:
        get = _task(argument.resolve) if argument.source == "current_task" else None
    elif base is None:
        get = None
    elif base.kind.field == "linux_binprm_arg":
        get = _program(argument.resolve)
    elif base.kind.form == "file" and argument.resolve in _FILE:
        found = _FILE[argument.resolve]

        def get(event: Event) -> Any:
            value = base.get(event)
            return None if value is None else found(event, value)
    else:
        get = None
    if get is None:
        return None
    return Subject(kind, _typed(kind, get))


def _typed(kind: Type, get: Get) -> Get:
    """Return the same value in the form that its type has."""

    def typed(event: Event) -> Any:
        value = get(event)
        if value is None:
            return None
        match kind.form:
            case "number" | "capability" | "syscall":
                return number_of(kind, value) if isinstance(value, int) else None
            case "bytes":
                return str(value).encode("utf-8", "surrogateescape")
            case "file":
                return FileValue(str(value))
        return str(value)

    return typed
