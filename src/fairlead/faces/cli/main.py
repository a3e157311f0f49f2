"""The entry point of `fairlead`: verbs, help and exit codes.

Every verb is a row in a table and a module with `declare(subparsers)`, which sets `run(args) -> int`. Exit codes: 0 done; 1 it failed,
or there are findings; 2 the command or its input cannot be understood. Only the module of the verb that was typed is imported, and
engines inside its `run`, so that every command starts quickly.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence

from fairlead import __version__
from fairlead.faces.cli.problems import Problem

EXAMPLES = """\
examples:
  fairlead up --detach                       bring a cluster up on this machine
  export KUBECONFIG=$(fairlead kubeconfig --path)
  kubectl apply -f app/                      deploy to it with any Kubernetes client
  fairlead apply ./chart --name web          a module, a Helm chart, a Kustomize tree: applied, awaited, undone with rollback
  fairlead diagnose                          what is wrong, and why
  fairlead fix 1a2b3c4d --apply              try a fix on a copy, then carry it out
  fairlead diagnose -f manifests/            the same on files, without a cluster
  fairlead judge -p policies/ manifests/     what your policies say, whatever language they are in
  fairlead sense --rules falco_rules.yaml    what every process does, judged by rules that you already own
  fairlead down                              stop everything, keep the data
"""


VERBS: tuple[tuple[str, str, str], ...] = (
    ("up", "lifecycle", "bring the platform up on this machine"),
    ("down", "lifecycle", "stop the platform and everything it runs; the data stays"),
    ("kubeconfig", "lifecycle", "print the administrator's kubeconfig, or its path"),
    ("version", "lifecycle", "print the version"),
    ("status", "status", "say what runs, where, and how it is; with a name, how an instance is"),
    ("render", "render", "print the objects of a package: modules, Timoni, Helm, Kustomize, manifests"),
    (
        "mod",
        "mod",
        "make, check, document and ship modules: init, vet, test, fmt, docs, vendor, push, pull ...",
    ),
    ("apply", "apply", "apply a package of any kind to a cluster, and wait until it is healthy"),
    ("diff", "diff", "show what an apply would change, or where a cluster has drifted from what was applied"),
    ("delete", "delete", "delete an instance: its objects in reverse order, then its records"),
    ("list", "list", "list the instances of a cluster"),
    ("history", "history", "tell the revisions of an instance"),
    ("rollback", "rollback", "apply an older revision of an instance again"),
    (
        "bundle",
        "bundle",
        "apply several packages in the order in which they need each other, on one cluster or several",
    ),
    ("image", "image", "bring images in without a registry, list and remove them"),
    ("artifact", "artifact", "push, pull and look at artifacts in registries"),
    ("registry", "registry", "log in to registries and out"),
    ("diagnose", "diagnose", "say what is wrong and why, on a cluster or in files"),
    ("diagnose-ignore", "ignoring", ""),
    (
        "snapshot",
        "snapshot",
        "write what a diagnosis looks at into a file without secrets, for somebody else to diagnose",
    ),
    ("fix", "fix", "try a fix on a copy of the cluster; carry it out with --apply"),
    ("undo", "undo", "take back what a fix has changed"),
    ("mcp", "mcp", "serve the diagnosis to assistants (Model Context Protocol)"),
    ("judge", "judge", "judge manifests or a cluster by Kyverno, Gatekeeper, CEL and other policies"),
    ("judge-test", "judgetests", ""),
    ("sign", "sign", "sign an artifact, or make a key to sign with"),
    ("verify", "verify", "say by whom an artifact is signed, and what is attested of it"),
    ("attest", "attest", "sign a statement about an artifact: provenance, an SBOM, a scan"),
    ("sense", "sense", "see what every process does, judged by Falco, Tetragon and Tracee rules"),
    (
        "serve",
        "serve",
        "run a server beside a real cluster: its admission webhook, its audit, its sensors, its diagnosis",
    ),
    ("install", "install", "print what a real cluster needs to run a server of fairlead's"),
)
"""Each verb, its module in this folder, and what the list of commands says of it ("": not listed)."""

GROUPS: tuple[tuple[str, str], ...] = (
    ("the platform", "up down status kubeconfig image version"),
    ("packages", "render mod apply diff list history rollback delete bundle"),
    ("registries and signatures", "artifact registry sign verify attest"),
    ("what is wrong, and why", "diagnose fix undo snapshot mcp"),
    ("policies and processes", "judge sense"),
    ("beside a real cluster", "serve install"),
)
"""The headings of the list of commands, and the verbs below each."""


def parser(words: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Return the command line as far as these words need it: the verb that is typed, or the list of all; whole without words."""
    top = argparse.ArgumentParser(
        prog="fairlead",
        description=f"The whole cloud-native platform in one Python program.\n\n{_listed()}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"fairlead {__version__}")
    verbs = top.add_subparsers(metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    top.usage = "fairlead [-h] [--version] COMMAND ..."
    modules = {verb: module for verb, module, _ in VERBS}
    typed = [modules[words[0]]] if words and words[0] in modules else []
    if words is None or typed:
        for module in typed or dict.fromkeys(modules.values()):
            importlib.import_module(f"fairlead.faces.cli.{module}").declare(verbs)
    else:
        for verb, _, text in VERBS:
            if text:
                verbs.add_parser(verb, help=text)
    return top


def _listed() -> str:
    """Return the list of commands."""
    texts = {verb: text for verb, _, text in VERBS}
    lines = []
    for heading, verbs in GROUPS:
        lines += [f"{heading}:", *(f"  {verb:<11} {texts[verb]}" for verb in verbs.split()), ""]
    return "\n".join(lines).rstrip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    # Where rich and click are installed, httpx reads them in for a command of its own: that takes longer than all of its client.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # what Python takes for a module that is not there
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:2] == ["judge", "test"]:  # a verb of two words, and a folder of the name `test` is ./test
        words[:2] = ["judge-test"]
    if words[:2] == ["diagnose", "ignore"]:  # and a kind of the name `ignore` is ignore.its-group
        words[:2] = ["diagnose-ignore"]
    if words and words[0][:1] != "-" and words[0] not in {verb for verb, _, _ in VERBS}:
        return _unknown(words[0])
    args = parser(words).parse_args(words)
    try:
        code: int = args.run(args)
    except Problem as problem:
        from fairlead.diagnose.hiding import (
            visible,
        )  # what packages and servers say must not steer a terminal

        print(visible(f"fairlead: error: {problem}"), file=sys.stderr)
        if problem.hint:
            print(visible(f"  {problem.hint}"), file=sys.stderr)
        return problem.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename:
            raise
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # what is left of it is not tried again
        print(f"fairlead: error: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    return code


def _unknown(word: str) -> int:
    """Say that there is no such verb, and which ones come near."""
    import difflib

    near = difflib.get_close_matches(word, [verb for verb, _, text in VERBS if text], n=2, cutoff=0.6)
    said = " or ".join(f"fairlead {verb}" for verb in near)
    print(f'fairlead: error: there is no command "{word}"', file=sys.stderr)
    print(f"  did you mean: {said}" if near else "  see them all with: fairlead --help", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
