"""`fairlead verify`: by whom an artifact is signed, and what was attested of it; offline but for the registry itself.

Exit code 0 when it is signed as wanted, 1 when it is not, 2 when that could not be found out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.problems import Problem
from fairlead.faces.cli.shipping import (
    RAW,
    emit,
    output_option,
    parse_annotations,
    reached,
    run,
    store_options,
)
from fairlead.faces.cli.verifying import read_text, trust_root, trust_root_option

if TYPE_CHECKING:
    from fairlead.drivers.signatures.verifying import Authority, Proven, Verified
    from fairlead.judge.signatures import AuthorityAsked

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

LARGEST_FILE = 4 << 30

EXAMPLES = """\
examples:
  fairlead verify oci://registry.example.com/shop/app:1.0 --key fairlead.pub
  fairlead verify oci://... --certificate-identity jane@example.com --certificate-oidc-issuer https://accounts.example.com
  fairlead verify oci://... --key fairlead.pub --attestation slsaprovenance1 --check built-by-us.cel
  fairlead verify oci://... --policy policies.yaml                  ClusterImagePolicies, as they would judge an image of this name
  fairlead verify app.tar.gz --bundle app.tar.gz.sigstore.json --key fairlead.pub

Certificates are verified against sigstore's trust root as it came with the program, or --trust-root; nothing of that is fetched.

exit codes: 0 signed as wanted, 1 not, 2 it could not be found out
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("verify", help="say by whom an artifact is signed, and what is attested of it", epilog=EXAMPLES, formatter_class=RAW)  # fmt: skip
    parser.add_argument("ref", metavar="REF", help="what to verify: oci://host/repository:tag, layout:PATH; with --bundle a file")  # fmt: skip
    who = parser.add_argument_group("who must have signed (any of the keys, or the identity)")
    more: dict[str, Any] = {"action": "append", "default": []}
    who.add_argument("--key", metavar="PEM", help="a public key (repeatable; env://NAME: a variable)", **more)
    who.add_argument("--certificate-identity", default="", metavar="WHO", help="the certificate's name: a mail address or a URI")  # fmt: skip
    who.add_argument("--certificate-identity-regexp", default="", metavar="RE2", help="a pattern that is found in it: anchor it")  # fmt: skip
    who.add_argument(
        "--certificate-oidc-issuer", default="", metavar="URL", help="who vouches for the identity"
    )
    who.add_argument("--certificate-oidc-issuer-regexp", default="", metavar="RE2", help="a pattern that is found in it")  # fmt: skip
    who.add_argument("--certificate-extension", metavar="NAME=VALUE", help="what else the certificate must say, such as sourceRepositoryURI=... (repeatable)", **more)  # fmt: skip
    who.add_argument(
        "--policy", metavar="FILE", help="ClusterImagePolicies and TrustRoots (repeatable)", **more
    )
    trust = parser.add_argument_group("what is trusted, and what must be proven")
    trust_root_option(trust)
    trust.add_argument("--ca-roots", default="", metavar="PEM", help="certificate authorities of your own, in place of the trust root's")  # fmt: skip
    trust.add_argument("--require-log", action="store_true", help="a signature by a key must be in a transparency log, too")  # fmt: skip
    trust.add_argument(
        "--require-timestamp", action="store_true", help="a timestamp authority must have seen it"
    )
    trust.add_argument("--insecure-ignore-tlog", action="store_true", help="no log has to have it: a certificate must then hold now, or have a timestamp")  # fmt: skip
    trust.add_argument("--insecure-ignore-sct", action="store_true", help="the certificate needs not be in a certificate log")  # fmt: skip
    parser.add_argument("-a", "--annotation", metavar="KEY=VALUE", help="what the signer must have said besides (repeatable)", **more)  # fmt: skip
    parser.add_argument("--attestation", default="", metavar="TYPE", help="verify attestations of this type instead of a signature; `any`: of all types")  # fmt: skip
    parser.add_argument("--check", metavar="FILE", help="what the attestation must comply with: .cel, .rego or .cue (repeatable)", **more)  # fmt: skip
    parser.add_argument(
        "--bundle", default="", metavar="FILE", help="REF is a file, and this its sigstore bundle"
    )
    store_options(parser)
    output_option(parser)
    parser.set_defaults(run=run_verify)


def run_verify(args: argparse.Namespace) -> int:
    """Verify, tell, and return the exit code."""
    from fairlead.drivers.signatures.faults import BadKey, BadProof, BadTrust, Unverified

    certified = any(
        (
            args.certificate_identity,
            args.certificate_identity_regexp,
            args.certificate_oidc_issuer,
            args.certificate_oidc_issuer_regexp,
        )
    )
    if bool(args.key) + certified + bool(args.policy) != 1:
        raise Problem("who must have signed it?", "one of --key, --certificate-identity with --certificate-oidc-issuer, and --policy", code=2)  # fmt: skip
    if args.check and not args.attestation:
        raise Problem("--check is about attestations", "--attestation TYPE", code=2)
    try:
        found = run(_file(args) if args.bundle else _artifact(args))
    except Unverified as error:
        document = {
            "ref": args.ref,
            "verified": False,
            "message": error.message,
            "reasons": list(error.reasons),
        }
        emit(args.output, document, [f"✖ {error.message}", *(f"    {one}" for one in error.reasons)])
        return 1
    except (BadKey, BadTrust, BadProof) as error:
        raise Problem(str(error), code=2) from error
    name, proven, reasons = found
    document = {
        "ref": args.ref,
        "verified": True,
        "image": name,
        "signatures": [shown(one) for one in proven],
        "others": list(reasons),
    }
    emit(args.output, document, _lines(name, proven, reasons, attested=bool(args.attestation)))
    return 0


async def _artifact(args: argparse.Namespace) -> tuple[str, Sequence[Proven], Sequence[str]]:
    from datetime import UTC, datetime

    from fairlead.drivers.signatures.verifying import verify_artifact

    now = datetime.now(UTC)
    async with reached(args, args.ref) as (place,):
        digest = place.ref.digest or (await place.store.resolve(place.ref)).digest
        if args.policy:
            found = await _policies(args, place, digest, now)
        else:
            found = await verify_artifact(
                place.store, place.ref, digest, [authority(args, now)], now, predicate=_predicate(args)
            )
    return found.pinned, await _checked(args, found), found.reasons


async def _policies(args: argparse.Namespace, place: Any, digest: str, now: Any) -> Verified:
    from fairlead.drivers.signatures.faults import Unverified
    from fairlead.reactor.verifying_demands import BadDemand, Demands, read_policies, require

    if args.attestation:
        raise Problem("--policy says itself which attestations are wanted", "leave --attestation out", code=2)
    try:
        policies, roots = read_policies({name: read_text(name, "--policy") for name in args.policy})
        found = await require(
            place.store, place.ref, digest, Demands((), policies, roots, trust_root(args)), now
        )
    except BadDemand as error:
        raise Problem(str(error), code=2) from error
    if found is None:
        raise Unverified(f"{place.ref.name}@{digest}: no policy is about it")
    return found


async def _file(args: argparse.Namespace) -> tuple[str, Sequence[Proven], Sequence[str]]:
    from datetime import UTC, datetime

    from fairlead.drivers.signatures.bundles import LARGEST_BUNDLE, read_bundle
    from fairlead.drivers.signatures.verifying import verify_file

    if args.policy:
        raise Problem("--policy is about artifacts, and --bundle about a file", code=2)
    data = _bytes(args.ref, LARGEST_FILE)
    candidates = read_bundle(_bytes(args.bundle, LARGEST_BUNDLE), args.bundle)
    now = datetime.now(UTC)
    predicate = _predicate(args) if args.attestation else ""
    found = verify_file(candidates, data, [authority(args, now)], now, args.ref, predicate=predicate)
    return args.ref, found, ()


def _bytes(path: str, most: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            found = file.read(most + 1)
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}", code=2) from error
    if len(found) > most:
        raise Problem(f"{path}: larger than {most} bytes", code=2)
    return found


def _predicate(args: argparse.Namespace) -> str:
    from fairlead.judge.signatures import SIGNING, predicate_type

    if not args.attestation:
        return SIGNING
    if args.attestation == "any":
        return "*"
    try:
        return predicate_type(args.attestation)
    except ValueError as error:
        raise Problem(f"--attestation: {error}", code=2) from error


def authority(args: argparse.Namespace, now: Any) -> Authority:
    """Return who must have signed, as the options say. Raises BadKey, BadTrust, Problem."""
    from fairlead.reactor.verifying_authorities import authority_of_asked

    asked: AuthorityAsked = {
        "name": "the key" if args.key else "the identity",
        "annotations": parse_annotations(args.annotation),
        "extensions": parse_annotations(args.certificate_extension),
        "stamped": args.require_timestamp,
        "promised": not args.insecure_ignore_sct,
    }
    if args.key:
        asked["keys"] = [{"pem": read_text(path, "--key"), "hash": ""} for path in args.key]
        asked["log"] = "require" if args.require_log else "ignore" if args.insecure_ignore_tlog else "check"
    else:
        asked["identities"] = [_identity(args)]
        asked["log"] = "ignore" if args.insecure_ignore_tlog else "require"
    if args.ca_roots:
        asked["root"] = {"certificates": read_text(args.ca_roots, "--ca-roots")}
    return authority_of_asked(asked, now, trust_root(args))


def _identity(args: argparse.Namespace) -> Any:
    subject = args.certificate_identity or args.certificate_identity_regexp
    issuer = args.certificate_oidc_issuer or args.certificate_oidc_issuer_regexp
    if not subject or not (issuer or args.ca_roots):
        raise Problem(
            "an identity has a name and an issuer",
            "--certificate-identity (or -regexp) and --certificate-oidc-issuer (or -regexp) go together: whoever vouches for a name matters as much",
            code=2,
        )
    return {
        "subject": args.certificate_identity,
        "subjectRegExp": args.certificate_identity_regexp,
        "issuer": args.certificate_oidc_issuer,
        "issuerRegExp": args.certificate_oidc_issuer_regexp,
    }


async def _checked(args: argparse.Namespace, found: Verified) -> Sequence[Proven]:
    """Return what complies with every check. Raises Unverified where nothing does."""
    from fairlead.drivers.signatures.faults import Unverified
    from fairlead.faces.cli.attestverify import unmet

    if not args.check:
        return found.proven
    good: list[Proven] = []
    reasons: list[str] = []
    for one in found.proven:
        said = [why for path in args.check if (why := await unmet(path, one.claim.statement))]
        if said:
            reasons += [f"{one.where}: {why}" for why in said]
        else:
            good.append(one)
    if not good:
        raise Unverified(f"{found.pinned}: what is attested does not comply", tuple(reasons))
    return good


def shown(one: Proven) -> dict[str, Any]:
    """Return a signature as a document."""
    return {
        "by": one.signer,
        "authority": one.authority,
        "subject": one.subject,
        "issuer": one.issuer,
        "key": one.key,
        "when": one.when.isoformat() if one.when else None,
        "logged": one.logged,
        "form": one.form,
        "found": one.where,
        "extensions": dict(one.extensions),
        "annotations": dict(one.claim.annotations),
        "predicateType": one.claim.predicate_type,
        "predicate": one.claim.predicate,
    }


def _lines(name: str, proven: Iterable[Proven], reasons: Sequence[str], *, attested: bool) -> list[str]:
    lines = [f"✔ {name}"]
    for one in proven:
        when = f", {one.when:%Y-%m-%d %H:%M:%S} UTC" if one.when else ""
        kind = f" {one.claim.predicate_type}" if attested else ""
        lines.append(
            f"    {'attested' if attested else 'signed'}{kind} by {one.signer}{when}{', logged' if one.logged else ''}"
        )
        lines += [f"      {key}={value}" for key, value in sorted(one.claim.annotations.items())]
    return [*lines, *(f"    not counted: {one}" for one in reasons)]
