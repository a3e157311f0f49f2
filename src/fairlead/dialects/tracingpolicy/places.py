"""Where a kernel function's call can be seen, and what of its arguments is there: the words in which the tables of hooks are written.

A Spot is one place of observation, a Row all spots of one function. Sources say where an argument is in a record. Data only: what
the kernel can do is told by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fairlead.sense.plans import Op, Sort, Test, What


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value is.

    `how` is arg (the record's argument `at`), ret, place (the file that the call is about), text (the text of the argument `name`, as
    passed), path (the same with the directory it starts from), buffer (its bytes), sock, local (the socket's own end), const (`at`), exe (the executable of an exec), script (what it interprets), cred,
    userns, call (which system call), verdict (0, or the errno of a refusal), accmode (how a file was opened), module (a module's name),
    flags (arguments of clone and unshare), first (the first text).
    """

    how: str
    at: int = 0
    name: str = ""
    mask: int = 0  # bits of an argument that count; 0: all


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of a record for it to tell of the function: a test that both the kernel and Python make."""

    what: What
    op: Op
    value: int
    index: int = 0
    mask: int = 0

    @property
    def test(self) -> Test:
        """The kernel's test."""
        return Test(self.what, self.op, (self.value,), self.index, self.mask)


@dataclass(frozen=True, slots=True)
class Spot:
    """One place: `name` of its sort, what is where (index in the function's prototype -> Source), and when it counts."""

    sort: Sort
    name: str
    sources: Mapping[int, Source] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    returned: Source | None = None
    enter: bool = False
    only: str = ""  # "tty", "v4", "v6", "multicast": what only Python tests
    about: int = -1  # the argument with the descriptor, where the table of calls has none


@dataclass(frozen=True, slots=True)
class Row:
    """How one function is seen where it cannot be hooked itself. `lost` is what is not seen, "" where nothing is; `why` says why not at all."""

    spots: tuple[Spot, ...] = ()
    differs: str = ""
    lost: str = ""
    why: str = ""


_KERNEL: Final = frozenset(
    {"sock_state", "sock_send", "skb_drop", "module", "module_wanted", "signal", "oom", "cgroup"}
)
_PROCESS: Final = frozenset({"exec", "forked", "exited"})
_OPS: Final = {"==": Op.EQ, "!=": Op.NE, ">=": Op.GE, "<": Op.LT, "!&": Op.NOBITS, "&": Op.ANYBITS}
_WHATS: Final = {
    "ret": What.RET, "proto": What.PROTO, "family": What.FAMILY, "type": What.SOCKTYPE, "mode": What.FILEMODE, "state": What.STATE,
}  # fmt: skip


def source(text: str) -> Source:
    """Return a source from its short form: `arg3`, `arg1/15` (its low four bits), `=2`, `text:name`, `path:name`, `buffer:name`, or one of the other words."""
    if text.startswith("="):
        return Source("const", int(text[1:]))
    if ":" in text:
        how, _, name = text.partition(":")
        return Source(how, name=name)
    if found := re.fullmatch(r"arg(\d)(?:/(\d+))?", text):
        return Source("arg", int(found[1]), mask=int(found[2] or 0))
    return Source(text)


def condition(text: str) -> Condition:
    """Return a condition from its short form: `ret>=0`, `arg1==2`, `arg2&512`, `mode/61440==4096`."""
    found = re.fullmatch(r"(arg\d|[a-z]+)(?:/(\d+))?(==|!=|>=|<|!&|&)(-?\d+)", text)
    assert found, text
    name, mask, op, value = found.groups()
    what = What.ARG if name.startswith("arg") else _WHATS[name]
    index = int(name[3:]) if name.startswith("arg") else 0
    # arguments of system calls are int where they are compared here: the upper half of the register says nothing
    width = int(mask or 0) or (0xFFFFFFFF if what is What.ARG and op in {"==", "!="} else 0)
    return Condition(what, _OPS[op], int(value), index, width)


def spots(
    names: str, sources: str = "", when: str = "", returned: str = "", *, enter: bool = False, only: str = ""
) -> tuple[Spot, ...]:
    """Return a spot for each of the names: system calls, or kinds of kernel events; all with the same sources and conditions."""
    table = {int(pair.partition("=")[0]): source(pair.partition("=")[2]) for pair in sources.split()}
    tests = tuple(condition(one) for one in when.split())
    found = []
    for name in names.split():
        sort: Sort = "kernel" if name in _KERNEL else "process" if name in _PROCESS else "syscall"
        found.append(Spot(sort, name, table, tests, source(returned) if returned else None, enter, only))
    return tuple(found)


def fields(name: str, sources: str, returned: str = "") -> tuple[Spot, ...]:
    """Return the spot of a tracepoint (`subsystem/event`) whose own fields are read: `arg3` is its fourth."""
    (found,) = spots(name, sources, returned=returned)
    return (replace(found, sort="tracepoint"),)


def row(*groups: tuple[Spot, ...], differs: str = "", lost: str = "") -> Row:
    """Return a row of several groups of spots."""
    return Row(tuple(one for group in groups for one in group), differs, lost)


def no(why: str) -> Row:
    """Return the row of a function that cannot be seen."""
    return Row(why=why)
