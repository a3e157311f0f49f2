"""Files that SOPS encrypted for age keys: YAML, JSON, dotenv and binary ones, decrypted and checked against their MAC.

Keys come from where sops itself takes them: $SOPS_AGE_KEY, $SOPS_AGE_KEY_FILE, and sops/age/keys.txt in the user's configuration. What
was decrypted is returned and never written anywhere; errors name the file, the key and the place, and no value. Sources:
https://github.com/getsops/sops (its format is what its store, aes and age packages do) and https://age-encryption.org/v1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import pyrage
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fairlead.tongues import regexes, yamls

_VALUE = re.compile(r"ENC\[AES256_GCM,data:([^,]*),iv:([^,]+),tag:([^,]+),type:(\w+)\]\Z")
_FLAT = re.compile(r"__(list|map)_")
_OTHERS: Final = ("kms", "pgp", "gcp_kms", "azure_kv", "hc_vault", "hckms", "key_groups")
Format = Literal["yaml", "json", "dotenv", "binary"]


class SopsError(Exception):
    """The file cannot be decrypted; the text is for people and holds no value of it."""


def format_of(name: str) -> Format:
    """Return how a file of that name is written, as sops itself tells."""
    suffix = name.rpartition(".")[2].lower()
    known: dict[str, Format] = {"yaml": "yaml", "yml": "yaml", "json": "json", "env": "dotenv"}
    return known.get(suffix, "binary")


def is_encrypted(text: str, format: Format = "yaml") -> bool:  # noqa: A002  sops' own word
    """Say whether a file is one of SOPS's, by its metadata alone."""
    if format == "dotenv":
        return any(line.startswith(("sops_version=", "sops_mac=")) for line in text.splitlines())
    if format == "binary":
        format = "json"  # noqa: A001
    if "sops" not in text or "ENC[" not in text:
        return False
    try:
        documents = _documents(text, format)
    except SopsError:
        return False
    return any(
        isinstance(each, dict) and isinstance(each.get("sops"), dict) and "mac" in each["sops"]
        for each in documents
    )


def identities(environment: Mapping[str, str] = os.environ) -> list[pyrage.x25519.Identity]:
    """Return the age keys of whoever runs this. Raises SopsError for a key or a file that cannot be read."""
    found = list(_keys(environment.get("SOPS_AGE_KEY", ""), "$SOPS_AGE_KEY"))
    named = environment.get("SOPS_AGE_KEY_FILE")
    home = environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME', '')}/.config"
    for path, wanted in ((named, True), (f"{home}/sops/age/keys.txt", False)):
        if not path:
            continue
        try:
            text = Path(path).read_text()
        except FileNotFoundError as fault:
            if wanted:
                raise SopsError(f"$SOPS_AGE_KEY_FILE names {path}, which is not there") from fault
            continue
        except (OSError, UnicodeDecodeError) as fault:
            raise SopsError(f"the age keys in {path} cannot be read: {fault}") from fault
        found += _keys(text, path)
    return found


def decrypt(text: str, name: str, keys: Iterable[pyrage.x25519.Identity]) -> str:
    """Return the text of a file as it was before it was encrypted (YAML and JSON: the same values, written anew). Raises SopsError."""
    kind = format_of(name)
    try:
        if kind == "dotenv":
            return _decrypt_dotenv(text, list(keys))
        documents = _documents(text, "json" if kind == "binary" else kind)
        plain = _decrypt(documents, list(keys))
    except SopsError as fault:
        raise SopsError(f"{name}: {fault}") from fault
    if kind == "binary":
        return str(plain[0].get("data", ""))
    return json.dumps(plain[0], indent=2) if kind == "json" else yamls.dump_all(plain)


def _keys(text: str, where: str) -> Iterator[pyrage.x25519.Identity]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        try:
            yield pyrage.x25519.Identity.from_str(words)
        except Exception:  # noqa: BLE001  the library has no narrower one, and its text may repeat the key
            raise SopsError(f"{where}, line {number}: this is not an age key (AGE-SECRET-KEY-1...)") from None


def _documents(text: str, format: str) -> list[Any]:  # noqa: A002
    try:
        found = [json.loads(text)] if format == "json" else yamls.load_all(text)
    except (yamls.BadYaml, ValueError, RecursionError) as fault:
        where = f"line {fault.line}: " if isinstance(fault, yamls.BadYaml) and fault.line else ""
        raise SopsError(f"{where}it is not {format.upper()}") from None
    if not found or not all(isinstance(each, dict) for each in found):
        raise SopsError("a SOPS file holds mappings only")
    return found


def _decrypt(documents: list[dict[str, Any]], keys: list[pyrage.x25519.Identity]) -> list[dict[str, Any]]:
    meta = next((each["sops"] for each in documents if isinstance(each.get("sops"), dict)), None)
    if meta is None:
        raise SopsError("it has no `sops` metadata, so it is not encrypted by SOPS")
    cipher = AESGCM(_data_key(meta, keys))
    rule = _rule(meta)
    only = str(meta.get("mac_only_encrypted", "")).lower() in {"true", "1", "t"}
    digest = hashlib.sha512()
    if only:  # so that a file of either sort cannot pass for one of the other
        digest.update(_ONLY_ENCRYPTED)
    plain = []
    for document in documents:
        content = {key: value for key, value in document.items() if key != "sops"}
        plain.append(_walk(content, (), cipher, rule, digest if not only else _Partly(digest, rule)))
    _check_mac(meta, cipher, digest)
    return plain


_ONLY_ENCRYPTED: Final = hashlib.sha256(b"sops").digest()


class _Partly:
    """Digests only what the rule encrypts."""

    def __init__(self, digest: Any, rule: Callable[[tuple[str, ...]], bool]) -> None:
        self._digest, self._rule = digest, rule
        self.path: tuple[str, ...] = ()

    def update(self, data: bytes) -> None:
        if self._rule(self.path):
            self._digest.update(data)


def _walk(
    value: Any, path: tuple[str, ...], cipher: AESGCM, rule: Callable[[tuple[str, ...]], bool], digest: Any
) -> Any:
    if isinstance(value, dict):
        return {key: _walk(part, (*path, key), cipher, rule, digest) for key, part in value.items()}
    if isinstance(value, list):
        return [_walk(part, path, cipher, rule, digest) for part in value]
    if value is None:
        return None
    plain = _open(value, ":".join(path) + ":", cipher) if rule(path) else value
    if isinstance(digest, _Partly):
        digest.path = path
    digest.update(_bytes(plain))
    return plain


def _open(value: Any, aad: str, cipher: AESGCM) -> Any:
    place = aad.rstrip(":").replace(":", ".")
    if value == "":
        return value
    match = _VALUE.match(value) if isinstance(value, str) else None
    if match is None:
        raise SopsError(f".{place} should be encrypted, and is not")
    try:
        data, nonce, tag = (base64.b64decode(part, validate=True) for part in match.groups()[:3])
        plain = cipher.decrypt(nonce, data + tag, aad.encode())
        return _typed(plain, match[4])
    except (InvalidTag, binascii.Error, ValueError) as fault:
        raise SopsError(f".{place} was changed since it was encrypted, or moved from elsewhere") from fault


def _typed(plain: bytes, kind: str) -> Any:
    if kind == "int":
        return int(plain)
    if kind == "float":
        return float(plain)
    if kind == "bool":
        return plain.lower() == b"true"
    if kind in {"str", "bytes", "time", "comment"}:
        return plain.decode()
    raise ValueError(kind)


def _bytes(value: Any) -> bytes:
    """Return what of a value goes into the MAC."""
    if isinstance(value, bool):
        return b"True" if value else b"False"
    if isinstance(value, float):
        return _decimal(value).encode()
    return str(value).encode()


def _decimal(value: float) -> str:
    """Return the shortest decimal without an exponent, as Go's 'f' format with precision -1 writes it."""
    from decimal import Decimal

    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _data_key(meta: Mapping[str, Any], keys: list[pyrage.x25519.Identity]) -> bytes:
    recipients = meta.get("age") or []
    others = [name for name in _OTHERS if meta.get(name)]
    if not recipients:
        told = f"it is encrypted for {', '.join(others)} only; " if others else "it names no recipient; "
        raise SopsError(f"{told}only age is supported: add an age recipient and run `sops updatekeys`")
    if meta.get("shamir_threshold", 0) and len(meta.get("key_groups") or []) > 1:
        raise SopsError("its key is shared among several groups, which is not supported")
    if not keys:
        raise SopsError("there is no age key to decrypt it with: set $SOPS_AGE_KEY_FILE or $SOPS_AGE_KEY")
    names = []
    for entry in recipients:
        if not isinstance(entry, dict) or not isinstance(entry.get("enc"), str):
            raise SopsError("its list of age recipients is not one")
        names.append(str(entry.get("recipient", "?"))[:80])
        try:
            found = bytes(pyrage.decrypt(_dearmored(entry["enc"]), keys))
        except pyrage.DecryptError:
            continue
        if len(found) == 32:
            return found
    raise SopsError(f"none of the age keys here is one of its recipients ({', '.join(names)})")


def _dearmored(text: str) -> bytes:
    lines = [line.strip() for line in text.strip().splitlines()]
    if lines[:1] != ["-----BEGIN AGE ENCRYPTED FILE-----"] or lines[-1] != "-----END AGE ENCRYPTED FILE-----":
        raise SopsError("the key of an age recipient is not an age file")
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except binascii.Error as fault:
        raise SopsError("the key of an age recipient is garbled") from fault


def _rule(meta: Mapping[str, Any]) -> Callable[[tuple[str, ...]], bool]:
    """Return what says whether the value at a path is encrypted, by the rule that the file was encrypted with."""
    if meta.get("encrypted_comment_regex") or meta.get("unencrypted_comment_regex"):
        raise SopsError("its rule goes by comments, which is not supported")
    for key, encrypts in (("encrypted_regex", True), ("unencrypted_regex", False)):
        if meta.get(key):
            try:
                pattern = regexes.compile(str(meta[key]))
            except ValueError as fault:
                raise SopsError(f".sops.{key} is not a regular expression: {fault}") from fault
            return lambda path, pattern=pattern, encrypts=encrypts: (  # type: ignore[misc]  # bound now
                any(pattern.search(part) for part in path) is encrypts
            )
    for key, encrypts in (("encrypted_suffix", True), ("unencrypted_suffix", False)):
        if meta.get(key):
            suffix = str(meta[key])
            return lambda path, suffix=suffix, encrypts=encrypts: (  # type: ignore[misc]  # bound now
                any(part.endswith(suffix) for part in path) is encrypts
            )
    return lambda _: True


def _check_mac(meta: Mapping[str, Any], cipher: AESGCM, digest: Any) -> None:
    try:
        said = _open(meta.get("mac"), str(meta.get("lastmodified", "")), cipher) if meta.get("mac") else ""
    except SopsError as fault:
        raise SopsError("its MAC cannot be read: .sops was changed since it was encrypted") from fault
    if not hmac.compare_digest(str(said).lower(), digest.hexdigest()):
        raise SopsError("its MAC does not fit its values: somebody changed it without the key")


def _decrypt_dotenv(text: str, keys: list[pyrage.x25519.Identity]) -> str:
    content: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise SopsError(f"line {number}: it is not KEY=value")
        if key.startswith("sops_"):
            meta[key.removeprefix("sops_")] = value.replace("\\n", "\n")
        else:
            content[key] = value
    ages: dict[str, dict[str, str]] = {}
    for key, value in meta.items():
        parts = _FLAT.split(key)
        if len(parts) == 5 and parts[0] == "age":
            ages.setdefault(parts[2], {})[parts[4]] = value
    flat = {key: value for key, value in meta.items() if "__" not in key}
    [plain] = _decrypt([content | {"sops": flat | {"age": [ages[key] for key in sorted(ages)]}}], keys)
    return "".join(f"{key}={value}\n" for key, value in plain.items())
