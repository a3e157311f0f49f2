// Who is asking: facts about tasks, by direct loads through typed pointers.
#ifndef FAIRLEAD_TASK_H
#define FAIRLEAD_TASK_H

#include "maps.h"

INLINE u64 fl_started(struct task_struct *task) {
    struct task_struct *leader = task->group_leader;
    if (HAS_FIELD(leader->start_boottime)) return leader->start_boottime;
    return ((struct task_struct___older *)leader)->real_start_time;
}

// The same of a task that is known by its address.
INLINE u64 fl_started_at(struct task_struct *task) {
    struct task_struct *leader = GET(task, group_leader);
    if (HAS_FIELD(leader->start_boottime)) return GET(leader, start_boottime);
    return GET((struct task_struct___older *)leader, real_start_time);
}

// The id of the task's cgroup, in the hierarchy that containers are placed in on this machine.
INLINE u64 fl_cgroup_of(struct task_struct *task, struct fl_settings *set) {
    struct css_set *groups = GET(task, cgroups);
    struct cgroup *cgroup = 0;
    u32 controller = set->controller;
    if (controller && controller <= 16) {
        struct cgroup_subsys_state *state = 0;
        const void *at = (const char *)ADDRESS(groups, subsys) + (controller - 1) * sizeof(void *);
        bpf_probe_read_kernel(&state, sizeof state, at);
        cgroup = GET(state, cgroup);
    } else {
        cgroup = GET(groups, dfl_cgrp);
    }
    struct kernfs_node *node = GET(cgroup, kn);
    return GET(node, id);
}

// The same of the task that runs, by direct loads where that can be.
INLINE u64 fl_own_cgroup(struct task_struct *task, struct fl_settings *set) {
    if (set->controller) return fl_cgroup_of(task, set);
    return task->cgroups->dfl_cgrp->kn->id;
}

INLINE u32 fl_mnt_ns(struct task_struct *task) {
    struct nsproxy *ns = task->nsproxy;
    if (!ns) return 0;
    return ns->mnt_ns->ns.inum;
}

// Namespaces by their place in fl_exec.ns: uts ipc mnt pid pid_for_children net time time_for_children cgroup user.
INLINE u32 fl_namespace(struct task_struct *task, u32 which) {
    struct nsproxy *ns = task->nsproxy;
    if (which == 9) return task->cred->user_ns->ns.inum;
    if (which == 3) {
        struct pid *pid = task->thread_pid;
        u32 level = pid->level;
        struct upid at = {};
        bpf_probe_read_kernel(&at, sizeof at, (const char *)ADDRESS(pid, numbers) + (u64)level * sizeof(struct upid));
        return GET(at.ns, ns.inum);
    }
    if (!ns) return 0;
    switch (which) {
    case 0: return ns->uts_ns->ns.inum;
    case 1: return ns->ipc_ns->ns.inum;
    case 2: return ns->mnt_ns->ns.inum;
    case 4: return ns->pid_ns_for_children->ns.inum;
    case 5: return ns->net_ns->ns.inum;
    case 6: return HAS_FIELD(ns->time_ns) ? ns->time_ns->ns.inum : 0;
    case 7: return HAS_FIELD(ns->time_ns_for_children) ? ns->time_ns_for_children->ns.inum : 0;
    case 8: return ns->cgroup_ns->ns.inum;
    }
    return 0;
}

// A pid's number in its own namespace, or in the host's.
INLINE u32 fl_number_of(struct pid *pid, bool own) {
    struct upid at = {};
    if (!pid) return 0;
    u32 level = own ? GET(pid, level) : 0;
    bpf_probe_read_kernel(&at, sizeof at, (const char *)ADDRESS(pid, numbers) + (u64)level * sizeof(struct upid));
    return at.nr;
}

INLINE u32 fl_vpid(struct task_struct *task) { return fl_number_of(task->group_leader->thread_pid, 1); }

// Process group (2) or session (3).
INLINE u32 fl_group_of(struct task_struct *task, u32 which, bool own) {
    struct pid *pid = 0;
    bpf_probe_read_kernel(&pid, sizeof pid, (const char *)ADDRESS(task->signal, pids) + which * sizeof(void *));
    return fl_number_of(pid, own);
}

INLINE u64 fl_caps(const void *at) {
    u64 caps = 0;
    bpf_probe_read_kernel(&caps, sizeof caps, at);
    return caps;
}

// As /proc/PID/stat writes it.
INLINE u32 fl_tty(struct task_struct *task) {
    struct tty_struct *tty = task->signal->tty;
    if (!tty) return 0;
    u32 major = tty->driver->major, minor = tty->driver->minor_start + tty->index;
    return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

// Events of the sensor itself, and of whom the loader names, are not looked at.
INLINE bool fl_ignored(struct fl_settings *set, u32 tgid) {
    if (tgid == set->sensor) return 1;
    if (LIKELY(!set->ignoring)) return 0;
    u8 *how = bpf_map_lookup_elem(&spared, &tgid);
    return how && (*how & FL_SPARED_IGNORED);
}

INLINE void fl_fill_head(struct fl_head *head, struct fl_settings *set) {
    struct task_struct *task = bpf_get_current_task_btf();
    u64 id = bpf_get_current_pid_tgid();
    head->time = bpf_ktime_get_boot_ns();
    head->start = fl_started(task);
    if (!head->cgroup) head->cgroup = fl_own_cgroup(task, set);  // else an out-of-memory victim's
    head->tgid = id >> 32;
    head->tid = (u32)id;
    head->uid = task->cred->euid.val;
    head->gid = task->cred->egid.val;
    bpf_get_current_comm(head->comm, sizeof head->comm);
    if (fl_mnt_ns(task) != set->host_mnt) head->flags |= FL_CONTAINED;
}

#endif
