"""A sensor: programs in the kernel that serve a plan, and its records read in batches. Judges nothing, and writes nothing but maps.

Everything that it loads and attaches lives by descriptors of this process, so it ends with the process, however that ends; only what was
pinned outlives it (see pinning). A plan is changed while events go on: a changed hook gets a new slot, which the kernel's side
switches to by one write, so that no event meets half of an old hook and half of a new one.
"""

from __future__ import annotations

import os
import select
import struct
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, Self

from fairlead.drivers.kernel import cgroups, layouts, pinning, preventing
from fairlead.drivers.kernel.encoding import CLAUSE, HOOK, SETTINGS, TEST, Encoder, Sets, Table, changes
from fairlead.drivers.kernel.joining import joined
from fairlead.drivers.kernel.libbpf import Link, Map, Refused
from fairlead.drivers.kernel.placing import (
    EVERY,
    Choice,
    Placed,
    Unplaceable,
    Way,
    always,
    choices,
    kind_of,
    recorded,
    recorder,
)
from fairlead.drivers.kernel.probing import Abilities, has_tracepoint, probe
from fairlead.drivers.kernel.rings import LAYOUTS, Batch, Ring
from fairlead.drivers.kernel.stock import Stock
from fairlead.sense.plans import MOST_CLAUSES, MOST_TESTS, Hook, Plan
from fairlead.sense.records import FLIGHTS, SLOTS, Class, HookSort, Kind

RINGS: Final = {"calls": "calls", "named": "named", "long": "longs", "alerts": "alerts"}
"""Each ring's name, and its map's."""
SIZES: Final = {"calls": 16 << 20, "named": 16 << 20, "long": 8 << 20, "alerts": 1 << 20}
"""Bytes of the rings: 80 ms of a million records a second. Powers of two."""
RESERVED: Final = 8
"""Slots at the end, for cgroup hooks."""
_EXEC_SLOT: Final = 0
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_FLIGHT_KEY: Final = struct.Struct("<QII")
_CLAUSE_SIZE: Final = CLAUSE.size + MOST_TESTS * TEST.size
_SPARED_SIGNALS, _SPARED_IGNORED = 1, 2
_FIXED_KINDS: Final = "kernel"
_COUNTS: Final = 4

Recorder = Literal["off", "contained", "all"]


@dataclass(frozen=True, slots=True)
class Count:
    """How many events of a class were seen, sent, dropped since nobody read in time, and held back by a limit of rate."""

    seen: int = 0
    sent: int = 0
    dropped: int = 0
    rated: int = 0


@dataclass(slots=True)
class _Standing:
    """A hook that is served: its slot, what is attached for it, and how that is told."""

    hook: Hook
    slot: int
    choice: Choice


def _key(number: int) -> bytes:
    return _U32.pack(number)


class Sensor:
    """See the module. Made by `open`; used by one thread."""

    def __init__(
        self,
        plan: Plan,
        *,
        sizes: Mapping[str, int] | None = None,
        ignore: Iterable[int] = (),
        spare: Iterable[int] = (),
        contained_only: bool = True,
        environment: int = 4096,
        abilities: Abilities | None = None,
    ) -> None:
        self._abilities = abilities or probe()
        self._contained_only = contained_only
        self._environment = environment
        self._ignore = frozenset(ignore) - {0}
        self._spare = frozenset(spare) - {0}
        if unknown := (sizes or {}).keys() - RINGS.keys():
            raise Refused(f"there is no ring {', '.join(sorted(unknown))}")
        self.sizes: dict[str, int] = {**SIZES, **(sizes or {})}
        self.plan = Plan(hooks=(), recorder=False)
        self.placed: list[Placed] = []
        """Which real hook serves each hook of the plan, or why none does."""
        self.slots: dict[int, Hook] = {}
        """The hook behind each slot, as it was joined and served; a slot keeps its old hook until it is used again."""
        self.remarks: list[str] = []
        """What the kernel's part does not do as the plan asks, in words."""
        self._standing: dict[Hook, _Standing] = {}
        self._links: dict[tuple[Way, int], Link] = {}
        self._free: deque[int] = deque(range(1, SLOTS - RESERVED))
        self._sets = Sets()
        self._tables: dict[Table, dict[bytes, bytes]] = {}
        self._generation = 0
        self._acting = False
        self._rings: dict[str, Ring] = {}
        self._preventer: preventing.Preventer | None = None
        self._pinned = ""
        self._wakes = select.epoll()
        self._stock = Stock({RINGS[name]: size for name, size in self.sizes.items()})
        try:
            self._begin()
            self.update(plan)
        except BaseException:
            self.close()
            raise

    # ---- starting and ending --------------------------------------------------------------------------------------------

    @property
    def maps(self) -> Mapping[str, Map]:
        """The kernel's maps, by their names in bpf/programs.h."""
        return self._stock.maps

    def _begin(self) -> None:
        for name, made in RINGS.items():
            self._rings[name] = Ring(name, self.maps[made].fd, self.sizes[name])
        self._wakes.register(self.maps["alerts"].fd, select.EPOLLIN)
        with suppress(Refused):
            pinning.spare({os.getpid(), *self._spare, *self._ignore})
        for pid in self._spare:
            self.maps["spared"].put(_key(pid), bytes([_SPARED_SIGNALS]))
        for pid in self._ignore:
            self.maps["spared"].put(_key(pid), bytes([_SPARED_SIGNALS | _SPARED_IGNORED]))
        failing = self.maps["failing"]
        failing.put_all([(_key(number), _key(how)) for number, how in recorded().items()])

    def _write_settings(self, *, acting: bool, records: bool) -> None:
        chosen = cgroups.hierarchy().controller
        self._acting = acting
        self.maps["settings"].put(
            _key(0),
            SETTINGS.pack(
                os.getpid(), _host_mounts(), cgroups.subsystem(chosen) + 1 if chosen else 0,
                (1 if self._contained_only else 2) if records else 0, self._environment, bool(self._ignore), acting,
                self._sets.exe_sets, self._generation, 0,
            ),
        )  # fmt: skip

    def close(self) -> None:
        """Detach and unload everything. Only what was pinned stays in the kernel."""
        staying = set(self._acting_links().values()) if self._pinned else set()
        if staying:  # this process' number may be another's soon
            settings = self.maps["settings"].get(_key(0)) or bytes(SETTINGS.size)
            self.maps["settings"].put(_key(0), _key(0) + settings[4:])
        if self._preventer is not None:
            self._preventer.close(leave=bool(staying))
            self._preventer = None
        while self._links:
            link = self._links.popitem()[1]
            link.leave() if link in staying else link.close()
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()
        self._wakes.close()
        self._stock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- plans ----------------------------------------------------------------------------------------------------------

    def update(self, plan: Plan) -> None:
        """Serve another plan from now on. What both plans ask for stays attached, with its slot.

        Raises:
            Refused: a clause cannot be said in the kernel's terms. The sensor then serves what it served before.

        """
        hooks = joined(plan.hooks)
        prevented, cannot = preventing.hooks(plan.preventions)
        encoder, encoded = self._encode([*hooks, *prevented.values()])
        before = self._standing
        acting = bool(plan.preventions) or any(
            clause.signal or clause.deny for hook in hooks for clause in hook.clauses
        )
        self._write_sets(drop=False)
        self._write_settings(acting=acting or self._acting, records=plan.recorder)
        if not before:
            self._stock.load(self._ways_at_first(hooks, plan))
        self.placed = []
        standing: dict[Hook, _Standing] = {}
        refused: list[str] = []
        for hook in hooks:
            known = before.get(hook)
            if known is None:
                try:
                    known = self._place(hook, encoder, encoded[hook])
                except (Unplaceable, Refused) as error:
                    refused.append(f"{hook.sort} {hook.name}: {error}")
                    self.placed.append(Placed(hook, "", str(error)))
                    continue
            standing[hook] = known
            self.placed.append(Placed(hook, known.choice.how, known.choice.lost, known.slot))
        self._standing = standing
        self._let_go([one for hook, one in before.items() if hook not in standing])
        self._attach_fixed(plan)
        cannot += self._prevent(prevented, encoded)
        self._write_settings(acting=acting, records=plan.recorder)
        self._sets.forget()
        self._write_sets(drop=True)
        self.remarks = [*refused, *cannot, *(one.words for one in encoder.remarks)]
        self.plan = plan
        if self._pinned:
            links = self._acting_links()
            pinning.pin(links, self.maps, self._pinned) if links else pinning.unpin(self._pinned)

    def pin(self, owner: str = pinning.SENSOR) -> list[str]:
        """Let what acts outlive this process, however that ends, as a set of pins of that name; return what was pinned.

        It takes the place of a set of that name, without a gap, and follows later plans. See pinning; files that are guarded are
        kept by Guards.keep.

        Raises:
            Refused: nothing of the plan acts, or nothing can be pinned here.

        """
        links = self._acting_links()
        if not links:
            raise Refused("nothing of the plan acts in the kernel, so there is nothing to pin")
        pinning.pin(links, self.maps, owner)
        self._pinned = owner
        return sorted(links)

    @property
    def acts(self) -> bool:
        """Whether something in the kernel kills or prevents for the plan."""
        return bool(self._acting_links())

    def _acting_links(self) -> dict[str, Link]:
        """Return what must stay attached for the plan's actions: those hooks, and what keeps account of processes."""
        prevented = self._preventer.links if self._preventer is not None else {}
        acting = [
            one
            for one in self._standing.values()
            if any(clause.signal or clause.deny for clause in one.hook.clauses)
        ]
        if not acting and not prevented:
            return {}
        wanted = {(way, one.slot if way.cookie else 0) for one in acting for way in one.choice.ways}
        wanted |= {(way, 0) for way in always(self._abilities.names)}
        links = {sort.name.lower(): link for sort, link in prevented.items()}
        for at, (key, link) in enumerate(self._links.items()):
            if key in wanted:
                links[f"{key[0].program}_{at}"] = link
        return links

    def _encode(self, hooks: Sequence[Hook]) -> tuple[Encoder, dict[Hook, list[bytes]]]:
        """Return each hook's clauses as the map holds them; sets that nobody needs any more make room only when there is none."""
        for last in (False, True):
            self._sets.begin()
            encoder = Encoder(self._sets)
            encoded = {hook: encoder.clauses(hook) for hook in hooks}
            if last or not encoder.exhausted:
                return encoder, encoded
            self._sets.forget()
        raise AssertionError

    def _ways_at_first(self, hooks: Iterable[Hook], plan: Plan) -> list[Way]:
        """Return what will most likely be attached, to be loaded at once."""
        ways = [*always(self._abilities.names), *(recorder(has_tracepoint) if plan.recorder else ())]
        for hook in hooks:
            with suppress(Unplaceable):
                ways += choices(hook, self._abilities.names, has_tracepoint)[0].ways
        return ways

    def _write_sets(self, *, drop: bool) -> None:
        """Write the members of sets, the new ones first; with `drop`, remove those that no clause asks about."""
        changed = False
        for table, wanted in self._sets.entries().items():
            known = self._tables.setdefault(table, {})
            put, gone = changes(known, wanted)
            self.maps[table].put_all(put)
            known.update(put)
            if drop:
                for key in gone:
                    self.maps[table].drop(key)
                    del known[key]
            changed |= table.startswith("exe_") and bool(put or (gone and drop))
        if changed:
            self._generation += 1
            if drop:
                self._write_settings(acting=self._acting, records=self.plan.recorder)

    def _place(self, hook: Hook, encoder: Encoder, clauses: list[bytes]) -> _Standing:
        """Write a hook into a slot and attach what serves it."""
        kind = kind_of(hook)
        slot = _EXEC_SLOT if kind == Kind.EXEC else self._free.popleft()
        why = "nothing serves it"
        try:
            self._write_layout(hook, slot)
            for choice in choices(hook, self._abilities.names, has_tracepoint):
                packed = encoder.hook(hook, kind, every=any(way.program in EVERY for way in choice.ways))
                self._write_hook(packed, clauses, slot, denies=choice.denies)
                try:
                    self._stock.load(choice.ways)
                    self._attach(choice.ways, slot)
                except Refused as error:
                    why = error.message
                    continue
                self._switch(hook, kind, slot)
                self.slots[slot] = hook
                return _Standing(hook, slot, _told(choice, hook))
        except BaseException:
            self._give_back(slot)
            raise
        self._give_back(slot)
        raise Refused(why)

    def _give_back(self, slot: int) -> None:
        self.maps["hooks"].put(_key(slot), bytes(HOOK.size))
        if slot != _EXEC_SLOT:
            self._free.append(slot)

    def _write_layout(self, hook: Hook, slot: int) -> None:
        if hook.sort == "tracepoint":
            category, _, name = hook.name.partition("/")
            if has_tracepoint(category, name):
                self.maps["layouts"].put(_key(slot), layouts.layout(category, name, hook.args))
        elif hook.sort == "rawtracepoint":
            self.maps["layouts"].put(_key(slot), layouts.raw_layout(hook.args))

    def _write_hook(self, packed: bytes, clauses: list[bytes], slot: int, *, denies: bool) -> None:
        """Write clauses, then the hook that counts them. A hook in use passes all and does nothing meanwhile."""
        if slot == _EXEC_SLOT:
            self.maps["hooks"].put(_key(slot), bytes(HOOK.size))
        if not denies:
            clauses = [one[:2] + b"\0" + one[3:] for one in clauses]
        self.maps["clauses"].put_all(
            [
                (_key(slot * MOST_CLAUSES + at), one.ljust(_CLAUSE_SIZE, b"\0"))
                for at, one in enumerate(clauses)
            ]
        )
        self.maps["hooks"].put(_key(slot), packed)

    def _switch(self, hook: Hook, kind: int, slot: int) -> None:
        """Make the kernel's side use a slot for a system call or a fixed event. Others know theirs by their cookies."""
        if hook.sort == "syscall":
            self.maps["entering" if hook.enter else "leaving"].put(_key(kind), _key(slot + 1))
        elif hook.sort == _FIXED_KINDS:
            self.maps["fixed"].put(_key(kind - Kind.EXEC), _key(slot + 1))

    def _let_go(self, gone: Iterable[_Standing]) -> None:
        """Stop to serve hooks: where another has taken the place, only the slot is given back."""
        taken = {self._place_of(one.hook): one for one in self._standing.values()}
        for one in gone:
            kind = kind_of(one.hook)
            if self._place_of(one.hook) not in taken:
                if one.hook.sort == "syscall":
                    self.maps["entering" if one.hook.enter else "leaving"].put(_key(kind), _key(0))
                elif one.hook.sort == _FIXED_KINDS:
                    self.maps["fixed"].put(_key(kind - Kind.EXEC), _key(0))
            for way in [key for key in self._links if key[1] == one.slot and one.slot]:
                self._links.pop(way).close()
            if one.slot != _EXEC_SLOT or self._place_of(one.hook) not in taken:
                self._give_back(one.slot)

    @staticmethod
    def _place_of(hook: Hook) -> tuple[object, ...]:
        return (hook.sort, hook.name, hook.enter)

    # ---- attaching ------------------------------------------------------------------------------------------------------

    def _attach(self, ways: Iterable[Way], slot: int) -> None:
        """Attach all of them; where one is refused, what was attached for it is taken back."""
        done = []
        try:
            for way in ways:
                key = (way, slot if way.cookie else 0)
                if key not in self._links:
                    self._links[key] = self._link(way, slot)
                    done.append(key)
        except BaseException:
            for key in done:
                self._links.pop(key).close()
            raise

    def _link(self, way: Way, slot: int) -> Link:
        program = self._stock.program(way)
        cookie = slot if way.cookie else 0
        match way.how:
            case "section":
                return program.attach()
            case "lsm" | "trace":
                return program.attach_trace(cookie)
            case "tracepoint":
                return program.attach_tracepoint(way.where[0], way.where[1], cookie)
            case "raw":
                return program.attach_raw_tracepoint(way.where[0], cookie)
            case "kprobe" | "kretprobe":
                return program.attach_kprobe(way.where[0], returns=way.how == "kretprobe", cookie=cookie)
            case "uprobe" | "uretprobe":
                path, symbol, offset = way.where
                return program.attach_uprobe(
                    path, symbol, offset=int(offset, 0), returns=way.how == "uretprobe", cookie=cookie
                )
            case "usdt":
                return program.attach_usdt(*way.where, cookie=cookie)

    def _attach_fixed(self, plan: Plan) -> None:
        """Attach what is always on and what the recorder needs; detach what nothing needs any more."""
        fixed = [*always(self._abilities.names)]
        self._stock.load(fixed)
        self._attach(fixed, 0)
        wanted = list(recorder(has_tracepoint)) if plan.recorder else []
        self._stock.load(wanted)
        for way in wanted:
            with suppress(Refused):  # a kernel without one of them records the rest
                self._attach((way,), 0)
        needed = {*fixed, *wanted, *(way for one in self._standing.values() for way in one.choice.ways)}
        for key in [key for key in self._links if key[0] not in needed]:
            self._links.pop(key).close()

    def _prevent(self, wanted: Mapping[HookSort, Hook], encoded: Mapping[Hook, list[bytes]]) -> list[str]:
        """Serve what is to be refused by cgroup hooks; return what cannot be."""
        known = self._preventer
        if not wanted and known is None:
            return []
        try:
            if known is None:
                known = self._preventer = preventing.Preventer(self.maps)
            encoder = Encoder(self._sets)
            for sort in HookSort:
                slot = preventing.slot(sort)
                hook = wanted.get(sort)
                if hook is None:
                    self.maps["hooks"].put(_key(slot), bytes(HOOK.size))
                    self.slots.pop(slot, None)
                elif self.slots.get(slot) != hook:
                    self.maps["hooks"].put(_key(slot), bytes(HOOK.size))
                    self._write_hook(encoder.hook(hook, Kind.PREVENTED), encoded[hook], slot, denies=True)
                    self.slots[slot] = hook
            known.serve(wanted)
        except Refused as error:
            return [f"nothing is prevented: {error}"]
        return []

    # ---- reading --------------------------------------------------------------------------------------------------------

    def read(self) -> list[Batch]:
        """Return all records that are there, without waiting; rings without any are left out."""
        found = []
        for name, ring in self._rings.items():
            layout = LAYOUTS.get(name)
            records = ring.read_fixed(layout) if layout is not None else ring.read()
            if len(records):
                found.append(Batch(name, records))
        return found

    def wait(self, seconds: float) -> bool:
        """Wait until a clause has acted, at most so many seconds; return whether there is such a record."""
        return bool(self._wakes.poll(seconds))

    def fileno(self) -> int:
        """The descriptor that is readable when a clause has acted, for an event loop."""
        return self._wakes.fileno()

    def counters(self) -> dict[str, Count]:
        """Return what was counted since the start, of all processors: process, calls, named, long, alerts, recorder."""
        counters = self.maps["counters"]
        found = {}
        for one in Class:
            values = [
                sum(_U64.unpack(value)[0] for value in counters.per_cpu(_key(one * _COUNTS + what)))
                for what in range(_COUNTS)
            ]
            found[one.name.lower()] = Count(*values)
        return found

    def flight(self, cgroup_id: int) -> list[bytes]:
        """Return what the flight recorder holds of a cgroup, records.FLIGHT each, the oldest first (by when it last happened)."""
        flights = self.maps["flights"]
        if self.maps["flight_heads"].get(_U64.pack(cgroup_id)) is None:
            return []
        found = [flights.get(_FLIGHT_KEY.pack(cgroup_id, at, 0)) for at in range(FLIGHTS)]
        return sorted((one for one in found if one is not None), key=lambda one: _U64.unpack_from(one, 40)[0])

    def drop_flight(self, cgroup_id: int) -> None:
        """Forget what the flight recorder holds of a cgroup."""
        self.maps["flight_heads"].drop(_U64.pack(cgroup_id))
        for at in range(FLIGHTS):
            self.maps["flights"].drop(_FLIGHT_KEY.pack(cgroup_id, at, 0))

    def program_ids(self) -> set[int]:
        """Return the kernel's ids of the programs that were loaded, as bpftool lists them."""
        return self._stock.ids()

    def spare(self, pid: int) -> None:
        """Never do anything to a process from now on, as long as there is one of that number; what it does is seen."""
        if pid and pid not in self._ignore and pid not in self._spare:
            self._spare |= {pid}
            self.maps["spared"].put(_key(pid), bytes([_SPARED_SIGNALS]))

    def pids(self) -> tuple[frozenset[int], frozenset[int]]:
        """Return the processes that are ignored, and those that are spared."""
        return self._ignore, self._spare


def _host_mounts() -> int:
    """Return the number of the host's mount namespace: that of the first process, or of the first kernel thread where that one hides."""
    for place in ("/proc/1/ns/mnt", "/proc/2/ns/mnt", "/proc/self/ns/mnt"):
        with suppress(OSError):
            return Path(place).stat().st_ino
    raise Refused("/proc is not mounted")


def _told(choice: Choice, hook: Hook) -> Choice:
    """Return the choice, which says so where a clause wants to make the call fail and it cannot."""
    if choice.denies or not any(clause.deny for clause in hook.clauses):
        return choice
    return replace(choice, lost="; ".join(filter(None, (choice.lost, "nothing here can make the call fail"))))
