"""What a probe says of an event: which selector met it, what is to be done, and whether it is to be told. The residue of a rule.

A Watcher is made once for each function of a probe and asked once for each event; it remembers only what rates need, within bounds.
Time comes with the events.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fairlead.dialects.tracingpolicy.filters import Filter
from fairlead.dialects.tracingpolicy.policies import Action, Argument, Policy, Probe, Selector
from fairlead.dialects.tracingpolicy.seeing import Subject
from fairlead.sense.events import AF_INET, AF_INET6, Event
from fairlead.sense.planning import owners
from fairlead.sense.plans import Hook, Test, What

_MOST_RATES: Final = 8192
_INSPECTED: Final = 40
"""Bytes of each argument that tell equal events from others, as in Tetragon."""
_TERMINALS: Final = ("/dev/tty", "/dev/pts/", "/dev/console", "/dev/hvc")


@dataclass(frozen=True, slots=True)
class Seen:
    """One argument of a probe at one place: its description, and how it is had (None: not at all)."""

    argument: Argument
    subject: Subject | None


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """What a selector comes to at one place. `trusted`: its clauses decide what its `current` filters ask."""

    selector: Selector
    filters: tuple[Filter, ...]
    returns: tuple[Filter, ...]
    post: bool = True
    action: str = "Post"
    return_action: str = "Post"
    rate: Action | None = None
    deeds: tuple[Action, ...] = ()
    trusted: bool = False
    clauses: frozenset[Any] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """A probe's yes to an event: what an exporter needs. `deeds` are what Tetragon does in user space (GetUrl, DnsLookup)."""

    policy: Policy
    probe: Probe
    function: str
    args: tuple[Seen, ...]
    data: tuple[Seen, ...]
    returned: Seen | None
    action: str
    return_action: str
    deeds: tuple[Action, ...] = ()


class Watcher:
    """Decides for one function of one probe. `places` maps what tells an event's place to the selectors there."""

    def __init__(self, key: str, policy: Policy, probe: Probe, function: str) -> None:
        self.key = key
        self.policy = policy
        self.probe = probe
        self.function = function
        self.places: dict[tuple[str, bool], list[Place]] = {}
        self._rates: OrderedDict[tuple[Any, ...], int] = OrderedDict()

    def __call__(self, event: Event) -> Verdict | bool:
        """Return the verdict of the first selector that the event meets, or False. Selectors that do not post say no."""
        for place in self.places.get((event.kind, event.entering), ()):
            if place.hook is not None and event.hook is not None and _another(event.hook, place.hook):
                continue
            if all(test(event) for test in place.conditions):
                found = self._judged(event, place)
                if found:  # else another file of the same call may be meant
                    return found
        return False

    def _judged(self, event: Event, place: Place) -> Verdict | bool:
        passed = self._passed(event)
        for watch in place.watches:
            trusted = passed is not None and watch.trusted
            if trusted and passed is not None and not (passed & watch.clauses):
                continue
            if not all((trusted and one.current) or one.test(event) for one in watch.filters):
                continue
            if not watch.post or not all(one.test(event) for one in watch.returns):
                return False
            if watch.rate is not None and not self._fresh(event, place, watch.rate):
                return False
            return Verdict(
                self.policy,
                self.probe,
                place.named(event) if place.named else self.function,
                place.args,
                place.data,
                place.returned,
                watch.action,
                watch.return_action,
                watch.deeds,
            )
        return False

    def _passed(self, event: Event) -> frozenset[Any] | None:
        """Return the clauses of this rule that the kernel says passed, None where that cannot be told."""
        hook = event.hook
        if hook is None or not event.clauses:
            return None
        found = set()
        for at, clause in enumerate(hook.clauses):
            if event.clauses >> at & 1:
                if not clause.owner:
                    return None
                if self.key in owners(clause):
                    found.add(told_apart(clause.tests))
        return frozenset(found) or None

    def _fresh(self, event: Event, place: Place, rate: Action) -> bool:
        """Whether no equal event was told within the rate's time."""
        who = {"thread": event.tid, "process": event.pid, "global": 0}[rate.scope]
        key = (rate.path, who, *(_inspected(one, event) for one in place.args))
        last = self._rates.get(key)
        if last is not None and event.time - last < rate.rate_ms * 1_000_000:
            return False
        self._rates[key] = event.time
        self._rates.move_to_end(key)
        if len(self._rates) > _MOST_RATES:
            self._rates.popitem(last=False)
        return True


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """One place where a probe's function is seen, with everything made ready for it. `hook` is None where the kind says enough."""

    hook: Hook | None
    conditions: tuple[Callable[[Event], bool], ...]
    args: tuple[Seen, ...]
    data: tuple[Seen, ...]
    returned: Seen | None
    watches: Sequence[Watch]
    named: Callable[[Event], str] | None = None


def told_apart(tests: Iterable[Test]) -> frozenset[Test]:
    """Return what tells a clause from others whatever hook it was joined into: its tests but those of texts, which may have moved."""
    return frozenset(test for test in tests if test.what is not What.TEXT)


def _another(one: Hook, other: Hook) -> bool:
    return (one.name, one.path, one.detail) != (other.name, other.path, other.detail)


def _inspected(one: Seen, event: Event) -> Any:
    value = one.subject.get(event) if one.subject else None
    if isinstance(value, str | bytes):
        return value[:_INSPECTED]
    path = getattr(value, "path", None)
    return path[:_INSPECTED] if isinstance(path, str) else value if isinstance(value, int | tuple) else None


def _terminal(event: Event) -> bool:
    path = event.texts[0]
    return path.startswith(_TERMINALS) or (path.removeprefix("/").isdecimal() and len(path) < 8)


def _family(wanted: int) -> Callable[[Event], bool]:
    return lambda event: event.sock is not None and event.sock.family == wanted


def _multicast(event: Event) -> bool:
    sock = event.sock
    return sock is not None and sock.family == AF_INET and 224 <= sock.raddr[0] <= 239


ONLY: Final[Mapping[str, Callable[[Event], bool]]] = {
    "tty": _terminal,
    "v4": _family(AF_INET),
    "v6": _family(AF_INET6),
    "multicast": _multicast,
}
"""Conditions of places that only Python tests."""
