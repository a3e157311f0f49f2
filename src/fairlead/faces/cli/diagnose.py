"""`fairlead diagnose`: what is wrong, and why, on a cluster, in files, in files laid over a cluster, or in a snapshot.

Exit code 0 when nothing above a note was found, 1 when something was, 2 when it could not look.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fairlead.faces.cli.packaged import PACKAGES, package_options
from fairlead.faces.cli.places import default_data_dir
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.drivers.git import Repository
    from fairlead.faces.cli.answers import Answer, Seen
    from fairlead.faces.cli.ignoring import Stock
    from fairlead.faces.cli.packaged import Given
    from fairlead.faces.cli.pens import Pen
    from fairlead.reactor.previewing import Preview

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

FORMATS = ("text", "wide", "json", "yaml", "sarif", "junit", "html")

EXAMPLES = f"""\
examples:
  fairlead diagnose                         the whole cluster that `fairlead up` runs, or $KUBECONFIG's
  fairlead diagnose -n shop                 one namespace
  fairlead diagnose deploy/web              what concerns one object: kinds and names as kubectl takes them
  fairlead diagnose po,svc -l app=web       some kinds, by labels
  fairlead diagnose --context staging       any cluster of your kubeconfig
  fairlead diagnose --watch                 go on looking, and tell what comes and goes
  fairlead diagnose -f manifests/           files, without a cluster
  fairlead diagnose -f manifests/ --with-cluster     what would be wrong if they were applied
  fairlead diagnose -f chart/ --values prod.yaml --set replicas=3     what a Helm chart, or any other package, renders
  fairlead diagnose --advice                also what could be better, though nothing is broken
  fairlead diagnose -o html --output-file report.html
  fairlead diagnose -o json | jq '.findings[].message'
  fairlead snapshot -o shop.json.gz && fairlead diagnose --snapshot shop.json.gz
  fairlead diagnose ignore 1a2b3c4d --reason "known, see the ticket" --for 30d

{PACKAGES}
exit codes: 0 nothing is wrong, 1 something is, 2 it could not look
"""


def cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a cluster."""
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
        help="the cluster of `fairlead up --data-dir D` (default, unless $KUBECONFIG is set: "
        f"{default_data_dir()} if there is one)",
    )
    group.add_argument("-n", "--namespace", default="", metavar="NS", help="one namespace (default: all)")
    group.add_argument(
        "-A", "--all-namespaces", action="store_true", help="all namespaces, which is the default"
    )


def source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name something else than a cluster to look at."""
    parser.add_argument(
        "-f",
        "--filename",
        action="append",
        default=[],
        metavar="PATH",
        help="a file, a folder, a package or - for standard input: examine these instead of a cluster",
    )
    parser.add_argument(
        "--rev",
        default="",
        metavar="REVISION",
        help="with -f: as Git has the files in a commit, branch or tag (main, v1.2, HEAD~3), whatever lies in the working tree",
    )
    parser.add_argument(
        "--with-cluster",
        action="store_true",
        help="lay the files over the cluster: what would be wrong if they were applied (so do --context, --kubeconfig and --data-dir)",
    )
    parser.add_argument(
        "--snapshot", type=Path, default=None, metavar="FILE", help="what `fairlead snapshot` has written"
    )
    parser.add_argument(
        "--ignore-file",
        type=Path,
        default=None,
        metavar="FILE",
        help="findings to ignore (default: what the cluster keeps, else fairlead-ignore.yaml here, if there is one)",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="give up looking after so long (exit code 2)",
    )
    package_options(parser)


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "diagnose",
        help="say what is wrong and why, on a cluster or in files",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "kinds",
        nargs="*",
        metavar="KIND[/NAME]",
        help="tell only what concerns these: deploy,svc or deploy/web (`ignore` comes first: see diagnose ignore --help)",
    )
    source_options(parser)
    parser.add_argument(
        "-l",
        "--selector",
        default="",
        metavar="LABELS",
        help="of objects with these labels: app=web,tier!=db",
    )
    parser.add_argument(
        "--severity",
        choices=("critical", "warning", "info"),
        default="info",
        help="at least this grave (default: info)",
    )
    parser.add_argument(
        "--advice", action="store_true", help="also what could be better, though nothing is broken"
    )
    parser.add_argument(
        "--explain", action="store_true", help="say what each finding means, and how it spreads"
    )
    parser.add_argument(
        "--show-ignored", action="store_true", help="show what is ignored too, with the reason"
    )
    parser.add_argument(
        "-w", "--watch", action="store_true", help="go on looking at a cluster, and tell what comes and goes"
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=FORMATS,
        default="text",
        help="text; wide: all evidence; or a format for programs",
    )
    parser.add_argument(
        "--output-file", type=Path, default=None, metavar="FILE", help="write there instead of printing"
    )
    colour_option(parser)
    cluster_options(parser)
    parser.set_defaults(run=run)


def colour_option(parser: argparse.ArgumentParser) -> None:
    """Add --color."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours (default: on a terminal)",
    )


def run(args: argparse.Namespace) -> int:
    """Examine, print, and return the exit code."""
    offline = bool(args.snapshot or (args.filename and not _with_cluster(args)))
    if args.snapshot and (args.filename or _with_cluster(args)):
        raise Problem(
            "--snapshot needs no cluster and no files",
            "leave out -f and the options that choose a cluster",
            code=2,
        )
    if args.watch and (offline or args.filename):
        raise Problem("--watch looks at a cluster", "leave out -f and --snapshot", code=2)
    if args.watch and args.output not in {"text", "wide", "json"}:
        raise Problem(
            f"--watch cannot tell what comes and goes as {args.output}", "use -o text or -o json", code=2
        )
    if args.watch:
        from fairlead.faces.cli import watching

        return asyncio.run(watching.watch(args))
    told = asyncio.run(_answer(args, offline=offline))
    give(render(told, args), args.output_file)
    return told.code


def _with_cluster(args: argparse.Namespace) -> bool:
    """Whether files are to be laid over a cluster."""
    return bool(args.with_cluster or args.kubeconfig or args.context or args.data_dir)


async def _answer(args: argparse.Namespace, *, offline: bool) -> Answer:
    from fairlead.faces.cli.ignoring import load

    started = time.monotonic()
    if offline:
        seen = await look(args, None)
        answer = told(seen, args, await load(None, args.ignore_file), time.monotonic() - started)
        await explain(answer)
        return answer
    async with open_cluster(args) as cluster, patience(args):
        seen = await look(args, cluster)
        seconds = time.monotonic() - started
        answer = told(seen, args, await load(cluster, args.ignore_file), seconds)
        if seen.source == "cluster":
            answer.histories = await histories(cluster, args.namespace)
    await explain(answer)
    return answer


@contextlib.asynccontextmanager
async def open_cluster(args: argparse.Namespace) -> AsyncIterator[AsyncCluster]:
    """Give a client for the cluster that is meant; what it cannot do is a Problem."""
    from fairlead.drivers.cluster import Unreachable
    from fairlead.keep.errors import Refusal

    async with connect(args) as cluster:
        try:
            yield cluster
        except Unreachable as error:
            raise unreachable(error) from error
        except Refusal as refusal:
            raise Problem(f"the cluster refuses: {refusal.message}", code=2) from refusal


@contextlib.asynccontextmanager
async def patience(args: argparse.Namespace) -> AsyncIterator[None]:
    """Give up when --timeout is over."""
    try:
        async with asyncio.timeout(args.timeout or None):
            yield
    except TimeoutError:
        raise Problem(
            f"the cluster has not told everything within {args.timeout:g} s",
            "give it more with --timeout, or ask for one namespace with -n",
            code=2,
        ) from None


async def look(args: argparse.Namespace, cluster: AsyncCluster | None) -> Seen:
    """Examine what the arguments name: files, a snapshot, a cluster, or files over a cluster. Raises Problem."""
    from fairlead.faces.cli.answers import Seen

    if args.snapshot:
        from fairlead.reactor.snapshots import Unreadable, examine_snapshot, read, taken

        try:
            document = read(args.snapshot)
        except Unreadable as error:
            raise Problem(str(error), "`fairlead snapshot -o FILE` writes one", code=2) from error
        at = taken(document, now())
        return Seen(examine_snapshot(document, at, advice=args.advice), at, "snapshot")
    held = await _given(args, cluster)
    texts, packages = held.texts, held.packages
    if cluster is None:
        from fairlead.reactor.blaming import with_commits
        from fairlead.reactor.examine import examine_files

        examined = examine_files(texts, now(), advice=args.advice, packages=packages)
        examined.findings = with_commits(examined.findings, now())
        return Seen(examined, now(), "files", texts, named=args.filename)
    with Progress() as progress:
        if args.filename:
            from fairlead.reactor.previewing import preview

            found = await preview(
                cluster,
                texts,
                now,
                args.namespace,
                advice=args.advice,
                told=progress.told,
                packages=packages,
            )
            return Seen(found.examined, now(), "preview", texts, _previewed(found))
        from fairlead.reactor.examine import examine_cluster

        examined = await examine_cluster(cluster, now, args.namespace, advice=args.advice, told=progress.told)
        return Seen(examined, now(), "cluster")


async def _given(args: argparse.Namespace, cluster: AsyncCluster | None) -> Given:
    """Return what -f names. Packages that are to be laid over a cluster are rendered for what it can do."""
    from fairlead.faces.cli import packaged

    if not args.filename:
        return packaged.Given()
    texts, found = await asyncio.to_thread(packaged.look, args, args.filename, args.rev)
    there: dict[str, Any] = {}
    if cluster is not None and found:
        from fairlead.reactor.rendering_fetching import capabilities_of

        there = {
            "capabilities": await capabilities_of(cluster),
            "namespace": cluster.access.namespace,
        }
    return await asyncio.to_thread(packaged.rendered, args, texts, found, **there)


def told(
    seen: Seen, args: argparse.Namespace, stock: Stock, seconds: float, *, known: bool = False
) -> Answer:
    """Return what the examination has to say to who asked so. Raises Problem, also for an object that is not there unless it is `known`."""
    from fairlead.faces.cli.answers import answer
    from fairlead.faces.cli.choosing import choose

    examined = seen.examined
    namespace = args.namespace if seen.source in {"files", "snapshot"} else ""
    choice = choose(
        args.kinds, examined.view, namespace=namespace, labels=args.selector, severity=args.severity
    )
    absent = choice.absent(examined.view, examined.findings)
    if absent and not known:
        space = f" in namespace {args.namespace}" if args.namespace else ""
        raise Problem(f"there is no {absent[0]}{space}", code=2)
    made = answer(seen, choice, stock.suppressions)
    made.seconds = seconds
    made.show_hidden, made.advice, made.explain = args.show_ignored, args.advice, args.explain
    made.whole = args.output == "wide"
    made.notes = [*stock.problems, *seen.notes]
    return made


def _previewed(seen: Preview) -> list[str]:
    """Return what else is to be said of files laid over a cluster."""
    said = [f"would be gone: {one.subject}  {one.message}" for one in seen.gone if one.severity != "info"]
    old = sum(one.severity != "info" for one in seen.old)
    if old:
        them = "1 cause is" if old == 1 else f"{old} causes are"
        said.append(f"{them} there already and not of these files: fairlead diagnose tells of them")
    return said


async def explain(answer: Answer) -> None:
    """Add a model's words for what is grave, where --explain asks for words and a model is configured."""
    if answer.explain:
        from fairlead.faces.cli.wording import explanations

        answer.explanations, notes = await explanations(answer.grave, answer.examined.view)
        answer.notes = [*answer.notes, *notes]


async def histories(cluster: AsyncCluster, namespace: str = "") -> dict[str, Any]:
    """Return what the cluster remembers of findings, by their ids, where something goes on looking there."""
    from fairlead.diagnose.histories import read
    from fairlead.keep.errors import Refusal

    try:
        items, _ = await cluster.list("fairlead.dev/v1alpha1", "Finding", namespace)
    except Refusal:
        return {}
    return {one.id: one for one in map(read, items) if one is not None}


class Progress:
    """One line on standard error that says how much of the cluster has answered, once it takes longer than a second."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._next = self._started + (1.0 if self._terminal else 10.0)
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def told(self, answered: int, asked: int) -> None:
        """Say how many kinds have answered, of how many."""
        self.say(f"looking: {answered} of {asked} kinds listed")

    def say(self, text: str) -> None:
        """Say how far it is: now and again, on a terminal in the place of what was said before."""
        at = time.monotonic()
        if at < self._next:
            return
        self._shown = True
        text = f"{text}, {at - self._started:.0f} s"
        if self._terminal:
            self._next = at + 0.1
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            self._next = at + 10.0
            print(text, file=sys.stderr, flush=True)


# What is printed


def render(answer: Answer, args: argparse.Namespace) -> str:
    """Return the answer in the format that is wanted."""
    if args.output in {"text", "wide"}:
        from fairlead.faces.cli import stories

        return stories.tame("\n".join(stories.diagnosis(answer, pen(args))))
    if args.output == "html":
        from fairlead.faces.cli import htmlreport

        return htmlreport.page(answer)
    if args.output in {"sarif", "junit"}:
        from fairlead.faces.cli import reports_diagnosis

        if args.output == "junit":
            return reports_diagnosis.junit(answer)
        return dumped(reports_diagnosis.sarif(answer), "json")
    from fairlead.faces.cli import findings

    return dumped(findings.diagnosis(answer), args.output)


def give(text: str, file: Path | None) -> None:
    """Print the text, or write it to a file, whole or not at all. Raises Problem."""
    if file is None:
        print(text)
        return
    from fairlead.drivers.replacing import replace

    try:
        replace(file, lambda fresh: fresh.write(f"{text}\n".encode()))
    except OSError as error:
        raise Problem(f"cannot write {file}: {error.strerror}", code=2) from error
    say(f"written to {file}")


def say(text: str) -> None:
    """Tell the person, and not who reads the output."""
    from fairlead.faces.cli.stories import tame

    print(tame(text), file=sys.stderr)


def dumped(document: dict[str, Any], output: str) -> str:
    """Return a document as JSON or YAML, without a line's end."""
    if output == "yaml":
        import yaml

        text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        return text.rstrip("\n")
    return json.dumps(document, indent=2, ensure_ascii=False)


def print_document(document: dict[str, Any], output: str) -> None:
    """Print a document as JSON or YAML."""
    print(dumped(document, output))


def pen(args: argparse.Namespace) -> Pen:
    """Return how to write: colours as --color says, by default on a terminal unless NO_COLOR is set."""
    from fairlead.faces.cli.pens import Pen

    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    colour = {"always": True, "never": False}.get(args.color, wanted)
    return Pen(colour, min(shutil.get_terminal_size((100, 24)).columns, 120))


def now() -> datetime:
    """Return the present as aware UTC."""
    return datetime.now(UTC)


def unreachable(error: Exception) -> Problem:
    """Return the problem that a cluster does not answer."""
    return Problem(
        f"the cluster cannot be reached: {error}",
        "is it up? `fairlead status` tells of the one on this machine",
        code=2,
    )


def connect(args: argparse.Namespace) -> AsyncCluster:
    """Return a client for the cluster that the arguments mean. Raises Problem."""
    from fairlead.drivers.cluster import AsyncCluster, BadKubeconfig

    path = kubeconfig(args)
    try:
        return AsyncCluster.from_kubeconfig(path, args.context)
    except BadKubeconfig as error:
        raise Problem(str(error), code=2) from error


def kubeconfig(args: argparse.Namespace) -> Path:
    """Return the kubeconfig to use: what was named, $KUBECONFIG, the platform on this machine, or ~/.kube/config."""
    if args.kubeconfig is not None:
        return Path(args.kubeconfig)
    if args.data_dir is not None:
        path = Path(args.data_dir) / "kubeconfig"
        if not path.exists():
            raise Problem(f"there is no kubeconfig at {path}", "start it first: fairlead up --detach", code=2)
        return path
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    own, home = default_data_dir() / "kubeconfig", Path.home() / ".kube" / "config"
    candidates = [Path(named)] if named else []
    candidates += [home] if args.context else [own, home]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise Problem(
        "there is no cluster to look at",
        "start one with `fairlead up --detach`, or name a --kubeconfig",
        code=2,
    )


def _of_revision(name: str, revision: str) -> Iterator[tuple[str, str]]:
    """Yield what Git has of a file or folder in a revision. Raises Problem."""
    from fairlead.dialects.manifests import READS

    with in_revision(name, revision) as (repository, commit, under):
        for file, text in repository.texts(commit, under, READS):
            yield f"{revision}:{file}", text


@contextlib.contextmanager
def in_revision(name: str, revision: str) -> Iterator[tuple[Repository, str, str]]:
    """Give the repository that a path lies in, the commit of a revision, and the path's name there ("" for all). Raises Problem."""
    from fairlead.drivers.git import Repository

    path = Path(name)
    repository = Repository.around(path if path.exists() else Path())
    if repository is None:
        raise Problem(f"{name} is not in a Git repository", "leave out --rev", code=2)
    with repository:
        commit = repository.resolve(revision)
        if commit is None:
            raise Problem(f"Git has no revision {revision} here", code=2)
        try:
            under = repository.name_of(path)
        except ValueError as error:
            raise Problem(f"{name} is not in the repository at {repository.top}", code=2) from error
        yield repository, commit, "" if under == "." else under


def read_paths(paths: list[str], revision: str = "") -> dict[str, str]:
    """Return the texts of files, folders and standard input by their names, or as Git has them in a revision. Raises Problem."""
    texts = texts_of(paths, revision)
    if not texts:
        raise no_manifests(paths)
    return texts


def no_manifests(paths: list[str]) -> Problem:
    """Return the problem that there is nothing to look at."""
    return Problem(
        f"no manifests in {', '.join(paths)}", "only .yaml, .yml and .json files are looked for", code=2
    )


def texts_of(paths: list[str], revision: str = "") -> dict[str, str]:
    """Return what `read_paths` does, which may be nothing. Raises Problem for what cannot be read."""
    from fairlead.reactor.examine import files_in

    texts: dict[str, str] = {}
    for name in paths:
        try:
            if revision:
                texts.update(_of_revision(name, revision))
                continue
            if name == "-":
                texts["(standard input)"] = sys.stdin.buffer.read().decode(errors="replace")
                continue
            for path in files_in(Path(name)):
                texts[str(path)] = path.read_text(errors="replace")
        except OSError as error:
            raise Problem(f"cannot read {error.filename or name}: {error.strerror}", code=2) from error
    return texts
