"""A client without manners: sends any bytes on a socket, and reads what comes back as h11 does."""

import socket
from urllib.parse import urlsplit

import h11

ANSWERS_WITHIN = 20  # seconds; a bound for hangs, not a measurement


class Raw:
    """One connection to a server."""

    def __init__(self, url, receive_buffer=0):
        address = urlsplit(url)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(ANSWERS_WITHIN)
        self.socket.connect((address.hostname, address.port))
        self._reader = h11.Connection(h11.CLIENT)
        self.informed = []  # 1xx answers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece)
        return self

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def _next(self):
        while (event := self._reader.next_event()) is h11.NEED_DATA:
            self._reader.receive_data(self.socket.recv(1 << 16))
        return event

    def answer(self, method="POST"):
        """Return the next answer: status, headers, body."""
        self._reader.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        self._reader.send(h11.EndOfMessage())
        while isinstance(event := self._next(), h11.InformationalResponse):
            self.informed.append(event.status_code)
        assert isinstance(event, h11.Response), event
        body = b""
        while not isinstance(part := self._next(), h11.EndOfMessage):
            body += part.data
        if self._reader.our_state is not h11.MUST_CLOSE:
            self._reader.start_next_cycle()
        return event.status_code, dict(event.headers), body

    def status(self, method="POST"):
        return self.answer(method)[0]

    def is_over(self):
        """Wait until the server closes; whether it sent nothing more."""
        left = self._reader.trailing_data[0]
        try:
            while more := self.socket.recv(1 << 16):
                left += more
        except ConnectionResetError:
            pass
        return left == b""


def request(path="/v1/models/e:predict", body=b'{"instances":[1]}', *lines, method="POST", version="1.1"):
    """Return a request's bytes; headers in `lines` come after its own."""
    head = [f"{method} {path} HTTP/{version}".encode(), b"Host: a", b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join([*head, b"", body])


def chunked(*chunks, path="/v1/models/e:predict", extension=b"", trailers=b""):
    """Return a request whose body comes in these chunks."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    parts = [b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks]
    return head + b"".join(parts) + b"0\r\n" + trailers + b"\r\n"
