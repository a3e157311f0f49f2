// Handing a finished record to the ring that it fits.
#ifndef FAIRLEAD_SEND_H
#define FAIRLEAD_SEND_H

#include "sieve.h"

INLINE void fl_sent(u32 class, long failed) { fl_count(class, failed ? FL_DROPPED : FL_SENT); }

// Send a call: the smallest ring that holds its texts, or `alerts`.
GLOBAL int fl_send(struct fl_room *room, u32 verdict) {
    if (!room) return 0;
    u32 bytes = fl_write_lens(room, &room->call);
    if (bytes > FL_TEXT_MOST) return 0;
    u64 size = sizeof(struct fl_call) + bytes;
    if (verdict == FL_ALERT) {
        fl_sent(FL_C_ALERTS, bpf_ringbuf_output(&alerts, &room->call, size, BPF_RB_FORCE_WAKEUP));
    } else if (!bytes) {
        fl_sent(FL_C_CALLS, bpf_ringbuf_output(&calls, &room->call, sizeof(struct fl_call), BPF_RB_NO_WAKEUP));
    } else if (bytes <= FL_NAMED_TEXT) {
        fl_sent(FL_C_NAMED, bpf_ringbuf_output(&named, &room->call, sizeof(struct fl_named), BPF_RB_NO_WAKEUP));
    } else {
        fl_sent(FL_C_LONG, bpf_ringbuf_output(&longs, &room->call, size, BPF_RB_NO_WAKEUP));
    }
    return 0;
}

// What every hook does once its arguments are in the room's call: sieve, and send what passes.
INLINE int fl_judge(struct fl_room *room, struct fl_settings *set) {
    struct fl_call *call = &room->call;
    fl_count(FL_C_CALLS, FL_SEEN);
    int verdict = fl_sieve(room, call);
    if (verdict != FL_DROP) {
        fl_read_texts(room, call);
        fl_fill_head(&call->head, set);
        fl_send(room, verdict);
    }
    return verdict;
}

#endif
