"""Kernel functions about files, and where their calls are seen without kprobes. A table; `places.py` says how to read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fairlead.dialects.tracingpolicy.places import Row, no, row, spots
from fairlead.sense import syscalls
from fairlead.sense.plans import Arg

_RING = "what io_uring does without system calls is not seen"
_AFTER = "told at the call's return, with what the call returned"
_LINKS = "the path is the one that was passed, made absolute: links in it are not followed"
_ONLY_DONE = "attempts that fail are not seen"
_GIVING = " ".join(sorted(call.name for call in syscalls.CALLS.values() if call.ret is Arg.FD))
_OPEN = "open openat openat2 creat"

_opened = row(
    spots(_OPEN + " open_by_handle_at", "0=place", "ret>=0", "verdict"),
    differs=_AFTER,
    lost=f"{_ONLY_DONE}; {_RING}",
)


def _made(*calls: tuple[str, str], shift: int, mode: bool = False) -> Row:
    """Return the row of a function about a new or vanishing entry: its dentry is argument 1 behind `shift` others, its mode follows."""
    groups = []
    for names, argument in calls:
        sources = f"{shift + 1}=path:{argument}"
        if mode:
            at = syscalls.call_of(names.split()[0]).names.index("mode")
            sources += f" {shift + 2}=arg{at}"
        groups.append(spots(names, sources, returned="verdict"))
    return row(*groups, differs=f"{_AFTER}; {_LINKS}", lost=_RING)


def _entries(prefix: str, shift: int) -> dict[str, Row]:
    """Return the rows of one family (`security_inode_`, `security_path_`, `vfs_`), which share their arguments but for `shift`."""
    first, second, third, fourth = shift, shift + 1, shift + 2, shift + 3
    removed = f"{second}=path:pathname"
    return {
        f"{prefix}mkdir": _made(("mkdir", "pathname"), ("mkdirat", "pathname"), shift=shift, mode=True),
        f"{prefix}mknod": _made(("mknod", "filename"), ("mknodat", "filename"), shift=shift, mode=True),
        f"{prefix}rmdir": row(
            spots("rmdir", removed, returned="verdict"), spots("unlinkat", removed, "arg2&512", "verdict"),
            differs=f"{_AFTER}; {_LINKS}", lost=_RING,
        ),
        f"{prefix}unlink": row(
            spots("unlink", removed, returned="verdict"), spots("unlinkat", removed, "arg2!&512", "verdict"),
            differs=f"{_AFTER}; {_LINKS}", lost=_RING,
        ),
        f"{prefix}symlink": row(
            spots("symlink symlinkat", f"{second}=path:newname {third}=text:oldname", returned="verdict"), differs=_AFTER, lost=_RING
        ),
        f"{prefix}link": row(
            spots("link linkat", f"{first}=path:oldname {third}=path:newname", returned="verdict"), differs=f"{_AFTER}; {_LINKS}", lost=_RING
        ),
        f"{prefix}rename": row(
            spots("rename renameat renameat2", f"{second}=path:oldname {fourth}=path:newname", returned="verdict"),
            differs=f"{_AFTER}; {_LINKS}", lost=_RING,
        ),
    }  # fmt: skip


_READING = "read pread64 readv preadv preadv2"
_WRITING = "write pwrite64 writev pwritev pwritev2"
_permission = row(
    spots(_READING + " getdents getdents64 copy_file_range splice", "0=place 1==4", returned="verdict"),
    spots(_WRITING + " sendfile fallocate", "0=place 1==2", returned="verdict"),
    # with a condition of their own, so that clauses about one file of a call are not taken for those about the other
    spots("sendfile", "0=text:in_fd 1==4", "ret>=0", "verdict"),
    spots("copy_file_range splice", "0=text:fd_out 1==2", "ret>=0", "verdict"),
    differs=_AFTER,
    lost=_RING,
)
_mapped = spots("mmap", "0=place 1=arg2 2=arg3", "arg3!&32", "verdict")
_MAPPING = "mappings that execve makes by itself"

FILES: Final[Mapping[str, Row]] = {
    "fd_install": row(
        spots(_GIVING, "0=ret 1=place", "ret>=0"),
        differs="told when the call that gives the descriptor returns",
        lost="descriptors of pipes and socket pairs, and those that come over a socket",
    ),
    "__fd_install": row(
        spots(_GIVING, "1=ret 2=place", "ret>=0"),
        lost="descriptors that do not come from a system call's return value",
    ),
    "security_file_open": _opened,
    "do_dentry_open": _opened,
    "vfs_open": row(
        spots(_OPEN, "0=place 1=place", "ret>=0", "verdict"), differs=_AFTER, lost=f"{_ONLY_DONE}; {_RING}"
    ),
    "security_file_post_open": row(
        spots(_OPEN, "0=place 1=accmode", "ret>=0", "verdict"), differs=_AFTER, lost=f"{_ONLY_DONE}; {_RING}"
    ),
    "do_filp_open": row(
        spots("openat openat2", "0=arg0 1=text:filename", returned="place"),
        spots("open", "0==-100 1=text:filename", returned="place"),
        differs=_AFTER,
        lost=_RING,
    ),
    "do_sys_open": row(
        spots("openat", "0=arg0 1=text:filename 2=arg2 3=arg3", returned="ret"),
        spots("open", "0==-100 1=text:filename 2=arg1 3=arg2", returned="ret"),
        differs=_AFTER,
    ),
    "do_sys_openat2": row(
        spots("openat openat2", "0=arg0 1=text:filename", returned="ret"),
        spots("open", "0==-100 1=text:filename", returned="ret"),
        differs=_AFTER,
        lost="struct open_how",
    ),
    "path_openat": _opened,
    "security_file_permission": _permission,
    "rw_verify_area": row(
        spots(_READING, "0==0 1=place 3=arg2", returned="verdict"),
        spots(_WRITING, "0==1 1=place 3=arg2", returned="verdict"),
        differs=_AFTER,
        lost=_RING,
    ),
    "vfs_read": row(
        spots("read pread64", "0=place 1=buffer:buf 2=arg2", returned="ret"),
        differs=_AFTER,
        lost="reads into vectors; " + _RING,
    ),
    "vfs_write": row(
        spots("write pwrite64", "0=place 1=buffer:buf 2=arg2", returned="ret"),
        differs=_AFTER,
        lost="writes of vectors; " + _RING,
    ),
    "vfs_readv": row(
        spots("readv preadv preadv2", "0=place 1=buffer:vec 2=arg2", returned="ret"),
        differs=_AFTER,
        lost=_RING,
    ),
    "vfs_writev": row(
        spots("writev pwritev pwritev2", "0=place 1=buffer:vec 2=arg2", returned="ret"),
        differs=_AFTER,
        lost=_RING,
    ),
    "security_mmap_file": row(_mapped, differs=_AFTER, lost=_MAPPING),
    "do_mmap": row(
        spots("mmap", "0=place 1=arg0 2=arg1 3=arg2 4=arg3", "arg3!&32", "ret"), differs=_AFTER, lost=_MAPPING
    ),
    "vm_mmap_pgoff": row(
        spots("mmap", "0=place 1=arg0 2=arg1 3=arg2 4=arg3", "arg3!&32", "ret"), differs=_AFTER, lost=_MAPPING
    ),
    "security_file_mprotect": row(
        spots("mprotect pkey_mprotect", "1=arg2 2=arg2", returned="verdict"),
        differs=_AFTER,
        lost="the mapping itself",
    ),
    "security_path_truncate": row(
        spots("ftruncate", "0=place", returned="verdict"),
        spots("truncate", "0=path:path", returned="verdict"),
        spots("open", "0=place", "arg1&512 ret>=0", "verdict"),
        spots("openat", "0=place", "arg2&512 ret>=0", "verdict"),
        spots("creat", "0=place", "ret>=0", "verdict"),
        differs=_AFTER,
        lost=f"openat2 with O_TRUNC; {_RING}",
    ),
    "security_file_truncate": row(spots("ftruncate", "0=place", returned="verdict"), differs=_AFTER),
    "vfs_truncate": row(
        spots("truncate", "0=path:path 1=arg1", returned="ret"), differs=f"{_AFTER}; {_LINKS}"
    ),
    "do_sys_ftruncate": row(spots("ftruncate", "0=arg0 1=arg1", returned="ret"), differs=_AFTER),
    "security_inode_create": row(
        spots("creat", "1=path:pathname 2=arg1", returned="verdict"),
        spots("open", "1=path:filename 2=arg2", "arg1&64", "verdict"),
        spots("openat", "1=path:filename 2=arg3", "arg2&64", "verdict"),
        differs=f"{_AFTER}; also where the file was there already",
        lost=f"openat2 with O_CREAT; {_RING}",
    ),
    **_entries("security_inode_", 0),
    **_entries("security_path_", 0),
    **_entries("vfs_", 1),
    "do_mkdirat": row(
        spots("mkdirat", "0=arg0 1=text:pathname 2=arg2", returned="ret"),
        spots("mkdir", "0==-100 1=text:pathname 2=arg1", returned="ret"),
        differs=_AFTER,
    ),
    "do_unlinkat": row(
        spots("unlinkat", "0=arg0 1=text:pathname", "arg2!&512", "ret"),
        spots("unlink", "0==-100 1=text:pathname", returned="ret"),
        differs=_AFTER,
    ),
    "do_rmdir": row(
        spots("unlinkat", "0=arg0 1=text:pathname", "arg2&512", "ret"),
        spots("rmdir", "0==-100 1=text:pathname", returned="ret"),
        differs=_AFTER,
    ),
    "security_path_chmod": row(
        spots("fchmod", "0=place 1=arg1", returned="verdict"),
        spots("chmod", "0=path:filename 1=arg1", returned="verdict"),
        spots("fchmodat fchmodat2", "0=path:filename 1=arg2", returned="verdict"),
        differs=f"{_AFTER}; {_LINKS}",
    ),
    "chmod_common": row(
        spots("fchmod", "0=place 1=arg1", returned="ret"),
        spots("chmod", "0=path:filename 1=arg1", returned="ret"),
        spots("fchmodat fchmodat2", "0=path:filename 1=arg2", returned="ret"),
        differs=f"{_AFTER}; {_LINKS}",
    ),
    "security_path_chown": row(
        spots("fchown", "0=place 1=arg1 2=arg2", returned="verdict"),
        spots("chown lchown", "0=path:filename 1=arg1 2=arg2", returned="verdict"),
        spots("fchownat", "0=path:filename 1=arg2 2=arg3", returned="verdict"),
        differs=f"{_AFTER}; {_LINKS}",
    ),
    "security_inode_setattr": row(
        spots("fchmod fchown", "1=place", returned="verdict"),
        spots("chmod chown lchown fchmodat fchownat utimensat", "1=path:filename", returned="verdict"),
        differs=f"{_AFTER}; {_LINKS}",
        lost="what is to be changed",
    ),
    "security_inode_setxattr": row(
        spots("setxattr lsetxattr", "1=path:pathname 2=text:name 4=arg3 5=arg4", returned="verdict"),
        spots("fsetxattr", "1=place 2=text:name 4=arg3 5=arg4", returned="verdict"),
        differs=f"{_AFTER}; {_LINKS}",
    ),
    "security_inode_getxattr": row(
        spots("getxattr lgetxattr", "0=path:pathname 1=text:name", returned="verdict"),
        spots("fgetxattr", "0=place 1=text:name", returned="verdict"),
        differs=f"{_AFTER}; {_LINKS}",
    ),
    "security_inode_removexattr": row(
        spots("removexattr lremovexattr", "1=path:pathname 2=text:name", returned="verdict"),
        spots("fremovexattr", "1=place 2=text:name", returned="verdict"),
        differs=f"{_AFTER}; {_LINKS}",
    ),
    "security_inode_readlink": row(
        spots("readlink", "0=path:path", returned="verdict"),
        spots("readlinkat", "0=path:pathname", returned="verdict"),
        differs=_AFTER,
    ),
    "security_inode_getattr": row(
        spots("fstat", "0=place", returned="verdict"),
        spots("stat lstat newfstatat statx", "0=path:filename", returned="verdict"),
        differs=f"{_AFTER}; {_LINKS}",
    ),
    "security_file_ioctl": row(spots("ioctl", "0=place 1=arg1 2=arg2", returned="verdict"), differs=_AFTER),
    "security_file_fcntl": row(spots("fcntl", "0=place 1=arg1 2=arg2", returned="verdict"), differs=_AFTER),
    "security_file_lock": row(
        spots("flock", "0=place 1=arg1", returned="verdict"), differs=_AFTER, lost="locks by fcntl"
    ),
    "security_sb_mount": row(
        spots("mount", "0=text:dev_name 1=path:dir_name 2=text:type 3=arg3", returned="verdict"),
        differs=_AFTER,
        lost="mounts by fsopen and move_mount",
    ),
    "path_mount": row(
        spots("mount", "0=text:dev_name 1=path:dir_name 2=text:type 3=arg3", returned="ret"), differs=_AFTER
    ),
    "do_mount": row(
        spots("mount", "0=text:dev_name 1=text:dir_name 2=text:type 3=arg3", returned="ret"), differs=_AFTER
    ),
    "security_sb_umount": row(
        spots("umount2", "1=arg1", returned="verdict"), differs=_AFTER, lost="the mount itself"
    ),
    "path_umount": row(spots("umount2", "0=path:name 1=arg1", returned="ret"), differs=_AFTER),
    "security_sb_pivotroot": row(
        spots("pivot_root", "0=path:put_old 1=path:new_root", returned="verdict"), differs=_AFTER
    ),
    "security_move_mount": row(
        spots("move_mount", "0=path:from_pathname 1=path:to_pathname", returned="verdict"), differs=_AFTER
    ),
    "security_path_chroot": row(spots("chroot", "0=path:filename", returned="verdict"), differs=_AFTER),
    "security_path_notify": row(
        spots("inotify_add_watch", "0=path:pathname", returned="verdict"), differs=_AFTER, lost="fanotify"
    ),
    "tty_write": row(
        spots("write", "0=place 1=buffer:buf 2=arg2", "mode/61440==8192", "ret", only="tty"),
        spots("writev", "0=place 1=buffer:vec", "mode/61440==8192", "ret", only="tty"),
        differs="told at the return of write and writev on a terminal",
    ),
    "tty_read": row(
        spots("read", "0=place 1=buffer:buf 2=arg2", "mode/61440==8192", "ret", only="tty"),
        differs="told at the return of read on a terminal",
    ),
    "pipe_write": row(
        spots("write", "0=place 1=buffer:buf", "mode/61440==4096", "ret"),
        differs=_AFTER,
        lost="writes of vectors",
    ),
    "pipe_read": row(
        spots("read", "0=place 1=buffer:buf", "mode/61440==4096", "ret"),
        differs=_AFTER,
        lost="reads into vectors",
    ),
    "do_pipe2": row(
        spots("pipe2", "1=arg1", returned="ret"), spots("pipe", "1==0", returned="ret"), differs=_AFTER
    ),
    "create_pipe_files": row(
        spots("pipe2", "1=arg1", returned="ret"), spots("pipe", "1==0", returned="ret"), differs=_AFTER
    ),
    "security_inode_follow_link": no(
        "no tracepoint and no system call tells that a link is followed on the way through a path"
    ),
    "security_inode_permission": no("no tracepoint tells of the permission checks of a path's directories"),
    "security_inode_listsecurity": no("the kernel asks this of itself; no system call stands for it"),
    "security_file_free": no("no tracepoint tells that a file's last descriptor is gone"),
    "security_file_receive": no("no tracepoint tells of descriptors that come over a socket"),
    "__fput": no("no tracepoint tells that a file's last descriptor is gone"),
}
"""Function -> where it is seen."""
