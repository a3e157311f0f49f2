"""What the tests of TracingPolicies share: a host, policies of one probe, and events that are judged as the engine would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fairlead.dialects.tracingpolicy.assembling import Loaded, load
from fairlead.dialects.tracingpolicy.filters import Host
from fairlead.sense import sieving
from fairlead.sense.events import Event, Process, make_event
from fairlead.sense.rules import Detection, Rule

HOME = tuple(range(4026531830, 4026531840))
PLAIN = frozenset({
    "tracepoint", "rawtracepoint", "uprobe", "usdt", "tp_btf", "fanotify_perm", "cgroup_connect4", "cgroup_connect6", "cgroup_bind4",
    "cgroup_bind6", "cgroup_sendmsg4", "cgroup_sendmsg6", "cgroup_sock_create",
})  # fmt: skip
"""What a kernel without kprobes, fentry and LSM offers."""


def document(
    spec: dict[str, Any], name: str = "tried", kind: str = "TracingPolicy", **meta: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "cilium.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, **meta},
        "spec": spec,
    }


@dataclass
class Bench:
    """Loads policies and judges events by them, through the clauses as the kernel would."""

    host: Host
    abilities: frozenset[str]

    def load(
        self, *documents: dict[str, Any], abilities: frozenset[str] | None = None, host: Host | None = None
    ) -> Loaded:
        return load(
            [("tried.yaml", one) for one in documents],
            self.abilities if abilities is None else abilities,
            host or self.host,
        )

    def probe(self, section: str = "kprobes", **fields: Any) -> Loaded:
        return self.load(document({section: [fields]}))

    def judge(self, rule: Rule, event: Event) -> Detection | None:
        """Return the rule's detection. Whatever its residue accepts without the kernel's word, a clause must pass."""
        hook = next(
            (one for one in rule.hooks if one.name == event.kind and one.enter == event.entering), None
        )
        hook = hook or next((one for one in rule.hooks if one.sort in {"tracepoint", "uprobe", "usdt"}), None)
        assert rule.residue is not None
        if hook is None:
            said = rule.residue(event)
            return Detection(rule, event, said) if said else None
        alone = make_event(
            event.kind, event.process, args=event.args, ret=event.ret, texts=event.blobs, file=event.file, sock=event.sock, time=event.time,
            tid=event.tid, flags=event.flags & 3, uid=event.uid,
        )  # fmt: skip
        bits = sieving.passed(hook, event)
        accepted = rule.residue(alone)
        if accepted:
            assert bits, "the residue accepts what no clause passes"
        for at, clause in enumerate(hook.clauses):
            if clause.signal and bits >> at & 1:
                assert accepted or clause.silent, "a clause kills what the residue does not accept"
        return Detection(rule, event, accepted) if accepted else None

    def passed(self, rule: Rule, event: Event) -> Event:
        """Return the event as the kernel would send it: with the hook and the bits of the clauses that passed."""
        hook = next(one for one in rule.hooks if one.name == event.kind and one.enter == event.entering)
        return make_event(
            event.kind, event.process, args=event.args, ret=event.ret, texts=event.blobs, file=event.file, sock=event.sock, time=event.time,
            tid=event.tid, flags=event.flags & 3, uid=event.uid, hook=hook, clauses=sieving.passed(hook, event),
        )  # fmt: skip


@pytest.fixture
def bench() -> Bench:
    return Bench(Host(namespaces=HOME), PLAIN)


@pytest.fixture
def policy() -> Callable[..., dict[str, Any]]:
    return document


@pytest.fixture
def cat() -> Process:
    """A process on the host: cat, started by a shell, started by init."""
    init = Process(1, 1)
    init.exe, init.name, init.ns = "/sbin/init", "init", HOME
    shell = Process(70, 70)
    shell.exe, shell.name, shell.parent, shell.ns = "/usr/bin/bash", "bash", init, HOME
    process = Process(71, 71_000)
    process.exe, process.name, process.parent, process.ns = "/usr/bin/cat", "cat", shell, HOME
    process.args, process.cwd, process.exec_id = ["cat", "/etc/passwd", "a b"], "/root", 1
    return process
