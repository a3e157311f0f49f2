"""Archives that are the same bytes wherever and whenever they are made: names sorted, times 0, owners 0, modes one of two.

Writes only; `unpacking` reads. Must never put a name, a time or a user of this machine into an archive. Deflate is zlib's at its
default level: another implementation of it may choose other bytes for the same content, whose own digest (`diff_id`) stays.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from fairlead.drivers.oci.descriptors import Descriptor
from fairlead.drivers.oci.errors import RegistryError
from fairlead.drivers.oci.unpacking import safe_name

_PIECE: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""A gzip member without a name and a time, made on an unknown system."""
_BLOCK: Final = 512


@dataclass(frozen=True, slots=True)
class Content:
    """A file that goes into an archive: its bytes, or where they are, and whether it is a program."""

    data: bytes | Path
    executable: bool = False

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes. Raises OSError."""
        if isinstance(self.data, bytes):
            yield self.data
            return
        with open(self.data, "rb", opener=_plain) as file:
            while piece := file.read(_PIECE):
                yield piece

    @property
    def size(self) -> int:
        """How many bytes. Raises OSError."""
        return len(self.data) if isinstance(self.data, bytes) else self.data.lstat().st_size


def _plain(path: str, flags: int) -> int:
    """Open what is to be packed: still a plain file, and no link or pipe that took its place since it was found."""
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "no longer a plain file", path)
    return handle


@dataclass(frozen=True, slots=True)
class Layer:
    """A packed layer: its Descriptor, the file that holds it, and the digest of what is inside before compression."""

    descriptor: Descriptor
    path: Path
    diff_id: str


def tar_pieces(files: Mapping[str, Content], under: str = "") -> Iterator[bytes]:
    """Yield a tar of the files, in the order of their names; `under` is a folder that all of them go into. Raises RegistryError."""
    total = 0
    for name in sorted(files):
        content = files[name]
        if safe_name(name, "to be packed") != name:
            raise RegistryError(f"{name!r} is not a plain relative path, and cannot be packed")
        try:
            size = content.size
            info = tarfile.TarInfo(f"{under}/{name}" if under else name)
            info.size = size
            info.mode = 0o755 if content.executable else 0o644
            header = info.tobuf(tarfile.PAX_FORMAT)
            yield header
            count = 0
            for piece in content.pieces():
                count += len(piece)
                if count > size:
                    break
                yield piece
        except OSError as error:
            raise RegistryError(f"{name}: {error.strerror}") from error
        if count != size:
            raise RegistryError(f"{name}: the file changed while it was packed")
        padding = -size % _BLOCK
        yield bytes(padding)
        total += len(header) + size + padding
    yield bytes(2 * _BLOCK)


def gzip_pieces(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces compressed, as one gzip member that tells nothing of where and when."""
    packer = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL)
    check, size = 0, 0
    yield _GZIP
    for piece in pieces:
        check = zlib.crc32(piece, check)
        size += len(piece)
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
    yield struct.pack("<II", check, size & 0xFFFFFFFF)


def write_layer(
    path: Path,
    files: Mapping[str, Content],
    media_type: str,
    annotations: Mapping[str, str] | None = None,
    *,
    under: str = "",
) -> Layer:
    """Write a .tar.gz of the files and return what it is. Raises RegistryError."""
    inner, outer = hashlib.sha256(), hashlib.sha256()

    def heard() -> Iterator[bytes]:
        for piece in tar_pieces(files, under):
            inner.update(piece)
            yield piece

    with path.open("wb") as file:
        size = _write(file, gzip_pieces(heard()), outer)
    digest = f"sha256:{outer.hexdigest()}"
    return Layer(
        Descriptor(media_type, digest, size, dict(annotations or {})), path, f"sha256:{inner.hexdigest()}"
    )


def _write(file: IO[bytes], pieces: Iterator[bytes], digest: hashlib._Hash) -> int:
    size = 0
    for piece in pieces:
        digest.update(piece)
        size += file.write(piece)
    return size
