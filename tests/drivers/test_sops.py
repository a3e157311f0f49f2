"""SOPS files for age keys: what sops would have written is made here, decrypted, and refused once somebody touched it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fairlead.drivers import sops
from fairlead.tongues import yamls

KEY = pyrage.x25519.Identity.generate()
WHEN = "2026-01-02T03:04:05Z"


def sealed(cipher: AESGCM, plain: bytes, aad: str, kind: str) -> str:
    nonce = hashlib.sha256(aad.encode()).digest()
    both = cipher.encrypt(nonce, plain, aad.encode())
    data, tag = both[:-16], both[-16:]
    texts = [base64.b64encode(part).decode() for part in (data, nonce, tag)]
    return f"ENC[AES256_GCM,data:{texts[0]},iv:{texts[1]},tag:{texts[2]},type:{kind}]"


def encrypted(
    content: Any, rule: Callable[[tuple[str, ...]], bool] = lambda _: True, key: Any = KEY, **meta: Any
) -> dict[str, Any]:
    """What sops makes of a document: each value that the rule names sealed, and the MAC over all of them."""
    data_key = bytes(range(32))
    cipher = AESGCM(data_key)
    digest = hashlib.sha512()
    kinds = {str: "str", bool: "bool", int: "int", float: "float"}
    words: dict[type, Callable[[Any], str]] = {
        bool: lambda v: str(v).title(),
        float: lambda v: f"{v:f}".rstrip("0").rstrip("."),
    }

    def walk(value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {name: walk(part, (*path, name)) for name, part in value.items()}
        if isinstance(value, list):
            return [walk(part, path) for part in value]
        if value is None:
            return None
        plain = words.get(type(value), str)(value).encode()
        digest.update(plain)
        return sealed(cipher, plain, ":".join(path) + ":", kinds[type(value)]) if rule(path) else value

    made: dict[str, Any] = walk(content, ())
    enc = base64.b64encode(pyrage.encrypt(data_key, [key.to_public()])).decode()
    armor = f"-----BEGIN AGE ENCRYPTED FILE-----\n{enc}\n-----END AGE ENCRYPTED FILE-----\n"
    made["sops"] = {
        "age": [{"recipient": str(key.to_public()), "enc": armor}],
        "lastmodified": WHEN,
        "mac": sealed(cipher, digest.hexdigest().upper().encode(), WHEN, "str"),
        "version": "3.10.2",
        **meta,
    }
    return made


CONTENT = {
    "name": "shop",
    "port": 5432,
    "ratio": 0.25,
    "large": 1e21,
    "on": True,
    "off": False,
    "none": None,
    "empty": {},
    "list": ["a", {"b": "c"}],
    "text": "ä\nö",
}


def test_every_type_comes_back_as_it_was() -> None:
    text = yamls.dump(encrypted(CONTENT))
    assert "shop" not in text
    assert sops.is_encrypted(text)
    assert yamls.load(sops.decrypt(text, "values.yaml", [KEY])) == CONTENT
    as_json = json.dumps(encrypted(CONTENT))
    assert json.loads(sops.decrypt(as_json, "values.json", [KEY])) == CONTENT


@pytest.mark.parametrize(
    ("rule", "meta"),
    [
        (
            lambda path: any(part in {"data", "stringData"} for part in path),
            {"encrypted_regex": "^(data|stringData)$"},
        ),
        (lambda path: not any(part == "kind" for part in path), {"unencrypted_regex": "^kind$"}),
        (lambda path: any(part.endswith("Data") for part in path), {"encrypted_suffix": "Data"}),
        (lambda path: not any(part.endswith("ind") for part in path), {"unencrypted_suffix": "ind"}),
    ],
)
def test_the_rule_says_what_is_encrypted(
    rule: Callable[[tuple[str, ...]], bool], meta: dict[str, str]
) -> None:
    content = {"kind": "Secret", "stringData": {"a": "b"}, "data": {"c": "ZA=="}}
    made = encrypted(content, rule, **meta)
    assert made["kind"] == "Secret"
    assert yamls.load(sops.decrypt(yamls.dump(made), "s.yaml", [KEY])) == content


def test_dotenv_and_binary_files() -> None:
    made = encrypted({"USER": "me", "PASSWORD": "a=b"})
    meta = made.pop("sops")
    lines = [f"{key}={value}" for key, value in made.items()]
    lines += [f"sops_{key}={value}" for key, value in meta.items() if key != "age"]
    lines += [
        f"sops_age__list_0__map_{key}={value}".replace("\n", "\\n") for key, value in meta["age"][0].items()
    ]
    text = "\n".join(lines)
    assert sops.is_encrypted(text, "dotenv")
    assert sops.decrypt(text, "x.env", [KEY]) == "USER=me\nPASSWORD=a=b\n"
    assert sops.decrypt(json.dumps(encrypted({"data": "whole file\n"})), "cert.pem", [KEY]) == "whole file\n"


def changed(made: dict[str, Any], **values: Any) -> str:
    return yamls.dump({**made, **values})


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("a: b", [KEY], "f.yaml: it has no `sops` metadata, so it is not encrypted by SOPS"),
        ("a: [", [KEY], "f.yaml: line 2: it is not YAML"),
        ("- a", [KEY], "f.yaml: a SOPS file holds mappings only"),
        (
            changed(encrypted({"a": "b"})),
            [],
            "f.yaml: there is no age key to decrypt it with: set $SOPS_AGE_KEY_FILE or $SOPS_AGE_KEY",
        ),
        (
            changed(encrypted({"a": "b"}), b="new"),
            [KEY],
            "f.yaml: .b should be encrypted, and is not",
        ),
        (
            changed(encrypted({"a": "b", "c": "d"}), c=encrypted({"a": "b"})["a"]),
            [KEY],
            "f.yaml: .c was changed since it was encrypted, or moved from elsewhere",
        ),
        (
            changed(
                encrypted(
                    {"a": "b", "kind": "x"}, lambda path: path != ("kind",), unencrypted_regex="^kind$"
                ),
                kind="y",
            ),
            [KEY],
            "f.yaml: its MAC does not fit its values: somebody changed it without the key",
        ),
        (
            changed(encrypted({"a": "b"}, lastmodified="2026-01-02T03:04:06Z")),
            [KEY],
            "f.yaml: its MAC cannot be read: .sops was changed since it was encrypted",
        ),
        (
            changed(encrypted({"a": "b"}, age=[], pgp=[{"fp": "1"}])),
            [KEY],
            "f.yaml: it is encrypted for pgp only; only age is supported: add an age recipient and run `sops updatekeys`",
        ),
        (
            changed(encrypted({"a": "b"}, age=[{"recipient": "age1x", "enc": "no armor"}])),
            [KEY],
            "f.yaml: the key of an age recipient is not an age file",
        ),
        (
            changed(encrypted({"a": "b"}, encrypted_regex="(")),
            [KEY],
            "f.yaml: .sops.encrypted_regex is not a regular expression: missing ): (",
        ),
    ],
)
def test_what_is_wrong_is_said_without_a_value(text: str, keys: list[Any], message: str) -> None:
    with pytest.raises(sops.SopsError) as caught:
        sops.decrypt(text, "f.yaml", keys)
    assert str(caught.value) == message


def test_a_value_that_was_taken_away_is_missed() -> None:
    made = encrypted({"a": "b", "c": "d"})
    del made["c"]
    with pytest.raises(sops.SopsError, match="MAC does not fit"):
        sops.decrypt(yamls.dump(made), "f.yaml", [KEY])


def test_a_stranger_cannot_read_it_and_learns_for_whom_it_is() -> None:
    text = yamls.dump(encrypted({"a": "b"}))
    with pytest.raises(sops.SopsError, match="none of the age keys here is one of its recipients") as caught:
        sops.decrypt(text, "f.yaml", [pyrage.x25519.Identity.generate()])
    assert str(KEY.to_public()) in str(caught.value)


def test_keys_are_found_where_sops_finds_them(tmp_path: Path) -> None:
    file = tmp_path / "sops" / "age" / "keys.txt"
    file.parent.mkdir(parents=True)
    file.write_text(f"# mine\n\n{KEY}\n")
    assert [str(each) for each in sops.identities({"XDG_CONFIG_HOME": str(tmp_path)})] == [str(KEY)]
    assert [str(each) for each in sops.identities({"SOPS_AGE_KEY": str(KEY)})] == [str(KEY)]
    assert [str(each) for each in sops.identities({"SOPS_AGE_KEY_FILE": str(file)})] == [str(KEY)]
    assert sops.identities({}) == []
    with pytest.raises(sops.SopsError, match="which is not there"):
        sops.identities({"SOPS_AGE_KEY_FILE": str(tmp_path / "absent")})
    with pytest.raises(sops.SopsError) as caught:
        sops.identities({"SOPS_AGE_KEY": "AGE-SECRET-KEY-1WRONG"})
    assert str(caught.value) == "$SOPS_AGE_KEY, line 1: this is not an age key (AGE-SECRET-KEY-1...)"
