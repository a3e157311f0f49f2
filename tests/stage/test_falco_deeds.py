"""Every enabled rule of Falco's three files sees its deed in a throw-away container, and not the harmless one beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Room, actor, deeds_incubating, deeds_sandbox, deeds_stable
from stage.deeds import Deed
from stage.watching import Watch, around, describe

from fairlead.dialects import falco
from fairlead.drivers import kernel
from fairlead.sense.fields import Fields

FILES = {
    "falco_rules.yaml": (deeds_stable.DEEDS, ""),
    "falco-incubating_rules.yaml": (deeds_incubating.DEEDS, deeds_incubating.OWN),
    "falco-sandbox_rules.yaml": (deeds_sandbox.DEEDS, deeds_sandbox.OWN),
}
CASES = [(name, deed) for name, (deeds, _) in FILES.items() for deed in deeds]

pytestmark = [pytest.mark.kernel, pytest.mark.corpus, pytest.mark.root]


@pytest.fixture(scope="module")
def watches(corpus: Path) -> Iterator[dict[str, Watch]]:
    actor()
    found = {}
    for name, (_, own) in FILES.items():
        about, containers = around()
        files = [(name, (corpus / "falco" / name).read_text()), ("own.yaml", own)]
        loaded = falco.load(files, fields=Fields(about))
        assert not [one for one in loaded.findings if one.severity != "info"]
        found[name] = Watch([one for one in loaded.rules if one.enabled], about, containers)
    yield found
    for watch in found.values():
        watch.close()


def test_every_enabled_rule_has_a_deed(watches: dict[str, Watch]) -> None:
    for name, (deeds, _) in FILES.items():
        assert {rule.name for rule in watches[name].engine.rules} == {deed.rule for deed in deeds}


@pytest.mark.parametrize(("file", "deed"), CASES, ids=[deed.rule.replace(" ", "-") for _, deed in CASES])
def test_a_deed_is_seen(file: str, deed: Deed, watches: dict[str, Watch], tmp_path: Path) -> None:
    watch = watches[file]
    assert deed.rule in act(watch, deed, tmp_path, harmful=True)
    assert deed.rule not in act(watch, deed, tmp_path, harmful=False)


def act(watch: Watch, deed: Deed, folder: Path, *, harmful: bool) -> set[str]:
    """Return the names of the rules that saw something in a room where the deed, or its harmless neighbour, was done."""
    root = folder / ("harm" if harmful else "harmless") / "root"
    root.mkdir(parents=True)
    watch.settle()
    watch.detections.clear()
    room = Room(root, Path(kernel.hierarchy().mount))
    try:
        words = deed.container if harmful or deed.otherwise is None else deed.otherwise
        describe(watch.here(room), dict(words))
        (deed.harm if harmful else deed.harmless)(room)
        found = {one.rule.name for one in watch.seen(room)}
        assert not watch.engine.errors
        return found
    finally:
        watch.containers.pop(room.cgroup_id, None)
        room.close()


def test_a_deed_is_told_once(watches: dict[str, Watch], tmp_path: Path) -> None:
    """Also beside a rule about a call that this kernel may not have, which every call is looked at for."""
    watch = watches["falco_rules.yaml"]
    deed = next(one for one in deeds_stable.DEEDS if one.rule == "Create Symlink Over Sensitive Files")
    assert deed.rule in act(watch, deed, tmp_path, harmful=True)
    assert [one.rule.name for one in watch.detections].count(deed.rule) == 1
