"""The control-plane process: opens the store, starts the loops, serves the API until it is told to stop.

`python -m fairlead.faces.kube --data-dir D --port N`. Ready once D/run/control-plane.json is there. A fault at the
start is one line on standard error and exit code 1, and leaves nothing half-done.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import ipaddress
import json
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.drivers import pki as keys
from fairlead.drivers import serving
from fairlead.drivers.pki import PkiError
from fairlead.drivers.serving import ListenError
from fairlead.drivers.sqlite import LogError
from fairlead.faces.kube import loops
from fairlead.faces.kube.app import App
from fairlead.faces.kube.auditing import BadPolicy, open_auditor
from fairlead.faces.kube.site import Site, clock
from fairlead.keep import bootstrapping
from fairlead.reactor import diagnosing_kinds, policing_kinds, sensing_kinds
from fairlead.reactor.admit import PolicyGate
from fairlead.reactor.judging import Answerer, Late
from fairlead.reactor.keeping import Keeper
from fairlead.reactor.kindnames import KindNames

if TYPE_CHECKING:
    from fairlead.reactor.guesting import GuestProvider
    from fairlead.reactor.verifying_images import Images

log = logging.getLogger("fairlead.kube")
LOOPBACK = "127.0.0.1"
_READY_TRIES = 200
_GC = (10_000, 20, 50)
"""When Python looks for garbage in cycles. Its own thresholds make each list of a thousand objects walk through all that
the controllers know; what is decoded and encoded here has no cycles."""


class StartError(Exception):
    """The control plane cannot start; the text is for people."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the control plane; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fairlead.faces.kube", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--port", type=int, default=6443, help="0 is a free one")
    parser.add_argument("--host", default=LOOPBACK, help="the address to listen on (loopback)")
    parser.add_argument(
        "--no-audit", action="store_true", help="leave policy reports to a process of their own"
    )
    parser.add_argument(
        "--audit-policy",
        default="",
        metavar="FILE",
        help="write what the API is asked to logs/audit.jsonl, as this audit.k8s.io/v1 Policy says, or `default`",
    )
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("httpx").setLevel(
        logging.WARNING
    )  # it would log the commands that are run in containers
    try:
        asyncio.run(
            run(
                options.data_dir.absolute(),
                options.host,
                options.port,
                audit=not options.no_audit,
                audit_policy=options.audit_policy,
            )
        )
    except (StartError, BadPolicy, ListenError, LogError, PkiError) as fault:
        print(f"fairlead: error: {fault}", file=sys.stderr)
        return 1
    except PermissionError as fault:
        print(f"fairlead: error: no permission for {fault.filename}", file=sys.stderr)
        return 1
    except OSError as fault:
        print(
            f"fairlead: error: {fault.filename or options.data_dir}: {fault.strerror or fault}",
            file=sys.stderr,
        )
        return 1
    return 0


async def run(data: Path, host: str, port: int, *, audit: bool = True, audit_policy: str = "") -> None:
    """Serve until SIGTERM or SIGINT. Raises what makes starting impossible.

    `audit` keeps policy reports current; `audit_policy` names what is written of requests: a file, `default`, or "" for nothing.
    """
    _check_host(host)
    listener = serving.listen(host, port)
    with contextlib.closing(listener):
        for directory in (data, data / "run"):
            directory.mkdir(parents=True, exist_ok=True)
        pki = keys.open_pki(data / "pki")
        keeper = await Keeper.open(data / "store.db")
        try:
            port = listener.getsockname()[1]
            address = _address(host, port)
            own = address.rpartition(":")[0].strip("[]")
            await keeper.write(lambda world: bootstrapping.advertise(world, clock(), own, port))
            await keeper.write(lambda world: policing_kinds.install(world, clock()))
            await keeper.write(lambda world: policing_kinds.install(world, clock(), sensing_kinds.KINDS))
            await keeper.write(lambda world: diagnosing_kinds.install(world, clock()))
            images = Late(lambda: _images(keeper, data))
            guests = Late(lambda: _guests(keeper, gate, data))
            seen = dict.fromkeys(("image.verification", "image.data", "cue.vet"), images)
            answerer = Answerer(lambda: keeper.view, providers={"guest": guests, **seen})
            gate = PolicyGate(answerer.answer, lambda: keeper.view)
            keeper.guard(gate)
            keys.write_kubeconfigs(data, pki, f"https://{address}")
            site = Site.over(keeper, pki, address)
            site.auditor = open_auditor(audit_policy, data / "logs") if audit_policy else None
            try:
                await _serve(data, site, listener, audit=audit)
            finally:
                await guests.close()
                await images.close()
                if site.auditor is not None:
                    await asyncio.to_thread(site.auditor.close)
        finally:
            await keeper.close()


def _guests(keeper: Keeper, gate: PolicyGate, data: Path) -> GuestProvider:
    """Return what runs the code that policies bring."""
    from fairlead.reactor.guesting import GuestProvider

    kinds = KindNames(keeper.world.catalogue)
    cache, images = data / "guests", _images(keeper, data)
    return GuestProvider(
        lambda: keeper.view, kinds, allowed=gate.allowed, cache=cache, online=True, images=images
    )


def _images(keeper: Keeper, data: Path) -> Images:
    """Return what asks registries for policies; modules of policies must be signed as `D/trust` says."""
    from fairlead.reactor.verifying_demands import accepting
    from fairlead.reactor.verifying_images import Images

    logins = [data / "registry" / "config.json"]
    return Images(lambda: keeper.view, logins=logins, accept=accepting(data / "trust", clock))


async def _serve(data: Path, site: Site, listener: socket.socket, *, audit: bool) -> None:
    """Run the server and the loops until a signal, or until one of them ends by itself."""
    stopped = asyncio.Event()
    running_loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        running_loop.add_signal_handler(signum, stopped.set)
    app = App(site)
    server = serving.build(app, listener, site.pki.certificate, site.pki.key)
    serve = asyncio.create_task(server.serve(), name="server")
    stop = asyncio.create_task(stopped.wait(), name="stop")
    async with loops.running(site.keeper, site.pki.ca.read_text(), audits=audit) as failing:
        site.failing_loops = failing
        record = data / "run" / "control-plane.json"
        try:
            await _answers(site, listener.getsockname()[:2])
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GC)
            content = {"port": listener.getsockname()[1], "pid": os.getpid()}
            keys.write_private(record, json.dumps(content).encode())
            log.info("serving https://%s", site.address)
            await asyncio.wait({serve, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with contextlib.suppress(OSError):
                record.unlink()
            await app.close()
            await serving.stop(server, serve)
            stop.cancel()
    if not stopped.is_set():
        raise StartError("the HTTP server ended by itself")


async def _answers(site: Site, place: tuple[str, int]) -> None:
    """Wait until the server answers over TLS."""
    context = ssl.create_default_context(cafile=str(site.pki.ca))
    for _ in range(_READY_TRIES):
        try:
            reader, writer = await asyncio.open_connection(*place, ssl=context, server_hostname="localhost")
        except OSError:
            await asyncio.sleep(0.05)
            continue
        try:
            writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await writer.drain()
            if b" 200 " in await reader.readline():
                return
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await asyncio.sleep(0.05)
    raise StartError("the HTTP server does not answer")


def _check_host(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError as fault:
        raise StartError(f"{host} is not an address to listen on") from fault


def _address(host: str, port: int) -> str:
    shown = ipaddress.ip_address(host)
    if shown.is_unspecified:
        return f"{LOOPBACK}:{port}"
    return f"[{host}]:{port}" if shown.version == 6 else f"{host}:{port}"


if __name__ == "__main__":
    sys.exit(main())
