"""The system calls as Tracee names them: their arguments with types, in order, and the sets of events that they belong to.

A table and nothing else. Names and types are those that Tracee prints and that filters name (`data.pathname`); what they mean is
decided elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

_TYPES = {
    "s": "const char*", "p": "void*", "i": "int", "u": "unsigned int", "l": "long", "ul": "unsigned long", "z": "size_t", "o": "off_t",
    "m": "mode_t", "d": "dev_t", "pid": "pid_t", "uid": "uid_t", "gid": "gid_t", "a": "struct sockaddr*", "v": "const char*const*",
    "ip": "int*", "t": "const struct timespec*", "st": "struct stat*", "iov": "const struct iovec*", "msg": "struct msghdr*", "k": "key_t",
    "ks": "key_serial_t", "tm": "timer_t", "ck": "const clockid_t", "mq": "mqd_t", "u32": "u32", "u64": "u64", "fds": "struct pollfd*",
}  # fmt: skip

_CALLS = """
read fs,fs_read_write fd:i buf:p count:z
write fs,fs_read_write fd:i buf:p count:z
open default,fs,fs_file_ops pathname:s flags:i mode:m
close default,fs,fs_file_ops fd:i
stat fs,fs_file_attr pathname:s statbuf:st
fstat fs,fs_file_attr fd:i statbuf:st
lstat fs,fs_file_attr pathname:s statbuf:st
poll fs,fs_mux_io fds:fds nfds:u timeout:i
lseek fs,fs_read_write fd:i offset:o whence:u
mmap proc,proc_mem addr:p length:z prot:i flags:i fd:i off:o
mprotect proc,proc_mem addr:p len:z prot:i
munmap proc,proc_mem addr:p length:z
brk proc,proc_mem addr:p
rt_sigaction signals signum:i act:p oldact:p sigsetsize:z
rt_sigprocmask signals how:i set:p oldset:p sigsetsize:z
rt_sigreturn signals
ioctl fs,fs_fd_ops fd:i request:ul arg:ul
pread64 fs,fs_read_write fd:i buf:p count:z offset:o
pwrite64 fs,fs_read_write fd:i buf:p count:z offset:o
readv fs,fs_read_write fd:i iov:iov iovcnt:i
writev fs,fs_read_write fd:i iov:iov iovcnt:i
access default,fs,fs_file_attr pathname:s mode:i
pipe ipc,ipc_pipe pipefd:ip
select fs,fs_mux_io nfds:i readfds:p writefds:p exceptfds:p timeout:p
sched_yield proc,proc_sched
mremap proc,proc_mem old_address:p old_size:z new_size:z flags:i new_address:p
msync fs,fs_sync addr:p length:z flags:i
mincore proc,proc_mem addr:p length:z vec:p
madvise proc,proc_mem addr:p length:z advice:i
shmget ipc,ipc_shm key:k size:z shmflg:i
shmat ipc,ipc_shm shmid:i shmaddr:p shmflg:i
shmctl ipc,ipc_shm shmid:i cmd:i buf:p
dup default,fs,fs_fd_ops oldfd:i
dup2 default,fs,fs_fd_ops oldfd:i newfd:i
pause signals
nanosleep time,time_timer req:t rem:t
getitimer time,time_timer which:i curr_value:p
alarm time,time_timer seconds:u
setitimer time,time_timer which:i new_value:p old_value:p
getpid proc,proc_ids
sendfile fs,fs_read_write out_fd:i in_fd:i offset:p count:z
socket default,net,net_sock domain:i type:i protocol:i
connect default,net,net_sock sockfd:i addr:a addrlen:i
accept default,net,net_sock sockfd:i addr:a addrlen:ip
sendto net,net_snd_rcv sockfd:i buf:p len:z flags:i dest_addr:a addrlen:i
recvfrom net,net_snd_rcv sockfd:i buf:p len:z flags:i src_addr:a addrlen:ip
sendmsg net,net_snd_rcv sockfd:i msg:msg flags:i
recvmsg net,net_snd_rcv sockfd:i msg:msg flags:i
shutdown net,net_sock sockfd:i how:i
bind default,net,net_sock sockfd:i addr:a addrlen:i
listen default,net,net_sock sockfd:i backlog:i
getsockname default,net,net_sock sockfd:i addr:a addrlen:ip
getpeername net,net_sock sockfd:i addr:a addrlen:ip
socketpair net,net_sock domain:i type:i protocol:i sv:ip
setsockopt net,net_sock sockfd:i level:i optname:i optval:p optlen:i
getsockopt net,net_sock sockfd:i level:i optname:i optval:p optlen:ip
clone default,proc,proc_life flags:ul stack:p parent_tid:ip child_tid:ip tls:ul
fork default,proc,proc_life
vfork default,proc,proc_life
execve default,proc,proc_life pathname:s argv:v envp:v
exit proc,proc_life status:i
wait4 proc,proc_life pid:pid wstatus:ip options:i rusage:p
kill default,signals pid:pid sig:i
uname system buf:p
semget ipc,ipc_sem key:k nsems:i semflg:i
semop ipc,ipc_sem semid:i sops:p nsops:z
semctl ipc,ipc_sem semid:i semnum:i cmd:i arg:ul
shmdt ipc,ipc_shm shmaddr:p
msgget ipc,ipc_msgq key:k msgflg:i
msgsnd ipc,ipc_msgq msqid:i msgp:p msgsz:z msgflg:i
msgrcv ipc,ipc_msgq msqid:i msgp:p msgsz:z msgtyp:l msgflg:i
msgctl ipc,ipc_msgq msqid:i cmd:i buf:p
fcntl fs,fs_fd_ops fd:i cmd:i arg:ul
flock fs,fs_fd_ops fd:i operation:i
fsync fs,fs_sync fd:i
fdatasync fs,fs_sync fd:i
truncate fs,fs_file_ops path:s length:o
ftruncate fs,fs_file_ops fd:i length:o
getdents default,fs,fs_dir_ops fd:i dirp:p count:u
getcwd fs,fs_dir_ops buf:s size:z
chdir fs,fs_dir_ops path:s
fchdir fs,fs_dir_ops fd:i
rename fs,fs_file_ops oldpath:s newpath:s
mkdir fs,fs_dir_ops pathname:s mode:m
rmdir fs,fs_dir_ops pathname:s
creat default,fs,fs_file_ops pathname:s mode:m
link fs,fs_link_ops oldpath:s newpath:s
unlink default,fs,fs_link_ops pathname:s
symlink default,fs,fs_link_ops target:s linkpath:s
readlink fs,fs_link_ops pathname:s buf:s bufsiz:z
chmod default,fs,fs_file_attr pathname:s mode:m
fchmod default,fs,fs_file_attr fd:i mode:m
chown default,fs,fs_file_attr pathname:s owner:uid group:gid
fchown default,fs,fs_file_attr fd:i owner:uid group:gid
lchown default,fs,fs_file_attr pathname:s owner:uid group:gid
umask fs,fs_file_attr mask:m
gettimeofday time,time_tod tv:p tz:p
getrlimit proc resource:i rlim:p
getrusage proc who:i usage:p
sysinfo system info:p
times proc buf:p
ptrace default,proc request:l pid:pid addr:p data:p
getuid proc,proc_ids
syslog system type:i bufp:s len:i
getgid proc,proc_ids
setuid default,proc,proc_ids uid:uid
setgid default,proc,proc_ids gid:gid
geteuid proc,proc_ids
getegid proc,proc_ids
setpgid proc,proc_ids pid:pid pgid:pid
getppid proc,proc_ids
getpgrp proc,proc_ids
setsid proc,proc_ids
setreuid default,proc,proc_ids ruid:uid euid:uid
setregid default,proc,proc_ids rgid:gid egid:gid
getgroups proc,proc_ids size:i list:p
setgroups proc,proc_ids size:i list:p
setresuid proc,proc_ids ruid:uid euid:uid suid:uid
getresuid proc,proc_ids ruid:p euid:p suid:p
setresgid proc,proc_ids rgid:gid egid:gid sgid:gid
getresgid proc,proc_ids rgid:p egid:p sgid:p
getpgid proc,proc_ids pid:pid
setfsuid default,proc,proc_ids fsuid:uid
setfsgid default,proc,proc_ids fsgid:gid
getsid proc,proc_ids pid:pid
capget proc hdrp:p datap:p
capset proc hdrp:p datap:p
rt_sigpending signals set:p sigsetsize:z
rt_sigtimedwait signals set:p info:p timeout:t sigsetsize:z
rt_sigqueueinfo signals tgid:pid sig:i info:p
rt_sigsuspend signals mask:p sigsetsize:z
sigaltstack signals ss:p old_ss:p
utime fs,fs_file_attr filename:s times:p
mknod default,fs,fs_file_ops pathname:s mode:m dev:d
uselib proc library:s
personality system persona:ul
ustat fs,fs_info dev:d ubuf:p
statfs fs,fs_info path:s buf:p
fstatfs fs,fs_info fd:i buf:p
sysfs fs,fs_info option:i
getpriority proc,proc_sched which:i who:i
setpriority proc,proc_sched which:i who:i prio:i
sched_setparam proc,proc_sched pid:pid param:p
sched_getparam proc,proc_sched pid:pid param:p
sched_setscheduler proc,proc_sched pid:pid policy:i param:p
sched_getscheduler proc,proc_sched pid:pid
sched_get_priority_max proc,proc_sched policy:i
sched_get_priority_min proc,proc_sched policy:i
sched_rr_get_interval proc,proc_sched pid:pid tp:t
mlock proc,proc_mem addr:p len:z
munlock proc,proc_mem addr:p len:z
mlockall proc,proc_mem flags:i
munlockall proc,proc_mem
vhangup system
modify_ldt proc,proc_mem func:i ptr:p bytecount:ul
pivot_root fs new_root:s put_old:s
sysctl system args:p
prctl default,proc option:i arg2:ul arg3:ul arg4:ul arg5:ul
arch_prctl proc option:i addr:ul
adjtimex time,time_clock buf:p
setrlimit proc resource:i rlim:p
chroot fs,fs_dir_ops path:s
sync fs,fs_sync
acct system filename:s
settimeofday time,time_tod tv:p tz:p
mount default,fs source:s target:s filesystemtype:s mountflags:ul data:p
umount2 default,fs target:s flags:i
swapon fs path:s swapflags:i
swapoff fs path:s
reboot system magic:i magic2:i cmd:i arg:p
sethostname net name:s len:z
setdomainname net name:s len:z
iopl system level:i
ioperm system from:ul num:ul turn_on:i
init_module default,system,system_module module_image:p len:ul param_values:s
delete_module default,system,system_module name:s flags:i
quotactl system cmd:i special:s id:i addr:p
gettid proc,proc_ids
readahead fs fd:i offset:o count:z
setxattr fs,fs_file_attr path:s name:s value:p size:z flags:i
lsetxattr fs,fs_file_attr path:s name:s value:p size:z flags:i
fsetxattr fs,fs_file_attr fd:i name:s value:p size:z flags:i
getxattr fs,fs_file_attr path:s name:s value:p size:z
lgetxattr fs,fs_file_attr path:s name:s value:p size:z
fgetxattr fs,fs_file_attr fd:i name:s value:p size:z
listxattr fs,fs_file_attr path:s list:s size:z
llistxattr fs,fs_file_attr path:s list:s size:z
flistxattr fs,fs_file_attr fd:i list:s size:z
removexattr fs,fs_file_attr path:s name:s
lremovexattr fs,fs_file_attr path:s name:s
fremovexattr fs,fs_file_attr fd:i name:s
tkill signals tid:i sig:i
time time,time_tod tloc:p
futex ipc,ipc_futex uaddr:ip futex_op:i val:i timeout:t uaddr2:ip val3:i
sched_setaffinity proc,proc_sched pid:pid cpusetsize:z mask:p
sched_getaffinity proc,proc_sched pid:pid cpusetsize:z mask:p
set_thread_area proc u_info:p
io_setup fs,fs_async_io nr_events:u ctx_idp:p
io_destroy fs,fs_async_io ctx_id:p
io_getevents fs,fs_async_io ctx_id:p min_nr:l nr:l events:p timeout:t
io_submit fs,fs_async_io ctx_id:p nr:l iocbpp:p
io_cancel fs,fs_async_io ctx_id:p iocb:p result:p
get_thread_area proc u_info:p
lookup_dcookie fs cookie:u64 buffer:s len:z
epoll_create fs,fs_mux_io size:i
remap_file_pages fs addr:p size:z prot:i pgoff:z flags:i
getdents64 default,fs,fs_dir_ops fd:u dirp:p count:u
set_tid_address proc tidptr:ip
restart_syscall signals
semtimedop ipc,ipc_sem semid:i sops:p nsops:z timeout:t
fadvise64 fs fd:i offset:o len:z advice:i
timer_create time,time_timer clockid:ck sevp:p timer_id:tm
timer_settime time,time_timer timer_id:tm flags:i new_value:p old_value:p
timer_gettime time,time_timer timer_id:tm curr_value:p
timer_getoverrun time,time_timer timer_id:tm
timer_delete time,time_timer timer_id:tm
clock_settime time,time_clock clockid:ck tp:t
clock_gettime time,time_clock clockid:ck tp:t
clock_getres time,time_clock clockid:ck res:t
clock_nanosleep time,time_clock clockid:ck flags:i request:t remain:t
exit_group proc,proc_life status:i
epoll_wait fs,fs_mux_io epfd:i events:p maxevents:i timeout:i
epoll_ctl fs,fs_mux_io epfd:i op:i fd:i event:p
tgkill signals tgid:i tid:i sig:i
utimes fs,fs_file_attr filename:s times:p
mbind system,system_numa addr:p len:ul mode:i nodemask:p maxnode:ul flags:u
set_mempolicy system,system_numa mode:i nodemask:p maxnode:ul
get_mempolicy system,system_numa mode:ip nodemask:p maxnode:ul addr:p flags:ul
mq_open ipc,ipc_msgq name:s oflag:i mode:m attr:p
mq_unlink ipc,ipc_msgq name:s
mq_timedsend ipc,ipc_msgq mqdes:mq msg_ptr:s msg_len:z msg_prio:u abs_timeout:t
mq_timedreceive ipc,ipc_msgq mqdes:mq msg_ptr:s msg_len:z msg_prio:p abs_timeout:t
mq_notify ipc,ipc_msgq mqdes:mq sevp:p
mq_getsetattr ipc,ipc_msgq mqdes:mq newattr:p oldattr:p
kexec_load system entry:ul nr_segments:ul segments:p flags:ul
waitid proc,proc_life idtype:i id:pid infop:p options:i rusage:p
add_key system,system_keys type:s description:s payload:p plen:z keyring:ks
request_key system,system_keys type:s description:s callout_info:s dest_keyring:ks
keyctl system,system_keys operation:i arg2:ul arg3:ul arg4:ul arg5:ul
ioprio_set proc,proc_sched which:i who:i ioprio:i
ioprio_get proc,proc_sched which:i who:i
inotify_init fs,fs_monitor
inotify_add_watch fs,fs_monitor fd:i pathname:s mask:u32
inotify_rm_watch fs,fs_monitor fd:i wd:i
migrate_pages system,system_numa pid:i maxnode:ul old_nodes:p new_nodes:p
openat default,fs,fs_file_ops dirfd:i pathname:s flags:i mode:m
mkdirat fs,fs_dir_ops dirfd:i pathname:s mode:m
mknodat default,fs,fs_file_ops dirfd:i pathname:s mode:m dev:d
fchownat default,fs,fs_file_attr dirfd:i pathname:s owner:uid group:gid flags:i
futimesat fs,fs_file_attr dirfd:i pathname:s times:p
newfstatat fs,fs_file_attr dirfd:i pathname:s statbuf:st flags:i
unlinkat default,fs,fs_link_ops dirfd:i pathname:s flags:i
renameat fs,fs_file_ops olddirfd:i oldpath:s newdirfd:i newpath:s
linkat fs,fs_link_ops olddirfd:i oldpath:s newdirfd:i newpath:s flags:u
symlinkat default,fs,fs_link_ops target:s newdirfd:i linkpath:s
readlinkat fs,fs_link_ops dirfd:i pathname:s buf:s bufsiz:i
fchmodat default,fs,fs_file_attr dirfd:i pathname:s mode:m flags:i
faccessat default,fs,fs_file_attr dirfd:i pathname:s mode:i flags:i
pselect6 fs,fs_mux_io nfds:i readfds:p writefds:p exceptfds:p timeout:t sigmask:p
ppoll fs,fs_mux_io fds:fds nfds:u tmo_p:t sigmask:p sigsetsize:z
unshare proc flags:i
set_robust_list ipc,ipc_futex head:p len:z
get_robust_list ipc,ipc_futex pid:i head_ptr:p len_ptr:p
splice ipc,ipc_pipe fd_in:i off_in:p fd_out:i off_out:p len:z flags:u
tee ipc,ipc_pipe fd_in:i fd_out:i len:z flags:u
sync_file_range fs,fs_sync fd:i offset:o nbytes:o flags:u
vmsplice ipc,ipc_pipe fd:i iov:iov nr_segs:ul flags:u
move_pages system,system_numa pid:i count:ul pages:p nodes:ip status:ip flags:i
utimensat fs,fs_file_attr dirfd:i pathname:s times:t flags:i
epoll_pwait fs,fs_mux_io epfd:i events:p maxevents:i timeout:i sigmask:p sigsetsize:z
signalfd signals fd:i sigmask:p flags:i
timerfd_create time,time_timer clockid:i flags:i
eventfd signals initval:u flags:i
fallocate fs,fs_file_ops fd:i mode:i offset:o len:o
timerfd_settime time,time_timer fd:i flags:i new_value:p old_value:p
timerfd_gettime time,time_timer fd:i curr_value:p
accept4 default,net,net_sock sockfd:i addr:a addrlen:ip flags:i
signalfd4 signals fd:i mask:p sizemask:z flags:i
eventfd2 signals initval:u flags:i
epoll_create1 fs,fs_mux_io flags:i
dup3 default,fs,fs_fd_ops oldfd:i newfd:i flags:i
pipe2 ipc,ipc_pipe pipefd:ip flags:i
inotify_init1 fs,fs_monitor flags:i
preadv fs,fs_read_write fd:i iov:iov iovcnt:ul pos_l:ul pos_h:ul
pwritev fs,fs_read_write fd:i iov:iov iovcnt:ul pos_l:ul pos_h:ul
rt_tgsigqueueinfo signals tgid:pid tid:pid sig:i info:p
perf_event_open system attr:p pid:pid cpu:i group_fd:i flags:ul
recvmmsg net,net_snd_rcv sockfd:i msgvec:p vlen:u flags:i timeout:t
fanotify_init fs,fs_monitor flags:u event_f_flags:u
fanotify_mark fs,fs_monitor fanotify_fd:i flags:u mask:u64 dirfd:i pathname:s
prlimit64 proc pid:pid resource:i new_limit:p old_limit:p
name_to_handle_at fs,fs_file_ops dirfd:i pathname:s handle:p mount_id:ip flags:i
open_by_handle_at default,fs,fs_file_ops mount_fd:i handle:p flags:i
clock_adjtime time,time_clock clk_id:ck buf:p
syncfs fs,fs_sync fd:i
sendmmsg net,net_snd_rcv sockfd:i msgvec:p vlen:u flags:i
setns proc fd:i nstype:i
getcpu system,system_numa cpu:p node:p tcache:p
process_vm_readv default,proc pid:pid local_iov:iov liovcnt:ul remote_iov:iov riovcnt:ul flags:ul
process_vm_writev default,proc pid:pid local_iov:iov liovcnt:ul remote_iov:iov riovcnt:ul flags:ul
kcmp proc pid1:pid pid2:pid type:i idx1:ul idx2:ul
finit_module default,system,system_module fd:i param_values:s flags:i
sched_setattr proc,proc_sched pid:pid attr:p flags:u
sched_getattr proc,proc_sched pid:pid attr:p size:u flags:u
renameat2 fs,fs_file_ops olddirfd:i oldpath:s newdirfd:i newpath:s flags:u
seccomp proc operation:u flags:u args:p
getrandom fs buf:p buflen:z flags:u
memfd_create default,fs,fs_file_ops name:s flags:u
kexec_file_load system kernel_fd:i initrd_fd:i cmdline_len:ul cmdline:s flags:ul
bpf default,system cmd:i attr:p size:u
execveat default,proc,proc_life dirfd:i pathname:s argv:v envp:v flags:i
userfaultfd system flags:i
membarrier proc,proc_mem cmd:i flags:i
mlock2 proc,proc_mem addr:p len:z flags:i
copy_file_range fs,fs_read_write fd_in:i off_in:p fd_out:i off_out:p len:z flags:u
preadv2 fs,fs_read_write fd:i iov:iov iovcnt:ul pos_l:ul pos_h:ul flags:i
pwritev2 fs,fs_read_write fd:i iov:iov iovcnt:ul pos_l:ul pos_h:ul flags:i
pkey_mprotect default,proc,proc_mem addr:p len:z prot:i pkey:i
pkey_alloc proc,proc_mem flags:u access_rights:ul
pkey_free proc,proc_mem pkey:i
statx fs,fs_file_attr dirfd:i pathname:s flags:i mask:u statxbuf:p
io_pgetevents fs,fs_async_io ctx_id:p min_nr:l nr:l events:p timeout:t usig:p
rseq proc rseq:p rseq_len:u32 flags:i sig:u32
pidfd_send_signal signals pidfd:i sig:i info:p flags:u
io_uring_setup fs entries:u p:p
io_uring_enter fs fd:u to_submit:u min_complete:u flags:u sig:p
io_uring_register fs fd:u opcode:u arg:p nr_args:u
open_tree fs dfd:i filename:s flags:u
move_mount default,fs from_dfd:i from_path:s to_dfd:i to_path:s flags:u
fsopen fs fsname:s flags:u
fsconfig fs fs_fd:i cmd:u key:s value:p aux:i
fsmount fs fsfd:i flags:u ms_flags:u
fspick fs dirfd:i pathname:s flags:u
pidfd_open proc pid:pid flags:u
clone3 default,proc,proc_life cl_args:p size:z
close_range fs first:u last:u flags:i
openat2 default,fs,fs_file_ops dirfd:i pathname:s how:p size:z
pidfd_getfd fs pidfd:i targetfd:i flags:u
faccessat2 fs,fs_file_attr fd:i path:s mode:i flag:i
process_madvise proc,proc_mem pidfd:i addr:p length:z advice:i flags:ul
epoll_pwait2 fs,fs_mux_io fd:i events:p maxevents:i timeout:t sigset:p
mount_setattr fs dfd:i path:s flags:u uattr:p usize:z
quotactl_fd system fd:u cmd:u id:i addr:p
landlock_create_ruleset proc,fs attr:p size:z flags:u32
landlock_add_rule proc,fs ruleset_fd:i rule_type:i rule_attr:p flags:u32
landlock_restrict_self proc,fs ruleset_fd:i flags:u32
memfd_secret proc,proc_mem flags:u
process_mrelease proc,proc_mem pidfd:i flags:u
futex_waitv ipc,ipc_futex waiters:p nr_futexes:u flags:u timeout:t clockid:i
set_mempolicy_home_node system,system_numa start:ul len:ul home_node:ul flags:ul
cachestat fs,fs_info fd:u cstat_range:p cstat:p flags:u
fchmodat2 fs,fs_file_attr dfd:i filename:s mode:m flags:u
map_shadow_stack proc,proc_mem addr:ul size:ul flags:u
"""


class Call(NamedTuple):
    """One system call: the names and types of its arguments in the order they are passed, and its sets."""

    name: str
    args: tuple[tuple[str, str], ...]
    sets: tuple[str, ...]


def _read(line: str) -> Call:
    name, _, rest = line.partition(" ")
    sets, *args = rest.split(" ")
    pairs = tuple((one.partition(":")[0], _TYPES[one.partition(":")[2]]) for one in args)
    return Call(name, pairs, ("syscalls", *sets.split(",")))


CALLS = {call.name: call for call in map(_read, _CALLS.strip().splitlines())}
"""Every system call that can be named."""
