// System calls: one program for all returns, one for all entries. Which calls it sees is what it is attached to.
#include "send.h"

#if defined(__TARGET_ARCH_x86)
INLINE void fl_arguments(struct fl_call *call, struct pt_regs *regs) {
    call->args[0] = regs->di;
    call->args[1] = regs->si;
    call->args[2] = regs->dx;
    call->args[3] = regs->r10;
    call->args[4] = regs->r8;
    call->args[5] = regs->r9;
}
#define TS_COMPAT 2
INLINE bool fl_is_32(struct task_struct *task) { return task->thread_info.status & TS_COMPAT; }
#else
INLINE void fl_arguments(struct fl_call *call, struct pt_regs *regs) {
    call->args[0] = regs->orig_x0;  // regs[0] holds the return value by now
    call->args[1] = regs->regs[1];
    call->args[2] = regs->regs[2];
    call->args[3] = regs->regs[3];
    call->args[4] = regs->regs[4];
    call->args[5] = regs->regs[5];
}
#define TIF_32BIT 22
INLINE bool fl_is_32(struct task_struct *task) { return task->thread_info.flags & (1ul << TIF_32BIT); }
#endif

// Look at a call whose hook is known; `entering` and `leaving` say so. A hook is served by its call's own tracepoint or, where there is none, by
// the program that sees every call: never by both, or each event would come twice.
INLINE int fl_call_seen(u32 nr, u32 slot, s64 ret, u32 entry, u32 by) {
    struct fl_settings *set = fl_settings();
    if (!set || fl_ignored(set, bpf_get_current_pid_tgid() >> 32)) return 0;
    struct fl_hook *hook = bpf_map_lookup_elem(&hooks, &slot);
    if (!hook || hook->on != by) return 0;
    struct fl_room *room = fl_take_room(slot);
    if (!room) {
        fl_count(FL_C_CALLS, FL_DROPPED);
        return 0;
    }
    struct fl_call *call = fl_clean(&room->call, nr, slot);
    call->head.ret = ret;
    if (entry) call->head.flags = FL_ENTER;
    fl_arguments(call, bpf_task_pt_regs(bpf_get_current_task_btf()));
    fl_judge(room, set);
    fl_give_room(room);
    return 0;
}

SEC("tp")
int leave(struct fl_leave *ctx) {
    u32 nr = ctx->nr;
    u32 *slot = bpf_map_lookup_elem(&leaving, &nr);
    if (!slot || !*slot) return 0;
    return fl_call_seen(nr, *slot - 1, ctx->ret, 0, FL_ON);
}

SEC("tp")
int enter(struct fl_enter *ctx) {
    u32 nr = ctx->nr;
    u32 *slot = bpf_map_lookup_elem(&entering, &nr);
    if (!slot || !*slot) return 0;
    return fl_call_seen(nr, *slot - 1, 0, 1, FL_ON);
}

// args: the registers, the return value. The number comes from the registers.
SEC("tp_btf/sys_exit")
int leave_any(u64 *ctx) {
    struct task_struct *task = bpf_get_current_task_btf();
    if (fl_is_32(task)) return 0;
    struct pt_regs *regs = bpf_task_pt_regs(task);
#if defined(__TARGET_ARCH_x86)
    u32 nr = regs->orig_ax;
#else
    u32 nr = regs->regs[8];
#endif
    u32 *slot = bpf_map_lookup_elem(&leaving, &nr);
    if (!slot || !*slot) return 0;
    return fl_call_seen(nr, *slot - 1, ctx[1], 0, FL_ON_ANY);
}

// args: the registers, the number.
SEC("tp_btf/sys_enter")
int enter_any(u64 *ctx) {
    u32 nr = ctx[1];
    u32 *slot = bpf_map_lookup_elem(&entering, &nr);
    if (!slot || !*slot || fl_is_32(bpf_get_current_task_btf())) return 0;
    return fl_call_seen(nr, *slot - 1, 0, 1, FL_ON_ANY);
}

// Attempts of calls that this kernel does not have. They fail with ENOSYS, so they can be told of as they are made: at the entry, since two
// programs at the exits, where a call's own tracepoint is too, cost every call more than one at the entries and one at the exits.
SEC("tp_btf/sys_enter")
int lacking(u64 *ctx) {
    u32 nr = ctx[1];
    u32 *slot = bpf_map_lookup_elem(&leaving, &nr);
    if (!slot || !*slot || fl_is_32(bpf_get_current_task_btf())) return 0;
    return fl_call_seen(nr, *slot - 1, -ENOSYS, 0, FL_ON_ANY);
}
