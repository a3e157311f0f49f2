// Which sets of executables a process belongs to: computed when it executes, and here for those that were there before.
#ifndef FAIRLEAD_EXES_H
#define FAIRLEAD_EXES_H

#include "hashes.h"

// The bits of the path at text `k`.
GLOBAL u64 fl_exe_bits(struct fl_room *room, u32 k) {
    if (!room || k > 4) return 0;
    struct fl_word word = {.hash = fl_hash(room, k), .len = room->len[k], .set = 0};
    u64 bits = 0, *found = bpf_map_lookup_elem(&exe_words, &word);
    if (found) bits |= *found;
    fl_front(room, k);
    room->key.set = 0;
    found = bpf_map_lookup_elem(&exe_prefixes, &room->key);
    if (found) bits |= *found;
    fl_turn(room, k);
    room->key.set = 1;
    found = bpf_map_lookup_elem(&exe_prefixes, &room->key);
    if (found) bits |= *found;
    return bits;
}

// The bits of the executable that an address space was made from. Its path passes through the room's fifth text.
INLINE u64 fl_bits_of_mm(struct fl_room *room, struct mm_struct *mm) {
    if (!mm) return 0;
    struct file *file = GET(mm, exe_file);
    if (!file) return 0;
    u32 at = fl_climb(room, (u64)GET(file, f_path.mnt), (u64)GET(file, f_path.dentry));
    if (at > FL_LONG_TEXT) return 0;
    u32 len = FL_LONG_TEXT - at;
    MOST(len, FL_LONG_TEXT);
    bpf_probe_read_kernel(&room->text[FL_TEXT_MOST], len, &room->path[at]);
    room->pos[4] = FL_TEXT_MOST;
    room->len[4] = len;
    room->hashed &= ~16u;
    u64 bits = fl_exe_bits(room, 4);
    room->hashed &= ~16u;
    return bits;
}

INLINE u64 fl_bits_of_task(struct fl_room *room, struct task_struct *task, struct fl_settings *set) {
    u32 tgid = task->tgid;
    struct fl_proc *known = bpf_map_lookup_elem(&procs, &tgid);
    u64 start = fl_started(task);
    if (known && known->start == start && known->generation == set->generation) return known->exe;
    struct fl_proc fresh = {.start = start, .generation = set->generation, .parent = task->real_parent->tgid};
    fresh.exe = fl_bits_of_mm(room, task->mm);
    if (fl_mnt_ns(task) != set->host_mnt) fresh.flags = FL_P_CONTAINED;
    bpf_map_update_elem(&procs, &tgid, &fresh, BPF_ANY);
    return fresh.exe;
}

GLOBAL int fl_find_exes(struct fl_room *room, u32 parent) {
    struct fl_settings *set = fl_settings();
    if (!room || !set || !set->exe_sets) return 0;
    struct task_struct *task = bpf_get_current_task_btf();
    if (parent && !(room->have & FL_H_PEXE)) {
        room->have |= FL_H_PEXE;
        room->pexe = fl_bits_of_task(room, task->real_parent, set);
    }
    if (!parent && !(room->have & FL_H_EXE)) {
        room->have |= FL_H_EXE;
        room->exe = fl_bits_of_task(room, task, set);
    }
    return 0;
}

#endif
