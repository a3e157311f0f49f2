// The kernel's own events: signals, memory that ran out, modules, sockets, dropped packets, cgroups. Each has one hook, which the map
// `fixed` names; without one, nothing is looked at.
#include "kargs.h"
#include "recorder.h"

#define SIGKILL 9

// The room of a kernel event's hook, its call begun, or nothing where no hook wants it.
INLINE struct fl_room *fl_begin(u16 kind, bool of_task) {
    u32 key = kind - 1024;
    u32 *slot = bpf_map_lookup_elem(&fixed, &key);
    struct fl_settings *set = fl_settings();
    if (!slot || !*slot || !set) return 0;
    if (of_task && fl_ignored(set, bpf_get_current_pid_tgid() >> 32)) return 0;
    struct fl_room *room = fl_take_room(*slot - 1);
    if (!room) {
        fl_count(FL_C_CALLS, FL_DROPPED);
        return 0;
    }
    room->have = FL_H_PLACE | FL_H_TEXTS;  // what there is, the program puts there
    fl_clean(&room->call, kind, *slot - 1);
    return room;
}

// args: signal, details, receiver, whether for the whole process, what came of it
SEC("tp_btf/signal_generate")
int signal(u64 *ctx) {
    struct fl_room *room = fl_begin(FL_SIGNAL, 1);
    if (!room) return 0;
    struct kernel_siginfo *info = (void *)ctx[1];
    struct task_struct *receiver = (void *)ctx[2];
    room->call.args[0] = (u32)ctx[0];
    room->call.args[1] = GET(receiver, tgid);
    room->call.args[2] = GET(info, si_code);  // 0 where the kernel gives no details: their place is then a small number
    room->call.args[3] = (u32)ctx[4];
    return fl_end(room);
}

// Pages in memory: of files, anonymous, shared. Counters of this processor's share only, which is close enough for a victim.
INLINE u64 fl_resident(struct mm_struct *mm) {
    u64 pages = 0;
    if (!mm || !HAS_FIELD(((struct percpu_counter *)0)->count)) return 0;
    const char *at = ADDRESS(mm, rss_stat);
    u32 step = __builtin_preserve_type_info(*(struct percpu_counter *)0, 1);
#pragma unroll
    for (u32 i = 0; i < 4; i++)
        if (i != 2) pages += GET((struct percpu_counter *)(at + i * step), count);  // 2: swapped out
    return pages;
}

INLINE void fl_oom_flight(struct fl_settings *set, struct task_struct *victim) {
    struct fl_room *room = fl_take_room(0);
    if (!room) return;
    struct fl_flight *flight = fl_new_flight(room, set, FL_OOM, SIGKILL);
    flight->cgroup = fl_cgroup_of(victim, set);
    flight->tgid = GET(victim, tgid);
    flight->tid = GET(victim, pid);
    bpf_probe_read_kernel(flight->comm, sizeof flight->comm, ADDRESS(victim, comm));
    fl_keep_flight(room);
    fl_give_room(room);
}

// args: the victim, its user
SEC("tp_btf/mark_victim")
int oom(u64 *ctx) {
    struct task_struct *victim = (void *)ctx[0];
    struct fl_settings *set = fl_settings();
    if (!set) return 0;
    struct nsproxy *ns = GET(victim, nsproxy);
    struct mnt_namespace *mnt = GET(ns, mnt_ns);
    if (set->recorder == 2 || (set->recorder && GET(mnt, ns.inum) != set->host_mnt)) fl_oom_flight(set, victim);
    struct fl_room *room = fl_begin(FL_OOM, 0);
    if (!room) return 0;
    room->call.args[0] = GET(victim, tgid);
    room->call.args[1] = fl_resident(GET(victim, mm));
    room->call.head.cgroup = fl_cgroup_of(victim, set);
    return fl_end(room);
}

// The victim by its number only: the cgroup is that of whom memory was asked by.
SEC("tracepoint/oom/mark_victim")
int oom_pid(struct trace_event_raw_mark_victim *ctx) {
    struct fl_settings *set = fl_settings();
    u32 victim = ctx->pid;
    if (!set) return 0;
    if (fl_recorded(set, bpf_get_current_task_btf())) {
        struct fl_room *space = fl_take_room(0);
        if (space) {
            struct fl_flight *flight = fl_new_flight(space, set, FL_OOM, SIGKILL);
            flight->tgid = flight->tid = victim;
            fl_keep_flight(space);
            fl_give_room(space);
        }
    }
    struct fl_room *room = fl_begin(FL_OOM, 0);
    if (!room) return 0;
    room->call.args[0] = victim;
    if (HAS_FIELD(ctx->anon_rss)) room->call.args[1] = (ctx->anon_rss + ctx->file_rss + ctx->shmem_rss) >> 2;  // from kB
    return fl_end(room);
}

// args: the module
SEC("tp_btf/module_load")
int module(u64 *ctx) {
    struct fl_room *room = fl_begin(FL_MODULE, 1);
    if (!room) return 0;
    struct module *loaded = (void *)ctx[0];
    fl_add_name(room, ADDRESS(loaded, name), 56);
    return fl_end(room);
}

// args: the name, whether it is waited for, from where
SEC("tp_btf/module_request")
int module_wanted(u64 *ctx) {
    struct fl_room *room = fl_begin(FL_MODULE_WANTED, 1);
    if (!room) return 0;
    fl_add_name(room, (const void *)ctx[0], 128);
    return fl_end(room);
}

// A connection that had not been made when connect() returned, and now never will be.
INLINE void fl_connection_over(struct sock *sock, u32 state) {
    struct fl_settings *set = fl_settings();
    u64 address = (u64)sock;
    struct fl_flight *asked = bpf_map_lookup_elem(&connecting, &address);
    if (!asked || !set) return;
    s32 error = GET(sock, sk_err);
    if (state == TCP_CLOSE && error) {
        struct fl_room *room = fl_take_room(0);
        if (room) {
            __builtin_memcpy(&room->flight, asked, sizeof *asked);
            room->flight.time = bpf_ktime_get_boot_ns();
            room->flight.error = error;
            fl_keep_flight(room);
            fl_give_room(room);
        }
    }
    bpf_map_delete_elem(&connecting, &address);
}

// args: the socket, its state before and now
SEC("tp_btf/inet_sock_set_state")
int sock_state(u64 *ctx) {
    struct sock *sock = (void *)ctx[0];
    u32 before = ctx[1], now = ctx[2];
    if (before == TCP_SYN_SENT) fl_connection_over(sock, now);
    struct fl_room *room = fl_begin(FL_SOCK_STATE, 0);
    if (!room) return 0;
    room->call.args[0] = before;
    room->call.args[1] = now;
    fl_place_sock(room, &room->call, (u64)sock, 0);
    room->call.place.sock.state = now;
    return fl_end(room);
}

// args: the socket, bytes or an error, flags
SEC("tp_btf/sock_send_length")
int sock_send(u64 *ctx) {
    struct fl_room *room = fl_begin(FL_SOCK_SEND, 1);
    if (!room) return 0;
    s32 ret = ctx[1];
    room->call.args[0] = ret > 0 ? ret : 0;
    room->call.head.ret = ret;
    fl_place_sock(room, &room->call, (u64)(struct sock *)ctx[0], 0);
    return fl_end(room);
}

// args: the packet, from where, why
SEC("tp_btf/kfree_skb")
int skb_drop(u64 *ctx) {
    struct sk_buff *packet = (void *)ctx[0];
    u32 why = ctx[2];
    struct fl_room *room = fl_begin(FL_SKB_DROP, 0);
    if (!room) return 0;
    struct sock *sock = GET(packet, sk);
    room->call.args[0] = why;
    room->call.args[1] = fl_swap(GET(packet, protocol));
    if (sock) fl_place_sock(room, &room->call, (u64)sock, 0);
    return fl_end(room);
}

INLINE int fl_cgroup_event(u64 *ctx, bool made) {
    struct fl_room *room = fl_begin(FL_CGROUP, 0);
    if (!room) return 0;
    struct cgroup *group = (void *)ctx[0];
    struct kernfs_node *node = GET(group, kn);
    struct cgroup_root *root = GET(group, root);
    room->call.args[0] = made;
    room->call.args[1] = GET(node, id);
    room->call.args[2] = GET(root, hierarchy_id);
    fl_add_name(room, (const void *)ctx[1], 1024);
    return fl_end(room);
}

// args: the cgroup, its path
SEC("tp_btf/cgroup_mkdir")
int cgroup_made(u64 *ctx) { return fl_cgroup_event(ctx, 1); }

SEC("tp_btf/cgroup_rmdir")
int cgroup_gone(u64 *ctx) { return fl_cgroup_event(ctx, 0); }
