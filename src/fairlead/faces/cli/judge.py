"""`fairlead judge`: judge manifests, or what a cluster holds, by the policies that a team already owns.

Exit code 0 when nothing fails, 1 when something does, 2 when it could not judge.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.diagnose import (
    cluster_options,
    colour_option,
    connect,
    now,
    pen,
    read_paths,
    unreachable,
)
from fairlead.faces.cli.packaged import PACKAGES, package_options
from fairlead.faces.cli.problems import Problem
from fairlead.faces.cli.verifying import trust_root, trust_root_option
from fairlead.words import User

if TYPE_CHECKING:
    from fairlead.dialects.kyverno.suites import Values
    from fairlead.faces.cli.packaged import Given
    from fairlead.reactor.judge import Bench, Circumstances, Judgement, Repair
    from fairlead.reactor.practising import Wanted
    from fairlead.reactor.unwrapping import Found

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

FORMATS = ("table", "json", "yaml", "sarif", "junit", "policyreport")

EXAMPLES = f"""\
examples:
  fairlead judge -p policies/ manifests/         files by files, whatever language the policies are in
  fairlead judge --practices chart/ --package-values prod.yaml       what a Helm chart, or any other package, renders
  fairlead judge -p policies/ app.yaml --fix     change the file to what mutations and sure remedies make of it
  fairlead judge -p policies/ app.yaml --user jane --group dev -o sarif > judge.sarif
  fairlead judge --practices manifests/          by built-in practices: no policy has to be written
  fairlead judge --check 'host-*' --fix app.yaml by some of them, and change the file
  fairlead judge --cluster                       what runs, by the policies that the cluster holds
  fairlead judge --cluster -p new-policy.yaml    what a policy would say of what runs
  fairlead judge test policies/                  kyverno-test.yaml and suite.yaml files, as their own tools run them

policies: Kyverno (kyverno.io, policies.kyverno.io), Gatekeeper templates, constraints and mutators,
  ValidatingAdmissionPolicy, MutatingAdmissionPolicy, Kubewarden, jsPolicy, ClusterImagePolicy, Pod Security
  labels of Namespaces, Polaris configurations

{PACKAGES}
exit codes: 0 nothing fails, 1 something does, 2 it could not judge
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "judge",
        help="judge manifests or a cluster by Kyverno, Gatekeeper, CEL and other policies",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "resources",
        nargs="*",
        metavar="RESOURCE",
        help="a file, a folder, a package, or - for standard input",
    )
    parser.add_argument("-p", "--policy", action="append", default=[], metavar="POLICY",
                        help="a file or folder of policies and what they need (repeatable)")  # fmt: skip
    parser.add_argument("--cluster", action="store_true", help="judge what a cluster holds")
    practices = parser.add_argument_group("practices (docs/practices.md)")
    practices.add_argument("--practices", action="store_true",
                           help="judge by the built-in practices, besides any policies")  # fmt: skip
    practices.add_argument("--check", action="append", default=[], metavar="NAME",
                           help="only these: names, patterns, categories, or Polaris's names (repeatable)")  # fmt: skip
    practices.add_argument("--skip", action="append", default=[], metavar="NAME",
                           help="none of these (repeatable)")  # fmt: skip
    practices.add_argument("--severity", choices=("danger", "warning", "info"), default="warning",
                           help="practices that weigh at least as much (default: warning)")  # fmt: skip
    practices.add_argument("--registry", action="append", default=[], metavar="HOST[/PATH]",
                           help="images come from here only (repeatable)")  # fmt: skip
    parser.add_argument("-o", "--output", choices=FORMATS, default="table")
    parser.add_argument(
        "--all", action="store_true", dest="every", help="tell also what passes and what is skipped"
    )
    parser.add_argument("--audit-warn", action="store_true",
                        help="what is only audited counts as a warning, not as a failure")  # fmt: skip
    parser.add_argument("--fix", action="store_true",
                        help="write what mutations and sure remedies change into the files")  # fmt: skip
    parser.add_argument("--online", action="store_true",
                        help="let policies ask the network: HTTP calls, host names, modules, registries")  # fmt: skip
    parser.add_argument("--verify-images", action="store_true",
                        help="let policies ask registries, to have images' signatures verified")  # fmt: skip
    trust_root_option(parser)
    request = parser.add_argument_group("the request that is imagined")
    request.add_argument("--user", default="", metavar="NAME", help="who asks")
    request.add_argument(
        "--group", action="append", default=[], metavar="NAME", help="their groups (repeatable)"
    )
    request.add_argument("--role", action="append", default=[], metavar="NS:NAME", help="roles bound to them")
    request.add_argument("--cluster-role", action="append", default=[], metavar="NAME",
                         help="cluster roles bound to them")  # fmt: skip
    request.add_argument("--operation", choices=("CREATE", "UPDATE", "DELETE"), default="CREATE")
    request.add_argument("--values", type=Path, default=None, metavar="F", help="a Kyverno Values file")
    request.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of policies"
    )
    package_options(parser, short=False)
    colour_option(parser)
    cluster_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge, print, and return the exit code."""
    found = asyncio.run(_live(args) if args.cluster else _files(args))
    if args.audit_warn:
        _soften(found)
    _print(found, args)
    return code(found)


async def _files(args: argparse.Namespace) -> Judgement:
    materials = await asyncio.to_thread(_materials, args)
    outside: dict[str, Any] = {"online": args.online, "images": args.verify_images, "usual": trust_root(args)}
    if args.fix:
        bench = _bench(args, materials, written=True)
        async with bench.answerer(**outside):
            for repair in await bench.repair(materials.resources.texts):
                _mend(repair, materials.resources.texts)
        for one in materials.rendered:
            print(
                f"left {one.file}: what it renders is written nowhere; change its templates or values",
                file=sys.stderr,
            )
        if "-" in args.resources:
            print("left standard input: there is no file to change", file=sys.stderr)
        materials = await asyncio.to_thread(_materials, args)
    bench = _bench(args, materials)
    async with bench.answerer(**outside):
        return await bench.judge()


def code(found: Judgement) -> int:
    """Return 1 when something fails; 2 when something could not be judged; else 0."""
    if found.count("fail"):
        return 1
    broken = any(one.severity == "critical" for one in found.findings)
    return 2 if found.count("error") or broken else 0


@dataclass(frozen=True, slots=True)
class _Materials:
    """What is judged, and by what."""

    policies: Given
    resources: Given

    @property
    def rendered(self) -> tuple[Found, ...]:
        """The packages whose objects are judged."""
        return self.resources.packages.telling if self.resources.packages is not None else ()


def _materials(args: argparse.Namespace) -> _Materials:
    """Read what is named. Raises Problem, first of all where something is missing."""
    from fairlead.faces.cli.packaged import Given, given

    wanted = _wanted(args)
    if not args.policy and not any(wanted):
        raise Problem(
            "no policies to judge by",
            "name them: fairlead judge -p POLICY... RESOURCE...; or take the built-in --practices",
            code=2,
        )
    if not args.resources:
        raise Problem("nothing to judge", "name files or folders, - for standard input, or --cluster", code=2)
    policies = given(args, args.policy, valued=False) if args.policy else Given()
    return _Materials(policies, given(args, args.resources))


def _bench(args: argparse.Namespace, materials: _Materials, *, written: bool = False) -> Bench:
    """Return what judges: what packages and trees render, or with `written` what stands in files."""
    from fairlead.reactor.judge import Bench

    wanted, resources = _wanted(args), materials.resources
    bench = Bench(
        materials.policies.texts,
        resources.texts,
        built=not written,
        packages=resources.packages.bare() if written and resources.packages else resources.packages,
        policy_packages=materials.policies.packages,
        now=now(),
        circumstances=_circumstances(args),
        practices=wanted.practices,
        checks=wanted.checks,
        registries=args.registry,
    )
    if args.policy and not bench.policy_documents:
        raise Problem(
            f"no policies in {', '.join(args.policy)}", "see `fairlead judge --help` for the formats", code=2
        )
    return bench


def _wanted(args: argparse.Namespace) -> Wanted:
    """Return the good practice that is asked for: none, unless one of its options is used."""
    from fairlead.judge.practices import Unknown
    from fairlead.reactor.practising import Wanted, wanted

    if not (args.practices or args.check or args.skip or args.registry):
        return Wanted()
    names = args.check
    if args.registry and not (args.practices or args.skip or names):
        names = ["image-registry"]
    try:
        return wanted(names, args.severity, args.skip)
    except Unknown as error:
        raise Problem(f"no practice is called {error}", "docs/practices.md lists them", code=2) from error


def _circumstances(args: argparse.Namespace) -> Circumstances:
    from fairlead.reactor.judge import Circumstances

    return Circumstances(
        values=_values(args),
        user=User(name=args.user, groups=tuple(args.group)),
        roles=tuple(args.role),
        cluster_roles=tuple(args.cluster_role),
        operation=args.operation,
    )


def _values(args: argparse.Namespace) -> Values | None:
    """Return what --values and --set state, or None."""
    from fairlead.dialects import manifests
    from fairlead.dialects.kyverno.suites import Values

    values = Values()
    for name, text in (read_paths([str(args.values)]) if args.values else {}).items():
        documents, findings = manifests.parse(name, text)
        if findings:
            raise Problem(f"{findings[0].where}: {findings[0].message}", code=2)
        for one in documents:
            values.add(one.content)
    for pair in args.set:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Problem(f"--set {pair}: NAME=VALUE is wanted", code=2)
        values.everywhere[name] = manifests.scalar(value)
    return values if args.values or args.set else None


def _soften(found: Judgement) -> None:
    from dataclasses import replace

    found.rows = [
        replace(row, result="warn") if row.result == "fail" and "deny" not in row.actions else row
        for row in found.rows
    ]


def _mend(repair: Repair, texts: dict[str, str]) -> None:
    from fairlead.faces.cli import fixfiles

    path = Path(repair.file)
    if repair.text != texts[repair.file] and path.exists():
        fixfiles.replace(path, repair.text)
        print(f"changed {repair.file}", file=sys.stderr)
        for name in repair.by:
            print(f"  {name}", file=sys.stderr)
    for why in repair.left:
        print(f"left {repair.file}: {why}", file=sys.stderr)


def _print(found: Judgement, args: argparse.Namespace) -> None:
    from fairlead.faces.cli import verdicts

    if args.output == "table":
        print("\n".join(verdicts.table(found, pen(args), every=args.every)))
    else:
        print(verdicts.dump(found, args.output, now().strftime("%Y-%m-%dT%H:%M:%SZ")))


async def _live(args: argparse.Namespace) -> Judgement:
    from fairlead.drivers.cluster import Unreachable
    from fairlead.keep.errors import Refusal
    from fairlead.reactor.judge import judge_cluster

    if args.resources or args.fix:
        raise Problem("--cluster judges what a cluster holds", "leave out the files and --fix", code=2)
    from fairlead.faces.cli.packaged import Given, given

    policies = await asyncio.to_thread(given, args, args.policy, valued=False) if args.policy else Given()
    wanted = _wanted(args)
    async with connect(args) as cluster:
        try:
            return await judge_cluster(
                cluster,
                policies.texts,
                policy_packages=policies.packages,
                now=now(),
                namespace=args.namespace,
                circumstances=_circumstances(args),
                online=args.online,
                images=args.verify_images,
                usual=trust_root(args),
                practices=wanted.practices,
                checks=wanted.checks,
                registries=args.registry,
            )
        except Unreachable as error:
            raise unreachable(error) from error
        except Refusal as refusal:
            raise Problem(f"the cluster refuses: {refusal.message}", code=2) from refusal
