"""Images that hold a WASI command: imported from OCI archives and layouts, kept by digest, compiled ahead.

A guest is an image with one WebAssembly module: a layer of its own (`application/wasm` or `application/vnd.wasm...`), or
a file in a tar layer, which the entrypoint names or which is the only `.wasm` there. Nothing of a layer is unpacked but
that one file. Must never run a guest.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from fairlead.drivers import images
from fairlead.drivers.images import ImageInvalid
from fairlead.orchestrate.runtimes import ImageSeen

MAGIC = b"\0asm\x01\0\0\0"
LARGEST_MODULE = 256 << 20


@dataclass(frozen=True, slots=True)
class Guest:
    """One image: `id` is the digest of its configuration, `module` the digest of its module, `size` in bytes."""

    id: str
    names: tuple[str, ...]
    module: str
    size: int
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""

    @property
    def seen(self) -> ImageSeen:
        """As the node reports it."""
        return ImageSeen(id=self.id, names=self.names, size=self.size, user=self.user)


class Shelf:
    """The guests of one node, under a directory: `index.json` and one `.wasm` file a module."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def all(self) -> list[Guest]:
        """Return every guest, sorted by name."""
        try:
            items = json.loads((self.root / "index.json").read_text())
        except FileNotFoundError:
            return []
        guests = [Guest(**{key: _tuple(value) for key, value in item.items()}) for item in items]
        return sorted(guests, key=lambda guest: guest.names)

    def find(self, name: str) -> Guest | None:
        """Return the guest of that name or id, or None."""
        full = images.normalise(name)
        return next((guest for guest in self.all() if full in guest.names or full == guest.id), None)

    def path(self, guest: Guest) -> Path:
        """Return where the guest's module is."""
        return self.root / f"{guest.module.partition(':')[2]}.wasm"

    def import_archive(self, path: Path, name: str = "") -> list[str]:
        """Import an OCI archive or layout; return the full names. Raises ImageInvalid, OSError."""
        taken: list[str] = []
        with images.opened(path) as files:
            for packed in images.packed(files, str(path), name, "wasm"):
                if not packed.names:
                    raise ImageInvalid(f"{path}: the image has no name; give it one")
                self._keep(self._guest(files, packed, str(path)))
                taken.extend(packed.names)
        return taken

    def remove(self, name: str) -> bool:
        """Remove a name, and the guest with its last name; given an id, all its names. False if there was none."""
        found = self.find(name)
        if found is None:
            return False
        full = images.normalise(name)
        left = tuple(one for one in found.names if one != full) if full in found.names else ()
        others = [guest for guest in self.all() if guest.id != found.id]
        self._write([*others, replace(found, names=left)] if left else others)
        return True

    def _guest(self, files: images.Files, packed: images.Packed, where: str) -> Guest:
        with files.open(packed.config.path) as reader:
            config = json.load(reader).get("config") or {}
        entrypoint = tuple(str(part) for part in config.get("Entrypoint") or ())
        command = tuple(str(part) for part in config.get("Cmd") or ())
        wanted = (entrypoint or command or ("",))[0]
        module = next(
            (found for layer in packed.layers if (found := _module(files, layer, wanted)) is not None), None
        )
        if module is None:
            raise ImageInvalid(f"{where}: no WebAssembly module in the image")
        if not module.startswith(MAGIC):
            raise ImageInvalid(
                f"{where}: its module is not core WebAssembly 1.0; components are not supported yet"
            )
        digest = f"sha256:{hashlib.sha256(module).hexdigest()}"
        guest = Guest(
            packed.config.digest,
            packed.names,
            digest,
            len(module),
            entrypoint,
            command,
            tuple(str(pair) for pair in config.get("Env") or ()),
            str(config.get("User") or ""),
        )
        fresh = self.path(guest).with_suffix(".new")
        fresh.write_bytes(module)
        fresh.replace(self.path(guest))
        return guest

    def _keep(self, guest: Guest) -> None:
        """Add the guest; its names leave whoever had them before."""
        kept: list[Guest] = []
        names = guest.names
        for other in self.all():
            if other.id == guest.id:
                names = tuple(dict.fromkeys((*names, *other.names)))
            elif left := tuple(name for name in other.names if name not in guest.names):
                kept.append(replace(other, names=left))
        self._write([*kept, replace(guest, names=names)])

    def _write(self, guests: Sequence[Guest]) -> None:
        """Write the index, then remove the modules that nobody needs any more."""
        fresh = self.root / "index.new"
        fresh.write_text(json.dumps([asdict(guest) for guest in guests], indent=1))
        fresh.replace(self.root / "index.json")
        needed = {self.path(guest) for guest in guests}
        for module in self.root.glob("*.wasm"):
            if module not in needed:
                module.unlink()


def is_guest(path: Path) -> bool:
    """Tell whether an archive or layout holds a WASI guest rather than a container image. Raises ImageInvalid, OSError."""
    with images.opened(path) as files:
        packed = images.packed(files, str(path), "", "wasm")
        for image in packed:
            with files.open(image.config.path) as reader:
                config: Mapping[str, Any] = json.load(reader).get("config") or {}
            wanted = str(((config.get("Entrypoint") or config.get("Cmd")) or [""])[0])
            if any(_is_module(layer) for layer in image.layers) or wanted.endswith(".wasm"):
                return True
    return False


def _is_module(layer: images.Blob) -> bool:
    return layer.media_type.startswith("application/") and "wasm" in layer.media_type


def _module(files: images.Files, layer: images.Blob, wanted: str) -> bytes | None:
    """Return the module that a layer holds, or None."""
    if _is_module(layer):
        with files.open(layer.path) as reader:
            return _bounded(reader)
    try:
        with files.open(layer.path) as reader, tarfile.open(fileobj=_plain(reader), mode="r|") as tar:
            for member in tar:
                name = "/" + member.name.removeprefix("./").lstrip("/")
                sought = name == wanted or (not wanted.endswith(".wasm") and name.endswith(".wasm"))
                content = tar.extractfile(member) if sought and member.isfile() else None
                module = _bounded(content) if content is not None else b""
                if module.startswith(b"\0asm"):
                    return module
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImageInvalid(f"the layer {layer.digest} is broken: {error}") from error
    return None


def _plain(reader: IO[bytes]) -> IO[bytes]:
    start = reader.read(2)
    reader.seek(0)
    return cast("IO[bytes]", gzip.GzipFile(fileobj=reader)) if start == b"\x1f\x8b" else reader


def _bounded(reader: IO[bytes]) -> bytes:
    content = reader.read(LARGEST_MODULE + 1)
    if len(content) > LARGEST_MODULE:
        raise ImageInvalid(f"the module is larger than {LARGEST_MODULE >> 20} MiB")
    return content


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
