"""Which guards a file falls under. Data only."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from fairlead.drivers.guards.looking import File

OPEN_PERM: Final = 0x1_0000
EXEC_PERM: Final = 0x4_0000


class Guard(NamedTuple):
    """One order: what it refuses (`open` or `exec`), and to whom. Empty sets do not restrict."""

    at: str
    paths: tuple[str, ...]
    prefix: bool
    owner: str
    binaries: frozenset[str]
    not_binaries: frozenset[str]
    cgroups: frozenset[int]

    @property
    def event(self) -> int:
        """The event that asks."""
        return EXEC_PERM if self.at == "exec" else OPEN_PERM


class Table:
    """Which guards of one sort a file falls under: by identity, by the name its opener sees, by its name in its file system."""

    def __init__(self) -> None:
        self.files: dict[File, list[Guard]] = {}
        self.texts: dict[str, list[Guard]] = {}
        self.prefixes: dict[str, list[Guard]] = {}
        self.places: dict[str, dict[str, list[Guard]]] = {}
        self.trees: dict[str, dict[str, list[Guard]]] = {}

    def forget(self) -> None:
        """Forget what was found on disks; what the guards say themselves stays."""
        self.files.clear()
        self.places.clear()
        self.trees.clear()

    def within(self, file: File) -> list[Guard]:
        """Return the guards of trees on the file's device: of which it may be, where nobody can tell its path."""
        return [one for all_ in self.trees.get(f"{file.major}:{file.minor}", {}).values() for one in all_]

    def named(self, path: str) -> list[Guard]:
        """Return the guards of that name."""
        found = self.texts.get(path, [])
        return found + [
            one for start, all_ in self.prefixes.items() if path.startswith(start) for one in all_
        ]

    def placed(self, device: str, path: str) -> list[Guard]:
        """Return the guards of that name inside a file system."""
        found = self.places.get(device, {}).get(path, [])
        trees = self.trees.get(device, {})
        return found + [one for start, all_ in trees.items() if path.startswith(start) for one in all_]


def put(table: dict[Any, list[Guard]], key: Any, guard: Guard) -> None:
    """Add a guard under a key, once."""
    known = table.setdefault(key, [])
    if guard not in known:
        known.append(guard)
