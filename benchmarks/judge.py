"""All benchmarks of the judge, one after another: `python benchmarks/judge.py [CORPUS]`.

Each compares with a peer or a limit in the same run; peers that are not installed (opa, gator) are left out, and it says so. The folder of real
policies is the argument, $FAIRLEAD_CORPUS, or shared/corpus beside the checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = {
    "cel.py": "CEL expressions, against Google's engine",
    "rego.py": "Rego, against OPA where there is one",
    "gatekeeper.py": "19 constraints x 1,000 pods, against gator where there is one",
    "kyverno.py": "Kyverno's policies x 1,000 pods",
    "admission.py": "what 50 policies add to a create; an audit of 10,000 objects",
}


def main() -> int:
    """Run them all; exit code 1 when one fails."""
    beside = HERE.parents[1] / "shared" / "corpus"
    corpus = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FAIRLEAD_CORPUS") or str(beside)
    failed = False
    for name, title in PARTS.items():
        print(f"\n# {title}\n", flush=True)
        done = subprocess.run(
            [sys.executable, str(HERE / name)], env={**os.environ, "FAIRLEAD_CORPUS": corpus}, check=False
        )
        failed = failed or done.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
