"""Write src/fairlead/sense/callnumbers.py: the numbers of the system calls, from the kernel headers that the package ziglang carries.

Run by hand when the headers are newer: `python tools/make_syscall_numbers.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import ziglang

INCLUDE = Path(ziglang.__file__).parent / "lib" / "libc" / "include"
TARGET = Path(__file__).parent.parent / "src" / "fairlead" / "sense" / "callnumbers.py"
NOT_CALLS = {"arch_specific_syscall", "syscalls"}

TEMPLATE = '''"""The numbers of the system calls, as the kernel's headers give them. Written by tools/make_syscall_numbers.py; data only."""

from __future__ import annotations

X86_64 = """
{x86}
"""
"""`name number`, many to a line."""

AARCH64 = """
{arm}
"""
"""`name number`, many to a line."""
'''


def numbers(architecture: str) -> dict[str, int]:
    """Return name -> number of an architecture's 64-bit calls."""
    text = (INCLUDE / f"{architecture}-linux-any" / "asm" / "unistd_64.h").read_text()
    found = {
        name: int(number)
        for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)\s*$", text, re.MULTILINE)
    }
    return {name: number for name, number in found.items() if name not in NOT_CALLS}


def lines(table: dict[str, int]) -> str:
    """Return the table as text, at most 110 characters to a line."""
    rows = [""]
    for name, number in table.items():
        piece = f"{name} {number}"
        if len(rows[-1]) + len(piece) + 2 > 110:
            rows.append("")
        rows[-1] += f"{', ' if rows[-1] else ''}{piece}"
    return ",\n".join(rows)


if __name__ == "__main__":
    TARGET.write_text(TEMPLATE.format(x86=lines(numbers("x86")), arm=lines(numbers("aarch64"))))
