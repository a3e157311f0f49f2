"""`fairlead attest`: say something of an artifact and sign it: where it was built, what is in it, what a scanner found.

An SBOM is attested (spdx, cyclonedx), or, where it lies beside the artifact already, referred to by its digest.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.problems import Problem
from fairlead.faces.cli.shipping import RAW, reached
from fairlead.faces.cli.sign import (
    _run,
    attached,
    forms_of,
    other,
    resolved,
    signer_of,
    signing_options,
    tell,
)
from fairlead.faces.cli.verifying import read_text

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

REFERENCE = "https://fairlead.dev/attestation/reference/v1"
"""The predicate type of a reference to another artifact, such as an SBOM that is too large to be signed within: name, digest, mediaType."""

EXAMPLES = """\
examples:
  fairlead attest oci://registry.example.com/shop/app:1.0 --key fairlead.key --type slsaprovenance1 --predicate provenance.json
  fairlead attest oci://... --key fairlead.key --type cyclonedx --predicate sbom.json
  fairlead attest oci://... --key fairlead.key --refer-to oci://registry.example.com/shop/app-sbom:1.0

types: slsaprovenance, slsaprovenance1, spdx, spdxjson, cyclonedx, vuln, openvex, link, custom, or a URI
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("attest", help="sign a statement about an artifact: provenance, an SBOM, a scan", epilog=EXAMPLES, formatter_class=RAW)  # fmt: skip
    parser.add_argument("ref", metavar="REF", help="what the statement is about: oci://host/repository:tag, layout:PATH")  # fmt: skip
    parser.add_argument("--predicate", default="", metavar="FILE", help="what is said, as JSON")
    parser.add_argument("--type", default="", metavar="TYPE", help="what sort of statement it is")
    parser.add_argument("--refer-to", default="", metavar="REF", help="attest that another artifact belongs to it, such as its SBOM")  # fmt: skip
    signing_options(parser)
    parser.set_defaults(run=run_attest)


def run_attest(args: argparse.Namespace) -> int:
    """Make, sign and attach the statement."""
    from fairlead.judge.signatures import predicate_type

    if bool(args.predicate) == bool(args.refer_to):
        raise Problem("what is to be attested?", "--predicate FILE --type TYPE, or --refer-to REF", code=2)
    try:
        kind = predicate_type(args.type or (REFERENCE if args.refer_to else "custom"))
    except ValueError as error:
        raise Problem(f"--type: {error}", code=2) from error
    forms = forms_of(args)
    said = _predicate(args.predicate, kind) if args.predicate else None

    async def work() -> list[dict[str, Any]]:
        from datetime import UTC, datetime

        from fairlead.drivers.signatures.signing import attest_artifact

        names = [args.ref, *([args.refer_to] if args.refer_to else [])]
        async with reached(args, *names) as found:
            place = found[0]
            signer = signer_of(args)
            artifact, to = await resolved(place), other(args)
            predicate = said
            if args.refer_to:
                referred = await resolved(found[1])
                predicate = {"name": found[1].ref.name, "digest": referred.digest, "mediaType": referred.media_type,
                             "artifactType": referred.artifact_type}  # fmt: skip
            made = await attest_artifact(
                place.store, place.ref, artifact, signer, datetime.now(UTC), predicate_type=kind, predicate=predicate, forms=forms, to=to
            )  # fmt: skip
            return [attached(to or place.ref, artifact, one) for one in made]

    return tell(args, "attested", _run(work()))


def _predicate(path: str, kind: str) -> Any:
    """Return the predicate of a file. cosign's custom type wraps what is no object."""
    from fairlead.judge.signatures import PREDICATES

    text = read_text(path, "--predicate")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if kind != PREDICATES["custom"]:
            raise Problem(f"--predicate {path}: not JSON", code=2) from error
        found = text
    if kind == PREDICATES["custom"] and not isinstance(found, dict):
        from datetime import UTC, datetime

        return {"Data": found, "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    if not isinstance(found, dict):
        raise Problem(f"--predicate {path}: not a JSON object", code=2)
    return found
