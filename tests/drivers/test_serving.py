"""A port is bound by one server only, and what cannot be bound says why."""

from __future__ import annotations

import socket

import pytest

from fairlead.drivers import serving


def test_a_free_port_is_known_before_serving() -> None:
    with serving.listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


def test_a_port_is_not_shared() -> None:
    with serving.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(serving.ListenError, match=f"port {port} on 127.0.0.1 is in use"):
            serving.listen("127.0.0.1", port)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_what_is_no_port(port: int) -> None:
    with pytest.raises(serving.ListenError, match=f"{port} is not a port"):
        serving.listen("127.0.0.1", port)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(serving.ListenError, match=r"cannot listen on 192\.0\.2\.1"):
        serving.listen("192.0.2.1", 0)


def test_a_port_that_was_just_left_is_free() -> None:
    with serving.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            pass
    serving.listen("127.0.0.1", port).close()
