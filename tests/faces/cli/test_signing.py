"""sign, verify and attest on the command line, over a local layout: what is said, and with which exit code."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from notary import ISSUER, JANE, Sigstore, put

from fairlead.drivers.oci.layouts import Layout
from fairlead.drivers.oci.references import Reference
from fairlead.drivers.signatures import boxes
from fairlead.drivers.signatures.statements import statement
from fairlead.faces.cli import main as command
from fairlead.judge.signatures import SIGNING


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("FAIRLEAD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FAIRLEAD_KEY_PASSWORD", "secret")
    monkeypatch.setattr(boxes, "_N", 1024)
    store, ref = Layout(tmp_path / "L"), Reference("", "L", "1.0")
    made = asyncio.run(put(store, ref, "hello"))
    asyncio.run(store.tag(ref.at(made.digest), "1.0"))
    return tmp_path


def run(*words: str) -> int:
    return command.main(list(words))


REF = "layout:L:1.0"


def test_the_whole_way(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", REF, "--key", str(place / "none.pub")) == 2
    assert run("sign", "generate-key", "--output-key-prefix", "k") == 0
    assert "PRIVATE" not in capsys.readouterr().out
    assert (place / "k.key").stat().st_mode & 0o777 == 0o600
    assert run("sign", "generate-key", "--output-key-prefix", "k") == 1
    assert "is there already" in capsys.readouterr().err

    assert run("verify", REF, "--key", "k.pub") == 1
    assert ": not signed" in capsys.readouterr().out
    assert run("sign", REF, "--key", "k.key", "--format", "both", "-a", "env=prod") == 0
    assert run("verify", REF, "--key", "k.pub", "-a", "env=prod", "-o", "json") == 0
    out = capsys.readouterr().out
    told = json.loads(out[out.index("{") :])
    assert (told["verified"], [one["form"] for one in told["signatures"]]) == (True, ["legacy", "bundle"])
    assert run("verify", REF, "--key", "k.pub", "-a", "env=test") == 1
    assert "did not annotate it with env=test" in capsys.readouterr().out
    assert run("verify", REF, "--key", "k.pub", "--require-log") == 1
    assert "it is in no transparency log" in capsys.readouterr().out


@pytest.fixture
def keyed(place: Path) -> Path:
    assert run("sign", "generate-key", "--output-key-prefix", "k") == 0
    return place


def test_attestations_and_what_they_are_checked_for(keyed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (
        ("p.json", '{"builder": {"id": "us"}}'),
        ("good.cel", 'predicate.builder.id == "us"'),
        ("bad.cel", "predicate.builder.id"),
        ("good.rego", 'package sigstore\nisCompliant { input.predicate.builder.id == "us" }'),
        ("bad.rego", "package sigstore\ndefault isCompliant = false"),
        ("odd.txt", ""),
    ):
        (keyed / name).write_text(text)
    sbom = asyncio.run(put(Layout(keyed / "S"), Reference("", "S"), "sbom"))
    assert run("attest", REF, "--key", "k.key", "--type", "slsaprovenance1", "--predicate", "p.json") == 0
    assert run("attest", REF, "--key", "k.key", "--refer-to", f"layout:S@{sbom.digest}") == 0
    capsys.readouterr()
    wanted = ("verify", REF, "--key", "k.pub", "--attestation", "slsaprovenance1")
    assert run(*wanted, "--check", "good.cel", "--check", "good.rego") == 0
    assert run(*wanted, "--check", "bad.cel") == 1
    assert "the expression is" in capsys.readouterr().out
    assert run(*wanted, "--check", "bad.rego") == 1
    assert "policy is not compliant" in capsys.readouterr().out
    assert run(*wanted, "--check", "odd.txt") == 2
    assert run("verify", REF, "--key", "k.pub", "--attestation", "any", "-o", "json") == 0
    out = capsys.readouterr().out
    assert sorted(one["predicateType"] for one in json.loads(out[out.index("{") :])["signatures"]) == [
        "https://fairlead.dev/attestation/reference/v1", "https://slsa.dev/provenance/v1",
    ]  # fmt: skip
    assert run("verify", REF, "--key", "k.pub", "--attestation", "spdx") == 1


def policy(keyed: Path, **more: Any) -> str:
    spec = {
        "images": [{"glob": "**"}],
        "authorities": [{"key": {"data": (keyed / "k.pub").read_text()}}],
        **more,
    }
    return json.dumps({
        "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "mine"}, "spec": spec
    })  # fmt: skip


def test_policies(keyed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (keyed / "policy.yaml").write_text(policy(keyed))
    assert run("verify", REF, "--policy", "policy.yaml") == 1
    assert "the policy mine refuses it" in capsys.readouterr().out
    assert run("sign", REF, "--key", "k.key", "--format", "legacy") == 0
    assert run("verify", REF, "--policy", "policy.yaml") == 0
    (keyed / "policy.yaml").write_text(policy(keyed, images=[{"glob": "ghcr.io/**"}]))
    assert run("verify", REF, "--policy", "policy.yaml") == 1
    assert "no policy is about it" in capsys.readouterr().out
    (keyed / "policy.yaml").write_text("kind: Pod")
    assert run("verify", REF, "--policy", "policy.yaml") == 2


def test_a_file_and_a_bundle_of_ones_own_sigstore(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import hashlib

    sigstore = Sigstore()
    (place / "root.json").write_text(json.dumps(sigstore.document()))
    (place / "app.txt").write_bytes(b"an app")
    digest = f"sha256:{hashlib.sha256(b'an app').hexdigest()}"
    (place / "app.bundle").write_text(json.dumps(sigstore.bundle(statement(digest, SIGNING, {}))))
    who = ("--certificate-identity", JANE, "--certificate-oidc-issuer", ISSUER)
    wanted = ("verify", "app.txt", "--bundle", "app.bundle", *who)
    assert run(*wanted, "--trust-root", "root.json") == 0
    assert f"signed by {JANE} ({ISSUER})" in capsys.readouterr().out
    assert run(*wanted) == 1
    assert "sigstore's production trust root does not trust" in capsys.readouterr().out
    assert run(*wanted, "--trust-root", "nowhere.json") == 2
    (place / "app.txt").write_bytes(b"another app")
    assert run(*wanted, "--trust-root", "root.json") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("verify", REF), "who must have signed it?"),
        (("verify", REF, "--key", "k.pub", "--certificate-identity", "a"), "who must have signed it?"),
        (("verify", REF, "--certificate-identity", "a"), "an identity has a name and an issuer"),
        (("verify", REF, "--key", "k.key"), "give the public one"),
        (("verify", REF, "--key", "gcpkms://x"), "gcpkms:// is not supported"),
        (("verify", REF, "--key", "k.pub", "--check", "a.cel"), "--check is about attestations"),
        (("verify", REF, "--key", "k.pub", "--attestation", "odd"), "is no predicate type"),
        (("verify", "layout:nowhere:1", "--key", "k.pub"), "nowhere"),
        (("sign", REF), "who signs?"),
        (("sign", REF, "--identity-token", "x.y.z"), "keyless|identity token"),
        (("sign", REF, "--key", "k.pub"), "is no private key"),
        (("sign", REF, "--format", "legacy"), "with a key only"),
        (("attest", REF, "--key", "k.key"), "what is to be attested?"),
        (("attest", REF, "--key", "k.key", "--predicate", "k.pub", "--type", "spdx"), "not JSON"),
    ],
)
def test_what_cannot_be_done_is_said(
    keyed: Path,
    words: tuple[str, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import re

    for name in (
        "SIGSTORE_ID_TOKEN",
        "FAIRLEAD_IDENTITY_TOKEN",
        "GITHUB_ACTIONS",
        "GITLAB_CI",
        "CIRCLECI",
        "BUILDKITE",
    ):
        monkeypatch.delenv(name, raising=False)
    assert run(*words) in {1, 2}
    assert re.search(told, capsys.readouterr().err)


def test_a_wrong_password(
    keyed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_KEY_PASSWORD", "wrong")
    assert run("sign", REF, "--key", "k.key") == 2
    assert "the password is wrong" in capsys.readouterr().err
    assert asyncio.run(Layout(keyed / "L").tags("L")) == ["1.0"]
