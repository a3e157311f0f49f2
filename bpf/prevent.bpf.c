// The object that refuses: cgroup hooks for connections, addresses, datagrams and sockets, attached at the root of cgroup2. Every process is
// below it, also where containers live in other hierarchies, so who is meant is decided by the clauses (FL_W_CGROUP), not by the place.
//
// Each hook has a slot of its own at the end of `hooks`. Its tests see place.sock, and as args: the hook's sort, the first four bytes of the
// address (of IPv6: its last), the port. A clause's signal means nothing here. Not asked by the kernel, and so not refused: what raw sockets
// send, and unix sockets.
#include "send.h"

#define FL_PREVENT_SLOT(sort) (FL_SLOTS - 8 + (sort))

// The contexts are the kernel's UAPI (linux/bpf.h): the verifier turns each load into one of the real structure.
struct bpf_sock { u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_ip6[4], src_port; };
struct bpf_sock_addr {
    u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol, msg_src_ip4, msg_src_ip6[4];
    union { struct bpf_sock *sk; u64 wide; } __attribute__((aligned(8)));
};

enum bpf_func_id___new { BPF_FUNC_set_retval___new = 187 };
static long (*const bpf_set_retval)(int value) = (void *)187;

// Try all clauses of the room's hook. Return the error to fail with, or 0; head.clauses is filled.
GLOBAL int fl_refusal(struct fl_room *room, struct fl_call *call) {
    if (!room || !call) return 0;
    u32 slot = room->slot;
    struct fl_hook *hook = bpf_map_lookup_elem(&hooks, &slot);
    if (!hook) return 0;
    u32 n = hook->clauses;
    for (u32 i = 0; i < FL_CLAUSES; i++) {
        if (i >= n) break;
        fl_try_clause(room, call, slot * FL_CLAUSES + i);
    }
    if (room->rated && !call->head.clauses) fl_count(FL_C_ALERTS, FL_RATED);
    return room->deny;
}

// What every hook does once its address is in the room's call. Return what the kernel is told: 1 goes on, 0 fails.
INLINE int fl_prevent(struct fl_room *room, struct fl_settings *set) {
    struct fl_call *call = &room->call;
    struct task_struct *task = bpf_get_current_task_btf();
    fl_count(FL_C_ALERTS, FL_SEEN);
    room->have = FL_H_PLACE | FL_H_TEXTS;
    call->head.flags = FL_PLACE_SOCK;
    call->place.sock.netns = fl_namespace(task, 5);
    u32 deny = fl_refusal(room, call);
    if (!deny) return 1;
    call->head.flags |= room->post ? FL_DENIED : FL_DENIED | FL_SILENT;
    call->head.ret = -(s64)deny;
    fl_fill_head(&call->head, set);
    if (call->head.clauses) fl_send(room, FL_ALERT);
    if (deny != EPERM && __builtin_preserve_enum_value(*(enum bpf_func_id___new *)BPF_FUNC_set_retval___new, 0))
        bpf_set_retval(-(int)deny);
    return 0;
}

// Nothing where no policy asks for it, or where the process is one that is spared, as from signals.
INLINE struct fl_room *fl_begin(struct fl_settings *set, u32 sort) {
    u32 slot = FL_PREVENT_SLOT(sort);
    struct fl_hook *hook = bpf_map_lookup_elem(&hooks, &slot);
    if (!set || !hook || !hook->on || !fl_may_signal(set)) return 0;
    struct fl_room *room = fl_take_room(slot);
    if (!room) {
        fl_count(FL_C_ALERTS, FL_DROPPED);
        return 0;
    }
    fl_clean(&room->call, FL_PREVENTED, slot)->args[0] = sort;
    return room;
}

INLINE int fl_address(struct bpf_sock_addr *ctx, u32 sort, bool six, bool local) {
    struct fl_settings *set = fl_settings();
    struct fl_room *room = fl_begin(set, sort);
    if (!room) return 1;
    struct fl_call *call = &room->call;
    struct fl_sock *place = &call->place.sock;
    volatile struct bpf_sock_addr *seen = ctx;
    u32 *into = (void *)(local ? place->laddr : place->raddr);
    u16 port = fl_swap(seen->user_port);
    place->family = six ? AF_INET6 : AF_INET;
    place->type = seen->type;
    place->proto = seen->protocol;
    if (six) {
        into[0] = seen->user_ip6[0];
        into[1] = seen->user_ip6[1];
        into[2] = seen->user_ip6[2];
        into[3] = seen->user_ip6[3];
        call->args[1] = into[3];
    } else {
        into[0] = seen->user_ip4;
        call->args[1] = into[0];
    }
    call->args[2] = port;
    if (local) place->lport = port;
    else place->rport = port;
    int on = fl_prevent(room, set);
    fl_give_room(room);
    return on;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx) { return fl_address(ctx, FL_CONNECT4, 0, 0); }
SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx) { return fl_address(ctx, FL_CONNECT6, 1, 0); }
SEC("cgroup/bind4")
int bind4(struct bpf_sock_addr *ctx) { return fl_address(ctx, FL_BIND4, 0, 1); }
SEC("cgroup/bind6")
int bind6(struct bpf_sock_addr *ctx) { return fl_address(ctx, FL_BIND6, 1, 1); }
SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx) { return fl_address(ctx, FL_SENDMSG4, 0, 0); }
SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx) { return fl_address(ctx, FL_SENDMSG6, 1, 0); }

SEC("cgroup/sock_create")
int sock_create(struct bpf_sock *ctx) {
    struct fl_settings *set = fl_settings();
    struct fl_room *room = fl_begin(set, FL_SOCK_CREATE);
    if (!room) return 1;
    volatile struct bpf_sock *seen = ctx;
    struct fl_sock *place = &room->call.place.sock;
    place->family = seen->family;
    place->type = seen->type;
    place->proto = seen->protocol;
    int on = fl_prevent(room, set);
    fl_give_room(room);
    return on;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
