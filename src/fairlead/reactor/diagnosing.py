"""The platform's process: what is wrong in the cluster, told as it comes and goes, and healed where policies say so.

`python -m fairlead.reactor.diagnosing --data-dir D`. Ready once D/run/platform.json is there. What it does is in diagnosing_serving.py and
diagnosing_working.py; this only starts and ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

RECEIVERS: Final = Path("heal", "receivers.yaml")
"""Where a data directory says who is told of findings."""
log = logging.getLogger("fairlead.diagnosing")


def main(argv: Sequence[str] | None = None) -> int:
    """Diagnose until told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fairlead.reactor.diagnosing", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument(
        "--metrics", type=int, default=None, metavar="PORT", help="serve Prometheus metrics on loopback"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        _run(options.data_dir.absolute(), options.metrics)
    except Fault as fault:
        print(f"fairlead: error: {fault}", file=sys.stderr)
        return 1
    except OSError as fault:
        print(
            f"fairlead: error: {fault.filename or 'the diagnosis'}: {fault.strerror or fault}",
            file=sys.stderr,
        )
        return 1
    return 0


class Fault(Exception):
    """The diagnosis cannot go on; the text is for people."""


def _run(data_dir: Path, metrics: int | None) -> None:
    """Run until told to stop. Raises Fault, OSError."""
    from fairlead.drivers.cluster import BadKubeconfig, read_kubeconfig
    from fairlead.reactor.diagnosing_serving import Options, Platform, serve
    from fairlead.reactor.diagnosing_working import Wishes

    try:
        access = read_kubeconfig(data_dir / "platform.kubeconfig")
    except BadKubeconfig as fault:
        raise Fault(str(fault)) from fault
    wanted = Options(
        access=access,
        wishes=Wishes(records=data_dir / "fixes"),
        receivers=data_dir / RECEIVERS,
        metrics=metrics,
    )
    record = data_dir / "run" / "platform.json"

    def ready(platform: Platform) -> None:
        _write(record, {"pid": os.getpid(), "watches": platform.watches(), "without": platform.without()})
        gc.collect()
        gc.freeze()

    _write(record, {"pid": os.getpid(), "watches": "", "without": []})
    asyncio.run(serve(wanted, ready))
    record.unlink(missing_ok=True)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(content))
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main())
