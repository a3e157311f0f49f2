"""The sensor's process: what every process of this machine does, judged by rules, and told to the cluster.

`python -m fairlead.reactor.sense --data-dir D`. Ready once D/run/sensor.json is there. Where the machine does not allow it, that file
says why and the exit code is 3; the platform does without. What it does is in sensing_serving.py; this only starts and ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

NOT_HERE: Final = 3
"""The exit code where this machine does not let anybody watch it."""
log = logging.getLogger("fairlead.sense")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sensor until it is told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fairlead.reactor.sense", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument(
        "--rules", type=Path, action="append", default=[], help="files or folders besides D/sense/rules.d"
    )
    parser.add_argument("--behaviours", action="store_true", help="fairlead's own detectors, too")
    parser.add_argument(
        "--metrics", type=int, default=None, metavar="PORT", help="serve Prometheus metrics on loopback"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    data_dir: Path = options.data_dir.absolute()
    why = absent()
    try:
        if not why:
            why = _run(data_dir, options)
        if why:
            log.warning("nothing is watched: %s", why)
            _record(data_dir, {"pid": 0, "watches": "", "without": [f"the sensor: {why}"]})
            return NOT_HERE
    except Fault as fault:
        print(f"fairlead: error: {fault}", file=sys.stderr)
        return 1
    except OSError as fault:
        print(
            f"fairlead: error: {fault.filename or 'the sensor'}: {fault.strerror or fault}", file=sys.stderr
        )
        return 1
    return 0


def absent() -> str:
    """Return why nothing can be watched on this machine, as far as that is told without trying; "" otherwise."""
    if sys.platform != "linux":
        return "watching needs Linux"
    if os.geteuid() != 0:
        return "watching the kernel needs root"
    return ""


class Fault(Exception):
    """The sensor cannot go on; the text is for people."""


def _run(data_dir: Path, options: argparse.Namespace) -> str:
    """Run until told to stop; return why nothing can be watched here, "" otherwise. Raises Fault, OSError."""
    from fairlead.drivers.cluster import BadKubeconfig, read_kubeconfig
    from fairlead.drivers.pki import machine_name
    from fairlead.reactor.sensing_serving import NotHere, Options, Sensor, serve

    try:
        access = read_kubeconfig(data_dir / "sensor.kubeconfig")
    except BadKubeconfig as fault:
        raise Fault(str(fault)) from fault
    wanted = Options(
        access=access,
        node=machine_name(),
        rules=(data_dir / "sense" / "rules.d", *options.rules),
        data_dir=data_dir,
        behaviours=options.behaviours,
        metrics=options.metrics,
    )

    def ready(sensor: Sensor) -> None:
        _record(data_dir, {"pid": os.getpid(), "watches": sensor.watches(), "without": sensor.without()})

    try:
        asyncio.run(serve(wanted, ready))
    except NotHere as reason:
        return str(reason)
    (data_dir / "run" / "sensor.json").unlink(missing_ok=True)
    return ""


def _record(data_dir: Path, content: dict[str, Any]) -> None:
    path = data_dir / "run" / "sensor.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(content))
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main())
