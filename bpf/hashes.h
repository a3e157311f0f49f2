// Texts as keys of maps: their FNV-1a hash, their first bytes, and their last bytes turned round. Each is made once a text.
#ifndef FAIRLEAD_HASHES_H
#define FAIRLEAD_HASHES_H

#include "texts.h"

#define FNV_SEED 0xcbf29ce484222325ull
#define FNV_STEP 0x100000001b3ull

struct fl_scan { struct fl_room *room; u32 pos, len; u64 hash; u64 want; u32 shift, found; };

// Eight bytes a turn: a turn costs about as much as four bytes.
static long fl_hash_eight(u32 n, struct fl_scan *s) {
    u32 at = n * 8, pos = s->pos + at;
    u64 hash = s->hash;
    if (pos > FL_TEXT_ROOM - 8 || at >= s->len) return 1;
    u32 left = s->len - at;
    const unsigned char *text = (void *)&s->room->text[pos];
#pragma unroll
    for (u32 i = 0; i < 8; i++)
        if (i < left) hash = (hash ^ text[i]) * FNV_STEP;
    s->hash = hash;
    return 0;
}

GLOBAL u64 fl_hash(struct fl_room *room, u32 k) {
    if (!room || k > 4) return 0;
    if (room->hashed & (1u << k)) return room->hash[k];
    struct fl_scan s = {.room = room, .pos = room->pos[k], .len = room->len[k], .hash = FNV_SEED};
    bpf_loop((s.len + 7) / 8, fl_hash_eight, &s, 0);
    room->hash[k] = s.hash;
    room->hashed |= 1u << k;
    return s.hash;
}

// What room->key holds now, so that one text is not made a key twice in a row.
enum { FL_FRONT = 8, FL_TURNED = 16 };

// The text's beginning as the key of a trie.
GLOBAL int fl_front(struct fl_room *room, u32 k) {
    if (!room || k > 4) return 0;
    u32 pos = room->pos[k], len = room->len[k];
    if (pos > FL_TEXT_ROOM - 256 || room->keyed == FL_FRONT + k) return 0;
    room->keyed = k < 4 ? FL_FRONT + k : 0;
    MOST(len, FL_PREFIX_TEXT);
    bpf_probe_read_kernel(room->key.text, len, &room->text[pos]);
    room->key.bits = 32 + len * 8;
    return 0;
}

static long fl_turn_one(u32 n, struct fl_scan *s) {
    u32 pos = s->pos + s->len - 1 - n;
    if (n >= FL_PREFIX_TEXT || n >= s->len || pos >= FL_TEXT_ROOM) return 1;
    s->room->key.text[n] = s->room->text[pos];
    return 0;
}

// Its end, turned round.
GLOBAL int fl_turn(struct fl_room *room, u32 k) {
    if (!room || k > 4) return 0;
    struct fl_scan s = {.room = room, .pos = room->pos[k], .len = room->len[k]};
    u32 len = s.len > FL_PREFIX_TEXT ? FL_PREFIX_TEXT : s.len;
    if (room->keyed == FL_TURNED + k) return 0;
    room->keyed = k < 4 ? FL_TURNED + k : 0;
    bpf_loop(len, fl_turn_one, &s, 0);
    room->key.bits = 32 + len * 8;
    return 0;
}

static long fl_seek_one(u32 n, struct fl_scan *s) {
    u32 pos = s->pos + n;
    if (n >= s->len || pos >= FL_TEXT_ROOM) return 1;
    s->hash = s->hash >> 8 | (u64)(unsigned char)s->room->text[pos] << 56;
    if (n + 1 >= s->found && s->hash >> s->shift == s->want) {
        s->found = 0;
        return 1;
    }
    return 0;
}

// Whether the text has these bytes (1 to 8, in `value` from its lowest byte on) in it.
GLOBAL int fl_contains(struct fl_room *room, u32 k, u64 value, u32 bytes) {
    if (!room || k > 4 || !bytes || bytes > 8) return 0;
    struct fl_scan s = {.room = room, .pos = room->pos[k], .len = room->len[k], .want = value, .shift = 64 - 8 * bytes, .found = bytes};
    if (s.len < bytes) return 0;
    bpf_loop(s.len, fl_seek_one, &s, 0);
    return s.found == 0;
}

#endif
