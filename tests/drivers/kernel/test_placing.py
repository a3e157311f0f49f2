"""Which hook serves which need, on kernels that this test makes up."""

from __future__ import annotations

import pytest

from fairlead.drivers.kernel.placing import (
    KERNEL,
    RECORDED,
    Unplaceable,
    always,
    choices,
    kind_of,
    machine,
    recorded,
    recorder,
)
from fairlead.sense.plans import Clause, Hook
from fairlead.sense.records import Kind
from fairlead.sense.syscalls import hook_of, number_of

HERE = frozenset({"tp_btf", "tracepoint", "rawtracepoint", "uprobe", "usdt", "syscalls"})
USUAL = HERE | {"kprobe", "fentry", "fexit", "fmod_ret", "lsm", "override_return"}


def has(category: str, name: str) -> bool:
    return category == "syscalls" or (category, name) == ("sched", "sched_switch")


def lacks(category: str, name: str) -> bool:
    return False


def first(hook: Hook, abilities: frozenset[str] = HERE) -> str:
    return choices(hook, abilities, has)[0].how


def test_a_system_call_is_seen_at_its_own_tracepoint() -> None:
    assert first(hook_of("openat")) == "tracepoint syscalls/sys_exit_openat"
    assert first(hook_of("openat", enter=True)) == "tracepoint syscalls/sys_enter_openat"
    assert first(hook_of("umount2")) == "tracepoint syscalls/sys_exit_umount"
    [way] = choices(hook_of("openat"), HERE, has)[0].ways
    assert (way.program, way.cookie) == ("leave", False)


def test_without_tracepoints_of_calls_every_call_is_looked_at() -> None:
    [choice] = choices(hook_of("openat"), HERE, lacks, lambda _: False)
    assert choice.how == "tp_btf sys_exit"
    assert "dearer" in choice.lost
    with pytest.raises(Unplaceable):
        choices(hook_of("openat"), frozenset(), lacks)


def test_attempts_of_calls_that_the_kernel_lacks_are_seen_at_the_entries() -> None:
    [choice] = choices(hook_of("init_module"), HERE, lacks, lambda name: name == "init_module")
    assert (choice.how, choice.ways[0].program) == ("tp_btf sys_enter", "lacking")
    assert "no such call" in choice.lost
    [choice] = choices(hook_of("init_module", enter=True), HERE, lacks, lambda _: True)
    assert choice.ways[0].program == "enter_any"


def test_kernel_events_and_what_serves_when_they_are_older() -> None:
    assert first(Hook(sort="kernel", name="oom")) == "mark_victim"
    found = choices(Hook(sort="kernel", name="oom"), HERE, has)
    assert [one.ways[0].program for one in found] == ["oom", "oom_pid"]
    assert found[1].lost
    assert len(choices(Hook(sort="kernel", name="cgroup"), HERE, has)[0].ways) == 2
    assert {kind_of(Hook(sort="kernel", name=name)) for name in KERNEL} <= set(Kind)


def test_kernel_functions_by_kprobe_or_fentry() -> None:
    entry, back = Hook(sort="kprobe", name="f", enter=True), Hook(sort="kprobe", name="f")
    assert first(entry, USUAL) == "kprobe f"
    assert first(back, USUAL) == "kretprobe f"
    assert first(entry, USUAL - {"kprobe"}) == "fentry f"
    assert first(Hook(sort="fentry", name="f", enter=True), USUAL) == "fentry f"
    assert first(Hook(sort="fentry", name="f"), USUAL - {"fexit"}) == "kretprobe f"
    [way] = choices(entry, USUAL - {"kprobe"}, has)[0].ways
    assert way.target == "f"
    with pytest.raises(Unplaceable, match="nothing that serves kprobe f"):
        choices(entry, HERE, has)


def test_failing_a_call_needs_a_hook_that_can() -> None:
    hook = Hook(sort="kprobe", name="security_file_open", enter=True, clauses=(Clause(deny=1),))
    found = choices(hook, USUAL, has)
    assert [(one.how.split()[0], one.denies) for one in found] == [
        ("kprobe", True), ("fmod_ret", True), ("kprobe", False), ("fentry", False),
    ]  # fmt: skip
    assert not choices(hook, USUAL - {"override_return", "fmod_ret"}, has)[0].denies


def test_security_hooks_fall_back_to_their_functions() -> None:
    hook = Hook(sort="lsm", name="file_open")
    assert first(hook, USUAL) == "LSM file_open"
    assert choices(hook, USUAL, has)[0].denies
    assert first(hook, USUAL - {"lsm"}) == "kprobe security_file_open"
    assert (
        first(Hook(sort="lsm", name="bprm_check_security"), USUAL - {"lsm"}) == "kprobe security_bprm_check"
    )


def test_generic_hooks_carry_their_slots() -> None:
    for hook, how in [
        (Hook(sort="tracepoint", name="sched/sched_switch"), "tracepoint sched/sched_switch"),
        (Hook(sort="rawtracepoint", name="sched_switch"), "raw tracepoint sched_switch"),
        (Hook(sort="uprobe", name="f", path="/lib/a", enter=True), "uprobe /lib/a:f"),
        (Hook(sort="uprobe", name="", path="/lib/a", detail="4096"), "uretprobe /lib/a:0x1000"),
        (Hook(sort="usdt", name="p", path="/lib/a", detail="prov:p"), "usdt /lib/a:prov:p"),
    ]:
        [choice] = choices(hook, HERE, has)
        assert choice.how == how
        assert all(way.cookie for way in choice.ways)


@pytest.mark.parametrize(
    "hook",
    [
        Hook(sort="syscall", name="no_such"),
        Hook(sort="kernel", name="no_such"),
        Hook(sort="process", name="no_such"),
        Hook(sort="tracepoint", name="no/such"),
        Hook(sort="usdt", name="x", path="/lib/a", detail="x"),
    ],
    ids=str,
)
def test_what_does_not_exist_says_so(hook: Hook) -> None:
    with pytest.raises(Unplaceable):
        choices(hook, USUAL, has)


def test_processes_are_always_seen() -> None:
    assert [one.program for one in always(HERE)] == ["exec", "fork", "exit"]
    assert [one.program for one in always(frozenset())] == ["exec_raw", "fork_raw", "exit_raw"]
    assert first(Hook(sort="process", name="exec")) == "tp_btf sched_process_exec"
    assert choices(Hook(sort="process", name="exit", clauses=(Clause(),)), HERE, has)[0].lost


def test_the_recorder_keeps_paths_addresses_or_errors_alone() -> None:
    table = recorded()
    assert table[number_of("openat", machine()) or 0] == 16 | 1
    assert table[number_of("connect", machine()) or 0] == 32 | 1
    assert table[number_of("socket", machine()) or 0] == 1
    assert table[number_of("sendto", machine()) or 0] == 32 | 4
    ways = recorder(has)
    assert {"flight", "sock_state", "oom"} == {one.program for one in ways}
    assert len({one.where for one in ways if one.program == "flight"}) == len(table) <= len(RECORDED)
