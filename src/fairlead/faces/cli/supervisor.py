"""Keeps the platform's processes running, and ends them in order.

The processes know each other only through the Kubernetes API; this one knows only how to start, watch and stop them. It
must never speak for them: what it reports about readiness comes from their own records.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fairlead.drivers import processes
from fairlead.drivers.processes import FIRST_DELAY_SECONDS, Child
from fairlead.faces.cli.places import Places
from fairlead.faces.cli.problems import Problem

READY_SECONDS = 30.0
NODE_READY_SECONDS = 45.0
SENSOR_READY_SECONDS = 15.0
STOP_SECONDS = {"node": 60.0, "control-plane": 15.0, "sensor": 10.0, "platform": 10.0, "registry": 10.0}
BESIDE = ("sensor", "platform", "registry")
"""Processes that the others do without."""
NOT_HERE = 3
"""The exit code of a process that cannot do its work on this machine, and has said why in its record: it is not started again."""
LONGEST_DELAY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """What `fairlead up` was asked for."""

    port: int
    node: bool = True
    audit: bool = True
    containers: bool = True
    crash_backoff: float | None = None
    sensor: bool = True
    sensor_metrics: int | None = None
    platform: bool = True
    platform_metrics: int | None = None
    audit_policy: str = ""
    registry: bool = True
    registry_port: int | None = None


def children(where: Places, options: Options) -> list[Child]:
    """Return the processes to run, in order of their start."""
    python = [sys.executable, "-m"]
    data = ["--data-dir", str(where.root)]
    found = [
        Child(
            "control-plane",
            [*python, "fairlead.faces.kube", *data, "--port", str(options.port)],
            where.logs / "control-plane.log",
        )
    ]
    if not options.audit:
        found[0].command.append("--no-audit")
    if options.audit_policy:
        found[0].command += ["--audit-policy", options.audit_policy]
    if options.registry:
        command = [*python, "fairlead.faces.registry", *data]
        if options.registry_port is not None:
            command += ["--port", str(options.registry_port)]
        found.append(Child("registry", command, where.logs / "registry.log"))
    if options.node:
        command = [*python, "fairlead.reactor.node", *data]
        if not options.containers:
            command.append("--no-containers")
        if options.crash_backoff is not None:
            command += ["--crash-backoff", str(options.crash_backoff)]
        found.append(Child("node", command, where.logs / "node.log"))
    if options.sensor:
        command = [*python, "fairlead.reactor.sense", *data]
        if options.sensor_metrics is not None:
            command += ["--metrics", str(options.sensor_metrics)]
        found.append(Child("sensor", command, where.logs / "sensor.log"))
    if options.platform:
        command = [*python, "fairlead.reactor.diagnosing", *data]
        if options.platform_metrics is not None:
            command += ["--metrics", str(options.platform_metrics)]
        found.append(Child("platform", command, where.logs / "platform.log"))
    return found


def _write(path: Path, record: dict[str, Any]) -> None:
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(record))
    fresh.replace(path)


@contextlib.contextmanager
def locked(where: Places) -> Iterator[IO[str]]:
    """Hold the data directory's lock, or say who does. The kernel lets go of it however this process ends."""
    with (where.run / "supervisor.lock").open("a+") as lock:
        if not processes.lock(lock):
            raise _already_up(where)
        yield lock


def _already_up(where: Places) -> Problem:
    server = f"https://127.0.0.1:{where.record('control-plane').get('port', '?')}"
    return Problem(
        f"fairlead is already up at {server} (process {running(where)}, {where.root})",
        "stop it with: fairlead down",
    )


def running(where: Places) -> int | None:
    """Return the supervisor's process id, or None when the platform is down."""
    path = where.run / "supervisor.lock"
    try:
        with path.open("r+") as lock:
            if processes.lock(lock):
                return None
            pid = where.record("supervisor").get("pid")
            return pid if isinstance(pid, int) else 0
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise Problem(f"no permission to look at {where.root}", "run as the user who started it") from error


def run(where: Places, options: Options, *, ready_pipe: int | None = None) -> int:
    """Run the platform until SIGINT or SIGTERM. Return the exit code."""
    begun = time.monotonic()
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    with locked(where):
        clean(where)
        _write(where.run / "supervisor.json", {"pid": os.getpid(), "started": time.time()})
        family = children(where, options)
        try:
            _bring_up(where, family, begun, stopping)
            if ready_pipe is not None:
                os.write(ready_pipe, b"ready")
                os.close(ready_pipe)
            elif not stopping:
                print("press Ctrl-C to stop")
            _watch_over(family, stopping)
        finally:
            for child in reversed(family):
                child.stop(STOP_SECONDS[child.name])
            for name in ("supervisor", "control-plane", "node", *BESIDE):
                (where.run / f"{name}.json").unlink(missing_ok=True)
    return 0


def _bring_up(where: Places, family: list[Child], begun: float, stopping: list[int]) -> None:
    sensor = next((child for child in family if child.name == "sensor"), None)
    platform = next((child for child in family if child.name == "platform"), None)
    registry = next((child for child in family if child.name == "registry"), None)
    for child in family:
        (where.run / f"{child.name}.json").unlink(missing_ok=True)
    if registry is not None:
        registry.start()
    for child in family:
        if child.name in BESIDE:
            continue
        child.start()
        if sensor is not None and child.name == "node":
            sensor.start()  # beside the node: neither waits for the other
        _await_record(
            where, child, READY_SECONDS if child.name == "control-plane" else NODE_READY_SECONDS, stopping
        )
        if stopping:
            return
        record = where.record(child.name)
        took = time.monotonic() - begun
        if child.name == "control-plane":
            _write(where.run / "last.json", {"port": record["port"]})
            child.command[-1] = str(record["port"])  # should it have to start again, clients still find it
            print(
                f"the Kubernetes API is ready at https://127.0.0.1:{record['port']} ({took:.1f} s)",
                flush=True,
            )
        else:
            runs = record.get("runs", "")
            print(f"the node is ready{f', running {runs}' if runs else ''} ({took:.1f} s)", flush=True)
            _print_without(record)
    if registry is not None:
        _await_record(where, registry, NODE_READY_SECONDS, stopping)
        if stopping:
            return
        url = where.record("registry")["url"]
        registry.command += ["--port", url.rpartition(":")[2]]  # should it have to start again
        print(f"the registry is ready at {url}", flush=True)
    if platform is not None:
        platform.start()  # what it finds it tells as it finds it: nobody waits for it
    if sensor is not None:
        if sensor.process is None:
            sensor.start()
        _await_sensor(where, sensor, stopping)
    print(f"export KUBECONFIG={where.kubeconfig}", flush=True)


def _print_without(record: dict[str, Any]) -> None:
    for left_out in record.get("without", []):
        print(f"  without {left_out}", flush=True)


def _await_sensor(where: Places, sensor: Child, stopping: list[int]) -> None:
    """Wait for the sensor's word, but not for long: the platform does without it."""
    deadline = time.monotonic() + SENSOR_READY_SECONDS
    while not where.record("sensor") and not stopping and time.monotonic() < deadline:
        if sensor.process is not None and sensor.process.poll() is not None and not where.record("sensor"):
            print(f"the sensor did not start: {sensor.last_words()}", flush=True)
            return
        time.sleep(0.02)
    record = where.record("sensor")
    if record.get("watches"):
        print(f"the sensor watches {record['watches']}", flush=True)
    elif record.get("without"):
        print("the sensor does not run", flush=True)
    _print_without(record)


def _await_record(where: Places, child: Child, seconds: float, stopping: list[int]) -> None:
    deadline = time.monotonic() + seconds
    while not where.record(child.name):
        process = child.process
        if stopping:
            return
        if process is not None and process.poll() is not None:
            words = child.last_words().removeprefix("fairlead: error: ")
            raise Problem(f"the {child.name} did not start: {words}", f"its log is {child.log}")
        if time.monotonic() > deadline:
            raise Problem(f"the {child.name} was not ready within {seconds:.0f} s", f"its log is {child.log}")
        time.sleep(0.02)


def _watch_over(family: list[Child], stopping: list[int]) -> None:
    """Start again what ends by itself, with a growing delay, until asked to stop."""
    while not stopping:
        now = time.monotonic()
        for child in family:
            if child.restart_at is not None:
                if now >= child.restart_at:
                    child.start()
            elif child.process is not None and child.process.poll() is not None:
                if child.process.returncode == NOT_HERE:
                    child.process = None
                    continue
                if now - child.started > 60:
                    child.delay = FIRST_DELAY_SECONDS
                print(
                    f"the {child.name} ended with code {child.process.returncode} ({child.last_words()}); "
                    f"starting it again in {child.delay:g} s",
                    file=sys.stderr,
                    flush=True,
                )
                child.restart_at = now + child.delay
                child.delay = min(child.delay * 2, LONGEST_DELAY_SECONDS)
        time.sleep(0.1)


def detach(where: Places, options: Options) -> int:
    """Start the platform in the background; return once it is ready, or say why it is not."""
    if running(where) is not None:
        raise _already_up(where)
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "fairlead.faces.cli.main", "up", "--data-dir", str(where.root)]
    command += ["--port", str(options.port), "--ready-pipe", str(writer)]
    command += [] if options.node else ["--no-node"]
    command += [] if options.audit else ["--no-audit"]
    command += [] if options.containers else ["--no-containers"]
    command += [] if options.crash_backoff is None else ["--crash-backoff", str(options.crash_backoff)]
    command += [] if options.sensor else ["--no-sensor"]
    command += [] if options.sensor_metrics is None else ["--sensor-metrics", str(options.sensor_metrics)]
    command += [] if options.platform else ["--no-platform"]
    command += (
        [] if options.platform_metrics is None else ["--platform-metrics", str(options.platform_metrics)]
    )
    command += ["--audit-policy", options.audit_policy] if options.audit_policy else []
    command += [] if options.registry else ["--no-registry"]
    command += [] if options.registry_port is None else ["--registry-port", str(options.registry_port)]
    log_path = where.logs / "supervisor.log"
    with log_path.open("wb") as log:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writer],
            start_new_session=True,
        )
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe, log_path.open() as log:
        shown = _follow(pipe.fileno(), log)
        if shown != b"ready":
            message, _, hint = log.read().strip().partition("\n")
            message = message.removeprefix("fairlead: error: ") or f"it did not start; its log is {log_path}"
            raise Problem(message, hint.strip())
    return 0


def _follow(pipe: int, log: IO[str]) -> bytes:
    """Print the lines of progress as they come, until the pipe says ready or closes. Stops before an error line."""
    import select

    while True:
        readable, _, _ = select.select([pipe], [], [], 0.05)
        said = os.read(pipe, 16) if readable else None
        while True:
            position = log.tell()
            line = log.readline()
            if not line.endswith("\n") or line.startswith("fairlead: error:"):
                log.seek(position)
                break
            print(line, end="", flush=True)
        if said is not None:
            return said


def clean(where: Places) -> bool:
    """End what a killed supervisor left behind. Return whether there was anything.

    Containers that run on are not touched here: the next node finds and adopts them, and `down` has the node end them.
    """
    found = False
    for name, module in (
        ("platform", "fairlead.reactor.diagnosing"),
        ("registry", "fairlead.faces.registry"),
        ("sensor", "fairlead.reactor.sense"),
        ("node", "fairlead.reactor.node"),
        ("control-plane", "fairlead.faces.kube"),
    ):
        pid = where.record(name).get("pid")
        if isinstance(pid, int) and processes.alive(pid, module):
            found = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS[name]
            while processes.alive(pid, module) and time.monotonic() < deadline:
                time.sleep(0.05)
        (where.run / f"{name}.json").unlink(missing_ok=True)
    return found


def status(where: Places) -> dict[str, Any]:
    """Return what runs: {running, dataDir, server, kubeconfig, processes: [{name, state, pid, uptime, memory, log, without}]}.

    `without` is what a process said that it cannot do here, and why.
    """
    pid = running(where)
    port = where.record("control-plane").get("port")
    report: dict[str, Any] = {
        "running": pid is not None,
        "dataDir": str(where.root),
        "server": f"https://127.0.0.1:{port}" if port else "",
        "kubeconfig": str(where.kubeconfig),
        "processes": [],
    }
    if pid is None:
        return report
    for name in ("supervisor", "control-plane", "node", *BESIDE):
        record = where.record(name)
        if name in BESIDE and not record:
            continue  # it was not asked for
        found = record.get("pid")
        uptime, memory = processes.usage(found) if found else ("", "")
        report["processes"].append(
            {
                "name": name,
                "state": "running" if uptime else "off" if record.get("without") else "stopped",
                "pid": found,
                "uptime": uptime,
                "memory": memory,
                "log": str(where.logs / f"{name}.log"),
                "without": list(record.get("without") or ()),
            }
        )
    return report
