"""The control plane's audit log, followed as it grows: each line an audit.k8s.io/v1 Event for the rules that judge those.

Reads what was written since it began, across rotations; a line that is no JSON is counted and passed over. Judges nothing, and never writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import orjson

from fairlead.tongues.paths import mapping, text, words
from fairlead.words import Ref

CHUNK: Final = 1 << 20
"""Bytes that are read at a time."""
LONGEST: Final = 8 << 20
"""Bytes of one line at most; a longer one is passed over."""


class Tail:
    """A file that grows. It need not be there yet; what was in it at the first look is passed over unless `whole`."""

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        self.path = path
        self.damaged = 0
        """Lines that were no JSON objects, or too long."""
        self._file: IO[bytes] | None = None
        self._rest = b""
        self._skip = not whole
        self._skipping_line = False

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the objects of the lines that were completed since the last time."""
        if self._file is None and not self._open():
            return
        while True:
            assert self._file is not None
            chunk = self._file.read(CHUNK)
            if chunk:
                yield from self._take(chunk)
            elif not self._rotated():
                return

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            self._file = self.path.open("rb", buffering=0)
        except OSError:
            self._skip = False  # whatever it will hold is new
            return False
        if self._skip:
            self._file.seek(0, os.SEEK_END)
            self._skip = False
        self._rest = b""
        return True

    def _rotated(self) -> bool:
        """Return whether there is another file of that name by now, or less in this one, and it is open."""
        assert self._file is not None
        here = os.fstat(self._file.fileno())
        try:
            there = self.path.stat()
        except OSError:
            return False
        if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino) and there.st_size >= self._file.tell():
            return False
        self.close()
        return self._open()

    def _take(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if self._skipping_line:
                self._skipping_line = False
                continue
            if not line.strip():
                continue
            try:
                found = orjson.loads(line)
            except ValueError:
                self.damaged += 1
                continue
            if isinstance(found, dict):
                yield found
            else:
                self.damaged += 1
        if len(rest) > LONGEST:
            self.damaged += not self._skipping_line
            self._skipping_line, rest = True, b""
        self._rest = rest


def own(event: dict[str, Any], group: str) -> bool:
    """Say whether who did it is of a group: what the sensor writes is not to be found by it, or it would never end."""
    return group in words(event, "user", "groups")


def subject_of(event: dict[str, Any]) -> Ref:
    """Return what an audit event is about, as far as it tells; the kind is the plural's name, which is all that it has."""
    about = mapping(event, "objectRef")
    kind = _KINDS.get(text(about, "resource")) or text(about, "resource").capitalize() or "Request"
    name = text(about, "name") or text(event, "responseObject", "metadata", "name")
    return Ref(
        text(about, "apiGroup"),
        kind,
        text(about, "namespace"),
        name or text(event, "requestURI"),
        text(about, "uid"),
    )


_KINDS: Final = {
    "pods": "Pod", "services": "Service", "configmaps": "ConfigMap", "secrets": "Secret", "serviceaccounts": "ServiceAccount",
    "nodes": "Node", "namespaces": "Namespace", "deployments": "Deployment", "daemonsets": "DaemonSet", "statefulsets": "StatefulSet",
    "replicasets": "ReplicaSet", "jobs": "Job", "cronjobs": "CronJob", "roles": "Role", "rolebindings": "RoleBinding",
    "clusterroles": "ClusterRole", "clusterrolebindings": "ClusterRoleBinding", "ingresses": "Ingress",
    "networkpolicies": "NetworkPolicy", "persistentvolumes": "PersistentVolume", "persistentvolumeclaims": "PersistentVolumeClaim",
}  # fmt: skip
