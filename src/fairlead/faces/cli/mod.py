"""`fairlead mod`: everything about modules as files, from the first one to its release.

Says which actions there are and what they take; what they do is in modules of their own, loaded when they are run.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.faces.cli import sources

if TYPE_CHECKING:
    from collections.abc import Callable

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

RAW = argparse.RawDescriptionHelpFormatter
EXAMPLES = """\
examples:
  fairlead mod init shop                    a module that is good to read, in ./shop
  fairlead mod vet shop                     is it right: code, values, what it builds
  fairlead mod test shop                    its own tests; --update takes snapshots anew
  fairlead mod fmt shop                     one way to write it
  fairlead mod docs shop                    its values in README.md and values.schema.json
  fairlead mod vendor shop                  its dependencies into vendor/, checked by digest
  fairlead mod vendor crd certificates.yaml shop
  fairlead mod push shop oci://ghcr.io/team/shop
"""
INIT = """\
examples:
  fairlead mod init shop                    in a new folder ./shop
  fairlead mod init shop --dir .            in this folder
  fairlead mod init labels --library        files for other modules to load, without a build
"""
VET = """\
A module is right when its code can be read, its values are described well, and what it builds, with its defaults and with the values
of each of its tests, is what an API server would take. Notes say what could be better; --strict counts them as mistakes.

examples:
  fairlead mod vet
  fairlead mod vet shop -f prod.yaml        with values of yours besides
  fairlead mod vet ./chart                  charts, Timoni modules and Kustomize trees are built and looked at too

exit codes: 0 it is right, 1 it is not, 2 there is no module
"""
TEST = """\
A test is a file under tests/: values, and what is expected of them.

  name: scales up
  values:
    replicas: 3
  objects: [Deployment/shop, Service/shop]    # these are there; with `only: true` no others
  absent: [Ingress]
  fields:
    Deployment/shop: {.spec.replicas: 3}
  expect:                                     # parts of objects
  - kind: Service
    spec: {type: ClusterIP}
  snapshot: true                              # all is as in tests/snapshots/

  name: refuses nonsense
  values: {replicas: -1}
  fails: must be at least 0                   # what a message says

Several tests in one file stand in a list under `cases`. `files` names values files of the module, `set` options, `context` who asks:
name, namespace, kubernetes (a version), serves, moment.

examples:
  fairlead mod test shop
  fairlead mod test shop -k scales          those whose name has the word
  fairlead mod test shop --update           write the snapshots anew

exit codes: 0 all hold, 1 some do not, 2 there is no module, or a test cannot be read
"""
FMT = """\
Indentation, blanks and quotes; never what the code means, and not where its lines break.

examples:
  fairlead mod fmt                          every .star file of this module, but not what is vendored
  fairlead mod fmt shop/module.star
  fairlead mod fmt --check                  change nothing; exit code 1 where something would be

exit codes: 0 done, 1 with --check something would change, or a file is no Starlark, 2 there is no such file
"""
DOCS = """\
Writes the table of all values into README.md, between two marks (at the end where there are none yet), and values.schema.json, which
editors take:  # yaml-language-server: $schema=values.schema.json

examples:
  fairlead mod docs shop
  fairlead mod docs shop --check            change nothing; exit code 1 where something is out of date
  fairlead mod docs shop --print            only print the table

exit codes: 0 done, 1 with --check something is out of date, or the values are wrong, 2 there is no module
"""
VENDOR = """\
examples:
  fairlead mod vendor shop                              what module.yaml names, into shop/vendor/
  fairlead mod vendor shop --update                     take what tags stand for now
  fairlead mod vendor crd cert-manager.crds.yaml shop   definitions of kinds, into shop/schemas/
  fairlead mod vendor crd https://example.com/crds.yaml shop
  fairlead mod vendor crd --from-cluster certificates.cert-manager.io shop
"""


def declare(verbs: Verbs) -> None:
    """Add the verb and its actions to the command line."""
    mod = verbs.add_parser(
        "mod",
        help="make, check, document and ship modules: init, vet, test, fmt, docs, vendor, push, pull ...",
        epilog=EXAMPLES,
        formatter_class=RAW,
    )
    actions = mod.add_subparsers(title="actions", metavar="ACTION", required=True)

    init = actions.add_parser("init", help="write a new module", epilog=INIT, formatter_class=RAW)
    init.add_argument("name", metavar="NAME", help="the name of the module: lowercase letters, digits and -")
    init.add_argument(
        "--dir", type=Path, default=None, metavar="DIR", help="where to write it (default: ./NAME)"
    )
    init.add_argument("--library", action="store_true", help="a library: code that other modules load")
    init.set_defaults(run=_later("modinit", "run"))

    vet = actions.add_parser(
        "vet", help="check a module: code, values, tests, and what it builds", epilog=VET, formatter_class=RAW
    )
    sources.source_argument(vet, optional=True)
    sources.values_options(vet)
    vet.add_argument("--name", default="", help="the name of the instance that is built")
    vet.add_argument("--strict", action="store_true", help="count notes as mistakes")
    vet.add_argument("-q", "--quiet", action="store_true", help="say no notes")
    vet.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="how findings are printed"
    )
    vet.set_defaults(run=_later("modvet", "run_vet"))

    test = actions.add_parser("test", help="run a module's tests", epilog=TEST, formatter_class=RAW)
    sources.source_argument(test, optional=True)
    test.add_argument(
        "-k", dest="word", default="", metavar="WORD", help="only tests whose name has this word"
    )
    test.add_argument(
        "--update", action="store_true", help="take what is rendered now as the right snapshots"
    )
    test.add_argument("--name", default="", help="the name of the instance that is built")
    test.set_defaults(run=_later("modvet", "run_test"))

    fmt = actions.add_parser("fmt", help="format Starlark files", epilog=FMT, formatter_class=RAW)
    fmt.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="files, or folders with .star files (default: .)"
    )
    fmt.add_argument("--check", action="store_true", help="change nothing, and say what would change")
    fmt.set_defaults(run=_later("modfmt", "run"))

    docs = actions.add_parser(
        "docs",
        help="write the reference and the schema of a module's values",
        epilog=DOCS,
        formatter_class=RAW,
    )
    docs.add_argument("source", metavar="DIR", nargs="?", default=".", help="the module (default: .)")
    docs.add_argument("--check", action="store_true", help="change nothing, and say what is out of date")
    docs.add_argument("--print", dest="only", action="store_true", help="print the table, and write nothing")
    docs.set_defaults(run=_later("moddocs", "run"))

    vendor = actions.add_parser(
        "vendor",
        help="fetch dependencies and definitions of kinds into a module",
        epilog=VENDOR,
        formatter_class=RAW,
    )
    vendor.add_argument("words", nargs="*", metavar="[crd FILE|URL] [DIR]", help="nothing for dependencies, or crd and where definitions are; then the module (default: .)")  # fmt: skip
    vendor.add_argument(
        "--update", action="store_true", help="take what tags stand for now, whatever the lock says"
    )
    vendor.add_argument(
        "--from-cluster",
        metavar="NAME",
        default="",
        help="with crd: a definition of the cluster, as kubectl names it",
    )
    group = vendor.add_argument_group("which cluster (for --from-cluster)")
    group.add_argument("--kubeconfig", type=Path, default=None, metavar="F", help="a kubeconfig file")
    group.add_argument("--context", default="", metavar="NAME", help="a context of the kubeconfig")
    group.add_argument(
        "--data-dir", type=Path, default=None, metavar="D", help="the cluster of `fairlead up --data-dir D`"
    )
    vendor.set_defaults(run=_later("modvendor", "run"))

    importlib.import_module("fairlead.faces.cli.modshipping").declare(actions)


def _later(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """Return what loads an action's module when it is run."""

    def run(args: argparse.Namespace) -> int:
        found: Callable[[argparse.Namespace], int] = getattr(
            importlib.import_module(f"fairlead.faces.cli.{module}"), name
        )
        return found(args)

    return run
