"""`fairlead judge test`: run the test files that policies come with, as their own tools run them.

Exit code 0 when every case holds, 1 when one does not, 2 when nothing could be run.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.diagnose import colour_option, pen, print_document
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.faces.cli.pens import Pen
    from fairlead.judge.suites import Row
    from fairlead.reactor.suites import Run

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead judge test policies/              every test file under a folder
  fairlead judge test policies/ --filter pod-security
  fairlead judge test . -o json | jq .summary

test files: kyverno-test.yaml (cli.kyverno.io Test), suite.yaml (test.gatekeeper.sh Suite)

exit codes: 0 every case holds, 1 one does not, 2 nothing could be run
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line; main calls it `judge test`."""
    parser = verbs.add_parser(
        "judge-test",
        prog="fairlead judge test",
        description="Run the test files that policies come with, as their own tools run them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="DIR", help="a folder, or a test file")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only test files whose path holds this")
    parser.add_argument("--all", action="store_true", dest="every", help="tell also the cases that hold")
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    colour_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the tests, print, and return the exit code."""
    from fairlead.faces.cli.findings import VERSION
    from fairlead.reactor.suites import run as run_suites

    try:
        runs = list(_watched(run_suites(args.paths, args.filter)))
    except OSError as error:
        raise Problem(f"cannot read {error.filename}: {error.strerror}", code=2) from error
    if not runs:
        where = ", ".join(map(str, args.paths))
        raise Problem(f"no test files in {where}", "kyverno-test.yaml and suite.yaml are looked for", code=2)
    counts = summary(runs)
    if args.output == "table":
        for line in _table(runs, counts, pen(args), every=args.every):
            print(line)
    else:
        print_document({"apiVersion": VERSION, "kind": "TestRun", "summary": counts,
                        "results": [_row(one.file, row) for one in runs for row in one.rows]}, args.output)  # fmt: skip
    return 1 if counts["failed"] or counts["errors"] else 0


def _watched(runs: Iterator[Run]) -> Iterator[Run]:
    """Yield the runs, and count them on a terminal as they come."""
    shown = sys.stderr.isatty()
    for number, one in enumerate(runs, 1):
        if shown:
            print(f"\r{number} test files", end="", file=sys.stderr, flush=True)
        yield one
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def state(row: Row) -> str:
    """Return passed, failed, skipped or errors: under which count a case goes."""
    if row.skipped:
        return "skipped"
    if row.error:
        return "errors"
    return "passed" if row.ok else "failed"


def summary(runs: list[Run]) -> dict[str, int]:
    """Return how many test files there are, and how many of their cases passed, failed, were skipped or could not be run."""
    counted = Counter(state(row) for one in runs for row in one.rows)
    return {"files": len(runs), **{key: counted[key] for key in ("passed", "failed", "skipped", "errors")}}


def _row(file: str, row: Row) -> dict[str, Any]:
    told = {
        "file": file,
        "policy": row.policy,
        "rule": row.rule,
        "kind": row.kind,
        "resource": row.resource,
        "want": row.wanted,
        "got": row.got,
        "result": {"errors": "error"}.get(state(row), state(row)),
        "reason": row.reason,
        "message": row.message,
    }
    return {
        key: value for key, value in told.items() if value or key in {"policy", "resource", "want", "got"}
    }


_MARKS = {"passed": ("✔", "32"), "failed": ("✖", "31;1"), "skipped": ("·", "2"), "errors": ("!", "35;1")}


def _table(runs: list[Run], counts: dict[str, int], ink: Pen, *, every: bool) -> Iterator[str]:
    for one in runs:
        own = summary([one])
        good = not own["failed"] and not own["errors"]
        if good and not every:
            continue
        mark, code = _MARKS["passed" if good else "failed"]
        yield ink.paint(f"{mark} {one.file}", code)
        for row in one.rows:
            if every or state(row) in {"failed", "errors"}:
                yield from _told(row, ink)
        if not good:
            for finding in one.findings:
                yield from ink.wrap(f"{finding.subject}: {finding.message} {finding.where}", "    ", "2")
    looked = f"{counts['files']} test files"
    good = not counts["failed"] and not counts["errors"]
    mark, code = _MARKS["passed" if good else "failed"]
    told = ", ".join(f"{counts[key]} {key}" for key in ("passed", "failed", "skipped", "errors"))
    yield f"{ink.paint(mark, code)} {told} ({looked})"


def _told(row: Row, ink: Pen) -> Iterator[str]:
    mark, code = _MARKS[state(row)]
    rule = f"{row.policy}/{row.rule}" if row.rule else row.policy
    about = f"{row.kind} {row.resource}".strip()
    wanted = "" if row.ok else f": want {row.wanted}, got {row.got or 'nothing'}"
    yield "  " + ink.paint(mark, code) + f" {rule}  {about}{wanted}"
    if not row.ok:
        yield from ink.wrap(" ".join(part for part in (row.reason, row.message) if part), "      ", "2")
