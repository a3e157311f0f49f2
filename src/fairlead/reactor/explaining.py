"""Asks a model about findings: once for each root, within a budget, never twice the same, and with nothing in it that is anybody's own.

A model words and suggests; it decides nothing and writes nothing. Whatever goes wrong with it (no answer, a strange one, no budget left) is a
note, and the diagnosis stands as it is. Answers are kept by the content of question and model, with the stand-ins still in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from fairlead.diagnose.pseudonyms import Pseudonyms
from fairlead.diagnose.suggestions import INSTRUCTIONS, Suggestion, Unusable, question, read
from fairlead.drivers import llm
from fairlead.drivers.definitions import load
from fairlead.words import Finding, Severity, Snapshot

Ask: TypeAlias = Callable[[llm.Settings, str, str], Awaitable[llm.Reply]]
_AT_ONCE = 4
_HOUR = 3600.0
_TOKEN = 3
"""Characters that are taken for a token before the model has counted them: fewer than most have, so that a budget holds."""
_KEPT = 1000
_KEY = 32
_LARGEST = 1 << 20
"""Bytes of a file of its own that are read at most."""
_NUMBER = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be spent in an hour: calls, and tokens asked and answered together."""

    calls: int = 60
    tokens: int = 200_000


@dataclass(slots=True)
class Explained:
    """What came of it, by a finding's id; `notes` say what was not asked or not usable, and why. `calls` went out."""

    suggestions: dict[str, Suggestion] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    calls: int = 0


class Explainer:
    """See the module. `state` is a folder of its owner's alone: the key of the stand-ins, what was spent, and the answers."""

    def __init__(
        self,
        settings: llm.Settings,
        state: Path,
        *,
        budget: Budget = Budget(),
        ask: Ask = llm.ask,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._state = state
        self._budget = budget
        self._ask = ask
        self._clock = clock

    async def explain(self, findings: Sequence[Finding], view: Snapshot, *, patch: bool = False) -> Explained:
        """Ask about the findings above a note, and for a patch where one is wanted and the rules know none. Raises OSError."""
        explained = Explained()
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        key, fields = self._key(), field_names()
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(finding: Finding) -> None:
            stand_ins = Pseudonyms(key, fields)
            stand_ins.know(view)
            ref = finding.subject
            subject = view.get(ref.group, ref.kind, ref.namespace, ref.name)
            asked = question(finding, subject, stand_ins, patch=patch and not finding.fixes)
            async with gate:
                said = await self._answer(asked, finding, explained)
            if said is None:
                return
            try:
                found = read(said, finding, subject, stand_ins, model=self._settings.title)
            except Unusable as error:
                explained.notes.append(f"{finding.id}: the model's answer is not usable: {error}")
                return
            if found.refused:
                explained.notes.append(f"{finding.id}: the model's patch is not taken: {found.refused}")
            explained.suggestions[finding.id] = found

        await asyncio.gather(*(one(finding) for finding in findings if finding.severity != Severity.INFO))
        return explained

    async def _answer(self, asked: str, finding: Finding, explained: Explained) -> str | None:
        """Return the answer to a question, from what was kept or from the model; None, with a note, where there is none."""
        digest = hashlib.sha256(f"{self._settings.title}\0{INSTRUCTIONS}\0{asked}".encode()).hexdigest()
        place = self._state / "answers" / f"{digest}.json"
        kept = _kept(place)
        if kept is not None:
            return kept
        guess = (len(INSTRUCTIONS) + len(asked)) // _TOKEN + self._settings.longest
        refusal = self._spend(guess)
        if refusal:
            explained.notes.append(f"{finding.id}: {refusal}")
            return None
        explained.calls += 1
        try:
            reply = await self._ask(self._settings, INSTRUCTIONS, asked)
        except llm.Silent as error:
            explained.notes.append(f"{finding.id}: {error}")
            return None
        counted = reply.asked + reply.answered
        if counted:
            self._correct(counted - guess)
        try:
            self._keep(place, reply.text)
        except OSError as error:
            explained.notes.append(f"{finding.id}: the answer is not kept: {error.strerror or error}")
        return reply.text

    def _key(self) -> bytes:
        path = self._state / "key"
        if (found := _sound_key(path)) is not None:
            return found
        fresh = path.with_suffix(f".{os.getpid()}")
        try:
            _put(fresh, secrets.token_bytes(_KEY))
            try:
                os.link(fresh, path)  # whoever is first
            except FileExistsError:
                if _sound_key(path) is None:  # one that was cut off makes stand-ins that could be guessed
                    fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        if (found := _sound_key(path)) is None:
            raise OSError(f"{path} holds no key")
        return found

    @contextlib.contextmanager
    def _spent(self) -> Iterator[list[list[float]]]:
        """Hold the book of what was spent: [when, tokens] of each call of the last hour; what is left in it is written back, or stays."""
        path = self._state / "spent"
        with os.fdopen(os.open(self._state / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            book = _book(path, self._clock())
            yield book
            fresh = path.with_suffix(".fresh")
            try:
                _put(fresh, json.dumps(book).encode())
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)

    def _spend(self, tokens: int) -> str:
        """Put a call on the book, or return why it may not be made."""
        with self._spent() as book:
            if len(book) >= self._budget.calls:
                return f"not asked: {self._budget.calls} calls in an hour are the budget"
            if sum(entry[1] for entry in book) + tokens > self._budget.tokens:
                return f"not asked: {self._budget.tokens} tokens in an hour are the budget"
            book.append([self._clock(), tokens])
        return ""

    def _correct(self, tokens: int) -> None:
        with self._spent() as book:
            if book:
                book[-1][1] += tokens

    def _keep(self, place: Path, answer: str) -> None:
        place.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = place.with_suffix(f".{os.getpid()}")
        try:
            _put(fresh, json.dumps({"answer": answer}).encode())
            fresh.replace(place)
        finally:
            fresh.unlink(missing_ok=True)
        olds = sorted(place.parent.iterdir(), key=lambda one: one.stat().st_mtime)
        for old in olds[:-_KEPT]:
            old.unlink(missing_ok=True)


def _put(path: Path, content: bytes) -> None:
    """Write a file of its owner's alone, down to the disk: one that is full says so before anything is replaced."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sound_key(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            found = file.read(_KEY + 1)
    except FileNotFoundError:
        return None
    return found if len(found) == _KEY else None


def _book(path: Path, now: float) -> list[list[float]]:
    """Return what was spent within an hour; what is no entry of the book counts as nothing."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return []
    return [
        [float(one[0]), float(one[1])]
        for one in (content if isinstance(content, list) else ())
        if isinstance(one, list)
        and len(one) == 2
        and all(isinstance(part, int | float) and abs(part) < _NUMBER for part in one)
        and now - _HOUR < one[0] <= now + _HOUR
    ]


def _kept(place: Path) -> str | None:
    """Return the answer that was kept, unless it is none that a model could have given."""
    try:
        with place.open("rb") as file:
            answer: Any = json.loads(file.read(_LARGEST))["answer"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return answer if isinstance(answer, str) and len(answer) <= llm.LONGEST else None


def with_suggestions(findings: Sequence[Finding], explained: Explained) -> list[Finding]:
    """Return the findings, with a model's patch as the fix of those for which the rules have none."""
    return [
        replace(one, fixes=(found.fix,))
        if not one.fixes
        and (found := explained.suggestions.get(one.id)) is not None
        and found.fix is not None
        else one
        for one in findings
    ]


def field_names() -> frozenset[str]:
    """Return the name of every field of Kubernetes' own kinds."""
    return frozenset(name for one in load().values() for name in (one.get("properties") or ()))


def state_folder() -> Path:
    """Return where an explainer keeps its state on this machine."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "fairlead" / "model"
