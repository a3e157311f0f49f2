"""The system calls: their numbers, their arguments' names, and how the kernel's side must read those. Data; it decides nothing.

One line a call in SIGNATURES: its arguments in order, each `name` (a number) or `name:how`, where how is f a descriptor, o one whose file's path is a text, d a directory's
descriptor, p a path, s a string, a a socket's address, v an iovec, m a msghdr, b a buffer, whose length is in the argument after
it or, written `b<n>`, in argument n, or in the return value (`br`). Then, after `->`, f where a descriptor is returned. `*` marks
the descriptor that the call is about. A call that is not here has six numbers for arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fairlead.sense import callnumbers
from fairlead.sense.plans import Arg, Clause, Hook

SIGNATURES = """
accept fd upeer_sockaddr upeer_addrlen -> f
accept4 fd upeer_sockaddr upeer_addrlen flags -> f
access filename:p mode
acct name:p
add_key _type:s _description:s _payload plen ringid
bind fd:f* umyaddr:a addrlen
bpf cmd uattr size -> f
capset header data:b
chdir filename:p
chmod filename:p mode
chown filename:p user group
chroot filename:p
clone clone_flags newsp parent_tidptr child_tidptr tls
clone3 uargs size
close fd:f*
close_range fd max_fd flags
connect fd:f* uservaddr:a addrlen
copy_file_range fd_in:f* off_in fd_out:o off_out len flags
creat pathname:p mode -> f
delete_module name_user:s flags
dup fildes:f* -> f
dup2 oldfd newfd -> f
dup3 oldfd newfd flags -> f
epoll_create size -> f
epoll_create1 flags -> f
epoll_ctl epfd:f* op fd event
eventfd count -> f
eventfd2 count flags -> f
execve filename:p argv envp
execveat fd:d filename:p argv envp flags
exit error_code
exit_group error_code
faccessat dfd:d filename:p mode
faccessat2 dfd:d filename:p mode flags
fallocate fd:f* mode offset len
fanotify_init flags event_f_flags -> f
fanotify_mark fanotify_fd:f* flags mask dfd:d pathname:p
fchdir fd:f*
fchmod fd:f* mode
fchmodat dfd:d filename:p mode
fchmodat2 dfd:d filename:p mode flags
fchown fd:f* user group
fchownat dfd:d filename:p user group flag
fcntl fd:f* cmd arg
fdatasync fd:f*
fgetxattr fd:f* name:s value size
file_getattr dfd:d filename:p ufattr usize at_flags
file_setattr dfd:d filename:p ufattr usize at_flags
finit_module fd:f* uargs:s flags
flistxattr fd:f* list size
flock fd:f* cmd
fremovexattr fd:f* name:s
fsconfig fd:f* cmd _key:s _value:s aux
fsetxattr fd:f* name:s value:b size flags
fsmount fs_fd flags attr_flags -> f
fsopen _fs_name:s flags -> f
fspick dfd:d path:p flags -> f
fstat fd:f* statbuf
fstatfs fd:f* buf
fsync fd:f*
ftruncate fd:f* length
futex uaddr op val utime uaddr2 val3
futimesat dfd:d filename:p utimes
getcwd buf:br size
getdents fd:f* dirent count
getdents64 fd:f* dirent count
getpeername fd:f* usockaddr usockaddr_len
getsockname fd:f* usockaddr usockaddr_len
getsockopt fd:f* level optname optval optlen
getxattr pathname:p name:s value size
init_module umod len uargs:s
inotify_add_watch fd:f* pathname:p mask
inotify_init -> f
inotify_init1 flags -> f
io_uring_enter fd:f* to_submit min_complete flags argp argsz
io_uring_register fd:f* opcode arg nr_args
io_uring_setup entries params -> f
ioctl fd:f* cmd arg
kexec_file_load kernel_fd:f* initrd_fd cmdline_len cmdline_ptr:b2 flags
kill pid sig
landlock_create_ruleset attr size flags -> f
lchown filename:p user group
lgetxattr pathname:p name:s value size
link oldname:p newname:p
linkat olddfd:d oldname:p newdfd:d newname:p flags
listen fd:f* backlog
listxattr pathname:p list size
llistxattr pathname:p list size
lremovexattr pathname:p name:s
lseek fd:f* offset whence
lsetxattr pathname:p name:s value size flags
lstat filename:p statbuf
madvise start len_in behavior
memfd_create uname:s flags -> f
memfd_secret flags -> f
mkdir pathname:p mode
mkdirat dfd:d pathname:p mode
mknod filename:p mode dev
mknodat dfd:d filename:p mode dev
mlock start len
mlock2 start len flags
mlockall flags
mmap addr len prot flags fd:f* off
mount dev_name:s dir_name:p type:s flags data
mount_setattr dfd:d path:p flags uattr usize
move_mount from_dfd:d from_pathname:p to_dfd:d to_pathname:p flags
mprotect start len prot
mq_open u_name:s oflag mode u_attr -> f
mq_unlink u_name:s
munlock start len
munmap addr len
name_to_handle_at dfd:d name:p handle mnt_id flag
newfstatat dfd:d filename:p statbuf flag
open filename:p flags mode -> f
open_by_handle_at mountdirfd handle flags -> f
open_tree dfd:d filename:p flags -> f
openat dfd:d filename:p flags mode -> f
openat2 dfd:d filename:p how:b3 usize -> f
perf_event_open attr_uptr pid cpu group_fd flags -> f
personality personality
pidfd_getfd pidfd fd flags -> f
pidfd_open pid flags -> f
pidfd_send_signal pidfd:f* sig info flags
pipe fildes:b
pipe2 fildes:b flags
pivot_root new_root:p put_old:p
pkey_mprotect start len prot pkey
prctl option arg2 arg3 arg4 arg5
pread64 fd:f* buf:br count pos
preadv fd:f* vec:v vlen pos_l pos_h
preadv2 fd:f* vec:v vlen pos_l pos_h flags
prlimit64 pid resource new_rlim old_rlim
process_madvise pidfd:f* vec vlen behavior flags
process_vm_readv pid lvec liovcnt rvec riovcnt flags
process_vm_writev pid lvec liovcnt rvec riovcnt flags
ptrace request pid addr data
pwrite64 fd:f* buf:b count pos
pwritev fd:f* vec:v vlen pos_l pos_h
pwritev2 fd:f* vec:v vlen pos_l pos_h flags
quotactl cmd special:s id addr
read fd:f* buf:br count
readahead fd:f* offset count
readlink path:p buf:br bufsiz
readlinkat dfd:d pathname:p buf:br bufsiz
readv fd:f* vec:v vlen
recvfrom fd:f* ubuf:br size flags addr addr_len
recvmmsg fd:f* mmsg vlen flags timeout
recvmsg fd:f* msg:m flags
removexattr pathname:p name:s
rename oldname:p newname:p
renameat olddfd:d oldname:p newdfd:d newname:p
renameat2 olddfd:d oldname:p newdfd:d newname:p flags
request_key _type:s _description:s _callout_info:s destringid
rmdir pathname:p
sched_setaffinity pid len user_mask_ptr
seccomp op flags uargs
sendfile out_fd:f* in_fd:o offset count
sendmmsg fd:f* mmsg vlen flags
sendmsg fd:f* msg:m flags
sendto fd:f* buff:b len flags addr:a addr_len
setdomainname name:b len
setfsgid gid
setfsuid uid
setgid gid
sethostname name:b len
setns fd:f* flags
setpgid pid pgid
setregid rgid egid
setresgid rgid egid sgid
setresuid ruid euid suid
setreuid ruid euid
setrlimit resource rlim
setsockopt fd:f* level optname optval:b4 optlen
setuid uid
setxattr pathname:p name:s value size flags
shutdown fd:f* how
signalfd ufd user_mask sizemask -> f
signalfd4 ufd user_mask sizemask flags -> f
socket family type protocol -> f
socketpair family type protocol usockvec:b
splice fd_in:f* off_in fd_out:o off_out len flags
stat filename:p statbuf
statfs pathname:p buf
statx dfd:d filename:p flags mask buffer
swapoff specialfile:p
swapon specialfile:p swap_flags
symlink oldname:s newname:p
symlinkat oldname:s newdfd:d newname:p
sync_file_range fd:f* offset nbytes flags
syncfs fd:f*
syslog type buf len
tee fdin:f* fdout len flags
tgkill tgid pid sig
timerfd_create clockid flags -> f
timerfd_settime ufd:f* flags utmr otmr
tkill pid sig
truncate path:p length
umount2 name:p flags
unlink pathname:p
unlinkat dfd:d pathname:p flag
unshare unshare_flags
userfaultfd flags -> f
utime filename:p times
utimensat dfd:d filename:p utimes flags
utimes filename:p utimes
vmsplice fd:f* iov nr_segs flags
write fd:f* buf:b count
writev fd:f* vec:v vlen
"""

_HOW = {
    "": Arg.INT, "f": Arg.FD, "o": Arg.FDPATH, "d": Arg.DIRFD, "p": Arg.PATH, "s": Arg.STRING, "a": Arg.SOCKADDR, "v": Arg.IOVEC, "m": Arg.MSGHDR, "b": Arg.BUFFER,
}  # fmt: skip
_LIMITS = {"pipe": 8, "pipe2": 8, "socketpair": 8, "openat2": 24, "capset": 24}
"""Calls with a buffer of a fixed size, which is always read: two descriptors, struct open_how, two sets of capabilities."""
_UNSIZED = frozenset({"pipe", "pipe2", "socketpair", "capset"})


@dataclass(frozen=True, slots=True)
class Call:
    """One system call. `about` is the index of the argument with the descriptor that the call is about, -1 for none.

    `sizes` are pairs: a buffer's index, and the index of the argument with its length, or -1 for the return value.
    """

    name: str
    names: tuple[str, ...] = ()
    args: tuple[Arg, ...] = (Arg.INT,) * 6
    ret: Arg = Arg.INT
    about: int = -1
    sizes: tuple[tuple[int, int], ...] = ()
    limit: int = 0
    positions: Mapping[str, int] = field(default_factory=dict, compare=False)  # text's name -> its index

    @property
    def has_place(self) -> bool:
        """Whether the first text is the path of what it is about."""
        return self.ret is Arg.FD or self.about >= 0


def _positions(call: Call) -> dict[str, int]:
    """Return which text holds what: "place", an argument's name, or that with "@" behind it for the directory it is relative to."""
    order = ["place"] if call.has_place else []
    for name, how in zip(call.names, call.args, strict=False):
        if how is Arg.PATH:
            order += [name, f"{name}@"]
        elif how in {Arg.STRING, Arg.BUFFER, Arg.IOVEC, Arg.MSGHDR, Arg.FDPATH}:
            order.append(name)
    return {name: at for at, name in enumerate(order[:4])}


def _read(line: str) -> Call:
    signature, _, ret = line.partition(" -> ")
    name, *pieces = signature.split()
    names, args, sizes, about = [], [], [], -1
    for at, piece in enumerate(pieces):
        called, _, how = piece.partition(":")
        if how.endswith("*"):
            about, how = at, how[:-1]
        names.append(called)
        args.append(_HOW[how[:1]])
        if how[:1] == "b" and name not in _UNSIZED:
            sizes.append((at, -1 if how == "br" else int(how[1:] or at + 1)))
    call = Call(
        name,
        tuple(names),
        tuple(args),
        Arg.FD if ret == "f" else Arg.INT,
        about,
        tuple(sizes),
        _LIMITS.get(name, 0),
    )
    return Call(
        call.name, call.names, call.args, call.ret, call.about, call.sizes, call.limit, _positions(call)
    )


CALLS: Mapping[str, Call] = {call.name: call for call in map(_read, SIGNATURES.strip().splitlines())}
"""The calls that have more to them than numbers, by name."""


def call_of(name: str) -> Call:
    """Return the call of that name; one that nobody described has six numbers, named arg0 to arg5."""
    return CALLS.get(name) or Call(name, tuple(f"arg{at}" for at in range(6)))


def _numbers(text: str) -> dict[str, int]:
    return {
        name: int(number)
        for name, number in (piece.split() for piece in text.replace("\n", " ").split(",") if piece.strip())
    }


NUMBERS: Mapping[str, Mapping[str, int]] = {
    "x86_64": _numbers(callnumbers.X86_64),
    "aarch64": _numbers(callnumbers.AARCH64),
}
"""Machine (as uname says) -> name -> number."""
NAMES: Mapping[str, Mapping[int, str]] = {
    machine: {number: name for name, number in table.items()} for machine, table in NUMBERS.items()
}
"""Machine -> number -> name."""
EVERY: frozenset[str] = frozenset(name for table in NUMBERS.values() for name in table)
"""Each name that some machine knows."""


def number_of(name: str, machine: str = "x86_64") -> int | None:
    """Return the call's number on a machine, None where it has none (open on aarch64)."""
    return NUMBERS[machine].get(name)


def hook_of(
    name: str,
    clauses: Iterable[Clause] = (),
    *,
    enter: bool = False,
    limit: int = 0,
    without: Iterable[str] = (),
) -> Hook:
    """Return the hook of a system call, its arguments told as the table knows them.

    Buffers are read up to `limit` bytes, and not at all when that is 0 and the table has no size of its own. `without` names arguments
    to be taken as plain numbers, so that neither their text is read nor its position taken.
    """
    call = call_of(name)
    left = frozenset(without)
    args = tuple(
        Arg.INT if called in left or (how in BUFFERS and not limit and not call.limit) else how
        for called, how in zip(call.names, call.args, strict=False)
    )
    return Hook(
        sort="syscall",
        name=name,
        enter=enter,
        args=args,
        ret=call.ret,
        sizes=tuple(pair for pair in call.sizes if args[pair[0]] is Arg.BUFFER),
        about=call.about,
        limit=limit or call.limit,
        clauses=tuple(clauses),
    )


BUFFERS = frozenset({Arg.BUFFER, Arg.IOVEC, Arg.MSGHDR})


def texts(hook: Hook) -> tuple[str, ...]:
    """Return what the texts of a hook's records are, in order, at most four.

    "place" is the path of the file or unix socket that the call is about; an argument goes by its name, the directory that a
    relative path starts from by that name with "@" behind it. A position keeps its meaning when its text is absent.
    """
    call = (
        call_of(hook.name)
        if hook.sort == "syscall"
        else Call(hook.name, tuple(f"arg{at}" for at in range(6)))
    )
    return tuple(_positions(Call(hook.name, call.names, hook.args or call.args, hook.ret, hook.about)))
