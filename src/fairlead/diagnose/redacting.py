"""Takes secrets out of objects and logs, so that what is left can be handed to another person and still be diagnosed.

What a Secret holds is replaced wherever it stands, plain or encoded (base64 at any alignment, URL, JSON, HTML, hexadecimal), by a stand-in that
is the same for the same value; what looks like a secret elsewhere is too: by its name, its form, or because nobody writes such a text by
hand. What a diagnosis needs stays: keys, the hosts that a value names, certificates, whose key it was (as its public half), and which text
came from which Secret. Time and randomness come in. Errs on the side of replacing; a name of an object or namespace is no secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from fairlead.diagnose import halves
from fairlead.diagnose.erasing import Eraser
from fairlead.diagnose.hiding import SHORTEST
from fairlead.tongues import regexes
from fairlead.tongues.paths import mapping, text
from fairlead.words import Ref, Resource

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_LONGEST = 8192
"""Of a longer value no copies are looked for; the value itself is replaced all the same."""
_PIECE = 64
_STRONG = 8
_DEEPEST = 64
_SHORT, _KNOWN = 300, 200_000
"""Texts that are remembered: of so many characters, and so many."""

_NAMED = re.compile(
    r"(?i)(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|encryption[-_.]?key|signing[-_.]?key"
    r"|master[-_.]?key|account[-_.]?key|credential|(?:^|[-_.])(?:pw|psk|salt|otp|jwt|auth)(?:$|[-_.]))"
)
"""Names of what is secret."""
_NOT_NAMED = re.compile(
    r"(?i)(?:name|file|path|dir|ref|host|port|url|uri|endpoint|ttl|timeout|expiry|expiration|lifetime|length|size|type|kind|mode|method|algorithm"
    r"|policy|enabled|disabled|required|rotation|audience|issuer|namespace|version|count|limit|id)$"
)
"""Ends of names that tell something about a secret instead of it."""
_REFERS = re.compile(r"(?i)secret(?:s|ref)?$")
_HOSTLY = re.compile(
    r"(?i)(?:host(?:name)?s?|addr(?:ess)?(?:es)?|server|servers|service|svc|endpoint|brokers?|peer)$"
)
_PLAIN = re.compile(r"(?i)(?:true|false|yes|no|on|off|null|none|nil|-?\d{1,5}(?:\.\d+)?|\d+(?:ms|[smhd])|)")
_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_INSIDE = re.compile(
    r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,61}[a-z0-9])?)?(\.svc(\.[a-z0-9-]+(\.[a-z0-9-]+)*)?)?\.?"
)
"""A host inside a cluster: a Service's name, with its namespace or more behind it."""
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s/?#\"'<>]*)([^\s\"'<>]*)")
_PAIR = re.compile(r"([A-Za-z0-9.-]+):(\d{1,5})")
_WORDY = re.compile(r"[a-z]+(?:[-_. ][a-z]+)*")
_FIXED = frozenset(
    {"apiVersion", "containerID", "creationTimestamp", "image", "imageID", "kind", "name", "namespace", "resourceVersion", "uid"}
)  # fmt: skip
"""Fields that name things: what stands in them is no secret."""
_SAID = frozenset({"message", "note", "reason"})
"""Fields in which programs say something."""

_CREDENTIALS = regexes.compile(r"(://[^\s/@:\"']*:)([^\s/@\"']+)@")
_ASSIGNED = regexes.compile(
    r"(?i)([\w.-]*(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_.]?key|access[-_.]?key|private[-_.]?key|credential)[\w.-]*)"
    r"(\\?[\"']?\s*(?::=|=>|[:=])\s*\\?[\"']?)([^\s\"',;&<>\\]{3,})"
)
_BEARER = regexes.compile(r"(?i)\b((?:bearer|basic|token)\s+)([A-Za-z0-9+/_.~=-]{12,})")
_FLAG = re.compile(r"--?[A-Za-z][\w.-]*")
_FORMS = regexes.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abeoprs]-[\w-]{10,}"
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bAIza[\w-]{35}|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*|\bnpm_[A-Za-z0-9]{30,}|\bhvs\.[\w-]{20,}"
)
_PRIVATE = regexes.compile(
    r"(?s)-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)"
)
_BLOCK = regexes.compile(
    r"(?s)-----BEGIN [A-Z0-9 ]*(?:CERTIFICATE|PARAMETERS|PUBLIC KEY|PRIVATE KEY)-----.*?-----END [A-Z0-9 ]+-----"
)
_CERTIFICATE = regexes.compile(
    r"(?s)-----BEGIN (?:TRUSTED )?CERTIFICATE-----.*?-----END (?:TRUSTED )?CERTIFICATE-----"
)
_ENCODED = "LS0tLS1CRUdJTi"
"""How PEM begins in base64."""
_CERTIFICATES = re.compile(
    r"\s*(?:-----BEGIN (?:TRUSTED )?CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END (?:TRUSTED )?CERTIFICATE-----\s*)+"
)
_TOKEN = regexes.compile(r"[A-Za-z0-9+/_=-]{24,}")
_suspicious = regexes.finder(
    r"(?i)://|-----BEGIN|pass|pwd|secret|token|key|credential|bearer|basic|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox|\bsk-|AIza|npm_|hvs\."
    r"|[A-Za-z0-9+/_=-]{24}"
)
"""Whether a text is worth a closer look: most are not."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX = re.compile(r"[0-9a-fA-F]{32,}")


class Redactor:
    """Takes secrets out. `key` makes the stand-ins: with a new one for each file nobody can find a value by guessing it again.

    The objects are those that will be redacted: what their Secrets hold is what is looked for everywhere. `replaced` counts the
    different values that were replaced.
    """

    def __init__(self, key: bytes, resources: Iterable[Resource]) -> None:
        self._key = key
        self._stand_ins: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self._named: dict[str, bool] = {}
        self._names: set[str] = set()
        everything = list(resources)
        for one in everything:
            ref = Ref.of(one)
            if ref.kind != "Event":
                self._names.update((ref.name, ref.namespace))
        self._names.discard("")
        strong: dict[str, str] = {}
        weak: dict[str, dict[str, str]] = {}
        for one in everything:
            if (one.get("apiVersion"), one.get("kind")) == ("v1", "Secret"):
                space = weak.setdefault(Ref.of(one).namespace, {})
                for name, value in _values(one):
                    for part in self._parts(name, value):
                        self._learn(part, strong, space)
        self._everywhere = Eraser(strong)
        self._spoken = {space: Eraser(values) for space, values in weak.items()}

    @property
    def replaced(self) -> int:
        """How many different values have been replaced so far."""
        return len(self._stand_ins)

    # What to look for

    def _parts(self, name: str, value: bytes) -> Iterator[str]:
        """Yield the texts within a value of a Secret that must not be seen anywhere."""
        try:
            said = value.decode()
        except UnicodeDecodeError:
            encoded = base64.b64encode(value).decode()
            yield from (encoded[at : at + _PIECE] for at in range(0, min(len(encoded), _LONGEST), _PIECE))
            return
        if self._harmless(name, said.strip()):
            return
        if len(said) <= 512:
            yield said.strip()
        for found in _CREDENTIALS.finditer(said):
            yield found.group(2)
        if _PRIVATE.search(said):
            yield from (line for line in said.splitlines() if len(line) >= 20 and "-----" not in line)
        elif "\n" in said.strip() or len(said) > 512:
            for found in _ASSIGNED.finditer(said[:_LONGEST]):
                yield found.group(3)
            for line in said[:_LONGEST].splitlines():
                _, equals, right = line.partition("=")
                if equals and len(right.strip()) >= SHORTEST:
                    yield right.strip().strip("\"'")
                if len(line.strip()) >= _PIECE:
                    yield from (line[at : at + _PIECE] for at in range(0, len(line), _PIECE))
        if said.lstrip().startswith("{"):
            yield from self._members(said)

    def _members(self, said: str) -> Iterator[str]:
        """Yield the texts of a JSON document in a Secret that are secret by their names, such as of registries' credentials."""
        try:
            queue = [("", json.loads(said), 0)]
        except (ValueError, RecursionError):
            return
        while queue:
            name, item, depth = queue.pop()
            if isinstance(item, str) and (_NAMED.search(name) or name == "auth") and item:
                yield item
                if name == "auth":
                    yield from (part for part in _plain(item).partition(":")[2:] if part)
            elif isinstance(item, dict) and depth < _DEEPEST:
                queue += [(str(key), value, depth + 1) for key, value in item.items()]
            elif isinstance(item, list) and depth < _DEEPEST:
                queue += [(name, value, depth + 1) for value in item]

    def _learn(self, value: str, strong: dict[str, str], weak: dict[str, str]) -> None:
        if len(value) < SHORTEST or value in self._names or _PLAIN.fullmatch(value):
            return
        if len(value) >= _STRONG and not _WORDY.fullmatch(value):
            strong[value] = self.stand_in(value)
        else:
            weak[value] = self.stand_in(value)

    def _harmless(self, name: str, value: str) -> bool:
        """Say whether a value of a Secret may stay as it is: a name, a flag, a port, a certificate, a host of the cluster."""
        return (
            value in self._names
            or bool(_CERTIFICATES.fullmatch(value))
            or (bool(_PLAIN.fullmatch(value)) and not _NAMED.search(name))
            or (bool(_HOSTLY.search(name)) and self._inside(value))
            or ((pair := _PAIR.fullmatch(value)) is not None and self._inside(pair[1]))
        )

    def _inside(self, host: str) -> bool:
        bare = host.rstrip(".")
        return bare in self._names or bool(_INSIDE.fullmatch(bare)) or bool(_ADDRESS.fullmatch(bare))

    def stand_in(self, value: str) -> str:
        """Return what stands for a value: the same for the same, of a length that tells no more than short, middling or long."""
        found = self._stand_ins.get(value)
        if found is None:
            digest = hmac.new(self._key, value.encode(errors="surrogatepass"), hashlib.sha256).digest()
            letters = base64.b32encode(digest).decode().lower().rstrip("=")
            if len(value) < SHORTEST:
                found = f"R_{letters[:3]}"
            else:
                found = f"REDACTED_{letters[: 8 if len(value) < 24 else 23 if len(value) < 64 else 52]}"
            self._stand_ins[value] = found
        return found

    # Objects

    def resource(self, one: Resource) -> Resource:
        """Return a copy of an object without secrets. The object is not changed."""
        if (one.get("apiVersion"), one.get("kind")) == ("v1", "Secret"):
            return self._secret(one)
        space = Ref.of(one).namespace
        found = {
            key: value if key == "metadata" else self._walk({key: value}, space, "", 0)[key]
            for key, value in one.items()
        }
        for field in ("data", "binaryData"):
            if one.get("kind") == "ConfigMap" and isinstance(one.get(field), dict):
                found[field] = {
                    key: self._setting(key, value, space) if isinstance(value, str) else value
                    for key, value in one[field].items()
                }
        return {**found, "metadata": self._meta(one, space)}

    def _meta(self, one: Resource, space: str) -> Any:
        meta = one.get("metadata")
        if not isinstance(meta, dict):
            return meta
        found = self._walk(
            {key: value for key, value in meta.items() if key != "managedFields"}, space, "", 0
        )
        if isinstance(meta.get("annotations"), dict):
            found["annotations"] = {
                key: self._annotation(key, value, space) if isinstance(value, str) else value
                for key, value in meta["annotations"].items()
            }
        if isinstance(meta.get("managedFields"), list):
            found["managedFields"] = [
                _who(entry) for entry in meta["managedFields"] if isinstance(entry, dict)
            ]
        return found

    def _annotation(self, key: str, value: str, space: str) -> str:
        if key == APPLIED:
            try:
                applied = json.loads(value)
            except (ValueError, RecursionError):
                return self.stand_in(value)
            return json.dumps(self.resource(applied)) if isinstance(applied, dict) else self.stand_in(value)
        if self._secretly(key, value) and not _REFERS.search(key):
            return self.stand_in(value)
        return self.said(value, space)

    def _secret(self, one: Resource) -> Resource:
        space = Ref.of(one).namespace
        found = {**self._walk({key: one[key] for key in one if key not in {"data", "stringData", "metadata"}}, space, "", 0)}  # fmt: skip
        found["metadata"] = self._meta(one, space)
        for field in ("data", "stringData"):
            held = one.get(field)
            if isinstance(held, dict):
                found[field] = {
                    key: self._held(key, value, encoded=field == "data") for key, value in held.items()
                }
            elif field in one:
                found[field] = None if held is None else self.stand_in(str(held))
        return {key: found[key] for key in (*one, *(found.keys() - one.keys()))}

    def _held(self, key: str, value: Any, *, encoded: bool) -> Any:
        """Return what stands for one value of a Secret."""
        if not isinstance(value, str):
            return None if value is None else self.stand_in(str(value))
        if not value:
            return value
        if not encoded:
            return self._stood(key, value.encode(errors="replace").decode())
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return self.stand_in(value)
        try:
            said = raw.decode()
        except UnicodeDecodeError:
            said = self.stand_in(value)
            return base64.b64encode(said.encode()).decode()
        return base64.b64encode(self._stood(key, said).encode()).decode()

    def _stood(self, key: str, said: str) -> str:
        bare = said.strip()
        head, tail = said[: len(said) - len(said.lstrip())], said[len(said.rstrip()) :]
        if not bare or self._harmless(key, bare):
            return said
        if _PRIVATE.search(bare):
            return head + self._pem(bare) + tail
        if key in {".dockerconfigjson", ".dockercfg"}:
            return self._registries(bare)
        if found := _URL.fullmatch(bare):
            return head + self._url(found) + tail
        return head + self.stand_in(bare) + tail

    def _pem(self, said: str) -> str:
        """Return a bundle with what is public in it; keys become their public halves, and all else stand-ins."""
        parts: list[str] = []
        at = 0
        for found in _BLOCK.finditer(said):
            parts += (
                [self.stand_in(said[at : found.start()]) + "\n"] if said[at : found.start()].strip() else []
            )
            private = _PRIVATE.fullmatch(found.group(0))
            parts.append((self._emptied(private) if private else found.group(0)) + "\n")
            at = found.end()
        rest = said[at:]
        if rest.strip():
            parts.append(
                _PRIVATE.sub(self._emptied, rest) if _PRIVATE.match(rest.strip()) else self.stand_in(rest)
            )
        return "".join(parts).strip()

    def _emptied(self, found: Any) -> str:
        """Return a private key's public half, or where it cannot be read what is as unreadable."""
        key: str = found.group(0)
        half = halves.write(key)
        if half:
            self.stand_in(key)
            return half
        sort = f"{found.group(1)}PRIVATE KEY"
        if "ENCRYPTED" in key and "ENCRYPTED" not in sort:
            sort = f"ENCRYPTED {sort}"
        return f"-----BEGIN {sort}-----\n{self.stand_in(key)}\n-----END {sort}-----"

    def _url(self, found: re.Match[str]) -> str:
        """Return a URL with its scheme and, inside a cluster, its host; what else it says is replaced."""
        scheme, authority, rest = found.groups()
        user, at, host = authority.rpartition("@")
        hosts = []
        for one in host.split(","):
            name, colon, port = one.partition(":")
            hosts.append((name if self._inside(name) else f"{self.stand_in(name)}.invalid") + colon + port)
        who = f"{self.stand_in(user)}{at}" if at else ""
        path = rest if rest in {"", "/"} else f"/{self.stand_in(rest)}"
        return f"{scheme}{who}{','.join(hosts)}{path}"

    def _registries(self, said: str) -> str:
        """Return registries' credentials without what is secret in them; what is no such document is replaced whole."""
        try:
            document = json.loads(said)
        except (ValueError, RecursionError):
            return self.stand_in(said)
        outer = document.get("auths") if isinstance(document, dict) and "auths" in document else document
        if not isinstance(document, dict) or not isinstance(outer, dict):
            return self.stand_in(said)
        hidden: dict[str, Any] = {}
        for registry, entry in outer.items():
            if not isinstance(entry, dict):
                hidden[registry] = entry if entry is None else self.stand_in(str(entry))
                continue
            hidden[registry] = {
                key: self.stand_in(str(value)) if value else value for key, value in entry.items()
            }
            if isinstance(entry.get("auth"), str) and ":" in _plain(entry["auth"]):
                pair = f"{self.stand_in('user ' + entry['auth'])}:{self.stand_in(entry['auth'])}"
                hidden[registry]["auth"] = base64.b64encode(pair.encode()).decode()
        return json.dumps({"auths": hidden} if "auths" in document else hidden)

    def _walk(self, item: Any, space: str, key: str, depth: int) -> Any:
        """Return a copy of a part of an object without secrets; `key` is the field that it lies in."""
        if isinstance(item, str):
            if key in _FIXED or len(item) < SHORTEST:
                return item
            return self.said(item, space) if key in _SAID else self.text(item)
        if depth > _DEEPEST:
            return None
        if isinstance(item, dict):
            if key == "env" or (isinstance(item.get("name"), str) and isinstance(item.get("value"), str)):
                return self._variable(item, space, depth)
            return {
                name: self.stand_in(value)
                if isinstance(value, str)
                and name not in _FIXED
                and self._secretly(name, value)
                and not _REFERS.search(name)
                else self._walk(value, space, str(name), depth + 1)
                for name, value in item.items()
            }
        if isinstance(item, list):
            if key in {"args", "command"} and all(isinstance(one, str) for one in item):
                return self._words(item)
            return [self._walk(one, space, key, depth + 1) for one in item]
        return item

    def _variable(self, item: dict[str, Any], space: str, depth: int) -> dict[str, Any]:
        """Return a named value, such as an environment variable."""
        found = {
            name: self._walk(value, space, str(name), depth + 1)
            for name, value in item.items()
            if name != "value"
        }
        name, value = item.get("name"), item.get("value")
        if isinstance(name, str) and isinstance(value, str):
            found["value"] = self._setting(name, value, space)
        elif "value" in item:
            found["value"] = self._walk(value, space, "value", depth + 1)
        return {key: found[key] for key in item}

    def _setting(self, name: str, value: str, space: str) -> str:
        """Return a setting by its name: the value of a variable, or of a key of a ConfigMap."""
        del space
        if self._secretly(name, value) and "\n" not in value.strip():
            return self.stand_in(value) if not _URL.match(value) else self.text(value)
        if "\n" not in value and _HEX.fullmatch(value.strip()):
            return self.stand_in(value)
        return self.text(value)

    def _secretly(self, name: str, value: str) -> bool:
        """Say whether a value is secret by its name: and is a value, not a flag, a path, a reference or somebody's name."""
        named = self._named.get(name)
        if named is None:
            named = bool(_NAMED.search(name)) and not _NOT_NAMED.search(name)
            self._named[name] = named
        return (
            named
            and value not in self._names
            and not value.startswith(("/", "$", "{{", "<"))
            and not _PLAIN.fullmatch(value)
        )

    def _words(self, words: list[str]) -> list[str]:
        """Return a command line: what follows a flag with a secret's name is replaced."""
        found: list[str] = []
        for index, word in enumerate(words):
            before = words[index - 1] if index else ""
            if _FLAG.fullmatch(before) and self._secretly(before, word) and not word.startswith("-"):
                found.append(self.stand_in(word))
            else:
                found.append(self.text(word))
        return found

    # Texts

    def said(self, text: str, space: str) -> str:
        """Return what a program has said (a log, an Event) without secrets, those of its namespace's Secrets first."""
        spoken = self._spoken.get(space)
        return self.text(spoken(text) if spoken is not None else text)

    def text(self, text: str) -> str:
        """Return a text without what Secrets hold and what looks like a secret."""
        if len(text) < SHORTEST:
            return text
        known = self._known.get(text)
        if known is None:
            known = self._looked(text)
            if len(text) <= _SHORT and len(self._known) < _KNOWN:
                self._known[text] = known
        return known

    def _looked(self, text: str) -> str:
        if not text.isascii():
            text = text.encode(errors="replace").decode()  # half a surrogate pair is no text
        if text.startswith(_ENCODED):  # such as the authority of a webhook
            said = _plain(text)
            if _CERTIFICATES.fullmatch(said):
                return text
            if _PRIVATE.search(said):
                return base64.b64encode(self._pem(said).encode()).decode()
        text = self._everywhere(text)
        if not _suspicious(text):
            return text
        text = _PRIVATE.sub(self._emptied, text)
        text = _CREDENTIALS.sub(lambda found: f"{found.group(1)}{self._kept(found.group(2))}@", text)
        text = _FORMS.sub(lambda found: self._kept(found.group(0)), text)
        text = _BEARER.sub(lambda found: found.group(1) + self._kept(found.group(2)), text)
        text = _ASSIGNED.sub(self._assigned, text)
        parts: list[str] = []
        at = 0
        for found in _CERTIFICATE.finditer(text):
            parts += [_TOKEN.sub(self._unlikely, text[at : found.start()]), found.group(0)]
            at = found.end()
        return "".join([*parts, _TOKEN.sub(self._unlikely, text[at:])])

    def _kept(self, value: str) -> str:
        """Return a stand-in, once."""
        return value if value.startswith(("REDACTED_", "R_", "$", "[secret ")) else self.stand_in(value)

    def _assigned(self, found: Any) -> str:
        name, between, value = found.group(1), found.group(2), found.group(3)
        if value.startswith(("REDACTED_", "[", "(", "*", "//")) or not self._secretly(name, value):
            return str(found.group(0))
        return f"{name}{between}{self.stand_in(value)}"

    def _unlikely(self, found: Any) -> str:
        """Replace a token that nobody writes by hand: of many different letters of all sorts."""
        token: str = found.group(0)
        sorts = sum(bool(re.search(sort, token)) for sort in ("[a-z]", "[A-Z]", "[0-9]"))
        if sorts < 3 or _UUID.search(token.lower()) or "REDACTED_" in token or "/" in token.strip("/")[:12]:
            return token
        counts = Counter(token)
        entropy = -sum(one / len(token) * math.log2(one / len(token)) for one in counts.values())
        return self.stand_in(token) if entropy >= 4.0 else token


class _Silencer(Redactor):
    """Takes out what looks like a secret, and leaves no stand-ins: nothing is to be compared."""

    def stand_in(self, value: str) -> str:  # noqa: ARG002
        """Return what stands for every value."""
        return "[hidden]"


def hushed(text: str) -> str:
    """Return what a program has said without credentials that are known by their form or by what they are called."""
    return _Silencer(b"", ()).text(text) if _suspicious(text) else text


def _who(entry: dict[str, Any]) -> dict[str, Any]:
    """Return who wrote an object and when, with the names of the fields' upper two levels only."""
    found: dict[str, Any] = {
        key: entry[key]
        for key in ("manager", "operation", "apiVersion", "time", "subresource")
        if key in entry
    }
    fields = entry.get("fieldsV1")
    if isinstance(fields, dict):
        found["fieldsV1"] = {
            outer: {name: {} for name in inner if str(name).startswith("f:")}
            if isinstance(inner, dict)
            else {}
            for outer, inner in fields.items()
            if outer.startswith("f:") and outer != "f:metadata"
        }
    return found


def _values(secret: Resource) -> Iterator[tuple[str, bytes]]:
    """Yield each key of a Secret with its value, decoded where it can be."""
    for key, value in mapping(secret, "stringData").items():
        if isinstance(value, str):
            yield key, value.encode(errors="surrogatepass")
    for key, value in mapping(secret, "data").items():
        if isinstance(value, str):
            try:
                yield key, base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                yield key, value.encode(errors="surrogatepass")
    applied = text(secret, "metadata", "annotations", APPLIED)
    if applied:
        try:
            held = json.loads(applied)
        except (ValueError, RecursionError):
            return
        if isinstance(held, dict) and isinstance(held.get("metadata"), dict):
            bare = {key: value for key, value in held.items() if key != "metadata"}
            yield from _values(bare)


def _plain(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
