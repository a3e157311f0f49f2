"""verifyImages: what is read, which images are meant, digests, and the Need for signatures."""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from fairlead.judge.judging import judge
from fairlead.judge.policies import Outcome
from fairlead.judge.reading import Source
from fairlead.judge.subjects import subject_of
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.policies import Loaded, load
from fairlead.words import Need, Snapshot

DIGEST = "sha256:" + "a" * 64


def loaded(entry: str, action: str = "Enforce") -> Loaded:
    indented = "\n".join(f"      {line}" for line in entry.strip("\n").splitlines())
    return load([
        Source(yaml.safe_load(f"""
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: signed}}
spec:
  validationFailureAction: {action}
  rules:
  - name: check
    match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
    verifyImages:
    -
{indented}
"""))
    ])  # fmt: skip


def pod(*images: str) -> Any:
    containers = [{"name": f"c{index}", "image": image} for index, image in enumerate(images)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": containers},
    }


def said(entry: str, *images: str, action: str = "Enforce", answer: Any = None) -> list[Outcome]:
    answers: dict[Need, Any] = {}
    around = Surroundings(
        view=Snapshot(), now=datetime(2024, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue()), answers=answers
    )
    subject, book = subject_of(pod(*images), "pods"), loaded(entry, action).book
    try:
        return [one.outcome for one in judge(subject, book, around) if one.policy.name == "signed"]
    except Lacking as lacking:
        if answer is None:
            raise
        answers.update(dict.fromkeys(lacking.needs, answer))
    return [one.outcome for one in judge(subject, book, around) if one.policy.name == "signed"]


DIGESTS = 'imageReferences: ["ghcr.io/*"]\nskipImageReferences: ["ghcr.io/free/*"]\nmutateDigest: false'
SIGNED = """
imageReferences: ["*"]
verifyDigest: false
attestors:
- count: 1
  entries:
  - keys: {publicKeys: "{{ request.object.metadata.namespace }}-key"}
"""


def test_an_image_must_have_a_digest() -> None:
    (one,) = said(DIGESTS, "ghcr.io/a/b:1")
    assert (one.result, one.message) == ("fail", "missing digest for ghcr.io/a/b:1")
    assert (one.paths, one.actions) == ((".spec.containers[0].image",), frozenset({"deny"}))
    (one,) = said(DIGESTS, f"ghcr.io/a/b@{DIGEST}")
    assert (one.result, one.message) == ("pass", "image verified")


def test_images_that_are_not_meant_are_passed_over() -> None:
    assert not said(DIGESTS, "nginx:1", "ghcr.io/free/b:1")


def test_what_follows_is_the_policy_s_or_the_entry_s() -> None:
    (one,) = said(DIGESTS, "ghcr.io/a/b:1", action="Audit")
    assert one.actions == {"audit"}
    (one,) = said(f"{DIGESTS}\nfailureAction: Enforce", "ghcr.io/a/b:1", action="Audit")
    assert one.actions == {"deny"}


def test_signatures_are_asked_for_with_the_variables_filled_in() -> None:
    with pytest.raises(Lacking, match=r"image\.verification") as caught:
        said(SIGNED, "a:1")
    (need,) = caught.value.needs
    assert need.about.name == "docker.io/a:1"
    assert '"n-key"' in dict(need.detail)["entry"]


def test_the_answer_decides() -> None:
    (one,) = said(SIGNED, "a:1", answer={"verified": True})
    assert one.result == "pass"
    (one,) = said(SIGNED, "a:1", answer={"verified": False, "message": "no matching signatures"})
    assert (one.result, one.message) == (
        "fail",
        "failed to verify image docker.io/a:1: no matching signatures",
    )


def test_when_nobody_can_answer_it_is_an_error_that_names_the_image() -> None:
    (one,) = said(SIGNED, "a:1", answer=ValueError("nobody is there"))
    assert (one.result, one.actions) == ("error", frozenset({"deny"}))
    assert one.message == (
        "failed to verify image docker.io/a:1: signatures cannot be verified yet: nobody is there"
    )


def test_findings_say_what_cannot_be_done_and_what_is_unknown() -> None:
    messages = [
        (one.where.path, one.message.partition(": ")[2])
        for one in loaded(SIGNED + "  what: 1\ntypo: 2").findings
        if one.subject.name == "signed"
    ]
    here = ".spec.rules[0].verifyImages[0]"
    assert [path for path, _ in messages] == [
        f"{here}.typo", f"{here}.attestors[0].what", here, here,
    ]  # fmt: skip
    assert "signatures cannot be verified yet" in messages[2][1]
    assert "mutateDigest" in messages[3][1]


@pytest.mark.parametrize(
    ("entry", "path"),
    [("type: Cosign", ".imageReferences"), ('type: Magic\nimageReferences: ["*"]', ".type")],
)
def test_what_cannot_be_used_is_a_finding(entry: str, path: str) -> None:
    found = [one for one in loaded(entry).findings if one.rule == "policy.broken"]
    assert [one.where.path for one in found] == [f".spec.rules[0].verifyImages[0]{path}"]
