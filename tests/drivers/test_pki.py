"""Keys and kubeconfig files are made once, kept, and renewed when they must be."""

from __future__ import annotations

import json
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from fairlead.drivers import pki

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _names(path: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(one.value) for one in held}


def test_everything_is_made_private(tmp_path: Path) -> None:
    made = pki.open_pki(tmp_path / "pki", name="box", now=NOW)
    assert _mode(made.directory) == 0o700
    files = sorted(path.name for path in made.directory.iterdir())
    assert files == [
        "ca.crt",
        "ca.key",
        "seal.json",
        "server.crt",
        "server.key",
        "service-accounts.key",
        "tokens.json",
    ]
    assert {_mode(made.directory / name) for name in files} == {0o600}
    assert {"localhost", "127.0.0.1", "::1", "10.96.0.1", "kubernetes.default.svc", "box"} <= _names(
        made.certificate
    )
    assert {identity.user for identity in made.tokens.values()} == {
        "admin",
        "system:node:box",
        "fairlead.dev:sensor",
        "fairlead.dev:platform",
    }
    context = ssl.create_default_context(cafile=str(made.ca))
    context.load_cert_chain(made.certificate, made.key)


def test_everything_is_kept(tmp_path: Path) -> None:
    first = pki.open_pki(tmp_path, name="box", now=NOW)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    second = pki.open_pki(tmp_path, name="box", now=NOW + timedelta(days=1))
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert first.tokens == second.tokens


def test_server_certificate_is_renewed_before_it_runs_out(tmp_path: Path) -> None:
    made = pki.open_pki(tmp_path, name="box", now=NOW)
    before, authority = made.certificate.read_bytes(), made.ca.read_bytes()
    pki.open_pki(tmp_path, name="box", now=NOW + timedelta(days=300))
    assert made.certificate.read_bytes() == before
    pki.open_pki(tmp_path, name="box", now=NOW + timedelta(days=350))
    assert made.certificate.read_bytes() != before
    assert made.ca.read_bytes() == authority


def test_server_certificate_follows_the_machine_name(tmp_path: Path) -> None:
    made = pki.open_pki(tmp_path, name="box", now=NOW)
    again = pki.open_pki(tmp_path, name="ship", now=NOW)
    assert "ship" in _names(made.certificate)
    assert again.token_of("system:nodes")[1].user == "system:node:ship"
    assert len(again.tokens) == 4


def test_expired_authority_is_made_anew_and_signs_the_server_again(tmp_path: Path) -> None:
    made = pki.open_pki(tmp_path, name="box", now=NOW)
    later = NOW + timedelta(days=366 * 10)
    pki.open_pki(tmp_path, name="box", now=later)
    authority = x509.load_pem_x509_certificate(made.ca.read_bytes())
    server = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    server.verify_directly_issued_by(authority)
    assert server.not_valid_after_utc > later


@pytest.mark.parametrize("name", ["ca.key", "ca.crt", "server.crt", "service-accounts.key", "tokens.json"])
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    pki.open_pki(tmp_path, name="box", now=NOW)
    (tmp_path / name).write_text("nonsense")
    with pytest.raises(pki.PkiError, match=str(tmp_path / name)):
        pki.open_pki(tmp_path, name="box", now=NOW)


def test_a_lost_authority_key_is_told(tmp_path: Path) -> None:
    pki.open_pki(tmp_path, name="box", now=NOW)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(pki.PkiError, match=r"no ca\.key"):
        pki.open_pki(tmp_path, name="box", now=NOW)


def test_further_tokens_are_kept(tmp_path: Path) -> None:
    pki.open_pki(tmp_path, name="box", now=NOW)
    table = json.loads((tmp_path / "tokens.json").read_text())
    table["abc"] = {"user": "jane", "groups": ["dev"]}
    (tmp_path / "tokens.json").write_text(json.dumps(table))
    again = pki.open_pki(tmp_path, name="box", now=NOW)
    assert again.tokens["abc"] == pki.Identity("jane", ("dev",))


def test_kubeconfigs_follow_the_port(tmp_path: Path) -> None:
    keys = pki.open_pki(tmp_path / "pki", name="box", now=NOW)
    pki.write_kubeconfigs(tmp_path, keys, "https://127.0.0.1:1")
    pki.write_kubeconfigs(tmp_path, keys, "https://127.0.0.1:2")
    for name, user in (("kubeconfig", "admin"), ("node.kubeconfig", "system:node:box")):
        document = yaml.safe_load((tmp_path / name).read_text())
        assert document["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:2"
        assert document["users"][0]["name"] == user
        assert _mode(tmp_path / name) == 0o600


def test_issued_certificates_belong_to_the_authority(tmp_path: Path) -> None:
    keys = pki.open_pki(tmp_path, name="box", now=NOW)
    certificate, key = pki.issue(
        tmp_path, common_name="system:node:box", addresses=["127.0.0.1"], groups=["system:nodes"], now=NOW
    )
    read = x509.load_pem_x509_certificate(certificate)
    read.verify_directly_issued_by(x509.load_pem_x509_certificate(keys.ca.read_bytes()))
    assert b"PRIVATE KEY" in key
