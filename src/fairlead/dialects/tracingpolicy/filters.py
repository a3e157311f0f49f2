"""A selector's filters as functions of an event, and as what the kernel can test: at most too much (wide), exactly or too little (narrow).

`wide` may pass what the filter does not, and serves to post. `narrow` passes nothing that the filter does not, and serves to act; `against` is
the same for the filter's contrary, which the selectors before an acting one need. Each is alternatives of tests, or None where there is
no such thing. Pure; what it must know of the host is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from fairlead.dialects.tracingpolicy import operators, seeing
from fairlead.dialects.tracingpolicy.argtypes import Type
from fairlead.dialects.tracingpolicy.policies import (
    ArgumentFilter,
    BinaryFilter,
    CapabilityFilter,
    CredentialFilter,
    NamespaceFilter,
    PidFilter,
    WorkloadFilter,
)
from fairlead.dialects.tracingpolicy.seeing import FileValue, Pushed, Subject
from fairlead.sense import syscalls
from fairlead.sense.events import Container, Event, Process
from fairlead.sense.plans import Op, Test, What

Alternatives: TypeAlias = tuple[tuple[Test, ...], ...]
"""Tests of which all of one row must pass, and one row suffices. No row: never; one empty row: always."""

ALWAYS: Alternatives = ((),)
NEVER: Alternatives = ()
_MOST_ROWS = 24
_PID, _USER = 3, 9
INITIAL: Final = (
    0xEFFFFFFE, 0xEFFFFFFF, 0, 0xEFFFFFFC, 0xEFFFFFFC, 0, 0xEFFFFFFA, 0xEFFFFFFA, 0xEFFFFFFB, 0xEFFFFFFD,
)  # fmt: skip
"""Inode numbers of the first namespaces, in the order of Process.ns (PROC_*_INIT_INO of linux/proc_ns.h); 0 where they are not fixed."""
_LONGEST = 120
"""Bytes of a prefix that the kernel compares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What of the host a policy speaks of.

    `namespaces` are the inode numbers of its own, in the order of Process.ns (0: unknown); `containers` those that run, by their cgroups.
    """

    namespaces: tuple[int, ...] = (0,) * 10
    containers: Mapping[int, Container] = field(default_factory=dict)
    machine: str = "x86_64"

    @property
    def home(self) -> tuple[int, ...]:
        """The host's namespaces; where one was not told, the number that the kernel gives to the first of its sort, if that is fixed."""
        return tuple(one or INITIAL[at] for at, one in enumerate(self.namespaces))


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter. `why` says why the kernel cannot decide it, where it cannot.

    `current`: it is about what the thread is now, which the kernel sees at the event and Python only as it was at the exec; so where the
    kernel has decided it, `test` is not asked.
    """

    test: Callable[[Event], bool]
    wide: Alternatives = ALWAYS
    narrow: Alternatives | None = None
    against: Alternatives | None = None
    why: str = ""
    current: bool = False


def _exact(
    test: Callable[[Event], bool], rows: Alternatives, contrary: Alternatives, *, current: bool = False
) -> Filter:
    return Filter(test, rows, rows, contrary, current=current)


# ---- arguments -----------------------------------------------------------------------------------------------------


def argument(one: ArgumentFilter, subjects: Sequence[Subject | None], host: Host) -> Filter | None:
    """Return the filter of an argument, or None where the argument is not to be had."""
    subject = subjects[0] if subjects else None
    if subject is None:
        return None
    kind, get, pushed = subject.kind, subject.get, subject.pushed
    operator = one.operator
    if operator == "CapabilitiesGained":
        return None
    match kind.form:
        case "number" | "capability":
            return _number(operator, one.values, kind, get, pushed)
        case "syscall":
            return _syscall(operator, one.values, get, pushed, host)
        case "text" | "device":
            return _text(operator, one.values, get, pushed)
        case "bytes":
            return _text(operator, one.values, lambda event: _decoded(get(event)), pushed)
        case "file":
            return _file(operator, one.values, get, pushed)
        case "socket" | "sockaddr":
            if operator in {"Equal", "NotEqual", "Prefix", "NotPrefix", "Postfix", "NotPostfix"}:
                return _text(operator, one.values, seeing.unix_path, None)
            return _socket(operator, one.values, get, pushed)
        case "capabilities":
            held = operators.capability_test(operator, one.values)
            return Filter(
                lambda event: _known(get(event), held),
                why="capabilities in arguments are compared after the fact",
            )
    return None


def _decoded(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "surrogateescape")


def _known(value: Any, test: Callable[[Any], bool]) -> bool:
    return value is not None and test(value)


def _number(
    operator: str, values: Sequence[str], kind: Type, get: Callable[[Event], Any], pushed: Pushed | None
) -> Filter:
    top = (1 << kind.bits) - 1
    bits = 0
    spans: operators.Spans = ()
    if operator == "Mask":
        bits = operators.mask_of(values) & top
        test: Callable[[int], bool] = lambda value: bool(value & bits)  # noqa: E731 - one of two of its shape
    else:
        spans = operators.number_spans(operator, values, kind) or ()
        inside = operators.within(spans)
        test = lambda value: inside(value & top)  # noqa: E731

    def check(event: Event) -> bool:
        return _known(get(event), test)

    if pushed is None:
        return Filter(check, why="the value is worked out after the fact")
    if pushed.sort == "const":
        return _exact(check, *((ALWAYS, NEVER) if test(pushed.value) else (NEVER, ALWAYS)))
    if operator == "Mask":
        bits &= pushed.mask or bits
        return _exact(
            check,
            ((Test(pushed.what, Op.ANYBITS, (bits,), pushed.index),),),
            ((Test(pushed.what, Op.NOBITS, (bits,), pushed.index),),),
        )
    width = pushed.mask or (0 if kind.bits == 64 else top)
    return _exact(
        check,
        _in_spans(pushed.what, pushed.index, spans, top, width),
        _in_spans(pushed.what, pushed.index, operators.complement(spans, top), top, width),
    )


def _in_spans(what: What, index: int, spans: operators.Spans, top: int, mask: int = 0) -> Alternatives:
    """Return the tests for a number within spans of 0..top."""
    if spans == ((0, top),):
        return ALWAYS
    single = tuple(first for first, last in spans if first == last)
    rows: list[tuple[Test, ...]] = []
    gaps = operators.complement(spans, top)
    if gaps and all(first == last for first, last in gaps):  # all but a few numbers
        left = tuple(first for first, _ in gaps)
        return ((Test(what, Op.NE if len(left) == 1 else Op.NOTINSET, left, index, mask),),)
    if single:
        rows.append((Test(what, Op.EQ if len(single) == 1 else Op.INSET, single, index, mask),))
    for first, last in spans:
        if first == last:
            continue
        tests = []
        if first > 0:
            tests.append(Test(what, Op.GEU, (first,), index, mask))
        if last < top:
            tests.append(Test(what, Op.LEU, (last,), index, mask))
        rows.append(tuple(tests))
    return tuple(rows)


def _syscall(
    operator: str, values: Sequence[str], get: Callable[[Event], Any], pushed: Pushed | None, host: Host
) -> Filter:
    names = operators.syscall_names(values)
    numbers = frozenset(one for name in names if (one := syscalls.number_of(name, host.machine)) is not None)
    contrary = operators.negated(operator)

    def check(event: Event) -> bool:
        value = get(event)
        return value is not None and ((value in numbers) is not contrary)

    if pushed is None:
        return Filter(check)
    wanted = tuple(sorted(numbers))
    rows = ((Test(pushed.what, Op.INSET, wanted, pushed.index),),) if wanted else NEVER
    others = ((Test(pushed.what, Op.NOTINSET, wanted, pushed.index),),) if wanted else ALWAYS
    return _exact(check, others, rows) if contrary else _exact(check, rows, others)


_TEXT_OPS = {
    "Equal": (Op.TEXT_IN, Op.TEXT_NOTIN), "NotEqual": (Op.TEXT_NOTIN, Op.TEXT_IN), "Prefix": (Op.PREFIX, Op.NOTPREFIX),
    "NotPrefix": (Op.NOTPREFIX, Op.PREFIX), "Postfix": (Op.SUFFIX, Op.NOTSUFFIX), "NotPostfix": (Op.NOTSUFFIX, Op.SUFFIX),
}  # fmt: skip


def _text(operator: str, values: Sequence[str], get: Callable[[Event], Any], pushed: Pushed | None) -> Filter:
    test = operators.text_test(operator, values)

    def check(event: Event) -> bool:
        return _known(get(event), test)

    if pushed is None or pushed.sort != "text" or operator not in _TEXT_OPS:
        return Filter(check, why=f"{operator} of this text is decided after the fact")
    wanted = tuple(operators.plain(value).encode("utf-8", "surrogateescape") for value in values)
    if not all(wanted) and operator not in {"Equal", "NotEqual"}:
        return Filter(check, why="an empty prefix is decided after the fact")
    positive, contrary = _TEXT_OPS[operator]
    if any(len(one) > _LONGEST for one in wanted) and operator not in {"Equal", "NotEqual"}:
        return Filter(check, why=f"a prefix of more than {_LONGEST} bytes is decided after the fact")
    return _exact(
        check,
        ((Test(What.TEXT, positive, wanted, pushed.index),),),
        ((Test(What.TEXT, contrary, wanted, pushed.index),),),
    )


_TYPE_BITS = 0o170000


def _file(
    operator: str, values: Sequence[str], get: Callable[[Event], FileValue | None], pushed: Pushed | None
) -> Filter:
    if operator in {"FileType", "NotFileType"}:
        wanted = tuple(sorted({operators.FILE_TYPES[value] for value in values}))
        contrary = operators.negated(operator)

        def sort(event: Event) -> bool:
            value = get(event)
            return (
                value is not None
                and value.mode is not None
                and ((value.mode & _TYPE_BITS in wanted) is not contrary)
            )

        if pushed is None:
            return Filter(sort, why="the file's type is known after the fact")
        inside = ((Test(What.FILEMODE, Op.INSET, wanted, 0, _TYPE_BITS),),)
        outside = ((Test(What.FILEMODE, Op.NOTINSET, wanted, 0, _TYPE_BITS),),)
        return _exact(sort, outside, inside) if contrary else _exact(sort, inside, outside)

    def path(event: Event) -> str | None:
        value = get(event)
        return None if value is None else value.path

    return _text(operator, values, path, pushed)


_ENDS = {
    "SAddr": (What.LADDR, What.RADDR), "DAddr": (What.RADDR, What.LADDR), "SPort": (What.LPORT, What.RPORT), "DPort": (What.RPORT, What.LPORT),
}  # fmt: skip


def _socket(
    operator: str, values: Sequence[str], get: Callable[[Event], Any], pushed: Pushed | None
) -> Filter:
    test = operators.socket_test(operator, values)

    def check(event: Event) -> bool:
        return _known(get(event), test)

    if pushed is None or pushed.sort != "socket":
        return Filter(check, why="the socket is known after the fact")
    name = operator.removeprefix("Not")
    contrary = operators.negated(operator)
    if name in {"SAddr", "DAddr"}:
        what = _ENDS[name][pushed.swapped]
        nets = operators.networks(values)
        inside, outside = ((Test(what, Op.NET, nets),),), ((Test(what, Op.NOTNET, nets),),)
        return _exact(check, outside, inside) if contrary else _exact(check, inside, outside)
    if name in {"SPortPriv", "DPortPriv"}:
        spans: operators.Spans = (operators.PRIVILEGED,)
        spans = operators.complement(spans, 0xFFFF) if contrary else spans
        what = _ENDS[name.removesuffix("Priv")][pushed.swapped]
    else:
        spans = operators.named_spans(operator, values)
        simple = {"Protocol": What.PROTO, "Family": What.FAMILY, "State": What.STATE}
        what = simple[name] if name in simple else _ENDS[name][pushed.swapped]
    return _exact(
        check,
        _in_spans(what, 0, spans, 0xFFFF),
        _in_spans(what, 0, operators.complement(spans, 0xFFFF), 0xFFFF),
    )


# ---- processes -----------------------------------------------------------------------------------------------------


def pid(one: PidFilter, host: Host) -> Filter:
    """Return the filter of process ids. A process outside of any pid namespace but the host's has the id 0 in its namespace."""
    home, wanted = host.home[_PID], frozenset(one.values)
    numbers = tuple(sorted(wanted))

    def own(process: Process) -> int:
        return (
            process.pid if not one.namespaced else 0 if seeing.host_process(process, home) else process.vpid
        )

    def check(event: Event) -> bool:
        process = event.process
        if not one.follow:
            return (own(process) in wanted) is not one.negated
        if one.namespaced and not own(process):
            return False  # as Tetragon: who is in no pid namespace is nobody's descendant there
        found = own(process) in wanted
        for ancestor in () if found else process.ancestors():
            number = own(ancestor)
            if number and number in wanted:
                found = True
                break
        return found is not one.negated

    if one.follow:
        why = "descendants are known after the fact"
        if one.namespaced:
            within: Alternatives = ((Test(What.NS, Op.NE, (home,), _PID),),) if home else ALWAYS
            others = tuple(number for number in numbers if number)
            self_in = (
                ((Test(What.NS, Op.NE, (home,), _PID), Test(What.VPID, Op.INSET, others)),)
                if home and others
                else None
            )
            apart = (
                ((Test(What.NS, Op.NE, (home,), _PID), Test(What.VPID, Op.NOTINSET, others)),)
                if home and others
                else within
            )
            return (
                Filter(check, apart, None, None, why)
                if one.negated
                else Filter(check, within, self_in, None, why)
            )
        here, away = _pids(numbers, False, home, among=True), _pids(numbers, False, home, among=False)
        return (
            Filter(check, away or NEVER, None, here, why)
            if one.negated
            else Filter(check, ALWAYS, here, None, why)
        )
    inside, outside = (
        _pids(numbers, one.namespaced, home, among=True),
        _pids(numbers, one.namespaced, home, among=False),
    )
    if inside is None or outside is None:
        return Filter(check, why="the host's pid namespace is not known")
    return _exact(check, outside, inside) if one.negated else _exact(check, inside, outside)


def _pids(numbers: tuple[int, ...], namespaced: bool, home: int, *, among: bool) -> Alternatives | None:
    """Return the tests for a process id among these numbers, or among none of them."""
    if not namespaced:
        return (
            ((Test(What.TGID, Op.INSET if among else Op.NOTINSET, numbers),),)
            if numbers
            else NEVER
            if among
            else ALWAYS
        )
    if not home:
        return None
    within, without = Test(What.NS, Op.NE, (home,), _PID), Test(What.NS, Op.EQ, (home,), _PID)
    others = tuple(one for one in numbers if one)
    rows: list[tuple[Test, ...]] = []
    if (0 in numbers) is among:
        rows.append((without,))
    if among:
        if others:
            rows.append((within, Test(What.VPID, Op.INSET, others)))
    else:
        rows.append((within, Test(What.VPID, Op.NOTINSET, others)) if others else (within,))
    return tuple(rows)


_BINARY_OPS = {
    "In": ("Equal", Op.TEXT_IN, Op.TEXT_NOTIN), "NotIn": ("NotEqual", Op.TEXT_NOTIN, Op.TEXT_IN), "Prefix": ("Prefix", Op.PREFIX, Op.NOTPREFIX),
    "NotPrefix": ("NotPrefix", Op.NOTPREFIX, Op.PREFIX), "Postfix": ("Postfix", Op.SUFFIX, Op.NOTSUFFIX),
    "NotPostfix": ("NotPostfix", Op.NOTSUFFIX, Op.SUFFIX),
}  # fmt: skip


def binary(one: BinaryFilter, *, up: int = 0) -> Filter:
    """Return the filter of executables: of the process (`up` 0) or of its parent (1). At an exec the caller's is asked for with 1."""
    if not one.values:
        return _exact(lambda _: True, ALWAYS, NEVER)  # as Tetragon: no values, no filter
    named, positive, contrary = _BINARY_OPS[one.operator]
    test = operators.text_test(named, one.values)
    what = What.PEXE if up else What.EXE
    wanted = tuple(value.encode("utf-8", "surrogateescape") for value in one.values)
    rows, others = ((Test(what, positive, wanted),),), ((Test(what, contrary, wanted),),)

    def check(event: Event) -> bool:
        process = event.process.ancestor(up)
        return process is not None and test(process.exe)

    if not one.follow:
        return _exact(check, rows, others)
    known = operators.text_test("Equal", one.values)
    negative = one.operator == "NotIn"

    def followed(event: Event) -> bool:
        process = event.process.ancestor(up)
        if process is None:
            return False
        found = known(process.exe) or any(known(each.exe) for each in process.ancestors())
        return found is not negative

    why = "children are known after the fact"
    return (
        Filter(followed, rows, None, others, why) if negative else Filter(followed, ALWAYS, rows, None, why)
    )


def namespace(one: NamespaceFilter, host: Host) -> Filter:
    """Return the filter of a namespace."""
    home = host.home[one.which]
    wanted = tuple(sorted({*one.values, *((home,) if one.host and home else ())}))

    def check(event: Event) -> bool:
        own = event.process.ns[one.which]
        return (own in wanted) is not one.negated

    if one.host and not home:
        return Filter(check, why="the host's namespaces are not known")
    inside: Alternatives = ((Test(What.NS, Op.EQ if len(wanted) == 1 else Op.INSET, wanted, one.which),),)
    outside: Alternatives = ((Test(What.NS, Op.NE if len(wanted) == 1 else Op.NOTINSET, wanted, one.which),),)
    if one.negated:
        inside, outside = outside, inside
    return _exact(check, inside, outside, current=True)


_CAPS = {0: What.CAP_EFF, 1: What.CAP_PERM, 2: What.CAP_INH}


def capability(one: CapabilityFilter, host: Host) -> Filter:
    """Return the filter of a set of capabilities. With `namespaced` only processes outside of the host's user namespace count."""
    home, mask = host.home[_USER], one.mask
    rows: Alternatives = ((Test(_CAPS[one.which], Op.NOBITS if one.negated else Op.ANYBITS, (mask,)),),)
    others: Alternatives = ((Test(_CAPS[one.which], Op.ANYBITS if one.negated else Op.NOBITS, (mask,)),),)

    def check(event: Event) -> bool:
        process = event.process
        if one.namespaced and process.ns[_USER] == home:
            return False
        return bool(process.caps[one.which] & mask) is not one.negated

    if one.namespaced:
        if not home:
            return Filter(check, rows, why="the host's user namespace is not known")
        rows = tuple((Test(What.NS, Op.NE, (home,), _USER), *row) for row in rows)
        others = ((Test(What.NS, Op.EQ, (home,), _USER),), *others)
    return _exact(check, rows, others, current=True)


def credential(one: CredentialFilter) -> Filter:
    """Return the filter of a user id."""
    spans = operators.joined(one.ranges)
    spans = operators.complement(spans, 0xFFFFFFFF) if one.negated else spans
    inside = operators.within(spans)
    if one.effective:
        return _exact(
            lambda event: inside(event.uid), _in_spans(What.UID, 0, spans, 0xFFFFFFFF),
            _in_spans(What.UID, 0, operators.complement(spans, 0xFFFFFFFF), 0xFFFFFFFF),
        )  # fmt: skip
    return Filter(lambda event: inside(event.process.uid), why="the real user id is known after the fact")


# ---- workloads -----------------------------------------------------------------------------------------------------


def meant(one: WorkloadFilter, container: Container | None) -> bool:
    """Whether a container, or with None the host, is among the workloads."""
    if container is None:
        return one.hosts or one.all
    if not container.pod:
        return one.all  # a container of no pod is neither the host's nor a pod's
    if one.namespace and container.pod_namespace != one.namespace:
        return False
    if one.all or (one.namespace and one.pods is None and one.containers is None and not one.hosts):
        return True
    if one.pods is None and one.containers is None:
        return False  # only the host is meant
    labels = {
        **container.pod_labels,
        "io.kubernetes.pod.namespace": container.pod_namespace,
        "io.kubernetes.pod.name": container.pod,
    }
    if one.pods is not None and not one.pods.matches(labels):
        return False
    fields = {
        "name": container.name,
        "repo": container.repository or container.image.partition("@")[0].rpartition(":")[0],
    }
    return one.containers is None or one.containers.matches(fields)


def workload(one: WorkloadFilter, host: Host) -> Filter:
    """Return the filter of pods, containers and hosts."""

    def check(event: Event) -> bool:
        return meant(one, event.process.container)

    chosen = tuple(sorted(cgroup for cgroup, container in host.containers.items() if meant(one, container)))
    rows: list[tuple[Test, ...]] = []
    if chosen:
        rows.append((Test(What.CGROUP, Op.INSET, chosen),))
    if one.hosts:
        rows.append((Test(What.CONTAINED, Op.EQ, (0,)),))
    return Filter(
        check, ALWAYS, tuple(rows), None, "which containers are meant is known by their cgroups, as they come"
    )


# ---- joining -------------------------------------------------------------------------------------------------------


def both(one: Alternatives, other: Alternatives, most: int) -> Alternatives | None:
    """Return the rows of both together, or None where one would have too many tests or there would be too many rows."""
    if len(one) * len(other) > _MOST_ROWS:
        return None
    found = tuple(tuple(dict.fromkeys((*first, *second))) for first in one for second in other)
    return None if any(len(row) > most for row in found) else found
