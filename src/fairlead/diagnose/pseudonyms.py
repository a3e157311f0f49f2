"""Stand-ins for everything that is somebody's own, so that a finding can be shown to a stranger, and the way back.

What leaves is built from what may leave, not by removing what may not: a word passes only if it is Kubernetes', this program's or plain
technical English, and is nobody's name here. All else (names, addresses, label values, paths, numbers of more than three digits, any word
of a log that is not in the vocabulary) becomes a stand-in such as DEPLOYMENT_k3f9qa, the same for the same text, which only the
holder of the key could find again by guessing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from fairlead.diagnose.rules import RULES
from fairlead.diagnose.vocabulary import WORDS
from fairlead.tongues.paths import mapping, mappings
from fairlead.words import Resource

_TOKEN = re.compile(r"\w[\w./:@%+~$=-]*|[^\x00-\x7f]+")
_STAND_IN = re.compile(r"\b[A-Z]{2,20}_[a-z2-7]{6}\b")
_QUANTITY = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?(m|k|[KMGT]i?|[smhd]|ms|us|%|x)?")
_ADDRESS = re.compile(r"([0-9]{1,3}\.){3}[0-9]{1,3}(:[0-9]+)?|[0-9a-fA-F]*:[0-9a-fA-F:]+")
_WORD = re.compile(r"[A-Za-z]+")
_ENDS = ".,:;=-/"
_LARGEST = 100_000
_THEIRS = frozenset(
    {"annotations", "binaryData", "data", "labels", "matchLabels", "nodeSelector", "selector", "stringData"}
)
"""Fields whose keys are whatever somebody has chosen."""
_SELECTORS = frozenset({"matchLabels", "matchExpressions"})
_KEPT = frozenset({word for text in RULES.values() for word in _WORD.findall(text.lower())}) | WORDS


class Unknown(ValueError):
    """A text names a stand-in that was never given out."""


class Pseudonyms:
    """The stand-ins of one conversation. `key` keeps them the same between conversations; `fields` are the names of Kubernetes' fields."""

    def __init__(self, key: bytes, fields: Collection[str] = ()) -> None:
        self._key = key
        self._fields = fields
        self._originals: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def know(self, resources: Iterable[Resource]) -> None:
        """Take note of what the objects call their own: these words never pass, whatever else they mean."""
        for one in resources:
            kind = str(one.get("kind") or "name")
            meta = mapping(one, "metadata")
            self._own(meta.get("name"), kind)
            self._own(meta.get("namespace"), "namespace")
            for holder in (mapping(meta, "labels"), mapping(meta, "annotations")):
                for value in holder.values():
                    self._own(value, "value")
            for path in (
                ("spec",),
                ("spec", "template", "spec"),
                ("spec", "jobTemplate", "spec", "template", "spec"),
            ):
                for field in ("containers", "initContainers", "volumes"):
                    for _, item in mappings(one, *path, field):
                        self._own(item.get("name"), "name")

    def _own(self, text: object, kind: str) -> None:
        if isinstance(text, str) and text:
            self._names.setdefault(text.lower(), kind)

    def text(self, said: str) -> str:
        """Return a text with stand-ins for every word that may not pass."""
        return _TOKEN.sub(lambda found: self._token(found.group()), said)

    def _token(self, token: str) -> str:
        bare = token.rstrip(_ENDS)
        tail = token[len(bare) :]
        if not bare:
            return token
        known = self._names.get(bare.lower())
        if known is not None:
            return self.stand_in(bare, known) + tail
        if bare in self._originals or bare.lower() in _KEPT or _QUANTITY.fullmatch(bare):
            return token
        return self.stand_in(bare, _sort(bare)) + tail

    def name(self, text: str, kind: str) -> str:
        """Return the stand-in for a whole name."""
        return self.stand_in(text, kind) if text else ""

    def stand_in(self, text: str, kind: str) -> str:
        """Return the stand-in for a text: its kind in capitals, and six characters that depend on the key and the text."""
        label = "".join(_WORD.findall(kind)).upper()[:20]
        label = label if len(label) > 1 else "NAME"
        for again in range(256):
            digest = hmac.new(self._key, f"{again}\0{text}".encode(), hashlib.sha256).digest()
            made = f"{label}_{base64.b32encode(digest)[:6].decode().lower()}"
            if self._originals.setdefault(made, text) == text:
                return made
        raise AssertionError("256 stand-ins in a row were taken")  # one in 2**7000

    def knows(self, text: str) -> bool:
        """Say whether a text is something's name here, or was stood in for."""
        return text.lower() in self._names or text in self._originals.values()

    def document(self, value: Any, *, theirs: bool = False) -> Any:
        """Return an object of Kubernetes with stand-ins for keys that are no fields and for texts that are no words of its own.

        `theirs` says that the keys here are labels or the like.
        """
        if isinstance(value, dict):
            return {
                self._key_of(key, theirs=theirs): self.document(item, theirs=key in _THEIRS)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.document(item) for item in value]
        if isinstance(value, str):
            passes = value.lower() in _KEPT and value.lower() not in self._names
            return (
                value if not value or passes or _QUANTITY.fullmatch(value) else self.stand_in(value, "text")
            )
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _LARGEST:
            return self.stand_in(str(value), "number")
        return value

    def _key_of(self, key: str, *, theirs: bool) -> str:
        passes = key in _SELECTORS if theirs else key in self._fields
        return key if passes else self.stand_in(key, "key")

    def restore(self, value: Any) -> Any:
        """Return a value of JSON with every stand-in put back. Raises Unknown for one that was never given out."""
        if isinstance(value, dict):
            return {self.restore(key): self.restore(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.restore(item) for item in value]
        return _STAND_IN.sub(self._back, value) if isinstance(value, str) else value

    def _back(self, found: re.Match[str]) -> str:
        original = self._originals.get(found.group())
        if original is None:
            raise Unknown(f"{found.group()} stands for nothing here")
        return original


def _sort(token: str) -> str:
    if "://" in token:
        return "url"
    if _ADDRESS.fullmatch(token):
        return "address"
    if "@" in token:
        return "id"
    if "/" in token:
        return "path"
    if token.replace(".", "").replace("-", "").isdigit():
        return "number"
    return "host" if "." in token.strip(".") else "word"


def exposes(payload: str, secrets: Mapping[str, str] | Collection[str]) -> list[str]:
    """Return which of the texts occur in what is about to leave, as they are, in base64, or percent-encoded. For tests and a last check."""
    found = []
    lower = payload.lower()
    for text in secrets:
        raw = text.encode()
        forms = {text.lower(), raw.hex(), "".join(f"%{byte:02x}" for byte in raw)}
        forms |= {
            base64.b64encode(b"\0" * shift + raw).decode()[(shift * 8 + 5) // 6 : -4].lower()
            for shift in range(3)
        }
        if any(form in lower for form in forms if len(form) > 3):
            found.append(text)
    return found
