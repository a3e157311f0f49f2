"""Tracee's events that are no system calls: where each can be seen without kprobes or security hooks, and what it carries.

A table. Those of security hooks (`security_file_open`) are seen at the return of the calls that lead to them, when those succeeded; so
an attempt that permissions stopped is not among them, nor one that the kernel makes on its own. What nothing here shows says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from fairlead.dialects.tracee import flags
from fairlead.dialects.tracee.calls import CALLS
from fairlead.dialects.tracee.events_network import NETWORK
from fairlead.dialects.tracee.happenings import (
    Field,
    Named,
    Plain,
    Sort,
    Source,
    calls,
    fields_of,
    number,
    table,
    text,
)
from fairlead.sense import behaviours_acts as acts
from fairlead.sense.behaviours import BEHAVIOURS
from fairlead.sense.events import Event
from fairlead.sense.plans import Hook, Op, Test, What
from fairlead.sense.syscalls import call_of, hook_of

_SUCCEEDED = ((acts.SUCCEEDED,),)
_LSM = ("default", "lsm_hooks", "fs", "fs_file_ops")


def _plain(
    name: str,
    sets: tuple[str, ...],
    signature: str,
    sources: Mapping[str, tuple[Hook | None, dict[str, Field]]],
    *,
    guard: tuple[tuple[Test, ...], ...] = _SUCCEEDED,
    when: Callable[[Event], bool] | None = None,
) -> Plain:
    """Make an event; its signature is written `name:type, name:type`."""
    return Plain(
        name=name,
        sets=sets,
        signature=tuple(
            (one.partition(":")[0].strip(), one.partition(":")[2]) for one in signature.split(",") if one
        ),
        sources={
            kind: Source(kind=kind, hook=hook, fields=fields, guard=guard if hook else ((),), when=when)
            for kind, (hook, fields) in sources.items()
        },
    )


def _got(name: str, kind: str, get: Callable[[Event], Any], **told: Any) -> tuple[str, Field]:
    return name, Field(name=name, type=kind, get=get, **told)


def _text(name: str, at: int) -> tuple[str, Field]:
    return _got(name, "const char*", text(at), place=(What.TEXT, at))


def _file(what: str, kind: str) -> tuple[str, Field]:
    return _got(what, kind, lambda event: getattr(event.file, {"inode": "ino"}.get(what, what), None))


_NO_CTIME = "the time of a file's last change is not among what the kernel's side reads"
_CTIME = _got("ctime", "unsigned long", lambda _: None, unread=_NO_CTIME)


# ---- files ------------------------------------------------------------------------------------------------------------


def _opened(event: Event) -> int:
    found = acts.opened(event)
    return found.flags if found else 0


def _opening() -> dict[str, tuple[Hook | None, dict[str, Field]]]:
    base = dict([
        _text("pathname", 0),
        _got("flags", "int", _opened, words=flags.open_flags),
        _file("dev", "dev_t"), _file("inode", "unsigned long"), _CTIME,
        _text("syscall_pathname", 1),
    ])  # fmt: skip
    ran = dict([
        _got("pathname", "const char*", lambda event: event.texts[0] or event.process.exe),
        _got("flags", "int", lambda _: 0o100040, words=flags.open_flags),
        _got("dev", "dev_t", lambda event: event.process.exe_dev),
        _got("inode", "unsigned long", lambda event: event.process.exe_ino),
        _CTIME,
        _got("syscall_pathname", "const char*", lambda event: event.process.exe_name),
    ])  # fmt: skip
    sources: dict[str, tuple[Hook | None, dict[str, Field]]] = {
        name: (hook_of(name), base) for name in acts.OPENING
    }
    return {**sources, "exec": (None, ran)}


def _paths(*names: tuple[str, str]) -> dict[str, Field]:
    """Fields that are paths as they were passed, made absolute: (name, position of the text in the record)."""

    def absolute(at: int) -> Callable[[Event], str]:
        return lambda event: acts.resolved(event.texts[at], event.texts[at + 1])

    return dict(_got(name, "const char*", absolute(int(at))) for name, at in names)


def _position(call: str, name: str) -> str:
    return str(call_of(call).positions[name])


def _path_of(call: str, argument: str, name: str) -> dict[str, Field]:
    return _paths((name, _position(call, argument)))


def _renaming() -> dict[str, tuple[Hook | None, dict[str, Field]]]:
    return {
        name: (
            hook_of(name),
            _paths(("old_path", _position(name, "oldname")), ("new_path", _position(name, "newname"))),
        )
        for name in acts.RENAMING
    }


def _writing(limit: int, fields: Callable[[str], dict[str, Field]], names: tuple[str, ...]) -> Any:
    return {name: (hook_of(name, limit=limit), fields(name)) for name in names}


def _written(_: str) -> dict[str, Field]:
    return dict([
        _text("pathname", 0), _got("bytes", "bytes", lambda event: event.blobs[1][:20]), _file("dev", "dev_t"),
        _file("inode", "unsigned long"), _CTIME,
    ])  # fmt: skip


def _moved(_: str) -> dict[str, Field]:
    return dict([
        _text("pathname", 0), _file("dev", "dev_t"), _file("inode", "unsigned long"),
        _got("count", "size_t", lambda event: event.args[2]),
        _got("vlen", "unsigned long", lambda event: event.args[2]),
        _got("pos", "off_t", lambda event: event.args[3] if event.kind.startswith("p") else None),
    ])  # fmt: skip


def _whole_file(event: Event) -> bool:
    """Whether the beginning of a regular file was written, as far as one call shows it."""
    file = event.file
    if file is None or file.mode & 0o170000 != 0o100000 or event.ret <= 0:
        return False
    return event.kind in {"write", "writev"} or event.args[3] == 0


def _chmod() -> dict[str, tuple[Hook | None, dict[str, Field]]]:
    made: dict[str, tuple[Hook | None, dict[str, Field]]] = {}
    for name, argument, at in (
        ("chmod", "filename", 1),
        ("fchmodat", "filename", 2),
        ("fchmodat2", "filename", 2),
    ):
        mode = _got("mode", "umode_t", number(at, "mode_t"), words=flags.mode, place=(What.ARG, at), bits=16)
        made[name] = (hook_of(name), {**_path_of(name, argument, "pathname"), **dict([mode])})
    mode = _got("mode", "umode_t", number(1, "mode_t"), words=flags.mode, place=(What.ARG, 1), bits=16)
    made["fchmod"] = (hook_of("fchmod"), dict([_text("pathname", 0), mode]))
    return made


def _one_path(names: Mapping[str, str], called: str) -> dict[str, tuple[Hook | None, dict[str, Field]]]:
    return {name: (hook_of(name), _path_of(name, argument, called)) for name, argument in names.items()}


def _symlink() -> dict[str, tuple[Hook | None, dict[str, Field]]]:
    return {
        name: (
            hook_of(name),
            {**dict([_text("target", int(_position(name, "oldname")))]), **_path_of(name, "newname", "linkpath")},
        )
        for name in ("symlink", "symlinkat")
    }  # fmt: skip


def _mknod() -> dict[str, tuple[Hook | None, dict[str, Field]]]:
    made: dict[str, tuple[Hook | None, dict[str, Field]]] = {}
    for name, at in (("mknod", 1), ("mknodat", 2)):
        rest = dict([
            _got("mode", "umode_t", number(at, "mode_t"), words=flags.mode, place=(What.ARG, at), bits=16),
            _got("dev", "dev_t", number(at + 1, "dev_t"), place=(What.ARG, at + 1), bits=32),
        ])  # fmt: skip
        made[name] = (hook_of(name), {**_path_of(name, "filename", "file_name"), **rest})
    return made


def _chdir() -> dict[str, tuple[Hook | None, dict[str, Field]]]:
    asked = _text("unresolved_path", 0)
    return {
        "chdir": (hook_of("chdir"), {**dict([asked]), **_path_of("chdir", "filename", "resolved_path")}),
        "fchdir": (hook_of("fchdir"), dict([_text("resolved_path", 0)])),
    }


def _truncate() -> dict[str, tuple[Hook | None, dict[str, Field]]]:
    return {
        "truncate": (
            hook_of("truncate"),
            {
                **_path_of("truncate", "path", "pathname"),
                **dict([_got("length", "u64", number(1, "off_t"), place=(What.ARG, 1), bits=64)]),
            },
        ),
        "ftruncate": (
            hook_of("ftruncate"),
            dict([
                _text("pathname", 0), _file("inode", "unsigned long"), _file("dev", "dev_t"),
                _got("length", "u64", number(1, "off_t"), place=(What.ARG, 1), bits=64),
            ]),
        ),
    }  # fmt: skip


def _mount() -> dict[str, tuple[Hook | None, dict[str, Field]]]:
    device, target, kind = (int(_position("mount", one)) for one in ("dev_name", "dir_name", "type"))
    return {
        "mount": (
            hook_of("mount"),
            {
                **dict([_text("dev_name", device), _text("type", kind)]),
                **_paths(("path", str(target))),
                **dict([_got("flags", "unsigned long", number(3, ""), words=flags.mount_flags)]),
            },
        )
    }


# ---- memory -----------------------------------------------------------------------------------------------------------

_PROT = Test(What.ARG, Op.ALLBITS, (4,), index=2)
_BOTH = Test(What.ARG, Op.ALLBITS, (6,), index=2)


def _mapped_file() -> dict[str, Field]:
    return dict([
        _text("pathname", 0), _got("flags", "int", lambda event: event.file.oflags if event.file else None, words=flags.open_flags),
        _file("dev", "dev_t"), _file("inode", "unsigned long"), _CTIME,
        _got("prot", "unsigned long", number(2, ""), words=flags.prot, place=(What.ARG, 2), bits=32),
        _got("mmap_flags", "unsigned long", number(3, ""), words=flags.map_flags),
    ])  # fmt: skip


def _protected() -> dict[str, tuple[Hook | None, dict[str, Field]]]:
    absent = "which file lies there, and how it was protected before, is not told by the call"
    fields = dict([
        _got("pathname", "const char*", lambda _: None, unread=absent), _got("prev_prot", "int", lambda _: None, unread=absent),
        _got("prot", "int", number(2, "int"), words=flags.prot, place=(What.ARG, 2), bits=32),
        _got("addr", "void*", number(0, "")), _got("len", "size_t", number(1, "")),
        _got("pkey", "int", lambda event: number(3, "int")(event) if event.kind == "pkey_mprotect" else -1), _CTIME,
    ])  # fmt: skip
    return {name: (hook_of(name), fields) for name in ("mprotect", "pkey_mprotect")}


def _mem_alert() -> Plain:
    """mem_prot_alert: memory writable and executable at once, or executable after it was both."""
    loaded = BEHAVIOURS["dynamic_code_loading"]

    def alert(event: Event) -> int | None:
        if event.kind == "mmap":
            return 1
        return (
            None if event.args[2] & 6 == 6 else 4
        )  # which of 2 and 3 it is only the protection before tells

    fields = dict([
        _got("alert", "u32", alert, words=flags.alert), _got("addr", "void*", lambda event: event.ret if event.kind == "mmap" else event.args[0]),
        _got("len", "size_t", number(1, "")), _got("prot", "int", number(2, "int"), words=flags.prot),
        _got("prev_prot", "int", lambda _: None, unread="the call does not tell how the memory was protected before"),
    ])  # fmt: skip

    def when(event: Event) -> bool:
        return event.ret >= 0 and (bool(loaded.judge(event)) or event.args[2] & 6 == 6)

    guards = {"mmap": _BOTH, "mprotect": _PROT, "pkey_mprotect": _PROT}
    return Plain(
        name="mem_prot_alert",
        sets=(),
        signature=(("alert", "u32"), ("addr", "void*"), ("len", "size_t"), ("prot", "int"), ("prev_prot", "int")),
        sources={
            name: Source(
                kind=name, hook=hook_of(name), fields=fields, guard=((acts.SUCCEEDED, guard),), when=when
            )
            for name, guard in guards.items()
        },
    )  # fmt: skip


# ---- processes, modules, cgroups --------------------------------------------------------------------------------------


def _process(name: str, kind: str, get: Callable[[Any], Any]) -> tuple[str, Field]:
    return _got(name, kind, lambda event: get(event.process))


def _execution() -> dict[str, Field]:
    absent = "the interpreter's own file is not among what the kernel's side reads"
    return dict([
        _got("cmdpath", "const char*", lambda event: event.process.exe_name),
        _got("pathname", "const char*", lambda event: event.texts[0] or event.process.exe),
        _process("dev", "dev_t", lambda one: one.exe_dev), _process("inode", "unsigned long", lambda one: one.exe_ino),
        _process("ctime", "unsigned long", lambda one: one.exe_ctime),
        _process("inode_mode", "umode_t", lambda one: one.exe_mode),
        _got("interpreter_pathname", "const char*", lambda _: None, unread=absent),
        _process("argv", "const char**", lambda one: one.args), _process("env", "const char**", lambda one: one.env),
        _got("invoked_from_kernel", "int", lambda event: int(event.process.ppid == 2)),
        _got("prev_comm", "const char*", lambda event: event.process.parent.name if event.process.parent else None),
        _got("stdin_path", "const char*", lambda _: None, unread="what the standard input is, is not among what the kernel's side reads"),
    ])  # fmt: skip


def _forked() -> dict[str, Field]:
    def parent(get: Callable[[Any], Any]) -> Callable[[Event], Any]:
        return lambda event: get(event.process.parent) if event.process.parent else None

    return dict([
        _got("parent_tid", "int", lambda event: event.tid), _got("parent_pid", "int", parent(lambda one: one.pid)),
        _got("parent_ns_pid", "int", parent(lambda one: one.vpid)), _got("parent_start_time", "unsigned long", parent(lambda one: one.start)),
        _process("child_tid", "int", lambda one: one.pid), _process("child_ns_tid", "int", lambda one: one.vpid),
        _process("child_pid", "int", lambda one: one.pid), _process("child_ns_pid", "int", lambda one: one.vpid),
        _process("start_time", "unsigned long", lambda one: one.start),
    ])  # fmt: skip


def _exited() -> dict[str, Field]:
    return dict([
        _got("exit_code", "long", lambda event: event.process.exit_code >> 8 & 0xFF),
        _got("signal_code", "int", lambda event: event.process.exit_code & 0x7F, words=flags.signal),
        _got("process_group_exit", "bool", lambda _: True),
    ])  # fmt: skip


def _failed_execs() -> Plain:
    def when(event: Event) -> bool:
        return event.ret < 0

    return _plain(
        "process_execute_failed", ("default", "proc"), "path:const char*,argv:const char**,ret:int",
        {
            name: (hook_of(name), {
                **_path_of(name, "filename", "path"),
                **dict([_got("ret", "int", lambda event: event.ret, place=(What.RET, 0), bits=32)]),
            })
            for name in ("execve", "execveat")
        },
        guard=((Test(What.RET, Op.LT, (0,)),),), when=when,
    )  # fmt: skip


def _execs(name: str) -> Plain:
    """What execve or execveat did: those that failed as the call returned them, those that succeeded as the new program began."""
    call = CALLS[name]
    done = _execution()
    fields = {
        "pathname": done["pathname"], "argv": done["argv"], "envp": replace(done["env"], name="envp"),
    }  # fmt: skip
    failed = Source(
        kind=name, hook=hook_of(name), fields=fields_of(call), guard=((Test(What.RET, Op.LT, (0,)),),),
        when=lambda event: event.ret < 0,
    )  # fmt: skip
    sources = {name: failed}
    if name == "execve":  # which of the two it was is not told once the program runs
        sources["exec"] = Source(kind="exec", fields=fields)
    return Plain(name=name, sets=call.sets, signature=call.args, sources=sources)


def _cgroup_fields() -> dict[str, Field]:
    return dict([
        _got("cgroup_id", "u64", lambda event: event.args[1]), _text("cgroup_path", 0),
        _got("hierarchy_id", "u32", lambda event: event.args[2] & 0xFFFFFFFF),
    ])  # fmt: skip


_KERNEL_CGROUP = Hook(sort="kernel", name="cgroup")


def _container_id(event: Event) -> str | None:
    """The container's id in a cgroup's path, as containerd, Docker, CRI-O and Podman write it."""
    last = acts.basename(event.texts[0]).removesuffix(".scope")
    last = last.rpartition("-")[2].rpartition(":")[2]
    return last if len(last) == 64 and set(last) <= set("0123456789abcdef") else None


def _containers(name: str, made: int) -> Plain:
    absent = "the runtime has not told of the container yet when its cgroup is made"
    fields = dict([
        _got("runtime", "const char*", lambda _: None, unread=absent),
        _got("container_id", "const char*", _container_id), _got("ctime", "unsigned long", lambda event: event.time),
        *(
            _got(one, "const char*", lambda _: None, unread=absent)
            for one in ("container_image", "container_image_digest", "container_name", "pod_name", "pod_namespace", "pod_uid")
        ),
    ])  # fmt: skip
    return _plain(
        name, ("default", "containers"),
        "runtime:const char*,container_id:const char*,ctime:unsigned long,container_image:const char*,"
        "container_image_digest:const char*,container_name:const char*,pod_name:const char*,pod_namespace:const char*,pod_uid:const char*",
        {"cgroup": (_KERNEL_CGROUP, fields)},
        guard=((Test(What.ARG, Op.EQ, (made,), index=0),),),
        when=lambda event: event.args[0] == made and _container_id(event) is not None,
    )  # fmt: skip


def _modules(name: str) -> Plain:
    fields = dict([_text("name", 0)])
    return _plain(
        name, ("default", "system", "system_module"), "name:const char*",
        {"module": (Hook(sort="kernel", name="module"), fields)}, guard=((),),
    )  # fmt: skip


def _renamed_task() -> Plain:
    fields = dict([
        _got("old_name", "const char*", lambda event: event.process.title or event.process.name),
        _got("new_name", "const char*", lambda event: event.comm),
    ])  # fmt: skip
    return _plain(
        "task_rename", ("default", "proc"), "old_name:const char*,new_name:const char*", {"prctl": (hook_of("prctl"), fields)},
        guard=((acts.SUCCEEDED, Test(What.ARG, Op.EQ, (15,), index=0)),), when=lambda event: event.args[0] == 15,
    )  # fmt: skip


_PATHS = "pathname:const char*,inode:unsigned long,dev:dev_t,ctime:unsigned long"
_OPENED = "pathname:const char*,flags:int,dev:dev_t,inode:unsigned long,ctime:unsigned long,syscall_pathname:const char*"
_VFS = "pathname:const char*,dev:dev_t,inode:unsigned long,count:size_t,pos:off_t"
_VFSV = "pathname:const char*,dev:dev_t,inode:unsigned long,vlen:unsigned long,pos:off_t"


def _numbers(call: str, *taken: str) -> dict[str, Field]:
    fields = fields_of(CALLS[call])
    return {name: fields[name] for name in taken}


@cache
def _sorts() -> Mapping[str, Sort]:
    every: list[Sort] = [
        _plain("security_file_open", _LSM, _OPENED, _opening()),
        _plain("security_inode_rename", _LSM, "old_path:const char*,new_path:const char*", _renaming()),
        _plain("security_inode_unlink", _LSM, _PATHS, _one_path({"unlink": "pathname", "unlinkat": "pathname"}, "pathname")),
        _plain("security_inode_symlink", _LSM, "linkpath:const char*,target:const char*", _symlink()),
        _plain("security_inode_mknod", _LSM, "file_name:const char*,mode:umode_t,dev:dev_t", _mknod()),
        _plain("security_sb_mount", _LSM, "dev_name:const char*,path:const char*,type:const char*,flags:unsigned long", _mount()),
        _plain("security_sb_umount", _LSM, "path:const char*", _one_path({"umount2": "name"}, "path")),
        _plain("security_mmap_file", _LSM, "pathname:const char*,flags:int,dev:dev_t,inode:unsigned long,ctime:unsigned long,prot:unsigned long,mmap_flags:unsigned long",
               {"mmap": (hook_of("mmap"), _mapped_file())}, when=lambda event: event.file is not None),
        _plain("shared_object_loaded", ("lsm_hooks",), "pathname:const char*,flags:int,dev:dev_t,inode:unsigned long,ctime:unsigned long",
               {"mmap": (hook_of("mmap"), _mapped_file())}, guard=((acts.SUCCEEDED, _PROT),), when=lambda event: event.file is not None and bool(event.args[2] & 4)),
        _plain("security_file_mprotect", _LSM, "pathname:const char*,prot:int,ctime:unsigned long,prev_prot:int,addr:void*,len:size_t,pkey:int", _protected()),
        _plain("security_bprm_check", _LSM, "pathname:const char*,dev:dev_t,inode:unsigned long,argv:const char*const*,envp:const char*const*",
               {"exec": (None, {**_execution(), "envp": replace(_execution()["env"], name="envp")})}),
        _plain("security_bpf", ("default", "lsm_hooks"), "cmd:int", {"bpf": (hook_of("bpf"), _numbers("bpf", "cmd"))}),
        _plain("security_task_prctl", ("lsm_hooks", "proc"), "option:int,arg2:unsigned long,arg3:unsigned long,arg4:unsigned long,arg5:unsigned long",
               {"prctl": (hook_of("prctl"), fields_of(CALLS["prctl"]))}, guard=((),)),
        _plain("security_settime64", ("lsm_hooks",), "tv_sec:u64,tv_nsec:u64,tz_minuteswest:int,tz_dsttime:int", {name: (hook_of(name), {}) for name in ("settimeofday", "clock_settime")}),
        _plain("security_task_setrlimit", ("lsm_hooks", "proc"), "target_host_pid:u32,resource:int,new_rlim_cur:u64,new_rlim_max:u64",
               {"setrlimit": (hook_of("setrlimit"), _numbers("setrlimit", "resource")), "prlimit64": (hook_of("prlimit64"), _numbers("prlimit64", "resource"))}),
        _plain("security_path_notify", ("lsm_hooks",), "pathname:const char*,inode:unsigned long,dev:dev_t,mask:u64,obj_type:unsigned int",
               {"inotify_add_watch": (hook_of("inotify_add_watch"), {**_path_of("inotify_add_watch", "pathname", "pathname"), **dict([_got("mask", "u64", number(2, "u32"))])}),
                "fanotify_mark": (hook_of("fanotify_mark"), {**_path_of("fanotify_mark", "pathname", "pathname"), **dict([_got("mask", "u64", number(2, "u64"))])})}),
        _plain("chmod_common", ("fs",), "pathname:const char*,mode:umode_t", _chmod()),
        _plain("set_fs_pwd", ("fs",), "unresolved_path:const char*,resolved_path:const char*", _chdir()),
        _plain("do_truncate", ("fs",), "pathname:const char*,inode:unsigned long,dev:dev_t,length:u64", _truncate()),
        _plain("magic_write", (), "pathname:const char*,bytes:bytes,dev:dev_t,inode:unsigned long,ctime:unsigned long",
               _writing(20, _written, acts.WRITING), guard=((Test(What.RET, Op.GT, (0,)),),), when=_whole_file),
        _plain("vfs_write", (), _VFS, _writing(0, _moved, ("write", "pwrite64"))),
        _plain("vfs_writev", (), _VFSV, _writing(0, _moved, ("writev", "pwritev", "pwritev2"))),
        _plain("vfs_read", (), _VFS, _writing(0, _moved, ("read", "pread64"))),
        _plain("vfs_readv", (), _VFSV, _writing(0, _moved, ("readv", "preadv", "preadv2"))),
        _mem_alert(),
        _plain("sched_process_exec", ("default", "proc"), "cmdpath:const char*,pathname:const char*,dev:dev_t,inode:unsigned long,ctime:unsigned long,inode_mode:umode_t,"
               "interpreter_pathname:const char*,argv:const char**,stdin_path:const char*,invoked_from_kernel:int,prev_comm:const char*,env:const char**", {"exec": (None, _execution())}),
        _plain("sched_process_fork", ("default", "proc"), "parent_tid:int,parent_pid:int,parent_ns_pid:int,parent_start_time:unsigned long,child_tid:int,child_ns_tid:int,child_pid:int,"
               "child_ns_pid:int,start_time:unsigned long", {"forked": (None, _forked())}),
        _plain("sched_process_exit", ("default", "proc", "proc_life"), "exit_code:long,signal_code:int,process_group_exit:bool", {"exited": (None, _exited())}),
        _plain("do_exit", ("proc", "proc_life"), "", {"exited": (None, {})}),
        _failed_execs(), _execs("execve"), _execs("execveat"),
        replace(_failed_execs(), name="process_execution_failed"),
        _plain("cgroup_mkdir", (), "cgroup_id:u64,cgroup_path:const char*,hierarchy_id:u32", {"cgroup": (_KERNEL_CGROUP, _cgroup_fields())},
               guard=((Test(What.ARG, Op.EQ, (1,), index=0),),), when=lambda event: event.args[0] == 1),
        _plain("cgroup_rmdir", (), "cgroup_id:u64,cgroup_path:const char*,hierarchy_id:u32", {"cgroup": (_KERNEL_CGROUP, _cgroup_fields())},
               guard=((Test(What.ARG, Op.EQ, (0,), index=0),),), when=lambda event: event.args[0] == 0),
        _containers("container_create", 1), _containers("container_remove", 0),
        _modules("module_load"), _modules("do_init_module"),
        _plain("module_free", ("default", "system", "system_module"), "name:const char*", {"delete_module": (hook_of("delete_module"), dict([_text("name", 0)]))}),
        _renamed_task(),
        _plain("do_sigaction", ("proc",), "sig:int", {"rt_sigaction": (hook_of("rt_sigaction"), dict([_got("sig", "int", number(0, "int"), words=flags.signal, place=(What.ARG, 0), bits=32)]))}),
        _plain("switch_task_ns", (), "pid:pid_t,new_mnt:u32,new_pid:u32,new_uts:u32,new_ipc:u32,new_net:u32,new_cgroup:u32",
               {name: (hook_of(name), dict([_got("pid", "pid_t", lambda event: event.process.vpid)])) for name in ("setns", "unshare")}),
        *NETWORK,
        *(Named(one, name) for name, one in BEHAVIOURS.items()),
        *(Plain(name=name, sets=(), why_not=why) for name, why in _absent().items()),
    ]  # fmt: skip
    return {**calls(), **table(every)}


def _absent() -> dict[str, str]:
    made: dict[str, str] = {}
    for why, names in _UNSEEN.items():
        made.update(dict.fromkeys(names.split(), why))
    return {name: why for name, why in made.items() if name not in BEHAVIOURS}


_UNSEEN = {
    "it shows only in a function of the kernel, which needs a kprobe": (
        "access_remote_vm bpf_attach cap_capable call_usermodehelper commit_creds debugfs_create_dir debugfs_create_file device_add dirty_pipe_splice "
        "do_mmap exec_test inotify_find_inode kallsyms_lookup_name kernel_write load_elf_phdrs open_file_mount open_file_ns proc_create "
        "register_chrdev register_kprobe security_bpf_map security_bpf_prog security_file_permission security_kernel_post_read_file "
        "security_kernel_read_file security_post_read_file security_file_ioctl vfs_utimes zeroed_inodes file_modification tty_open tty_write "
        "security_bprm_creds_for_exec lsm_test features_fallback_test process_vm_write_test set_fs_root"
    ),
    "it is read from kernel memory with kernel symbols, which this design does not do": (
        "ftrace_hook hidden_inodes hidden_kernel_module hidden_kernel_module_seeker hooked_proc_fops hooked_seq_ops hooked_syscalls "
        "print_mem_dump print_net_seq_ops print_syscall_table syscall_table_check symbols_collision symbols_loaded"
    ),
    "it comes with every change of the running process, which is too much to look at": "sched_switch cgroup_attach_task",
    "it comes with every system call; name the calls instead": (
        "sys_enter sys_exit suspicious_syscall_source stack_pivot check_syscall_source"
    ),
    "it tells of Tracee itself": "tracee_info init_namespaces init_tracee_data existing_container capture_file_write capture_file_read capture_exec capture_module capture_mem capture_bpf capture_net_packet",
}  # fmt: skip


def sorts() -> Mapping[str, Sort]:
    """Return every event that can be named, by name."""
    return _sorts()


def of_set(name: str) -> list[str]:
    """Return the names of the events of a set that can be seen, sorted; empty for a set that nobody knows."""
    return sorted(key for key, one in _sorts().items() if name in one.sets and not one.why_not)
