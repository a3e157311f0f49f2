// Processes: executed, forked, ended. Always on, so that ancestry is known when something is found.
#include "recorder.h"

#define PF_KTHREAD 0x00200000
#define SIGNAL_GROUP_EXIT 4
#define MEMFD 0x3a64666d656dull  // "memfd:"
#define CAP_DAC_OVERRIDE 1
#define FL_EXEC_SIZE (sizeof(struct fl_call) + sizeof(struct fl_exec))

// ---- exec ----------------------------------------------------------------------------------------------------------

INLINE u64 fl_mtime(struct inode *inode) {
    if (HAS_FIELD(inode->i_mtime_sec)) return GET(inode, i_mtime_sec) * 1000000000ull + GET(inode, i_mtime_nsec);
    struct inode___hidden *hidden = (void *)inode;
    if (HAS_FIELD(hidden->__i_mtime)) return GET(hidden, __i_mtime.tv_sec) * 1000000000ull + GET(hidden, __i_mtime.tv_nsec);
    struct inode___plain *plain = (void *)inode;
    return GET(plain, i_mtime.tv_sec) * 1000000000ull + GET(plain, i_mtime.tv_nsec);
}

INLINE u64 fl_ctime(struct inode *inode) {
    if (HAS_FIELD(inode->i_ctime_sec)) return GET(inode, i_ctime_sec) * 1000000000ull + GET(inode, i_ctime_nsec);
    struct inode___hidden *hidden = (void *)inode;
    if (HAS_FIELD(hidden->__i_ctime)) return GET(hidden, __i_ctime.tv_sec) * 1000000000ull + GET(hidden, __i_ctime.tv_nsec);
    struct inode___plain *plain = (void *)inode;
    return GET(plain, i_ctime.tv_sec) * 1000000000ull + GET(plain, i_ctime.tv_nsec);
}

// Whether a file of an overlay is in its upper layer: written after the container began.
INLINE bool fl_is_upper(struct inode *inode, u64 magic) {
    if (magic != OVERLAYFS_MAGIC || !HAS_TYPE(struct ovl_inode)) return 0;
    struct ovl_inode *overlay = (void *)((u64)inode - OFFSET_OF(((struct ovl_inode *)0)->vfs_inode));
    return HAS_FIELD(overlay->__upperdentry) && GET(overlay, __upperdentry);
}

// Whether who runs it may write to it.
INLINE bool fl_is_writable(struct fl_exec *exec, struct inode *inode, u32 mode) {
    if (mode & 0002) return 1;
    if (mode & 0200 && exec->fsuid == exec->exe_uid) return 1;
    if (mode & 0020 && exec->fsgid == GET(inode, i_gid.val)) return 1;
    return exec->caps[0] >> CAP_DAC_OVERRIDE & 1;
}

INLINE void fl_fill_exe(struct fl_exec *exec, struct file *file) {
    struct inode *inode = GET(file, f_inode);
    struct super_block *sb = GET(inode, i_sb);
    u64 magic = GET(sb, s_magic);
    u32 mode = GET(inode, i_mode), flags = 0;
    exec->exe_ino = GET(inode, i_ino);
    exec->exe_ctime = fl_ctime(inode);
    exec->exe_mtime = fl_mtime(inode);
    exec->exe_dev = GET(sb, s_dev);
    exec->exe_mode = mode;
    exec->exe_nlink = GET(inode, i_nlink);
    exec->exe_uid = GET(inode, i_uid.val);
    if (mode & 04000) flags |= FL_EXE_SETUID;
    if (mode & 02000) flags |= FL_EXE_SETGID;
    if (fl_is_upper(inode, magic)) flags |= FL_EXE_UPPER;
    if (fl_is_writable(exec, inode, mode)) flags |= FL_EXE_WRITABLE;
    if (magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC) {
        struct dentry *dentry = GET(file, f_path.dentry);
        const unsigned char *name = GET(dentry, d_name.name);
        u64 begin = 0;
        bpf_probe_read_kernel(&begin, 6, name);
        // Files of memfd_create have no parent.
        if (begin == MEMFD && GET(dentry, d_parent) == dentry) flags |= FL_EXE_MEMFD;
    }
    exec->exe_flags = flags;
}

INLINE void fl_fill_ids(struct fl_exec *exec, struct task_struct *task) {
    struct task_struct *parent = task->real_parent;
    const struct cred *cred = task->cred;
    exec->parent_start = fl_started_at(parent);
    exec->ppid = parent->tgid;
    exec->vpid = fl_vpid(task);
    exec->vppid = fl_number_of(GET(parent, thread_pid), 1);
    exec->pgid = fl_group_of(task, 2, 0);
    exec->vpgid = fl_group_of(task, 2, 1);
    exec->sid = fl_group_of(task, 3, 0);
    exec->vsid = fl_group_of(task, 3, 1);
    exec->tty = fl_tty(task);
    exec->uid = cred->uid.val;
    exec->gid = cred->gid.val;
    exec->euid = cred->euid.val;
    exec->egid = cred->egid.val;
    exec->suid = cred->suid.val;
    exec->sgid = cred->sgid.val;
    exec->fsuid = cred->fsuid.val;
    exec->fsgid = cred->fsgid.val;
    exec->secbits = cred->securebits;
    exec->loginuid = HAS_FIELD(task->loginuid) ? task->loginuid.val : ~0u;
    exec->sessionid = HAS_FIELD(task->sessionid) ? task->sessionid : ~0u;
    exec->caps[0] = fl_caps(&cred->cap_effective);
    exec->caps[1] = fl_caps(&cred->cap_permitted);
    exec->caps[2] = fl_caps(&cred->cap_inheritable);
    exec->caps[3] = fl_caps(&cred->cap_bset);
    exec->caps[4] = fl_caps(&cred->cap_ambient);
#pragma unroll
    for (u32 i = 0; i < 10; i++) exec->ns[i] = fl_namespace(task, i);
}

// Arguments or environment: what lies between two addresses, without the last zero.
INLINE void fl_add_span(struct fl_room *room, u64 from, u64 to, u32 limit) {
    u64 bytes = to > from ? to - from - 1 : 0;
    fl_add_buffer(room, from, bytes, limit);
}

INLINE void fl_exec_texts(struct fl_room *room, struct task_struct *task, struct fl_settings *set) {
    struct mm_struct *mm = task->mm;
    if (!mm) return;
    fl_add_file(room, (u64)GET(mm, exe_file));
    fl_add_directory(room, AT_FDCWD);
    fl_add_span(room, mm->arg_start, mm->arg_end, FL_LONG_TEXT);
    if (set->environment) fl_add_span(room, mm->env_start, mm->env_end, set->environment);
    room->have |= FL_H_TEXTS | FL_H_PLACE;
}

INLINE void fl_remember_exec(struct fl_room *room, struct fl_call *call, struct fl_settings *set, u32 parent) {
    struct fl_proc proc = {.start = call->head.start, .parent = parent, .generation = set->generation};
    u32 tgid = call->head.tgid;
    if (set->exe_sets) proc.exe = fl_exe_bits(room, 0);
    if (call->head.flags & FL_CONTAINED) proc.flags = FL_P_CONTAINED;
    room->exe = proc.exe;
    room->have |= FL_H_EXE;
    bpf_map_update_elem(&procs, &tgid, &proc, BPF_ANY);
}

INLINE void fl_send_exec(struct fl_room *room, int verdict) {
    u32 bytes = fl_write_lens(room, &room->head);
    if (bytes > FL_TEXT_MOST) return;
    if (verdict == FL_ALERT) fl_sent(FL_C_ALERTS, bpf_ringbuf_output(&alerts, &room->head, FL_EXEC_SIZE + bytes, BPF_RB_FORCE_WAKEUP));
    else fl_sent(FL_C_PROCESS, bpf_ringbuf_output(&longs, &room->head, FL_EXEC_SIZE + bytes, BPF_RB_NO_WAKEUP));
}

INLINE int fl_executed(u64 *ctx) {
    struct task_struct *task = bpf_get_current_task_btf();
    struct fl_settings *set = fl_settings();
    if (!set) return 0;
    fl_count(FL_C_PROCESS, FL_SEEN);
    struct fl_room *room = fl_take_room(0);
    if (!room) {
        fl_count(FL_C_PROCESS, FL_DROPPED);
        return 0;
    }
    room->exec = 1;
    struct fl_call *call = fl_clean(&room->head, FL_EXEC, 0);
    struct fl_exec *exec = &room->more;
    __builtin_memset(exec, 0, sizeof *exec);
    fl_fill_head(&call->head, set);
    fl_fill_ids(exec, task);
    struct mm_struct *mm = task->mm;
    if (mm) {
        struct file *file = GET(mm, exe_file);
        if (file) fl_fill_exe(exec, file);
    }
    struct linux_binprm *program = (void *)ctx[2];
    exec->argc = GET(program, argc);
    fl_exec_texts(room, task, set);
    fl_remember_exec(room, call, set, exec->ppid);
    // Every exec is sent, as ancestry needs it; clauses say who asked for it, and act.
    u32 first = 0;
    struct fl_hook *hook = bpf_map_lookup_elem(&hooks, &first);
    int verdict = hook && hook->on && hook->clauses ? fl_sieve(room, call) : FL_POST;
    fl_send_exec(room, verdict);
    fl_give_room(room);
    return 0;
}

// args: the task, its thread id before, the program
SEC("tp_btf/sched_process_exec")
int exec(u64 *ctx) { return fl_executed(ctx); }

SEC("raw_tp/sched_process_exec")
int exec_raw(u64 *ctx) { return fl_executed(ctx); }

// ---- fork ----------------------------------------------------------------------------------------------------------

INLINE struct fl_call *fl_reserve(u16 kind) {
    fl_count(FL_C_PROCESS, FL_SEEN);
    struct fl_call *call = bpf_ringbuf_reserve(&calls, sizeof *call, 0);
    if (!call) {
        fl_count(FL_C_PROCESS, FL_DROPPED);
        return 0;
    }
    return fl_clean(call, kind, 0);
}

INLINE void fl_submit(struct fl_call *call) {
    bpf_ringbuf_submit(call, BPF_RB_NO_WAKEUP);
    fl_count(FL_C_PROCESS, FL_SENT);
}

INLINE int fl_forked(u64 *ctx) {
    struct fl_settings *set = fl_settings();
    struct task_struct *child = (void *)ctx[1];
    u32 tgid = GET(child, tgid);
    if (!set || tgid != (u32)GET(child, pid) || GET(child, flags) & PF_KTHREAD) return 0;
    u64 start = fl_started_at(child);
    u32 parent = bpf_get_current_pid_tgid() >> 32;
    struct fl_proc *known = bpf_map_lookup_elem(&procs, &parent);
    if (known) {
        struct fl_proc proc = *known;
        proc.start = start;
        proc.parent = parent;
        bpf_map_update_elem(&procs, &tgid, &proc, BPF_ANY);
    }
    struct fl_call *call = fl_reserve(FL_FORK);
    if (!call) return 0;
    fl_fill_head(&call->head, set);
    struct nsproxy *ns = GET(child, nsproxy);
    struct mnt_namespace *mnt = GET(ns, mnt_ns);
    struct pid *pid = GET(child, thread_pid);
    struct task_struct *real = GET(child, real_parent);
    u32 level = GET(pid, level);
    struct upid own = {};
    bpf_probe_read_kernel(&own, sizeof own, (const char *)ADDRESS(pid, numbers) + (u64)level * sizeof own);
    call->args[0] = tgid;
    call->args[1] = start;
    call->args[2] = GET(real, tgid);
    call->args[3] = own.nr;
    call->args[4] = GET(mnt, ns.inum);
    call->args[5] = GET(own.ns, ns.inum);
    fl_submit(call);
    return 0;
}

// args: the parent, the child
SEC("tp_btf/sched_process_fork")
int fork(u64 *ctx) { return fl_forked(ctx); }

SEC("raw_tp/sched_process_fork")
int fork_raw(u64 *ctx) { return fl_forked(ctx); }

// ---- exit ----------------------------------------------------------------------------------------------------------

// As wait() will tell it: of the whole process where one call or signal ended it, else of its first thread.
INLINE u32 fl_exit_code(struct task_struct *task) {
    struct signal_struct *signal = task->signal;
    if (signal->flags & SIGNAL_GROUP_EXIT) return signal->group_exit_code;
    return task->group_leader->exit_code;
}

INLINE void fl_record_exit(struct fl_settings *set, u32 code) {
    struct fl_room *room = fl_take_room(0);
    if (!room) return;
    fl_new_flight(room, set, FL_EXIT, code);
    fl_keep_flight(room);
    fl_give_room(room);
}

INLINE int fl_exited(void) {
    struct task_struct *task = bpf_get_current_task_btf();
    struct fl_settings *set = fl_settings();
    if (!set || task->signal->live.counter) return 0;  // other threads go on
    u32 tgid = task->tgid, code = fl_exit_code(task), first = fl_vpid(task) == 1;
    bpf_map_delete_elem(&procs, &tgid);
    if ((code || first) && fl_recorded(set, task)) fl_record_exit(set, code);
    struct fl_call *call = fl_reserve(FL_EXIT);
    if (!call) return 0;
    fl_fill_head(&call->head, set);
    call->head.ret = code;
    call->args[0] = code & 0x7f;
    call->args[1] = code >> 8 & 0xff;
    call->args[2] = first;
    fl_submit(call);
    return 0;
}

SEC("tp_btf/sched_process_exit")
int exit(u64 *ctx) { return fl_exited(); }

SEC("raw_tp/sched_process_exit")
int exit_raw(u64 *ctx) { return fl_exited(); }
