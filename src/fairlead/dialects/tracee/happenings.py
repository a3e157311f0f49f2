"""What a Tracee event is here: which kinds of our events it is made of, what data it carries, and how the kernel sees it.

A Sort is one event that policies name. Whatever it is made of (system calls, kernel events, a behaviour, a detector), it answers the
same: its hooks for what is asked of it, and its data for one event, or None. Pure; reads no document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol, TypeAlias

from fairlead.dialects.tracee import flags
from fairlead.dialects.tracee.calls import CALLS, Call
from fairlead.dialects.tracee.filters import ALL, Alternatives, Numbers, Texts, both
from fairlead.sense import syscalls
from fairlead.sense.behaviours import Behaviour
from fairlead.sense.events import AF_INET, AF_INET6, AF_UNIX, Event
from fairlead.sense.plans import Arg, Clause, Hook, What

Data: TypeAlias = Mapping[str, Any]
"""What one event carries, by name."""
Wanted: TypeAlias = Mapping[str, Texts]
"""What is asked of an event's data, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One thing that an event carries: its name and type as Tracee prints them, and how to get it from an event.

    `words` writes its number in words. `place` says where the kernel finds it: a text's or an argument's What and index; `bits` is the
    width of a number there, 0 for a text. `unread` says why it is always None.
    """

    name: str
    type: str
    get: Callable[[Event], Any]
    words: Callable[[int], str] | None = None
    place: tuple[What, int] | None = None
    bits: int = 0
    unread: str = ""

    def passes(self, wanted: Texts, value: Any) -> bool:
        """Whether a value passes a filter: as it is, or in words."""
        if value is None:
            return False
        if self.words is not None and isinstance(value, int):
            return wanted(sprint(value), self.words(value))
        return wanted(sprint(value))

    def tests(self, wanted: Texts) -> Alternatives:
        """What the kernel can decide of a filter."""
        if self.place is None:
            return ALL
        what, index = self.place
        if not self.bits:
            return wanted.tests(what, index)
        mask = (1 << self.bits) - 1
        numbers = wanted.numbers(self._number)
        if numbers is None:
            return ALL
        narrow = Numbers()
        narrow.whole = {one & mask: None for one in numbers.whole}
        narrow.not_whole = {one & mask: None for one in numbers.not_whole}
        return narrow.tests(what, index, mask if self.bits < 64 else 0)

    def _number(self, text: str) -> int | None:
        try:
            return int(text)
        except ValueError:
            return _number_of(self.words, text) if self.words in flags.NAMED else None


@cache
def _number_of(words: Callable[[int], str], text: str) -> int | None:
    """The number that is written so, among those that have a word of their own."""
    return next((number for number in range(0x4400) if words(number) == text), None)


def sprint(value: Any) -> str:
    """Return a value as Go prints it, which is what filters compare with."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{sprint(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, bytes):
        return "[" + " ".join(map(str, value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(sprint, value)) + "]"
    return str(value)


class Lazy(Mapping[str, Any]):
    """An event's data, each value got when it is first asked for."""

    __slots__ = ("_event", "_fields", "_made")

    def __init__(self, fields: Mapping[str, Field], event: Event) -> None:
        self._fields = fields
        self._event = event
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._fields[name].get(self._event)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def taken(self) -> dict[str, Any]:
        """All values, now."""
        return {name: self[name] for name in self._fields}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One of our events that a Tracee event is made of. Without a hook it comes by itself: exec, forked, exited."""

    kind: str
    fields: Mapping[str, Field]
    hook: Hook | None = None
    guard: Alternatives = ALL
    when: Callable[[Event], bool] | None = None

    def hooked(self, wanted: Wanted, also: Alternatives, owner: str) -> Hook | None:
        """The hook with clauses for what is wanted, `also` for what else must hold."""
        if self.hook is None:
            return None
        alternatives = both(self.guard, also)
        for name, texts in wanted.items():
            if name in self.fields:
                alternatives = both(alternatives, self.fields[name].tests(texts))
        return replace(self.hook, clauses=tuple(Clause(tests=tests, owner=owner) for tests in alternatives))


class Sort(Protocol):
    """One event that a policy or a detector can name."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def sets(self) -> tuple[str, ...]:
        """The sets (tags) that it belongs to."""

    @property
    def why_not(self) -> str:
        """Why it cannot be seen here; "" where it can."""

    @property
    def alarming(self) -> bool:
        """Whether it is a judgement in itself: a signature or a detector of threats."""

    def knows(self, name: str) -> bool | str:
        """Whether its data have that name: True, False, or why it is always absent."""

    def kinds(self) -> tuple[str, ...]:
        """The kinds of our events that come without a hook."""

    def hooks(self, wanted: Wanted, also: Alternatives, owner: str) -> tuple[Hook, ...]:
        """Its hooks, narrowed by what is wanted of its data and by `also`."""

    def data(self, event: Event) -> Data | None:
        """What it carries when this event is one, else None."""

    def passes(self, event: Event, wanted: Wanted, data: Data) -> bool:
        """Whether its data are as wanted."""

    def told(self, event: Event, data: Data) -> list[tuple[str, str, Any]]:
        """Its data as Tracee prints them: name, type and value each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """An event made of sources, of which at most one is of any kind. `signature` is the order of its data, with types."""

    name: str
    sets: tuple[str, ...]
    signature: tuple[tuple[str, str], ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    why_not: str = ""
    alarming: bool = False

    def knows(self, name: str) -> bool | str:
        """See Sort."""
        if not any(name == one for one, _ in self.signature):
            return False
        held = [source.fields[name] for source in self.sources.values() if name in source.fields]
        if any(not one.unread for one in held):
            return True
        return held[0].unread if held else "it is not among what the kernel's side reads"

    def kinds(self) -> tuple[str, ...]:
        """See Sort."""
        return tuple(one.kind for one in self.sources.values() if one.hook is None)

    def hooks(self, wanted: Wanted, also: Alternatives, owner: str) -> tuple[Hook, ...]:
        """See Sort."""
        made = [one.hooked(wanted, also, owner) for one in self.sources.values()]
        return tuple(one for one in made if one is not None)

    def data(self, event: Event) -> Data | None:
        """See Sort."""
        source = self.sources.get(event.kind)
        if source is None or (source.when is not None and not source.when(event)):
            return None
        return Lazy(source.fields, event)

    def passes(self, event: Event, wanted: Wanted, data: Data) -> bool:
        """See Sort."""
        fields = self.sources[event.kind].fields
        return all(
            name in fields and fields[name].passes(texts, data[name]) for name, texts in wanted.items()
        )

    def told(self, event: Event, data: Data) -> list[tuple[str, str, Any]]:
        """See Sort."""
        fields = self.sources[event.kind].fields
        found = []
        for name, kind in self.signature:
            if name not in fields:
                continue
            value, words = data[name], fields[name].words
            if words is not None and isinstance(value, int):
                found.append((name, "string", words(value)))
            elif value is not None:
                found.append((name, kind, value))
        return found


@dataclass(frozen=True, slots=True)
class Named:
    """One of the named behaviours, as an event."""

    behaviour: Behaviour
    name: str

    @property
    def sets(self) -> tuple[str, ...]:
        """See Sort."""
        return ("signatures", "default")

    @property
    def why_not(self) -> str:
        """See Sort."""
        return self.behaviour.why_not

    @property
    def alarming(self) -> bool:
        """See Sort."""
        return True

    def knows(self, name: str) -> bool | str:
        """See Sort. What a signature found is not declared, so any name may be asked for."""
        return bool(name)

    def kinds(self) -> tuple[str, ...]:
        """See Sort."""
        return self.behaviour.kinds

    def hooks(self, wanted: Wanted, also: Alternatives, owner: str) -> tuple[Hook, ...]:  # noqa: ARG002 - what it remembers it must see
        """See Sort. It is not narrowed: what it remembers of a process it must have seen."""
        return self.behaviour.watch(owner) if self.behaviour.watch is not None else ()

    def data(self, event: Event) -> Data | None:
        """See Sort."""
        found = self.behaviour.judge(event)
        return (found if isinstance(found, dict) else {}) if found else None

    def passes(self, event: Event, wanted: Wanted, data: Data) -> bool:  # noqa: ARG002 - the shape is Sort's
        """See Sort."""
        return all(name in data and texts(sprint(data[name])) for name, texts in wanted.items())

    def told(self, event: Event, data: Data) -> list[tuple[str, str, Any]]:  # noqa: ARG002 - the shape is Sort's
        """See Sort."""
        return [(name, _type_of(value), value) for name, value in data.items()]


def _type_of(value: Any) -> str:
    return "int" if isinstance(value, int) else "const char*"


# ---- system calls -----------------------------------------------------------------------------------------------------

_WIDTHS = {
    "int": (32, True), "pid_t": (32, True), "uid_t": (32, False), "gid_t": (32, False), "unsigned int": (32, False), "u32": (32, False),
    "mode_t": (16, False), "dev_t": (32, False), "key_t": (32, True), "key_serial_t": (32, True), "mqd_t": (32, True),
    "const clockid_t": (32, True), "long": (64, True), "off_t": (64, True), "timer_t": (64, True),
}  # fmt: skip
_ADDRESSES = {"bind": "local", "getsockname": "local"}


def number(at: int, kind: str) -> Callable[[Event], int]:
    """Return what reads an argument as a number of a C type."""
    bits, signed = _WIDTHS.get(kind, (64, False))
    mask, sign = (1 << bits) - 1, 1 << (bits - 1)
    if signed:
        return lambda event: ((event.args[at] & mask) ^ sign) - sign
    return lambda event: event.args[at] & mask


def text(at: int) -> Callable[[Event], str]:
    """Return what reads a text of the record."""
    return lambda event: event.texts[at]


def remote(event: Event) -> dict[str, str] | None:
    """The far end of the socket that it is about, as Tracee writes an address."""
    return _address(event, far=True)


def local(event: Event) -> dict[str, str] | None:
    """The near end of the socket that it is about, as Tracee writes an address."""
    return _address(event, far=False)


def _address(event: Event, *, far: bool) -> dict[str, str] | None:
    sock = event.sock
    if sock is None:
        return None
    port = sock.rport if far else sock.lport
    place = sock.remote if far else sock.local
    if sock.family == AF_INET:
        return {"sa_family": "AF_INET", "sin_addr": place, "sin_port": str(port)}
    if sock.family == AF_INET6:
        return {
            "sa_family": "AF_INET6", "sin6_addr": place, "sin6_flowinfo": "0", "sin6_port": str(port), "sin6_scopeid": "0",
        }  # fmt: skip
    if sock.family == AF_UNIX:
        return {"sa_family": "AF_UNIX", "sun_path": event.texts[0]}
    return {"sa_family": flags.family(sock.family)}


def fields_of(call: Call) -> dict[str, Field]:
    """Return the fields of a system call, seen when it returned."""
    known = syscalls.call_of(call.name)
    made: dict[str, Field] = {}
    for at, (name, kind) in enumerate(call.args):
        how = known.args[at] if at < len(known.args) else Arg.INT
        made[name] = _argument(call.name, name, kind, at, how, known)
    return made


def _argument(call: str, name: str, kind: str, at: int, how: Arg, known: syscalls.Call) -> Field:
    if kind == "const char*":
        position = known.positions.get(known.names[at]) if how in {Arg.PATH, Arg.STRING} else None
        if position is None:
            unread = "the kernel's side does not read this text"
            return Field(name=name, type=kind, get=lambda _: None, unread=unread)
        return Field(name=name, type=kind, get=text(position), place=(What.TEXT, position))
    if kind == "const char*const*":
        if name == "argv":
            return Field(name=name, type=kind, get=_argv)
        return Field(name=name, type=kind, get=_envp)
    if kind == "struct sockaddr*":
        near = call in _ADDRESSES
        return Field(name=name, type=kind, get=local if near else remote)
    bits = _WIDTHS.get(kind, (64, False))[0]
    return Field(
        name=name, type=kind, get=number(at, kind), words=flags.WORDS.get((call, name)), place=(What.ARG, at), bits=bits,
    )  # fmt: skip


def _argv(event: Event) -> list[str] | None:
    return event.process.args if event.ret == 0 else None


def _envp(event: Event) -> list[str] | None:
    return event.process.env if event.ret == 0 else None


_NEVER_RETURN = frozenset({"exit", "exit_group"})


def of_call(call: Call) -> Plain:
    """Return a system call as an event."""
    hook = syscalls.hook_of(call.name, enter=call.name in _NEVER_RETURN)
    source = Source(kind=call.name, fields=fields_of(call), hook=hook)
    return Plain(name=call.name, sets=call.sets, signature=call.args, sources={call.name: source})


def table(sorts: Sequence[Sort]) -> dict[str, Sort]:
    """Return sorts by their names."""
    return {one.name: one for one in sorts}


def calls() -> dict[str, Sort]:
    """Return all system calls as events."""
    return {name: of_call(call) for name, call in CALLS.items() if name in syscalls.EVERY}
