"""What must hold of whatever is pulled: keys and identities that a person names, and ClusterImagePolicies that lie about.

`require` is called by whoever pulls, with the digest, before anything is unpacked. A policy that cannot be read refuses everything: a
demand that nobody understands is not met. Policies that are for sorts of resources (`match`) are not about artifacts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fairlead.dialects import imagepolicy
from fairlead.dialects.imagepolicy.asking import Concluded, Question, conclude, questions
from fairlead.dialects.imagepolicy.names import BadName, whole
from fairlead.dialects.manifests import parse
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.oci.stores import Store
from fairlead.drivers.signatures.faults import BadKey, BadTrust, Unverified
from fairlead.drivers.signatures.roots import Root
from fairlead.drivers.signatures.verifying import Proven, Verified, verify_artifact
from fairlead.judge.reading import Source
from fairlead.judge.signatures import AuthorityAsked, Found, read_answer
from fairlead.judge.surroundings import Surroundings
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.admit import Unanswered
from fairlead.reactor.judging import Answerer, asking
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.verifying import Reply, ask, vet
from fairlead.reactor.verifying_authorities import authority_of_asked
from fairlead.words import Snapshot


class BadDemand(ValueError):
    """A policy, or a key, that is to decide about what is pulled cannot be used."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What must hold: one of `authorities` signed it, if there are any, and every policy that means it is satisfied.

    `usual` is trusted in place of sigstore's own root.
    """

    authorities: tuple[AuthorityAsked, ...] = ()
    policies: tuple[imagepolicy.ImagePolicy, ...] = ()
    roots: Mapping[str, imagepolicy.TrustRoot] = field(default_factory=dict)
    usual: Root | None = None

    def __bool__(self) -> bool:
        """Whether anything is demanded of anything."""
        return bool(self.authorities or self.policies)


def read_policies(
    texts: Mapping[str, str],
) -> tuple[tuple[imagepolicy.ImagePolicy, ...], dict[str, imagepolicy.TrustRoot]]:
    """Return the policies and trust roots of some files (name -> text). Raises BadDemand for what cannot be used as it is written."""
    policies: list[imagepolicy.ImagePolicy] = []
    roots: dict[str, imagepolicy.TrustRoot] = {}
    for name, text in texts.items():
        documents, findings = parse(name, text)
        told = [one.message for one in findings]
        for document in documents:
            ref = document.ref
            reader = imagepolicy.READS.get((ref.group, ref.kind))
            if reader is None:
                kind = f"a {ref.kind}" if ref.kind else "a document without a kind"
                raise BadDemand(
                    f"{name}:{document.line}: {kind}, and only ClusterImagePolicy and TrustRoot are read here"
                )
            models, said = reader(Source(document.content, document.where))
            told += [
                f"{one.where}: {one.message}"
                for one in said
                if one.rule in {"policy.broken", "policy.unsupported"}
            ]
            policies += [one for one in models if isinstance(one, imagepolicy.ImagePolicy)]
            roots |= {one.name: one for one in models if isinstance(one, imagepolicy.TrustRoot)}
        if told:
            raise BadDemand(f"{name}: {'; '.join(told[:4])}")
    return tuple(policies), roots


async def require(
    store: Store, reference: Reference, digest: str, demands: Demands, now: datetime
) -> Verified | None:
    """Return how an artifact meets what is demanded of it; None where nothing is demanded.

    Raises Unverified with the reasons where it does not, BadDemand where what is demanded cannot be used, and RegistryError where the
    store cannot be asked. Nothing may be unpacked then.
    """
    proven: list[Proven] = []
    reasons: list[str] = []
    demanded = False
    if demands.authorities:
        demanded = True
        try:
            authorities = [authority_of_asked(one, now, demands.usual) for one in demands.authorities]
        except (BadKey, BadTrust) as error:
            raise BadDemand(str(error)) from error
        found = await verify_artifact(store, reference, digest, authorities, now)
        proven += found.proven
        reasons += found.reasons
    for policy in demands.policies:
        if policy.match or not _means(policy, reference, digest):
            continue
        demanded = True
        replies, said = await _satisfied(store, reference, digest, policy, demands, now)
        reasons += said
        proven += [one for reply in replies for one in reply.proven]
    if not demanded:
        return None
    return Verified(ref=reference, digest=digest, proven=tuple(proven), reasons=tuple(reasons))


def _means(policy: imagepolicy.ImagePolicy, ref: Reference, digest: str) -> bool:
    """Whether a policy is about an artifact: by its name with the digest, or with its tag."""
    names = [f"{ref.name}@{digest}", f"{ref.name}:{ref.tag or 'latest'}"]
    for name in list(names):
        try:
            names.append(whole(name))
        except BadName:
            continue  # a folder is no image, and policies over `**` mean it by its plain name
    return any(policy.means(name) for name in names)


async def _satisfied(
    store: Store,
    ref: Reference,
    digest: str,
    policy: imagepolicy.ImagePolicy,
    demands: Demands,
    now: datetime,
) -> tuple[list[Reply], list[str]]:
    asked = questions(policy, demands.roots, lambda _: None)
    flat = [one for question in asked for one in question.asked]
    replies = await ask(store, ref, digest, flat, now, demands.usual)
    done = await _concluded(policy, asked, replies, f"{ref.name}@{digest}", now)
    if done.matches or policy.warn:
        return [one for one in replies if one.name in done.matches], [] if done.matches else list(done.errors)
    raise Unverified(f"{ref.name}@{digest}: the policy {policy.name} refuses it", done.errors)


async def _concluded(
    policy: imagepolicy.ImagePolicy,
    asked: Sequence[Question],
    replies: Sequence[Reply],
    image: str,
    now: datetime,
) -> Concluded:
    found = read_answer({"found": [one.document() for one in replies]}).found
    answers: dict[str, Sequence[Found]] = {}
    at = 0
    for question in asked:
        answers[question.authority.name] = found[at : at + len(question.asked)]
        at += len(question.asked)

    def step(around: Surroundings) -> Concluded:
        done = conclude(policy, asked, answers, image, around)
        if done.matches and policy.overall is not None:
            why = policy.overall.compliance.judge({"authorityMatches": done.matches}, around)
            return Concluded({}, (f"the policy over all that was verified: {why}",)) if why else done
        return done

    around = Surroundings(view=Snapshot(), now=now, kinds=KindNames(Catalogue()))
    return await asking(step, around, Answerer(providers={"cue.vet": vet}).answer)


def read_folder(folder: Path) -> Demands:
    """Return what the policies in a folder demand; nothing where it is not there. Raises BadDemand."""
    try:
        names = sorted(one for one in folder.iterdir() if one.suffix in {".yaml", ".yml", ".json"})
        texts = {str(one): one.read_text(encoding="utf-8") for one in names}
    except (FileNotFoundError, NotADirectoryError):
        return Demands()
    except (OSError, UnicodeDecodeError) as error:
        raise BadDemand(f"{folder}: {getattr(error, 'strerror', None) or 'not text'}") from error
    policies, roots = read_policies(texts)
    return Demands((), policies, roots)


def accepting(
    folder: Path, clock: Callable[[], datetime]
) -> Callable[[Store, Reference, str], Awaitable[object]]:
    """Return what refuses artifacts that are not signed as a folder's policies demand; read anew each time. Raises Unanswered."""

    async def accept(store: Store, ref: Reference, digest: str) -> object:
        try:
            return await require(store, ref, digest, read_folder(folder), clock())
        except (Unverified, BadDemand) as error:
            raise Unanswered(str(error)) from error

    return accept
