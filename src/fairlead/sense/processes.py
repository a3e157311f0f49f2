"""The table of processes: who is there, who was there a moment ago, and whose child is whose. Kept by records and by what is told of /proc.

Bounded: the ended are forgotten after a while, and sooner when there are too many. A process that nobody told of is in it with its ids
only (`known` False), so an event never lacks a process. It never reads /proc itself: `adopt` takes what the reactor found there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fairlead.sense import records
from fairlead.sense.events import (
    ARGS,
    CGROUP,
    COMM,
    CONTAINED,
    CUT,
    FLAGS,
    LENS,
    RET,
    START,
    TGID,
    TIME,
    Container,
    Event,
    Process,
    text_of,
)

NEAR = 20_000_000
"""ns that a start read from /proc (in ticks of 10 ms) may differ from the kernel's own."""
KEPT = 120_000_000_000
"""ns that an ended process is kept for those that ask about a parent or a late record."""
MOST = 65_536
"""Processes in the table, the running ones included, past which the ended are forgotten at once."""

DEEPEST = 2048
"""Ancestors that are linked at most: when a process has more, the eldest half is let go. Those that ended live on by their descendants only."""

_OWN = tuple(Process.__slots__)


def _copier() -> Callable[[Process, Process], None]:
    """Return a function that sets all that one has to what another has: a loop over the names takes three times as long."""
    lines = ["def copy(here, there):", *(f"    here.{name} = there.{name}" for name in _OWN)]
    space: dict[str, Any] = {}
    exec("\n".join(lines), space)  # noqa: S102  names of attributes, no text from elsewhere
    found: Callable[[Process, Process], None] = space["copy"]
    return found


_copy = _copier()


class Processes:
    """All processes by pid. `epoch` is when the machine booted, in ns since the epoch; `containers` tells whose a cgroup is.

    `containers` is asked again for as long as it has no answer for a process that does not live in the host's mount namespace.
    """

    def __init__(
        self,
        containers: Mapping[int, Container] | None = None,
        *,
        epoch: int = 0,
        most: int = MOST,
        kept: int = KEPT,
    ) -> None:
        self.containers: Mapping[int, Container] = {} if containers is None else containers
        self.epoch = epoch
        self.forgotten = 0  # processes dropped because there were too many
        self.unknown = 0  # processes met that nobody had told of
        self._live: dict[int, Process] = {}
        self._ended: deque[Process] = deque()
        self._most = most
        self._kept = kept
        self.missing: Callable[[int], None] | None = (
            None  # told the pid of each process that nobody told of: the reactor reads /proc then
        )

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Process]:
        """Every process in the table, the ended too."""
        return iter(list(self._live.values()))

    def get(self, pid: int) -> Process | None:
        """The process that has this pid, or had it last."""
        return self._live.get(pid)

    def of(self, pid: int, start: int) -> Process:
        """The process of that pid and start; made when nobody told of it."""
        found = self._live.get(pid)
        if found is not None:
            if found.start == start:
                return found
            if not found.start or not start or abs(found.start - start) < NEAR:
                found.start = start or found.start
                return found
            if start < found.start:  # a late record of one whose pid was given away
                for ended in self._ended:
                    if ended.pid == pid and ended.start == start:
                        return ended
                return Process(pid, start)
        return self._put(self._strange(pid, start))

    def _strange(self, pid: int, start: int) -> Process:
        self.unknown += 1
        one = Process(pid, start)
        one.started = one.exec_at = self.epoch + start if start else 0
        if self.missing is not None:
            self.missing(pid)
        return one

    def _put(self, process: Process) -> Process:
        before = self._live.get(process.pid)
        if before is not None and not before.exited:
            before.exited = process.started or 1
            self._ended.append(before)
        self._live[process.pid] = process
        if len(self._live) > self._most:
            self._shrink()
        return process

    def adopt(self, processes: Iterable[Process]) -> None:
        """Take in processes as /proc tells of them: their ids, texts, times and cgroups; parents are linked by ppid.

        What records told already is better and stays; of a process that is there with its ids only, what is told fills the rest.
        """
        told = list(processes)
        for one in told:
            here = self._live.get(one.pid)
            if here is None or (
                not here.known and abs(here.start - one.start) >= NEAR and here.start < one.start
            ):
                one.known = True
                self._put(one)
            elif not here.known and (not one.start or abs(here.start - one.start) < NEAR):
                _fill(here, one)
        for one in told:
            here = self._live.get(one.pid)
            if here is not None and here.parent is None and one.ppid and one.ppid != one.pid:
                here.parent = self._live.get(one.ppid)
            if here is not None:
                self.locate(here)

    def locate(self, process: Process) -> Container | None:
        """Return the process' container, looked up by its cgroup; what was found once stays."""
        found = process.container
        if found is None and process.cgroup:
            found = process.container = self.containers.get(process.cgroup)
        return found

    def forked(self, raw: tuple[Any, ...]) -> Process:
        """A record of a fork: return the child, which is as its parent is."""
        args = raw[ARGS : ARGS + 6]
        parent_pid = args[2] or raw[TGID]
        maker = self.of(raw[TGID], raw[START])
        parent = maker if parent_pid == raw[TGID] else self._live.get(parent_pid) or maker
        child = _twin(maker)
        child.pid, child.start = args[0], args[1]
        child.ppid, child.vppid = parent_pid, parent.vpid
        child.vpid = args[3] or args[0]
        child.parent = parent
        child.generation = parent.generation + 1
        if child.generation > DEEPEST:
            _shorten(child)
        name = text_of(raw[COMM].partition(b"\0")[0])
        if child.name != name:
            child.name = name
            child.forget_cmdline()
        child.title = name
        child.started = child.exec_at = self.epoch + (args[1] or raw[TIME])
        child.forked_only = True
        child.exited = child.exit_code = child.exec_id = 0
        child.notes = None
        if args[4]:
            child.ns = (*child.ns[:2], args[4], args[5] or child.ns[3], *child.ns[4:])
        here = self._live.get(child.pid)
        if here is not None and here.start == child.start and here.known:  # its exec was read first
            if here.parent is None:
                here.parent = parent
            return here
        child.known = maker.known
        return self._put(child)

    def executed(self, raw: tuple[Any, ...], body: bytes) -> Process:
        """A record of an exec: return the process, now as it says. `body` is what follows the CALL; one that is too short changes no more than the name."""
        process = self.of(raw[TGID], raw[START])
        process.name = process.title = text_of(raw[COMM].partition(b"\0")[0])
        process.cgroup = raw[CGROUP]
        process.contained = bool(raw[FLAGS] & CONTAINED)
        process.container = self.containers.get(raw[CGROUP])
        process.exec_at = self.epoch + raw[TIME]
        process.exec_id += 1
        process.forked_only = False
        if len(body) < records.EXEC_SIZE:
            return process
        (
            parent_start, c0, c1, c2, c3, c4, process.exe_ino, process.exe_ctime, process.exe_mtime, ppid, process.vpid, process.vppid,
            process.pgid, process.vpgid, process.sid, process.vsid, process.tty, process.uid, process.gid, process.euid, process.egid,
            process.suid, process.sgid, process.fsuid, process.fsgid, process.loginuid, process.audit_session,
            n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, process.exe_dev, process.exe_mode, process.exe_nlink, process.exe_flags,
            process.exe_uid, process.secbits, argc,
        ) = records.EXEC_STRUCT.unpack_from(body)  # fmt: skip
        process.caps = (c0, c1, c2, c3, c4)
        process.ns = (n0, n1, n2, n3, n4, n5, n6, n7, n8, n9)
        first, second, third, fourth = raw[LENS:ARGS]
        at = records.EXEC_SIZE
        process.exe = text_of(body[at : at + first])
        at += first
        process.cwd = text_of(body[at : at + second])
        at += second
        process.args_raw = body[at : at + third]
        at += third
        process.env_raw = body[at : at + fourth]
        process.cut = bool(raw[FLAGS] & CUT) and (
            third >= records.LONG_TEXT or process.args_raw.count(b"\0") < argc - 1
        )
        process.forget_texts()
        process.started = self.epoch + process.start
        process.known = True
        if ppid != process.ppid or process.parent is None:
            process.ppid = ppid
            if ppid and ppid != process.pid:
                process.parent = self.of(ppid, parent_start)
        return process

    def exited(self, raw: tuple[Any, ...]) -> Process:
        """A record of an exit: return the process, which stays in the table for a while."""
        process = self.of(raw[TGID], raw[START])
        if not process.exited:
            process.exited = self.epoch + raw[TIME]
            process.exit_code = raw[RET]
            self._ended.append(process)
        return process

    def note(self, event: Event) -> None:
        """Let a call change its process: where it works, its session, its group, its capabilities. Others change nothing."""
        change = CHANGES.get(event.kind)
        if change is not None and event.ret >= 0:
            change(event)

    def tick(self, now: int) -> None:
        """Forget those that ended long before `now` (ns since the epoch)."""
        ended = self._ended
        while ended and (ended[0].exited + self._kept < now or len(ended) > self._most):
            self._drop(ended.popleft())

    def _shrink(self) -> None:
        """Forget the eldest eighth of the ended; where nobody ended, those met longest ago."""
        for _ in range(max(1, self._most // 8)):
            if self._ended:
                self._drop(self._ended.popleft())
            else:
                self._live.pop(next(iter(self._live)))
            self.forgotten += 1

    def _drop(self, process: Process) -> None:
        if self._live.get(process.pid) is process:
            del self._live[process.pid]
        process.env_raw = b""  # descendants may hold on to it

    def leader_of_session(self, process: Process) -> Process | None:
        """The session's leader, or the eldest ancestor that is in the same session."""
        return self._leader(process, process.sid, "sid")

    def leader_of_group(self, process: Process) -> Process | None:
        """The process group's leader, or the eldest ancestor that is in the same group."""
        return self._leader(process, process.pgid, "pgid")

    def _leader(self, process: Process, leader: int, which: str) -> Process | None:
        if not leader:
            return None
        if leader == process.pid:
            return process
        found = self._live.get(leader)
        if found is not None and getattr(found, which) == leader and found.start <= process.start:
            return found
        eldest = process
        for one in process.ancestors():
            if getattr(one, which) != leader:
                break
            eldest = one
        return eldest


def _twin(process: Process) -> Process:
    """Return another that is the same in all, faster than copy.copy."""
    twin = Process.__new__(Process)
    _copy(twin, process)
    return twin


def _shorten(process: Process) -> None:
    """Let go of all but the nearest ancestors."""
    at = 0
    last = process
    for last in process.ancestors():
        at += 1
        if at == DEEPEST // 2:
            last.parent = None
            break
    process.generation = at


def _fill(here: Process, told: Process) -> None:
    """Copy what was told onto what was known by its ids only."""
    kept = here.start, here.parent, here.cgroup, here.exited, here.exit_code, here.notes
    _copy(here, told)
    start, parent, cgroup, here.exited, here.exit_code, here.notes = kept
    here.start = start or told.start
    here.parent = parent or told.parent
    here.cgroup = cgroup or told.cgroup
    here.known = True


def _chdir(event: Event) -> None:
    path, base = event.texts[0], event.texts[1]
    if path:
        event.process.cwd = (
            path if path.startswith("/") else f"{(base or event.process.cwd).rstrip('/')}/{path}"
        )


def _fchdir(event: Event) -> None:
    if event.texts[0]:
        event.process.cwd = event.texts[0]


def _setsid(event: Event) -> None:
    one = event.process
    one.sid = one.pgid = one.pid
    one.vsid = one.vpgid = one.vpid
    one.tty = 0


def _setpgid(event: Event) -> None:
    one = event.process
    pid, group = event.args[0] & 0xFFFFFFFF, event.args[1] & 0xFFFFFFFF
    if pid in {0, one.vpid}:  # a child's group changes before its exec, which tells of it
        one.vpgid = group or one.vpid
        if one.vpgid == one.vpid:
            one.pgid = one.pid


def _capset(event: Event) -> None:
    data = event.blobs[0]
    if len(data) < 24:
        return
    low = [int.from_bytes(data[at : at + 4], "little") for at in (0, 4, 8)]
    high = [int.from_bytes(data[at : at + 4], "little") for at in (12, 16, 20)]
    effective, permitted, inheritable = (a | b << 32 for a, b in zip(low, high, strict=True))
    event.process.caps = (effective, permitted, inheritable, *event.process.caps[3:])


def _setuid(event: Event) -> None:
    """Who stops being root loses what root may (capabilities(7), "Effect of user ID changes"). PR_SET_KEEPCAPS is not seen; capset follows it."""
    one = event.process
    if one.secbits & _NO_FIXUP:
        return
    notes = one.notes if one.notes is not None else {}
    since, before = notes.get("uids", (-1, ()))
    if since != one.exec_id:
        before = (one.uid, one.euid, one.suid)
    asked = [value & _NOBODY for value in event.args[:3]]
    real, effective, saved = before
    if event.kind == "setuid":
        real, effective, saved = (asked[0],) * 3 if one.caps[0] & _SETUID else (real, asked[0], saved)
    else:
        real, effective = (
            was if new == _NOBODY else new for was, new in zip((real, effective), asked, strict=False)
        )
        if event.kind == "setresuid":
            saved = saved if asked[2] == _NOBODY else asked[2]
        elif asked[0] != _NOBODY or (asked[1] != _NOBODY and asked[1] != before[0]):
            saved = effective
    notes["uids"] = (one.exec_id, (real, effective, saved))
    one.notes = notes
    current, permitted, *rest = one.caps
    if 0 in before and 0 not in (real, effective, saved) and not one.secbits & _KEEP:
        permitted = 0
    if before[1] == 0 and effective:
        current = 0
    elif before[1] and effective == 0:
        current = permitted
    one.caps = (current & permitted, permitted, rest[0], rest[1], rest[2])


_NOBODY = 0xFFFFFFFF
_SETUID = 1 << 7  # CAP_SETUID
_NO_FIXUP, _KEEP = 4, 16  # securebits

CHANGES: Mapping[str, Callable[[Event], None]] = {
    "chdir": _chdir,
    "fchdir": _fchdir,
    "setsid": _setsid,
    "setpgid": _setpgid,
    "capset": _capset,
    "setuid": _setuid,
    "setreuid": _setuid,
    "setresuid": _setuid,
}
"""Calls that change their process, and how."""
