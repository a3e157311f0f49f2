"""`fairlead install admission`: print what to apply so that a real cluster runs the webhook server.

Changes nothing. Exit code 0, or 2 when the command or its input cannot be understood.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fairlead import __version__
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead install admission --image registry.example/fairlead:1 | kubectl apply -f -
  fairlead install admission -p policies/ | kubectl apply -f -
                                             with the right to read what these policies look up
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
    admission.add_argument("--image", default=f"fairlead:{__version__}", help="default: %(default)s")
    admission.add_argument("-n", "--namespace", default="fairlead-system", metavar="NS",
                           help="where it runs, and nobody is judged (default: %(default)s)")  # fmt: skip
    admission.add_argument("--replicas", type=int, default=2, help="default: %(default)s")
    admission.add_argument(
        "-p", "--policy", action="append", default=[], metavar="POLICY",
        help="a file or folder of policies: what they look up may be read (repeatable)",
    )  # fmt: skip
    admission.add_argument(
        "--lookup", action="append", default=[], metavar="RESOURCE",
        help="what policies may look up, such as configmaps or ingresses.networking.k8s.io (repeatable)",
    )  # fmt: skip
    admission.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml")
    admission.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the objects."""
    from fairlead.faces.admission.manifests import Wishes, manifests

    if not _NAME.fullmatch(args.namespace):
        raise Problem(f"{args.namespace!r} cannot be a namespace's name", code=2)
    if args.namespace in {"default", "kube-system", "kube-public", "kube-node-lease"}:
        raise Problem(
            f"nobody is judged in the webhook's namespace, and {args.namespace} is not its own",
            "name one that it has for itself",
            code=2,
        )
    if not _IMAGE.fullmatch(args.image):
        raise Problem(f"{args.image!r} is not an image", code=2)
    if args.replicas < 1:
        raise Problem("at least one replica is wanted", code=2)
    looked_up = [*map(_resource, args.lookup), *_looked_up(args.policy)]
    wishes = Wishes(image=args.image, namespace=args.namespace, replicas=args.replicas, looked_up=looked_up)
    objects = manifests(wishes)
    if args.output == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2))
    else:
        import yaml

        print(yaml.safe_dump_all(objects, sort_keys=False, width=200), end="")
    return 0


def _resource(text: str) -> tuple[str, str]:
    """Return (group, plural) of `pods` or `ingresses.networking.k8s.io`."""
    found = _PLURAL.fullmatch(text)
    if not found:
        raise Problem(
            f"--lookup {text}: PLURAL or PLURAL.GROUP is wanted, such as ingresses.networking.k8s.io", code=2
        )
    return (found[2] or "").removeprefix("."), found[1]


def _looked_up(paths: list[str]) -> Iterable[tuple[str, str]]:
    """Return (group, plural) of what the policies in files look up."""
    if not paths:
        return []
    from fairlead.faces.cli.diagnose import read_paths
    from fairlead.judge.reading import Source
    from fairlead.reactor.examine import read_files
    from fairlead.reactor.kindnames import KindNames, catalogue_of
    from fairlead.reactor.policies import ALWAYS, DIALECTS, load

    documents, _ = read_files(read_paths(paths))
    loaded = load(Source(one.content, one.where) for one in documents)
    if all(policy.dialect in ALWAYS for policy in loaded.book.policies):
        raise Problem(f"no policies in {', '.join(paths)}", code=2)
    kinds = KindNames(catalogue_of(one.content for one in documents))
    builtin = frozenset[tuple[str, str]]().union(*(DIALECTS[name].assemble([]).wanted for name in ALWAYS))
    named = [one for one in sorted(loaded.wanted) if one not in builtin]
    return [(group, "*" if kind == "*" else kinds.plural(group, kind)) for group, kind in named]
