// What the objects hold: every program and every map by name. The loader codes against this page, and a test compares the objects with it.
//
// Three objects, each built for x86_64 and arm64 (src/fairlead/drivers/kernel/objects/<x86_64|arm64>/<name>.bpf.o):
//   sensor.bpf.o   every program that listens, and all maps. Programs are loaded by choice (bpf_program__set_autoload).
//   probes.bpf.o   kprobe, kretprobe, fentry, fexit, fmod_ret, LSM. Not exercised here: written for kernels that have them.
//   prevent.bpf.o  cgroup hooks that refuse.
// probes and prevent declare the same maps (bpf/maps.h): give them sensor's by bpf_map__reuse_fd before loading, for every name.
//
// ---- programs of sensor.bpf.o --------------------------------------------------------------------------------------
// name           section                         what it is for; what it needs
// exec           tp_btf/sched_process_exec       FL_EXEC; runs the clauses of slot 0
// fork           tp_btf/sched_process_fork       FL_FORK
// exit           tp_btf/sched_process_exit       FL_EXIT; the recorder's exits
// exec_raw       raw_tp/sched_process_exec       the same three for kernels that refuse tp_btf: load one of each pair
// fork_raw       raw_tp/sched_process_fork
// exit_raw       raw_tp/sched_process_exit
// leave          tp                              any system call's return: attach to syscalls/sys_exit_X of each X in `leaving`
// enter          tp                              any system call's entry: syscalls/sys_enter_X of each X in `entering`
// leave_any      tp_btf/sys_exit                 instead of `leave` and `enter`, where the kernel lacks syscalls/*: sees every call, so
// enter_any      tp_btf/sys_enter                it is dearer; 32-bit calls are left out as they are by syscalls/*
// lacking        tp_btf/sys_enter                instead of `leave`, for calls that this kernel does not have: told as failed with ENOSYS
// signal         tp_btf/signal_generate          FL_SIGNAL
// oom            tp_btf/mark_victim              FL_OOM, with the victim's cgroup; kernels from 6.8 (the argument is a task)
// oom_pid        tracepoint/oom/mark_victim      the same for older kernels: head.cgroup is the one where memory was asked for
// module         tp_btf/module_load              FL_MODULE
// module_wanted  tp_btf/module_request           FL_MODULE_WANTED; absent from kernels without CONFIG_MODULES
// sock_state     tp_btf/inet_sock_set_state      FL_SOCK_STATE; the recorder's failed connections
// sock_send      tp_btf/sock_send_length         FL_SOCK_SEND; kernels from 6.3
// skb_drop       tp_btf/kfree_skb                FL_SKB_DROP
// cgroup_made    tp_btf/cgroup_mkdir             FL_CGROUP
// cgroup_gone    tp_btf/cgroup_rmdir             FL_CGROUP
// uprobe         uprobe/slot                     FL_UPROBE, cookie = slot (5.15); arguments from registers
// uretprobe      uretprobe/slot                  FL_UPROBE, cookie = slot; head.ret
// usdt           usdt/slot                       FL_UPROBE, usdt_cookie = slot (bpf_program__attach_usdt)
// tracepoint     tp                              FL_TRACEPOINT, cookie = slot; where its fields are: map `layouts`
// raw            raw_tp                          FL_TRACEPOINT, cookie = slot (6.10); arguments as the kernel passes them
// flight         tp                              the recorder: attach to syscalls/sys_exit_X of each call that it shall keep failures of
//
// Programs of probes.bpf.o, all by slot: `kprobe` kprobe, `kretprobe` kretprobe, `kdeny` kprobe (bpf_override_return), by cookie; `fentry`
// fentry, `fexit` fexit, `fmodify` fmod_ret, `guard` lsm, by cookie (5.19) and with bpf_program__set_attach_target before each load.
//
// ---- maps ----------------------------------------------------------------------------------------------------------
// name          type            key                    value             entries (may be set before loading where marked *)
// settings      array           u32 0                  fl_settings       1
// hooks         array           u32 slot               fl_hook           FL_SLOTS
// layouts       array           u32 slot               fl_layout         FL_SLOTS
// entering      array           u32 system call        u32 slot + 1      1024
// leaving       array           u32 system call        u32 slot + 1      1024
// fixed         array           u32 kind - 1024        u32 slot + 1      64       FL_SIGNAL ... FL_CGROUP: 0 sends nothing
// clauses       array           u32 slot * 64 + index  fl_clause         FL_SLOTS * FL_CLAUSES *
// numbers       hash            fl_number              u8                65536 *
// words         hash            fl_word                u8                65536 *
// prefixes      LPM trie        fl_prefix              u8                65536 *
// networks      LPM trie        fl_network             u8                65536 *
// rates         LRU hash        fl_rate                u64 time          8192 *
// exe_words     hash            fl_word, set 0         u64 bits          65536 *
// exe_prefixes  LPM trie        fl_prefix, set 0 or 1  u64 bits          65536 *  set 0: prefixes; set 1: suffixes, turned round
// procs         hash            u32 tgid               fl_proc           65536 *  kept by exec, fork and exit; what is missing is looked up
// spared        hash            u32 tgid               u8 FL_SPARED_*    4096
// calls         ring buffer                            fl_call           4 MiB *  no wake-up
// named         ring buffer                            fl_named          4 MiB *  no wake-up; what follows the texts is not cleared
// longs         ring buffer                            fl_call or fl_exec and texts  8 MiB *  no wake-up (the contract's `long`: a keyword of C)
// alerts        ring buffer                            as longs          1 MiB *  wakes; the only record of an event whose clause acted
// counters      per CPU array   u32                    u64               FL_CLASSES * 4
// flights       LRU hash        fl_flight_key          fl_flight         8192 *
// flight_heads  LRU hash        u64 cgroup             fl_flight_head    1024 *
// failing       array           u32 system call        u32               1024     what the recorder keeps of it: enum fl_failing + argument's index
// connecting    LRU hash        u64 address            fl_flight         1024     connections under way, for the recorder
// scratch       per CPU array   u32                    (its own)         3
// __bpf_usdt_specs, __bpf_usdt_ip_to_spec_id           libbpf's own
//
// Bits of exe sets. Every set of executables that some test names has one of 64 bits. `exe_words` gives the bits of all sets that hold a path
// whole; `exe_prefixes` gives the bits of the longest entry only, so an entry must hold the bits of every shorter one that also fits. FL_W_EXE
// tests are FL_ANYBITS or FL_NOBITS of `value`.
//
// Clauses are tried in order, and within one the tests in order until one fails: put cheap tests first (numbers, then EXE, then place, then
// texts), or paths are walked for nothing. A hook with no clauses passes all and leaves head.clauses 0.
//
// Texts. First, where the hook has a place (ret FL_FD, or about), the path of that file; of a unix socket the path it is bound or connected to
// (an abstract name begins with a zero byte); empty for other sockets. Then those of the arguments in order: FL_STRING, FL_BUFFER, FL_IOVEC,
// FL_MSGHDR (its first buffer) one each, FL_PATH two: as passed, and the directory that it is relative to (of the FL_DIRFD argument just before
// it, or the working directory; empty when the path is absolute). At most four; one that is absent has length 0 and keeps its position.
// FL_SOCKADDR and the name in FL_MSGHDR have no text: they fill place.sock (the remote end; the local end in bind).
// fl_exec's texts: exe path, working directory, arguments and environment (each with zeros between, none at the end).
//
// Arguments are whole registers: a test of an int of the program's (a descriptor, flags) wants a mask of 32 bits.
// In FL_SOCK_STATE and FL_SKB_DROP the head names whoever was running: they may happen in an interrupt.
//
// FL_FORK: args[3] the child's pid in its own namespace, [4] its mount namespace, [5] its pid namespace.
// FL_EXIT: args[1] the exit status, [2] 1 where it was the first process of its pid namespace.
// FL_CGROUP: args[2] the hierarchy's number (0 or 1: cgroup2 when it is settings.root).
#ifndef FAIRLEAD_PROGRAMS_H
#define FAIRLEAD_PROGRAMS_H

#include "records.h"

struct fl_settings {   // 40 bytes
    u32 sensor;        // tgid whose events are never looked at, and which is never signalled
    u32 host_mnt;      // mount namespace of the host's first process: another one is FL_CONTAINED
    u32 controller;    // 0: cgroup ids of the cgroup2 hierarchy; i + 1: of the hierarchy that the i-th controller is mounted in (its place in
                       // /proc/cgroups of the kernel's own numbering: value of enum cgroup_subsys_id in BTF)
    u32 recorder;      // 0 off, 1 for contained processes, 2 for all
    u32 environment;   // most bytes of environment in FL_EXEC; 0: none
    u32 ignoring;      // not 0: `spared` holds entries with FL_SPARED_IGNORED, so look them up
    u32 acting;        // 0: no clause sends a signal, whatever it says
    u32 exe_sets;      // how many bits of exe sets are in use; 0: paths of executables are not looked up
    u32 generation;    // counted up whenever exe_words or exe_prefixes changed: what `procs` remembers is then computed again
    u32 pad;
};

struct fl_number { u32 set, pad; u64 value; };          // 16
struct fl_word { u64 hash; u32 len, set; };             // 16: FNV-1a of the text and its length
#define FL_PREFIX_TEXT 120
struct fl_prefix { u32 bits, set; u8 text[FL_PREFIX_TEXT]; };  // 128; bits counts the set's 32
struct fl_network { u32 bits; u16 set, family; u8 addr[16]; }; // 24; bits counts the 32 of set and family
struct fl_rate { u64 what; u32 clause, tid; };          // 16: hash of the values, slot * 64 + index

struct fl_proc {       // 32 bytes
    u64 start;         // as in fl_head
    u64 exe;           // bits of the sets that its executable is in
    u32 parent, flags; // tgid; enum fl_proc_flag
    u64 generation;    // of the settings that `exe` was made with
};
enum fl_proc_flag { FL_P_CONTAINED = 1 };
enum fl_spared { FL_SPARED_SIGNALS = 1, FL_SPARED_IGNORED = 2 };

enum fl_failing { FL_FAILS = 1, FL_FAILS_PATH = 16, FL_FAILS_ADDRESS = 32 };  // nothing but the error; a path; a socket's address
struct fl_flight_key { u64 cgroup; u32 slot, pad; };    // 16
// Where the next entries go: those of ENOENT, which are many, to the first half of the slots, so that they never push out the others.
struct fl_flight_head { u64 absent, rest; };            // counts: slot = absent % 16, or 16 + rest % 16

// Where an argument of a tracepoint, uprobe or kernel function is.
struct fl_field { u16 offset; u8 size, how; };          // tracepoints: offset in the record; size 1, 2, 4 or 8
struct fl_layout { struct fl_field field[6]; };         // 24
enum fl_how { FL_SIGNED = 1, FL_DATA_LOC = 2 };         // FL_DATA_LOC: a text whose place and length the field tells
#endif
