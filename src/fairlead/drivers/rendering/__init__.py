"""Running a function on foreign input in a process that has nothing to lose, with limits of time and memory: bytes in, bytes out.

Every call has a process of its own, so nothing is left of one for the next; it is forked, ready to run, from a process that has imported
what it needs. That is the caller itself where it has one thread (a command line: 5 ms), and a template that was started for it where it
has more (a platform: 150 ms the first time), since a process with threads must not be forked.
"""

from fairlead.drivers.rendering.running import WorkerFailed, close, run

__all__ = ["WorkerFailed", "close", "run"]
