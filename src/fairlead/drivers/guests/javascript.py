"""JavaScript guests inside a worker, on QuickJS: a fresh context for each call, with limits of memory and stack.

Time is kept by the parent, and by an alarm that ends the process should the parent be gone.
"""

from __future__ import annotations

import json
from typing import Any

import quickjs

from .calls import Call, bounded

_STACK = 512 << 10
_RESULT = "JSON.stringify(typeof __response === 'undefined' ? null : __response) ?? 'null'"
_ENDED = "typeof __ended !== 'undefined' && __ended === true"
_MOST_JOBS = 100_000


def run(code: bytes, call: Call) -> bytes:
    """Run a program and return its response as JSON. Raises GuestFailed."""
    context = quickjs.Context()
    context.set_memory_limit(call.memory)
    context.set_max_stack_size(_STACK)
    context.add_callable("__host", lambda name, text: _host(call, name, text))
    try:
        given = json.loads(call.payload or b"{}")
        for name, value in given.items():
            context.set("__given", json.dumps(value))
            context.eval(f"globalThis[{json.dumps(name)}] = JSON.parse(__given)")
        context.eval("delete globalThis.__given")
        context.eval(call.prelude)
    except (quickjs.JSException, ValueError, AttributeError) as error:
        raise _failure(call, error) from None
    try:
        context.eval(code.decode())
        for _ in range(_MOST_JOBS):
            if not context.execute_pending_job():
                break
    except UnicodeDecodeError as error:
        raise call.failed(f"{call.operation}: the program is no UTF-8: {error}", "code") from None
    except quickjs.JSException as error:
        if not _evaluated(context, _ENDED, call):
            raise _failure(call, error) from None
    found = _evaluated(context, _RESULT, call)
    output = str(found).encode("utf-8", "replace")
    bounded(len(output))
    return output


def _evaluated(context: Any, text: str, call: Call) -> Any:
    try:
        return context.eval(text)
    except quickjs.JSException as error:
        raise _failure(call, error) from None


def _failure(call: Call, error: Exception) -> Exception:
    text = str(error).strip()
    if "out of memory" in text or text in {"null", ""}:
        return call.failed(
            f"{call.operation}: the program ran out of its {call.memory} bytes of memory", "memory"
        )
    return call.failed(f"{call.operation}: {text[:2000]}", "guest")


def _host(call: Call, name: Any, text: Any) -> str:
    """Answer `__host(name, text)`; what a program prints stays here."""
    operation, payload = str(name), str(text).encode("utf-8", "replace")
    bounded(len(payload))
    if operation == "print":
        call.say(" ".join(map(str, json.loads(payload))) if payload[:1] == b"[" else payload.decode())
        return '{"value": null}'
    fine, answer = call.ask("javascript", "", operation, payload)
    if fine:
        return answer.decode(errors="replace")
    return json.dumps({"error": {"reason": "InternalError", "message": answer.decode(errors="replace")}})
