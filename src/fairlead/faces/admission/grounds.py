"""On what grounds the server judges: policies and what they may look up, from files or from a cluster.

`Grounds` is what both have to offer. Files are read once and again when they change; policies from files see the files only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import getrandbits
from typing import Any, Protocol

from fairlead.faces.admission.ruling import Answers
from fairlead.judge.reading import Source
from fairlead.judge.surroundings import Kinds, Surroundings
from fairlead.reactor.applying import Applier
from fairlead.reactor.examine import files_in, read_files
from fairlead.reactor.following import Roles, tell
from fairlead.reactor.kindnames import KindNames, catalogue_of
from fairlead.reactor.policies import NOTHING, Loaded, load
from fairlead.words import Finding, Resource, Snapshot, User, View

log = logging.getLogger("fairlead.admission")

LOOK = 5.0
"""Seconds between two looks at the files."""


class Grounds(Protocol):
    """Policies, and what is around requests."""

    @property
    def loaded(self) -> Loaded:
        """The policies of this moment: the same object as long as they are the same."""

    @property
    def view(self) -> View:
        """What policies may look up."""

    @property
    def kinds(self) -> Kinds:
        """How kinds and plurals belong together."""

    def missing(self) -> str:
        """Return what is still to come before requests can be judged, "" for nothing."""

    def around(self, answers: Answers) -> Surroundings:
        """Return what is around one request."""

    def roles(self, user: User) -> Roles:
        """Return the roles and cluster roles that are bound to a user, for the policies that match on them."""

    async def space(self, name: str) -> Resource | None:
        """Return a Namespace, even if it was made a moment ago."""

    async def run(self) -> None:
        """Keep everything current until cancelled."""


class FileGrounds:
    """Policies and objects of files. Raises OSError when they cannot be read at the start."""

    def __init__(self, paths: list[Path], clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.loaded: Loaded = NOTHING
        self.view: View = Snapshot()
        self.findings: list[Finding] = []
        self._paths, self._clock = paths, clock
        self._texts: dict[str, str] = {}
        self._memo: dict[Any, Any] = {}
        self._take(self._read())

    def _read(self) -> dict[str, str]:
        return {
            str(file): file.read_text(errors="replace") for path in self._paths for file in files_in(path)
        }

    def _take(self, texts: dict[str, str]) -> bool:
        """Take the files' texts in; tell whether they say something else than before."""
        if texts == self._texts:
            return False
        documents, findings = read_files(texts)
        objects = [one.content for one in documents]
        catalogue = catalogue_of(objects)
        self.loaded = load(Source(one.content, one.where) for one in documents)
        self.findings = [*findings, *self.loaded.findings]
        self.view, self.kinds, self._applier = Snapshot(objects), KindNames(catalogue), Applier(catalogue)
        self._texts, self._memo = texts, {}
        return True

    def missing(self) -> str:
        """See Grounds."""
        return ""

    def around(self, answers: Answers) -> Surroundings:
        """See Grounds."""
        return Surroundings(
            view=self.view,
            now=self._clock(),
            kinds=self.kinds,
            answers=answers,
            merge=self._applier.merge,
            atomics=self._applier.atomics,
            seed=getrandbits(32),
            memo=self._memo,
        )

    def roles(self, user: User) -> Roles:  # noqa: ARG002  see Grounds
        """See Grounds: files bind nobody."""
        return (), ()

    async def space(self, name: str) -> Resource | None:
        """See Grounds."""
        return self.view.get("", "Namespace", "", name)

    async def run(self) -> None:
        """See Grounds."""
        tell(self.findings)
        while True:
            await asyncio.sleep(LOOK)
            try:
                texts = await asyncio.to_thread(self._read)
            except OSError as error:
                log.warning("the policies stay as they were: %s: %s", error.filename, error.strerror)
                continue
            if self._take(texts):
                log.info("policies were read again: %d", len(self.loaded.book.policies))
                tell(self.findings)


__all__ = ["FileGrounds", "Grounds", "Roles", "tell"]
