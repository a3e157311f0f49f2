"""Numbers of the kernel in words: flags, commands, modes, errors, signals, capabilities. Data and how to print it, in the order and words of Falco."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def _list(text: str) -> list[str]:
    return text.split()


def _table(text: str) -> tuple[tuple[str, int], ...]:
    return tuple(
        (name, int(number, 0)) for name, _, number in (piece.partition("=") for piece in text.split())
    )


OPEN = _table(
    "O_LARGEFILE=0x8000 O_DIRECTORY=0x10000 O_DIRECT=0x4000 O_TRUNC=0x200 O_SYNC=0x101000 O_NONBLOCK=0x800 O_EXCL=0x80 O_DSYNC=0x1000"
    " O_APPEND=0x400 O_CREAT=0x40 O_RDWR=2 O_WRONLY=1 O_RDONLY=0 O_CLOEXEC=0x80000 O_TMPFILE=0x400000"
)
"""Flags of open on x86_64; see `open_flags`, since the lowest two bits are no flags."""
OPEN_ELSEWHERE: Mapping[str, int] = {
    "O_DIRECTORY": 0x4000,
    "O_DIRECT": 0x10000,
    "O_LARGEFILE": 0x20000,
    "O_NOFOLLOW": 0x8000,
}
"""What aarch64 calls otherwise."""
CLONE = _table(
    "CLONE_FILES=0x400 CLONE_FS=0x200 CLONE_IO=0x80000000 CLONE_NEWIPC=0x08000000 CLONE_NEWNET=0x40000000 CLONE_NEWNS=0x00020000"
    " CLONE_NEWPID=0x20000000 CLONE_NEWUTS=0x04000000 CLONE_PARENT=0x8000 CLONE_PARENT_SETTID=0x00100000 CLONE_PTRACE=0x2000"
    " CLONE_SIGHAND=0x800 CLONE_SYSVSEM=0x00040000 CLONE_THREAD=0x00010000 CLONE_UNTRACED=0x00800000 CLONE_VM=0x100"
    " CLONE_NEWUSER=0x10000000 CLONE_CHILD_CLEARTID=0x00200000 CLONE_CHILD_SETTID=0x01000000 CLONE_SETTLS=0x00080000"
    " CLONE_VFORK=0x4000 CLONE_NEWCGROUP=0x02000000"
)
MOUNT = _table(
    "RDONLY=1 NOSUID=2 NODEV=4 NOEXEC=8 SYNCHRONOUS=16 REMOUNT=32 MANDLOCK=64 DIRSYNC=128 NOATIME=1024 NODIRATIME=2048 BIND=4096 MOVE=8192"
    " REC=16384 SILENT=32768 POSIXACL=0x10000 UNBINDABLE=0x20000 PRIVATE=0x40000 SLAVE=0x80000 SHARED=0x100000 RELATIME=0x200000"
    " KERNMOUNT=0x400000 I_VERSION=0x800000 STRICTATIME=0x1000000 LAZYTIME=0x2000000 NOSEC=0x10000000 BORN=0x20000000"
    " ACTIVE=0x40000000 NOUSER=0x80000000"
)
UMOUNT = _table("FORCE=1 DETACH=2 EXPIRE=4 NOFOLLOW=8")
PROT = _table(
    "PROT_READ=1 PROT_WRITE=2 PROT_EXEC=4 PROT_SEM=8 PROT_GROWSDOWN=0x01000000 PROT_GROWSUP=0x02000000 PROT_NONE=0"
)
MMAP = _table(
    "MAP_SHARED=1 MAP_PRIVATE=2 MAP_FIXED=16 MAP_ANONYMOUS=32 MAP_32BIT=64 MAP_NORESERVE=0x4000 MAP_POPULATE=0x8000 MAP_NONBLOCK=0x10000"
    " MAP_GROWSDOWN=0x100 MAP_DENYWRITE=0x800 MAP_EXECUTABLE=0x1000 MAP_LOCKED=0x2000"
)
MODE = _table(
    "S_IXOTH=1 S_IWOTH=2 S_IROTH=4 S_IXGRP=8 S_IWGRP=16 S_IRGRP=32 S_IXUSR=64 S_IWUSR=128 S_IRUSR=256 S_ISVTX=512 S_ISGID=1024 S_ISUID=2048"
)
NODE_TYPES = {
    0o100000: "S_IFREG",
    0o020000: "S_IFCHR",
    0o060000: "S_IFBLK",
    0o010000: "S_IFIFO",
    0o140000: "S_IFSOCK",
}
ACCESS = _table("F_OK=0 R_OK=4 W_OK=2 X_OK=1")
UNLINKAT = _table("AT_REMOVEDIR=0x200")
LINKAT = _table("AT_SYMLINK_FOLLOW=0x400 AT_EMPTY_PATH=0x1000")
FCHOWNAT = _table("AT_SYMLINK_NOFOLLOW=0x100 AT_EMPTY_PATH=0x1000")
EXECVEAT = _table("AT_EMPTY_PATH=0x1000 AT_SYMLINK_NOFOLLOW=0x100")
RENAMEAT2 = _table("RENAME_NOREPLACE=1 RENAME_EXCHANGE=2 RENAME_WHITEOUT=4")
RESOLVE = _table(
    "RESOLVE_BENEATH=8 RESOLVE_IN_ROOT=16 RESOLVE_NO_MAGICLINKS=2 RESOLVE_NO_SYMLINKS=4 RESOLVE_NO_XDEV=1 RESOLVE_CACHED=32"
)
EXECVE = _table("EXE_WRITABLE=1 EXE_UPPER_LAYER=2 EXE_FROM_MEMFD=4 EXE_LOWER_LAYER=8")
FLOCK = _table("LOCK_SH=1 LOCK_EX=2 LOCK_NB=4 LOCK_UN=8")
SPLICE = _table("SPLICE_F_MOVE=1 SPLICE_F_NONBLOCK=2 SPLICE_F_MORE=4 SPLICE_F_GIFT=8")
MEMFD = _table("MFD_CLOEXEC=1 MFD_ALLOW_SEALING=2 MFD_HUGETLB=4 MFD_NOEXEC_SEAL=8 MFD_EXEC=16")
MLOCKALL = _table("MCL_CURRENT=1 MCL_FUTURE=2 MCL_ONFAULT=4")
MLOCK2 = _table("MLOCK_ONFAULT=1")
PIDFD = _table("PIDFD_NONBLOCK=0x800")
EPOLL_CREATE = _table("EPOLL_CLOEXEC=0x80000")
URING_ENTER = _table(
    "IORING_ENTER_GETEVENTS=1 IORING_ENTER_SQ_WAKEUP=2 IORING_ENTER_SQ_WAIT=4 IORING_ENTER_EXT_ARG=8"
)
MODULE_INIT = _table(
    "MODULE_INIT_IGNORE_MODVERSIONS=1 MODULE_INIT_IGNORE_VERMAGIC=2 MODULE_INIT_COMPRESSED_FILE=4"
)
DELETE_MODULE = _table("O_NONBLOCK=0x800 O_TRUNC=0x200")


def _values(text: str) -> dict[int, str]:
    return {number: name for name, number in _table(text)}


FAMILIES = _values(
    "AF_UNSPEC=0 AF_UNIX=1 AF_INET=2 AF_AX25=3 AF_IPX=4 AF_APPLETALK=5 AF_NETROM=6 AF_BRIDGE=7 AF_ATMPVC=8 AF_X25=9 AF_INET6=10 AF_ROSE=11"
    " AF_DECnet=12 AF_NETBEUI=13 AF_SECURITY=14 AF_KEY=15 AF_NETLINK=16 AF_PACKET=17 AF_ASH=18 AF_ECONET=19 AF_ATMSVC=20 AF_RDS=21 AF_SNA=22"
    " AF_IRDA=23 AF_PPPOX=24 AF_WANPIPE=25 AF_LLC=26 AF_CAN=29 AF_TIPC=30 AF_BLUETOOTH=31 AF_IUCV=32 AF_RXRPC=33 AF_ISDN=34 AF_PHONET=35"
    " AF_IEEE802154=36 AF_CAIF=37 AF_ALG=38 AF_NFC=39 AF_VSOCK=40 AF_XDP=44"
)
SOCKET_TYPES = _values(
    "SOCK_STREAM=1 SOCK_DGRAM=2 SOCK_RAW=3 SOCK_RDM=4 SOCK_SEQPACKET=5 SOCK_DCCP=6 SOCK_PACKET=10"
)
SHUTDOWN = _values("SHUT_RD=0 SHUT_WR=1 SHUT_RDWR=2")
WHENCE = _values("SEEK_SET=0 SEEK_CUR=1 SEEK_END=2")
RLIMITS = _values(
    "RLIMIT_CPU=0 RLIMIT_FSIZE=1 RLIMIT_DATA=2 RLIMIT_STACK=3 RLIMIT_CORE=4 RLIMIT_RSS=5 RLIMIT_NPROC=6 RLIMIT_NOFILE=7 RLIMIT_MEMLOCK=8"
    " RLIMIT_AS=9 RLIMIT_LOCKS=10 RLIMIT_SIGPENDING=11 RLIMIT_MSGQUEUE=12 RLIMIT_NICE=13 RLIMIT_RTPRIO=14 RLIMIT_RTTIME=15"
)
FCNTL = _values(
    "F_DUPFD=0 F_GETFD=1 F_SETFD=2 F_GETFL=3 F_SETFL=4 F_GETLK=5 F_SETLK=6 F_SETLKW=7 F_SETOWN=8 F_GETOWN=9 F_SETSIG=10 F_GETSIG=11"
    " F_SETOWN_EX=15 F_GETOWN_EX=16 F_OFD_GETLK=36 F_OFD_SETLK=37 F_OFD_SETLKW=38 F_SETLEASE=1024 F_GETLEASE=1025 F_NOTIFY=1026"
    " F_CANCELLK=1029 F_DUPFD_CLOEXEC=1030 F_SETPIPE_SZ=1031 F_GETPIPE_SZ=1032"
)
PTRACE = _values(
    "PTRACE_TRACEME=0 PTRACE_PEEKTEXT=1 PTRACE_PEEKDATA=2 PTRACE_PEEKUSR=3 PTRACE_POKETEXT=4 PTRACE_POKEDATA=5 PTRACE_POKEUSR=6 PTRACE_CONT=7"
    " PTRACE_KILL=8 PTRACE_SINGLESTEP=9 PTRACE_GETREGS=12 PTRACE_SETREGS=13 PTRACE_GETFPREGS=14 PTRACE_SETFPREGS=15 PTRACE_ATTACH=16"
    " PTRACE_DETACH=17 PTRACE_GETFPXREGS=18 PTRACE_SETFPXREGS=19 PTRACE_OLDSETOPTIONS=21 PTRACE_SYSCALL=24 PTRACE_GET_THREAD_AREA=25"
    " PTRACE_SET_THREAD_AREA=26 PTRACE_ARCH_PRCTL=30 PTRACE_SYSEMU=31 PTRACE_SYSEMU_SINGLESTEP=32 PTRACE_SINGLEBLOCK=33"
    " PTRACE_SETOPTIONS=0x4200 PTRACE_GETEVENTMSG=0x4201 PTRACE_GETSIGINFO=0x4202 PTRACE_SETSIGINFO=0x4203 PTRACE_GETREGSET=0x4204"
    " PTRACE_SETREGSET=0x4205 PTRACE_SEIZE=0x4206 PTRACE_INTERRUPT=0x4207 PTRACE_LISTEN=0x4208 PTRACE_PEEKSIGINFO=0x4209"
    " PTRACE_GETSIGMASK=0x420a PTRACE_SETSIGMASK=0x420b"
)
PRCTL = _values(
    "PR_SET_PDEATHSIG=1 PR_GET_PDEATHSIG=2 PR_GET_DUMPABLE=3 PR_SET_DUMPABLE=4 PR_GET_KEEPCAPS=7 PR_SET_KEEPCAPS=8 PR_SET_NAME=15"
    " PR_GET_NAME=16 PR_GET_SECCOMP=21 PR_SET_SECCOMP=22 PR_CAPBSET_READ=23 PR_CAPBSET_DROP=24 PR_GET_SECUREBITS=27 PR_SET_SECUREBITS=28"
    " PR_MCE_KILL=33 PR_SET_MM=35 PR_SET_CHILD_SUBREAPER=36 PR_GET_CHILD_SUBREAPER=37 PR_SET_NO_NEW_PRIVS=38 PR_GET_NO_NEW_PRIVS=39"
    " PR_GET_TID_ADDRESS=40 PR_SET_THP_DISABLE=41 PR_GET_THP_DISABLE=42 PR_CAP_AMBIENT=47"
)
BPF = dict(
    enumerate(
        _list(
            "BPF_MAP_CREATE BPF_MAP_LOOKUP_ELEM BPF_MAP_UPDATE_ELEM BPF_MAP_DELETE_ELEM BPF_MAP_GET_NEXT_KEY BPF_PROG_LOAD BPF_OBJ_PIN BPF_OBJ_GET"
            " BPF_PROG_ATTACH BPF_PROG_DETACH BPF_PROG_TEST_RUN BPF_PROG_GET_NEXT_ID BPF_MAP_GET_NEXT_ID BPF_PROG_GET_FD_BY_ID BPF_MAP_GET_FD_BY_ID"
            " BPF_OBJ_GET_INFO_BY_FD BPF_PROG_QUERY BPF_RAW_TRACEPOINT_OPEN BPF_BTF_LOAD BPF_BTF_GET_FD_BY_ID BPF_TASK_FD_QUERY"
            " BPF_MAP_LOOKUP_AND_DELETE_ELEM BPF_MAP_FREEZE BPF_BTF_GET_NEXT_ID BPF_MAP_LOOKUP_BATCH BPF_MAP_LOOKUP_AND_DELETE_BATCH"
            " BPF_MAP_UPDATE_BATCH BPF_MAP_DELETE_BATCH BPF_LINK_CREATE BPF_LINK_UPDATE BPF_LINK_GET_FD_BY_ID BPF_LINK_GET_NEXT_ID BPF_ENABLE_STATS"
            " BPF_ITER_CREATE BPF_LINK_DETACH BPF_PROG_BIND_MAP BPF_TOKEN_CREATE"
        )
    )
)
FSCONFIG = dict(
    enumerate(
        _list(
            "FSCONFIG_SET_FLAG FSCONFIG_SET_STRING FSCONFIG_SET_BINARY FSCONFIG_SET_PATH FSCONFIG_SET_PATH_EMPTY FSCONFIG_SET_FD"
            " FSCONFIG_CMD_CREATE FSCONFIG_CMD_RECONFIGURE"
        )
    )
)
SOCKET_LEVELS = {1: "SOL_SOCKET", 6: "SOL_TCP"}
SOCKET_OPTIONS = _values(
    "SO_DEBUG=1 SO_REUSEADDR=2 SO_TYPE=3 SO_ERROR=4 SO_DONTROUTE=5 SO_BROADCAST=6 SO_SNDBUF=7 SO_RCVBUF=8 SO_KEEPALIVE=9 SO_OOBINLINE=10"
    " SO_NO_CHECK=11 SO_PRIORITY=12 SO_LINGER=13 SO_BSDCOMPAT=14 SO_REUSEPORT=15 SO_PASSCRED=16 SO_PEERCRED=17 SO_RCVLOWAT=18 SO_SNDLOWAT=19"
    " SO_RCVTIMEO=20 SO_SNDTIMEO=21 SO_BINDTODEVICE=25 SO_ATTACH_FILTER=26 SO_DETACH_FILTER=27 SO_PEERNAME=28 SO_TIMESTAMP=29"
    " SO_ACCEPTCONN=30 SO_PEERSEC=31 SO_SNDBUFFORCE=32 SO_RCVBUFFORCE=33 SO_PASSSEC=34 SO_TIMESTAMPNS=35 SO_MARK=36 SO_TIMESTAMPING=37"
    " SO_PROTOCOL=38 SO_DOMAIN=39 SO_RXQ_OVFL=40 SO_WIFI_STATUS=41 SO_PEEK_OFF=42 SO_NOFCS=43 SO_LOCK_FILTER=44 SO_SELECT_ERR_QUEUE=45"
    " SO_BUSY_POLL=46 SO_MAX_PACING_RATE=47 SO_BPF_EXTENSIONS=48 SO_INCOMING_CPU=49 SO_ATTACH_BPF=50 SO_COOKIE=57 SO_PEERGROUPS=59"
)
SECCOMP = {
    0: "SECCOMP_SET_MODE_STRICT",
    1: "SECCOMP_SET_MODE_FILTER",
    2: "SECCOMP_GET_ACTION_AVAIL",
    3: "SECCOMP_GET_NOTIF_SIZES",
}

CAPABILITIES = tuple(
    _list(
        "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_LINUX_IMMUTABLE"
        " CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO"
        " CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG"
        " CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM"
        " CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE"
    )
)
"""Names of capabilities, by number."""

SIGNALS = dict(
    enumerate(
        _list(
            "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD"
            " SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS"
        ),
        1,
    )
)
_ERRORS = (
    "EPERM=Operation not permitted|ENOENT=No such file or directory|ESRCH=No such process|EINTR=Interrupted system call|EIO=Input/output error"
    "|ENXIO=No such device or address|E2BIG=Argument list too long|ENOEXEC=Exec format error|EBADF=Bad file descriptor|ECHILD=No child processes"
    "|EAGAIN=Resource temporarily unavailable|ENOMEM=Cannot allocate memory|EACCES=Permission denied|EFAULT=Bad address"
    "|ENOTBLK=Block device required|EBUSY=Device or resource busy|EEXIST=File exists|EXDEV=Invalid cross-device link|ENODEV=No such device"
    "|ENOTDIR=Not a directory|EISDIR=Is a directory|EINVAL=Invalid argument|ENFILE=Too many open files in system|EMFILE=Too many open files"
    "|ENOTTY=Inappropriate ioctl for device|ETXTBSY=Text file busy|EFBIG=File too large|ENOSPC=No space left on device|ESPIPE=Illegal seek"
    "|EROFS=Read-only file system|EMLINK=Too many links|EPIPE=Broken pipe|EDOM=Numerical argument out of domain"
    "|ERANGE=Numerical result out of range|EDEADLK=Resource deadlock avoided|ENAMETOOLONG=File name too long|ENOLCK=No locks available"
    "|ENOSYS=Function not implemented|ENOTEMPTY=Directory not empty|ELOOP=Too many levels of symbolic links"
)
_LATER = (
    "42 ENOMSG=No message of desired type|43 EIDRM=Identifier removed|61 ENODATA=No data available|62 ETIME=Timer expired"
    "|71 EPROTO=Protocol error|72 EMULTIHOP=Multihop attempted|74 EBADMSG=Bad message|75 EOVERFLOW=Value too large for defined data type"
    "|84 EILSEQ=Invalid or incomplete multibyte or wide character|87 EUSERS=Too many users|88 ENOTSOCK=Socket operation on non-socket"
    "|89 EDESTADDRREQ=Destination address required|90 EMSGSIZE=Message too long|91 EPROTOTYPE=Protocol wrong type for socket"
    "|92 ENOPROTOOPT=Protocol not available|93 EPROTONOSUPPORT=Protocol not supported|94 ESOCKTNOSUPPORT=Socket type not supported"
    "|95 EOPNOTSUPP=Operation not supported|96 EPFNOSUPPORT=Protocol family not supported|97 EAFNOSUPPORT=Address family not supported by protocol"
    "|98 EADDRINUSE=Address already in use|99 EADDRNOTAVAIL=Cannot assign requested address|100 ENETDOWN=Network is down"
    "|101 ENETUNREACH=Network is unreachable|102 ENETRESET=Network dropped connection on reset|103 ECONNABORTED=Software caused connection abort"
    "|104 ECONNRESET=Connection reset by peer|105 ENOBUFS=No buffer space available|106 EISCONN=Transport endpoint is already connected"
    "|107 ENOTCONN=Transport endpoint is not connected|108 ESHUTDOWN=Cannot send after transport endpoint shutdown"
    "|110 ETIMEDOUT=Connection timed out|111 ECONNREFUSED=Connection refused|112 EHOSTDOWN=Host is down|113 EHOSTUNREACH=No route to host"
    "|114 EALREADY=Operation already in progress|115 EINPROGRESS=Operation now in progress|116 ESTALE=Stale file handle"
    "|122 EDQUOT=Disk quota exceeded|123 ENOMEDIUM=No medium found|125 ECANCELED=Operation canceled|126 ENOKEY=Required key not available"
    "|127 EKEYEXPIRED=Key has expired|128 EKEYREVOKED=Key has been revoked|129 EKEYREJECTED=Key was rejected by service"
    "|512 ERESTARTSYS=Interrupted, to be restarted|513 ERESTARTNOINTR=Interrupted, to be restarted|514 ERESTARTNOHAND=Interrupted"
    "|516 ERESTART_RESTARTBLOCK=Interrupted, to be restarted"
)


def _errors() -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for number, piece in enumerate(_ERRORS.split("|"), 1):
        name, _, text = piece.partition("=")
        found[number] = (name, text)
    for piece in _LATER.split("|"):
        code, _, rest = piece.partition(" ")
        name, _, text = rest.partition("=")
        found[int(code)] = (name, text)
    return found


ERRORS: Mapping[int, tuple[str, str]] = _errors()
"""errno -> its name and what strerror says."""
NUMBERS_OF_ERRORS: Mapping[str, int] = {name: number for number, (name, _) in ERRORS.items()}


def error_name(number: int) -> str:
    """Return ENOENT for 2 (or -2); the number as text where it has no name."""
    known = ERRORS.get(abs(number))
    return known[0] if known else str(abs(number))


def error_text(number: int) -> str:
    """Return `ENOENT (No such file or directory)` for 2 (or -2)."""
    known = ERRORS.get(abs(number))
    return f"{known[0]} ({known[1]})" if known else f"error {abs(number)}"


def signal_name(number: int) -> str:
    """Return SIGKILL for 9; SIGRT<n> for real-time signals."""
    return SIGNALS.get(number) or (f"SIGRT{number - 34}" if number >= 34 else str(number))


def words(table: Sequence[tuple[str, int]], value: int) -> str:
    """Return the names of the flags that are set, joined by `|` in the table's order; a flag whose bits another one covered is left out."""
    if not value:
        return next((name for name, bit in table if not bit), "")
    found = []
    left = value
    for name, bit in table:
        if bit and left & bit == bit:
            found.append(name)
            left &= ~bit
    return "|".join(found)


def open_flags(value: int) -> str:
    """Return what open was asked for in words: O_TRUNC|O_CREAT|O_WRONLY. The access mode is always there."""
    found = []
    mode = value & 3
    left = value & ~3
    for name, bit in OPEN:
        if name in {"O_RDWR", "O_WRONLY", "O_RDONLY"}:
            if mode == bit:
                found.append(name)
        elif left & bit == bit:
            found.append(name)
            left &= ~bit
    return "|".join(found)


_HERE = {"O_DIRECTORY": 0x10000, "O_DIRECT": 0x4000, "O_LARGEFILE": 0x8000, "O_NOFOLLOW": 0x20000}


def open_flags_of_aarch64(value: int) -> int:
    """Return flags of open as x86_64 numbers them, from those of aarch64."""
    found = value & ~sum(OPEN_ELSEWHERE.values())
    for name, bit in OPEN_ELSEWHERE.items():
        if value & bit:
            found |= _HERE[name]
    return found


def capabilities(bits: int) -> str:
    """Return the names of capabilities, joined by blanks in the order of their numbers."""
    return " ".join(name for at, name in enumerate(CAPABILITIES) if bits >> at & 1)
