"""Reads ClusterImagePolicies and TrustRoots: what a document says, checked as policy-controller checks it when it is written.

Never raises over content. What would verify nothing (no authority, no identity) is said, and then verifies nothing.
Source: sigstore/policy-controller pkg/apis/policy, clusterimagepolicy_types.go, _validation.go, _defaults.go, trustroot_types.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead.dialects.imagepolicy.compliance import Compliance, compile_policy
from fairlead.dialects.imagepolicy.names import BadName, glob
from fairlead.judge.constraints import read_selector
from fairlead.judge.reading import Source, broken, unsupported
from fairlead.judge.signatures import predicate_type
from fairlead.tongues import selectors
from fairlead.tongues.regexes import BadPattern
from fairlead.tongues.regexes import compile as compile_regex
from fairlead.words import Finding, Page, Severity

GROUP: Final = "policy.sigstore.dev"
_RESOURCES: Final = frozenset({
    "replicasets", "deployments", "pods", "cronjobs", "jobs", "statefulsets", "daemonsets",
})  # fmt: skip
_HASHES: Final = frozenset({"", "sha224", "sha256", "sha384", "sha512"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """An attestation that an authority must have made: its name, the predicate type, and what it has to comply with."""

    name: str
    predicate: str
    type: str
    compliance: Compliance | None


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a key lies in the cluster."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """One of a policy's authorities. `faults` are why nothing can be verified by it."""

    name: str
    static: str = ""
    message: str = ""
    key: str = ""
    secret: Secret | None = None
    hash: str = ""
    keyless: bool = False
    identities: tuple[Mapping[str, str], ...] = ()
    authorities: str = ""
    authorities_secret: Secret | None = None
    trust: str = ""
    unpromised: bool = False
    log: Mapping[str, str] | None = None
    stamp: str | None = None
    bundles: bool = False
    sources: tuple[Mapping[str, str], ...] = ()
    pull_secrets: tuple[str, ...] = ()
    attestations: tuple[Wanted, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """A sort of resource that a policy is for, and which of them by their labels."""

    group: str
    version: str
    resource: str
    labels: selectors.Expr


@dataclass(frozen=True, slots=True)
class Overall:
    """What all that was verified has to comply with, and what else it may look at."""

    compliance: Compliance
    config: bool
    spec: bool
    metadata: bool
    types: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePolicy:
    """A ClusterImagePolicy. `overall` may be a text: why the policy cannot be judged."""

    source: Source
    name: str
    globs: tuple[Callable[[str], bool], ...]
    authorities: tuple[Authority, ...]
    warn: bool
    match: tuple[Match, ...] = ()
    overall: Overall | None = None

    def means(self, whole: str) -> bool:
        """Whether the policy is about an image, given by its whole name."""
        return any(fits(whole) for fits in self.globs)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRoot:
    """A TrustRoot: `keys` as its document has them, or `fault`: why it cannot be used."""

    name: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""


def _note(source: Source, path: str, message: str, rule: str = "policy.unsupported") -> Finding:
    return Finding(
        rule=rule,
        severity=Severity.WARNING,
        subject=source.ref,
        message=f"{path}: {message}",
        where=source.locate(path),
    )


def read_policy(source: Source) -> tuple[list[ImagePolicy], list[Finding]]:
    """Read a ClusterImagePolicy."""
    page = source.page()
    page.take("metadata")
    spec = page.page("spec")
    findings: list[Finding] = []
    globs = _globs(spec, source, findings)
    mode = spec.take("mode", "enforce")
    if mode not in {"enforce", "warn"}:
        findings.append(
            broken(source, ".spec.mode", f".spec.mode: {mode!r} is unsupported; enforce and warn are")
        )
    authorities = tuple(
        _authority(one, index, source, findings) for index, one in enumerate(spec.pages("authorities"))
    )
    if not authorities:
        findings.append(broken(source, ".spec.authorities", ".spec.authorities: missing: no image can pass"))
    match = tuple(_match(one, source, findings) for one in spec.pages("match"))
    overall = _overall(spec, source, findings)
    findings += unsupported(page, source)
    if not globs:
        return [], findings
    made = ImagePolicy(
        source=source, name=source.ref.name, globs=globs, authorities=authorities, warn=mode == "warn", match=match, overall=overall
    )  # fmt: skip
    return [made], findings


def _globs(spec: Page, source: Source, findings: list[Finding]) -> tuple[Callable[[str], bool], ...]:
    found = []
    for one in spec.pages("images"):
        path, text = f"{one.where.path}.glob", str(one.take("glob", ""))
        try:
            found.append(glob(text))
        except BadName as error:
            findings.append(broken(source, path, f"{path}: {error if text else 'missing'}"))
    if not found:
        findings.append(broken(source, ".spec.images", ".spec.images: missing: the policy is about no image"))
    return tuple(found)


def _match(page: Page, source: Source, findings: list[Finding]) -> Match:
    group, version, resource = (str(page.take(key, "")) for key in ("group", "version", "resource"))
    if resource and resource not in _RESOURCES:
        path = f"{page.where.path}.resource"
        findings.append(
            broken(source, path, f"{path}: {resource!r} is unsupported; {', '.join(sorted(_RESOURCES))} are")
        )
    return Match(group, version, resource, read_selector(page, "selector", source, findings))


def _overall(spec: Page, source: Source, findings: list[Finding]) -> Overall | None:
    if "policy" not in spec.keys():  # noqa: SIM118  a cursor, no mapping
        return None
    page = spec.page("policy")
    flags = [bool(page.take(f"include{name}", False)) for name in ("Spec", "ObjectMeta", "TypeMeta")]
    config = bool(page.take("fetchConfigFile", False))
    return Overall(_compliance(page, source, findings), config, *flags)


def _compliance(page: Page, source: Source, findings: list[Finding]) -> Compliance:
    kind, path = str(page.take("type", "")), page.where.path
    data = page.take("data", "")
    findings += [
        _note(source, f"{path}.{key}", "policies from elsewhere are not fetched; write it into data")
        for key in ("remote", "configMapRef")
        if page.take(key) is not None
    ]
    made = compile_policy(kind, data if isinstance(data, str) else "")
    if made.fault:
        findings.append(broken(source, path, f"{path}: {made.fault}"))
    return made


def _authority(page: Page, index: int, source: Source, findings: list[Finding]) -> Authority:
    path = page.where.path
    name = str(page.take("name", "") or f"authority-{index}")
    faults: list[str] = []

    def fault(where: str, message: str) -> None:
        faults.append(f"{where}: {message}")
        findings.append(broken(source, where, f"{where}: {message}"))

    kinds = [key for key in ("key", "keyless", "static") if key in page.keys()]  # noqa: SIM118  a cursor
    if len(kinds) != 1:
        fault(path, "exactly one of key, keyless and static is wanted")
    parts: dict[str, Any] = {}
    if "key" in kinds:
        parts |= _key(page.page("key"), fault)
    if "keyless" in kinds:
        parts |= _keyless(page.page("keyless"), source, findings, fault)
    if "static" in kinds:
        parts |= _static(page.page("static"), fault)
    parts |= _where(page, fault)
    log = page.page("ctlog") if "ctlog" in page.keys() else None  # noqa: SIM118  a cursor
    stamp = page.page("rfc3161timestamp") if "rfc3161timestamp" in page.keys() else None  # noqa: SIM118  a cursor
    form = page.take("signatureFormat", "legacy")
    if form not in {"legacy", "bundle"}:
        fault(f"{path}.signatureFormat", f"{form!r} is unsupported; legacy and bundle are")
    wanted = tuple(_wanted(one, source, findings, fault) for one in page.pages("attestations"))
    if "static" in kinds and (wanted or parts["sources"] or log is not None):
        fault(path, "static goes with none of attestations, source and ctlog")
    return Authority(
        name=name,
        log={key: str(log.take(key, "")) for key in ("url", "trustRootRef")} if log is not None else None,
        stamp=str(stamp.take("trustRootRef", "")) if stamp is not None else None,
        bundles=form == "bundle",
        attestations=wanted,
        faults=tuple(faults),
        **parts,
    )


Fault = Callable[[str, str], None]


def _key(page: Page, fault: Fault, into: str = "key") -> dict[str, Any]:
    path = page.where.path
    data = str(page.take("data", ""))
    kms = page.take("kms", "")
    hashed = str(page.take("hashAlgorithm", "")).lower()
    secret = _secret(page)
    if sum(bool(one) for one in (data, kms, secret)) != 1:
        fault(path, "exactly one of data, kms and secretRef is wanted")
    if kms:
        fault(
            f"{path}.kms", "keys of a key management service are not supported; put the public key into data"
        )
    if hashed not in _HASHES:
        fault(f"{path}.hashAlgorithm", f"{hashed!r} is unsupported")
    if data and "-----BEGIN" not in data:
        fault(f"{path}.data", "not PEM")
    return {
        into: data,
        ("secret" if into == "key" else f"{into}_secret"): secret,
        **({"hash": hashed} if into == "key" else {}),
    }


def _secret(page: Page) -> Secret | None:
    if "secretRef" not in page.keys():  # noqa: SIM118  a cursor
        return None
    inner = page.page("secretRef")
    return Secret(str(inner.take("namespace", "") or "cosign-system"), str(inner.take("name", "")))


def _keyless(page: Page, source: Source, findings: list[Finding], fault: Fault) -> dict[str, Any]:
    path = page.where.path
    page.take("url")  # which certificate authority: the trust root says what is trusted of it
    found: dict[str, Any] = {
        "keyless": True,
        "trust": str(page.take("trustRootRef", "")),
        "unpromised": page.take("insecureIgnoreSCT", False) is True,
    }
    if "ca-cert" in page.keys():  # noqa: SIM118  a cursor
        found |= _key(page.page("ca-cert"), fault, "authorities")
    identities = []
    for one in page.pages("identities"):
        identity = {
            key: str(one.take(key, "")) for key in ("issuer", "subject", "issuerRegExp", "subjectRegExp")
        }
        where = one.where.path
        for exact, pattern in (("issuer", "issuerRegExp"), ("subject", "subjectRegExp")):
            if identity[exact] and identity[pattern]:
                fault(where, f"only one of {exact} and {pattern} is wanted")
            if not identity[exact] and not identity[pattern]:
                findings.append(
                    _note(source, where, f"without {exact} or {pattern}, anybody's is taken", "policy.loose")
                )
            try:
                compile_regex(identity[pattern])
            except BadPattern as error:
                fault(f"{where}.{pattern}", f"regex is invalid: {error}")
        identities.append({key: value for key, value in identity.items() if value})
    if not any(identities):
        fault(f"{path}.identities", "missing: anybody could sign, so nothing is verified by it")
    return {**found, "identities": tuple(one for one in identities if one)}


def _static(page: Page, fault: Fault) -> dict[str, Any]:
    action = page.take("action", "")
    if action not in {"pass", "fail"}:
        fault(f"{page.where.path}.action", f"{action!r} is unsupported; pass and fail are")
        action = "fail"
    return {"static": action, "message": str(page.take("message", ""))}


def _where(page: Page, fault: Fault) -> dict[str, Any]:
    sources, secrets = [], []
    for one in page.pages("source"):
        repository = str(one.take("oci", ""))
        if not repository:
            fault(f"{one.where.path}.oci", "missing")
        sources.append({"repository": repository, "prefix": str(one.take("tagPrefix", "") or "")})
        secrets += [str(held.take("name", "")) for held in one.pages("signaturePullSecrets")]
    return {"sources": tuple(sources), "pull_secrets": tuple(secrets)}


def _wanted(page: Page, source: Source, findings: list[Finding], fault: Fault) -> Wanted:
    name, kind, path = str(page.take("name", "")), str(page.take("predicateType", "")), page.where.path
    if not name:
        fault(f"{path}.name", "missing")
    try:
        predicate = predicate_type(kind)
    except ValueError as error:
        fault(f"{path}.predicateType", str(error))
        predicate = ""
    compliance = None
    if "policy" in page.keys():  # noqa: SIM118  a cursor
        inner = page.page("policy")
        compliance = _compliance(inner, source, findings)
        findings += [
            _note(source, f"{inner.where.path}.{key}", "only the policy of the whole has a use for it")
            for key in ("fetchConfigFile", "includeSpec", "includeObjectMeta", "includeTypeMeta")
            if inner.take(key) is not None
        ]
    return Wanted(name, predicate, kind, compliance)


def read_root(source: Source) -> tuple[list[TrustRoot], list[Finding]]:
    """Read a TrustRoot: keys and certificates of one's own. TUF repositories are not read."""
    page = source.page()
    page.take("metadata")
    spec = page.page("spec")
    findings: list[Finding] = []
    keys, fault = spec.take("sigstoreKeys"), ""
    kinds = [key for key in ("remote", "repository") if spec.take(key) is not None]
    if kinds:
        fault = f".spec.{kinds[0]}: TUF repositories are not read; write the keys into sigstoreKeys"
    elif not isinstance(keys, Mapping):
        fault = ".spec.sigstoreKeys: missing"
    if fault:
        findings.append(broken(source, f".spec.{kinds[0] if kinds else 'sigstoreKeys'}", fault))
    findings += unsupported(page, source)
    return [
        TrustRoot(name=source.ref.name, keys=keys if isinstance(keys, Mapping) else {}, fault=fault)
    ], findings


READS: Mapping[
    tuple[str, str], Callable[[Source], tuple[Sequence[ImagePolicy | TrustRoot], list[Finding]]]
] = {
    (GROUP, "ClusterImagePolicy"): read_policy,
    (GROUP, "TrustRoot"): read_root,
}
