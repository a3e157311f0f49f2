"""`fairlead fix`: a fix for a finding, tried on a copy of the cluster; with --apply carried out, watched, and undone if it harms.

With --all, fixes for everything that is wrong, each tried on what the one before it leaves. With --patch or -f, the fix as a change of the
files that the objects came from. Exit code 0 when the fix is proven (and, with --apply, all is well again), 1 when not, 2 when it could not try.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from fairlead.faces.cli import diagnose
from fairlead.faces.cli.packaged import package_options
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.reactor.examine import Examined
    from fairlead.reactor.heal import Healing
    from fairlead.reactor.trial import Trial
    from fairlead.words import Finding

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead fix 1a2b3c4d                     show the patch and try it on a copy; nothing is changed
  fairlead fix 1a2b3c4d --apply             the same, ask, carry it out, watch, undo it if things get worse
  fairlead fix 1a2b3c4d --apply --yes --timeout 300
  fairlead fix --all --plan                 fixes for all that is wrong, each tried on what the one before leaves
  fairlead fix --all -n shop --apply --yes  carry the proven ones out, one by one; stop at the first that does not help
  fairlead fix 1a2b3c4d --patch deploy/ > fix.patch    the fix as a change of the files, for `git apply`
  fairlead fix 1a2b3c4d -f deploy/ --write  a finding of `fairlead diagnose -f deploy/`, mended in its file

`fairlead undo` takes back what was carried out. What a chart or module renders is not patched: the fix names the template.
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
        "finding",
        metavar="FINDING",
        nargs="?",
        default="",
        help="a finding's id, or its beginning, from `fairlead diagnose`",
    )
    parser.add_argument("--all", action="store_true", help="fix everything that is wrong (with -n: there)")
    parser.add_argument(
        "--plan", action="store_true", help="only show what would be done: the default without --apply"
    )
    parser.add_argument(
        "--suggest",
        action="store_true",
        help="where the rules know no fix, ask the model that is configured for one (docs/model.md)",
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
    files = parser.add_argument_group("files instead of the cluster")
    files.add_argument(
        "--patch", action="append", default=[], metavar="PATH",
        help="print the proven fix as a patch of the files that the objects came from",
    )  # fmt: skip
    files.add_argument(
        "-f", "--filename", action="append", default=[], metavar="PATH",
        help="fix a finding of `fairlead diagnose -f PATH`, without a cluster",
    )  # fmt: skip
    files.add_argument("--write", action="store_true", help="write the files instead of printing a patch")
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")
    package_options(parser)
    diagnose.colour_option(parser)
    diagnose.cluster_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Try the fix, carry it out if asked to, and return the exit code."""
    if bool(args.finding) == args.all:
        raise Problem(
            "say which finding to fix", "`fairlead diagnose` lists them; --all means every one", code=2
        )
    if args.apply and (args.plan or args.patch or args.filename):
        raise Problem("--apply changes the cluster: leave out --plan, --patch and -f", code=2)
    if args.write and not (args.patch or args.filename):
        raise Problem("--write wants the files to write", "name them with --patch or -f", code=2)
    if args.apply and not args.yes and not sys.stdin.isatty():
        raise Problem(
            "--apply asks before it changes anything, and there is nobody to ask", "add --yes", code=2
        )
    if args.filename:
        from fairlead.faces.cli import fixfiles

        return fixfiles.fix_files(args)
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from fairlead.drivers.cluster import Unreachable
    from fairlead.keep.errors import Refusal
    from fairlead.reactor.planning import look

    async with diagnose.connect(args) as cluster:
        try:
            looked = await look(cluster, diagnose.now())
            if args.all:
                return await _all(cluster, looked, args)
            return await _one(cluster, looked, args)
        except Unreachable as error:
            raise diagnose.unreachable(error) from error
        except Refusal as refusal:
            raise Problem(f"the cluster refuses: {refusal.message}", code=2) from refusal


async def _one(cluster: AsyncCluster, looked: Examined, args: argparse.Namespace) -> int:
    from fairlead.drivers.definitions import load
    from fairlead.reactor.planning import try_fixes

    finding = named(looked.findings, args.finding)
    if args.suggest and not finding.fixes:
        from fairlead.faces.cli.wording import suggested

        finding, notes = await suggested(finding, looked.view)
        for note in notes:
            print(f"fairlead: {note}", file=sys.stderr)
    _must_have_fix(finding)
    trial = try_fixes(
        looked.view,
        finding,
        now=diagnose.now(),
        before=looked.findings,
        definitions=load(),
        unseen=looked.unseen,
    )
    if args.patch:
        from fairlead.faces.cli import fixfiles

        return await asyncio.to_thread(fixfiles.patch_for, trial, looked, args)
    _tell_trial(trial, args)
    healed: Healing | None = None
    record = ""
    if args.apply and trial.proven and _agreed("Carry it out?", args):
        healed, record = await _heal(cluster, trial, looked.findings, args)
    if args.output != "text":
        from fairlead.reactor import healings

        diagnose.print_document(healings.document(trial, healed, record), args.output)
    if args.apply:
        return 0 if healed is not None and healed.outcome == "healthy" else 1
    return 0 if trial.proven else 1


async def _all(cluster: AsyncCluster, looked: Examined, args: argparse.Namespace) -> int:
    from fairlead.drivers.definitions import load
    from fairlead.faces.cli import plans, stories
    from fairlead.reactor.planning import plan

    progress = Progress(args)
    made = plan(
        looked.view,
        looked.findings,
        wanted=lambda one: not args.namespace or one.subject.namespace == args.namespace,
        now=diagnose.now(),
        definitions=load(),
        unseen=looked.unseen,
        tried=lambda trial: progress.say(f"tried: {trial.fix.title}"),
    )
    progress.end()
    if args.output == "text":
        lines = plans.story(made, diagnose.pen(args), applying=args.apply)
        print(stories.tame("\n".join(lines)), flush=True)
    healings: list[tuple[Trial, Healing, str]] = []
    agreed = args.apply and made.proven and _agreed(f"Carry out these {len(made.proven)}?", args)
    for trial in made.proven if agreed else ():
        if args.output == "text":
            print(stories.tame(f"\n  {trial.finding.subject}: {trial.fix.title}"))
        healed, record = await _heal(cluster, trial, looked.findings, args)
        healings.append((trial, healed, record))
        if healed.outcome != "healthy":
            break
    if args.output != "text":
        diagnose.print_document(plans.document(made, healings), args.output)
    if args.apply:
        return (
            0
            if len(healings) == len(made.trials) and all(one.outcome == "healthy" for _, one, _ in healings)
            else 1
        )
    return 0 if len(made.proven) == len(made.trials) and not made.unfixed else 1


def chosen(found: list[Finding], name: str) -> Finding:
    """Return the finding whose id begins with the name, if it has a fix. Raises Problem."""
    finding = named(found, name)
    _must_have_fix(finding)
    return finding


def named(found: list[Finding], name: str) -> Finding:
    """Return the finding whose id begins with the name. Raises Problem."""
    matching = [one for one in found if one.id.startswith(name.lower())]
    if len(matching) == 1:
        return matching[0]
    if matching:
        ids = ", ".join(one.id for one in matching)
        raise Problem(f"{name} is the beginning of several findings: {ids}", code=2)
    raise Problem(
        f"there is no finding {name} now", "`fairlead diagnose` lists them; it may be gone already", code=2
    )


def _must_have_fix(finding: Finding) -> None:
    if not finding.fixes:
        raise Problem(
            f"{finding.subject}: {finding.message}: no fix is known for this",
            "`fairlead diagnose` shows what is known of its cause",
            code=1,
        )


def _tell_trial(trial: Trial, args: argparse.Namespace) -> None:
    if args.output == "text":
        from fairlead.faces.cli import stories

        lines = stories.trial(trial, diagnose.pen(args), applying=args.apply)
        print(stories.tame("\n".join(lines)), flush=True)


def _agreed(question: str, args: argparse.Namespace) -> bool:
    if args.yes:
        return True
    return input(f"  {question} [y/N] ").strip().lower() in {"y", "yes"}


async def _heal(
    cluster: AsyncCluster, trial: Trial, before: list[Finding], args: argparse.Namespace
) -> tuple[Healing, str]:
    from fairlead.drivers.cluster import Unreachable
    from fairlead.reactor import healings
    from fairlead.reactor.heal import heal

    progress = Progress(args)
    keeper = healings.Keeper(
        healings.folder(diagnose.kubeconfig(args)), trial, await healings.identity(cluster)
    )
    try:
        healed = await heal(
            cluster,
            trial.finding,
            trial.fix,
            before=before,
            now=diagnose.now,
            patience=args.timeout,
            seen=progress.say,
            note=keeper,
            basis=trial.originals,
        )
    except OSError as error:
        raise Problem(
            f"what is to be done cannot be written down, so nothing was changed: {error}", code=2
        ) from error
    except Unreachable as error:
        said = f"the cluster cannot be reached: {error}"
        if keeper.path is None:
            raise Problem(said, "nothing was changed", code=2) from error
        raise Problem(
            said,
            f"the fix was begun, and nobody watches it: `fairlead undo {trial.finding.id}` takes back what was done of it",
            code=2,
        ) from error
    progress.end()
    record = str(keeper.path or "")
    if args.output == "text":
        from fairlead.faces.cli import stories

        lines = stories.healing(healed, diagnose.pen(args), record)
        print(stories.tame("\n".join(lines)), flush=True)
    return healed, record


class Progress:
    """One line on a terminal that says what is being waited for."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._shown = args.output == "text" and sys.stdout.isatty()

    def say(self, what: str) -> None:
        """Show what is going on now."""
        if self._shown:
            from fairlead.faces.cli import stories

            print(f"\r\x1b[K  … {stories.tame(what[:90])}", end="", flush=True)

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\x1b[K", end="", flush=True)
