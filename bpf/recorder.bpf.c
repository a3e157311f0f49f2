// The flight recorder's own program: what system calls gave back. Exits, out-of-memory kills and connections that fail later are recorded
// by the programs that see them.
#include "recorder.h"

#define EINPROGRESS 115

// Errors worth keeping: those that tell why a program gave up. Not those of everyday work (EAGAIN, EINTR, EEXIST, ENOTTY ...).
INLINE bool fl_telling(u32 error) {
    const u64 low = 1ull << 1 | 1ull << 2 | 1ull << 5 | 1ull << 7 | 1ull << 8 | 1ull << 12 | 1ull << 13 | 1ull << 16 | 1ull << 19 | 1ull << 20 |
                    1ull << 21 | 1ull << 23 | 1ull << 24 | 1ull << 26 | 1ull << 27 | 1ull << 28 | 1ull << 30 | 1ull << 36 | 1ull << 40;
    if (error < 64) return low >> error & 1;
    // EADDRINUSE to ENETUNREACH, ECONNABORTED and ECONNRESET, ETIMEDOUT to EHOSTUNREACH, EDQUOT
    return (error >= 98 && error <= 101) || error == 103 || error == 104 || (error >= 110 && error <= 113) || error == 122;
}

INLINE void fl_peer(struct fl_flight *flight, u64 address) {
    struct fl_sockaddr given = {};
    if (bpf_probe_read_user(&given, 8, (void *)address)) return;
    flight->peer.family = given.family;
    if (given.family == AF_INET) {
        flight->peer.port = fl_swap(given.port);
        __builtin_memcpy(flight->peer.addr, given.v4, 4);
    } else if (given.family == AF_INET6 && !bpf_probe_read_user(&given, sizeof given, (void *)address)) {
        flight->peer.port = fl_swap(given.port);
        __builtin_memcpy(flight->peer.addr, given.v6, 16);
    } else if (given.family == AF_UNIX) {
        long n = bpf_probe_read_user_str(flight->text, 109, (void *)(address + 2));
        flight->len = n > 0 ? n - 1 : 0;
    }
}

// A connection that goes on after its call returned: remember whose it is, for sock_state. Return its error where it is over already, as on
// this same machine.
INLINE s32 fl_remember(struct fl_flight *flight, s32 fd) {
    struct file *file = (void *)fl_file_of(fd);
    if (!file) return 0;
    struct socket *socket = GET(file, private_data);
    struct sock *sock = GET(socket, sk);
    u64 address = (u64)sock;
    if (!sock) return 0;
    if (GET(sock, __sk_common.skc_state) == TCP_CLOSE) return GET(sock, sk_err);
    bpf_map_update_elem(&connecting, &address, flight, BPF_ANY);
    return 0;
}

INLINE u64 fl_call_argument(u32 i) {
    struct fl_call call;
    fl_arguments(&call, bpf_task_pt_regs(bpf_get_current_task_btf()));
    switch (i) {
    case 0: return call.args[0];
    case 1: return call.args[1];
    case 2: return call.args[2];
    case 3: return call.args[3];
    case 4: return call.args[4];
    }
    return call.args[5];
}

SEC("tp")
int flight(struct fl_leave *ctx) {
    s64 ret = ctx->ret;
    if (LIKELY(ret >= 0) || ret < -4095) return 0;
    u32 error = -ret, nr = ctx->nr;
    if (error != EINPROGRESS && !fl_telling(error)) return 0;
    struct fl_settings *set = fl_settings();
    u32 *how = bpf_map_lookup_elem(&failing, &nr);
    struct task_struct *task = bpf_get_current_task_btf();
    if (!set || !how || !*how || !fl_recorded(set, task)) return 0;
    u32 what = *how & ~15u, argument = *how & 15;
    if (error == EINPROGRESS && what != FL_FAILS_ADDRESS) return 0;
    struct fl_room *room = fl_take_room(0);
    if (!room) return 0;
    struct fl_flight *flight = fl_new_flight(room, set, nr, error);
    if (what == FL_FAILS_PATH) {
        long n = bpf_probe_read_user_str(flight->text, sizeof flight->text, (void *)fl_call_argument(argument));
        flight->len = n > 0 ? n - 1 : 0;
    } else if (what == FL_FAILS_ADDRESS) {
        fl_peer(flight, fl_call_argument(argument));
    }
    if (error == EINPROGRESS) flight->error = fl_remember(flight, fl_call_argument(0));
    if (flight->error) fl_keep_flight(room);
    fl_give_room(room);
    return 0;
}
