// How a program calls the kernel and reads its memory: helper numbers (the kernel's UAPI, linux/bpf.h), sections, CO-RE questions.
#ifndef FAIRLEAD_HELPERS_H
#define FAIRLEAD_HELPERS_H

#include "kernel.h"

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
// A global function is verified once, by itself, however often it is called: what keeps 64 clauses of 8 tests within the verifier's
// budget. Its pointers may be null as far as old verifiers know.
#define GLOBAL __attribute__((noinline))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_LPM_TRIE 11
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_F_NO_PREALLOC 1
#define BPF_ANY 0
#define BPF_RB_NO_WAKEUP 1
#define BPF_RB_FORCE_WAKEUP 2

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*const bpf_get_current_comm)(void *into, u32 size) = (void *)16;
static long (*const bpf_override_return)(void *regs, u64 ret) = (void *)58;
static long (*const bpf_send_signal)(u32 signal) = (void *)109;
static long (*const bpf_probe_read_user)(void *into, u32 size, const void *from) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *into, u32 size, const void *from) = (void *)113;
static long (*const bpf_probe_read_user_str)(void *into, u32 size, const void *from) = (void *)114;
static long (*const bpf_probe_read_kernel_str)(void *into, u32 size, const void *from) = (void *)115;
static u64 (*const bpf_ktime_get_boot_ns)(void) = (void *)125;
static long (*const bpf_ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static void *(*const bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)158;
static u64 (*const bpf_get_attach_cookie)(void *ctx) = (void *)174;
static struct pt_regs *(*const bpf_task_pt_regs)(struct task_struct *task) = (void *)175;
static long (*const bpf_loop)(u32 times, void *each, void *with, u64 flags) = (void *)181;
static long (*const bpf_get_func_arg)(void *ctx, u32 n, u64 *value) = (void *)183;
static long (*const bpf_get_func_ret)(void *ctx, u64 *value) = (void *)184;
static long (*const bpf_get_func_arg_cnt)(void *ctx) = (void *)185;

// What the kernel at hand has.
#define HAS_FIELD(expression) __builtin_preserve_field_info(expression, 2)
#define OFFSET_OF(expression) __builtin_preserve_field_info(expression, 0)
#define HAS_TYPE(type) __builtin_preserve_type_info(*(typeof(type) *)0, 0)

// A field of a structure that is known by its address only (found by reading, not by following typed pointers, which the verifier
// lets be loaded directly and faster). Memory that went away reads as zero.
#define ADDRESS(pointer, field) ((const void *)&(pointer)->field)
#define GET(pointer, field)                                                            \
    ({                                                                                 \
        typeof((pointer)->field) got_ = {};                                            \
        bpf_probe_read_kernel(&got_, sizeof got_, ADDRESS(pointer, field));            \
        got_;                                                                          \
    })

// The same on a hot path: by a direct load, where the kernel lets an address be taken for a typed pointer (6.2).
extern void *bpf_rdonly_cast(const void *address, u32 type) __attribute__((weak, section(".ksyms")));
#define LOAD(pointer, field)                                                                                    \
    ({                                                                                                          \
        typeof((pointer)->field) loaded_ = {};                                                                  \
        if (bpf_rdonly_cast)                                                                                    \
            loaded_ = ((typeof(pointer))bpf_rdonly_cast(pointer, __builtin_btf_type_id(*(pointer), 1)))->field; \
        else                                                                                                    \
            bpf_probe_read_kernel(&loaded_, sizeof loaded_, ADDRESS(pointer, field));                           \
        loaded_;                                                                                                \
    })

// Keeps the compiler from undoing a bound that the verifier needs to see on this very register.
#define SEEN(x) asm volatile("" : "+r"(x))

#define MOST(x, limit)                    \
    do {                                  \
        SEEN(x);                          \
        if ((x) > (limit)) (x) = (limit); \
    } while (0)

#endif
