"""Names of artifacts: `oci://host:port/repository:tag@digest`, and the same without the scheme as images are named.

Pure text. Must never look anything up: which digest a tag stands for is a store's answer.
Source: the distribution specification 1.1 (names, tags), and Docker's rule for names without a host.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from fairlead.drivers.oci.errors import BadReference

SCHEME: Final = "oci://"
DOCKER: Final = "docker.io"
_DOCKER_NAMES: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_LONGEST: Final = 255

_HOST: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z"
)
_COMPONENT: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_DIGEST: Final = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+\Z")
_LENGTHS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}


def check_digest(text: str) -> str:
    """Return the digest, if it is a sha256, sha384 or sha512 in full; else raise BadReference."""
    algorithm, colon, rest = text.partition(":")
    if not colon or not _DIGEST.match(text):
        raise BadReference(
            f"{text[:200]!r} is no digest; one looks like sha256:6c3c…, with 64 hexadecimal digits"
        )
    length = _LENGTHS.get(algorithm)
    if length is None:
        raise BadReference(
            f"{text[:200]!r}: the digest algorithm {algorithm} is not supported, sha256 and sha512 are"
        )
    if len(rest) != length or not re.fullmatch(r"[0-9a-f]+", rest):
        raise BadReference(
            f"{text[:200]!r}: a {algorithm} digest has {length} hexadecimal digits in lower case"
        )
    return text


def check_tag(text: str) -> str:
    """Return the tag, if it is one; else raise BadReference."""
    if not _TAG.match(text):
        raise BadReference(
            f"{text[:200]!r} is no tag: up to 128 letters, digits, `.`, `_` and `-`, beginning with a letter, digit or `_`"
        )
    return text


def _check_repository(text: str, whole: str) -> str:
    if not text:
        raise BadReference(
            f"{whole}: there is no repository; an address looks like oci://host/repository:tag"
        )
    for part in text.split("/"):
        if _COMPONENT.match(part):
            continue
        if part != part.lower() and _COMPONENT.match(part.lower()):
            raise BadReference(f"{whole}: names of repositories are in lower case: {text.lower()}")
        raise BadReference(
            f"{whole}: {part!r} cannot be part of a repository's name: lower case letters and digits, with `.`, `_` or `-` between them"
        )
    return text


@dataclass(frozen=True, slots=True)
class Reference:
    """An artifact's name: host with port, repository, and the tag and the digest ("" where not given).

    With a digest, the digest decides and the tag is for people. With neither, `latest` is meant. The host is `docker.io` for Docker Hub
    under each of its names, and "" for a local layout, whose path is then the repository.
    """

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return the Reference that the text names. Raises BadReference.

        After `oci://` the first part is a host. Without the scheme Docker's rule holds: a first part without a dot, a colon or being
        `localhost` is part of a repository of docker.io.
        """
        whole = text if len(text) <= 300 else f"{text[:300]}…"
        name = text.removeprefix(SCHEME)
        scheme = name != text
        if not scheme and "://" in name:
            raise BadReference(f"{whole}: an artifact's address begins with oci://")
        name, at, digest = name.partition("@")
        if at:
            check_digest(digest)
        first, slash, rest = name.partition("/")
        if not scheme and not (slash and ("." in first or ":" in first or first == "localhost")):
            first, rest = DOCKER, name
        elif not slash:
            raise BadReference(
                f"{whole}: there is no repository; an address looks like oci://{first or 'host'}/repository:tag"
            )
        path, colon, tag = rest.partition(":")
        if colon:
            try:
                check_tag(tag)
            except BadReference as error:
                raise BadReference(f"{whole}: {error}") from error
        return cls(
            _check_host(first, whole), _of_docker(first, _check_repository(path, whole), whole), tag, digest
        )

    @classmethod
    def of(cls, name: str | Reference) -> Reference:
        """Return a Reference as it is, or parse a text."""
        return name if isinstance(name, Reference) else cls.parse(name)

    @property
    def api_host(self) -> str:
        """The host whose API serves this one's artifacts."""
        return "registry-1.docker.io" if self.host == DOCKER else self.host

    @property
    def version(self) -> str:
        """What is asked for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def name(self) -> str:
        """Host and repository."""
        return f"{self.host}/{self.repository}" if self.host else f"layout:{self.repository}"

    @property
    def url(self) -> str:
        """The address with its scheme, as people write it."""
        return f"{SCHEME}{self}" if self.host else str(self)

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine and nobody else."""
        return is_loopback(self.host)

    def with_tag(self, tag: str) -> Reference:
        """Return the name of another tag of this repository, without a digest. Raises BadReference."""
        return replace(self, tag=check_tag(tag), digest="")

    def with_digest(self, digest: str) -> Reference:
        """Return the same name, pinned. Raises BadReference."""
        return replace(self, digest=check_digest(digest))

    def at(self, digest: str) -> Reference:
        """Return the name of something else in this repository, by its digest alone. Raises BadReference."""
        return replace(self, tag="", digest=check_digest(digest))

    def __str__(self) -> str:
        """The name without a scheme, as images are named."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{'@' + self.digest if self.digest else ''}"


def _check_host(text: str, whole: str) -> str:
    if not _HOST.match(text):
        raise BadReference(f"{whole}: {text!r} is no host")
    bare, _, port = text.rpartition(":") if re.search(r":[0-9]+\Z", text) else (text, "", "")
    if port and not 0 < int(port) < 65536:
        raise BadReference(f"{whole}: {port} is no port")
    if bare.startswith("["):
        try:
            ipaddress.IPv6Address(bare[1:-1])
        except ValueError as error:
            raise BadReference(f"{whole}: {bare} is no IPv6 address") from error
    host = text.lower()
    return DOCKER if host in _DOCKER_NAMES else host


def _of_docker(host: str, repository: str, whole: str) -> str:
    if host.lower() in _DOCKER_NAMES and "/" not in repository:
        repository = f"library/{repository}"
    if len(repository) > _LONGEST:
        raise BadReference(f"{whole}: a repository's name has at most {_LONGEST} characters")
    return repository


def is_loopback(host: str) -> bool:
    """Return whether a host, with or without a port, can only be this machine."""
    bare = host.rpartition(":")[0] if re.search(r":[0-9]+\Z", host) else host
    bare = bare.strip("[]").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False
