"""The hosts that a text speaks of: values of variables, arguments, settings and whole configuration files.

Reading only: whether a host is a Service, and whether that exists, is for others to say. A host is read only where a client would take
it for one: in a URL, before a port, as a cluster-internal name, or alone under a name that ends like DB_HOST. Never gives anything but
the host and its port: what else stands in the text (user names, passwords) stays there.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

DOMAIN = "cluster.local"
"""The domain that clusters have unless somebody chose another."""

DEFAULT_PORTS: Mapping[str, int] = {
    "amqp": 5672,
    "http": 80,
    "https": 443,
    "mongodb": 27017,
    "mysql": 3306,
    "nats": 4222,
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "ws": 80,
    "wss": 443,
}
"""The port that a client takes where a URL of this scheme names none."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_URL = re.compile(
    rf"(?<![\w+.-])(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/@\s,'\"<>]*@)?"
    rf"(?P<hosts>{_NAME}\.?(?::\d{{1,5}})?(?:,{_NAME}\.?(?::\d{{1,5}})?)*)(?=[/?#\s'\"<>;,)\]}}|\\]|$)",
    re.IGNORECASE,
)
_ONE = re.compile(rf"(?P<host>{_NAME})\.?(?::(?P<port>\d{{1,5}}))?", re.IGNORECASE)
_PAIR = re.compile(rf"(?P<host>{_NAME})\.?:(?P<port>\d{{1,5}})\Z", re.IGNORECASE)
_INTERNAL = re.compile(
    rf"(?<![\w.$@%{{}}()*<>-])(?P<host>{_NAME}\.svc(?:\.cluster\.local)?)\.?(?::(?P<port>\d{{1,5}}))?(?![\w.*-]|\$)",
    re.IGNORECASE,
)
_BARE = re.compile(rf"(?P<host>{_NAME})\.?\Z", re.IGNORECASE)
_GO = re.compile(rf"@(?:tcp)?\((?P<host>{_NAME}):(?P<port>\d{{1,5}})\)", re.IGNORECASE)
_KEYWORDS = re.compile(
    rf"(?:^|\s)host=(?P<host>{_NAME})(?=\s|$)(?:.*?\sport=(?P<port>\d{{1,5}})\b)?", re.IGNORECASE
)
_HOSTLY = re.compile(r"(?:^|[_.-])(?:host|hostname|addr|address|server|endpoint)s?\Z", re.IGNORECASE)
_CAMEL = re.compile(r"[a-z](?:Host|Hostname|Addr|Address|Server|Endpoint)\Z")
_NOT_CALLED = re.compile(
    r"(?:^|_)NO_PROXY\Z|LISTEN|BIND|ADVERTISE|ALLOWED_(?:HOSTS|ORIGINS)|CORS|COOKIE|TEMPLATE|PUBLIC|EXTERNAL|REDIRECT|CALLBACK|ISSUER",
    re.IGNORECASE,
)
_LONGEST = 64 * 1024
_SHORT = 1024

_OPTION = re.compile(r"--?[\w.-]+|[A-Z][A-Z0-9_]*")
_STOP = r"[^|;&\n]*?"
_END = r"(?![\w.:/-])"
_COMMANDS = (
    re.compile(
        rf"(?<![\w.-])(?:nc|ncat|netcat|telnet)(?:\s+-\w+(?:[ =]\d+)?)*\s+(?P<host>{_NAME})\s+(?P<port>\d{{1,5}})\b"
    ),
    re.compile(rf"/dev/tcp/(?P<host>{_NAME})/(?P<port>\d{{1,5}})\b"),
    re.compile(rf"(?<![\w.-])wait-for(?:-it)?(?:\.sh)?\s+(?P<host>{_NAME}):(?P<port>\d{{1,5}})\b"),
    re.compile(rf"(?<![\w.-])(?:nslookup|getent\s+(?:a?hosts(?:v4)?))\s+(?P<host>{_NAME}){_END}"),
    re.compile(
        rf"(?<![\w.-])(?:curl|wget)(?:\s+--?[\w-]+(?:[ =]\d+)?)*\s+['\"]?(?P<host>{_NAME})(?::(?P<port>\d{{1,5}}))?(?=[/'\";|&)\s]|$)"
    ),
)
"""What shells call, with the host that it goes to."""
_CLIENTS: Mapping[str, tuple[str, int]] = {
    r"psql|pg_isready|pg_dump|pg_restore": ("p", 5432),
    r"mysql|mysqladmin|mysqldump|mariadb|mariadb-admin": ("P", 3306),
    r"redis-cli|valkey-cli|redis-benchmark": ("p", 6379),
    r"mongo|mongosh|mongodump": ("-port", 27017),
}
"""Clients of databases: the letter of their option for a port, and the port that they take without it."""
_HOSTED = tuple(
    (
        re.compile(
            rf"(?<![\w./-])(?:{names})\b{_STOP}\s(?:-h\s*|--host[ =])['\"]?(?P<host>{_NAME}){_END}(?P<rest>{_STOP[:-1]})"
        ),
        re.compile(rf"(?:^|\s)(?:-{letter}\s*|--port[ =])['\"]?(\d{{1,5}})\b"),
        port,
    )
    for names, (letter, port) in _CLIENTS.items()
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A host in a text, in lower case and without a final dot, where it starts there, and its port.

    `port` is 0 where neither the text nor the scheme tells one; `told` says that the text itself does. `scheme` is "" outside URLs.
    """

    host: str
    start: int
    port: int = 0
    scheme: str = ""
    told: bool = False


def hostly(name: str) -> bool:
    """Say whether a setting of this name holds a host: DB_HOST, --redis-addr, smtp.server, dbHost."""
    return bool(_HOSTLY.search(name) or _CAMEL.search(name))


def called(name: str) -> bool:
    """Say whether what a setting of this name holds is called at all: not what is listened on, allowed or kept from a proxy."""
    return not _NOT_CALLED.search(name)


def setting(name: str, value: str) -> list[Spoken]:
    """Return the hosts in one setting's value: a URL, `host:port`, a list of these, or a host alone where the name says so."""
    if not value or len(value) > _LONGEST or not called(name):
        return []
    if "\n" in value.strip():
        return written(value)
    found = {one.start: one for one in (*_urls(value), *_strings(value), *_internals(value))}
    if not found:
        at = 0
        for part in re.split(r"([,;\s]+)", value):
            pair = _PAIR.match(part) or (_BARE.match(part) if hostly(name) else None)
            if pair is not None and not pair["host"].replace(".", "").isdigit():
                found[at] = _spoken(pair, at)
            at += len(part)
    return [found[start] for start in sorted(found)]


def unveiled(name: str, value: str) -> str:
    """Return the text of a Secret's value in base64, where it may speak of a host: short, and a URL, or under the name of a host; else ""."""
    if len(value) > _SHORT or not called(name):
        return ""
    try:
        plain = base64.b64decode(value, validate=True).decode().strip()
    except (binascii.Error, ValueError):
        return ""
    return plain if "\n" not in plain and (":" in plain or ".svc" in plain or hostly(name)) else ""


def written(text: str) -> list[Spoken]:
    """Return the hosts in a configuration file or a script: those in URLs, and cluster-internal names; comments are passed over."""
    if len(text) > _LONGEST:
        return []
    found: dict[int, Spoken] = {}
    at = 0
    for line in text.splitlines(keepends=True):
        if not line.lstrip().startswith(("#", "//", ";", "--", "*", "<!--")):
            for one in (*_urls(line), *_strings(line), *_internals(line)):
                place = at + one.start
                found.setdefault(place, Spoken(one.host, place, one.port, one.scheme, one.told))
        at += len(line)
    return [found[start] for start in sorted(found)]


def commands(text: str) -> Iterator[Spoken]:
    """Yield the hosts that the commands of a shell's script go to: `nc -z db 5432`, `psql -h db`, `curl web:8080/ok`."""
    if len(text) > _LONGEST:
        return
    for pattern in _COMMANDS:
        for match in pattern.finditer(text):
            one = _spoken(match)
            if "curl" in match[0] or "wget" in match[0]:
                if "." not in one.host and not one.told:
                    continue  # a word after an option may be its value
                one = Spoken(one.host, one.start, one.port or 80, "http", one.told)
            yield one
    for pattern, option, usual in _HOSTED:
        for match in pattern.finditer(text):
            port = option.search(match[0])
            number = int(port[1]) if port and int(port[1]) < 65536 else usual
            yield Spoken(match["host"].lower(), match.start("host"), number, "", port is not None)


def arguments(line: list[str]) -> Iterator[tuple[int, str, Spoken]]:
    """Yield the hosts in a command with its arguments: the word's index, the option's name ("" without one) and the host in the word."""
    previous = ""
    for index, word in enumerate(line):
        name, equals, value = word.partition("=")
        option = previous.lstrip("-") if previous.startswith("-") and "=" not in previous else ""
        if any(space in word for space in " \n\t"):
            places = {one.start: one for one in (*written(word), *commands(word))}
            for start in sorted(places):
                yield index, "", places[start]
        elif equals and _OPTION.fullmatch(name):
            for one in setting(name.lstrip("-"), value):
                yield (
                    index,
                    name.lstrip("-"),
                    Spoken(one.host, one.start + len(name) + 1, one.port, one.scheme, one.told),
                )
        elif not word.startswith("-"):
            for one in setting(option, word):
                yield index, option, one
        previous = word
    if line and not any("\n" in word for word in line):
        yield from _exec(line)


def _exec(line: list[str]) -> Iterator[tuple[int, str, Spoken]]:
    """The hosts of a command that is written word by word: `[nc, -z, db, "5432"]`."""
    starts, at = [], 0
    for word in line:
        starts.append(at)
        at += len(word) + 1
    for one in commands(" ".join(line)):
        if one.start in starts:
            index = starts.index(one.start)
            if line[index].lower().startswith(one.host):
                yield index, "", Spoken(one.host, 0, one.port, one.scheme, one.told)


def _spoken(match: re.Match[str], offset: int = 0, scheme: str = "") -> Spoken:
    port = match.groupdict().get("port")
    number = int(port) if port and int(port) < 65536 else DEFAULT_PORTS.get(scheme, 0)
    return Spoken(match["host"].lower(), match.start("host") + offset, number, scheme, told=bool(port))


def _urls(text: str) -> Iterator[Spoken]:
    if "://" not in text:
        return
    for url in _URL.finditer(text):
        scheme = url["scheme"].lower().rpartition(":")[2]
        for part in _ONE.finditer(url["hosts"]):
            if part["host"]:
                yield _spoken(part, url.start("hosts"), "" if "+srv" in scheme else scheme.partition("+")[0])


def _strings(text: str) -> Iterator[Spoken]:
    """Connection strings that are no URLs: `user:word@tcp(db:3306)/shop` and `host=db port=5432`."""
    for pattern in (_GO, _KEYWORDS):
        for match in pattern.finditer(text):
            yield _spoken(match)


def _internals(text: str) -> Iterator[Spoken]:
    if ".svc" in text:
        for match in _INTERNAL.finditer(text):
            if "://" not in text[max(0, match.start() - 3) : match.start()]:
                yield _spoken(match)


@dataclass(frozen=True, slots=True)
class Named:
    """A Service that a host may stand for, and the pod of it where one is named (`web-0.web`).

    `form` is short (`db`), spaced (`db.shop`, which may be a name outside too) or full (`db.shop.svc`).
    """

    service: str
    namespace: str
    form: str
    pod: str = ""


def named(host: str, namespace: str) -> list[Named]:
    """Return what a host may stand for in a cluster, seen from a namespace, the likeliest first; nothing for names outside."""
    parts = host.split(".")
    if parts[-1].isdigit():
        return []
    inner = parts
    if host.endswith(f".svc.{DOMAIN}"):
        inner = parts[:-3]
    elif parts[-1] == "svc":
        inner = parts[:-1]
    if inner is not parts:
        if len(inner) == 2:
            return [Named(inner[0], inner[1], "full")]
        if len(inner) == 3 and not inner[0].startswith("_"):
            return [Named(inner[1], inner[2], "full", inner[0])]
        return []
    if len(parts) == 1:
        return [] if host == "localhost" else [Named(host, namespace, "short")]
    if len(parts) == 2:
        return [Named(parts[0], parts[1], "spaced"), Named(parts[1], namespace, "spaced", parts[0])]
    if len(parts) == 3:
        return [Named(parts[1], parts[2], "spaced", parts[0])]
    return []
