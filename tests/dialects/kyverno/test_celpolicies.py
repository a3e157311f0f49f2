"""Golden cases of policies.kyverno.io: documents, what is there and a request in; what each policy says of it out. One file a case."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.dialects.kyverno import celpolicies
from fairlead.judge.judging import Verdict as Judgement
from fairlead.judge.judging import conclude, judge, mutate
from fairlead.judge.policies import Book, Judged
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.applying import Applier
from fairlead.reactor.kindnames import KindNames, catalogue_of
from fairlead.words import Change, Finding, Need, Ref, Snapshot, User

CASES = sorted((Path(__file__).parent / "celcases").glob("*.yaml"))
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class Answers(Mapping[Need, Any]):
    """Answers by what is needed and whose; `details` keeps what was asked."""

    def __init__(self, given: list[dict[str, Any]]) -> None:
        self.given = given

    def __getitem__(self, need: Need) -> Any:
        for one in self.given:
            detail = dict(need.detail)
            if (one["what"], one["name"]) == (need.what, need.about.name) and all(
                detail.get(key) == value for key, value in one.get("detail", {}).items()
            ):
                return ValueError(one["error"]) if "error" in one else one["answer"]
        raise KeyError(need)

    def __iter__(self) -> Iterator[Need]:
        return iter(())

    def __len__(self) -> int:
        return len(self.given)


def load(documents: list[dict[str, Any]]) -> tuple[Book, list[Finding]]:
    models: list[Any] = []
    findings: list[Finding] = []
    for document in documents:
        made, said = celpolicies.READS[celpolicies.GROUP, document["kind"]](Source(document))
        models += made
        findings += said
    assembled = celpolicies.assemble(models)
    return Book(assembled.policies), [*findings, *assembled.findings]


def subject_of(request: dict[str, Any], kinds: KindNames, objects: Snapshot) -> Subject:
    present: dict[str, Any] = request.get("object") or request.get("old") or {}
    ref = Ref.of(present)
    version = present.get("apiVersion", "").rpartition("/")[2]
    plural = kinds.plural(ref.group, ref.kind) if ref.kind else ""
    operation = request.get("operation", "CREATE")
    return Subject(
        target=Target(ref.group, version, ref.kind, plural, "", operation),
        name=ref.name,
        namespace=ref.name if ref.kind == "Namespace" else ref.namespace,
        object=request.get("object"),
        old=request.get("old"),
        space=objects.get("", "Namespace", "", ref.namespace) if ref.namespace else None,
        user=User(name=request.get("user", ""), groups=tuple(request.get("groups", ()))),
        scan=request.get("scan", False),
    )


def around_of(case: dict[str, Any]) -> Surroundings:
    objects = case.get("objects", [])
    return Surroundings(
        view=Snapshot(objects),
        now=NOW,
        kinds=KindNames(catalogue_of(objects)),
        answers=Answers(case.get("answers", [])),
        merge=Applier(Catalogue()).merge,
    )


def run(case: dict[str, Any]) -> tuple[Subject, list[Judged]]:
    book, findings = load(case["policies"])
    told = [one.message for one in findings]
    assert told == case.get("findings", [])
    around = around_of(case)
    snapshot = Snapshot(case.get("objects", []))
    subject = subject_of(case["request"], KindNames(catalogue_of(case.get("objects", []))), snapshot)
    phase = case.get("phase", "validate")
    if phase == "mutate":
        return mutate(subject, book, around)
    return subject, judge(subject, book, around, phase)


def told(one: Judged, wanted: dict[str, Any]) -> dict[str, Any]:
    outcome = one.outcome
    everything: dict[str, Any] = {
        "policy": one.policy.name,
        "result": outcome.result,
        "message": outcome.message,
        "warnings": list(outcome.warnings),
        "actions": sorted(outcome.actions),
        "properties": dict(outcome.properties),
        "changes": [change_of(change) for change in outcome.changes],
    }
    return {key: everything[key] for key in wanted}


def change_of(change: Change) -> dict[str, Any]:
    return {"verb": change.verb, "body": change.body} | (
        {"name": str(change.ref)} if change.verb == "delete" else {}
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    expected = case["expect"]
    if "lacking" in expected:
        with pytest.raises(Lacking) as caught:
            run(case)
        assert [f"{need.what} {need.about.name}" for need in caught.value.needs] == expected["lacking"]
        return
    subject, found = run(case)
    rows = expected.get("rows", [])
    assert [told(one, row) for one, row in zip(found, rows, strict=False)] == rows
    assert len(found) == len(rows), [(one.policy.name, one.outcome.result) for one in found]
    if "object" in expected:
        assert subject.object == expected["object"]
    verdict = Judgement(subject, found)
    conclude(verdict)
    assert verdict.message == expected.get("denied", "")
