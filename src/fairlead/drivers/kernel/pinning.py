"""What holds without the sensor: links and maps kept in the kernel's own filesystem (`/sys/fs/bpf/fairlead/NAME/`), until `unpin`.

Pinned links keep their programs attached and these their maps alive, so what they prevent or kill goes on when the sensor ends or is killed.
The next sensor replaces a set of pins by its own without a gap: `pin` attaches nothing, it swaps names when the new ones are in place.
Nobody reads the rings meanwhile; what was refused is counted as dropped once they are full. `rm -r /sys/fs/bpf/fairlead` lets go too.
Must never remove pins of a set that it was not asked about, or files that are no pins.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from fairlead.drivers.kernel.guarding import release
from fairlead.drivers.kernel.libbpf import Link, Map, Refused, check, library
from fairlead.drivers.kernel.probing import mounted

FOLDER: Final = "fairlead"
SENSOR: Final = "sensor"
"""The set of pins of the machine's sensor."""
_RUN: Final = Path("/run/fairlead")
_NEXT, _OLD = "-next", "-old"  # the bpf filesystem takes no dots
_KEPT_MAPS: Final = (
    "settings",
    "spared",
    "counters",
    "hooks",
    "clauses",
    "numbers",
    "words",
    "prefixes",
    "networks",
)


@dataclass(frozen=True, slots=True)
class Pin:
    """One pinned thing: the set that it belongs to, whether it is a link or a map, its name, and its file."""

    owner: str
    kind: Literal["link", "map"]
    name: str
    path: Path


def place(*, mount: bool = True) -> Path:
    """Return the folder of all sets of pins, after mounting the bpf filesystem where it is absent and this may.

    Raises:
        Refused: there is none.

    """
    top = mounted("bpf", mount=mount)
    if not top:
        raise Refused(
            "nothing can be pinned: the bpf filesystem is not mounted", "mount -t bpf bpf /sys/fs/bpf"
        )
    return Path(top) / FOLDER


def note(owner: str = SENSOR) -> Path:
    """Return where Guards.keep notes down who guards files for a set of pins."""
    return _RUN / f"guards-{_checked(owner)}"


def pin(links: Mapping[str, Link], maps: Mapping[str, Map], owner: str = SENSOR) -> Path:
    """Pin links and maps as one set, in the place of the set of that name, which goes once the new one is there.

    Names may hold letters, digits and `_`. Of the maps those are kept that say what is refused and to whom. Returns the set's folder.

    Raises:
        Refused: there is no bpf filesystem, or the kernel does not pin one of them; the set is then as it was before.

    """
    top = place()
    fresh, folder, old = (top / f"{_checked(owner)}{end}" for end in (_NEXT, "", _OLD))
    _remove(fresh)
    _remove(old)
    try:
        for part in ("links", "maps"):
            (fresh / part).mkdir(mode=0o700, parents=True)
        for name, link in links.items():
            _pin(link.fd, fresh / "links" / _checked(name))
        for name in _KEPT_MAPS:
            if name in maps:
                _pin(maps[name].fd, fresh / "maps" / name)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except OSError as error:
        _remove(fresh)
        raise Refused(f"pinning below {top}: {error.strerror}") from error
    except Refused:
        _remove(fresh)
        raise
    _remove(old)
    return folder


def _checked(name: str) -> str:
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise Refused(f"a pin cannot be called {name!r}")
    return name


def _pin(fd: int, path: Path) -> None:
    check(library().bpf_obj_pin(fd, os.fsencode(path)), f"pinning {path.name}")


def pinned(owner: str = "") -> list[Pin]:
    """Return what is pinned, of one set or of all, by name; nothing where the bpf filesystem is not mounted."""
    found = []
    with suppress(Refused, OSError):
        for folder in sorted(place(mount=False).iterdir()):
            name = folder.name.removesuffix(_NEXT).removesuffix(_OLD)
            if owner in {"", name}:
                found += [Pin(name, "link", one.name, one) for one in _listed(folder / "links")]
                found += [Pin(name, "map", one.name, one) for one in _listed(folder / "maps")]
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def unpin(owner: str = "") -> list[Pin]:
    """Let go of one set, or of all, and of who guards files for it: what no living process holds is detached. Returns what was pinned.

    The kernel detaches a moment after.

    Raises:
        Refused: it is not allowed.

    """
    found = pinned(owner)
    try:
        top = place(mount=False)
        names = (
            [owner] if owner else sorted({one.owner for one in found} | {_plain(one) for one in _listed(top)})
        )
        for name in names:
            for end in (_NEXT, "", _OLD):
                _remove(top / f"{name}{end}")
        for path in [note(owner)] if owner else sorted(_RUN.glob("guards-*")):
            release(path)
        if not owner:
            with suppress(FileNotFoundError):
                top.rmdir()
    except Refused:
        return []
    except OSError as error:
        raise Refused(f"unpinning: {error.strerror}") from error
    return found


def _plain(path: Path) -> str:
    return path.name.removesuffix(_NEXT).removesuffix(_OLD)


def _remove(folder: Path) -> None:
    """Remove a set: its pins, then its folders. Links first, so that nothing runs on maps that are gone from sight."""
    for part in ("links", "maps"):
        for path in _listed(folder / part):
            path.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            (folder / part).rmdir()
    with suppress(FileNotFoundError):
        folder.rmdir()


def spare(pids: Iterable[int]) -> int:
    """Tell every set of pins to spare these processes, as a sensor that starts must; returns how many sets there are."""
    wanted = [pid.to_bytes(4, "little") for pid in pids]
    sets = [one for one in pinned() if (one.kind, one.name) == ("map", "spared")]
    for one in sets:
        fd = check(library().bpf_obj_get(os.fsencode(one.path)), f"opening {one.path}")
        try:
            table = Map.of(fd)
            for pid in wanted:
                table.put(pid, b"\1")
        finally:
            os.close(fd)
    return len(sets)
