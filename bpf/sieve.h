// The sieve: which clauses of a hook an event passes, and what those do. What is dear is read when a test asks for it, and only once.
#ifndef FAIRLEAD_SIEVE_H
#define FAIRLEAD_SIEVE_H

#include "exes.h"

// The number that a test is about.
GLOBAL u64 fl_operand(struct fl_room *room, struct fl_call *call, u32 what) {
    struct task_struct *task = bpf_get_current_task_btf();
    struct fl_settings *set = fl_settings();
    if (!room || !call || !set) return 0;
    if (what < 6) return call->args[what];
    if (what >= FL_W_NS && what < FL_W_NS + 10) return fl_namespace(task, what - FL_W_NS);
    u32 sock = call->head.flags & FL_PLACE_SOCK, file = call->head.flags & FL_PLACE_FILE;
    switch (what) {
    case FL_W_RET: return call->head.ret;
    case FL_W_UID: return task->cred->euid.val;
    case FL_W_GID: return task->cred->egid.val;
    case FL_W_TGID: return task->tgid;
    case FL_W_TID: return task->pid;
    case FL_W_VPID: return fl_vpid(task);
    case FL_W_CGROUP: return call->head.cgroup ? call->head.cgroup : fl_own_cgroup(task, set);
    case FL_W_CONTAINED: return fl_mnt_ns(task) != set->host_mnt;
    case FL_W_EXE: return room->exe;
    case FL_W_PEXE: return room->pexe;
    case FL_W_CAP_EFF: return fl_caps(&task->cred->cap_effective);
    case FL_W_CAP_PERM: return fl_caps(&task->cred->cap_permitted);
    case FL_W_CAP_INH: return fl_caps(&task->cred->cap_inheritable);
    case FL_W_FAMILY: return sock ? call->place.sock.family : 0;
    case FL_W_SOCKTYPE: return sock ? call->place.sock.type : 0;
    case FL_W_PROTO: return sock ? call->place.sock.proto : 0;
    case FL_W_STATE: return sock ? call->place.sock.state : 0;
    case FL_W_LPORT: return sock ? call->place.sock.lport : 0;
    case FL_W_RPORT: return sock ? call->place.sock.rport : 0;
    case FL_W_FILEMODE: return file ? call->place.file.mode : 0;
    case FL_W_OFLAGS: return file ? call->place.file.oflags : 0;
    }
    return 0;
}

INLINE int fl_in_network(struct fl_room *room, struct fl_call *call, u32 what, u32 named) {
    if (!(call->head.flags & FL_PLACE_SOCK)) return 0;
    struct fl_sock *sock = &call->place.sock;
    struct fl_network key = {.bits = 32 + 128, .set = named, .family = sock->family};
    u32 *words = (void *)key.addr, *from = (void *)(what == FL_W_LADDR ? sock->laddr : sock->raddr);
    words[0] = from[0];
    if (sock->family == AF_INET) {
        key.bits = 32 + 32;
    } else if (sock->family == AF_INET6) {
        words[1] = from[1];
        words[2] = from[2];
        words[3] = from[3];
        // An address of IPv4 in the clothes of IPv6.
        if (!words[0] && !words[1] && words[2] == 0xffff0000) {
            words[0] = words[3];
            key.family = AF_INET;
            key.bits = 32 + 32;
        }
    } else {
        return 0;
    }
    return bpf_map_lookup_elem(&networks, &key) != 0;
}

GLOBAL int fl_text_passes(struct fl_room *room, struct fl_call *call, const struct fl_test *test) {
    if (!room || !call || !test) return 0;
    u32 k = 4, op = test->op, named = test->set;
    if (test->what == FL_W_COMM) {
        // Here and not in the head: that may not have been filled yet.
        char *comm = &room->text[FL_TEXT_ROOM - 256];
        bpf_get_current_comm(comm, 16);
        long n = bpf_probe_read_kernel_str(room->path, 16, comm);
        room->pos[4] = FL_TEXT_ROOM - 256;
        room->len[4] = n > 0 && n <= 16 ? n - 1 : 0;
        room->hashed &= ~16u;
    } else {
        k = test->what - FL_W_TEXT;
        if (k > 3) return 0;
    }
    u32 pos = room->pos[k], len = room->len[k];
    if (pos > FL_TEXT_ROOM - 256) return 0;
    // Of a text that is not whole nothing is known: what posts takes it, what acts leaves it.
    if (k < 4 && (room->headless >> k & 1)) return !room->exact;
    if (k < 4 && (room->cut >> k & 1) && op != FL_PREFIX && op != FL_NOTPREFIX && op != FL_RELATIVE)
        return op == FL_CONTAINS && fl_contains(room, k, test->value, test->mask) ? 1 : !room->exact;
    struct fl_word word = {};
    u8 *found = 0;
    switch (op) {
    case FL_TEXT_IN:
    case FL_TEXT_NOTIN:
        word.hash = fl_hash(room, k);
        word.len = len;
        word.set = named;
        found = bpf_map_lookup_elem(&words, &word);
        break;
    case FL_PREFIX:
    case FL_NOTPREFIX:
    case FL_SUFFIX:
    case FL_NOTSUFFIX:
        if (op == FL_PREFIX || op == FL_NOTPREFIX) fl_front(room, k);
        else fl_turn(room, k);
        room->key.set = named;
        found = bpf_map_lookup_elem(&prefixes, &room->key);
        break;
    case FL_RELATIVE: return !len || room->text[pos] != '/';
    case FL_CONTAINS: return fl_contains(room, k, test->value, test->mask);
    default: return 0;
    }
    if (op == FL_TEXT_NOTIN || op == FL_NOTPREFIX || op == FL_NOTSUFFIX) return !found;
    return !!found;
}

GLOBAL int fl_test_passes(struct fl_room *room, struct fl_call *call, const struct fl_test *test) {
    if (!room || !call || !test) return 0;
    u32 what = test->what, op = test->op;
    if (what == FL_W_COMM || (what >= FL_W_TEXT && what < FL_W_NS)) return fl_text_passes(room, call, test);
    if (op == FL_NET) return fl_in_network(room, call, what, test->set);
    if (op == FL_NOTNET) return !fl_in_network(room, call, what, test->set);
    u64 have = fl_operand(room, call, what), want = test->value;
    if (test->mask) have &= test->mask;
    switch (op) {
    case FL_EQ: return have == want;
    case FL_NE: return have != want;
    case FL_LT: return (s64)have < (s64)want;
    case FL_LE: return (s64)have <= (s64)want;
    case FL_GT: return (s64)have > (s64)want;
    case FL_GE: return (s64)have >= (s64)want;
    case FL_LTU: return have < want;
    case FL_LEU: return have <= want;
    case FL_GTU: return have > want;
    case FL_GEU: return have >= want;
    case FL_ANYBITS: return (have & want) != 0;
    case FL_ALLBITS: return (have & want) == want;
    case FL_NOBITS: return (have & want) == 0;
    case FL_INSET:
    case FL_NOTINSET: {
        struct fl_number number = {.set = test->set, .value = have};
        int found = bpf_map_lookup_elem(&numbers, &number) != 0;
        return op == FL_INSET ? found : !found;
    }
    }
    return 0;
}

// Whether a clause with a limit may post this event: equal ones (same values, same thread) at most once in so many milliseconds.
GLOBAL int fl_may_post(struct fl_room *room, struct fl_call *call, u32 clause, u32 rate) {
    if (!room || !call) return 1;
    struct fl_rate key = {.what = FNV_SEED, .clause = clause, .tid = (u32)bpf_get_current_pid_tgid()};
    u32 slot = room->slot;
    struct fl_hook *hook = bpf_map_lookup_elem(&hooks, &slot);
    if (!hook) return 1;
    if (!room->exec) fl_read_texts(room, call);
    for (u32 i = 0; i < 6; i++)
        if (hook->args[i] == FL_INT || hook->args[i] == FL_FD) key.what = (key.what ^ call->args[i]) * FNV_STEP;
    for (u32 k = 0; k < 4; k++) key.what = (key.what ^ fl_hash(room, k)) * FNV_STEP;
    u64 now = bpf_ktime_get_boot_ns(), *last = bpf_map_lookup_elem(&rates, &key);
    if (last && now - *last < (u64)rate * 1000000) return 0;
    bpf_map_update_elem(&rates, &key, &now, BPF_ANY);
    return 1;
}

// Never the first process, the sensor, or whom the loader spares.
INLINE bool fl_may_signal(struct fl_settings *set) {
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    if (!set->acting || tgid <= 1 || tgid == set->sensor) return 0;
    u8 *how = bpf_map_lookup_elem(&spared, &tgid);
    return !how || !(*how & FL_SPARED_SIGNALS);
}

enum fl_verdict { FL_DROP = 0, FL_POST = 1, FL_ALERT = 2 };

// Read what a test of this sort looks at, unless that was done. Here and not in the test, since calls may be nested eight deep only.
INLINE void fl_prepare(struct fl_room *room, struct fl_call *call, u32 what) {
    u32 have = room->have;
    if (what < FL_W_EXE) return;
    if (what == FL_W_EXE) {
        if (!(have & FL_H_EXE)) fl_find_exes(room, 0);
    } else if (what == FL_W_PEXE) {
        if (!(have & FL_H_PEXE)) fl_find_exes(room, 1);
    } else if (what < FL_W_NS) {
        if (!(have & FL_H_TEXTS)) fl_read_texts(room, call);
    } else if (what >= FL_W_FAMILY) {
        if (!(have & FL_H_PLACE)) fl_find_place(room, call);
    }
}

INLINE int fl_clause_passes(struct fl_room *room, struct fl_call *call, struct fl_clause *clause) {
    u32 n = clause->tests;
    room->exact = clause->signal || clause->deny;
    for (u32 i = 0; i < FL_TESTS; i++) {
        if (i >= n) break;
        struct fl_test *test = &clause->test[i];
        u64 shared = test->shared ? 1ull << (test->shared & 63) : 0;
        if (shared & room->passed) continue;
        fl_prepare(room, call, test->what);
        if (!fl_test_passes(room, call, test)) {
            room->failed |= shared;
            return 0;
        }
        room->passed |= shared;
    }
    return 1;
}

// Try one clause. What comes of it is kept in the room, not in registers: the verifier then sees the same state after each.
GLOBAL int fl_try_clause(struct fl_room *room, struct fl_call *call, u32 key) {
    struct fl_clause *clause = bpf_map_lookup_elem(&clauses, &key);
    if (!room || !call || !clause) return 0;
    if (!fl_clause_passes(room, call, clause)) return 0;
    if (clause->signal && room->signal != 9) room->signal = clause->signal;
    if (clause->deny) room->deny = clause->deny;
    if (clause->rate && !fl_may_post(room, call, key, clause->rate)) {
        room->rated = 1;
        return 0;
    }
    call->head.clauses |= 1ull << (key % FL_CLAUSES);
    if (!clause->silent) room->post = 1;
    return 0;
}

// Try all clauses of the room's hook. Return an fl_verdict; head.clauses and flags, and room->deny, are filled.
GLOBAL int fl_sieve(struct fl_room *room, struct fl_call *call) {
    struct fl_settings *set = fl_settings();
    if (!room || !call || !set) return FL_DROP;
    u32 slot = room->slot;
    struct fl_hook *hook = bpf_map_lookup_elem(&hooks, &slot);
    if (!hook) return FL_DROP;
    u32 n = hook->clauses;
    if (!n) return FL_POST;
    for (u32 i = 0; i < FL_CLAUSES; i++) {
        if (i >= n) break;
        u32 key = slot * FL_CLAUSES + i;
        struct fl_clause *clause = bpf_map_lookup_elem(&clauses, &key);
        if (clause && clause->shared & room->failed) continue;
        fl_try_clause(room, call, key);
    }
    u64 passed = call->head.clauses;
    if (room->rated && !passed) fl_count(FL_C_CALLS, FL_RATED);
    if (room->signal && fl_may_signal(set) && !bpf_send_signal(room->signal)) call->head.flags |= FL_KILLED;
    if (!passed) return FL_DROP;
    if (!room->post) call->head.flags |= FL_SILENT;
    if (room->deny || (call->head.flags & FL_KILLED)) return FL_ALERT;
    return room->post ? FL_POST : FL_DROP;
}

#endif
