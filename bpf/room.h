// Taking and giving back the scratch space where an event is put together.
#ifndef FAIRLEAD_ROOM_H
#define FAIRLEAD_ROOM_H

#include "task.h"

// Return a free room, or nothing: then three events are being put together on this processor already. A room is marked as taken, and not
// counted by depth, because programs may be preempted and so end in any order.
INLINE struct fl_room *fl_take_room(u32 slot) {
    for (u32 i = 0; i < 3; i++) {
        u32 key = i;
        struct fl_room *room = bpf_map_lookup_elem(&scratch, &key);
        if (!room) return 0;
        if (__sync_lock_test_and_set(&room->busy, 1)) continue;
        room->slot = slot;
        room->have = room->exec = room->next = room->end = 0;
        room->signal = room->deny = room->post = room->rated = 0;
        room->cut = room->headless = 0;
        room->passed = room->failed = 0;
        room->file = room->sock = room->exe = room->pexe = 0;
        room->hashed = room->keyed = 0;
        for (u32 k = 0; k < 5; k++) room->pos[k] = room->len[k] = 0;
        return room;
    }
    return 0;
}

INLINE void fl_give_room(struct fl_room *room) { __sync_lock_test_and_set(&room->busy, 0); }

INLINE struct fl_call *fl_clean(struct fl_call *call, u16 kind, u32 slot) {
    __builtin_memset(call, 0, sizeof *call);
    call->head.kind = kind;
    call->head.slot = slot;
    return call;
}

#endif
