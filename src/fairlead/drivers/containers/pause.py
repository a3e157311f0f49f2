"""The program that holds a pod's namespaces open, assembled here so that no compiler and no download is needed.

It blocks SIGINT, SIGTERM and SIGCHLD, then waits for one of them: it reaps children and leaves with code 0 on the
others. (A process number 1 never gets a signal without a handler, unless it is blocked and waited for.) Each
instruction stands beside its bytes. System call numbers: the kernel's asm/unistd.h; encodings: the Intel and Arm
architecture manuals; file format: elf(5). It must stay this small: nothing of a pod's life belongs in it.
"""

from __future__ import annotations

import struct
from typing import Final

_LOAD: Final = 0x400000
_HEADERS: Final = 64 + 56
_SIGNALS: Final = 1 << (2 - 1) | 1 << (15 - 1) | 1 << (17 - 1)  # SIGINT, SIGTERM, SIGCHLD


def _x86_64() -> bytes:
    code = bytearray()
    labels: dict[str, int] = {}
    jumps: list[tuple[int, str]] = []  # the place of a one-byte distance, and where it leads
    sets: list[int] = []  # the places of four-byte distances to the set of signals

    def emit(data: str) -> None:
        code.extend(bytes.fromhex(data))

    def jump(opcode: str, label: str) -> None:
        emit(opcode + "00")
        jumps.append((len(code) - 1, label))

    def lea_set(opcode: str) -> None:
        emit(opcode + "00000000")
        sets.append(len(code) - 4)

    emit("b80e000000")  # mov eax, 14 (rt_sigprocmask)
    emit("31ff")  # xor edi, edi (SIG_BLOCK)
    lea_set("488d35")  # lea rsi, [set]
    emit("31d2")  # xor edx, edx
    emit("41ba08000000")  # mov r10d, 8 (size of a set)
    emit("0f05")  # syscall
    labels["wait"] = len(code)
    emit("b880000000")  # mov eax, 128 (rt_sigtimedwait)
    lea_set("488d3d")  # lea rdi, [set]
    emit("31f6")  # xor esi, esi (no siginfo)
    emit("31d2")  # xor edx, edx (no timeout)
    emit("41ba08000000")  # mov r10d, 8
    emit("0f05")  # syscall
    emit("83f811")  # cmp eax, 17 (SIGCHLD)
    jump("74", "reap")  # je reap
    emit("85c0")  # test eax, eax
    jump("78", "wait")  # js wait (interrupted)
    emit("b83c000000")  # mov eax, 60 (exit)
    emit("31ff")  # xor edi, edi
    emit("0f05")  # syscall
    labels["reap"] = len(code)
    emit("b83d000000")  # mov eax, 61 (wait4)
    emit("bfffffffff")  # mov edi, -1 (any child)
    emit("31f6")  # xor esi, esi
    emit("ba01000000")  # mov edx, 1 (WNOHANG)
    emit("4531d2")  # xor r10d, r10d
    emit("0f05")  # syscall
    emit("85c0")  # test eax, eax
    jump("7f", "reap")  # jg reap
    jump("eb", "wait")  # jmp wait
    code.extend(bytes(-len(code) % 8))
    for place, label in jumps:
        struct.pack_into("<b", code, place, labels[label] - (place + 1))
    for place in sets:
        struct.pack_into("<i", code, place, len(code) - (place + 4))
    return bytes(code) + struct.pack("<Q", _SIGNALS)


def _aarch64() -> bytes:
    words: list[int] = []
    labels: dict[str, int] = {}
    branches: list[tuple[int, str]] = []
    sets: list[int] = []

    def mov(register: int, value: int) -> None:
        words.append(0xD2800000 | value << 5 | register)  # movz x<register>, #value

    def branch(opcode: int, label: str) -> None:
        words.append(opcode)
        branches.append((len(words) - 1, label))

    def adr_set(register: int) -> None:
        words.append(0x10000000 | register)  # adr x<register>, set
        sets.append(len(words) - 1)

    svc, b_eq, b_lt, b_gt, b = 0xD4000001, 0x54000000, 0x5400000B, 0x5400000C, 0x14000000
    mov(8, 135)  # rt_sigprocmask
    mov(0, 0)  # SIG_BLOCK
    adr_set(1)
    mov(2, 0)
    mov(3, 8)  # size of a set
    words.append(svc)
    labels["wait"] = len(words)
    mov(8, 137)  # rt_sigtimedwait
    adr_set(0)
    mov(1, 0)  # no siginfo
    mov(2, 0)  # no timeout
    mov(3, 8)
    words.append(svc)
    words.append(0xF100001F | 17 << 10)  # cmp x0, #17 (SIGCHLD)
    branch(b_eq, "reap")
    words.append(0xF100001F)  # cmp x0, #0
    branch(b_lt, "wait")  # interrupted
    mov(8, 93)  # exit
    mov(0, 0)
    words.append(svc)
    labels["reap"] = len(words)
    mov(8, 260)  # wait4
    words.append(0x92800000)  # movn x0, #0: -1, any child
    mov(1, 0)
    mov(2, 1)  # WNOHANG
    mov(3, 0)
    words.append(svc)
    words.append(0xF100001F)  # cmp x0, #0
    branch(b_gt, "reap")
    branch(b, "wait")
    if len(words) % 2:
        words.append(0xD503201F)  # nop, so that the set is aligned
    for place, label in branches:
        distance = labels[label] - place
        words[place] |= distance & 0x3FFFFFF if words[place] == b else (distance & 0x7FFFF) << 5
    for place in sets:
        distance = (len(words) - place) * 4
        words[place] |= (distance & 3) << 29 | (distance >> 2) << 5
    return struct.pack(f"<{len(words)}I", *words) + struct.pack("<Q", _SIGNALS)


MACHINES: Final = {"amd64": (62, _x86_64), "arm64": (183, _aarch64)}
"""By the name that images use: the number in an ELF header, and the code."""


def program(architecture: str) -> bytes:
    """Return a static executable of a few hundred bytes for "amd64" or "arm64"; KeyError for any other."""
    machine, assemble = MACHINES[architecture]
    code = assemble()
    size = _HEADERS + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",  # 64 bits, little endian, version 1
        2,  # an executable
        machine,
        1,
        _LOAD + _HEADERS,  # where it starts
        64,  # the program header follows at once
        0,
        0,
        64,
        56,
        1,  # one program header
        0,
        0,
        0,
    )
    # One segment, read and execute, holds the file as it is.
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD, _LOAD, size, size, 0x1000)
    return header + segment + code
