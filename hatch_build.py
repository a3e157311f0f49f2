"""Compiles the kernel's programs (bpf/) when the package is built, so that a user needs neither compiler nor kernel headers.

A hook of hatchling, for wheels and editable installs, and a command: `python hatch_build.py [--force]`. It never runs when fairlead runs.
The compiler is the one of PyPI's ziglang, or else clang. The objects are data, for both architectures in every wheel, so the wheel stays one
for all machines. Where there is no compiler, the package is built with the objects that are there, or without any, and says so.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # called by hand, where hatchling need not be
    BuildHookInterface = object  # type: ignore[assignment,misc]

ROOT = Path(__file__).resolve().parent
SOURCES = "bpf"
OBJECTS = "src/fairlead/drivers/kernel/objects"
NAMES = ("sensor", "probes", "prevent")
"""One object each, compiled from <name>.bpf.c, which may include the other sources."""
ARCHITECTURES = {"x86_64": "x86", "arm64": "arm64"}
"""Folder of the objects, and what the sources call the architecture."""
# v3: 32-bit comparisons and atomic exchange (Linux 5.12).
FLAGS = ("-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-parameter", "-ffreestanding",
         "-fno-asynchronous-unwind-tables")  # fmt: skip


class NotCompiled(Exception):
    """A source that the compiler refuses; its words are the message."""


def compiler() -> tuple[list[str], str] | None:
    """Return how to call a compiler and a text that changes with its version, or None where there is none."""
    if importlib.util.find_spec("ziglang") is not None:
        call = [sys.executable, "-m", "ziglang"]
        version = subprocess.run([*call, "version"], capture_output=True, text=True, check=False)  # noqa: S603
        if version.returncode == 0:
            return [*call, "cc", "-target", "bpfel-freestanding"], f"ziglang {version.stdout.strip()}"
    clang = shutil.which("clang")
    if clang:
        version = subprocess.run([clang, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        return [clang, "-target", "bpfel"], version.stdout.partition("\n")[0]
    return None


def fingerprint(root: Path, name: str, version: str) -> str:
    """Return a hash of everything that decides what the object is."""
    digest = hashlib.sha256("\0".join((version, *FLAGS)).encode())
    others = {f"{other}.bpf.c" for other in NAMES if other != name}
    for source in sorted((root / SOURCES).iterdir()):
        if source.suffix in {".c", ".h"} and source.name not in others:
            digest.update(b"\0%s\0%s" % (source.name.encode(), source.read_bytes()))
    return digest.hexdigest()


def compile_one(call: list[str], root: Path, name: str, target: str, into: Path) -> None:
    """Compile one object. Raises NotCompiled.

    It is made under another name and renamed, so that who reads it meanwhile has the old one or the new one. Paths of this machine are
    kept out of it: the same sources give the same bytes anywhere.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    half = into.with_name(f".{into.name}.{os.getpid()}")
    source = f"{SOURCES}/{name}.bpf.c"
    where = (f"-ffile-prefix-map={root}=.", f"-fdebug-compilation-dir={SOURCES}")
    line = [*call, *FLAGS, *where, f"-D__TARGET_ARCH_{target}", "-c", source, "-o", str(half)]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        half.unlink(missing_ok=True)
        raise NotCompiled(f"{source} for {target}:\n{done.stderr}")
    half.replace(into)


def build(root: Path = ROOT, *, force: bool = False) -> list[str]:
    """Compile what is missing or older than its sources. Return what was done, one line each. Raises NotCompiled."""
    if not (root / SOURCES).is_dir():
        return []
    found = compiler()
    said = []
    failed = []
    for arch, target in ARCHITECTURES.items():
        for name in NAMES:
            if not (root / SOURCES / f"{name}.bpf.c").exists():
                continue
            into = root / OBJECTS / arch / f"{name}.bpf.o"
            if found is None:
                what = (
                    "left as it is"
                    if into.exists()
                    else "left out: `fairlead sense` will not run from this build"
                )
                said.append(f"no compiler (ziglang or clang): {into.relative_to(root)} is {what}")
                continue
            call, version = found
            stamp = into.with_suffix(".sha256")
            wanted = fingerprint(root, name, version)
            if not force and into.exists() and stamp.exists() and stamp.read_text() == wanted:
                continue
            try:
                compile_one(call, root, name, target, into)
            except NotCompiled as error:
                failed.append(str(error))
                continue
            stamp.write_text(wanted)
            said.append(f"compiled {into.relative_to(root)}")
    if failed:
        raise NotCompiled("\n".join(failed))
    return said


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """What hatchling calls before it gathers the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile the objects."""
        for line in build(Path(self.root)):
            self.app.display_info(line)


if __name__ == "__main__":
    try:
        print("\n".join(build(force="--force" in sys.argv[1:])) or "all objects are as their sources")
    except NotCompiled as trouble:
        sys.exit(str(trouble))
