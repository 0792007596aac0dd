"""Sockets."""

import socket

import pytest

from trivet.app import serve
from trivet.core.errors import FailedPrecondition
from trivet.settings import Server


@pytest.mark.parametrize("workers", [1, 3])
def test_every_front_has_a_socket_of_the_same_port(workers):
    sockets = serve.listen(Server(port=0, workers=workers))
    try:
        assert len(sockets) == workers
        assert len({one.getsockname() for one in sockets}) == 1
        assert len({one.fileno() for one in sockets}) == workers
        for one in sockets:
            one.listen()
    finally:
        for one in sockets:
            one.close()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("taker", [1, 2])
def test_a_port_that_another_server_has_is_not_shared_with_it(workers, taker):
    taken = serve.listen(Server(port=0, workers=taker))
    try:
        for one in taken:
            one.listen()
        port = taken[0].getsockname()[1]
        with pytest.raises(FailedPrecondition, match=f"cannot listen on 127.0.0.1:{port}: Address already"):
            serve.listen(Server(port=port, workers=workers))
    finally:
        for one in taken:
            one.close()


def test_the_address_is_a_url():
    with socket.create_server(("127.0.0.1", 0)) as one:
        assert serve.address(one) == f"http://127.0.0.1:{one.getsockname()[1]}"
