"""`kubectl exec` over WebSockets: one connection, a channel in each message's first byte.

One-way commands only: what needs input, a terminal, attaching or port forwarding is told that it is not supported
yet, as a Status.
Source: k8s.io/apimachinery/pkg/util/remotecommand (channel numbers), k8s.io/apiserver/pkg/util/wsstream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fairlead.faces.kube import nodes
from fairlead.faces.kube.calls import Call, Receive, Send
from fairlead.faces.kube.nodes import Nodes
from fairlead.faces.kube.site import Site
from fairlead.keep.errors import Refusal, bad_request, not_supported, unavailable

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDOUT, STDERR, ERROR = 1, 2, 3
_NORMAL = 1000
_LARGEST = 32 * 1024
"""Bytes of output in one message."""
_LINGER = 0.3
"""Seconds for which input that nobody wants is still read: a connection closed on it loses what the client has not read."""


def chosen(offered: Sequence[str]) -> str:
    """Return the best protocol that a client offers, "" when it offers none of ours."""
    return next((protocol for protocol in PROTOCOLS if protocol in offered), "")


async def serve(
    site: Site,
    node_servers: Nodes,
    call: Call,
    pod: tuple[str, str],
    receive: Receive,
    send: Send,
    protocol: str,
) -> None:
    """Accept the connection, run the command, send its output and at last its Status."""
    await send({"type": "websocket.accept", "subprotocol": protocol})
    running = asyncio.ensure_future(_run(site, node_servers, call, pod, send))
    gone = asyncio.ensure_future(_gone(receive))
    stopping = asyncio.ensure_future(site.draining.wait())
    try:
        await asyncio.wait({running, gone, stopping}, return_when=asyncio.FIRST_COMPLETED)
        left = gone.done()
        status = (
            running.result() if running.done() else nodes.failure(unavailable("the server is shutting down"))
        )
        if not left:
            await _send(send, ERROR, status)
            if call.flag("stdin"):
                await asyncio.wait({gone}, timeout=_LINGER)
    finally:
        # Granian closes a connection only when nobody waits for a message on it.
        for task in (running, gone, stopping):
            task.cancel()
        await asyncio.gather(running, gone, stopping, return_exceptions=True)
    if not left:
        await send({"type": "websocket.close", "code": _NORMAL})


async def _run(site: Site, node_servers: Nodes, call: Call, pod: tuple[str, str], send: Send) -> bytes:
    """Run the command and return the Status that tells how it ended."""
    try:
        for stream, what in (("stdin", "standard input (-i)"), ("tty", "a terminal (-t)")):
            if call.flag(stream):
                raise not_supported(f"exec with {what}")
        found = nodes.pod_of(site, *pod)
        container = nodes.container_of(found, call.get("container"))
        command = call.query.get("command", [])
        if not command:
            raise bad_request("you must specify at least one command")
        node = nodes.node_of(site, found)
        if node is None:
            raise bad_request(f"pod {pod[1]} does not have a host assigned")
        path = nodes.exec_path(found, container, command)
        wanted = {STDOUT: call.flag("stdout"), STDERR: call.flag("stderr")}
        async with node_servers.open(node, "POST", path) as response:
            async for piece in nodes.pieces(response.aiter_raw()):
                if piece.channel == ERROR:
                    return piece.data
                if wanted.get(piece.channel):
                    for start in range(0, len(piece.data), _LARGEST):
                        await _send(send, piece.channel, piece.data[start : start + _LARGEST])
        raise unavailable("the node ended the stream before the command's end")
    except Refusal as refusal:
        return nodes.failure(refusal)


async def _send(send: Send, channel: int, data: bytes) -> None:
    await send({"type": "websocket.send", "bytes": bytes([channel]) + data})


async def _gone(receive: Receive) -> None:
    """Wait until the client closes the connection. Input, and v5's closing of its channel (255), are passed over."""
    while True:
        message: Any = await receive()
        if message["type"] == "websocket.disconnect":
            return


async def refuse(send: Send, status: bytes, protocol: str) -> None:
    """Accept a connection only to say in a Status why there is nothing to be had."""
    await send({"type": "websocket.accept", "subprotocol": protocol})
    await _send(send, ERROR, status)
    await send({"type": "websocket.close", "code": _NORMAL})
