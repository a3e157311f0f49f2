"""Guests in their workers: what they are asked, what they ask, and how hostile ones fail alone."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from fairlead.drivers.guests import (
    GuestFailed,
    GuestPlan,
    GuestResult,
    Guests,
    HostCall,
    HostError,
    custom_section,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are confined by Linux' means")

WAPC = """
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (import "wapc" "__console_log" (func $log (param i32 i32)))
  (import "wapc" "__host_call" (func $ask (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_response_len" (func $size (result i32)))
  (import "wapc" "__host_response" (func $take (param i32)))
  (import "wapc" "__host_error_len" (func $esize (result i32)))
  (import "wapc" "__host_error" (func $etake (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "kubewarden" "net" "v1/dns_lookup_host" "refused here")
  (func (export "__guest_call") (param $operation i32) (param $length i32) (result i32)
    (call $request (i32.const 512) (i32.const 1024))
    %s
    (i32.const 1)))
"""
ECHO = (
    WAPC
    % "(call $log (i32.const 512) (local.get $operation)) (call $response (i32.const 1024) (local.get $length))"
)
ASKS = (
    WAPC
    % """
    (if (call $ask (i32.const 0) (i32.const 10) (i32.const 10) (i32.const 3) (i32.const 13) (i32.const 18)
                   (i32.const 1024) (local.get $length))
      (then (call $take (i32.const 4096)) (call $response (i32.const 4096) (call $size)))
      (else (call $etake (i32.const 4096)) (call $error (i32.const 4096) (call $esize)) (return (i32.const 0))))"""
)
REFUSES = WAPC % "(call $error (i32.const 31) (i32.const 12)) (return (i32.const 0))"
LOOPS = WAPC % "(loop $l (br $l))"
EATS = (
    WAPC
    % "(loop $l (drop (memory.grow (i32.const 64))) (br_if $l (i32.ge_s (memory.grow (i32.const 64)) (i32.const 0)))) (unreachable)"
)
TRAPS = WAPC % "(unreachable)"
POINTS_AWAY = WAPC % "(call $response (i32.const 131000) (i32.const 1000))"
SAYS_MUCH = WAPC % "(call $response (i32.const 0) (i32.const -1))"
DEEP = '(module (func $f (export "f") (call $f)) (memory (export "memory") 1) (func (export "__guest_call") (param i32 i32) (result i32) (call $f) (i32.const 1)))'

WASI = """
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $argv (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 200) "sorry\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $argv (i32.const 64) (i32.const 100)))
    (i32.store (i32.const 16) (i32.const 112)) (i32.store (i32.const 20) (i32.const 8))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 1020)))
    (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 5))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
    (if (i32.ne (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)
                            (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 8)) (i32.const 52))
      (then (unreachable)))
    (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 33)) (then
      (i32.store (i32.const 16) (i32.const 200)) (i32.store (i32.const 20) (i32.const 6))
      (drop (call $write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 8)))
      (call $exit (i32.const 7))))))
"""


def wasm(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def run(*plans: GuestPlan, call: Any = None, cache: Path | None = None) -> list[GuestResult | GuestFailed]:
    """Run the calls one after another in one set of workers; a failure is returned."""

    async def all_of_them() -> list[GuestResult | GuestFailed]:
        found: list[GuestResult | GuestFailed] = []
        async with Guests(workers=1, cache=cache) as guests:
            for plan in plans:
                try:
                    found.append(await guests.run(plan, call))
                except GuestFailed as error:
                    found.append(error)
        return found

    return asyncio.run(all_of_them())


def output(found: GuestResult | GuestFailed) -> bytes:
    assert isinstance(found, GuestResult), found
    return found.output


def failure(found: GuestResult | GuestFailed) -> tuple[str, str]:
    assert isinstance(found, GuestFailed), found
    return found.reason, str(found)


def wapc(text: str, payload: bytes = b"{}", **more: Any) -> GuestPlan:
    return GuestPlan("wapc", wasm(text), "validate", payload, **more)


def javascript(code: str, given: Any = None, **more: Any) -> GuestPlan:
    return GuestPlan("javascript", code.encode(), "policy", json.dumps(given or {}).encode(), **more)


async def lookup(call: HostCall) -> bytes:
    assert (call.binding, call.namespace, call.operation) == ("kubewarden", "net", "v1/dns_lookup_host")
    if call.payload == b'"nowhere"':
        raise HostError("no such host")
    return b'{"ips": ["10.0.0.1"]}'


def test_a_wapc_guest_answers_and_asks() -> None:
    echo, asks, refused, alone, refuses = run(
        wapc(ECHO, b'{"a": 1}'),
        wapc(ASKS, b'"here"'),
        wapc(ASKS, b'"nowhere"'),
        wapc(ASKS, b'"nowhere"'),
        wapc(REFUSES),
        call=lookup,
    )
    assert output(echo) == b'{"a": 1}'
    assert isinstance(echo, GuestResult)
    assert echo.log == ("validate",)
    assert output(asks) == b'{"ips": ["10.0.0.1"]}'
    assert failure(refused) == failure(alone) == ("guest", "no such host")
    assert failure(refuses) == ("guest", "refused here")
    (unanswered,) = run(wapc(ASKS))
    assert failure(unanswered) == ("guest", "v1/dns_lookup_host is not offered here")


def test_hostile_modules_fail_alone() -> None:
    loops, eats, traps, away, much, deep, echo = run(
        wapc(LOOPS, seconds=0.2),
        wapc(EATS, memory=8 << 20),
        wapc(TRAPS),
        wapc(POINTS_AWAY),
        wapc(SAYS_MUCH),
        wapc(DEEP),
        wapc(ECHO, b"still here"),
    )
    assert failure(loops) == ("time", "the guest did not end within 0.2 s")
    assert failure(eats)[0] == "trap"  # memory.grow is refused; what the guest does then is its own affair
    assert failure(traps)[0] == "trap"
    assert "unreachable" in failure(traps)[1]
    assert failure(away) == ("trap", "the guest points outside of its memory")
    assert failure(much)[0] == "memory"
    assert "stack" in failure(deep)[1]
    assert output(echo) == b"still here"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (b"nonsense", "does not compile"),
        (wasm("(module)"), "exports no __guest_call"),
        (wasm('(module (import "env" "secret" (func)))'), "unknown import"),
        (wasm('(module (memory (export "memory") 60000) (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))'), "memory"),
    ],
)  # fmt: skip
def test_bad_modules_are_refused(code: bytes, said: str) -> None:
    (found,) = run(GuestPlan("wapc", code, "validate"))
    assert said in failure(found)[1]


def test_a_wasi_guest_reads_and_writes_and_has_no_files() -> None:
    fine, fails = run(
        GuestPlan("wasi", wasm(WASI), "validate x", b"hello world"),
        GuestPlan("wasi", wasm(WASI), "validate x", b"!"),
    )
    assert output(fine) == b"validatehello"
    assert failure(fails) == ("guest", "the guest exited with code 7: sorry")


def test_a_javascript_guest_answers_and_asks() -> None:
    async def answer(call: HostCall) -> bytes:
        return json.dumps({"value": [call.operation, json.loads(call.payload)]}).encode()

    prelude = (
        "var __response = {}, __ended = false; var end = () => { __ended = true; throw new Error('end'); };"
    )
    plain, asked, ended, jobs = run(
        javascript("__response = {seen: request.name}; __host('print', JSON.stringify(['a', 1]))", {"request": {"name": "x"}}),
        javascript("__response = JSON.parse(__host('get', JSON.stringify(['Pod', 'v1'])))", prelude=prelude),
        javascript("__response.a = 1; end(); __response.a = 2", prelude=prelude),
        javascript("Promise.resolve(3).then((value) => { __response = value; })"),
        call=answer,
    )  # fmt: skip
    assert json.loads(output(plain)) == {"seen": "x"}
    assert isinstance(plain, GuestResult)
    assert plain.log == ("a 1",)
    assert json.loads(output(asked)) == {"value": ["get", ["Pod", "v1"]]}
    assert json.loads(output(ended)) == {"a": 1}
    assert json.loads(output(jobs)) == 3


def test_hostile_programs_fail_alone() -> None:
    loops, eats, deep, wrong, throws, expression, memory, fine = run(
        javascript("for (;;) {}", seconds=0.2),
        javascript("var a = []; for (;;) a.push('x'.repeat(100000) + a.length)", memory=16 << 20),
        javascript("var f = () => f(); f()"),
        javascript("this is no program"),
        javascript("throw {reason: 'why', toString() { return 'because'; }}"),
        javascript("/(a+)+$/.test('a'.repeat(40) + 'b')", seconds=0.2),
        javascript("'x'.repeat(2 ** 29).padEnd(2 ** 30)"),
        javascript("var __response = 'still here'"),
    )
    assert failure(loops) == ("time", "the guest did not end within 0.2 s")
    assert failure(eats) == ("memory", f"policy: the program ran out of its {16 << 20} bytes of memory")
    assert "stack overflow" in failure(deep)[1]
    assert "SyntaxError" in failure(wrong)[1]
    assert failure(throws)[1].startswith("policy: because")
    assert failure(expression)[0] == "time"
    assert failure(memory)[0] in {"memory", "guest"}
    assert json.loads(output(fine)) == "still here"


def test_nothing_stays_from_one_call_to_the_next() -> None:
    first, second = run(
        javascript("globalThis.kept = 1; var __response = 1"), javascript("var __response = typeof kept")
    )
    assert [json.loads(output(found)) for found in (first, second)] == [1, "undefined"]


def test_a_host_that_does_not_answer_costs_the_guest_its_time() -> None:
    async def never(_: HostCall) -> bytes:
        await asyncio.sleep(60)
        return b""

    late, fine = run(wapc(ASKS, seconds=0.2), wapc(ECHO), call=never)
    assert failure(late)[0] == "time"
    assert output(fine) == b"{}"


def test_guests_run_side_by_side() -> None:
    async def both() -> None:
        async with Guests(workers=2) as guests:
            together = asyncio.Barrier(2)

            async def meet(_: HostCall) -> bytes:
                await together.wait()
                return b"met"

            plan = wapc(ASKS, seconds=20)
            found = await asyncio.gather(guests.run(plan, meet), guests.run(plan, meet))
            assert [one.output for one in found] == [b"met", b"met"]

    asyncio.run(both())


def test_a_call_that_is_cancelled_ends_its_worker() -> None:
    async def cancelled() -> None:
        async with Guests(workers=1) as guests:
            task = asyncio.create_task(guests.run(javascript("for (;;) {}", seconds=60)))
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await guests.run(javascript("var __response = 1"))).output == b"1"

    asyncio.run(cancelled())


def test_compiled_modules_are_kept(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert output(run(wapc(ECHO, b"1"), cache=cache)[0]) == b"1"
    (file,) = cache.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.stat().st_mtime_ns
    assert output(run(wapc(ECHO, b"2"), cache=cache)[0]) == b"2"
    assert file.stat().st_mtime_ns == before


def seen(process: Path) -> tuple[str, str, Path]:
    return (process / "status").read_text(), (process / "limits").read_text(), (process / "ns/net").readlink()


def test_a_worker_has_given_everything_up() -> None:
    async def look() -> None:
        async with Guests(workers=1) as guests:
            await guests.run(javascript("1"))
            (worker,) = guests._all
            status, limits, network = seen(Path(f"/proc/{worker._process.pid}"))
            assert "NoNewPrivs:\t1" in status
            assert platform.machine() not in {"x86_64", "aarch64"} or "Seccomp:\t2" in status
            if os.geteuid() == 0:
                assert "Uid:\t65534\t65534\t65534\t65534" in status
                assert set(status.split("CapEff:\t")[1].split()[0]) == {"0"}
                assert network != Path("/proc/self/ns/net").readlink()  # noqa: ASYNC240  it is no disk
            assert any(line.split()[:4] == ["Max", "file", "size", "0"] for line in limits.splitlines())
            assert any(line.split()[:3] == ["Max", "processes", "0"] for line in limits.splitlines())

    asyncio.run(look())


def test_custom_sections() -> None:
    content = b"\x04name" + b"data"
    module = b"\0asm\x01\0\0\0" + bytes([0, len(content)]) + content
    assert custom_section(module, "name") == b"data"
    assert custom_section(module, "other") is None
    with pytest.raises(ValueError, match="no WebAssembly module"):
        custom_section(b"x", "name")
    with pytest.raises(ValueError, match="cut short"):
        custom_section(module[:-2], "name")
