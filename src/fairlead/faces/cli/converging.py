"""What `apply`, `diff`, `status`, `delete`, `list`, `history` and `rollback` share: their options, who listens, and how it ended.

Prints; decides nothing. Must never print a Secret's value.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.converge.differing import ABSENT, Difference
from fairlead.converge.planning import BLOCKS, DONE, Plan, Step
from fairlead.faces.cli import diagnose
from fairlead.faces.cli.places import default_data_dir
from fairlead.faces.cli.problems import Problem
from fairlead.reactor.converging import Converger, Options, Outcome, Told

if TYPE_CHECKING:
    from fairlead.converge.stages import Instance
    from fairlead.converge.waiting import Blocker
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.faces.cli.pens import Pen
    from fairlead.reactor.converging_planning import Draft
    from fairlead.words import Finding, Ref

COLOURS = {
    "create": "32", "configure": "33", "recreate": "31", "take over": "35", "prune": "31", "conflict": "31", "refused": "31",
}  # fmt: skip
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?\Z")
SAID_EVERY = 10.0
"""Seconds between two lines on what is waited for, where standard error is no terminal."""


def duration(text: str) -> float:
    """Return the seconds of `5m`, `90s`, `1h30m` or `300`. Raises argparse.ArgumentTypeError."""
    found = _DURATION.match(text)
    if not text or found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: say 5m, 90s or 1h30m")
    hours, minutes, seconds = (float(one or 0) for one in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def where_options(parser: argparse.ArgumentParser, *, every: bool = False) -> None:
    """Add the options that choose a cluster and a namespace, or with `every` all of them."""
    group = parser.add_argument_group("which cluster")
    group.add_argument("--kubeconfig", type=Path, default=None, metavar="F", help="a kubeconfig file")
    group.add_argument(
        "--context", default="", metavar="NAME", help="a context of the kubeconfig (default: its current one)"
    )
    group.add_argument(
        "--data-dir",
        type=Path,
        default=None,
        metavar="D",
        help="the platform of `fairlead up --data-dir D` (default, unless $KUBECONFIG is set: "
        f"{default_data_dir()} if there is one)",
    )
    default = "all" if every else "the context's"
    group.add_argument(
        "-n",
        "--namespace",
        default="",
        metavar="NS",
        help=f"the namespace of the instance (default: {default})",
    )
    if every:
        group.add_argument(
            "-A", "--all-namespaces", action="store_true", help="all namespaces, which is the default"
        )


def waiting_options(parser: argparse.ArgumentParser) -> None:
    """Add --wait, --no-wait and --timeout."""
    parser.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="wait until everything is healthy, or gone (default: yes)",
    )
    parser.add_argument(
        "--timeout",
        type=duration,
        default=300.0,
        metavar="TIME",
        help="how long each stage may take to become healthy (default: 5m)",
    )


def policy_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what may be done to what is there."""
    parser.add_argument(
        "--force",
        action="store_true",
        help="delete and make anew what has a changed field that cannot be changed",
    )
    parser.add_argument(
        "--force-conflicts", action="store_true", help="take fields from the managers that own them"
    )
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="take over objects of kubectl apply, of Helm releases and of other instances",
    )
    parser.add_argument(
        "--prune",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="delete what an earlier revision made and this one no longer has (default: yes)",
    )
    crds_option(parser)
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="FILE",
        help="policies of any format that every object must pass, besides those of the cluster (repeatable)",
    )


def crds_option(parser: argparse.ArgumentParser) -> None:
    """Add --delete-crds and --keep-crds."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--delete-crds",
        action="store_true",
        help="also delete CustomResourceDefinitions, with every object of their kinds",
    )
    group.add_argument("--keep-crds", action="store_true", help="keep them, which is the default")


def options(args: argparse.Namespace) -> Options:
    """Return how to apply, as the arguments say. Raises Problem."""
    from fairlead.converge.planning import Policy

    texts = diagnose.read_paths(args.policy) if getattr(args, "policy", None) else {}
    return Options(
        policy=Policy(
            recreate=getattr(args, "force", False),
            force_conflicts=getattr(args, "force_conflicts", False),
            take_over=getattr(args, "take_over", False),
            prune=getattr(args, "prune", True),
            delete_definitions=getattr(args, "delete_crds", False),
        ),
        dry_run=bool(getattr(args, "dry_run", "")),
        wait=getattr(args, "wait", True),
        seconds=getattr(args, "timeout", 300.0),
        create_namespace=getattr(args, "create_namespace", False),
        rollback_on_failure=getattr(args, "rollback_on_failure", False),
        test=getattr(args, "test", False),
        policies=texts,
    )


def instance(args: argparse.Namespace, cluster: AsyncCluster, name: str) -> Instance:
    """Return the instance that is meant. Raises Problem for a name that none can have."""
    from fairlead.converge.revisions import BadRecord, check_name
    from fairlead.converge.stages import Instance

    try:
        check_name(name)
    except BadRecord as error:
        raise Problem(str(error), code=2) from error
    return Instance(name, args.namespace or cluster.access.namespace or "default")


@contextlib.asynccontextmanager
async def cluster_of(args: argparse.Namespace) -> AsyncIterator[AsyncCluster]:
    """Give a client for the cluster that is meant; what goes wrong is a Problem."""
    from fairlead.converge.health import BadCheck
    from fairlead.converge.resuming import NoWayBack
    from fairlead.converge.revisions import BadRecord
    from fairlead.converge.stages import Unfit
    from fairlead.drivers.exchanging import DirectCluster
    from fairlead.reactor.converging_locking import Locked
    from fairlead.reactor.converging_planning import NoNamespace

    try:
        async with diagnose.open_cluster(args) as opened, DirectCluster(opened.access) as cluster:
            yield cluster
    except NoNamespace as error:
        raise Problem(str(error), "--create-namespace makes it", code=1) from error
    except Locked as error:
        raise Problem(
            str(error), "wait for its end: a run that died frees the instance within seconds"
        ) from error
    except BadRecord as error:
        lost = "if it is lost, delete that Secret: the revision before is the last one then"
        raise Problem(str(error), lost if str(error).startswith("Secret ") else "") from error
    except NoWayBack as error:
        raise Problem(str(error)) from error
    except (Unfit, BadCheck) as error:
        raise Problem(str(error), code=2) from error


def converger(args: argparse.Namespace, cluster: AsyncCluster, told: Told) -> Converger:
    """Return what works on the cluster; expired credentials are read anew."""
    return Converger(cluster, told=told, renew=lambda: diagnose.connect(args))


class Teller(Told):
    """Tells a person how it goes: steps as they are done, and what is waited for."""

    def __init__(
        self,
        pen: Pen,
        *,
        quiet: bool = False,
        detailed: bool = False,
        asks: bool = False,
        pruned: str = "pruned",
    ) -> None:
        self._pen, self._quiet, self._detailed, self._asks = pen, quiet, detailed, asks
        self._done = {**DONE, "prune": pruned}
        self._terminal = sys.stderr.isatty()
        self._shown = False
        self._next = time.monotonic() + (1.0 if self._terminal else SAID_EVERY)

    def planned(self, draft: Draft) -> None:
        """Show the differences, where they are asked for."""
        lines = (
            plan_lines(draft.plan, self._pen, differences=True) if self._detailed and not self._quiet else []
        )
        if lines:
            print("\n".join(lines))

    async def allows(self, plan: Plan) -> bool:
        """Ask whoever sits there before anything is deleted."""
        graves = [one for one in (*plan.steps, *plan.prunes) if one.action in {"recreate", "prune"}]
        if not self._asks or not graves:
            return True
        self.clear()
        print("\n".join(plan_lines(Plan(tuple(graves)), self._pen)))
        answer = await asyncio.to_thread(input, f"delete {len(graves)} objects? [y/N] ")
        return answer.strip().lower() in {"y", "yes"}

    def did(self, step: Step) -> None:
        """Say what was done."""
        if not self._quiet:
            self.clear()
            word = self._done.get(step.action, step.action)
            why = f" ({step.why})" if step.why else ""
            print(
                f"{step.ref} {self._pen.paint(word, COLOURS.get(step.action, ''))}{self._pen.paint(why, '2')}"
            )

    def waits(self, blockers: Sequence[Blocker]) -> None:
        """Say what blocks: in one line that is renewed on a terminal, now and again elsewhere."""
        at = time.monotonic()
        if at < self._next:
            return
        self._next = at + (0.5 if self._terminal else SAID_EVERY)
        more = f" (and {len(blockers) - 1} more)" if len(blockers) > 1 else ""
        line = f"waiting for {blockers[0].line(datetime.now(UTC))}{more}"
        if self._terminal:
            self._shown = True
            print(f"\r\x1b[K{_plain(line)[: self._pen.width - 1]}", end="", file=sys.stderr, flush=True)
        else:
            print(_plain(line), file=sys.stderr, flush=True)

    def says(self, text: str) -> None:
        """Say something else."""
        self.clear()
        print(_plain(text), file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line of what is waited for away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False


def _plain(text: str) -> str:
    from fairlead.diagnose.hiding import visible

    return visible(text).replace("\n", " ")


# What is shown


def plan_lines(plan: Plan, pen: Pen, *, differences: bool = False, every: bool = False) -> list[str]:
    """Return what a plan would do, line by line; with `every` also what stays as it is."""
    lines = []
    for step in (*plan.steps, *plan.prunes):
        if step.action in {"unchanged", "skip"} and not every:
            continue
        why = f": {step.why}" if step.why else ""
        lines.append(
            f"{pen.paint(step.action, COLOURS.get(step.action, '')):<10} {_plain(str(step.ref))}{pen.paint(_plain(why), '2')}"
        )
        if differences:
            lines += difference_lines(step, pen)
        lines += [f"    {pen.paint(str(one), '31')}" for one in step.conflicts]
    return lines


def difference_lines(step: Step, pen: Pen) -> list[str]:
    """Return what differs, one line a field."""
    lines = [f"    {_line(one, pen)}" for one in step.differences if one.path]
    if step.action in {"create", "recreate"} and step.body is not None:
        from fairlead.converge.differing import fit_to_show
        from fairlead.tongues.yamls import dump

        written = dump(fit_to_show(step.body))
        lines += [pen.paint(f"    + {line}", "32") for line in written.splitlines()]
    return lines


def _line(one: Difference, pen: Pen) -> str:
    code = "32" if one.before is ABSENT else "31" if one.after is ABSENT else "33"
    return pen.paint(_plain(str(one)), code)


def table(rows: Sequence[Sequence[str]], pen: Pen) -> list[str]:
    """Return rows as columns, the first being the head."""
    widths = [max(len(_plain(row[at])) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for index, row in enumerate(rows):
        cells = [_plain(cell).ljust(width) for cell, width in zip(row, widths, strict=True)]
        line = "  ".join(cells).rstrip()
        lines.append(pen.paint(line, "1") if index == 0 else line)
    return lines


def told_outcome(outcome: Outcome, pen: Pen) -> None:
    """Say how it ended."""
    ref = outcome.instance
    if outcome.state == "blocked":
        print(
            "\n".join(plan_lines(Plan(tuple(one for one in outcome.plan.steps if one.action in BLOCKS)), pen))
        )
    for note in outcome.notes:
        print(f"note: {_plain(note)}", file=sys.stderr)
    revision = f" revision {outcome.revision}" if outcome.revision else ""
    word = {
        "deployed": "is deployed", "unchanged": "is unchanged", "failed": "has failed", "blocked": "was not applied", "planned": "would be applied",
        "rolled back": "has failed and was rolled back", "deleted": "is deleted", "absent": "is not there",
    }[outcome.state]  # fmt: skip
    code = "32" if outcome.good else "31"
    done = outcome.plan.summary()
    if outcome.state == "deleted":
        done = done.replace(DONE["prune"], "deleted")
    why = f": {outcome.message}" if outcome.message and not outcome.good else f": {done}"
    print(f"{ref}{revision} {pen.paint(word, code)}{_plain(why)}")
    if outcome.back is not None and outcome.back.state != "deployed":
        print(f"the rollback has failed too: {_plain(outcome.back.message)}", file=sys.stderr)
    for one in outcome.blockers[:10]:
        print(f"  {_plain(one.line(datetime.now(UTC)))}")


async def causes(cluster: AsyncCluster, outcome: Outcome) -> list[Finding]:
    """Return what the diagnosis finds about the objects that blocked, the nearest first; [] where it cannot look."""
    blocked = {one.ref for one in outcome.blockers}
    if not blocked:  # the diagnosis takes long to load
        return []
    from fairlead.drivers.cluster import Unreachable
    from fairlead.keep.errors import Refusal
    from fairlead.reactor.examine import examine_cluster

    spaces = {one.namespace for one in blocked}
    namespace = next(iter(spaces)) if len(spaces) == 1 else ""
    try:
        examined = await examine_cluster(cluster, lambda: datetime.now(UTC), namespace)
    except (Refusal, Unreachable):
        return []

    from fairlead.faces.cli.choosing import owners_of

    def concerns(ref: Ref) -> bool:
        return ref in blocked or any(one in blocked for one in owners_of(examined.view, ref))

    return [
        one
        for one in examined.findings
        if concerns(one.subject) or any(concerns(symptom.subject) for symptom in one.symptoms)
    ]


def told_causes(found: Sequence[Finding], pen: Pen) -> None:
    """Say what the diagnosis found."""
    for one in found[:5]:
        print(f"{pen.paint('cause', '31')} {one.id} {_plain(str(one.subject))}: {_plain(one.message)}")
        if one.cause:
            print(f"    {_plain(one.cause)}")
        if one.fixes:
            print(f"    fairlead fix {one.id}: {_plain(one.fixes[0].title)}")


def document(outcome: Outcome, found: Sequence[Finding] = ()) -> dict[str, Any]:
    """Return how it ended as JSON values."""
    made = outcome.as_json()
    if found:
        made["causes"] = [
            {
                "id": one.id,
                "rule": one.rule,
                "object": str(one.subject),
                "message": one.message,
                "cause": one.cause,
            }
            for one in found
        ]
    return made
