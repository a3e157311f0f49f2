"""What a TracingPolicy says, as plain data: probes, their arguments, selectors and actions. Reads and decides nothing.

Names follow cilium.io/v1alpha1; every part keeps the JSON path that it came from, for findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fairlead.tongues.selectors import Expr as Selection
from fairlead.words import Ref, Where

Section: TypeAlias = Literal["kprobes", "tracepoints", "uprobes", "usdts", "lsmhooks", "fentries"]
"""Where in the spec a probe stands."""

Scope: TypeAlias = Literal["thread", "process", "global"]
"""Among whose events a rate is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """An argument of the hooked function: its place in the prototype and how it is understood.

    `size_from` is the number of the argument that holds a buffer's length, counted from 1; 0 where none is named. `source` is
    "" (the function's own arguments), "current_task" or "pt_regs". `size` is of a const_buf.
    """

    index: int = 0
    type: str = "auto"
    label: str = ""
    size_from: int = 0
    size: int = 0
    return_copy: bool = False
    max_data: bool = False
    resolve: str = ""
    source: str = ""
    btf_type: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentFilter:
    """A comparison of an argument: of the one with this `index` in the prototype or, with `args`, of those at these places in the list."""

    operator: str
    values: tuple[str, ...] = ()
    index: int = 0
    args: tuple[int, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PidFilter:
    """Process ids that are wanted, or not; `namespaced`: those of the process' own pid namespace; `follow`: and their descendants."""

    negated: bool
    values: tuple[int, ...]
    namespaced: bool = False
    follow: bool = False
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryFilter:
    """Paths of executables: `operator` is In, NotIn, Prefix, NotPrefix, Postfix or NotPostfix; `follow`: and descendants."""

    operator: str
    values: tuple[str, ...]
    follow: bool = False
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceFilter:
    """Inode numbers of one sort of namespace; `host` stands for the host's own."""

    which: int
    negated: bool
    values: tuple[int, ...] = ()
    host: bool = False
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFilter:
    """Sorts of namespaces, as bits, of which one has changed since the exec (or, negated: one of the others)."""

    mask: int
    negated: bool
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityFilter:
    """Capabilities, as bits, of one set (0 effective, 1 permitted, 2 inheritable). `namespaced`: only outside the host's user namespace."""

    which: int
    mask: int
    negated: bool
    namespaced: bool = False
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFilter:
    """Ranges of the real (`effective` False) or the effective user id."""

    effective: bool
    negated: bool
    ranges: tuple[tuple[int, int], ...]
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadFilter:
    """Whose events are meant: label selectors of pods and of containers (None: not asked for), and whether the host's are."""

    pods: Selection | None = None
    containers: Selection | None = None
    hosts: bool = False
    namespace: str = ""
    path: str = ""

    @property
    def all(self) -> bool:
        """Whether nothing is left out."""
        return self.pods is None and self.containers is None and not self.hosts and not self.namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is to happen. `error` is a positive errno; `rate_ms` 0 means as often as it happens."""

    kind: str
    error: int = 0
    signal: int = 0
    target: str = ""
    index: int = 0
    value: int = 0
    rate_ms: int = 0
    scope: Scope = "thread"
    kernel_stack: bool = False
    user_stack: bool = False
    ima_hash: bool = False
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Filters that must all pass, and what happens then. An empty one passes everything and posts."""

    args: tuple[ArgumentFilter, ...] = ()
    data: tuple[ArgumentFilter, ...] = ()
    returns: tuple[ArgumentFilter, ...] = ()
    pids: tuple[PidFilter, ...] = ()
    binaries: tuple[BinaryFilter, ...] = ()
    parents: tuple[BinaryFilter, ...] = ()
    namespaces: tuple[NamespaceFilter, ...] = ()
    changes: tuple[ChangeFilter, ...] = ()
    capabilities: tuple[CapabilityFilter, ...] = ()
    capability_changes: tuple[CapabilityFilter, ...] = ()
    credentials: tuple[CredentialFilter, ...] = ()
    workloads: WorkloadFilter | None = None
    actions: tuple[Action, ...] = ()
    return_actions: tuple[Action, ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One entry of a section: where to look, what to take along, and for whom.

    `calls` are the functions (or symbols, LSM hooks, `subsystem/event`) after lists were put in their place. `binary` and what follows is of
    uprobes and USDT. `broken` says that a part of it could not be understood, so that it must not act. `optional`: a call that is not
    there is no fault. `listed` names the list that the calls come from.
    """

    section: Section
    path: str
    calls: tuple[str, ...]
    syscall: bool = False
    returns: bool = False
    raw: bool = False
    args: tuple[Argument, ...] = ()
    data: tuple[Argument, ...] = ()
    return_arg: Argument | None = None
    return_action: str = ""
    selectors: tuple[Selector, ...] = ()
    message: str = ""
    tags: tuple[str, ...] = ()
    binary: str = ""
    provider: str = ""
    offsets: tuple[int, ...] = ()
    in_container: bool = False
    optional: bool = False
    broken: bool = False
    listed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A whole policy. `monitor`: nothing is enforced. `workloads` holds the policy's own selectors."""

    ref: Ref
    where: Where
    probes: tuple[Probe, ...] = ()
    namespace: str = ""
    monitor: bool = False
    loader: bool = False
    workloads: WorkloadFilter = WorkloadFilter()
    enforced_calls: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The policy's name, as events carry it."""
        return self.ref.name

    @property
    def key(self) -> str:
        """The name among all policies: `namespace/name`, or the name."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name
