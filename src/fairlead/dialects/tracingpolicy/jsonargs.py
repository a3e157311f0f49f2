"""An argument's value in Tetragon's JSON: KprobeArgument's oneof, and the words for sockets, files and credentials within it.

Numbers of 64 bits are texts, bytes base64, zeros are left out of messages, as protojson does with proto names. Pure.
"""

from __future__ import annotations

import stat
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from fairlead.dialects.tracingpolicy import argtypes, capabilities, operators
from fairlead.dialects.tracingpolicy.argtypes import Type
from fairlead.dialects.tracingpolicy.seeing import FileValue, unix_path
from fairlead.dialects.tracingpolicy.verdicts import Seen
from fairlead.sense.events import CUT, Event, Process, Sock

_FAMILIES: Final = {number: name for name, number in reversed(list(operators.FAMILIES.items()))}
_PROTOCOLS: Final = {number: name for name, number in reversed(list(operators.PROTOCOLS.items()))}
_STATES: Final = {number: name for name, number in operators.STATES.items()}
_MESSAGES: Final = frozenset({
    "file_arg", "path_arg", "linux_binprm_arg", "sock_arg", "skb_arg", "sockaddr_arg", "process_credentials_arg", "user_ns_arg", "module_arg",
    "capability_arg", "syscall_id", "net_dev_arg", "bpf_attr_arg", "bpf_map_arg", "bpf_prog_arg", "perf_event_arg", "int32_list_arg",
})  # fmt: skip
_BPF: Final = (
    "MAP_CREATE", "MAP_LOOKUP_ELEM", "MAP_UPDATE_ELEM", "MAP_DELETE_ELEM", "MAP_GET_NEXT_KEY", "PROG_LOAD", "OBJ_PIN", "OBJ_GET", "PROG_ATTACH",
    "PROG_DETACH", "PROG_TEST_RUN", "PROG_GET_NEXT_ID", "MAP_GET_NEXT_ID", "PROG_GET_FD_BY_ID", "MAP_GET_FD_BY_ID", "OBJ_GET_INFO_BY_FD",
    "PROG_QUERY", "RAW_TRACEPOINT_OPEN", "BTF_LOAD", "BTF_GET_FD_BY_ID", "TASK_FD_QUERY", "MAP_LOOKUP_AND_DELETE_ELEM", "MAP_FREEZE",
    "BTF_GET_NEXT_ID", "MAP_LOOKUP_BATCH", "MAP_LOOKUP_AND_DELETE_BATCH", "MAP_UPDATE_BATCH", "MAP_DELETE_BATCH", "LINK_CREATE", "LINK_UPDATE",
    "LINK_GET_FD_BY_ID", "LINK_GET_NEXT_ID", "ENABLE_STATS", "ITER_CREATE", "LINK_DETACH", "PROG_BIND_MAP", "TOKEN_CREATE",
)  # fmt: skip


def clean(text: str) -> str:
    """Return text that is valid UTF-8: what was not is replaced, as Tetragon does."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def kept(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message without what is zero, empty or absent."""
    return {
        key: value for key, value in message.items() if value not in (None, "", 0, [], {}) or value is False
    }


def argument(seen: Seen, event: Event) -> dict[str, Any] | None:
    """Return a KprobeArgument; None for an argument that is not told (nop). What could not be read is empty."""
    kind = seen.subject.kind if seen.subject else argtypes.named(seen.argument.type)
    if kind is None or kind.form == "nothing":
        return None
    value = seen.subject.get(event) if seen.subject else None
    found = (
        _value(kind, value, event)
        if value is not None
        else {kind.field: {}}
        if kind.field in _MESSAGES
        else {}
    )
    if seen.argument.label:
        found["label"] = seen.argument.label
    return found


def _value(kind: Type, value: Any, event: Event) -> dict[str, Any]:
    match kind.form:
        case "number":
            if kind.field == "bpf_cmd_arg":
                return {"bpf_cmd_arg": f"BPF_{_BPF[value]}" if 0 <= value < len(_BPF) else value}
            return {kind.field: str(value) if kind.field in {"long_arg", "size_arg"} else value}
        case "text":
            return {kind.field: clean(value)}
        case "device":
            return {kind.field: kept({"name": clean(value)})}
        case "bytes":
            told = b64encode(value).decode()
            if event.flags & CUT:
                return {
                    "truncated_bytes_arg": kept(
                        {"bytes_arg": told, "orig_size": str(max(event.ret, len(value)))}
                    )
                }
            return {"bytes_arg": told}
        case "list":
            return {kind.field: kept({"values": list(value)})}
        case "file":
            return {kind.field: file(value)}
        case "socket":
            return {kind.field: packet(value) if kind.field == "skb_arg" else socket(value)}
        case "sockaddr":
            return {kind.field: address(value, unix_path(event))}
        case "credentials":
            return {kind.field: credentials(value)}
        case "userns":
            return {
                kind.field: kept({"uid": value.euid, "gid": value.egid, "ns": kept({"inum": value.ns[9]})})
            }
        case "module":
            return {kind.field: kept({"name": clean(value)})}
        case "capability":
            return {kind.field: {"value": value, **kept({"name": capabilities.kernel_name(value)})}}
        case "syscall":
            return {kind.field: kept({"id": value, "abi": "x64"})}
    return {}


def file(value: FileValue) -> dict[str, Any]:
    """Return a KprobeFile, KprobePath or KprobeLinuxBinprm."""
    return kept({"path": clean(value.path), "permission": stat.filemode(value.mode) if value.mode else ""})


def socket(sock: Sock) -> dict[str, Any]:
    """Return a KprobeSock."""
    return kept({
        "family": _FAMILIES.get(sock.family, str(sock.family)),
        "type": operators.SOCKET_TYPES.get(sock.type, str(sock.type)),
        "protocol": _PROTOCOLS.get(sock.proto, str(sock.proto)) if sock.proto else "",
        "saddr": sock.local,
        "daddr": sock.remote,
        "sport": sock.lport,
        "dport": sock.rport,
        "state": _STATES.get(sock.state, ""),
    })  # fmt: skip


def packet(sock: Sock) -> dict[str, Any]:
    """Return a KprobeSkb, as far as the packet's socket tells of it."""
    return kept({
        "saddr": sock.local,
        "daddr": sock.remote,
        "sport": sock.lport,
        "dport": sock.rport,
        "proto": sock.proto,
        "protocol": _PROTOCOLS.get(sock.proto, "") if sock.proto else "",
        "family": _FAMILIES.get(sock.family, ""),
    })  # fmt: skip


def address(sock: Sock, path: str = "") -> dict[str, Any]:
    """Return a KprobeSockaddr of a socket whose own end is the address that is meant."""
    return kept({
        "family": _FAMILIES.get(sock.family, str(sock.family)),
        "addr": sock.local or clean(path),
        "port": sock.lport,
    })  # fmt: skip


def credentials(process: Process) -> dict[str, Any]:
    """Return ProcessCredentials."""
    ids = {
        name: getattr(process, name)
        for name in ("uid", "gid", "euid", "egid", "suid", "sgid", "fsuid", "fsgid")
    }
    told: dict[str, Any] = dict(ids)
    bits = capabilities.secure_bits(process.secbits)
    if bits:
        told["securebits"] = bits
    told["caps"] = caps(process)
    return told


def caps(process: Process) -> dict[str, Any]:
    """Return Capabilities."""
    effective, permitted, inheritable, *_ = process.caps
    return kept({
        "permitted": capabilities.names(permitted),
        "effective": capabilities.names(effective),
        "inheritable": capabilities.names(inheritable),
    })  # fmt: skip
