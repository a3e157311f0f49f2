"""The entry point of `fairlead`: verbs, help and exit codes.

Every verb is a module with `declare(subparsers)` and a `run(args) -> int`. Exit codes: 0 done; 1 it failed, or there
are findings; 2 the command or its input cannot be understood. Imports of engines happen inside verbs, so that --help is quick.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from fairlead import __version__
from fairlead.faces.cli import (
    diagnose,
    fix,
    ignoring,
    image,
    install,
    judge,
    judgetests,
    lifecycle,
    mcp,
    sense,
    serve,
    snapshot,
    undo,
)
from fairlead.faces.cli.problems import Problem

EXAMPLES = """\
examples:
  fairlead up --detach                       bring a cluster up on this machine
  export KUBECONFIG=$(fairlead kubeconfig --path)
  kubectl apply -f app/                      deploy to it with any Kubernetes client
  fairlead diagnose                          what is wrong, and why
  fairlead fix 1a2b3c4d --apply              try a fix on a copy, then carry it out
  fairlead diagnose -f manifests/            the same on files, without a cluster
  fairlead judge -p policies/ manifests/     what your policies say, whatever language they are in
  fairlead sense --rules falco_rules.yaml    what every process does, judged by rules that you already own
  fairlead down                              stop everything, keep the data
"""


def parser() -> argparse.ArgumentParser:
    """Return the whole command line, for main and for the tests of its help."""
    top = argparse.ArgumentParser(
        prog="fairlead",
        description="The whole cloud-native platform in one Python program.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"fairlead {__version__}")
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    lifecycle.declare(verbs)
    image.declare(verbs)
    diagnose.declare(verbs)
    ignoring.declare(verbs)
    snapshot.declare(verbs)
    fix.declare(verbs)
    undo.declare(verbs)
    mcp.declare(verbs)
    judge.declare(verbs)
    judgetests.declare(verbs)
    sense.declare(verbs)
    serve.declare(verbs)
    install.declare(verbs)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:2] == ["judge", "test"]:  # a verb of two words, and a folder of the name `test` is ./test
        words[:2] = ["judge-test"]
    if words[:2] == ["diagnose", "ignore"]:  # and a kind of the name `ignore` is ignore.its-group
        words[:2] = ["diagnose-ignore"]
    args = parser().parse_args(words)
    try:
        code: int = args.run(args)
    except Problem as problem:
        print(f"fairlead: error: {problem}", file=sys.stderr)
        if problem.hint:
            print(f"  {problem.hint}", file=sys.stderr)
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


if __name__ == "__main__":
    sys.exit(main())
