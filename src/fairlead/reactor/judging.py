"""Answers what policies ask of the outside, within the time that each may take, and judges with the answers.

Every Need gets an answer or an Exception that says why there is none; what that leads to is the policy's own affair (failurePolicy).
Knows no policy. Must never let one slow answer hold up another, nor wait longer than it was told to.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.reactor.admit import Unanswered
from fairlead.words import Need, View

if TYPE_CHECKING:
    from fairlead.drivers.cluster import AsyncCluster

log = logging.getLogger("fairlead.judging")
T = TypeVar("T")

SECONDS = 10.0
"""How long an answer may take where nothing else is said."""
ROUNDS = 32
"""How often the rules about one request may ask for something more."""

Provider: TypeAlias = Callable[[Need, float], Awaitable[Any]]
"""Answers one sort of Need within so many seconds; raises whatever says why it cannot."""


class Answerer:
    """Answers Needs by their sort. `view` is where providers of external data are looked up; `cluster` answers API paths."""

    def __init__(
        self,
        view: Callable[[], View | None] = lambda: None,
        *,
        cluster: AsyncCluster | None = None,
        providers: Mapping[str, Provider] | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self._view = view
        self._cluster = cluster
        self._seconds = seconds
        self._providers: dict[str, Provider] = {
            "http": _http,
            "dns": _dns,
            "externaldata": self._external,
            "kubernetes.get": self._get,
            "kubernetes.post": self._post,
            **(providers or {}),
        }

    async def answer(self, needs: Sequence[Need], seconds: float | None = None) -> Mapping[Need, Any]:
        """Return an answer for each Need, or an Exception that says why there is none; all are asked at once."""
        most = self._seconds if seconds is None else seconds
        answers = await asyncio.gather(*(self._one(need, most) for need in needs))
        return dict(zip(needs, answers, strict=True))

    async def _one(self, need: Need, most: float) -> Any:
        provider = self._providers.get(need.what)
        if provider is None:
            return Unanswered(f"{need.what} of {need.about.name or need.about} cannot be had here")
        own = dict(need.detail).get("seconds")
        seconds = min(most, float(own)) if own else most
        try:
            async with asyncio.timeout(seconds + 0.05):
                return await provider(need, seconds)
        except TimeoutError:
            return Unanswered(
                f"{need.what} of {need.about.name or need.about}: no answer within {seconds:g} s"
            )
        except Exception as error:  # noqa: BLE001  whatever it is, it is why there is no answer
            return Unanswered(str(error).strip() or type(error).__name__)

    async def _external(self, need: Need, seconds: float) -> Any:
        """Ask a Provider of external data. Source: open-policy-agent/frameworks externaldata v1beta1."""
        from fairlead.drivers.asking import ask

        view = self._view()
        found = view.get(need.about.group, need.about.kind, "", need.about.name) if view is not None else None
        if found is None:
            raise Unanswered(f"key {need.about.name} is not found in provider cache")
        spec = found.get("spec") or {}
        question = {
            "apiVersion": "externaldata.gatekeeper.sh/v1beta1",
            "kind": "ProviderRequest",
            "request": {"keys": [value for key, value in need.detail if key == "key"]},
        }
        body = json.dumps(question).encode()
        wanted = min(seconds, float(spec.get("timeout") or seconds))
        return await ask(
            str(spec.get("url") or ""),
            method="POST",
            body=body,
            ca=_pem(str(spec.get("caBundle") or "")),
            seconds=wanted,
        )

    async def _get(self, need: Need, seconds: float) -> Any:  # noqa: ARG002  the caller's clock counts
        if self._cluster is None:
            raise Unanswered(f"{need.about.name}: only resources can be looked up here")
        return (await self._cluster.raw("GET", need.about.name)).json()

    async def _post(self, need: Need, seconds: float) -> Any:  # noqa: ARG002  as above
        if self._cluster is None:
            raise Unanswered(f"{need.about.name}: only access reviews can be posted here")
        body = dict(need.detail).get("data", "").encode()
        return (await self._cluster.raw("POST", need.about.name, body=body)).json()


class Late:
    """A provider that is made when it is first asked: few policies bring code of their own."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None

    async def __call__(self, need: Need, seconds: float) -> Any:
        """Answer as the provider does."""
        if self._made is None:
            self._made = self._make()
        return await self._made(need, seconds)

    async def close(self) -> None:
        """Close the provider, if there is one."""
        if self._made is not None:
            await self._made.close()


async def _http(need: Need, seconds: float) -> Any:
    from fairlead.drivers.asking import ask  # few policies ask anybody

    detail = dict(need.detail)
    headers = {str(one["key"]): str(one["value"]) for one in json.loads(detail.get("headers") or "[]")}
    body = detail.get("data", "").encode() or None
    ca = _pem(detail.get("caBundle", ""))
    return await ask(
        need.about.name,
        method=detail.get("method") or "GET",
        body=body,
        headers=headers,
        ca=ca,
        seconds=seconds,
    )


async def _dns(need: Need, seconds: float) -> list[str]:  # noqa: ARG001  the caller's clock counts
    found = await asyncio.get_running_loop().getaddrinfo(need.about.name, None)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def _pem(text: str) -> str:
    """Return a bundle of certificates as PEM, whether or not it came in base64."""
    if not text or "-----BEGIN" in text:
        return text
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return text


async def asking(
    step: Callable[[Surroundings], T],
    around: Surroundings,
    answer: Callable[[Sequence[Need]], Awaitable[Mapping[Need, Any]]],
) -> T:
    """Return what a step of judging gives, fetching what it lacks until it lacks nothing.

    Needs that are asked for too late, or too often, are answered by an Exception.
    """
    for _ in range(ROUNDS):
        try:
            return step(around)
        except Lacking as lacking:
            around = replace(around, answers={**around.answers, **await answer(lacking.needs)})
    return step(replace(around, answers=_Exhausted(around.answers)))


class _Exhausted(dict[Need, Any]):
    """Answers that say of everything unknown that it was asked for too often."""

    def __missing__(self, need: Need) -> Any:
        return Unanswered(f"{need.what} of {need.about} was asked for too often")
