// Paths: from a directory entry up to the root of all mounts, as the kernel itself would write it for the host's first process.
#ifndef FAIRLEAD_PATHS_H
#define FAIRLEAD_PATHS_H

#include "room.h"

#define FL_PATH_ROOM (FL_LONG_TEXT + 512)

struct fl_climb {      // one walk upwards; the path grows from the end of room->path
    struct fl_room *room;
    struct dentry *dentry, *root;
    struct mount *mount;
    u32 at;            // where the path begins so far
    u32 cut;
};

static long fl_climb_one(u32 n, struct fl_climb *c) {
    struct dentry *dentry = c->dentry;
    if (dentry == c->root) {
        struct mount *parent = GET(c->mount, mnt_parent);
        if (parent == c->mount || !parent) return 1;
        c->dentry = GET(c->mount, mnt_mountpoint);
        c->root = GET(parent, mnt.mnt_root);
        c->mount = parent;
        return 0;
    }
    // One reading where the two lie together, as they do in every kernel so far.
    struct { struct dentry *parent; u64 hash_len; const unsigned char *name; } is = {};
    if (OFFSET_OF(dentry->d_name) == OFFSET_OF(dentry->d_parent) + sizeof is.parent) {
        bpf_probe_read_kernel(&is, sizeof is, ADDRESS(dentry, d_parent));
    } else {
        is.parent = GET(dentry, d_parent);
        is.hash_len = GET(dentry, d_name.hash_len);
        is.name = GET(dentry, d_name.name);
    }
    struct dentry *parent = is.parent;
    u32 len = is.hash_len >> 32;
    if (len > 255 || c->at > FL_LONG_TEXT || c->at < len + 1) {
        c->cut = 1;
        return 1;
    }
    if (!len || !parent) return 1;
    if (parent == dentry && len == 1) return 1;  // the root of a file system that is mounted nowhere that we know of
    u32 at = c->at - len;
    SEEN(at);
    if (at > FL_LONG_TEXT || at == 0) return 1;
    bpf_probe_read_kernel(&c->room->path[at], len & 255, is.name);
    at -= 1;
    SEEN(at);
    if (at > FL_LONG_TEXT) return 1;
    c->room->path[at] = '/';
    c->at = at;
    if (parent == dentry) return 1;  // a file without a place, as of memfd_create
    c->dentry = parent;
    return 0;
}

// Without a mount it is the path within the file system.
// Write the path into room->path, at its end; return where it begins (FL_LONG_TEXT: it is empty, as that of a pipe or socket).
GLOBAL int fl_climb(struct fl_room *room, u64 mnt, u64 dentry) {
    if (!room) return FL_LONG_TEXT;
    struct vfsmount *vfs = (void *)mnt;
    struct fl_climb c = {.room = room, .dentry = (void *)dentry, .at = FL_LONG_TEXT};
    if (!dentry) return FL_LONG_TEXT;
    if (mnt) {
        c.root = GET(vfs, mnt_root);
        c.mount = (void *)(mnt - OFFSET_OF(((struct mount *)0)->mnt));
    }
    bpf_loop(FL_LONG_TEXT, fl_climb_one, &c, 0);
    u32 at = c.at, k = room->next;
    if (at > FL_LONG_TEXT) at = FL_LONG_TEXT;
    if (c.cut) room->headless |= 1u << (k & 7);
    if (at == FL_LONG_TEXT) {
        // Only the root of all mounts is a path without a name.
        if (c.dentry != c.root || !at) return at;
        room->path[FL_LONG_TEXT - 1] = '/';
        return FL_LONG_TEXT - 1;
    }
    return at;
}

// Add what room->path holds from `at` on as the next text.
GLOBAL int fl_add_path(struct fl_room *room, u32 at) {
    if (!room) return 0;
    u32 k = room->next, pos = room->end;
    if (k > 3 || pos > FL_TEXT_MOST || at > FL_LONG_TEXT) return 0;
    u32 len = FL_LONG_TEXT - at;
    MOST(len, FL_LONG_TEXT);
    bpf_probe_read_kernel(&room->text[pos], len, &room->path[at]);
    room->pos[k] = pos;
    room->len[k] = len;
    room->end = pos + len;
    room->next = k + 1;
    return len;
}

INLINE void fl_add_nothing(struct fl_room *room) {
    u32 k = room->next;
    if (k > 3) return;
    room->pos[k] = room->end;
    room->len[k] = 0;
    room->next = k + 1;
}

// The path of an open file, by address, as the next text.
INLINE void fl_add_file(struct fl_room *room, u64 address) {
    struct file *file = (void *)address;
    if (!file) {
        fl_add_nothing(room);
        return;
    }
    u64 mnt = (u64)GET(file, f_path.mnt), dentry = (u64)GET(file, f_path.dentry);
    fl_add_path(room, fl_climb(room, mnt, dentry));
}

// The working directory, or with `fd` the directory that it stands for.
GLOBAL int fl_add_directory(struct fl_room *room, s32 fd);

// Return the address of the current process' open file, or 0.
INLINE u64 fl_file_of(s32 fd) {
    struct task_struct *task = bpf_get_current_task_btf();
    struct files_struct *files = task->files;
    if (!files || fd < 0) return 0;
    struct fdtable *table = files->fdt;
    struct file *file = 0;
    if ((u32)fd >= table->max_fds) return 0;
    bpf_probe_read_kernel(&file, sizeof file, table->fd + fd);
    return (u64)file;
}

GLOBAL int fl_add_directory(struct fl_room *room, s32 fd) {
    if (!room) return 0;
    if (fd != AT_FDCWD) {
        fl_add_file(room, fl_file_of(fd));
        return 0;
    }
    struct fs_struct *fs = bpf_get_current_task_btf()->fs;
    if (!fs) {
        fl_add_nothing(room);
        return 0;
    }
    fl_add_path(room, fl_climb(room, (u64)GET(fs, pwd.mnt), (u64)GET(fs, pwd.dentry)));
    return 0;
}

#endif
