"""The object files and what was loaded of them: maps once, programs when they are first wanted. Attaches nothing.

Programs wanted later come from another copy of their object, which is given the maps of the first. What the kernel refuses is told by
program, so that one that this kernel does not know keeps none of the others away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from fairlead.drivers.kernel.libbpf import Map, Object, Program, Refused
from fairlead.drivers.kernel.placing import Way
from fairlead.drivers.kernel.probing import architecture

OBJECTS: Final = Path(__file__).parent / "objects"
_USDT: Final = "__bpf_usdt_"
_INTERNAL: Final = "."


class Key(NamedTuple):
    """One loaded program: its object, its name, and the function that this copy is for ("" where that is in its section)."""

    file: str
    program: str
    target: str

    @classmethod
    def of(cls, way: Way) -> Key:
        """Return the program that an attachment needs."""
        return cls(way.file, way.program, way.target)


class Stock:
    """All maps, from the start, and the programs that were asked for. `sizes` sets how many entries (of rings: bytes) maps have."""

    def __init__(self, sizes: Mapping[str, int], objects: Path = OBJECTS) -> None:
        """Create the maps.

        Raises:
            Refused: no libbpf, no objects for this machine, or no rights.

        """
        self._folder = objects / architecture()
        self._objects: list[Object] = []
        self._programs: dict[Key, Program] = {}
        self._refused: dict[Key, str] = {}
        if not (self._folder / "sensor.bpf.o").exists():
            raise Refused(
                f"this package holds no programs for {architecture()}",
                "build it where there is ziglang or clang",
            )
        self._first = self._open("sensor", ())
        for name in sizes:
            self._first.resize(name, sizes[name])
        self._load(self._first)
        self.maps: dict[str, Map] = {
            name: self._first.map(name)
            for name in self._first.map_names
            if _INTERNAL not in name and not name.startswith(_USDT)
        }

    def _open(self, file: str, wanted: Iterable[Key]) -> Object:
        """Open a copy of an object with only these programs."""
        one = Object(self._folder / f"{file}.bpf.o", f"fl_{file}")
        try:
            self._choose(one, {key.program: key for key in wanted})
        except BaseException:
            one.close()
            raise
        return one

    def _choose(self, one: Object, wanted: Mapping[str, Key]) -> None:
        missing = wanted.keys() - one.programs.keys()
        if missing:
            raise Refused(f"the object has no program {', '.join(sorted(missing))}")
        for name, program in one.programs.items():
            program.wanted = name in wanted
            if name in wanted and wanted[name].target:
                program.target(wanted[name].target)
        if not any("usdt" in name for name in wanted):
            for name in one.map_names:
                if name.startswith(_USDT):
                    one.without(name)

    def _load(self, one: Object) -> None:
        try:
            one.load()
        except BaseException:
            one.close()
            raise
        self._objects.append(one)

    def _load_together(self, file: str, keys: list[Key]) -> None:
        one = self._open(file, keys)
        for name, known in self.maps.items():
            if name in one.map_names:
                one.share(name, known.fd)
        self._load(one)
        for key in keys:
            self._programs[key] = one.programs[key.program]

    def load(self, ways: Iterable[Way]) -> None:
        """Load what these attachments need and is not loaded yet: together where the kernel takes it, else one by one."""
        wanted = dict.fromkeys(Key.of(way) for way in ways)
        missing = [key for key in wanted if key not in self._programs and key not in self._refused]
        for file, target in dict.fromkeys((key.file, key.target) for key in missing):
            together = [key for key in missing if (key.file, key.target) == (file, target)]
            if len(together) > 1:
                with suppress(Refused):
                    self._load_together(file, together)
                    continue
            for key in together:
                try:
                    self._load_together(file, [key])
                except Refused as error:
                    self._refused[key] = error.message

    def program(self, way: Way) -> Program:
        """Return a program that `load` was asked for.

        Raises:
            Refused: the kernel did not take it, with the verifier's last lines.

        """
        key = Key.of(way)
        if key not in self._programs:
            raise Refused(self._refused.get(key, f"{key.program} was not loaded"))
        return self._programs[key]

    def ids(self) -> set[int]:
        """Return the kernel's ids of the loaded programs."""
        return {one.id for one in self._programs.values()}

    def close(self) -> None:
        """Unload everything. Links must be closed before."""
        while self._objects:
            self._objects.pop().close()
