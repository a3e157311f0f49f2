"""Makes rules of ClusterImagePolicies: tags become digests, and every policy that means an image must be satisfied by it.

A namespace takes part by its label `policy.sigstore.dev/include: "true"`; where the namespace is not known (files), it is judged as if it did.
In one that takes part, an image that no policy means is refused, unless `no-match-policy` says otherwise.
Source: sigstore/policy-controller pkg/webhook/validator.go, pkg/config.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fairlead.dialects.imagepolicy.asking import Concluded, conclude, questions
from fairlead.dialects.imagepolicy.names import BadName, digested, whole
from fairlead.dialects.imagepolicy.policies import GROUP, ImagePolicy, Secret, TrustRoot
from fairlead.judge.constraints import labels_of
from fairlead.judge.policies import Action, Assembled, Judged, Outcome, Policy, Rule
from fairlead.judge.signatures import Found, data_need, digest_need, read_answer, verification_need
from fairlead.judge.standards_pods import Container, pod_of
from fairlead.judge.subjects import Subject, Target
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.tongues.paths import mapping
from fairlead.words import Need, Ref, Resource

RANK: Final = 60
LABEL: Final = "policy.sigstore.dev/include"
_SPACE: Final = "cosign-system"
_SETTINGS: Final = "config-policy-controller"
_TEMPLATE: Final = ("spec", "template", "spec")
_PODS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "pods"): ("spec",),
    **{("apps", name): _TEMPLATE for name in ("replicasets", "deployments", "statefulsets", "daemonsets")},
    ("batch", "jobs"): _TEMPLATE,
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template", "spec"),
}
_DENY: Final[frozenset[Action]] = frozenset({"deny"})
_WARN: Final[frozenset[Action]] = frozenset({"warn"})
_HOOK: Final = "policy.sigstore.dev"
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """A container's image and where it stands: `.spec.containers[0].image`."""

    image: str
    path: str
    steps: tuple[str | int, ...]


def assemble(models: Sequence[ImagePolicy | TrustRoot]) -> Assembled:
    """Make engine policies of the documents; trust roots are looked up by name."""
    roots = {one.name: one for one in models if isinstance(one, TrustRoot)}
    policies = tuple(one for one in models if isinstance(one, ImagePolicy))
    made = tuple(_policy(one, roots) for one in policies)
    wanted = {("", "ConfigMap")} if policies else set()
    if any(
        one.secret or one.authorities_secret or one.pull_secrets
        for each in policies
        for one in each.authorities
    ):
        wanted.add(("", "Secret"))
    return Assembled((*made, *((_rest(policies),) if policies else ())), wanted=frozenset(wanted))


def _concerns(target: Target) -> bool:
    return (
        (target.group, target.plural) in _PODS
        and target.operation in {"CREATE", "UPDATE"}
        and target.subresource in ({"", "ephemeralcontainers"} if target.plural == "pods" else {""})
    )


def _policy(policy: ImagePolicy, roots: Mapping[str, TrustRoot]) -> Policy:
    return Policy(
        source=policy.source.ref,
        name=policy.name,
        dialect="imagepolicy",
        rules=(Rule(name="", phase="validate", concerns=_concerns, run=lambda subject, around: _judge(policy, roots, subject, around)),),
        where=policy.source.locate(""),
        rank=RANK,
        refusal=_refusal,
        timeout=_SECONDS,
    )  # fmt: skip


def _rest(policies: Sequence[ImagePolicy]) -> Policy:
    """Return what concerns all policies: tags become digests, and images that none means."""
    ref = policies[0].source.ref
    return Policy(
        source=Ref(GROUP, "ClusterImagePolicy", "", ref.name),
        name="image-policies",
        dialect="imagepolicy",
        rules=(
            Rule(name="digest", phase="mutate", concerns=_concerns, run=lambda subject, around: _pin(policies, subject, around)),
            Rule(name="no-match", phase="validate", concerns=_concerns, run=lambda subject, around: _meant(policies, subject, around)),
        ),
        rank=RANK,
        refusal=_refusal,
        timeout=_SECONDS,
        scored=False,
    )  # fmt: skip


def _refusal(_: Subject, denying: Sequence[Judged]) -> str:
    said = "; ".join(dict.fromkeys(one.outcome.message for one in denying))
    return f'admission webhook "{_HOOK}" denied the request: validation failed: {said}'


def _included(subject: Subject, around: Surroundings) -> bool | None:
    """Whether the namespace takes part; None where it is not known."""
    space = subject.space
    if space is None and subject.namespace:
        space = around.view.get("", "Namespace", "", subject.namespace)
    return None if space is None else labels_of(space).get(LABEL) == "true"


def _spared(subject: Subject) -> bool:
    """Whether it is on its way out, or is scaled down."""
    now, before = mapping(subject.object), mapping(subject.old)
    if mapping(now, "metadata").get("deletionTimestamp"):
        return True
    if subject.target.operation != "UPDATE" or subject.target.group != "apps":
        return False
    more, less = mapping(before, "spec").get("replicas"), mapping(now, "spec").get("replicas")
    return isinstance(more, int) and isinstance(less, int) and less < more


def places(subject: Subject) -> list[Place]:
    """Return the images of a workload's pods, with where they stand."""
    steps = _PODS[subject.target.group, subject.target.plural]
    here: Any = mapping(subject.object, *steps)
    return [
        _place(steps, one) for one in pod_of({}, here).containers if isinstance(one.content.get("image"), str)
    ]


def _place(steps: tuple[str, ...], one: Container) -> Place:
    path = f".{'.'.join(steps)}.{one.group}[{one.index}].image"
    return Place(str(one.content["image"]), path, (*steps, one.group, one.index, "image"))


def _fits(policy: ImagePolicy, subject: Subject) -> bool:
    """Whether a policy is for the sort of resource, and for its labels."""
    if not policy.match:
        return True
    target, labels = subject.target, labels_of(subject.present)
    return any(
        one.resource == target.plural
        and one.group == target.group
        and one.version in {target.version, "*"}
        and one.labels.matches(labels)
        for one in policy.match
    )


def _name(image: str) -> str:
    try:
        return whole(image)
    except BadName:
        return ""


def _meant(policies: Sequence[ImagePolicy], subject: Subject, around: Surroundings) -> Outcome | None:
    if not _included(subject, around) or _spared(subject):
        return None
    settings = around.view.get("", "ConfigMap", _SPACE, _SETTINGS)
    wish = str(mapping(settings, "data").get("no-match-policy") or "deny")
    if wish == "allow":
        return None
    for place in places(subject):
        name = _name(place.image)
        if not any(_fits(one, subject) and one.means(name) for one in policies):
            message = f"no matching policies: {place.path.removeprefix('.')} {place.image}"
            warnings = (message,) if wish == "warn" else ()
            return Outcome(
                result="fail", message=message, actions=_WARN if wish == "warn" else _DENY, paths=(place.path,), warnings=warnings,
                wanted="an image that a ClusterImagePolicy means",
            )  # fmt: skip
    return None


def _pin(policies: Sequence[ImagePolicy], subject: Subject, around: Surroundings) -> Outcome | None:
    """Put digests in place of tags. What cannot be found out is left: the policies themselves say so."""
    included = _included(subject, around)
    if included is False or _spared(subject) or subject.object is None:
        return None
    needs: list[Need] = []
    pins: list[tuple[Place, str]] = []
    for place in places(subject):
        name = _name(place.image)
        if not name or digested(place.image):
            continue
        if not included and not any(_fits(one, subject) and one.means(name) for one in policies):
            continue
        need = digest_need(place.image, _credentials(subject, ()))
        try:
            digest = str(mapping(around.ask(need)).get("digest") or "")
        except Lacking as lacking:
            needs += lacking.needs
            continue
        except Exception:  # noqa: BLE001, S112  whatever the reason, the tag stays, and is refused below
            continue
        if digest:
            pins.append((place, f"{name}@{digest}"))
    if needs:
        raise Lacking(*needs)
    if not pins:
        return None
    changed = subject.object
    for place, image in pins:
        changed = _put(changed, place.steps, image)
    return Outcome(result="pass", message="tags are digests", object=changed)


def _put(value: Any, steps: Sequence[str | int], new: str) -> Any:
    if not steps:
        return new
    first, rest = steps[0], steps[1:]
    if isinstance(value, list) and isinstance(first, int):
        return [*value[:first], _put(value[first], rest, new), *value[first + 1 :]]
    return {**value, first: _put(value[first], rest, new)}


def _judge(
    policy: ImagePolicy, roots: Mapping[str, TrustRoot], subject: Subject, around: Surroundings
) -> list[Outcome] | None:
    if _included(subject, around) is False or _spared(subject) or not _fits(policy, subject):
        return None
    meant = [one for one in places(subject) if policy.means(_name(one.image))]
    if not meant:
        return None
    said: list[Outcome] = []
    needs: list[Need] = []
    for place in meant:
        try:
            said.append(_image(policy, roots, place, subject, around))
        except Lacking as lacking:
            needs += lacking.needs
    if needs:
        raise Lacking(*dict.fromkeys(needs))
    worst = [one for one in said if one.result != "pass"]
    return worst or [said[0]]


def _image(
    policy: ImagePolicy, roots: Mapping[str, TrustRoot], place: Place, subject: Subject, around: Surroundings
) -> Outcome:
    image, credentials = place.image, _credentials(subject, _pull_secrets(policy))
    try:
        if not digested(image):
            image = f"{_name(image)}@{mapping(around.ask(digest_need(image, credentials)))['digest']}"
        done = _asked(policy, roots, image, credentials, around)
        if done.matches and policy.overall is not None:
            done = _overall(policy, done, image, subject, around)
    except Lacking:
        raise
    except Exception as error:  # noqa: BLE001  whatever the one who was asked gave as the reason
        message = f"{place.path.removeprefix('.')}: {place.image}: cannot be verified: {error}"
        return Outcome(
            result="error", message=message, actions=_WARN if policy.warn else _DENY, paths=(place.path,)
        )
    if done.matches:
        return Outcome(
            result="pass", message=f"image verified: {image}", actions=_WARN if policy.warn else _DENY
        )
    message = f"failed policy: {policy.name}: {place.path.removeprefix('.')} {image} {' '.join(done.errors)}".rstrip()
    if policy.warn:
        return Outcome(
            result="fail", message=message, actions=_WARN, paths=(place.path,), warnings=(message,)
        )
    return Outcome(
        result="fail",
        message=message,
        actions=_DENY,
        paths=(place.path,),
        wanted="an image that one of the policy's authorities signed",
    )


def _pull_secrets(policy: ImagePolicy) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for one in policy.authorities for name in one.pull_secrets if name))


def _credentials(subject: Subject, more: Sequence[str]) -> dict[str, Any]:
    """Return the secrets that the workload pulls with, by name; who answers looks them up."""
    spec = mapping(subject.object, *_PODS[subject.target.group, subject.target.plural])
    listed = spec.get("imagePullSecrets")
    names = [str(mapping(one).get("name") or "") for one in listed] if isinstance(listed, list) else []
    found = [f"{subject.namespace}/{name}" for name in dict.fromkeys((*names, *more)) if name]
    return {"secrets": found} if found else {}


def _asked(
    policy: ImagePolicy,
    roots: Mapping[str, TrustRoot],
    image: str,
    credentials: Mapping[str, Any],
    around: Surroundings,
) -> Concluded:
    def look(secret: Secret) -> Resource | None:
        return around.view.get("", "Secret", secret.namespace, secret.name)

    asked = questions(policy, roots, look)
    flat = [one for question in asked for one in question.asked]
    found = list(read_answer(around.ask(verification_need(image, flat, credentials))).found) if flat else []
    if len(found) != len(flat):
        raise ValueError("the answer is not about what was asked")
    answers: dict[str, Sequence[Found]] = {}
    rest: Iterator[Found] = iter(found)
    for question in asked:
        answers[question.authority.name] = [next(rest) for _ in question.asked]
    return conclude(policy, asked, answers, image, around)


def _overall(
    policy: ImagePolicy, done: Concluded, image: str, subject: Subject, around: Surroundings
) -> Concluded:
    """Judge all that was verified, with what of the resource the policy wants to see."""
    overall = policy.overall
    assert overall is not None
    whole_ = subject.present
    document: dict[str, Any] = {"authorityMatches": done.matches}
    if overall.config:
        said = mapping(around.ask(data_need(image)))
        config = mapping(said, "configData")
        platform = "/".join(str(config[key]) for key in ("os", "architecture", "variant") if config.get(key))
        document["config"] = {platform: dict(config)}
    if overall.spec:
        document["spec"] = whole_.get("spec")
    if overall.metadata:
        document["metadata"] = whole_.get("metadata")
    if overall.types:
        document["typemeta"] = {"apiVersion": whole_.get("apiVersion"), "kind": whole_.get("kind")}
    why = overall.compliance.judge(document, around)
    return Concluded({}, (f"the policy over all that was verified: {why}",)) if why else done
