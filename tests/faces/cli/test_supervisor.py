"""The supervisor's children are what `fairlead up` was asked for."""

from __future__ import annotations

from pathlib import Path

from fairlead.faces.cli import supervisor
from fairlead.faces.cli.places import Places
from fairlead.faces.cli.supervisor import Options


def commands(**asked: object) -> dict[str, list[str]]:
    options = Options(port=0, **asked)  # type: ignore[arg-type]  # names and types are the test's
    return {child.name: child.command for child in supervisor.children(Places(Path("/data")), options)}


def test_the_platform_runs_beside_the_others_unless_it_is_not_wanted() -> None:
    assert list(commands()) == ["control-plane", "registry", "node", "sensor", "platform"]
    assert list(commands(platform=False, sensor=False, node=False, registry=False)) == ["control-plane"]
    platform = commands(platform_metrics=9191)["platform"]
    assert platform[1:] == ["-m", "fairlead.reactor.diagnosing", "--data-dir", "/data", "--metrics", "9191"]


def test_every_child_may_take_its_time_to_end() -> None:
    assert set(commands()) == set(supervisor.STOP_SECONDS)
