"""`fairlead sense`: what every process of this machine does, judged by rules, as it happens or from a recording.

Exit code 0 when it ended as asked, 1 when it could not go on or (with --replay or --seconds) something was found, 2 when the
command, a rule file or a recording cannot be understood. Needs root, except for --replay and --check.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import math
import os
import platform
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.faces.cli.diagnose import colour_option, pen
from fairlead.faces.cli.lifecycle import data_dir_option, places
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.faces.cli import showing
    from fairlead.reactor.sensing import Sensing
    from fairlead.reactor.sensing_rules import Ruleset
    from fairlead.reactor.sensing_steps import Started
    from fairlead.words import Finding

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead sense                                   every process that starts and ends, with those who started it
  fairlead sense --rules falco_rules.yaml          what Falco's rules see, one finding each, as it happens
  fairlead sense --policies tracing/ -o tetragon   what TracingPolicies see, as Tetragon writes it
  fairlead sense --pod shop/api --binary '*/sh'    only what a pod's shells do
  fairlead sense --rules rules/ --record run.fls   keep what the kernel told, too
  fairlead sense --rules rules/ --replay run.fls   the same findings again, on any machine, without root
  fairlead sense --rules rules/ --check            read the rules, say what is wrong with them, and end
  fairlead sense doctor                            what this kernel allows, what is used instead of what, what is lost
  fairlead sense unpin                             take back what was pinned to outlive its sensor

rules: Falco (lists, macros, rules), Tetragon (TracingPolicy), Tracee (Policy, detectors), in files or folders;
  `--behaviours` adds fairlead's own detectors

exit codes: 0 it ended as asked, 1 it could not go on or found something (--replay, --seconds), 2 it could not begin
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "sense",
        help="see what every process does, judged by Falco, Tetragon and Tracee rules",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=("watch", "doctor", "unpin"), default="watch",
                        help="watch (the default), doctor or unpin")  # fmt: skip
    parser.add_argument("--rules", action="append", default=[], type=Path, metavar="FILE",
                        help="a file or folder of rules, of any dialect (repeatable)")  # fmt: skip
    parser.add_argument("--policies", action="append", default=[], type=Path, metavar="FILE", dest="rules",
                        help="the same")  # fmt: skip
    parser.add_argument(
        "--behaviours", action="store_true", help="fairlead's own detectors of hostile behaviour"
    )
    parser.add_argument("--check", action="store_true", help="read the rules, say what is wrong, and end")
    parser.add_argument("-o", "--output", choices=("text", "findings", "json", "yaml", "table", "falco", "tetragon", "tracee"), default="text",
                        help="text, findings (counted, at the end), json (a line each), falco (JSON lines), tetragon, tracee; "
                             "doctor: table, json, yaml")  # fmt: skip
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--pid",
        action="append",
        default=[],
        type=int,
        metavar="PID",
        help="a process and those it starts (repeatable)",
    )
    shown.add_argument(
        "--pod", action="append", default=[], metavar="[NS/]NAME", help="pods, with wildcards (repeatable)"
    )
    shown.add_argument(
        "--binary",
        action="append",
        default=[],
        metavar="PATH",
        help="executables, with wildcards (repeatable)",
    )
    shown.add_argument(
        "--rule", action="append", default=[], metavar="NAME", help="rules, with wildcards (repeatable)"
    )
    shown.add_argument(
        "--priority",
        default="Debug",
        type=_priority,
        metavar="P",
        help="Falco rules of this priority or worse",
    )
    shown.add_argument("--events", action="store_true", help="processes too, although rules are given")
    how = parser.add_argument_group("how")
    how.add_argument("--seconds", type=_seconds, default=None, metavar="N", help="end after so long")
    how.add_argument(
        "--record", type=Path, default=None, metavar="FILE", help="write what the kernel tells into a file"
    )
    how.add_argument(
        "--replay", type=Path, default=None, metavar="FILE", help="read a recording instead of the kernel"
    )
    how.add_argument("--pin", action="store_true",
                     help="what policies refuse stays refused after this ends, until `fairlead sense unpin`")  # fmt: skip
    how.add_argument(
        "--metrics", type=_port, default=None, metavar="PORT", help="serve Prometheus metrics on loopback"
    )
    colour_option(parser)
    data_dir_option(parser)
    parser.set_defaults(run=run)


def _priority(text: str) -> str:
    from fairlead.dialects.falco.collecting import PRIORITIES, priority_of

    found = priority_of(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no priority: {', '.join(PRIORITIES).lower()}")
    return found


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return number


def run(args: argparse.Namespace) -> int:
    """Do what the command asks; return the exit code."""
    if platform.system() != "Linux":
        raise Problem(
            "nothing can be watched here: watching needs Linux", "the rest of fairlead works without it"
        )
    if args.action == "doctor":
        from fairlead.faces.cli import sensedoctor

        return sensedoctor.run(args)
    if args.action == "unpin":
        return _unpin()
    if args.output in {"yaml", "table"}:
        raise Problem(
            f"-o {args.output} is for `fairlead sense doctor`",
            "a stream is text, findings, json, falco, tetragon or tracee",
            code=2,
        )
    if args.output in {"falco", "tracee", "findings"} and not (args.rules or args.behaviours):
        raise Problem(f"-o {args.output} tells what rules find", "name some with --rules", code=2)
    if args.record and args.replay:
        raise Problem("--record and --replay exclude each other", code=2)
    if args.check:
        return _check(args)
    return asyncio.run(_watch(args))


def files(args: argparse.Namespace) -> list[tuple[str, str]]:
    """Return (name, text) of every file of rules that the command names; what cannot be read is told on standard error."""
    from fairlead.faces.cli import showing

    found, wrong = _read(args)
    for one in wrong:
        print(showing.told(one), file=sys.stderr)
    return found


def _read(args: argparse.Namespace) -> tuple[list[tuple[str, str]], list[Finding]]:
    from fairlead.reactor import sensing_rules

    for path in args.rules:
        try:
            path.stat()
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            why = "no such file or folder" if missing else error.strerror or str(error)
            raise Problem(f"{path}: {why}", code=2) from error
    return sensing_rules.read(args.rules)


def ruleset(args: argparse.Namespace, abilities: frozenset[str]) -> Ruleset:
    """Return what the files come to on a kernel with these abilities; its findings begin with those about files that cannot be read."""
    from fairlead.reactor import sensing_rules

    found, wrong = _read(args)
    surroundings = sensing_rules.Surroundings(abilities=abilities)
    made = sensing_rules.load(found, surroundings, minimum=args.priority, own=args.behaviours)
    return replace(made, findings=(*wrong, *made.findings))


def _check(args: argparse.Namespace) -> int:
    """Read the rules as on a kernel that has everything, say what is wrong with them, and count them."""
    from fairlead.faces.cli import showing
    from fairlead.sense.judging import Engine

    everything = frozenset(
        {"kprobe", "fentry", "lsm", "uprobe", "usdt", "tracepoint", "rawtracepoint", "syscalls"}
    )
    found = ruleset(args, everything)
    findings = [*found.findings, *Engine(found.rules).findings]
    for one in findings:
        print(showing.told(one))
    audit = len(found.auditor.rules) if found.auditor is not None else 0
    enabled = sum(rule.enabled for rule in found.rules)
    print(
        f"{showing.many(enabled, 'rule')} about processes, {audit} about audit events, {showing.many(len(findings), 'finding')}"
    )
    return 1 if any(one.severity != "info" for one in findings) else 0


def _unpin() -> int:
    from fairlead.drivers.kernel import Refused, pinning

    try:
        gone = pinning.unpin()
    except Refused as error:
        raise Problem(str(error), error.hint or ("run it as root" if os.geteuid() else "")) from error
    for one in gone:
        print(f"{one.kind} {one.name} ({one.owner}) is no longer pinned")
    if not gone:
        print("nothing was pinned")
    return 0


async def _watch(args: argparse.Namespace) -> int:
    """Stream until told to stop, the time is up or the recording ends."""
    from fairlead.drivers.kernel import Refused
    from fairlead.faces.cli import showing
    from fairlead.reactor.sensing import Sensing
    from fairlead.reactor.sensing_recordings import BadRecording
    from fairlead.reactor.sensing_replaying import Replaying
    from fairlead.reactor.sensing_steps import Options

    ruled = bool(args.rules or args.behaviours)
    show = showing.Show(args, pen(args), silent=ruled and not args.events and args.output != "tetragon")
    options = Options(
        files=files(args),
        behaviours=args.behaviours,
        minimum=args.priority,
        data_dir=None if args.replay else _platform(args),
        always=not show.silent,
        heard=show.heard,
        record=args.record,
        pin="sensor" if args.pin else "",
    )
    if args.replay:
        try:
            replaying = Replaying(args.replay, options)
            _begin(replaying.started, args)
            for step in replaying.steps():
                show.step(step)
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno == errno.ENOSPC:  # no reading runs into that: it is the output's
                raise
            raise Problem(f"{args.replay}: {error.strerror or error}", code=2) from error
        except BadRecording as error:
            raise Problem(str(error), code=2) from error
        return show.end()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sensing = Sensing(options)
    try:
        started = await sensing.start()
    except Refused as error:
        raise Problem(f"nothing can be watched here: {_short(error)}", error.hint) from error
    except OSError as error:
        raise Problem(f"{error.filename or 'the sensor'}: {error.strerror or error}") from error
    try:
        _begin(started, args)
        async with metrics(sensing, args.metrics):
            await _pump(sensing, show, stop, args.seconds)
    except Refused as error:
        raise Problem(f"nothing can be watched any more: {error}", error.hint) from error
    finally:
        await sensing.stop()
    return show.end()


def _short(error: Exception) -> str:
    """Return what the kernel said; who has no rights needs no more of it."""
    return str(error) if os.geteuid() == 0 else str(error).partition(": libbpf:")[0]


def _platform(args: argparse.Namespace) -> Path | None:
    """Return the directory of a platform of this machine, None where there is none or it is somebody else's."""
    root = places(args).root
    try:
        return root if root.is_dir() else None
    except PermissionError:
        return None


async def _pump(sensing: Sensing, show: showing.Show, stop: asyncio.Event, seconds: float | None) -> None:
    """Show one step after the other, and at the end what came until then."""
    sensing.dedicate()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds if seconds is not None else None
    while not stop.is_set() and (until is None or loop.time() < until):
        show.step(await sensing.step())
        await sensing.rest()
    show.step(await sensing.step())


@contextlib.asynccontextmanager
async def metrics(sensing: Sensing, port: int | None) -> AsyncIterator[None]:
    """Serve the sensor's metrics on loopback while the context lasts, where a port is given."""
    if port is None:
        yield
        return
    from fairlead.reactor.sensing_metrics import serve

    try:
        server = await serve(sensing.metrics, port)
    except OSError as error:
        raise Problem(f"metrics cannot be served on port {port}: {error.strerror or error}") from error
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


def _begin(started: Started, args: argparse.Namespace) -> None:
    """Say on standard error what cannot be watched, and that the watching has begun. Mere notes are counted: --check and the doctor tell them."""
    from fairlead.faces.cli import showing

    grave = [one for one in started.findings if one.severity != "info"]
    for line in [*map(showing.told, grave), *started.remarks]:
        print(line, file=sys.stderr)
    if not args.replay:
        rules = sum(rule.enabled for rule in started.ruleset.rules)
        what = showing.many(rules, "rule") if rules else "every process"
        notes = len(started.findings) - len(grave)
        more = f" ({showing.many(notes, 'note')} on them: --check)" if notes else ""
        print(f"watching {what}{more}; Ctrl-C ends it", file=sys.stderr, flush=True)
