"""The volumes of one pod on its node: set up, kept up to date, and mounted into its containers.

Fetches what a volume is made from and has it written; what belongs into it is decided in orchestrate/podvolumes. Must never
let a container start on a volume that is not ready.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fairlead.drivers.cluster import Unreachable
from fairlead.drivers.podfiles import PodFiles, VolumeFailed
from fairlead.keep.errors import Refusal
from fairlead.orchestrate import podplans, podspecs, podvolumes
from fairlead.orchestrate.backoffs import Backoffs
from fairlead.orchestrate.podenv import ConfigFault
from fairlead.orchestrate.podspecs import Note, Spec
from fairlead.orchestrate.podvolumes import Token
from fairlead.orchestrate.runtimes import Mount
from fairlead.reactor.podnode import Node
from fairlead.words import Resource

RETRY = timedelta(milliseconds=500)
RETRY_CEILING = timedelta(seconds=16)
"""How soon a volume that could not be had is tried again, and at most how late: sooner than kubelet's two minutes, as
nothing here is further away than the disk."""
TOKEN_RENEW = 0.8
"""Share of a token's life after which it is renewed."""
_log = logging.getLogger(__name__)


class PodMounts:
    """One pod's volumes. `stale` says that what they are made from may have changed."""

    def __init__(self, node: Node, files: PodFiles) -> None:
        self.node = node
        self.files = files
        self.stale = True
        self._paths: dict[str, str] | None = None
        self._read_only: set[str] = set()
        self._faults = Backoffs(base=RETRY, ceiling=RETRY_CEILING)
        self._tokens: dict[Token, tuple[str, datetime]] = {}

    @property
    def ready(self) -> bool:
        """Whether every volume has been set up once."""
        return self._paths is not None

    def renewal(self, now: datetime) -> timedelta | None:
        """Return how long the pod's tokens are good for; marks the volumes stale when one is due."""
        if not self._tokens:
            return None
        left = min(until for _, until in self._tokens.values()) - now
        if left <= timedelta():
            self.stale = True
        return max(left, timedelta(seconds=1))

    async def set_up(self, pod: Resource) -> tuple[list[Note], timedelta]:
        """Make every volume ready or up to date. Return what went wrong, and how long to wait then."""
        self.stale = False
        now = datetime.now(UTC)
        await self._fetch_tokens(pod, now)
        tokens = {token: text for token, (text, _) in self._tokens.items()}
        given = podvolumes.Given(self.node.view, self.node.around(pod), tokens)
        paths, read_only, faults = await asyncio.to_thread(self._write, podvolumes.plan(pod, given))
        if faults:
            self._faults = self._faults.lengthen("volumes", now, now)
            self.stale = True
            return faults, self._faults.delay("volumes")
        self._faults = self._faults.forget("volumes")
        self._paths, self._read_only = paths, read_only
        return [], timedelta()

    def _write(self, plans: list[podvolumes.Plan]) -> tuple[dict[str, str], set[str], list[Note]]:
        paths: dict[str, str] = {}
        read_only: set[str] = set()
        faults: list[Note] = []
        self.files.prepare()
        for plan in plans:
            fault = plan
            if not isinstance(plan, podvolumes.Fault):
                try:
                    paths[plan.name] = str(self.files.set_up(plan))
                except VolumeFailed as error:
                    fault = podvolumes.Fault(name=plan.name, message=str(error))
                else:
                    if isinstance(plan, podvolumes.Files) or (
                        isinstance(plan, podvolumes.Host) and plan.read_only
                    ):
                        read_only.add(plan.name)
                    continue
            assert isinstance(fault, podvolumes.Fault)
            faults.append(Note("Warning", "FailedMount", fault.text))
        return paths, read_only, faults

    async def _fetch_tokens(self, pod: Resource, now: datetime) -> None:
        for token in podvolumes.tokens_needed(pod):
            known = self._tokens.get(token)
            if known is not None and known[1] > now:
                continue
            try:
                text = await self.node.token(pod, token)
            except (Refusal, Unreachable) as error:
                _log.warning("pod %s: no token: %s", podspecs.name_of(pod), error)
            else:
                self._tokens[token] = text, now + timedelta(seconds=token.seconds * TOKEN_RENEW)

    def mounts(self, pod: Resource, spec: Spec, attempt: int, env: Mapping[str, str]) -> list[Mount]:
        """Return what one run of a container sees of the volumes, with its hosts file and the place for its last words.

        Raises ConfigFault, VolumeFailed.
        """
        mounts: list[Mount] = []
        targets = set()
        for mount in spec.get("volumeMounts") or ():
            path = (self._paths or {}).get(mount["name"])
            if path is None:
                raise ConfigFault(f'volume "{mount["name"]}" of container {spec["name"]} is not mounted')
            inner = podplans.sub_path(mount, env)
            if inner:
                path = str(self.files.sub_path(Path(path), inner))
            read_only = bool(mount.get("readOnly")) or mount["name"] in self._read_only
            mounts.append(Mount(path, mount["mountPath"], read_only))
            targets.add(mount["mountPath"].rstrip("/"))
        around = self.node.around(pod)
        ips = around.host_ips if pod["spec"].get("hostNetwork") else around.pod_ips
        if "/etc/hosts" not in targets and ips:
            text = podplans.hosts_file(pod, ips, self.node.hosts_of_machine())
            mounts.append(Mount(str(self.files.hosts(text)), "/etc/hosts"))
        end = spec.get("terminationMessagePath") or "/dev/termination-log"
        mounts.append(Mount(str(self.files.end_file(spec["name"], attempt)), end))
        return mounts
