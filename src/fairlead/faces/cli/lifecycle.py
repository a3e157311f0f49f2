"""`fairlead up`, `down`, `kubeconfig`, `version`, and `status` without a name: the platform as a thing that runs."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import __version__
from fairlead.faces.cli.places import Places, default_data_dir
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

UP = """\
examples:
  fairlead up                         in the foreground, until Ctrl-C
  fairlead up --detach                in the background
  fairlead up --data-dir ./try --port 0 --detach    a second one, on a free port
"""

FOREGROUND_STOP_SECONDS = 90.0


def data_dir_option(parser: argparse.ArgumentParser, *, below: bool = False) -> None:
    """Add --data-dir to a verb, or to an action `below` a verb that has it too."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=argparse.SUPPRESS if below else None,
        metavar="D",
        help=f"where the platform keeps everything (default: $FAIRLEAD_DATA_DIR or {default_data_dir()})",
    )


def places(args: argparse.Namespace) -> Places:
    """Return the paths of the data directory that the arguments name."""
    return Places((args.data_dir or default_data_dir()).absolute())


def declare(verbs: Verbs) -> None:
    """Add the verbs to the command line."""
    raw = argparse.RawDescriptionHelpFormatter
    up = verbs.add_parser("up", help="bring the platform up on this machine", epilog=UP, formatter_class=raw)
    data_dir_option(up)
    up.add_argument(
        "--port",
        type=int,
        default=None,
        metavar="N",
        help="port of the Kubernetes API, 0 = a free one (default: the last one used, or 6443)",
    )
    up.add_argument(
        "--detach", action="store_true", help="return as soon as it is ready, and go on in the background"
    )
    up.add_argument(
        "--no-node",
        action="store_true",
        help="the control plane alone: nothing runs pods, no sensor, no registry",
    )
    up.add_argument(
        "--no-audit",
        action="store_true",
        help="the control plane keeps no policy reports: `fairlead serve audit` does, as a process of its own",
    )
    up.add_argument("--no-containers", action="store_true", help="a node for Wasm only, even as root")
    up.add_argument(
        "--crash-backoff",
        type=float,
        default=None,
        metavar="SECONDS",
        help="first delay before a crashed container starts again (default: 10, doubling to 300)",
    )
    up.add_argument(
        "--no-sensor",
        action="store_true",
        help="nothing watches the kernel: no detections, no flight records",
    )
    up.add_argument(
        "--sensor-metrics",
        type=int,
        default=None,
        metavar="PORT",
        help="serve the sensor's Prometheus metrics on this port of loopback (default: nowhere)",
    )
    up.add_argument(
        "--no-platform",
        action="store_true",
        help="nobody diagnoses all the time: no Finding objects, no healing",
    )
    up.add_argument(
        "--platform-metrics",
        type=int,
        default=None,
        metavar="PORT",
        help="serve the diagnosis' Prometheus metrics on this port of loopback (default: nowhere)",
    )
    up.add_argument(
        "--audit-policy",
        default="",
        metavar="FILE",
        help="write what the API is asked to logs/audit.jsonl, as this audit.k8s.io/v1 Policy says, or `default`; "
        "without it that happens, as `default`, where rules in sense/rules.d are about audit events",
    )
    up.add_argument(
        "--registry-port",
        type=int,
        default=None,
        metavar="N",
        help="port of the registry for modules and images, on loopback, 0 = a free one (default: the last one used, or 5000, or a free one)",
    )
    up.add_argument("--no-registry", action="store_true", help="no registry for modules and images")
    up.add_argument("--ready-pipe", type=int, default=None, help=argparse.SUPPRESS)
    up.set_defaults(run=run_up)

    down = verbs.add_parser("down", help="stop the platform and everything it runs; the data stays")
    data_dir_option(down)
    down.set_defaults(run=run_down)

    kubeconfig = verbs.add_parser("kubeconfig", help="print the administrator's kubeconfig, or its path")
    data_dir_option(kubeconfig)
    kubeconfig.add_argument("--path", action="store_true", help="print only where the file is")
    kubeconfig.set_defaults(run=run_kubeconfig)

    version = verbs.add_parser("version", help="print the version")
    version.add_argument("-o", "--output", choices=("text", "json"), default="text")
    version.set_defaults(run=run_version)


def run_up(args: argparse.Namespace) -> int:
    """Start the platform; in the foreground unless --detach."""
    from fairlead.faces.cli import supervisor

    where = places(args)
    where.prepare()
    ports = (
        ("--port", args.port),
        ("--sensor-metrics", args.sensor_metrics),
        ("--platform-metrics", args.platform_metrics),
        ("--registry-port", args.registry_port),
    )
    for name, port in ports:
        if port is not None and not 0 <= port <= 65535:
            raise Problem(f"{name} {port} is not a port", "use 1 to 65535, or 0 for a free one", code=2)
    options = supervisor.Options(
        port=args.port if args.port is not None else where.record("last").get("port", 6443),
        node=not args.no_node,
        audit=not args.no_audit,
        containers=not args.no_containers,
        crash_backoff=args.crash_backoff,
        sensor=not args.no_sensor and not args.no_node,
        sensor_metrics=args.sensor_metrics,
        platform=not args.no_platform and not args.no_node,
        platform_metrics=args.platform_metrics,
        registry=not args.no_registry and (not args.no_node or args.registry_port is not None),
        registry_port=args.registry_port,
        audit_policy=_audit_policy(args.audit_policy)
        or ("default" if not args.no_sensor and _wants_audit(where.root / "sense" / "rules.d") else ""),
    )
    if args.detach:
        return supervisor.detach(where, options)
    return supervisor.run(where, options, ready_pipe=args.ready_pipe)


def _audit_policy(asked: str) -> str:
    """Return the policy's absolute path, or `default`; the control plane reads it."""
    if asked in {"", "default"}:
        return asked
    path = Path(asked).absolute()
    if not path.is_file():
        raise Problem(
            f"--audit-policy {asked} is not a file", "name an audit.k8s.io/v1 Policy, or `default`", code=2
        )
    return str(path)


def _wants_audit(rules: Path) -> bool:
    """Whether the sensor's rules judge what the API is asked, so that it must be written down."""
    asking = re.compile(rb"^\s*(?:-\s*)?source:\s*[\"']?k8s_audit\b", re.MULTILINE)
    try:
        found = [one for one in rules.rglob("*.y*ml") if one.is_file()]
        return any(asking.search(one.read_bytes()) for one in found)
    except OSError:
        return False  # the sensor says what it cannot read


def run_down(args: argparse.Namespace) -> int:
    """Stop the platform, and what an earlier one left behind when it was killed."""
    from fairlead.faces.cli import supervisor

    where = places(args)
    started = time.monotonic()
    pid = supervisor.running(where)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + FOREGROUND_STOP_SECONDS
        while supervisor.running(where) is not None:
            if time.monotonic() > deadline:
                raise Problem(
                    f"process {pid} did not stop within {FOREGROUND_STOP_SECONDS:.0f} s",
                    f"its log is {where.logs / 'supervisor.log'}",
                )
            time.sleep(0.05)
    cleaned = supervisor.clean(where)
    cleaned = _end_what_runs(where.root) or cleaned
    if pid is None and not cleaned:
        print(f"fairlead is not running ({where.root})")
        return 0
    print(f"fairlead is down ({time.monotonic() - started:.1f} s); its data stays in {where.root}")
    return 0


def _end_what_runs(root: Path) -> bool:
    """End containers and guests whose node was killed before it could. Return whether there were any."""
    from fairlead.reactor import sweeping

    if not sweeping.remains(root):
        return False
    import asyncio

    from fairlead.drivers.containers.daemon import ContainersUnavailable

    try:
        asyncio.run(sweeping.sweep(root))
    except ContainersUnavailable as error:
        raise Problem(str(error), "run fairlead down as root") from error
    return True


def run_status(args: argparse.Namespace) -> int:
    """Report each process; exit code 1 when the platform is down."""
    from fairlead.faces.cli import supervisor

    where = places(args)
    report = supervisor.status(where)
    if args.output == "json":
        print(json.dumps(report, indent=2))
    elif args.output == "yaml":
        import yaml

        print(yaml.safe_dump(report, sort_keys=False), end="")
    else:
        _print_status(report)
    return 0 if report["running"] else 1


def _print_status(report: dict[str, Any]) -> None:
    if not report["running"]:
        print(f"fairlead is not running ({report['dataDir']})")
        print("  start it with: fairlead up --detach")
        return
    print(f"fairlead is up at {report['server']} ({report['dataDir']})")
    print(f"{'PROCESS':<16}{'STATE':<12}{'PID':<9}{'UPTIME':<10}{'MEMORY':<9}LOG")
    for process in report["processes"]:
        print(
            f"{process['name']:<16}{process['state']:<12}{process['pid'] or '-':<9}"
            f"{process['uptime'] or '-':<10}{process['memory'] or '-':<9}{process['log']}"
        )
    for process in report["processes"]:
        for left_out in process["without"]:
            print(f"{process['name']}: without {left_out}")


def run_kubeconfig(args: argparse.Namespace) -> int:
    """Print the admin kubeconfig or its path."""
    path = places(args).kubeconfig
    if not path.exists():
        raise Problem(
            f"there is no kubeconfig at {path} yet", "start the platform first: fairlead up --detach"
        )
    print(path if args.path else path.read_text(), end="\n" if args.path else "")
    return 0


def run_version(args: argparse.Namespace) -> int:
    """Print the version of the program and of the interpreter."""
    if args.output == "json":
        print(json.dumps({"fairlead": __version__, "python": sys.version.split()[0]}))
    else:
        print(f"fairlead {__version__}")
    return 0
