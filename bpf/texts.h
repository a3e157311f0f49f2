// Texts and buffers of a call: read once, and only when a test wants them or the record is sent.
#ifndef FAIRLEAD_TEXTS_H
#define FAIRLEAD_TEXTS_H

#include "place.h"

#if defined(__TARGET_ARCH_x86)
#define NR_BIND 49
#else
#define NR_BIND 200
#endif

struct fl_iovec { u64 at, len; };
struct fl_msghdr { u64 name; u32 name_len, pad; u64 iov, iov_len; };

INLINE u64 fl_arg(struct fl_call *call, u32 i) {
    SEEN(i);
    return i < 6 ? call->args[i] : 0;
}

GLOBAL int fl_add_string(struct fl_room *room, u64 address) {
    if (!room) return 0;
    u32 k = room->next, pos = room->end;
    if (k > 3 || pos > FL_TEXT_MOST) return 0;
    long n = bpf_probe_read_user_str(&room->text[pos], FL_LONG_TEXT, (void *)address);
    u32 len = n > 0 ? n - 1 : 0;
    if (len > FL_LONG_TEXT) len = 0;
    room->pos[k] = pos;
    room->len[k] = len;
    room->end = pos + len;
    room->next = k + 1;
    if (n == FL_LONG_TEXT || n < 0) room->cut |= 1u << k;
    return 0;
}

GLOBAL int fl_add_buffer(struct fl_room *room, u64 address, u64 bytes, u32 limit) {
    if (!room) return 0;
    u32 k = room->next, pos = room->end;
    if (k > 3 || pos > FL_TEXT_MOST) return 0;
    if (!limit || limit > FL_LONG_TEXT) limit = FL_LONG_TEXT;
    u32 len = bytes > limit ? limit : bytes;
    MOST(len, FL_LONG_TEXT);
    long failed = len ? bpf_probe_read_user(&room->text[pos], len, (void *)address) : 0;
    if (failed) len = 0;
    room->pos[k] = pos;
    room->len[k] = len;
    room->end = pos + len;
    room->next = k + 1;
    if (failed || bytes > limit) room->cut |= 1u << k;
    return 0;
}

INLINE void fl_add_unread(struct fl_room *room) {
    if (room->next < 4) room->cut |= 1u << room->next;
    fl_add_nothing(room);
}

INLINE void fl_add_iovec(struct fl_room *room, u64 address, u64 most, u32 limit) {
    struct fl_iovec first = {};
    if (bpf_probe_read_user(&first, sizeof first, (void *)address)) {
        fl_add_unread(room);
        return;
    }
    if (first.len > most) first.len = most;
    fl_add_buffer(room, first.at, first.len, limit);
}

INLINE void fl_add_argument(struct fl_room *room, struct fl_call *call, struct fl_hook *hook, u32 i) {
    u64 value = call->args[i], bytes = 0;
    struct fl_msghdr message = {};
    switch (hook->args[i]) {
    case FL_STRING: fl_add_string(room, value); break;
    case FL_FDPATH: fl_add_file(room, fl_file_of((s32)value)); break;
    case FL_PATH: {
        u32 k = room->next, pos = room->end;
        fl_add_string(room, value);
        if (k > 2 || pos > FL_TEXT_MOST) break;
        if (room->len[k] && room->text[pos] == '/') {
            fl_add_nothing(room);
            break;
        }
        u32 dir = AT_FDCWD;
        if (i && hook->args[i - 1] == FL_DIRFD) dir = call->args[i - 1];
        fl_add_directory(room, dir);
        break;
    }
    case FL_BUFFER:
    case FL_IOVEC:
        bytes = hook->limit ? hook->limit : FL_LONG_TEXT;
        if (hook->sizes[i] == 7) bytes = call->head.ret > 0 ? call->head.ret : 0;
        else if (hook->sizes[i] && hook->sizes[i] < 7 && hook->args[i] == FL_BUFFER) bytes = fl_arg(call, hook->sizes[i] - 1);
        if (hook->args[i] == FL_BUFFER) fl_add_buffer(room, value, bytes, hook->limit);
        else fl_add_iovec(room, value, bytes, hook->limit);
        break;
    case FL_MSGHDR:
        if (bpf_probe_read_user(&message, sizeof message, (void *)value)) fl_add_unread(room);
        else fl_add_iovec(room, message.iov, FL_LONG_TEXT, hook->limit);
    }
}

// Find the file or socket that the call is about, and the address that was passed.
GLOBAL int fl_find_place(struct fl_room *room, struct fl_call *call) {
    if (!room || !call || (room->have & FL_H_PLACE)) return 0;
    room->have |= FL_H_PLACE;
    u32 slot = room->slot;
    struct fl_hook *hook = bpf_map_lookup_elem(&hooks, &slot);
    if (!hook) return 0;
    u32 about = hook->about;
    if (about) fl_place_fd(room, call, fl_arg(call, about - 1));
    else if (hook->ret == FL_FD && call->head.ret >= 0 && !hook->enter) fl_place_fd(room, call, call->head.ret);
    for (u32 i = 0; i < 6; i++) {
        if (hook->args[i] == FL_SOCKADDR) fl_place_address(call, call->args[i], call->head.kind == NR_BIND);
        if (hook->args[i] == FL_MSGHDR) {
            struct fl_msghdr message = {};
            bpf_probe_read_user(&message, sizeof message, (void *)call->args[i]);
            fl_place_address(call, message.name, 0);
        }
    }
    return 0;
}

// The path of the place, as the first text.
INLINE void fl_add_place(struct fl_room *room, struct fl_call *call, struct fl_hook *hook) {
    if (room->file) {
        fl_add_file(room, room->file);
        return;
    }
    if (!(call->head.flags & FL_PLACE_SOCK) || call->place.sock.family != AF_UNIX) {
        fl_add_nothing(room);
        return;
    }
    u64 given = 0;
    u32 len = 0;
    for (u32 i = 0; i < 5; i++) {
        if (hook->args[i] != FL_SOCKADDR) continue;
        given = call->args[i];
        len = call->args[i + 1];  // a number in connect, bind and sendto; where it is a pointer (accept, recvfrom), all that fits
    }
    if (hook->args[5] == FL_SOCKADDR) given = call->args[5];
    fl_add_unix(room, given, len);
}

GLOBAL int fl_read_texts(struct fl_room *room, struct fl_call *call) {
    if (!room || !call || (room->have & FL_H_TEXTS)) return 0;
    room->have |= FL_H_TEXTS;
    u32 slot = room->slot;
    struct fl_hook *hook = bpf_map_lookup_elem(&hooks, &slot);
    if (!hook) return 0;
    fl_find_place(room, call);
    if (hook->about || hook->ret == FL_FD) fl_add_place(room, call, hook);
    for (u32 i = 0; i < 6; i++) fl_add_argument(room, call, hook, i);
    return 0;
}

// Put the lengths into the head. Return the bytes of all texts.
INLINE u32 fl_write_lens(struct fl_room *room, struct fl_call *call) {
    for (u32 k = 0; k < 4; k++) call->head.lens[k] = room->len[k];
    if (room->cut | room->headless) call->head.flags |= FL_CUT;
    return room->end;
}

#endif
