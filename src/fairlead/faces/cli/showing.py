"""What `fairlead sense` prints: what passes the command's filters, in the form that it asks for. Watches nothing, and judges nothing.

Loaded only when something is shown, so that other commands start as fast as before.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from fairlead.faces.cli import happenings
from fairlead.sense.events import printable
from fairlead.sense.findings import Ledger

if TYPE_CHECKING:
    from fairlead.faces.cli.pens import Pen
    from fairlead.reactor.sensing_steps import Step
    from fairlead.sense.events import Container, Event, Process
    from fairlead.sense.rules import Detection
    from fairlead.words import Finding


def told(one: Finding) -> str:
    """Return a finding about a rule file in one line, with nothing that a terminal would obey."""
    where = str(one.where) or one.subject.name
    return printable(f"{one.severity}: {where}: {one.message}" + (f" {one.cause}" if one.cause else ""))


def many(count: int, what: str) -> str:
    """Return a number of things in words: `1 rule`, `2 rules`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


class Show:
    """Prints what passes the command's filters, in the form that it asks for.

    `heard` writes down at once what is to be told of an event, `step` prints it.
    """

    def __init__(self, args: argparse.Namespace, pen_: Pen, *, silent: bool) -> None:
        self._args = args
        self._stream = happenings.Stream(pen_, _width())
        self._pen = pen_
        self._lines: list[str] = []
        self._ledger = Ledger(platform.node())
        self._told: Callable[[Event | Detection], Iterator[str]] = getattr(self, f"_{args.output}")()
        self._roots = set(args.pid)
        self.silent = silent
        self.detections = 0

    def heard(self, event: Event, detections: Sequence[Detection]) -> None:
        """Write down what is to be told of an event and of what rules said of it."""
        if (self.silent and not detections) or not self._wanted(event):
            return
        if not self.silent:
            self._lines.extend(self._told(event))
        for one in detections:
            if self._ruled(one):
                self.detections += 1
                self._lines.extend(self._told(one))

    def step(self, step: Step) -> None:
        """Print what was written down, and what else one step brought."""
        self._aside(step)
        lines, self._lines = self._lines, []
        for line in (*lines, *self._stream.lines()):
            print(line)
        for finding in step.findings:
            if finding.rule != "sense.dropped":  # told below
                print(told(finding), file=sys.stderr)
        for name, count in (step.dropped or {}).items():
            print(
                f"warning: {count} events of class {name} were lost: nobody read them in time",
                file=sys.stderr,
            )
        sys.stdout.flush()

    def _aside(self, step: Step) -> None:
        """Write down what comes by other ways than rules: what was refused, and containers that ended badly."""
        args = self._args
        for refusal in step.prevented if not args.pod else ():
            if not self._roots or refusal.pid in self._roots:
                name = refusal.owner.partition("/")[2].lower()
                if (not args.binary or _fits(refusal.exe, args.binary)) and (
                    not args.rule or _fits(name, [one.lower() + "*" for one in args.rule])
                ):
                    self.detections += 1
                    if args.output == "text":
                        self._stream.prevented(refusal)
                    elif args.output == "json":
                        self._lines.append(json.dumps(happenings.refusal_json(refusal)))
        for died in step.died if not (args.pid or args.binary or args.rule) else ():
            if not args.pod or any(_is_pod(died.container, one) for one in args.pod):
                if args.output == "text":
                    self._stream.died(died, time.time_ns())
                elif args.output == "json":
                    self._lines.append(json.dumps(happenings.death_json(died)))

    def end(self) -> int:
        """Tell the findings, where those are asked for. Return the exit code: 1 when a run that was to end by itself found something."""
        if self._args.output == "findings":
            from fairlead.faces.cli import stories

            for one in self._ledger.findings():
                print("\n".join(stories.finding(one, self._pen, command="")))
            print(many(len(self._ledger), "finding"))
        return 1 if self.detections and (self._args.replay or self._args.seconds is not None) else 0

    def _wanted(self, event: Event) -> bool:
        process = event.process
        if self._roots and not _descends(process, self._roots):
            return False
        if self._args.binary and not _fits(process.exe, self._args.binary):
            return False
        return not self._args.pod or any(_is_pod(process.container, one) for one in self._args.pod)

    def _ruled(self, one: Detection) -> bool:
        wanted = self._args.rule
        return not wanted or _fits(one.rule.name.lower(), [name.lower() for name in wanted])

    def _text(self) -> Callable[[Event | Detection], Iterator[str]]:
        from fairlead.sense.findings import message_of
        from fairlead.sense.rules import Detection

        def note(one: Event | Detection) -> Iterator[str]:
            if isinstance(one, Detection):
                self._stream.detection(one, message_of(one))
            else:
                self._stream.event(one)
            return iter(())

        return note

    def _json(self) -> Callable[[Event | Detection], Iterator[str]]:
        from fairlead.sense.findings import message_of
        from fairlead.sense.rules import Detection

        def lines(one: Event | Detection) -> Iterator[str]:
            if isinstance(one, Detection):
                rule = {
                    "name": one.rule.name,
                    "dialect": one.rule.dialect,
                    "severity": one.rule.severity,
                    "priority": one.rule.priority,
                }
                yield json.dumps(
                    {
                        "rule": {**rule, "tags": one.rule.tags},
                        "message": message_of(one),
                        **happenings.as_json(one.event),
                    }
                )
            elif one.kind in {"exec", "exited"}:
                yield json.dumps(happenings.as_json(one))

        return lines

    def _findings(self) -> Callable[[Event | Detection], Iterator[str]]:
        from fairlead.sense.rules import Detection

        def lines(one: Event | Detection) -> Iterator[str]:
            if isinstance(one, Detection):
                self._ledger.add(one)
            return iter(())

        return lines

    def _falco(self) -> Callable[[Event | Detection], Iterator[str]]:
        from fairlead.dialects import falco
        from fairlead.sense.rules import Detection

        def lines(one: Event | Detection) -> Iterator[str]:
            if isinstance(one, Detection) and one.rule.dialect == "falco":
                yield falco.json_line(one, platform.node())

        return lines

    def _tetragon(self) -> Callable[[Event | Detection], Iterator[str]]:
        from fairlead.dialects.tracingpolicy import Host, events
        from fairlead.drivers import procfs
        from fairlead.sense.rules import Detection

        home = Host(namespaces=procfs.namespaces(1)).home
        exporter = events.Exporter(node=platform.node(), machine=platform.machine(), home=home)

        def lines(one: Event | Detection) -> Iterator[str]:
            found = exporter.detected(one) if isinstance(one, Detection) else exporter.event(one)
            if found is not None:
                yield events.line(found)

        return lines

    def _tracee(self) -> Callable[[Event | Detection], Iterator[str]]:
        from fairlead.dialects.tracee import writing
        from fairlead.sense.rules import Detection

        def lines(one: Event | Detection) -> Iterator[str]:
            if isinstance(one, Detection) and one.rule.dialect == "tracee":
                yield json.dumps(writing.event(one, platform.node()))

        return lines


def _descends(process: Process, roots: set[int]) -> bool:
    return process.pid in roots or any(one.pid in roots for one in process.ancestors())


def _fits(text: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(text, one) for one in patterns)


def _is_pod(container: Container | None, pattern: str) -> bool:
    if container is None or not container.pod:
        return False
    name = f"{container.pod_namespace}/{container.pod}" if "/" in pattern else container.pod
    return fnmatch.fnmatchcase(name, pattern)


def _width() -> int:
    """Return the columns of the terminal that is written to, 0 where it is none and nobody says."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return max(40, shutil.get_terminal_size().columns)
    return 0
