// The flight recorder: the last failures of each cgroup, kept in the kernel in bounded memory until a reader asks.
#ifndef FAIRLEAD_RECORDER_H
#define FAIRLEAD_RECORDER_H

#include "send.h"

#define FL_HALF (FL_FLIGHT / 2)

INLINE bool fl_recorded(struct fl_settings *set, struct task_struct *task) {
    return set->recorder == 2 || (set->recorder && fl_mnt_ns(task) != set->host_mnt);
}

GLOBAL int fl_same_flight(struct fl_flight *a, struct fl_flight *b) {
    if (!a || !b || a->kind != b->kind || a->error != b->error || a->len != b->len || a->peer.port != b->peer.port) return 0;
    u64 *x = (void *)a->comm, *y = (void *)b->comm;
    if (x[0] != y[0] || x[1] != y[1]) return 0;
    u32 *p = (void *)a->peer.addr, *q = (void *)b->peer.addr;
    if (p[0] != q[0] || p[1] != q[1] || p[2] != q[2] || p[3] != q[3]) return 0;
    x = (void *)a->text;
    y = (void *)b->text;
    for (u32 i = 0; i < sizeof a->text / 8; i++) {
        if (i * 8 >= a->len) return 1;
        if (x[i] != y[i]) return 0;
    }
    return 1;
}

// Keep room->flight. What equals one of the last four of its half only counts up: retries mostly alternate between a few things.
GLOBAL int fl_keep_flight(struct fl_room *room) {
    if (!room) return 0;
    struct fl_flight *flight = &room->flight;
    u64 cgroup = flight->cgroup;
    struct fl_flight_head *head = bpf_map_lookup_elem(&flight_heads, &cgroup);
    fl_count(FL_C_RECORDER, FL_SEEN);
    if (!head) {
        struct fl_flight_head none = {};
        bpf_map_update_elem(&flight_heads, &cgroup, &none, BPF_ANY);
        head = bpf_map_lookup_elem(&flight_heads, &cgroup);
        if (!head) return 0;
    }
    bool absent = flight->error == ENOENT && flight->kind < 1024;
    u64 count = absent ? head->absent : head->rest;
    struct fl_flight_key key = {.cgroup = cgroup};
    u32 first = absent ? 0 : FL_HALF;
    for (u32 back = 1; back <= 4; back++) {
        if (back > count) break;
        key.slot = first + (count - back) % FL_HALF;
        struct fl_flight *old = bpf_map_lookup_elem(&flights, &key);
        if (!old || !fl_same_flight(old, flight)) continue;
        old->count += 1;
        old->last = flight->time;
        return 0;
    }
    key.slot = first + count % FL_HALF;
    flight->count = 1;
    flight->last = flight->time;
    u64 *counter = absent ? &head->absent : &head->rest;
    __sync_fetch_and_add(counter, 1);
    fl_sent(FL_C_RECORDER, bpf_map_update_elem(&flights, &key, flight, BPF_ANY));
    return 0;
}

// Who: the task that runs.
INLINE struct fl_flight *fl_new_flight(struct fl_room *room, struct fl_settings *set, u16 kind, s32 error) {
    struct fl_flight *flight = &room->flight;
    struct task_struct *task = bpf_get_current_task_btf();
    u64 id = bpf_get_current_pid_tgid();
    __builtin_memset(flight, 0, sizeof *flight);
    flight->time = bpf_ktime_get_boot_ns();
    flight->cgroup = fl_own_cgroup(task, set);
    flight->tgid = id >> 32;
    flight->tid = (u32)id;
    flight->uid = task->cred->euid.val;
    flight->kind = kind;
    flight->error = error;
    bpf_get_current_comm(flight->comm, sizeof flight->comm);
    return flight;
}

#endif
