"""A template: `python -m fairlead.drivers.rendering.template DESCRIPTOR`. It imports what calls need, and is forked for each.

It hears of calls on a socket, each a descriptor of its own, on which the call comes and its outcome goes. It copies bytes and understands
none of them, so that it stays as good as new. It ends when nobody can ask it any more. Must never have a thread.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

from fairlead.drivers.rendering.children import Child, Limits, Outcome, warm
from fairlead.drivers.rendering.running import _HEADER, REASONS

_MOST_DESCRIPTORS = 16


class Call:
    """One call: first it comes in, then its child runs, then its outcome goes out."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self.child: Child | None = None
        self._data = bytearray()
        self._out: memoryview | None = None
        line.setblocking(False)

    @property
    def waits_for(self) -> dict[int, int]:
        """The descriptors that this waits for, and what for."""
        if self._out is not None:
            return {self.line.fileno(): select.POLLOUT}
        if self.child is not None:
            return {**dict.fromkeys(self.child.descriptors, select.POLLIN), self.line.fileno(): 0}
        return {self.line.fileno(): select.POLLIN}

    def turn(self, ready: dict[int, int]) -> bool:
        """Do what can be done; return whether there is more to come."""
        mine = ready.get(self.line.fileno(), 0)
        if self._out is not None:
            return self._send()
        if self.child is None:
            return self._hear() if mine else True
        if mine & (select.POLLHUP | select.POLLERR):  # nobody waits for it any more
            self.child.end("crash")
        self.child.turn({descriptor for descriptor in ready if descriptor in self.child.descriptors})
        if not self.child.descriptors:
            self._finish(self.child.outcome())
        return True

    def _hear(self) -> bool:
        try:
            piece = self.line.recv(1 << 20)
        except BlockingIOError:
            return True
        if not piece:
            return False
        self._data += piece
        if len(self._data) < _HEADER.size:
            return True
        seconds, memory, entry, names, size = _HEADER.unpack_from(self._data)
        start = _HEADER.size + entry + names
        if len(self._data) >= start + size:
            text = bytes(self._data[_HEADER.size : start]).decode()
            question = bytes(self._data[start : start + size])
            self._data = bytearray()
            try:
                function, absent = warm(text[:entry], tuple(filter(None, text[entry:].split(","))))
                gc.collect()
                gc.freeze()
                self.child = Child(function, question, Limits(seconds, memory), absent)
            except (ImportError, AttributeError, OSError) as error:
                self._finish(Outcome(b"", "crash", f"{type(error).__name__}: {error}"))
        return True

    def _finish(self, outcome: Outcome) -> None:
        body = outcome.answer if not outcome.reason else outcome.detail.encode()
        self._out = memoryview(bytes([REASONS.index(outcome.reason)]) + body)

    def _send(self) -> bool:
        assert self._out is not None
        with suppress(BlockingIOError):
            self._out = self._out[self.line.send(self._out[: 1 << 20]) :]
        return bool(self._out)

    def close(self) -> None:
        """Give the call up."""
        if self.child is not None and self.child.descriptors:
            self.child.end("crash")
            self.child.outcome()
        self.line.close()


def main(descriptor: int) -> None:
    """Serve calls until the other end of the socket is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    control = socket.socket(fileno=descriptor)
    calls: list[Call] = []
    while True:
        poll = select.poll()
        poll.register(control, select.POLLIN)
        for call in calls:
            for watched, events in call.waits_for.items():
                poll.register(watched, events)
        deadlines = [
            call.child.deadline for call in calls if call.child is not None and call.child.descriptors
        ]
        wait = max(min(deadlines) - time.monotonic(), 0) * 1000 + 1 if deadlines else None
        ready = dict(poll.poll(wait))
        if control.fileno() in ready:
            word, received, _, _ = socket.recv_fds(control, 1, _MOST_DESCRIPTORS)
            if not word:
                break
            calls += [Call(socket.socket(fileno=one)) for one in received]
        for call in tuple(calls):
            try:
                more = call.turn(ready)
            except OSError:
                more = False
            if not more:
                call.close()
                calls.remove(call)
    for call in calls:
        call.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
    os._exit(0)
