// The object that listens: all programs of programs.h that need no more than tracepoints and uprobes.
#include "calls.bpf.c"
#include "generic.bpf.c"
#include "kernel.bpf.c"
#include "process.bpf.c"
#include "recorder.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
