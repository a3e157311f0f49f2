"""The webhook server's process: listens, follows its policies, keeps its certificate, and serves until it is told to stop.

What is wrong at the start is raised; what goes wrong later is logged and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.drivers import serving
from fairlead.drivers.cluster import Access, AsyncCluster, Unreachable
from fairlead.faces.admission import configurations
from fairlead.faces.admission.app import App
from fairlead.faces.admission.following import ACCESS, ClusterGrounds
from fairlead.faces.admission.grounds import FileGrounds, Grounds
from fairlead.faces.admission.keypairs import Files, FolderChest, KeyPair, NoKeyPair, Own, SecretChest, Source
from fairlead.faces.admission.rolling import LINGER, NotServing, Rolling
from fairlead.keep.errors import Refusal
from fairlead.reactor.judging import Answerer
from fairlead.words import Need

log = logging.getLogger("fairlead.admission")

LOOK = 10.0
"""Seconds between two looks at the certificate, and at the configurations that are to know it."""


class StartError(Exception):
    """The server cannot start, or had to end; the text is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to serve. Policies come from files where some are named, else from the cluster of `access`.

    The certificate comes from `tls_cert` and `tls_key`, or is the server's own, kept in `cert_dir` or in a Secret of
    `own_namespace`; `names` are further names that it is to be good for. `drain` is how many seconds the server goes on after it was
    told to stop, until nobody sends it requests any more.
    """

    address: str = "127.0.0.1"
    port: int = 8443
    policies: tuple[Path, ...] = ()
    access: Access | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    cert_dir: Path | None = None
    own_namespace: str = ""
    secret: str = "fairlead-admission-tls"  # noqa: S105  a name
    service: str = "fairlead-admission"
    configuration: str = "fairlead-admission"
    names: tuple[str, ...] = ()
    fetch_modules: bool = False
    drain: float = 0.0
    look: float = LOOK
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


async def serve(options: Options, started: Callable[[int, KeyPair], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `started` is told the port and the certificate. Raises what makes starting impossible."""
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(contextlib.closing(serving.listen(options.address, options.port)))
        cluster = None
        if options.access is not None:
            cluster = await stack.enter_async_context(AsyncCluster(options.access))
        grounds: Grounds
        if options.policies:
            grounds = FileGrounds(list(options.policies), options.clock)
        elif cluster is not None:
            grounds = ClusterGrounds(cluster, options.clock)
        else:
            raise StartError("there are neither files of policies nor a cluster to take them from")
        outside = _Outside(grounds, cluster, online=options.fetch_modules)
        stack.push_async_callback(outside.close)
        app = App(grounds, outside.answerer.answer, options.own_namespace)
        rolling = Rolling(app, listener, linger=LINGER)
        stack.push_async_callback(rolling.stop)
        keeping = _Keeping(options, cluster, rolling, _source(options, cluster, stack))
        pair = await keeping.once()
        port = listener.getsockname()[1]
        log.info("serving https://%s", _shown(options.address, port))
        if started is not None:
            started(port, pair)
        await _until_stopped(app, options, grounds.run(), keeping.run(), rolling.ended())


async def _until_stopped(app: App, options: Options, *loops: Any) -> None:
    """Run the loops until a signal comes. Raises StartError when one of them ends by itself."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError, RuntimeError):  # only the main thread hears signals
            loop.add_signal_handler(signum, stopped.set)
    stop = asyncio.create_task(stopped.wait())
    tasks = [asyncio.ensure_future(one) for one in loops]
    try:
        await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        app.stopping = True
        if stop.done():
            await asyncio.sleep(options.drain)
            return
        for task in tasks:
            if task.done():
                task.result()
        raise StartError("the HTTPS server ended by itself")
    finally:
        for task in (stop, *tasks):
            task.cancel()
        await asyncio.gather(stop, *tasks, return_exceptions=True)


class _Keeping:
    """Keeps the certificate that is served, and what the API server knows it by, current."""

    def __init__(
        self, options: Options, cluster: AsyncCluster | None, rolling: Rolling, source: Source
    ) -> None:
        self._options, self._cluster, self._rolling, self._source = options, cluster, rolling, source
        self._served: KeyPair | None = None

    async def once(self) -> KeyPair:
        """Look once. Raises what is in the way."""
        pair = await self._source.current(self._options.clock())
        if self._cluster is not None and pair.authorities and self._options.configuration:
            await configurations.trust(self._cluster, self._options.configuration, pair.authorities)
        if self._served is None or (pair.certificate, pair.key) != (
            self._served.certificate,
            self._served.key,
        ):
            await self._rolling.use(pair.certificate, pair.key)
            if self._served is not None:
                log.info("a new certificate is served")
        self._served = pair
        return pair

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(self._options.look)
            try:
                await self.once()
            except (NoKeyPair, NotServing, Refusal, Unreachable, OSError) as error:
                log.warning("the certificate stays as it is: %s", error)


class _Outside:
    """Answers what policies ask of outside. Workers for foreign code are started when there is some."""

    def __init__(self, grounds: Grounds, cluster: AsyncCluster | None, *, online: bool) -> None:
        self._grounds, self._online = grounds, online
        self._guests: Any = None
        self._images: Any = None
        providers: dict[str, Any] = {"guest": self._guest}
        providers |= dict.fromkeys(("image.verification", "image.data", "cue.vet"), self._image)
        if isinstance(grounds, ClusterGrounds):
            providers[ACCESS] = grounds.ask_access
        in_use = cluster if isinstance(grounds, ClusterGrounds) else None
        self.answerer = Answerer(lambda: grounds.view, cluster=in_use, providers=providers)

    async def _guest(self, need: Need, seconds: float) -> Any:
        if self._guests is None:
            from fairlead.reactor.guesting import GuestProvider

            kinds, images = _Kinds(self._grounds), self._asked() if self._online else None
            self._guests = GuestProvider(
                lambda: self._grounds.view, kinds, online=self._online, images=images
            )
        return await self._guests(need, seconds)

    async def _image(self, need: Need, seconds: float) -> Any:
        return await self._asked()(need, seconds)

    def _asked(self) -> Any:
        if self._images is None:
            from fairlead.reactor.verifying_images import Images

            self._images = Images(lambda: self._grounds.view)
        return self._images

    async def close(self) -> None:
        """End the workers."""
        if self._guests is not None:
            await self._guests.close()
        if self._images is not None:
            await self._images.close()


class _Kinds:
    """The kinds of the moment at which they are asked for."""

    def __init__(self, grounds: Grounds) -> None:
        self._grounds = grounds

    def plural(self, group: str, kind: str) -> str:
        """See judge.surroundings.Kinds."""
        return self._grounds.kinds.plural(group, kind)

    def kind(self, group: str, plural: str) -> str:
        """See judge.surroundings.Kinds."""
        return self._grounds.kinds.kind(group, plural)

    def version(self, group: str, kind: str) -> str:
        """See judge.surroundings.Kinds."""
        return self._grounds.kinds.version(group, kind)

    def namespaced(self, group: str, kind: str) -> bool:
        """See judge.surroundings.Kinds."""
        return self._grounds.kinds.namespaced(group, kind)


def _source(options: Options, cluster: AsyncCluster | None, stack: contextlib.AsyncExitStack) -> Source:
    if options.tls_cert is not None and options.tls_key is not None:
        return Files(options.tls_cert, options.tls_key, options.tls_ca)
    names, addresses = list(options.names), ["127.0.0.1", "::1"]
    if options.own_namespace:
        service = f"{options.service}.{options.own_namespace}.svc"
        names = [service, f"{service}.cluster.local", *names]
    listening = ipaddress.ip_address(options.address)
    if not listening.is_unspecified and str(listening) not in addresses:
        addresses.append(str(listening))
    names.append("localhost")
    if options.cert_dir is not None:
        return Own(FolderChest(options.cert_dir), names, addresses)
    if cluster is not None and options.own_namespace:
        return Own(SecretChest(cluster, options.own_namespace, options.secret), names, addresses)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fairlead-admission-"))
    return Own(FolderChest(Path(folder)), names, addresses)


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
