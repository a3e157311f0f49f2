"""The names of Linux' capabilities, secure bits and taint flags, as Tetragon writes them. Tables; nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NAMES: Final = (
    "CAP_CHOWN", "DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
    "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ",
    "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip

CAPABILITIES: Final[Mapping[str, int]] = {name: at for at, name in enumerate(_NAMES)} | {
    "CAP_DAC_OVERRIDE": 1
}
"""Name -> bit. Tetragon's API calls bit 1 DAC_OVERRIDE; the kernel's own name for it is understood too."""

_SECURE_BITS: Final = (
    "SecBitNoRoot", "SecBitNoRootLocked", "SecBitNoSetUidFixup", "SecBitNoSetUidFixupLocked", "SecBitKeepCaps", "SecBitKeepCapsLocked",
    "SecBitNoCapAmbientRaise", "SecBitNoCapAmbientRaiseLocked",
)  # fmt: skip


def names(mask: int) -> list[str]:
    """Return the names of the capabilities in a set."""
    return [name for at, name in enumerate(_NAMES) if mask >> at & 1]


def kernel_name(number: int) -> str:
    """Return the kernel's name of one capability, "" where it has none."""
    return "CAP_DAC_OVERRIDE" if number == 1 else _NAMES[number] if 0 <= number < len(_NAMES) else ""


def secure_bits(bits: int) -> list[str]:
    """Return the names of the secure bits that are set."""
    return [name for at, name in enumerate(_SECURE_BITS) if bits >> at & 1]


def mask(text: str) -> int | None:
    """Return the set that a text names: a number, or names with commas between them. None where it is neither."""
    try:
        return int(text, 0) & ((1 << 64) - 1)
    except ValueError:
        pass
    found = 0
    for name in text.split(","):
        at = CAPABILITIES.get(name.strip().upper())
        if at is None:
            return None
        found |= 1 << at
    return found
