"""Tells people of findings: Slack-compatible JSON to webhooks, grouped, at a bounded rate, again where the receiver did not take it.

What came and went before anybody was told is not told. A webhook's URL is a secret: it comes from a file or the environment, is never logged,
and no finding, metric or error shows more of it than its host. What is told is hidden before it comes here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson
import yaml

from fairlead.tongues import globs
from fairlead.tongues.paths import mapping, text, words

log = logging.getLogger("fairlead.notifying")

GATHER: Final = 3.0
"""Seconds that news wait for others, to be told together."""
APART: Final = 10.0
"""Seconds at least between two messages to one receiver."""
IN_ONE: Final = 10
"""Findings in one message; of more, it says how many."""
MOST: Final = 500
"""News that wait for one receiver; of more the oldest are dropped."""
TIMEOUT: Final = 10.0
FIRST_DELAY: Final = 2.0
LONGEST_DELAY: Final = 300.0
TRIES: Final = 12
_RANK: Final = {"critical": 0, "warning": 1, "info": 2}
_COLOURS: Final = {"critical": "#d00000", "warning": "#e8a33d", "info": "#8a8f98"}
_GONE: Final = "#2e8b57"
_KEYS: Final = frozenset({"name", "url", "urlFile", "severity", "rules", "namespaces", "resolved"})


class BadReceivers(Exception):
    """Receivers that cannot be understood; the text says what is wrong, and shows no URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Who is told of what. `url` is a secret; `rules` and `namespaces` are patterns with `*`."""

    url: str = field(repr=False)
    name: str = ""
    severity: str = "warning"
    rules: tuple[str, ...] = ("*",)
    namespaces: tuple[str, ...] = ("*",)
    resolved: bool = True

    def wants(self, told: Mapping[str, Any]) -> bool:
        """Whether a finding's JSON is for this one."""
        return (
            _RANK.get(text(told, "severity"), 2) <= _RANK[self.severity]
            and any(globs.matches(one, text(told, "rule")) for one in self.rules)
            and any(globs.matches(one, text(told, "subject", "namespace")) for one in self.namespaces)
        )


def read(content: str, folder: Path = Path()) -> list[Receiver]:
    """Return the receivers in a text: one URL on a line, or YAML. Raises BadReceivers.

    The YAML is a list of {name, url or urlFile, severity, rules, namespaces, resolved}; files are looked for beside this one.
    """
    try:
        found = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise BadReceivers("it is not YAML") from error
    if found is None:
        return []
    if isinstance(found, str):
        return [Receiver(url=_checked(one)) for one in found.split()]
    if not isinstance(found, list):
        raise BadReceivers("a list of receivers is wanted")
    return [_receiver(one, index, folder) for index, one in enumerate(found)]


def _receiver(one: Any, index: int, folder: Path) -> Receiver:
    if isinstance(one, str):
        return Receiver(url=_checked(one))
    if not isinstance(one, dict):
        raise BadReceivers(f"[{index}] is not a mapping")
    unknown = sorted(set(map(str, one)) - _KEYS)
    if unknown:
        what = f".{unknown[0]}" if unknown[0].isidentifier() else ": a key that"  # which may be a URL
        raise BadReceivers(f"[{index}]{what} is not known")
    url = text(one, "url")
    if name := text(one, "urlFile"):
        try:
            url = (folder / name).read_text().strip()
        except OSError as error:
            raise BadReceivers(f"[{index}].urlFile: {error.strerror}") from error
        except ValueError as error:
            raise BadReceivers(f"[{index}].urlFile holds no text") from error
    severity = one.get("severity", "warning")
    if severity not in _RANK:
        raise BadReceivers(f"[{index}].severity is one of critical, warning, info")
    return Receiver(
        url=_checked(url, f"[{index}]."),
        name=text(one, "name"),
        severity=severity,
        rules=tuple(words(one, "rules")) or ("*",),
        namespaces=tuple(words(one, "namespaces")) or ("*",),
        resolved=one.get("resolved", True) is not False,
    )


def _checked(url: str, place: str = "") -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise BadReceivers(f"{place}url is no http or https URL")
    return url


def host(receiver: Receiver) -> str:
    """Return what may be said of where a receiver is."""
    return receiver.name or urlsplit(receiver.url).hostname or "?"


@dataclass(frozen=True, slots=True)
class Item:
    """News of one finding: its JSON, whether it is gone, and where it is."""

    id: str
    told: Mapping[str, Any]
    gone: bool = False
    note: str = ""


@dataclass(slots=True)
class _Line:
    """What waits for one receiver."""

    receiver: Receiver
    waiting: OrderedDict[str, Item] = field(default_factory=OrderedDict)
    known: OrderedDict[str, None] = field(default_factory=OrderedDict)
    first: float = 0.0
    sent: float = -1e9
    tries: int = 0
    not_before: float = 0.0


class Notifier:
    """See the module. `told` is called with an id, and whether it is gone, when some receiver has taken it."""

    def __init__(
        self,
        receivers: Sequence[Receiver] = (),
        *,
        cluster: str = "",
        told: Callable[[str, bool], None] = lambda _id, _gone: None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self._cluster, self._told, self._seconds = cluster, told, seconds
        self._lines = [_Line(one) for one in receivers]
        self._stir = asyncio.Event()
        self._http: httpx.AsyncClient | None = None

    def use(self, receivers: Sequence[Receiver]) -> None:
        """Go on with other receivers; what waits for those that stay is kept."""
        before = {line.receiver: line for line in self._lines}
        by_url = {line.receiver.url: line for line in self._lines}
        lines = []
        for one in receivers:
            line = before.get(one) or by_url.get(one.url) or _Line(one)
            line.receiver = one
            lines.append(line)
        self._lines = lines
        self._stir.set()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def knows(self, name: str, told: Mapping[str, Any]) -> None:
        """Take note that the receivers were told of a finding before this process began."""
        for line in self._lines:
            if line.receiver.wants(told):
                line.known[name] = None

    def tell(self, item: Item, *, again: bool = False) -> None:
        """Have the receivers told that a finding came, or that it is gone; `again` also those who know it."""
        for line in self._lines:
            if not line.receiver.wants(item.told):
                continue
            if again:
                line.known.pop(item.id, None)
            if (item.id in line.known) != item.gone:
                line.waiting.pop(
                    item.id, None
                )  # it came and went, or went and came, and nobody was told of it
                continue
            if item.gone and not line.receiver.resolved:
                line.known.pop(item.id)
                continue
            self._wait_for(line, item.id, item)
        self._stir.set()

    def _wait_for(self, line: _Line, key: str, item: Item) -> None:
        if not line.waiting:
            line.first = self._seconds()
        line.waiting[key] = item
        while len(line.waiting) > MOST:
            line.waiting.popitem(last=False)
            self.outcomes["dropped"] += 1

    def say(self, item: Item) -> None:
        """Have the receivers told of what was done about a finding, whatever they know of it."""
        for line in self._lines:
            if line.receiver.wants(item.told):
                self._wait_for(line, f"{item.id} {item.note}", item)
        self._stir.set()

    async def run(self) -> None:
        """Send for ever."""
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, follow_redirects=False) as http:
            self._http = http
            while True:
                waits = [self._wait(line) for line in self._lines if line.waiting]
                try:
                    async with asyncio.timeout(min(waits) if waits else None):
                        await self._stir.wait()
                        self._stir.clear()
                        continue
                except TimeoutError:
                    pass
                due = [line for line in self._lines if line.waiting and self._wait(line) <= 0]
                await asyncio.gather(*(self._send(line) for line in due))

    def _wait(self, line: _Line) -> float:
        at = max(line.first + GATHER, line.sent + APART, line.not_before)
        return max(0.0, at - self._seconds())

    async def _send(self, line: _Line) -> None:
        """Send all that waits for one receiver in one message."""
        assert self._http is not None
        items = list(line.waiting.items())
        body = orjson.dumps(message([one for _, one in items], self._cluster))
        # Of the answer its head alone is read: who drips or never ends keeps nobody else waiting.
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._http.stream(
                    "POST", line.receiver.url, content=body, headers={"Content-Type": "application/json"}
                ) as answer,
            ):
                pass
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            self._later(line, type(error).__name__)
            return
        if answer.status_code == 429 or answer.status_code >= 500:
            self._later(line, f"it answered {answer.status_code}", _patience(answer))
            return
        for key, one in items:
            if line.waiting.get(key) is one:
                del line.waiting[key]
        line.first = line.sent = self._seconds()
        line.tries, line.not_before = 0, 0.0
        if answer.status_code >= 300:
            self.outcomes["refused"] += 1
            log.warning(
                "%s does not want what it was told: it answered %d", host(line.receiver), answer.status_code
            )
            return
        self.outcomes["sent"] += 1
        for _, one in items:
            if one.note:
                continue
            if one.gone:
                line.known.pop(one.id, None)
            else:
                line.known[one.id] = None
                while len(line.known) > 10 * MOST:
                    line.known.popitem(last=False)
            self._told(one.id, one.gone)

    def _later(self, line: _Line, why: str, patience: float = 0.0) -> None:
        self.outcomes["failed"] += 1
        line.tries += 1
        delay = max(patience, min(FIRST_DELAY * 2 ** (line.tries - 1), LONGEST_DELAY))
        line.not_before = self._seconds() + delay
        if line.tries == 1:
            log.warning("%s was not told, and is told again later: %s", host(line.receiver), why)
        if line.tries >= TRIES:
            self.outcomes["dropped"] += len(line.waiting)
            log.error("%s was not told of %d findings: %s", host(line.receiver), len(line.waiting), why)
            line.waiting.clear()
            line.tries = 0


def _patience(answer: httpx.Response) -> float:
    """Return the seconds that a receiver asks for."""
    try:
        asked = float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
    return min(asked, LONGEST_DELAY) if asked > 0 else 0.0  # and not what is no number


def message(items: Sequence[Item], cluster: str = "") -> dict[str, Any]:
    """Return the message in Slack's words: `text` for those who read no more, and an attachment for each finding."""
    came = [one for one in items if not one.gone and not one.note]
    gone = [one for one in items if one.gone]
    done = [one for one in items if one.note]
    parts = [
        f"{len(found)} {word}{'s' if len(found) > 1 else ''}{after}"
        for found, word, after in (
            (came, "finding", ""),
            (gone, "finding", " resolved"),
            (done, "action", ""),
        )
        if found
    ]
    order = [*sorted(came, key=lambda one: _RANK.get(text(one.told, "severity"), 2)), *done, *gone]
    attachments = [_attachment(one) for one in order[:IN_ONE]]
    if len(order) > IN_ONE:
        attachments.append(
            {"fallback": "more", "text": f"and {len(order) - IN_ONE} more: `kubectl get findings -A`"}
        )
    where = f" in {_plain(cluster)}" if cluster else ""
    return {"text": f"fairlead: {', '.join(parts)}{where}", "attachments": attachments}


def _attachment(item: Item) -> dict[str, Any]:
    told = item.told
    subject = mapping(told, "subject")
    space = text(subject, "namespace")
    name = f"{text(subject, 'kind')} {f'{space}/' if space else ''}{text(subject, 'name')}"
    severity = text(told, "severity")
    state = item.note or ("resolved" if item.gone else severity)
    title = f"{state}: {name}"
    lines = [text(told, "message")]
    if not item.gone and text(told, "cause"):
        lines.append(text(told, "cause"))
    fixes = told.get("fixes") or []
    if not item.gone and not item.note and fixes:
        lines.append(f"Fix: {text(fixes[0], 'title')} (`fairlead fix {item.id}`)")
    said = "\n".join(_cut(_plain(one)) for one in lines if one)
    return {
        "color": _GONE if item.gone else _COLOURS.get(severity, _COLOURS["info"]),
        "title": _plain(title),
        "text": said,
        "fallback": _cut(_plain(f"{title}: {text(told, 'message')}")),
        "footer": f"{text(told, 'rule')} {item.id}",
        "mrkdwn_in": ["text"],
    }


def _plain(words: str) -> str:
    """Return a text that Slack takes as such: it has three control characters, and mentions begin with one of them."""
    sayable = words.encode(
        errors="replace"
    ).decode()  # half a character would keep the others from being told
    return sayable.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(words: str, longest: int = 700) -> str:
    return words if len(words) <= longest else words[: longest - 1] + "…"
