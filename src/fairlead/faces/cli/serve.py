"""`fairlead serve admission`, `audit`, `sense` and `heal`: what judges for a real cluster, at admission and after, and what diagnoses it.

Serves until it is told to stop. Exit code 0 then, 1 when it could not go on, 2 when the command cannot be understood.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.faces.cli.diagnose import cluster_options, kubeconfig
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.cluster import Access
    from fairlead.faces.admission.starting import Options

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead install admission -p policies/ | kubectl apply -f -
                                             have a cluster run it, with the rights that the policies need
  fairlead serve admission --in-cluster --address 0.0.0.0
                                             what its pods run: policies from the cluster, certificate in a Secret
  fairlead serve admission -p policies/ --cert-dir certs/
                                             policies from files, here; certs/ca.crt is the authority to trust
  fairlead serve admission --context staging --namespace fairlead-system
                                             the policies of a cluster, from outside of it

paths: /validate and /mutate answer AdmissionReview v1; /healthz, /readyz

A policy that is late or fails refuses the request, unless its failurePolicy is Ignore.
"""


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "serve",
        help="run a server beside a real cluster: its admission webhook, its audit, its sensors, its diagnosis",
    )
    servers = parser.add_subparsers(title="servers", metavar="SERVER", required=True)
    admission = servers.add_parser(
        "admission",
        help="judge what a cluster is asked to do, as its webhook",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    admission.add_argument(
        "-p", "--policy", action="append", default=[], type=Path, metavar="POLICY",
        help="a file or folder of policies (repeatable); they see the files only. Default: the cluster's policies",
    )  # fmt: skip
    admission.add_argument("--address", default="127.0.0.1", help="where to listen (default: loopback only)")
    admission.add_argument("--port", type=int, default=8443, help="default 8443; 0 is a free one")
    admission.add_argument(
        "--drain", type=float, default=0.0, metavar="SECONDS",
        help="go on for so long after SIGTERM, until nobody sends requests any more",
    )  # fmt: skip
    admission.add_argument(
        "--fetch-modules", action="store_true", help="fetch WebAssembly modules that policies name by https"
    )
    keys = admission.add_argument_group("the certificate")
    keys.add_argument(
        "--tls-cert", type=Path, metavar="F", help="a certificate (PEM), read again when it changes"
    )
    keys.add_argument("--tls-key", type=Path, metavar="F", help="its private key (PEM)")
    keys.add_argument("--tls-ca", type=Path, metavar="F",
                      help="its authority, for the caBundle of the webhook configurations")  # fmt: skip
    keys.add_argument(
        "--cert-dir", type=Path, metavar="D",
        help="keep an own authority and certificate here, renewed before they run out (default: in a Secret)",
    )  # fmt: skip
    keys.add_argument("--secret", default="fairlead-admission-tls", metavar="NAME", help="the Secret's name")
    keys.add_argument("--service", default="fairlead-admission", metavar="NAME",
                      help="the Service that the API server calls")  # fmt: skip
    keys.add_argument("--server-name", action="append", default=[], metavar="NAME",
                      help="a further name that the certificate is good for (repeatable)")  # fmt: skip
    keys.add_argument(
        "--configuration", default="fairlead-admission", metavar="NAME",
        help="the webhook configurations whose caBundle is kept current; '' for none",
    )  # fmt: skip
    admission.add_argument("--in-cluster", action="store_true", help="the cluster that this pod runs in")
    cluster_options(admission)
    admission.set_defaults(run=run)
    audit = servers.add_parser(
        "audit",
        help="keep PolicyReports on what a cluster holds, by the policies that it holds",
        description="Keeps PolicyReports current on what a cluster holds, judging what changes. Run one a cluster.",
    )
    audit.add_argument(
        "--fetch-modules", action="store_true", help="fetch WebAssembly modules that policies name by https"
    )
    audit.add_argument("--in-cluster", action="store_true", help="the cluster that this pod runs in")
    cluster_options(audit)
    audit.set_defaults(run=run_audit, policy=())
    _declare_sense(servers)
    _declare_heal(servers)


def _declare_sense(servers: Verbs) -> None:
    sense = servers.add_parser(
        "sense",
        help="watch this machine's processes, judge them by rules, and tell a cluster",
        description="Watches every process of this machine, judges by rules from files and by the cluster's TracingPolicies, and writes Detections "
        "and FlightRecords. Without a cluster (no --in-cluster, --kubeconfig or --context) it tells its log. Run one a machine.",
    )
    sense.add_argument("--rules", action="append", default=[], type=Path, metavar="FILE",
                       help="a file or folder of rules, read again when it changes (repeatable)")  # fmt: skip
    sense.add_argument("--behaviours", action="store_true", help="fairlead's own detectors, too")
    sense.add_argument(
        "--node",
        default="",
        metavar="NAME",
        help="this machine's name in the cluster (default: its host name)",
    )
    sense.add_argument("--metrics", type=int, default=None, metavar="PORT", help="serve Prometheus metrics")
    sense.add_argument(
        "--metrics-address", default="127.0.0.1", metavar="ADDRESS", help="where (default: loopback only)"
    )
    sense.add_argument("--in-cluster", action="store_true", help="the cluster that this pod runs in")
    cluster_options(sense)
    sense.set_defaults(run=run_sense)


def _declare_heal(servers: Verbs) -> None:
    heal = servers.add_parser(
        "heal",
        help="diagnose a cluster all the time, tell what is found, and heal what HealPolicies let",
        description="Writes what is wrong as Finding objects, Events, metrics and messages to receivers; heals where a HealPolicy says so. "
        "The kinds are there after `fairlead install heal`.",
    )
    heal.add_argument("--metrics", type=int, default=None, metavar="PORT", help="serve Prometheus metrics")
    heal.add_argument(
        "--metrics-address", default="127.0.0.1", metavar="ADDRESS", help="where (default: loopback only)"
    )
    heal.add_argument(
        "--receivers", type=Path, default=None, metavar="FILE",
        help="who is told: a URL on each line, or YAML of {url or urlFile, name, severity, rules, namespaces, resolved}; "
        "also $FAIRLEAD_WEBHOOK_URL",
    )  # fmt: skip
    heal.add_argument(
        "--records", type=Path, default=None, metavar="DIR", help="write down what is healed in this folder"
    )
    heal.add_argument("--no-heal", action="store_true", help="heed no HealPolicy: tell, and nothing else")
    heal.add_argument(
        "--lease",
        default="",
        metavar="NAME",
        help="of several replicas let the one work that holds this Lease",
    )
    heal.add_argument(
        "--identity", default="", metavar="NAME", help="this replica's name (default: the host's)"
    )
    heal.add_argument(
        "--retention",
        default="1h",
        metavar="TIME",
        help="how long findings are kept that are gone (default: %(default)s)",
    )
    heal.add_argument("--cluster-name", default="", metavar="NAME", help="what messages call the cluster")
    heal.add_argument("--in-cluster", action="store_true", help="the cluster that this pod runs in")
    cluster_options(heal)
    heal.set_defaults(run=run_heal, policy=())


def run(args: argparse.Namespace) -> int:
    """Serve; return the exit code."""
    from fairlead.drivers.cluster import Unreachable
    from fairlead.drivers.pki import PkiError
    from fairlead.drivers.serving import ListenError
    from fairlead.faces.admission.keypairs import NoKeyPair
    from fairlead.faces.admission.rolling import NotServing
    from fairlead.faces.admission.starting import StartError, serve
    from fairlead.keep.errors import Refusal

    options = _options(args)
    _log()
    try:
        asyncio.run(serve(options))
    except Unreachable as error:
        raise Problem(f"the cluster cannot be reached: {error}") from error
    except Refusal as refusal:
        raise Problem(f"the cluster refuses: {refusal.message}") from refusal
    except (StartError, ListenError, NoKeyPair, NotServing, PkiError) as fault:
        raise Problem(str(fault)) from fault
    except OSError as fault:
        raise Problem(f"{fault.filename or 'serving'}: {fault.strerror or fault}") from fault
    return 0


def run_audit(args: argparse.Namespace) -> int:
    """Audit until told to stop; return the exit code."""
    from fairlead.drivers.cluster import Unreachable
    from fairlead.keep.errors import Refusal

    access = _access(args)
    assert access is not None  # without files of policies there is a cluster, or a Problem
    _log()
    try:
        asyncio.run(_audit(access, online=args.fetch_modules))
    except Unreachable as error:
        raise Problem(f"the cluster cannot be reached: {error}") from error
    except Refusal as refusal:
        raise Problem(f"the cluster refuses: {refusal.message}") from refusal
    return 0


def run_sense(args: argparse.Namespace) -> int:
    """Watch until told to stop; return the exit code."""
    from fairlead.reactor.sense import absent
    from fairlead.reactor.sensing_serving import NotHere, Options
    from fairlead.reactor.sensing_serving import serve as watch

    if why := absent():
        raise Problem(f"nothing is watched: {why}")
    for path in args.rules:
        if not path.exists():
            raise Problem(f"{path}: no such file or folder", code=2)
    args.policy = args.rules or [Path()]  # with rules from files a cluster is not needed
    options = Options(
        access=_access(args),
        node=args.node,
        rules=tuple(args.rules),
        data_dir=args.data_dir,
        behaviours=args.behaviours,
        metrics=args.metrics,
        metrics_address=args.metrics_address,
    )
    _log()
    try:
        asyncio.run(watch(options))
    except NotHere as reason:
        raise Problem(f"nothing is watched: {reason}") from reason
    except OSError as fault:
        raise Problem(f"{fault.filename or 'the sensor'}: {fault.strerror or fault}") from fault
    return 0


def run_heal(args: argparse.Namespace) -> int:
    """Diagnose until told to stop; return the exit code."""
    from fairlead.diagnose.suppressing import span
    from fairlead.reactor.diagnosing_serving import Options as Diagnosis
    from fairlead.reactor.diagnosing_serving import serve as diagnose
    from fairlead.reactor.diagnosing_working import Wishes

    access = _access(args)
    assert access is not None  # without files of policies there is a cluster, or a Problem
    try:
        retention = span(args.retention)
    except ValueError as fault:
        raise Problem(f"--retention: {fault}", code=2) from fault
    own = access.namespace if args.in_cluster else ""
    options = Diagnosis(
        access=access,
        wishes=Wishes(
            own=own,
            namespace=args.namespace,
            records=args.records,
            retention=retention,
            heal=not args.no_heal,
        ),
        receivers=args.receivers,
        lease=(own or "default", args.lease) if args.lease else None,
        identity=args.identity or socket.gethostname(),
        metrics=args.metrics,
        metrics_address=args.metrics_address,
        cluster=args.cluster_name,
    )
    _log()
    try:
        asyncio.run(diagnose(options))
    except OSError as fault:
        raise Problem(f"{fault.filename or 'the diagnosis'}: {fault.strerror or fault}") from fault
    return 0


async def _audit(access: Access, *, online: bool) -> None:
    """Audit until a signal comes."""
    from fairlead.drivers.cluster import AsyncCluster
    from fairlead.reactor.auditclusters import audit_cluster

    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopped.set)
    log = logging.getLogger("fairlead.audit")
    async with AsyncCluster(access) as cluster:
        stop = asyncio.create_task(stopped.wait())
        auditing = asyncio.create_task(
            audit_cluster(
                cluster, online=online, started=lambda _auditor: log.info("auditing %s", access.server)
            )
        )
        await asyncio.wait({stop, auditing}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        auditing.cancel()
        for ended in await asyncio.gather(auditing, stop, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


def _log() -> None:
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _options(args: argparse.Namespace) -> Options:
    from fairlead.faces.admission.starting import Options

    try:
        ipaddress.ip_address(args.address)
    except ValueError as fault:
        raise Problem(f"{args.address} is not an address to listen on", code=2) from fault
    if (args.tls_cert is None) != (args.tls_key is None):
        raise Problem("--tls-cert and --tls-key belong together", code=2)
    if args.tls_cert is not None and args.cert_dir is not None:
        raise Problem("--cert-dir makes a certificate, --tls-cert names one", "choose one of them", code=2)
    for path in args.policy:
        if not path.exists():
            raise Problem(f"cannot read {path}: there is no such file or folder", code=2)
    access = _access(args)
    own = args.namespace or (access.namespace if args.in_cluster and access is not None else "")
    return Options(
        address=args.address,
        port=args.port,
        policies=tuple(args.policy),
        access=access,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        tls_ca=args.tls_ca,
        cert_dir=args.cert_dir,
        own_namespace=own,
        secret=args.secret,
        service=args.service,
        configuration=args.configuration,
        names=tuple(args.server_name),
        fetch_modules=args.fetch_modules,
        drain=args.drain,
    )


def _access(args: argparse.Namespace) -> Access | None:
    """Return the cluster that the arguments mean: with policies from files only one that they name."""
    from fairlead.drivers.cluster import BadKubeconfig, in_cluster, read_kubeconfig

    named = args.kubeconfig or args.context or args.data_dir
    if args.in_cluster and named:
        raise Problem("--in-cluster is a cluster already", "leave out --kubeconfig and --context", code=2)
    try:
        if args.in_cluster:
            return in_cluster()
        if named or not args.policy:
            if not named and os.environ.get("KUBERNETES_SERVICE_HOST"):
                return in_cluster()
            return read_kubeconfig(kubeconfig(args), args.context)
    except BadKubeconfig as error:
        raise Problem(str(error), code=2) from error
    return None
