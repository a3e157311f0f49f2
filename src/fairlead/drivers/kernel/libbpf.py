"""libbpf by ctypes: objects, programs, maps and links as small classes that close what they opened.

The library is the one that PyPI's pylibbpf carries (its extension module's file exports libbpf whole; it is opened as a plain shared
object and its Python side is never run), else the system's libbpf.so.1. Says in an error what the kernel said; never decides what to load.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections import deque
from collections.abc import Iterator, Sequence
from ctypes import CFUNCTYPE, byref, c_int, c_size_t, c_uint32, c_void_p, sizeof
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fairlead.drivers.kernel.prototypes import (
    NEWER,
    PROTOTYPES,
    CookieOptions,
    KprobeOptions,
    MapInfo,
    OpenOptions,
    ProgramInfo,
    UprobeOptions,
)

_LOG_LINES: Final = 4000
_TOLD_LINES: Final = 12


class Refused(Exception):
    """The kernel, or the machine, does not do what was asked. `hint` says what a person could change; "" where nothing is known."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message = message
        self.hint = hint


_log: deque[str] = deque(maxlen=_LOG_LINES)


def _sources() -> Iterator[str]:
    """Yield the files that may hold libbpf, the best first."""
    spec = find_spec("pylibbpf")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield from map(str, sorted(Path(place).glob("pylibbpf*.so")))
    yield "libbpf.so.1"


@cache
def library() -> ctypes.CDLL:
    """Return libbpf with its prototypes set and its messages captured.

    Raises:
        Refused: no library was found, or it is older than 1.0.

    """
    tried = []
    for source in _sources():
        try:
            found = ctypes.CDLL(source, use_errno=True)
            for name, (returns, takes) in PROTOTYPES.items():
                if name in NEWER and not hasattr(found, name):
                    continue
                function = getattr(found, name)
                function.restype = returns
                function.argtypes = takes
        except (OSError, AttributeError) as error:
            tried.append(f"{source}: {error}")
            continue
        found.libbpf_set_print(_PRINT)
        return found
    raise Refused(
        f"no libbpf of 1.0 or newer is here: {'; '.join(tried)}",
        "pip install pylibbpf, or install the system's libbpf1",
    )


def version() -> str:
    """Return libbpf's version, such as `v1.6`."""
    said: bytes = library().libbpf_version_string()
    return said.decode()


def _captured(level: int, form: int, arguments: int) -> int:
    """Take one of libbpf's messages; a va_list is passed as a pointer on the machines that fairlead runs on."""
    text = ctypes.create_string_buffer(1 << 16)
    _LIBC.vsnprintf(text, c_size_t(len(text)), c_void_p(form), c_void_p(arguments))
    if level < _DEBUG:
        _log.extend(text.value.decode(errors="replace").splitlines())
    return 0


_DEBUG: Final = 2
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PRINT: Final = CFUNCTYPE(c_int, c_int, c_void_p, c_void_p)(_captured)


def complaints() -> list[str]:
    """Return libbpf's warnings since the last call, the verifier's words among them, and forget them."""
    found = list(_log)
    _log.clear()
    return found


def _complaint(what: str, code: int) -> Refused:
    """Return an error that tells the last of what libbpf and the verifier said."""
    number = -code if code < 0 else code
    said = [line.strip() for line in complaints() if line.strip() and "-- END PROG LOAD LOG" not in line]
    tail = " | ".join(said[-_TOLD_LINES:])
    hint = ""
    if number == errno.EPERM:
        hint = "needs root or CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN"
    name = os.strerror(number) if number else "unknown error"
    return Refused(f"{what}: {name}" + (f": {tail}" if tail else ""), hint)


def check(code: int, what: str) -> int:
    """Return what libbpf returned when it is no error.

    Raises:
        Refused: it is one.

    """
    if code < 0:
        raise _complaint(what, code)
    return code


def _pointer(address: int | None, what: str) -> int:
    if not address:
        raise _complaint(what, ctypes.get_errno())
    return address


class Map:
    """A map of the kernel: keys and values are bytes of its sizes. `fd` belongs to whoever opened it."""

    def __init__(self, fd: int, name: str, key_size: int, value_size: int, most: int) -> None:
        self.fd = fd
        self.name = name
        self.key_size = key_size
        self.value_size = value_size
        self.most = most

    @classmethod
    def of(cls, fd: int) -> Map:
        """Return the map behind a descriptor, its shape as the kernel tells it."""
        info = MapInfo()
        size = c_uint32(sizeof(info))
        check(library().bpf_obj_get_info_by_fd(fd, byref(info), byref(size)), "asking about a map")
        return cls(fd, info.name.decode(), info.key_size, info.value_size, info.max_entries)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key's value.

        Raises:
            Refused: the map is full, or the kernel does not take it.

        """
        check(library().bpf_map_update_elem(self.fd, key, value, 0), f"writing to the map {self.name}")

    def put_all(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Set many keys' values, by one call where the kernel knows that."""
        if len(pairs) > 8:
            count = c_uint32(len(pairs))
            keys = b"".join(key for key, _ in pairs)
            values = b"".join(value for _, value in pairs)
            if library().bpf_map_update_batch(self.fd, keys, values, byref(count), None) == 0:
                return
        for key, value in pairs:
            self.put(key, value)

    def get(self, key: bytes) -> bytes | None:
        """Return a key's value, or None. Of a per-CPU map: the values of all possible CPUs, one after the other (see per_cpu)."""
        return self._get(key, self.value_size)

    def per_cpu(self, key: bytes) -> list[bytes]:
        """Return a key's value on each possible CPU; each takes a multiple of eight bytes in the kernel's answer."""
        stride = (self.value_size + 7) & ~7
        found = self._get(key, stride * cpus())
        if found is None:
            return []
        return [found[at : at + self.value_size] for at in range(0, len(found), stride)]

    def _get(self, key: bytes, size: int) -> bytes | None:
        value = ctypes.create_string_buffer(size)
        code = library().bpf_map_lookup_elem(self.fd, key, value)
        if code == -errno.ENOENT:
            return None
        check(code, f"reading the map {self.name}")
        return value.raw

    def drop(self, key: bytes) -> bool:
        """Remove a key; False when it was not there."""
        code = library().bpf_map_delete_elem(self.fd, key)
        if code == -errno.ENOENT:
            return False
        check(code, f"removing from the map {self.name}")
        return True

    def keys(self) -> Iterator[bytes]:
        """Yield the keys; those that come and go meanwhile may be missed."""
        before: bytes | None = None
        after = ctypes.create_string_buffer(self.key_size)
        while library().bpf_map_get_next_key(self.fd, before, after) == 0:
            yield after.raw
            before = after.raw

    def clear(self) -> None:
        """Remove all keys."""
        for key in list(self.keys()):
            self.drop(key)


@cache
def cpus() -> int:
    """How many CPUs the kernel could have: the width of per-CPU values."""
    return check(library().libbpf_num_possible_cpus(), "counting CPUs")


class Link:
    """A program attached to something. It ends with `close`, or with the process, unless it was pinned."""

    def __init__(self, address: int) -> None:
        self._address: int | None = address

    @property
    def fd(self) -> int:
        """The link's descriptor."""
        fd: int = library().bpf_link__fd(self._address)
        return fd

    def pin(self, path: str) -> None:
        """Keep the link in a bpf filesystem, so that it outlives the process."""
        check(library().bpf_link__pin(self._address, path.encode()), f"pinning to {path}")

    def leave(self) -> None:
        """Forget the link and detach nothing, for one that was pinned: `close` would switch a perf event off that it hangs on."""
        if self._address is not None:
            library().bpf_link__disconnect(self._address)
            self.close()

    def close(self) -> None:
        """Detach. A pinned link stays attached, but see `leave`."""
        if self._address is not None:
            library().bpf_link__destroy(self._address)
            self._address = None


class Program:
    """A program of an object, which loads with the object unless told otherwise. The object owns it."""

    def __init__(self, address: int) -> None:
        self._address = address
        self.name: str = library().bpf_program__name(address).decode()
        self.section: str = library().bpf_program__section_name(address).decode()

    @property
    def wanted(self) -> bool:
        """Whether it is to be loaded with its object."""
        return bool(library().bpf_program__autoload(self._address))

    @wanted.setter
    def wanted(self, value: bool) -> None:
        """Say whether it is to be loaded; before the load."""
        check(library().bpf_program__set_autoload(self._address, value), f"choosing {self.name}")

    @property
    def fd(self) -> int:
        """The loaded program's descriptor."""
        return check(library().bpf_program__fd(self._address), f"asking for {self.name}")

    @property
    def id(self) -> int:
        """The loaded program's id in the kernel."""
        info = ProgramInfo()
        size = c_uint32(sizeof(info))
        check(
            library().bpf_obj_get_info_by_fd(self.fd, byref(info), byref(size)), f"asking about {self.name}"
        )
        return int(info.id)

    def target(self, name: str) -> None:
        """Say which kernel function or tracepoint a fentry, fexit, fmod_ret, LSM or tp_btf program is for; before the load."""
        check(library().bpf_program__set_attach_target(self._address, 0, name.encode()), f"aiming at {name}")

    def attach(self) -> Link:
        """Attach to what the section says."""
        return self._link(library().bpf_program__attach(self._address), self.section)

    def attach_trace(self, cookie: int = 0) -> Link:
        """Attach a tp_btf, fentry, fexit or fmod_ret program, with a cookie that it can read."""
        options = CookieOptions(sizeof(CookieOptions), cookie)
        return self._link(
            library().bpf_program__attach_trace_opts(self._address, byref(options)), self.section
        )

    def attach_tracepoint(self, category: str, name: str, cookie: int = 0) -> Link:
        """Attach to a tracepoint of tracefs."""
        options = CookieOptions(sizeof(CookieOptions), cookie)
        return self._link(
            library().bpf_program__attach_tracepoint_opts(
                self._address, category.encode(), name.encode(), byref(options)
            ),
            f"{category}/{name}",
        )

    def attach_raw_tracepoint(self, name: str, cookie: int = 0) -> Link:
        """Attach to a raw tracepoint, with a cookie that it can read where kernel (6.10) and libbpf (1.5) know that."""
        known = library()
        if not cookie:
            address = known.bpf_program__attach_raw_tracepoint(self._address, name.encode())
        elif hasattr(known, "bpf_program__attach_raw_tracepoint_opts"):
            options = CookieOptions(sizeof(CookieOptions), cookie)
            address = known.bpf_program__attach_raw_tracepoint_opts(
                self._address, name.encode(), byref(options)
            )
        else:
            raise Refused(f"libbpf {version()} gives raw tracepoints no cookie", "use libbpf 1.5 or newer")
        return self._link(address, f"raw tracepoint {name}")

    def attach_kprobe(self, function: str, *, returns: bool = False, cookie: int = 0) -> Link:
        """Attach to a kernel function's entry or return. Not exercised where the kernel lacks kprobes."""
        options = KprobeOptions(sizeof(KprobeOptions), cookie, 0, returns, 0)
        return self._link(
            library().bpf_program__attach_kprobe_opts(self._address, function.encode(), byref(options)),
            f"kprobe {function}",
        )

    def attach_uprobe(
        self,
        path: str,
        function: str,
        *,
        offset: int = 0,
        returns: bool = False,
        cookie: int = 0,
        pid: int = -1,
    ) -> Link:
        """Attach to a function of a binary or library, by its symbol and an offset into it, or by the file offset alone."""
        name = function.encode() if function else None
        options = UprobeOptions(sizeof(UprobeOptions), 0, cookie, returns, name, 0)
        return self._link(
            library().bpf_program__attach_uprobe_opts(
                self._address, pid, path.encode(), offset, byref(options)
            ),
            f"uprobe {path}:{function or hex(offset)}",
        )

    def attach_usdt(self, path: str, provider: str, name: str, *, cookie: int = 0, pid: int = -1) -> Link:
        """Attach to a static probe of a binary or library."""
        options = CookieOptions(sizeof(CookieOptions), cookie)
        return self._link(
            library().bpf_program__attach_usdt(
                self._address, pid, path.encode(), provider.encode(), name.encode(), byref(options)
            ),
            f"usdt {path}:{provider}:{name}",
        )

    def attach_cgroup(self, cgroup_fd: int) -> Link:
        """Attach to a cgroup of the unified hierarchy."""
        return self._link(library().bpf_program__attach_cgroup(self._address, cgroup_fd), self.section)

    def _link(self, address: int | None, where: str) -> Link:
        return Link(_pointer(address, f"attaching {self.name} to {where}"))


class Object:
    """An object file: opened, then loaded, then closed. Its maps and programs are known by name from the start."""

    def __init__(self, path: Path, name: str = "") -> None:
        known = library()
        complaints()
        options = OpenOptions(sz=sizeof(OpenOptions), object_name=(name or path.name.split(".")[0]).encode())
        self._path = path
        self._address: int | None = _pointer(
            known.bpf_object__open_file(str(path).encode(), byref(options)), f"opening {path}"
        )
        self.programs: dict[str, Program] = {}
        self._maps: dict[str, int] = {}
        one = known.bpf_object__next_program(self._address, None)
        while one:
            program = Program(one)
            self.programs[program.name] = program
            one = known.bpf_object__next_program(self._address, one)
        one = known.bpf_object__next_map(self._address, None)
        while one:
            self._maps[known.bpf_map__name(one).decode()] = one
            one = known.bpf_object__next_map(self._address, one)

    @property
    def map_names(self) -> tuple[str, ...]:
        """The maps' names."""
        return tuple(self._maps)

    def resize(self, name: str, most: int) -> None:
        """Say how many entries (of a ring: bytes) a map is to have; before the load."""
        check(library().bpf_map__set_max_entries(self._maps[name], most), f"sizing the map {name}")

    def without(self, name: str) -> None:
        """Leave a map out, when no wanted program uses it; before the load."""
        check(library().bpf_map__set_autocreate(self._maps[name], False), f"leaving out the map {name}")

    def share(self, name: str, fd: int) -> None:
        """Use another object's map in the place of this one's; before the load."""
        check(library().bpf_map__reuse_fd(self._maps[name], fd), f"sharing the map {name}")

    def constants(self, name: str, value: bytes, offset: int = 0) -> None:
        """Write into a section of data (such as .rodata) before the load. libbpf names its map `<object>.rodata`."""
        one = next((at for key, at in self._maps.items() if key.endswith(name)), None)
        size = c_size_t()
        start = library().bpf_map__initial_value(one, byref(size)) if one else None
        if not start or offset + len(value) > size.value:
            raise Refused(f"{self._path.name} has no section {name} of {offset + len(value)} bytes")
        ctypes.memmove(start + offset, value, len(value))

    def load(self) -> None:
        """Load the maps and the wanted programs.

        Raises:
            Refused: with the verifier's last lines.

        """
        complaints()
        check(library().bpf_object__load(self._address), f"loading {self._path.name}")

    def map(self, name: str) -> Map:
        """Return a map of a loaded object. Its descriptor lives as long as the object."""
        known = library()
        one = self._maps[name]
        return Map(
            check(known.bpf_map__fd(one), f"asking for the map {name}"), name,
            known.bpf_map__key_size(one), known.bpf_map__value_size(one), known.bpf_map__max_entries(one),
        )  # fmt: skip

    def close(self) -> None:
        """Unload the programs that nothing holds, and the maps. Links must be closed first."""
        if self._address is not None:
            library().bpf_object__close(self._address)
            self._address = None


def loaded_programs() -> dict[int, str]:
    """Return the id and name (at most 15 bytes) of each program in the kernel."""
    known = library()
    found: dict[int, str] = {}
    at = c_uint32(0)
    while known.bpf_prog_get_next_id(at.value, byref(at)) == 0:
        fd = known.bpf_prog_get_fd_by_id(at.value)
        if fd < 0:
            continue
        info = ProgramInfo()
        size = c_uint32(sizeof(info))
        if known.bpf_obj_get_info_by_fd(fd, byref(info), byref(size)) == 0:
            found[at.value] = info.name.decode()
        os.close(fd)
    return found
