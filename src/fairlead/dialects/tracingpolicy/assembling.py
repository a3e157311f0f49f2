"""Makes rules of the engine from Policies: for each function of a probe a Rule with hooks, clauses, preventions and guards, and a residue.

`load` is the whole way from documents to rules. It never raises over content; it is called again when containers come and go, since who is
meant is told to the kernel by cgroups. Pure: what the kernel allows and what is on the host are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fairlead.dialects.tracingpolicy import (
    acting,
    argtypes,
    changes,
    filters,
    operators,
    placing,
    reading,
    seeing,
)
from fairlead.dialects.tracingpolicy.filters import ALWAYS, Alternatives, Filter, Host, both
from fairlead.dialects.tracingpolicy.noting import Notes
from fairlead.dialects.tracingpolicy.places import Condition, Source
from fairlead.dialects.tracingpolicy.placing import Placed, Placement, Told
from fairlead.dialects.tracingpolicy.policies import Argument, ArgumentFilter, Policy, Probe, Selector
from fairlead.dialects.tracingpolicy.verdicts import ONLY, Place, Seen, Watch, Watcher, told_apart
from fairlead.sense import syscalls
from fairlead.sense.events import Event
from fairlead.sense.plans import MOST_TESTS, Clause, Guard, Hook, Op, Prevention, Test, What
from fairlead.sense.rules import Rule
from fairlead.words import Finding, Severity, Where

NO_HOST: Final = Host()
KINDS: Final = {
    "tracepoint": "tracepoint",
    "rawtracepoint": "tracepoint",
    "uprobe": "uprobe",
    "usdt": "uprobe",
    "kprobe": "kprobe",
    "fentry": "kprobe",
    "lsm": "lsm",
}
"""Sort of hook -> kind of its events, where the hook's name is not the kind."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of documents: policies, rules of the engine, findings, and a row for each function that says where it is seen."""

    policies: tuple[Policy, ...] = ()
    rules: tuple[Rule, ...] = ()
    findings: tuple[Finding, ...] = ()
    placements: tuple[Told, ...] = ()


def load(documents: Sequence[tuple[str, Any]], abilities: frozenset[str], host: Host = NO_HOST) -> Loaded:
    """Return what comes of parsed documents, each with the name of its file. Documents of other kinds are passed over."""
    policies: list[Policy] = []
    findings: list[Finding] = []
    names: set[str] = set()
    for file, content in documents:
        for document in reading.documents([content]):
            policy, said = reading.read(document, Where(file=file))
            findings += said
            if policy is None:
                continue
            if policy.key in names:
                notes = Notes(policy.ref)
                notes.wrong(policy.where, f"there is another policy {policy.key}; this one is left out")
                findings += notes.findings
                continue
            names.add(policy.key)
            policies.append(policy)
    rules: list[Rule] = []
    told: list[Told] = []
    for policy in policies:
        made, said = assemble(policy, abilities, host)
        rules += made
        findings += said
        told += placing.placements(policy, abilities)
    return Loaded(tuple(policies), tuple(rules), tuple(findings), tuple(told))


def assemble(
    policy: Policy, abilities: frozenset[str], host: Host = NO_HOST
) -> tuple[list[Rule], list[Finding]]:
    """Return a policy's rules, and what was lost or refused on the way."""
    notes = Notes(policy.ref)
    rules: list[Rule] = []
    if policy.loader:
        rules.append(_loader(policy))
    for probe in policy.probes:
        made = _Maker(policy, probe, abilities, host, notes)
        rules += made.rules()
    file, line = policy.where.file, policy.where.line
    found = [replace(one, where=Where(file, line, one.where.path)) for one in notes.findings]
    return rules, list(dict.fromkeys(found))


def _loader(policy: Policy) -> Rule:
    """Return the rule of `loader: true`: files that are mapped to be executed."""
    key = f"tracingpolicy/{policy.key}/loader"
    tests = (Test(What.ARG, Op.ANYBITS, (4,), 2), Test(What.ARG, Op.NOBITS, (0x20,), 3))
    probe = Probe(section="kprobes", path=".spec.loader", calls=("loader",))
    watcher = Watcher(key, policy, probe, "loader")
    seen = Seen(
        Argument(type="file"),
        seeing.subject(Source("place"), argtypes.TYPES["file"], syscalls.hook_of("mmap")),
    )
    watcher.places[("mmap", False)] = [
        Place(
            None,
            (lambda event: event.file is not None and event.ret >= 0,),
            (seen,),
            (),
            None,
            (Watch(Selector(), (), ()),),
        )
    ]
    return Rule(
        key=key, dialect="tracingpolicy", name=f"{policy.name}: loader", severity=Severity.INFO, where=policy.where, detail=policy,
        hooks=(syscalls.hook_of("mmap", (Clause(tests=tests, owner=key),)),), residue=watcher, findings=False, message=lambda event: f"{event.process.exe or event.process.name} loads {event.texts[0]}",
    )  # fmt: skip


@dataclass(slots=True)
class _Maker:
    """Makes the rules of one probe."""

    policy: Policy
    probe: Probe
    abilities: frozenset[str]
    host: Host
    notes: Notes
    hooks: list[Hook] = field(default_factory=list)
    preventions: list[Prevention] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    acted: set[str] = field(default_factory=set)
    changing: set[str] = field(default_factory=set)

    def rules(self) -> list[Rule]:
        """Return a rule for each function that can be seen."""
        found = []
        probe, notes = self.probe, self.notes
        wishes = [acting.wish(one, self.policy, probe, notes) for one in probe.selectors]
        if probe.return_action in {"TrackSock", "UntrackSock"}:
            notes.told(
                Where(path=f"{probe.path}.returnArgAction"),
                "a socket's owner is not kept; events that the network causes name the process that was interrupted",
            )
        for one in placing.all_of(probe, self.abilities):
            self._tell(one)
            if one.placed:
                found.append(self._rule(one, wishes))
        return found

    def _tell(self, one: Placement) -> None:
        where = Where(path=self.probe.path)
        if not one.placed:
            if self.probe.optional:
                self.notes.told(where, f"{one.function} is not watched: {one.why}")
            else:
                self.notes.unable(where, f"{one.function} cannot be watched: {one.why}")
            return
        if self.probe.calls and self.probe.calls[0].startswith("generated_"):
            return  # a row for each of hundreds helps nobody
        if one.lost:
            self.notes.lost(where, f"{one.function} is seen by {one.used}; not seen: {one.lost}")
        elif one.differs:
            self.notes.told(where, f"{one.function} is seen by {one.used}: {one.differs}")

    def _rule(self, placement: Placement, wishes: Sequence[acting.Wish]) -> Rule:
        self.hooks, self.preventions, self.guards, self.kinds, self.acted = [], [], [], set(), set()
        policy, probe = self.policy, self.probe
        key = f"tracingpolicy/{policy.key}{probe.path.removeprefix('.spec')}/{placement.function}"
        watcher = Watcher(key, policy, probe, placement.function)
        for placed in placement.placed:
            self._place(watcher, placement, placed, wishes, key)
        self._deny(placement, wishes, key)
        name = f"{policy.name}: {placement.function or probe.listed}"
        acts = any(ask.signal or ask.deny for ask in wishes)
        return Rule(
            key=key,
            dialect="tracingpolicy",
            name=name,
            severity=Severity.CRITICAL if acts else Severity.WARNING if probe.selectors else Severity.INFO,
            message=_message(probe, placement.function),
            tags=probe.tags,
            kinds=tuple(sorted(self.kinds)),
            residue=watcher,
            hooks=tuple(self.hooks),
            preventions=tuple(self.preventions),
            guards=tuple(self.guards),
            where=Where(policy.where.file, policy.where.line, probe.path),
            findings=bool(probe.selectors) or bool(probe.message),
            detail=policy,
        )

    def _place(
        self, watcher: Watcher, placement: Placement, placed: Placed, wishes: Sequence[acting.Wish], key: str
    ) -> None:
        probe, spot, hook = self.probe, placed.spot, placed.hook
        args = tuple(Seen(one, placing.wanted(one, placed)) for one in probe.args)
        data = tuple(Seen(one, placing.wanted(one, placed)) for one in probe.data)
        returned = None
        if probe.return_arg is not None:
            kind = argtypes.named(probe.return_arg.type)
            returned = Seen(probe.return_arg, seeing.subject(spot.returned, kind, hook) if kind else None)
        fixed = tuple(one.test for one in spot.conditions)
        executing = spot.sort == "process"
        watches: list[Watch] = []
        clauses: list[Clause] = []
        before: list[list[Filter]] = []
        selectors = probe.selectors or (Selector(),)
        for selector, ask in zip(selectors, wishes or (acting.Wish(),), strict=True):
            made = self._filters(selector, args, data, returned, spot.name == "exec")
            if made is None:
                continue
            found, returns = made
            rows, trusted = self._wide(fixed, (*found, *returns))
            signal = ask.late_signal or ask.signal
            acted = bool(signal) and self._signal(
                placement, placed, replace(ask, signal=signal), found, returns, before, fixed, key, clauses
            )
            # An event never tells of a signal that nobody could send.
            name, late = (ask.name, ask.return_name) if acted or not signal else ("Post", "Post")
            watches.append(
                Watch(
                    selector, tuple(found), tuple(returns), ask.post, name, late, ask.rate, ask.deeds, trusted and not executing,
                    frozenset(map(told_apart, rows)),
                )
            )  # fmt: skip
            if ask.post:
                silent_before = [one for one in clauses if one.signal]
                clauses += [
                    Clause(tests=row, owner=key)
                    for row in rows
                    if not acted or not any(row == one.tests and not one.silent for one in silent_before)
                ]
            before.append(list(found))
        if not watches:
            return
        named: Callable[[Event], str] | None = None
        if not placement.function:
            named = _called(self.host.machine)
        checks = tuple(_check(one) for one in spot.conditions) + ((ONLY[spot.only],) if spot.only else ())
        event_kind = KINDS.get(hook.sort, spot.name)
        place = Place(
            hook if hook.sort in KINDS else None, checks, args, data, returned, tuple(watches), named
        )
        watcher.places.setdefault((event_kind, hook.enter if hook.sort == "syscall" else False), []).append(
            place
        )
        if hook.sort in KINDS and hook.enter:
            watcher.places.setdefault((event_kind, True), []).append(place)
        if executing:
            self.kinds.add(spot.name)
            clauses = [one for one in clauses if one.signal]
            if not clauses or spot.name != "exec":
                return
        if clauses:  # a hook without any would let everything through
            self.hooks.append(replace(hook, clauses=tuple(dict.fromkeys(clauses))))

    def _filters(
        self,
        selector: Selector,
        args: Sequence[Seen],
        data: Sequence[Seen],
        returned: Seen | None,
        exec_: bool,
    ) -> tuple[list[Filter], list[Filter]] | None:
        """Return a selector's filters at one place, or None where one of them asks for what is not there."""
        host, up = self.host, 1 if exec_ else 0
        found: list[Filter] = []
        for one in selector.args:
            made = filters.argument(one, [each.subject for each in _subjects(one, args)], host)
            if made is None:
                self.notes.unable(
                    Where(path=one.path),
                    "the argument is not to be had where the function is seen, so the selector is left out there",
                )
                return None
            found.append(made)
        for one in selector.data:
            places = one.args or (one.index,)
            chosen = [data[at].subject for at in places if at < len(data)]
            made = filters.argument(one, chosen, host)
            if made is None:
                self.notes.unable(
                    Where(path=one.path),
                    "the data is not to be had where the function is seen, so the selector is left out there",
                )
                return None
            found.append(made)
        for change in selector.changes:
            made = self._changed(changes.namespaces(change, host), change.path)
            if made is None:
                return None
            found.append(made)
        for change_of in selector.capability_changes:
            made = self._changed(changes.capabilities(change_of), change_of.path)
            if made is None:
                return None
            found.append(made)
        found += [filters.pid(one, host) for one in selector.pids]
        found += [filters.namespace(one, host) for one in selector.namespaces]
        found += [filters.capability(one, host) for one in selector.capabilities]
        found += [filters.credential(one) for one in selector.credentials]
        found += [filters.binary(one, up=up) for one in selector.binaries]
        for parent in selector.parents:
            made = filters.binary(parent, up=up + 1)
            found.append(
                made
                if not up
                else Filter(made.test, why="who the caller's parent is is known after the fact")
            )
        for workloads in (selector.workloads, self.policy.workloads):
            if workloads is not None and not workloads.all:
                found.append(filters.workload(workloads, host))
        returns = []
        for one in selector.returns:
            made = filters.argument(one, [returned.subject if returned else None], host)
            if made is None:
                self.notes.unable(
                    Where(path=one.path),
                    "the returned value is not to be had where the function is seen, so the selector is left out there",
                )
                return None
            returns.append(made)
        return found, returns

    def _changed(self, made: Filter | str, path: str) -> Filter | None:
        """Return a filter of changes; note why there is none, or what it does not see."""
        if isinstance(made, str):
            self.notes.unable(Where(path=path), f"{made}, so the selector is left out")
            return None
        if path not in self.changing:
            self.changing.add(path)
            self.notes.lost(
                Where(path=path),
                "changes are told by what the kernel sees at the event: of namespaces, the way into the host's and out of it",
            )
        return made

    def _wide(self, fixed: tuple[Test, ...], found: Sequence[Filter]) -> tuple[Alternatives, bool]:
        """Return the clauses' rows for posting, and whether they decide all that is current."""
        rows: Alternatives = (fixed,)
        trusted = True
        for one in found:
            joined = both(rows, one.wide, MOST_TESTS) if one.wide != ALWAYS else rows
            if joined is None:
                trusted = trusted and not one.current
                continue
            rows = joined
        return rows, trusted and any(one.current for one in found)

    def _signal(
        self, placement: Placement, placed: Placed, ask: acting.Wish, found: Sequence[Filter], returns: Sequence[Filter],
        before: Sequence[Sequence[Filter]], fixed: tuple[Test, ...], key: str, clauses: list[Clause],
    ) -> bool:  # fmt: skip
        """Add the clauses that send a signal. Return whether there are any."""
        where = Where(path=ask.path)
        late = returns if not ask.late_signal or returns else ()
        rows, why = acting.narrow([*found, *(late if ask.late_signal else ())], before, fixed)
        if rows is None or not rows:
            self.notes.refused(
                where,
                f"{ask.name} at {placement.function}: {why or 'nobody is meant now'}; it only watches there",
            )
            return False
        if placed.spot.only:
            self.notes.refused(
                where,
                f"{ask.name} at {placement.function}: the kernel cannot tell this place apart; it only watches there",
            )
            return False
        if placed.spot.sort == "process" and placed.spot.name != "exec":
            self.notes.refused(
                where,
                f"{ask.name} at {placement.function}: there is nothing left to signal; it only watches there",
            )
            return False
        if placement.function and "late" not in self.acted:
            self.acted.add("late")
            said = "killed" if ask.signal == 9 else f"sent signal {ask.signal}"
            self.notes.told(
                where, f"{placement.function}: the process is {said} by the kernel where the selector is met"
            )
        clauses += acting.signals(rows, ask, key)
        if not ask.late_signal:
            entry = acting.early(rows, placed.hook, ask, key)
            if entry is not None:
                self.hooks.append(entry)
        return True

    def _deny(self, placement: Placement, wishes: Sequence[acting.Wish], key: str) -> None:
        """Find the means that refuses what an Override asks for, or note why there is none."""
        before: list[list[Filter]] = []
        bare = operators.bare_syscall(placement.function) or placement.function
        for selector, ask in zip(self.probe.selectors, wishes, strict=True):
            placed = placement.placed[0]
            args = tuple(Seen(one, placing.wanted(one, placed)) for one in self.probe.args)
            data = tuple(Seen(one, placing.wanted(one, placed)) for one in self.probe.data)
            made = None if selector.returns else self._quietly(selector, args, data, bare in acting.EXECUTED)
            if ask.deny:
                where = Where(path=ask.path)
                said = self._refusal(bare, placement, selector, ask, made[0] if made else None, before, key)
                if said:
                    self.notes.refused(where, f"Override of {placement.function}: {said}; it only watches")
                else:
                    how = (
                        "cgroup hooks"
                        if bare in acting.PREVENTED
                        else "fanotify"
                        if bare in acting.OPENED | acting.EXECUTED
                        else "the hook"
                    )
                    self.notes.told(where, f"{placement.function}: the call is prevented by {how}")
            if made is not None:
                before.append(made[0])
            else:
                before.append([Filter(lambda _: False)])

    def _quietly(
        self, selector: Selector, args: Sequence[Seen], data: Sequence[Seen], exec_: bool
    ) -> tuple[list[Filter], list[Filter]] | None:
        """Return a selector's filters without noting again what was noted where it was placed."""
        kept, self.notes = self.notes, Notes(self.policy.ref)
        try:
            return self._filters(selector, args, data, None, exec_)
        finally:
            self.notes = kept

    def _refusal(
        self, function: str, placement: Placement, selector: Selector, ask: acting.Wish, found: Sequence[Filter] | None, before: Sequence[Sequence[Filter]], key: str
    ) -> str:  # fmt: skip
        """Add what refuses; return why nothing can, "" where something does."""
        direct = placement.placed[0].hook.sort in {"kprobe", "fentry", "lsm"}
        if found is None:
            return "a part of the selector cannot be decided"
        if direct and (self.abilities & {"lsm", "fmod_ret", "override_return"}):
            rows, why = acting.narrow(found, before, ())
            if rows is None:
                return why
            self._deny_directly(placement, rows, ask, key)
            return ""
        if function in acting.PREVENTED:
            lacking = acting.needs(acting.PREVENTED[function]) - self.abilities
            if lacking:
                return f"this kernel takes no {', '.join(sorted(lacking))}"
            rows, why = acting.narrow(found, before, ())
            if rows is None or not rows:
                return why or "nobody is meant now"
            made = acting.prevention(function, rows, ask, key)
            if isinstance(made, str):
                return made
            self.preventions.append(made)
            return ""
        if function in acting.OPENED | acting.EXECUTED:
            if "fanotify_perm" not in self.abilities:
                return "this kernel does not ask before files are opened (fanotify)"
            if before:
                return "the selectors before it cannot be told apart by a guard of files"
            guarded = acting.guards(function, selector, self.policy, self.host, key)
            if isinstance(guarded, str):
                return guarded
            self.guards += guarded
            return ""
        if self.abilities & {"override_return", "fmod_ret"} and operators.bare_syscall(placement.function):
            return "system calls are not overridden at their entry; hook the kernel's own check (security_...) of what they do"
        return "this kernel can neither override the function nor refuse it by other means"

    def _deny_directly(self, placement: Placement, rows: Alternatives, ask: acting.Wish, key: str) -> None:
        names = {one.hook.name for one in placement.placed}
        for at, hook in enumerate(self.hooks):
            if hook.name in names:
                added = tuple(
                    Clause(tests=row, owner=key, deny=ask.deny, silent=not ask.post) for row in rows
                )
                self.hooks[at] = replace(hook, clauses=added + hook.clauses)


def _subjects(one: ArgumentFilter, args: Sequence[Seen]) -> list[Seen]:
    """Return the arguments that a filter is about."""
    if one.args:
        return [args[at] for at in one.args if at < len(args)]
    return [each for each in args if each.argument.index == one.index][:1]


_CHECKS: Final[dict[Op, Callable[[int, int], bool]]] = {
    Op.EQ: lambda have, want: have == want,
    Op.NE: lambda have, want: have != want,
    Op.GE: lambda have, want: have >= want,
    Op.LT: lambda have, want: have < want,
    Op.ANYBITS: lambda have, want: bool(have & want),
    Op.NOBITS: lambda have, want: not have & want,
}


def _check(one: Condition) -> Callable[[Event], bool]:
    """Return the same condition for Python."""
    test, want, mask, index = _CHECKS[one.op], one.value, one.mask, one.index

    def have(event: Event) -> int:
        sock, file = event.sock, event.file
        match one.what:
            case What.ARG:
                return event.args[index]
            case What.RET:
                return event.ret
            case What.PROTO:
                return sock.proto if sock else 0
            case What.FAMILY:
                return sock.family if sock else 0
            case What.SOCKTYPE:
                return sock.type if sock else 0
            case What.STATE:
                return sock.state if sock else 0
        return file.mode if file else 0

    return (lambda event: test(have(event) & mask, want)) if mask else (lambda event: test(have(event), want))


def _message(probe: Probe, function: str) -> Callable[[Event], str]:
    """Return the sentence of a finding: the policy's own, or who called what."""

    def said(event: Event) -> str:
        process = event.process
        who = process.exe or process.name or f"process {process.pid}"
        return (
            f"{who} ({process.pid}): {probe.message}"
            if probe.message
            else f"{who} ({process.pid}) called {function or event.kind}"
        )

    return said


def _called(machine: str) -> Callable[[Event], str]:
    """Return the function's name by the number in the first argument, as Tetragon writes it."""
    names = syscalls.NAMES.get(machine, {})
    prefix = "__x64_sys_" if machine == "x86_64" else "__arm64_sys_"
    return lambda event: prefix + names.get(event.args[0], str(event.args[0]))
