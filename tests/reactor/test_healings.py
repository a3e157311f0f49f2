"""Records of what was healed: written whole or not at all, believed only where nobody else could have written them."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from fairlead.diagnose import records
from fairlead.diagnose.proposing import Edit, patch
from fairlead.drivers.cluster import Access, AsyncCluster
from fairlead.keep.errors import Refusal
from fairlead.reactor import healings
from fairlead.reactor.heal import Healing
from fairlead.reactor.healings import Cluster, Keeper, Record, every, of_finding, take_back
from fairlead.reactor.trial import Step, Trial
from fairlead.words import Finding, Fix, Ref, Resource, Severity

WEB: Resource = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
    "spec": {"selector": {"app": "wbe"}},
}
FIX = Fix(title="select app=web", changes=(patch(WEB, [Edit(("spec", "selector", "app"), "web")], "x"),))
FINDING = Finding(
    rule="service.selector", severity=Severity.CRITICAL, subject=Ref.of(WEB), message="m", fixes=(FIX,)
)
UNDO = [
    {"op": "test", "path": "/spec/selector/app", "value": "web"},
    {"op": "replace", "path": "/spec/selector/app", "value": "wbe"},
]


def healing(outcome: Any = "healthy") -> Healing:
    back = patch(WEB, [], "take back")
    object.__setattr__(back, "body", UNDO)
    return Healing(FINDING, FIX, outcome, undo=[back], started="2026-03-04T22:30:00+00:00")


def keeper(place: Path) -> Keeper:
    return Keeper(place, Trial(FINDING, FIX, 1, steps=[Step("x", True)]), Cluster("uid-1", "https://one"))


def known(place: Path) -> tuple[list[Record], list[str]]:
    said: list[str] = []
    return list(every(place, said.append)), said


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    keep = keeper(tmp_path / "fixes")
    keep(healing("begun"))
    keep(healing())
    (one,), said = known(tmp_path / "fixes")
    assert said == []
    assert (one.finding, one.title, one.outcome, one.stands) == (FINDING.id, FIX.title, "healthy", True)
    assert (one.undo()[0].body, one.undo()[0].if_uid) == (UNDO, "u")
    assert one.content["cluster"] == {"uid": "uid-1", "server": "https://one"}
    assert (tmp_path / "fixes").stat().st_mode & 0o777 == 0o700
    assert keep.path is not None
    assert keep.path.stat().st_mode & 0o777 == 0o600


def test_two_who_fix_the_same_in_the_same_second_have_a_record_each(tmp_path: Path) -> None:
    first, second = keeper(tmp_path), keeper(tmp_path)
    first(healing("begun"))
    second(healing("begun"))
    first(healing("healthy"))
    second(healing("refused"))
    assert sorted(one.outcome for one in known(tmp_path)[0]) == ["healthy", "refused"]


def test_a_record_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = keeper(tmp_path)
    keep(healing("begun"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fairlead.reactor.healings.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        keep(healing())
    with pytest.raises(OSError, match="No space"):
        keeper(tmp_path)(healing("begun"))
    (one,), said = known(tmp_path)
    assert one.outcome == "begun"
    assert not said
    assert list(tmp_path.iterdir()) == [one.path], "nothing of the others is left"


def test_a_folder_that_cannot_be_made_is_an_error_before_anything(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        keeper(tmp_path / "file" / "fixes")(healing("begun"))


def _sane() -> dict[str, Any]:
    return healings.document(keeper(Path()).trial, healing())


def _with(**applied: Any) -> str:
    found = _sane()
    return json.dumps({**found, "applied": {**found["applied"], **applied}})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty: nothing was changed"),
        (_with()[:200], "is damaged"),
        ("[" * 100_000, "is damaged"),
        ('{"kind": "Fix"}', "is no record of a fix"),
        ('{"kind": "Fix", "applied": "yes"}', "is no record of a fix"),
        (_with(outcome=["healthy"]), "is no record of a fix"),
        (_with(undo=["x"]), "is no record of a fix"),
        (_with(undo=[{"verb": "destroy", "apiVersion": "v1", "ref": {"kind": "Service", "name": "a"}}]), "is no record of a fix"),
        (_with(undo=[{"verb": "patch", "patch": "merge", "apiVersion": "v1", "ref": {"kind": "Service", "name": "a"}, "body": {}}]), "is no record of a fix"),
        (_with(undo=[{"verb": "patch", "patch": "json", "apiVersion": "v1", "ref": {"kind": "Service", "name": "a"}, "body": [{"op": "test"}]}]), "is no record of a fix"),
        (_with(undo=[{"verb": "create", "apiVersion": "v1", "ref": {"kind": "Service", "name": "a"}, "body": {"kind": "Secret", "metadata": {"name": "a"}}}]), "is no record of a fix"),
    ],
)  # fmt: skip
def test_what_is_no_record_is_told_and_never_carried_out(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "2026-x.json"
    path.write_text(content)
    path.chmod(0o600)
    assert known(tmp_path) == ([], [f"{path} {said}"])


def test_what_others_could_have_written_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "2026-x.json"
    path.write_text(json.dumps(_sane()))
    path.chmod(0o644)
    assert len(known(tmp_path)[0]) == 1
    assert path.stat().st_mode & 0o777 == 0o600, "what others could read, they cannot any more"
    path.chmod(0o666)
    found, said = known(tmp_path)
    assert not found
    assert "can be written by others" in said[0]
    path.chmod(0o600)
    (tmp_path / "2027-x.json").symlink_to(path)
    os.mkfifo(tmp_path / "2028-x.json")
    assert len(known(tmp_path)[0]) == 1, "neither links nor pipes are followed"
    tmp_path.chmod(0o777)
    found, said = known(tmp_path)
    assert not found
    assert "can be written by others" in said[0]


def test_a_record_of_another_cluster_is_not_carried_out(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        if request.url.path == "/api/v1":
            return httpx.Response(200, json={"resources": [{"name": "namespaces", "kind": "Namespace"}]})
        return httpx.Response(200, json={"metadata": {"uid": "uid-2"}})

    async def go() -> None:
        async with AsyncCluster(Access(server="https://one")) as cluster:
            cluster._http = httpx.AsyncClient(base_url="https://one", transport=httpx.MockTransport(answer))
            await take_back(known(tmp_path)[0][0], cluster, lambda: datetime.now(UTC))

    keeper(tmp_path)(healing())
    with pytest.raises(Refusal, match="is of another cluster"):
        asyncio.run(go())
    assert asked == ["GET /api/v1", "GET /api/v1/namespaces/kube-system"]


def test_whether_a_cluster_is_the_same() -> None:
    here = Cluster("a", "https://one")
    assert not here.other({"uid": "a", "server": "https://another-name"})
    assert here.other({"uid": "b", "server": "https://one"})
    assert here.other({"server": "https://two"})
    assert not here.other({"server": "https://one"})
    assert not here.other({})


def found_object(**healed: Any) -> Resource:
    told = {
        "phase": "done", "outcome": "healthy", "title": "t", "started": "2026-03-04T22:30:00Z",
        "undo": [records.change(one) for one in healing().undo],
    }  # fmt: skip
    return {
        "metadata": {"name": FINDING.id, "namespace": "shop"},
        "finding": records.finding(FINDING),
        "status": {"healing": told | healed},
    }


def test_what_the_loop_did_is_read_from_its_finding() -> None:
    one = of_finding(found_object())
    assert one is not None
    assert (one.finding, one.outcome, one.stands, one.place) == (
        FINDING.id,
        "healthy",
        True,
        ("shop", FINDING.id),
    )
    begun = of_finding(found_object(phase="begun", outcome=""))
    assert begun is not None
    assert (begun.outcome, begun.stands) == ("begun", True)
    undone = found_object()
    undone["metadata"]["annotations"] = {"fairlead.dev/undone": "2026-03-04T22:30:00Z"}
    told = of_finding(undone)
    assert told is not None
    assert (told.outcome, told.stands) == ("undone", False)
    assert of_finding(found_object(undo=[])) is None
    assert of_finding(found_object(undo=[{"verb": "delete"}])) is None
    assert of_finding({"metadata": {}}) is None


def test_what_was_undone_is_known_by_its_fix(tmp_path: Path) -> None:
    keeper(tmp_path)(healing())
    (one,), _ = known(tmp_path)
    of = one.applied["of"]
    assert not healings.refused(tmp_path, FINDING.id, of)
    one.content["undone"] = {"at": "now"}
    one.save()
    assert healings.refused(tmp_path, FINDING.id, of)
    assert not healings.refused(tmp_path, FINDING.id, "another fix")
