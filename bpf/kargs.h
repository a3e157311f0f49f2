// Arguments that are the kernel's own objects: of kernel functions, LSM hooks and raw tracepoints. Unlike those of system calls their texts
// are read at once, as the objects may be gone when a test asks.
#ifndef FAIRLEAD_KARGS_H
#define FAIRLEAD_KARGS_H

#include "send.h"

// A text of the kernel's own, of at most `most` bytes with its zero.
INLINE void fl_add_name(struct fl_room *room, const void *from, u32 most) {
    u32 k = room->next, pos = room->end;
    if (k > 3 || pos > FL_TEXT_MOST) return;
    long n = bpf_probe_read_kernel_str(&room->text[pos], most, from);
    u32 len = n > 0 ? n - 1 : 0;
    MOST(len, FL_LONG_TEXT);
    room->pos[k] = pos;
    room->len[k] = len;
    room->end = pos + len;
    room->next = k + 1;
}

INLINE void fl_kernel_address(struct fl_call *call, u64 address) {
    struct fl_sockaddr given = {};
    struct fl_sock *place = &call->place.sock;
    if (bpf_probe_read_kernel(&given, sizeof given, (void *)address)) return;
    call->head.flags |= FL_PLACE_SOCK;
    place->family = given.family;
    place->rport = fl_swap(given.port);
    __builtin_memset(place->raddr, 0, 16);
    if (given.family == AF_INET) __builtin_memcpy(place->raddr, given.v4, 4);
    else if (given.family == AF_INET6) __builtin_memcpy(place->raddr, given.v6, 16);
}

INLINE void fl_place_inode(struct fl_call *call, struct inode *inode) {
    struct super_block *sb = GET(inode, i_sb);
    struct fl_file *place = &call->place.file;
    call->head.flags |= FL_PLACE_FILE;
    place->ino = GET(inode, i_ino);
    place->dev = GET(sb, s_dev);
    place->mode = GET(inode, i_mode);
    place->nlink = GET(inode, i_nlink);
    place->magic = GET(sb, s_magic);
    place->size = GET(inode, i_size);
}

// A file's path is a text, and the first file or socket among the arguments is the place.
INLINE void fl_kernel_file(struct fl_room *room, struct fl_call *call, u64 file) {
    if (file && !(call->head.flags & (FL_PLACE_FILE | FL_PLACE_SOCK))) fl_place_file(room, call, file, -1);
    fl_add_file(room, file);
}

// One argument, by its kind. Those that are numbers, or that nothing is known of, stay as they were passed.
GLOBAL int fl_kernel_argument(struct fl_room *room, struct fl_call *call, u64 value, u32 kind) {
    if (!room || !call) return 0;
    const void *at = (void *)value;
    bool placed = call->head.flags & (FL_PLACE_FILE | FL_PLACE_SOCK);
    switch (kind) {
    case FL_STRING:
    case FL_PATH: fl_add_string(room, value); break;
    case FL_K_STRING: fl_add_name(room, at, FL_LONG_TEXT); break;
    case FL_K_FILE: fl_kernel_file(room, call, value); break;
    case FL_K_KIOCB: fl_kernel_file(room, call, (u64)GET((struct kiocb *)at, ki_filp)); break;
    case FL_K_BPRM: fl_kernel_file(room, call, (u64)GET((struct linux_binprm *)at, file)); break;
    case FL_K_PATH: fl_add_path(room, fl_climb(room, (u64)GET((struct path *)at, mnt), (u64)GET((struct path *)at, dentry))); break;
    case FL_K_DENTRY:
        if (!placed) fl_place_inode(call, GET((struct dentry *)at, d_inode));
        fl_add_path(room, fl_climb(room, 0, value));
        break;
    case FL_K_INODE:
        if (!placed) fl_place_inode(call, (struct inode *)at);
        break;
    case FL_K_SOCK:
        if (!placed) fl_place_sock(room, call, value, -1);
        break;
    case FL_K_SOCKET:
        if (!placed) fl_place_sock(room, call, (u64)GET((struct socket *)at, sk), -1);
        break;
    case FL_K_SKB:
        if (!placed && GET((struct sk_buff *)at, sk)) fl_place_sock(room, call, (u64)GET((struct sk_buff *)at, sk), -1);
        break;
    case FL_K_SOCKADDR: fl_kernel_address(call, value); break;
    case FL_K_LOADINFO:  // kernels without modules lack it
        if (HAS_FIELD(((struct load_info *)at)->name)) fl_add_name(room, GET((struct load_info *)at, name), 56);
        break;
    case FL_K_MODULE: fl_add_name(room, ADDRESS((struct module *)at, name), 56); break;
    }
    return 0;
}

// Read what all arguments of a kernel function point to. Their values are in the call.
INLINE void fl_kernel_arguments(struct fl_room *room, struct fl_hook *hook) {
    struct fl_call *call = &room->call;
    room->have |= FL_H_PLACE | FL_H_TEXTS;
    for (u32 i = 0; i < 6; i++)
        if (hook->args[i] > FL_INT) fl_kernel_argument(room, call, call->args[i], hook->args[i]);
}

// The room of a hook that is known by its slot, its call begun; nothing where it is off or the process is not looked at.
INLINE struct fl_room *fl_begin_slot(u64 slot, u16 kind) {
    u32 key = slot;
    struct fl_settings *set = fl_settings();
    struct fl_hook *hook = bpf_map_lookup_elem(&hooks, &key);
    if (!set || !hook || !hook->on || fl_ignored(set, bpf_get_current_pid_tgid() >> 32)) return 0;
    struct fl_room *room = fl_take_room(key);
    if (!room) {
        fl_count(FL_C_CALLS, FL_DROPPED);
        return 0;
    }
    fl_clean(&room->call, kind, key);
    return room;
}

INLINE struct fl_hook *fl_hook_of(struct fl_room *room) {
    u32 key = room->slot;
    return bpf_map_lookup_elem(&hooks, &key);
}

// Sieve, send, and give the room back. Return the errno that a clause wants, or 0.
INLINE int fl_end(struct fl_room *room) {
    struct fl_settings *set = fl_settings();
    if (set) fl_judge(room, set);
    int deny = room->deny;
    fl_give_room(room);
    return deny;
}

// Arguments of a function that was called by the machine's convention.
#if defined(__TARGET_ARCH_x86)
INLINE void fl_registers(struct fl_call *call, struct pt_regs *regs) {
    call->args[0] = regs->di;
    call->args[1] = regs->si;
    call->args[2] = regs->dx;
    call->args[3] = regs->cx;
    call->args[4] = regs->r8;
    call->args[5] = regs->r9;
}
#define RETURNED(from) ((from)->ax)
#else
INLINE void fl_registers(struct fl_call *call, struct pt_regs *regs) {
    call->args[0] = regs->regs[0];
    call->args[1] = regs->regs[1];
    call->args[2] = regs->regs[2];
    call->args[3] = regs->regs[3];
    call->args[4] = regs->regs[4];
    call->args[5] = regs->regs[5];
}
#define RETURNED(from) ((from)->regs[0])
#endif

#endif
