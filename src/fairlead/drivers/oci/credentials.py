"""Who is asking a registry: Docker's and Podman's files of credentials, and the programs that keep them.

Reads, adds and removes; a secret is only ever in a `Login`, whose text does not show it, and never in an error.
Source: Docker's config.json and the protocol of docker-credential-* programs, containers-auth.json(5).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fairlead.drivers.oci.errors import RegistryError
from fairlead.drivers.oci.references import DOCKER

HELPER_SECONDS: Final = 30
"""How long a credential program may take."""
_DOCKER_KEY: Final = "https://index.docker.io/v1/"
_DOCKER_HOSTS: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_TOKEN_USER: Final = "<token>"  # noqa: S105  the name that programs give when the secret is an identity token
_LARGEST: Final = 4 << 20


class CredentialError(RegistryError):
    """A file of credentials or a credential program cannot be used; the text names it."""


@dataclass(frozen=True, slots=True)
class Login:
    """What to show a registry: a name and a password, or a token that is exchanged (identity) or shown as it is (registry)."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header, "" without a name."""
        if not self.username or self.identity_token:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def default_paths(environment: Mapping[str, str]) -> list[Path]:
    """Return the files in which credentials are looked up, the first that knows a host wins.

    REGISTRY_AUTH_FILE alone, where it is set; else Docker's (DOCKER_CONFIG, or ~/.docker), then Podman's.
    """
    named = environment.get("REGISTRY_AUTH_FILE")
    if named:
        return [Path(named)]
    home = environment.get("HOME") or "/"
    docker = Path(environment.get("DOCKER_CONFIG") or Path(home, ".docker")) / "config.json"
    runtime = environment.get("XDG_RUNTIME_DIR")
    podman = [Path(runtime, "containers", "auth.json")] if runtime else []
    return [
        docker,
        *podman,
        Path(environment.get("XDG_CONFIG_HOME") or Path(home, ".config"), "containers", "auth.json"),
    ]


class Credentials:
    """The logins of some files, each read when a host is first asked for.

    `fixed` are logins by host that come before all files; `first` are files that come before the usual ones, such as the embedded
    platform's; an absent file is an empty one.
    """

    def __init__(
        self,
        paths: Sequence[Path] | None = None,
        *,
        first: Sequence[Path] = (),
        fixed: Mapping[str, Login] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        usual = default_paths(self._environment) if paths is None else list(paths)
        self.paths = [*first, *usual]
        self.target = usual[0] if usual else None
        self._fixed = dict(fixed or {})
        self._found: dict[str, Login | None] = {}

    async def find(self, host: str, repository: str = "") -> Login | None:
        """Return the login for a host (with its port), by the most special key: host/namespace before host. Raises CredentialError."""
        if host in self._fixed:
            return self._fixed[host]
        key = f"{host}/{repository}"
        if key not in self._found:
            self._found[key] = await self._look(host, repository)
        return self._found[key]

    async def _look(self, host: str, repository: str) -> Login | None:
        for path in self.paths:
            config = read_config(path)
            helper = _helper_for(config, host)
            if helper:
                kept = await self._ask(helper, host)
                if kept is not None:
                    return kept
            auths = config.get("auths")
            for key in _keys(host, repository):
                entry = _entry(auths if isinstance(auths, dict) else {}, key)
                if entry is not None and (login := _login_of(entry, path, key)) is not None:
                    return login
        return None

    async def _ask(self, helper: str, host: str) -> Login | None:
        """Ask a program for a host; Docker Hub is known to them by its old address."""
        answer = await _run(helper, "get", _DOCKER_KEY if host in _DOCKER_HOSTS else host, self._environment)
        if answer is None:
            return None
        try:
            document = json.loads(answer)
            name, secret = document["Username"], document["Secret"]
        except (ValueError, KeyError, TypeError) as error:
            raise CredentialError(
                f"docker-credential-{helper}: its answer is not what the protocol says"
            ) from error
        if not isinstance(name, str) or not isinstance(secret, str):
            raise CredentialError(f"docker-credential-{helper}: its answer is not what the protocol says")
        if name == _TOKEN_USER:
            return Login(identity_token=secret)
        return Login(name, secret) if name or secret else None

    async def store(self, host: str, login: Login) -> str:
        """Keep a login, with the program that the file names for the host, else in the file; return where. Raises CredentialError."""
        path = self._target()
        helper = _helper_for(read_config(path), host)
        key = _DOCKER_KEY if host in _DOCKER_HOSTS else host
        if helper:
            name = _TOKEN_USER if login.identity_token else login.username
            secret = login.identity_token or login.password
            text = json.dumps({"ServerURL": key, "Username": name, "Secret": secret})
            await _run(helper, "store", text, self._environment)
        pair = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        entry: dict[str, str] = {} if helper else {"auth": pair}
        if login.identity_token and not helper:
            entry["identitytoken"] = login.identity_token
        with _changing(path) as config:
            config.setdefault("auths", {})[key] = entry
        self._found.clear()
        return f"docker-credential-{helper}" if helper else str(path)

    async def erase(self, host: str) -> bool:
        """Forget a login in the file that logins are kept in; return whether there was one. Raises CredentialError."""
        path = self._target()
        config = read_config(path)
        helper = _helper_for(config, host)
        found = False
        if helper:
            key = _DOCKER_KEY if host in _DOCKER_HOSTS else host
            found = await _run(helper, "get", key, self._environment) is not None
            if found:
                await _run(helper, "erase", key, self._environment)
        auths = config.get("auths")
        mine = [
            name for name in (auths if isinstance(auths, dict) else {}) if _host_of(name) in _aliases(host)
        ]
        if mine:
            with _changing(path) as config:
                for name in mine:
                    config.get("auths", {}).pop(name, None)
            found = True
        self._found.clear()
        return found

    def _target(self) -> Path:
        if self.target is None:
            raise CredentialError("there is no file to keep logins in")
        return self.target


def _aliases(host: str) -> frozenset[str]:
    return _DOCKER_HOSTS if host in _DOCKER_HOSTS else frozenset({host})


def _keys(host: str, repository: str) -> Iterator[str]:
    """Yield what a login for a repository may be kept under: host/a/b, host/a, host."""
    parts = repository.split("/") if repository else []
    for length in range(len(parts), -1, -1):
        yield "/".join([host, *parts[:length]])


def _host_of(key: str) -> str:
    """Return the host and path of a key, which may be an address: `https://index.docker.io/v1/` is `index.docker.io`."""
    bare = re.sub(r"\Ahttps?://", "", key)
    bare = bare.rstrip("/")
    for version in ("/v1", "/v2"):
        bare = bare.removesuffix(version)
    return bare


def _entry(auths: Mapping[str, Any], key: str) -> Any:
    host, slash, path = key.partition("/")
    wanted = {f"{alias}{slash}{path}" for alias in _aliases(host)}
    if key in auths:
        return auths[key]
    return next((entry for name, entry in auths.items() if _host_of(name) in wanted), None)


def _login_of(entry: Any, path: Path, key: str) -> Login | None:
    if not isinstance(entry, dict):
        raise CredentialError(f"{path}: auths[{key}] is not an object")
    token, shown = entry.get("identitytoken") or "", entry.get("registrytoken") or ""
    name, password = entry.get("username") or "", entry.get("password") or ""
    pair = entry.get("auth")
    if isinstance(pair, str) and pair:
        try:
            name, _, password = base64.b64decode(pair, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise CredentialError(f"{path}: auths[{key}].auth is not base64 of name:password") from error
        password = password.rstrip("\0")
    if not all(isinstance(part, str) for part in (token, shown, name, password)):
        raise CredentialError(f"{path}: auths[{key}] holds something that is not text")
    if name == _TOKEN_USER and not token:
        name, token, password = "", password, ""
    return Login(name, password, token, shown) if name or token or shown else None


def read_config(path: Path) -> dict[str, Any]:
    """Return a file of credentials as it is, an absent one as {}. Raises CredentialError."""
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise CredentialError(f"{path}: {error.strerror}") from error
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CredentialError(f"{path}: not JSON") from error
    if not isinstance(document, dict):
        raise CredentialError(f"{path}: not a JSON object")
    return document


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[dict[str, Any]]:
    """Give a file's content to be changed, then put it in place whole, readable to its owner only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = os.path.realpath(path)  # a link stays one, as where the file is kept with others
        with _locked(Path(place).parent):
            config = read_config(path)
            if not isinstance(config.get("auths", {}), dict):
                raise CredentialError(f"{path}: auths is not an object")
            yield config
            handle, name = tempfile.mkstemp(dir=Path(place).parent, prefix=".config-")
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump(config, file, indent="\t")
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(place)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise CredentialError(f"{path}: {error.strerror}") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer of our kind at a time: the folder itself is the lock, so that none is left behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _helper_for(config: Mapping[str, Any], host: str) -> str:
    """Return the suffix of the program that a file names for a host, "" where it names none."""
    helpers = config.get("credHelpers")
    if isinstance(helpers, dict):
        for key, helper in helpers.items():
            if _host_of(key) in _aliases(host) and isinstance(helper, str) and helper:
                return helper
    general = config.get("credsStore")
    return general if isinstance(general, str) else ""


async def _run(helper: str, action: str, sent: str, environment: Mapping[str, str]) -> bytes | None:
    """Run a credential program; None where it knows nothing of the host. Raises CredentialError, without what it was sent."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+", helper):
        raise CredentialError(f"{helper!r} is no name of a credential program")
    program = f"docker-credential-{helper}"
    place = shutil.which(program, path=environment.get("PATH"))
    if place is None:
        raise CredentialError(f"{program} is named as the credential program, and is not on the PATH")
    process = await asyncio.create_subprocess_exec(
        place,
        action,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environment),
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(sent.encode()), HELPER_SECONDS)
    except TimeoutError as error:
        raise CredentialError(f"{program} {action}: no answer in {HELPER_SECONDS} s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode == 0:
        return said
    if b"credentials not found" in said.lower():
        return None
    if action == "get":
        raise CredentialError(f"{program} get: it ended with {process.returncode}")
    raise CredentialError(f"{program} {action}: it ended with {process.returncode}; nothing was changed")


def normal_host(text: str) -> str:
    """Return a host as logins are kept under: without a scheme and a path, and Docker Hub by one name."""
    bare = _host_of(text.strip()).partition("/")[0].lower()
    return DOCKER if bare in _DOCKER_HOSTS else bare
