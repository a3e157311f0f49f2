"""The tool that runs sigstore's published cases, on cases of our own services; and the published ones where a folder has them."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from notary import SIGNED, Sigstore, key

from conformance import sigstore as suite
from fairlead.drivers.signatures.bundles import BUNDLE
from fairlead.drivers.signatures.keys import public_of, sign
from fairlead.drivers.signatures.statements import statement

ARTIFACT = b"what is signed\n"
DIGEST = hashlib.sha256(ARTIFACT).hexdigest()


@dataclass
class Cases:
    """A folder in the suite's layout."""

    place: Path

    def put(self, name: str, bundle: dict[str, Any], **files: str) -> None:
        case = self.place / name
        case.mkdir(parents=True)
        (case / "bundle.sigstore.json").write_text(json.dumps(bundle))
        for file, text in files.items():
            (case / {"root": "trusted_root.json", "key": "key.pub"}.get(file, file)).write_text(text)


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cases:
    place = tmp_path / "bundle-verify"
    place.mkdir()
    (tmp_path / "a.txt").write_bytes(ARTIFACT)
    monkeypatch.setenv(suite.VARIABLE, str(place))
    return Cases(place)


def test_a_case_is_accepted_or_refused_as_its_name_says(cases: Cases, tmp_path: Path) -> None:
    services = Sigstore()
    root = json.dumps(services.document())
    who: dict[str, Any] = {"subject": suite.IDENTITY, "issuer": suite.ISSUER}
    good = services.bundle(statement(f"sha256:{DIGEST}", "https://example.com/made", {}), **who)
    cases.put("good", good, root=root)
    cases.put("another-root_fail", good, root=json.dumps(Sigstore().document()))
    cases.put("named-wrongly_fail", good, root=root)
    cases.put("another-artifact_fail", good, root=root, artifact="another")
    cases.put("somebody-else_fail", good, root=root, identity="https://example.com/else\n")
    cases.put("another-issuer_fail", good, root=root, issuer="https://example.com")
    cases.put("not-of-production", good)
    (cases.place / "without-a-bundle").mkdir()
    rates = suite.run(tmp_path)
    assert (rates.passed, rates.total) == (10, 14)
    assert rates.missed["named-wrongly_fail"] == "accepted, and should be refused"
    assert "does not trust" in rates.missed["not-of-production"]
    assert "does not trust" in rates.missed["not-of-production by its digest"]
    assert list(rates.skipped) == ["without-a-bundle"]


def test_a_key_asks_for_a_log_where_the_root_has_one(cases: Cases, tmp_path: Path) -> None:
    services, own = Sigstore(), key()
    raw = {
        "messageDigest": {
            "algorithm": "SHA2_256",
            "digest": base64.b64encode(bytes.fromhex(DIGEST)).decode(),
        },
        "signature": base64.b64encode(sign(own, ARTIFACT)).decode(),
    }
    bundle = {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": "any"}},
        "messageSignature": raw,
    }
    none: dict[str, Any] = {
        "tlogs": [],
        "ctlogs": [],
        "certificateAuthorities": [],
        "timestampAuthorities": [],
    }
    pem = public_of(own).pem
    cases.put("no-log-is-known", bundle, root=json.dumps(services.document(**none)), key=pem)
    cases.put("a-log-is-known_fail", bundle, root=json.dumps(services.document()), key=pem)
    cases.put(
        "another-key_fail", bundle, root=json.dumps(services.document(**none)), key=public_of(key()).pem
    )
    cases.put("no-key_fail", bundle, root=json.dumps(services.document(**none)), key="nothing")
    undated = services.document()
    del undated["tlogs"][0]["publicKey"]["validFor"]
    cases.put("undated_fail", bundle, root=json.dumps(undated), key=pem)
    rates = suite.run(tmp_path)
    assert (rates.passed, dict(rates.missed)) == (10, {})


def test_both_ends_of_a_time_count(cases: Cases, tmp_path: Path) -> None:
    """An entry of the very second in which its log ceased to be trusted holds, and one of the second after does not."""
    services = Sigstore()
    who: dict[str, Any] = {"subject": suite.IDENTITY, "issuer": suite.ISSUER}
    payload = statement(f"sha256:{DIGEST}", "https://example.com/made", {})
    when = SIGNED + timedelta(minutes=1)
    good = services.bundle(payload, when=when, **who)
    for name, end in (("last-second", when), ("too-late_fail", when - timedelta(seconds=1))):
        root = services.document()
        root["tlogs"][0]["publicKey"]["validFor"]["end"] = end.isoformat()
        cases.put(name, good, root=json.dumps(root))
    assert not suite.run(tmp_path).missed
