"""`fairlead diagnose ignore`: findings that somebody decides to live with, with a reason and for a time.

They are kept as Suppression objects in the cluster where it serves the kind, else in a file, `fairlead-ignore.yaml`, that lies beside the
manifests and goes into Git with them. Exit code 0 when done, 1 when there is nothing of that name, 2 when it cannot be.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli import diagnose
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.diagnose.suppressing import Suppression
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.words import Finding

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

FILE = "fairlead-ignore.yaml"
"""The file that is read and written where no cluster keeps suppressions."""

_LARGEST = 4 << 20
"""Bytes of that file that are read at most."""

EXAMPLES = """\
examples:
  fairlead diagnose ignore 1a2b3c4d --reason "the new node comes on Monday" --for 5d
  fairlead diagnose ignore --rule service.idle --subject Service/shop/old --reason "kept for its address"
  fairlead diagnose ignore --rule 'image.*' --reason "no registry in this lab" --until 2026-12-31
  fairlead diagnose ignore --list
  fairlead diagnose ignore --remove 1a2b3c4d
  fairlead diagnose ignore 1a2b3c4d --reason "known" -f manifests/      into fairlead-ignore.yaml

An id, or its beginning, is what `fairlead diagnose` shows at a finding's end; `--show-ignored` shows what is hidden.
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line; main calls it `diagnose ignore`."""
    parser = verbs.add_parser(
        "diagnose-ignore",
        prog="fairlead diagnose ignore",
        description="Hide findings that you know of, with a reason and for a time.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "finding", nargs="?", default="", metavar="FINDING", help="a finding's id, or its beginning"
    )
    parser.add_argument(
        "--reason", default="", metavar="TEXT", help="why it may be hidden; it is shown with it"
    )
    until = parser.add_mutually_exclusive_group()
    until.add_argument("--for", dest="span", default="", metavar="TIME", help="for how long: 12h, 30d, 2w")
    until.add_argument(
        "--until", default="", metavar="DATE", help="until when: 2026-12-31, or an RFC 3339 time"
    )
    parser.add_argument(
        "--rule", default="", metavar="RULE", help="all findings of a rule; * stands for any text"
    )
    parser.add_argument(
        "--subject", default="", metavar="KIND/NS/NAME",
        help="of this object only; KIND/NAME is one of any namespace, * stands for any text",
    )  # fmt: skip
    parser.add_argument(
        "--list", action="store_true", dest="tell", help="tell what is hidden, why, and until when"
    )
    parser.add_argument(
        "--remove", default="", metavar="NAME", help="show again what was hidden: an id, or a name"
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json", "yaml"), default="text", help="with --list"
    )
    diagnose.source_options(parser)
    diagnose.colour_option(parser)
    diagnose.cluster_options(parser)
    parser.set_defaults(run=run, advice=True)


def run(args: argparse.Namespace) -> int:
    """Hide, list or show again, and return the exit code."""
    asked = [bool(args.tell), bool(args.remove), bool(args.finding or args.rule or args.subject)]
    if sum(asked) != 1:
        raise Problem(
            "say what to ignore: a finding's id, or --rule and --subject; or --list, or --remove NAME", code=2
        )
    if args.finding and (args.rule or args.subject):
        raise Problem("a finding's id says enough", "leave out --rule and --subject", code=2)
    if asked[2] and not args.reason.strip():
        raise Problem(
            "--reason says why it may be hidden", "whoever comes after you will want to know", code=2
        )
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    if args.filename or args.snapshot:
        return await _serve(args, None)
    async with diagnose.open_cluster(args) as cluster, diagnose.patience(args):
        return await _serve(args, cluster)


async def _serve(args: argparse.Namespace, cluster: AsyncCluster | None) -> int:
    stock = await load(cluster, args.ignore_file, fresh=not args.tell)
    if args.tell:
        for said in stock.problems:
            diagnose.say(f"fairlead: {said}")
        _list(stock.suppressions, args)
        return 0
    if args.remove:
        return await _remove(args.remove, stock, cluster)
    one, finding = await _made(args, cluster)
    place = await _keep(one, stock, cluster)
    what = f"{finding.subject}: {finding.message}" if finding is not None else str(one)
    until = f"until {_date(one.until)}" if one.until else "for good"
    print(f"ignored {until}: {what}")
    print(f"  {place}; show it again: fairlead diagnose ignore --remove {one.name}")
    return 0


async def _made(args: argparse.Namespace, cluster: AsyncCluster | None) -> tuple[Suppression, Finding | None]:
    """Return what the arguments ask to hide, and the finding that it is about. Raises Problem."""
    from fairlead.diagnose.suppressing import Suppression, deadline, span

    try:
        until = (
            diagnose.now() + span(args.span) if args.span else deadline(args.until) if args.until else None
        )
    except ValueError as error:
        raise Problem(str(error), code=2) from error
    if until is not None and until <= diagnose.now():
        raise Problem(f"--until {args.until} is past", code=2)
    if args.finding:
        finding, name = await _found(args, cluster)
        return Suppression(
            name=name, finding=name, reason=args.reason.strip(), until=until, by=_somebody()
        ), finding
    subject = _subject(args.subject)
    words = [args.rule, *(value for _, value in subject)]
    name = re.sub(r"[^a-z0-9.]+", "-", "-".join(words).replace("*", "any").lower()).strip("-.")
    return Suppression(
        name=name[:200] or "any",
        rule=args.rule,
        subject=subject,
        reason=args.reason.strip(),
        until=until,
        by=_somebody(),
    ), None


async def _found(args: argparse.Namespace, cluster: AsyncCluster | None) -> tuple[Finding | None, str]:
    """Return the finding that is meant and its id. Raises Problem for a beginning that several have, or none."""
    wanted = str(args.finding).lower()
    if not re.fullmatch(r"[0-9a-f]{1,8}", wanted):
        raise Problem(
            f"{args.finding} is no finding's id",
            "ids are eight hex digits, as `fairlead diagnose` shows them",
            code=2,
        )
    examined = (await diagnose.look(args, cluster)).examined
    matching = [one for one in examined.findings if one.id.startswith(wanted)]
    if len({one.id for one in matching}) == 1:
        return matching[0], matching[0].id
    if matching:
        raise Problem(
            f"{args.finding} is the beginning of several findings: {', '.join(one.id for one in matching)}",
            code=2,
        )
    if len(wanted) == 8:
        diagnose.say(f"fairlead: there is no finding {wanted} now; it is hidden when it comes")
        return None, wanted
    raise Problem(f"there is no finding {args.finding} now", "`fairlead diagnose` lists them", code=2)


def _subject(text: str) -> tuple[tuple[str, str], ...]:
    """Return the parts of KIND/NS/NAME, KIND/NAME or KIND that are stated. Raises Problem."""
    if not text:
        return ()
    parts = text.split("/")
    names = {1: ("kind",), 2: ("kind", "name"), 3: ("kind", "namespace", "name")}.get(len(parts))
    if names is None:
        raise Problem(f"--subject {text}: KIND/NS/NAME is wanted", code=2)
    found = {name: value for name, value in zip(names, parts, strict=True) if value and value != "*"}
    if not found:
        raise Problem(f"--subject {text} names nothing", code=2)
    if "kind" in found:
        from fairlead.faces.cli.choosing import kind_named

        found["kind"] = kind_named(found["kind"])
    return tuple(found.items())


def _somebody() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _date(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


# Where they are kept


@dataclass(slots=True)
class Stock:
    """The suppressions that hold here, what is wrong with others, and where new ones go: `served` is the cluster itself."""

    suppressions: list[Suppression] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    served: bool = False
    file: Path = Path(FILE)


async def load(cluster: AsyncCluster | None, named: Path | None = None, *, fresh: bool = False) -> Stock:
    """Return what is ignored: by the cluster's objects, and by the file (`named`, or the usual one where the cluster keeps none).

    Raises Problem for a file that cannot be read, and for one that was named and is not there, unless it may be `fresh`.
    """
    from fairlead.diagnose.suppressing import API_VERSION, KIND, read
    from fairlead.keep.errors import Refusal

    stock = Stock(file=named or Path(FILE))
    if cluster is not None:
        try:
            items, _ = await cluster.list(API_VERSION, KIND)
        except Refusal:
            pass
        else:
            stock.served = named is None
            found, problems = read(items)
            stock.suppressions += found
            stock.problems += problems
    if named is not None or not stock.served:
        documents, problems = _documents(stock.file, needed=named is not None and not fresh)
        found, more = read(documents)
        stock.suppressions += found
        stock.problems += [f"{stock.file}: {said}" for said in [*problems, *more]]
    return stock


def _documents(path: Path, *, needed: bool) -> tuple[list[Any], list[str]]:
    """Return the documents of a file of suppressions, and what cannot be read of it. Raises Problem."""
    from fairlead.dialects import manifests

    try:
        text = _text(path)
    except FileNotFoundError:
        if needed:
            raise Problem(f"cannot read {path}: there is no such file", code=2) from None
        return [], []
    except (OSError, ValueError) as error:
        raise Problem(f"cannot read {path}: {error}", code=2) from error
    documents, findings = manifests.parse(str(path), text)
    return [one.content for one in documents if one.content is not None], [one.message for one in findings]


def _text(path: Path) -> str:
    """Return what a file says. Raises OSError, and ValueError where it is no text or too large to be one."""
    with path.open("rb") as file:
        raw = file.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST >> 20} MiB")
    return raw.decode()


async def _keep(one: Suppression, stock: Stock, cluster: AsyncCluster | None) -> str:
    """Put a suppression where they are kept, in the place of one of its name. Return where that is."""
    from fairlead.diagnose.suppressing import API_VERSION, KIND, write

    if stock.served and cluster is not None:
        await cluster.patch(API_VERSION, KIND, "", one.name, write(one), how="apply", force=True)
        return f"kept as Suppression {one.name}"
    import yaml

    text = yaml.safe_dump(write(one), sort_keys=False, allow_unicode=True)
    kept = _without(stock.file, one.name)[0]
    _save(stock.file, f"{kept.rstrip()}\n---\n{text}" if kept.strip() else text)
    return f"kept in {stock.file}"


async def _remove(name: str, stock: Stock, cluster: AsyncCluster | None) -> int:
    from fairlead.diagnose.suppressing import API_VERSION, KIND

    found = [one for one in stock.suppressions if name in {one.name, one.finding}] or [
        one for one in stock.suppressions if one.finding and one.finding.startswith(name.lower())
    ]
    if len(found) != 1:
        which = f"{name} is the beginning of several" if found else f"nothing of the name {name} is ignored"
        raise Problem(which, "`fairlead diagnose ignore --list` tells them", code=2 if found else 1)
    if stock.served and cluster is not None:
        await cluster.delete(API_VERSION, KIND, "", found[0].name)
    else:
        text, cut = _without(stock.file, found[0].name)
        if not cut:
            raise Problem(f"{found[0].name} is not kept in {stock.file}", code=1)
        _save(stock.file, text)
    print(f"shown again: {found[0]}")
    return 0


def _without(path: Path, name: str) -> tuple[str, bool]:
    """Return a file's text without the suppression of a name, and whether it was there; the rest stays as it is written."""
    from fairlead.dialects import manifests

    try:
        text = _text(path)
    except FileNotFoundError:
        return "", False
    except (OSError, ValueError) as error:
        raise Problem(f"cannot read {path}: {error}", code=2) from error
    kept: list[str] = []
    cut = False
    for chunk in re.split(r"(?m)^---[ \t]*(?:\n|\Z)", text):
        documents, _ = manifests.parse(str(path), chunk)
        names = [
            (one.content.get("metadata") or {}).get("name")
            for one in documents
            if isinstance(one.content, dict)
        ]
        if names == [name]:
            cut = True
        elif chunk.strip():
            kept.append(chunk if chunk.endswith("\n") else chunk + "\n")
    return "---\n".join(kept), cut


def _save(path: Path, text: str) -> None:
    from fairlead.drivers.replacing import replace

    try:
        replace(path, lambda fresh: fresh.write(text.encode()))
    except OSError as error:
        raise Problem(f"cannot write {path}: {error.strerror}", code=2) from error


def _list(every: Sequence[Suppression], args: argparse.Namespace) -> None:
    """Print what is ignored."""
    if args.output != "text":
        from fairlead.diagnose.suppressing import write

        diagnose.print_document({"apiVersion": "v1", "kind": "List", "items": [write(one) for one in every]}, args.output)  # fmt: skip
        return
    from fairlead.faces.cli.stories import tame

    pen, now = diagnose.pen(args), diagnose.now()
    for one in every:
        over = one.expired(now)
        until = f"{'ended' if over else 'until'} {_date(one.until)}" if one.until else "for good"
        by = f", by {one.by}" if one.by else ""
        print(tame(pen.paint(one.name, "1") + f"  {one}  ({pen.paint(until, '33' if over else '')}{by})"))
        print(tame("\n".join(pen.wrap(one.reason, "    "))))
    if not every:
        print("nothing is ignored")
