// Hooks on kernel functions: kprobes, fentry and fexit, fmod_ret, LSM. Not exercised where this was written, whose kernel has none of them;
// an object of its own, so that a kernel which refuses one of these still loads all of sensor.bpf.o. Every program knows its hook by its
// cookie; fentry, fexit, fmod_ret and LSM programs are loaded once for each function.
#include "kargs.h"

INLINE struct fl_room *fl_begin_probe(void *ctx, u16 kind, u32 flags) {
    struct fl_room *room = fl_begin_slot(bpf_get_attach_cookie(ctx), kind);
    if (room) room->call.head.flags = flags;
    return room;
}

INLINE int fl_end_probe(struct fl_room *room) {
    struct fl_hook *hook = fl_hook_of(room);
    if (hook) fl_kernel_arguments(room, hook);
    return fl_end(room);
}

SEC("kprobe/slot")
int kprobe(struct pt_regs *ctx) {
    struct fl_room *room = fl_begin_probe(ctx, FL_KPROBE, FL_ENTER);
    if (!room) return 0;
    fl_registers(&room->call, ctx);
    fl_end_probe(room);
    return 0;
}

SEC("kretprobe/slot")
int kretprobe(struct pt_regs *ctx) {
    struct fl_room *room = fl_begin_probe(ctx, FL_KPROBE, 0);
    if (!room) return 0;
    room->call.head.ret = RETURNED(ctx);
    room->have |= FL_H_PLACE | FL_H_TEXTS;
    fl_end(room);
    return 0;
}

// For functions that the kernel lets fail (ALLOW_ERROR_INJECTION): every system call among them.
SEC("kprobe/slot")
int kdeny(struct pt_regs *ctx) {
    struct fl_room *room = fl_begin_probe(ctx, FL_KPROBE, FL_ENTER);
    if (!room) return 0;
    fl_registers(&room->call, ctx);
    int deny = fl_end_probe(room);
    if (deny) bpf_override_return(ctx, -deny);
    return 0;
}

// The arguments of a function that a trampoline calls this with.
INLINE void fl_trampoline(struct fl_call *call, void *ctx) {
#pragma unroll
    for (u32 i = 0; i < 6; i++) bpf_get_func_arg(ctx, i, &call->args[i]);  // fails, and leaves 0, past the last
}

SEC("fentry/slot")
int fentry(u64 *ctx) {
    struct fl_room *room = fl_begin_probe(ctx, FL_KPROBE, FL_ENTER);
    if (!room) return 0;
    fl_trampoline(&room->call, ctx);
    fl_end_probe(room);
    return 0;
}

SEC("fexit/slot")
int fexit(u64 *ctx) {
    struct fl_room *room = fl_begin_probe(ctx, FL_KPROBE, 0);
    if (!room) return 0;
    u64 ret = 0;
    fl_trampoline(&room->call, ctx);
    bpf_get_func_ret(ctx, &ret);
    room->call.head.ret = ret;
    fl_end_probe(room);
    return 0;
}

SEC("fmod_ret")
int fmodify(u64 *ctx) {
    struct fl_room *room = fl_begin_probe(ctx, FL_KPROBE, FL_ENTER);
    if (!room) return 0;
    fl_trampoline(&room->call, ctx);
    return -fl_end_probe(room);
}

// The verifier wants to see that what is returned is an error of the kernel's.
SEC("lsm")
int guard(u64 *ctx) {
    struct fl_room *room = fl_begin_probe(ctx, FL_LSM, FL_ENTER);
    if (!room) return 0;
    fl_trampoline(&room->call, ctx);
    int deny = fl_end_probe(room);
    MOST(deny, 4095);
    return deny > 0 ? -deny : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
