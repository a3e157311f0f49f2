"""The argument types of Tetragon: what sort of value each is, how wide, which operators it takes and how it is called in JSON.

A table and its look-ups; it reads no event.
Source: Tetragon's generictypes and its API's KprobeArgument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Form: TypeAlias = Literal[
    "number", "text", "bytes", "file", "socket", "sockaddr", "credentials", "capabilities", "capability", "userns", "module",
    "syscall", "device", "list", "nothing", "unreadable",
]  # fmt: skip
"""The sort of value. `unreadable`: a kernel object that no hook of ours tells of."""

NUMBERS: Final = frozenset(
    {"Equal", "NotEqual", "GT", "LT", "Mask", "InRange", "NotInRange", "InMap", "NotInMap"}
)
PATHS: Final = frozenset({"Equal", "NotEqual", "Prefix", "NotPrefix", "Postfix", "NotPostfix"})
TEXTS: Final = PATHS | {"SubString", "SubStringIgnCase"}
FILES: Final = PATHS | {"FileType", "NotFileType"}
ENDS: Final = frozenset({"SAddr", "NotSAddr", "SPort", "NotSPort", "SPortPriv", "NotSPortPriv", "Family"})
SOCKETS: Final = ENDS | {
    "DAddr", "NotDAddr", "DPort", "NotDPort", "DPortPriv", "NotDPortPriv", "Protocol", "State",
}  # fmt: skip
CAPABILITIES: Final = frozenset({"Equal", "NotEqual", "Mask", "CapabilitiesGained"})


@dataclass(frozen=True, slots=True)
class Type:
    """One type. `bits` and `signed` are of numbers; `field` is the name in KprobeArgument; `why` says why it cannot be read here."""

    form: Form
    field: str
    operators: frozenset[str] = frozenset()
    bits: int = 64
    signed: bool = False
    why: str = ""


def _number(bits: int, signed: bool, field: str) -> Type:
    return Type("number", field, NUMBERS, bits, signed)


_TYPES: Final[Mapping[str, Type]] = {
    "int": _number(32, True, "int_arg"),
    "int32": _number(32, True, "int_arg"),
    "int16": _number(16, True, "int_arg"),
    "int8": _number(8, True, "int_arg"),
    "uint32": _number(32, False, "uint_arg"),
    "uint16": _number(16, False, "uint_arg"),
    "uint8": _number(8, False, "uint_arg"),
    "int64": _number(64, True, "long_arg"),
    "uint64": _number(64, False, "size_arg"),
    "size_t": _number(64, False, "size_arg"),
    "bpf_cmd": _number(32, True, "bpf_cmd_arg"),
    "syscall64": Type("syscall", "syscall_id", NUMBERS),
    "capability": Type("capability", "capability_arg", NUMBERS, 32, True),
    "string": Type("text", "string_arg", TEXTS),
    "data_loc": Type("text", "string_arg", TEXTS),
    "net_device": Type("device", "net_dev_arg", PATHS),
    "char_buf": Type("bytes", "bytes_arg", TEXTS),
    "char_iovec": Type("bytes", "bytes_arg", TEXTS),
    "iov_iter": Type("bytes", "bytes_arg", TEXTS),
    "const_buf": Type("bytes", "bytes_arg", TEXTS),
    "filename": Type("text", "string_arg", TEXTS),
    "file": Type("file", "file_arg", FILES),
    "fd": Type("file", "file_arg", PATHS),
    "kiocb": Type("file", "file_arg", PATHS),
    "path": Type("file", "path_arg", FILES),
    "dentry": Type("file", "path_arg", PATHS),
    "linux_binprm": Type("file", "linux_binprm_arg", PATHS),
    "sock": Type("socket", "sock_arg", SOCKETS),
    "socket": Type("socket", "sock_arg", SOCKETS),
    "skb": Type("socket", "skb_arg", SOCKETS),
    "sockaddr": Type("sockaddr", "sockaddr_arg", ENDS),
    "sockaddr_un": Type("sockaddr", "sockaddr_arg", PATHS | {"Family"}),
    "cred": Type("credentials", "process_credentials_arg"),
    "kernel_cap_t": Type("capabilities", "kernel_cap_t_arg", CAPABILITIES),
    "cap_inheritable": Type("capabilities", "cap_inheritable_arg", CAPABILITIES),
    "cap_permitted": Type("capabilities", "cap_permitted_arg", CAPABILITIES),
    "cap_effective": Type("capabilities", "cap_effective_arg", CAPABILITIES),
    "user_namespace": Type("userns", "user_ns_arg"),
    "load_info": Type("module", "module_arg"),
    "module": Type("module", "module_arg"),
    "nop": Type("nothing", ""),
    "auto": _number(64, True, "long_arg"),
    "bpf_attr": Type("unreadable", "bpf_attr_arg", why="what a bpf() call carries is not read"),
    "bpf_map": Type("unreadable", "bpf_map_arg", why="the kernel's BPF maps are not read"),
    "bpf_prog": Type("unreadable", "bpf_prog_arg", why="the kernel's BPF programs are not read"),
    "perf_event": Type("unreadable", "perf_event_arg", why="the kernel's perf events are not read"),
    "int32_arr": Type("list", "int32_list_arg"),
}
_ALIASES: Final[Mapping[str, str]] = {
    "sint8": "int8",
    "sint16": "int16",
    "sint32": "int32",
    "sint64": "int64",
    "long": "int64",
    "long int": "int64",
    "ulong": "uint64",
    "unsigned long": "uint64",
    "unsigned int": "uint32",
}

TYPES: Final[Mapping[str, Type]] = dict(_TYPES) | {alias: _TYPES[name] for alias, name in _ALIASES.items()}
"""Every type by each of its names."""


def named(name: str) -> Type | None:
    """Return the type of this name, or None."""
    return TYPES.get(name)


def number_of(kind: Type, raw: int) -> int:
    """Return a register's 64 bits as this type's number."""
    value = raw & ((1 << kind.bits) - 1)
    return value - (1 << kind.bits) if kind.signed and value >> (kind.bits - 1) else value
