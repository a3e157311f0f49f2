"""What the embedded registry keeps: blobs as files named by their digest, manifests and tags in one SQLite file.

A blob is there only under the digest that its bytes have, and only once all of it is on disk; what a crash leaves of an upload is found
and removed. Knows no protocol and no rights: who may ask is decided above. One process opens a directory at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

LARGEST_MANIFEST: Final = 4 << 20
"""Bytes of a manifest: what the distribution specification asks registries to take, and no more."""
GRACE: Final = 3600.0
"""Seconds for which a blob that no manifest refers to is kept: its manifest may be on its way."""
_STALE_UPLOAD: Final = 24 * 3600.0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_SCHEMA = """
create table if not exists manifests (
    repository text, digest text, media_type text, body blob, subject text, artifact_type text, annotations text,
    primary key (repository, digest)) without rowid;
create index if not exists by_subject on manifests (repository, subject) where subject != '';
create table if not exists tags (repository text, tag text, digest text, primary key (repository, tag)) without rowid;
create table if not exists links (repository text, digest text, since real, primary key (repository, digest)) without rowid;
create table if not exists parts (repository text, manifest text, digest text, primary key (repository, manifest, digest))
    without rowid;
create index if not exists by_part on parts (repository, digest);
"""


class BlobError(Exception):
    """What was asked cannot be done; `code` is the distribution specification's word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it was pushed: its digest, media type and bytes, and what it is about."""

    digest: str
    media_type: str
    body: bytes
    subject: str = ""
    artifact_type: str = ""
    annotations: str = ""

    def descriptor(self) -> dict[str, Any]:
        """Return what an index of referrers says of it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if self.annotations:
            found["annotations"] = json.loads(self.annotations)
        return found


class Upload:
    """A blob on its way in: what has come so far, in a file of its own."""

    def __init__(self, repository: str, path: Path) -> None:
        self.repository, self.path, self.name = repository, path, path.name
        self.file: IO[bytes] = path.open("ab")
        self.size = self.file.tell()
        self.busy = False
        self._hash = hashlib.sha256()
        self._hashed = 0

    def write(self, data: bytes) -> None:
        """Add bytes at the end. Raises OSError (a full disk); what came before stays."""
        try:
            self.file.write(data)
            self.file.flush()
        except OSError:
            with suppress(OSError):
                os.ftruncate(self.file.fileno(), self.size)
            raise
        if self._hashed == self.size:
            self._hash.update(data)
            self._hashed += len(data)
        self.size += len(data)

    def digest(self, algorithm: str) -> str:
        """Return the digest of what has come, computed along the way where that was possible."""
        if algorithm == "sha256" and self._hashed == self.size:
            return f"sha256:{self._hash.hexdigest()}"
        with self.path.open("rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


class Blobs:
    """The contents of a registry below one directory. Methods raise BlobError, and OSError for what the disk refuses."""

    def __init__(self, root: Path) -> None:
        self._blobs, self._uploads = root / "blobs", root / "uploads"
        for path in (root, self._blobs, self._uploads):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (root / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            self._lock.close()
            raise BlobError("UNKNOWN", f"another process serves the registry in {root}") from fault
        self._db = sqlite3.connect(root / "registry.db", isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=full")
        self._db.executescript(_SCHEMA)
        self._open: dict[str, Upload] = {}

    def close(self) -> None:
        """Close what is open. Uploads that have not ended can be gone on with by the next process."""
        for upload in self._open.values():
            upload.file.close()
        self._open.clear()
        self._db.close()
        self._lock.close()

    # Blobs

    def path(self, repository: str, digest: str, *, hold: bool = False) -> Path:
        """Return the file of a blob that this repository has, and `hold` it for as long as a fresh one. Raises BLOB_UNKNOWN."""
        checked(digest)
        if not self._linked(repository, digest):
            raise BlobError("BLOB_UNKNOWN", f"{repository} has no blob {digest}")
        if hold:
            self._link(repository, digest)
        return self._file(digest)

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Let the repository have a blob of another one; return whether that has it."""
        checked(digest)
        if not self._linked(source, digest):
            return False
        self._link(repository, digest)
        return True

    def drop_blob(self, repository: str, digest: str) -> None:
        """Take the blob from the repository. Raises BLOB_UNKNOWN, and DENIED while a manifest refers to it."""
        self.path(repository, digest)
        used = self._one("select manifest from parts where repository=? and digest=?", repository, digest)
        if used:
            raise BlobError("DENIED", f"the manifest {used[0]} refers to this blob")
        self._db.execute("delete from links where repository=? and digest=?", (repository, digest))

    def _file(self, digest: str) -> Path:
        algorithm, _, text = digest.partition(":")
        return self._blobs / algorithm / text[:2] / text

    def _linked(self, repository: str, digest: str) -> bool:
        return (
            self._one("select 1 from links where repository=? and digest=?", repository, digest) is not None
        )

    def _link(self, repository: str, digest: str) -> None:
        self._db.execute("insert or replace into links values (?, ?, ?)", (repository, digest, time.time()))

    # Uploads

    def begin(self, repository: str) -> Upload:
        """Begin an upload into the repository."""
        folder = self._uploads / repository.replace("/", "~")
        folder.mkdir(mode=0o700, exist_ok=True)
        upload = Upload(repository, folder / secrets.token_hex(16))
        self._open[upload.name] = upload
        return upload

    def upload(self, repository: str, name: str) -> Upload:
        """Return an upload that goes on, also one from before a restart. Raises BLOB_UPLOAD_UNKNOWN."""
        found = self._open.get(name)
        if found is None and re.fullmatch(r"[0-9a-f]{32}", name):
            path = self._uploads / repository.replace("/", "~") / name
            if path.is_file():
                found = self._open[name] = Upload(repository, path)
        if found is None or found.repository != repository:
            raise BlobError("BLOB_UPLOAD_UNKNOWN", "there is no such upload; begin another")
        return found

    def finish(self, upload: Upload, digest: str) -> None:
        """Keep the upload as the blob of that digest, on disk when this returns. Raises DIGEST_INVALID, and forgets the upload then."""
        checked(digest)
        found = upload.digest(digest.partition(":")[0])
        if found != digest:
            self.abort(upload)
            raise BlobError("DIGEST_INVALID", f"the bytes that came have the digest {found}, not {digest}")
        os.fsync(upload.file.fileno())
        upload.file.close()
        target = self._file(digest)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        upload.path.replace(target)
        _sync_folder(target.parent)
        self._open.pop(upload.name, None)

    def keep(self, upload: Upload, digest: str) -> None:
        """Let the repository of a finished upload have its blob."""
        self._link(upload.repository, digest)

    def abort(self, upload: Upload) -> None:
        """Forget an upload and what came of it."""
        upload.file.close()
        upload.path.unlink(missing_ok=True)
        self._open.pop(upload.name, None)

    # Manifests

    def put(self, repository: str, reference: str, media_type: str, body: bytes) -> Manifest:
        """Keep a manifest under a tag or its digest. Raises MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN, DIGEST_INVALID."""
        is_digest = ":" in reference
        algorithm = checked(reference).partition(":")[0] if is_digest else "sha256"
        digest = f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"
        if is_digest and digest != reference:
            raise BlobError("DIGEST_INVALID", f"the manifest has the digest {digest}, not {reference}")
        content = _manifest(body, media_type)
        blobs, manifests = _parts(content)
        for part in blobs:
            if not self._linked(repository, part):
                raise BlobError("MANIFEST_BLOB_UNKNOWN", f"{repository} has no blob {part}: push it first")
        for part in manifests:
            self.get(repository, part, "MANIFEST_BLOB_UNKNOWN")
        annotations = content.get("annotations")
        config = content.get("config") or {}
        made = Manifest(
            digest,
            media_type,
            body,
            subject=checked((content.get("subject") or {}).get("digest", ""), empty=True),
            artifact_type=content.get("artifactType") or config.get("mediaType") or "",
            annotations=json.dumps(annotations, sort_keys=True) if annotations else "",
        )
        with self._transaction():
            self._db.execute(
                "insert or replace into manifests values (?, ?, ?, ?, ?, ?, ?)",
                (repository, digest, media_type, body, made.subject, made.artifact_type, made.annotations),
            )
            self._db.executemany(
                "insert or ignore into parts values (?, ?, ?)",
                [(repository, digest, part) for part in (*blobs, *manifests)],
            )
            if not is_digest:
                self._db.execute(
                    "insert or replace into tags values (?, ?, ?)", (repository, reference, digest)
                )
        return made

    def get(self, repository: str, reference: str, code: str = "MANIFEST_UNKNOWN") -> Manifest:
        """Return the manifest of a tag or digest. Raises BlobError with the code."""
        digest = reference
        if ":" not in reference:
            found = self._one("select digest from tags where repository=? and tag=?", repository, reference)
            if found is None:
                raise BlobError(code, f"{repository} has no tag {reference}")
            digest = found[0]
        row = self._one(
            "select digest, media_type, body, subject, artifact_type, annotations from manifests"
            " where repository=? and digest=?",
            repository,
            checked(digest),
        )
        if row is None:
            raise BlobError(code, f"{repository} has no manifest {digest}")
        return Manifest(*row)

    def delete(self, repository: str, reference: str) -> None:
        """Delete a tag, or a manifest with its tags. Raises MANIFEST_UNKNOWN, and DENIED while an index lists it."""
        manifest = self.get(repository, reference)
        if ":" not in reference:
            self._db.execute("delete from tags where repository=? and tag=?", (repository, reference))
            return
        used = self._one("select manifest from parts where repository=? and digest=?", repository, reference)
        if used:
            raise BlobError("DENIED", f"the index {used[0]} lists this manifest")
        with self._transaction():
            for table, column in (("manifests", "digest"), ("tags", "digest"), ("parts", "manifest")):
                self._db.execute(
                    f"delete from {table} where repository=? and {column}=?",  # noqa: S608  names of our own
                    (repository, manifest.digest),
                )

    def tags(self, repository: str) -> list[str]:
        """Return the repository's tags in order. Raises NAME_UNKNOWN."""
        found = [
            row[0]
            for row in self._db.execute("select tag from tags where repository=? order by tag", (repository,))
        ]
        if not found and not self._one("select 1 from manifests where repository=?", repository):
            raise BlobError("NAME_UNKNOWN", f"there is no repository {repository}")
        return found

    def repositories(self) -> list[str]:
        """Return the names of all repositories that have a manifest, in order."""
        return [
            row[0]
            for row in self._db.execute("select distinct repository from manifests order by repository")
        ]

    def referrers(self, repository: str, digest: str) -> list[Manifest]:
        """Return the manifests whose subject has that digest, whether or not the subject is there."""
        rows = self._db.execute(
            "select digest, media_type, body, subject, artifact_type, annotations from manifests"
            " where repository=? and subject=? order by digest",
            (repository, checked(digest)),
        )
        return [Manifest(*row) for row in rows]

    # Garbage

    def collect(self, now: float, grace: float = GRACE) -> tuple[int, int]:
        """Remove blobs that no manifest has referred to for the grace period, and uploads that nobody goes on with.

        Returns how many files went, and their bytes.
        """
        with self._transaction():
            self._db.execute(
                "delete from links where since < ? and not exists (select 1 from parts"
                " where parts.repository = links.repository and parts.digest = links.digest)",
                (now - grace,),
            )
        kept = {row[0] for row in self._db.execute("select distinct digest from links")}
        count = size = 0
        for path, limit in [*self._unkept(kept, grace), *((path, _STALE_UPLOAD) for path in self._idle())]:
            with suppress(FileNotFoundError):
                found = path.stat()
                if found.st_mtime < now - limit:
                    path.unlink()
                    count, size = count + 1, size + found.st_size
        return count, size

    def _unkept(self, kept: set[str], grace: float) -> Iterator[tuple[Path, float]]:
        for folder in self._blobs.iterdir():
            for path in folder.glob("??/*"):
                if f"{folder.name}:{path.name}" not in kept:
                    yield path, grace

    def _idle(self) -> Iterator[Path]:
        for path in self._uploads.glob("*/*"):
            upload = self._open.get(path.name)
            if upload is None or not upload.busy:
                yield path

    def _one(self, query: str, *values: str) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")


def checked(digest: Any, *, empty: bool = False) -> str:
    """Return a digest that is one ("" too, where that is allowed). Raises DIGEST_INVALID."""
    if isinstance(digest, str) and (_DIGEST.fullmatch(digest) or (empty and not digest)):
        return digest
    raise BlobError("DIGEST_INVALID", f"{str(digest)[:100]!r} is not a sha256 or sha512 digest")


def _manifest(body: bytes, media_type: str) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise BlobError("MANIFEST_INVALID", "the manifest is not JSON") from fault
    if not isinstance(content, dict) or content.get("schemaVersion") != 2:
        raise BlobError("MANIFEST_INVALID", "the manifest has no schemaVersion 2")
    said = content.get("mediaType")
    if said and said != media_type:
        raise BlobError(
            "MANIFEST_INVALID", f"the manifest says that it is {said}, the request that it is {media_type}"
        )
    for key, kind in (
        ("config", dict),
        ("subject", dict),
        ("annotations", dict),
        ("layers", list),
        ("manifests", list),
    ):
        if content.get(key) is not None and not isinstance(content[key], kind):
            raise BlobError("MANIFEST_INVALID", f".{key} of the manifest has the wrong type")
    if not isinstance(content.get("artifactType") or "", str):
        raise BlobError("MANIFEST_INVALID", ".artifactType of the manifest has the wrong type")
    return content


def _parts(content: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the digests of the blobs and of the manifests that a manifest is made of."""

    def digests(entries: Iterable[Any]) -> list[str]:
        found = []
        for entry in entries:
            if not isinstance(entry, dict):
                raise BlobError("MANIFEST_INVALID", "a descriptor of the manifest is not an object")
            if not entry.get("urls"):  # such layers are elsewhere by design
                found.append(checked(entry.get("digest")))
        return found

    config = content.get("config")
    return digests([*([config] if config else []), *(content.get("layers") or [])]), digests(
        content.get("manifests") or []
    )


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
