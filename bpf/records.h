// What the kernel's side and the reader say to each other: records, hooks, clauses and counters. src/fairlead/sense/records.py
// mirrors it, and a test compares the two. All numbers are little endian; no field straddles its natural alignment.
#ifndef FAIRLEAD_RECORDS_H
#define FAIRLEAD_RECORDS_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;

// ---- records ------------------------------------------------------------------------------------------------------

// Kinds below 1024 are system call numbers of the machine.
enum fl_kind {
    FL_EXEC = 1024,       // long ring: head, fl_exec, texts
    FL_FORK = 1025,       // calls ring: args[0] child tgid, [1] child start, [2] parent tgid
    FL_EXIT = 1026,       // calls ring: the last thread of a process ended; ret the raw exit code, args[0] the signal
    FL_SIGNAL = 1027,     // args[0] signal, [1] receiver tgid, [2] si_code, [3] result
    FL_OOM = 1028,        // args[0] victim tgid, [1] its resident pages
    FL_MODULE = 1029,     // a kernel module was loaded; text 0 its name
    FL_SOCK_STATE = 1030, // args[0] old state, [1] new state; place.sock
    FL_SOCK_SEND = 1031,  // args[0] length; ret; place.sock
    FL_SKB_DROP = 1032,   // args[0] reason, [1] protocol; place.sock where known
    FL_CGROUP = 1033,     // args[0] 1 made, 0 removed, [1] its id; text 0 its path
    FL_MODULE_WANTED = 1034, // module_request; text 0 its name
    FL_PREVENTED = 1040,  // a cgroup hook said no: args[0] enum fl_hook_sort, place.sock
    FL_KPROBE = 1100,     // by slot: generic kprobe, kretprobe, fentry, fexit
    FL_UPROBE = 1101,     // by slot: generic uprobe, uretprobe, USDT
    FL_TRACEPOINT = 1102, // by slot: generic tracepoint
    FL_LSM = 1103,        // by slot: generic LSM hook
};

enum fl_flag {
    FL_ENTER = 1,      // seen at the entry, not at the return
    FL_CUT = 2,        // a text or buffer was longer than what is here
    FL_KILLED = 4,     // a clause sent a signal
    FL_DENIED = 8,     // a clause made the call fail
    FL_CONTAINED = 16, // another mount namespace than the host's first process
    FL_PLACE_FILE = 32,
    FL_PLACE_SOCK = 64,
    FL_SILENT = 128,   // only an action wanted it: not for the stream
};

struct fl_head {       // 88 bytes
    u64 time;          // ns since boot, CLOCK_BOOTTIME
    u64 start;         // start_boottime of the process' leader: (tgid, start) names a process for good
    u64 cgroup;        // id of the process' cgroup: inode number of its directory
    u64 clauses;       // bit i: clause i of the hook passed
    s64 ret;
    u32 tgid, tid;     // in the host's pid namespace
    u16 kind, slot;
    u32 flags;
    u32 uid, gid;      // effective
    char comm[16];
    u16 lens[4];       // of the texts, one after the other, without closing zeros
};

struct fl_file { u64 ino; u32 dev, mode, nlink, magic; u64 size; u32 fd, oflags; u32 pad[6]; };                 // 64
struct fl_sock { u16 family, type, proto, state, lport, rport; u32 fd; u8 laddr[16], raddr[16]; u32 netns; u32 pad[3]; };  // 64, ports host order
union fl_place { struct fl_file file; struct fl_sock sock; };

struct fl_call {       // 200 bytes: a record of the calls ring, and how those of the named and long rings begin
    struct fl_head head;
    u64 args[6];       // as passed; pointers too
    union fl_place place; // of the file descriptor or socket that it is about
};

#define FL_NAMED_TEXT 240
struct fl_named {      // 440 bytes: a record of the named ring
    struct fl_call call;
    char text[FL_NAMED_TEXT];
};

// A record of the long ring is fl_call (or fl_exec) and its texts, up to FL_LONG_TEXT bytes of each.
#define FL_LONG_TEXT 4096

struct fl_exec {       // 328 bytes after the fl_call of FL_EXEC; texts: exe path, working directory, arguments, environment
    u64 parent_start;
    u64 caps[5];       // effective, permitted, inheritable, bounding, ambient
    u64 exe_ino, exe_ctime, exe_mtime; // ns since the epoch
    u32 ppid, vpid, vppid, pgid, vpgid, sid, vsid, tty;
    u32 uid, gid, euid, egid, suid, sgid, fsuid, fsgid, loginuid, sessionid;
    u32 ns[10];        // uts ipc mnt pid pid_for_children net time time_for_children cgroup user
    u32 exe_dev, exe_mode, exe_nlink, exe_flags; // FL_EXE_*
    u32 exe_uid, secbits, argc, pad[29];
};
enum fl_exe { FL_EXE_UPPER = 1, FL_EXE_MEMFD = 2, FL_EXE_SETUID = 4, FL_EXE_SETGID = 8, FL_EXE_WRITABLE = 16 };

// ---- hooks and clauses --------------------------------------------------------------------------------------------

enum fl_arg {          // how an argument is understood
    FL_NONE = 0, FL_INT, FL_FD, FL_STRING, FL_PATH, FL_SOCKADDR, FL_BUFFER, FL_IOVEC, FL_MSGHDR, FL_DIRFD,
    FL_FDPATH, // a descriptor whose file's path is a text
    // of kernel functions (kprobe, fentry, LSM): pointers to kernel objects
    FL_K_FILE = 32, FL_K_PATH, FL_K_DENTRY, FL_K_SOCK, FL_K_SKB, FL_K_CRED, FL_K_BPRM, FL_K_STRING, FL_K_USERNS, FL_K_INODE,
    FL_K_SOCKADDR, FL_K_KIOCB, FL_K_LOADINFO, FL_K_MODULE, FL_K_SOCKET, FL_K_IOVITER,
};

enum fl_on { FL_OFF = 0, FL_ON, FL_ON_ANY };  // ANY: a system call without a tracepoint of its own, seen by the programs that see all

struct fl_hook {       // map `hooks`: slot -> this
    u16 kind;
    u8 enter;          // 1: at the entry
    u8 on;             // enum fl_on
    u8 args[6];        // enum fl_arg; texts are taken in this order, of which the first four count
    u8 ret;            // FL_NONE, FL_INT or FL_FD (its file is the place, and its path the first text)
    u8 about;          // 1 + the index of the FL_FD argument that the place is of; 0: the return value's, or none
    u8 sizes[6];       // for FL_BUFFER: 1 + the index of the argument that holds its length; 7: the return value
    u16 clauses;       // how many; 0: every event passes
    u32 limit;         // most bytes of a buffer
    u32 pad;
};

enum fl_what {
    FL_W_ARG = 0,      // + index
    FL_W_RET = 8, FL_W_UID, FL_W_GID, FL_W_TGID, FL_W_TID, FL_W_VPID, FL_W_CGROUP, FL_W_CONTAINED,
    FL_W_COMM,         // text, 16 bytes
    FL_W_EXE,          // bits: the sets that the process' executable is in; value is the set's bit
    FL_W_PEXE,         // the same of its parent
    FL_W_TEXT,         // + index (4): texts of the record
    FL_W_NS = 24,      // + 0..9 as in fl_exec.ns
    FL_W_CAP_EFF = 40, FL_W_CAP_PERM, FL_W_CAP_INH,
    FL_W_FAMILY, FL_W_SOCKTYPE, FL_W_PROTO, FL_W_STATE, FL_W_LPORT, FL_W_RPORT, FL_W_LADDR, FL_W_RADDR,
    FL_W_FILEMODE, FL_W_OFLAGS,
};

enum fl_op {
    FL_EQ = 0, FL_NE, FL_LT, FL_LE, FL_GT, FL_GE,  // signed
    FL_ANYBITS, FL_ALLBITS, FL_NOBITS,
    FL_INSET, FL_NOTINSET,       // numbers: map `numbers` {set, value}
    FL_TEXT_IN, FL_TEXT_NOTIN,   // map `words`   {set, hash}: 64-bit FNV-1a of the whole text, and its length
    FL_PREFIX, FL_NOTPREFIX,     // map `prefixes` (LPM trie) {bits, set, 120 bytes}
    FL_SUFFIX, FL_NOTSUFFIX,     // the same map, of the text turned round, under another set
    FL_NET, FL_NOTNET,           // map `networks` (LPM trie) {bits, set, family, 16 bytes}
    FL_RELATIVE,                 // the text does not begin with a slash
    FL_LTU, FL_LEU, FL_GTU, FL_GEU,
    FL_CONTAINS,                 // the text has the bytes of `value` (1 to 8, `mask` says how many) in it, within its first 240
};

struct fl_test { u8 what, op; u16 set; u32 shared; u64 value, mask; };   // 24; the operand is masked first where mask is not 0 (not in CONTAINS)
// `shared`: 1 to 63, the same for equal tests of one hook's clauses, which are then tried once an event; 0: tried each time. Tests of a
// clause that acts are not shared with those of one that posts (texts that are not whole count differently).
#define FL_TESTS 8
struct fl_clause {     // map `clauses`: slot * 64 + index -> this; a clause passes when all its tests do
    u8 tests;
    u8 signal;         // sent to the thread's process when it passes; 0: none
    u8 deny;           // errno to fail with, where the hook can (cgroup, LSM, fmod_ret); 0: none
    u8 silent;         // do not post
    u32 rate;          // at most one record in so many ms; 0: no limit
    u64 shared;        // bits of the tests in it that have one: a clause is skipped once one of them has failed
    struct fl_test test[FL_TESTS];
};
#define FL_CLAUSES 64
#define FL_SLOTS 512

enum fl_hook_sort { FL_CONNECT4 = 1, FL_CONNECT6, FL_BIND4, FL_BIND6, FL_SENDMSG4, FL_SENDMSG6, FL_SOCK_CREATE };

// ---- counters: map `counters` (per CPU array): class * 4 + what ---------------------------------------------------
enum fl_class { FL_C_PROCESS = 0, FL_C_CALLS, FL_C_NAMED, FL_C_LONG, FL_C_ALERTS, FL_C_RECORDER, FL_CLASSES };
enum fl_count { FL_SEEN = 0, FL_SENT, FL_DROPPED, FL_RATED };

// ---- the flight recorder: map `flights` {cgroup, slot of FL_FLIGHT} -> this; `flight_heads` cgroup -> u64 count ----------
#define FL_FLIGHT 32
struct fl_flight {     // 288 bytes
    u64 time, cgroup;
    u32 tgid, tid;
    u16 kind;          // system call number, FL_OOM, FL_SIGNAL or FL_EXIT
    u16 len;           // of text
    s32 error;         // errno, signal or raw exit code
    u32 count, uid;    // how often in a row
    u64 last;          // time of the last of them
    char comm[16];
    struct { u16 family, port; u8 addr[16]; u32 pad; } peer; // 24
    char text[200];    // path as passed
};
#endif
