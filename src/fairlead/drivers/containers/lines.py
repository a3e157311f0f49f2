"""The wire to containerd: typed calls over its unix socket, and its errors in the words that Go's clients use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio

from fairlead.drivers.containers import messages as cri
from fairlead.drivers.containers import records
from fairlead.drivers.containers.wire import decoder, encode

R = TypeVar("R")

_RUNTIME = "/runtime.v1.RuntimeService/"
_IMAGES = "/runtime.v1.ImageService/"
_CONTENT = "/containerd.services.content.v1.Content/"
_NAMES = "/containerd.services.images.v1.Images/"
_LEASES = "/containerd.services.leases.v1.Leases/"
_EVENTS = "/containerd.services.events.v1.Events/"
_NAMESPACE = ("containerd-namespace", "k8s.io")

_GO_NAMES = {
    "CANCELLED": "Canceled",
    "UNKNOWN": "Unknown",
    "INVALID_ARGUMENT": "InvalidArgument",
    "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "NOT_FOUND": "NotFound",
    "ALREADY_EXISTS": "AlreadyExists",
    "PERMISSION_DENIED": "PermissionDenied",
    "RESOURCE_EXHAUSTED": "ResourceExhausted",
    "FAILED_PRECONDITION": "FailedPrecondition",
    "ABORTED": "Aborted",
    "OUT_OF_RANGE": "OutOfRange",
    "UNIMPLEMENTED": "Unimplemented",
    "INTERNAL": "Internal",
    "UNAVAILABLE": "Unavailable",
    "DATA_LOSS": "DataLoss",
    "UNAUTHENTICATED": "Unauthenticated",
}


class CallFailed(Exception):
    """containerd refused or did not answer. `code` is gRPC's name of why (NOT_FOUND ...), `detail` containerd's text.

    The exception's own text is the one that kubelet shows for the same failure.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"rpc error: code = {_GO_NAMES.get(code, code)} desc = {detail}")
        self.code = code
        self.detail = detail


def _failed(error: grpc.RpcError) -> CallFailed:
    assert isinstance(error, grpc.aio.AioRpcError)
    return CallFailed(error.code().name, error.details() or "")


class Line:
    """One connection to a containerd. Every call raises CallFailed; timeouts are in seconds."""

    def __init__(self, socket: Path) -> None:
        options = [
            ("grpc.max_receive_message_length", 64 << 20),
            ("grpc.default_authority", "localhost"),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 500),
            ("grpc.enable_retries", 0),
        ]
        self._channel = grpc.aio.insecure_channel(f"unix:{socket}", options=options)
        self._methods: dict[str, Any] = {}

    async def _call(
        self,
        method: str,
        request: object,
        answer: type[R],
        seconds: float | None,
        lease: str = "",
        namespace: tuple[str, str] = _NAMESPACE,
    ) -> R:
        if method not in self._methods:
            self._methods[method] = self._channel.unary_unary(
                method, request_serializer=encode, response_deserializer=decoder(answer)
            )
        metadata = (namespace, ("containerd-lease", lease)) if lease else (namespace,)
        try:
            response: R = await self._methods[method](request, timeout=seconds, metadata=metadata)
        except grpc.RpcError as error:
            raise _failed(error) from None
        return response

    async def runtime(self, method: str, request: object, answer: type[R], seconds: float | None = 120) -> R:
        """Call the runtime service of the CRI."""
        return await self._call(_RUNTIME + method, request, answer, seconds)

    async def images(self, method: str, request: object, answer: type[R], seconds: float | None = 120) -> R:
        """Call the image service of the CRI."""
        return await self._call(_IMAGES + method, request, answer, seconds)

    async def ask(
        self,
        method: str,
        request: object,
        answer: type[R],
        seconds: float | None = 120,
        *,
        space: str = "k8s.io",
    ) -> R:
        """Call any other service by its full name, in one of containerd's namespaces."""
        return await self._call(method, request, answer, seconds, namespace=(_NAMESPACE[0], space))

    async def names(self, method: str, request: object, lease: str = "") -> None:
        """Call containerd's image service: which name points to which content."""
        await self._call(_NAMES + method, request, cri.Empty, 60, lease)

    async def leases(self, method: str, request: object) -> None:
        """Call containerd's lease service."""
        await self._call(_LEASES + method, request, cri.Empty, 60)

    async def write(self, pieces: Iterable[records.WriteContent], lease: str) -> None:
        """Stream a blob into containerd's content store. It being there already is success."""
        method = self._channel.stream_stream(
            _CONTENT + "Write",
            request_serializer=encode,
            response_deserializer=decoder(records.WriteContentResponse),
        )
        stream = method(None, metadata=(_NAMESPACE, ("containerd-lease", lease)))
        try:
            for piece in pieces:
                await stream.write(piece)
                if not await stream.read():  # the stream has ended
                    break
            await stream.done_writing()
            await stream.read()  # raises what the stream ended with
        except grpc.RpcError as error:
            if (failure := _failed(error)).code != "ALREADY_EXISTS":
                raise failure from None
        finally:
            stream.cancel()

    async def events(self) -> AsyncIterator[records.Envelope]:
        """Yield containerd's events as they happen, until the connection ends."""
        method = self._channel.unary_stream(
            _EVENTS + "Subscribe", request_serializer=encode, response_deserializer=decoder(records.Envelope)
        )
        stream = method(records.Subscribe(('namespace==k8s.io,topic~="^/tasks/"',)), metadata=(_NAMESPACE,))
        try:
            async for envelope in stream:
                yield envelope
        except grpc.RpcError as error:
            raise _failed(error) from None
        finally:
            stream.cancel()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close(None)
