"""Logins: where they are looked up, how they are kept, and that nobody sees them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers.oci.credentials import CredentialError, Credentials, Login, default_paths, normal_host

SECRET = "s3cr3t:with:colons"


def pair(name: str, secret: str) -> str:
    return base64.b64encode(f"{name}:{secret}".encode()).decode()


def written(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def find(credentials: Credentials, host: str, repository: str = "a/b") -> Login | None:
    return asyncio.run(credentials.find(host, repository))


def test_the_places_are_those_of_docker_and_podman() -> None:
    assert default_paths({"HOME": "/h", "XDG_RUNTIME_DIR": "/run/u"}) == [
        Path("/h/.docker/config.json"),
        Path("/run/u/containers/auth.json"),
        Path("/h/.config/containers/auth.json"),
    ]
    assert default_paths({"HOME": "/h", "DOCKER_CONFIG": "/d"})[0] == Path("/d/config.json")
    assert default_paths({"REGISTRY_AUTH_FILE": "/x", "HOME": "/h"}) == [Path("/x")]


def test_logins_are_found_by_host_and_by_what_is_more_special(tmp_path: Path) -> None:
    docker = written(
        tmp_path / "config.json",
        {
            "auths": {
                "ghcr.io": {"auth": pair("me", SECRET)},
                "https://index.docker.io/v1/": {"auth": pair("hub", "x")},
                "https://old.example.com/v2/": {"username": "u", "password": "p"},
                "r.example.com:5000": {"identitytoken": "tok", "auth": pair("00000000", "")},
                "t.example.com": {"registrytoken": "shown"},
                "empty.example.com": {},
            }
        },
    )
    podman = written(
        tmp_path / "auth.json",
        {
            "auths": {
                "ghcr.io": {"auth": pair("other", "y")},
                "q.io": {"auth": pair("all", "1")},
                "q.io/org": {"auth": pair("org", "2")},
            }
        },
    )
    credentials = Credentials([docker, podman], environment={})
    assert find(credentials, "ghcr.io") == Login("me", SECRET)
    assert find(credentials, "docker.io", "library/nginx") == Login("hub", "x")
    assert find(credentials, "old.example.com") == Login("u", "p")
    token = find(credentials, "r.example.com:5000")
    assert token is not None
    assert token.identity_token == "tok"
    assert token.basic == ""
    assert find(credentials, "r.example.com") is None
    assert find(credentials, "t.example.com") == Login(registry_token="shown")
    assert find(credentials, "empty.example.com") is None
    assert find(credentials, "q.io", "org/app") == Login("org", "2")
    assert find(credentials, "q.io", "else/app") == Login("all", "1")
    assert find(Credentials([tmp_path / "none"], environment={}), "ghcr.io") is None
    assert normal_host("https://index.docker.io/v1/") == "docker.io"


def test_a_login_does_not_show_its_secret() -> None:
    login = Login("me", SECRET, "identity", "registry")
    assert "me" in repr(login)
    for hidden in (SECRET, "identity", "registry'"):
        assert hidden not in repr(login)
        assert hidden not in str(login)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"auths": {"h": 1}}', "auths[h] is not an object"),
        ('{"auths": {"h": {"auth": "%%%SECRET"}}}', "is not base64"),
        ('{"auths": {"h": {"username": ["x"]}}}', "not text"),
        ('{"credsStore": "../evil"}', "no name of a credential program"),
        ('{"credsStore": "absent"}', "docker-credential-absent is named"),
    ],
)
def test_files_that_cannot_be_used_are_named_without_what_is_in_them(
    tmp_path: Path, content: str, says: str
) -> None:
    path = written(tmp_path / "config.json", content)
    with pytest.raises(CredentialError) as caught:
        find(Credentials([path], environment={"PATH": str(tmp_path)}), "h")
    assert says in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_login_is_kept_for_its_owner_alone_and_forgotten(tmp_path: Path) -> None:
    path = written(
        tmp_path / "d" / "config.json",
        {"proxies": {"default": {}}, "auths": {"a.io": {"auth": pair("x", "y")}}},
    )
    path.chmod(0o644)
    credentials = Credentials([path], environment={})
    assert asyncio.run(credentials.store("docker.io", Login("me", SECRET))) == str(path)
    kept = json.loads(path.read_text())
    assert kept["proxies"] == {"default": {}}
    assert set(kept["auths"]) == {"a.io", "https://index.docker.io/v1/"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert find(credentials, "docker.io") == Login("me", SECRET)
    assert asyncio.run(credentials.erase("docker.io"))
    assert not asyncio.run(credentials.erase("docker.io"))
    assert find(credentials, "docker.io") is None
    assert set(json.loads(path.read_text())["auths"]) == {"a.io"}
    fresh = Credentials([tmp_path / "new" / "deep" / "config.json"], environment={})
    asyncio.run(fresh.store("h.io", Login(identity_token="tok")))
    assert find(fresh, "h.io") == Login(identity_token="tok")


HELPER = """\
#!/bin/sh
# keeps logins in files; what it is handed comes by standard input
set -eu
cd "{kept}"
host() {{ tr -cd 'a-z0-9.' ; }}
case "$1" in
get) name=$(host); [ -f "$name" ] || {{ echo "credentials not found in native keychain"; exit 1; }}; cat "$name" ;;
store) text=$(cat); name=$(printf %s "$text" | sed 's/.*"ServerURL": "\\([^"]*\\)".*/\\1/' | host); printf %s "$text" > "$name" ;;
erase) rm "$(host)" ;;
esac
"""


def test_credential_programs_get_store_and_erase(tmp_path: Path) -> None:
    programs, kept = tmp_path / "bin", tmp_path / "kept"
    programs.mkdir()
    kept.mkdir()
    for name, content in (
        ("test", HELPER.format(kept=kept)),
        ("broken", "#!/bin/sh\necho '{\"Username\": 1}'\n"),
        ("fails", "#!/bin/sh\necho $0 SECRET >&2; exit 3\n"),
    ):
        program = programs / f"docker-credential-{name}"
        program.write_text(content)
        program.chmod(0o755)
    path = written(
        tmp_path / "config.json", {"credsStore": "test", "credHelpers": {"b.io": "broken", "f.io": "fails"}}
    )
    credentials = Credentials([path], environment={"PATH": f"{programs}:{os.environ['PATH']}"})
    assert find(credentials, "ghcr.io") is None
    assert asyncio.run(credentials.store("ghcr.io", Login("me", "pw"))) == "docker-credential-test"
    assert json.loads(path.read_text())["auths"] == {"ghcr.io": {}}
    assert "pw" not in path.read_text()
    assert find(credentials, "ghcr.io") == Login("me", "pw")
    asyncio.run(credentials.store("docker.io", Login(identity_token="tok")))
    assert find(credentials, "docker.io") == Login(identity_token="tok")
    assert asyncio.run(credentials.erase("ghcr.io"))
    assert find(credentials, "ghcr.io") is None
    for host in ("b.io", "f.io"):
        with pytest.raises(CredentialError) as caught:
            find(credentials, host)
        assert "docker-credential-" in str(caught.value)
        assert "SECRET" not in str(caught.value)
