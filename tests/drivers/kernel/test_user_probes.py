"""Functions and static probes of a program that is compiled here, seen by their slots."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fairlead.sense.plans import Arg, Clause, Hook, Op, Test, What
from fairlead.sense.records import Flag, Kind

if TYPE_CHECKING:
    from tests.drivers.kernel.conftest import Listen

pytestmark = pytest.mark.kernel

SOURCE = r"""
#include <stdlib.h>
__attribute__((noinline)) long twice(long one, const char *text) { __asm__ volatile("" :: "r"(text)); return one * 2; }
int main(int argc, char **argv) {
    long number = atol(argv[1]);
    long small = 7;
    // A static probe as <sys/sdt.h> writes it: a nop, and a note that tells where it is and what its arguments are.
    __asm__ volatile(
        "990: nop\n"
        ".pushsection .note.stapsdt,\"\",@note\n"
        ".balign 4\n.4byte 992f-991f, 994f-993f, 3\n"
        "991: .asciz \"stapsdt\"\n992: .balign 4\n"
        "993: .8byte 990b\n.8byte _.stapsdt.base\n.8byte 0\n"
        ".asciz \"fairlead\"\n.asciz \"passed\"\n.asciz \"-8@%[number] -8@%[small] -4@$-5\"\n"
        "994: .balign 4\n.popsection\n"
        ".ifndef _.stapsdt.base\n"
        ".pushsection .stapsdt.base,\"aG\",@progbits,.stapsdt.base,comdat\n"
        ".weak _.stapsdt.base\n.hidden _.stapsdt.base\n_.stapsdt.base: .space 1\n"
        ".size _.stapsdt.base, 1\n.popsection\n.endif\n"
        :: [number] "r"(number), [small] "r"(small));
    return twice(number, argv[2]) == 2 * number ? 0 : 1;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if platform.machine() != "x86_64":
        pytest.skip("the note is written in x86_64's words")
    if find_spec("ziglang") is None:
        pytest.skip("no ziglang to compile a program")
    place = tmp_path_factory.mktemp("user")
    (place / "user.c").write_text(SOURCE)
    made = place / "user"
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-O1", "-o", str(made), str(place / "user.c")],
        check=True, timeout=120,
    )  # fmt: skip
    return made


def test_functions_and_static_probes_are_seen(listen: Listen, program: Path) -> None:
    path = str(program)
    listener = listen(
        Hook(sort="uprobe", name="twice", path=path, enter=True, args=(Arg.INT, Arg.STRING)),
        Hook(sort="uprobe", name="twice", path=path, ret=Arg.INT),
        Hook(sort="usdt", name="passed", path=path, detail="fairlead:passed", args=(Arg.INT, Arg.INT, Arg.INT)),
        Hook(
            sort="uprobe", name="twice", path=path, enter=True, args=(Arg.INT,),
            clauses=(Clause(tests=(Test(What.ARG, Op.GT, (100,)),)),),
        ),
    )  # fmt: skip
    slots = [one.slot for one in listener.sensor.placed]
    assert [one.how.split()[0] for one in listener.sensor.placed] == ["uprobe", "uretprobe", "usdt", "uprobe"]
    assert len(set(slots)) == 4
    few = subprocess.Popen([path, "21", "a text"])
    assert few.wait(20) == 0
    many = subprocess.Popen([path, "-3", "b"])
    assert many.wait(20) == 0
    listener.until(lambda one: one.tgid == many.pid and one.kind == Kind.EXIT)
    by_slot = {one.slot: one for one in listener.found if one.tgid == few.pid and one.kind == Kind.UPROBE}
    assert by_slot[slots[0]].args[0] == 21
    assert by_slot[slots[0]].texts.first == b"a text"
    assert by_slot[slots[0]].flags & Flag.ENTER
    assert by_slot[slots[1]].ret == 42
    assert by_slot[slots[2]].args[:3] == [21, 7, (1 << 64) - 5]
    assert slots[3] not in by_slot, "its clause did not pass"


def test_a_probe_that_is_not_there_is_told(listen: Listen, program: Path) -> None:
    listener = listen(
        Hook(sort="usdt", name="x", path=str(program), detail="fairlead:absent"),
        Hook(sort="uprobe", name="absent", path=str(program), enter=True),
    )
    assert [one.how for one in listener.sensor.placed] == ["", ""]
    assert all(one.lost for one in listener.sensor.placed)
