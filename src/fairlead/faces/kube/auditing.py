"""Writes down what the API is asked: one line of JSON an audit event, in a file that only its owner may read.

While a request is served only a Trail is kept, and the policy is asked once for each sort of request; events are made and written by a
thread of their own. What it cannot keep up with is dropped and counted, never waited for. Secrets and tokens are never written.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import orjson

from fairlead.faces.kube import auditing_events
from fairlead.faces.kube.auditing_events import Trail
from fairlead.faces.kube.auditing_policies import (
    DEFAULT,
    METADATA,
    NONE,
    RESPONSE,
    AuditPolicy,
    BadPolicy,
    Judged,
    read,
)
from fairlead.faces.kube.calls import Answer, Call

log = logging.getLogger("fairlead.kube")
LARGEST_FILE: Final = 64 << 20
"""Bytes of the log before it becomes `.1`, and that one `.2`."""
KEPT_FILES: Final = 2
MOST_WAITING: Final = 64 << 20
"""Bytes of bodies, and of a fixed share for each event, that may wait to be written."""
_EACH: Final = 2048
_SORTS: Final = 4096
"""Sorts of requests whose judgement is remembered."""
_AGAIN_SECONDS: Final = 60.0
_LONGEST_URI: Final = 8192


def open_auditor(asked: str, folder: Path) -> Auditor:
    """Return the auditor for `--audit-policy`: `default`, or a policy's file. Raises BadPolicy or OSError."""
    policy = DEFAULT if asked == "default" else read(Path(asked).read_text(), asked)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Auditor(policy, Log(folder / "audit.jsonl"))


class Auditor:
    """Decides how much is written of each request, and has it written."""

    def __init__(self, policy: AuditPolicy, out: Log) -> None:
        self._policy = policy
        self._log = out
        self._known: OrderedDict[tuple[object, ...], Judged] = OrderedDict()

    @property
    def dropped(self) -> int:
        """Events that were not written, since there were too many or the disk took none."""
        return self._log.dropped

    def begin(self, call: Call, scope: Mapping[str, Any]) -> Trail:
        """Begin to note a request."""
        client = scope.get("client")
        forwarded = call.headers.get("x-forwarded-for", "")
        sources = tuple(one.strip() for one in forwarded.split(",") if one.strip())
        query = scope["query_string"].decode("latin-1")
        uri = f"{call.path}?{query}" if query else call.path
        return Trail(
            str(uuid.uuid4()), time.time_ns(), call.method, uri[:_LONGEST_URI], call.path, call.headers.get("user-agent", "")[:1024],
            (*sources, client[0]) if client else sources, call.headers.get("content-type", ""),
        )  # fmt: skip

    def identified(self, trail: Trail) -> None:
        """Ask the policy, now that it is known who asks for what."""
        asked = trail.asked()
        key = (
            asked.verb, asked.user.name, asked.user.groups, asked.group, asked.resource, asked.subresource, asked.namespace, asked.name,
            asked.path if not asked.resource else "",
        )  # fmt: skip
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._policy.judge(asked)
            if len(self._known) > _SORTS:
                self._known.popitem(last=False)
        trail.judged = found

    def received(self, trail: Trail) -> None:
        """Note that a request has come, where the policy wants that said."""
        self._note(trail, "RequestReceived")

    def started(self, trail: Trail, status: int) -> None:
        """Note that an answer without an end has begun: a watch, a log, a connection."""
        trail.status = status
        self._note(trail, "ResponseStarted")

    def ended(self, trail: Trail, status: int, answer: Answer | None = None) -> None:
        """Note that a request was answered."""
        trail.status = status
        if answer is not None and (trail.judged.level >= RESPONSE or status >= 400):
            trail.answer, trail.answer_type = trail.answer or answer.body, answer.content_type
        elif status < 400:
            trail.answer = b""
        self._note(trail, "ResponseComplete")

    def _note(self, trail: Trail, stage: str) -> None:
        judged = trail.judged
        if judged.level == NONE or stage in judged.omit_stages:
            return
        if judged.level == METADATA and trail.target is None:
            trail.sent = b""
        self._log.put(trail, stage)

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._log.close()


class Log:
    """The file and the thread that writes it."""

    def __init__(self, path: Path, *, largest: int = LARGEST_FILE, kept: int = KEPT_FILES) -> None:
        """Open the file. Raises OSError."""
        self.path = path
        self.dropped = 0
        self._largest = largest
        self._kept = kept
        self._waiting = 0
        self._told = float("-inf")
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[Trail, str, int, int] | None] = queue.SimpleQueue()
        self._file = self._open()
        self._size = os.fstat(self._file.fileno()).st_size
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def put(self, trail: Trail, stage: str) -> None:
        """Have an event written, unless too much waits."""
        size = _EACH + len(trail.sent) + len(trail.answer)
        with self._lock:
            if self._waiting + size > MOST_WAITING:
                self.dropped += 1
                return
            self._waiting += size
        self._queue.put((trail, stage, time.time_ns(), size))

    def close(self) -> None:
        """Write what waits, and end."""
        self._queue.put(None)
        self._thread.join(5)
        self._file.close()

    def _open(self) -> IO[bytes]:
        opened = os.open(
            self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        os.fchmod(opened, 0o600)
        return os.fdopen(opened, "ab", buffering=1 << 16)

    def _run(self) -> None:
        while True:
            found = self._queue.get()
            while found is not None:
                self._write(*found)
                try:
                    found = self._queue.get_nowait()
                except queue.Empty:
                    break
            try:
                self._file.flush()
            except OSError as fault:
                self._lost(fault)
            if found is None:
                return

    def _write(self, trail: Trail, stage: str, at: int, size: int) -> None:
        try:
            line = orjson.dumps(auditing_events.event(trail, stage, at), option=orjson.OPT_APPEND_NEWLINE)
            if self._size and self._size + len(line) > self._largest:
                self._rotate()
            self._file.write(line)
            self._size += len(line)
        except Exception as fault:  # noqa: BLE001 - one odd request must not end the log
            self._lost(fault)
        finally:
            with self._lock:
                self._waiting -= size

    def _rotate(self) -> None:
        self._file.close()
        for at in range(self._kept, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{at}")
            newer = self.path.with_name(f"{self.path.name}.{at - 1}") if at > 1 else self.path
            if newer.exists():
                newer.replace(older)
        self._file = self._open()
        self._size = 0

    def _lost(self, fault: Exception) -> None:
        with self._lock:
            self.dropped += 1
        now = time.monotonic()
        if now - self._told > _AGAIN_SECONDS:
            self._told = now
            log.error("audit events are lost: %s (%d so far)", fault, self.dropped)


__all__ = ["Auditor", "BadPolicy", "Log", "Trail", "open_auditor"]
