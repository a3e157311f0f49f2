"""Kernel functions about processes, credentials, modules, BPF and the machine, and where their calls are seen without kprobes. A table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fairlead.dialects.tracingpolicy.places import Row, fields, no, row, spots

_AFTER = "told at the call's return, with what the call returned"
_EXEC_DIFFERS = "told when the exec has succeeded; matchBinaries then compares the parent's executable, which is the caller's where it forked"
_EXEC_LOST = "executions that fail; the caller's own binary where it executes without having forked; scripts are told of, and not signalled"

_exec = row(
    spots("exec", "0=exe", returned="=0"),
    spots(
        "exec", "0=script", returned="=0"
    ),  # the kernel asks twice: about the script, and about what interprets it
    differs=_EXEC_DIFFERS,
    lost=_EXEC_LOST,
)
_CHECKED = "capability/cap_capable"
_CHECK = "told when the check has been made"
_BEFORE = "everything, on kernels before 6.14, which have no such tracepoint"
_USERS = "setuid setreuid setresuid setfsuid"
_GROUPS = "setgid setregid setresgid setfsgid"
_fork = row(
    spots("clone", "0=arg0 1=arg0", returned="ret"), spots("clone3 fork vfork", "0==0 1==0", returned="ret"), differs=_AFTER,
    lost="the flags of clone3, which lie in the caller's memory",
)  # fmt: skip
_userns = row(
    spots("unshare clone", "0=cred", "arg0&268435456", "=0", enter=True), differs="told at the call's entry",
    lost="clone3 with CLONE_NEWUSER, whose flags lie in the caller's memory",
)  # fmt: skip
_bpf = row(
    spots("bpf", "0=arg0 2=arg2", returned="verdict"),
    differs=_AFTER,
    lost="what the call carries (union bpf_attr)",
)


def _bpf_only(command: int) -> Row:
    return row(
        spots("bpf", "", f"arg0=={command}", "verdict"), differs=_AFTER, lost="the kernel's own object"
    )


def _ids(first: int) -> Row:
    names = {
        1: ("setuid", "setgid"),
        2: ("setreuid", "setregid"),
        4: ("setresuid", "setresgid"),
        8: ("setfsuid", "setfsgid"),
    }
    return row(
        *(spots(pair[first], f"0=cred 2=={flag}", returned="verdict") for flag, pair in names.items()),
        differs=_AFTER,
        lost="the credentials before",
    )


PROCESSES: Final[Mapping[str, Row]] = {
    "security_bprm_check": _exec,
    "security_bprm_creds_for_exec": _exec,
    "security_bprm_creds_from_file": row(
        spots("exec", "0=exe 1=exe", returned="=0"), differs=_EXEC_DIFFERS, lost=_EXEC_LOST
    ),
    "security_bprm_committing_creds": row(spots("exec", "0=exe"), differs=_EXEC_DIFFERS),
    "security_bprm_committed_creds": row(spots("exec", "0=exe"), differs=_EXEC_DIFFERS),
    "begin_new_exec": row(spots("exec", "0=exe", returned="=0"), differs=_EXEC_DIFFERS),
    "exec_binprm": _exec,
    "bprm_execve": _exec,
    "search_binary_handler": _exec,
    "load_elf_binary": row(
        spots("exec", "0=exe", returned="=0"),
        differs=_EXEC_DIFFERS,
        lost="formats other than ELF are told too",
    ),
    "elf_begin": _exec,
    "proc_exec_connector": row(spots("exec"), differs=_EXEC_DIFFERS),
    "acct_process": row(spots("exited"), differs="told at the process' end"),
    "do_exit": row(spots("exited", "0=ret"), differs="told when the last thread ends"),
    "do_group_exit": row(
        spots("exit_group", "0=arg0", enter=True),
        differs="told at the entry of exit_group",
        lost="ends by a signal",
    ),
    "exit_notify": row(spots("exited"), differs="told when the last thread ends"),
    "wake_up_new_task": row(spots("forked"), differs="told at fork", lost="threads"),
    "security_task_alloc": _fork,
    "kernel_clone": _fork,
    "_do_fork": _fork,
    "copy_process": _fork,
    "commit_creds": row(
        spots(f"{_USERS} {_GROUPS} capset setgroups", "0=cred", "ret>=0", "=0"),
        spots("unshare", "0=cred", "arg0&268435456 ret>=0", "=0"),
        spots("exec", "0=cred", returned="=0"),
        differs="told at the return of the calls that change credentials, and at exec",
        lost="keyctl, setns into a user namespace, and what the kernel changes by itself",
    ),
    "override_creds": no("the kernel takes on credentials for a moment, which no tracepoint tells"),
    "revert_creds": no("the kernel takes on credentials for a moment, which no tracepoint tells"),
    "prepare_creds": no("credentials that are prepared are told by no tracepoint; commit_creds is"),
    "__put_cred": no("no tracepoint tells that credentials are freed"),
    "security_task_fix_setuid": _ids(0),
    "security_task_fix_setgid": _ids(1),
    "security_task_fix_setgroups": row(
        spots("setgroups", "0=cred", returned="verdict"), differs=_AFTER, lost="the credentials before"
    ),
    "security_capset": row(
        spots("capset", "0=cred", returned="verdict"),
        differs=_AFTER,
        lost="the sets of capabilities that were asked for",
    ),
    "security_prepare_creds": no("credentials that are prepared are told by no tracepoint; commit_creds is"),
    "security_create_user_ns": _userns,
    "create_user_ns": _userns,
    "unshare_nsproxy_namespaces": row(spots("unshare", "0=arg0", "arg0&2114060288", "ret"), differs=_AFTER),
    "create_new_namespaces": row(
        spots("unshare clone", "0=arg0", "arg0&2114060288", "ret"), differs=_AFTER, lost="setns and clone3"
    ),
    "switch_task_namespaces": row(
        spots("unshare setns", "", "ret>=0"), differs=_AFTER, lost="the namespaces, and ends of processes"
    ),
    "ksys_unshare": row(spots("unshare", "0=arg0", returned="ret"), differs=_AFTER),
    "security_ptrace_access_check": row(
        spots("ptrace", "1==2", "arg0==16", "verdict"),
        spots("ptrace", "1==2", "arg0==16902", "verdict"),
        spots("process_vm_readv", "1==1", returned="verdict"),
        spots("process_vm_writev", "1==2", returned="verdict"),
        differs=_AFTER,
        lost="the process that is looked at, and looks at /proc",
    ),
    "security_ptrace_traceme": row(
        spots("ptrace", "", "arg0==0", "verdict"), differs=_AFTER, lost="the parent"
    ),
    "ptrace_attach": row(
        spots("ptrace", "1=arg0 2=arg2 3=arg3", "arg0==16", "ret"),
        spots("ptrace", "1=arg0 2=arg2 3=arg3", "arg0==16902", "ret"),
        differs=_AFTER,
        lost="the process that is attached to",
    ),
    "security_task_kill": row(
        spots("kill tkill", "2=arg1", returned="verdict"),
        spots("tgkill", "2=arg2", returned="verdict"),
        differs=_AFTER,
        lost="the process that is signalled",
    ),
    "do_send_sig_info": row(spots("signal", "0=arg0"), differs="told when a signal is made"),
    "__send_signal_locked": row(spots("signal", "0=arg0"), differs="told when a signal is made"),
    "force_sig": row(spots("signal", "0=arg0"), differs="told when a signal is made, by whom ever"),
    "force_sig_fault": row(
        spots("signal", "0=arg0 1=arg2"),
        differs="told when a signal is made, by whom ever",
        lost="the address",
    ),
    "security_task_prctl": row(
        spots("prctl", "0=arg0 1=arg1 2=arg2 3=arg3 4=arg4", returned="verdict"), differs=_AFTER
    ),
    "security_task_setrlimit": row(
        spots("setrlimit", "1=arg0", returned="verdict"),
        spots("prlimit64", "1=arg1", returned="verdict"),
        differs=_AFTER,
        lost="the limit",
    ),
    "security_task_setpgid": row(
        spots("setpgid", "1=arg1", returned="verdict"), differs=_AFTER, lost="the process"
    ),
    "security_task_setscheduler": row(
        spots("sched_setscheduler sched_setparam sched_setaffinity", returned="verdict"),
        differs=_AFTER,
        lost="the process",
    ),
    "security_settime64": row(
        spots("clock_settime settimeofday", returned="verdict"), differs=_AFTER, lost="the time"
    ),
    "security_syslog": row(spots("syslog", "0=arg0", returned="verdict"), differs=_AFTER),
    "security_kernel_module_request": row(
        spots("module_wanted", "0=first", returned="=0"),
        differs="told by module:module_request, as the request is made",
    ),
    "__request_module": row(spots("module_wanted", "1=first"), differs="told by module:module_request"),
    "security_kernel_read_file": row(
        spots("finit_module", "0=place 1==2", returned="verdict"),
        spots("kexec_file_load", "0=place 1==3", returned="verdict"),
        differs=_AFTER,
        lost="firmware, policies and certificates that the kernel reads",
    ),
    "security_kernel_post_read_file": row(
        spots("finit_module", "0=place 3==2", returned="verdict"), differs=_AFTER, lost="what was read"
    ),
    "security_kernel_load_data": row(
        spots("init_module", "0==2", returned="verdict"),
        spots("kexec_load", "0==3", returned="verdict"),
        differs=_AFTER,
        lost="firmware and policies",
    ),
    "find_module_sections": row(
        spots("module", "0=module 1=module"),
        differs="told by module:module_load",
        lost="whether the signature is good, and the flags of taint",
    ),
    "do_init_module": row(spots("module", "0=module"), differs="told by module:module_load"),
    "load_module": row(
        spots("module", "0=module"),
        differs="told by module:module_load, when it has succeeded",
        lost="modules that are refused",
    ),
    "layout_and_allocate": row(spots("module", "0=module"), differs="told by module:module_load"),
    "free_module": row(spots("delete_module", "0=text:name_user", "ret>=0"), differs=_AFTER),
    "try_stop_module": row(spots("delete_module", "0=text:name_user 1=arg1", returned="ret"), differs=_AFTER),
    "security_bpf": _bpf,
    "__sys_bpf": _bpf,
    "bpf_check": _bpf_only(5),
    "bpf_prog_load": _bpf_only(5),
    "security_bpf_prog_load": _bpf_only(5),
    "security_bpf_prog": _bpf_only(5),
    "security_bpf_prog_alloc": _bpf_only(5),
    "security_bpf_map": _bpf_only(0),
    "security_bpf_map_alloc": _bpf_only(0),
    "security_bpf_map_create": _bpf_only(0),
    "map_create": _bpf_only(0),
    "security_perf_event_open": row(
        spots("perf_event_open", returned="verdict"), differs=_AFTER, lost="the event's attributes"
    ),
    "security_perf_event_alloc": row(
        spots("perf_event_open", returned="verdict"), differs=_AFTER, lost="the event itself"
    ),
    "perf_event_alloc": row(
        spots("perf_event_open", returned="ret"), differs=_AFTER, lost="the event itself"
    ),
    "cgroup_attach_task": no("moves between cgroups are told by no tracepoint that this sensor carries"),
    "oom_kill_process": row(spots("oom"), differs="told when the victim is chosen"),
    "security_capable": row(fields(_CHECKED, "0=cred 2=arg3", "arg4"), differs=_CHECK, lost=_BEFORE),
    "cap_capable": row(fields(_CHECKED, "0=cred 2=arg3", "arg4"), differs=_CHECK, lost=_BEFORE),
    "ns_capable": row(fields(_CHECKED, "1=arg3", "arg4"), differs=_CHECK, lost=_BEFORE),
    "security_mmap_addr": no("the kernel asks this of each mapping; no tracepoint tells"),
    "security_locked_down": no("no tracepoint tells what lockdown is asked"),
}
"""Function -> where it is seen."""
