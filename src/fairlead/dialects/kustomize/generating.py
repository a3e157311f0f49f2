"""Generated objects: ConfigMaps and Secrets from files, literals and environment files, with names that tell their content.

Source: sigs.k8s.io/kustomize/api/internal/generators, api/kv and api/hasher.
"""

from __future__ import annotations

import hashlib
import json
from binascii import b2a_base64
from collections.abc import Mapping
from typing import Any, Final, Literal

from fairlead.dialects.kustomize.items import Item, Items
from fairlead.dialects.kustomize.patching import refuse
from fairlead.dialects.kustomize.roots import Refused, Root
from fairlead.dialects.kustomize.scalars import entered, nothing, number_text, plain, text

_LINE: Final = 70


def generate(
    kind: Literal["ConfigMap", "Secret"], settings: Mapping[str, Any], root: Root, file: str, path: str
) -> Item:
    """Return the object that one entry of a generator makes. Raises Mistaken."""
    name = settings.get("name", "")
    if not name:
        refuse(f"a {kind.lower()} must have a name", file, path)
    meta: dict[str, Any] = {"name": name}
    if settings.get("namespace"):
        meta["namespace"] = settings["namespace"]
    data: dict[str, Any] = {"apiVersion": "v1", "kind": kind, "metadata": meta}
    pairs = _pairs(settings, root, file, path)
    if kind == "Secret":
        data["type"] = settings.get("type") or "Opaque"
        data["data"] = {key: _encoded(pairs[key]) for key in sorted(pairs)}
    else:
        for key in sorted(pairs):
            try:
                data.setdefault("data", {})[key] = entered(pairs[key].decode())
            except UnicodeDecodeError:
                data.setdefault("binaryData", {})[key] = _encoded(pairs[key])
        if "data" in data and not data["data"]:
            del data["data"]
    options = settings.get("options", {})
    for field in ("labels", "annotations"):
        if options.get(field):
            meta[field] = dict(options[field])
    if options.get("immutable"):
        data["immutable"] = True
    item = Item.read(data, file)
    item.hashed = not options.get("disableNameSuffixHash")
    item.behavior = settings.get("behavior", "")
    return item


def with_defaults(settings: Mapping[str, Any], defaults: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings of one generator with what `generatorOptions` says for all."""
    found = dict(settings)
    if defaults is None:
        return found
    mine = dict(found.get("options", {}))
    for field in ("labels", "annotations"):
        if field in defaults:
            mine[field] = {**defaults[field], **mine.get(field, {})}
    for field in ("disableNameSuffixHash", "immutable"):
        if defaults.get(field):
            mine[field] = True
    return {**found, "options": mine}


def policy_of_account(settings: Mapping[str, Any], file: str) -> Item:
    """Return the service account that IAMPolicyGenerator makes. Raises Mistaken."""
    if settings.get("cloud", "") != "gke":
        refuse(f"cloud provider {settings.get('cloud', '')} not supported yet", file, ".cloud", "gke is")
    service, account = settings.get("kubernetesService", {}), settings.get("serviceAccount", {})
    address = f"{account.get('name', '')}@{account.get('projectId', '')}.iam.gserviceaccount.com"
    meta: dict[str, Any] = {
        "annotations": {"iam.gke.io/gcp-service-account": address},
        "name": service.get("name", ""),
    }
    if service.get("namespace"):
        meta["namespace"] = service["namespace"]
    return Item({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}, file)


def absorb(items: Items, made: Item) -> None:
    """Add a generated object, or merge it into, or put it in place of, the one that has or had its identity. Raises Mistaken."""
    identity = made.id(items.schemas)
    matches = items.called(identity)
    behavior = made.behavior
    if not matches:
        if behavior in {"merge", "replace"}:
            refuse(
                f"id {identity} does not exist; cannot merge or replace",
                made.file,
                hint="behavior: create makes it",
            )
        items.extend([made])
        return
    if len(matches) > 1:
        refuse(f"found multiple objects that could accept merge of {identity}", made.file)
    old = matches[0]
    if behavior not in {"merge", "replace"}:
        refuse(
            f"id {identity} exists; can not use behavior: '{behavior or 'unspecified'}', behavior must be merge or replace",
            made.file,
        )
    made.take_over(old)
    if behavior == "merge":
        _merge_data(old, made)
        made.origin = old.origin or made.origin
    items.list[items.list.index(old)] = made
    items.touched()


def _merge_data(old: Item, made: Item) -> None:
    before = {key: text(value) for key, value in _mapping(old.data.get("data")).items()}
    if made.kind == "Secret":
        for key, value in _mapping(old.data.get("stringData")).items():
            if type(value) in {dict, list}:
                refuse(f'stringData value for key "{key}" must be a scalar', old.file)
            before[key] = _encoded(text(value).encode())
    for field, known in (("data", before), ("binaryData", _mapping(old.data.get("binaryData")))):
        both = {**known, **_mapping(made.data.get(field))}
        made.data.pop(field, None)
        if both:
            made.data[field] = {key: text(both[key]) for key in sorted(both)}


def _mapping(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _pairs(settings: Mapping[str, Any], root: Root, file: str, path: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def add(key: str, value: bytes) -> None:
        if key in found:
            refuse(f"configmap {settings['name']} illegally repeats the key `{key}`", file, path)
        found[key] = value

    envs = [*settings.get("envs", ()), *([settings["env"]] if settings.get("env") else [])]
    for at, named in enumerate(envs):
        for key, value in _lines(_load(root, named, file, f"{path}.envs[{at}]"), root.file(named)):
            add(key, value)
    for at, literal in enumerate(settings.get("literals", ())):
        key, equals, value = literal.partition("=")
        if not equals or not key:
            refuse(f"invalid literal source {literal}, expected key=value", file, f"{path}.literals[{at}]")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        add(key, value.encode())
    for at, source in enumerate(settings.get("files", ())):
        key, named = _file_source(source, file, f"{path}.files[{at}]")
        add(key, _load(root, named, file, f"{path}.files[{at}]"))
    return found


def _file_source(source: str, file: str, path: str) -> tuple[str, str]:
    key, equals, named = source.partition("=")
    if not equals:
        return source.rstrip("/").rpartition("/")[2], source
    if "=" in named:
        refuse(f"source \"{source}\" key name or file path contains '='", file, path)
    if not key:
        refuse(f'missing key name for file path "{named}" in source "{source}"', file, path)
    if not named:
        refuse(f'missing file path for key name "{key}" in source "{source}"', file, path)
    return key, named


def _load(root: Root, named: str, file: str, path: str) -> bytes:
    try:
        return root.load(named)
    except Refused as refused:
        refuse(refused.message, file, path, refused.hint)


def _lines(body: bytes, file: str) -> list[tuple[str, bytes]]:
    """Return the pairs of an environment file: `key=value` lines, comments and empty lines between them."""
    found = []
    for at, line in enumerate(body.split(b"\n")):
        try:
            said = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            refuse(f"line {at + 1} has invalid utf8 bytes", file)
        if at == 0:
            said = said.removeprefix("\ufeff")
        said = said.lstrip()
        key, _, value = said.partition("=")
        if key and not said.startswith("#"):
            found.append((key, value.encode()))
    return found


def _encoded(value: bytes) -> str:
    """Return base64 as kustomize writes it: in lines where one is not enough."""
    found = b2a_base64(value, newline=False).decode()
    if len(found) < _LINE:
        return found
    return "".join(f"{found[at : at + _LINE]}\n" for at in range(0, len(found), _LINE))


def add_hashes(items: Items) -> None:
    """Append to the names of generated objects what tells their content. Raises Mistaken."""
    changed = False
    for item in items:
        if item.data and item.hashed:
            digest = _digest(item)
            item.remember(items.schemas)
            item.rename(f"{item.name}-{digest}")
            changed = True
    if changed:
        items.touched()


def _digest(item: Item) -> str:
    data = item.data
    if item.kind == "ConfigMap":
        said: dict[str, Any] = {"data": _hashed(data, "data"), "kind": "ConfigMap", "name": ""}
        if type(data.get("binaryData")) is dict:
            said["binaryData"] = _hashed(data, "binaryData")
    elif item.kind == "Secret":
        said = {"data": _hashed(data, "data"), "kind": "Secret", "name": "", "type": _hashed(data, "type")}
        if type(data.get("stringData")) is dict:
            said["stringData"] = _hashed(data, "stringData")
    else:
        refuse(
            f"no hash is made of a {item.kind}, but {item.name} asks for one in its name",
            item.file,
            hint="ConfigMaps and Secrets have one",
        )
    digest = hashlib.sha256(go_json(said).encode()).hexdigest()[:10]
    return digest.translate(_LETTERS)


_LETTERS: Final = str.maketrans("013ae", "ghkmt")


def _hashed(data: Mapping[str, Any], field: str) -> Any:
    if field not in data:
        return ""
    value = data[field]
    if type(value) is dict:
        return plain(value)
    return None if type(value) is list else "" if nothing(value) and not text(value) else text(value)


def go_json(value: Any) -> str:
    """Return JSON as Go writes it: keys in order, nothing between, and what HTML could misread escaped."""
    return _go(value)


def _go(value: Any) -> str:
    kind = type(value)
    if kind is dict:
        return "{" + ",".join(f"{_go(key)}:{_go(value[key])}" for key in sorted(value, key=str.encode)) + "}"
    if kind is list:
        return "[" + ",".join(map(_go, value)) + "]"
    if kind is str:
        return _escaped(json.dumps(value, ensure_ascii=False))
    if kind is float:
        return number_text(value)
    return json.dumps(value)


def _escaped(said: str) -> str:
    return said.translate(_UNSAFE)


_UNSAFE: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029", "\x7f": "\x7f"}
)
