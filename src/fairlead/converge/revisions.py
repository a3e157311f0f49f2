"""The record of what was applied: one Secret a revision, in the instance's namespace, as history and rollback need it on any cluster.

A record is written before the first write that it tells of, and its inventory covers whatever may have been written. What is large is
compressed, and cut into several Secrets where one would be too big. Pure: encodes and decodes; whoever calls reads and writes.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from fairlead.converge.inventory import Inventory
from fairlead.converge.owning import fingerprint
from fairlead.converge.stages import Desired, Instance, Moment, Stage, as_json, from_json
from fairlead.tongues.paths import strings, text
from fairlead.words import Resource

State: TypeAlias = Literal["pending", "deployed", "superseded", "failed", "deleting"]

TYPE: Final = "fairlead.dev/revision"
OF: Final = "fairlead.dev/revision-of"
NUMBER: Final = "fairlead.dev/revision"
STATE: Final = "fairlead.dev/state"
PART: Final = "fairlead.dev/part"
KEPT: Final = 10
"""How many revisions are kept."""
CHUNK: Final = 600_000
"""Bytes of a record that one Secret takes: a Secret may have 1 MiB, and its base64 must fit into a request."""
BIGGEST: Final = 64 * CHUNK
"""Bytes of a compressed record that are written at most."""
_LARGEST: Final = 256 * 1024 * 1024
"""Bytes that a record may have once it is uncompressed: what a cluster holds is not trusted."""
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LONGEST: Final = 53


class BadRecord(ValueError):
    """A Secret that should hold a revision and does not, or one that cannot be written; the text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One revision of an instance. `stages` are as they were sent; `proofs` tell by an entry's id how each object was left.

    A record that was read from its head alone has no stages yet: `opened` is False. `fingerprint` tells whether two revisions want the same.

    `done` are one-off stages that have ended well, so that a run which goes on does not repeat them. `version` is the Secret's
    resourceVersion, "" for one that was not written yet. Times are RFC 3339 texts. `found` are the ids of objects that were there before and
    were nobody's or another's: they are not deleted when this revision is taken back.
    """

    instance: Instance
    number: int
    state: State
    moment: Moment = "install"
    stages: tuple[Stage, ...] = ()
    inventory: Inventory = field(default_factory=Inventory)
    proofs: Mapping[str, str] = field(default_factory=dict)
    done: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    source: str = ""
    package: str = ""
    package_version: str = ""
    digest: str = ""
    notes: str = ""
    message: str = ""
    created: str = ""
    updated: str = ""
    back_to: int = 0
    """The revision that this one goes back to, 0 for none."""
    made_namespace: bool = False
    chunks: int = 0
    version: str = ""
    fingerprint: str = ""
    opened: bool = True

    @property
    def name(self) -> str:
        """The Secret's name."""
        return name_of(self.instance.name, self.number)


def wants(stages: Iterable[Stage], moment: Moment) -> str:
    """Return what tells whether two revisions want the same of a cluster."""
    return fingerprint([as_json(one) for one in stages if moment in one.moments])


def check_name(name: str) -> None:
    """Raise BadRecord for a name that an instance cannot have."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise BadRecord(
            f"{name!r} is no name of an instance: lower-case letters, digits and '-', at most {_LONGEST} of them, are wanted"
        )


def name_of(instance: str, number: int) -> str:
    """Return the name of the Secret of a revision."""
    return f"fairlead.{instance}.v{number}"


def selector(instance: str = "") -> str:
    """Return the label selector of the heads of records, of one instance or of all."""
    return f"{OF}={instance},!{PART}" if instance else f"{OF},!{PART}"


def record_of(desired: Desired, number: int, known: Inventory, now: str, **more: Any) -> Record:
    """Return the pending record of what is about to be applied: its inventory has what is wanted and all that was known before."""
    wanted = Inventory.of(
        one for stage in desired.stages if _kept(stage, desired.moment) for one in stage.objects
    )
    return Record(
        instance=desired.instance,
        number=number,
        state="pending",
        moment=desired.moment,
        stages=desired.stages,
        inventory=known | wanted,
        source=desired.source,
        package=desired.package,
        package_version=desired.version,
        digest=desired.digest,
        notes=desired.notes,
        created=now,
        updated=now,
        fingerprint=wants(desired.stages, desired.moment),
        **more,
    )


def _kept(stage: Stage, moment: Moment) -> bool:
    return not stage.one_off and moment in stage.moments


# To Secrets


def encode(record: Record) -> list[Resource]:
    """Return the Secrets of a record, those with its parts first and the head last. Raises BadRecord where it is too large."""
    packed = _pack({"stages": [as_json(one) for one in record.stages], "notes": record.notes})
    if len(packed) > BIGGEST:
        raise BadRecord(
            f"revision {record.number} of {record.instance} has {len(packed):,} bytes even compressed, and {BIGGEST:,} can be kept: "
            "make several packages of it"
        )
    parts = [packed[at : at + CHUNK] for at in range(0, len(packed), CHUNK)]
    secrets = [
        _secret(record, f"{record.name}.{index}", {"part": part}, {PART: str(index)})
        for index, part in enumerate(parts)
    ]
    head = {"outcome": _outcome(replace(record, chunks=len(parts)))}
    return [*secrets, _secret(record, record.name, head, {STATE: record.state})]


def _secret(record: Record, name: str, data: Mapping[str, bytes], labels: Mapping[str, str]) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": record.instance.namespace,
            "labels": {
                "app.kubernetes.io/managed-by": "fairlead",
                OF: record.instance.name,
                NUMBER: str(record.number),
                **labels,
            },
            "annotations": _told(record),
        },
        "type": TYPE,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def _told(record: Record) -> dict[str, str]:
    """What can be told of a record without opening it."""
    told = {
        "created": record.created, "updated": record.updated, "source": record.source, "package": record.package,
        "package-version": record.package_version, "message": record.message[:400], "moment": record.moment,
        "digest": record.digest, "back-to": str(record.back_to or ""),
    }  # fmt: skip
    return {f"fairlead.dev/{key}": value for key, value in told.items() if value}


def _outcome(record: Record) -> bytes:
    outcome: dict[str, Any] = {
        "instance": record.instance.name,
        "namespace": record.instance.namespace,
        "revision": record.number,
        "moment": record.moment,
        "source": record.source,
        "package": record.package,
        "packageVersion": record.package_version,
        "digest": record.digest,
        "created": record.created,
        "backTo": record.back_to,
        "madeNamespace": record.made_namespace,
        "fingerprint": record.fingerprint,
        "state": record.state,
        "message": record.message,
        "updated": record.updated,
        "inventory": record.inventory.as_json(),
        "proofs": dict(record.proofs),
        "done": list(record.done),
        "found": list(record.found),
        "chunks": record.chunks,
    }
    packed = _pack(outcome)
    if len(packed) > CHUNK // 2:  # proofs only save time
        packed = _pack({**outcome, "proofs": {}})
    return packed


def changed(record: Record) -> Resource:
    """Return the merge patch that brings a written record's Secret up to date with how it went; it holds for its version only."""
    patch: Resource = {
        "metadata": {"labels": {STATE: record.state}, "annotations": _told(record)},
        "data": {"outcome": base64.b64encode(_outcome(record)).decode()},
    }
    if record.version:
        patch["metadata"]["resourceVersion"] = record.version
    return patch


def _pack(document: Mapping[str, Any]) -> bytes:
    return zlib.compress(
        json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(), 6
    )


# And back


def is_record(secret: Resource) -> bool:
    """Say whether the Secret is the head of a record."""
    labels = strings(secret, "metadata", "labels")
    return OF in labels and labels.get(NUMBER, "").isdigit() and PART not in labels


def number_of(secret: Resource) -> int:
    """Return the revision that the head of a record, or its metadata, tells of; 0 for none."""
    written = strings(secret, "metadata", "labels").get(NUMBER, "")
    return int(written) if written.isdigit() else 0


def parts_of(record: Record) -> list[str]:
    """Return the names of the further Secrets of a record."""
    return [f"{record.name}.{index}" for index in range(record.chunks)]


def decode(head: Resource) -> Record:
    """Return the record of a head, without its stages. Raises BadRecord."""
    outcome = _unpack(head, "outcome")
    try:
        record = Record(
            instance=Instance(str(outcome["instance"]), str(outcome["namespace"])),
            number=int(outcome["revision"]),
            state=outcome["state"],
            moment=outcome.get("moment") or "install",
            inventory=Inventory.from_json(outcome.get("inventory") or ()),
            proofs=dict(outcome.get("proofs") or {}),
            done=tuple(outcome.get("done") or ()),
            found=tuple(outcome.get("found") or ()),
            source=str(outcome.get("source") or ""),
            package=str(outcome.get("package") or ""),
            package_version=str(outcome.get("packageVersion") or ""),
            digest=str(outcome.get("digest") or ""),
            message=str(outcome.get("message") or ""),
            created=str(outcome.get("created") or ""),
            updated=str(outcome.get("updated") or ""),
            back_to=int(outcome.get("backTo") or 0),
            made_namespace=bool(outcome.get("madeNamespace")),
            chunks=int(outcome.get("chunks") or 0),
            version=text(head, "metadata", "resourceVersion"),
            fingerprint=str(outcome.get("fingerprint") or ""),
            opened=False,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadRecord(f"Secret {_place(head)} holds no revision that can be read: {error}") from error
    if record.state not in get_args(State) or record.moment not in get_args(Moment):
        raise BadRecord(
            f"Secret {_place(head)} holds no revision that can be read: it is in no state that there is"
        )
    if not 0 <= record.chunks <= BIGGEST // CHUNK:
        raise BadRecord(
            f"Secret {_place(head)} holds no revision that can be read: it has {record.chunks} parts"
        )
    if (record.instance.namespace, record.name) != (
        text(head, "metadata", "namespace"),
        text(head, "metadata", "name"),
    ):
        raise BadRecord(
            f"Secret {_place(head)} holds revision {record.number} of {record.instance}, which is kept elsewhere"
        )
    return record


def opened(record: Record, parts: Sequence[Resource]) -> Record:
    """Return the record with its stages, which its parts in order hold. Raises BadRecord."""
    if not parts or len(parts) != record.chunks:
        raise BadRecord(
            f"revision {record.number} of {record.instance} is kept in {record.chunks} parts, and {len(parts)} are there"
        )
    body = _opened(b"".join(_bytes(part, "part") for part in parts), parts[0])
    try:
        stages = tuple(from_json(one) for one in body.get("stages") or ())
    except (AttributeError, KeyError, TypeError) as error:
        raise BadRecord(f"Secret {_place(parts[0])} holds no revision that can be read: {error}") from error
    if not all(_is_object(one) for stage in stages for one in stage.objects):
        raise BadRecord(
            f"Secret {_place(parts[0])} holds no revision that can be read: it has what is no object"
        )
    return replace(record, stages=stages, notes=str(body.get("notes") or ""), opened=True)


def _is_object(found: object) -> bool:
    """Whether something that was kept is an object with a name."""
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        return False
    meta = found["metadata"]
    named = (found.get("apiVersion"), found.get("kind"), meta.get("name", ""), meta.get("namespace", ""))
    return all(isinstance(one, str) for one in named)


def _place(secret: Resource) -> str:
    return f"{text(secret, 'metadata', 'namespace')}/{text(secret, 'metadata', 'name')}"


def _bytes(secret: Resource, key: str) -> bytes:
    try:
        return base64.b64decode(text(secret, "data", key), validate=True)
    except ValueError as error:
        raise BadRecord(f"Secret {_place(secret)}: {key} is not base64") from error


def _unpack(secret: Resource, key: str) -> dict[str, Any]:
    return _opened(_bytes(secret, key), secret)


def _opened(packed: bytes, secret: Resource) -> dict[str, Any]:
    opener = zlib.decompressobj()
    try:
        plain = opener.decompress(packed, _LARGEST)
        if opener.unconsumed_tail or not opener.eof:
            raise BadRecord(f"Secret {_place(secret)} holds a revision that is cut off or too large")
        document = json.loads(plain)
    except (zlib.error, ValueError, RecursionError) as error:
        if isinstance(error, BadRecord):
            raise
        raise BadRecord(f"Secret {_place(secret)} holds no revision that can be read: {error}") from error
    if not isinstance(document, dict):
        raise BadRecord(f"Secret {_place(secret)} holds no revision that can be read")
    return document


@dataclass(frozen=True, slots=True)
class Line:
    """What a record's metadata tells: one line of a history."""

    instance: Instance
    number: int
    state: str
    told: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "name": self.instance.name,
            "namespace": self.instance.namespace,
            "revision": self.number,
            "state": self.state,
            **{_camel(key): value for key, value in self.told.items()},
        }


def _camel(key: str) -> str:
    first, *rest = key.split("-")
    return first + "".join(one.capitalize() for one in rest)


def lines(heads: Iterable[Resource]) -> list[Line]:
    """Return the lines of a history, instance by instance, the oldest first, of the heads of records or their metadata."""
    found = []
    for one in heads:
        if is_record(one):
            labels, notes = strings(one, "metadata", "labels"), strings(one, "metadata", "annotations")
            told = {
                key.removeprefix("fairlead.dev/"): value
                for key, value in notes.items()
                if key.startswith("fairlead.dev/")
            }
            place = Instance(labels[OF], text(one, "metadata", "namespace"))
            found.append(Line(place, number_of(one), labels.get(STATE, ""), told))
    return sorted(found, key=lambda line: (line.instance.namespace, line.instance.name, line.number))


def to_forget(history: Sequence[Line], kept: int = KEPT) -> list[int]:
    """Return the revisions of one instance that are no longer kept: the oldest, never the last deployed one nor the last of all."""
    numbers = [one.number for one in history]
    deployed = [one.number for one in history if one.state == "deployed"]
    spared = {*(deployed[-1:]), *numbers[-1:]}
    return [one for one in numbers[: max(0, len(numbers) - kept)] if one not in spared]


def upcoming(last: Record | None, history: Iterable[Line]) -> tuple[int, Moment]:
    """Return the number of the revision that an apply makes, or goes on with, and whether it installs or upgrades."""
    number = (last.number if last is not None else 0) + (last is None or last.state != "pending")
    there = any(one.state in {"deployed", "superseded"} for one in history)
    return number, "upgrade" if there else "install"
