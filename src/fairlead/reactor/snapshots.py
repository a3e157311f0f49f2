"""Snapshots: all that a diagnosis looks at, in one file without secrets, that another person can diagnose with the same result.

A file is one JSON document, compressed where its name ends with .gz. What is written has been redacted (diagnose/redacting); what is read is
taken for hostile: bounded, and checked object by object. Holds no rules and changes nothing on the cluster.
"""

from __future__ import annotations

import gzip
import json
import secrets
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import orjson

from fairlead.diagnose import records
from fairlead.diagnose.examining import examine, needs
from fairlead.diagnose.inventories import moment
from fairlead.diagnose.redacting import Redactor
from fairlead.drivers import replacing
from fairlead.drivers.cluster import AsyncCluster
from fairlead.reactor.examine import Examined, gather
from fairlead.reactor.gathering import Told, answer
from fairlead.reactor.practising import advise
from fairlead.tongues.paths import mapping, mappings, text
from fairlead.words import Need, Resource, Snapshot

API_VERSION = "fairlead.dev/v1alpha1"
KIND = "Snapshot"
LARGEST = 256 << 20
"""Bytes of a snapshot that are read at most, after they are decompressed."""
MOST = 500_000
"""Objects and answers of a snapshot that are read at most."""
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


class Unreadable(Exception):
    """A file is no snapshot that can be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot, and what was done to it: how many different values were replaced."""

    document: dict[str, Any]
    replaced: int

    @property
    def objects(self) -> int:
        """How many objects are in it."""
        return len(self.document["objects"])

    @property
    def logs(self) -> int:
        """How many ends of logs are in it."""
        return len(self.document["answers"])


async def take(
    cluster: AsyncCluster,
    now: Callable[[], datetime],
    namespace: str = "",
    *,
    logs: bool = True,
    told: Told | None = None,
    key: bytes | None = None,
) -> Taken:
    """Return a snapshot of a cluster, or of one namespace with what stands outside namespaces. Raises Unreachable and Refusal.

    `key` is what stand-ins are made with: a new one each time, unless it is given.
    """
    view, unseen = await gather(cluster, namespace, told=told)
    at = now()
    answers = await answer(cluster, needs(view, now=at)) if logs else {}
    return redacted(view, unseen, answers, at, key or secrets.token_bytes(32))


def redacted(
    view: Iterable[Resource],
    unseen: Iterable[tuple[str, str]],
    answers: Mapping[Need, str],
    at: datetime,
    key: bytes,
) -> Taken:
    """Return what was seen at a moment as a snapshot, without secrets."""
    objects = list(view)
    redactor = Redactor(key, objects)
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "takenAt": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "scope": "live",
        "unseen": [{"group": group, "kind": kind} for group, kind in sorted(unseen)],
        "objects": [redactor.resource(one) for one in objects],
        "answers": [
            {"need": records.need(need), "text": redactor.said(said, need.about.namespace)}
            for need, said in answers.items()
        ],
    }
    return Taken(document, redactor.replaced)


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write a snapshot, whole or not at all, readable to its owner alone; compressed where the name ends with .gz. Raises OSError."""

    def put(file: IO[bytes]) -> None:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                packed.write(dump(document))
        else:
            file.write(dump(document))

    replacing.replace(path, put, private=True)


def dump(document: Mapping[str, Any]) -> bytes:
    """Return a snapshot as bytes of JSON, an object a line."""
    head = {key: value for key, value in document.items() if key not in {"objects", "answers"}}
    lines = [json.dumps(head)[:-1]]
    for field in ("objects", "answers"):
        items = ",\n".join(json.dumps(one, separators=(",", ":")) for one in document[field])
        lines.append(f',\n"{field}": [\n{items}\n]')
    return ("".join(lines) + "}\n").encode()


def read(path: Path) -> dict[str, Any]:
    """Return the snapshot that a file holds. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            raw = _unpacked(file, path) if packed else file.read(LARGEST + 1)
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > LARGEST:
        raise Unreadable(f"{path} is too large: snapshots of more than {LARGEST >> 20} MiB are not read")
    try:
        document = orjson.loads(
            raw
        )  # strict: half a character or a number that is none would be a fault later
    except ValueError as error:
        said = "is nested too deep" if "depth" in str(error) else f"is not JSON: {error}"
        raise Unreadable(f"{path} {said}") from error
    return _checked(document, path)


def _unpacked(file: IO[bytes], path: Path) -> bytes:
    """Decompress piece by piece, so that a small file cannot fill the memory."""
    unpack, found = zlib.decompressobj(wbits=31), bytearray()
    while chunk := file.read(_CHUNK):
        while chunk and len(found) <= LARGEST:
            try:
                found += unpack.decompress(chunk, _CHUNK)
            except zlib.error as error:
                raise Unreadable(f"{path} is damaged: {error}") from error
            chunk = unpack.unconsumed_tail
            if unpack.eof:
                break
        if unpack.eof or len(found) > LARGEST:
            break
    if not unpack.eof and len(found) <= LARGEST:
        raise Unreadable(f"{path} is cut off: its end is missing")
    return bytes(found)


def _checked(document: Any, path: Path) -> dict[str, Any]:
    """Return the document if it is a snapshot. Raises Unreadable."""
    if not isinstance(document, dict) or document.get("kind") != KIND:
        what = document.get("kind") if isinstance(document, dict) else None
        raise Unreadable(
            f"{path} is no snapshot" + (f", but a {what}" if isinstance(what, str) and what else "")
        )
    if document.get("apiVersion") != API_VERSION:
        raise Unreadable(
            f"{path} is a snapshot of version {document.get('apiVersion')}, and {API_VERSION} is understood"
        )
    if document.get("scope") != "live":
        raise Unreadable(f"{path} is a snapshot of {document.get('scope')!r}, not of a cluster")
    if moment(document.get("takenAt")) is None:
        raise Unreadable(f"{path} does not say when it was taken")
    for field in ("objects", "answers", "unseen"):
        items = document.get(field, [])
        if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
            raise Unreadable(f"{path}: {field} is no list of objects")
        if len(items) > MOST:
            raise Unreadable(f"{path} has more than {MOST} {field}")
    for index, one in enumerate(document.get("objects", [])):
        problem = _problem(one)
        if problem:
            raise Unreadable(f"{path}: objects[{index}] {problem}")
    return document


def _problem(one: Mapping[str, Any]) -> str:
    """Return what keeps an object from being one, or ""."""
    if not text(one, "apiVersion") or not text(one, "kind"):
        return "has no apiVersion or kind"
    if not text(one, "metadata", "name"):
        return "has no name"
    meta = mapping(one, "metadata")
    for field, sort in (("namespace", str), ("uid", str), ("labels", dict), ("annotations", dict)):
        if meta.get(field) is not None and not isinstance(meta[field], sort):
            return f"has a {field} that is none"
    owners = meta.get("ownerReferences")
    if owners is not None and not (
        isinstance(owners, list) and len(mappings(meta, "ownerReferences")) == len(owners)
        and all(isinstance(owner.get("uid"), str) for owner in owners)
    ):  # fmt: skip
        return "has ownerReferences that are none"
    return ""


def taken(document: Mapping[str, Any], otherwise: datetime) -> datetime:
    """Return when a snapshot was taken, as aware UTC."""
    at = moment(document.get("takenAt"))
    return at.astimezone(UTC) if at is not None else otherwise


def examine_snapshot(document: Mapping[str, Any], now: datetime, *, advice: bool = False) -> Examined:
    """Examine a snapshot as the cluster that it was taken of. `now` is the moment that it is looked at as: when it was taken, mostly."""
    view = Snapshot(document.get("objects") or [])
    unseen = frozenset(
        (text(one, "group"), text(one, "kind"))
        for _, one in mappings(document, "unseen")
        if text(one, "kind")
    )
    answers = {
        records.read_need(mapping(one, "need")): text(one, "text") for _, one in mappings(document, "answers")
    }
    findings = examine(view, scope="live", now=now, answers=answers, unseen=unseen, advice=advice)
    if advice:
        findings += advise(view)
    return Examined(findings, view, "live", unseen)
