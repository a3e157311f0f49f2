"""Modules that speak OPA's ABI: a small one by hand, whose values are texts, with fairlead's built-ins."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest
import wasmtime

from fairlead.drivers.guests import GuestFailed, GuestPlan, Guests

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are confined by Linux' means")

MODULE = """
(module
  (import "env" "memory" (memory 2))
  (import "env" "opa_builtin1" (func $call (param i32 i32 i32) (result i32)))
  (import "env" "opa_abort" (func $abort (param i32)))
  (import "env" "opa_println" (func $print (param i32)))
  (global $heap (mut i32) (i32.const 4096))
  (data (i32.const 16) "{\\"upper\\": 1, \\"http.send\\": 2, \\"custom.one\\": 3}\\00")
  (data (i32.const 128) "{\\"policy/main\\": 0, \\"policy/send\\": 1, \\"policy/custom\\": 2, \\"policy/abort\\": 3}\\00")
  (data (i32.const 256) "enough\\00")
  (data (i32.const 272) "[]\\00")
  (func (export "builtins") (result i32) (i32.const 16))
  (func (export "entrypoints") (result i32) (i32.const 128))
  (func $malloc (export "opa_malloc") (param $size i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (i32.add (global.get $heap) (local.get $size)) (i32.const 8))))
  (func $parse (export "opa_json_parse") (param $place i32) (param $size i32) (result i32) (local.get $place))
  (func (export "opa_json_dump") (param $place i32) (result i32) (local.get $place))
  (func (export "opa_heap_ptr_get") (result i32) (global.get $heap))
  (func (export "opa_eval") (param $a i32) (param $entry i32) (param $data i32) (param $input i32) (param $size i32)
        (param $top i32) (param $format i32) (result i32)
    (local $found i32)
    (call $print (local.get $data))
    (if (i32.eq (local.get $entry) (i32.const 3)) (then (call $abort (i32.const 256))))
    (local.set $found (call $call (i32.add (local.get $entry) (i32.const 1)) (i32.const 0) (local.get $input)))
    (if (result i32) (local.get $found) (then (local.get $found)) (else (i32.const 272)))))
"""


def run(entrypoint: str, given: Any, data: Any) -> tuple[Any, tuple[str, ...]]:
    async def once() -> tuple[Any, tuple[str, ...]]:
        async with Guests(workers=1) as guests:
            payload = json.dumps({"input": given, "data": data}).encode()
            found = await guests.run(GuestPlan("opa", bytes(wasmtime.wat2wasm(MODULE)), entrypoint, payload))
            return json.loads(found.output), found.log

    return asyncio.run(once())


def test_a_module_is_evaluated_with_data_and_built_ins() -> None:
    assert run("", "a", {"b": 1}) == ("A", ('{"b": 1}',))
    found, log = run("policy/send", {"method": "get", "url": "http://x"}, {})
    assert found == []
    assert log[1] == "http.send: requests to http://x are not sent: policies have no network here"


@pytest.mark.parametrize(
    ("entrypoint", "error"),
    [
        ("policy/abort", "enough"),
        ("policy/custom", "the built-in custom.one is not known"),
        ("policy/none", "the module has no entrypoint policy/none"),
    ],
)
def test_an_evaluation_that_fails(entrypoint: str, error: str) -> None:
    with pytest.raises(GuestFailed) as raised:
        run(entrypoint, "a", {})
    assert str(raised.value) == error
