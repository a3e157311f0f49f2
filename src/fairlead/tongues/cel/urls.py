"""URLs: `url('https://example.com:80/a?b=c').getHost()`.

An absolute URI or an absolute path, as Go's url.ParseRequestURI reads it. Fetches nothing.
Source: k8s.io/apiserver/pkg/cel/library/urls.go, Go's package net/url.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote, unquote_plus

from fairlead.tongues.cel import types as t
from fairlead.tongues.cel.errors import Failed
from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.strings import traverse

URL_TYPE = t.opaque("kubernetes.URL")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PORT = re.compile(r"[0-9]*", re.ASCII)
_BAD_HOST = re.compile(r'[ "<>\\^`{|}#?@]')
_PATH_SAFE = "/$&+,:;=@-_.~!*'()[]"


class URL:
    """The parts of a URL."""

    __slots__ = ("host", "path", "query", "scheme", "text")
    cel_type = URL_TYPE

    def __init__(self, text: str, scheme: str, host: str, path: str, query: str) -> None:
        self.text = text
        self.scheme = scheme
        self.host = host
        self.path = path
        self.query = query

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URL) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def to_json(self) -> str:
        """Return the text."""
        return self.text

    def hostname(self) -> str:
        """Return the host without port and brackets."""
        return self._split()[0]

    def port(self) -> str:
        """Return the port, or ""."""
        return self._split()[1]

    def _split(self) -> tuple[str, str]:
        host = self.host
        if host.startswith("["):
            inner, _, rest = host[1:].partition("]")
            return inner, rest.removeprefix(":")
        front, colon, back = host.rpartition(":")
        return (front, back) if colon else (host, "")

    def escaped_path(self) -> str:
        """Return the path, escaped where it must be."""
        return quote(self.path, safe=_PATH_SAFE + "%")

    def queries(self) -> dict[str, list[str]]:
        """Return the values of each key of the query; what is malformed is left out."""
        found: dict[str, list[str]] = {}
        for part in self.query.split("&"):
            if not part or ";" in part or _ESCAPE.search(part):
                continue
            key, _, value = part.partition("=")
            found.setdefault(unquote_plus(key), []).append(unquote_plus(value))
        return found


@lru_cache(maxsize=4096)
def parse(text: str) -> URL:
    """Return the URL. Raises Failed in Go's words."""

    def wrong(why: str) -> Failed:
        return Failed(f'URL parse error during conversion from string: parse "{text[:200]}": {why}')

    if _CONTROL.search(text):
        raise wrong("net/url: invalid control character in URL")
    if not text:
        raise wrong("empty url")
    scheme, rest = "", text
    found = _SCHEME.match(text)
    if found and text[found.end() : found.end() + 1] == ":":
        scheme, rest = found[0].lower(), text[found.end() + 1 :]
    elif text.startswith(":"):
        raise wrong("missing protocol scheme")
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return URL(text, scheme, "", "", query)
        raise wrong("invalid URI for request")
    host = ""
    if scheme and rest.startswith("//") and not rest.startswith("///"):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        host = authority.rpartition("@")[2]
        _, _, port = host.partition("]") if host.startswith("[") else (host, "", host)
        port = port.rpartition(":")[2] if ":" in port else ""
        if _BAD_HOST.search(host) or _ESCAPE.search(host):
            raise wrong("invalid character in host name")
        if host.startswith("[") and "]" not in host:
            raise wrong("missing ']' in host")
        if not _PORT.fullmatch(port):
            raise wrong(f'invalid port ":{port}" after host')
        host = unquote(host)
    if _ESCAPE.search(rest):
        bad = _ESCAPE.search(rest)
        assert bad is not None
        raise wrong(f'invalid URL escape "{rest[bad.start() : bad.start() + 3]}"')
    return URL(text, scheme, host, rest, query)


def is_url(text: str) -> bool:
    """Return whether a text is one."""
    try:
        parse(text)
    except Failed:
        return False
    return True


LIBRARY = Library(
    "kubernetes.urls",
    functions={
        "url(string) kubernetes.URL": parse,
        "isURL(string) bool": is_url,
        ".getScheme(kubernetes.URL) string": lambda url: url.scheme,
        ".getHost(kubernetes.URL) string": lambda url: url.host,
        ".getHostname(kubernetes.URL) string": URL.hostname,
        ".getPort(kubernetes.URL) string": URL.port,
        ".getEscapedPath(kubernetes.URL) string": URL.escaped_path,
        ".getQuery(kubernetes.URL) map(string, list(string))": URL.queries,
    },
    constants={"kubernetes.URL": URL_TYPE},
    costs={"url": traverse(0.1), "isURL": traverse(0.1)},
)
