// The parts of the kernel's own structures that the programs read. Only names count: libbpf moves every access to where the running
// kernel has the field (CO-RE), so a structure lists what is read of it and nothing else. Variants of other kernel versions have three
// underscores and a reason in their name, which libbpf takes off.
#ifndef FAIRLEAD_KERNEL_H
#define FAIRLEAD_KERNEL_H

#include "records.h"

typedef _Bool bool;
typedef u16 be16;
typedef u32 be32;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct qstr { union { struct { u32 hash, len; }; u64 hash_len; }; const unsigned char *name; };
struct file_system_type { const char *name; };
struct super_block { u32 s_dev; unsigned long s_magic; struct file_system_type *s_type; };
typedef struct { u32 val; } kuid_t;
typedef struct { u32 val; } kgid_t;
struct timespec64 { s64 tv_sec; long tv_nsec; };
struct inode {
    u16 i_mode;
    kuid_t i_uid;
    kgid_t i_gid;
    struct super_block *i_sb;
    unsigned long i_ino;
    u32 i_nlink;
    s64 i_size;
    s64 i_mtime_sec, i_ctime_sec;
    u32 i_mtime_nsec, i_ctime_nsec;
};
struct inode___hidden { struct timespec64 __i_mtime, __i_ctime; };  // 6.6 to 6.10
struct inode___plain { struct timespec64 i_mtime, i_ctime; };       // before
struct dentry_operations { void *d_dname; };
struct dentry {
    struct dentry *d_parent;
    struct qstr d_name;
    struct inode *d_inode;
    const struct dentry_operations *d_op;
    struct super_block *d_sb;
};
struct vfsmount { struct dentry *mnt_root; };
struct mount { struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct vfsmount mnt; };
struct path { struct vfsmount *mnt; struct dentry *dentry; };
struct file { u32 f_flags; struct path f_path; struct inode *f_inode; void *private_data; };
struct ovl_inode { struct inode vfs_inode; struct dentry *__upperdentry; };

struct fdtable { u32 max_fds; struct file **fd; };
struct files_struct { struct fdtable *fdt; };
struct fs_struct { struct path root, pwd; };
struct percpu_counter { s64 count; };
struct mm_struct { struct percpu_counter rss_stat[4]; unsigned long arg_start, arg_end, env_start, env_end; struct file *exe_file; };

struct ns_common { u32 inum; };
struct uts_namespace { struct ns_common ns; };
struct ipc_namespace { struct ns_common ns; };
struct mnt_namespace { struct ns_common ns; };
struct pid_namespace { struct ns_common ns; u32 level; struct task_struct *child_reaper; };
struct time_namespace { struct ns_common ns; };
struct cgroup_namespace { struct ns_common ns; };
struct user_namespace { struct ns_common ns; };
struct net { struct ns_common ns; };
struct nsproxy {
    struct uts_namespace *uts_ns;
    struct ipc_namespace *ipc_ns;
    struct mnt_namespace *mnt_ns;
    struct pid_namespace *pid_ns_for_children;
    struct net *net_ns;
    struct time_namespace *time_ns, *time_ns_for_children;
    struct cgroup_namespace *cgroup_ns;
};

struct upid { int nr; struct pid_namespace *ns; };
struct pid { u32 level; struct upid numbers[1]; };
struct tty_driver { int major, minor_start; };
struct tty_struct { int index; struct tty_driver *driver; };
typedef struct { int counter; } atomic_t;
struct signal_struct { atomic_t live; int group_exit_code; u32 flags; struct pid *pids[4]; struct tty_struct *tty; };
typedef struct { u64 val; } kernel_cap_t;  // two halves of 32 bits before 6.3, in the same order
struct cred {
    kuid_t uid, suid, euid, fsuid;
    kgid_t gid, sgid, egid, fsgid;
    u32 securebits;
    kernel_cap_t cap_inheritable, cap_permitted, cap_effective, cap_bset, cap_ambient;
    struct user_namespace *user_ns;
};

struct kernfs_node { u64 id; };
struct cgroup_root { int hierarchy_id; };
struct cgroup { struct kernfs_node *kn; struct cgroup_root *root; };
struct cgroup_subsys_state { struct cgroup *cgroup; };
struct css_set { struct cgroup_subsys_state *subsys[16]; struct cgroup *dfl_cgrp; };

struct thread_info { unsigned long flags; u32 status; };
struct task_struct {
    struct thread_info thread_info;
    u32 flags;
    struct mm_struct *mm;
    int exit_code;
    int pid, tgid;
    struct task_struct *real_parent, *group_leader;
    struct pid *thread_pid;
    u64 start_boottime;
    const struct cred *cred;
    char comm[16];
    struct fs_struct *fs;
    struct files_struct *files;
    struct nsproxy *nsproxy;
    struct signal_struct *signal;
    kuid_t loginuid;
    u32 sessionid;
    struct css_set *cgroups;
};
struct task_struct___older { u64 real_start_time; };  // before 5.5
struct linux_binprm { int argc; struct file *file; };
struct kiocb { struct file *ki_filp; };
struct load_info { const char *name; };

#if defined(__TARGET_ARCH_x86)
struct pt_regs { unsigned long di, si, dx, cx, r10, r8, r9, ax, bx, bp, r11, r12, r13, r14, r15, ip, sp, orig_ax; };
#elif defined(__TARGET_ARCH_arm64)
// The kernel's structure begins with the registers as user space sees them.
struct pt_regs { union { struct { u64 regs[31]; u64 sp, pc, pstate; }; }; u64 orig_x0; };
#else
#error "for x86_64 or arm64: -D__TARGET_ARCH_x86 or -D__TARGET_ARCH_arm64"
#endif

struct in6_addr { u8 bytes[16]; };
typedef struct { struct net *net; } possible_net_t;
struct sock_common {
    be32 skc_daddr, skc_rcv_saddr;
    be16 skc_dport;
    u16 skc_num;
    u16 skc_family;
    u8 skc_state;
    possible_net_t skc_net;
    struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
};
struct sock { struct sock_common __sk_common; u16 sk_type, sk_protocol; int sk_err; struct socket *sk_socket; };
struct sock___bits { u32 sk_protocol : 8, sk_type : 16; };  // before 5.6
struct socket { short type; struct sock *sk; struct file *file; };
struct sockaddr_un { u16 sun_family; char sun_path[108]; };
struct unix_address { int len; struct sockaddr_un name[1]; };
struct unix_sock { struct sock sk; struct unix_address *addr; struct sock *peer; };
struct kernel_siginfo { int si_code; };
struct module { char name[56]; };
struct sk_buff { struct sock *sk; be16 protocol; };
struct trace_event_raw_mark_victim { int pid; unsigned long anon_rss, file_rss, shmem_rss; };

#pragma clang attribute pop

// Contexts of tracepoint/syscalls/*: a fixed layout, which the kernel builds for programs.
struct fl_enter { u64 hidden; long nr; u64 args[6]; };
struct fl_leave { u64 hidden; long nr; long ret; };

#define AT_FDCWD -100
#define EPERM 1
#define ENOENT 2
#define ENOSYS 38
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define OVERLAYFS_MAGIC 0x794c7630
#define TMPFS_MAGIC 0x01021994
#define HUGETLBFS_MAGIC 0x958458f6

#endif
