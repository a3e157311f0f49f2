"""CUE, evaluated by a program of our own (native/cue, the package `fairlead-cue`) that has nothing to lose.

One process for each evaluation: it starts in milliseconds, and nothing of one package stays for the next. Before it reads anything foreign it
gives up files, ports, other identities and system calls (drivers/confining has the filter); memory is limited by the kernel, time by the
parent, which kills it. What it says is checked before it is believed. Must never know what the CUE is for.
"""

from __future__ import annotations

import base64
import errno
import importlib
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, Final, Literal

import orjson

from fairlead.drivers import confining
from fairlead.render.evaluations import SUFFIXES, Evaluated, Evaluation, Overlay, Place, Problem, Row

SECONDS: Final = 30.0
"""How long an evaluation may take unless the caller says otherwise."""
MEMORY: Final = 1 << 30
"""Bytes that an evaluation may use unless the caller says otherwise."""

_NOBODY: Final = 65534
_RUNTIME: Final = 160 << 20
"""Bytes that the program may map beyond what it is granted: what Go's runtime sets aside before it does anything."""
_LARGEST: Final = 200 << 20
_LARGEST_HEADER: Final = 1 << 20
_LENGTHS: Final = struct.Struct(">II")
_LONGEST_WORDS: Final = 64 << 10
_LAYERS: Final = "fairlead-layers"

Reason = Literal["time", "memory", "depth", "size", "worker"]


class NoCue(Exception):
    """The extra is not installed."""


class CueFailed(Exception):
    """The evaluation did not come to an end: it took too much, or the evaluator broke. `reason` says which."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


def program() -> str:
    """Return the path of the evaluator. Raises NoCue."""
    try:
        found: str = importlib.import_module("fairlead_cue").program()
    except ImportError as error:
        raise NoCue("CUE is not installed") from error
    except FileNotFoundError as error:
        raise NoCue(f"the package fairlead-cue has no program for this machine: {error}") from error
    return found


def version() -> str:
    """Return the version of CUE that is evaluated (`v0.17.1`). Raises NoCue."""
    done = subprocess.run(
        [program(), "--version"], capture_output=True, text=True, check=False, timeout=10, env={}
    )
    return done.stdout.strip()


def evaluate(evaluation: Evaluation, *, seconds: float = SECONDS, memory: int = MEMORY) -> Evaluated:
    """Return what the evaluation comes to; what CUE finds wrong is part of it. Raises NoCue and CueFailed.

    `seconds` counts from the start of the program, `memory` is in bytes.
    """
    header, body = _request(evaluation)
    with _started(seconds) as worker:
        welcome = {
            "filter": _filter(),
            "user": _NOBODY if os.geteuid() == 0 else 0,
            "memory": memory,
            "data": memory + memory // 4 + _RUNTIME,
        }
        try:
            worker.send(frame(welcome))
            worker.hear()
            worker.send(frame(header, body))
            said, found = worker.hear()
        except (OSError, EOFError, TypeError, ValueError) as error:
            raise worker.failure(seconds, memory) from error
    if said.get("fine") is not True:
        raise CueFailed(f"the evaluator failed: {str(said.get('error'))[:400]}", "worker")
    return _answer(evaluation, found)


def frame(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Return what goes over a pipe: the lengths of a header and a body, four bytes each, and then both. The header is JSON."""
    text = orjson.dumps(header)
    return _LENGTHS.pack(len(text), len(body)) + text + body


def heard(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Return the header and the body of the next frame. Raises EOFError when it is not whole, and ValueError for what is no frame."""
    header, body = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if header > _LARGEST_HEADER or body > _LARGEST:
        raise ValueError(f"a frame of {header} and {body} bytes is too large")
    found = orjson.loads(_exactly(stream, header))
    if not isinstance(found, dict):
        raise TypeError("a header is an object")
    return found, _exactly(stream, body)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


class _Worker:
    """A running evaluator, its two pipes, and the thread that keeps what it says on standard error."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.late = False
        self._hears, self._says = process.stdin, process.stdout
        self._words = bytearray()
        self._listener = threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)
        self._listener.start()

    def _listen(self, stream: IO[bytes]) -> None:
        with suppress(OSError, ValueError):
            while piece := stream.read(4096):
                if len(self._words) < _LONGEST_WORDS:
                    self._words += piece

    def late_now(self) -> None:
        """Kill it because its time is over."""
        self.late = True
        self.process.kill()

    def end(self) -> None:
        """Kill it if it still runs, and close what leads to it."""
        self.process.kill()
        self.process.wait()
        self._listener.join(1)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def send(self, frame: bytes) -> None:
        self._hears.write(frame)
        self._hears.flush()

    def hear(self) -> tuple[dict[str, Any], bytes]:
        return heard(self._says)

    def failure(self, seconds: float, memory: int) -> CueFailed:
        """Return why it ended, in words for the author of what it was evaluating."""
        if self.late:
            return CueFailed(f"the evaluation did not end within {seconds:g} s", "time")
        self.process.kill()
        self.process.wait()
        self._listener.join(1)
        words = bytes(self._words).decode(errors="replace")
        if "stack exceeds" in words or "stack overflow" in words:
            return CueFailed(
                "the evaluation nests too deeply: a value that refers to itself, or very deep data", "depth"
            )
        # Go's runtime can also meet the kernel's limit where it does not expect to, and then it breaks.
        if any(said in words for said in ("out of memory", "cannot allocate", "SIGSEGV", "SIGBUS")):
            return CueFailed(
                f"the evaluation needs more than the {memory >> 20} MiB of memory that it may have", "memory"
            )
        last = words.strip().partition("\n")[0][:300] or f"it ended with {self.process.returncode}"
        return CueFailed(f"the evaluator failed: {last}", "worker")


@contextmanager
def _started(seconds: float) -> Iterator[_Worker]:
    """Give a fresh evaluator that is killed after so many seconds, and in any case at the end."""
    try:
        process = subprocess.Popen(
            [program()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"GOTRACEBACK": "none", "GOMAXPROCS": "2"},
            start_new_session=True,
        )
    except OSError as error:
        raise NoCue(f"the program of fairlead-cue does not start: {error}") from error
    worker = _Worker(process)
    timer = threading.Timer(seconds, worker.late_now)
    timer.daemon = True
    timer.start()
    try:
        yield worker
    finally:
        timer.cancel()
        worker.end()


def _filter() -> str:
    """Return the filter of system calls for a program that only computes, as text; "" where none can be made."""
    if sys.platform != "linux":
        return ""
    try:
        found = confining.assemble(dict.fromkeys(confining.FOREIGN, errno.EPERM), os.uname().machine)
    except ValueError:
        return ""
    return base64.b64encode(found).decode()


def _request(evaluation: Evaluation) -> tuple[dict[str, Any], bytes]:
    files: list[dict[str, Any]] = []
    bodies: list[bytes] = []

    def add(path: str, data: bytes, **more: Any) -> None:
        files.append({"path": path, "size": len(data), **more})
        bodies.append(data)

    for path, data in evaluation.files.items():
        add(path, data, **{"as": evaluation.called.get(path, ""), "support": path in evaluation.support})
    merge = None
    if evaluation.merge is not None:
        names = []
        for index, overlay in enumerate(evaluation.merge.overlays):
            names.append(_layer(index, overlay))
            add(
                names[-1],
                overlay.data,
                **{"layer": True, "holes": overlay.holes, "as": overlay.called or overlay.name},
            )
        wanted = evaluation.merge
        merge = {"file": wanted.file, "path": wanted.path, "package": wanted.package, "layers": names}
    if sum(map(len, bodies)) > _LARGEST:
        raise CueFailed(f"the files have more than the {_LARGEST >> 20} MiB that can be evaluated", "size")
    inject = evaluation.inject
    return {
        "files": files,
        "package": evaluation.package,
        "entry": list(evaluation.entry),
        "tags": dict(evaluation.tags),
        "vars": dict(evaluation.variables),
        "merge": merge,
        "inject": inject
        and {"attribute": inject.attribute, "kind": inject.kind, "values": dict(inject.values)},
        "seek": [
            {
                "path": seek.path,
                "optional": seek.optional,
                "check": seek.check,
                "partial": seek.partial,
                "fields": seek.fields,
            }
            for seek in evaluation.seek
        ],
    }, b"".join(bodies)


def _layer(index: int, overlay: Overlay) -> str:
    suffix = next((end for end in SUFFIXES if overlay.name.endswith(end)), ".yaml")
    return f"{_LAYERS}/{index}{suffix}"


def _answer(evaluation: Evaluation, body: bytes) -> Evaluated:
    """Read what the evaluator says. Raises CueFailed for what is no answer."""
    try:
        found = orjson.loads(body)
        problems = tuple(
            Problem(_text(one["message"]), _text(one["path"]), tuple(_place(at) for at in one["places"]))
            for one in found["problems"]
        )
        if problems:
            return Evaluated(problems=problems)
        values: dict[str, Any] = {}
        rows: dict[str, tuple[Row, ...]] = {}
        for seek, one in zip(evaluation.seek, found["found"], strict=True):
            if seek.fields:
                rows[seek.path] = tuple(_row(row) for row in one.get("rows") or ())
            elif one["there"] and not seek.check:
                values[seek.path] = one["json"]
    except orjson.JSONDecodeError as error:
        if "depth" in str(error) or "recursion" in str(error):
            raise CueFailed("the result nests too deeply to be read", "depth") from error
        raise CueFailed(f"the result cannot be read: {error}", "worker") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CueFailed("the evaluator's answer cannot be read", "worker") from error
    return Evaluated(values, rows)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _place(value: Mapping[str, Any]) -> Place:
    return Place(_text(value["file"]), int(value["line"]), int(value["column"]))


def _row(row: Mapping[str, Any]) -> Row:
    return Row(
        path=tuple(_text(part) for part in row["path"]),
        type=_text(row["type"]),
        kinds=tuple(_text(kind) for kind in row["kinds"]),
        default=_text(row.get("default", "")),
        doc=_text(row.get("doc", "")),
        optional=bool(row.get("optional")),
        required=bool(row.get("required")),
        hidden=bool(row.get("hidden")),
        place=_place(row["place"]),
    )
