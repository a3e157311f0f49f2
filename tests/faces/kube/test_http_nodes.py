"""Logs and commands: from the API to a node's server (a small one of the test's own) and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from websockets import exceptions as ws_exceptions
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

NODE = "test-node"
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")


@pytest.fixture
def pods(api: httpx.Client, namespace: str, node: Any) -> str:
    """The path of the pods, with `one` (a container c), `two` (c, d and an init container) and `free` (no node)."""
    path = f"/api/v1/namespaces/{namespace}/pods"

    def pod(name: str, *names: str, **more: Any) -> None:
        containers = [{"name": one, "image": "i"} for one in names]
        spec = {"containers": containers, "nodeName": NODE, **more}
        answer = api.post(path, json={"metadata": {"name": name}, "spec": spec})
        assert answer.status_code == 201, answer.text

    pod("one", "c")
    pod("two", "c", "d", initContainers=[{"name": "init", "image": "i"}])
    pod("late", "waiting")
    pod("free", "c", nodeName="", schedulerName="nobody")
    return path


def test_logs(api: httpx.Client, pods: str, node: Any, namespace: str) -> None:
    params = {
        "tailLines": "5",
        "timestamps": "true",
        "sinceSeconds": "60",
        "limitBytes": "100",
        "previous": "false",
    }
    answer = api.get(f"{pods}/one/log", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == "one\ntwo\n"
    method, path, query = node.asked[-1]
    assert (method, path) == ("GET", f"/containerLogs/{namespace}/one/c")
    assert {key: values[0] for key, values in query.items()} == params
    assert api.get(f"{pods}/free/log").text == ""
    assert api.get(f"{pods}/two/log", params={"container": "init"}).text == "one\ntwo\n"


def test_following_ends_with_the_client(api: httpx.Client, pods: str, node: Any) -> None:
    node.gone.clear()
    with api.stream("GET", f"{pods}/one/log", params={"follow": "true"}) as answer:
        lines = answer.iter_lines()
        assert [next(lines), next(lines)] == ["one", "more"]
    assert node.gone.wait(10)


@pytest.mark.parametrize(
    ("pod", "params", "code", "message"),
    [
        ("two", {}, 400, "a container name must be specified for pod two, choose one of: [c d] or one of the init containers: [init]"),
        ("one", {"container": "x"}, 400, "container x is not valid for pod one"),
        ("late", {}, 400, 'container "waiting" in pod "p" is waiting to start: ContainerCreating'),
        ("none", {}, 404, 'pods "none" not found'),
        ("one", {"tailLines": "-1"}, 422,
         'PodLogOptions "one" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0'),
        ("one", {"limitBytes": "0"}, 422,
         'PodLogOptions "one" is invalid: limitBytes: Invalid value: 0: must be greater than 0'),
        ("one", {"sinceSeconds": "0"}, 422,
         'PodLogOptions "one" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0'),
        ("one", {"tailLines": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    ],
)  # fmt: skip
def test_logs_that_are_refused(
    api: httpx.Client, pods: str, pod: str, params: dict[str, str], code: int, message: str
) -> None:
    answer = api.get(f"{pods}/{pod}/log", params=params)
    assert answer.status_code == code
    assert answer.json()["message"] == message


def test_a_node_that_is_not_there(api: httpx.Client, pods: str) -> None:
    api.post("/api/v1/nodes", json={"metadata": {"name": "ghost"}})
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "ghost"}
    api.post(pods, json={"metadata": {"name": "lost"}, "spec": spec})
    silent = api.get(f"{pods}/lost/log")
    assert silent.status_code == 503
    assert silent.json()["message"] == "node ghost has not said where it serves"
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}},
    }
    merge = {"content-type": "application/merge-patch+json"}
    api.patch("/api/v1/nodes/ghost/status", json={"status": status}, headers=merge)
    closed = api.get(f"{pods}/lost/log")
    assert closed.status_code == 503
    assert "node ghost cannot be reached" in closed.json()["message"]


Open = Callable[..., ClientConnection]


@pytest.fixture
def ws(server: Any) -> Open:
    def opened(path: str, *protocols: str, token: str = "") -> ClientConnection:
        return connect(
            f"wss://127.0.0.1:{server.port}{path}",
            ssl=server.ca,
            subprotocols=[Subprotocol(one) for one in protocols or PROTOCOLS],
            additional_headers={"Authorization": f"Bearer {token or server.token()}"},
            proxy=None,
        )

    return opened


def _all(connection: ClientConnection) -> dict[int, bytes]:
    output: dict[int, bytes] = {}
    for message in connection:
        assert isinstance(message, bytes)
        output[message[0]] = output.get(message[0], b"") + message[1:]
    return output


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_exec(ws: Open, pods: str, node: Any, namespace: str, protocol: str) -> None:
    with ws(f"{pods}/one/exec?command=ls&command=-l+a%2Fb&stdout=true&stderr=true", protocol) as connection:
        assert connection.subprotocol == protocol
        output = _all(connection)
    assert output[1] == b"to stdout\n"
    assert output[2] == b"to stderr\n"
    assert json.loads(output[3])["status"] == "Success"
    assert connection.close_code == 1000
    assert node.asked[-1] == ("POST", f"/exec/{namespace}/one/c", {"command": ["ls", "-l a/b"]})


def test_commands_are_not_logged(ws: Open, pods: str, server: Any) -> None:
    with ws(f"{pods}/one/exec?command=hidden&stdout=true") as connection:
        _all(connection)
    assert "hidden" not in server.log.read_text()


def test_exec_streams_that_were_not_asked_for_are_left_out(ws: Open, pods: str) -> None:
    with ws(f"{pods}/one/exec?command=much&stdout=true") as connection:
        output = _all(connection)
    assert set(output) == {1, 3}
    assert len(output[1]) == 200_000 + len(b"to stdout\n")


def test_exit_codes(ws: Open, pods: str) -> None:
    with ws(f"{pods}/one/exec?command=fail&stdout=true&stderr=true") as connection:
        status = json.loads(_all(connection)[3])
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("one/exec?command=sh&stdin=true&stdout=true", "exec with standard input (-i) is not supported yet"),
        ("one/exec?command=sh&tty=true&stdout=true", "exec with a terminal (-t) is not supported yet"),
        ("two/exec?command=sh&container=x&stdout=true", "container x is not valid for pod two"),
        ("one/exec?stdout=true", "you must specify at least one command"),
        ("free/exec?command=sh&stdout=true", "pod free does not have a host assigned"),
        ("one/exec?command=broken&stdout=true", "the node ended the stream before the command's end"),
        ("one/attach?stdout=true", "attach is not supported yet"),
        ("one/portforward?ports=80", "port-forward is not supported yet"),
    ],
)
def test_commands_that_are_refused(ws: Open, pods: str, path: str, message: str) -> None:
    with ws(f"{pods}/{path}") as connection:
        status = json.loads(_all(connection)[3])
    assert status["status"] == "Failure"
    assert status["message"] == message


@pytest.mark.parametrize(
    ("path", "protocol", "token"),
    [
        ("none/exec?command=ls", "v5.channel.k8s.io", ""),
        ("one/exec?command=ls", "v5.channel.k8s.io", "wrong"),
        ("one/exec?command=ls", "v9.channel.k8s.io", ""),
        ("one/log", "v5.channel.k8s.io", ""),
    ],
)
def test_handshakes_that_are_refused(ws: Open, pods: str, path: str, protocol: str, token: str) -> None:
    with pytest.raises((ws_exceptions.InvalidStatus, ws_exceptions.ConnectionClosed)):
        ws(f"{pods}/{path}", protocol, token=token).recv()


def test_a_node_may_not_run_commands(ws: Open, pods: str, server: Any) -> None:
    with pytest.raises((ws_exceptions.InvalidStatus, ws_exceptions.ConnectionClosed)):
        ws(f"{pods}/one/exec?command=ls", token=server.token("system:nodes")).recv()
