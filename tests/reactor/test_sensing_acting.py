"""Policies that act, from their files to real processes: what is refused or killed, and what goes on with the sensor gone.

Every policy names a file or an executable that the test made, so that it can hit nothing else.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.drivers import kernel
from fairlead.drivers.kernel import pinning
from fairlead.reactor.sensing import Sensing
from fairlead.reactor.sensing_steps import Options, Started

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="acting needs root on Linux"),
]

_GUARD = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: keep-secret}}
spec:
  kprobes:
  - call: security_file_open
    syscall: false
    return: true
    args: [{{index: 0, type: file}}]
    returnArg: {{index: 0, type: int}}
    selectors:
    - matchArgs: [{{index: 0, operator: Equal, values: ["{path}"]}}]
      matchActions: [{{action: Override, argError: -1}}]
"""
_KILL = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: no-uname}}
spec:
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_newuname
    selectors:
    - matchBinaries: [{{operator: In, values: ["{path}"]}}]
      matchActions: [{{action: Sigkill}}]
"""


async def sensing(text: str, pin: str = "") -> tuple[Sensing, Started]:
    options = Options(files=[("policy.yaml", text)], pin=pin, identify=False, recorder=False)
    made = Sensing(options)
    try:
        return made, await made.start()
    except kernel.Refused as error:
        pytest.skip(str(error))


def code(*command: str | Path) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode


def test_a_policy_keeps_a_file_and_it_is_kept_without_the_sensor(tmp_path: Path) -> None:
    secret, leaflet = tmp_path / "secret", tmp_path / "leaflet"
    secret.write_text("x")
    leaflet.write_text("y")
    owner = f"test{os.getpid()}"

    async def story() -> None:
        made, started = await sensing(_GUARD.format(path=secret), owner)
        assert [one.message for one in started.findings if "outlives" in one.message] == []
        try:
            assert {await asyncio.to_thread(code, "cat", secret) for _ in range(20)} == {1}
            assert await asyncio.to_thread(code, "cat", leaflet) == 0
            told = (await made.step()).prevented
            assert {(one.what, one.path) for one in told} == {("open", str(secret))}
            assert len(told) == 20
        finally:
            await made.stop()

    try:
        asyncio.run(story())
        assert code("cat", secret) == 1
    finally:
        pinning.unpin(owner)
    assert code("cat", secret) == 0


def test_a_policy_kills_one_executable_and_not_its_twin(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    for path in (bad, good):
        shutil.copy(shutil.which("uname") or "", path)

    async def story() -> None:
        made, _ = await sensing(_KILL.format(path=bad))
        try:
            assert {await asyncio.to_thread(code, bad) for _ in range(20)} == {-signal.SIGKILL}
            assert await asyncio.to_thread(code, good) == 0
        finally:
            await made.stop()

    asyncio.run(story())
    assert code(bad) == 0
