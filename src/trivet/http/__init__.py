"""The HTTP/1.1 listener: from a connection's bytes to hot routes and to an ASGI application, and back."""
