"""verifyImages: what is read, which images are meant, digests, and the Need for signatures."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from fairlead.judge.judging import judge, mutate
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
    detail = dict(need.detail)
    assert detail["what"] == "authorities"
    (asked,) = json.loads(detail["authorities"])
    assert asked["keys"] == [{"hash": "", "pem": "n-key"}]
    assert (asked["log"], asked["legacy"], asked["bundles"]) == ("require", True, False)


def signed(*good: bool, statement: Any = None) -> Any:
    proven = [{"id": "a", "statement": statement or {}}]
    return {"found": [{"name": "a", "proven": proven if one else [], "error": "not theirs"} for one in good]}


def test_the_answer_decides() -> None:
    (one,) = said(SIGNED, "a:1", answer=signed(True))
    assert one.result == "pass"
    (one,) = said(SIGNED, "a:1", answer=signed(False))
    assert (one.result, one.message) == (
        "fail",
        "failed to verify image docker.io/a:1: .attestors[0].entries[0].keys: not theirs",
    )
    odds: tuple[Any, ...] = ({"verified": True}, {"found": []}, {"found": "all"}, 1, signed(True, True))
    for odd in odds:
        (one,) = said(SIGNED, "a:1", answer=odd)
        assert (one.result, one.message.rpartition(": ")[2]) == (
            "fail",
            "the answer is not about what was asked",
        )


TWO = """
imageReferences: ["*"]
verifyDigest: false
attestors:
- {count: COUNT, entries: [{keys: {publicKeys: one}}, {attestor: {entries: [{keyless: {subject: "a*", issuer: i}}]}}]}
"""


@pytest.mark.parametrize(
    ("count", "answers", "result"),
    [(1, (True, False), "pass"), (1, (False, True), "pass"), (2, (True, False), "fail"), (0, (True, False), "fail"),
     (0, (True, True), "pass"), (1, (False, False), "fail")],
)  # fmt: skip
def test_attestors_are_counted(count: int, answers: tuple[bool, ...], result: str) -> None:
    (one,) = said(TWO.replace("COUNT", str(count)), "a:1", answer=signed(*answers))
    assert one.result == result


PEM = "-----BEGIN PUBLIC KEY-----\\nA\\n-----END PUBLIC KEY-----"


@pytest.mark.parametrize(
    ("attestors", "why"),
    [
        ("[{}]", ".attestors[0]: no entries are given"),
        ("[{entries: []}]", ".attestors[0]: no entries are given"),
        ("[{entries: [{}]}]", "exactly one of keys, certificates and keyless is wanted"),
        ("[{entries: [{keyless: {}}]}]", "exactly one of keys, certificates and keyless is wanted"),
        ("[{entries: [{keyless: {rekor: {url: u}}}]}]", "neither a subject nor an issuer is given, so anybody could have signed"),
        ("[{entries: [{keys: {kms: 'awskms://x'}}]}]", "keys of a key management service are not supported; give the public key itself"),
        ("[{entries: [{keys: {secret: {name: s, namespace: n}}}]}]", "the secret n/s is not there, or holds no cosign.pub"),
        ("[{entries: [{certificates: {rekor: {url: u}}}]}]", "neither cert nor certChain is given"),
    ],
)  # fmt: skip
def test_attestors_that_name_nobody_verify_nothing(attestors: str, why: str) -> None:
    (one,) = said(
        f'imageReferences: ["*"]\nverifyDigest: false\nattestors: {attestors}', "a:1", answer=signed()
    )
    assert (one.result, one.message.endswith(why)) == ("fail", True), one.message


def test_several_keys_in_one_text_must_all_have_signed() -> None:
    entry = f'imageReferences: ["*"]\nverifyDigest: false\nattestors: [{{entries: [{{keys: {{publicKeys: "{PEM}{PEM}"}}}}]}}]'
    assert [one.result for one in said(entry, "a:1", answer=signed(True, False))] == ["fail"]
    assert [one.result for one in said(entry, "a:1", answer=signed(True, True))] == ["pass"]


ATTESTED = """
imageReferences: ["*"]
verifyDigest: false
attestations:
- type: https://slsa.dev/provenance/v1
  attestors: [{entries: [{keys: {publicKeys: one, rekor: {ignoreTlog: true}}}]}]
  conditions: [{all: [{key: "{{ builder.id }}", operator: Equals, value: "{{ request.object.metadata.namespace }}", message: "built by {{ builder.id }}"}]}]
"""


def test_conditions_see_what_was_attested() -> None:
    (one,) = said(ATTESTED, "a:1", answer=signed(True, statement={"predicate": {"builder": {"id": "n"}}}))
    assert one.result == "pass"
    (one,) = said(ATTESTED, "a:1", answer=signed(True, statement={"predicate": {"builder": {"id": "x"}}}))
    assert one.message == (
        "failed to verify image docker.io/a:1: attestation checks failed for docker.io/a:1 and predicate "
        "https://slsa.dev/provenance/v1: built by x"
    )
    (one,) = said(ATTESTED, "a:1", answer=signed(True, statement={"predicate": "no"}))
    assert one.result == "fail"
    (one,) = said(ATTESTED.replace("  attestors: [{entries: [{keys: {publicKeys: one, rekor: {ignoreTlog: true}}}]}]\n", ""), "a:1",
                  answer=signed())  # fmt: skip
    assert one.message.endswith("no attestors are given")


def test_notary_is_refused() -> None:
    (one,) = said("type: Notary\n" + SIGNED, "a:1", answer=signed(True))
    assert (one.result, "Notary signatures are not supported" in one.message) == ("error", True)


def test_tags_become_digests_first() -> None:
    book = loaded(SIGNED + "mutateDigest: true").book
    subject = subject_of(pod("a:1", f"b@{DIGEST}"), "pods")
    answers: dict[Need, Any] = {}
    around = Surroundings(
        view=Snapshot(), now=datetime(2024, 1, 1, tzinfo=UTC), kinds=KindNames(Catalogue()), answers=answers
    )
    with pytest.raises(Lacking) as caught:
        mutate(subject, book, around)
    (need,) = caught.value.needs
    assert dict(need.detail) == {"what": "digest"}
    answers[need] = ValueError("no registry")
    assert mutate(subject, book, around)[0].object == subject.object
    answers[need] = {"digest": DIGEST}
    changed, _ = mutate(subject, book, around)
    assert changed.object is not None
    images = [one["image"] for one in changed.object["spec"]["containers"]]
    assert images == [f"docker.io/a:1@{DIGEST}", f"b@{DIGEST}"]


def test_when_nobody_can_answer_it_is_an_error_that_names_the_image() -> None:
    (one,) = said(SIGNED, "a:1", answer=ValueError("nobody is there"))
    assert (one.result, one.actions) == ("error", frozenset({"deny"}))
    assert one.message == "failed to verify image docker.io/a:1: nobody is there"


def test_findings_say_what_cannot_be_done_and_what_is_unknown() -> None:
    messages = [
        (one.where.path, one.message.partition(": ")[2])
        for one in loaded(SIGNED + "  what: 1\ntypo: 2").findings
        if one.subject.name == "signed"
    ]
    here = ".spec.rules[0].verifyImages[0]"
    assert [path for path, _ in messages] == [f"{here}.typo", f"{here}.attestors[0].what", here]
    assert "signatures are verified where something answers for them" in messages[2][1]


@pytest.mark.parametrize(
    ("entry", "path"),
    [("type: Cosign", ".imageReferences"), ('type: Magic\nimageReferences: ["*"]', ".type")],
)
def test_what_cannot_be_used_is_a_finding(entry: str, path: str) -> None:
    found = [one for one in loaded(entry).findings if one.rule == "policy.broken"]
    assert [one.where.path for one in found] == [f".spec.rules[0].verifyImages[0]{path}"]
