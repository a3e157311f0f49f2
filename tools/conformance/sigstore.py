"""Verifies the bundles of sigstore's published conformance suite: a case whose name ends in `_fail` must be refused, any other accepted.

As the suite does, each is verified twice: with the artifact, and with its digest alone. The folder is the suite's own test/assets/bundle-verify, $FAIRLEAD_SIGSTORE_CONFORMANCE or `sigstore` in the corpus. A case has a
bundle.sigstore.json and may have an artifact (else a.txt of the folder or the one above), an identity, an issuer, a key.pub and a
trusted_root.json (else the production root that came with the program). Nothing is fetched.
Source of the layout: sigstore/sigstore-conformance test/assets/bundle-verify/README.md.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from conformance import Rates
from fairlead.drivers.signatures.bundles import read_bundle
from fairlead.drivers.signatures.certificates import Identity
from fairlead.drivers.signatures.faults import BadKey, BadProof, BadTrust, Unverified
from fairlead.drivers.signatures.keys import read_public
from fairlead.drivers.signatures.roots import Root, embedded, read_root
from fairlead.drivers.signatures.verifying import Authority, examine, verify_file

VARIABLE = "FAIRLEAD_SIGSTORE_CONFORMANCE"
IDENTITY = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon"
    "/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
ISSUER = "https://token.actions.githubusercontent.com"


def place(corpus: Path) -> Path:
    """Return the folder of the cases, which needs not be there."""
    return Path(os.environ.get(VARIABLE) or corpus / "sigstore")


def authority(case: Path, root: Root) -> Authority:
    """Return who must have signed a case's artifact. A log's entry is asked for where the root knows a log. Raises BadKey."""
    key = case / "key.pub"
    if key.is_file():
        keys = read_public(key.read_bytes(), key.name)
        return Authority(name="key", keys=keys, root=root, log="require" if root.logs else "ignore")
    identity = Identity(
        subject=_said(case / "identity", IDENTITY),
        issuer=_said(case / "issuer", ISSUER),
    )
    return Authority(name="identity", identities=(identity,), root=root)


def refusal(case: Path, artifact: bytes, now: datetime, *, whole: bool = True) -> str:
    """Return why a case's bundle is refused, "" where it is accepted. Without the `whole` artifact only its SHA-256 is known."""
    try:
        given = case / "trusted_root.json"
        root = read_root(given.read_bytes(), given.name) if given.is_file() else embedded()
        candidates = read_bundle((case / "bundle.sigstore.json").read_bytes(), "bundle")
        trusted = authority(case, root)
        if whole:
            verify_file(candidates, artifact, [trusted], now, "artifact")
        else:
            digest = f"sha256:{hashlib.sha256(artifact).hexdigest()}"
            for candidate in candidates:
                examine(candidate, trusted, digest, now, "")
    except (BadKey, BadProof, BadTrust, Unverified) as error:
        return str(error)
    return ""


def run(corpus: Path) -> Rates:
    """Verify every case, both ways."""
    folder = place(corpus)
    rates = Rates("sigstore")
    now = datetime.now(UTC)
    for case in sorted(one for one in folder.iterdir() if one.is_dir()):
        artifact = next(
            (one for one in (case / "artifact", folder / "a.txt", folder.parent / "a.txt") if one.is_file()),
            None,
        )
        if artifact is None or not (case / "bundle.sigstore.json").is_file():
            rates.skipped[case.name] = "there is no bundle, or no artifact"
            continue
        for whole in (True, False):
            why = refusal(case, artifact.read_bytes(), now, whole=whole)
            if bool(why) == case.name.endswith("_fail"):
                rates.passed += 1
            else:
                name = case.name if whole else f"{case.name} by its digest"
                rates.missed[name] = why or "accepted, and should be refused"
    return rates


def _said(path: Path, otherwise: str) -> str:
    return path.read_text().strip() if path.is_file() else otherwise
