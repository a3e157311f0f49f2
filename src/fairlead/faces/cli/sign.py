"""`fairlead sign`: sign an artifact, with a key or as the identity that a token proves; `fairlead sign generate-key` makes a key.

Must never print a private key, a password or a token, nor overwrite a key.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.problems import Problem
from fairlead.faces.cli.shipping import (
    RAW,
    Place,
    emit,
    output_option,
    parse_annotations,
    reached,
    run,
    store_options,
)
from fairlead.faces.cli.verifying import read_text

if TYPE_CHECKING:
    from fairlead.drivers.oci.descriptors import Descriptor
    from fairlead.drivers.oci.references import Reference
    from fairlead.drivers.signatures.signing import Form, Signer

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

PASSWORDS = ("FAIRLEAD_KEY_PASSWORD", "COSIGN_PASSWORD")
TOKENS = ("FAIRLEAD_IDENTITY_TOKEN", "SIGSTORE_ID_TOKEN")

EXAMPLES = """\
examples:
  fairlead sign generate-key                                   shop.key, encrypted as cosign keeps keys, and shop.pub: --output-key-prefix shop
  fairlead sign oci://registry.example.com/shop/app:1.0 --key fairlead.key
  fairlead sign oci://... --key fairlead.key --format legacy   where cosign before version 3 verifies, too: --format both
  fairlead sign oci://... -a env=prod                          keyless, in a CI job that offers an identity token

The tag is resolved once, and its digest is what is signed. A key's password comes from FAIRLEAD_KEY_PASSWORD or COSIGN_PASSWORD, or is asked
for. Keyless signing asks a certificate authority and a log over the network: sigstore's own, or those of --trust-config.
"""


def signing_options(parser: argparse.ArgumentParser) -> None:
    """Add who signs, and how it is attached; shared with attestations."""
    group = parser.add_argument_group("who signs")
    group.add_argument("--key", default="", metavar="PEM", help="a private key: cosign's or PKCS#8 (env://NAME: a variable)")  # fmt: skip
    group.add_argument("--identity-token", default="", metavar="TOKEN", help="an OpenID Connect token, or a file with one (default: $SIGSTORE_ID_TOKEN, or what the CI system offers)")  # fmt: skip
    group.add_argument("--trust-config", default="", metavar="FILE", help="a client trust configuration, in place of sigstore's own services")  # fmt: skip
    parser.add_argument("--format", choices=("bundle", "legacy", "both"), default="bundle",
                        help="a sigstore bundle that refers to the artifact, cosign's tags, or both (default: %(default)s)")  # fmt: skip
    parser.add_argument("--to", default="", metavar="REPOSITORY", help="attach to another repository of the same registry")  # fmt: skip
    store_options(parser)
    output_option(parser)


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("sign", help="sign an artifact, or make a key to sign with", epilog=EXAMPLES, formatter_class=RAW)  # fmt: skip
    parser.add_argument("ref", metavar="REF", help="what to sign: oci://host/repository:tag, layout:PATH; or `generate-key`")  # fmt: skip
    parser.add_argument("-a", "--annotation", action="append", default=[], metavar="KEY=VALUE",
                        help="something that the signature says besides (repeatable)")  # fmt: skip
    signing_options(parser)
    keys = parser.add_argument_group("generate-key")
    keys.add_argument("--output-key-prefix", default="fairlead", metavar="NAME", help="where the key goes: NAME.key and NAME.pub (default: %(default)s)")  # fmt: skip
    keys.add_argument(
        "--type", choices=("ecdsa-p256", "ed25519"), default="ecdsa-p256", help="default: %(default)s"
    )
    parser.set_defaults(run=run_sign)


def run_sign(args: argparse.Namespace) -> int:
    """Sign, or make a key."""
    if args.ref == "generate-key":
        return generate(args)
    notes = parse_annotations(args.annotation)
    forms = forms_of(args)

    async def work() -> list[dict[str, Any]]:
        from datetime import UTC, datetime

        from fairlead.drivers.signatures.signing import sign_artifact

        async with reached(args, args.ref) as (place,):
            signer = signer_of(args)
            artifact, to = await resolved(place), other(args)
            made = await sign_artifact(
                place.store,
                place.ref,
                artifact,
                signer,
                datetime.now(UTC),
                forms=forms,
                annotations=notes,
                to=to,
            )
            return [attached(to or place.ref, artifact, one) for one in made]

    return tell(args, "signed", _run(work()))


def generate(args: argparse.Namespace) -> int:
    """Make a pair of keys; neither file may be there already."""
    from fairlead.drivers.signatures.keys import generate as new
    from fairlead.drivers.signatures.keys import public_of, write_private

    private_path, public_path = Path(f"{args.output_key_prefix}.key"), Path(f"{args.output_key_prefix}.pub")
    for path in (private_path, public_path):
        if path.exists():
            raise Problem(
                f"{path} is there already", "--output-key-prefix names another; keys are not overwritten"
            )
    private = new(args.type)
    text = write_private(private, password(str(private_path), new=True))
    try:
        with os.fdopen(os.open(private_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        with os.fdopen(os.open(public_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w") as file:
            file.write(public_of(private).pem)
    except OSError as error:
        raise Problem(f"{error.filename}: {error.strerror}") from error
    found = {
        "private": str(private_path),
        "public": str(public_path),
        "fingerprint": public_of(private).fingerprint,
        "type": args.type,
    }
    lines = [
        f"private key: {private_path} (encrypted)",
        f"public key:  {public_path}",
        f"fingerprint: {found['fingerprint']}",
    ]
    emit(args.output, found, lines)
    return 0


def password(what: str, *, new: bool = False) -> bytes:
    """Return the password of a key: from the environment, else asked for on a terminal. Raises Problem."""
    for name in PASSWORDS:
        if name in os.environ:
            return os.environ[name].encode()
    if not sys.stdin.isatty():
        raise Problem(f"{what}: a password is wanted", f"set {PASSWORDS[0]} (it may be empty)", code=2)
    found = getpass.getpass(f"Password for {what}: ")
    if new and getpass.getpass("Once more: ") != found:
        raise Problem("the two are not the same", code=2)
    return found.encode()


def forms_of(args: argparse.Namespace) -> frozenset[Form]:
    """Return in which forms to attach. Raises Problem for the legacy layout without a key."""
    forms: frozenset[Form] = frozenset(("bundle", "legacy") if args.format == "both" else (args.format,))
    if "legacy" in forms and not args.key:
        raise Problem(
            "cosign's legacy layout is written with a key only", "--key PEM, or --format bundle", code=2
        )
    return forms


def signer_of(args: argparse.Namespace) -> Signer:
    """Return who signs, as the options say. Raises Problem."""
    from fairlead.drivers.signatures.faults import BadKey, BadTrust

    if args.key:
        from fairlead.drivers.signatures.keys import read_private
        from fairlead.drivers.signatures.signing import KeySigner

        if args.identity_token or args.trust_config:
            raise Problem("--key goes with neither --identity-token nor --trust-config", code=2)
        try:
            return KeySigner(read_private(read_text(args.key, "--key"), lambda: password(args.key), args.key))
        except BadKey as error:
            raise Problem(str(error), code=2) from error
    from fairlead.drivers.signatures.keyless import KeylessSigner, Unsignable, ambient_token

    try:
        token = (
            _token(args.identity_token)
            or next((os.environ[name] for name in TOKENS if os.environ.get(name)), "")
            or ambient_token()
        )
        if not token:
            raise Problem(
                "who signs?",
                "--key PEM; or keyless: --identity-token TOKEN, or run in a CI job that offers one",
                code=2,
            )
        return KeylessSigner(
            token, read_text(args.trust_config, "--trust-config") if args.trust_config else ""
        )
    except (BadTrust, Unsignable) as error:
        raise Problem(str(error), "sign with a key instead: --key PEM", code=2) from error


def _token(given: str) -> str:
    if given and Path(given).is_file():
        return read_text(given, "--identity-token").strip()
    return given.strip()


async def resolved(place: Place) -> Descriptor:
    """Return what a name stands for now."""
    return await place.store.resolve(place.ref)


def other(args: argparse.Namespace) -> Reference | None:
    """Return the other repository to attach to, if one is named."""
    from fairlead.drivers.oci.references import Reference

    return Reference.parse(args.to) if args.to else None


def attached(where: Reference, artifact: Descriptor, made: Descriptor) -> dict[str, Any]:
    """Return what was attached, for people and programs."""
    return {"digest": artifact.digest, "attached": where.at(made.digest).url, "mediaType": made.media_type}


def tell(args: argparse.Namespace, verb: str, made: list[dict[str, Any]]) -> int:
    """Print what was done."""
    lines = [f"{args.ref}: {verb} {made[0]['digest']}", *(f"  {one['attached']}" for one in made)]
    emit(args.output, {"ref": args.ref, verb: made[0]["digest"], "attached": made}, lines)
    return 0


def _run(work: Any) -> Any:
    from fairlead.drivers.signatures.keyless import Unsignable

    try:
        return run(work)
    except (Unsignable, ValueError) as error:
        raise Problem(str(error)) from error
