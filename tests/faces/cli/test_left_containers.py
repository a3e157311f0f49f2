"""`fairlead down` ends containers whose node was killed before it could."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fairlead.drivers.containers import daemon, leftovers
from fairlead.drivers.containers.places import Places
from fairlead.faces.cli.main import main

pytestmark = pytest.mark.root


def test_down_ends_what_a_killed_node_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if reason := daemon.missing():
        pytest.skip(reason)
    from fairlead.drivers.containers.runtime import Containerd
    from fairlead.orchestrate.runtimes import SandboxPlan

    async def leave() -> None:
        runtime = await Containerd.open(tmp_path)
        await runtime.run_sandbox(SandboxPlan(uid="u", namespace="n", name="left"))
        await runtime.close()

    asyncio.run(leave())
    places = Places.of(tmp_path)
    assert leftovers.processes(places)
    down = ["down", "--data-dir", str(tmp_path)]
    assert main(down) == 0
    assert "fairlead is down" in capsys.readouterr().out
    assert not leftovers.processes(places)
    assert not daemon.find(places)
    assert not leftovers.remain(places)
    assert main(down) == 0
    assert "not running" in capsys.readouterr().out
