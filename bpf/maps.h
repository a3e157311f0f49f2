// The maps, by the names and sizes of programs.h. Every object declares them all, so that the loader can give one object's to another.
#ifndef FAIRLEAD_MAPS_H
#define FAIRLEAD_MAPS_H

#include "helpers.h"
#include "programs.h"

#define MAP(sort, named, key_type, value_type, entries, flags)  \
    struct {                                                    \
        int (*type)[sort];                                      \
        int (*max_entries)[entries];                            \
        int (*map_flags)[flags];                                \
        typeof(key_type) *key;                                  \
        typeof(value_type) *value;                              \
    } named SEC(".maps")
#define RING(named, bytes)                \
    struct {                              \
        int (*type)[BPF_MAP_TYPE_RINGBUF]; \
        int (*max_entries)[bytes];        \
    } named SEC(".maps")

MAP(BPF_MAP_TYPE_ARRAY, settings, u32, struct fl_settings, 1, 0);
MAP(BPF_MAP_TYPE_ARRAY, hooks, u32, struct fl_hook, FL_SLOTS, 0);
MAP(BPF_MAP_TYPE_ARRAY, layouts, u32, struct fl_layout, FL_SLOTS, 0);
MAP(BPF_MAP_TYPE_ARRAY, entering, u32, u32, 1024, 0);
MAP(BPF_MAP_TYPE_ARRAY, leaving, u32, u32, 1024, 0);
MAP(BPF_MAP_TYPE_ARRAY, fixed, u32, u32, 64, 0);
MAP(BPF_MAP_TYPE_ARRAY, clauses, u32, struct fl_clause, FL_SLOTS * FL_CLAUSES, 0);
MAP(BPF_MAP_TYPE_HASH, numbers, struct fl_number, u8, 65536, BPF_F_NO_PREALLOC);
MAP(BPF_MAP_TYPE_HASH, words, struct fl_word, u8, 65536, BPF_F_NO_PREALLOC);
MAP(BPF_MAP_TYPE_LPM_TRIE, prefixes, struct fl_prefix, u8, 65536, BPF_F_NO_PREALLOC);
MAP(BPF_MAP_TYPE_LPM_TRIE, networks, struct fl_network, u8, 65536, BPF_F_NO_PREALLOC);
MAP(BPF_MAP_TYPE_LRU_HASH, rates, struct fl_rate, u64, 8192, 0);
MAP(BPF_MAP_TYPE_HASH, exe_words, struct fl_word, u64, 65536, BPF_F_NO_PREALLOC);
MAP(BPF_MAP_TYPE_LPM_TRIE, exe_prefixes, struct fl_prefix, u64, 65536, BPF_F_NO_PREALLOC);
MAP(BPF_MAP_TYPE_HASH, procs, u32, struct fl_proc, 65536, BPF_F_NO_PREALLOC);
MAP(BPF_MAP_TYPE_HASH, spared, u32, u8, 4096, BPF_F_NO_PREALLOC);
RING(calls, 4 << 20);
RING(named, 4 << 20);
RING(longs, 8 << 20);
RING(alerts, 1 << 20);
MAP(BPF_MAP_TYPE_PERCPU_ARRAY, counters, u32, u64, FL_CLASSES * 4, 0);
MAP(BPF_MAP_TYPE_LRU_HASH, flights, struct fl_flight_key, struct fl_flight, 8192, 0);
MAP(BPF_MAP_TYPE_LRU_HASH, flight_heads, u64, struct fl_flight_head, 1024, 0);
MAP(BPF_MAP_TYPE_ARRAY, failing, u32, u32, 1024, 0);
MAP(BPF_MAP_TYPE_LRU_HASH, connecting, u64, struct fl_flight, 1024, 0);

// Where an event is put together: too large for a program's stack. Texts follow a record's fixed part without a gap, so that one piece goes
// into the ring: an exec's record begins at the front, any other call's where its 200 bytes end at the texts.
#define FL_TEXT_MOST (4 * FL_LONG_TEXT)
#define FL_TEXT_ROOM (5 * FL_LONG_TEXT)
struct fl_room {
    u32 busy;
    u32 slot;
    u32 have;          // enum fl_have
    u32 exec;          // the record begins at the front
    u32 next, end;     // of texts: index, bytes
    u32 signal, deny;  // what the clauses that passed want
    u32 post, rated, exact;
    u32 cut, headless; // bit k: text k lacks its end, or its beginning
    u64 passed, failed; // bits of tests that several clauses share
    u64 file, sock;    // addresses of the place
    u64 exe, pexe;
    u32 pos[8], len[8];   // texts; the fifth is comm
    u64 hash[8];
    u32 hashed, keyed;
    struct fl_prefix key;
    struct fl_flight flight;
    char path[FL_LONG_TEXT + 512];
    struct fl_call head;  // with `more`, of an exec
    union { struct fl_exec more; struct { u8 gap[sizeof(struct fl_exec) - sizeof(struct fl_call)]; struct fl_call call; }; };
    char text[FL_TEXT_ROOM];
};
enum fl_have { FL_H_PLACE = 1, FL_H_TEXTS = 2, FL_H_EXE = 4, FL_H_PEXE = 8, FL_H_HEAD = 16 };
// One for a program in a task, one for what interrupts it, one for what interrupts that.
MAP(BPF_MAP_TYPE_PERCPU_ARRAY, scratch, u32, struct fl_room, 3, 0);

INLINE struct fl_settings *fl_settings(void) {
    u32 zero = 0;
    return bpf_map_lookup_elem(&settings, &zero);
}

INLINE void fl_count(u32 class, u32 what) {
    u32 key = class * 4 + what;
    u64 *count = bpf_map_lookup_elem(&counters, &key);
    if (count) *count += 1;
}

#endif
