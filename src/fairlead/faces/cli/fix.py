"""`fairlead fix`: a fix for a finding, tried on a copy of the cluster; with --apply carried out, watched, and undone if it harms.

Exit code 0 when the fix is proven (and, with --apply, all is well again), 1 when not, 2 when it could not try.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.faces.cli import diagnose
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.reactor.heal import Healing
    from fairlead.reactor.trial import Trial
    from fairlead.words import Finding

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead fix 1a2b3c4d                     show the patch and try it on a copy; nothing is changed
  fairlead fix 1a2b3c4d --apply             the same, ask, carry it out, watch, undo it if things get worse
  fairlead fix 1a2b3c4d --apply --yes --timeout 300

exit codes: 0 proven (and healthy, with --apply), 1 not, 2 it could not try
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "fix",
        help="try a fix on a copy of the cluster; carry it out with --apply",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "finding", metavar="FINDING", help="a finding's id, or its beginning, from `fairlead diagnose`"
    )
    parser.add_argument("--apply", action="store_true", help="carry the fix out when it is proven")
    parser.add_argument("--yes", action="store_true", help="do not ask before carrying it out")
    parser.add_argument(
        "--timeout",
        type=float,
        default=180.0,
        metavar="SECONDS",
        help="how long to watch for health (default: 180)",
    )
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")
    diagnose.colour_option(parser)
    diagnose.cluster_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Try the fix, carry it out if asked to, and return the exit code."""
    if args.apply and not args.yes and not sys.stdin.isatty():
        raise Problem(
            "--apply asks before it changes anything, and there is nobody to ask", "add --yes", code=2
        )
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from fairlead.drivers.cluster import Unreachable
    from fairlead.keep.errors import Refusal

    async with diagnose.connect(args) as cluster:
        try:
            return await _fix(cluster, args)
        except Unreachable as error:
            raise diagnose.unreachable(error) from error
        except Refusal as refusal:
            raise Problem(f"the cluster refuses: {refusal.message}", code=2) from refusal


async def _fix(cluster: AsyncCluster, args: argparse.Namespace) -> int:
    from fairlead.diagnose.examining import examine, needs
    from fairlead.drivers.definitions import load
    from fairlead.reactor.examine import answer, gather
    from fairlead.reactor.trial import kinds_to_copy, policy_kinds, try_fix

    view, unseen = await gather(cluster, "", kinds_to_copy())
    policies, _ = await gather(cluster, "", policy_kinds(view))
    for policy in policies:
        view.put(policy)
    moment = diagnose.now()
    answers = await answer(cluster, needs(view, now=moment))
    before = examine(view, scope="live", now=moment, answers=answers, unseen=unseen)
    finding = _chosen(before, args.finding)
    if not finding.fixes:
        raise Problem(
            f"{finding.subject}: {finding.message}: no fix is known for this",
            "`fairlead diagnose` shows what is known of its cause",
            code=1,
        )
    trial = try_fix(
        view, finding, finding.fixes[0], now=moment, before=before, definitions=load(), unseen=unseen
    )
    _tell_trial(trial, args)
    healed: Healing | None = None
    record = ""
    if args.apply and trial.proven and _agreed(args):
        healed, record = await _heal(cluster, trial, before, args)
    if args.output != "text":
        from fairlead.faces.cli import findings

        diagnose.print_document(findings.trial(trial, healed, record), args.output)
    if args.apply:
        return 0 if healed is not None and healed.outcome == "healthy" else 1
    return 0 if trial.proven else 1


def _chosen(found: list[Finding], name: str) -> Finding:
    """Return the finding whose id begins with the name. Raises Problem."""
    matching = [one for one in found if name and one.id.startswith(name.lower())]
    if len(matching) == 1:
        return matching[0]
    if matching:
        ids = ", ".join(one.id for one in matching)
        raise Problem(f"{name} is the beginning of several findings: {ids}", code=2)
    raise Problem(
        f"there is no finding {name} now", "`fairlead diagnose` lists them; it may be gone already", code=2
    )


def _tell_trial(trial: Trial, args: argparse.Namespace) -> None:
    if args.output == "text":
        from fairlead.faces.cli import stories

        print("\n".join(stories.trial(trial, diagnose.pen(args), applying=args.apply)), flush=True)


def _agreed(args: argparse.Namespace) -> bool:
    if args.yes:
        return True
    return input("  Carry it out? [y/N] ").strip().lower() in {"y", "yes"}


async def _heal(
    cluster: AsyncCluster, trial: Trial, before: list[Finding], args: argparse.Namespace
) -> tuple[Healing, str]:
    from fairlead.reactor.heal import heal

    progress = _Progress(args)
    healed = await heal(
        cluster,
        trial.finding,
        trial.fix,
        before=before,
        now=diagnose.now,
        patience=args.timeout,
        seen=progress.say,
    )
    progress.end()
    record = _write_down(trial, healed, args)
    if args.output == "text":
        from fairlead.faces.cli import stories

        print("\n".join(stories.healing(healed, diagnose.pen(args), record)), flush=True)
    return healed, record


class _Progress:
    """One line on a terminal that says what is being waited for."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._shown = args.output == "text" and sys.stdout.isatty()

    def say(self, what: str) -> None:
        if self._shown:
            print(f"\r\x1b[K  … {what[:90]}", end="", flush=True)

    def end(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", flush=True)


def _write_down(trial: Trial, healed: Healing, args: argparse.Namespace) -> str:
    """Write what was done to a file that only its owner can read, and return its path ("" if that cannot be done)."""
    from fairlead.faces.cli import findings

    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    source = diagnose.kubeconfig(args)
    folder = (
        source.parent / "fixes" if (source.parent / "pki").is_dir() else Path(state) / "fairlead" / "fixes"
    )
    name = f"{healed.started.replace(':', '').replace('+0000', 'Z')}-{trial.finding.id}.json"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(findings.trial(trial, healed, str(path)), file, indent=2)
    except OSError as error:
        print(f"fairlead: what was done could not be written down: {error}", file=sys.stderr)
        return ""
    return str(path)
