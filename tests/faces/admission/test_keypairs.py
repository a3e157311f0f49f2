"""Certificates: made, kept, renewed before they run out, and changed while the server serves."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from fairlead.faces.admission.keypairs import Files, FolderChest, NoKeyPair, Own, renewed
from fairlead.faces.admission.starting import Options

from .conftest import pod, review, running, trusting

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAMES, ADDRESSES = ["hook.example", "localhost"], ["127.0.0.1"]


def made(kept: Mapping[str, bytes], now: datetime) -> Mapping[str, bytes] | None:
    return renewed(kept, NAMES, ADDRESSES, now)


def authorities(kept: Mapping[str, bytes]) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(kept["ca.crt"])


def test_a_certificate_is_renewed_before_it_runs_out_and_its_authority_later() -> None:
    first = made({}, NOW)
    assert first is not None
    assert made(first, NOW + timedelta(days=300)) is None
    second = made(first, NOW + timedelta(days=310))
    assert second is not None
    assert second["tls.crt"] != first["tls.crt"]
    assert second["ca.crt"] == first["ca.crt"]
    assert second["ca.key"] == first["ca.key"]
    third = made(second, NOW + timedelta(days=9 * 365))
    assert third is not None
    assert len(authorities(third)) == 2, "the old authority is trusted beside the new one"
    assert authorities(third)[1] == authorities(first)[0]
    x509.load_pem_x509_certificate(third["tls.crt"]).verify_directly_issued_by(authorities(third)[0])
    assert made(third, NOW + timedelta(days=9 * 365)) is None


@pytest.mark.parametrize("broken", ["ca.crt", "ca.key", "tls.crt", "tls.key"])
def test_what_is_kept_and_of_no_use_is_made_anew(broken: str) -> None:
    first = made({}, NOW)
    assert first is not None
    for content in (b"", b"nonsense"):
        mended = made({**first, broken: content}, NOW)
        if broken == "ca.key" and mended is None:
            continue  # it is looked at when it is needed
        assert mended is not None
        assert made(mended, NOW) is None
    assert renewed(first, ["another.example"], ADDRESSES, NOW) is not None


def test_files_must_fit_each_other(tmp_path: Path) -> None:
    one, two = made({}, NOW), made({}, NOW)
    assert one is not None
    assert two is not None
    (tmp_path / "crt").write_bytes(one["tls.crt"])
    (tmp_path / "key").write_bytes(two["tls.key"])
    source = Files(tmp_path / "crt", tmp_path / "key")
    with pytest.raises(NoKeyPair, match="cannot be used with its key"):
        asyncio.run(source.current(NOW))
    (tmp_path / "key").write_bytes(one["tls.key"])
    assert asyncio.run(source.current(NOW)).certificate == one["tls.crt"]
    assert "PRIVATE" not in repr(asyncio.run(source.current(NOW)))


def test_a_folder_keeps_them_private(tmp_path: Path) -> None:
    source = Own(FolderChest(tmp_path / "own"), NAMES, ADDRESSES)
    first = asyncio.run(source.current(NOW))
    assert asyncio.run(source.current(NOW)) == first
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "own").iterdir()} == {0o600}
    assert asyncio.run(source.current(NOW + timedelta(days=330))).certificate != first.certificate


def test_the_certificate_changes_again_and_again_and_nobody_is_refused(
    policies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairlead.faces.admission.starting.LINGER", 0.3)
    moment = datetime.now(UTC) - timedelta(days=320)

    async def test() -> None:
        nonlocal moment
        options = Options(policies=(policies,), cert_dir=tmp_path / "own", look=0.05, clock=lambda: moment)
        async with running(options) as webhook:
            trust = trusting(webhook.pair.authorities)
            done = asyncio.Event()
            asked = 0

            async def ask(*, keeping: bool) -> None:
                nonlocal asked
                while not done.is_set():
                    if keeping:
                        answer = await webhook.ask(review(pod()))
                    else:
                        async with httpx.AsyncClient(
                            base_url=webhook.url, verify=trust, timeout=30, trust_env=False
                        ) as http:
                            answer = await replace(webhook, http=http).ask(review(pod()))
                    assert answer["allowed"]
                    asked += 1

            async def served() -> str:
                return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", webhook.port))

            before = await served()
            asking = [asyncio.create_task(ask(keeping=keeping)) for keeping in (True, False)]
            moment = datetime.now(UTC)
            for number in range(4):
                for _ in range(400):
                    kept = (tmp_path / "own" / "tls.crt").read_text()
                    same = 0  # while both serve, either may answer
                    while same < 8 and kept != before and await served() == kept:
                        same += 1
                    if same == 8:
                        break
                    await asyncio.sleep(0.02)
                else:
                    pytest.fail(f"certificate {number} is not served")
                before = kept
                (tmp_path / "own" / "tls.key").write_text("")
            await asyncio.sleep(0.5)
            done.set()
            await asyncio.gather(*asking)
            assert asked > 10

    asyncio.run(test())
