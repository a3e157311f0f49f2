// Hooks by name, which the loader attaches with their slot as cookie: tracepoints, user functions, and probes that programs carry (USDT).
#include "kargs.h"

// ---- tracepoints ---------------------------------------------------------------------------------------------------

// A field of a tracepoint's record, into an argument or a text.
INLINE void fl_read_field(struct fl_room *room, void *ctx, struct fl_field *field, u32 i, u32 kind) {
    u32 offset = field->offset & 4095, size = field->size;
    const char *at = (const char *)ctx + offset;
    if (field->how & FL_DATA_LOC) {
        u32 where = 0;
        bpf_probe_read_kernel(&where, sizeof where, at);
        fl_add_name(room, (const char *)ctx + (where & 0xffff), FL_LONG_TEXT);
        return;
    }
    if (size > 8) {
        fl_add_name(room, at, size);
        return;
    }
    u64 value = 0;
    if (size == 8) {
        bpf_probe_read_kernel(&value, 8, at);
    } else if (size == 4) {
        bpf_probe_read_kernel(&value, 4, at);
        if (field->how & FL_SIGNED) value = (s64)(s32)value;
    } else if (size == 2) {
        bpf_probe_read_kernel(&value, 2, at);
        if (field->how & FL_SIGNED) value = (s64)(short)value;
    } else if (size == 1) {
        bpf_probe_read_kernel(&value, 1, at);
        if (field->how & FL_SIGNED) value = (s64)(signed char)value;
    }
    room->call.args[i] = value;
    if (kind > FL_INT) fl_kernel_argument(room, &room->call, value, kind);
}

SEC("tp")
int tracepoint(void *ctx) {
    struct fl_room *room = fl_begin_slot(bpf_get_attach_cookie(ctx), FL_TRACEPOINT);
    if (!room) return 0;
    u32 slot = room->slot;
    struct fl_layout *layout = bpf_map_lookup_elem(&layouts, &slot);
    struct fl_hook *hook = fl_hook_of(room);
    room->have |= FL_H_PLACE | FL_H_TEXTS;
    if (layout && hook) {
#pragma unroll
        for (u32 i = 0; i < 6; i++)
            if (layout->field[i].size) fl_read_field(room, ctx, &layout->field[i], i, hook->args[i]);
    }
    fl_end(room);
    return 0;
}

// Arguments as the kernel's code passes them; `layouts` may say which of the first twelve (offset, in bytes).
SEC("raw_tp")
int raw(void *ctx) {
    struct fl_room *room = fl_begin_slot(bpf_get_attach_cookie(ctx), FL_TRACEPOINT);
    if (!room) return 0;
    u32 slot = room->slot;
    struct fl_layout *layout = bpf_map_lookup_elem(&layouts, &slot);
    struct fl_hook *hook = fl_hook_of(room);
    if (layout && hook) {
#pragma unroll
        for (u32 i = 0; i < 6; i++) {
            if (!layout->field[i].size) continue;
            u32 offset = layout->field[i].offset & 127;
            bpf_probe_read_kernel(&room->call.args[i], 8, (const char *)ctx + offset);
        }
        fl_kernel_arguments(room, hook);
    }
    fl_end(room);
    return 0;
}

// ---- user functions ------------------------------------------------------------------------------------------------

// Texts of user functions are read as those of system calls: when a test wants them.
SEC("uprobe/slot")
int uprobe(struct pt_regs *ctx) {
    struct fl_room *room = fl_begin_slot(bpf_get_attach_cookie(ctx), FL_UPROBE);
    if (!room) return 0;
    room->call.head.flags = FL_ENTER;
    fl_registers(&room->call, ctx);
    fl_end(room);
    return 0;
}

SEC("uretprobe/slot")
int uretprobe(struct pt_regs *ctx) {
    struct fl_room *room = fl_begin_slot(bpf_get_attach_cookie(ctx), FL_UPROBE);
    if (!room) return 0;
    room->call.head.ret = RETURNED(ctx);
    fl_end(room);
    return 0;
}

// ---- USDT ----------------------------------------------------------------------------------------------------------
// libbpf reads a binary's notes and fills these maps, which it knows by name and size; the cookie it attaches with is an index of the first.

enum { FL_U_CONST = 0, FL_U_REGISTER, FL_U_MEMORY };
struct fl_usdt_argument {
    u64 value;         // the constant, or what is added to the register
    u8 kind, unused[3];
    u16 reg;           // offset of the register in struct pt_regs
    u8 is_signed;
    u8 shift;          // 64 less the argument's bits
};
struct fl_usdt { struct fl_usdt_argument args[12]; u64 cookie; u16 count; };
MAP(BPF_MAP_TYPE_ARRAY, __bpf_usdt_specs, int, struct fl_usdt, 256, 0);
MAP(BPF_MAP_TYPE_HASH, __bpf_usdt_ip_to_spec_id, u64, u32, 1024, BPF_F_NO_PREALLOC);

INLINE u64 fl_usdt_value(struct pt_regs *regs, struct fl_usdt_argument *argument) {
    u64 value = argument->value;
    if (argument->kind != FL_U_CONST) {
        u64 held = 0;
        bpf_probe_read_kernel(&held, sizeof held, (const char *)regs + (argument->reg & 511));
        if (argument->kind == FL_U_MEMORY) {
            u64 there = 0;
            bpf_probe_read_user(&there, sizeof there, (void *)(held + value));
            held = there;
        }
        value = held;
    }
    u32 shift = argument->shift & 63;
    value <<= shift;
    return argument->is_signed ? (u64)((s64)value >> shift) : value >> shift;
}

SEC("usdt/slot")
int usdt(struct pt_regs *ctx) {
    u32 index = bpf_get_attach_cookie(ctx);
    struct fl_usdt *probe = bpf_map_lookup_elem(&__bpf_usdt_specs, &index);
    if (!probe) return 0;
    struct fl_room *room = fl_begin_slot(probe->cookie, FL_UPROBE);
    if (!room) return 0;
    room->call.head.flags = FL_ENTER;
#pragma unroll
    for (u32 i = 0; i < 6; i++)
        if (i < probe->count) room->call.args[i] = fl_usdt_value(ctx, &probe->args[i]);
    fl_end(room);
    return 0;
}
