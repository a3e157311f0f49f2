"""Answers what policies ask of foreign code: fetches the module, runs it in a worker, and answers its questions meanwhile.

What a guest is asked and what its answer means is its dialect's; what it may do, its worker's. A guest sees of the cluster only what its
policy lists, and changes nothing: what it would do comes back as proposals.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import unquote, urlsplit

from fairlead.dialects import jspolicy, kubewarden
from fairlead.drivers.guests import GuestFailed, GuestPlan, Guests, custom_section
from fairlead.judge.guests import readable
from fairlead.judge.surroundings import Kinds, Question
from fairlead.reactor.admit import Unanswered
from fairlead.reactor.guesthosts import ScriptHost, WasmHost
from fairlead.words import Need, View

if TYPE_CHECKING:
    from fairlead.reactor.verifying_images import Images

LARGEST = 64 << 20
"""Bytes that a module may have."""

_SECTION = "io.kubewarden.metadata"


class GuestProvider:
    """Answers Needs of the sort `guest`. `view` is what guests may look up, `allowed` answers their access questions.

    `online` says that modules may be fetched by https; `images` pulls them from registries and answers what guests ask of images.
    One event loop; close it when done.
    """

    def __init__(
        self,
        view: Callable[[], View | None],
        kinds: Kinds,
        *,
        allowed: Callable[[Question], tuple[bool, str]] | None = None,
        cache: Path | None = None,
        online: bool = False,
        images: Images | None = None,
    ) -> None:
        self._view, self._kinds, self._allowed, self._online = view, kinds, allowed, online
        self._images = images
        self._guests = Guests(cache=cache)
        self._modules: dict[str, bytes] = {}

    async def close(self) -> None:
        """End all workers, and what asks registries for them."""
        await self._guests.close()
        if self._images is not None:
            await self._images.close()

    async def __call__(self, need: Need, seconds: float) -> Any:
        """Return the guest's answer as its dialect understands it. Raises Unanswered, which says why there is none."""
        detail = dict(need.detail)
        payload = json.loads(detail["payload"])
        try:
            if detail["engine"] == "javascript":
                return await self._script(detail, payload, seconds)
            return await self._module(detail, payload, seconds)
        except GuestFailed as error:
            raise Unanswered(str(error)) from error
        except ValueError as error:
            raise Unanswered(
                f"{detail['code'] if detail['engine'] == 'wasm' else need.about}: {error}"
            ) from error

    async def _script(self, detail: dict[str, str], payload: Any, seconds: float) -> Any:
        request = payload.get("request") or {}
        host = ScriptHost(self._seen(), self._kinds, user=request.get("userInfo") or {})
        plan = GuestPlan(
            engine="javascript",
            code=detail["code"].encode(),
            operation=detail["operation"],
            payload=detail["payload"].encode(),
            seconds=seconds,
            prelude=jspolicy.PRELUDE,
        )
        result = await self._guests.run(plan, host.answer)
        return {"response": json.loads(result.output), "changes": host.changes}

    async def _module(self, detail: dict[str, str], payload: Any, seconds: float) -> Any:
        code = await self._fetched(detail["code"])
        mode = execution_mode(code)
        operation, asked = kubewarden.asked(mode, detail["operation"], payload)
        if not operation:
            return kubewarden.answered(mode, detail["operation"], payload, None)
        ask = self._images.kubewarden if self._images is not None else None
        host = WasmHost(self._seen(), self._kinds, reads=readable(detail), allowed=self._allowed, images=ask)
        plan = GuestPlan(
            engine={"kubewarden-wapc": "wapc", "wasi": "wasi"}.get(mode, "opa"),  # type: ignore[arg-type]  # three of the engines
            code=code,
            operation="" if operation == "evaluate" else operation,
            payload=json.dumps(asked).encode(),
            seconds=seconds,
        )
        result = await self._guests.run(plan, host.answer)
        return kubewarden.answered(mode, detail["operation"], payload, json.loads(result.output))

    def _seen(self) -> View:
        view = self._view()
        if view is None:
            raise Unanswered("what guests may look up is not there yet")
        return view

    async def _fetched(self, address: str) -> bytes:
        found = self._modules.get(address)
        if found is None:
            found = self._modules[address] = await self._fetch(address)
        return found

    async def _fetch(self, address: str) -> bytes:
        place = urlsplit(address)
        if place.scheme == "file":
            code = await asyncio.to_thread(_read, Path(unquote(place.path)))
        elif place.scheme == "https" and self._online:
            from fairlead.drivers.asking import fetch

            code = await fetch(address, limit=LARGEST)
        elif place.scheme == "https":
            raise Unanswered(f"{address}: modules are not fetched from the network here")
        elif place.scheme == "http":
            raise Unanswered(f"{address}: modules come by https://, file:// or registry://")
        elif self._images is not None:
            code = await self._images.module(address, LARGEST)
        else:
            raise Unanswered(f"{address}: modules are not pulled from registries here")
        if len(code) > LARGEST:
            raise Unanswered(f"{address}: larger than {LARGEST >> 20} MiB")
        return code


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise Unanswered(f"{path}: {error.strerror}") from error


def execution_mode(code: bytes) -> kubewarden.Mode:
    """Return how a module speaks, by what Kubewarden's tools noted in it. Raises ValueError for what is no module."""
    noted = custom_section(code, _SECTION)
    mode = json.loads(noted).get("executionMode", "kubewarden-wapc") if noted else "kubewarden-wapc"
    for known in get_args(kubewarden.Mode):
        if mode == known:
            return known  # type: ignore[no-any-return]  # get_args is untyped
    raise ValueError(f"its execution mode {mode!r} is not known")
