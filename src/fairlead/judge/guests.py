"""What a policy asks of foreign code: a call of a WebAssembly or JavaScript guest, as a Need that a worker answers.

Words only. Guests run nowhere near here; a policy that has no answer yet raises Lacking.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from fairlead.words import Need, Ref

GUEST = "guest"

Engine: TypeAlias = Literal["wasm", "javascript"]


def guest_need(
    about: Ref,
    engine: Engine,
    code: str,
    operation: str,
    payload: Any,
    *,
    seconds: float = 10.0,
    reads: Iterable[tuple[str, str]] | None = None,
) -> Need:
    """Return the Need for one call of a guest.

    `code` is a module's address for wasm (`registry://`, `file://`, `https://`) and the program itself for JavaScript; `payload` is JSON.
    `reads` are the (apiVersion, kind) that the guest may look up; None: all.
    """
    return Need(
        GUEST,
        about,
        (
            ("engine", engine),
            ("code", code),
            ("operation", operation),
            ("payload", json.dumps(payload, separators=(",", ":"), sort_keys=True)),
            ("seconds", str(seconds)),
            ("reads", "*" if reads is None else json.dumps(sorted(reads))),
        ),
    )


def readable(detail: Mapping[str, str]) -> frozenset[tuple[str, str]] | None:
    """Return what the guest of a Need's detail may look up: (apiVersion, kind), or None for everything."""
    text = detail["reads"]
    return None if text == "*" else frozenset((one[0], one[1]) for one in json.loads(text))
