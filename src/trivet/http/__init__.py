"""The HTTP/1.1 listener: from the bytes of a connection to hot routes and to an ASGI application, and back."""
