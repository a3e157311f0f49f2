"""`fairlead install admission`, `audit`, `sense` and `heal`: print what to apply so that a real cluster runs these servers.

Changes nothing. Exit code 0, or 2 when the command or its input cannot be understood.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead import __version__
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.faces.admission.manifests import Wishes
    from fairlead.keep.kinds import Catalogue
    from fairlead.reactor.policies import Loaded
    from fairlead.words import Resource

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead install admission --image registry.example/fairlead:1 | kubectl apply -f -
  fairlead install admission -p policies/ | kubectl apply -f -
                                             with the right to read what these policies look up
  fairlead install audit | kubectl apply -f -    policy reports on what runs
  fairlead install sense --rules falco_rules.yaml | kubectl apply -f -
                                             a sensor on every node
  fairlead install sense --systemd > /etc/systemd/system/fairlead-sensor.service
                                             a sensor on this machine, without a cluster
  fairlead install heal | kubectl apply -f -     what is wrong, all the time: kubectl get findings -A
  fairlead install heal --propose --allow-apply --receivers chat | kubectl apply -f -
                                             fixes too, where HealPolicies want them; the Secret chat says who is told
  fairlead install admission --lookup pods --lookup ingresses.networking.k8s.io
"""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_IMAGE = re.compile(r"[^\s]{1,512}")
_PLURAL = re.compile(r"(\*|[a-z][-a-z0-9]*)(\.[a-z0-9][-.a-z0-9]*)?", re.ASCII)


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("install", help="print what a real cluster needs to run a server of fairlead's")
    servers = parser.add_subparsers(title="servers", metavar="SERVER", required=True)
    admission = servers.add_parser(
        "admission",
        help="the admission webhook: Deployment, rights, Service, webhook configurations",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    admission.add_argument("--replicas", type=int, default=2, help="default: %(default)s")
    _options(admission)
    admission.set_defaults(run=run)
    audit = servers.add_parser(
        "audit", help="the background audit: Deployment, rights, the definitions of policy reports"
    )
    _options(audit)
    audit.set_defaults(run=run_audit, replicas=1)
    _declare_sense(servers)
    _declare_heal(servers)


def _declare_sense(servers: Verbs) -> None:
    sense = servers.add_parser(
        "sense",
        help="the sensor: a DaemonSet, its rights and kinds; or a unit of systemd",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sense.add_argument(
        "--systemd", action="store_true", help="print a unit for this machine instead of manifests"
    )
    sense.add_argument("--rules", action="append", default=[], type=Path, metavar="FILE",
                       help="a file or folder of Falco rules, TracingPolicies or Tracee policies (repeatable)")  # fmt: skip
    sense.add_argument(
        "--metrics", type=int, default=0, metavar="PORT", help="serve Prometheus metrics (default: no)"
    )
    sense.add_argument("--image", default=f"fairlead:{__version__}", help="default: %(default)s")
    sense.add_argument(
        "-n", "--namespace", default="fairlead-system", metavar="NS", help="default: %(default)s"
    )
    sense.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml")
    sense.set_defaults(run=run_sense)


def _declare_heal(servers: Verbs) -> None:
    heal = servers.add_parser(
        "heal",
        help="continuous diagnosis and healing: Deployment, rights, kinds, metrics",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Findings as objects, Events, metrics and notifications. It reads the kinds that a diagnosis looks at, Secrets among them: "
        "Kubernetes has no right to their keys alone. Their values stay in its memory and are hidden in all that it writes.",
    )
    heal.add_argument("--replicas", type=int, default=1, help="of which one works (default: %(default)s)")
    heal.add_argument(
        "--propose",
        action="store_true",
        help="let HealPolicies have fixes tried on copies: the right to read more kinds",
    )
    heal.add_argument(
        "--allow-apply",
        action="store_true",
        help="let HealPolicies of mode auto carry out what is proven: the right to write what fixes touch",
    )
    heal.add_argument(
        "--receivers", default="", metavar="SECRET",
        help="a Secret in its namespace whose key receivers.yaml says who is told: URLs, or {url, severity, rules, namespaces}",
    )  # fmt: skip
    heal.add_argument(
        "--no-secrets",
        action="store_true",
        help="without the right to read Secrets: nothing is concluded about them",
    )
    heal.add_argument(
        "--lookup", action="append", default=[], metavar="RESOURCE",
        help="custom resources that it may read too, such as certificates.cert-manager.io or *.example.com (repeatable)",
    )  # fmt: skip
    heal.add_argument("--network-policy", action="store_true", help="let in only who asks for metrics")
    heal.add_argument(
        "--cluster-name", default="", metavar="NAME", help="what notifications call the cluster"
    )
    heal.add_argument("--image", default=f"fairlead:{__version__}", help="default: %(default)s")
    heal.add_argument(
        "-n", "--namespace", default="fairlead-system", metavar="NS", help="default: %(default)s"
    )
    heal.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml")
    heal.set_defaults(run=run_heal)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", default=f"fairlead:{__version__}", help="default: %(default)s")
    parser.add_argument("-n", "--namespace", default="fairlead-system", metavar="NS",
                        help="where it runs, and no webhook judges (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "-p", "--policy", action="append", default=[], metavar="POLICY",
        help="a file or folder of policies: what they look up may be read (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--lookup", action="append", default=[], metavar="RESOURCE",
        help="what policies may look up, such as configmaps or ingresses.networking.k8s.io (repeatable)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml")


def run(args: argparse.Namespace) -> int:
    """Print the objects of the webhook server."""
    from fairlead.faces.admission.manifests import manifests

    _print(manifests(_wishes(args)), args.output)
    return 0


def run_audit(args: argparse.Namespace) -> int:
    """Print the objects of the background audit."""
    from fairlead.faces.admission.manifests import audit_manifests

    wishes = _wishes(args)
    _print(audit_manifests(wishes, _judged(args.policy)), args.output)
    return 0


def run_sense(args: argparse.Namespace) -> int:
    """Print the objects of the sensor, or its unit of systemd."""
    from fairlead.faces.sensor.manifests import Wishes, manifests, unit
    from fairlead.reactor.sensing_kinds import definitions

    if not 0 <= args.metrics <= 65535:
        raise Problem(f"--metrics {args.metrics} is not a port", code=2)
    files = [file for path in args.rules for file in _rule_files(path)]
    if args.systemd:
        command = [str(Path(sys.executable).with_name("fairlead")), "serve", "sense"]
        command += [word for path in args.rules for word in ("--rules", str(path.absolute()))]
        command += ["--metrics", str(args.metrics)] if args.metrics else []
        print(unit(command), end="")
        return 0
    _checked(args)
    texts: dict[str, str] = {}
    for file in files:
        if file.name in texts:
            raise Problem(
                f"two files of rules are called {file.name}", "give one of them another name", code=2
            )
        texts[file.name] = file.read_text()
    wishes = Wishes(image=args.image, namespace=args.namespace, rules=texts, metrics=args.metrics)
    _print(manifests(wishes, definitions()), args.output)
    return 0


def run_heal(args: argparse.Namespace) -> int:
    """Print the objects of continuous diagnosis."""
    from fairlead.faces.heal.manifests import Wishes, manifests

    _checked(args)
    if args.receivers and not _NAME.fullmatch(args.receivers):
        raise Problem(f"{args.receivers!r} cannot be a Secret's name", code=2)
    if args.replicas < 1:
        raise Problem("at least one replica is wanted", code=2)
    wishes = Wishes(
        image=args.image,
        namespace=args.namespace,
        replicas=args.replicas,
        custom=[_resource(one) for one in args.lookup],
        secrets=not args.no_secrets,
        receivers=args.receivers,
        propose=args.propose,
        allow_apply=args.allow_apply,
        network_policy=args.network_policy,
        cluster=args.cluster_name,
    )
    _print(manifests(wishes), args.output)
    return 0


def _rule_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(one for one in path.iterdir() if one.suffix in {".yaml", ".yml"})
    if not path.is_file():
        raise Problem(f"{path}: no such file", code=2)
    return [path]


def _checked(args: argparse.Namespace) -> None:
    if not _NAME.fullmatch(args.namespace):
        raise Problem(f"{args.namespace!r} cannot be a namespace's name", code=2)
    if not _IMAGE.fullmatch(args.image):
        raise Problem(f"{args.image!r} is not an image", code=2)


def _wishes(args: argparse.Namespace) -> Wishes:
    from fairlead.faces.admission.manifests import Wishes

    _checked(args)
    if args.namespace in {"default", "kube-system", "kube-public", "kube-node-lease"}:
        raise Problem(
            f"nobody is judged in the webhook's namespace, and {args.namespace} is not its own",
            "name one that it has for itself",
            code=2,
        )
    if args.replicas < 1:
        raise Problem("at least one replica is wanted", code=2)
    looked_up = [*map(_resource, args.lookup), *_looked_up(args.policy)]
    return Wishes(image=args.image, namespace=args.namespace, replicas=args.replicas, looked_up=looked_up)


def _print(objects: list[Resource], output: str) -> None:
    if output == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2))
    else:
        import yaml

        print(yaml.safe_dump_all(objects, sort_keys=False, width=200), end="")


def _resource(text: str) -> tuple[str, str]:
    """Return (group, plural) of `pods` or `ingresses.networking.k8s.io`."""
    found = _PLURAL.fullmatch(text)
    if not found:
        raise Problem(
            f"--lookup {text}: PLURAL or PLURAL.GROUP is wanted, such as ingresses.networking.k8s.io", code=2
        )
    return (found[2] or "").removeprefix("."), found[1]


def _looked_up(paths: list[str]) -> list[tuple[str, str]]:
    """Return (group, plural) of what the policies in files look up."""
    if not paths:
        return []
    from fairlead.reactor.kindnames import KindNames
    from fairlead.reactor.policies import ALWAYS, DIALECTS

    loaded, catalogue = _loaded(paths)
    kinds = KindNames(catalogue)
    builtin = frozenset[tuple[str, str]]().union(*(DIALECTS[name].assemble([]).wanted for name in ALWAYS))
    named = [one for one in sorted(loaded.wanted) if one not in builtin]
    return [(group, "*" if kind == "*" else kinds.plural(group, kind)) for group, kind in named]


def _judged(paths: list[str]) -> list[tuple[str, str]]:
    """Return (group, plural) of what the policies in files concern; without files: of everything."""
    if not paths:
        return [("*", "*")]
    from fairlead.judge.policies import Book
    from fairlead.reactor.audit import judged_kinds
    from fairlead.reactor.policies import ALWAYS

    loaded, catalogue = _loaded(paths)
    book = Book(policy for policy in loaded.book.policies if policy.dialect not in ALWAYS)
    standing = [("", "pods"), ("apps", "*"), ("batch", "*"), ("", "replicationcontrollers")]  # pod security
    return [*standing, *((kind.group, kind.plural) for kind in judged_kinds(book, catalogue))]


def _loaded(paths: list[str]) -> tuple[Loaded, Catalogue]:
    from fairlead.faces.cli.diagnose import read_paths
    from fairlead.judge.reading import Source
    from fairlead.reactor.examine import read_files
    from fairlead.reactor.kindnames import catalogue_of
    from fairlead.reactor.policies import ALWAYS, load

    documents, _ = read_files(read_paths(paths))
    loaded = load(Source(one.content, one.where) for one in documents)
    if all(policy.dialect in ALWAYS for policy in loaded.book.policies):
        raise Problem(f"no policies in {', '.join(paths)}", code=2)
    return loaded, catalogue_of(one.content for one in documents)
