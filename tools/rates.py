"""Says how much of other people's test suites holds here: `tools/rates.py [--corpus FOLDER] [SUITE...] [--misses]`.

The folder is $FAIRLEAD_CORPUS, or shared/corpus beside the checkout, and holds one folder for each suite. A suite that no corpus has
to hold is left out where it is not, and that is told. Exit code 0 when every suite keeps its floor, 1 when one does not, 2 when a
folder is not there.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conformance import Rates

FLOORS = {
    "cel": 0.995,
    "opa": 0.97,
    "kyverno": 0.97,
    "gatekeeper": 1.0,
    "polaris": 0.98,
    "popeye": 0.93,
    "kustomize": 0.99,
    "sigstore": 1.0,
}
ELSEWHERE = {"sigstore": "FAIRLEAD_SIGSTORE_CONFORMANCE"}
"""Suites that a corpus needs not hold, and the variable that names their folder."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "corpus"
    place = os.environ.get("FAIRLEAD_CORPUS") or str(beside)
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(FLOORS)} (default: all)")
    top.add_argument("--corpus", type=Path, default=Path(place), help="the folder of the suites")
    top.add_argument("--misses", action="store_true", help="tell each case that misses, and why")
    return top


def main() -> int:
    """Run the suites and print their rates."""
    args = parser().parse_args()
    low = False
    print(f"{'suite':<12}{'passed':>8}{'of':>8}{'rate':>9}{'floor':>9}{'skipped':>9}{'seconds':>9}")
    for suite in args.suites or FLOORS:
        folder = Path(os.environ.get(ELSEWHERE.get(suite, "")) or args.corpus / suite)
        if suite in ELSEWHERE and suite not in args.suites and not folder.is_dir():
            print(f"{suite:<12}left out: there is no {folder}, and ${ELSEWHERE[suite]} names none")
            continue
        if suite not in FLOORS or not folder.is_dir():
            print(f"{suite}: there is no {folder}", file=sys.stderr)
            return 2
        started = time.monotonic()
        found: Rates = importlib.import_module(f"conformance.{suite}").run(args.corpus)
        spent = time.monotonic() - started
        low = low or found.rate < FLOORS[suite]
        print(
            f"{suite:<12}{found.passed:>8}{found.total:>8}{found.rate:>9.2%}{FLOORS[suite]:>9.1%}"
            f"{len(found.skipped):>9}{spent:>9.1f}"
        )
        if args.misses:
            for case, reason in found.missed.items():
                print(f"    {case}: {reason}")
    return int(low)


if __name__ == "__main__":
    sys.exit(main())
